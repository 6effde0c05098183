/* depthwise_avx2.c: 3x3 depthwise convolution, eight channels at a time. */
#include <immintrin.h>

#include "kernels/avx2/kernels_avx2.h"

void cw_depthwise_avx2(const float *const taps[9], const float *weight, const float *bias, size_t channels, float *y) {
  size_t c = 0;
  for (; c + 8 <= channels; c += 8) {
    __m256 sum = _mm256_loadu_ps(bias + c);
    for (size_t tap = 0; tap < 9; tap++)
      if (taps[tap] != NULL) sum = _mm256_fmadd_ps(_mm256_loadu_ps(taps[tap] + c), _mm256_loadu_ps(weight + tap * channels + c), sum);
    _mm256_storeu_ps(y + c, sum);
  }
  for (; c < channels; c++) {
    float sum = bias[c];
    for (size_t tap = 0; tap < 9; tap++)
      if (taps[tap] != NULL) sum = __builtin_fmaf(taps[tap][c], weight[tap * channels + c], sum);
    y[c] = sum;
  }
}
