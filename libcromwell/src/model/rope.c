/* rope.c: rotary position tables, in double precision with a sine of our own: libm's may differ between machines in the last bit. */
#include "model/rope.h"

#include <math.h>

/* pi/2 in two parts, the first with 33 significant bits so that n * HALF_PI_HIGH is exact for n < 2^20 (Cody and Waite). */
static const double TWO_OVER_PI = 0x1.45f306dc9c883p-1, HALF_PI_HIGH = 0x1.921fb544p+0, HALF_PI_LOW = 0x1.0b4611a626331p-34;

/* Sine and cosine of 0 <= angle < 10^6 by their Taylor series on [-pi/4, pi/4]: the error of the first term left out is below 1e-16. */
static void sine_cosine(double angle, double *sine, double *cosine) {
  double n = nearbyint(angle * TWO_OVER_PI);
  double r = angle - n * HALF_PI_HIGH - n * HALF_PI_LOW, rr = r * r;
  double s = 0, c = 0;
#pragma GCC unroll 8
  for (int k = 8; k >= 1; k--) { /* unrolled: the divisions become constants */
    s = (1 + s) * -rr * (1.0 / ((2 * k) * (2 * k + 1)));
    c = (1 + c) * -rr * (1.0 / ((2 * k - 1) * (2 * k)));
  }
  s = r * (1 + s);
  c = 1 + c;
  switch ((long)n & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s; break;
  }
}

void cw_rope_fill(const cw_rope *rope, uint32_t first, uint32_t end, float base) {
  for (uint32_t i = 0; i < rope->half; i++) {
    double frequency = pow(base, -2.0 * i / (2.0 * rope->half));
    for (uint32_t t = first; t < end; t++) {
      double sine, cosine;
      sine_cosine(t * frequency, &sine, &cosine);
      rope->sine[(size_t)t * rope->half + i] = (float)sine;
      rope->cosine[(size_t)t * rope->half + i] = (float)cosine;
    }
  }
}

void cw_rope_turn(const cw_rope *rope, uint32_t position, float *head) {
  const float *cosine = rope->cosine + (size_t)position * rope->half, *sine = rope->sine + (size_t)position * rope->half;
  float *low = head, *high = head + rope->half;
  for (uint32_t i = 0; i < rope->half; i++) {
    float a = low[i], b = high[i];
    low[i] = a * cosine[i] - b * sine[i];
    high[i] = b * cosine[i] + a * sine[i];
  }
}
