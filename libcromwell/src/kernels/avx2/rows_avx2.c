/* rows_avx2.c: norms and activations, eight at a time; a short end goes through a padded copy. */
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/kernels_avx2.h"
#include "kernels/avx2/math_avx2.h"

/* The fixed tree that joins 8 lanes. */
static inline float join(__m256 lanes) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1)); /* 0+4 1+5 2+6 3+7 */
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* The last size % 8 floats, padded with zeros. */
static inline __m256 load_end(const float *x, size_t count) {
  float padded[8] = {0};
  memcpy(padded, x, count * sizeof(float));
  return _mm256_loadu_ps(padded);
}

static inline void store_end(float *y, __m256 value, size_t count) {
  float padded[8];
  _mm256_storeu_ps(padded, value);
  memcpy(y, padded, count * sizeof(float));
}

void cw_rms_avx2(const float *x, const float *weight, float eps, size_t size, float *y) {
  size_t whole = size / 8 * 8, end = size - whole, i = 0;
  __m256 lanes[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  for (; i + 32 <= size; i += 32)
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
      __m256 value = _mm256_loadu_ps(x + i + 8 * j);
      lanes[j] = _mm256_fmadd_ps(value, value, lanes[j]);
    }
#pragma GCC unroll 4
  for (size_t j = 0; j < 4; j++) {
    size_t at = i + 8 * j;
    if (at >= size) break;
    __m256 value = at < whole ? _mm256_loadu_ps(x + at) : load_end(x + whole, end);
    lanes[j] = _mm256_fmadd_ps(value, value, lanes[j]);
  }
  float mean = join(_mm256_add_ps(_mm256_add_ps(lanes[0], lanes[1]), _mm256_add_ps(lanes[2], lanes[3]))) / (float)size;
  __m256 inverse = all(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps))));
  for (i = 0; i < whole; i += 8) {
    __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), inverse);
    _mm256_storeu_ps(y + i, weight == NULL ? scaled : _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + i)));
  }
  if (end > 0) {
    __m256 scaled = _mm256_mul_ps(load_end(x + whole, end), inverse);
    store_end(y + whole, weight == NULL ? scaled : _mm256_mul_ps(scaled, load_end(weight + whole, end)), end);
  }
}

static inline __m256 gelu_eight(__m256 x) {
  __m256 slope = _mm256_fmadd_ps(_mm256_mul_ps(x, x), all(CW_GELU_CUBE), all(CW_GELU_SLOPE));
  return _mm256_div_ps(x, one_plus_exp(_mm256_mul_ps(x, slope)));
}

/* x[i] = EIGHT(x[i]) over a row, with `value` the eight at hand. */
#define OVER_ROW(EXPRESSION)                            \
  size_t whole = size / 8 * 8, end = size - whole;      \
  for (size_t i = 0; i < whole; i += 8) {               \
    __m256 value = _mm256_loadu_ps(x + i);              \
    _mm256_storeu_ps(x + i, EXPRESSION);                \
  }                                                     \
  if (end > 0) {                                        \
    __m256 value = load_end(x + whole, end);            \
    store_end(x + whole, EXPRESSION, end);              \
  }

void cw_exp_avx2(float *x, size_t size) {
  OVER_ROW(_mm256_and_ps(exp_eight(value), _mm256_cmp_ps(value, all(CW_EXP_MIN), _CMP_GE_OQ)))
}

void cw_silu_avx2(float *x, size_t size) { OVER_ROW(silu_eight(value)) }

void cw_silu_mul_avx2(float *x, const float *y, size_t size) {
  size_t whole = size / 8 * 8, end = size - whole;
  for (size_t i = 0; i < whole; i += 8)
    _mm256_storeu_ps(x + i, _mm256_mul_ps(silu_eight(_mm256_loadu_ps(x + i)), _mm256_loadu_ps(y + i)));
  if (end > 0) store_end(x + whole, _mm256_mul_ps(silu_eight(load_end(x + whole, end)), load_end(y + whole, end)), end);
}

void cw_gelu_avx2(float *x, size_t size) { OVER_ROW(gelu_eight(value)) }

void cw_sigmoid_avx2(float *x, size_t size) { OVER_ROW(_mm256_div_ps(all(1.0f), one_plus_exp(value))) }

void cw_softcap_avx2(float *x, size_t size, float cap) {
  OVER_ROW(_mm256_mul_ps(all(cap), tanh_eight(_mm256_div_ps(value, all(cap)))))
}

void cw_scale_avx2(const float *x, const float *gains, size_t size, float *y) {
  size_t i = 0;
  for (; i + 8 <= size; i += 8) _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(gains + i)));
  for (; i < size; i++) y[i] = x[i] * gains[i];
}
