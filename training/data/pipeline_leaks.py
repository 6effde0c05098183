"""Held-out code in training files: which function bodies of the held-out packages occur in a file, found without parsing most files.

The check itself is source.copies: exact, on the syntax tree. A file can hold a body only where its words go on as the body's first
words do, so sums of the body's first 12, 6, 3 or 1 words, looked up at every word, tell the few files that are worth a parse."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple

import numpy as np

from . import source
from .dedup_tokens import Scan, odd, scan
from .fetch import DataError
from .pipeline_files import whole_file

WIDTHS = (1, 3, 6, 12)  # words
NEAR_LINES = 6  # about a copied function that are not used either, as many as an edit shows around its region
_TABLE_BITS = 20
_SHIFT = np.uint64(64 - _TABLE_BITS)
_PLACE = odd(4, WIDTHS[-1])


class HeldOut(NamedTuple):
    """What is known of the held-out packages."""

    bodies: frozenset[bytes]  # source.body_hash of every function
    prints: tuple[np.ndarray, ...]  # for each width, the sorted sums of bodies that reach it but not the next
    tables: tuple[np.ndarray, ...]  # for each width, bool [2**20]: whether a sum begins with these bits


def _sums(words: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(index of a width, a hash of the `width` words from each place on) for the widths that the text reaches; uint64 [places]."""
    total = words * _PLACE[0]
    for at, width in enumerate(WIDTHS):
        if len(words) < width:
            return
        for place in range(WIDTHS[at - 1] if at else 1, width):
            total = total[:-1] + words[place:] * _PLACE[place]
        yield at, total


def gather(bodies: Iterable[tuple[bytes, bytes]]) -> HeldOut:
    """What (body hash, body text) pairs come to."""
    keys, sums = set(), [set() for _ in WIDTHS]
    for key, text in bodies:
        keys.add(key)
        longest = None
        for at, total in _sums(scan(text).words[: WIDTHS[-1]]):
            longest = at, int(total[0])
        if longest:  # a body without a word (a row of symbols) is not found
            sums[longest[0]].add(longest[1])
    return _held_out(frozenset(keys), [np.array(sorted(part), np.uint64) for part in sums])


def _held_out(bodies: frozenset[bytes], prints: list[np.ndarray]) -> HeldOut:
    tables = []
    for part in prints:
        table = np.zeros(1 << _TABLE_BITS, bool)
        table[(part >> _SHIFT).astype(np.intp)] = True
        tables.append(table)
    return HeldOut(bodies, tuple(prints), tuple(tables))


def bodies_of(src: Path, package: str, path: str) -> list[tuple[bytes, bytes]]:
    """(hash, text) of every function body of a file that is long enough; none when it does not parse."""
    file = source.load(src, package, path)
    return source.body_texts(file.lines, file.tree) if file else []


def save(path: Path, held: HeldOut) -> None:
    """Write `held` to an .npz file."""
    bodies = np.frombuffer(b"".join(sorted(held.bodies)), np.uint8).reshape(-1, 12)
    with whole_file(path) as file:
        np.savez(file, bodies=bodies, **{f"prints{width}": part for width, part in zip(WIDTHS, held.prints, strict=True)})


def load(path: Path) -> HeldOut:
    """Read what `save` wrote. Raises DataError when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            bodies = frozenset(row.tobytes() for row in arrays["bodies"])
            return _held_out(bodies, [arrays[f"prints{width}"] for width in WIDTHS])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a list of held-out function bodies ({error}): remove it and run the command again") from error


def is_possible(text: Scan, held: HeldOut) -> bool:
    """False when no held-out body can occur in the text that was scanned."""
    for at, sums in _sums(text.words):
        prints = held.prints[at]
        keys = sums[held.tables[at][(sums >> _SHIFT).view(np.int64)]]
        if len(keys) and len(prints) and (prints[np.minimum(np.searchsorted(prints, keys), len(prints) - 1)] == keys).any():
            return True
    return False


def find(data: bytes, package: str, path: str, text: Scan, held: HeldOut) -> tuple[list[tuple[int, int]], bool]:
    """The (first line, last line) of everything too near to a copied function, and whether the whole file counts as a copy.

    The same as source.copies says of the parsed file; lines count from 1, the last may lie beyond the end."""
    if not is_possible(text, held):
        return [], False
    file = source.parsed(data, package, path)
    if file is None:
        return [], False
    found, whole = source.copies(file, held.bodies)
    return [(max(1, first - NEAR_LINES), last + NEAR_LINES) for first, last in found], whole
