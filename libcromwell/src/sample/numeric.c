/* numeric.c: see numeric.h. */
#include "sample/numeric.h"

#include <string.h>

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

static uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

double cw_uniform(uint64_t seed, uint64_t index) {
  uint64_t bits = mix(mix(seed) + (index + 1) * 0x9e3779b97f4a7c15u);
  return (double)(bits >> 11) * 0x1p-53;
}
