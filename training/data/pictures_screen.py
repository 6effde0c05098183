"""Screenshots of an editor: how one looks (drawn by chance), how much code it has room for, and its pixels."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np

from .pictures_fonts import Face
from .pictures_glyphs import SMOOTHING, Atlas, atlas, write
from .pictures_glyphs import blit as blit_text
from .pictures_themes import FAVOURITES, STYLES, Theme, coloured, theme

SIZES = (9, 9.5, 10, 10.67, 11, 11.5, 12, 12.5, 13, 13.33, 14, 14.67, 15, 16, 17, 18, 20)
"""Pixels; those with thirds are 8, 10 and 11 points at 96 dots an inch."""
SIZE_WEIGHTS = (3, 2, 4, 3, 5, 3, 7, 3, 8, 4, 8, 4, 5, 5, 2, 2, 1)
FRAMES = ("", "mac", "windows", "tab")
BAR_HEIGHT = 24  # pixels of a window's title bar, buttons and title in it
BACKDROPS = np.array(((255, 255, 255), (232, 232, 232), (171, 184, 195), (40, 44, 52), (96, 125, 139), (142, 197, 252)), np.float32)


class Look(NamedTuple):
    """How a screenshot looks; lengths in pixels."""

    face: Face
    size: float
    smoothing: str
    gamma: float  # of the glyphs' coverage: below 1 they are heavier
    whole: bool  # cells of whole pixels
    style: str
    leading: int  # between lines, on top of the font's height
    left: float  # of the text from the window's edge or the line numbers
    top: int
    right: int
    bottom: int
    numbers: int  # the first line's number; 0: no line numbers
    gutter: bool  # line numbers on a ground of their own
    current: float  # which line is highlighted, as a share of all; below 0: none
    caret: bool
    guides: bool  # vertical lines at every level of indentation
    frame: str
    title: str
    margin: int  # of backdrop around the window
    backdrop: int
    extra_indent: int  # columns by which all lines are shifted; the gold is without them

    @property
    def font(self) -> Atlas:
        return atlas(self.face, self.size, self.smoothing, self.gamma, self.whole)

    @property
    def line_height(self) -> int:
        return self.font.height + self.leading

    @property
    def gutter_columns(self) -> int:
        return len(str(self.numbers + 60)) + 2 if self.numbers else 0

    @property
    def bar(self) -> int:
        return BAR_HEIGHT if self.frame else 0

    def room(self, width: int, height: int) -> tuple[int, int]:
        """Columns and lines of code that a picture of this size shows whole."""
        inner = width - 2 * self.margin - self.left - 3 - self.gutter_columns * self.font.advance
        lines = (height - 2 * self.margin - self.bar - self.top - 1) // self.line_height
        return int(inner // self.font.advance) - self.extra_indent, lines


def draw_look(rng: Random, faces: list[Face], title: str) -> Look:
    """A look by chance."""
    dressed = rng.random() < 0.25
    smoothing = rng.choices(SMOOTHING, (45, 25, 20, 10))[0]
    return Look(
        face=rng.choice(faces),
        size=rng.choices(SIZES, SIZE_WEIGHTS)[0],
        smoothing=smoothing,
        gamma=rng.choice((0.8, 1.0, 1.0, 1.2)) if smoothing != "none" else 1.0,
        whole=rng.random() < 0.5,
        style=rng.choice(FAVOURITES if rng.random() < 0.5 else STYLES),
        leading=rng.choice((0, 0, 1, 2, 3, 5)),
        left=rng.randint(2, 14) + rng.choice((0.0, 0.25, 0.5, 0.75)),
        top=rng.randint(1, 12),
        right=rng.randint(2, 40),
        bottom=rng.randint(1, 20),
        numbers=rng.choice((1, rng.randint(2, 99), rng.randint(100, 1200))) if rng.random() < 0.35 else 0,
        gutter=rng.random() < 0.3,
        current=rng.random() if rng.random() < 0.3 else -1.0,
        caret=rng.random() < 0.15,
        guides=rng.random() < 0.2,
        frame=rng.choice(FRAMES[1:]) if dressed else "",
        title=title if dressed and rng.random() < 0.7 else "",
        margin=rng.choice((4, 8, 12)) if dressed and rng.random() < 0.4 else 0,
        backdrop=rng.randrange(len(BACKDROPS)),
        extra_indent=rng.choice((2, 4, 4, 8)) if rng.random() < 0.15 else 0,
    )


def draw(lines: list[str], look: Look, width: int, height: int, fill: bool) -> np.ndarray:
    """The pixels [height, width, 3] uint8 of ASCII lines in a window of that size or, without `fill`, one that ends soon after them."""
    font, colours = look.font, theme(look.style)
    codes, paint, weights = coloured([" " * look.extra_indent + line for line in lines], look.style)
    text_x = look.margin + look.left + look.gutter_columns * font.advance
    text_y = look.margin + look.bar + look.top
    if not fill:
        width = min(width, int(text_x + codes.shape[1] * font.advance) + 3 + look.right + look.margin)
        height = min(height, text_y + len(lines) * look.line_height + look.bottom + look.margin)
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = colours.background
    if look.current >= 0:
        row = int(look.current * len(lines))
        canvas[text_y + row * look.line_height : text_y + (row + 1) * look.line_height] = colours.current
    if look.numbers:
        _draw_numbers(canvas, look, colours, len(lines), text_y, text_x)
    if look.guides:
        _draw_guides(canvas, look, colours, lines, text_x, text_y)
    blit_text(canvas, font, text_x, text_y, look.line_height, codes, paint, weights)
    if look.caret:
        row = int(max(look.current, 0) * len(lines))
        x = int(text_x + (look.extra_indent + len(lines[row])) * font.advance)
        canvas[text_y + row * look.line_height : text_y + (row + 1) * look.line_height, x : x + 1] = colours.text
    if look.frame:
        _draw_bar(canvas, look, colours)
    if look.margin:
        _draw_backdrop(canvas, look)
    return np.rint(np.clip(canvas, 0, 255)).astype(np.uint8)


def _draw_numbers(canvas: np.ndarray, look: Look, colours: Theme, count: int, text_y: int, text_x: float) -> None:
    if look.gutter:
        ground = colours.background + (colours.text - colours.background) * np.float32(0.05)
        canvas[look.bar + look.margin :, : int(text_x - look.font.advance / 2)] = ground
    columns = look.gutter_columns - 2
    texts = [str(look.numbers + i).rjust(columns) for i in range(count)]
    codes = np.frombuffer("".join(texts).encode(), np.uint8).reshape(count, columns)
    paint = np.broadcast_to(colours.numbers, (count, columns, 3))
    weights = np.zeros((count, columns), np.int8)
    blit_text(canvas, look.font, look.margin + look.left, text_y, look.line_height, codes, paint, weights)


def _draw_guides(canvas: np.ndarray, look: Look, colours: Theme, lines: list[str], text_x: float, text_y: int) -> None:
    colour = colours.background + (colours.text - colours.background) * np.float32(0.18)
    for row, line in enumerate(lines):
        for level in range(0, len(line) - len(line.lstrip()), 4):
            x, y = int(text_x + (look.extra_indent + level) * look.font.advance), text_y + row * look.line_height
            canvas[y : y + look.line_height, x : x + 1] = colour


def _draw_bar(canvas: np.ndarray, look: Look, colours: Theme) -> None:
    """A title bar: three coloured buttons left, three grey ones right, or a tab with the file's name."""
    top, width = look.margin, canvas.shape[1] - look.margin
    ground = colours.background + (colours.text - colours.background) * np.float32(0.12)
    canvas[top : top + BAR_HEIGHT] = ground
    middle = top + BAR_HEIGHT // 2
    title_x = look.margin + 12
    if look.frame == "mac":
        for i, colour in enumerate(((255, 95, 86), (255, 189, 46), (39, 201, 63))):
            _disc(canvas, look.margin + 14 + 16 * i, middle, 5.0, np.array(colour, np.float32))
        title_x += 60
    elif look.frame == "windows":
        for i in range(3):
            x = width - 16 - 22 * i
            if x > look.margin + 4:
                canvas[middle - 3 : middle + 4, x - 4 : x + 4] = colours.numbers
                canvas[middle - 2 : middle + 3, x - 3 : x + 3] = ground
    elif look.title:
        canvas[top : top + BAR_HEIGHT, look.margin : int(title_x + (len(look.title) + 2) * look.font.advance)] = colours.background
    free = width - title_x - (70 if look.frame == "windows" else 0)
    if look.title and look.font.height <= BAR_HEIGHT and len(look.title) * look.font.advance <= free:
        write(canvas, look.font, title_x, top, BAR_HEIGHT, look.title, colours.numbers)


def _disc(canvas: np.ndarray, x: int, y: int, radius: float, colour: np.ndarray) -> None:
    side = int(radius) + 1
    patch = canvas[y - side : y + side + 1, x - side : x + side + 1]
    ys, xs = np.mgrid[-side : side + 1, -side : side + 1][:, : patch.shape[0], : patch.shape[1]]
    cover = np.clip(radius + 0.5 - np.hypot(ys, xs), 0, 1)[:, :, None]
    patch += ((colour - patch) * cover).astype(np.float32)


def _draw_backdrop(canvas: np.ndarray, look: Look) -> None:
    m, colour = look.margin, BACKDROPS[look.backdrop]
    canvas[:m] = canvas[-m:] = colour
    canvas[:, :m] = canvas[:, -m:] = colour
