"""Words and lines of source texts as numpy arrays: what duplicates, scores and the held-out check are computed from, in one pass.

A word is a run of letters, digits and `_`, every byte >= 0x80 a letter: names, keywords, numbers, the words of strings and comments.
Punctuation and white space are left to what compares exactly: formatters change them, and files that differ in little else are the
same. Hashes are 64 bits wide: with 32, unrelated files share runs of words by chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_KEEP = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)  # masks for the first `count` bytes of eight
_ODD = np.array(  # multipliers of a word's parts: fractional bits of square roots of primes, made odd
    [0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1], np.uint64
)
_PAD = 8
_GAP = bytes(_PAD)  # between texts: no word, no line end, and what is read beyond an end is zeros


class Texts(NamedTuple):
    """Some texts, one after the other in one array, so that each step over it is one call for all of them."""

    data: list[bytes]
    bytes: np.ndarray  # uint8, each text followed by eight zeros
    first: np.ndarray  # int64 [texts], where each begins
    last: np.ndarray  # int64 [texts], where each ends
    line_ends: np.ndarray  # int64 [lines], offset of each "\n", and of a text's end unless that is one
    line_of: np.ndarray  # int64 [texts + 1], the first line of each text, and the number of lines


class Scan(NamedTuple):
    """The words of some texts."""

    texts: Texts
    words: np.ndarray  # uint64 [words], hashes in order
    starts: np.ndarray  # int64 [words], offsets in texts.bytes
    sizes: np.ndarray  # int64 [words], in bytes
    word_of: np.ndarray  # int64 [texts + 1], the first word of each text, and the number of words


def mix(values: np.ndarray) -> np.ndarray:
    """A bijection of 64-bit words that lets every bit of the input change every bit of the output (finalizer of splitmix64)."""
    shifted = values >> np.uint64(30)
    values = values ^ shifted
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= np.right_shift(values, np.uint64(27), out=shifted)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= np.right_shift(values, np.uint64(31), out=shifted)
    return values


def odd(seed: int, count: int) -> np.ndarray:
    """Odd 64-bit multipliers, the same on every machine and with every numpy."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    return mix(steps) | np.uint64(1)


def eights(padded: np.ndarray) -> np.ndarray:
    """The eight bytes from each offset on as one little-endian number: uint64 [bytes - 7], a view."""
    return np.ndarray((len(padded) - _PAD + 1,), "<u8", padded, strides=(1,))


def lay_out(data: list[bytes]) -> Texts:
    """Lay texts out one after the other and find their lines; there is one at least, and every one has a line at least."""
    joined = np.frombuffer(_GAP.join(data) + _GAP, np.uint8)
    sizes = np.fromiter(map(len, data), np.int64, len(data))
    last = np.cumsum(sizes + _PAD) - _PAD
    first = last - sizes
    ends = np.flatnonzero(joined == 10)
    open_end = (sizes == 0) | (joined[last - 1] != 10)
    ends = np.insert(ends, ends.searchsorted(last[open_end]), last[open_end])
    return Texts(data, joined, first, last, ends, np.append(ends.searchsorted(first), len(ends)))


def per_text(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """The sum of each text's part of some values, whose first places are `bounds`; [texts], 0 for an empty part."""
    total = np.zeros(len(values) + 1, np.uint64 if values.dtype == np.uint64 else np.int64)
    np.cumsum(values, out=total[1:])
    return total[bounds[1:]] - total[bounds[:-1]]


def scan(data: bytes) -> Scan:
    """The words of one text."""
    return scan_texts(lay_out([data]))


def scan_texts(texts: Texts) -> Scan:
    """The words of some texts. Words of the same bytes have the same hash; those of 24 bytes and less that differ have different ones (as
    far as 64 bits can tell), longer ones differ in size or in their first, middle or last eight bytes."""
    text = texts.bytes
    inside = np.zeros(len(text) + 1, np.bool_)
    np.less((text | 32) - np.uint8(97), 26, out=inside[1:])
    inside[1:] |= text - np.uint8(48) < 10
    inside[1:] |= text >= 128
    inside[1:] |= text == 95
    edges = np.flatnonzero(inside[1:] != inside[:-1])  # starts and ends in turn
    starts, ends = np.ascontiguousarray(edges[::2]), edges[1::2]
    sizes, parts = ends - starts, eights(text)
    words = parts[starts]
    words &= _KEEP.take(sizes, mode="clip")
    words *= _ODD[0]
    words += sizes.view(np.uint64) * _ODD[1]
    long = np.flatnonzero(sizes > 8)
    last = ends[long] - 8
    words[long] += parts[last] * _ODD[2] + parts[(starts[long] + last) // 2] * _ODD[3]
    return Scan(texts, mix(words), starts, sizes, np.append(starts.searchsorted(texts.first), len(starts)))
