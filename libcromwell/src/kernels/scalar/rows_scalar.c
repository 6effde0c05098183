/* rows_scalar.c: norms, softmax and activations, the reference that other instruction sets must equal bit for bit. */
#include <math.h>

#include "kernels/scalar/kernels_scalar.h"
#include "kernels/scalar/math_scalar.h"

/* The fixed tree that joins 8 lanes. */
static float join(const float lane[8]) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void cw_rms_scalar(const float *x, const float *weight, float eps, size_t size, float *y) {
  float lane[8] = {0};
  for (size_t i = 0; i < size; i++) lane[i % 8] = fmaf(x[i], x[i], lane[i % 8]);
  float inverse = 1.0f / sqrtf(join(lane) / (float)size + eps);
  for (size_t i = 0; i < size; i++) {
    float scaled = x[i] * inverse;
    y[i] = weight == NULL ? scaled : scaled * weight[i];
  }
}

float cw_softmax_scalar(float *scores, size_t count, size_t padded, float scale) {
  float highest = scores[0];
  for (size_t i = 1; i < count; i++) highest = scores[i] > highest ? scores[i] : highest;
  float lane[8] = {0};
  for (size_t i = 0; i < count; i++) {
    scores[i] = exp_one((scores[i] - highest) * scale);
    lane[i % 8] += scores[i];
  }
  for (size_t i = count; i < padded; i++) scores[i] = 0.0f;
  return join(lane);
}

void cw_exp_scalar(float *x, size_t size) {
  for (size_t i = 0; i < size; i++) x[i] = x[i] >= CW_EXP_MIN ? exp_one(x[i]) : 0.0f;
}

void cw_silu_scalar(float *x, size_t size) {
  for (size_t i = 0; i < size; i++) x[i] = x[i] * sigmoid_one(x[i]);
}

void cw_silu_mul_scalar(float *x, const float *y, size_t size) {
  for (size_t i = 0; i < size; i++) x[i] = x[i] * sigmoid_one(x[i]) * y[i];
}

void cw_gelu_scalar(float *x, size_t size) {
  for (size_t i = 0; i < size; i++) {
    float cube = x[i] * x[i] * x[i];
    x[i] = x[i] * sigmoid_one(CW_GELU_SLOPE * fmaf(cube, CW_GELU_CUBE, x[i]));
  }
}

void cw_sigmoid_scalar(float *x, size_t size) {
  for (size_t i = 0; i < size; i++) x[i] = sigmoid_one(x[i]);
}

void cw_softcap_scalar(float *x, size_t size, float cap) {
  for (size_t i = 0; i < size; i++) x[i] = cap * tanh_one(x[i] / cap);
}
