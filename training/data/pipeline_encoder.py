"""Encoding many texts at once: with libcromwell's tokenizer or the tokenizers library, and any part of a text from the whole text's ids."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np

from cromwell.contract.prompt import SPECIAL_TOKENS

from .fetch import DataError

_LINE = re.compile(rb"\n[ \t]*(?=[^ \t\r\n])")
_INDENT = re.compile(rb"[ \t]*")


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
        section = tokenizer.section_at(path)
        loaded = tokenizer.from_section(section)
    except (OSError, tokenizer.SectionError) as error:
        raise DataError(f"{path}: no tokenizer ({error}): give a tokenizer.bin, the folder that holds it, or a model pack") from error
    if loaded.size > 1 << 16:
        raise DataError(f"{path}: {loaded.size} tokens, shards hold 16-bit ids")
    if loaded.vocabulary.specials[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
        raise DataError(f"{path}: its special tokens are not those of this version: train it again")
    lengths = [0] * loaded.vocabulary.first_byte + [1] * 256
    for left, right in loaded.vocabulary.merges:
        lengths.append(lengths[left] + lengths[right])
    sizes = np.array(lengths, np.int64)
    if native:
        try:
            return _Native(section, sizes)
        except ImportError:
            pass
    return _Library(loaded.encode, sizes)


Parts = tuple[int, ...]  # of a text: the numbers that Asked gave them


class Encoded:
    """Texts and their ids, one after the other."""

    def __init__(self, texts: list[bytes], encode: Encoder):
        self.text = b"".join(texts)
        self.last = list(accumulate(map(len, texts)))  # where each text ends
        self.ids = encode.many(texts)[0]
        self._ends = encode.sizes[self.ids].cumsum()  # where each token ends

    def tokens(self, places: list[int]) -> np.ndarray:
        """How many tokens end at each of some offsets or before."""
        return self._ends.searchsorted(np.array(places, np.int64), "right")


class Asked:
    """Ids that are to be found together: those of small texts, and of what stands between two places of `encoded` that no token crosses.

    Such a place is the first byte of a line that is not blank (PATTERN in training/tokenizer.py). So the ids of a part of a text are those
    of the whole from the first such place in it to the last; only what is left at both ends is encoded again."""

    def __init__(self, encoded: Encoded):
        self.encoded = encoded
        self._texts: dict[bytes, int] = {}
        self._spans: list[int] = []  # first and last offset of each in turn

    def text(self, text: bytes) -> int:
        """The number of a text."""
        return self._texts.setdefault(text, len(self._texts))

    def part(self, first: int, last: int, head: bytes = b"") -> Parts:
        """The numbers of the parts of what stands between two offsets of one text, after `head`, which is empty or ends a line."""
        text = self.encoded.text
        if first and first < last and text[first - 1] == 10 and text[first] not in b" \t\r\n":
            begin = first
        else:
            found = _LINE.search(text, first, last)
            if found is None:
                return (self.text(head + text[first:last]),) if head or first < last else ()
            begin = found.end()
        end = self._line_before(begin, last)
        self._spans += (begin, end)
        inside = -len(self._spans) // 2
        before = (self.text(head + text[first:begin]),) if head or first < begin else ()
        return (*before, inside, self.text(text[end:last])) if end < last else (*before, inside)

    def found(self, encode: Encoder) -> list[np.ndarray]:
        """The ids by number; what lies between places has negative ones, counted from the end."""
        ids, ends = encode.many(list(self._texts))
        places = self.encoded.tokens(self._spans).tolist()
        texts = [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return texts + [self.encoded.ids[start:end] for start, end in zip(places[-2::-2], places[::-2], strict=True)]

    def _line_before(self, begin: int, last: int) -> int:
        """The last place that no token crosses from `begin`, which is one, to `last`."""
        text, at = self.encoded.text, last
        while (line := text.rfind(b"\n", begin, at)) >= 0:
            place = _INDENT.match(text, line + 1).end()
            if place < len(text) and place <= last and text[place] not in b"\r\n":
                return place
            at = line
        return begin
