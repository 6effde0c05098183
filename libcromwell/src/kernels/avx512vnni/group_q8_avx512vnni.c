/* group_q8_avx512vnni.c: tiles of up to 14 rows x 2 panels over one group of int8 weights.
 *
 * A step along k takes 2 loads of weights and 14 broadcasts for 28 vpdpbusd, 44 operations of the 56 that the front end delivers in the
 * 14 cycles. What is done once a tile is kept short for the same reason: its code runs at the pace at which it is decoded. */
#include "kernels/avx512vnni/tile_avx512vnni.h"

enum { UNROLL = 4 /* steps: more is slower, as decoded operations no longer fit their cache */ };

/* ROWS and FEW are constants where this is inlined, so that sums stay in registers. */
INLINE void tile(const size_t ROWS, const int FEW, const cw_group_q8 *t, place *at) {
  const size_t stride = t->stride;
  const uint8_t *weights = t->weights;
  const int8_t *q = at->q;
  const char *next = at->next, *later = at->later, *written = at->written, *next_q = (const char *)(q + ROWS * CW_GROUP);
  const distances distance = row_distances();
  __m512i sums[TILE_ROWS][CW_BESIDE];
  begin(ROWS, sums, at);
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
    for (size_t step = 0; step < UNROLL; step++)
      add_step(ROWS, sums, _mm512_loadu_si512(weights + step * 64), _mm512_loadu_si512(weights + stride + step * 64), q + step * 4, distance);
    weights += UNROLL * 64, q += UNROLL * 4;
    __asm__("" : "+r"(weights), "+r"(q), "+r"(next), "+r"(next_q), "+r"(later), "+r"(written));
  }
  at->next = next, at->later = later, at->written = written;
  finish(ROWS, sums, t, at);
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
TILES(13, 1)
TILES(14, 1)
TILES(8, 0) /* more than 16 rows make tiles of no fewer */
TILES(9, 0)
TILES(10, 0)
TILES(11, 0)
TILES(12, 0)
TILES(13, 0)
TILES(14, 0)

static void (*const TILES_OF[2][TILE_ROWS + 1])(const cw_group_q8 *, place *, size_t) = {
    {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, tiles_8_0, tiles_9_0, tiles_10_0, tiles_11_0, tiles_12_0, tiles_13_0, tiles_14_0},
    {NULL, tiles_1_1, tiles_2_1, tiles_3_1, tiles_4_1, tiles_5_1, tiles_6_1, tiles_7_1, tiles_8_1, tiles_9_1, tiles_10_1, tiles_11_1,
     tiles_12_1, tiles_13_1, tiles_14_1}};

void cw_group_q8_avx512vnni(const cw_group_q8 *t) {
  const size_t rows = t->rows, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, small = rows / tiles, large = rows % tiles; /* 15 rows are 8 + 7 */
  place at = {t->q, t->factors->start + t->first, t->from, t->to, t->next, t->later, t->written};
  if (large > 0) TILES_OF[t->few][small + 1](t, &at, large);
  TILES_OF[t->few][small](t, &at, tiles - large);
}
