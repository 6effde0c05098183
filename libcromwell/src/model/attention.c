/* attention.c: attention as two products with panels of cached states, a tile of query rows at a time. The query heads that share
 * a key head are rows of the same tile. */
#include "model/attention.h"

#include <math.h>
#include <string.h>

enum {
  TILE_ROWS = 24, /* four times the kernels' 6 */
  MAX_ROWS = 32,  /* when more heads than TILE_ROWS share a key head */
  STRIDE_PAD = 16 /* keeps rows of scores off a common cache set */
};

static uint32_t rounded(uint32_t positions) { return (positions + CW_PANEL - 1) / CW_PANEL * CW_PANEL; }

cw_cache cw_cache_take(cw_arena *arena, uint32_t heads, uint32_t head_dim, uint32_t positions) {
  cw_cache cache = {.heads = heads, .head_dim = head_dim, .capacity = rounded(positions)};
  cache.keys = cw_arena_take(arena, (size_t)heads * cache.capacity, head_dim * sizeof(float));
  cache.values = cw_arena_take(arena, (size_t)heads * cache.capacity, rounded(head_dim) * sizeof(float));
  return cache;
}

static float *key_at(const cw_cache *cache, uint32_t head, uint32_t position) {
  return cache->keys + (((size_t)head * cache->capacity + position / CW_PANEL * CW_PANEL) * cache->head_dim) + position % CW_PANEL;
}

static float *value_at(const cw_cache *cache, uint32_t head, uint32_t block, uint32_t position) {
  return cache->values + (((size_t)head * (rounded(cache->head_dim) / CW_PANEL) + block) * cache->capacity + position) * CW_PANEL;
}

void cw_cache_put(const cw_cache *cache, uint32_t position, const float *key, const float *value) {
  for (uint32_t head = 0; head < cache->heads; head++, key += cache->head_dim, value += cache->head_dim) {
    float *keys = key_at(cache, head, position);
    for (uint32_t d = 0; d < cache->head_dim; d++) keys[d * CW_PANEL] = key[d];
    for (uint32_t d = 0; d < cache->head_dim; d++) value_at(cache, head, d / CW_PANEL, position)[d % CW_PANEL] = value[d];
  }
}

void cw_cache_get(const cw_cache *cache, uint32_t position, float *key, float *value) {
  for (uint32_t head = 0; head < cache->heads; head++, key += cache->head_dim, value += cache->head_dim) {
    const float *keys = key_at(cache, head, position);
    for (uint32_t d = 0; d < cache->head_dim; d++) key[d] = keys[d * CW_PANEL];
    for (uint32_t d = 0; d < cache->head_dim; d++) value[d] = value_at(cache, head, d / CW_PANEL, position)[d % CW_PANEL];
  }
}

size_t cw_attention_scratch(uint32_t head_dim, uint32_t positions) {
  size_t scores = (size_t)rounded(positions) + 2 * STRIDE_PAD;
  return MAX_ROWS * (head_dim + rounded(head_dim) + scores);
}

typedef struct {
  const cw_run *run;
  const cw_attention *a;
  uint32_t kv_heads, head_dim, group; /* group: query heads a key head */
  uint32_t tile_tokens, tiles;
} attention_job;

/* scores[rows, count] = q[rows, head_dim] . keys of a span */
static void score_span(const attention_job *job, const float *q, uint32_t rows, const cw_span *span, uint32_t head, uint32_t count,
                       float *scores, size_t stride) {
  const cw_kernels *kernels = job->run->kernels;
  uint32_t panels = rounded(count) / CW_PANEL;
  size_t panel = (size_t)job->head_dim * CW_PANEL;
  const float *keys = key_at(span->cache, head, span->first);
  if (rows == 1) {
    kernels->gemv_f32(q, job->head_dim, keys, panel, panels, scores, 0);
    return;
  }
  for (uint32_t p = 0; p < panels; p++)
    kernels->gemm_f32(q, job->head_dim, rows, job->head_dim, keys + p * panel, scores + p * CW_PANEL, stride, CW_PANEL, 0);
}

/* out[rows, rounded(head_dim)] (+)= weights[rows, count] values of a span */
static void sum_span(const attention_job *job, const float *weights, size_t stride, uint32_t rows, const cw_span *span, uint32_t head,
                     uint32_t count, float *out, int add) {
  const cw_kernels *kernels = job->run->kernels;
  uint32_t wide = rounded(job->head_dim);
  const float *values = value_at(span->cache, head, 0, span->first);
  size_t block = (size_t)span->cache->capacity * CW_PANEL;
  if (rows == 1) {
    kernels->gemv_f32(weights, count, values, block, wide / CW_PANEL, out, add);
    return;
  }
  for (uint32_t b = 0; b < wide / CW_PANEL; b++)
    kernels->gemm_f32(weights, stride, rows, count, values + b * block, out + b * CW_PANEL, wide, CW_PANEL, add);
}

static void attention_chunk(void *context, uint32_t chunk, uint32_t worker) {
  const attention_job *job = context;
  const cw_attention *a = job->a;
  uint32_t head = chunk / job->tiles, first = chunk % job->tiles * job->tile_tokens;
  uint32_t tokens = a->rows - first < job->tile_tokens ? a->rows - first : job->tile_tokens;
  uint32_t rows = tokens * job->group, head_dim = job->head_dim, wide = rounded(head_dim);
  size_t q_stride = (size_t)a->heads * head_dim, bytes = (size_t)job->group * head_dim * sizeof(float);

  float *q = job->run->scratch + worker * job->run->scratch_size; /* [rows, head_dim] */
  float *out = q + (size_t)MAX_ROWS * head_dim;                   /* [rows, wide] */
  float *scores = out + (size_t)MAX_ROWS * wide;                  /* [rows, stride] */
  for (uint32_t t = 0; t < tokens; t++) {
    uint32_t row = a->row_map == NULL ? first + t : a->row_map[first + t];
    memcpy(q + (size_t)t * job->group * head_dim, a->q + row * q_stride + (size_t)head * job->group * head_dim, bytes);
  }

  uint32_t last = a->span_count - 1, before = 0; /* positions in the spans before the last one */
  uint32_t most = a->spans[last].count + (a->causal ? first + tokens - 1 : 0); /* that the tile's last row sees of the last span */
  for (uint32_t s = 0; s < last; s++) before += a->spans[s].count;
  size_t stride = (size_t)before + rounded(most) + STRIDE_PAD;
  for (uint32_t s = 0, at = 0; s <= last; at += a->spans[s].count, s++)
    score_span(job, q, rows, &a->spans[s], head, s == last ? most : a->spans[s].count, scores + at, stride);

  float scale = 1.0f / sqrtf((float)head_dim), inverse[MAX_ROWS];
  for (uint32_t r = 0; r < rows; r++) {
    uint32_t seen = before + a->spans[last].count + (a->causal ? first + r / job->group : 0);
    inverse[r] = 1.0f / job->run->kernels->softmax(scores + r * stride, seen, before + most, scale);
  }
  for (uint32_t s = 0, at = 0; s <= last; at += a->spans[s].count, s++)
    sum_span(job, scores + at, stride, rows, &a->spans[s], head, s == last ? most : a->spans[s].count, out, s > 0);

  for (uint32_t r = 0; r < rows; r++) {
    uint32_t t = first + r / job->group, row = a->row_map == NULL ? t : a->row_map[t];
    float *to = a->out + row * q_stride + ((size_t)head * job->group + r % job->group) * head_dim;
    for (uint32_t d = 0; d < head_dim; d++) to[d] = out[(size_t)r * wide + d] * inverse[r];
  }
}

void cw_attend(const cw_run *run, const cw_attention *a) {
  const cw_cache *cache = a->spans[0].cache;
  attention_job job = {.run = run, .a = a, .kv_heads = cache->heads, .head_dim = cache->head_dim, .group = a->heads / cache->heads};
  job.tile_tokens = job.group < TILE_ROWS ? TILE_ROWS / job.group : 1;
  job.tiles = (a->rows + job.tile_tokens - 1) / job.tile_tokens;
  double positions = 0;
  for (uint32_t s = 0; s < a->span_count; s++) positions += a->spans[s].count;
  double operations = 2.0 * positions * a->rows * a->heads * job.head_dim;
  cw_run_chunks(run, attention_chunk, &job, job.kv_heads * job.tiles, operations);
}
