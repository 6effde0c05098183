"""Tokens and lines of a source text as numpy arrays: what duplicates, quality and the held-out check are computed from, in one pass.

A token is a run of letters, digits and `_` (every byte >= 0x80 a letter), or any other single byte that is not white space. That is
near enough to Python's own tokens to compare files, needs no parser and knows no language. Hashes are 64 bits wide: with 32, unrelated
files share shingles by chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BLANK, DIGIT, LETTER, SYMBOL = range(4)
BLANKS = b" \t\r\n\f\v"


def _classes() -> bytes:
    """The class of every byte, for bytes.translate."""
    table = bytearray((SYMBOL,)) * 128 + bytearray((LETTER,)) * 128
    groups = {BLANK: BLANKS, DIGIT: b"0123456789", LETTER: b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"}
    for kind, members in groups.items():
        for byte in members:
            table[byte] = kind
    return bytes(table)


CLASS = _classes()
_KEEP = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)  # masks for the first `count` bytes of a word
_ODD = np.array(  # multipliers of a token's parts: the fractional bits of square roots of primes, made odd
    [0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1], np.uint64
)
_PAD = 8


class Scan(NamedTuple):
    """A text, taken apart."""

    tokens: np.ndarray  # uint64 [tokens], hashes in order
    names: np.ndarray  # int64 [names], sizes in bytes of the tokens that begin with a letter
    dense: np.ndarray  # uint8 [dense bytes + 8], the text without white space, padded with zeros
    line_sizes: np.ndarray  # int64 [lines], each line's bytes that are not white space
    line_places: np.ndarray  # int64 [lines], index in `dense` of each line's first such byte


def mix(values: np.ndarray) -> np.ndarray:
    """A bijection of 64-bit words that lets every bit of the input change every bit of the output (finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def words_at(padded: np.ndarray) -> np.ndarray:
    """The eight bytes from each place on as one little-endian word: uint64 [places], a view of uint8 [places + 7]."""
    return np.ndarray((len(padded) - _PAD + 1,), "<u8", padded, strides=(1,))


def scan(data: bytes) -> Scan:
    """Take a text apart. Two tokens of the same bytes have the same hash; tokens of 24 bytes and less that differ have different ones
    (as far as 64 bits can tell), longer ones differ in length or in their first, middle or last eight bytes."""
    padded = np.frombuffer(data + b"\0" * _PAD, np.uint8)
    text = padded[: len(data)]
    kind = np.frombuffer(data.translate(CLASS), np.uint8)
    symbol, solid = kind == SYMBOL, kind != BLANK
    word = solid & ~symbol
    first, last = word.copy(), word.copy()
    first[1:] &= ~word[:-1]
    last[:-1] &= ~word[1:]
    starts, ends = np.flatnonzero(first | symbol), np.flatnonzero(last | symbol) + 1
    sizes = ends - starts
    words = words_at(padded)
    tokens = (words[starts] & _KEEP[np.minimum(sizes, 8)]) * _ODD[0] + sizes.astype(np.uint64) * _ODD[1]
    long = np.flatnonzero(sizes > 8)
    tokens[long] += words[ends[long] - 8] * _ODD[2] + words[(starts[long] + ends[long] - 8) // 2] * _ODD[3]
    names = sizes[kind[starts] == LETTER] if len(starts) else sizes
    dense = np.frombuffer(data.translate(None, BLANKS) + b"\0" * _PAD, np.uint8)
    line_starts = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(text[:-1] == 10) + 1))
    line_sizes = np.add.reduceat(solid, line_starts, dtype=np.int64) if len(text) else np.zeros(0, np.int64)
    places = np.cumsum(line_sizes) - line_sizes
    return Scan(mix(tokens), names, dense, line_sizes, places)
