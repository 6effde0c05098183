"""Checkpoints: folders of safetensors and JSON, complete or absent.

    RUN/checkpoint-00001200/model.safetensors      tensors by the names of docs/model.md
                            average.safetensors    the moving average of the same
                            optimizer.safetensors  momenta and moments
                            config.json            the model's configuration
                            state.json             step, cursor, elapsed time, settings

A checkpoint is written under another name, synced, then renamed; the two newest are kept."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

KEEP = 2


class Checkpoint(NamedTuple):
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    config: dict[str, Any]
    state: dict[str, Any]


def save(run: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Writes RUN/checkpoint-STEP and removes all but the KEEP newest; OSError leaves earlier checkpoints as they were."""
    final = run / f"checkpoint-{step:08d}"
    if final.exists():
        return final
    draft = run / f".draft-{step:08d}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name in ("model", "average", "optimizer"):
        save_file({key: tensor.contiguous() for key, tensor in getattr(checkpoint, name).items()}, draft / f"{name}.safetensors")
    for name in ("config", "state"):
        (draft / f"{name}.json").write_text(json.dumps(getattr(checkpoint, name), indent=1) + "\n", encoding="utf-8")
    for path in draft.iterdir():
        _sync(path)
    _sync(draft)
    draft.rename(final)
    _sync(run)
    for old in _all(run)[:-KEEP]:
        shutil.rmtree(old)
    return final


def latest(run: Path) -> Path | None:
    """The newest complete checkpoint of a run, None without one."""
    found = _all(run)
    return found[-1] if found else None


def load(folder: Path) -> Checkpoint:
    """Reads a checkpoint folder."""
    tensors = [load_file(folder / f"{name}.safetensors") for name in ("model", "average", "optimizer")]
    texts = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("config", "state")]
    return Checkpoint(*tensors, *texts)


def save_weights(path: Path, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Writes weights alone, PATH.safetensors with PATH.json beside it, each complete or absent."""
    for suffix in (".safetensors", ".json"):
        draft = path.with_suffix(f"{suffix}.draft")
        if suffix == ".json":
            draft.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        else:
            save_file({key: tensor.contiguous() for key, tensor in weights.items()}, draft)
        _sync(draft)
        draft.rename(path.with_suffix(suffix))


def _all(run: Path) -> list[Path]:
    return sorted(path for path in run.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
