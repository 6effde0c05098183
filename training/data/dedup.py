"""Near-duplicates: shingles of a text, MinHash signatures, bucket keys, exact Jaccard.

A text is the set of its runs of SHINGLE words. Two texts are near-duplicates when the Jaccard similarity of their sets is at least
THRESHOLD. Signatures only propose pairs: whatever they propose is compared exactly before anything is dropped (dedup_groups.py).

Signatures use one hash of every shingle instead of 220 (one-permutation hashing, Li, Owen and Zhang 2012): its high bits choose one of
220 bins, and a bin keeps its least hash. Bins that stay empty, in small files, are filled by further rounds with hashes made anew.
The round that first fills a bin for the union of two sets does so for one of them at least, so two bins are equal with probability J."""

from __future__ import annotations

import numpy as np

from .dedup_tokens import mix, odd

SHINGLE = 5  # words
THRESHOLD = 0.85
BUCKETS, BUCKET_HASHES = 20, 11  # 97% of pairs at 0.85 share a bucket, of pairs at 0.6 7%; 14 x 16 finds 66% (docs/data.md)
BINS = BUCKETS * BUCKET_HASHES
KEYS = BUCKETS + 1  # a file's keys: of its buckets, and of all its words in order
_ROUND_SHINGLES = 1536  # hashed at once: enough to fill nearly all bins (one in 950 stays empty)
_MAX = np.uint64(0xFFFFFFFFFFFFFFFF)
_PLACE = odd(1, SHINGLE)
_IN_BUCKET = odd(2, BUCKET_HASHES)
_STEP = odd(3, 1)[0]


def shingles(words: np.ndarray) -> np.ndarray:
    """Hashes of every SHINGLE words in a row, in order and with repetitions, uint64; of all words when there are fewer."""
    if not len(words):
        return np.zeros(0, np.uint64)
    count = max(1, len(words) - SHINGLE + 1)
    total = words[:count] * _PLACE[0]
    for place in range(1, min(SHINGLE, len(words))):
        total += words[place : place + count] * _PLACE[place]
    return mix(total)


def as_set(hashes: np.ndarray) -> np.ndarray:
    """The distinct hashes, sorted."""
    ordered = np.sort(hashes)
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))] if len(ordered) else ordered


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """|A and B| / |A or B| of two sorted sets; 1 for two empty ones."""
    if not len(first) or not len(second):
        return float(len(first) == len(second))
    small, large = (first, second) if len(first) <= len(second) else (second, first)
    places = np.searchsorted(large, small)
    common = int(np.count_nonzero(large[np.minimum(places, len(large) - 1)] == small))
    return common / (len(first) + len(second) - common)


def signature(hashes: np.ndarray) -> np.ndarray:
    """The MinHash signature of a set of shingles, uint64 [BINS]; repetitions and order do not matter. At least one shingle."""
    found = np.full(BINS, _MAX, np.uint64)
    per_turn, first = -(-_ROUND_SHINGLES // len(hashes)), 0
    while True:
        rounds = np.arange(per_turn, dtype=np.uint64)[:, None]
        values = mix(hashes[None, :] + (rounds + np.uint64(first)) * _STEP)  # [rounds, shingles]
        places = ((values >> np.uint64(32)) * np.uint64(BINS) >> np.uint64(32)) + rounds * np.uint64(BINS)
        least = np.full(per_turn * BINS, _MAX, np.uint64)
        np.minimum.at(least, places.view(np.int64).reshape(-1), values.reshape(-1))
        least = least.reshape(per_turn, BINS)
        earliest = least[(least != _MAX).argmax(axis=0), np.arange(BINS)]  # of the first round that filled the bin
        found = np.where(found == _MAX, earliest, found)
        if found.max() != _MAX:
            return found
        first += per_turn


def bucket_keys(sketch: np.ndarray) -> np.ndarray:
    """One key for each bucket of a signature, uint64 [BUCKETS]: equal keys are equal bins."""
    return mix((mix(sketch).reshape(BUCKETS, BUCKET_HASHES) * _IN_BUCKET).sum(axis=1, dtype=np.uint64))


def sequence_key(words: np.ndarray) -> np.uint64:
    """A key of all the words in their order: a polynomial in an odd number, modulo 2^64."""
    powers = np.cumprod(np.full(len(words), _STEP, np.uint64))
    return mix(np.array([(words * powers).sum(dtype=np.uint64) + np.uint64(len(words))]))[0]


def candidate_probability(similarity: float) -> float:
    """The chance that two texts of this similarity share a bucket."""
    return 1 - (1 - similarity**BUCKET_HASHES) ** BUCKETS
