/* rows_scalar.c: norms, quantisation and activations, the reference that other instruction sets must equal bit for bit. */
#include <math.h>

#include "kernels/scalar/kernels_scalar.h"
#include "kernels/scalar/math_scalar.h"

/* The fixed tree that joins 32 lanes. */
static float join(const float s[32]) {
  float lane[8];
  for (int j = 0; j < 8; j++) lane[j] = (s[j] + s[8 + j]) + (s[16 + j] + s[24 + j]);
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void cw_rms_scalar(const float *x, const float *weight, float eps, size_t size, float *y) {
  float lane[32] = {0};
  for (size_t i = 0; i < size; i++) lane[i % 32] = fmaf(x[i], x[i], lane[i % 32]);
  float inverse = 1.0f / sqrtf(join(lane) / (float)size + eps);
  for (size_t i = 0; i < size; i++) {
    float scaled = x[i] * inverse;
    y[i] = weight == NULL ? scaled : scaled * weight[i];
  }
}

void cw_quantise_scalar(const float *x, size_t depth, size_t group, size_t stride, int8_t *q, float *scales, int32_t *sums) {
  for (size_t start = 0; start < depth; start += group) {
    size_t end = start + group < depth ? start + group : depth;
    float most = 0.0f;
    for (size_t k = start; k < end; k++) most = fabsf(x[k]) > most ? fabsf(x[k]) : most;
    float inverse = most < CW_TINY ? 0.0f : CW_Q8_MOST / most;
    for (size_t k = start; k < end; k++) q[start * stride + k - start] = (int8_t)lrintf(x[k] * inverse);
    scales[start / group * stride] = most < CW_TINY ? 0.0f : cw_q8_scale(most);
  }
  for (size_t k = 0; k < depth; k += CW_SUB) {
    int32_t sum = 0;
    for (size_t i = 0; i < CW_SUB; i++) sum += q[k / group * group * stride + k % group + i];
    sums[k / CW_SUB * stride] = sum;
  }
}

void cw_scale_scalar(const float *x, const float *gains, size_t size, float *y) {
  for (size_t i = 0; i < size; i++) y[i] = x[i] * gains[i];
}

void cw_exp_scalar(float *x, size_t size) {
  for (size_t i = 0; i < size; i++) x[i] = x[i] >= CW_EXP_MIN ? exp_one(x[i]) : 0.0f;
}

void cw_silu_scalar(float *x, size_t size) {
  for (size_t i = 0; i < size; i++) x[i] = x[i] / one_plus_exp(x[i]);
}

void cw_silu_mul_scalar(float *x, const float *y, size_t size) {
  for (size_t i = 0; i < size; i++) x[i] = x[i] / one_plus_exp(x[i]) * y[i];
}

void cw_gelu_scalar(float *x, size_t size) {
  for (size_t i = 0; i < size; i++) {
    float slope = fmaf(x[i] * x[i], CW_GELU_CUBE, CW_GELU_SLOPE);
    x[i] = x[i] / one_plus_exp(x[i] * slope);
  }
}

void cw_sigmoid_scalar(float *x, size_t size) {
  for (size_t i = 0; i < size; i++) x[i] = 1.0f / one_plus_exp(x[i]);
}

void cw_softcap_scalar(float *x, size_t size, float cap) {
  for (size_t i = 0; i < size; i++) x[i] = cap * tanh_one(x[i] / cap);
}
