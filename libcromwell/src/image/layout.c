/* layout.c: how large a picture is shown to the model, and on which grid of tiles (docs/sampling.md). */
#include "fault.h"
#include "image/limits.h"

static uint32_t tiles_along(uint32_t pixels) { return (pixels + CW_TILE - 1) / CW_TILE; }

static uint32_t at_least_one(uint64_t x) { return x > 0 ? (uint32_t)x : 1; }

cw_status cw_image_layout(uint32_t width, uint32_t height, uint32_t max_tiles, uint32_t *rows, uint32_t *cols, uint32_t *scaled_width,
                          uint32_t *scaled_height) {
  if (rows == NULL || cols == NULL || scaled_width == NULL || scaled_height == NULL || max_tiles < 1) return CW_E_ARGUMENT;
  CW_TRY(cw_image_check(width, height));
  uint32_t best_width = width, best_height = height;
  if (tiles_along(width) > CW_GRID_MOST || tiles_along(height) > CW_GRID_MOST || tiles_along(width) * tiles_along(height) > max_tiles) {
    best_width = best_height = 0;
    uint64_t best_up = 0, best_down = 1; /* the scale, best_up / best_down < 1 */
    for (uint32_t r = 1; r <= CW_GRID_MOST && r <= max_tiles; r++) {
      uint32_t c = max_tiles / r < CW_GRID_MOST ? max_tiles / r : CW_GRID_MOST;
      uint64_t box_width = (uint64_t)c * CW_TILE, box_height = (uint64_t)r * CW_TILE;
      int by_width = box_width * height <= box_height * width; /* the width is what limits the scale */
      uint64_t up = by_width ? box_width : box_height, down = by_width ? width : height;
      if (up * best_down <= best_up * down) continue;
      best_up = up;
      best_down = down;
      best_width = by_width ? (uint32_t)box_width : at_least_one((width * up * 2 + down) / (down * 2));
      best_height = by_width ? at_least_one((height * up * 2 + down) / (down * 2)) : (uint32_t)box_height;
    }
  }
  *rows = tiles_along(best_height);
  *cols = tiles_along(best_width);
  *scaled_width = best_width;
  *scaled_height = best_height;
  return CW_OK;
}
