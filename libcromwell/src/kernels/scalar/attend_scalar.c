/* attend_scalar.c: attention over a block of cached positions, the reference that other instruction sets must equal bit for bit. */
#include <math.h>

#include "kernels/scalar/kernels_scalar.h"
#include "kernels/scalar/math_scalar.h"

static float score(const cw_q8_queries *q, size_t r, const cw_q8_block *b, size_t position) {
  int32_t dot = 0;
  for (size_t d = 0; d < q->size; d++) {
    size_t at = (position / CW_PANEL * (q->size / 4) + d / 4) * CW_PANEL + position % CW_PANEL;
    dot += q->q[r * q->size + d] * ((int32_t)b->keys[at * 4 + d % 4] - CW_OFFSET);
  }
  return (float)dot * q->scales[r] * b->key_scales[position];
}

/* Sum of e by the tree of kernels.h. */
static float sum_of(const float e[CW_BLOCK]) {
  float t[16];
  for (int j = 0; j < 16; j++) t[j] = (e[j] + e[16 + j]) + (e[32 + j] + e[48 + j]);
  for (int half = 8; half > 0; half /= 2)
    for (int j = 0; j < half; j++) t[j] += t[j + half];
  return t[0];
}

static void add_values(const cw_q8_queries *q, size_t r, const cw_q8_block *b, const float e[CW_BLOCK], float a) {
  float w[CW_BLOCK], most = 0.0f, *out = q->out + r * q->size;
  for (size_t p = 0; p < CW_BLOCK; p++) {
    w[p] = p < q->seen[r] ? e[p] * b->value_scales[p] : 0.0f; /* scales beyond may be anything */
    most = w[p] > most ? w[p] : most;
  }
  if (most < CW_TINY) {
    for (size_t d = 0; d < q->size; d++) out[d] *= a;
    return;
  }
  float inverse = CW_Q16_MOST / most, unit = most / CW_Q16_MOST;
  for (size_t d = 0; d < q->size; d++) {
    uint32_t sum = 0; /* wraps around where scales are not what they should be, as vectors do */
    for (size_t p = 0; p < CW_BLOCK; p++) sum += (uint32_t)lrintf(w[p] * inverse) * (uint32_t)b->values[(p / 2 * q->size + d) * 2 + p % 2];
    out[d] = fmaf((float)(int32_t)sum, unit, out[d] * a);
  }
}

void cw_attend_q8_scalar(const cw_q8_queries *q, const cw_q8_block *b) {
  for (size_t r = 0; r < q->rows; r++) {
    if (q->seen[r] == 0) continue;
    float e[CW_BLOCK] = {0}, highest = q->highest[r];
    for (size_t p = 0; p < q->seen[r]; p++) {
      e[p] = score(q, r, b, p);
      highest = e[p] > highest ? e[p] : highest;
    }
    float a = exp2_one(q->highest[r] - highest);
    for (size_t p = 0; p < q->seen[r]; p++) e[p] = exp2_one(e[p] - highest);
    q->total[r] = fmaf(q->total[r], a, sum_of(e));
    q->highest[r] = highest;
    add_values(q, r, b, e, a);
  }
}
