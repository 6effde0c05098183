/* attention.h: attention of rows over cached positions, of several sequences at once. */
#ifndef CW_MODEL_ATTENTION_H
#define CW_MODEL_ATTENTION_H

#include "model/cache.h"
#include "model/run.h"

/* Positions first .. first+count-1 of a cache; first is a multiple of 64. */
typedef struct {
  const cw_cache *cache;
  uint32_t first, count;
} cw_span;

/* Rows that attend the same spans one after the other. */
typedef struct {
  uint32_t row, rows; /* rows of q and out */
  cw_span spans[2];
  uint32_t span_count;
  int causal; /* row i of these sees i positions more of the last span than its count */
} cw_attention;

/* out = softmax(q.k / sqrt(head_dim)) v for every row of `count` parts; q and out are [rows, heads * head_dim], out may not be q. Query
 * head h reads key head h / (heads / cache heads). Row i stands at row_map[i] of q and out; NULL: at i. Every row sees a position. */
void cw_attend(const cw_run *run, const float *q, float *out, uint32_t heads, const uint32_t *row_map, const cw_attention *parts, uint32_t count);
/* Floats of scratch that a worker needs for heads of this size, `group` query heads a key head. */
size_t cw_attention_scratch(uint32_t head_dim, uint32_t group);
enum { CW_PARTIAL_ROWS = 4096 }; /* rows of states that run->partials has room for, each of head size + 2 floats */

#endif
