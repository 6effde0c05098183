"""The colours of code: Pygments styles, looked up once for each kind of token."""

from __future__ import annotations

import functools

import numpy as np
from pygments.lexers import PythonLexer
from pygments.styles import get_style_by_name
from pygments.token import Token

STYLES = (
    "abap", "algol_nu", "arduino", "autumn", "borland", "bw", "coffee", "colorful", "default", "dracula", "emacs", "friendly",
    "friendly_grayscale", "github-dark", "gruvbox-dark", "gruvbox-light", "igor", "inkpot", "lightbulb", "lilypond", "lovelace", "manni",
    "material", "monokai", "murphy", "native", "nord", "nord-darker", "one-dark", "paraiso-dark", "paraiso-light", "pastie", "perldoc",
    "rainbow_dash", "rrt", "sas", "solarized-dark", "solarized-light", "staroffice", "stata-dark", "stata-light", "tango", "vim", "vs",
    "xcode", "zenburn",
)  # fmt: skip
"""Pygments' own styles, light and dark. Listed here, so that another version of it does not draw other ones."""

FAVOURITES = ("default", "vs", "monokai", "github-dark", "one-dark", "dracula", "xcode", "solarized-light", "solarized-dark", "material")
"""Drawn half of the time: what editors come with looks like these."""


def rgb(colour: str) -> np.ndarray:
    """'#rgb', '#rrggbb' or the same without '#' as float32 [3], 0 to 255."""
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    return np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)], np.float32)


class Theme:
    """A style's colours: background, current line, line numbers, and colour and weight of every kind of token."""

    def __init__(self, name: str):
        self.style = get_style_by_name(name)
        self.background = rgb(self.style.background_color)
        self.dark = bool(self.background.mean() < 128)
        self.text = np.full(3, 235 if self.dark else 20, np.float32)
        self.current = self._away(rgb(self.style.highlight_color), 40)
        self.numbers = (self.background * 0.55 + self.text * 0.45).astype(np.float32)
        self._tokens: dict[object, tuple[np.ndarray, int]] = {}

    def _away(self, colour: np.ndarray, most: float) -> np.ndarray:
        """A background for the current line: the style's own where it is near the background, as text must stay readable on it."""
        if np.abs(colour - self.background).max() <= most:
            return colour
        return self.background + (self.text - self.background) * np.float32(0.08)

    def token(self, kind: object) -> tuple[np.ndarray, int]:
        """Colour and weight (0 regular, 1 bold, 2 italic) of a token; a colour too near the background becomes that of plain text."""
        if kind not in self._tokens:
            look = self.style.style_for_token(kind)
            colour = rgb(look["color"]) if look["color"] else self.text
            if np.abs(colour - self.background).max() < 50:
                colour = self.text
            self._tokens[kind] = colour, 1 if look["bold"] else 2 if look["italic"] else 0
        return self._tokens[kind]


@functools.cache
def theme(name: str) -> Theme:
    """The theme of a Pygments style."""
    return Theme(name)


def coloured(lines: list[str], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Python lines as a grid: characters uint8 [R, C] (ASCII, padded with spaces), colours float32 [R, C, 3], weights int8 [R, C]."""
    look = theme(name)
    size = len(lines), max(map(len, lines))
    codes, colours, weights = np.full(size, 32, np.uint8), np.zeros((*size, 3), np.float32), np.zeros(size, np.int8)
    row = column = 0
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens("\n".join(lines)):
        colour, weight = look.token(kind if kind is not Token.Error else Token.Text)
        for number, part in enumerate(text.split("\n")):
            if number:
                row, column = row + 1, 0
            if part:
                end = column + len(part)
                codes[row, column:end] = np.frombuffer(part.encode("ascii"), np.uint8)
                colours[row, column:end], weights[row, column:end] = colour, weight
                column = end
    return codes, colours, weights
