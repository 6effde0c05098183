/* group_q8_avx512vnni.c: tiles of up to 6 rows x 4 panels over one group of int8 weights. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { TILE_ROWS = 6 };

INLINE int32_t four(const int8_t *q) {
  int32_t bits;
  memcpy(&bits, q, sizeof bits);
  return bits;
}

/* sums + the products of 4 u and 4 q a lane. As assembly because gcc 12 copies the 24 sums of a tile through the stack otherwise. */
INLINE void add_products(__m512i *sums, __m512i u, __m512i q) { __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(u), "v"(q)); }

/* Rows from `row` on, panels from `panel` on. ROWS, PANELS and ASK (for what is ahead) are constants where this is inlined, so that sums
 * stay in registers. The sum over (u - 64) q starts at -64 sum q. Rows are reached from two pointers, and the loop hides from gcc where
 * they come from: it would keep one pointer a row and a panel, more than there are registers. */
INLINE void tile(const size_t ROWS, const size_t PANELS, const int ASK, const cw_group_q8 *t, size_t row, size_t panel) {
  const size_t stride = t->stride, stride3 = 3 * stride, depth = t->depth, groups = t->groups, subs = depth / CW_SUB;
  __m512i sums[TILE_ROWS][CW_BESIDE];
  const int32_t *part = t->sums + row * subs;
#pragma GCC unroll 6
  for (size_t r = 0; r < ROWS; r++, part += subs) {
    int32_t sum = part[0];
    if (t->steps == CW_GROUP / 4)
      sum = (sum + part[1]) + (part[2] + part[3]);
    else
      for (size_t i = 1; i < t->steps * 4 / CW_SUB; i++) sum += part[i];
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) sums[r][p] = _mm512_set1_epi32(-CW_OFFSET * sum);
  }

  const uint8_t *weights = t->weights + panel * stride;
  const int8_t *q = t->q + row * depth, *q3 = q + 3 * depth;
  const ptrdiff_t ahead = t->ahead;
  for (size_t k = t->steps; k > 0; k--) {
    __m512i u[CW_BESIDE];
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) {
      const uint8_t *at = weights + (p == 3 ? stride3 : p * stride);
      u[p] = _mm512_loadu_si512(at);
      if (ASK) _mm_prefetch((const char *)at + ahead, _MM_HINT_T0);
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < ROWS; r++) {
      __m512i four_q = _mm512_set1_epi32(four(r < 3 ? q + r * depth : q3 + (r - 3) * depth));
#pragma GCC unroll 4
      for (size_t p = 0; p < PANELS; p++) add_products(&sums[r][p], u[p], four_q);
    }
    weights += 64, q += 4, q3 += 4;
    __asm__("" : "+r"(weights), "+r"(q), "+r"(q3));
  }

  const uint16_t *halves = t->weight_scales + panel * groups * CW_PANEL;
  const __mmask16 old = t->fresh ? 0 : 0xffff;
  float *waiting = t->waiting + row * CW_WIDTH + panel * CW_PANEL;
  const float *scales = t->scales + row * groups, *scales3 = scales + 3 * groups;
#pragma GCC unroll 4
  for (size_t p = 0; p < PANELS; p++, halves += groups * CW_PANEL) {
    __m512 scale = cw_scales_avx512vnni(halves);
#pragma GCC unroll 6
    for (size_t r = 0; r < ROWS; r++) {
      float *at = waiting + r * CW_WIDTH + p * CW_PANEL;
      __m512 row_scale = _mm512_set1_ps(r < 3 ? scales[r * groups] : scales3[(r - 3) * groups]);
      __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r][p]), row_scale);
      _mm512_storeu_ps(at, _mm512_fmadd_ps(dot, scale, _mm512_maskz_loadu_ps(old, at)));
    }
  }
}

/* Tiles of one size over rows [row, end): a call for each would cost as much as an eighth of a tile. */
#define TILES(NAME, ROWS, PANELS, ASK)                                                    \
  static void NAME(const cw_group_q8 *t, size_t row, size_t end, size_t panel) {          \
    for (; row < end; row += ROWS) tile(ROWS, PANELS, ASK, t, row, panel);                \
  }

#define SIZES(NAME, PANELS, ASK)                                                          \
  TILES(NAME##_1, 1, PANELS, ASK)                                                         \
  TILES(NAME##_2, 2, PANELS, ASK)                                                         \
  TILES(NAME##_3, 3, PANELS, ASK)                                                         \
  TILES(NAME##_4, 4, PANELS, ASK)                                                         \
  TILES(NAME##_5, 5, PANELS, ASK)                                                         \
  TILES(NAME##_6, 6, PANELS, ASK)                                                         \
  static void (*const NAME[TILE_ROWS + 1])(const cw_group_q8 *, size_t, size_t, size_t) = \
      {NULL, NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6};

SIZES(four_panels, 4, 0)
SIZES(four_panels_asking, 4, 1)
SIZES(one_panel, 1, 0)

void cw_group_q8_avx512vnni(const cw_group_q8 *group) {
  const size_t tiles = (group->rows + TILE_ROWS - 1) / TILE_ROWS, small = group->rows / tiles; /* 7 rows are 4 + 3, not 6 + 1 */
  const size_t large_end = group->rows % tiles * (small + 1);
  if (group->panels < CW_BESIDE) {
    for (size_t panel = 0; panel < group->panels; panel++) {
      if (large_end > 0) one_panel[small + 1](group, 0, large_end, panel);
      one_panel[small](group, large_end, group->rows, panel);
    }
    return;
  }
  size_t row = 0;
  if (group->ahead != 0) {
    row = large_end > 0 ? small + 1 : small;
    four_panels_asking[row](group, 0, row, 0);
  }
  if (row < large_end) four_panels[small + 1](group, row, large_end, 0), row = large_end;
  four_panels[small](group, row, group->rows, 0);
}

void cw_fetch_sums_avx512vnni(const float *y, size_t y_stride, size_t rows, size_t outputs, float *waiting) {
  for (size_t r = 0; r < rows; r++)
    for (size_t n = 0; n < outputs; n += CW_PANEL)
      _mm512_storeu_ps(waiting + r * CW_WIDTH + n, _mm512_maskz_loadu_ps(cw_wanted_avx512vnni(outputs - n), y + r * y_stride + n));
}

void cw_put_sums_avx512vnni(const float *waiting, size_t rows, size_t outputs, float *y, size_t y_stride) {
  for (size_t r = 0; r < rows; r++)
    for (size_t n = 0; n < outputs; n += CW_PANEL)
      _mm512_mask_storeu_ps(y + r * y_stride + n, cw_wanted_avx512vnni(outputs - n), _mm512_loadu_ps(waiting + r * CW_WIDTH + n));
}
