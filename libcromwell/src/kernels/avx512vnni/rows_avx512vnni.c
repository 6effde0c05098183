/* rows_avx512vnni.c: activations and gains, sixteen at a time; a short end is masked. */
#include <immintrin.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"
#include "kernels/avx512vnni/math_avx512vnni.h"

/* Lanes of the vector at i of a row. */
static inline __mmask16 lanes(size_t i, size_t size) {
  return size - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (size - i)) - 1);
}

static inline __m512 gelu_sixteen(__m512 x) {
  __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
  __m512 inner = _mm512_mul_ps(all(CW_GELU_SLOPE), _mm512_fmadd_ps(cube, all(CW_GELU_CUBE), x));
  return _mm512_div_ps(x, one_plus_exp(inner));
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
