"""How well MinHash finds near-duplicates: precision and recall against the exact Jaccard similarity of every pair of a sample.

The exact side shares nothing with the fast one: words by a regular expression, Python's own hash of every five of them, and all pairs
that can reach the threshold (prefix filter: of two such sets, ordered alike, the first 15% or so must share an element)."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np

from . import dedup, dedup_groups, source
from .dedup_tokens import scan
from .fetch import MANIFEST, DataError, read_manifest

RUN_FILES = 50  # consecutive files of a sample: near-duplicates are neighbours more often than not
RANDOM_PAIRS = 20_000
_WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")


def exact_set(data: bytes) -> np.ndarray:
    """The sorted set of a text's shingles, hashed by Python; int64."""
    words = _WORD.findall(data)
    count = max(1, len(words) - dedup.SHINGLE + 1)
    return np.unique(np.fromiter((hash(tuple(words[i : i + dedup.SHINGLE])) for i in range(count)), np.int64, count))


def all_pairs(sets: list[np.ndarray], threshold: float) -> dict[tuple[int, int], float]:
    """Every pair (i, j), i < j, with a Jaccard similarity of at least `threshold`, and that similarity."""
    prefixes = [part[: len(part) - int(np.ceil(threshold * len(part))) + 1] for part in sets]
    elements = np.concatenate(prefixes)
    owners = np.repeat(np.arange(len(sets)), [len(part) for part in prefixes])
    order = np.lexsort((owners, elements))
    elements, owners = elements[order], owners[order]
    bounds = np.flatnonzero(np.concatenate(([True], elements[1:] != elements[:-1], [True])))
    seen: set[tuple[int, int]] = set()
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        if end - start > 1:
            group = owners[start:end].tolist()
            seen.update((first, second) for at, first in enumerate(group) for second in group[at + 1 :])
    found = {}
    for first, second in seen:
        sizes = sorted((len(sets[first]), len(sets[second])))
        if sizes[0] >= threshold * sizes[1]:
            similarity = dedup.jaccard(sets[first], sets[second])
            if similarity >= threshold:
                found[first, second] = similarity
    return found


def proposed_pairs(keys: np.ndarray) -> set[tuple[int, int]]:
    """The pairs that share a bucket; `keys` is uint64 [files, BUCKETS]."""
    pairs = set()
    for column in range(dedup.BUCKETS):
        by_first: dict[int, list[int]] = {}
        for first, file in dedup_groups.groups([keys[:, column]]).tolist():
            by_first.setdefault(first, []).append(file)
        for group in by_first.values():
            pairs.update((first, second) for at, first in enumerate(group) for second in group[at + 1 :])
    return pairs


def compare(texts: list[bytes], seed: int) -> dict:
    """Figures of the check on some texts: pairs, precision and recall before and after the exact comparison."""
    fast = [dedup.shingles(scan(text).words) for text in texts]
    keys = np.stack([dedup.bucket_keys(dedup.signature(hashes)) for hashes in fast])
    fast = [dedup.as_set(hashes) for hashes in fast]
    exact = [exact_set(text) for text in texts]
    truth, proposed = all_pairs(exact, dedup.THRESHOLD), proposed_pairs(keys)
    verified = {pair for pair in proposed if dedup.jaccard(fast[pair[0]], fast[pair[1]]) >= dedup.THRESHOLD}
    columns = [dedup_groups.groups([keys[:, column]]) for column in range(dedup.BUCKETS)] + [np.zeros((0, 2), np.int64)]
    dropped = {drop.file for drop in dedup_groups.decide(columns, fast.__getitem__)}
    rng = Random(seed)
    drawn = {tuple(sorted(rng.sample(range(len(texts)), 2))) for _ in range(min(RANDOM_PAIRS, len(texts) ** 2 // 4))}
    unrelated = drawn - truth.keys()
    error = [abs(truth[pair] - dedup.jaccard(fast[pair[0]], fast[pair[1]])) for pair in truth]
    by_similarity = {
        f"{low:.2f}": [sum(pair in proposed for pair in truth if low <= truth[pair] < low + 0.05 + (low == 0.95)),
                       sum(low <= similarity < low + 0.05 + (low == 0.95) for similarity in truth.values())]
        for low in (0.85, 0.9, 0.95)
    }  # fmt: skip
    return {
        "files": len(texts),
        "pairs_at_threshold": len(truth),
        "proposed": len(proposed),
        "proposed_precision": round(len(proposed & truth.keys()) / max(1, len(proposed)), 4),
        "proposed_recall": round(len(proposed & truth.keys()) / max(1, len(truth)), 4),
        "proposed_of_pairs_by_similarity": by_similarity,
        "verified_precision": round(len(verified & truth.keys()) / max(1, len(verified)), 4),
        "verified_recall": round(len(verified & truth.keys()) / max(1, len(truth)), 4),
        "largest_error_of_similarity": round(max(error, default=0.0), 6),
        "unrelated_pairs_drawn": len(unrelated),
        "unrelated_proposed": len(unrelated & proposed),
        "dropped": len(dropped),
        "pairs_left": sum(not dropped & set(pair) for pair in truth),
    }


def sample(src: Path, packages: list[str], count: int, seed: int) -> list[bytes]:
    """The texts of about `count` usable files, in runs of RUN_FILES neighbours."""
    files = source.list_files(src, packages, Counter())
    if not files:
        raise DataError(f"{src}: no usable files: run `python -m training.data fetch` first")
    starts = range(0, len(files), RUN_FILES)
    chosen = sorted(Random(seed).sample(starts, min(len(starts), -(-count // RUN_FILES))))
    return [(src / package / path).read_bytes() for start in chosen for package, path in files[start : start + RUN_FILES]]


def duplicates_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--src", type=Path, required=True, metavar="DIR")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--check", type=int, required=True, metavar="N", help="files of the sample")
    parser.add_argument("--seed", type=int, default=1, metavar="S")


def duplicates_command(arguments: argparse.Namespace) -> None:
    if arguments.check < 2:
        raise DataError(f"--check {arguments.check}: two files at least")
    packages = [row.name for row in read_manifest(arguments.manifest) if row.split == "train"]
    json.dump(compare(sample(arguments.src, packages, arguments.check, arguments.seed), arguments.seed), sys.stdout, indent=1)
    print()
