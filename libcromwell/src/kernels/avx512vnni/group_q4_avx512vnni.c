/* group_q4_avx512vnni.c: a tile of up to 14 rows x 2 panels over one group of int4 weights, which become int8 on their way from memory: for so
 * few rows memory is the limit, and writing them down in between would keep it waiting. */
#include "kernels/avx512vnni/tile_avx512vnni.h"

enum { LINES = CW_SUB / 8 /* of 64 bytes: 32 along k */ };

/* What turns the nibbles of 32 along k to 64 + m (nibble - 8): m in all bytes' 16-bit halves, and 64 - 8 m. */
typedef struct {
  __m512i m, base;
} widening;

INLINE widening widening_of(const uint8_t *multipliers) {
  __m512i m = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)multipliers));
  m = _mm512_or_si512(m, _mm512_slli_epi32(m, 16));
  return (widening){m, _mm512_sub_epi8(_mm512_set1_epi8(CW_OFFSET), _mm512_slli_epi16(_mm512_or_si512(m, _mm512_slli_epi16(m, 8)), 3))};
}

/* Two nibbles in the bytes of a 16-bit lane are multiplied at once: 15 * 8 < 256. */
INLINE __m512i widened(__m512i nibbles, widening w) {
  return _mm512_add_epi8(_mm512_mullo_epi16(_mm512_and_si512(nibbles, _mm512_set1_epi8(15)), w.m), w.base);
}

INLINE void tile(const size_t ROWS, const cw_group_q8 *t, place *at) {
  const size_t stride = t->stride;
  const uint8_t *weights = t->weights, *multipliers = t->multipliers;
  const int8_t *q = at->q;
  const char *next = at->next, *later = at->later;
  const distances distance = row_distances();
  __m512i sums[TILE_ROWS][CW_BESIDE];
  begin(ROWS, sums, at);
  for (size_t k = t->steps * 4; k > 0; k -= CW_SUB) {
    const widening first = widening_of(multipliers), second = widening_of(multipliers + t->multiplier_stride);
#pragma GCC unroll 4
    for (size_t line = 0; line < LINES * 64; line += 64) {
      _mm_prefetch(next + line, _MM_HINT_T0);
      _mm_prefetch(next + stride + line, _MM_HINT_T0);
      _mm_prefetch(later + 2 * line, _MM_HINT_T1);
      _mm_prefetch(later + 2 * line + 64, _MM_HINT_T1);
    }
    for (size_t line = 0; line < LINES; line++, q += 8) {
      __m512i both = _mm512_loadu_si512(weights + line * 64), both_beside = _mm512_loadu_si512(weights + stride + line * 64);
      add_step(ROWS, sums, widened(both, first), widened(both_beside, second), q, distance);
      add_step(ROWS, sums, widened(_mm512_srli_epi16(both, 4), first), widened(_mm512_srli_epi16(both_beside, 4), second), q + 4, distance);
    }
    weights += LINES * 64, multipliers += CW_PANEL, next += LINES * 64, later += 2 * LINES * 64;
    __asm__("" : "+r"(weights), "+r"(multipliers), "+r"(q), "+r"(next), "+r"(later));
  }
  finish(ROWS, sums, t, at);
}

#define TILE(ROWS) \
  static void tile_##ROWS(const cw_group_q8 *restrict t, place *at) { tile(ROWS, t, at); }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
TILE(13)
TILE(14)

void cw_group_q4_avx512vnni(const cw_group_q8 *t) {
  static void (*const TILE_OF[TILE_ROWS + 1])(const cw_group_q8 *, place *) = {NULL,   tile_1, tile_2,  tile_3,  tile_4,  tile_5,  tile_6, tile_7,
                                                                               tile_8, tile_9, tile_10, tile_11, tile_12, tile_13, tile_14};
  place at = {t->q, t->factors->start + t->first, t->from, t->to, t->next, t->later, t->written};
  TILE_OF[t->rows](t, &at);
}
