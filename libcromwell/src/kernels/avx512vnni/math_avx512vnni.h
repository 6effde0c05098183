/* math_avx512vnni.h: the library's exponential, sixteen numbers at a time: the operations of math_scalar.h in the same order. */
#ifndef CW_MATH_AVX512VNNI_H
#define CW_MATH_AVX512VNNI_H

#include <immintrin.h>

#include "kernels/kernels.h"

static inline __m512 all(float value) { return _mm512_set1_ps(value); }

/* max and min give the second operand for NaN, as `x > low ? x : low` does. */
static inline __m512 exp_parts(__m512 x, __m512 *power) {
  x = _mm512_max_ps(x, all(CW_EXP_MIN));
  x = _mm512_min_ps(x, all(CW_EXP_MAX));
  __m512 shifted = _mm512_fmadd_ps(x, all(CW_LOG2E), all(CW_ROUND));
  __m512 n = _mm512_sub_ps(shifted, all(CW_ROUND));
  __m512 r = _mm512_fmadd_ps(n, all(-CW_LN2_HIGH), x);
  r = _mm512_fmadd_ps(n, all(-CW_LN2_LOW), r);
  __m512 p = all(CW_EXP_C7);
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C6));
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C5));
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C4));
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C3));
  p = _mm512_fmadd_ps(p, r, all(CW_EXP_C2));
  __m512i bits = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127));
  *power = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
  return _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r);
}

static inline __m512 exp_sixteen(__m512 x) {
  __m512 power, q = exp_parts(x, &power);
  return _mm512_fmadd_ps(q, power, power);
}

/* 1 + exp(-x), as kernels.h describes. */
static inline __m512 one_plus_exp(__m512 x) {
  x = _mm512_max_ps(x, all(CW_SIGMOID_MIN));
  x = _mm512_min_ps(x, all(CW_SIGMOID_MAX));
  __m512 shifted = _mm512_fmadd_ps(x, all(-CW_LOG2E), all(CW_SIGMOID_ROUND));
  __m512 g = _mm512_fmadd_ps(_mm512_sub_ps(shifted, all(CW_SIGMOID_ROUND)), all(CW_LN2), x);
  __m512 p = _mm512_fmadd_ps(all(CW_SIGMOID_C5), g, all(CW_SIGMOID_C4));
  p = _mm512_fmadd_ps(p, g, all(CW_SIGMOID_C3));
  p = _mm512_fmadd_ps(p, g, all(CW_SIGMOID_C2));
  p = _mm512_fmadd_ps(p, g, all(-1.0f));
  p = _mm512_fmadd_ps(p, g, all(1.0f));
  __m512 power = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23));
  return _mm512_fmadd_ps(p, power, all(1.0f));
}

static inline __m512 silu_sixteen(__m512 x) { return _mm512_div_ps(x, one_plus_exp(x)); }

static inline __m512 tanh_sixteen(__m512 x) {
  __m512 twice = _mm512_add_ps(x, x);
  twice = _mm512_max_ps(twice, all(-30.0f));
  twice = _mm512_min_ps(twice, all(30.0f));
  __m512 power, q = exp_parts(twice, &power);
  __m512 e = _mm512_fmadd_ps(q, power, _mm512_sub_ps(power, all(1.0f)));
  return _mm512_div_ps(e, _mm512_add_ps(e, all(2.0f)));
}

#endif
