"""What a run tells while it goes on: lines of metrics.jsonl, run.json, and a line of progress on standard error."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from training import config as configs
from training.trainer import Step, Trainer

QUIET_SECONDS = 30.0  # between lines of progress where standard error is no terminal
LIBRARIES = ("torch", "numpy", "safetensors", "tokenizers")


class Metrics:
    """Means over the steps since the last line of metrics.jsonl, over all processes."""

    def __init__(self, path: Path, trainer: Trainer) -> None:
        self.path, self.trainer = path, trainer
        self.told_at = 0.0
        self._clear()

    def _clear(self) -> None:
        kinds, device = len(self.trainer.mixture.kinds), self.trainer.device
        self.kinds_2K = torch.zeros(2, kinds, device=device, dtype=torch.float64)  # nats, positions
        self.parts_3 = torch.zeros(3, device=device, dtype=torch.float64)
        self.figures: dict[str, float] = {}
        self.heldout: dict[str, float] = {}
        self.norms = 0.0
        self.steps, self.tokens, self.seconds = 0, self.trainer.tokens, self.trainer.elapsed_seconds

    def add(self, step: Step) -> None:
        """Takes in one step."""
        self.steps += 1
        self.kinds_2K += torch.stack((step.nats_K, step.scored_K))
        self.parts_3 += torch.stack((step.jepa, step.vision, step.pair))
        self.norms += step.gradient_norm
        self.figures = step.figures or self.figures

    def write(self) -> None:
        """Appends one line and starts over. Every process calls it, process 0 alone writes."""
        trainer = self.trainer
        trainer.processes.add_up([self.kinds_2K])
        trainer.processes.add_up([self.parts_3])
        nats_K, scored_K = self.kinds_2K.tolist()
        jepa, vision, pair = (self.parts_3 / self.steps).tolist()
        seconds = trainer.elapsed_seconds - self.seconds
        goal = trainer.stage.objective
        line: dict[str, Any] = {
            "step": trainer.step,
            "minutes": round(trainer.elapsed_seconds / 60, 2),
            "stage": trainer.stage.name,
            "epochs": dict(zip((source.name for source in trainer.mixture.sources), trainer.position.epochs, strict=True)),
            "tokens": trainer.tokens,
            "tokens_per_second": round((trainer.tokens - self.tokens) / max(seconds, 1e-9)),
            "rate": round(trainer.recipe.rate(trainer.step, trainer.progress), 6),
            "gradient_norm": round(self.norms / self.steps, 4),
            "scored": round(sum(scored_K)),
        }
        if sum(scored_K):
            line["token_loss"] = round(sum(nats_K) / sum(scored_K), 7)
        for name, value, weight in (("jepa_loss", jepa, goal.jepa_weight), ("vision_loss", vision, goal.jepa_weight),
                                    ("pair_loss", pair, goal.pair_weight)):  # fmt: skip
            if weight > 0:
                line[name] = round(value, 7)
        by_kind = zip(trainer.mixture.kinds, nats_K, scored_K, strict=True)
        line["kinds"] = {kind: round(nats / scored, 4) for kind, nats, scored in sorted(by_kind) if scored}
        for name, values in (("figures", self.figures), ("heldout", self.heldout)):
            if values:
                line[name] = {key: round(value, 5) for key, value in values.items()}
        if trainer.processes.rank == 0:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            self._tell(line)
        self._clear()

    def _tell(self, line: Mapping[str, Any]) -> None:
        """One line of progress: over the last one on a terminal, else now and then, for a log."""
        terminal = sys.stderr.isatty()
        if not terminal and time.monotonic() - self.told_at < QUIET_SECONDS:
            return
        self.told_at = time.monotonic()
        losses = [f"{name.removesuffix('_loss')} {line[name]:.3f}" for name in ("token_loss", "jepa_loss", "pair_loss") if name in line]
        text = (f"step {line['step']:,}  {line['stage']}  {'  '.join(losses)}  {line['tokens_per_second']:,} tokens/s  "
                f"{self.trainer.progress:.0%} done{self._left()}")  # fmt: skip
        print(f"\r{text}\x1b[K" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def _left(self) -> str:
        """How long the rest takes at the pace so far."""
        trainer = self.trainer
        if not 0 < trainer.progress < 1:
            return ""
        seconds = int(trainer.elapsed_seconds / trainer.progress * (1 - trainer.progress))
        return f", {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"

    def close(self) -> None:
        """Ends the line of progress."""
        if self.trainer.processes.rank == 0 and sys.stderr.isatty() and self.told_at:
            print(file=sys.stderr)


def describe(trainer: Trainer, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What it takes to repeat a run: arguments, recipe, configuration, data with hashes, commit, versions."""
    return {
        "arguments": {name: value if isinstance(value, (int, float, list)) else str(value) for name, value in arguments.items()},
        "recipe": asdict(trainer.recipe),
        "seed": trainer.settings.seed,
        "config": configs.to_dict(trainer.config),
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "data": trainer.mixture.described(),
        "weights": trainer.weights,
        "documents": sum(len(source.documents.usable) for source in trainer.mixture.sources),
        "documents_left_out": sum(source.documents.left_out for source in trainer.mixture.sources),
        "device": torch.cuda.get_device_name(trainer.device) if trainer.device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "processes": trainer.processes.count,
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in LIBRARIES},
    }


def commit() -> str | None:
    """The commit of the code that runs, with "+" when files differ from it; None outside a git checkout."""
    here = Path(__file__).resolve().parent
    try:
        found = [
            subprocess.run(["git", "-C", str(here), *command], capture_output=True, text=True, timeout=20, check=True).stdout.strip()
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no", "--", "."))
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0] + ("+" if found[1] else "")
