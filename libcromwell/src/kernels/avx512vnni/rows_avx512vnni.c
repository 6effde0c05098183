/* rows_avx512vnni.c: quantisation, activations and depthwise convolution, sixteen at a time; a short end is masked. */
#include <immintrin.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"
#include "kernels/avx512vnni/math_avx512vnni.h"

/* Lanes of the vector at i of a row. */
static inline __mmask16 lanes(size_t i, size_t size) {
  return size - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (size - i)) - 1);
}

static inline __m512 silu_sixteen(__m512 x) { return _mm512_mul_ps(x, sigmoid_sixteen(x)); }

static inline __m512 gelu_sixteen(__m512 x) {
  __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
  __m512 inner = _mm512_mul_ps(all(CW_GELU_SLOPE), _mm512_fmadd_ps(cube, all(CW_GELU_CUBE), x));
  return _mm512_mul_ps(x, sigmoid_sixteen(inner));
}

/* x[i] = EXPRESSION over a row, with `value` the sixteen at hand. */
#define OVER_ROW(EXPRESSION)                            \
  for (size_t i = 0; i < size; i += 16) {               \
    const __mmask16 mask = lanes(i, size);              \
    __m512 value = _mm512_maskz_loadu_ps(mask, x + i);  \
    _mm512_mask_storeu_ps(x + i, mask, EXPRESSION);     \
  }

void cw_exp_avx512vnni(float *x, size_t size) {
  OVER_ROW(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(value, all(CW_EXP_MIN), _CMP_GE_OQ), exp_sixteen(value)))
}

void cw_silu_avx512vnni(float *x, size_t size) { OVER_ROW(silu_sixteen(value)) }

void cw_silu_mul_avx512vnni(float *x, const float *y, size_t size) {
  OVER_ROW(_mm512_mul_ps(silu_sixteen(value), _mm512_maskz_loadu_ps(mask, y + i)))
}

void cw_gelu_avx512vnni(float *x, size_t size) { OVER_ROW(gelu_sixteen(value)) }

void cw_sigmoid_avx512vnni(float *x, size_t size) { OVER_ROW(sigmoid_sixteen(value)) }

void cw_softcap_avx512vnni(float *x, size_t size, float cap) {
  OVER_ROW(_mm512_mul_ps(all(cap), tanh_sixteen(_mm512_div_ps(value, all(cap)))))
}

void cw_depthwise_avx512vnni(const float *const taps[9], const float *weight, const float *bias, size_t channels, float *y) {
  for (size_t c = 0; c < channels; c += 16) {
    const __mmask16 mask = lanes(c, channels);
    __m512 sum = _mm512_maskz_loadu_ps(mask, bias + c);
    for (size_t tap = 0; tap < 9; tap++) {
      if (taps[tap] == NULL) continue;
      __m512 w = _mm512_maskz_loadu_ps(mask, weight + tap * channels + c);
      sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, taps[tap] + c), w, sum);
    }
    _mm512_mask_storeu_ps(y + c, mask, sum);
  }
}

/* Depth and groups are multiples of 32, but the last group may be short. */
void cw_quantise_avx512vnni(const float *x, size_t depth, size_t group, int8_t *q, float *scales, int32_t *sums) {
  const __m128i ones = _mm_set1_epi8(1);
  for (size_t start = 0; start < depth; start += group) {
    const size_t end = depth - start < group ? depth : start + group;
    __m512 first = _mm512_setzero_ps(), second = first;
    for (size_t k = start; k < end; k += CW_SUB) {
      first = _mm512_max_ps(first, _mm512_abs_ps(_mm512_loadu_ps(x + k)));
      second = _mm512_max_ps(second, _mm512_abs_ps(_mm512_loadu_ps(x + k + 16)));
    }
    const float most = _mm512_reduce_max_ps(_mm512_max_ps(first, second));
    const __m512 inverse = all(most < CW_TINY ? 0.0f : CW_Q8_MOST / most);
    scales[start / group] = most < CW_TINY ? 0.0f : most / CW_Q8_MOST;
    for (size_t k = start; k < end; k += CW_SUB) {
      __m128i low = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + k), inverse)));
      __m128i high = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + k + 16), inverse)));
      _mm_storeu_si128((__m128i *)(void *)(q + k), low);
      _mm_storeu_si128((__m128i *)(void *)(q + k + 16), high);
      __m128i fours = _mm_dpbusd_epi32(_mm_setzero_si128(), ones, low);
      fours = _mm_dpbusd_epi32(fours, ones, high);
      fours = _mm_add_epi32(fours, _mm_shuffle_epi32(fours, 0x4e));
      sums[k / CW_SUB] = _mm_cvtsi128_si32(_mm_add_epi32(fours, _mm_shuffle_epi32(fours, 0xb1)));
    }
  }
}
