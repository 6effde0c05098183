"""What a picture document is, pictures of code, and how far an answer is from a picture's text."""

from __future__ import annotations

import math
from random import Random
from typing import NamedTuple

import numpy as np

from .pictures_fonts import Face
from .pictures_screen import Look, draw, draw_look
from .pictures_tiles import SIDE

KINDS = ("code", "chart", "table", "mockup")
GRIDS, STARTS = 4, 8
"""Grids of tiles, and places of each, tried for an excerpt: the one with most letters over the root of its tiles is taken."""
MIN_LETTERS = 3
"""Letters and digits that a picture of code shows at least."""


class Sample(NamedTuple):
    """One picture and what to answer to it."""

    kind: str
    pixels: np.ndarray  # [height, width, 3] uint8
    gold: bytes
    path: bytes  # of the file that the answer is written to
    facts: dict  # font, whether training sees it, and whatever else an evaluation may group by


def grids(max_tiles: int) -> list[tuple[int, int]]:
    """Rows and columns of the grids of at most `max_tiles` tiles, four at most either way."""
    return [(rows, cols) for rows in range(1, 5) for cols in range(1, 5) if rows * cols <= max_tiles]


def code_sample(lines: list[str], path: bytes, faces: list[Face], rng: Random, max_tiles: int, max_lines: int) -> Sample | None:
    """A screenshot of at most `max_lines` of `lines`; None when none of them fit. The gold is the text as shown: without line numbers and
    without the indentation that all lines have in common; tabs and steps of indentation have the width that they are shown with."""
    look = draw_look(rng, faces, path.decode("ascii", "replace").rsplit("/", 1)[-1])
    most = rng.choices((1, rng.randint(2, 6), max_lines), (20, 20, 60))[0]
    lines = _indented(lines, rng)
    best: list[str] = []
    rows = cols = room = 1
    for grid in rng.sample(grids(max_tiles), min(GRIDS, len(grids(max_tiles)))):
        columns, here = look.room(grid[1] * SIDE, grid[0] * SIDE)
        shown = max((_run(lines, rng.randrange(len(lines)), columns, min(most, max_lines, here)) for _ in range(STARTS)), key=_letters)
        if _letters(shown) / math.prod(grid) ** 0.5 > _letters(best) / (rows * cols) ** 0.5:
            best, (rows, cols), room = shown, grid, here
    if _letters(best) < MIN_LETTERS:
        return None
    fill = rng.random() < 0.4 and len(best) >= room / 4  # an editor's window is larger than its code, but empty tiles teach nothing
    pixels = draw(best, look, cols * SIDE, rows * SIDE, fill)
    return Sample("code", pixels, ("\n".join(best) + "\n").encode(), path, _facts(look))


def _letters(lines: list[str]) -> int:
    return sum(map(str.isalnum, "".join(lines)))


def _facts(look: Look) -> dict:
    return {
        "font": look.face.family,
        "font_seen": look.face.seen,
        "size": look.size,
        "smoothing": look.smoothing,
        "style": look.style,
        "line_numbers": bool(look.numbers),
    }


def _indented(lines: list[str], rng: Random) -> list[str]:
    """The lines with tabs as spaces and, sometimes, another step of indentation than four, as an editor's tab size makes it."""
    tab = rng.choice((2, 4, 8))
    lines = [line.expandtabs(tab).rstrip() for line in lines]
    step = rng.choice((2, 3, 8)) if rng.random() < 0.15 else 4
    widths = [len(line) - len(line.lstrip()) for line in lines]
    return [" " * (width // 4 * step + width % 4) + line.lstrip() for line, width in zip(lines, widths, strict=True)]


def _run(lines: list[str], start: int, columns: int, most: int) -> list[str]:
    """The first run of at most `most` lines from `start` on that fit into `columns`, without the indentation that they share.

    A line that is too long, or not ASCII, ends a run: nothing is wrapped, and nothing shown is cut off."""
    kept: list[str] = []
    indent = 0
    for line in lines[start:]:
        if not kept and not line:
            continue
        step = len(line) - len(line.lstrip())
        shared = (min(indent, step) if kept else step) if line else indent
        fits = line.isascii() and line.isprintable() and max(map(len, [*kept, line])) - shared <= columns
        if kept and not fits or len(kept) == most:
            break
        if fits:
            kept.append(line)
            indent = shared
    while kept and not kept[-1]:
        kept.pop()
    return [line[indent:] for line in kept]


def edit_distance(one: str, other: str) -> int:
    """Insertions, deletions and substitutions of characters between two texts: Myers' bit vectors (J. ACM 46, 1999) in one big integer."""
    if not one or not other:
        return len(one) + len(other)
    places: dict[str, int] = {}
    for i, char in enumerate(one):
        places[char] = places.get(char, 0) | 1 << i
    every, last = (1 << len(one)) - 1, 1 << len(one) - 1
    up, down, distance = every, 0, len(one)
    for char in other:
        equal = places.get(char, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down
        right_up, right_down = down | ~(diagonal | up) & every, up & diagonal
        distance += bool(right_up & last) - bool(right_down & last)
        right_up, right_down = right_up << 1 & every | 1, right_down << 1 & every
        up, down = right_down | ~(diagonal | right_up) & every, right_up & diagonal
    return distance


def character_error_rate(gold: str, answer: str) -> float:
    """Edit distance of characters over the gold's length; above 1 where an answer is longer than wrong. White space counts."""
    return edit_distance(gold, answer) / max(1, len(gold))
