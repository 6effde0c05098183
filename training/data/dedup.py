"""Near-duplicates: shingles of a text, MinHash signatures, bucket keys, exact Jaccard.

A text is the set of its runs of SHINGLE words. Two texts are near-duplicates when the Jaccard similarity of their sets is at least
THRESHOLD. Signatures only propose pairs: whatever they propose is compared exactly before anything is dropped (dedup_groups.py).

Many texts are done at once: their words, or shingles, lie one after the other, with the place where each text's begin.

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
_FIRST_HASHES, _MORE_HASHES = 1200, 400  # of a set at a time; all bins are filled by 1,300 on average
_MAX = np.uint64(0xFFFFFFFFFFFFFFFF)
_ROUND_BIT = np.uint64(57)  # above a hash's distance from the least of its bin: 2^64 / 220 is less than 2^57
_DISTANCE = (np.uint64(1) << _ROUND_BIT) - np.uint64(1)
_ROUNDS = 127  # at once: what is left of 64 bits, less the one that makes _MAX
_BIN_STARTS = np.array([-(-(place << 32) // BINS) << 32 for place in range(BINS)], np.uint64)  # the least hash of each bin
_PLACE = odd(1, SHINGLE)
_IN_BUCKET = odd(2, BUCKET_HASHES)
_STEP = odd(3, 1)[0]


def shingles(words: np.ndarray) -> np.ndarray:
    """Hashes of every SHINGLE words in a row, in order and with repetitions, uint64; of all words when there are fewer."""
    return shingles_of(words, np.array([0, len(words)]))[0]


def shingles_of(words: np.ndarray, word_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shingles of some texts, one after the other, and the first of each, int64 [texts + 1]; `word_of` is the first word of each."""
    counts = np.diff(word_of)
    total = words * _PLACE[0]
    for place in range(1, min(SHINGLE, len(words))):
        total[: len(words) - place] += words[place:] * _PLACE[place]
    whole = np.ones(len(words), bool)  # of the last words of a text, begin shingles that reach beyond it
    for place in range(1, SHINGLE):
        whole[word_of[1:][counts > place] - place] = False
    for short in np.flatnonzero((counts > 0) & (counts < SHINGLE)):
        own = words[word_of[short] : word_of[short + 1]]
        total[word_of[short]] = (own * _PLACE[: len(own)]).sum(dtype=np.uint64)
    return mix(total[whole]), np.append(0, np.cumsum(np.where(counts, np.maximum(1, counts - SHINGLE + 1), 0)))


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
    return signatures(hashes, np.array([0, len(hashes)]))[0]


def signatures(hashes: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """The signature of each of some sets, uint64 [sets, BINS]; `bounds` is the first shingle of each, of which it has one at least."""
    starts, counts = bounds[:-1], np.diff(bounds)
    found = np.full((len(counts), BINS), _MAX, np.uint64)
    _keep_least(found, mix(hashes), np.repeat(np.arange(len(counts)) * BINS, counts))  # round 0 of all sets, which needs no copies
    left = np.flatnonzero((found == _MAX).any(axis=1))  # the sets that have empty bins
    first, wanted = np.ones_like(counts), _FIRST_HASHES  # the round that is next
    while len(left):
        rounds = np.minimum(_ROUNDS, np.maximum(1, -(-wanted // counts[left]) - 1))
        new = _least(hashes, starts[left], counts[left], first[left], rounds)
        found[left] = np.where(found[left] == _MAX, new, found[left])
        first[left] += rounds
        left = left[(found[left] == _MAX).any(axis=1)]
        wanted = _MORE_HASHES
    return found


def _keep_least(least: np.ndarray, values: np.ndarray, places: np.ndarray, before: np.ndarray | None = None) -> None:
    """Put hashes into the bins of `least`, [sets, BINS], that their high bits choose, where they are less than what is there. `places` are
    the first bins of each one's set, and are changed. With `before`, what counts is the hash's distance from the bin's least, and above it
    the bits of `before`."""
    bins = values >> np.uint64(32)
    bins *= np.uint64(BINS)
    bins >>= np.uint64(32)
    bins = bins.view(np.int64)
    if before is not None:
        values -= _BIN_STARTS[bins]
        values |= before
    places += bins
    np.minimum.at(least.reshape(-1), places, values)


def _least(hashes: np.ndarray, starts: np.ndarray, counts: np.ndarray, first: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """The bins of each set, which has `counts` shingles from `starts` on, after a number of rounds that begin with `first`: each bin is
    filled by the first round that does so, and _MAX where none does; uint64 [sets, BINS]."""
    row_of = np.cumsum(rounds)  # a row for each round of each set
    set_of = np.repeat(np.arange(len(rounds)), rounds)
    turns = np.arange(int(row_of[-1])) - (row_of - rounds)[set_of]
    sizes = counts[set_of]
    ends = np.cumsum(sizes)
    places = np.arange(int(ends[-1]))
    places += np.repeat(starts[set_of] - (ends - sizes), sizes)
    values = hashes[places]
    values += np.repeat((turns + first[set_of]).view(np.uint64) * _STEP, sizes)
    found = np.full((len(rounds), BINS), _MAX, np.uint64)
    before = np.repeat(turns.view(np.uint64) << _ROUND_BIT, sizes)
    _keep_least(found, mix(values), np.repeat(set_of * BINS, sizes), before)
    return np.where(found == _MAX, _MAX, (found & _DISTANCE) + _BIN_STARTS)


def bucket_keys(sketches: np.ndarray) -> np.ndarray:
    """One key for each bucket of some signatures, uint64 [..., BUCKETS]: equal keys are equal bins."""
    return mix((mix(sketches).reshape(*sketches.shape[:-1], BUCKETS, BUCKET_HASHES) * _IN_BUCKET).sum(axis=-1, dtype=np.uint64))


def sequence_keys(words: np.ndarray, word_of: np.ndarray) -> np.ndarray:
    """A key of all the words of each of some texts in their order: a polynomial in an odd number, modulo 2^64; uint64 [texts]."""
    counts = np.diff(word_of)
    powers = np.cumprod(np.full(int(counts.max(initial=0)), _STEP, np.uint64))
    bounds = zip(word_of[:-1].tolist(), word_of[1:].tolist(), strict=True)
    sums = [np.vdot(words[first:last], powers[: last - first]) for first, last in bounds]
    return mix(np.array(sums, np.uint64) + counts.view(np.uint64))


def keys(words: np.ndarray, word_of: np.ndarray) -> np.ndarray:
    """The keys of some texts, uint64 [texts, KEYS]; those of the buckets are 0 for a text without words."""
    hashes, bounds = shingles_of(words, word_of)
    found = np.zeros((len(word_of) - 1, KEYS), np.uint64)
    filled = np.flatnonzero(np.diff(bounds))
    if len(filled):
        found[filled, :BUCKETS] = bucket_keys(signatures(hashes, np.append(bounds[filled], len(hashes))))
    found[:, BUCKETS] = sequence_keys(words, word_of)
    return found


def candidate_probability(similarity: float) -> float:
    """The chance that two texts of this similarity share a bucket."""
    return 1 - (1 - similarity**BUCKET_HASHES) ** BUCKETS
