"""Draws what benchmarks/engine.py wrote with --json: tok/s against context length, batch and threads.

    python -m benchmarks.plot FILE.json [--out FILE.png]

A colour is a model, a line style its format; crosses are peers. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {"q8": "-", "q4": "--", "f32": ":"}
COLOURS = ("#0b5fa5", "#c4501b", "#2c8a4b", "#7b4fa3", "#8a6d1d", "#555555")
Row = dict[str, Any]


class Panel(NamedTuple):
    """One of the drawings: the rows of some kinds, laid out by one of their sizes, the other sizes held."""

    title: str
    label: str
    size: str
    kinds: tuple[str, ...]

    def points(self, rows: Iterable[Row], threads: int) -> list[tuple[int, float]]:
        """(size, value) in order, of rows of full `threads` and, unless laid out by them, of empty contexts."""
        held = [row for row in rows if row["kind"] in self.kinds]
        if self.size != "threads":
            held = [row for row in held if row["threads"] == threads]
        if self.size in ("threads", "batch"):
            held = [row for row in held if row["context"] == 0]
        return sorted((row[self.size], row["value"]) for row in held)


PANELS = (
    Panel("generation after a text", "tokens of context", "context", ("decode",)),
    Panel("reading a text", "tokens of the text", "tokens", ("prefill",)),
    Panel("several sequences at once", "sequences", "batch", ("decode", "batch")),
    Panel("generation from nothing", "threads", "threads", ("decode",)),
)


def looks(subjects: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and line style of every pack, by its name MODEL-FORMAT."""
    found: dict[str, tuple[str, str]] = {}
    models: list[str] = []
    for subject in subjects:
        model, _, quant = subject.rpartition("-")
        model = model if quant in STYLES else subject
        if model not in models:
            models.append(model)
        found[subject] = COLOURS[models.index(model) % len(COLOURS)], STYLES.get(quant, "-")
    return found


def draw(panel: Panel, axes: Axes, document: Row) -> None:
    """Draws one panel: a line for each pack that has at least one point in it."""
    threads = document["machine"]["threads"]
    rates = [figure for figure in document["figures"] if figure["unit"] == "tok/s"]
    for subject, (colour, style) in looks(dict.fromkeys(figure["subject"] for figure in rates)).items():
        points = panel.points((row for row in rates if row["subject"] == subject), threads)
        if points:
            axes.plot(*zip(*points, strict=True), style, color=colour, marker="o", markersize=3, label=subject)
        beside = panel.points((row for row in document["peers"] if row["subject"] == subject), threads)
        if beside:
            axes.plot(*zip(*beside, strict=True), "x", color=colour)
    if panel.size in ("batch", "threads"):
        axes.set_xticks(sorted({row[panel.size] for row in rates if row["kind"] in panel.kinds}))
    axes.set(title=panel.title, xlabel=panel.label, ylabel="tok/s", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize="x-small")
    axes.grid(True, which="both", alpha=0.25)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, help="FILE.png by default; the name's ending decides the format")
    arguments = parser.parse_args()
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("error: matplotlib is not installed\n\nhint: pip install matplotlib", file=sys.stderr)
        return 2
    document = json.loads(arguments.file.read_text())
    figure = Figure(figsize=(11, 8), layout="constrained")
    panels = figure.subplots(2, 2)
    for panel, axes in zip(PANELS, panels.flat, strict=True):
        draw(panel, axes, document)
    lines = {line.get_label(): line for axes in panels.flat for line in axes.get_lines() if not line.get_label().startswith("_")}
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=5, fontsize="small")
    figure.suptitle(f"{document['machine']['processor']}, {document['machine']['threads']} threads, {document['machine']['isa']}; x: peers")
    out = arguments.out or arguments.file.with_suffix(".png")
    figure.savefig(out, dpi=130)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
