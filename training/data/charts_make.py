"""Charts by chance, of few points and few digits, so that their numbers can be read from the picture."""

from __future__ import annotations

from random import Random

from .charts import KINDS, Chart, Number, Series, write
from .charts_draw import draw, draw_look
from .pictures import Sample
from .pictures_fonts import Face
from .pictures_words import DAYS, MONTHS, UNITS, Words

KIND_SHARES = (30, 15, 20, 8, 8, 9, 10)  # of KINDS, percent
STEPS: tuple[Number, ...] = (1, 1, 2, 5, 10, 50, 100, 0.1, 0.5)
"""Numbers are multiples of one of these, from 0 to 20 times it."""


def chart_sample(rng: Random, words: Words, faces: list[Face], max_tiles: int) -> Sample:
    """A chart, its picture and its code."""
    chart = make(rng, words)
    look, face = draw_look(rng, faces, max_tiles)
    facts = {"font": face.family, "font_seen": face.seen, "size": look.size, "chart": chart.kind}
    return Sample("chart", draw(chart, look), write(chart).encode(), rng.choice((b"plot.py", b"chart.py", b"figure.py", b"draw.py")), facts)


def make(rng: Random, words: Words) -> Chart:
    """A chart by chance."""
    kind = rng.choices(KINDS, KIND_SHARES)[0]
    series = {"line": _lines, "scatter": _lines, "hist": _bins, "pie": _shares}.get(kind, _bars)(rng, words, kind)
    title = words.phrase(3) if rng.random() < 0.75 else ""
    if kind == "pie":
        return Chart(kind, series, title)
    names = [words.phrase(2) if rng.random() < 0.5 else rng.choice(UNITS) if rng.random() < 0.4 else "" for _ in range(2)]
    return Chart(kind, series, title, *names)


def _values(rng: Random, count: int, step: Number, low: int = 0) -> tuple[Number, ...]:
    return tuple(round(rng.randint(low, 20) * step, 1) for _ in range(count))


def _lines(rng: Random, words: Words, kind: str) -> tuple[Series, ...]:
    """One to three series over common places (line) or places of their own (scatter)."""
    count = rng.choices((1, 2, 3), (6, 3, 1))[0]
    points, step = rng.randint(3, 8), rng.choice(STEPS)
    if rng.random() < 0.2:
        start = rng.randint(1990, 2024 - points)
        xs: tuple[Number, ...] = tuple(range(start, start + points))
    else:
        stride = rng.choice((1, 1, 1, 2, 5, 10))
        start = rng.choice((0, 1)) * stride
        xs = tuple(start + i * stride for i in range(points))
    labels = words.distinct(count) if count > 1 or rng.random() < 0.2 else [""]
    places = [xs if kind == "line" else tuple(sorted(rng.sample(range(0, 21), points))) for _ in range(count)]
    return tuple(Series(place, _values(rng, points, step), label) for place, label in zip(places, labels, strict=True))


def _bars(rng: Random, words: Words, kind: str) -> tuple[Series, ...]:
    roll, count = rng.random(), rng.randint(2, 6)
    if roll < 0.2:
        first = rng.randint(0, 12 - count)
        names = tuple(MONTHS[first : first + count])
    elif roll < 0.35:
        names = tuple(DAYS[:count])
    else:
        names = tuple(words.distinct(min(count, 5)))
    step = rng.choice(STEPS)
    labels = words.distinct(2) if kind == "stacked" else words.distinct(1) if rng.random() < 0.15 else [""]
    return tuple(Series(names, _values(rng, len(names), step, 1), label) for label in labels)


def _bins(rng: Random, words: Words, kind: str) -> tuple[Series, ...]:
    count, width = rng.randint(3, 8), rng.choice((1, 2, 5, 10, 20))
    start = rng.choice((0, 0, 1, 2, 5)) * width
    edges = tuple(start + i * width for i in range(count + 1))
    return (Series(edges, _values(rng, count, rng.choice((1, 1, 2, 5, 10)), 1)),)


def _shares(rng: Random, words: Words, kind: str) -> tuple[Series, ...]:
    """Whole percentages that make 100, none so small that its number does not fit."""
    count = rng.randint(2, 5)
    parts = [5] * count
    for _ in range((100 - 5 * count) // 5):
        parts[rng.randrange(count)] += 5
    return (Series(tuple(words.distinct(count)), tuple(parts)),)
