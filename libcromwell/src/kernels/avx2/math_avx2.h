/* math_avx2.h: the library's exponential, eight numbers at a time: the operations of math_scalar.h in the same order. */
#ifndef CW_MATH_AVX2_H
#define CW_MATH_AVX2_H

#include <immintrin.h>

#include "kernels/kernels.h"

#ifndef __AVX2__
#error "only for files named *_avx2.c"
#endif

static inline __m256 all(float value) { return _mm256_set1_ps(value); }

/* max and min give the second operand for NaN, as `x > low ? x : low` does. */
static inline __m256 exp_parts(__m256 x, __m256 *power) {
  x = _mm256_max_ps(x, all(CW_EXP_MIN));
  x = _mm256_min_ps(x, all(CW_EXP_MAX));
  __m256 shifted = _mm256_fmadd_ps(x, all(CW_LOG2E), all(CW_ROUND));
  __m256 n = _mm256_sub_ps(shifted, all(CW_ROUND));
  __m256 r = _mm256_fmadd_ps(n, all(-CW_LN2_HIGH), x);
  r = _mm256_fmadd_ps(n, all(-CW_LN2_LOW), r);
  __m256 p = all(CW_EXP_C7);
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C6));
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C5));
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C4));
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C3));
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C2));
  __m256i bits = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127));
  *power = _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
  return _mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r);
}

static inline __m256 exp_eight(__m256 x) {
  __m256 power, q = exp_parts(x, &power);
  return _mm256_fmadd_ps(q, power, power);
}

/* 2^x for x <= 0, as kernels.h describes. */
static inline __m256 exp2_eight(__m256 x) {
  x = _mm256_max_ps(x, all(CW_EXP2_MIN));
  __m256 n = _mm256_floor_ps(x), f = _mm256_sub_ps(x, n);
  __m256 p = all(CW_EXP2_C4);
  p = _mm256_fmadd_ps(p, f, all(CW_EXP2_C3));
  p = _mm256_fmadd_ps(p, f, all(CW_EXP2_C2));
  p = _mm256_fmadd_ps(p, f, all(CW_EXP2_C1));
  p = _mm256_fmadd_ps(p, f, all(1.0f));
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}

/* 1 + exp(-x), as kernels.h describes. */
static inline __m256 one_plus_exp(__m256 x) {
  x = _mm256_max_ps(x, all(CW_SIGMOID_MIN));
  x = _mm256_min_ps(x, all(CW_SIGMOID_MAX));
  __m256 shifted = _mm256_fmadd_ps(x, all(-CW_LOG2E), all(CW_SIGMOID_ROUND));
  __m256 g = _mm256_fmadd_ps(_mm256_sub_ps(shifted, all(CW_SIGMOID_ROUND)), all(CW_LN2), x);
  __m256 p = _mm256_fmadd_ps(all(CW_SIGMOID_C5), g, all(CW_SIGMOID_C4));
  p = _mm256_fmadd_ps(p, g, all(CW_SIGMOID_C3));
  p = _mm256_fmadd_ps(p, g, all(CW_SIGMOID_C2));
  p = _mm256_fmadd_ps(p, g, all(-1.0f));
  p = _mm256_fmadd_ps(p, g, all(1.0f));
  __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
  return _mm256_fmadd_ps(p, power, all(1.0f));
}

static inline __m256 silu_eight(__m256 x) { return _mm256_div_ps(x, one_plus_exp(x)); }

static inline __m256 tanh_eight(__m256 x) {
  __m256 twice = _mm256_add_ps(x, x);
  twice = _mm256_max_ps(twice, all(-30.0f));
  twice = _mm256_min_ps(twice, all(30.0f));
  __m256 power, q = exp_parts(twice, &power);
  __m256 e = _mm256_fmadd_ps(q, power, _mm256_sub_ps(power, all(1.0f)));
  return _mm256_div_ps(e, _mm256_add_ps(e, all(2.0f)));
}

#endif
