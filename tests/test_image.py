"""Layout and tiles of pictures against plain references: fractions for the layout, whole-number matrices for the averages."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell.binding import STATUS_ARGUMENT, CromwellError, image_layout, image_tiles

TILE, GRID = 256, 8


def reference_layout(width: int, height: int, max_tiles: int) -> tuple[int, int, int, int]:
    """Tries every grid and keeps the largest scale, 1 at most."""
    grids = [(r, c) for r in range(1, GRID + 1) for c in range(1, GRID + 1) if r * c <= max_tiles]
    scale = min(Fraction(1), max(min(Fraction(TILE * c, width), Fraction(TILE * r, height)) for r, c in grids))
    scaled_width, scaled_height = (max(1, int(side * scale + Fraction(1, 2))) for side in (width, height))
    return -(-scaled_height // TILE), -(-scaled_width // TILE), scaled_width, scaled_height


def averaging(size: int, to: int) -> np.ndarray:
    """[to, size] whole numbers: how much of pixel j, in units of 1/to pixel, stretch i covers."""
    edges = np.arange(to + 1) * size
    starts = np.arange(size) * to
    return np.maximum(0, np.minimum(edges[1:, None], starts + to) - np.maximum(edges[:-1, None], starts))


def reference_tiles(rgb_HW3: np.ndarray, rows: int, cols: int, scaled_width: int, scaled_height: int) -> bytes:
    """Area averages rounded half up, padded with white, cut into tiles."""
    height, width, _ = rgb_HW3.shape
    down, across = averaging(height, scaled_height).astype(float), averaging(width, scaled_width).astype(float)
    sums = np.stack([down @ rgb_HW3[..., c].astype(float) @ across.T for c in range(3)], -1).astype(np.int64)  # exact: below 2^53
    canvas = np.full((rows * TILE, cols * TILE, 3), 255, np.uint8)
    canvas[:scaled_height, :scaled_width] = (2 * sums + width * height) // (2 * width * height)
    return canvas.reshape(rows, TILE, cols, TILE, 3).swapaxes(1, 2).tobytes()


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(width=st.integers(1, 16000), height=st.integers(1, 16000), max_tiles=st.integers(1, 70))
def test_layout_is_the_reference_s(width, height, max_tiles):
    assert image_layout(width, height, max_tiles) == reference_layout(width, height, max_tiles)


@pytest.mark.parametrize("size", [(1, 1), (256, 256), (257, 1), (1, 257), (2000, 3000), (65535, 1), (1, 65535), (4096, 65535)])
@pytest.mark.parametrize("max_tiles", [1, 2, 3, 16, 64, 2**32 - 1])
def test_layout_at_the_edges(size, max_tiles):
    rows, cols, width, height = layout = image_layout(*size, max_tiles)
    assert layout == reference_layout(*size, max_tiles)
    assert 1 <= rows * cols <= max_tiles and max(rows, cols) <= GRID
    assert 1 <= width <= size[0] and 1 <= height <= size[1]


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (65536, 1), (1, 65536), (2**32 - 1, 2**32 - 1), (65535, 65535), (16384, 16385)])
def test_declared_sizes_out_of_range(size):
    with pytest.raises(CromwellError, match=f"{size[0]} x {size[1]}") as error:
        image_layout(*size, 16)
    assert error.value.status == STATUS_ARGUMENT


def test_no_tiles():
    with pytest.raises(CromwellError):
        image_layout(10, 10, 0)


@pytest.mark.parametrize("size", [(1, 1), (256, 256), (257, 1), (3, 300), (511, 513)])
def test_native_scale(size):
    rgb = picture(*size)
    layout = image_layout(*size, 16)
    assert layout[2:] == size
    assert image_tiles(rgb.tobytes(), *size, *layout) == reference_tiles(rgb, *layout)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(data=st.data(), width=st.integers(1, 90), height=st.integers(1, 90))
def test_any_shrink_is_exact(data, width, height):
    scaled = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    rgb = picture(width, height, seed=width * 100 + height)
    assert image_tiles(rgb.tobytes(), width, height, 1, 1, *scaled) == reference_tiles(rgb, 1, 1, *scaled)


@pytest.mark.parametrize(("size", "max_tiles"), [((257, 1), 1), ((700, 513), 2), ((1100, 300), 3), ((300, 700), 1)])
def test_laid_out_shrink_is_exact(size, max_tiles):
    rgb, layout = picture(*size), image_layout(*size, max_tiles)
    assert image_tiles(rgb.tobytes(), *size, *layout) == reference_tiles(rgb, *layout)


def test_large_picture():
    """Sampled rows of 2000 x 3000 pixels: whole-number averages over every row would take seconds."""
    rgb, layout = picture(2000, 3000), image_layout(2000, 3000, 16)
    rows, cols, width, height = layout
    tiles = np.frombuffer(image_tiles(rgb.tobytes(), 2000, 3000, *layout), np.uint8).reshape(rows, cols, TILE, TILE, 3)
    canvas = tiles.swapaxes(1, 2).reshape(rows * TILE, cols * TILE, 3)
    down, across = averaging(3000, height), averaging(2000, width)
    for y in (0, 1, height // 2, height - 1):
        sums = across @ np.einsum("h,hwc->wc", down[y], rgb.astype(np.int64))
        assert (canvas[y, :width] == (2 * sums + 6000000) // 12000000).all()
    assert (canvas[height:] == 255).all() and (canvas[:, width:] == 255).all()


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_plain_colour_stays(value):
    layout = image_layout(999, 1001, 2)
    rgb = bytes([value]) * (999 * 1001 * 3)
    tiles = np.frombuffer(image_tiles(rgb, 999, 1001, *layout), np.uint8)
    assert set(np.unique(tiles)) <= {value, 255}
    assert (tiles == value).sum() >= layout[2] * layout[3] * 3


def test_grid_too_small():
    for layout in ((1, 1, 257, 1), (1, 1, 1, 257), (9, 1, 1, 1), (1, 1, 301, 1)):
        with pytest.raises(CromwellError):
            image_tiles(bytes(300 * 300 * 3), 300, 300, *layout)
