/* numeric.c: see numeric.h. */
#include "sample/numeric.h"

#include <emmintrin.h>
#include <math.h>
#include <string.h>

float cw_largest(const float *x, size_t count) {
  __m128 top[2] = {_mm_set1_ps(-INFINITY), _mm_set1_ps(-INFINITY)}, nan = _mm_setzero_ps();
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m128 a = _mm_loadu_ps(x + i), b = _mm_loadu_ps(x + i + 4);
    top[0] = _mm_max_ps(a, top[0]);
    top[1] = _mm_max_ps(b, top[1]);
    nan = _mm_or_ps(nan, _mm_cmpunord_ps(a, b));
  }
  float lane[4];
  _mm_storeu_ps(lane, _mm_max_ps(top[0], top[1]));
  int seen = _mm_movemask_ps(nan);
  float largest = lane[0];
  for (int j = 1; j < 4; j++) largest = lane[j] > largest ? lane[j] : largest;
  for (; i < count; i++) {
    largest = x[i] > largest ? x[i] : largest;
    seen |= x[i] != x[i];
  }
  return seen ? NAN : largest;
}

/* x = m * 2^e with m in [2/3, 4/3); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 1/5: 23 odd powers leave 1e-17. */
double cw_log(double x) {
  const double LN2 = 0.69314718055994530942;
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int exponent = (int)(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m >= 4.0 / 3) {
    m *= 0.5;
    exponent++;
  }
  double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
  for (int k = 23; k >= 1; k -= 2) sum = sum * s2 + 1.0 / k;
  return exponent * LN2 + 2 * s * sum;
}

double cw_sum(const float *x, size_t count) {
  double lane[8] = {0};
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t j = 0; j < 8; j++) lane[j] += x[i + j];
  }
  for (size_t j = 0; i < count; i++, j++) lane[j] += x[i];
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

double cw_uniform(uint64_t seed, uint64_t index) {
  uint64_t bits = mix(mix(seed) + (index + 1) * 0x9e3779b97f4a7c15u);
  return (double)(bits >> 11) * 0x1p-53;
}
