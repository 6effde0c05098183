"""Held-out code in training files: which function bodies of the held-out packages occur in a file, found without parsing most files.

The check itself is source.copies: exact, on the syntax tree. A body begins at the start of a line and is compared without white space, so
a file can hold it only when, at the start of one of its lines, the text without white space goes on as the body does. Fingerprints of
a body's first 40, 80 or 160 such bytes, looked up at every line, tell the few files that are worth a parse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, NamedTuple

import numpy as np

from . import source
from .dedup_tokens import Scan, words_at
from .fetch import DataError

WIDTHS = (160, 80, 40)  # dense bytes; the last is source.MIN_BODY_BYTES
NEAR_LINES = 6  # about a copied function that are not used either, as many as an edit shows around its region
_TABLE_BITS = 20
_SHIFT = np.uint64(64 - _TABLE_BITS)


class HeldOut(NamedTuple):
    """What is known of the held-out packages."""

    bodies: frozenset[bytes]  # source.body_hash of every function
    prints: tuple[np.ndarray, ...]  # for each width, the sorted fingerprints of bodies that reach it but not the next
    tables: tuple[np.ndarray, ...]  # for each width, bool [2**20]: whether a fingerprint begins with these bits


def _fingerprints(dense: np.ndarray, places: np.ndarray, width: int) -> np.ndarray:
    """A hash of the `width` bytes from each place on; `dense` has 8 bytes more than the last place needs."""
    words, total = words_at(dense), np.zeros(len(places), np.uint64)
    for offset in range(0, width, 8):
        total = (total ^ words[places + offset]) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total


def gather(texts: Iterable[tuple[bytes, bytes]]) -> HeldOut:
    """What (body hash, body text without white space) pairs come to."""
    bodies, starts = set(), [set() for _ in WIDTHS]
    for key, text in texts:
        bodies.add(key)
        group = next(i for i, width in enumerate(WIDTHS) if len(text) >= width)
        starts[group].add(text[: WIDTHS[group]])
    prints = []
    for width, group in zip(WIDTHS, starts, strict=True):
        joined = np.frombuffer(b"".join(sorted(group)) + bytes(8), np.uint8)
        prints.append(np.sort(_fingerprints(joined, np.arange(len(group)) * width, width)))
    return _held_out(frozenset(bodies), prints)


def _held_out(bodies: frozenset[bytes], prints: list[np.ndarray]) -> HeldOut:
    tables = []
    for part in prints:
        table = np.zeros(1 << _TABLE_BITS, bool)
        table[(part >> _SHIFT).astype(np.intp)] = True
        tables.append(table)
    return HeldOut(bodies, tuple(prints), tuple(tables))


def bodies_of(src: Path, package: str, path: str) -> list[tuple[bytes, bytes]]:
    """(hash, text without white space) of every function body of a file that is long enough; none when it does not parse."""
    file = source.load(src, package, path)
    return source.body_texts(file.lines, file.tree) if file else []


def save(path: Path, held: HeldOut) -> None:
    """Write `held` to an .npz file, aside first."""
    bodies = np.frombuffer(b"".join(sorted(held.bodies)), np.uint8).reshape(-1, 12)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez(file, bodies=bodies, **{f"prints{width}": part for width, part in zip(WIDTHS, held.prints, strict=True)})
    os.replace(temporary, path)


def load(path: Path) -> HeldOut:
    """Read what `save` wrote. Raises DataError when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            bodies = frozenset(row.tobytes() for row in arrays["bodies"])
            return _held_out(bodies, [arrays[f"prints{width}"] for width in WIDTHS])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not a list of held-out function bodies ({error}): remove it and run the command again") from error


def is_possible(scan: Scan, held: HeldOut) -> bool:
    """False when no held-out body can occur in the text that was scanned."""
    lines = scan.line_places[scan.line_sizes > 0]
    size = len(scan.dense) - 8
    for width, prints, table in zip(WIDTHS, held.prints, held.tables, strict=True):
        if not len(prints):
            continue
        keys = _fingerprints(scan.dense, lines[lines <= size - width], width)
        keys = keys[table[(keys >> _SHIFT).astype(np.intp)]]
        if len(keys) and (prints[np.minimum(np.searchsorted(prints, keys), len(prints) - 1)] == keys).any():
            return True
    return False


def find(data: bytes, package: str, path: str, scan: Scan, held: HeldOut) -> tuple[list[tuple[int, int]], bool]:
    """The (first line, last line) of everything too near to a copied function, and whether the whole file counts as a copy.

    The same as source.copies says of the parsed file; lines count from 1, the last may lie beyond the end."""
    if not is_possible(scan, held):
        return [], False
    file = source.parsed(data, package, path)
    if file is None:
        return [], False
    found, whole = source.copies(file, held.bodies)
    return [(max(1, first - NEAR_LINES), last + NEAR_LINES) for first, last in found], whole
