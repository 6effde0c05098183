/* attend_f32.c: plain C for every machine, so that its bits depend on none. */
#include "model/attend_f32.h"

#include <string.h>

/* x = n + f with n the nearest integer; 2^f by its Taylor series to f^6 (error below 1.3e-7 relative), times 2^n. */
float cw_exp2(float x) {
  static const float TAYLOR[] = {1.0f, 0.693147180559945309f, 0.240226506959100712f, 0.0555041086648215800f,
                                 0.00961812910762847716f, 0.00133335581464284434f, 0.000154035303933816099f};
  if (!(x >= CW_EXP2_MIN)) return 0.0f;
  float shifted = x + CW_ROUND, f = x - (shifted - CW_ROUND), p = TAYLOR[6];
  for (int i = 5; i >= 0; i--) p = p * f + TAYLOR[i];
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127u) << 23; /* the low bits of `shifted` hold n */
  float power;
  memcpy(&power, &bits, sizeof power);
  return p * power;
}

void cw_attend_f32(const cw_f32_queries *queries, const float *keys, const float *values) {
  size_t size = queries->size;
  for (size_t r = 0; r < queries->rows; r++) {
    uint32_t seen = queries->seen[r];
    if (seen == 0) continue;
    const float *q = queries->q + r * size;
    float *out = queries->out + r * size, e[CW_BLOCK], highest = queries->highest[r];
    for (uint32_t p = 0; p < seen; p++) {
      float lane[8] = {0};
      for (size_t d = 0; d < size; d++) lane[d % 8] += q[d] * keys[p * size + d];
      e[p] = (((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]))) * queries->scale;
      highest = e[p] > highest ? e[p] : highest;
    }
    float before = cw_exp2(queries->highest[r] - highest), total = 0.0f;
    for (size_t d = 0; d < size; d++) out[d] *= before;
    for (uint32_t p = 0; p < seen; p++) {
      float weight = cw_exp2(e[p] - highest);
      total += weight;
      for (size_t d = 0; d < size; d++) out[d] += weight * values[p * size + d];
    }
    queries->total[r] = queries->total[r] * before + total;
    queries->highest[r] = highest;
  }
}
