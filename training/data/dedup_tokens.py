"""Words and lines of a source text as numpy arrays: what duplicates, scores and the held-out check are computed from, in one pass.

A word is a run of letters, digits and `_`, every byte >= 0x80 a letter: names, keywords, numbers, the words of strings and comments.
Punctuation and white space are left to what compares exactly: formatters change them, and files that differ in little else are the
same. Hashes are 64 bits wide: with 32, unrelated files share runs of words by chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_WORD = bytes(chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) == "_") or byte >= 0x80 for byte in range(256))
_KEEP = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)  # masks for the first `count` bytes of eight
_ODD = np.array(  # multipliers of a word's parts: fractional bits of square roots of primes, made odd
    [0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1], np.uint64
)
_PAD = 8


class Scan(NamedTuple):
    """A text, taken apart."""

    text: np.ndarray  # uint8 [bytes + 8], padded with zeros
    words: np.ndarray  # uint64 [words], hashes in order
    starts: np.ndarray  # int64 [words], offsets in the text
    sizes: np.ndarray  # int64 [words], in bytes
    line_ends: np.ndarray  # int64 [lines], offset of each "\n", or of the end of the text


def mix(values: np.ndarray) -> np.ndarray:
    """A bijection of 64-bit words that lets every bit of the input change every bit of the output (finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def odd(seed: int, count: int) -> np.ndarray:
    """Odd 64-bit multipliers, the same on every machine and with every numpy."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    return mix(steps) | np.uint64(1)


def eights(padded: np.ndarray) -> np.ndarray:
    """The eight bytes from each offset on as one little-endian number: uint64 [bytes - 7], a view."""
    return np.ndarray((len(padded) - _PAD + 1,), "<u8", padded, strides=(1,))


def line_ends_of(text: np.ndarray) -> np.ndarray:
    """Offsets of the "\\n" of a text, and of its end unless that is one; `text` is uint8 [bytes + 8]."""
    ends = np.flatnonzero(text[:-_PAD] == 10)
    size = len(text) - _PAD
    return ends if size and text[size - 1] == 10 else np.append(ends, size)


def padded(data: bytes) -> np.ndarray:
    """A text as uint8 [bytes + 8]."""
    return np.frombuffer(data + bytes(_PAD), np.uint8)


def scan(data: bytes) -> Scan:
    """Take a text apart. Words of the same bytes have the same hash; those of 24 bytes and less that differ have different ones (as far
    as 64 bits can tell), longer ones differ in size or in their first, middle or last eight bytes."""
    text = padded(data)
    inside = np.frombuffer(b"\0" + data.translate(_WORD) + b"\0", np.bool_)
    edges = np.flatnonzero(inside[1:] != inside[:-1])  # starts and ends in turn
    starts, ends = edges[::2], edges[1::2]
    sizes, parts = ends - starts, eights(text)
    words = (parts[starts] & _KEEP[np.minimum(sizes, 8)]) * _ODD[0] + sizes.astype(np.uint64) * _ODD[1]
    long = np.flatnonzero(sizes > 8)
    last = ends[long] - 8
    words[long] += parts[last] * _ODD[2] + parts[(starts[long] + last) // 2] * _ODD[3]
    return Scan(text, mix(words), starts, sizes, line_ends_of(text))
