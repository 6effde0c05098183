/* scan_scalar.c: the sampler's passes, one number at a time: the reference. */
#include "sample/scan.h"

#include "kernels/scalar/math_scalar.h"

enum { LANES = 16 };

static double join(double lane[LANES]) {
  for (size_t half = LANES / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; j++) lane[j] += lane[j + half];
  }
  return lane[0];
}

static float weight_of(float d) { return d >= CW_EXP_MIN ? exp_one(d) : 0.0f; }

static float largest(const float *x, size_t count) {
  float top = -INFINITY;
  for (size_t i = 0; i < count; i++) {
    if (x[i] != x[i]) return NAN;
    top = x[i] > top ? x[i] : top;
  }
  return top;
}

static size_t find(const float *x, size_t count, float value) {
  size_t i = 0;
  while (i < count && x[i] != value) i++;
  return i;
}

static void score(const float *x, size_t count, float best, float temperature, float *d) {
  for (size_t i = 0; i < count; i++) d[i] = (x[i] - best) / temperature;
}

static double weigh(const float *x, size_t count, float best, float temperature, float *d, float *w) {
  double lane[LANES] = {0};
  for (size_t i = 0; i < count; i++) {
    d[i] = (x[i] - best) / temperature;
    w[i] = weight_of(d[i]);
    lane[i % LANES] += w[i];
  }
  return join(lane);
}

static double sum_exp(const float *x, size_t count, float best) {
  double lane[LANES] = {0};
  for (size_t i = 0; i < count; i++) lane[i % LANES] += weight_of(x[i] - best);
  return join(lane);
}

static cw_between between(const float *d, const float *w, size_t count, float low, float high, uint32_t *at) {
  double above[LANES] = {0};
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    if (d[i] > high) above[i % LANES] += w == NULL ? 1 : w[i];
    if (d[i] >= low && d[i] <= high) at[found++] = (uint32_t)i;
  }
  return (cw_between){join(above), found};
}

static double keep(const float *d, float *w, size_t count, float least_d, float least_w) {
  double lane[LANES] = {0};
  for (size_t i = 0; i < count; i++) {
    w[i] = d[i] >= least_d && w[i] >= least_w ? w[i] : 0;
    lane[i % LANES] += w[i];
  }
  return join(lane);
}

const cw_scan cw_scan_scalar = {"scalar", largest, find, score, weigh, sum_exp, between, keep};
