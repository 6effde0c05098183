"""What the JEPA head of a checkpoint is worth on held-out text: whether embeddings have collapsed, and what each prediction removes of the
error of two trivial ones, repeating the present embedding and giving the mean one (the baselines)."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cromwell.contract import prompt
from training import config as configs
from training import tokenizer
from training.data.fetch import MANIFEST
from training.losses import collapse_figures
from training.model.model import Model

from .lines import EvaluationError
from .options import add_json, positive, write
from .perplexity import Piece, evenly, heldout_pieces, windows
from .report import markdown

VERSION = 1
ROWS = 8  # windows fed at once
FIGURES = {"effective_rank": "effective rank", "std": "std", "r2_copy": "R² against copying", "r2_mean": "R² against the mean"}


def load_model(path: Path, average: bool) -> Model:
    """The model of a checkpoint folder (its moving average, if that is asked for) or of PATH.safetensors with PATH.json beside it.
    EvaluationError when it cannot be read."""
    folder = path.is_dir()
    weights = path / f"{'average' if average else 'model'}.safetensors" if folder else path
    described = path / "config.json" if folder else path.with_suffix(".json")
    try:
        values = json.loads(described.read_text(encoding="utf-8"))
        model = Model(configs.from_dict(values))
        model.load_state_dict(load_file(weights))
    except FileNotFoundError as error:
        missing = error.filename or weights
        raise EvaluationError(f"{missing}: no such file; a checkpoint is a folder, or weights with a .json beside them") from None
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise EvaluationError(f"{path}: no checkpoint: {str(error).splitlines()[0]}") from None
    return model.eval()


@torch.no_grad()
def embeddings(model: Model, teacher: Model, rows: Sequence[Sequence[int]]) -> tuple[list[Tensor], Tensor, Tensor]:
    """(predictions z_k [B, T, J] for k = 1, 2, .., targets [B, T, J], lengths [B]) of rows of token ids."""
    longest = max(map(len, rows))
    predictions: list[list[Tensor]] = [[] for _ in model.jepa.predict]
    targets = []
    for first in range(0, len(rows), ROWS):
        part = rows[first : first + ROWS]
        ids_BT = torch.tensor([[*row, *[0] * (longest - len(row))] for row in part])
        context_BTJ = model(ids_BT).context_BTJ
        targets.append(teacher.encode(ids_BT))
        for found, predict in zip(predictions, model.jepa.predict, strict=True):
            found.append(predict(context_BTJ))
    return [torch.cat(found) for found in predictions], torch.cat(targets), torch.tensor([len(row) for row in rows])


def step_figures(prediction_BTJ: Tensor, target_BTJ: Tensor, length_B: Tensor, steps: int) -> dict[str, float]:
    """`collapse_figures` of the prediction that many steps ahead: every `steps`-th position of a row makes a row of its own, in which the
    next one is the one predicted."""
    parts = [range(start, target_BTJ.shape[1], steps) for start in range(steps)]
    longest = max(map(len, parts))
    rows, guesses, lengths = [], [], []
    for part in parts:
        for made, values in ((rows, target_BTJ), (guesses, prediction_BTJ)):
            taken = values[:, part.start :: steps]
            made.append(torch.nn.functional.pad(taken, (0, 0, 0, longest - taken.shape[1])))
        lengths.append(torch.div(length_B - part.start + steps - 1, steps, rounding_mode="floor").clamp(min=0))
    return collapse_figures(torch.cat(guesses), torch.cat(rows), torch.cat(lengths))


def jepa_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="source files, instead of --src")
    parser.add_argument("--src", type=Path, metavar="DIR", help="the src folder of a fetch: its held-out packages are measured")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="PATH", help="a folder, or .safetensors with its .json")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE", help="tokenizer.bin, its folder, or a model pack")
    parser.add_argument("--bytes", type=positive, default=20_000, metavar="N", help="of each package, about (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=torch.get_num_threads(), metavar="N")
    add_json(parser)


def jepa_command(arguments: argparse.Namespace) -> None:
    if bool(arguments.files) == bool(arguments.src):
        raise EvaluationError("name either source files or --src DIR")
    torch.set_num_threads(arguments.threads)
    try:
        encode = tokenizer.load(arguments.tokenizer).encode
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{arguments.tokenizer}: no tokenizer: {error}") from None
    model = load_model(arguments.checkpoint, average=False)
    has_average = (arguments.checkpoint / "average.safetensors").is_file()
    teacher = load_model(arguments.checkpoint, average=True) if has_average else model
    if arguments.src:
        pieces = heldout_pieces(arguments.src, arguments.manifest, arguments.bytes)
    else:
        texts = [(path, path.read_bytes()) for path in sorted(arguments.files)]
        pieces = evenly([Piece("files", str(path), piece) for path, text in texts for piece in windows(text)], arguments.bytes)
    started = time.monotonic()
    rows = [_ids(piece, encode, model) for piece in pieces]
    if max(map(len, rows), default=0) < 2 * len(model.jepa.predict):
        raise EvaluationError("too little text to predict anything")
    predictions, targets, lengths = embeddings(model, teacher, rows)
    found = {str(k): step_figures(guess, targets, lengths, k) for k, guess in enumerate(predictions, start=1)}
    document = {
        "version": VERSION, "command": "jepa", "checkpoint": str(arguments.checkpoint), "targets": "average" if has_average else "model",
        "pieces": len(pieces), "tokens": int(lengths.sum()), "seconds": round(time.monotonic() - started, 1), "steps": found,
    }  # fmt: skip
    write(document, render(document), arguments.json)


def _ids(piece: Piece, encode: Any, model: Model) -> list[int]:
    ids = prompt.encode(["<FILE>", piece.path.rpartition("/")[2].encode() + b"\n" + piece.text], encode)
    if ids and max(ids) >= model.config.vocab_size:
        raise EvaluationError(f"the tokenizer has ids beyond the model's {model.config.vocab_size}: not the one it was trained with")
    return ids[: model.config.max_positions]


def render(document: Mapping[str, Any]) -> str:
    """The table of a result as Markdown."""
    rows = [[step, *(f"{figures[name]:.3f}" for name in FIGURES)] for step, figures in document["steps"].items()]
    of = "their moving average" if document["targets"] == "average" else "the same weights"
    what = f"{document['tokens']:,} tokens in {document['pieces']} windows, {document['seconds']} s"
    return f"{document['checkpoint']}, targets of {of}; {what}" + "\n\n" + markdown(["tokens ahead", *FIGURES.values()], rows)
