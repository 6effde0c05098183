/* tile_avx512vnni.h: what tiles of int8 and int4 weights share: their sums, from what they begin with to floats in memory. */
#ifndef CW_TILE_AVX512VNNI_H
#define CW_TILE_AVX512VNNI_H

#include "kernels/avx512vnni/group_q8_avx512vnni.h"

#define INLINE static inline __attribute__((always_inline))

enum { TILE_ROWS = CW_TILE_MOST };

/* sums + the products of 4 u and 4 q a lane. As assembly because gcc 12 copies the 28 sums of a tile through the stack otherwise. */
INLINE void add_products(__m512i *sums, __m512i u, __m512i q) { __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(u), "v"(q)); }

/* What tiles advance from one to the next. */
typedef struct {
  const int8_t *q;
  const int32_t *start; /* in cw_row_factors: scale and back are a fixed way behind */
  const char *from;
  char *to;
  const char *next, *later, *written;
} place;

/* 4, 8 and 12 rows in registers, to reach q of all rows from one pointer: gcc would hold an address for every row. */
typedef struct {
  size_t four, eight, twelve;
} distances;

INLINE distances row_distances(void) {
  distances d = {4 * CW_GROUP, 8 * CW_GROUP, 12 * CW_GROUP};
  __asm__("" : "+r"(d.four), "+r"(d.eight), "+r"(d.twelve));
  return d;
}

/* A step of ROWS rows: the 4 q at `q` of each, 128 bytes apart, times both panels. */
INLINE void add_step(const size_t ROWS, __m512i sums[TILE_ROWS][CW_BESIDE], __m512i u, __m512i u_beside, const int8_t *q, distances d) {
#pragma GCC unroll 14
  for (size_t r = 0; r < ROWS; r++) {
    __m512i four_q = _mm512_set1_epi32(cw_four_q((r < 4 ? q : r < 8 ? q + d.four : r < 12 ? q + d.eight : q + d.twelve) + r % 4 * CW_GROUP));
    __asm__("" : "+v"(four_q));
    add_products(&sums[r][0], u, four_q);
    add_products(&sums[r][1], u_beside, four_q);
  }
}

INLINE void begin(const size_t ROWS, __m512i sums[TILE_ROWS][CW_BESIDE], const place *at) {
#pragma GCC unroll 14
  for (size_t r = 0; r < ROWS; r++) sums[r][0] = sums[r][1] = _mm512_set1_epi32(at->start[r]);
}

/* Sums, which are the floats CW_ROUND + dot, times their scales to memory; goes on to the next rows. */
INLINE void finish(const size_t ROWS, __m512i sums[TILE_ROWS][CW_BESIDE], const cw_group_q8 *t, place *at) {
  const __m512 first = _mm512_load_ps(t->scales), second = _mm512_load_ps(t->scales + CW_PANEL);
  const float *scales = (const float *)(const void *)(at->start + CW_MOST_ROWS), *backs = scales + CW_MOST_ROWS;
  const char *from = at->from;
  char *to = at->to;
#pragma GCC unroll 14
  for (size_t r = 0; r < ROWS; r++) {
    __m512 scale = _mm512_set1_ps(scales[r]), back = _mm512_set1_ps(backs[r]);
    __asm__("" : "+v"(scale), "+v"(back));
    __m512 dot = _mm512_fmadd_ps(_mm512_castsi512_ps(sums[r][0]), scale, back);
    __m512 dot_beside = _mm512_fmadd_ps(_mm512_castsi512_ps(sums[r][1]), scale, back);
    __m512 sum = _mm512_fmadd_ps(dot, first, _mm512_loadu_ps(from));
    __m512 sum_beside = _mm512_fmadd_ps(dot_beside, second, _mm512_loadu_ps(from + 64));
    _mm512_storeu_ps(to, sum);
    _mm512_storeu_ps(to + 64, sum_beside);
    from += t->from_stride, to += t->to_stride;
    __asm__("" : "+r"(from), "+r"(to));
  }
  at->q += ROWS * CW_GROUP, at->start += ROWS;
  at->from = from, at->to = to;
}

#endif
