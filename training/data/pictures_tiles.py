"""Tiles of pictures, each a zstd frame of its own: a screenshot's 196,608 bytes take two thousand or so, and any one is read alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zstandard

from .fetch import DataError

SIDE = 256
TILE_BYTES = SIDE * SIDE * 3
EACH_WAY = 8
"""Most tiles of a picture in a row or a column, as libcromwell has it."""


class Picture(NamedTuple):
    """A picture at native scale as a grid of tiles."""

    rows: int
    cols: int
    frames: tuple[bytes, ...]  # rows * cols zstd frames of [256, 256, 3] RGB bytes, row-major


def cut(rgb: np.ndarray) -> Picture:
    """An RGB picture [height, width, 3] uint8 as tiles; what it does not cover is white. At most 8 tiles either way (ValueError)."""
    height, width, _ = rgb.shape
    rows, cols = -(-height // SIDE), -(-width // SIDE)
    if not (0 < rows <= EACH_WAY and 0 < cols <= EACH_WAY):
        raise ValueError(f"a picture of {width}x{height} pixels is not 1 to {EACH_WAY} tiles of {SIDE} pixels either way")
    canvas = np.full((rows * SIDE, cols * SIDE, 3), 255, np.uint8)
    canvas[:height, :width] = rgb
    compress = zstandard.ZstdCompressor(level=3).compress
    tiles = canvas.reshape(rows, SIDE, cols, SIDE, 3).swapaxes(1, 2)
    return Picture(rows, cols, tuple(compress(tiles[row, col].tobytes()) for row in range(rows) for col in range(cols)))


def join(picture: Picture) -> np.ndarray:
    """The pixels [256 rows, 256 cols, 3] of a picture."""
    unpack = zstandard.ZstdDecompressor().decompress
    tiles = b"".join(unpack(frame, max_output_size=TILE_BYTES) for frame in picture.frames)
    grid = np.frombuffer(tiles, np.uint8).reshape(picture.rows, picture.cols, SIDE, SIDE, 3)
    return grid.swapaxes(1, 2).reshape(picture.rows * SIDE, picture.cols * SIDE, 3)


class Tiles(Sequence):
    """The tiles of a shard: `tiles.bin` holds their frames one after the other, `tile_ends.npy` (int64) where each ends."""

    def __init__(self, folder: Path):
        """Raises DataError when the files are missing or do not fit together."""
        self.folder = Path(folder)
        try:
            self.ends = np.load(self.folder / "tile_ends.npy", allow_pickle=False)
            size = (self.folder / "tiles.bin").stat().st_size  # an empty file cannot be mapped
            self.data = np.memmap(self.folder / "tiles.bin", np.uint8, "r") if size else np.zeros(0, np.uint8)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{folder}: tiles.bin, tile_ends.npy: unreadable ({error})") from error
        if self.ends.ndim != 1 or self.ends.dtype != np.int64 or (np.diff(self.ends, prepend=0) <= 0).any():
            raise DataError(f"{folder}/tile_ends.npy: tiles out of order")
        if size != (self.ends[-1] if len(self.ends) else 0):
            raise DataError(f"{folder}/tiles.bin: {size} bytes, tile_ends.npy says {self.ends[-1] if len(self.ends) else 0}")

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> np.ndarray:
        """One tile, [256, 256, 3] uint8."""
        begin = int(self.ends[i - 1]) if i else 0
        try:
            tile = zstandard.ZstdDecompressor().decompress(self.data[begin : int(self.ends[i])].tobytes(), max_output_size=TILE_BYTES)
            return np.frombuffer(bytearray(tile), np.uint8).reshape(SIDE, SIDE, 3)
        except (zstandard.ZstdError, ValueError) as error:
            raise DataError(f"{self.folder}/tiles.bin: tile {i} is damaged ({error})") from error

    def picture(self, first: int, rows: int, cols: int) -> np.ndarray:
        """The tiles of a picture, [rows * cols, 256, 256, 3] uint8, row-major."""
        return np.stack([self[i] for i in range(first, first + rows * cols)])
