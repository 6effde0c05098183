"""Plain code of whole files as training documents: cut at function boundaries, half of them with a hole to fill.

A file is encoded once. Cuts are at lines that begin with `def`, `class`, a decorator and the like in the first column, where no token
crosses; only a function that is longer than a document is cut inside, between lines."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Iterator, Protocol

import numpy as np

from cromwell.contract.prompt import SPECIAL_TOKENS

from .fetch import DataError

MIN_TOKENS = 24  # shorter documents are not worth a row
KINDS = ["plain", "fill"]
_HEAD_TOKENS = 48  # kept free for the path, the special tokens and what splitting a text in three adds
_MAX_HOLE_BYTES = 400
_BLOCK = re.compile(rb"^(?:@|def |class |async def |if __name__)", re.M)



def _special(name: str) -> np.ndarray:
    """A special token's id as an array of one."""
    return np.array([SPECIAL_TOKENS.index(name)], np.uint16)


_FILE, _FILE_END, _EOS = map(_special, ("<FILE>", "</FILE>", "<EOS>"))
_PREFIX, _SUFFIX, _MIDDLE = map(_special, ("<FIM_PREFIX>", "<FIM_SUFFIX>", "<FIM_MIDDLE>"))


class Encoder(Protocol):
    """What documents are encoded with."""

    sizes: np.ndarray  # int64 [vocabulary], bytes of every token

    def __call__(self, text: bytes) -> np.ndarray:
        """The ids of a text, uint16."""


class _Native:
    """libcromwell's tokenizer."""

    def __init__(self, section: bytes, sizes: np.ndarray):
        from cromwell import binding

        self.tokenizer, self.sizes = binding.Tokenizer(section), sizes

    def __call__(self, text: bytes) -> np.ndarray:
        return np.frombuffer(self.tokenizer.encode_array(text), np.int32).astype(np.uint16)


class _Library:
    """The tokenizers library, some ten times slower; the same ids."""

    def __init__(self, encode, sizes: np.ndarray):
        self.encode, self.sizes = encode, sizes

    def __call__(self, text: bytes) -> np.ndarray:
        return np.array(self.encode(text), np.uint16)


@lru_cache(2)
def encoder(path: Path, native: bool = True) -> Encoder:
    """The encoder of a tokenizer.bin, its folder or a model pack; libcromwell's unless it is not built or not wanted."""
    from training import tokenizer

    try:
        loaded = tokenizer.load(path)
    except (OSError, tokenizer.SectionError) as error:
        raise DataError(f"{path}: no tokenizer ({error}): give a tokenizer.bin, the folder that holds it, or a model pack") from error
    if loaded.size > 1 << 16:
        raise DataError(f"{path}: {loaded.size} tokens, shards hold 16-bit ids")
    if loaded.vocabulary.specials[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
        raise DataError(f"{path}: its special tokens are not those of this version: train it again")
    sizes = np.array([len(token) for token in loaded.vocabulary.token_bytes()], np.int64)
    if native:
        try:
            return _Native(tokenizer.to_section(loaded.vocabulary), sizes)
        except ImportError:
            pass
    return _Library(loaded.encode, sizes)


def parts_between(text: bytes, cuts: list[tuple[int, int]]) -> list[bytes]:
    """What remains of a text when the (first, last) ranges of lines, counted from 1, are taken out."""
    if not cuts:
        return [text]
    lines, parts, at = text.splitlines(keepends=True), [], 0
    for first, last in sorted(cuts):
        parts.append(b"".join(lines[at : max(at, first - 1)]))
        at = max(at, last)
    return [part for part in (*parts, b"".join(lines[at:])) if part.strip()]


def _above_comments(text: bytes, at: int, line: int) -> int:
    """The start of the run of comment lines in the first column right above `at`, or `at`; `line` is where the line above begins."""
    while line < at and text.startswith(b"#", line):
        at, line = line, text.rfind(b"\n", 0, max(0, line - 1)) + 1
    return at


def _block_starts(text: bytes) -> list[int]:
    """Offsets at which a text may be cut: top-level definitions, with the decorators and comments right above them kept."""
    starts, previous_decorates = [], False
    for found in _BLOCK.finditer(text):
        at = found.start()
        if not previous_decorates:
            line = text.rfind(b"\n", 0, max(0, at - 1)) + 1
            starts.append(_above_comments(text, at, line))
        previous_decorates = text.startswith(b"@", found.start())
    return sorted({0, *starts})


def _halves(text: bytes) -> tuple[bytes, bytes]:
    """A text cut near its middle: at an empty line if one is near, else after any line end, else anywhere."""
    middle, reach = len(text) // 2, len(text) // 4
    places = [text.rfind(b"\n\n", middle - reach, middle) + 1, text.find(b"\n\n", middle, middle + reach) + 1]
    places = [place for place in places if place > 0] or [place for place in (text.rfind(b"\n", 1, middle) + 1,) if place > 1]
    at = min(places, key=lambda place: abs(place - middle)) if places else middle
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return text[:at], text[at:]


def _long(text: bytes, tokens: float, budget: int, encode: Encoder) -> Iterator[tuple[bytes, np.ndarray]]:
    """Pieces of a block of about so many tokens that is longer than a document; what must be cut anyway is not encoded before."""
    if tokens <= 1.1 * budget or len(text) < 2:
        ids = encode(text)
        if len(ids) <= budget or len(text) < 2:
            yield text, ids
            return
    for half in _halves(text):
        yield from _long(half, tokens * len(half) / len(text), budget, encode)


def pieces(text: bytes, budget: int, encode: Encoder) -> Iterator[tuple[bytes, np.ndarray]]:
    """(bytes, ids) of consecutive pieces of at most `budget` tokens that make up the text; whole top-level blocks where they fit."""
    ids = encode(text)
    if len(ids) <= budget:
        yield text, ids
        return
    starts = np.array(_block_starts(text))
    ends = np.cumsum(encode.sizes[ids])
    places = np.searchsorted(ends, starts)  # tokens that end before each start, if one ends right there
    exact = (starts == 0) | (ends[np.minimum(places, len(ends) - 1)] == starts)
    tokens = np.where(starts == 0, 0, places + 1)[exact].tolist() + [len(ids)]
    offsets = starts[exact].tolist() + [len(text)]
    at = 0
    while at < len(tokens) - 1:
        to = at + 1
        while to < len(tokens) - 1 and tokens[to + 1] - tokens[at] <= budget:
            to += 1
        part = text[offsets[at] : offsets[to]]
        if tokens[to] - tokens[at] <= budget:
            yield part, ids[tokens[at] : tokens[to]]
        else:
            yield from _long(part, tokens[to] - tokens[at], budget, encode)
        at = to


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


def documents(
    data: bytes, path: str, cuts: list[tuple[int, int]], max_tokens: int, fill_share: float, rng: Random, encode: Encoder
) -> Iterator[tuple[np.ndarray, str]]:
    """(ids, kind) of a file's documents: `<FILE> path text </FILE>`, or the same text with a hole ("fill"), all of it scored."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    names = path.split("/")
    for part in parts_between(text, cuts):
        for piece, ids in pieces(part.lstrip(b"\n"), max_tokens - _HEAD_TOKENS, encode):
            if len(ids) < MIN_TOKENS:
                continue
            head = "/".join(names[-2:] if rng.random() < 0.25 else names[-1:]).encode() + b"\n"
            if rng.random() < fill_share:
                start, end = hole(piece, rng)
                before, after, middle = encode(head + piece[:start]), encode(piece[end:]), encode(piece[start:end])
                whole = np.concatenate((_PREFIX, before, _SUFFIX, after, _MIDDLE, middle, _EOS))
                kind = "fill"
            else:
                joined = piece[:1] in b" \t\r\n"  # its blanks belong to the token that ends the path's line
                parts = (encode(head + piece),) if joined else (encode(head), ids)
                whole = np.concatenate((_FILE, *parts, _FILE_END))
                kind = "plain"
            if len(whole) <= max_tokens:
                yield whole, kind
