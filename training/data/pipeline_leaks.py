"""Held-out code in training files: which function bodies of the held-out packages occur in a file, found without parsing most files.

The check itself is source.copies: exact, on the syntax tree. A body begins with a line, so a file can hold it only where the words from
the start of a line on are the body's: all of them, or the first WIDEST. Hashes of words, looked up at every line of many files at once,
tell the few files that are worth a parse; at most lines the first two or four words settle it."""

from __future__ import annotations

import zipfile
from itertools import islice
from pathlib import Path
from typing import Iterable, NamedTuple

import numpy as np

from . import source
from .dedup_tokens import Scan, lay_out, odd, scan_texts
from .fetch import DataError
from .pipeline_files import whole_file

HEADS, WIDEST = (2, 4), 20  # words
GROUP_BODIES = 1000  # that are looked at together
NEAR_LINES = 6  # about a copied function that are not used either, as many as an edit shows around its region
_TABLE_BITS = 20
_SHIFT = np.uint64(64 - _TABLE_BITS)
_PLACE = odd(4, WIDEST)


class HeldOut(NamedTuple):
    """What is known of the held-out packages."""

    bodies: frozenset[bytes]  # source.body_hash of every function
    prints: np.ndarray  # uint64, sorted: hashes of the words that bodies begin with
    table: np.ndarray  # bool [2**20]: whether one of them begins with these bits
    heads: np.ndarray  # bool [2**20]: the same for the first words of longer bodies, as many as HEADS says


def _bits(sums: np.ndarray) -> np.ndarray:
    """The place of each sum in a table, int64."""
    return (sums >> _SHIFT).view(np.int64)


def _begin(text: Scan) -> tuple[np.ndarray, np.ndarray]:
    """The hashes of the words that some texts begin with: of the first WIDEST, or of all, and of HEADS where there are more; uint64. What
    `possible` computes where the texts stand. A text without a word has none."""
    counts = np.diff(text.word_of)
    total, heads = np.zeros(len(counts), np.uint64), []
    for at in range(WIDEST):
        longer = np.flatnonzero(counts > at)
        if at in HEADS:
            heads.append(total[longer])
        total[longer] += text.words[text.word_of[longer] + at] * _PLACE[at]
    return total[counts > 0], np.concatenate(heads)


def gather(bodies: Iterable[tuple[bytes, bytes]]) -> HeldOut:
    """What (body hash, body text) pairs come to. A body without a word, a row of symbols, is not looked for."""
    keys, prints, heads = set(), set(), set()
    bodies = iter(bodies)
    while group := list(islice(bodies, GROUP_BODIES)):
        keys.update(key for key, _ in group)
        for known, new in zip((prints, heads), _begin(scan_texts(lay_out([text for _, text in group]))), strict=True):
            known.update(new.tolist())
    return _held_out(frozenset(keys), *(np.array(sorted(part), np.uint64) for part in (prints, heads)))


def _held_out(bodies: frozenset[bytes], prints: np.ndarray, heads: np.ndarray) -> HeldOut:
    tables = []
    for part in (prints, heads):
        tables.append(np.zeros(1 << _TABLE_BITS, bool))
        tables[-1][_bits(part)] = True
    return HeldOut(bodies, prints, *tables)


def bodies_of(src: Path, package: str, path: str) -> list[tuple[bytes, bytes]]:
    """(hash, text) of every function body of a file that is long enough; none when it does not parse."""
    file = source.load(src, package, path)
    return source.body_texts(file.lines, file.tree) if file else []


def save(path: Path, held: HeldOut) -> None:
    """Write `held` to an .npz file."""
    bodies = np.frombuffer(b"".join(sorted(held.bodies)), np.uint8).reshape(-1, source.BODY_KEY_BYTES)
    heads = np.flatnonzero(held.heads).astype(np.uint64) << _SHIFT  # one sum for each place of the table
    with whole_file(path) as file:
        np.savez(file, bodies=bodies, prints=held.prints, heads=heads)


def load(path: Path) -> HeldOut:
    """Read what `save` wrote. Raises DataError when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            bodies = arrays["bodies"].tobytes()
            keys = frozenset(bodies[at : at + source.BODY_KEY_BYTES] for at in range(0, len(bodies), source.BODY_KEY_BYTES))
            return _held_out(keys, arrays["prints"], arrays["heads"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a list of held-out function bodies ({error}): remove it and run the command again") from error


def possible(text: Scan, held: HeldOut) -> np.ndarray:
    """Which of the texts that were scanned may hold a held-out body, int64, ascending: in no other text does one occur.

    Looks up the hashes of 1, 2 .. WIDEST words from the first word of each line on, or of a line below, and of more than HEADS says only
    where so many are in `heads`. Hashes that reach beyond a text's end are of no body, and cost a parse at worst."""
    if not len(held.prints) or not len(text.words):
        return np.zeros(0, np.int64)
    places = np.sort(text.starts.searchsorted(np.concatenate((text.texts.first, text.texts.line_ends))))
    places = places[: places.searchsorted(len(text.words))]
    places = places[np.diff(places, prepend=-1) > 0]
    words = np.append(text.words, np.zeros(WIDEST, np.uint64))
    total, hits = words[places] * _PLACE[0], []
    for count in range(1, WIDEST + 1):
        bits = _bits(total)
        near = np.flatnonzero(held.table[bits])
        keys = total[near]
        hits.append(places[near[held.prints[np.minimum(held.prints.searchsorted(keys), len(held.prints) - 1)] == keys]])
        if count in HEADS:
            kept = np.flatnonzero(held.heads[bits])
            places, total = places[kept], total[kept]
        if count < WIDEST:
            total = total + words[places + count] * _PLACE[count]
    return np.flatnonzero(np.bincount(text.word_of.searchsorted(np.concatenate(hits), "right") - 1))


def find(data: bytes, package: str, path: str, text: Scan, held: HeldOut) -> tuple[list[tuple[int, int]], bool]:
    """The (first line, last line) of everything too near to a copied function, and whether the whole file counts as a copy.

    The same as source.copies says of the parsed file; lines count from 1, the last may lie beyond the end. `text` is the file's scan."""
    return find_by_tree(data, package, path, held) if len(possible(text, held)) else ([], False)


def find_by_tree(data: bytes, package: str, path: str, held: HeldOut) -> tuple[list[tuple[int, int]], bool]:
    """The same of a file that is parsed in any case."""
    with source.many_trees():
        file = source.parsed(data, package, path)
    if file is None:
        return [], False
    found, whole = source.copies(file, held.bodies)
    return [(max(1, first - NEAR_LINES), last + NEAR_LINES) for first, last in found], whole
