"""Draws charts with matplotlib: plainly, for comparing two, and with a look by chance, for training."""

from __future__ import annotations

import functools
import itertools
import warnings
from random import Random
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .charts import Chart
from .pictures_fonts import Face

DEFAULTS = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
"""matplotlib's own settings: a user's matplotlibrc changes no picture."""
PLAIN_SIDE = 256
DPI = 72  # then a point is a pixel
PALETTES = (
    ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"),
    ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3"),
    ("#e24a33", "#348abd", "#988ed5", "#777777", "#fbc15e"),
    ("#66c2a5", "#fc8d62", "#8da0cb", "#e78ac3", "#a6d854"),
    ("#003f5c", "#bc5090", "#ffa600", "#58508d", "#ff6361"),
    ("#000000", "#777777", "#bbbbbb", "#444444", "#999999"),
)
DARK_PALETTES = 4  # of these, so many also show on a dark ground
SIZES = ((256, 256), (256, 256), (256, 192), (384, 256), (400, 300), (512, 256), (512, 384), (512, 512))


class Look(NamedTuple):
    """How a chart looks; none of it is told by the code."""

    width: int
    height: int
    size: float  # of the lettering, pixels
    family: str
    palette: tuple[str, ...]
    ground: str
    ink: str
    grid: bool
    open_frame: bool
    markers: bool
    stroke: float
    edges: bool
    hatch: bool


PLAIN = Look(PLAIN_SIDE, PLAIN_SIDE, 8, "DejaVu Sans", PALETTES[0], "white", "black", False, False, False, 1.5, False, False)


def draw_look(rng: Random, faces: list[Face], max_tiles: int) -> tuple[Look, Face]:
    """A look by chance with the lettering of one of `faces`, not larger than `max_tiles` tiles of 256 pixels."""
    face = rng.choice(faces)
    width, height = rng.choice([size for size in SIZES if -(-size[0] // 256) * -(-size[1] // 256) <= max_tiles])
    dark = rng.random() < 0.15
    return Look(
        width,
        height,
        rng.choice((8, 9, 10)) + (1 if min(width, height) > 256 else 0),
        registered(face),
        rng.choice(PALETTES[:DARK_PALETTES] if dark else PALETTES),
        rng.choice(("#1e1e1e", "#000000", "#222b3a")) if dark else rng.choice(("white", "white", "white", "#f5f5f5", "#eaeaf2")),
        "#e0e0e0" if dark else rng.choice(("black", "#333333")),
        rng.random() < 0.35,
        rng.random() < 0.3,
        rng.random() < 0.5,
        rng.choice((1.0, 1.5, 2.0)),
        rng.random() < 0.3,
        rng.random() < 0.05,
    ), face


@functools.cache
def registered(face: Face) -> str:
    """The name under which matplotlib knows a face's file."""
    font_manager.fontManager.addfont(face.regular)
    return font_manager.FontProperties(fname=face.regular).get_name()


def plain(chart: Chart) -> np.ndarray:
    """The ink of a chart without a look of its own, float32 [256, 256], 0 to 1: what `overlap` compares."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of characters that the font lacks: boxes do
        pixels = draw(chart, PLAIN).astype(np.float32).mean(axis=2)
    return 1 - pixels / 255


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Ink that two pictures share over the ink that either has, both blurred over 5x5 pixels, so that being near counts for something."""

    def blurred(ink: np.ndarray) -> np.ndarray:
        padded = np.pad(ink, 2)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
        return windows.mean(axis=(2, 3))

    one, other = blurred(one), blurred(other)
    either = np.maximum(one, other).sum()
    return float(np.minimum(one, other).sum() / either) if either else 1.0


def draw(chart: Chart, look: Look) -> np.ndarray:
    """The pixels [height, width, 3] uint8 of a chart."""
    settings = DEFAULTS | {
        "font.family": [look.family],
        "font.size": look.size,
        "axes.titlesize": look.size + 1,
        "text.color": look.ink,
        "axes.labelcolor": look.ink,
        "axes.edgecolor": look.ink,
        "xtick.color": look.ink,
        "ytick.color": look.ink,
        "axes.facecolor": look.ground,
        "axes.axisbelow": True,
        "legend.fontsize": look.size - 1,
        "legend.facecolor": look.ground,
        "xtick.labelsize": look.size - 1,
        "ytick.labelsize": look.size - 1,
        "axes.prop_cycle": matplotlib.cycler(color=look.palette),
        "hatch.linewidth": 0.5,
        "text.parse_math": False,  # a dollar is a dollar
    }
    with matplotlib.rc_context(settings):
        figure = Figure((look.width / DPI, look.height / DPI), dpi=DPI, facecolor=look.ground)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw_series(axes, chart, look)
        axes.set_title(chart.title, y=1.0)  # a given height saves the search for one
        axes.set_xlabel(chart.x_label)
        axes.set_ylabel(chart.y_label)
        if look.grid and chart.kind != "pie":
            axes.grid(color=look.ink, alpha=0.2)
        if look.open_frame:
            axes.spines[["top", "right"]].set_visible(False)
        if any(series.label for series in chart.series):
            axes.legend()
        _fit(figure, axes, chart, look)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def _fit(figure: Figure, axes: Axes, chart: Chart, look: Look) -> None:
    """Margins for the lettering, computed: matplotlib's own layouts draw everything twice."""
    if chart.kind == "pie":
        figure.subplots_adjust(0.12, 0.06, 0.88, 0.9 if chart.title else 0.96)
        return
    line = look.size * 1.5
    names = [str(x) for x in chart.series[0].xs] if chart.kind == "barh" else []
    longest = max(map(len, names), default=5)
    left = longest * look.size * 0.6 + 8 + (line if chart.y_label else 0)
    bottom = line + 8 + (line if chart.x_label else 0)
    top = look.height - (line + 8 if chart.title else 8)
    figure.subplots_adjust(left / look.width, bottom / look.height, 1 - 12 / look.width, top / look.height)


def _draw_series(axes: Axes, chart: Chart, look: Look) -> None:
    edge = {"edgecolor": look.ink, "linewidth": 0.8} if look.edges or chart.kind == "hist" else {}  # equal neighbours of a histogram merge
    hatch = {"hatch": "//"} if look.hatch else {}
    markers = itertools.cycle("osD^v")
    for number, series in enumerate(chart.series):
        label = series.label or None
        if chart.kind == "line":
            marker = {"marker": next(markers), "markersize": 4} if look.markers else {}
            axes.plot(series.xs, series.ys, label=label, linewidth=look.stroke, **marker)
        elif chart.kind == "scatter":
            axes.scatter(series.xs, series.ys, label=label, s=18, marker=next(markers) if look.markers else "o")
        elif chart.kind == "barh":
            axes.barh(series.xs, series.ys, label=label, **edge, **hatch)
        elif chart.kind == "hist":
            axes.hist(series.xs[:-1], series.xs, weights=series.ys, label=label, **edge, **hatch)
        elif chart.kind == "pie":
            axes.pie(series.ys, labels=series.xs, autopct="%d%%", wedgeprops=edge)
        else:
            axes.bar(series.xs, series.ys, bottom=chart.series[0].ys if number else None, label=label, **edge, **hatch)
