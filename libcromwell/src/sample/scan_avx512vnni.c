/* scan_avx512vnni.c: the sampler's passes, sixteen numbers a vector; a short end is masked. */
#include <immintrin.h>
#include <math.h>

#include "kernels/kernels.h"
#include "sample/scan.h"

static inline __m512 all(float value) { return _mm512_set1_ps(value); }

/* The 16 lanes of a sum: the first eight, the other eight. */
typedef struct {
  __m512d low, high;
} sums;

static inline sums no_sums(void) { return (sums){_mm512_setzero_pd(), _mm512_setzero_pd()}; }

static inline void add(sums *s, __m512 x) {
  s->low = _mm512_add_pd(s->low, _mm512_cvtps_pd(_mm512_castps512_ps256(x)));
  s->high = _mm512_add_pd(s->high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)));
}

static double join(sums s) {
  __m512d eight = _mm512_add_pd(s.low, s.high);
  __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
  __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/* The lanes that exist of the 16 from position i on. */
static inline __mmask16 lanes(size_t i, size_t count) { return (__mmask16)(count - i >= 16 ? 0xffffu : (1u << (count - i)) - 1); }

/* exp(d), d <= 0: the operations of math_scalar.h less the clamps, which within the range change nothing and beyond are masked out. */
static inline __m512 weight_of(__m512 d) {
  __mmask16 counts = _mm512_cmp_ps_mask(d, all(CW_EXP_MIN), _CMP_GE_OQ);
  __m512 shifted = _mm512_fmadd_ps(d, all(CW_LOG2E), all(CW_ROUND));
  __m512 n = _mm512_sub_ps(shifted, all(CW_ROUND));
  __m512 r = _mm512_fmadd_ps(n, all(-CW_LN2_HIGH), d);
  r = _mm512_fmadd_ps(n, all(-CW_LN2_LOW), r);
  __m512 p = all(CW_EXP_C7);
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C6));
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C5));
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C4));
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C3));
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C2));
  __m512i bits = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127));
  __m512 power = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
  __m512 q = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r);
  return _mm512_maskz_fmadd_ps(counts, q, power, power);
}

static float largest(const float *x, size_t count) {
  __m512 top[2] = {all(-INFINITY), all(-INFINITY)};
  __mmask16 nan = 0;
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + i + 16);
    top[0] = _mm512_max_ps(a, top[0]);
    top[1] = _mm512_max_ps(b, top[1]);
    nan = (__mmask16)(nan | _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q));
  }
  for (; i < count; i += 16) {
    __m512 a = _mm512_mask_loadu_ps(all(-INFINITY), lanes(i, count), x + i);
    top[0] = _mm512_max_ps(a, top[0]);
    nan = (__mmask16)(nan | _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q));
  }
  return nan ? NAN : _mm512_reduce_max_ps(_mm512_max_ps(top[0], top[1]));
}

static size_t find(const float *x, size_t count, float value) {
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 here = lanes(i, count), equal = _mm512_mask_cmp_ps_mask(here, _mm512_maskz_loadu_ps(here, x + i), all(value), _CMP_EQ_OQ);
    if (equal != 0) return i + (size_t)__builtin_ctz(equal);
  }
  return count;
}

static inline __m512 score_of(__mmask16 here, const float *x, float best, float temperature) {
  return _mm512_div_ps(_mm512_sub_ps(_mm512_mask_loadu_ps(all(-INFINITY), here, x), all(best)), all(temperature));
}

static void score(const float *x, size_t count, float best, float temperature, float *d) {
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 here = lanes(i, count);
    _mm512_mask_storeu_ps(d + i, here, score_of(here, x + i, best, temperature));
  }
}

static double weigh(const float *x, size_t count, float best, float temperature, float *d, float *w) {
  sums total = no_sums();
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 here = lanes(i, count);
    __m512 scores = score_of(here, x + i, best, temperature), weights = weight_of(scores);
    _mm512_mask_storeu_ps(d + i, here, scores);
    _mm512_mask_storeu_ps(w + i, here, weights);
    add(&total, weights);
  }
  return join(total);
}

static double sum_exp(const float *x, size_t count, float best) {
  sums total = no_sums();
  for (size_t i = 0; i < count; i += 16) {
    __m512 value = _mm512_mask_loadu_ps(all(-INFINITY), lanes(i, count), x + i);
    add(&total, weight_of(_mm512_sub_ps(value, all(best))));
  }
  return join(total);
}

static inline cw_between between_by(const float *d, const float *w, size_t count, float low, float high, uint32_t *at) {
  sums above = no_sums();
  size_t found = 0, counted = 0;
  __m512i position = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 here = lanes(i, count);
    __m512 scores = _mm512_maskz_loadu_ps(here, d + i);
    __mmask16 over = _mm512_mask_cmp_ps_mask(here, scores, all(high), _CMP_GT_OQ);
    __mmask16 within = (__mmask16)(_mm512_mask_cmp_ps_mask(here, scores, all(low), _CMP_GE_OQ) & ~over);
    if (w != NULL)
      add(&above, _mm512_maskz_loadu_ps(over, w + i));
    else
      counted += (size_t)__builtin_popcount(over);
    _mm512_storeu_si512(at + found, _mm512_maskz_compress_epi32(within, position)); /* storing under the mask is slow on some machines */
    found += (size_t)__builtin_popcount(within);
    position = _mm512_add_epi32(position, _mm512_set1_epi32(16));
  }
  return (cw_between){w == NULL ? (double)counted : join(above), found};
}

static cw_between between(const float *d, const float *w, size_t count, float low, float high, uint32_t *at) {
  return w == NULL ? between_by(d, NULL, count, low, high, at) : between_by(d, w, count, low, high, at);
}

static double keep(const float *d, float *w, size_t count, float least_d, float least_w) {
  sums total = no_sums();
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 here = lanes(i, count);
    __m512 weights = _mm512_maskz_loadu_ps(here, w + i);
    __mmask16 stays = _mm512_mask_cmp_ps_mask(here, _mm512_maskz_loadu_ps(here, d + i), all(least_d), _CMP_GE_OQ);
    weights = _mm512_maskz_mov_ps(_mm512_mask_cmp_ps_mask(stays, weights, all(least_w), _CMP_GE_OQ), weights);
    _mm512_mask_storeu_ps(w + i, here, weights);
    add(&total, weights);
  }
  return join(total);
}

const cw_scan cw_scan_avx512vnni = {"avx512vnni", largest, find, score, weigh, sum_exp, between, keep};
