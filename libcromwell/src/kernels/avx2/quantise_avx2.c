/* quantise_avx2.c: float32 rows to int8 with a scale a group, 32 numbers at a time. */
#include <immintrin.h>

#include "kernels/avx2/dots_avx2.h"
#include "kernels/avx2/kernels_avx2.h"

/* Largest magnitude of `count` numbers, a multiple of 32. */
static inline float largest(const float *x, size_t count) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 most[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  for (size_t k = 0; k < count; k += 32)
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) most[i] = _mm256_max_ps(_mm256_and_ps(_mm256_loadu_ps(x + k + i * 8), magnitude), most[i]);
  return most_of_eight(_mm256_max_ps(_mm256_max_ps(most[0], most[1]), _mm256_max_ps(most[2], most[3])));
}

/* Eight numbers times `inverse` to the nearest even integer. */
static inline __m256i whole(const float *x, __m256 inverse) { return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse)); }

/* Packs narrow within 128-bit lanes: fours of bytes come out as 0 2 4 6 | 1 3 5 7 and are put in order. */
static inline __m256i thirty_two(const float *x, __m256 inverse) {
  __m256i low = _mm256_packs_epi32(whole(x, inverse), whole(x + 8, inverse));
  __m256i high = _mm256_packs_epi32(whole(x + 16, inverse), whole(x + 24, inverse));
  return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static inline int32_t sum_of(__m256i q) {
  __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
  __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
  __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

void cw_quantise_avx2(const float *x, size_t depth, size_t group, size_t stride, int8_t *q, float *scales, int32_t *sums) {
  for (size_t start = 0; start < depth; start += group) {
    size_t count = depth - start < group ? depth - start : group;
    float most = largest(x + start, count);
    int none = most < CW_TINY;
    scales[start / group * stride] = none ? 0.0f : cw_q8_scale(most);
    __m256 inverse = _mm256_set1_ps(none ? 0.0f : CW_Q8_MOST / most);
    int8_t *to = q + start * stride;
    for (size_t k = start; k < start + count; k += CW_SUB, to += CW_SUB) {
      __m256i bytes = thirty_two(x + k, inverse);
      _mm256_storeu_si256((__m256i *)(void *)to, bytes);
      sums[k / CW_SUB * stride] = sum_of(bytes);
    }
  }
}
