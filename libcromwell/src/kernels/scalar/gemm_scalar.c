/* gemm_scalar.c: products with panels, the reference that other instruction sets must equal bit for bit. */
#include "kernels/scalar/kernels_scalar.h"

#include <math.h>

static void put(float *y, float sum, int add) { *y = add ? *y + sum : sum; }

void cw_gemm_f32_scalar(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panel, float *y, size_t y_stride,
                        size_t width, int add) {
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0; j < width; j++) {
      float sum = 0.0f;
      for (size_t k = 0; k < depth; k++) sum = fmaf(x[r * x_stride + k], panel[k * CW_PANEL + j], sum);
      put(&y[r * y_stride + j], sum, add);
    }
}

void cw_gemv_f32_scalar(const float *x, size_t depth, const float *panels, size_t panel_stride, size_t panel_count, float *y, int add) {
  for (size_t p = 0; p < panel_count; p++)
    cw_gemm_f32_scalar(x, depth, 1, depth, panels + p * panel_stride, y + p * CW_PANEL, CW_PANEL, CW_PANEL, add);
}

void cw_gemv_q8_scalar(const float *x, size_t depth, const int8_t *panels, const float *scales, size_t panel_count, float *y, int add) {
  size_t groups = (depth + CW_GROUP - 1) / CW_GROUP;
  for (size_t p = 0; p < panel_count; p++)
    for (size_t j = 0; j < CW_PANEL; j++) {
      const int8_t *panel = panels + p * depth * CW_PANEL;
      const float *scale = scales + p * groups * CW_PANEL;
      float sum = 0.0f;
      for (size_t k = 0; k < depth; k++) {
        float weight = (float)panel[k * CW_PANEL + j] * scale[k / CW_GROUP * CW_PANEL + j];
        sum = fmaf(x[k], weight, sum);
      }
      put(&y[p * CW_PANEL + j], sum, add);
    }
}

void cw_expand_q8_scalar(const int8_t *panel, const float *scales, size_t depth, float *out) {
  for (size_t k = 0; k < depth; k++)
    for (size_t j = 0; j < CW_PANEL; j++)
      out[k * CW_PANEL + j] = (float)panel[k * CW_PANEL + j] * scales[k / CW_GROUP * CW_PANEL + j];
}

void cw_depthwise_scalar(const float *const taps[9], const float *weight, const float *bias, size_t channels, float *y) {
  for (size_t c = 0; c < channels; c++) {
    float sum = bias[c];
    for (size_t tap = 0; tap < 9; tap++)
      if (taps[tap] != NULL) sum = fmaf(taps[tap][c], weight[tap * channels + c], sum);
    y[c] = sum;
  }
}
