/* dots_avx2.h: exact dot products of int8 rows with one panel of unsigned bytes, and what becomes of them: shared by products and scores.
 *
 * vpmaddubsw (5 cycles, 2 a cycle) multiplies bytes u and q and adds neighbours to 16 bits, 2 * 128 * 127 at most, which fits; vpmaddwd
 * with ones (5, 2) adds neighbours to 32 bits; vpaddd (1, 3). With 4 rows that is 24 operations on three ports for 256 products of 8
 * bits, 8 cycles, and leaves registers for the panel's two vectors, the ones and a broadcast. */
#ifndef CW_DOTS_AVX2_H
#define CW_DOTS_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

#ifndef __AVX2__
#error "only for files named *_avx2.c"
#endif

#define CW_INLINE static inline __attribute__((always_inline))

enum { CW_TILE_ROWS = 4 };

CW_INLINE __m256i load_bytes(const void *at) { return _mm256_loadu_si256((const __m256i *)at); }

/* Four consecutive q in every 32 bits. */
CW_INLINE __m256i broadcast_four(const int8_t *q) {
  int32_t four;
  memcpy(&four, q, sizeof four);
  return _mm256_set1_epi32(four);
}

/* sum += value, kept as written: gcc would regroup a long sum of integers and run out of registers. */
CW_INLINE void add_to(__m256i *sum, __m256i value) {
  *sum = _mm256_add_epi32(*sum, value);
  __asm__("" : "+x"(*sum));
}

/* dot[r * 2 + half] += sum over `depth` k of q[r, k] * u[k / 4][8 half + j][k % 4], for 1..4 rows `stride` apart; depth is a multiple of
 * 32. With `ask`, asks for the bytes `ahead` further on. */
CW_INLINE void dots(const int rows, const int8_t *q, size_t stride, const uint8_t *u, size_t depth, const int ask,
                    size_t ahead, __m256i dot[CW_TILE_ROWS * 2]) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (size_t k = 0; k < depth; k += 32)
#pragma GCC unroll 8
    for (size_t i = 0; i < 32; i += 4) {
      const uint8_t *at = u + (k + i) * CW_PANEL;
      if (ask) _mm_prefetch((const char *)(at + ahead), _MM_HINT_T0);
      __m256i low = load_bytes(at), high = load_bytes(at + 32);
#pragma GCC unroll 4
      for (int r = 0; r < rows; r++) {
        __m256i four = broadcast_four(q + (size_t)r * stride + k + i);
        add_to(&dot[r * 2], _mm256_madd_epi16(_mm256_maddubs_epi16(low, four), ones));
        add_to(&dot[r * 2 + 1], _mm256_madd_epi16(_mm256_maddubs_epi16(high, four), ones));
      }
    }
}

CW_INLINE float most_of_eight(__m256 values) {
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* Sum of `count` (1..4) sums of 32 q, `stride` apart. */
CW_INLINE int32_t group_sum(const int32_t *sums, size_t stride, size_t count) {
  int32_t sum = sums[0];
  if (count > 1) sum += sums[stride];
  if (count > 2) sum += sums[2 * stride];
  if (count > 3) sum += sums[3 * stride];
  return sum;
}

/* Eight bfloat16 as floats. */
CW_INLINE __m256 eight_scales(const uint16_t *scales) {
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)scales));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

#endif
