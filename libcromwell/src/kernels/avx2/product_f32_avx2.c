/* product_f32_avx2.c: float rows times float panels, for many rows: tiles of 6 rows x 1 panel, whose 12 sums stay in registers while 8
 * loads feed 12 multiply-adds. */
#include "kernels/avx2/kernels_avx2.h"
#include "kernels/avx2/product_f32_avx2.h"

enum { CW_TILE_ROWS = 6, CW_TILE_PANELS = 1, CW_TILES_BESIDE = 4 };
#define CW_SLOTS(rows) (rows)
#include "kernels/product_f32_blocks.h"

#define INLINE static inline __attribute__((always_inline))

/* One step along k of the sums of a tile; x of the first row, others CW_QUAD apart. */
INLINE void step(const size_t ROWS, __m256 sums[CW_TILE_ROWS][2], const float *x, const float *panel) {
  __m256 low = _mm256_loadu_ps(panel), high = _mm256_loadu_ps(panel + 8);
#pragma GCC unroll 6
  for (size_t r = 0; r < ROWS; r++) {
    __m256 one = _mm256_broadcast_ss(x + r * CW_QUAD);
    sums[r][0] = _mm256_fmadd_ps(one, low, sums[r][0]);
    sums[r][1] = _mm256_fmadd_ps(one, high, sums[r][1]);
  }
}

INLINE void quads(const size_t ROWS, size_t count, __m256 sums[CW_TILE_ROWS][2], const float **x, const float **panel) {
  for (; count > 0; count--) {
#pragma GCC unroll 4
    for (size_t k = 0; k < CW_QUAD; k++) step(ROWS, sums, *x + k, *panel + k * CW_PANEL);
    *x += ROWS * CW_QUAD, *panel += CW_QUAD * CW_PANEL;
    __asm__("" : "+r"(*x), "+r"(*panel)); /* two pointers that move, not one for each row and step */
  }
}

/* ROWS is a constant where this is inlined. */
INLINE void tile(const size_t ROWS, const cw_tile_job *j) {
  const size_t y_stride = j->y_stride;
  __m256 sums[CW_TILE_ROWS][2];
  float *y = j->y;
#pragma GCC unroll 6
  for (size_t r = 0; r < ROWS; r++, y += y_stride) {
    sums[r][0] = j->add ? _mm256_loadu_ps(y) : _mm256_setzero_ps();
    sums[r][1] = j->add ? _mm256_loadu_ps(y + 8) : _mm256_setzero_ps();
  }

  const float *x = j->x, *panel = j->panels, *next_panel = j->next_panels, *next_y = j->next_y, *next_x = j->next_x;
  const size_t lines = j->lines, x_stride = j->x_stride, x_rows = j->x_rows;
  for (size_t round = j->depth / CW_SPAN; round > 0; round--) {
    CW_ASK_SOON(next_y);
    next_y += y_stride;
    for (size_t i = 0; i < x_rows; i++) CW_ASK_LATER(next_x + i * x_stride);
    next_x += CW_SPAN;
    for (size_t i = lines; i > 0; i--, next_panel += CW_PANEL) CW_ASK_LATER(next_panel);
    quads(ROWS, CW_SPAN / CW_QUAD, sums, &x, &panel);
  }
  quads(ROWS, j->depth % CW_SPAN / CW_QUAD, sums, &x, &panel);
  for (size_t k = 0; k < j->depth % CW_QUAD; k++) step(ROWS, sums, x + k, panel + k * CW_PANEL);

  y = j->y;
#pragma GCC unroll 6
  for (size_t r = 0; r < ROWS; r++, y += y_stride) {
    _mm256_storeu_ps(y, sums[r][0]);
    _mm256_storeu_ps(y + 8, sums[r][1]);
  }
}

static void cw_tile_f32(const cw_tile_job *j, size_t rows, size_t panels) {
  (void)panels;
  switch (rows) {
    case 1: tile(1, j); break;
    case 2: tile(2, j); break;
    case 3: tile(3, j); break;
    case 4: tile(4, j); break;
    case 5: tile(5, j); break;
    default: tile(6, j); break;
  }
}

static void cw_pack_f32(const float *x, size_t x_stride, size_t rows, size_t depth, float *to) {
  for (size_t r = 0; r < rows; r++, x += x_stride, to += CW_QUAD) {
    size_t k = 0;
    for (; k + CW_QUAD <= depth; k += CW_QUAD) _mm_storeu_ps(to + k * rows, _mm_loadu_ps(x + k));
    for (size_t i = k; i < depth; i++) to[k * rows + (i - k)] = x[i];
  }
}

void cw_product_f32_avx2(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                         size_t y_stride, int add) {
  if (rows <= CW_FEW_ROWS)
    cw_product_f32_few_avx2(x, x_stride, rows, depth, panels, outputs, y, y_stride, add);
  else
    cw_product_f32_blocks(x, x_stride, rows, depth, panels, outputs, y, y_stride, add);
}
