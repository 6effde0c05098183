/* group_q8_avx512vnni.h: one group of 128 numbers along k of up to four int8 panels, times rows: the inside of both quantised products. */
#ifndef CW_GROUP_Q8_AVX512VNNI_H
#define CW_GROUP_Q8_AVX512VNNI_H

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

enum {
  CW_BESIDE = 4, /* panels computed side by side */
  CW_WIDTH = CW_BESIDE * CW_PANEL,
  CW_ROWS_AT_ONCE = 48, /* their sums (12 KiB) stay in L1 beside a group of weights (8 KiB) */
  CW_MOST_ROWS = 192,
  CW_MOST_GROUPS = 32
};

/* What a tile needs of its rows besides q, gathered once for all panels: for every group, that of row after row. */
typedef struct {
  int32_t start[CW_MOST_GROUPS][CW_MOST_ROWS]; /* -64 times the sum of the group's q: what a sum over (u - 64) q begins with */
  float scale[CW_MOST_GROUPS][CW_MOST_ROWS];
} cw_row_factors;

/* Gathers `groups` groups of `rows` rows from the group `first` on. */
void cw_gather_factors_avx512vnni(const cw_q8_rows *x, size_t rows, size_t depth, size_t first, size_t groups, cw_row_factors *out);

/* Sums, rows `stride` apart: in y, or in a dense buffer [rows][64] where they wait between groups: rows of y are often a multiple of 4 KiB
 * apart, where the processor takes a load for one that depends on an earlier store, as it compares 12 bits of addresses. */
typedef struct {
  float *at;
  size_t stride;
  int far; /* in y: asked for before they are needed */
} cw_sums;

typedef struct {
  const int8_t *q;      /* [rows][depth], from the group on */
  const int32_t *start; /* [rows] */
  const float *scales;  /* [rows] */
  size_t rows, depth;
  const uint8_t *weights; /* [panels][steps][16][4], panels `stride` bytes apart: weight + 64 */
  size_t stride, steps;   /* steps: of 4 along k, 8..32 */
  ptrdiff_t ahead;        /* bytes from these weights to those needed next, which are asked for meanwhile; 0: nothing is */
  size_t panels;          /* 1..4 */
  const uint16_t *weight_scales; /* [panels][16], panels `scale_stride` apart */
  size_t scale_stride;
  __mmask16 last;               /* outputs wanted of the last panel */
  cw_sums from, to;             /* to = from + products */
  int fresh;                    /* from is +0 whatever is there; its memory must exist all the same, or masked loads trap and are resumed */
} cw_group_q8;

void cw_group_q8_avx512vnni(const cw_group_q8 *group);

/* Scales of one panel as floats. */
static inline __m512 cw_scales_avx512vnni(const uint16_t *scales) {
  __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)scales);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* Four q, to be broadcast to all lanes. */
static inline int32_t cw_four_q(const int8_t *q) {
  int32_t bits;
  memcpy(&bits, q, sizeof bits);
  return bits;
}

/* The outputs wanted of a panel, when `left` are left from it on. */
static inline __mmask16 cw_wanted_avx512vnni(size_t left) {
  return left < CW_PANEL ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
}

#endif
