"""A score for every file, 0 to 1: how much there is to learn from it. Simple features, added up with the weights below (docs/data.md).

The worst files are tables of values written as code, dumps and near-empty stubs; the score is kept with the list of files, so that
a recipe can choose by it."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from .dedup_tokens import Scan

MIN_SCORE = 0.5  # below it a file is left out

WEIGHTS = {"docstrings": 0.15, "comments": 0.10, "names": 0.20, "variety": 0.25, "entropy": 0.10, "words": 0.20}
TEST_FACTOR, VENDORED_FACTOR = 0.9, 0.9

_TEST = re.compile(r"(?:^|/)(?:tests?|testing|unittests?)/|(?:^|/)(?:test_[^/]*|[^/]*_tests?|conftest)\.py$")
_VENDORED = re.compile(r"(?:^|/)_?(?:vendor|vendored|vendors|third_?party|externals?|extern|blib2to3)/")


class Quality(NamedTuple):
    """What the score is made of; shares are of bytes unless said otherwise."""

    score: float
    docstrings: float  # share of text within triple quotes
    comments: float  # share of lines that hold only a comment
    name_bytes: float  # mean size of identifiers and words
    variety: float  # share of lines that occur once, of those with 4 bytes or more
    entropy: float  # bits a byte
    words: float  # share of tokens that begin with a letter
    test: bool
    vendored: bool


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, a line between them."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _line_variety(scan: Scan) -> float:
    """Share of the lines of 4 dense bytes or more that are different from all others, by size, first and last bytes."""
    sizes = scan.line_sizes
    told = sizes >= 4
    if not told.any():
        return 0.0
    starts, sizes = scan.line_places[told], sizes[told]
    head = np.ndarray((len(scan.dense) - 7,), "<u8", scan.dense, strides=(1,))
    keys = head[starts] * np.uint64(0x9E3779B97F4A7C15)
    keys ^= head[starts + sizes // 2] * np.uint64(0xC2B2AE3D27D4EB4F)
    keys ^= head[np.maximum(starts + sizes - 8, starts)] * np.uint64(0x165667B19E3779F9)
    keys = np.sort(keys + sizes.astype(np.uint64))
    return float(np.count_nonzero(np.concatenate(([True], keys[1:] != keys[:-1])))) / len(keys)


def measure(data: bytes, path: str, scan: Scan, counts: np.ndarray) -> Quality:
    """The features and score of a file of at least one byte; `path` tells tests and vendored code, `counts` are its byte_counts."""
    quoted = sum(len(part) for quote in (b'"""', b"'''") for part in data.split(quote)[1::2])
    lines = scan.line_places[scan.line_sizes > 0]
    comments = float(np.count_nonzero(scan.dense[lines] == 35)) / max(1, len(lines))  # 35 is "#"
    shares = counts[counts > 0] / len(data)
    entropy = float(-(shares * np.log2(shares)).sum())
    name_bytes = float(scan.names.mean()) if len(scan.names) else 0.0
    variety, words = _line_variety(scan), len(scan.names) / max(1, len(scan.tokens))
    test, vendored = bool(_TEST.search(path)), bool(_VENDORED.search(path))
    docstrings = min(1.0, quoted / len(data))
    parts = {
        "docstrings": _ramp(docstrings, 0.0, 0.10),
        "comments": _ramp(comments, 0.0, 0.08),
        "names": _ramp(name_bytes, 2.0, 5.0),
        "variety": _ramp(variety, 0.3, 0.8),
        "entropy": _ramp(entropy, 3.2, 4.2) * (1 - _ramp(entropy, 5.2, 6.2)),
        "words": _ramp(words, 0.15, 0.40),
    }
    score = sum(WEIGHTS[name] * value for name, value in parts.items())
    score *= (TEST_FACTOR if test else 1.0) * (VENDORED_FACTOR if vendored else 1.0)
    figures = (score, docstrings, comments, name_bytes, variety, entropy, words)
    return Quality(*(round(figure, 3) for figure in figures), test, vendored)
