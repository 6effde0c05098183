"""Which documents make a batch: micro-batches of whole documents of like length, in an order fixed by seed and epoch.

A row is one document from its first token on, padded at its end: then causality alone keeps documents apart, attention costs
what the document's own length asks for, and positions start at 0 as they do at inference. Documents of like length share a
micro-batch, so that little is padding. The folder's format is that of training/data (docs/data.md)."""

from __future__ import annotations

import hashlib
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
ROUND = 8  # rows are padded to a multiple of this: narrow edits have 90 tokens, of which 32 would add a sixth
POOL = 32  # micro-batches' worth of documents among which like lengths are sought


class Batch(NamedTuple):
    """One micro-batch; P scored positions."""

    ids_BT: Tensor  # int64, 0 beyond each length
    length_B: Tensor  # int64
    scored_B: Tensor  # int64, the first scored token of each row
    place_P: Tensor  # int64, index into the flattened [B * T] of the position that predicts
    target_P: Tensor  # int64, the token to predict there
    document_P: Tensor  # int64, row of each scored position
    kind_B: Tensor  # int64, index into the kinds of the data
    images: list[Image]

    def to(self, device: torch.device) -> Batch:
        """This batch on a device; from pinned memory a GPU copies while the CPU goes on."""
        if device.type == "cpu":
            return self
        images = [image._replace(tiles=image.tiles.to(device, non_blocking=True)) for image in self.images]
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self[:-1]), images)

    def pinned(self) -> Batch:
        """This batch in page-locked memory."""
        return Batch(*(tensor.pin_memory() for tensor in self[:-1]), [i._replace(tiles=i.tiles.pin_memory()) for i in self.images])


class DataError(ValueError):
    """A data folder that cannot be trained on; the text says what is off."""


class Documents:
    """A folder of tokenised documents, memory-mapped."""

    def __init__(self, folder: str | Path, max_tokens: int, vocab_size: int | None = None) -> None:
        """Documents longer than `max_tokens` are cut when all of them is scored, and left out (counted in `left_out`) otherwise.

        DataError when files are missing, differ from the digests of the index, do not fit together or hold other tokens than the model."""
        folder = Path(folder)
        try:
            self.index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            for name, digest in self.index.get("sha256", {}).items():
                with (folder / name).open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != digest:
                    raise DataError(f"{folder}/{name}: differs from the index, so it is damaged: make or fetch this folder anew")
            self.tokens = numpy.load(folder / "tokens.npy", mmap_mode="r")
            docs = numpy.load(folder / "docs.npy").astype(numpy.int64)
            kinds = numpy.load(folder / "kinds.npy")
            tile_of = folder / "tile_of.npy"
            self.tile_of = numpy.load(tile_of) if tile_of.exists() else numpy.full(len(docs), -1)
            shown = (self.tile_of >= 0).any()
            self.grids = numpy.load(folder / "grids.npy").astype(numpy.int64) if shown else numpy.zeros((len(docs), 2), numpy.int64)
            self.tiles = Tiles(folder) if shown else None
        except DataError:
            raise
        except (OSError, ValueError, EOFError, AttributeError, fetch.DataError) as error:
            raise DataError(f"{folder}: {error}") from error
        self.kind_names = [str(name) for name in self.index.get("kinds", [])]
        if not self.kind_names:
            names, kinds = numpy.unique(kinds, return_inverse=True)
            self.kind_names = [str(name) for name in names]
        if docs.ndim != 2 or docs.shape[1] != 3 or len(kinds) != len(docs) or len(self.tile_of) != len(docs):
            raise DataError(f"{folder}: docs.npy, kinds.npy and tile_of.npy do not fit together")
        if len(kinds) and kinds.max() >= len(self.kind_names):
            raise DataError(f"{folder}: kinds.npy names a kind that the index does not have")
        self.kinds = kinds.astype(numpy.int64)
        self.start, self.scored, self.end = docs.T.copy()
        if len(docs) == 0 or (self.start > self.scored).any() or (self.scored >= self.end).any() or self.end.max() > len(self.tokens):
            raise DataError(f"{folder}: docs.npy: no documents, or one out of order or out of range")
        if vocab_size is not None and (largest := int(self.tokens.max())) >= vocab_size:
            raise DataError(f"{folder}: holds token {largest}, the model has {vocab_size}: tokenise with the model's tokenizer")
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
        """The documents numbered `members` as tensors; `kind_B` are indices of `kind_names`."""
        start_B = self.start[members]
        length_B = self.end[members] - start_B
        scored_B = numpy.maximum(self.scored[members] - start_B, 1)
        width = int(-(-length_B.max() // ROUND) * ROUND)
        at_T = numpy.arange(width)
        inside_BT = at_T < length_B[:, None]
        ids_BT = numpy.where(inside_BT, self.tokens[numpy.where(inside_BT, start_B[:, None] + at_T, 0)], 0).astype(numpy.int64)
        row_P, column_P = numpy.nonzero(inside_BT & (at_T >= scored_B[:, None]))
        images = [self._image(members[row], row, ids_BT[row]) for row in numpy.flatnonzero(self.tile_of[members] >= 0)]
        arrays = (ids_BT, length_B, scored_B, row_P * width + column_P - 1, ids_BT[row_P, column_P], row_P, self.kinds[members])
        return Batch(*map(torch.from_numpy, arrays), images)

    def _image(self, member: int, row: int, ids_T: numpy.ndarray) -> Image:
        spots = numpy.flatnonzero(ids_T == IMAGE_TOKEN)
        if len(spots) != 1:
            raise DataError(f"document {member} has a picture and {len(spots)} <IMAGE> tokens")
        rows, cols = (int(side) for side in self.grids[member])
        try:
            tiles = torch.from_numpy(self.tiles.picture(int(self.tile_of[member]), rows, cols))
        except fetch.DataError as error:
            raise DataError(str(error)) from error
        return Image(int(row), int(spots[0]), tiles, rows, cols)

    def scored_tokens(self, members: numpy.ndarray) -> int:
        """Tokens with a loss; nothing predicts a document's first token."""
        return int((self.end - numpy.maximum(self.scored, self.start + 1))[members].sum())

    def tokens_in(self, members: numpy.ndarray) -> int:
        return int((self.end - self.start)[members].sum())

    def has_pictures(self, members: numpy.ndarray) -> bool:
        return bool((self.tile_of[members] >= 0).any())
