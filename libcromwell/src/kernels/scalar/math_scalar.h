/* math_scalar.h: the library's exponential, one number at a time: the operations of math_avx2.h in the same order. */
#ifndef CW_MATH_SCALAR_H
#define CW_MATH_SCALAR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

/* exp(x) - 1 = q 2^n + (2^n - 1): gives q = exp(r) - 1 and the power 2^n. x is clamped to [CW_EXP_MIN, CW_EXP_MAX]. */
static inline float exp_parts(float x, float *power) {
  x = x > CW_EXP_MIN ? x : CW_EXP_MIN;
  x = x < CW_EXP_MAX ? x : CW_EXP_MAX;
  float shifted = fmaf(x, CW_LOG2E, CW_ROUND);
  float n = shifted - CW_ROUND;
  float r = fmaf(n, -CW_LN2_HIGH, x);
  r = fmaf(n, -CW_LN2_LOW, r);
  float p = CW_EXP_C7;
  p = fmaf(p, r, CW_EXP_C6);
  p = fmaf(p, r, CW_EXP_C5);
  p = fmaf(p, r, CW_EXP_C4);
  p = fmaf(p, r, CW_EXP_C3);
  p = fmaf(p, r, CW_EXP_C2);
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127u) << 23; /* the low bits of `shifted` hold n */
  memcpy(power, &bits, sizeof bits);
  return fmaf(p * r, r, r);
}

static inline float exp_one(float x) {
  float power, q = exp_parts(x, &power);
  return fmaf(q, power, power);
}

/* 2^x for x <= 0, as kernels.h describes. */
static inline float exp2_one(float x) {
  x = x > CW_EXP2_MIN ? x : CW_EXP2_MIN;
  x = x < 0.0f ? x : 0.0f; /* for scales that are not what they should be */
  float n = floorf(x), f = x - n, p = CW_EXP2_C4;
  p = fmaf(p, f, CW_EXP2_C3);
  p = fmaf(p, f, CW_EXP2_C2);
  p = fmaf(p, f, CW_EXP2_C1);
  p = fmaf(p, f, 1.0f);
  uint32_t bits;
  memcpy(&bits, &p, sizeof bits);
  bits += (uint32_t)(int32_t)n << 23;
  memcpy(&p, &bits, sizeof p);
  return p;
}

/* 2^n for whole n <= 0, 0 below -126 and for what is no number. */
static inline float power_of_two(float n) {
  uint32_t bits = n >= CW_EXP2_MIN ? (uint32_t)((int32_t)n + 127) << 23 : 0;
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

/* The float whose upper half is given. */
static inline float bfloat_one(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* 1 + exp(-x), as kernels.h describes. */
static inline float one_plus_exp(float x) {
  x = x > CW_SIGMOID_MIN ? x : CW_SIGMOID_MIN;
  x = x < CW_SIGMOID_MAX ? x : CW_SIGMOID_MAX;
  float shifted = fmaf(x, -CW_LOG2E, CW_SIGMOID_ROUND);
  float g = fmaf(shifted - CW_SIGMOID_ROUND, CW_LN2, x);
  float p = fmaf(CW_SIGMOID_C5, g, CW_SIGMOID_C4);
  p = fmaf(p, g, CW_SIGMOID_C3);
  p = fmaf(p, g, CW_SIGMOID_C2);
  p = fmaf(p, g, -1.0f);
  p = fmaf(p, g, 1.0f);
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits <<= 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return fmaf(p, power, 1.0f);
}

/* tanh(x) = e / (e + 2) with e = exp(2x) - 1: accurate near 0, where exp alone would cancel. */
static inline float tanh_one(float x) {
  float twice = x + x;
  twice = twice > -30.0f ? twice : -30.0f;
  twice = twice < 30.0f ? twice : 30.0f;
  float power, q = exp_parts(twice, &power);
  float e = fmaf(q, power, power - 1.0f);
  return e / (e + 2.0f);
}

#endif
