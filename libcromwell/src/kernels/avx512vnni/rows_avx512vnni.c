/* rows_avx512vnni.c: norms, activations and gains, sixteen at a time; a short end is masked. */
#include <immintrin.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"
#include "kernels/avx512vnni/math_avx512vnni.h"

/* Lanes of the vector at i of a row. */
static inline __mmask16 lanes(size_t i, size_t size) {
  return size - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (size - i)) - 1);
}

/* The fixed tree that joins 32 lanes. */
static inline float join(__m512 first, __m512 second) {
  __m256 low = _mm256_add_ps(_mm512_castps512_ps256(first), _mm512_extractf32x8_ps(first, 1));
  __m256 high = _mm256_add_ps(_mm512_castps512_ps256(second), _mm512_extractf32x8_ps(second, 1));
  __m256 eight = _mm256_add_ps(low, high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)); /* 0+4 1+5 2+6 3+7 */
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

void cw_rms_avx512vnni(const float *x, const float *weight, float eps, size_t size, float *y) {
  __m512 first = _mm512_setzero_ps(), second = first;
  size_t i = 0;
  for (; i + 32 <= size; i += 32) {
    __m512 low = _mm512_loadu_ps(x + i), high = _mm512_loadu_ps(x + i + 16);
    first = _mm512_fmadd_ps(low, low, first);
    second = _mm512_fmadd_ps(high, high, second);
  }
  if (i < size) {
    __m512 low = _mm512_maskz_loadu_ps(lanes(i, size), x + i);
    first = _mm512_fmadd_ps(low, low, first);
  }
  if (i + 16 < size) {
    __m512 high = _mm512_maskz_loadu_ps(lanes(i + 16, size), x + i + 16);
    second = _mm512_fmadd_ps(high, high, second);
  }
  const float mean = join(first, second) / (float)size;
  const __m512 inverse = all(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps))));
  for (i = 0; i < size; i += 16) {
    const __mmask16 mask = lanes(i, size);
    __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inverse);
    if (weight != NULL) scaled = _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(mask, weight + i));
    _mm512_mask_storeu_ps(y + i, mask, scaled);
  }
}

static inline __m512 gelu_sixteen(__m512 x) {
  __m512 slope = _mm512_fmadd_ps(_mm512_mul_ps(x, x), all(CW_GELU_CUBE), all(CW_GELU_SLOPE));
  return _mm512_div_ps(x, one_plus_exp(_mm512_mul_ps(x, slope)));
}

/* x[i] = EXPRESSION over a row, with `value` the sixteen at hand. */
#define OVER_ROW(EXPRESSION)                            \
  size_t i = 0;                                         \
  for (; i + 16 <= size; i += 16) {                     \
    __m512 value = _mm512_loadu_ps(x + i);              \
    _mm512_storeu_ps(x + i, EXPRESSION);                \
  }                                                     \
  if (i < size) {                                       \
    const __mmask16 mask = lanes(i, size);              \
    __m512 value = _mm512_maskz_loadu_ps(mask, x + i);  \
    _mm512_mask_storeu_ps(x + i, mask, EXPRESSION);     \
  }

void cw_exp_avx512vnni(float *x, size_t size) {
  OVER_ROW(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(value, all(CW_EXP_MIN), _CMP_GE_OQ), exp_sixteen(value)))
}

void cw_silu_avx512vnni(float *x, size_t size) { OVER_ROW(silu_sixteen(value)) }

void cw_silu_mul_avx512vnni(float *x, const float *y, size_t size) {
  OVER_ROW(_mm512_mul_ps(silu_sixteen(value), _mm512_maskz_loadu_ps(lanes(i, size), y + i)))
}

void cw_gelu_avx512vnni(float *x, size_t size) { OVER_ROW(gelu_sixteen(value)) }

void cw_sigmoid_avx512vnni(float *x, size_t size) { OVER_ROW(_mm512_div_ps(all(1.0f), one_plus_exp(value))) }

void cw_softcap_avx512vnni(float *x, size_t size, float cap) {
  OVER_ROW(_mm512_mul_ps(all(cap), tanh_sixteen(_mm512_div_ps(value, all(cap)))))
}

void cw_scale_avx512vnni(const float *x, const float *gains, size_t size, float *y) {
  for (size_t i = 0; i < size; i += 16) {
    const __mmask16 mask = lanes(i, size);
    _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), _mm512_maskz_loadu_ps(mask, gains + i)));
  }
}
