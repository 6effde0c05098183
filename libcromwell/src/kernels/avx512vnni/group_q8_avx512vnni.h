/* group_q8_avx512vnni.h: some rows times two panels of int8 weights, one group along k. */
#ifndef CW_GROUP_Q8_AVX512VNNI_H
#define CW_GROUP_Q8_AVX512VNNI_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

#if !defined __AVX512F__ || !defined __AVX512VNNI__
#error "only for files named *_avx512vnni.c"
#endif

enum {
  CW_BESIDE = 2, /* panels computed together */
  CW_WIDTH = CW_BESIDE * CW_PANEL,
  CW_GROUP_BYTES = CW_GROUP * CW_PANEL, /* of a panel */
  CW_TILE_MOST = 14, /* rows of a tile: 28 sums, 2 vectors of weights, 1 of q */
  CW_MOST_ROWS = 224,
  CW_ROWS_AT_ONCE = 4 * CW_TILE_MOST /* their sums and q (7 KiB each) stay in L1 beside this group of weights (4 KiB) and the next */
};

/* What a tile needs of rows besides q. */
typedef struct {
  int32_t start[CW_MOST_ROWS]; /* what a sum of u q begins with: the bits of CW_ROUND, less 64 times the sum of q (see cw_q8_scale) */
  float scale[CW_MOST_ROWS], back[CW_MOST_ROWS]; /* back: -CW_ROUND * scale */
} cw_row_factors;

typedef struct {
  size_t rows;
  const int8_t *q; /* [rows][128] */
  const cw_row_factors *factors;
  size_t first;           /* of these rows in factors */
  const uint8_t *weights; /* [2][steps][16][4], panels `stride` bytes apart: weight + 64 */
  size_t stride, steps;   /* steps: of 4 along k, 8, 16, 24 or 32 */
  const uint8_t *multipliers; /* int4 only: [2][steps / 8][16], `multiplier_stride` bytes apart */
  size_t multiplier_stride;
  const float *scales;    /* [32], of the weights */
  const char *from;       /* to[r, 32] = from[r, 32] + products: floats, rows `from_stride` and `to_stride` bytes apart */
  char *to;
  size_t from_stride, to_stride;
  /* Asked for meanwhile, as the hardware's prefetchers stop at pages and follow few streams at once. Any address will do, as nothing is read. */
  int few;           /* memory is the limit: all of `next` is asked for by the first tile, otherwise by the first four together */
  const char *next;  /* weights needed next, laid out as these */
  const char *later; /* into L2: 1 KiB a tile, 2 KiB when few */
  const char *written;   /* 8 rows a tile of what is written soon, `written_stride` bytes apart */
  size_t written_stride;
} cw_group_q8;

void cw_group_q8_avx512vnni(const cw_group_q8 *group);
/* The same for int4 weights as they are, [2][steps / 2][16][4] of nibbles, and at most 14 rows. */
void cw_group_q4_avx512vnni(const cw_group_q8 *group);

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

/* Writes the int8 weights of groups first .. first + count - 1 of a panel: [count][steps][16][4]. */
typedef void (*cw_expand_fn)(const cw_q_panels *w, size_t panel, size_t first, size_t count, uint8_t *out);

/* Several rows times all panels (kernels.h); `expand` is given where weights are int4, and used from 15 rows on. */
void cw_rows_q8_avx512vnni(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, cw_expand_fn expand, float *y, size_t y_stride, int add);

#endif
