"""Plain code of whole files as training documents: cut at function boundaries, half of them with a hole to fill.

A file is encoded once. Cuts are at lines that begin with `def`, `class`, a decorator and the like in the first column, where no token
crosses; only a function that is longer than a document is cut inside, between lines. Many files are done at once: all of them are encoded,
then all that their documents hold besides (paths, the three parts of a text with a hole)."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Iterator, NamedTuple, Protocol

import numpy as np

from cromwell.contract.prompt import SPECIAL_TOKENS

from .fetch import DataError

MIN_TOKENS = 24  # shorter documents are not worth a row
KINDS = ["plain", "fill"]
_HEAD_TOKENS = 48  # kept free for the path, the special tokens and what splitting a text in three adds
_MAX_HOLE_BYTES = 400
_BLOCK = re.compile(rb"\n(?:@|def |class |async def |if __name__)")  # with its line end, which is quick to look for; "^" is not


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

    def many(self, texts: list[bytes]) -> tuple[np.ndarray, list[int]]:
        """The ids of some texts, one after the other, uint16, and where each text's end."""


class _Native:
    """libcromwell's tokenizer."""

    def __init__(self, section: bytes, sizes: np.ndarray):
        from cromwell import binding

        self.tokenizer, self.sizes = binding.Tokenizer(section), sizes

    def __call__(self, text: bytes) -> np.ndarray:
        return np.frombuffer(self.tokenizer.encode_array(text), np.int32).astype(np.uint16)

    def many(self, texts: list[bytes]) -> tuple[np.ndarray, list[int]]:
        ids, ends = self.tokenizer.encode_many(texts)
        return np.frombuffer(ids, np.int32).astype(np.uint16), ends.tolist()


class _Library:
    """The tokenizers library, some ten times slower; the same ids."""

    def __init__(self, encode, sizes: np.ndarray):
        self.encode, self.sizes = encode, sizes

    def __call__(self, text: bytes) -> np.ndarray:
        return np.array(self.encode(text), np.uint16)

    def many(self, texts: list[bytes]) -> tuple[np.ndarray, list[int]]:
        made = [self(text) for text in texts]
        return np.concatenate([np.zeros(0, np.uint16), *made]), list(accumulate(map(len, made)))


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
    starts, previous_decorates = {0}, text.startswith(b"@")
    for found in _BLOCK.finditer(text):
        at = found.start() + 1
        if not previous_decorates:
            line = text.rfind(b"\n", 0, at - 1) + 1
            starts.add(_above_comments(text, at, line))
        previous_decorates = text.startswith(b"@", at)
    return sorted(starts)


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


def pieces(text: bytes, ids: np.ndarray, budget: int, encode: Encoder) -> Iterator[tuple[bytes, np.ndarray]]:
    """(bytes, ids) of consecutive pieces of at most `budget` tokens that make up a text, given with its ids; whole top-level blocks
    where they fit."""
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


class _Texts:
    """Texts to be encoded together; each is known by its number until then."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []

    def add(self, text: bytes) -> int:
        self.texts.append(text)
        return len(self.texts) - 1

    def encoded(self, encode: Encoder) -> list[np.ndarray]:
        ids, ends = encode.many(self.texts)
        return [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]


_Parts = tuple[np.ndarray | int, ...]  # of a document: ids, or the number of a text


def _draw(piece: bytes, ids: np.ndarray, names: list[str], fill_share: float, rng: Random, texts: _Texts) -> tuple[_Parts, int]:
    """The parts and kind of a document that holds `piece`, whose ids are given, of a file whose path has these names."""
    head = "/".join(names[-2:] if rng.random() < 0.25 else names[-1:]).encode() + b"\n"
    if rng.random() < fill_share:
        start, end = hole(piece, rng)
        before, after, middle = map(texts.add, (head + piece[:start], piece[end:], piece[start:end]))
        return (_PREFIX, before, _SUFFIX, after, _MIDDLE, middle, _EOS), KINDS.index("fill")
    joined = piece[:1] in b" \t\r\n"  # its blanks belong to the token that ends the path's line
    text = (texts.add(head + piece),) if joined else (texts.add(head), ids)
    return (_FILE, *text, _FILE_END), KINDS.index("plain")


def documents(files: list[File], max_tokens: int, fill_share: float, encode: Encoder) -> Documents:
    """The documents of some files: `<FILE> path text </FILE>`, or the same text with a hole ("fill"), all of it scored."""
    parts = []
    for file in files:
        text = file.data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
        parts += [(file, part.lstrip(b"\n")) for part in parts_between(text, file.cuts)]
    ids, ends = encode.many([text for _, text in parts])
    drawn, texts = [], _Texts()
    for (file, text), start, end in zip(parts, [0, *ends], ends, strict=False):
        names = file.path.split("/")
        for piece, own in pieces(text, ids[start:end], max_tokens - _HEAD_TOKENS, encode):
            if len(own) >= MIN_TOKENS:
                drawn.append(_draw(piece, own, names, fill_share, file.rng, texts))
    encoded = texts.encoded(encode)
    kept, sizes, kinds = [np.zeros(0, np.uint16)], [], []
    for part, kind in drawn:
        arrays = [encoded[one] if isinstance(one, int) else one for one in part]
        size = sum(map(len, arrays))
        if size <= max_tokens:
            kept += arrays
            sizes.append(size)
            kinds.append(kind)
    return Documents(np.concatenate(kept), np.array(sizes, np.int64), np.array(kinds, np.uint8))
