/* quantise_avx512vnni.c: float32 rows to int8 with a scale a group. Largest magnitude, division and rounding are a long chain of dependent
 * steps, so four groups of 128 go through it together. */
#include <immintrin.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"
#include "kernels/avx512vnni/math_avx512vnni.h"

enum { WHOLE = 128 /* numbers rounded at a time: two vectors of bytes */, TOGETHER = 4 };

#define EACH(N) _Pragma("GCC unroll 8") for (size_t i = 0; i < N; i++)

static inline __m512 magnitude(const float *x) { return _mm512_abs_ps(_mm512_loadu_ps(x)); }

/* The largest of 16 lanes is the largest of these four. */
static inline __m128 four_of(__m512 most) {
  __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(most), _mm512_extractf32x8_ps(most, 1));
  return _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}

/* Four that hold the largest of 128 magnitudes; NaN counts as nothing. */
static inline __m128 largest_of_128(const float *x) {
  __m512 most[4];
  EACH(4) most[i] = _mm512_max_ps(magnitude(x + 16 * i), _mm512_setzero_ps());
  EACH(4) most[i] = _mm512_max_ps(magnitude(x + 64 + 16 * i), most[i]);
  return four_of(_mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3])));
}

/* The largest of `count` magnitudes, a multiple of 32. */
static inline __m128 largest(const float *x, size_t count) {
  __m512 most[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (size_t k = 0; k < count; k += 32)
    EACH(2) most[i] = _mm512_max_ps(magnitude(x + k + 16 * i), most[i]);
  __m128 four = four_of(_mm512_max_ps(most[0], most[1]));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_max_ss(two, _mm_movehdup_ps(two));
}

/* What numbers of groups with these largest magnitudes are multiplied by, and what brings them back, without its last two bits. */
static inline __m128 scales_of(__m128 most, __m128 *inverse) {
  __m128 counts = _mm_cmpge_ps(most, _mm_set1_ps(CW_TINY));
  *inverse = _mm_and_ps(counts, _mm_div_ps(_mm_set1_ps(CW_Q8_MOST), most));
  counts = _mm_and_ps(counts, _mm_castsi128_ps(_mm_set1_epi32(~3)));
  return _mm_and_ps(counts, _mm_div_ps(most, _mm_set1_ps(CW_Q8_MOST)));
}

static inline __m512i whole(const float *x, __m512 inverse) { return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse)); }

/* 128 numbers. Packs narrow within 128-bit lanes, so that fours of bytes come out as 0 4 8 12 | 1 5 9 13 | .. and are put in order. */
static inline void round_128(const float *x, __m512 inverse, int8_t *q, int32_t *sums, size_t stride) {
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
  __m128i sum_of_32 = _mm512_castsi512_si128(four);
  sums[0] = _mm_extract_epi32(sum_of_32, 0), sums[stride] = _mm_extract_epi32(sum_of_32, 1);
  sums[2 * stride] = _mm_extract_epi32(sum_of_32, 2), sums[3 * stride] = _mm_extract_epi32(sum_of_32, 3);
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

/* COUNT groups of 128. */
static inline __attribute__((always_inline)) void groups_of_128(const size_t COUNT, const float *x, size_t stride, int8_t *q, float *scales,
                                                                int32_t *sums) {
  __m128 most[TOGETHER], inverse;
  EACH(4) most[i] = i < COUNT ? largest_of_128(x + i * WHOLE) : _mm_setzero_ps();
  /* Four by four numbers to the largest of each four. */
  __m128 first = _mm_max_ps(_mm_unpacklo_ps(most[0], most[1]), _mm_unpackhi_ps(most[0], most[1]));
  __m128 last = _mm_max_ps(_mm_unpacklo_ps(most[2], most[3]), _mm_unpackhi_ps(most[2], most[3]));
  __m128 scale = scales_of(_mm_max_ps(_mm_movelh_ps(first, last), _mm_movehl_ps(last, first)), &inverse);
  float each[TOGETHER], inverses[TOGETHER];
  _mm_storeu_ps(each, scale);
  _mm_storeu_ps(inverses, inverse);
  EACH(4)
    if (i < COUNT) {
      scales[i * stride] = each[i];
      round_128(x + i * WHOLE, all(inverses[i]), q + i * WHOLE * stride, sums + i * (WHOLE / CW_SUB) * stride, stride);
    }
}

void cw_quantise_avx512vnni(const float *x, size_t depth, size_t group, size_t stride, int8_t *q, float *scales, int32_t *sums) {
  size_t start = 0;
  while (group == WHOLE && depth - start >= WHOLE) {
    const size_t left = (depth - start) / WHOLE, count = left >= 4 ? 4 : left == 3 ? 3 : 1;
    float *to_scales = scales + start / WHOLE * stride;
    int32_t *to_sums = sums + start / CW_SUB * stride;
    if (count == 4) groups_of_128(4, x + start, stride, q + start * stride, to_scales, to_sums);
    else if (count == 3) groups_of_128(3, x + start, stride, q + start * stride, to_scales, to_sums);
    else groups_of_128(1, x + start, stride, q + start * stride, to_scales, to_sums);
    start += count * WHOLE;
  }
  for (; start < depth; start += group) {
    const size_t end = depth - start < group ? depth : start + group;
    __m128 inverse;
    _mm_store_ss(scales + start / group * stride, scales_of(largest(x + start, end - start), &inverse));
    const __m512 factor = _mm512_broadcastss_ps(inverse);
    int8_t *to = q + start * stride;
    size_t k = start;
    for (; k + WHOLE <= end; k += WHOLE, to += WHOLE) round_128(x + k, factor, to, sums + k / CW_SUB * stride, stride);
    for (; k < end; k += CW_SUB, to += CW_SUB) round_32(x + k, factor, to, sums + k / CW_SUB * stride);
  }
}
