/* layout.c: what memory a session needs, and where in its arena. */
#include "model/session.h"

enum { ROPE_STEP = 256 /* positions whose rotations are computed at a time, when a token among them is first fed */ };

static uint32_t most(uint32_t a, uint32_t b) { return a > b ? a : b; }

static size_t most_size(size_t a, size_t b) { return a > b ? a : b; }

static uint32_t head_dim(const cw_stack_config *shape) { return shape->hidden / shape->heads; }

static uint32_t blocks_for(uint32_t positions) { return (positions + CW_BLOCK - 1) / CW_BLOCK; }

cw_cache cw_cache_take(cw_arena *arena, uint32_t heads, uint32_t dim, int quantised, uint32_t positions) {
  uint32_t count = blocks_for(positions);
  size_t unit = cw_cache_unit(dim, quantised);
  uint8_t **blocks = cw_arena_take(arena, count, sizeof *blocks), *bytes = cw_arena_take(arena, count, heads * unit);
  for (uint32_t i = 0; bytes != NULL && i < count; i++) blocks[i] = bytes + i * heads * unit;
  return (cw_cache){.blocks = blocks, .unit = unit, .heads = heads, .head_dim = dim, .quantised = quantised};
}

static cw_cache *take_caches(cw_arena *arena, uint32_t layers, uint32_t heads, uint32_t dim, int quantised, uint32_t positions) {
  cw_cache *caches = cw_arena_take(arena, layers, sizeof *caches);
  for (uint32_t i = 0; i < layers; i++) {
    cw_cache cache = cw_cache_take(arena, heads, dim, quantised, positions);
    if (caches != NULL) caches[i] = cache;
  }
  return caches;
}

/* The caches of a stack of text layers, in the session's blocks. */
static cw_cache *take_stack(const cw_session *s, cw_arena *arena, const cw_stack_config *shape, size_t offset, size_t layer) {
  cw_cache *caches = cw_arena_take(arena, shape->layers, sizeof *caches);
  int quantised = s->model->layout.kv_quantised;
  for (uint32_t i = 0; caches != NULL && i < shape->layers; i++)
    caches[i] = (cw_cache){.blocks = s->blocks, .offset = offset + i * layer, .unit = cw_cache_unit(head_dim(shape), quantised),
                           .heads = shape->kv_heads, .head_dim = head_dim(shape), .quantised = quantised};
  return caches;
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
  int quantised = s->model->layout.kv_quantised;
  s->images = s->own_images = cw_arena_take(arena, s->max_vision / cw_vision_tokens_per_tile(config), sizeof *s->images);
  s->cross = s->own_cross = take_caches(arena, layers, heads, J / heads, quantised, s->max_vision + 1);
  s->vision_self = take_caches(arena, layers, heads, J / heads, quantised, s->max_vision);
  s->vision_text = cw_cache_take(arena, heads, J / heads, quantised, s->max_tokens);
  s->vision_x = cw_arena_take(arena, s->max_vision, J * sizeof(float));
  cw_vision_take(&s->vision, config, quantised, s->max_vision, arena);
}

static void take_text(cw_session *s, cw_arena *arena) {
  const cw_config *config = &s->model->config;
  const cw_block_layout *layout = &s->model->layout;
  uint32_t count = blocks_for(s->max_tokens);
  s->ids = cw_arena_take(arena, s->max_tokens, sizeof *s->ids);
  cw_align_take(&s->alignment, config, s->max_tokens, arena);
  s->blocks = cw_arena_take(arena, count, sizeof *s->blocks);
  s->own = cw_arena_take(arena, count, layout->bytes);
  for (uint32_t i = 0; s->own != NULL && i < count; i++) s->blocks[i] = s->own + i * layout->bytes;
  s->language = take_stack(s, arena, &config->language, layout->language, layout->language_layer);
  s->jepa = take_stack(s, arena, &config->jepa, layout->jepa, layout->jepa_layer);
  s->ar = take_stack(s, arena, &config->ar, layout->ar, layout->ar_layer);
  uint32_t positions = (s->max_tokens + ROPE_STEP - 1) / ROPE_STEP * ROPE_STEP;
  s->rope_language = take_rope(arena, head_dim(&config->language), positions);
  int same_jepa = head_dim(&config->jepa) == head_dim(&config->language), same_ar = head_dim(&config->ar) == head_dim(&config->language);
  s->rope_jepa = same_jepa ? s->rope_language : take_rope(arena, head_dim(&config->jepa), positions);
  s->rope_ar = same_ar ? s->rope_language : take_rope(arena, head_dim(&config->ar), positions);
  s->rope_filled = cw_arena_take(arena, positions / ROPE_STEP, 1);
}

/* Buffers of rows, what products read and what workers need. */
static void take_buffers(cw_session *s, uint32_t threads, cw_arena *arena) {
  const cw_config *config = &s->model->config;
  const cw_stack_config *stacks[] = {&config->language, &config->jepa, &config->ar};
  uint32_t J = config->fusion.hidden, wide = J, mlp = config->fusion.mlp, dim = J / config->fusion.heads, group = 1;
  for (int i = 0; i < 3; i++) {
    wide = most(wide, stacks[i]->hidden);
    mlp = most(mlp, stacks[i]->mlp);
    dim = most(dim, head_dim(stacks[i]));
    group = most(group, stacks[i]->heads / stacks[i]->kv_heads);
  }
  if (config->aligned) wide = most(wide, CW_POINT);
  if (s->max_vision > 0) dim = most(dim, config->vision.hidden / config->vision.heads);
  float **rows[] = {&s->buffers.x, &s->buffers.h, &s->buffers.q, &s->buffers.k, &s->buffers.v};
  for (int i = 0; i < 5; i++) *rows[i] = cw_arena_take(arena, CW_ROWS, wide * sizeof(float));
  s->buffers.f = cw_arena_take(arena, CW_ROWS, J * sizeof(float));
  s->buffers.wide = cw_arena_take(arena, CW_ROWS, mlp * sizeof(float));

  size_t input = CW_ROWS * cw_q8_groups(most(wide, mlp)); /* in groups of quantised numbers */
  if (s->max_vision > 0) {
    input = most_size(input, cw_vision_input(config));
    input = most_size(input, s->max_vision * cw_q8_groups(cw_vision_token_size(config)));
  }
  s->run.follow = cw_arena_take(arena, 1, sizeof *s->run.follow);
  s->run.input = cw_q8_take(arena, input);
  s->run.middle = cw_q8_take(arena, CW_ROWS * cw_q8_groups(mlp));
  size_t scratch = most_size(cw_mlp_scratch(), cw_attention_scratch(dim, group));
  if (s->max_vision > 0) scratch = most_size(scratch, cw_vision_scratch(config));
  s->run.scratch_size = (scratch + 15) / 16 * 16;
  s->run.scratch = cw_arena_take(arena, threads, s->run.scratch_size * sizeof(float));
  s->run.partials_size = (size_t)CW_PARTIAL_ROWS * (cw_head_padded(dim) + 2);
  s->run.partials = cw_arena_take(arena, s->run.partials_size, sizeof(float));
  s->logits = cw_arena_take(arena, CW_PASS_MOST, config->vocab_size * sizeof(float));
}

void cw_session_take(cw_session *s, uint32_t threads, cw_arena *arena) {
  take_text(s, arena);
  if (s->max_vision > 0) take_images(s, arena);
  take_buffers(s, threads, arena);
}

void cw_session_fill_rope(cw_session *s, uint32_t first, uint32_t end) {
  for (uint32_t step = first / ROPE_STEP; step * ROPE_STEP < end; step++) {
    if (s->rope_filled[step]) continue;
    uint32_t from = step * ROPE_STEP, to = from + ROPE_STEP;
    cw_rope_fill(&s->rope_language, from, to, s->model->config.rope_base);
    if (s->rope_jepa.cosine != s->rope_language.cosine) cw_rope_fill(&s->rope_jepa, from, to, s->model->config.rope_base);
    if (s->rope_ar.cosine != s->rope_language.cosine) cw_rope_fill(&s->rope_ar, from, to, s->model->config.rope_base);
    s->rope_filled[step] = 1;
  }
}
