/* group_q8_avx512vnni.c: tiles of up to 12 rows x 2 panels over one group of int8 weights.
 *
 * A step along k takes 2 loads of weights and 12 broadcasts for 24 vpdpbusd, 38 operations of the 48 that the front end delivers in the
 * 12 cycles. What is done once a tile is kept short for the same reason: its code runs at the pace at which it is decoded. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"

#define INLINE static inline __attribute__((always_inline))

enum { TILE_ROWS = 12, UNROLL = 4 /* steps: more is slower, as decoded operations no longer fit their cache */ };

/* sums + the products of 4 u and 4 q a lane. As assembly because gcc 12 copies the 24 sums of a tile through the stack otherwise. */
INLINE void add_products(__m512i *sums, __m512i u, __m512i q) { __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(u), "v"(q)); }

/* What tiles advance from one to the next. */
typedef struct {
  const int8_t *q;
  const int32_t *start; /* in cw_row_factors: scale and back are a fixed way behind */
  const char *from;
  char *to;
  const char *next, *later, *written;
} place;

/* ROWS and FEW are constants where this is inlined, so that sums stay in registers. Empty assembly keeps gcc from holding an address for
 * every row. */
INLINE void tile(const size_t ROWS, const int FEW, const cw_group_q8 *t, place *at) {
  const size_t stride = t->stride;
  const uint8_t *weights = t->weights;
  const int8_t *q = at->q;
  const char *next = at->next, *later = at->later, *written = at->written, *next_q = (const char *)(q + ROWS * CW_GROUP);
  size_t fourth = 4 * CW_GROUP, eighth = 8 * CW_GROUP;
  __asm__("" : "+r"(fourth), "+r"(eighth));
  __m512i sums[TILE_ROWS][CW_BESIDE];
#pragma GCC unroll 12
  for (size_t r = 0; r < ROWS; r++) sums[r][0] = sums[r][1] = _mm512_set1_epi32(at->start[r]);
  for (size_t k = t->steps; k > 0; k -= UNROLL) {
    if (FEW) {
#pragma GCC unroll 4
      for (size_t line = 0; line < UNROLL * 64; line += 64) {
        _mm_prefetch(next + line, _MM_HINT_T0);
        _mm_prefetch(next + stride + line, _MM_HINT_T0);
      }
      next += UNROLL * 64;
    } else {
      _mm_prefetch(next, _MM_HINT_T0);
      _mm_prefetch(next + stride, _MM_HINT_T0);
      _mm_prefetch(next_q, _MM_HINT_T0);
      _mm_prefetch(next_q + 64, _MM_HINT_T0);
      _mm_prefetch(next_q + 128, _MM_HINT_T0);
      next += 64, next_q += 192;
    }
    _mm_prefetch(later, _MM_HINT_T1);
    if (FEW) _mm_prefetch(later + 64, _MM_HINT_T1);
    __builtin_prefetch(written, 1);
    __builtin_prefetch(written + 64, 1);
    later += FEW ? 128 : 64, written += t->written_stride;
#pragma GCC unroll 4
    for (size_t step = 0; step < UNROLL; step++) {
      const __m512i u = _mm512_loadu_si512(weights + step * 64), u_beside = _mm512_loadu_si512(weights + stride + step * 64);
#pragma GCC unroll 12
      for (size_t r = 0; r < ROWS; r++) {
        const int8_t *row = (r < 4 ? q : r < 8 ? q + fourth : q + eighth) + r % 4 * CW_GROUP;
        __m512i four_q = _mm512_set1_epi32(cw_four_q(row + step * 4));
        __asm__("" : "+v"(four_q));
        add_products(&sums[r][0], u, four_q);
        add_products(&sums[r][1], u_beside, four_q);
      }
    }
    weights += UNROLL * 64, q += UNROLL * 4;
    __asm__("" : "+r"(weights), "+r"(q), "+r"(next), "+r"(next_q), "+r"(later), "+r"(written));
  }

  const __m512 first = _mm512_load_ps(t->scales), second = _mm512_load_ps(t->scales + CW_PANEL);
  const float *scales = (const float *)(const void *)(at->start + CW_MOST_ROWS), *backs = scales + CW_MOST_ROWS;
  const char *from = at->from;
  char *to = at->to;
#pragma GCC unroll 12
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
  at->from = from, at->to = to, at->next = next, at->later = later, at->written = written;
}

/* `count` tiles of one size, from a place of its own, which no store can alias. */
#define TILES(ROWS, FEW)                                                                     \
  static void tiles_##ROWS##_##FEW(const cw_group_q8 *restrict t, place *at, size_t count) { \
    place now = *at;                                                                         \
    for (; count > 0; count--) tile(ROWS, FEW, t, &now);                                     \
    *at = now;                                                                               \
  }
TILES(1, 1)
TILES(2, 1)
TILES(3, 1)
TILES(4, 1)
TILES(5, 1)
TILES(6, 1)
TILES(7, 1)
TILES(8, 1)
TILES(9, 1)
TILES(10, 1)
TILES(11, 1)
TILES(12, 1)
TILES(8, 0) /* more than 16 rows make tiles of no fewer */
TILES(9, 0)
TILES(10, 0)
TILES(11, 0)
TILES(12, 0)

static void (*const TILES_OF[2][TILE_ROWS + 1])(const cw_group_q8 *, place *, size_t) = {
    {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, tiles_8_0, tiles_9_0, tiles_10_0, tiles_11_0, tiles_12_0},
    {NULL, tiles_1_1, tiles_2_1, tiles_3_1, tiles_4_1, tiles_5_1, tiles_6_1, tiles_7_1, tiles_8_1, tiles_9_1, tiles_10_1, tiles_11_1,
     tiles_12_1}};

void cw_group_q8_avx512vnni(const cw_group_q8 *t) {
  const size_t rows = t->rows, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, small = rows / tiles, large = rows % tiles; /* 13 rows are 7 + 6 */
  place at = {t->q, t->factors->start + t->first, t->from, t->to, t->next, t->later, t->written};
  if (large > 0) TILES_OF[t->few][small + 1](t, &at, large);
  TILES_OF[t->few][small](t, &at, tiles - large);
}
