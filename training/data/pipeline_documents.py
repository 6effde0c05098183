"""Plain code of whole files as training documents: cut at function boundaries, half of them with a hole to fill.

A file is encoded once. Cuts are at lines that begin with `def`, `class`, a decorator and the like in the first column; only a function that
is longer than a document is cut inside, between lines. Many files are done at once: all of them are encoded, then the ends of what their
documents are made of (pipeline_encoder.py)."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import numpy as np

from cromwell.contract.prompt import SPECIAL_TOKENS

from .pipeline_encoder import Asked, Encoded, Encoder

MIN_TOKENS = 24  # shorter documents are not worth a row
KINDS = ["plain", "fill"]
_HEAD_TOKENS = 48  # kept free for the path, the special tokens and what splitting a text in three adds
_MAX_HOLE_BYTES = 400
_BLOCKS = (b"@", b"def ", b"class ", b"async def ", b"if __name__")  # what a line begins with before which a text may be cut
_BEGINS_BLOCK = np.isin(np.arange(256), [word[0] for word in _BLOCKS])  # bool [256]


def _special(name: str) -> np.ndarray:
    """A special token's id as an array of one."""
    return np.array([SPECIAL_TOKENS.index(name)], np.uint16)


_FILE, _FILE_END, _EOS = map(_special, ("<FILE>", "</FILE>", "<EOS>"))
_PREFIX, _SUFFIX, _MIDDLE = map(_special, ("<FIM_PREFIX>", "<FIM_SUFFIX>", "<FIM_MIDDLE>"))


def parts_between(text: bytes, cuts: list[tuple[int, int]]) -> list[bytes]:
    """What remains of a text when the (first, last) ranges of lines, counted from 1, are taken out."""
    if not cuts:
        return [text]
    lines, parts, at = text.splitlines(keepends=True), [], 0
    for first, last in sorted(cuts):
        parts.append(b"".join(lines[at : max(at, first - 1)]))
        at = max(at, last)
    return [part for part in (*parts, b"".join(lines[at:])) if part.strip()]


def _line_starts(text: bytes) -> np.ndarray:
    """Offsets of the lines of some texts, one after the other, that may be what _BLOCKS says, by their first byte; int64, ascending."""
    array = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(array[:-1] == 10)
    return ends[_BEGINS_BLOCK[array[ends + 1]]] + 1


def _cuts(text: bytes, first: int, last: int, places: list[int]) -> list[int]:
    """Offsets at which text[first:last] may be cut, its own first: those of `places` that begin a block, with the decorators and comments
    right above them kept."""
    cuts, decorates = [first], text.startswith(b"@", first, last)
    for at in places:
        if text.startswith(_BLOCKS, at, last):
            if not decorates:
                line = max(first, text.rfind(b"\n", first, at - 1) + 1)
                cut = at
                while line < cut and text.startswith(b"#", line):
                    cut, line = line, max(first, text.rfind(b"\n", first, max(first, line - 1)) + 1)
                if cut > cuts[-1]:
                    cuts.append(cut)
            decorates = text.startswith(b"@", at)
    return cuts


def half(text: bytes) -> int:
    """Where to cut a text near its middle: at an empty line if one is near, else after any line end, else anywhere."""
    middle, reach = len(text) // 2, len(text) // 4
    places = [text.rfind(b"\n\n", middle - reach, middle) + 1, text.find(b"\n\n", middle, middle + reach) + 1]
    places = [place for place in places if place > 0] or [place for place in (text.rfind(b"\n", 1, middle) + 1,) if place > 1]
    at = min(places, key=lambda place: abs(place - middle)) if places else middle
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return at


class Piece(NamedTuple):
    """A part of a text that a document is to hold."""

    first: int  # offsets in Encoded.text
    last: int
    tokens: float  # an estimate where it does not fit


def pieces(encoded: Encoded, budget: int, encode: Encoder) -> list[list[Piece]]:
    """Of each text, consecutive pieces of at most `budget` tokens that make it up; whole top-level blocks where they fit."""
    text, last = encoded.text, encoded.last
    first = [0, *last][:-1]
    tokens = encoded.tokens([0, *last]).tolist()
    places = _line_starts(text)
    inside = places.searchsorted(np.array(first, np.int64), "right").tolist(), places.searchsorted(np.array(last, np.int64)).tolist()
    found = []
    for at, (start, end) in enumerate(zip(first, last, strict=True)):
        if tokens[at + 1] - tokens[at] <= budget:
            found.append([Piece(start, end, tokens[at + 1] - tokens[at])])
        else:
            cuts = _cuts(text, start, end, places[inside[0][at] : inside[1][at]].tolist())
            found.append(_joined([*cuts, end], [*encoded.tokens(cuts).tolist(), tokens[at + 1]], budget))
    return _halved(encoded, found, budget, encode)


def _joined(cuts: list[int], tokens: list[int], budget: int) -> list[Piece]:
    """As many blocks a piece as fit, or one that does not; `cuts` are the places between the blocks, `tokens` those before each place."""
    found, at = [], 0
    while at < len(cuts) - 1:
        to = at + 1
        while to < len(cuts) - 1 and tokens[to + 1] - tokens[at] <= budget:
            to += 1
        found.append(Piece(cuts[at], cuts[to], tokens[to] - tokens[at]))
        at = to
    return found


def _halved(encoded: Encoded, found: list[list[Piece]], budget: int, encode: Encoder) -> list[list[Piece]]:
    """The same pieces, those that do not fit cut in halves until they do. A half is taken to have its share of the tokens; what must be cut
    again by far is not encoded."""
    halves: dict[Piece, tuple[Piece, Piece]] = {}
    exact: dict[Piece, int] = {}
    wide = [piece for own in found for piece in own if piece.tokens > budget]
    while wide:
        asked, parts = Asked(encoded), []
        for piece in wide:
            halves[piece] = pair = _two(encoded.text, piece)
            parts += [(half, asked.part(half.first, half.last)) for half in pair if half.tokens <= 1.1 * budget]
        sizes = list(map(len, asked.found(encode)))
        for half, own in parts:
            exact[half] = sum(sizes[part] for part in own)
        wide = [half for piece in wide for half in halves[piece] if exact.get(half, half.tokens) > budget]

    def settled(piece: Piece) -> Iterator[Piece]:
        if piece in halves:
            for half in halves[piece]:
                yield from settled(half)
        else:
            yield piece._replace(tokens=exact.get(piece, piece.tokens))

    return [[part for piece in own for part in settled(piece)] if any(one in halves for one in own) else own for own in found]


def _two(text: bytes, piece: Piece) -> tuple[Piece, Piece]:
    """The halves of a piece of two bytes or more."""
    first, last, tokens = piece
    at = half(text[first:last])
    return Piece(first, first + at, tokens * at / (last - first)), Piece(first + at, last, tokens * (last - first - at) / (last - first))


def hole(text: bytes, rng: Random) -> tuple[int, int]:
    """Where to cut a hole: two offsets between characters, mostly at line ends, at most 400 bytes apart or a little more."""
    start, end = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    if rng.random() < 0.6:  # whole lines, as an editor asks for them
        start, end = text.rfind(b"\n", 0, start) + 1, (text.find(b"\n", end) + 1 or len(text))
    end = min(end, start + _MAX_HOLE_BYTES)
    while 0 < start < len(text) and text[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end += 1
    return start, end


class File(NamedTuple):
    """A file to make documents of."""

    data: bytes
    path: str  # "/"-separated
    cuts: list[tuple[int, int]]  # (first, last) lines that are not used
    rng: Random  # of its own, so that its documents do not depend on what it is done together with


class Documents(NamedTuple):
    """Documents, one after the other."""

    ids: np.ndarray  # uint16 [tokens]
    sizes: np.ndarray  # int64 [documents], in tokens
    kinds: np.ndarray  # uint8 [documents], indices of KINDS


def _draw(asked: Asked, piece: Piece, names: list[str], fill_share: float, rng: Random) -> tuple[tuple[int | np.ndarray, ...], int]:
    """What a document that holds a piece of a file whose path has these names consists of, numbers of `asked` or ids, and its kind."""
    head = "/".join(names[-2:] if rng.random() < 0.25 else names[-1:]).encode() + b"\n"
    first, last, _ = piece
    if rng.random() < fill_share:
        text = asked.encoded.text[first:last]
        start, end = hole(text, rng)
        before, after = asked.part(first, first + start, head), asked.part(first + end, last)
        return (_PREFIX, *before, _SUFFIX, *after, _MIDDLE, asked.text(text[start:end]), _EOS), KINDS.index("fill")
    return (_FILE, *asked.part(first, last, head), _FILE_END), KINDS.index("plain")


def documents(files: list[File], max_tokens: int, fill_share: float, encode: Encoder) -> Documents:
    """The documents of some files: `<FILE> path text </FILE>`, or the same text with a hole ("fill"), all of it scored."""
    owners, parts = [], []
    for file in files:
        text = file.data.removeprefix(b"\xef\xbb\xbf")
        own = parts_between(text.replace(b"\r\n", b"\n") if b"\r" in text else text, file.cuts)
        parts += [part.lstrip(b"\n") for part in own]
        owners += [file] * len(own)
    encoded, drawn = Encoded(parts, encode), []
    asked = Asked(encoded)
    for file, own in zip(owners, pieces(encoded, max_tokens - _HEAD_TOKENS, encode), strict=True):
        names = file.path.split("/")
        drawn += [_draw(asked, piece, names, fill_share, file.rng) for piece in own if piece.tokens >= MIN_TOKENS]
    ids = asked.found(encode)
    kept, sizes, kinds = [np.zeros(0, np.uint16)], [], []
    for part, kind in drawn:
        arrays = [ids[one] if isinstance(one, int) else one for one in part]
        size = sum(map(len, arrays))
        if size <= max_tokens:
            kept += arrays
            sizes.append(size)
            kinds.append(kind)
    return Documents(np.concatenate(kept), np.array(sizes, np.int64), np.array(kinds, np.uint8))
