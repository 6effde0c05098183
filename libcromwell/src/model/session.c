/* session.c: opens a session and feeds it. Nothing here allocates after cw_session_open. */
#include "model/session.h"

#include <stdlib.h>
#include <string.h>

#include "cpu.h"

enum { ROPE_STEP = 256 /* positions whose rotations are computed at a time, when the text first reaches them */ };

static uint32_t most(uint32_t a, uint32_t b) { return a > b ? a : b; }

static size_t most_size(size_t a, size_t b) { return a > b ? a : b; }

static uint32_t head_dim(const cw_stack_config *shape) { return shape->hidden / shape->heads; }

/* Floats of scratch that the widest operation of the session needs from a worker. */
static size_t scratch_size(const cw_config *config, uint32_t max_tokens, uint32_t max_vision) {
  const cw_stack_config *stacks[] = {&config->language, &config->jepa, &config->ar};
  uint32_t J = config->fusion.hidden;
  size_t size = cw_product_scratch(most(J, config->fusion.mlp));
  for (int i = 0; i < 3; i++) {
    size = most_size(size, cw_product_scratch(most(stacks[i]->hidden, stacks[i]->mlp)));
    size = most_size(size, cw_attention_scratch(head_dim(stacks[i]), max_tokens));
  }
  if (max_vision == 0) return size;
  size = most_size(size, cw_product_scratch(cw_vision_token_size(config)));
  size = most_size(size, cw_attention_scratch(J / config->fusion.heads, max_tokens + max_vision + 1));
  return most_size(size, cw_vision_scratch(config));
}

static cw_cache *take_caches(cw_arena *arena, uint32_t layers, uint32_t heads, uint32_t dim, uint32_t positions) {
  cw_cache *caches = cw_arena_take(arena, layers, sizeof *caches);
  for (uint32_t i = 0; i < layers; i++) {
    cw_cache cache = cw_cache_take(arena, heads, dim, positions);
    if (caches != NULL) caches[i] = cache;
  }
  return caches;
}

static cw_cache *take_stack(cw_arena *arena, const cw_stack_config *shape, uint32_t positions) {
  return take_caches(arena, shape->layers, shape->kv_heads, head_dim(shape), positions);
}

static cw_rope take_rope(cw_arena *arena, uint32_t dim, uint32_t positions) {
  cw_rope rope = {.half = dim / 2};
  rope.cosine = cw_arena_take(arena, positions, rope.half * sizeof(float));
  rope.sine = cw_arena_take(arena, positions, rope.half * sizeof(float));
  return rope;
}

static void take_images(cw_session *s, cw_arena *arena) {
  const cw_config *config = &s->model->config;
  uint32_t J = config->fusion.hidden, heads = config->fusion.heads, layers = config->fusion.layers;
  s->images = cw_arena_take(arena, s->max_vision / cw_vision_tokens_per_tile(config), sizeof *s->images);
  s->cross = take_caches(arena, layers, heads, J / heads, s->max_vision + 1);
  s->vision_self = take_caches(arena, layers, heads, J / heads, s->max_vision);
  s->vision_text = cw_cache_take(arena, heads, J / heads, s->max_tokens);
  s->vision_x = cw_arena_take(arena, s->max_vision, J * sizeof(float));
  cw_vision_take(&s->vision, config, s->max_vision, arena);
}

/* Lays everything out; called with a measuring arena first. */
static void take_all(cw_session *s, uint32_t threads, cw_arena *arena) {
  const cw_config *config = &s->model->config;
  uint32_t T = s->max_tokens, J = config->fusion.hidden;
  s->ids = cw_arena_take(arena, T, sizeof *s->ids);
  s->language = take_stack(arena, &config->language, T);
  s->jepa = take_stack(arena, &config->jepa, T);
  s->ar = take_stack(arena, &config->ar, T);
  s->joint_input = cw_arena_take(arena, config->fusion.layers, sizeof *s->joint_input);
  for (uint32_t i = 0; i < config->fusion.layers; i++) {
    float *rows = cw_arena_take(arena, T, J * sizeof(float));
    if (s->joint_input != NULL) s->joint_input[i] = rows;
  }
  s->joint = cw_arena_take(arena, T, J * sizeof(float));
  s->ar_out = cw_arena_take(arena, T, config->ar.hidden * sizeof(float));

  uint32_t positions = (T + ROPE_STEP - 1) / ROPE_STEP * ROPE_STEP;
  s->rope_language = take_rope(arena, head_dim(&config->language), positions);
  s->rope_jepa = take_rope(arena, head_dim(&config->jepa), positions);
  s->rope_ar = take_rope(arena, head_dim(&config->ar), positions);

  uint32_t wide = most(most(config->language.hidden, config->ar.hidden), J);
  uint32_t mlp = most(most(config->language.mlp, config->ar.mlp), most(config->jepa.mlp, config->fusion.mlp));
  float **rows[] = {&s->buffers.x, &s->buffers.h, &s->buffers.q, &s->buffers.k, &s->buffers.v};
  for (int i = 0; i < 5; i++) *rows[i] = cw_arena_take(arena, CW_ROWS, wide * sizeof(float));
  s->buffers.gate = cw_arena_take(arena, CW_ROWS, mlp * sizeof(float));
  s->buffers.up = cw_arena_take(arena, CW_ROWS, mlp * sizeof(float));
  if (s->max_vision > 0) take_images(s, arena);

  s->run.scratch_size = (scratch_size(config, T, s->max_vision) + 15) / 16 * 16;
  s->run.scratch = cw_arena_take(arena, threads, s->run.scratch_size * sizeof(float));
  s->logits = cw_arena_take(arena, CW_LOGIT_ROWS, config->vocab_size * sizeof(float));
}

/* The null key stands first among what text sees of pictures; its value stays zero. */
static void put_null_keys(cw_session *s) {
  for (uint32_t i = 0; i < s->model->config.fusion.layers; i++)
    cw_cache_put(&s->cross[i], 0, s->model->weights.fusion[i].text_null_k, s->vision_x);
}

static cw_status open_session(cw_session *s, uint32_t threads) {
  cw_arena measured = {0};
  take_all(s, threads, &measured);
  CW_TRY(cw_arena_open(&measured, &s->arena));
  take_all(s, threads, &s->arena);
  if (s->max_vision > 0) put_null_keys(s);
  s->run.kernels = cw_kernels_selected();
  return cw_pool_open(threads, &s->run.pool);
}

cw_status cw_session_open(const cw_model *model, const cw_session_options *options, cw_session **out, cw_fault *fault) {
  if (model == NULL || options == NULL || out == NULL)
    return cw_fault_set(fault, CW_E_ARGUMENT, "no model, no options or nowhere to put the session");
  const cw_config *config = &model->config;
  if (options->max_tokens < 1 || options->max_tokens > config->max_positions)
    return cw_fault_set(fault, CW_E_ARGUMENT, "max_tokens is %u, expected 1 to %u", options->max_tokens, config->max_positions);
  if (options->max_tiles > config->vision.max_tiles)
    return cw_fault_set(fault, CW_E_ARGUMENT, "max_tiles is %u, expected 0 to %u", options->max_tiles, config->vision.max_tiles);
  if (options->threads < 0 || options->threads > 64)
    return cw_fault_set(fault, CW_E_ARGUMENT, "threads is %d, expected 0 to 64", options->threads);
  uint32_t threads = (uint32_t)(options->threads == 0 ? cw_threads_default() : options->threads);
  cw_session *session = calloc(1, sizeof *session);
  if (session == NULL) return cw_fault_set(fault, CW_E_MEMORY, "no memory for a session");
  session->model = model;
  session->max_tokens = options->max_tokens;
  session->max_vision = options->max_tiles * cw_vision_tokens_per_tile(config);
  session->guidance = options->guidance != 0;
  cw_status status = open_session(session, threads);
  if (status != CW_OK) {
    cw_session_close(session);
    return cw_fault_set(fault, status, "no memory for a session of %u tokens and %u tiles", options->max_tokens, options->max_tiles);
  }
  *out = session;
  return CW_OK;
}

void cw_session_close(cw_session *session) {
  if (session == NULL) return;
  cw_pool_close(session->run.pool);
  cw_arena_close(&session->arena);
  free(session);
}

const cw_model *cw_session_model(const cw_session *session) { return session->model; }

uint32_t cw_session_length(const cw_session *session) { return session == NULL ? 0 : session->length; }

/* Non-zero when an image waits for its <IMAGE> token. */
static int image_waits(const cw_session *s) { return s->image_count > 0 && s->images[s->image_count - 1].position == s->length; }

static void fill_rope(cw_session *s, uint32_t end) {
  while (s->rope_filled < end) {
    uint32_t first = s->rope_filled, next = first + ROPE_STEP;
    cw_rope_fill(&s->rope_language, first, next, s->model->config.rope_base);
    cw_rope_fill(&s->rope_jepa, first, next, s->model->config.rope_base);
    cw_rope_fill(&s->rope_ar, first, next, s->model->config.rope_base);
    s->rope_filled = next;
  }
}

cw_status cw_session_feed(cw_session *s, const int32_t *ids, size_t count) {
  if (s == NULL || (ids == NULL && count > 0)) return CW_E_ARGUMENT;
  if (count > s->max_tokens - s->length) return CW_E_CAPACITY;
  for (size_t i = 0; i < count; i++)
    if (ids[i] < 0 || (uint32_t)ids[i] >= s->model->config.vocab_size) return CW_E_ARGUMENT;
  if (count == 0) return CW_OK;
  if (image_waits(s) && ids[0] != s->model->image_token) return CW_E_ARGUMENT;
  memcpy(s->ids + s->length, ids, count * sizeof *ids);
  fill_rope(s, s->length + (uint32_t)count);
  s->logits_known = 0;
  for (size_t done = 0; done < count;) {
    uint32_t rows = count - done < CW_ROWS ? (uint32_t)(count - done) : CW_ROWS;
    cw_text_forward(s, s->length, rows);
    s->length += rows;
    done += rows;
  }
  return CW_OK;
}

cw_status cw_session_feed_image(cw_session *s, const uint8_t *tiles, uint32_t rows, uint32_t cols) {
  if (s == NULL || tiles == NULL || rows < 1 || rows > CW_GRID_LIMIT || cols < 1 || cols > CW_GRID_LIMIT) return CW_E_ARGUMENT;
  const cw_config *config = &s->model->config;
  if (rows * cols > config->vision.max_tiles || s->model->image_token < 0 || image_waits(s)) return CW_E_ARGUMENT;
  uint32_t count = rows * cols * cw_vision_tokens_per_tile(config);
  if (s->length == s->max_tokens || count > s->max_vision - s->vision_count) return CW_E_CAPACITY;
  cw_vision_encode(s, tiles, rows, cols);
  cw_fusion_vision(s, s->vision_count, count);
  s->images[s->image_count++] = (cw_image){.position = s->length, .first = s->vision_count};
  s->vision_count += count;
  return CW_OK;
}

cw_status cw_session_logits(cw_session *s, const float **logits) { return cw_session_logits_rows(s, 1, logits); }

cw_status cw_session_logits_rows(cw_session *s, uint32_t count, const float **logits) {
  if (s == NULL || logits == NULL || count < 1 || count > CW_LOGIT_ROWS || count > s->length) return CW_E_ARGUMENT;
  if (s->logits_known != count) {
    const cw_config *config = &s->model->config;
    const float *last = s->ar_out + (size_t)(s->length - count) * config->ar.hidden;
    cw_rms_rows(&s->run, count, last, s->model->weights.ar.norm, config->norm_eps, config->ar.hidden, s->buffers.h);
    cw_matmul(&s->run, count, s->buffers.h, &s->model->weights.head, s->logits, 0);
    if (config->logit_softcap > 0) s->run.kernels->softcap(s->logits, (size_t)count * config->vocab_size, config->logit_softcap);
    s->logits_known = count;
    cw_trace(&s->run, "logits", -1, s->logits, count, config->vocab_size);
  }
  *logits = s->logits;
  return CW_OK;
}

cw_status cw_session_rewind(cw_session *s, uint32_t length) {
  if (s == NULL || length > s->length) return CW_E_ARGUMENT;
  while (s->image_count > 0 && s->images[s->image_count - 1].position >= length) s->vision_count = s->images[--s->image_count].first;
  if (length < s->length) s->logits_known = 0;
  s->length = length;
  return CW_OK;
}

cw_status cw_session_joint(const cw_session *s, uint32_t first, uint32_t count, float *out) {
  if (s == NULL || (out == NULL && count > 0) || first > s->length || count > s->length - first) return CW_E_ARGUMENT;
  size_t J = s->model->config.fusion.hidden;
  if (count > 0) memcpy(out, s->joint + first * J, count * J * sizeof(float));
  return CW_OK;
}

void cw_session_trace(cw_session *session, cw_trace_fn trace, void *user) {
  if (session == NULL) return;
  session->run.trace = trace;
  session->run.trace_user = user;
}
