/* attention.c: attention as running softmaxes over segments of 512 positions. The query heads that share a key head are rows of one tile.
 *
 * Segments are joined in a fixed order, one after the other. A segment may be computed by any worker, so a long context is shared out
 * even for a single row (Flash-Decoding), without changing a bit. */
#include "model/attention.h"

#include <math.h>
#include <string.h>

#include "model/attend_f32.h"

enum {
  TILE_ROWS = 48, /* with their sums in L1 beside a block */
  MAX_GROUP = 32  /* query heads a key head, by the limits of a configuration */
};

/* Running softmaxes of a tile's rows. */
typedef struct {
  float *highest, *total, *out; /* [rows], [rows], [rows, D] */
} state;

typedef struct {
  const cw_run *run;
  const float *q;
  float *out;
  const uint32_t *row_map;
  const cw_attention *parts;
  uint32_t part_count, heads, kv_heads, head_dim, group, D;
  int quantised;
  uint32_t tile_tokens;
  uint32_t segments; /* computed apart for each tile, 0 when a tile is computed whole */
} attention_job;

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static size_t state_floats(size_t rows, size_t D) { return rows * (D + 2); }

size_t cw_attention_scratch(uint32_t head_dim, uint32_t group) {
  size_t rows = group > TILE_ROWS ? MAX_GROUP : TILE_ROWS, D = cw_head_padded(head_dim);
  /* Queries as floats or int8 with scale and sum, what each row sees, a padded head with its sums, a segment's state and the whole's. */
  return rows * (D + 3) + 2 * D + 2 * state_floats(rows, D) + 64;
}

static state state_at(float *floats, size_t rows) { return (state){floats, floats + rows, floats + 2 * rows}; }

static void state_clear(state s, size_t rows, size_t D) {
  for (size_t r = 0; r < rows; r++) s.highest[r] = -INFINITY;
  memset(s.total, 0, rows * sizeof(float));
  memset(s.out, 0, rows * D * sizeof(float));
}

/* into += from: joining with a clear state changes nothing. */
static void state_join(state into, state from, size_t rows, size_t D) {
  for (size_t r = 0; r < rows; r++) {
    if (from.highest[r] == -INFINITY) continue;
    float highest = into.highest[r] > from.highest[r] ? into.highest[r] : from.highest[r];
    float a = cw_exp2(into.highest[r] - highest), b = cw_exp2(from.highest[r] - highest);
    into.highest[r] = highest;
    into.total[r] = into.total[r] * a + from.total[r] * b;
    for (size_t d = r * D; d < (r + 1) * D; d++) into.out[d] = into.out[d] * a + from.out[d] * b;
  }
}

/* A tile: some consecutive rows of a part, for one key head. */
typedef struct {
  const cw_attention *part;
  uint32_t head, first, tokens, rows; /* first: in the part; rows: tokens * group */
  float *q;                           /* [rows, D] floats, or int8 with scales and sums behind */
  uint16_t *seen;                     /* [rows] */
} tile;

static uint32_t row_of(const attention_job *job, const tile *t, uint32_t token) {
  uint32_t row = t->part->row + t->first + token;
  return job->row_map == NULL ? row : job->row_map[row];
}

static void gather_queries(const attention_job *job, const tile *t) {
  uint32_t D = job->D, head_dim = job->head_dim;
  float *scales = t->q + (size_t)t->rows * D;
  int32_t *sums = (int32_t *)(scales + t->rows);
  float *padded = (float *)(sums + 2 * t->rows); /* what each row sees stands between */
  float scale = 1.44269504088896341f / sqrtf((float)head_dim);
  for (uint32_t r = 0; r < t->rows; r++) {
    const float *q = job->q + (size_t)row_of(job, t, r / job->group) * job->heads * head_dim + ((size_t)t->head * job->group + r % job->group) * head_dim;
    if (!job->quantised) {
      memcpy(t->q + (size_t)r * D, q, head_dim * sizeof(float));
      continue;
    }
    int32_t parts[8], sum = 0;
    memcpy(padded, q, head_dim * sizeof(float));
    memset(padded + head_dim, 0, (D - head_dim) * sizeof(float));
    job->run->kernels->quantise(padded, D, D, 1, (int8_t *)t->q + (size_t)r * D, &scales[r], parts);
    for (uint32_t i = 0; i < D / CW_SUB; i++) sum += parts[i];
    scales[r] *= scale;
    sums[r] = sum;
  }
}

/* Positions of a span that a token of the part sees. */
static uint32_t seen_of(const cw_attention *part, uint32_t span, uint32_t token) {
  return part->spans[span].count + (part->causal && span + 1 == part->span_count ? token : 0);
}

/* Sets what each row sees of the positions from `before` on, at most `most`. */
static void set_seen(const attention_job *job, const tile *t, uint32_t span, uint32_t before, uint32_t most) {
  for (uint32_t token = 0; token < t->tokens; token++) {
    uint32_t seen = seen_of(t->part, span, t->first + token);
    seen = seen <= before ? 0 : least(seen - before, most);
    for (uint32_t i = 0; i < job->group; i++) t->seen[token * job->group + i] = (uint16_t)seen;
  }
}

/* Joins blocks first .. first+count-1 of a span, at most a segment, to a state. */
static void attend_q8(const attention_job *job, const tile *t, uint32_t span_index, uint32_t first, uint32_t count, state s) {
  const cw_span *span = &t->part->spans[span_index];
  const float *scales = t->q + (size_t)t->rows * job->D;
  cw_q8_block blocks[CW_SEGMENT_BLOCKS];
  for (uint32_t i = 0; i < count; i++) blocks[i] = cw_cache_block(span->cache, span->first / CW_BLOCK + first + i, t->head);
  set_seen(job, t, span_index, first * CW_BLOCK, CW_SEGMENT);
  cw_q8_queries queries = {.q = (const int8_t *)t->q, .scales = scales, .sums = (const int32_t *)(scales + t->rows), .seen = t->seen,
                           .rows = t->rows, .size = job->D, .highest = s.highest, .total = s.total, .out = s.out};
  job->run->kernels->attend_q8(&queries, blocks, count);
}

/* The same in float32, one block after the other. */
static void attend_f32(const attention_job *job, const tile *t, uint32_t span_index, uint32_t first, uint32_t count, state s) {
  const cw_span *span = &t->part->spans[span_index];
  const cw_cache *cache = span->cache;
  cw_f32_queries queries = {.q = t->q, .seen = t->seen, .rows = t->rows, .size = job->head_dim,
                            .scale = 1.44269504088896341f / sqrtf((float)job->head_dim),
                            .highest = s.highest, .total = s.total, .out = s.out};
  for (uint32_t block = first; block < first + count; block++) {
    const float *keys = (const float *)(cache->blocks[span->first / CW_BLOCK + block] + cache->offset + t->head * cache->unit);
    set_seen(job, t, span_index, block * CW_BLOCK, CW_BLOCK);
    cw_attend_f32(&queries, keys, keys + (size_t)CW_BLOCK * job->head_dim);
  }
}

static uint32_t segments_of(uint32_t positions) { return (positions + CW_SEGMENT - 1) / CW_SEGMENT; }

static uint32_t part_segments(const cw_attention *part) {
  uint32_t count = 0;
  for (uint32_t s = 0; s < part->span_count; s++) count += segments_of(seen_of(part, s, part->rows - 1));
  return count;
}

/* Joins segment `index` of a tile, counted over all spans, to a state; float32 needs a clear one. */
static void attend_segment(const attention_job *job, const tile *t, uint32_t index, state s) {
  for (uint32_t span = 0; span < t->part->span_count; span++) {
    uint32_t segments = segments_of(seen_of(t->part, span, t->part->rows - 1));
    if (index >= segments) {
      index -= segments;
      continue;
    }
    uint32_t most = seen_of(t->part, span, t->first + t->tokens - 1), blocks = (most + CW_BLOCK - 1) / CW_BLOCK;
    uint32_t first = index * CW_SEGMENT_BLOCKS;
    if (first < blocks) (job->quantised ? attend_q8 : attend_f32)(job, t, span, first, least(blocks - first, CW_SEGMENT_BLOCKS), s);
    return;
  }
}

static void finish(const attention_job *job, const tile *t, state s) {
  for (uint32_t r = 0; r < t->rows; r++) {
    float *to = job->out + (size_t)row_of(job, t, r / job->group) * job->heads * job->head_dim + ((size_t)t->head * job->group + r % job->group) * job->head_dim;
    float inverse = 1.0f / s.total[r];
    for (uint32_t d = 0; d < job->head_dim; d++) to[d] = s.out[(size_t)r * job->D + d] * inverse;
  }
}

/* Tile number `index` over all parts, its queries gathered into `floats`; gives the floats left behind. */
static float *open_tile(const attention_job *job, uint32_t index, float *floats, tile *out) {
  const cw_attention *part = job->parts;
  for (;; part++) {
    uint32_t tiles = (part->rows + job->tile_tokens - 1) / job->tile_tokens * job->kv_heads;
    if (index < tiles) break;
    index -= tiles;
  }
  tile t = {.part = part, .head = index % job->kv_heads, .first = index / job->kv_heads * job->tile_tokens, .q = floats};
  t.tokens = least(part->rows - t.first, job->tile_tokens);
  t.rows = t.tokens * job->group;
  t.seen = (uint16_t *)(floats + (size_t)t.rows * (job->D + 2));
  gather_queries(job, &t);
  *out = t;
  return floats + (size_t)t.rows * (job->D + 3) + 2 * job->D;
}

static void whole_tile(void *context, uint32_t chunk, uint32_t worker) {
  const attention_job *job = context;
  tile t;
  float *floats = open_tile(job, chunk, job->run->scratch + worker * job->run->scratch_size, &t);
  state all = state_at(floats, t.rows), segment = state_at(floats + state_floats(t.rows, job->D), t.rows);
  uint32_t segments = part_segments(t.part);
  state_clear(all, t.rows, job->D);
  attend_segment(job, &t, 0, all);
  for (uint32_t i = 1; i < segments; i++) {
    if (job->quantised) { /* the kernel joins, in the same way */
      attend_segment(job, &t, i, all);
      continue;
    }
    state_clear(segment, t.rows, job->D);
    attend_segment(job, &t, i, segment);
    state_join(all, segment, t.rows, job->D);
  }
  finish(job, &t, all);
}

/* One segment of a tile, its state left in run->partials. */
static void tile_segment(void *context, uint32_t chunk, uint32_t worker) {
  const attention_job *job = context;
  tile t;
  open_tile(job, chunk / job->segments, job->run->scratch + worker * job->run->scratch_size, &t);
  size_t size = state_floats((size_t)job->tile_tokens * job->group, job->D);
  state s = state_at(job->run->partials + chunk * size, t.rows);
  state_clear(s, t.rows, job->D);
  if (chunk % job->segments < part_segments(t.part)) attend_segment(job, &t, chunk % job->segments, s);
}

static void join_segments(const attention_job *job, uint32_t tiles) {
  size_t size = state_floats((size_t)job->tile_tokens * job->group, job->D);
  for (uint32_t i = 0; i < tiles; i++) {
    tile t;
    open_tile(job, i, job->run->scratch, &t);
    float *floats = job->run->partials + (size_t)i * job->segments * size;
    state all = state_at(floats, t.rows);
    for (uint32_t s = 1; s < job->segments; s++) state_join(all, state_at(floats + s * size, t.rows), t.rows, job->D);
    finish(job, &t, all);
  }
}

void cw_attend(const cw_run *run, const float *q, float *out, uint32_t heads, const uint32_t *row_map, const cw_attention *parts, uint32_t count) {
  const cw_cache *cache = parts[0].spans[0].cache;
  attention_job job = {.run = run, .q = q, .out = out, .row_map = row_map, .parts = parts, .part_count = count, .heads = heads,
                       .kv_heads = cache->heads, .head_dim = cache->head_dim, .group = heads / cache->heads, .quantised = cache->quantised};
  job.D = cache->quantised ? cw_head_padded(cache->head_dim) : cache->head_dim;
  job.tile_tokens = job.group < TILE_ROWS ? TILE_ROWS / job.group : 1;
  uint32_t tiles = 0, segments = 0, rows = 0;
  double operations = 0;
  for (uint32_t i = 0; i < count; i++) {
    tiles += (parts[i].rows + job.tile_tokens - 1) / job.tile_tokens * job.kv_heads;
    segments = part_segments(&parts[i]) > segments ? part_segments(&parts[i]) : segments;
    rows = parts[i].rows > rows ? parts[i].rows : rows;
    for (uint32_t s = 0; s < parts[i].span_count; s++) operations += 2.0 * parts[i].spans[s].count * parts[i].rows * heads * cache->head_dim;
  }
  uint32_t wanted = 2 * cw_pool_threads(run->pool);
  if (cw_pool_threads(run->pool) > 1 && tiles < wanted && segments > 1) {
    job.tile_tokens = least(job.tile_tokens, rows);
    job.segments = segments;
    if (tiles * segments * state_floats((size_t)job.tile_tokens * job.group, job.D) <= run->partials_size) {
      cw_run_chunks(run, tile_segment, &job, tiles * segments, operations, NULL);
      join_segments(&job, tiles);
      return;
    }
  }
  cw_run_chunks(run, whole_tile, &job, tiles, operations, NULL);
}
