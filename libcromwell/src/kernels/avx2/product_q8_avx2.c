/* product_q8_avx2.c: products of int8 rows with int8 panels.
 *
 * Four panels go together: their pieces of one group (8 KiB) stay in L1 while tiles of rows pass over them, and what belongs to a row
 * is prepared once for 64 outputs. y carries the sums from group to group. Few rows are limited by memory, so the first tile asks for
 * the next group of each panel: a panel is often no longer than a page, where the processor's own prefetching stops. */
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/dots_avx2.h"
#include "kernels/avx2/kernels_avx2.h"

enum { BESIDE = 4 };

/* One group of up to four panels. */
typedef struct {
  const uint8_t *weights;
  const uint16_t *scales;
  size_t stride, scale_stride; /* from a panel to the next */
  size_t panels, width;        /* width: outputs wanted of the last panel */
  size_t start, length;        /* of the group along k */
  size_t ahead;                /* bytes to the panel's next group, from the last one to the next four panels */
} group;

/* A panel of which only a part is wanted: its lanes of y are read and written through a padded copy. */
CW_INLINE __m256 load_lanes(const float *y, size_t count) {
  float padded[8] = {0};
  memcpy(padded, y, (count < 8 ? count : 8) * sizeof(float));
  return _mm256_loadu_ps(padded);
}

CW_INLINE void store_lanes(float *y, __m256 value, size_t count) {
  float padded[8];
  _mm256_storeu_ps(padded, value);
  memcpy(y, padded, (count < 8 ? count : 8) * sizeof(float));
}

/* y = fma((float)dot * scale, weight scale, y) for `width` of 16 outputs. */
CW_INLINE void finish(const __m256i dot[2], __m256 scale, __m256 low, __m256 high, float *y, size_t width, int fresh) {
  __m256 a = _mm256_mul_ps(_mm256_cvtepi32_ps(dot[0]), scale), b = _mm256_mul_ps(_mm256_cvtepi32_ps(dot[1]), scale);
  if (width == CW_PANEL) {
    _mm256_storeu_ps(y, _mm256_fmadd_ps(a, low, fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(y)));
    _mm256_storeu_ps(y + 8, _mm256_fmadd_ps(b, high, fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(y + 8)));
    return;
  }
  store_lanes(y, _mm256_fmadd_ps(a, low, fresh ? _mm256_setzero_ps() : load_lanes(y, width)), width);
  if (width > 8) store_lanes(y + 8, _mm256_fmadd_ps(b, high, fresh ? _mm256_setzero_ps() : load_lanes(y + 8, width - 8)), width - 8);
}

/* `rows` rows from row r on, one group; `whole` says that it has 128 numbers and that all outputs are wanted. */
CW_INLINE void tile(const int rows, const int whole, const cw_q8_rows *x, size_t r, const group *g, const int ask, float *y,
                    size_t y_stride, int fresh) {
  const size_t length = whole ? CW_GROUP : g->length;
  const size_t of_group = g->start / CW_GROUP * x->stride + r;
  const int8_t *q = x->q + of_group * CW_GROUP;
  __m256i offset[CW_TILE_ROWS];
  __m256 scale[CW_TILE_ROWS];
#pragma GCC unroll 4
  for (size_t i = 0; i < (size_t)rows; i++) {
    int32_t sum = group_sum(x->sums + g->start / CW_SUB * x->stride + r + i, x->stride, length / CW_SUB);
    offset[i] = _mm256_set1_epi32(-CW_OFFSET * sum);
    scale[i] = _mm256_set1_ps(x->scales[of_group + i]);
  }
  for (size_t p = 0; p < g->panels; p++) {
    __m256i dot[CW_TILE_ROWS * 2];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) dot[i * 2] = dot[i * 2 + 1] = offset[i];
    dots(rows, q, CW_GROUP, g->weights + p * g->stride, length, ask, g->ahead, dot);
    const uint16_t *scales = g->scales + p * g->scale_stride;
    __m256 low = eight_scales(scales), high = eight_scales(scales + 8);
    size_t width = !whole && p + 1 == g->panels ? g->width : CW_PANEL;
#pragma GCC unroll 4
    for (size_t i = 0; i < (size_t)rows; i++) finish(dot + i * 2, scale[i], low, high, y + i * y_stride + p * CW_PANEL, width, fresh);
  }
}

/* All rows, split evenly into tiles. */
CW_INLINE void rows_of_group(const int whole, const cw_q8_rows *x, size_t rows, const group *g, float *y, size_t y_stride,
                             int fresh) {
  size_t tiles = (rows + CW_TILE_ROWS - 1) / CW_TILE_ROWS;
  for (size_t t = 0; t < tiles; t++) {
    size_t r = rows * t / tiles, count = rows * (t + 1) / tiles - r;
    float *at = y + r * y_stride;
    if (count == 1) tile(1, whole, x, r, g, 1, at, y_stride, fresh);
    else if (count == 2) tile(2, whole, x, r, g, 1, at, y_stride, fresh);
    else if (count == 3) tile(3, whole, x, r, g, 1, at, y_stride, fresh);
    else if (t == 0) tile(4, whole, x, r, g, 1, at, y_stride, fresh);
    else tile(4, whole, x, r, g, 0, at, y_stride, fresh);
  }
}

void cw_product_q8_avx2(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add) {
  size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, panels = (w->outputs + CW_PANEL - 1) / CW_PANEL;
  for (size_t p = 0; p < panels; p += BESIDE)
    for (size_t i = 0; i < groups; i++) {
      size_t start = i * CW_GROUP;
      group g = {w->weights + (p * depth + start) * CW_PANEL,
                 w->scales + (p * groups + i) * CW_PANEL,
                 depth * CW_PANEL,
                 groups * CW_PANEL,
                 panels - p < BESIDE ? panels - p : BESIDE,
                 panels - p <= BESIDE ? w->outputs - (panels - 1) * CW_PANEL : CW_PANEL,
                 start,
                 depth - start < CW_GROUP ? depth - start : CW_GROUP,
                 (i + 1 < groups ? CW_GROUP : BESIDE * depth - start) * CW_PANEL};
      int fresh = !add && i == 0;
      if (g.length == CW_GROUP && g.width == CW_PANEL) rows_of_group(1, x, rows, &g, y + p * CW_PANEL, y_stride, fresh);
      else rows_of_group(0, x, rows, &g, y + p * CW_PANEL, y_stride, fresh);
    }
}
