/* vision.c: the vision encoder, a tile at a time: stem, MBConv blocks, ViT blocks, shuffle. Twin: training/model/vision.py. */
#include <string.h>

#include "model/session.h"

enum { STEM_CELLS = CW_STEM_SIDE * CW_STEM_SIDE, GRID_CELLS = CW_GRID_SIDE * CW_GRID_SIDE, PATCH = 48 /* 4 x 4 x 3 */ };

static uint32_t most(uint32_t a, uint32_t b) { return a > b ? a : b; }

static size_t most_size(size_t a, size_t b) { return a > b ? a : b; }

/* A window's cells stand in the cache from a new block on. */
static uint32_t window_stride(uint32_t cells) { return (cells + CW_BLOCK - 1) / CW_BLOCK * CW_BLOCK; }

void cw_vision_take(cw_vision_buffers *buffers, const cw_config *config, int quantised, uint32_t max_vision, cw_arena *arena) {
  uint32_t P = config->vision.hidden;
  size_t stem = STEM_CELLS * (size_t)most(config->vision.stem_channels, PATCH);
  size_t grid = GRID_CELLS * (size_t)most(most(config->vision.stem_channels, config->vision.cnn_channels), P);
  size_t wide = 0, squeeze = 0;
  for (uint32_t i = 0; i < CW_CNN_BLOCKS; i++) {
    cw_cnn_shape shape = cw_config_cnn(config, i);
    size_t cells = (size_t)shape.side_in * shape.side_in * shape.expanded;
    wide = cells > wide ? cells : wide;
    squeeze = most((uint32_t)squeeze, shape.expanded + shape.squeezed);
  }
  size_t row = stem > grid ? stem : grid;
  buffers->x = cw_arena_take(arena, row, sizeof(float));
  buffers->y = cw_arena_take(arena, row, sizeof(float));
  buffers->expanded = cw_arena_take(arena, wide, sizeof(float));
  buffers->depthwise = cw_arena_take(arena, wide, sizeof(float));
  buffers->squeeze = cw_arena_take(arena, 2 * squeeze, sizeof(float));
  buffers->lines = cw_arena_take(arena, CW_STEM_SIDE * squeeze, sizeof(float));
  float **rows[] = {&buffers->h, &buffers->q, &buffers->k, &buffers->v};
  for (int i = 0; i < 4; i++) *rows[i] = cw_arena_take(arena, GRID_CELLS, P * sizeof(float));
  buffers->gate = cw_arena_take(arena, GRID_CELLS, config->vision.mlp * sizeof(float));
  uint32_t cells = config->vision.window * config->vision.window, positions = GRID_CELLS / cells * window_stride(cells);
  buffers->cache = cw_cache_take(arena, config->vision.heads, P / config->vision.heads, quantised, positions);
  buffers->windows = cw_arena_take(arena, GRID_CELLS, sizeof(uint32_t));
  buffers->tokens = cw_arena_take(arena, max_vision, cw_vision_token_size(config) * sizeof(float));
}

size_t cw_vision_input(const cw_config *config) {
  size_t groups = GRID_CELLS * cw_q8_groups(most(config->vision.hidden, config->vision.mlp));
  for (uint32_t i = 0; i < CW_CNN_BLOCKS; i++) {
    cw_cnn_shape shape = cw_config_cnn(config, i);
    size_t cells = (size_t)shape.side_in * shape.side_in, cells_out = cells / (shape.stride * shape.stride);
    groups = most_size(groups, most_size(cells * cw_q8_groups(shape.in), cells_out * cw_q8_groups(shape.expanded)));
  }
  return groups;
}

/* One 4x4 patch of normalised bytes: [ky, kx, channel]. */
typedef struct {
  const uint8_t *tile; /* [256, 256, 3] */
  float *patches;      /* [4096, 48] */
} patch_job;

static void patch_row(const void *context, uint32_t cell) {
  static const float mean[3] = {.485f, .456f, .406f}, deviation[3] = {.229f, .224f, .225f}; /* of ImageNet, as docs/model.md fixes */
  const patch_job *job = context;
  uint32_t top = cell / CW_STEM_SIDE * 4, left = cell % CW_STEM_SIDE * 4;
  float *out = job->patches + (size_t)cell * PATCH;
  for (uint32_t y = 0; y < 4; y++)
    for (uint32_t i = 0; i < 12; i++) {
      float value = (float)job->tile[((size_t)(top + y) * CW_TILE_SIDE + left) * 3 + i] / 255.0f;
      out[y * 12 + i] = (value - mean[i % 3]) / deviation[i % 3];
    }
}

static void add_bias(float *rows, size_t count, const float *bias, size_t size) {
  for (size_t row = 0; row < count; row++)
    for (size_t i = 0; i < size; i++) rows[row * size + i] += bias[i];
}

typedef struct {
  const cw_kernels *kernels;
  const float *in; /* [side, side, channels] */
  const cw_cnn_block *block;
  float *out;   /* [side / stride, side / stride, channels] */
  float *lines; /* [side / stride, channels]: sums over rows of cells */
  uint32_t side, stride, channels;
} depthwise_job;

/* A row of cells: convolution and silu, and their sum. */
static void depthwise_row(const void *context, uint32_t row) {
  const depthwise_job *job = context;
  int side = (int)job->side, width = side / (int)job->stride;
  float *line = job->lines + (size_t)row * job->channels;
  memset(line, 0, job->channels * sizeof(float));
  for (int col = 0; col < width; col++) {
    const float *taps[9];
    for (int tap = 0; tap < 9; tap++) {
      int y = (int)(row * job->stride) + tap / 3 - 1, x = col * (int)job->stride + tap % 3 - 1;
      taps[tap] = y < 0 || y >= side || x < 0 || x >= side ? NULL : job->in + ((size_t)y * job->side + (size_t)x) * job->channels;
    }
    float *out = job->out + ((size_t)row * (size_t)width + (size_t)col) * job->channels;
    job->kernels->depthwise(taps, job->block->dw, job->block->dw_bias, job->channels, out);
    job->kernels->silu(out, job->channels);
    for (size_t c = 0; c < job->channels; c++) line[c] += out[c];
  }
}

typedef struct {
  float *x;
  const float *bias; /* [channels] */
  uint32_t channels, width;
} bias_job;

static void bias_row(const void *context, uint32_t row) {
  const bias_job *job = context;
  add_bias(job->x + (size_t)row * job->width * job->channels, job->width, job->bias, job->channels);
}

/* Cells times their gains, as the projection reads them: quantised to run->input, or in place. */
typedef struct {
  const cw_run *run;
  float *x;
  const float *gains; /* [channels] */
  uint32_t channels, width;
  int quantise;
} gain_job;

static void gain_row(const void *context, uint32_t row) {
  const gain_job *job = context;
  size_t channels = job->channels;
  float *x = job->x + (size_t)row * job->width * channels;
  for (size_t cell = 0; cell < job->width; cell++, x += channels) {
    for (size_t c = 0; c < channels; c++) x[c] *= job->gains[c];
    if (!job->quantise) continue;
    cw_q8_put(job->run->kernels, cw_q8_shaped(job->run->input, (size_t)job->width * job->width), (size_t)row * job->width + cell, 0, x, channels);
  }
}

/* Squeeze and excitation: gains = sigmoid(silu(mean(y) w1 + b1) w2 + b2), from the sums of rows of cells that the convolution left. */
static const float *excite(cw_session *s, const cw_cnn_block *block, const cw_cnn_shape *shape, uint32_t side) {
  const cw_run *run = &s->run;
  size_t E = shape->expanded, width = shape->expanded + shape->squeezed;
  float *mean = s->vision.squeeze, *gains = mean + width, *squeezed = mean + E;
  memset(mean, 0, E * sizeof(float));
  for (size_t row = 0; row < side; row++)
    for (size_t c = 0; c < E; c++) mean[c] += s->vision.lines[row * E + c];
  for (size_t c = 0; c < E; c++) mean[c] /= (float)(side * side);
  cw_matmul(run, 1, mean, &block->se_w1, squeezed, 0);
  add_bias(squeezed, 1, block->se_b1, shape->squeezed);
  run->kernels->silu(squeezed, shape->squeezed);
  cw_matmul(run, 1, squeezed, &block->se_w2, gains, 0);
  add_bias(gains, 1, block->se_b2, E);
  run->kernels->sigmoid(gains, E);
  return gains;
}

/* One MBConv block over vision.x; vision.y is scratch. */
static void mbconv(cw_session *s, uint32_t index) {
  const cw_run *run = &s->run;
  const cw_config *config = &s->model->config;
  const cw_cnn_block *block = &s->model->weights.cnn[index];
  cw_vision_buffers *b = &s->vision;
  cw_cnn_shape shape = cw_config_cnn(config, index);
  uint32_t side = shape.side_in, out_side = side / shape.stride;
  cw_rms_rows(run, side * side, b->x, block->norm, config->norm_eps, shape.in, b->y);
  cw_matmul_silu(run, side * side, b->y, &block->expand, b->expanded);
  depthwise_job depthwise = {.kernels = run->kernels, .in = b->expanded, .block = block, .out = b->depthwise, .lines = b->lines,
                             .side = side, .stride = shape.stride, .channels = shape.expanded};
  cw_run_long_rows(run, out_side, depthwise_row, &depthwise);
  gain_job gain = {.run = run, .x = b->depthwise, .gains = excite(s, block, &shape, out_side), .channels = shape.expanded, .width = out_side,
                   .quantise = block->project.format != CW_FORMAT_F32};
  cw_run_long_rows(run, out_side, gain_row, &gain);
  cw_product project = {.w = &block->project, .y = b->x};
  cw_q8_rows excited = cw_q8_of(cw_q8_shaped(run->input, out_side * out_side));
  int add = shape.stride == 1 && shape.in == shape.out;
  if (gain.quantise)
    cw_products_q8(run, out_side * out_side, &excited, &project, 1, add);
  else
    cw_products(run, out_side * out_side, b->depthwise, &project, 1, add);
  cw_trace(run, "vision.cnn", (int32_t)index, b->x, out_side * out_side, shape.out);
}

/* Row numbers of the grid's cells in the order of windows of `side` cells. */
static void window_order(uint32_t side, uint32_t *rows) {
  for (uint32_t top = 0; top < CW_GRID_SIDE; top += side)
    for (uint32_t left = 0; left < CW_GRID_SIDE; left += side)
      for (uint32_t cell = 0; cell < side * side; cell++) *rows++ = (top + cell / side) * CW_GRID_SIDE + left + cell % side;
}

typedef struct {
  const cw_vision_buffers *buffers;
  uint32_t P, cells; /* cells: attended together */
} put_job;

static void put_row(const void *context, uint32_t index) {
  const put_job *job = context;
  size_t at = (size_t)job->buffers->windows[index] * job->P;
  uint32_t position = index / job->cells * window_stride(job->cells) + index % job->cells;
  cw_cache_put(&job->buffers->cache, position, job->buffers->k + at, job->buffers->v + at);
}

static void vit_block(cw_session *s, uint32_t index) {
  const cw_run *run = &s->run;
  const cw_config *config = &s->model->config;
  const cw_vision_layer *layer = &s->model->weights.vision[index];
  cw_vision_buffers *b = &s->vision;
  uint32_t P = config->vision.hidden, global = config->vision.global_layers >> index & 1;
  cw_rms_rows(run, GRID_CELLS, b->x, layer->attn_norm, config->norm_eps, P, b->h);
  const cw_product qkv[3] = {{.w = &layer->wq, .y = b->q}, {.w = &layer->wk, .y = b->k}, {.w = &layer->wv, .y = b->v}};
  cw_products(run, GRID_CELLS, b->h, qkv, 3, 0);
  uint32_t cells = global ? GRID_CELLS : config->vision.window * config->vision.window;
  put_job put = {.buffers = b, .P = P, .cells = cells};
  cw_run_rows(run, GRID_CELLS, put_row, &put);
  cw_attention windows[GRID_CELLS / 16]; /* a window is 4 cells wide or more */
  for (uint32_t i = 0; i < GRID_CELLS / cells; i++)
    windows[i] = (cw_attention){.row = i * cells, .rows = cells, .span_count = 1,
                                .spans = {{.cache = &b->cache, .first = i * window_stride(cells), .count = cells}}};
  cw_attend(run, b->q, b->h, config->vision.heads, b->windows, windows, GRID_CELLS / cells);
  cw_matmul(run, GRID_CELLS, b->h, &layer->wo, b->x, 1);
  cw_rms_rows(run, GRID_CELLS, b->x, layer->mlp_norm, config->norm_eps, P, b->h);
  cw_gelu_mlp(run, GRID_CELLS, b->h, &layer->w1, &layer->w2, b->gate, b->x);
  cw_trace(run, "vision.layers", (int32_t)index, b->x, GRID_CELLS, P);
}

/* Each shuffle x shuffle neighbourhood of vision.y [32, 32, P] as one token, (row, column, channel). */
static void shuffle(const cw_vision_buffers *b, uint32_t s, uint32_t P, float *tokens) {
  uint32_t side = CW_GRID_SIDE / s;
  for (uint32_t row = 0; row < side; row++)
    for (uint32_t col = 0; col < side; col++)
      for (uint32_t y = 0; y < s; y++, tokens += (size_t)s * P)
        memcpy(tokens, b->y + ((size_t)(row * s + y) * CW_GRID_SIDE + col * s) * P, (size_t)s * P * sizeof(float));
}

static void encode_tile(cw_session *s, const uint8_t *tile, uint32_t tile_row, uint32_t tile_col, float *tokens) {
  const cw_run *run = &s->run;
  const cw_config *config = &s->model->config;
  const cw_weights *w = &s->model->weights;
  cw_vision_buffers *b = &s->vision;
  uint32_t P = config->vision.hidden;
  patch_job patches = {.tile = tile, .patches = b->y};
  cw_run_rows(run, STEM_CELLS, patch_row, &patches);
  cw_matmul(run, STEM_CELLS, b->y, &w->stem, b->x, 0);
  bias_job bias = {.x = b->x, .bias = w->stem_bias, .channels = config->vision.stem_channels, .width = CW_STEM_SIDE};
  cw_run_long_rows(run, CW_STEM_SIDE, bias_row, &bias);
  cw_trace(run, "vision.stem", -1, b->x, STEM_CELLS, config->vision.stem_channels);
  for (uint32_t i = 0; i < CW_CNN_BLOCKS; i++) mbconv(s, i);
  memcpy(b->y, b->x, (size_t)GRID_CELLS * config->vision.cnn_channels * sizeof(float));
  cw_matmul(run, GRID_CELLS, b->y, &w->proj, b->x, 0);
  const float *row = w->tile_row + (size_t)tile_row * P, *col = w->tile_col + (size_t)tile_col * P;
  for (size_t i = 0; i < (size_t)GRID_CELLS * P; i++) b->x[i] += w->pos[i] + row[i % P] + col[i % P];
  cw_trace(run, "vision.proj", -1, b->x, GRID_CELLS, P);
  for (uint32_t i = 0; i < config->vision.layers; i++) vit_block(s, i);
  cw_rms_rows(run, GRID_CELLS, b->x, w->vision_norm, config->norm_eps, P, b->y);
  shuffle(b, config->vision.shuffle, P, tokens);
  cw_trace(run, "vision.norm", -1, tokens, cw_vision_tokens_per_tile(config), cw_vision_token_size(config));
}

void cw_vision_encode(cw_session *s, const uint8_t *tiles, uint32_t rows, uint32_t cols) {
  const cw_config *config = &s->model->config;
  size_t tile_bytes = (size_t)CW_TILE_SIDE * CW_TILE_SIDE * 3;
  size_t tile_floats = (size_t)cw_vision_tokens_per_tile(config) * cw_vision_token_size(config);
  window_order(config->vision.window, s->vision.windows);
  for (uint32_t i = 0; i < rows * cols; i++) encode_tile(s, tiles + i * tile_bytes, i / cols, i % cols, s->vision.tokens + i * tile_floats);
}
