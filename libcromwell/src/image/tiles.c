/* tiles.c: shrinks a picture by area averaging and cuts it into tiles (docs/sampling.md). */
#include <string.h>

#include "fault.h"
#include "image/limits.h"

enum { SCALED_MOST = CW_TILE * CW_GRID_MOST };

/* Puts row y of the scaled picture, [width, 3], in its place in tiles [rows * cols, 256, 256, 3]. */
static void put_row(const uint8_t *row, uint32_t width, uint32_t y, uint32_t cols, uint8_t *tiles) {
  uint8_t *out = tiles + ((size_t)(y / CW_TILE) * cols * CW_TILE + y % CW_TILE) * CW_TILE * 3;
  for (uint32_t x = 0; x < width; x += CW_TILE) {
    memcpy(out, row + (size_t)x * 3, (width - x < CW_TILE ? width - x : CW_TILE) * 3);
    out += CW_TILE * CW_TILE * 3;
  }
}

/* Shrinking cuts a line of `from` pixels into `to` equal stretches. In units of 1/to pixel a pixel is `to` long and a stretch `from`, so that
 * all lengths are integers and a pixel, to <= from, lies in at most two stretches. */

/* sums [to, 3] = for each stretch of row [from, 3] the sum of length times value: at most 255 * from. */
static void shrink_row(const uint8_t *row, uint32_t from, uint32_t to, uint32_t *sums) {
  uint32_t room = from; /* of the stretch that is being filled */
  uint32_t sum[3] = {0};
  for (uint32_t i = 0; i < from; i++, row += 3) {
    uint32_t length = to < room ? to : room, rest = to - length;
    for (int k = 0; k < 3; k++) sum[k] += length * row[k];
    room -= length;
    if (room > 0) continue;
    for (int k = 0; k < 3; k++) {
      *sums++ = sum[k];
      sum[k] = rest * row[k];
    }
    room = from - rest;
  }
}

/* out[i] = sums[i] / area, rounded half up. Numerators stay below 2^38, so that no quotient in double is rounded across an integer. */
static void divide(const uint64_t *sums, uint32_t count, int64_t area, uint8_t *out) {
  for (uint32_t i = 0; i < count; i++) out[i] = (uint8_t)((double)(2 * (int64_t)sums[i] + area) / (double)(2 * area));
}

static void shrink(const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t to_width, uint32_t to_height, uint32_t cols, uint8_t *tiles) {
  uint64_t sums[SCALED_MOST * 3] = {0}; /* [to_width, 3], at most 255 * width * height */
  uint32_t across[SCALED_MOST * 3];     /* [to_width, 3] */
  uint8_t row[SCALED_MOST * 3];         /* [to_width, 3] */
  uint32_t room = height, count = to_width * 3, y = 0;
  for (uint32_t j = 0; j < height; j++) {
    shrink_row(rgb + (size_t)j * width * 3, width, to_width, across);
    uint32_t length = to_height < room ? to_height : room, rest = to_height - length;
    for (uint32_t i = 0; i < count; i++) sums[i] += (uint64_t)length * across[i];
    room -= length;
    if (room > 0) continue;
    divide(sums, count, (int64_t)width * height, row);
    put_row(row, to_width, y++, cols, tiles);
    for (uint32_t i = 0; i < count; i++) sums[i] = (uint64_t)rest * across[i];
    room = height - rest;
  }
}

cw_status cw_image_tiles(const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t rows, uint32_t cols, uint32_t scaled_width,
                         uint32_t scaled_height, uint8_t *tiles) {
  if (rgb == NULL || tiles == NULL || rows < 1 || cols < 1 || rows > CW_GRID_MOST || cols > CW_GRID_MOST) return CW_E_ARGUMENT;
  CW_TRY(cw_image_check(width, height));
  if (scaled_width < 1 || scaled_height < 1 || scaled_width > width || scaled_height > height) return CW_E_ARGUMENT;
  if (scaled_width > cols * CW_TILE || scaled_height > rows * CW_TILE) return CW_E_ARGUMENT;

  memset(tiles, 255, (size_t)rows * cols * CW_TILE * CW_TILE * 3);
  if (scaled_width == width && scaled_height == height) {
    for (uint32_t y = 0; y < height; y++) put_row(rgb + (size_t)y * width * 3, width, y, cols, tiles);
  } else {
    shrink(rgb, width, height, scaled_width, scaled_height, cols, tiles);
  }
  return CW_OK;
}
