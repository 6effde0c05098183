"""Pictures of code: one to six short lines in a Pygments style's colours on a 256x256 RGB tile."""

from __future__ import annotations

import functools
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pygments import lex
from pygments.lexers import PythonLexer
from pygments.styles import get_style_by_name

from . import source
from .pictures_tiles import SIDE, Picture, cut

MAX_LINES, MAX_COLUMNS = 6, 36
FONTS = ("DejaVuSansMono.ttf", "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "")
"""Fonts asked for by name, where the system has them; "" is the one inside PIL."""
STYLES = (
    "default",
    "monokai",
    "vs",
    "friendly",
    "dracula",
    "github-dark",
    "solarized-light",
    "solarized-dark",
    "tango",
    "xcode",
    "nord",
    "gruvbox-dark",
    "bw",
)
SIZES = (10, 11, 12, 13, 14, 16)
INSTRUCTIONS = (
    "write the code of this screenshot",
    "write the code in the picture",
    "transcribe this screenshot",
    "type the code that the picture shows",
    "code from the screenshot",
    "write this code",
    "copy the code of this image",
    "what is shown, as code",
    "turn this picture into code",
    "transcribe the code",
    "write down the code shown here",
    "insert the code of the screenshot",
    "Write the code shown in the image.",
    "screenshot to code",
    "reproduce this snippet",
    "read the code off this picture",
)


@functools.lru_cache(maxsize=None)
def font(name: str, size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """A font of this size; the one inside PIL when the system has none of that name."""
    try:
        return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return ImageFont.load_default(size)


def snippet(unit: source.Unit, rng: Random) -> bytes | None:
    """A few short lines of a unit without their common indentation; None when its lines are too long."""
    first = rng.randrange(len(unit.lines))
    lines = [line.decode("utf-8", "replace").rstrip() for line in unit.lines[first : first + rng.choice((1, 1, 2, 3, 4, MAX_LINES))]]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        del lines[0]
    if not lines or any("\t" in line for line in lines):
        return None
    indent = min(len(line) - len(line.lstrip()) for line in lines if line)
    lines = [line[indent:] for line in lines]
    text = "\n".join(lines) + "\n"
    if max(map(len, lines)) > MAX_COLUMNS or len(text) < 4 or not text.isascii():
        return None
    return text.encode()


def render(code: bytes, rng: Random) -> Picture | None:
    """A picture of one tile: `code` drawn with a random font, size, style and margin; None when it does not fit."""
    style = get_style_by_name(rng.choice(STYLES))
    face = font(rng.choice(FONTS), rng.choice(SIZES))
    left, top = rng.randint(2, 12), rng.randint(2, 16)
    ascent, descent = face.getmetrics()
    height = ascent + descent + rng.randint(0, 4)
    lines = code.decode().split("\n")[:-1]
    width = max(face.getlength(line) for line in lines) + left
    if width > SIDE - 2 or top + height * len(lines) > SIDE - 2:
        return None
    # A screenshot smaller than the tile stands at its top left; the model pads with white.
    right, bottom = (
        (SIDE, SIDE)
        if rng.random() < 0.3
        else (min(SIDE, int(width) + rng.randint(2, 30)), min(SIDE, top + height * len(lines) + rng.randint(2, 20)))
    )
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, right - 1, bottom - 1), fill=style.background_color)
    x, y = float(left), top
    for token, text in lex(code.decode(), PythonLexer(stripnl=False)):
        colour = "#" + (style.style_for_token(token)["color"] or ("ffffff" if _is_dark(style.background_color) else "000000"))
        for i, part in enumerate(text.split("\n")):
            if i:
                x, y = float(left), y + height
            draw.text((x, y), part, fill=colour, font=face)
            x += face.getlength(part)
    return cut(np.asarray(picture))


def _is_dark(colour: str) -> bool:
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    return sum(int(digits[i : i + 2], 16) for i in (0, 2, 4)) < 384
