/* gemm_avx2.c: products of many rows with one panel of 16 outputs, 6 rows at a time. */
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/kernels_avx2.h"

/* ROWS is a constant at every call, so that the loops over it unroll and the sums stay in registers. */
static inline __attribute__((always_inline)) void tile(const float *x, size_t x_stride, size_t depth, const float *panel, float *y,
                                                       size_t y_stride, size_t width, int add, const int ROWS) {
  __m256 sum[6][2];
#pragma GCC unroll 6
  for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
  for (size_t k = 0; k < depth; k++) {
    __m256 w0 = _mm256_loadu_ps(panel + k * CW_PANEL), w1 = _mm256_loadu_ps(panel + k * CW_PANEL + 8);
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++) {
      __m256 value = _mm256_broadcast_ss(x + (size_t)r * x_stride + k);
      sum[r][0] = _mm256_fmadd_ps(value, w0, sum[r][0]);
      sum[r][1] = _mm256_fmadd_ps(value, w1, sum[r][1]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < ROWS; r++) {
    float *out = y + (size_t)r * y_stride;
    float edge[CW_PANEL];
    if (width < CW_PANEL) {
      memcpy(edge, out, width * sizeof(float));
      memset(edge + width, 0, (CW_PANEL - width) * sizeof(float));
    }
    float *at = width < CW_PANEL ? edge : out;
    if (add) {
      sum[r][0] = _mm256_add_ps(_mm256_loadu_ps(at), sum[r][0]);
      sum[r][1] = _mm256_add_ps(_mm256_loadu_ps(at + 8), sum[r][1]);
    }
    _mm256_storeu_ps(at, sum[r][0]);
    _mm256_storeu_ps(at + 8, sum[r][1]);
    if (width < CW_PANEL) memcpy(out, edge, width * sizeof(float));
  }
}

void cw_gemm_f32_avx2(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panel, float *y, size_t y_stride,
                      size_t width, int add) {
  size_t r = 0;
  /* 7 rows are 4 + 3 and 8 are 4 + 4: a tile of one or two rows runs at a fraction of the rate. */
  for (; rows - r >= 9 || rows - r == 6; r += 6) tile(x + r * x_stride, x_stride, depth, panel, y + r * y_stride, y_stride, width, add, 6);
  for (; rows - r == 7 || rows - r == 8 || rows - r == 4; r += 4)
    tile(x + r * x_stride, x_stride, depth, panel, y + r * y_stride, y_stride, width, add, 4);
  x += r * x_stride;
  y += r * y_stride;
  switch (rows - r) {
    case 5: tile(x, x_stride, depth, panel, y, y_stride, width, add, 5); break;
    case 3: tile(x, x_stride, depth, panel, y, y_stride, width, add, 3); break;
    case 2: tile(x, x_stride, depth, panel, y, y_stride, width, add, 2); break;
    case 1: tile(x, x_stride, depth, panel, y, y_stride, width, add, 1); break;
    default: break;
  }
}

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
