/* group_q8_avx512vnni.h: one group of 128 numbers along k of up to four int8 panels, times rows: the inside of both quantised products.
 *
 * Float sums wait in a dense buffer [rows][64] between groups: rows of y are often a multiple of 4 KiB apart, where the processor takes
 * a load for one that depends on an earlier store, as it compares 12 bits of addresses. */
#ifndef CW_GROUP_Q8_AVX512VNNI_H
#define CW_GROUP_Q8_AVX512VNNI_H

#include <immintrin.h>

#include "kernels/kernels.h"

enum {
  CW_BESIDE = 4, /* panels computed side by side */
  CW_WIDTH = CW_BESIDE * CW_PANEL,
  CW_ROWS_AT_ONCE = 48 /* their sums (12 KiB) stay in L1 beside a group of weights (8 KiB) */
};

typedef struct {
  const int8_t *q;      /* [rows][depth], from the group on */
  const float *scales;  /* [rows][groups], from the group on */
  const int32_t *sums;  /* [rows][depth / 32], from the group on */
  size_t rows, depth, groups;
  const uint8_t *weights; /* [panels][steps][16][4], panels `stride` bytes apart: weight + 64 */
  size_t stride, steps;   /* steps: of 4 along k, 8..32 */
  ptrdiff_t ahead;        /* bytes from these weights to those needed next, which are asked for meanwhile; 0: nothing is */
  size_t panels;          /* 1..4 */
  const uint16_t *weight_scales; /* [panels][16], panels `groups` * 16 apart */
  float *waiting;         /* [rows][64] */
  int fresh;              /* they start at +0 whatever they are */
} cw_group_q8;

/* Adds the products of the group to `waiting`. */
void cw_group_q8_avx512vnni(const cw_group_q8 *group);

/* Scales of one panel as floats. */
static inline __m512 cw_scales_avx512vnni(const uint16_t *scales) {
  __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)scales);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* The outputs wanted of a panel, when `left` are left from it on. */
static inline __mmask16 cw_wanted_avx512vnni(size_t left) {
  return left < CW_PANEL ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
}

/* Between y and the waiting sums: rows of `outputs` floats, at most 64. */
void cw_fetch_sums_avx512vnni(const float *y, size_t y_stride, size_t rows, size_t outputs, float *waiting);
void cw_put_sums_avx512vnni(const float *waiting, size_t rows, size_t outputs, float *y, size_t y_stride);

#endif
