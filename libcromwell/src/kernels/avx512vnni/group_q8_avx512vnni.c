/* group_q8_avx512vnni.c: tiles of up to 6 rows x 4 panels over one group of int8 weights. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"

#define INLINE static inline __attribute__((always_inline))

enum { TILE_ROWS = 6 };

/* sums + the products of 4 u and 4 q a lane. As assembly because gcc 12 copies the 24 sums of a tile through the stack otherwise. */
INLINE void add_products(__m512i *sums, __m512i u, __m512i q) { __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(u), "v"(q)); }

/* Rows from `row` on, panels from `panel` on. Asks for what is ahead in ASK panels from `ask` on. ROWS, PANELS and ASK are constants where this is inlined, so that sums
 * stay in registers. Rows are reached from two pointers, and the loop hides from gcc where they come from: it would keep one pointer a
 * row and a panel, more than there are registers. */
INLINE void tile(const size_t ROWS, const size_t PANELS, const size_t ASK, const cw_group_q8 *t, const __m512 weight_scales[CW_BESIDE],
                 size_t row, size_t panel, size_t ask) {
  const size_t stride = t->stride, stride3 = 3 * stride, depth = t->depth;
  __m512i sums[TILE_ROWS][CW_BESIDE];
#pragma GCC unroll 6
  for (size_t r = 0; r < ROWS; r++)
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) sums[r][p] = _mm512_set1_epi32(t->start[row + r]);

  const cw_sums from = t->from, to = t->to;
  if (to.far)
#pragma GCC unroll 6
    for (size_t r = 0; r < ROWS; r++)
#pragma GCC unroll 4
      for (size_t p = 0; p < PANELS; p++) __builtin_prefetch(to.at + (row + r) * to.stride + (panel + p) * CW_PANEL, 1);

  const uint8_t *weights = t->weights + panel * stride;
  const int8_t *q = t->q + row * depth, *q3 = q + 3 * depth;
  const char *ahead = (const char *)weights + (ptrdiff_t)(ask * stride) + t->ahead;
  for (size_t k = t->steps; k > 0; k--) {
    __m512i u[CW_BESIDE];
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) {
      const uint8_t *at = weights + (p == 3 ? stride3 : p * stride);
      u[p] = _mm512_loadu_si512(at);
      if (p < ASK) _mm_prefetch(ahead + (p == 3 ? stride3 : p * stride), _MM_HINT_T0);
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < ROWS; r++) {
      __m512i four_q = _mm512_set1_epi32(cw_four_q(r < 3 ? q + r * depth : q3 + (r - 3) * depth));
#pragma GCC unroll 4
      for (size_t p = 0; p < PANELS; p++) add_products(&sums[r][p], u[p], four_q);
    }
    weights += 64, ahead += 64, q += 4, q3 += 4;
    __asm__("" : "+r"(weights), "+r"(ahead), "+r"(q), "+r"(q3));
  }

  const __mmask16 last = panel + PANELS == t->panels ? t->last : 0xffff, old = t->fresh ? 0 : 0xffff, old_last = old & last;
  const float *scales = t->scales + row, *before = from.at + row * from.stride + panel * CW_PANEL;
  float *after = to.at + row * to.stride + panel * CW_PANEL;
#pragma GCC unroll 6
  for (size_t r = 0; r < ROWS; r++, before += from.stride, after += to.stride) {
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) {
      __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r][p]), _mm512_set1_ps(scales[r]));
      __m512 sum = _mm512_maskz_loadu_ps(p + 1 == PANELS ? old_last : old, before + p * CW_PANEL);
      sum = _mm512_fmadd_ps(dot, weight_scales[panel + p], sum);
      if (p + 1 == PANELS)
        _mm512_mask_storeu_ps(after + p * CW_PANEL, last, sum);
      else
        _mm512_storeu_ps(after + p * CW_PANEL, sum);
    }
  }
}

/* Tiles of one size over rows [row, end): a call for each would cost as much as an eighth of a tile. */
#define TILES(NAME, ROWS, PANELS, ASK)                                                                          \
  static void NAME(const cw_group_q8 *t, const __m512 weight_scales[CW_BESIDE], size_t row, size_t end, size_t panel, size_t ask) { \
    for (; row < end; row += ROWS) tile(ROWS, PANELS, ASK, t, weight_scales, row, panel, ask);                  \
  }

#define SIZES(NAME, PANELS, ASK)                                                          \
  TILES(NAME##_1, 1, PANELS, ASK)                                                         \
  TILES(NAME##_2, 2, PANELS, ASK)                                                         \
  TILES(NAME##_3, 3, PANELS, ASK)                                                         \
  TILES(NAME##_4, 4, PANELS, ASK)                                                         \
  TILES(NAME##_5, 5, PANELS, ASK)                                                         \
  TILES(NAME##_6, 6, PANELS, ASK)                                                         \
  static void (*const NAME[TILE_ROWS + 1])(const cw_group_q8 *, const __m512 *, size_t, size_t, size_t, size_t) = \
      {NULL, NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6};

SIZES(four_panels, 4, 0)
SIZES(four_panels_asking_two, 4, 2)
SIZES(four_panels_asking_four, 4, 4)
SIZES(one_panel, 1, 0)

void cw_group_q8_avx512vnni(const cw_group_q8 *group) {
  const unsigned rows = (unsigned)group->rows, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, small = rows / tiles; /* 7 rows are 4 + 3 */
  const size_t large_end = rows % tiles * (small + 1);
  __m512 scales[CW_BESIDE];
  for (size_t p = 0; p < group->panels; p++) scales[p] = cw_scales_avx512vnni(group->weight_scales + p * group->scale_stride);
  if (group->panels < CW_BESIDE) {
    for (size_t panel = 0; panel < group->panels; panel++) {
      if (large_end > 0) one_panel[small + 1](group, scales, 0, large_end, panel, 0);
      one_panel[small](group, scales, large_end, rows, panel, 0);
    }
    return;
  }
  size_t row = 0;
  if (group->ahead != 0) { /* spread over two tiles, so that memory is busy longer */
    const size_t askers = tiles > 1 ? 2 : 1;
    for (size_t i = 0; i < askers; i++) {
      const size_t count = row < large_end ? small + 1 : small;
      (askers > 1 ? four_panels_asking_two : four_panels_asking_four)[count](group, scales, row, row + count, 0, 2 * i);
      row += count;
    }
  }
  if (row < large_end) four_panels[small + 1](group, scales, row, large_end, 0, 0), row = large_end;
  four_panels[small](group, scales, row, rows, 0, 0);
}

void cw_gather_factors_avx512vnni(const cw_q8_rows *x, size_t rows, size_t depth, size_t first, size_t groups, cw_row_factors *out) {
  const size_t subs = depth / CW_SUB, all = (depth + CW_GROUP - 1) / CW_GROUP;
  for (size_t r = 0; r < rows; r++) {
    const int32_t *sums = x->sums + r * subs;
    for (size_t g = 0; g < groups; g++) {
      const size_t sub = (first + g) * (CW_GROUP / CW_SUB);
      const __mmask8 present = subs - sub >= 4 ? 15 : (__mmask8)((1u << (subs - sub)) - 1);
      __m128i four_sums = _mm_maskz_loadu_epi32(present, sums + sub);
      four_sums = _mm_add_epi32(four_sums, _mm_shuffle_epi32(four_sums, 0x4e));
      four_sums = _mm_add_epi32(four_sums, _mm_shuffle_epi32(four_sums, 0xb1));
      out->start[g][r] = -CW_OFFSET * _mm_cvtsi128_si32(four_sums);
      out->scale[g][r] = x->scales[r * all + first + g];
    }
  }
}
