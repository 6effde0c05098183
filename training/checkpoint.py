"""Checkpoints: folders of safetensors and JSON, complete or absent.

    RUN/checkpoint-00001200/model.safetensors      tensors by the names of docs/model.md
                            average.safetensors    the moving average of the same
                            heads.safetensors      predictors that only training needs
                            optimizer.safetensors  momenta and moments
                            config.json            the model's configuration
                            state.json             step, positions in the data, elapsed time, recipe; the sizes of the files above

A checkpoint is written under another name, synced, then renamed; the two newest are kept. One that was damaged later (a file is missing
or has another size) is passed over for the one before it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

KEEP = 2
TENSORS = ("model", "average", "heads", "optimizer")
DRAFT = ".draft-"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, or none of those there can be read; the text says why and what is left."""


class Checkpoint(NamedTuple):
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    heads: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    config: dict[str, Any]
    state: dict[str, Any]


def save(run: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Writes RUN/checkpoint-STEP and removes all but the KEEP newest; CheckpointError leaves earlier checkpoints as they were."""
    final = run / f"checkpoint-{step:08d}"
    if final.exists():
        if _is_whole(final):
            return final
        shutil.rmtree(final)
    for old in run.glob(f"{DRAFT}*"):
        shutil.rmtree(old)  # of a process that was killed while it wrote
    draft = run / f"{DRAFT}{step:08d}"
    with _reported(run, f"the checkpoint of step {step}", draft):
        draft.mkdir(parents=True)
        for name in TENSORS:
            save_file({key: tensor.cpu().contiguous() for key, tensor in getattr(checkpoint, name).items()}, draft / f"{name}.safetensors")
        _write_json(draft / "config.json", checkpoint.config)
        sizes = {path.name: path.stat().st_size for path in sorted(draft.iterdir())}
        _write_json(draft / "state.json", {**checkpoint.state, "files": sizes})
        for path in draft.iterdir():
            _sync(path)
        _sync(draft)
        draft.rename(final)
        _sync(run)
    for old in _all(run)[:-KEEP]:
        shutil.rmtree(old)
    return final


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, None without any; CheckpointError when there are some and none is whole."""
    found = _all(run)
    whole = [folder for folder in found if _is_whole(folder)]
    if found and not whole:
        raise CheckpointError(f"{run}: every checkpoint is damaged: {', '.join(folder.name for folder in found)}")
    return whole[-1] if whole else None


def load(folder: Path) -> Checkpoint:
    """Reads a checkpoint folder; CheckpointError when a file is not what it should be."""
    try:
        tensors = [load_file(folder / f"{name}.safetensors") for name in TENSORS]
        texts = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("config", "state")]
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: {error}; remove this folder to go on from the one before it") from error
    return Checkpoint(*tensors, *texts)


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights, by name; CheckpointError when it is damaged, OSError when it cannot be read."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {error}") from error


def save_weights(path: Path, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Writes weights alone, PATH.safetensors with PATH.json beside it, each complete or absent; CheckpointError when that fails."""
    for suffix in (".safetensors", ".json"):
        draft = path.with_suffix(f"{suffix}.draft")
        with _reported(path.parent, path.name, draft):
            if suffix == ".json":
                _write_json(draft, config)
            else:
                save_file({key: tensor.cpu().contiguous() for key, tensor in weights.items()}, draft)
            _sync(draft)
            draft.rename(path.with_suffix(suffix))


def _all(run: Path) -> list[Path]:
    return sorted(path for path in run.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name))


def _is_whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / "state.json").read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


@contextlib.contextmanager
def _reported(run: Path, what: str, draft: Path) -> Iterator[None]:
    """Turns a failed write into a CheckpointError, and takes the draft away, which would only fill the disk further."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        draft.unlink(missing_ok=True)
        kept = _all(run)
        left = f"{kept[-1].name} stays" if kept else "there is none before it"
        raise CheckpointError(f"{run}: cannot write {what}: {error}; {left}: make room and go on with --resume") from error


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
