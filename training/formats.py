"""What quantisation costs: packs of the same weights in several formats, side by side through the C engine.

    python -m training.formats EDITS.jsonl --text FILE... --model f32.cwm --model q8.cwm --model q4.cwm

Bits a byte is what a model needs to spell text out: minus the binary logarithms of the probabilities of its tokens, over its bytes. It is
given for source files and for the right answers of edits; it sees small losses long before another token wins. Exact answers are those
of `training.evaluate edits`; "changed" counts the edits whose answer is not that of the first model.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cromwell.contract import prompt
from training.evaluate.answers import Worker, open_model
from training.evaluate.examples import Example, read_examples
from training.evaluate.lines import EvaluationError
from training.evaluate.perplexity import Spelled, spell, total

WINDOW_TOKENS = 512  # a piece of a file, scored from its second token on


class Edit(NamedTuple):
    """One edit: what its gold answer cost, what was answered, and whether that is the gold answer."""

    gold: Spelled
    answer: str
    exact: bool


class Figures(NamedTuple):
    """All of a model."""

    model: str
    bytes: int
    text: Spelled
    edits: list[Edit]


_worker: Worker | None = None


def _start(model_path: str) -> None:
    global _worker
    _worker = Worker(model_path)


def _text(window: list[int]) -> Spelled:
    assert _worker is not None
    return spell(_worker.model, window, 1)


def _edit(example: Example) -> Edit | None:
    """None for a prompt or an answer that the model has no room for."""
    assert _worker is not None
    encode = _worker.model.tokenizer.encode
    head = prompt.encode(prompt.edit_prompt(example.target, example.instruction.encode()), encode)
    ids = head + prompt.encode(prompt.answer(example.new_region.encode()), encode)
    if len(ids) > _worker.model.info.max_positions:
        return None
    answer = _worker.answer(example)
    return Edit(spell(_worker.model, ids, len(head)), answer.text, answer.finished and answer.text == example.new_region)


def windows(files: Sequence[Path], model_path: str, most_tokens: int) -> Iterator[list[int]]:
    """Pieces of WINDOW_TOKENS tokens of the files, evenly from all of them, about `most_tokens` in all."""
    from cromwell.binding import Model

    with Model(model_path) as model:
        tokens = [model.tokenizer.encode(path.read_bytes()) for path in sorted(files)]
    pieces = [ids[at : at + WINDOW_TOKENS] for ids in tokens for at in range(0, len(ids), WINDOW_TOKENS)]
    pieces = [piece for piece in pieces if len(piece) >= 2]
    every = max(1, -(-sum(map(len, pieces)) // most_tokens))
    yield from pieces[::every]


def measure(model: str, pieces: list[list[int]], edits: list[Example], processes: int) -> Figures:
    """The figures of one model."""
    with multiprocessing.Pool(processes, _start, (model,)) as pool:
        text = total(list(pool.imap(_text, pieces, chunksize=1)))
        answered = [edit for edit in pool.imap(_edit, edits, chunksize=4) if edit is not None]
    return Figures(model, os.path.getsize(model), text, answered)


def summary(figures: Figures, first: Figures) -> dict[str, float | int | str]:
    """One model's row, against the first model's."""
    gold, first_gold = (total([edit.gold for edit in some.edits]) for some in (figures, first))
    row: dict[str, float | int | str] = {"model": figures.model, "bytes": figures.bytes}
    for name, here, there in (("text", figures.text, first.text), ("edits", gold, first_gold)):
        if here.size_bytes:
            rate, before = here.bits / here.size_bytes, there.bits / there.size_bytes
            row |= {f"{name}_bits_per_byte": rate, f"{name}_against_first": rate / before - 1, f"{name}_tokens": here.tokens}
    if figures.edits:
        row |= {"edits": len(figures.edits), "exact": sum(edit.exact for edit in figures.edits) / len(figures.edits)}
        row["changed"] = sum(a.answer != b.answer for a, b in zip(figures.edits, first.edits, strict=True))
    return row


def table(rows: list[dict]) -> str:
    """The rows as a Markdown table."""
    lines = ["| model | bytes | text, bits a byte | edits, bits a byte | exact | changed |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = [Path(row["model"]).name, f"{row['bytes']:,}"]
        for name in ("text", "edits"):
            rate = row.get(f"{name}_bits_per_byte")
            cells.append("" if rate is None else f"{rate:.4f} ({100 * row[f'{name}_against_first']:+.2f}%)")
        cells += [f"{100 * row['exact']:.1f}% of {row['edits']}", str(row["changed"])] if "exact" in row else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.formats", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("edits", type=Path, nargs="?", help="held-out edits, JSON lines written by `python -m training.data heldout`")
    parser.add_argument("--text", type=Path, nargs="+", default=[], metavar="FILE", help="held-out source files")
    parser.add_argument("--model", action="append", required=True, help="a model pack; the first is what the others are compared with")
    parser.add_argument("--limit", type=int, help="at most this many edits of each kind")
    parser.add_argument("--text-tokens", type=int, default=50_000, help="about this many tokens of the files (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        if arguments.edits is None and not arguments.text:
            raise EvaluationError("nothing to measure: name edits, --text files or both")
        for model in arguments.model:
            open_model(model).close()
        pieces = list(windows(arguments.text, arguments.model[0], arguments.text_tokens)) if arguments.text else []
        edits = read_examples(arguments.edits, arguments.limit) if arguments.edits else []
    except (EvaluationError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = [measure(model, pieces, edits, arguments.processes) for model in arguments.model]
    rows = [summary(figures, found[0]) for figures in found]
    print(json.dumps({"version": 1, "formats": rows}) if arguments.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
