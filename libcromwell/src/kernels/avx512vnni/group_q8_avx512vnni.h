/* group_q8_avx512vnni.h: one group of 128 numbers along k of up to four int8 panels, times rows: the inside of both quantised products. */
#ifndef CW_GROUP_Q8_AVX512VNNI_H
#define CW_GROUP_Q8_AVX512VNNI_H

#include <immintrin.h>

#include "kernels/kernels.h"

enum { CW_BESIDE = 4 /* panels computed side by side */ };

typedef struct {
  const uint8_t *weights; /* [panels][depth / 4][16][4], panels `stride` bytes apart: weight + 64 */
  size_t stride, depth;   /* depth: of this group, 32..128 */
  size_t panels;          /* 1..4 */
  __mmask16 last;         /* outputs wanted of the last panel */
  const uint16_t *scales; /* [panels][16], panels `scale_stride` apart */
  size_t scale_stride;
  const uint8_t *ahead;   /* weights needed next, asked for meanwhile; panels `ahead_stride` apart */
  size_t ahead_stride;
} cw_group_q8;

/* Adds the group `index` of `rows` rows of x, of `x_depth` numbers each, to y; `fresh` says that y begins at +0. */
void cw_group_q8_avx512vnni(const cw_q8_rows *x, size_t rows, size_t x_depth, size_t index, const cw_group_q8 *w, float *y,
                            size_t y_stride, int fresh);

/* Scales of one panel as floats. */
static inline __m512 cw_scales_avx512vnni(const uint16_t *scales) {
  __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)scales);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* Weights wanted of the last of `outputs`' panels. */
static inline __mmask16 cw_last_mask(size_t outputs) {
  return (__mmask16)(0xffffu >> (CW_PANEL - 1 - (outputs - 1) % CW_PANEL));
}

#endif
