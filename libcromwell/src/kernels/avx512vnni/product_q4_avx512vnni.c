/* product_q4_avx512vnni.c: rows of int8 times int4 panels. One row uses the nibbles as they are; more rows share panels expanded to int8. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"
#include "kernels/avx512vnni/kernels_avx512vnni.h"

#define INLINE static inline __attribute__((always_inline))

enum { ABREAST = 4 /* panels of one row */, GROUP_BYTES = CW_GROUP_BYTES / 2 /* of a panel */, SUB_BYTES = CW_SUB * CW_PANEL / 2 };

/* ---- One row ------------------------------------------------------------------------------------------------------------------------ */

/* The exact sums over 32 along k of PANELS panels, times their multipliers, added to dots. High nibbles are used where they are, at 16
 * times their worth, and their sum is divided at the end. */
INLINE void add_sub(const size_t PANELS, const uint8_t *weights, size_t stride, ptrdiff_t ahead, const uint8_t *multipliers,
                    size_t multiplier_stride, const int8_t *q, int32_t sum, __m512i dots[ABREAST]) {
  const __m512i low_nibbles = _mm512_set1_epi8(15), high_nibbles = _mm512_set1_epi8((char)0xf0);
  __m512i low[ABREAST], high[ABREAST];
#pragma GCC unroll 4
  for (size_t p = 0; p < PANELS; p++) low[p] = _mm512_set1_epi32(-8 * sum), high[p] = _mm512_setzero_si512();
#pragma GCC unroll 4
  for (size_t k = 0; k < CW_SUB / 8; k++) {
    __m512i first = _mm512_set1_epi32(cw_four_q(q + k * 8)), second = _mm512_set1_epi32(cw_four_q(q + k * 8 + 4));
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) {
      const uint8_t *at = weights + p * stride + k * 64;
      __m512i both = _mm512_loadu_si512(at);
      _mm_prefetch((const char *)at + ahead, _MM_HINT_T0);
      low[p] = _mm512_dpbusd_epi32(low[p], _mm512_and_si512(both, low_nibbles), first);
      high[p] = _mm512_dpbusd_epi32(high[p], _mm512_and_si512(both, high_nibbles), second);
    }
  }
#pragma GCC unroll 4
  for (size_t p = 0; p < PANELS; p++) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(multipliers + p * multiplier_stride));
    __m512i total = _mm512_add_epi32(low[p], _mm512_srai_epi32(high[p], 4));
    dots[p] = _mm512_add_epi32(dots[p], _mm512_mullo_epi32(total, _mm512_cvtepu8_epi32(bytes)));
  }
}

/* One row times PANELS panels from `panel` on. */
INLINE void one_row(const size_t PANELS, const cw_q8_rows *x, const cw_q_panels *w, size_t panel, float *y, int add) {
  const size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, subs = depth / CW_SUB, stride = depth * CW_PANEL / 2;
  const uint8_t *weights = w->weights + panel * stride, *multipliers = w->multipliers + panel * subs * CW_PANEL;
  const uint16_t *scales = w->scales + panel * groups * CW_PANEL;
  const int more = w->outputs > (panel + PANELS) * CW_PANEL;
  const __mmask16 last = cw_wanted_avx512vnni(w->outputs - (panel + PANELS - 1) * CW_PANEL);
  __m512 sums[ABREAST];
#pragma GCC unroll 4
  for (size_t p = 0; p < PANELS; p++)
    sums[p] = add ? _mm512_maskz_loadu_ps(p + 1 == PANELS ? last : 0xffff, y + p * CW_PANEL) : _mm512_setzero_ps();
  for (size_t g = 0; g < groups; g++) {
    const size_t end = (g + 1) * (CW_GROUP / CW_SUB) < subs ? (g + 1) * (CW_GROUP / CW_SUB) : subs;
    const ptrdiff_t to_next = (ptrdiff_t)(PANELS * stride) - (ptrdiff_t)(g * GROUP_BYTES); /* the first group of the panels beside */
    const ptrdiff_t ahead = g + 1 < groups ? GROUP_BYTES : more ? to_next : 0;
    __m512i dots[ABREAST];
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) dots[p] = _mm512_setzero_si512();
    for (size_t s = g * (CW_GROUP / CW_SUB); s < end; s++)
      add_sub(PANELS, weights + s * SUB_BYTES, stride, ahead, multipliers + s * CW_PANEL, subs * CW_PANEL,
              x->q + g * x->stride * CW_GROUP + s * CW_SUB % CW_GROUP, x->sums[s * x->stride],
              dots);
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) {
      __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(dots[p]), _mm512_set1_ps(x->scales[g * x->stride]));
      sums[p] = _mm512_fmadd_ps(dot, cw_scales_avx512vnni(scales + (p * groups + g) * CW_PANEL), sums[p]);
    }
  }
#pragma GCC unroll 4
  for (size_t p = 0; p < PANELS; p++) _mm512_mask_storeu_ps(y + p * CW_PANEL, p + 1 == PANELS ? last : 0xffff, sums[p]);
}

static void product_of_one_row(const cw_q8_rows *x, const cw_q_panels *w, float *y, int add) {
  const size_t panels = (w->outputs + CW_PANEL - 1) / CW_PANEL;
  size_t panel = 0;
  for (; panel + ABREAST <= panels; panel += ABREAST) one_row(ABREAST, x, w, panel, y + panel * CW_PANEL, add);
  for (; panel < panels; panel++) one_row(1, x, w, panel, y + panel * CW_PANEL, add);
}

/* ---- Several rows ---------------------------------------------------------------------------------------------------------------------- */

/* Groups of one panel as int8, 64 + m (nibble - 8). Two nibbles in the bytes of a 16-bit lane are multiplied at once: 15 * 8 < 256. */
static void expand(const cw_q_panels *w, size_t panel, size_t first, size_t count, uint8_t *out) {
  const size_t subs = w->depth / CW_SUB, from = first * (CW_GROUP / CW_SUB), end = from + count * (CW_GROUP / CW_SUB);
  const uint8_t *weights = w->weights + (panel * subs + from) * SUB_BYTES, *multipliers = w->multipliers + (panel * subs + from) * CW_PANEL;
  const __m512i low_nibbles = _mm512_set1_epi8(15);
  for (size_t s = from; s < end && s < subs; s++, weights += SUB_BYTES, multipliers += CW_PANEL) {
    __m512i m = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)multipliers));
    m = _mm512_or_si512(m, _mm512_slli_epi32(m, 16));
    __m512i base = _mm512_sub_epi8(_mm512_set1_epi8(CW_OFFSET), _mm512_slli_epi16(_mm512_or_si512(m, _mm512_slli_epi16(m, 8)), 3));
#pragma GCC unroll 4
    for (size_t k = 0; k < CW_SUB / 8; k++, out += 128) {
      __m512i both = _mm512_loadu_si512(weights + k * 64);
      __m512i low = _mm512_and_si512(both, low_nibbles), high = _mm512_and_si512(_mm512_srli_epi16(both, 4), low_nibbles);
      _mm512_storeu_si512(out, _mm512_add_epi8(_mm512_mullo_epi16(low, m), base));
      _mm512_storeu_si512(out + 64, _mm512_add_epi8(_mm512_mullo_epi16(high, m), base));
    }
  }
}

void cw_product_q4_avx512vnni(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add) {
  if (rows == 1)
    product_of_one_row(x, w, y, add);
  else
    cw_rows_q8_avx512vnni(x, rows, w, expand, y, y_stride, add);
}
