/* matrix_row.c: one row of a matrix as floats, for embeddings. */
#include <string.h>

#include "model/run.h"

static float bfloat(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

void cw_matrix_row(const cw_matrix *w, uint32_t row, float *out) {
  size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, lane = row % CW_PANEL, panel = row / CW_PANEL;
  if (w->format == CW_FORMAT_F32) {
    for (size_t k = 0; k < depth; k++) out[k] = w->f32[(panel * depth + k) * CW_PANEL + lane];
    return;
  }
  const uint16_t *scales = w->scales + panel * groups * CW_PANEL + lane;
  if (w->format == CW_FORMAT_Q8) {
    const uint8_t *weights = w->weights + panel * depth * CW_PANEL + lane * 4;
    for (size_t k = 0; k < depth; k++)
      out[k] = (float)((int32_t)weights[k / 4 * CW_PANEL * 4 + k % 4] - CW_OFFSET) * bfloat(scales[k / CW_GROUP * CW_PANEL]);
    return;
  }
  const uint8_t *weights = w->weights + panel * depth * CW_PANEL / 2 + lane * 4;
  const uint8_t *multipliers = w->multipliers + panel * (depth / CW_SUB) * CW_PANEL + lane;
  for (size_t k = 0; k < depth; k++) {
    uint32_t byte = weights[k / 8 * CW_PANEL * 4 + k % 4];
    int32_t nibble = (int32_t)(k % 8 < 4 ? byte & 15 : byte >> 4);
    out[k] = (float)((nibble - 8) * multipliers[k / CW_SUB * CW_PANEL]) * bfloat(scales[k / CW_GROUP * CW_PANEL]);
  }
}
