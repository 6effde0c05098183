/* products_scalar.c: products with panels, the reference that other instruction sets must equal bit for bit. */
#include <math.h>

#include "kernels/scalar/kernels_scalar.h"
#include "kernels/scalar/math_scalar.h"

void cw_product_f32_scalar(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                           size_t y_stride, int add) {
  for (size_t r = 0; r < rows; r++)
    for (size_t n = 0; n < outputs; n++) {
      const float *panel = panels + n / CW_PANEL * depth * CW_PANEL;
      float sum = add ? y[r * y_stride + n] : 0.0f;
      for (size_t k = 0; k < depth; k++) sum = fmaf(x[r * x_stride + k], panel[k * CW_PANEL + n % CW_PANEL], sum);
      y[r * y_stride + n] = sum;
    }
}

static int32_t weight_q8(const cw_q_panels *w, size_t n, size_t k) {
  size_t panel = n / CW_PANEL, lane = n % CW_PANEL;
  return (int32_t)w->weights[panel * w->depth * CW_PANEL + (k / 4 * CW_PANEL + lane) * 4 + k % 4] - CW_OFFSET;
}

static int32_t weight_q4(const cw_q_panels *w, size_t n, size_t k) {
  size_t panel = n / CW_PANEL, lane = n % CW_PANEL;
  uint32_t byte = w->weights[panel * w->depth * CW_PANEL / 2 + (k / 8 * CW_PANEL + lane) * 4 + k % 4];
  int32_t nibble = (int32_t)(k % 8 < 4 ? byte & 15 : byte >> 4);
  return (nibble - 8) * w->multipliers[(panel * (w->depth / CW_SUB) + k / CW_SUB) * CW_PANEL + lane];
}

typedef int32_t (*weight_fn)(const cw_q_panels *w, size_t n, size_t k);

static void product(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add, weight_fn weight) {
  size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP;
  for (size_t r = 0; r < rows; r++)
    for (size_t n = 0; n < w->outputs; n++) {
      float sum = add ? y[r * y_stride + n] : 0.0f;
      for (size_t g = 0; g < groups; g++) {
        size_t end = (g + 1) * CW_GROUP < depth ? (g + 1) * CW_GROUP : depth;
        int32_t dot = 0;
        for (size_t k = g * CW_GROUP; k < end; k++) dot += x->q[(g * x->stride + r) * CW_GROUP + k % CW_GROUP] * weight(w, n, k);
        float scale = bfloat_one(w->scales[(n / CW_PANEL * groups + g) * CW_PANEL + n % CW_PANEL]);
        sum = fmaf((float)dot * x->scales[g * x->stride + r], scale, sum);
      }
      y[r * y_stride + n] = sum;
    }
}

void cw_product_q8_scalar(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add) {
  product(x, rows, w, y, y_stride, add, weight_q8);
}

void cw_product_q4_scalar(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add) {
  product(x, rows, w, y, y_stride, add, weight_q4);
}
