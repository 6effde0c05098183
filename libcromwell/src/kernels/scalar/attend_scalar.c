/* attend_scalar.c: attention over a segment of cached positions, the reference that other instruction sets must equal bit for bit. */
#include <math.h>

#include "kernels/scalar/kernels_scalar.h"
#include "kernels/scalar/math_scalar.h"

/* A key scale without its two lowest bits, so that vectors may multiply 1.5 * 2^23 + dot by it and take 1.5 * 2^23 times it off again. */
static float key_scale(const cw_q8_block *b, size_t position) {
  uint32_t bits;
  float scale;
  memcpy(&bits, &b->key_scales[position], sizeof bits);
  bits &= ~UINT32_C(3);
  memcpy(&scale, &bits, sizeof scale);
  return scale;
}

static float score(const cw_q8_queries *q, size_t r, const cw_q8_block *b, size_t position) {
  int32_t dot = 0;
  for (size_t d = 0; d < q->size; d++) {
    size_t at = (position / CW_PANEL * (q->size / 4) + d / 4) * CW_PANEL + position % CW_PANEL;
    dot += q->q[r * q->size + d] * ((int32_t)b->keys[at * 4 + d % 4] - CW_OFFSET);
  }
  return (float)dot * key_scale(b, position);
}

/* Sum of e by the lanes of kernels.h. */
static float sum_of(const float *e, size_t count) {
  float t[16] = {0};
  for (size_t b = 0; b < count; b++, e += CW_BLOCK)
    for (int j = 0; j < 16; j++) t[j] += (e[j] + e[16 + j]) + (e[32 + j] + e[48 + j]);
  for (int half = 8; half > 0; half /= 2)
    for (int j = 0; j < half; j++) t[j] += t[j + half];
  return t[0];
}

/* out = out * a + v * b */
static void add_values(const cw_q8_queries *q, size_t r, const cw_q8_block *blocks, const float *e, float a, float b) {
  size_t seen = q->seen[r];
  float most = 0.0f, *out = q->out + r * q->size;
  for (size_t p = 0; p < seen; p++) {
    float scale = blocks[p / CW_BLOCK].value_scales[p % CW_BLOCK];
    most = scale > most ? scale : most;
  }
  float inverse = most < CW_TINY ? 0.0f : CW_Q16_RANGE / most, unit = most < CW_TINY ? 0.0f : most / CW_Q16_RANGE;
  long whole[CW_SEGMENT];
  for (size_t p = 0; p < seen; p++) {
    whole[p] = lrintf(e[p] * (blocks[p / CW_BLOCK].value_scales[p % CW_BLOCK] * inverse));
    whole[p] = whole[p] < 32767 ? whole[p] : 32767;
  }
  for (size_t d = 0; d < q->size; d++) {
    uint32_t sum = 0; /* wraps around where scales are not what they should be, as vectors do */
    for (size_t p = 0; p < seen; p++) {
      size_t at = p % CW_BLOCK;
      sum += (uint32_t)whole[p] * (uint32_t)blocks[p / CW_BLOCK].values[(at / 2 * q->size + d) * 2 + at % 2];
    }
    out[d] = out[d] * a + (float)(int32_t)sum * unit * b;
  }
}

void cw_attend_q8_scalar(const cw_q8_queries *q, const cw_q8_block *blocks, size_t count) {
  for (size_t r = 0; r < q->rows; r++) {
    if (q->seen[r] == 0) continue;
    float e[CW_SEGMENT] = {0}, most = -INFINITY;
    for (size_t p = 0; p < q->seen[r]; p++) {
      e[p] = score(q, r, &blocks[p / CW_BLOCK], p % CW_BLOCK);
      most = e[p] > most ? e[p] : most;
    }
    float top = most * q->scales[r] + 1.0f, h = ceilf(top), highest = q->highest[r] > h ? q->highest[r] : h;
    for (size_t p = 0; p < q->seen[r]; p++) e[p] = exp2_one(fmaf(e[p], q->scales[r], -top));
    float a = power_of_two(q->highest[r] - highest), b = exp2_one(top - h) * power_of_two(h - highest);
    q->total[r] = q->total[r] * a + sum_of(e, count) * b;
    q->highest[r] = highest;
    add_values(q, r, blocks, e, a, b);
  }
}
