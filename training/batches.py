"""Which documents make a batch: micro-batches of whole documents of like length, in an order fixed by seed and epoch.

A row is one document from its first token on, padded at its end: then causality alone keeps documents apart, attention costs
what the document's own length asks for, and positions start at 0 as they do at inference. Documents of like length share a
micro-batch, so that little is padding. The folder's format is that of training/data (docs/data.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from training.data import fetch
from training.data.pictures_tiles import Tiles
from training.model.model import Image

IMAGE_TOKEN = 13  # "<IMAGE>" in contract/prompt.py's SPECIAL_TOKENS
ROUND = 32  # rows are padded to a multiple of this
POOL = 32  # micro-batches' worth of documents among which like lengths are sought


class Batch(NamedTuple):
    """One micro-batch; P scored positions."""

    ids_BT: Tensor  # int64, 0 beyond each length
    length_B: Tensor  # int64
    place_P: Tensor  # int64, index into the flattened [B * T] of the position that predicts
    target_P: Tensor  # int64, the token to predict there
    document_P: Tensor  # int64, row of each scored position
    kind_B: list[str]
    images: list[Image]


class DataError(ValueError):
    """A data folder that cannot be trained on; the text says what is off."""


class Documents:
    """A folder of tokenised documents, memory-mapped."""

    def __init__(self, folder: str | Path, max_tokens: int) -> None:
        """Documents longer than `max_tokens` are cut when all of them is scored, and left out (counted in `left_out`) otherwise."""
        folder = Path(folder)
        try:
            self.tokens = numpy.load(folder / "tokens.npy", mmap_mode="r")
            docs = numpy.load(folder / "docs.npy").astype(numpy.int64)
            kinds = numpy.load(folder / "kinds.npy")
            self.index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            tile_of = folder / "tile_of.npy"
            self.tile_of = numpy.load(tile_of) if tile_of.exists() else numpy.full(len(docs), -1)
            shown = (self.tile_of >= 0).any()
            self.grids = numpy.load(folder / "grids.npy").astype(numpy.int64) if shown else numpy.zeros((len(docs), 2), numpy.int64)
            self.tiles = Tiles(folder) if shown else None
        except (OSError, ValueError, fetch.DataError) as error:
            raise DataError(f"{folder}: {error}") from error
        self.kinds = kinds
        self.start, self.scored, self.end = docs.T.copy()
        if len(docs) == 0 or (self.start > self.scored).any() or (self.scored >= self.end).any() or self.end.max() > len(self.tokens):
            raise DataError(f"{folder}: docs.npy: no documents, or one out of order or out of range")
        too_long = self.end - self.start > max_tokens
        cut = too_long & (self.scored - self.start <= 1)  # plain text: nothing is there to be read only
        self.end[cut] = self.start[cut] + max_tokens
        self.usable = numpy.flatnonzero(~too_long | cut)
        self.left_out = int((too_long & ~cut).sum())
        if not len(self.usable):
            raise DataError(f"{folder}: every document is longer than {max_tokens} tokens")

    def plan(self, seed: int, epoch: int, batch_tokens: int) -> list[numpy.ndarray]:
        """The micro-batches of an epoch, each an array of document numbers whose padded rows hold at most `batch_tokens` tokens
        (or one document). Pictures are in batches of their own, which count a tile's vision tokens as text."""
        chance = numpy.random.default_rng((seed, epoch))
        order = chance.permutation(self.usable)
        pictures = self.tile_of[order] >= 0
        batches = []
        for part in (order[~pictures], order[pictures]):
            sizes = -(-(self.end - self.start)[part] // ROUND) * ROUND + 256 * self.grids[part].prod(axis=1)
            pool = max(1, int(POOL * batch_tokens / max(1.0, sizes.mean()))) if len(part) else 1
            for first in range(0, len(part), pool):
                members, padded = part[first : first + pool], sizes[first : first + pool]
                by_size = numpy.argsort(padded, kind="stable")
                begin = 0
                for i in range(1, len(members) + 1):
                    if i == len(members) or (i + 1 - begin) * padded[by_size[i]] > batch_tokens:
                        batches.append(members[by_size[begin:i]])
                        begin = i
        return [batches[i] for i in chance.permutation(len(batches))]

    def batch(self, members: numpy.ndarray) -> Batch:
        """The documents numbered `members` as tensors."""
        lengths = [int(self.end[m] - self.start[m]) for m in members]
        width = -(-max(lengths) // ROUND) * ROUND
        ids = numpy.zeros((len(members), width), dtype=numpy.int64)
        place, target, document, images = [], [], [], []
        for row, (m, length) in enumerate(zip(members, lengths, strict=True)):
            ids[row, :length] = self.tokens[self.start[m] : self.end[m]]
            first = max(int(self.scored[m] - self.start[m]), 1)
            place.append(numpy.arange(first - 1, length - 1) + row * width)
            target.append(ids[row, first:length])
            document.append(numpy.full(length - first, row))
            if self.tile_of[m] >= 0:
                spots = numpy.flatnonzero(ids[row, :length] == IMAGE_TOKEN)
                if len(spots) != 1:
                    raise DataError(f"document {m} has a picture and {len(spots)} <IMAGE> tokens")
                rows, cols = (int(side) for side in self.grids[m])
                try:
                    tiles = torch.from_numpy(self.tiles.picture(int(self.tile_of[m]), rows, cols))
                except fetch.DataError as error:
                    raise DataError(str(error)) from error
                images.append(Image(row, int(spots[0]), tiles, rows, cols))
        return Batch(
            torch.from_numpy(ids),
            torch.tensor(lengths),
            torch.from_numpy(numpy.concatenate(place)),
            torch.from_numpy(numpy.concatenate(target)),
            torch.from_numpy(numpy.concatenate(document)),
            [self.kind(m) for m in members],
            images,
        )

    def scored_tokens(self, members: numpy.ndarray) -> int:
        """Tokens with a loss; nothing predicts a document's first token."""
        return int((self.end - numpy.maximum(self.scored, self.start + 1))[members].sum())

    def tokens_in(self, members: numpy.ndarray) -> int:
        return int((self.end - self.start)[members].sum())

    def has_pictures(self, members: numpy.ndarray) -> bool:
        return bool((self.tile_of[members] >= 0).any())

    def kind(self, member: int) -> str:
        """The name of a document's kind."""
        kind = self.kinds[member]
        names = self.index.get("kinds")
        return str(names[int(kind)]) if names and numpy.issubdtype(self.kinds.dtype, numpy.integer) else str(kind)
