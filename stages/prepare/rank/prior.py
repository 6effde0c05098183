"""How central a file is: PageRank over who imports whom. It says what matters before anything is asked.

It moves slowly, so it is kept in the index and computed anew only where files came or went."""

from __future__ import annotations

import hashlib
import math
from array import array

from cromwell.prepare.rank.protocol import Index

ROUNDS, DAMPING = 12, 0.85
META = "rank.prior"


def central(index: Index) -> dict[int, float]:
    """File id -> how central it is, 0 (nothing leads to it) to 1 (the most central file)."""
    key = hashlib.blake2b("\0".join(file.path for file in index.files).encode("utf-8", "surrogateescape"), digest_size=16).digest()
    kept = index.meta(META, any_state=True)
    if kept is not None and kept[:16] == key and len(kept) == 16 + 4 * len(index.files):
        values = array("f")
        values.frombytes(kept[16:])
    else:
        values = array("f", _ranks(index))
        index.put_meta(META, key + values.tobytes())
    return {file.id: value for file, value in zip(index.files, values, strict=True) if value}


def _ranks(index: Index) -> list[float]:
    """The values of `central` in the order of the index's files."""
    ids = [file.id for file in index.files]
    place = {number: at for at, number in enumerate(ids)}
    leads = [(place[user], [place[used] for used in found if used in place]) for user, found in index.imports(ids).items() if found]
    count = max(1, len(ids))
    ranks = [1.0 / count] * len(ids)
    for _ in range(ROUNDS):
        following = [(1.0 - DAMPING) / count] * len(ids)
        for user, found in leads:
            if found:
                share = DAMPING * ranks[user] / len(found)
                for used in found:
                    following[used] += share
        ranks = following
    least = min(ranks, default=0.0)
    top = max(ranks, default=0.0)
    if top <= least:
        return [0.0] * len(ids)
    whole = math.log(top / least)
    return [math.log(value / least) / whole for value in ranks]
