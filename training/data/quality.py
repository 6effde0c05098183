"""A score for every file, 0 to 1: how much there is to learn from it. Simple features, added up with the weights below (docs/data.md).

The worst files are tables of values written as code, dumps and near-empty stubs; the score is kept with the list of files, so that
a recipe can choose by it."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from .dedup_tokens import Scan, eights

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


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, a line between them."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _line_variety(text: Scan) -> float:
    """Share of different lines among those of 5 bytes or more; lines differ by size or by their first, middle or last eight bytes."""
    starts = np.concatenate(([0], text.line_ends[:-1] + 1))
    sizes = text.line_ends - starts
    told = np.flatnonzero(sizes >= 5)
    if not len(told):
        return 0.0
    starts, sizes, parts = starts[told], sizes[told], eights(text.text)
    keys = parts[starts] * np.uint64(0x9E3779B97F4A7C15)
    keys ^= parts[starts + sizes // 2] * np.uint64(0xC2B2AE3D27D4EB4F)
    keys ^= parts[np.maximum(starts + sizes - 8, starts)] * np.uint64(0x165667B19E3779F9)
    keys = np.sort(keys + sizes.view(np.uint64))
    return (1 + int(np.count_nonzero(keys[1:] != keys[:-1]))) / len(keys)


def measure(data: bytes, path: str, text: Scan, counts: np.ndarray) -> Quality:
    """The features and score of a file of at least one byte; `path` tells tests and vendored code, `counts` are its byte_counts."""
    quoted = sum(len(part) for quote in (b'"""', b"'''") if quote in data for part in data.split(quote)[1::2])
    comments = (data.count(b" #") + data.count(b"\n#")) / len(text.line_ends)
    shares = counts[counts > 0] / len(data)
    entropy = float(-(shares * np.log2(shares)).sum())
    names = text.sizes[text.text[text.starts] > 57]  # not those that begin with a digit
    name_bytes = float(names.mean()) if len(names) else 0.0
    letters = int(counts[_LETTERS].sum()) / max(1, len(data) - int(counts[_BLANKS].sum()))
    variety, docstrings = _line_variety(text), min(1.0, quoted / len(data))
    test, vendored = bool(_TEST.search(path)), bool(_VENDORED.search(path))
    parts = {
        "docstrings": _ramp(docstrings, 0.0, 0.10),
        "comments": _ramp(comments, 0.0, 0.08),
        "names": _ramp(name_bytes, 2.0, 5.0),
        "variety": _ramp(variety, 0.3, 0.8),
        "entropy": _ramp(entropy, 3.2, 4.2) * (1 - _ramp(entropy, 5.2, 6.2)),
        "letters": _ramp(letters, 0.35, 0.70),
    }
    score = sum(WEIGHTS[name] * value for name, value in parts.items())
    score *= (TEST_FACTOR if test else 1.0) * (VENDORED_FACTOR if vendored else 1.0)
    figures = (score, docstrings, comments, name_bytes, variety, entropy, letters)
    return Quality(*(round(figure, 3) for figure in figures), test, vendored)
