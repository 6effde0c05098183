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

from training.evaluate import MAX_PROMPT_TOKENS, Worker, examples, score

WINDOW_TOKENS = 512  # a piece of a file, scored from its second token on
MOST_ROWS = 64  # of cw_session_logits_rows


class Spelled(NamedTuple):
    """What a text cost."""

    bits: float
    size_bytes: int
    tokens: int


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


def bits_of(session, ids: Sequence[int], first: int) -> float:
    """Bits that the tokens ids[first:] cost after those before them; `first` is 1 or more, the session empty."""
    import numpy as np

    total = 0.0
    for at in range(0, len(ids) - 1, MOST_ROWS):
        piece = ids[at : min(at + MOST_ROWS, len(ids) - 1)]
        session.feed(piece)
        skipped = max(0, first - 1 - at)  # rows that predict a token before `first`
        if skipped >= len(piece):
            continue
        rows = len(piece) - skipped
        logits = np.array(session.logits_rows(rows)).reshape(rows, -1).astype(np.float64)
        wanted = logits[np.arange(rows), ids[at + skipped + 1 : at + len(piece) + 1]]
        most = logits.max(axis=1)
        total += float((most + np.log(np.exp(logits - most[:, None]).sum(axis=1)) - wanted).sum())
    return total / float(np.log(2))


_worker: Worker | None = None


def _start(model_path: str) -> None:
    global _worker
    _worker = Worker(model_path, guidance=True)


def _spell(ids: list[int], first: int) -> Spelled:
    from cromwell.binding import Session

    assert _worker is not None
    with Session(_worker.model, len(ids), threads=1) as session:
        bits = bits_of(session, ids, first)
    return Spelled(bits, len(_worker.model.tokenizer.decode(ids[first:])), len(ids) - first)


def _text(window: list[int]) -> Spelled:
    return _spell(window, 1)


def _edit(example: dict) -> Edit | None:
    """None for a prompt longer than `evaluate` takes."""
    from cromwell.contract import prompt

    assert _worker is not None
    encode = _worker.model.tokenizer.encode
    target = prompt.Target(*(example[name].encode() for name in ("path", "before", "region", "after")))
    head = prompt.encode(prompt.edit_prompt(target, example["instruction"].encode()), encode)
    if len(head) > MAX_PROMPT_TOKENS:
        return None
    gold = _spell(head + prompt.encode(prompt.answer(example["new_region"].encode()), encode), len(head))
    answer, finished = _worker.answer(example)
    return Edit(gold, answer, bool(score(answer, finished, example)["exact"]))


def windows(files: Sequence[Path], model_path: str, most_tokens: int) -> Iterator[list[int]]:
    """Pieces of WINDOW_TOKENS tokens of the files, evenly from all of them, about `most_tokens` in all."""
    from cromwell.binding import Model

    with Model(model_path) as model:
        tokens = [model.tokenizer.encode(path.read_bytes()) for path in sorted(files)]
    pieces = [ids[at : at + WINDOW_TOKENS] for ids in tokens for at in range(0, len(ids), WINDOW_TOKENS)]
    pieces = [piece for piece in pieces if len(piece) >= 2]
    every = max(1, -(-sum(map(len, pieces)) // most_tokens))
    yield from pieces[::every]


def total(parts: Sequence[Spelled]) -> Spelled:
    return Spelled(sum(part.bits for part in parts), sum(part.size_bytes for part in parts), sum(part.tokens for part in parts))


def measure(model: str, pieces: list[list[int]], edits: list[dict], processes: int) -> Figures:
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
    for path in [*([arguments.edits] if arguments.edits else []), *arguments.text, *map(Path, arguments.model)]:
        if not path.is_file():
            print(f"error: {path}: no such file\n\nhint: make it as docs/training.md says", file=sys.stderr)
            return 2
    if arguments.edits is None and not arguments.text:
        parser.error("nothing to measure: name edits, --text files or both")
    pieces = list(windows(arguments.text, arguments.model[0], arguments.text_tokens)) if arguments.text else []
    edits = list(examples(arguments.edits, arguments.limit)) if arguments.edits else []
    found = [measure(model, pieces, edits, arguments.processes) for model in arguments.model]
    rows = [summary(figures, found[0]) for figures in found]
    print(json.dumps({"version": 1, "formats": rows}) if arguments.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
