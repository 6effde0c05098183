"""A score for every file, 0 to 1: how much there is to learn from it. Simple features, added up with the weights below (docs/data.md).

The worst files are tables of values written as code, dumps and near-empty stubs; the score is kept with the list of files, so that
a recipe can choose by it."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from .dedup_tokens import Scan, Texts, eights, per_text

MIN_SCORE = 0.5  # below it a file is left out

WEIGHTS = {"docstrings": 0.15, "comments": 0.10, "names": 0.20, "variety": 0.25, "entropy": 0.10, "letters": 0.20}
TEST_FACTOR, VENDORED_FACTOR = 0.9, 0.9

_TEST = re.compile(r"(?:^|/)(?:tests?|testing|unittests?)/|(?:^|/)(?:test_[^/]*|[^/]*_tests?|conftest)\.py$")
_LETTERS, _BLANKS = np.array([*range(65, 91), *range(97, 123), *range(128, 256)]), np.array([9, 10, 11, 12, 13, 32])
_VENDORED = re.compile(r"(?:^|/)_?(?:vendor|vendored|vendors|third_?party|externals?|extern|blib2to3)/")


class Quality(NamedTuple):
    """What the score is made of; shares are of bytes unless said otherwise."""

    score: float
    docstrings: float  # share of text within triple quotes
    comments: float  # `#` after a blank or a line's end, a line
    name_bytes: float  # mean size of identifiers and words
    variety: float  # share of different lines, of those with 5 bytes or more
    entropy: float  # bits a byte
    letters: float  # share of letters, of the bytes that are not blank
    test: bool
    vendored: bool


def _ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on, a line between them."""
    return np.minimum(1.0, np.maximum(0.0, (value - low) / (high - low)))


def _line_variety(texts: Texts) -> np.ndarray:
    """Share of different lines among those of 5 bytes or more, [texts]; lines differ by size, or by their first, middle or last eight
    bytes."""
    starts = np.empty_like(texts.line_ends)
    starts[1:] = texts.line_ends[:-1] + 1
    starts[texts.line_of[:-1]] = texts.first
    sizes = texts.line_ends - starts
    told = np.flatnonzero(sizes >= 5)
    bounds = told.searchsorted(texts.line_of)
    starts, sizes, parts = starts[told], sizes[told], eights(texts.bytes)
    keys = parts[starts] * np.uint64(0x9E3779B97F4A7C15)
    keys ^= parts[starts + sizes // 2] * np.uint64(0xC2B2AE3D27D4EB4F)
    keys ^= parts[np.maximum(starts + sizes - 8, starts)] * np.uint64(0x165667B19E3779F9)
    keys += sizes.view(np.uint64)
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        keys[first:last].sort()
    new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    counts = np.diff(bounds)
    new[bounds[:-1][counts > 0]] = True
    return per_text(new, bounds) / np.maximum(1, counts)


def _quoted(texts: Texts, quote: bytes) -> np.ndarray:
    """Bytes between each odd triple of `quote` and the next one, or the text's end, [texts]."""
    marks = texts.bytes == quote[0]
    places = np.flatnonzero(marks[:-2] & marks[1:-1] & marks[2:])
    bounds = np.append(places.searchsorted(texts.first), len(places))
    turn = np.arange(len(places)) - np.repeat(bounds[:-1], np.diff(bounds))  # of each triple in its text: the odd ones close
    found = per_text(np.where(turn & 1, places, -3 - places), bounds)
    found[np.diff(bounds) & 1 == 1] += texts.last[np.diff(bounds) & 1 == 1]
    overlapping = np.flatnonzero(np.diff(places) < 3)  # four quotes in a row and more: some of the triples are none
    for text in set((bounds.searchsorted(overlapping, "right") - 1).tolist()):
        found[text] = sum(map(len, texts.data[text].split(quote * 3)[1::2]))
    return found


def measure(text: Scan, paths: list[str], counts: np.ndarray) -> list[Quality]:
    """The features and score of each of some files of one byte at least; paths tell tests and vendored code, `counts` are byte_counts."""
    texts = text.texts
    sizes = texts.last - texts.first
    hashes = np.flatnonzero(texts.bytes == 35)
    before = texts.bytes[hashes - 1]
    hashes = hashes[(before == 32) | (before == 10)]
    comments = np.diff(np.append(hashes.searchsorted(texts.first), len(hashes))) / np.diff(texts.line_of)
    shares = counts / sizes[:, None]
    entropy = -(shares * np.log2(np.where(counts, shares, 1.0))).sum(axis=1)
    names = texts.bytes[text.starts] > 57  # not those that begin with a digit
    name_bytes = per_text(np.where(names, text.sizes, 0), text.word_of) / np.maximum(1, per_text(names, text.word_of))
    letters = counts[:, _LETTERS].sum(axis=1) / np.maximum(1, sizes - counts[:, _BLANKS].sum(axis=1))
    variety = _line_variety(texts)
    docstrings = np.minimum(1.0, (_quoted(texts, b'"') + _quoted(texts, b"'")) / sizes)
    parts = {
        "docstrings": _ramp(docstrings, 0.0, 0.10),
        "comments": _ramp(comments, 0.0, 0.08),
        "names": _ramp(name_bytes, 2.0, 5.0),
        "variety": _ramp(variety, 0.3, 0.8),
        "entropy": _ramp(entropy, 3.2, 4.2) * (1 - _ramp(entropy, 5.2, 6.2)),
        "letters": _ramp(letters, 0.35, 0.70),
    }
    scores = sum(WEIGHTS[name] * value for name, value in parts.items())
    tests, vendored = ([bool(pattern.search(path)) for path in paths] for pattern in (_TEST, _VENDORED))
    scores = scores * np.where(tests, TEST_FACTOR, 1.0) * np.where(vendored, VENDORED_FACTOR, 1.0)
    figures = np.stack((scores, docstrings, comments, name_bytes, variety, entropy, letters), axis=1).tolist()
    return [Quality(*(round(figure, 3) for figure in row), *flags) for row, *flags in zip(figures, tests, vendored, strict=True)]
