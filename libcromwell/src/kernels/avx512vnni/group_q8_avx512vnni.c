/* group_q8_avx512vnni.c: tiles of up to 6 rows x 4 panels over one group of int8 weights. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"

#include <string.h>

enum { TILE_ROWS = 6 };

static inline __attribute__((always_inline)) __m512i four(const int8_t *q) {
  int32_t bits;
  memcpy(&bits, q, sizeof bits);
  return _mm512_set1_epi32(bits);
}

/* sums + the products of 4 u and 4 q a lane. As assembly because gcc 12 copies the 24 sums of a tile through the stack otherwise. */
static inline __attribute__((always_inline)) void add_products(__m512i *sums, __m512i u, __m512i q) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(u), "v"(q));
}

/* ROWS and PANELS are constants where this is inlined, so that sums stay in registers. The sum over (u - 64) q starts at -64 sum q. */
static inline __attribute__((always_inline)) void tile(const size_t ROWS, const size_t PANELS, const cw_q8_rows *x, size_t row,
                                                       size_t x_depth, size_t index, const cw_group_q8 *w, size_t panel, __mmask16 last,
                                                       float *y, size_t y_stride, int fresh, int ask) {
  const size_t groups = (x_depth + CW_GROUP - 1) / CW_GROUP, steps = w->depth / 4;
  const int8_t *q = x->q + row * x_depth + index * CW_GROUP;
  const uint8_t *weights = w->weights + panel * w->stride, *ahead = w->ahead + panel * w->ahead_stride;
  __m512i sums[TILE_ROWS][CW_BESIDE];
#pragma GCC unroll 6
  for (size_t r = 0; r < ROWS; r++) {
    const int32_t *parts = x->sums + (row + r) * (x_depth / CW_SUB) + index * (CW_GROUP / CW_SUB);
    int32_t sum = 0;
    if (steps == CW_GROUP / 4)
      sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    else
      for (size_t i = 0; i < w->depth / CW_SUB; i++) sum += parts[i];
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) sums[r][p] = _mm512_set1_epi32(-CW_OFFSET * sum);
  }
  for (size_t k = 0; k < steps; k++) {
    __m512i u[CW_BESIDE];
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) {
      u[p] = _mm512_loadu_si512(weights + p * w->stride + k * 64);
      if (ask) _mm_prefetch((const char *)ahead + p * w->ahead_stride + k * 64, _MM_HINT_T0);
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < ROWS; r++) {
      __m512i four_q = four(q + r * x_depth + k * 4);
#pragma GCC unroll 4
      for (size_t p = 0; p < PANELS; p++) add_products(&sums[r][p], u[p], four_q);
    }
  }
#pragma GCC unroll 4
  for (size_t p = 0; p < PANELS; p++) {
    __m512 scale = cw_scales_avx512vnni(w->scales + (panel + p) * w->scale_stride);
    __mmask16 mask = p + 1 == PANELS ? last : (__mmask16)0xffff;
#pragma GCC unroll 6
    for (size_t r = 0; r < ROWS; r++) {
      float *at = y + (row + r) * y_stride + (panel + p) * CW_PANEL;
      __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r][p]), _mm512_set1_ps(x->scales[(row + r) * groups + index]));
      __m512 before = fresh ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, at);
      _mm512_mask_storeu_ps(at, mask, _mm512_fmadd_ps(dot, scale, before));
    }
  }
}

#define TILE(ROWS, PANELS) tile(ROWS, PANELS, x, row, x_depth, index, w, panel, last, y, y_stride, fresh, row == 0)

#define CASES(PANELS)                       \
  switch (count) {                          \
    case 1: TILE(1, PANELS); break;         \
    case 2: TILE(2, PANELS); break;         \
    case 3: TILE(3, PANELS); break;         \
    case 4: TILE(4, PANELS); break;         \
    case 5: TILE(5, PANELS); break;         \
    default: TILE(TILE_ROWS, PANELS);       \
  }

void cw_group_q8_avx512vnni(const cw_q8_rows *x, size_t rows, size_t x_depth, size_t index, const cw_group_q8 *w, float *y,
                            size_t y_stride, int fresh) {
  for (size_t row = 0, left = (rows + TILE_ROWS - 1) / TILE_ROWS; left > 0; left--) { /* 7 rows are 4 + 3, not 6 + 1 */
    size_t count = (rows - row + left - 1) / left, panel = 0;
    __mmask16 last = w->last;
    if (w->panels == CW_BESIDE) {
      CASES(4)
    } else {
      for (; panel < w->panels; panel++) {
        last = panel + 1 == w->panels ? w->last : (__mmask16)0xffff;
        CASES(1)
      }
    }
    row += count;
  }
}
