"""Draws runs: python -m training.plot RUN... --out FILE.png

One picture of metrics.jsonl: next-token loss, over all and by kind of document, held-out loss, JEPA losses, learning rate, and the figures
that show whether the embeddings collapse. Several runs share the axes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

KINDS_SHOWN = 12  # the most frequent ones


class MetricsError(ValueError):
    """A run whose metrics cannot be read; the text says where."""


def read(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics. A last line that was cut short counts as not written; MetricsError when there is nothing to draw."""
    path = run / "metrics.jsonl" if run.is_dir() else run
    lines: list[dict[str, Any]] = []
    texts = path.read_text(encoding="utf-8").splitlines()
    for number, text in enumerate(texts, start=1):
        try:
            lines.append(dict(json.loads(text)))
        except (ValueError, TypeError) as error:
            if number < len(texts):
                raise MetricsError(f"{path}:{number}: not a line of metrics ({error})") from error
    if not lines:
        raise MetricsError(f"{path}: holds no whole line yet")
    return lines


def series(lines: list[dict[str, Any]], *names: str) -> tuple[list[float], list[float]]:
    """(millions of tokens, values) of the lines that have a value under these names, one inside the other."""
    found: tuple[list[float], list[float]] = [], []
    for line in lines:
        value: Any = line
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            found[0].append(line["tokens"] / 1e6)
            found[1].append(float(value))
    return found


def draw(runs: dict[str, list[dict[str, Any]]], out: Path) -> None:
    """Writes the picture of these runs, by name, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 12), layout="constrained")
    axes = figure.subplots(3, 2)
    titles = ("next token, nats", "next token by kind, nats", "held-out data, nats", "JEPA losses", "rate, share of the peak",
              "JEPA figures: rank / 100, std, R2")  # fmt: skip
    for axis, title in zip(axes.flat, titles, strict=True):
        axis.set_title(title)
        axis.set_xlabel("million tokens")
        axis.grid(alpha=0.3)
    for run, lines in runs.items():
        name = f"{run} " if len(runs) > 1 else ""
        axes[0, 0].plot(*series(lines, "token_loss"), label=run)
        counts: dict[str, int] = {}
        for line in lines:
            for kind in line["kinds"]:
                counts[kind] = counts.get(kind, 0) + 1
        for kind in sorted(counts, key=lambda kind: -counts[kind])[:KINDS_SHOWN]:
            axes[0, 1].plot(*series(lines, "kinds", kind), label=name + kind, linewidth=1)
        for kind in sorted({kind for line in lines for kind in line.get("heldout", {})})[: KINDS_SHOWN + 1]:
            axes[1, 0].plot(*series(lines, "heldout", kind), label=name + (kind or "all"), linewidth=1 if kind else 2)
        for loss in ("jepa_loss", "vision_loss", "pair_loss"):
            axes[1, 1].plot(*series(lines, loss), label=name + loss.removesuffix("_loss"))
        axes[2, 0].plot(*series(lines, "rate"), label=run)
        for kind, scale in (("effective_rank", 0.01), ("std", 1.0), ("r2_copy", 1.0), ("r2_mean", 1.0)):
            tokens, values = series(lines, "figures", kind)
            axes[2, 1].plot(tokens, [scale * value for value in values], label=name + kind)
    for axis in axes.flat:
        if any(len(line.get_xdata()) for line in axis.lines):
            axis.legend(fontsize="x-small", ncols=2)
    draft = out.with_name(out.name + ".part")
    figure.savefig(draft, format="png", dpi=100)
    os.replace(draft, out)


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when done, 2 when a run cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m training.plot", description=__doc__.split("\n\n")[1])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    parser.add_argument("--out", type=Path, required=True, help="the picture, PNG")
    options = parser.parse_args(arguments)
    try:
        draw({str(run): read(run) for run in options.runs}, options.out)
    except (MetricsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
