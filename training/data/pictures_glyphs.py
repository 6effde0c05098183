"""Code on a grid of character cells, composited from an atlas: a font draws each glyph of a size once, and pictures only mix them in.

Shapes: R rows of text, C columns, S weights (0 regular, 1 bold, 2 italic), H phases, G glyphs (printable ASCII), h x w pixels a glyph,
1 or 3 channels (3 where every subpixel of a screen has its own coverage)."""

from __future__ import annotations

import functools
import math

import numpy as np

from .pictures_fonts import Face, load

FIRST, GLYPHS, WEIGHTS = 32, 95, 3  # the printable ASCII characters
MARGIN = 2  # pixels left and right of a cell that a glyph may reach into
SMOOTHING = ("hinted", "plain", "subpixel", "none")
"""hinted: fitted to the pixel grid, as on Linux; plain: true to the outline, as on a Mac; subpixel: coloured fringes, as on Windows;
none: ink or no ink. Plain and subpixel glyphs are drawn three times as large, where fitting no longer tells, and may start at any third
of a pixel."""
SCALE = 3
LCD_FILTER = np.array((8, 77, 86, 77, 8), np.float32) / 256  # FreeType's default filter over neighbouring subpixels


class Atlas:
    """The glyphs of one face at one size."""

    def __init__(self, face: Face, size: float, smoothing: str, gamma: float, whole: bool):
        """`gamma` is applied to coverage: below 1 strokes are heavier. `whole`: cells are a whole number of pixels wide, as terminals have
        them, else as wide as the font says; hinted glyphs and those without smoothing always stand on whole pixels."""
        exact = load(face, 1000.0).getlength("m") * size / 1000
        self.whole = whole or smoothing in ("hinted", "none")
        self.advance = float(max(1, round(exact))) if self.whole else exact
        _, self.height = _metrics(face, size)
        self.width = math.ceil(exact) + 2 * MARGIN
        self.channels = 3 if smoothing == "subpixel" else 1
        self.phases = 1 if self.whole else SCALE
        self._of = (face, size, smoothing, self.phases)
        self.cover = ((np.arange(256) / 255) ** gamma).astype(np.float32)  # of a glyph's byte

    def glyphs(self, weight: int) -> np.ndarray:
        """Coverage [H, G, h, w, channels] uint8, before gamma."""
        return _sheets(*self._of, weight)


def _metrics(face: Face, size: float) -> tuple[int, int]:
    """Ascent and height of a line."""
    ascent, descent = load(face, size).getmetrics()
    return ascent, ascent + descent


@functools.lru_cache(maxsize=2048)
def _sheets(face: Face, size: float, smoothing: str, phases: int, weight: int) -> np.ndarray:
    """The coverage [H, G, h, w, channels] uint8 of glyphs that start 0, 1, ... thirds of a pixel right of a whole one."""
    scale = SCALE if smoothing in ("plain", "subpixel") else 1
    drawn = _large(face, size, smoothing == "none", weight, scale)
    width, found = drawn.shape[2], []
    for phase in range(phases):
        large = np.pad(drawn, ((0, 0), (0, 0), (phase + 2, 2)))
        if smoothing == "subpixel":
            fine = sum(part * large[:, :, i : i + width] for i, part in enumerate(LCD_FILTER)).reshape(GLYPHS, -1, width // 3, 3)
        else:
            fine = large[:, :, 2 : 2 + width].reshape(GLYPHS, -1, width // scale, scale).mean(axis=3, keepdims=True)
        found.append(np.rint(np.clip(fine, 0, 1) * 255).astype(np.uint8))
    return np.stack(found)


def _large(face: Face, size: float, hard: bool, weight: int, scale: int) -> np.ndarray:
    """Coverage [G, h, w * scale] of glyphs drawn `scale` times as large, averaged over the rows of a pixel; `hard`: without smoothing."""
    font = load(face, size * scale, weight == 1, weight == 2)
    ascent, height = _metrics(face, size)
    width = math.ceil(load(face, 1000.0).getlength("m") * size / 1000) + 2 * MARGIN
    sheet = np.zeros((GLYPHS, height * scale, width * scale), np.float32)
    for number in range(1, GLYPHS):
        mask, (left, top) = font.getmask2(chr(FIRST + number), "1" if hard else "L", anchor="ls")
        across, down = mask.size
        x, y = MARGIN * scale + left, ascent * scale + top
        glyph = np.frombuffer(bytes(mask), np.uint8).reshape(down, across)[max(0, -y) :, max(0, -x) :]
        x, y = max(0, x), max(0, y)
        room = sheet[number, y : y + glyph.shape[0], x : x + glyph.shape[1]]
        room[:] = glyph[: room.shape[0], : room.shape[1]]
    return sheet.reshape(GLYPHS, height, scale, width * scale).mean(axis=2) / 255


@functools.lru_cache(maxsize=1024)
def atlas(face: Face, size: float, smoothing: str, gamma: float, whole: bool) -> Atlas:
    """The atlas of these."""
    return Atlas(face, size, smoothing, gamma, whole)


def blit(
    canvas: np.ndarray, font: Atlas, x: float, y: int, line_height: int, codes_RC: np.ndarray, colours: np.ndarray, weights_RC: np.ndarray
) -> None:
    """Draw a grid of characters onto `canvas` [height, width, 3] float32, its first cell at (x, y).

    codes_RC uint8 (ASCII; a space draws nothing), colours [R, C, 3] float32. Rows are `line_height` pixels apart, at least the font's
    height; characters that are not wholly on the canvas are left out."""
    tops_R = y + (line_height - font.height) // 2 + np.arange(codes_RC.shape[0]) * line_height
    places_C = x + np.arange(codes_RC.shape[1]) * font.advance
    starts_C = np.floor(places_C).astype(np.int64)
    phases_C = ((places_C - starts_C) * font.phases).astype(np.int64)
    lefts_C = starts_C - MARGIN
    on_R = (tops_R >= 0) & (tops_R + font.height <= canvas.shape[0])
    on_C = (lefts_C >= 0) & (lefts_C + font.width <= canvas.shape[1])
    shown_RC = (codes_RC != FIRST) & on_R[:, None] & on_C
    pixels = canvas.reshape(-1, 3)
    offsets = (np.arange(font.height)[:, None] * canvas.shape[1] + np.arange(font.width)).reshape(-1)
    step = -(-font.width // max(1, math.floor(font.advance)))  # glyphs that far apart do not touch, and so may be mixed in at once
    for weight in range(WEIGHTS):
        of_weight = shown_RC & (weights_RC == weight)
        for first in range(step) if of_weight.any() else ():
            rows, columns = np.nonzero(of_weight[:, first::step])
            columns = columns * step + first
            glyphs = font.glyphs(weight)[phases_C[columns], codes_RC[rows, columns] - FIRST]
            cover = font.cover[glyphs].reshape(len(rows), len(offsets), font.channels)
            spots = (tops_R[rows] * canvas.shape[1] + lefts_C[columns])[:, None] + offsets
            under = pixels[spots]
            pixels[spots] = under + (colours[rows, columns][:, None] - under) * cover


def write(canvas: np.ndarray, font: Atlas, x: float, y: int, line_height: int, text: str, colour: np.ndarray) -> None:
    """Draw one line of ASCII text."""
    codes = np.frombuffer(text.encode("ascii"), np.uint8)[None, :]
    blit(canvas, font, x, y, line_height, codes, np.broadcast_to(colour, (1, len(text), 3)), np.zeros((1, len(text)), np.int8))
