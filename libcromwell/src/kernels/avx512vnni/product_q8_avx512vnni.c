/* product_q8_avx512vnni.c: rows of int8 times int8 panels. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"
#include "kernels/avx512vnni/kernels_avx512vnni.h"

enum {
  ABREAST = 8, /* panels of one row: so many streams, asked for 1 KiB ahead, read memory faster than fewer */
  UNIT = 64,   /* along k: 1 KiB of a panel */
  UNIT_BYTES = UNIT * CW_PANEL
};

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* One row times PANELS panels from `panel` on, as fast as memory gives them. The hardware's prefetchers stop at pages, so a unit asks for the
 * next one of each panel, the last for the first of the panels that follow. */
static inline __attribute__((always_inline)) void one_row(const size_t PANELS, const cw_q8_rows *x, const cw_q_panels *w, size_t panel,
                                                          float *y, int add) {
  const size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, stride = depth * CW_PANEL;
  const __mmask16 last = cw_wanted_avx512vnni(w->outputs - (panel + PANELS - 1) * CW_PANEL);
  const uint8_t *weights = w->weights + panel * stride;
  __m512 sums[ABREAST];
#pragma GCC unroll 8
  for (size_t p = 0; p < PANELS; p++)
    sums[p] = add ? _mm512_maskz_loadu_ps(p + 1 == PANELS ? last : 0xffff, y + p * CW_PANEL) : _mm512_setzero_ps();
  for (size_t g = 0; g < groups; g++) {
    const size_t at = g * CW_GROUP, end = least(at + CW_GROUP, depth);
    const int8_t *four = x->q + g * x->stride * CW_GROUP;
    int32_t sum = 0;
    for (size_t s = at / CW_SUB; s < end / CW_SUB; s++) sum += x->sums[s * x->stride];
    __m512i dots[ABREAST], odd[ABREAST];
#pragma GCC unroll 8
    for (size_t p = 0; p < PANELS; p++) dots[p] = _mm512_set1_epi32(-CW_OFFSET * sum), odd[p] = _mm512_setzero_si512();
    for (size_t unit = at; unit < end; unit += UNIT) {
      const size_t ahead = unit + UNIT < depth ? UNIT_BYTES : PANELS * stride - unit * CW_PANEL;
      for (size_t k = unit; k < least(unit + UNIT, end); k += 8, four += 8) {
        __m512i q = _mm512_set1_epi32(cw_four_q(four)), q4 = _mm512_set1_epi32(cw_four_q(four + 4));
#pragma GCC unroll 8
        for (size_t p = 0; p < PANELS; p++) {
          const uint8_t *from = weights + p * stride + k * CW_PANEL;
          _mm_prefetch((const char *)from + ahead, _MM_HINT_T0);
          _mm_prefetch((const char *)from + ahead + 64, _MM_HINT_T0);
          dots[p] = _mm512_dpbusd_epi32(dots[p], _mm512_loadu_si512(from), q);
          odd[p] = _mm512_dpbusd_epi32(odd[p], _mm512_loadu_si512(from + 64), q4);
        }
      }
    }
#pragma GCC unroll 8
    for (size_t p = 0; p < PANELS; p++) {
      __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(dots[p], odd[p])), _mm512_set1_ps(x->scales[g * x->stride]));
      sums[p] = _mm512_fmadd_ps(dot, cw_scales_avx512vnni(w->scales + ((panel + p) * groups + g) * CW_PANEL), sums[p]);
    }
  }
#pragma GCC unroll 8
  for (size_t p = 0; p < PANELS; p++) _mm512_mask_storeu_ps(y + p * CW_PANEL, p + 1 == PANELS ? last : 0xffff, sums[p]);
}

static void product_of_one_row(const cw_q8_rows *x, const cw_q_panels *w, float *y, int add) {
  const size_t panels = (w->outputs + CW_PANEL - 1) / CW_PANEL;
  size_t panel = 0;
  for (; panel + ABREAST <= panels; panel += ABREAST) one_row(ABREAST, x, w, panel, y + panel * CW_PANEL, add);
  for (; panel + 4 <= panels; panel += 4) one_row(4, x, w, panel, y + panel * CW_PANEL, add);
  for (; panel < panels; panel++) one_row(1, x, w, panel, y + panel * CW_PANEL, add);
}

void cw_product_q8_avx512vnni(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add) {
  if (rows == 1)
    product_of_one_row(x, w, y, add);
  else
    cw_rows_q8_avx512vnni(x, rows, w, NULL, y, y_stride, add);
}
