"""A tiny model, a folder of documents that copy, trainers and the command: what the tests of training share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch

from training import config as configs
from training.batches import IMAGE_TOKEN
from training.data.pictures_tiles import cut
from training.mixture import open_mixture
from training.recipes import hybrid
from training.settings import Recipe
from training.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent
VALUES: dict[str, Any] = {
    "name": "tiny", "vocab_size": 61, "max_positions": 128, "norm_eps": 1e-6, "rope_base": 10000.0,
    "tie_embeddings": True, "qk_norm": True, "token_shift": True, "places": 0, "aligned": False, "logit_softcap": 15.0,
    "vision": {"stem_channels": 8, "cnn_channels": 8, "expansion": 2, "hidden": 16, "mlp": 16, "layers": 1, "heads": 1,
               "window": 16, "global_layers": [0], "shuffle": 8, "max_tiles": 1},
    "language": {"hidden": 32, "mlp": 48, "layers": 1, "heads": 2, "kv_heads": 1},
    "fusion": {"hidden": 32, "mlp": 32, "layers": 2, "heads": 2},
    "jepa": {"hidden": 32, "mlp": 32, "layers": 1, "heads": 2, "kv_heads": 2, "steps": 3},
    "ar": {"hidden": 32, "mlp": 48, "layers": 1, "heads": 2, "kv_heads": 1},
}  # fmt: skip
TINY = configs.from_dict(VALUES)
FAST = {"batch_tokens": 256, "max_tokens": 128, "warmup_steps": 2, "log_steps": 2, "figure_steps": 3}


def make_folder(path: Path, seed: int, documents: int = 80, pictures: int = 4, kinds: tuple[str, str] = ("even", "odd")) -> Path:
    """Documents that copy: a random text, then the same again, which is scored; the first ones have a picture."""
    path.mkdir(parents=True, exist_ok=True)
    chance = numpy.random.default_rng(seed)
    tokens, docs, tile_of = [], [], []
    for number in range(documents):
        half = chance.integers(20, 61, chance.integers(5, 30)).tolist()
        start = len(tokens)
        tokens += [*half, IMAGE_TOKEN if number < pictures else 2, *half]
        docs.append((start, start + len(half) + 1, len(tokens)))
        tile_of.append(number if number < pictures else -1)
    numpy.save(path / "tokens.npy", numpy.array(tokens, dtype=numpy.uint16))
    numpy.save(path / "docs.npy", numpy.array(docs, dtype=numpy.int64))
    numpy.save(path / "kinds.npy", numpy.arange(documents, dtype=numpy.uint8) % 2)
    numpy.save(path / "tile_of.npy", numpy.array(tile_of, dtype=numpy.int64))
    frames = [cut(chance.integers(0, 256, (256, 256, 3), dtype=numpy.uint8)).frames[0] for _ in range(pictures)]
    numpy.save(path / "grids.npy", numpy.array([[number < pictures] * 2 for number in range(documents)], dtype=numpy.uint8))
    numpy.save(path / "tile_ends.npy", numpy.cumsum([len(frame) for frame in frames], dtype=numpy.int64))
    (path / "tiles.bin").write_bytes(b"".join(frames))
    (path / "index.json").write_text(json.dumps({"kinds": kinds, "seed": seed}))
    return path


def trainer_of(*folders: Path | str, config: configs.ModelConfig = TINY, recipe: Recipe | None = None, **settings: Any) -> Trainer:
    """A trainer of the hybrid recipe, or another one, with small fast settings."""
    torch.set_num_threads(1)  # small operations, and a machine that others use
    followed = (recipe or hybrid()).changed(**FAST | {"steps": 9} | settings)
    values = followed.settings
    mixture, weights = open_mixture([str(folder) for folder in folders], values.max_tokens, values.seed, values.batch_tokens)
    return Trainer(config, followed, mixture, weights)


def steps_of(trainer: Trainer, count: int) -> list[float]:
    """Trains so many steps; the next-token loss of each, nats."""
    losses = []
    for _ in range(count):
        step = trainer.train_step()
        losses.append(float(step.nats_K.sum() / step.scored_K.sum().clamp(min=1)))
    return losses


def same_state(one: Trainer, other: Trainer) -> list[str]:
    """Names of tensors that differ in any bit between two trainers."""
    found = []
    for part in ("model", "average", "heads"):
        mine, theirs = getattr(one, part).state_dict(), getattr(other, part).state_dict()
        found += [f"{part}.{name}" for name in mine if not torch.equal(mine[name], theirs[name])]
    mine, theirs = one.optimizer.state(), other.optimizer.state()
    assert mine.keys() == theirs.keys()
    return found + [f"optimizer.{name}" for name in mine if not torch.equal(mine[name], theirs[name])]


def arguments_of(out: Path, *data: Path | str, values: Mapping[str, Any] = VALUES) -> list[str]:
    """Arguments of training.train for the tiny model and these folders."""
    out.parent.mkdir(parents=True, exist_ok=True)
    config = out.parent / "tiny.json"
    config.write_text(json.dumps(values))
    sizes = [part for name, value in FAST.items() for part in ("--" + name.replace("_", "-"), str(value))]
    folders = [part for folder in data for part in ("--data", str(folder))]
    return ["--config", str(config), *folders, "--out", str(out), "--threads", "1", *sizes]


def environment() -> dict[str, str]:
    """Variables for a subprocess that imports what this process can."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))}


def command(out: Path, *more: str, data: tuple[Path | str, ...], processes: int = 1) -> subprocess.CompletedProcess[str]:
    """Runs training.train in a process of its own, or in several."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    arguments = [sys.executable, *launch, "-m", "training.train", *arguments_of(out, *data), *more]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=240, env=environment())
