"""python -m training.train --config models/nano.json --data DIR --out RUN --minutes 60

Trains a model with the hybrid loss, 0.3 JEPA + 0.7 next token (docs/training.md). Ends after --minutes of training or --steps;
the learning rate follows whichever was given: warm-up, a constant part, a linear decay at the end. RUN receives metrics.jsonl
(appended), run.json, checkpoints, and final.safetensors with final.json. A run that was stopped goes on with --resume.
Several processes: torchrun --standalone --nproc-per-node 2 -m training.train, and the same options."""

from __future__ import annotations

import argparse
import copy
import json
import math
import platform
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch

from cromwell.contract.prompt import SPECIAL_TOKENS
from training import checkpoint as checkpoints
from training import config as configs
from training import tokenizer
from training.batches import DataError, Documents
from training.losses import collapse_figures, jepa_loss, token_loss
from training.model.initial import can_copy, start_copying
from training.model.model import Model
from training.optimizer import MuonAdamW, OptimizerSettings
from training.processes import Processes

JEPA_WEIGHT, TOKEN_WEIGHT = 0.3, 0.7  # design documents


@dataclass(frozen=True)
class Settings:
    """How to train; sizes in tokens, times in minutes."""

    minutes: float | None = None
    steps: int | None = None
    batch_tokens: int = 4096  # of a micro-batch, padding included
    accumulate: int = 1  # micro-batches a step, in each process
    max_tokens: int = 1024  # of a document
    warmup_steps: int = 40
    decay_share: float = 0.35  # of the whole run, at its end
    final_rate: float = 0.05  # of the peak
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    clip: float = 1.0  # norm of all gradients
    trunk_gradient: float = 0.05  # share of the JEPA loss's gradient that reaches the encoders
    jepa_rows: float = 0.25  # share of a micro-batch's rows with a JEPA loss
    average_first: float = 0.99  # decay of the moving average, at the start and at the end
    average_last: float = 0.999
    checkpoint_minutes: float = 5.0
    log_steps: int = 10
    figure_steps: int = 100  # between collapse figures
    seed: int = 0


class Cursor(NamedTuple):
    """Where the data stands: `position` micro-batches of `epoch` are used up."""

    epoch: int
    position: int


class TrainingStopped(RuntimeError):
    """Training cannot go on; the text says why."""


def rate_scale(settings: Settings, step: int, progress: float) -> float:
    """Factor on the peak rates: linear warm-up over steps, constant, linear decay over the last `decay_share` of progress (0..1)."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    left = max(0.0, 1.0 - progress) / settings.decay_share if settings.decay_share > 0 else 1.0
    return warm * (settings.final_rate + (1 - settings.final_rate) * min(1.0, left))


class Trainer:
    """Model, moving average, optimizer, data and their joint progress."""

    def __init__(self, config: configs.ModelConfig, settings: Settings, documents: Documents, texts: Sequence[bytes] = ()) -> None:
        """`texts` are the bytes of every token of the vocabulary, which a model with places begins from."""
        torch.manual_seed(settings.seed)
        self.config, self.settings, self.documents = config, settings, documents
        self.model = Model(config)
        if config.places:
            if len(texts) != config.vocab_size:
                raise TrainingStopped(f"{len(texts)} tokens, the model has {config.vocab_size}: give its tokenizer with --tokenizer")
            self.model.embed.set_breaks(texts, len(SPECIAL_TOKENS))
        if can_copy(self.model):
            start_copying(self.model, texts)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        rates = OptimizerSettings(matrix_rate=settings.matrix_rate, other_rate=settings.other_rate)
        self.processes = Processes()
        self.optimizer = MuonAdamW(self.model.named_parameters(), rates, self.processes)
        self.step, self.tokens, self.elapsed_seconds = 0, 0, 0.0
        self.cursor = Cursor(0, 0)

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1."""
        shares = [0.0]
        if self.settings.steps:
            shares.append(self.step / self.settings.steps)
        if self.settings.minutes:
            shares.append(self.elapsed_seconds / 60 / self.settings.minutes)
        return min(1.0, max(shares))

    def plans(self) -> Iterator[tuple[list[numpy.ndarray], Cursor]]:
        """From the cursor on, without end: the documents of every micro-batch of a step, and the cursor after it."""
        epoch, position = self.cursor
        wanted = self.settings.accumulate * self.processes.count
        members: list[numpy.ndarray] = []
        while True:
            plan = self.documents.plan(self.settings.seed, epoch, self.settings.batch_tokens)
            for done in range(position, len(plan)):
                members.append(plan[done])
                if len(members) == wanted:
                    yield members, Cursor(epoch, done + 1)
                    members = []
            epoch, position = epoch + 1, 0

    def train_step(self, plan: Sequence[numpy.ndarray], figures: bool) -> dict[str, Any]:
        """One update on the micro-batches of `plan`, of which this process computes its share; gives what the metrics record, of
        that share. TrainingStopped when the loss is not finite."""
        settings = self.settings
        scored = sum(self.documents.scored_tokens(members) for members in plan)
        record: dict[str, Any] = {"kinds": defaultdict(lambda: [0.0, 0]), "jepa_loss": 0.0, "scored": scored}
        own = plan[self.processes.share(len(plan))]
        for batch in map(self.documents.batch, own):
            outputs = self.model(batch.ids_BT, batch.images, trunk_gradient=settings.trunk_gradient)
            hidden_PA = outputs.hidden_BTA.flatten(0, 1).index_select(0, batch.place_P)
            weights_P = torch.full((len(batch.target_P),), 1.0 / scored)
            token, losses_P = token_loss(hidden_PA, self.model.head_weight, batch.target_P, weights_P, self.config.logit_softcap)
            rows = max(1, round(len(batch.length_B) * settings.jepa_rows))
            with torch.no_grad():
                images = [image for image in batch.images if image.row < rows]
                target_BTJ = self.average.encode(batch.ids_BT[:rows], images)
            predictions = [predict(outputs.context_BTJ[:rows]) for predict in self.model.jepa.predict]
            jepa = jepa_loss(predictions, target_BTJ, batch.length_B[:rows])
            (TOKEN_WEIGHT * token + JEPA_WEIGHT / len(plan) * jepa).backward()
            record["jepa_loss"] += float(jepa.detach()) / len(own)
            by_row = torch.zeros(len(batch.kind_B)).index_add_(0, batch.document_P, losses_P)
            for kind, total, count in zip(batch.kind_B, by_row.tolist(), batch.document_P.bincount().tolist(), strict=True):
                record["kinds"][kind][0] += total
                record["kinds"][kind][1] += count
            if figures:
                record["figures"] = collapse_figures(predictions[0].detach(), target_BTJ, batch.length_B[:rows])
        self._share_gradients(plan)
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip))
        if not math.isfinite(norm):
            raise TrainingStopped(f"step {self.step}: the loss or its gradient is not finite ({norm}); lower the rates")
        self.optimizer.step(rate_scale(settings, self.step, self.progress))
        self.optimizer.zero_grad()
        self._follow()
        self.step += 1
        self.tokens += sum(self.documents.tokens_in(members) for members in plan)
        record["gradient_norm"] = norm
        return record

    def _share_gradients(self, plan: Sequence[numpy.ndarray]) -> None:
        """Adds up the gradients of all processes. Parameters that a text-only step leaves without one stay so in all of them."""
        if self.processes.count == 1:
            return
        if any(self.documents.has_pictures(members) for members in plan):
            for parameter in self.model.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        self.processes.add_up([parameter.grad for parameter in self.model.parameters() if parameter.grad is not None])

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the average towards the model; faster at first, when the model moves most."""
        settings = self.settings
        decay = settings.average_first + (settings.average_last - settings.average_first) * self.progress
        torch._foreach_lerp_(list(self.average.parameters()), [p.detach() for p in self.model.parameters()], 1 - decay)

    def save(self, run: Path) -> Path:
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "elapsed_seconds": self.elapsed_seconds,
            "cursor": list(self.cursor),
            "data": self.documents.index,
            "settings": asdict(self.settings),
        }
        return checkpoints.save(
            run,
            self.step,
            checkpoints.Checkpoint(
                self.model.state_dict(), self.average.state_dict(), self.optimizer.state(), configs.to_dict(self.config), state
            ),
        )

    def restore(self, saved: checkpoints.Checkpoint) -> None:
        """Takes up a checkpoint; with other data than it was made with, reading starts over at the next epoch."""
        if saved.config != configs.to_dict(self.config):
            raise TrainingStopped("the checkpoint belongs to another model configuration")
        self.model.load_state_dict(saved.model)
        self.average.load_state_dict(saved.average)
        self.optimizer.load(saved.optimizer)
        self.step, self.tokens = saved.state["step"], saved.state["tokens"]
        self.elapsed_seconds = saved.state["elapsed_seconds"]
        same = saved.state["data"] == self.documents.index and saved.state["settings"]["batch_tokens"] == self.settings.batch_tokens
        self.cursor = Cursor(*saved.state["cursor"]) if same else Cursor(saved.state["cursor"][0] + 1, 0)


class Metrics:
    """Sums over the steps since the last line of metrics.jsonl."""

    def __init__(self, path: Path, trainer: Trainer) -> None:
        self.path, self.trainer = path, trainer
        self._clear()

    def _clear(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.kinds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
        self.figures: dict[str, float] = {}
        self.steps, self.tokens, self.seconds = 0, self.trainer.tokens, self.trainer.elapsed_seconds

    def add(self, record: dict[str, Any]) -> None:
        self.steps += 1
        for name in ("jepa_loss", "gradient_norm", "scored"):
            self.sums[name] += record[name]
        for kind, (total, count) in record["kinds"].items():
            self.kinds[kind][0] += total
            self.kinds[kind][1] += count
        self.figures = record.get("figures", self.figures)

    def write(self, keep: bool) -> None:
        """Appends one line with the means since the last one, where `keep`; starts over."""
        trainer = self.trainer
        seconds = trainer.elapsed_seconds - self.seconds
        line = {
            "step": trainer.step,
            "minutes": round(trainer.elapsed_seconds / 60, 2),
            "epoch": trainer.cursor.epoch,
            "tokens": trainer.tokens,
            "tokens_per_second": round((trainer.tokens - self.tokens) / max(seconds, 1e-9)),
            "rate": round(rate_scale(trainer.settings, trainer.step, trainer.progress), 4),
            "token_loss": round(sum(total for total, _ in self.kinds.values()) / sum(count for _, count in self.kinds.values()), 4),
            **{name: round(total / self.steps, 4) for name, total in self.sums.items()},
            "kinds": {kind: round(total / count, 4) for kind, (total, count) in sorted(self.kinds.items()) if count},
            **({"figures": {name: round(value, 4) for name, value in self.figures.items()}} if self.figures else {}),
        }
        if keep:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        self._clear()


def run(trainer: Trainer, out: Path) -> None:
    """Trains until the time or the steps are used up or a signal asks to stop; writes metrics, checkpoints and final weights."""
    settings = trainer.settings
    stopped: list[int] = []
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda number, _: stopped.append(number))
    first = trainer.processes.rank == 0
    metrics = Metrics(out / "metrics.jsonl", trainer)
    before = trainer.elapsed_seconds
    begin = saved_at = time.monotonic()
    plans = trainer.plans()
    stop = False
    while trainer.progress < 1.0 and not stop:
        plan, cursor = next(plans)
        metrics.add(trainer.train_step(plan, figures=(trainer.step + 1) % settings.figure_steps == 0))
        trainer.cursor = cursor
        trainer.elapsed_seconds, stop = trainer.processes.agree((before + time.monotonic() - begin, float(bool(stopped))))
        if metrics.steps == settings.log_steps:
            metrics.write(first)
        if first and time.monotonic() - saved_at > settings.checkpoint_minutes * 60:
            trainer.save(out)
            saved_at = time.monotonic()
    if metrics.steps:
        metrics.write(first)
    if first:
        trainer.save(out)
        if not stop:
            values = configs.to_dict(trainer.config)
            checkpoints.save_weights(out / "final.safetensors", trainer.model.state_dict(), values)
            checkpoints.save_weights(out / "average.safetensors", trainer.average.state_dict(), values)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__.split("\n\n")[1])
    parser.add_argument("--config", required=True, help="the model, models/NAME.json")
    parser.add_argument("--data", required=True, help="folder of tokenised documents")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.bin, for a model with places")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as it likes")
    defaults = Settings()
    for name, value in asdict(defaults).items():
        kind = {"minutes": float, "steps": int}.get(name, type(value))
        parser.add_argument("--" + name.replace("_", "-"), type=kind, default=value, help="default: %(default)s")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when done, 2 on bad input, 1 when training cannot go on."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    settings = Settings(**{name: getattr(options, name) for name in asdict(Settings())})
    if options.threads:
        torch.set_num_threads(options.threads)
    found = checkpoints.latest(options.out)
    try:
        if settings.minutes is None and settings.steps is None:
            raise TrainingStopped("neither --minutes nor --steps: the run would never end")
        if found and not options.resume:
            raise TrainingStopped(f"{options.out} holds a run; go on with --resume, or choose another folder")
        texts = tokenizer.load(options.tokenizer).vocabulary.token_bytes() if options.tokenizer else ()
        trainer = Trainer(configs.load(options.config), settings, Documents(options.data, settings.max_tokens), texts)
        if found:
            trainer.restore(checkpoints.load(found))
    except (configs.ConfigError, DataError, TrainingStopped, tokenizer.SectionError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if trainer.processes.rank == 0:
        describe(trainer, options)
    try:
        run(trainer, options.out)
    except TrainingStopped as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def describe(trainer: Trainer, options: argparse.Namespace) -> None:
    """Writes run.json: what it takes to repeat the run."""
    options.out.mkdir(parents=True, exist_ok=True)
    described = {
        "arguments": {name: str(value) for name, value in vars(options).items()},
        "config": configs.to_dict(trainer.config),
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "data": trainer.documents.index,
        "documents": len(trainer.documents.usable),
        "documents_left_out": trainer.documents.left_out,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    (options.out / "run.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
