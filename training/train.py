"""python -m training.train --config models/nano.json --data DIR --tokenizer tokenizer.bin --out RUN --minutes 60

Trains a model by a recipe (docs/training.md). Ends after --minutes of training, --steps, or at --until by the clock; the learning rate
and the recipe's stages follow whichever was given. RUN receives metrics.jsonl (appended), run.json, checkpoints, and final.safetensors
with final.json. A run that was stopped goes on with --resume.
Several processes: torchrun --standalone --nproc-per-node 2 -m training.train, and the same options."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import torch

from training import checkpoint as checkpoints
from training import config as configs
from training import tokenizer
from training.batches import DataError
from training.metrics import Metrics, describe
from training.mixture import Mixture, open_mixture
from training.recipes import RECIPES
from training.settings import Objective, Recipe, RecipeError, Settings
from training.trainer import Trainer, TrainingStopped

STOPPED_EARLY = 75  # exit status: the run is not at its end, --resume goes on
HELDOUT_BATCHES = 16
START_SECONDS = 120.0  # that --detach waits for the run to begin


class Clock:
    """When this process has to stop, whatever is left of the run."""

    def __init__(self, begin: float, slice_minutes: float | None, until: float | None) -> None:
        """`begin` and `until` on time.time()'s clock."""
        ends = [begin + slice_minutes * 60] if slice_minutes else []
        self.end = min(ends + ([until] if until else []), default=float("inf"))

    def is_over(self) -> bool:
        return time.time() >= self.end


def run(trainer: Trainer, out: Path, clock: Clock, heldout: Mixture | None = None) -> bool:
    """Trains until the run is done, the clock has run out or a signal asks to stop; whether it is done. Writes metrics and checkpoints,
    and the final weights of a run that is done."""
    settings = trainer.settings
    stopped: list[int] = []
    handlers = {kind: signal.signal(kind, lambda number, _: stopped.append(number)) for kind in (signal.SIGTERM, signal.SIGINT)}
    first = trainer.processes.rank == 0
    metrics = Metrics(out / "metrics.jsonl", trainer)
    before = trainer.elapsed_seconds
    begin = saved_at = time.monotonic()
    stop = False
    try:
        while trainer.progress < 1.0 and not stop:
            metrics.add(trainer.train_step(figures=(trainer.step + 1) % settings.figure_steps == 0))
            asked = bool(stopped) or clock.is_over()
            trainer.elapsed_seconds, stop = trainer.processes.agree((before + time.monotonic() - begin, float(asked)))
            done = trainer.progress >= 1.0
            if heldout is not None and (trainer.step % settings.heldout_steps == 0 or done):
                metrics.heldout = trainer.heldout_loss(heldout, HELDOUT_BATCHES)
            if metrics.steps == settings.log_steps or done or stop or metrics.heldout:
                metrics.write()
            if first and (time.monotonic() - saved_at > settings.checkpoint_minutes * 60 or done or stop):
                trainer.save(out)
                saved_at = time.monotonic()
        done = trainer.progress >= 1.0
        if first and done:
            values = configs.to_dict(trainer.config)
            checkpoints.save_weights(out / "final.safetensors", trainer.model.state_dict(), values)
            checkpoints.save_weights(out / "average.safetensors", trainer.average.state_dict(), values)
    finally:
        metrics.close()
        for kind, handler in handlers.items():
            signal.signal(kind, handler)
    return done


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__.split("\n\n")[1])
    parser.add_argument("--config", required=True, help="the model, models/NAME.json")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="hybrid", help="default: %(default)s (training/recipes.py)")
    parser.add_argument("--data", required=True, action="append", metavar="[NAME=]FOLDER[@WEIGHT]",
                        help="tokenised documents, or a folder of such folders; may be repeated")  # fmt: skip
    parser.add_argument("--heldout", action="append", metavar="[NAME=]FOLDER", help="documents to measure the loss on, never trained on")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.bin, for a model with places")
    parser.add_argument("--start", type=Path, metavar="WEIGHTS", help="begin with these weights (.safetensors), not with initial ones")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out, where there is one")
    parser.add_argument("--until", metavar="HH:MM", help="end of the run by the clock; with --minutes or --steps, of this process")
    parser.add_argument("--slice-minutes", type=float, help="stop this process after so many minutes, to go on later")
    parser.add_argument("--detach", action="store_true", help="train in the background, with OUT/log.txt for what it says")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as it likes")
    for group, kind in (("settings", Settings), ("objective (of recipes with one stage)", Objective)):
        options = parser.add_argument_group(group, "default: the recipe's")
        for field in fields(kind):
            name = "--" + field.name.replace("_", "-")
            if field.type == "bool":
                options.add_argument(name, action=argparse.BooleanOptionalAction, default=None)
            else:
                options.add_argument(name, type={"int": int, "int | None": int, "str": str}.get(str(field.type), float), metavar="X")
    return parser.parse_args(arguments)


def clock_time(text: str, now: datetime.datetime) -> float:
    """The next time that the clock shows HH:MM, as seconds of time.time(); RecipeError when `text` is no such time."""
    try:
        asked = datetime.datetime.strptime(text, "%H:%M")
    except ValueError:
        raise RecipeError(f"--until {text}: expected a time as HH:MM") from None
    end = now.replace(hour=asked.hour, minute=asked.minute, second=0, microsecond=0)
    return (end if end > now else end + datetime.timedelta(days=1)).timestamp()


def chosen_recipe(options: argparse.Namespace) -> Recipe:
    """The recipe with what the options change."""
    names = [field.name for kind in (Settings, Objective) for field in fields(kind)]
    return RECIPES[options.recipe]().changed(**{name: getattr(options, name) for name in names if getattr(options, name) is not None})


def prepare(options: argparse.Namespace, begin: float) -> tuple[Trainer, Clock, Mixture | None]:
    """Everything that a run needs, from its options; raises what `main` reports."""
    recipe = chosen_recipe(options)
    recipe.check()
    until = clock_time(options.until, datetime.datetime.fromtimestamp(begin)) if options.until else None
    settings = recipe.settings
    if settings.minutes is None and settings.steps is None and until is None:
        raise RecipeError("neither --minutes nor --steps nor --until: the run would never end")
    found = checkpoints.latest(options.out)
    if found and not options.resume:
        raise RecipeError(f"{options.out} holds a run; go on with --resume, or choose another folder")
    config = configs.load(options.config)
    saved = checkpoints.load(found) if found else None
    if settings.minutes is None and settings.steps is None:
        trained = saved.state["elapsed_seconds"] if saved else 0.0
        recipe, until = recipe.changed(minutes=(trained + until - begin) / 60), None
    sizes = (settings.max_tokens, settings.seed, settings.batch_tokens, config.vocab_size)
    mixture, weights = open_mixture(options.data, *sizes)
    if not any("@" in data for data in options.data) and any(stage.data for stage in recipe.stages):
        recipe.fit(mixture.names)
    else:
        recipe = recipe.without_data()
    heldout = open_mixture(options.heldout, *sizes)[0] if options.heldout else None
    texts = tokenizer.load(options.tokenizer).vocabulary.token_bytes() if options.tokenizer else ()
    trainer = Trainer(config, recipe, mixture, weights, texts)
    if saved:
        trainer.restore(saved)
    elif options.start:
        trainer.start_from(options.start)
    return trainer, Clock(begin, options.slice_minutes, until), heldout


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when the run is done, 75 when it was stopped before and --resume goes on, 2 on bad input, 1 when it cannot go on."""
    begin = time.time()
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        if options.detach:
            chosen_recipe(options).check()
            return detach(options.out, [argument for argument in arguments if argument != "--detach"])
        trainer, clock, heldout = prepare(options, begin)
    except (configs.ConfigError, DataError, RecipeError, TrainingStopped, checkpoints.CheckpointError, tokenizer.SectionError,
            OSError) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        with locked(options.out, trainer.processes.rank == 0):
            if trainer.processes.rank == 0:
                described = describe(trainer, vars(options))
                (options.out / "run.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
            done = run(trainer, options.out, clock, heldout)
    except (DataError, TrainingStopped, checkpoints.CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if done else STOPPED_EARLY


@contextlib.contextmanager
def locked(out: Path, first: bool) -> Iterator[None]:
    """Makes the folder of a run, and keeps other runs out of it while this one goes on; TrainingStopped when one is there already."""
    if not first:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingStopped(f"{out}: another process trains in this folder; wait for it, or stop it") from None
        yield


def detach(out: Path, arguments: list[str]) -> int:
    """Starts the same command in a session of its own, which goes on when this terminal closes; 0 once it trains."""
    out.mkdir(parents=True, exist_ok=True)
    log, described = out / "log.txt", out / "run.json"
    before = described.stat().st_mtime_ns if described.exists() else 0
    with log.open("ab") as stream:
        start = stream.tell()
        process = subprocess.Popen([sys.executable, "-m", "training.train", *arguments], stdin=subprocess.DEVNULL, stdout=stream,
                                   stderr=subprocess.STDOUT, start_new_session=True, env=dict(os.environ))  # fmt: skip
    limit = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < limit:
        if described.exists() and described.stat().st_mtime_ns != before:
            break
        time.sleep(0.2)
    if process.returncode:
        sys.stderr.write(log.read_bytes()[start:].decode("utf-8", "replace"))
        return process.returncode
    print(f"process {process.pid} trains in the background; log: {log}; to stop it with a checkpoint: kill {process.pid}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
