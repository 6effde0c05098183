"""From bucket keys to decisions: which files share a bucket, and which of those are dropped after an exact comparison.

Files have numbers in the order of the corpus. Of near-duplicates the first stays: a file is dropped when it is near to one that stays, so
chains (a near b near c) do not take away a file that is near to nothing kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from . import dedup

EXACT = dedup.KEYS - 1  # the column of keys that are equal for equal texts only


class Drop(NamedTuple):
    """A file that is not used because of another."""

    file: int
    of: int  # the file that stays
    jaccard: float  # 1.0 for a text that is the same up to white space


def groups(keys: Iterable[np.ndarray], part: int = 0, parts: int = 1) -> np.ndarray:
    """Files with equal keys, of one column: int64 [members, 2], (first file of the group, file), ordered by both.

    `keys` are arrays of consecutive files, uint64. Only the keys in the given one of `parts` equal ranges are looked at: 16 bytes of
    memory for each of those."""
    width = -(-(1 << 64) // parts)
    low, high = np.uint64(part * width), min((part + 1) * width, 1 << 64) - 1
    found, numbers, first = [], [], 0
    for block in keys:
        inside = np.flatnonzero((block >= low) & (block <= np.uint64(high)))
        found.append(block[inside])
        numbers.append(inside + first)
        first += len(block)
    all_keys = np.concatenate(found) if found else np.zeros(0, np.uint64)
    files = np.concatenate(numbers) if numbers else np.zeros(0, np.int64)
    order = np.argsort(all_keys, kind="stable")  # files stay in order within a key
    ordered, files = all_keys[order], files[order]
    begins = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(ordered) else np.zeros(0, bool)
    group = np.cumsum(begins) - 1
    firsts = files[begins]
    shared = np.bincount(group, minlength=len(firsts))[group] > 1 if len(group) else np.zeros(0, bool)
    rows = np.stack((firsts[group][shared], files[shared]), axis=1).astype(np.int64)
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


def decide(columns: list[np.ndarray], shingles_of: Callable[[int], np.ndarray]) -> Iterator[Drop]:
    """The files to drop, in order. `columns` holds the groups of every column, EXACT last; `shingles_of` gives a file's set of shingles.

    Every pair that leads to a decision has been compared exactly; files that share no bucket are never compared."""
    column = np.concatenate([np.full(len(rows), i) for i, rows in enumerate(columns)])
    members = np.concatenate(columns)
    if not len(members):
        return
    order = np.lexsort((column, members[:, 1]))
    column, members = column[order], members[order]
    kept: dict[tuple[int, int], list[int]] = {}  # by column and first file: the files of a group that stay so far
    starts = np.flatnonzero(np.concatenate(([True], members[1:, 1] != members[:-1, 1])))
    for start, end in zip(starts, [*starts[1:], len(members)], strict=True):
        file = int(members[start, 1])
        own = [(int(c), int(f)) for c, f in zip(column[start:end], members[start:end, 0], strict=True)]
        drop = _same(file, own, kept) or _near(file, own, kept, shingles_of)
        if drop:
            yield drop
            continue
        for group in own:
            kept.setdefault(group, []).append(file)


def _same(file: int, own: list[tuple[int, int]], kept: dict[tuple[int, int], list[int]]) -> Drop | None:
    for group in own:
        if group[0] == EXACT and kept.get(group):
            return Drop(file, kept[group][0], 1.0)
    return None


def _near(file: int, own: list[tuple[int, int]], kept: dict[tuple[int, int], list[int]], shingles_of: Callable) -> Drop | None:
    others = sorted({other for group in own for other in kept.get(group, ())})
    if not others:
        return None
    mine = shingles_of(file)
    for other in others:
        theirs = shingles_of(other)
        if min(len(mine), len(theirs)) < dedup.THRESHOLD * max(len(mine), len(theirs)):
            continue
        similarity = dedup.jaccard(mine, theirs)
        if similarity >= dedup.THRESHOLD:
            return Drop(file, other, round(similarity, 4))
    return None
