/* attend_f32.h: attention over float32 states: what the int8 kernel approximates. For float32 packs, which are there to compare with. */
#ifndef CW_MODEL_ATTEND_F32_H
#define CW_MODEL_ATTEND_F32_H

#include "model/cache.h"

/* cw_q8_queries with float32 rows; `scale` is log2(e) / sqrt(head size). */
typedef struct {
  const float *q; /* [rows, size] */
  const uint16_t *seen;
  size_t rows, size;
  float scale;
  float *highest, *total, *out;
} cw_f32_queries;

/* One block of positions, in float32: highest is the largest score itself, and joined after every block. */
void cw_attend_f32(const cw_f32_queries *queries, const float *keys, const float *values);

/* 2^x for x <= 0 (0 below -126), exact where x is whole: running softmaxes are joined with it. */
float cw_exp2(float x);

#endif
