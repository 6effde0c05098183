/* attention.h: cached keys and values, and attention over them. */
#ifndef CW_MODEL_ATTENTION_H
#define CW_MODEL_ATTENTION_H

#include "model/run.h"

/* Keys and values of one layer, in the layout of weight panels, so that scores and sums are products with panels:
 *     keys   [heads][capacity/16][head_dim][16 positions]
 *     values [heads][ceil(head_dim/16)][capacity][16 of head_dim] */
typedef struct {
  float *keys, *values;
  uint32_t heads, head_dim, capacity; /* capacity: positions, a multiple of 16 */
} cw_cache;

/* Takes a cache for `positions` positions from the arena. */
cw_cache cw_cache_take(cw_arena *arena, uint32_t heads, uint32_t head_dim, uint32_t positions);
/* Stores and fetches the key and value of one position, [heads, head_dim] each. */
void cw_cache_put(const cw_cache *cache, uint32_t position, const float *key, const float *value);
void cw_cache_get(const cw_cache *cache, uint32_t position, float *key, float *value);

/* A run of cached positions: first is a multiple of 16. */
typedef struct {
  const cw_cache *cache;
  uint32_t first, count;
} cw_span;

typedef struct {
  const float *q;          /* [rows, heads * head_dim] */
  float *out;              /* the same; may not be q */
  const uint32_t *row_map; /* row i stands at row_map[i] of q and out; NULL: at i */
  uint32_t rows, heads;
  cw_span spans[2];        /* attended one after the other; all but the last a multiple of 16 long */
  uint32_t span_count;
  int causal;              /* row i sees i positions more of the last span than `count` */
} cw_attention;

/* out = softmax(q.k / sqrt(head_dim)) v. Query head h reads key head h / (heads / cache heads). Every row sees a position or more. */
void cw_attend(const cw_run *run, const cw_attention *attention);
/* Floats of scratch that a worker needs to attend over `positions` positions. */
size_t cw_attention_scratch(uint32_t head_dim, uint32_t positions);

#endif
