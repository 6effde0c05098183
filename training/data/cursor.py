"""Reading shards in an order of their own each epoch, from a cursor that can be kept: (seed, epoch, position).

The order of an epoch is a permutation computed place by place (a Feistel network over the document numbers, as format-preserving
encryption does it), so nothing is kept in memory or on disk but the cursor, however many documents there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .dedup_tokens import mix
from .fetch import DataError
from .pipeline_files import read_json, write_json
from .shards import Shard, digest, open_shard

ROUNDS = 6


class Cursor(NamedTuple):
    """Where reading stands: the next document is the one at `position` of the epoch's order."""

    seed: int
    epoch: int = 0
    position: int = 0


def order(count: int, seed: int, epoch: int, positions: np.ndarray) -> np.ndarray:
    """The numbers, below `count`, of the documents at these positions of an epoch's order; int64 in, int64 out."""
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    own = mix(mix(np.array([seed], np.int64).view(np.uint64)) + np.uint64(epoch))
    keys = mix(np.arange(1, ROUNDS + 1, dtype=np.uint64) + own)
    values = positions.astype(np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():  # the network permutes a power of four; what falls outside walks on until it is inside
        left, right = values[outside] >> np.uint64(half), values[outside] & mask
        for key in keys:
            left, right = right, left ^ (mix(right + key) & mask)
        values[outside] = (left << np.uint64(half)) | right
        outside = values >= np.uint64(count)
    return values.astype(np.int64)


class Stream:
    """The documents of some shards, epoch after epoch, from a cursor on."""

    def __init__(self, folders: list[Path], cursor: Cursor):
        """Raises DataError for a shard that is missing or damaged, or for a cursor beyond their end."""
        self.shards = [open_shard(folder) for folder in folders]
        self.ends = np.cumsum([len(shard.docs) for shard in self.shards])
        self.data = digest(*(str(sorted(shard.index["sha256"].items())).encode() for shard in self.shards))
        self.cursor = cursor
        if not self.count or not 0 <= cursor.position < self.count:
            raise DataError(f"cursor at document {cursor.position} of an epoch of {self.count}: it belongs to other data")

    @property
    def count(self) -> int:
        """Documents of an epoch."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def take(self, wanted: int) -> list[tuple[Shard, int]]:
        """The next documents, as (shard, number in it); the cursor moves past them, into the next epoch where one ends."""
        taken: list[tuple[Shard, int]] = []
        while len(taken) < wanted:
            seed, epoch, position = self.cursor
            part = min(wanted - len(taken), self.count - position)
            numbers = order(self.count, seed, epoch, np.arange(position, position + part))
            at = np.searchsorted(self.ends, numbers, side="right")
            first = self.ends[at] - [len(self.shards[i].docs) for i in at]
            taken += [(self.shards[i], int(number)) for i, number in zip(at, numbers - first, strict=True)]
            position += part
            self.cursor = Cursor(seed, epoch + 1, 0) if position == self.count else Cursor(seed, epoch, position)
        return taken

    def __iter__(self) -> Iterator[tuple[Shard, int]]:
        while True:
            yield from self.take(1)

    def save(self, path: Path) -> None:
        """Keep the cursor in a file, with a digest of the shards it belongs to."""
        write_json(path, {"format": 1, "data": self.data, **self.cursor._asdict()})


def resume(folders: list[Path], path: Path) -> Stream:
    """Go on from a kept cursor. Raises DataError when it is damaged or belongs to other shards."""
    kept = read_json(path)
    try:
        stream = Stream(folders, Cursor(int(kept["seed"]), int(kept["epoch"]), int(kept["position"])))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a cursor ({error})") from error
    if kept.get("data") != stream.data:
        raise DataError(f"{path}: the cursor belongs to other shards: start without it")
    return stream
