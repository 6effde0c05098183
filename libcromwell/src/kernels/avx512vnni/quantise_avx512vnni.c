/* quantise_avx512vnni.c: float32 rows to int8 with a scale a group. The scales of several groups are found before their numbers are rounded:
 * the largest magnitude of a group is a long chain of dependent steps, and those of different groups overlap. */
#include <immintrin.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"
#include "kernels/avx512vnni/math_avx512vnni.h"

enum { GROUPS = 8 /* whose scales are found at a time */, WHOLE = 128 /* numbers rounded at a time: two vectors of bytes */ };

#define EACH(N) _Pragma("GCC unroll 8") for (size_t i = 0; i < N; i++)

static inline __m512 magnitude(const float *x) { return _mm512_abs_ps(_mm512_loadu_ps(x)); }

/* Largest of the magnitudes of `count` numbers, a multiple of 32; NaN counts as nothing. */
static inline float largest(const float *x, size_t count) {
  __m512 most[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
  size_t k = 0;
  for (; k + 64 <= count; k += 64)
    EACH(4) most[i] = _mm512_max_ps(magnitude(x + k + 16 * i), most[i]);
  if (k < count)
    EACH(2) most[i] = _mm512_max_ps(magnitude(x + k + 16 * i), most[i]);
  __m512 all_lanes = _mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3]));
  __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(all_lanes), _mm512_extractf32x8_ps(all_lanes, 1));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline __m512i whole(const float *x, __m512 inverse) { return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse)); }

/* 128 numbers. Packs narrow within 128-bit lanes, so that fours of bytes come out as 0 4 8 12 | 1 5 9 13 | .. and are put in order. */
static inline void round_128(const float *x, __m512 inverse, int8_t *q, int32_t *sums) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512i bytes[2], sum[2];
  EACH(2) {
    const float *from = x + 64 * i;
    __m512i low = _mm512_packs_epi32(whole(from, inverse), whole(from + 16, inverse));
    __m512i high = _mm512_packs_epi32(whole(from + 32, inverse), whole(from + 48, inverse));
    bytes[i] = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
    _mm512_storeu_si512(q + 64 * i, bytes[i]);
  }
  /* Sums of four bytes, of the sixteen of a 128-bit lane, then of two lanes: a of the first vector and b of the second beside each other. */
  EACH(2) sum[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), bytes[i]);
  EACH(2) sum[i] = _mm512_add_epi32(sum[i], _mm512_shuffle_epi32(sum[i], 0x4e));
  EACH(2) sum[i] = _mm512_add_epi32(sum[i], _mm512_shuffle_epi32(sum[i], 0xb1));
  __m512i aabb = _mm512_mask_blend_epi32(0xcccc, sum[0], sum[1]);
  aabb = _mm512_add_epi32(aabb, _mm512_shuffle_i32x4(aabb, aabb, 0xb1));
  __m512i four = _mm512_permutexvar_epi32(_mm512_castsi128_si512(_mm_setr_epi32(0, 8, 2, 10)), aabb);
  _mm_storeu_si128((__m128i *)(void *)sums, _mm512_castsi512_si128(four));
}

static inline void round_32(const float *x, __m512 inverse, int8_t *q, int32_t *sum) {
  __m128i low = _mm512_cvtsepi32_epi8(whole(x, inverse)), high = _mm512_cvtsepi32_epi8(whole(x + 16, inverse));
  _mm_storeu_si128((__m128i *)(void *)q, low);
  _mm_storeu_si128((__m128i *)(void *)(q + 16), high);
  __m128i fours = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), low);
  fours = _mm_dpbusd_epi32(fours, _mm_set1_epi8(1), high);
  fours = _mm_add_epi32(fours, _mm_shuffle_epi32(fours, 0x4e));
  *sum = _mm_cvtsi128_si32(_mm_add_epi32(fours, _mm_shuffle_epi32(fours, 0xb1)));
}

void cw_quantise_avx512vnni(const float *x, size_t depth, size_t group, int8_t *q, float *scales, int32_t *sums) {
  for (size_t first = 0; first < depth; first += GROUPS * group) {
    const size_t end = depth - first < GROUPS * group ? depth : first + GROUPS * group;
    float inverses[GROUPS];
    for (size_t start = first, g = 0; start < end; start += group, g++) {
      const float most = largest(x + start, end - start < group ? end - start : group);
      inverses[g] = most < CW_TINY ? 0.0f : CW_Q8_MOST / most;
      scales[start / group] = most < CW_TINY ? 0.0f : cw_q8_scale(most);
    }
    for (size_t start = first, g = 0; start < end; start += group, g++) {
      const size_t stop = end - start < group ? end : start + group;
      const __m512 inverse = all(inverses[g]);
      size_t k = start;
      for (; k + WHOLE <= stop; k += WHOLE) round_128(x + k, inverse, q + k, sums + k / CW_SUB);
      for (; k < stop; k += CW_SUB) round_32(x + k, inverse, q + k, sums + k / CW_SUB);
    }
  }
}
