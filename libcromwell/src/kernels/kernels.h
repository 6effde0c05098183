/* kernels.h: the table of kernels that an instruction set provides.
 *
 * Every kernel of every set computes the same bits: an output is one chain of fused multiply-adds over increasing k, from +0;
 * vectors run along outputs, never along k. Row sums (rms, softmax) use 8 lanes, element i in lane i mod 8, joined as a fixed
 * tree. exp, tanh and sigmoid are polynomials of this library. Weights and cached keys and values are stored in panels of 16
 * outputs, [panel][k][16], so that a step along k is two 256-bit loads. */
#ifndef CW_KERNELS_H
#define CW_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
  CW_PANEL = 16, /* outputs a panel: two ymm, one zmm */
  CW_GROUP = 64  /* weights along k that share a q8 scale */
};

typedef struct {
  const char *name;

  /* y[r, 0..width) (+)= sum over k of x[r, k] * panel[k, 0..width), for r < rows; width <= 16; strides in floats. */
  void (*gemm_f32)(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panel /* [depth, 16] */, float *y,
                   size_t y_stride, size_t width, int add);
  /* One row over many panels, panel_stride floats apart: y[panels * 16] (+)= x[depth] panels. */
  void (*gemv_f32)(const float *x, size_t depth, const float *panels, size_t panel_stride, size_t panel_count, float *y, int add);
  /* The same over int8 panels [panel_count][depth][16] with scales [panel_count][ceil(depth/64)][16]: w = (float)q * scale. */
  void (*gemv_q8)(const float *x, size_t depth, const int8_t *panels, const float *scales, size_t panel_count, float *y, int add);
  /* One int8 panel as floats: out[depth, 16]. */
  void (*expand_q8)(const int8_t *panel, const float *scales, size_t depth, float *out);

  /* y = x / sqrt(mean(x^2) + eps) * weight; weight NULL = 1; y may be x. */
  void (*rms)(const float *x, const float *weight, float eps, size_t size, float *y);
  /* scores[i] = exp((scores[i] - max) * scale) for i < count, 0 for count <= i < padded; returns their sum. scale > 0, count > 0. */
  float (*softmax)(float *scores, size_t count, size_t padded, float scale);

  void (*exp)(float *x, size_t size);                      /* exp(x), 0 below CW_EXP_MIN (-inf included); x <= CW_EXP_MAX */
  void (*silu)(float *x, size_t size);                     /* x sigmoid(x) */
  void (*silu_mul)(float *x, const float *y, size_t size); /* silu(x) y */
  void (*gelu)(float *x, size_t size);                     /* tanh form: 0.5 x (1 + tanh(0.7978845608 (x + 0.044715 x^3))) */
  void (*sigmoid)(float *x, size_t size);
  void (*softcap)(float *x, size_t size, float cap); /* cap tanh(x / cap) */

  /* One pixel of a 3x3 depthwise convolution: y[c] = bias[c] + sum over taps of tap[c] weight[tap, c]; taps outside are NULL. */
  void (*depthwise)(const float *const taps[9], const float *weight /* [9, channels] */, const float *bias, size_t channels, float *y);
} cw_kernels;

extern const cw_kernels cw_kernels_scalar, cw_kernels_avx2;

/* Constants of the polynomials, shared so that every set uses the same ones.
 * exp: x = n ln2 + r with n the nearest integer, |r| <= ln2/2; exp(r) - 1 by its Taylor series to r^7 (error below 6e-9 relative);
 * ln2 in two parts, the first with 9 trailing zero bits so that n * LN2_HIGH is exact (Cody and Waite). */
#define CW_LOG2E 1.44269504088896341f
#define CW_LN2_HIGH 0.693145751953125f
#define CW_LN2_LOW 1.42860682030941723e-6f
#define CW_ROUND 12582912.0f /* 1.5 * 2^23: adding and subtracting it rounds to the nearest integer */
#define CW_EXP_MIN -87.0f    /* below: exp(-87) = 1.6e-38, the last normal decade */
#define CW_EXP_MAX 88.0f
#define CW_EXP_C2 0.5f
#define CW_EXP_C3 0.166666666666666667f
#define CW_EXP_C4 0.0416666666666666667f
#define CW_EXP_C5 0.00833333333333333333f
#define CW_EXP_C6 0.00138888888888888889f
#define CW_EXP_C7 0.000198412698412698413f
#define CW_GELU_SLOPE 1.5957691216f /* 2 * 0.7978845608, as 0.5 (1 + tanh u) = sigmoid(2u) */
#define CW_GELU_CUBE 0.044715f

#endif
