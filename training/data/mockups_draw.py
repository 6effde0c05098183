"""Draws tables and mock-ups with Pillow: a plain block layout, one element below the other, and a look by chance."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .mockups import Node
from .pictures_fonts import Face, load
from .pictures_tiles import SIDE

SIZES = (10, 11, 12, 13, 14, 16)
SCHEMES = (  # ground, text, line, accent, text on the accent, ground of fields, text of placeholders
    ("#ffffff", "#222222", "#cccccc", "#1f6feb", "#ffffff", "#ffffff", "#888888"),
    ("#ffffff", "#000000", "#000000", "#dddddd", "#000000", "#ffffff", "#777777"),
    ("#f6f8fa", "#24292f", "#d0d7de", "#2da44e", "#ffffff", "#ffffff", "#8c959f"),
    ("#fdf6e3", "#586e75", "#93a1a1", "#cb4b16", "#fdf6e3", "#eee8d5", "#93a1a1"),
    ("#1e1e1e", "#dddddd", "#555555", "#3794ff", "#ffffff", "#2a2a2a", "#888888"),
    ("#0d1117", "#c9d1d9", "#30363d", "#238636", "#ffffff", "#161b22", "#7d8590"),
)


class Look(NamedTuple):
    """How a page looks; lengths in pixels."""

    face: Face
    size: int
    scheme: tuple[str, ...]
    margin: int
    gap: int  # between elements
    pad: int  # inside of cells, buttons and fields
    radius: int
    rules: str  # of a table: "grid", "rows", "head" or "none"
    zebra: bool
    hard: bool  # without smoothing
    beside: bool  # labels beside their fields, not above

    def facts(self) -> dict:
        return {"font": self.face.family, "font_seen": self.face.seen, "size": self.size}

    def font(self, scale: float = 1.0, bold: bool = False) -> ImageFont.FreeTypeFont:
        return load(self.face, float(round(self.size * scale)), bold)


def draw_look(rng: Random, faces: list[Face]) -> Look:
    """A look by chance."""
    return Look(
        rng.choice(faces),
        rng.choice(SIZES),
        rng.choice(SCHEMES),
        rng.randint(4, 20),
        rng.randint(4, 12),
        rng.randint(3, 8),
        rng.choice((0, 0, 3, 6)),
        rng.choice(("grid", "grid", "rows", "head", "none")),
        rng.random() < 0.25,
        rng.random() < 0.1,
        rng.random() < 0.3,
    )


def _grid(width: int, height: int, max_tiles: int) -> bool:
    return -(-width // SIDE) * -(-height // SIDE) <= max_tiles and max(width, height) <= 4 * SIDE


def _canvas(width: int, height: int, look: Look) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (width, height), look.scheme[0])
    draw = ImageDraw.Draw(picture)
    draw.fontmode = "1" if look.hard else "L"
    return picture, draw


def draw_table(rows: list[list[str]], numeric: list[bool], look: Look, max_tiles: int) -> np.ndarray | None:
    """The pixels [height, width, 3] uint8 of a table, its first row the heads; None when it does not fit into `max_tiles` tiles."""
    ground, ink, line, _, _, field, _ = look.scheme
    plain, bold = look.font(), look.font(bold=True)
    fonts = [bold] + [plain] * (len(rows) - 1)
    widths = [
        max(int(font.getlength(row[i])) + 1 for font, row in zip(fonts, rows, strict=True)) + 2 * look.pad for i in range(len(numeric))
    ]
    step = sum(plain.getmetrics()) + 2 * (look.pad // 2) + 2
    width, height = sum(widths) + 2 * look.margin + 1, step * len(rows) + 2 * look.margin + 1
    if not _grid(width, height, max_tiles):
        return None
    picture, draw = _canvas(width, height, look)
    right = look.margin + sum(widths)
    for number, (row, font) in enumerate(zip(rows, fonts, strict=True)):
        y = look.margin + number * step
        if look.zebra and number % 2 == 0:
            draw.rectangle((look.margin, y, right, y + step), fill=field if field != ground else "#eeeeee")
        x = look.margin
        for cell, column, is_number in zip(row, widths, numeric, strict=True):
            place = x + column - look.pad - int(font.getlength(cell)) if is_number else x + look.pad
            draw.text((place, y + (step - sum(font.getmetrics())) // 2), cell, fill=ink, font=font)
            x += column
    for number in range(len(rows) + 1):
        y = look.margin + number * step
        if look.rules in ("grid", "rows") or look.rules == "head" and number == 1:
            draw.line((look.margin, y, right, y), fill=line)
    for i in range(len(widths) + 1) if look.rules == "grid" else ():
        x = look.margin + sum(widths[:i])
        draw.line((x, look.margin, x, look.margin + step * len(rows)), fill=line)
    return np.asarray(picture)


def draw_page(nodes: tuple[Node, ...], look: Look, max_tiles: int) -> np.ndarray | None:
    """The pixels [height, width, 3] uint8 of a mock-up; None when it does not fit into `max_tiles` tiles."""
    limit = SIDE if max_tiles == 1 else 2 * SIDE
    height = _Page(None, look, limit).blocks(nodes, look.margin, limit - look.margin, look.margin)
    if height is None or not _grid(limit, height + look.margin, max_tiles):
        return None
    picture, draw = _canvas(limit, height + look.margin, look)
    _Page(draw, look, limit).blocks(nodes, look.margin, limit - look.margin, look.margin)
    return np.asarray(picture)


class _Page:
    """Lays elements out and, where it has a `draw`, draws them; every method takes left, right and top and gives the bottom,
    or None when something is too wide."""

    def __init__(self, draw: ImageDraw.ImageDraw | None, look: Look, limit: int):
        self.draw, self.look, self.limit = draw, look, limit
        self.ground, self.ink, self.line, self.accent, self.on_accent, self.field, self.faint = look.scheme

    def blocks(self, nodes: tuple[Node, ...], left: int, right: int, y: int) -> int | None:
        """Elements one below the other; a run of inline ones (buttons, links, a box with its label) stands in a row."""
        i = 0
        while i < len(nodes):
            if i:
                y += self.look.gap
            node = nodes[i]
            ticked = node.tag == "input" and ("type", "checkbox") in node.attributes
            if node.tag in ("button", "a"):
                end = i
                while end < len(nodes) and nodes[end].tag == node.tag:
                    end += 1
            else:
                end = i + (2 if ticked or node.tag == "label" else 1)
            bottom = self.block(nodes[i:end], left, right, y)
            if bottom is None:
                return None
            y, i = bottom, end
        return y

    def block(self, run: tuple[Node, ...], left: int, right: int, y: int) -> int | None:
        node = run[0]
        if node.tag in ("h1", "h2"):
            return self.wrapped(node.text, self.look.font(1.6 if node.tag == "h1" else 1.25, True), left, right, y)
        if node.tag == "p":
            return self.wrapped(node.text, self.look.font(), left, right, y)
        if node.tag in ("button", "a"):
            return self.row(run, left, right, y)
        if node.tag in ("ul", "ol"):
            return self.items(node, left, right, y)
        if node.tag == "hr":
            self.rectangle((left, y, right, y + 1), fill=self.line)
            return y + 2
        if node.tag == "input":
            return self.tick(run, left, right, y)
        if node.tag == "label":
            return self.labelled(run, left, right, y)
        if ("class", "card") in node.attributes:
            inner = self.look.pad + 4
            bottom = self.blocks(node.children, left + inner, right - inner, y + inner)
            if bottom is not None:
                self.rectangle((left, y, right, bottom + inner), outline=self.line)
            return None if bottom is None else bottom + inner
        return self.blocks(node.children, left, right, y)

    def text(self, x: int, y: int, text: str, font: ImageFont.FreeTypeFont, fill: str) -> None:
        if self.draw:
            self.draw.text((x, y), text, fill=fill, font=font)

    def rectangle(self, box: tuple[int, int, int, int], fill: str | None = None, outline: str | None = None) -> None:
        if self.draw:
            self.draw.rounded_rectangle(box, self.look.radius, fill=fill, outline=outline)

    def wrapped(self, text: str, font: ImageFont.FreeTypeFont, left: int, right: int, y: int) -> int | None:
        """A text broken between words where a line is full."""
        line = ""
        for word in [*text.split(), ""]:
            longer = f"{line} {word}" if line and word else line or word
            if word and font.getlength(longer) <= right - left:
                line = longer
                continue
            if font.getlength(line) > right - left:
                return None
            self.text(left, y, line, font, self.ink)
            y, line = y + sum(font.getmetrics()) + 2, word
        return y

    def row(self, nodes: tuple[Node, ...], left: int, right: int, y: int) -> int | None:
        font, x = self.look.font(), left
        height = sum(font.getmetrics()) + self.look.pad
        for node in nodes:
            wide = int(font.getlength(node.text)) + 2 * self.look.pad + 4
            if x + wide > right:
                return None
            if node.tag == "button":
                self.rectangle((x, y, x + wide, y + height), fill=self.accent, outline=self.line)
                self.text(x + self.look.pad + 2, y + self.look.pad // 2, node.text, font, self.on_accent)
            else:
                self.text(x, y, node.text, font, self.accent if self.accent != "#dddddd" else self.ink)
                below = y + font.getmetrics()[0] + 2
                self.rectangle((x, below, x + int(font.getlength(node.text)), below), fill=self.line)
            x += wide + self.look.gap
        return y + height + 1

    def items(self, node: Node, left: int, right: int, y: int) -> int | None:
        font = self.look.font()
        for number, item in enumerate(node.children, 1):
            if self.draw and node.tag == "ul":
                middle = y + sum(font.getmetrics()) // 2 + 1
                self.draw.ellipse((left + 6, middle - 2, left + 10, middle + 2), fill=self.ink)
            elif node.tag == "ol":
                self.text(left + 2, y, f"{number}.", font, self.ink)
            bottom = self.wrapped(item.text, font, left + self.look.size + 10, right, y)
            if bottom is None:
                return None
            y = bottom
        return y

    def tick(self, run: tuple[Node, ...], left: int, right: int, y: int) -> int | None:
        font, side = self.look.font(), self.look.size
        top = y + (sum(font.getmetrics()) - side) // 2
        self.rectangle((left, top, left + side, top + side), fill=self.field, outline=self.line if self.line != self.ground else self.ink)
        if self.draw and ("checked", "") in run[0].attributes:
            marks = ((left + 2, top + side // 2), (left + side // 2 - 1, top + side - 3), (left + side - 2, top + 2))
            self.draw.line(marks, fill=self.ink, width=2)
        return self.wrapped(run[1].text, font, left + side + 6, right, y)

    def labelled(self, run: tuple[Node, ...], left: int, right: int, y: int) -> int | None:
        font = self.look.font()
        height = sum(font.getmetrics()) + self.look.pad
        start = left
        if self.look.beside:
            start += int(font.getlength(run[0].text)) + 8
            self.text(left, y + self.look.pad // 2, run[0].text, font, self.ink)
        else:
            bottom = self.wrapped(run[0].text, font, left, right, y)
            if bottom is None:
                return None
            y = bottom
        end = min(right, start + 18 * self.look.size)
        shown = dict(run[1].attributes).get("placeholder", "")
        if end - start < max(40, font.getlength(shown) + 2 * self.look.pad + 4):
            return None
        self.rectangle((start, y, end, y + height), fill=self.field, outline=self.line)
        self.text(start + self.look.pad + 1, y + self.look.pad // 2, shown, font, self.faint)
        return y + height + 1
