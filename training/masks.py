"""What JEPA hides: spans or single tokens of a text, blocks of a picture's pixels before the stem.

Shapes: R rows, T positions, M tiles, G cells of a tile either way, N vision tokens a tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from cromwell.contract.prompt import SPECIAL_TOKENS
from training.config import TILE_GRID, TILE_SIZE
from training.model.vision import MEAN

HIDDEN_TOKEN = len(SPECIAL_TOKENS)
"""Stands for a hidden token: the byte 0, which no source text holds. Not a special token, since lines and columns start over at those."""

SPAN = (3, 12)  # tokens of a hidden span, both included
BLOCK = (3, 8)  # cells of a hidden block, either way
CELL = 16  # pixels of a cell, either way, at least (design documents)
GREY = tuple(round(255 * mean) for mean in MEAN)  # close to 0 once normalised


def text_mask(kind: str, lengths: Sequence[int], width: int, share: float, chance: numpy.random.Generator) -> numpy.ndarray:
    """Which of [R, width] tokens to hide: `share` of each row's, in spans or singly; never a row's first token, nor beyond its length."""
    hidden = numpy.zeros((len(lengths), width), dtype=bool)
    for row, length in zip(hidden, lengths, strict=True):
        goal = round(share * (length - 1))
        if kind == "random":
            row[1 + chance.permutation(length - 1)[:goal]] = True
            continue
        left = goal
        while left > 0:
            size = min(left, int(chance.integers(SPAN[0], SPAN[1] + 1)))
            start = int(chance.integers(1, max(2, length - size + 1)))
            row[start : min(length, start + size)] = True
            left = goal - int(row.sum())
    return hidden


def hide_text(ids_RT: Tensor, hidden_RT: Tensor, image_token: int) -> tuple[Tensor, Tensor]:
    """(ids with HIDDEN_TOKEN where hidden, what is hidden): the places of pictures stay."""
    hidden_RT = hidden_RT & (ids_RT != image_token)
    return torch.where(hidden_RT, HIDDEN_TOKEN, ids_RT), hidden_RT


def cell_size(shuffle: int) -> int:
    """Pixels of a cell either way: CELL, or a vision token's pixels where those are more."""
    return max(CELL, TILE_SIZE // TILE_GRID * shuffle)


def picture_mask(tiles: int, cells: int, share: float, chance: numpy.random.Generator) -> numpy.ndarray:
    """Which of [M, G, G] cells to hide: `share` of each tile's, as overlapping blocks, the last one cut to end there."""
    hidden = numpy.zeros((tiles, cells, cells), dtype=bool)
    goal = round(share * cells * cells)
    low, high = min(BLOCK[0], cells), min(BLOCK[1], cells)
    for tile in hidden:
        while (left := goal - int(tile.sum())) > 0:
            height, width = (int(size) for size in chance.integers(low, high + 1, 2))
            top, side = int(chance.integers(0, cells - height + 1)), int(chance.integers(0, cells - width + 1))
            rows, columns = numpy.nonzero(~tile[top : top + height, side : side + width])
            tile[top + rows[:left], side + columns[:left]] = True
    return hidden


def hide_blocks(tiles: Tensor, hidden_MGG: Tensor) -> Tensor:
    """Tiles [M, 256, 256, 3] uint8 with hidden cells grey."""
    each = TILE_SIZE // hidden_MGG.shape[-1]
    pixels = hidden_MGG.repeat_interleave(each, 1).repeat_interleave(each, 2)[..., None]
    return torch.where(pixels, torch.tensor(GREY, dtype=tiles.dtype, device=tiles.device), tiles)


def hidden_vision_tokens(hidden_MGG: Tensor, shuffle: int) -> Tensor:
    """[M, N]: vision tokens of which every pixel is hidden."""
    side = TILE_GRID // shuffle
    cells = hidden_MGG.shape[-1]
    return hidden_MGG.repeat_interleave(side // cells, 1).repeat_interleave(side // cells, 2).flatten(1)
