/* vision.c: the vision encoder, a tile at a time: stem, MBConv blocks (mbconv.c), projection, ViT blocks (vit.c). Twin:
 * training/model/vision.py. */
#include "model/vision.h"

#include <string.h>

enum { PATCH = 48 /* 4 x 4 x 3 */, TILE = 64 /* cells of a chunk: a row of the stem's */ };

static uint32_t most(uint32_t a, uint32_t b) { return a > b ? a : b; }

static size_t most_size(size_t a, size_t b) { return a > b ? a : b; }

size_t cw_vision_input(const cw_config *config) {
  size_t groups = CW_GRID_CELLS * cw_q8_groups(config->vision.hidden);
  for (uint32_t i = 0; i < CW_CNN_BLOCKS; i++) {
    cw_cnn_shape shape = cw_config_cnn(config, i);
    groups = most_size(groups, (size_t)shape.side_in * shape.side_in * cw_q8_groups(shape.in));
  }
  return groups;
}

size_t cw_vision_scratch(const cw_config *config) {
  size_t stem = cw_rounded(TILE * PATCH) + cw_rounded(config->vision.stem_channels);
  size_t proj = cw_reading_floats(TILE, config->vision.cnn_channels) + cw_rounded(config->vision.hidden);
  return most_size(most_size(stem, proj), most_size(cw_mbconv_scratch(config), cw_vit_scratch(config)));
}

void cw_vision_take(cw_vision_buffers *buffers, const cw_config *config, int quantised, uint32_t max_vision, cw_arena *arena) {
  uint32_t P = config->vision.hidden, squeeze = 0;
  size_t convolved = 0;
  for (uint32_t i = 0; i < CW_CNN_BLOCKS; i++) {
    cw_cnn_shape shape = cw_config_cnn(config, i);
    uint32_t side = shape.side_in / shape.stride;
    size_t cells = (size_t)side * side * ((shape.expanded + CW_SLAB - 1) / CW_SLAB * CW_SLAB);
    convolved = most_size(convolved, cells);
    squeeze = most(squeeze, shape.expanded + shape.squeezed);
  }
  size_t stem = CW_STEM_CELLS * (size_t)config->vision.stem_channels, grid = CW_GRID_CELLS * (size_t)config->vision.cnn_channels;
  buffers->x = cw_arena_take(arena, most_size(stem, grid), sizeof(float));
  buffers->floats = cw_arena_take(arena, cw_vision_input(config) * CW_GROUP, sizeof(float));
  buffers->convolved = cw_arena_take(arena, convolved, sizeof(float));
  buffers->squeeze = cw_arena_take(arena, 2 * squeeze, sizeof(float));
  buffers->lines = cw_arena_take(arena, CW_STEM_SIDE, squeeze * sizeof(float));
  float **rows[] = {&buffers->stream, &buffers->h, &buffers->q, &buffers->k, &buffers->v};
  for (int i = 0; i < 5; i++) *rows[i] = cw_arena_take(arena, CW_GRID_CELLS, P * sizeof(float));
  uint32_t cells = config->vision.window * config->vision.window;
  uint32_t positions = CW_GRID_CELLS / cells * ((cells + CW_BLOCK - 1) / CW_BLOCK * CW_BLOCK); /* a window begins a block */
  buffers->cache = cw_cache_take(arena, config->vision.heads, P / config->vision.heads, quantised, positions);
  buffers->windows = cw_arena_take(arena, CW_GRID_CELLS, sizeof(uint32_t));
  buffers->tokens = cw_arena_take(arena, max_vision, cw_vision_token_size(config) * sizeof(float));
}

typedef struct {
  cw_session *s;
  const uint8_t *tile;      /* [256, 256, 3] */
  const float (*pixel)[256]; /* [3][256]: every byte, normalised */
  cw_reading next;
} stem_job;

/* One row of cells: 4x4 patches of normalised bytes, [ky, kx, channel], times the kernels of the stem. */
static void stem_chunk(void *context, uint32_t chunk, uint32_t worker) {
  const stem_job *job = context;
  const cw_run *run = &job->s->run;
  const cw_weights *w = &job->s->model->weights;
  uint32_t S = job->s->model->config.vision.stem_channels;
  float *patches = run->scratch + worker * run->scratch_size, *row = patches + cw_rounded(TILE * PATCH);
  for (uint32_t y = 0; y < 4; y++) {
    const uint8_t *line = job->tile + ((size_t)chunk * 4 + y) * CW_TILE_SIDE * 3;
    for (float *to = patches + y * 12; to < patches + CW_STEM_SIDE * PATCH; to += PATCH, line += 12)
      for (uint32_t i = 0; i < 12; i += 3)
        for (uint32_t channel = 0; channel < 3; channel++) to[i + channel] = job->pixel[channel][line[i + channel]];
  }
  cw_input in = {.f32 = patches};
  float *x = job->s->vision.x + (size_t)chunk * CW_STEM_SIDE * S;
  cw_panels_times(run->kernels, &in, CW_STEM_SIDE, &w->stem, 0, cw_matrix_panels(&w->stem), x, S, 0);
  for (uint32_t cell = 0; cell < CW_STEM_SIDE; cell++)
    for (uint32_t i = 0; i < S; i++) x[cell * S + i] += w->stem_bias[i];
  cw_reading_norm(job->s, &job->next, job->s->vision.x, w->cnn[0].norm, chunk * CW_STEM_SIDE, CW_STEM_SIDE, row);
}

static void stem(cw_session *s, const uint8_t *tile) {
  static const float mean[3] = {.485f, .456f, .406f}, deviation[3] = {.229f, .224f, .225f}; /* of ImageNet, as docs/model.md fixes */
  float pixel[3][256];
  for (int channel = 0; channel < 3; channel++)
    for (int value = 0; value < 256; value++) pixel[channel][value] = ((float)value / 255.0f - mean[channel]) / deviation[channel];
  stem_job job = {.s = s, .tile = tile, .pixel = (const float(*)[256])pixel, .next = cw_mbconv_reading(s, 0)};
  cw_pool_run(s->run.pool, cw_pool_threads(s->run.pool), stem_chunk, &job, CW_STEM_SIDE, NULL);
  cw_trace(&s->run, "vision.stem", -1, s->vision.x, CW_STEM_CELLS, s->model->config.vision.stem_channels);
}

typedef struct {
  cw_session *s;
  const float *row, *col; /* [P]: of the tile's row and column in the image */
  cw_reading next;
} proj_job;

/* Some cells from the width of the convolutions to that of the ViT blocks, with their places. */
static void proj_chunk(void *context, uint32_t chunk, uint32_t worker) {
  const proj_job *job = context;
  const cw_run *run = &job->s->run;
  const cw_weights *w = &job->s->model->weights;
  uint32_t first = chunk * TILE, C = w->proj.depth, P = w->proj.outputs;
  float *scratch = run->scratch + worker * run->scratch_size, *row = scratch, *x = job->s->vision.stream + (size_t)first * P;
  scratch += cw_rounded(P);
  cw_reading cells = cw_reading_take(&scratch, TILE, &w->proj);
  for (uint32_t i = 0; i < TILE; i++) cw_reading_put(run, &cells, i, 0, job->s->vision.x + (size_t)(first + i) * C, C);
  cw_rows_times(run, &cells, 0, TILE, &w->proj, x, 0);
  for (uint32_t i = 0; i < P; i++) row[i] = job->row[i] + job->col[i];
  for (uint32_t cell = 0; cell < TILE; cell++) {
    const float *pos = w->pos + (size_t)(first + cell) * P;
    for (uint32_t i = 0; i < P; i++) x[cell * P + i] += pos[i] + row[i];
  }
  cw_reading_norm(job->s, &job->next, job->s->vision.stream, w->vision[0].attn_norm, first, TILE, row);
}

/* Row numbers of the grid's cells in the order of windows of `side` cells. */
static void window_order(uint32_t side, uint32_t *rows) {
  for (uint32_t top = 0; top < CW_GRID_SIDE; top += side)
    for (uint32_t left = 0; left < CW_GRID_SIDE; left += side)
      for (uint32_t cell = 0; cell < side * side; cell++) *rows++ = (top + cell / side) * CW_GRID_SIDE + left + cell % side;
}

static void encode_tile(cw_session *s, const uint8_t *tile, uint32_t tile_row, uint32_t tile_col, float *tokens) {
  const cw_weights *w = &s->model->weights;
  uint32_t P = s->model->config.vision.hidden;
  stem(s, tile);
  for (uint32_t i = 0; i < CW_CNN_BLOCKS; i++) cw_mbconv(s, i);
  proj_job proj = {.s = s, .row = w->tile_row + (size_t)tile_row * P, .col = w->tile_col + (size_t)tile_col * P, .next = cw_vit_reading(s, 0)};
  cw_pool_run(s->run.pool, cw_pool_threads(s->run.pool), proj_chunk, &proj, CW_GRID_CELLS / TILE, NULL);
  cw_trace(&s->run, "vision.proj", -1, s->vision.stream, CW_GRID_CELLS, P);
  cw_vit(s, tokens);
}

void cw_vision_encode(cw_session *s, const uint8_t *tiles, uint32_t rows, uint32_t cols) {
  const cw_config *config = &s->model->config;
  size_t tile_bytes = (size_t)CW_TILE_SIDE * CW_TILE_SIDE * 3;
  size_t tile_floats = (size_t)cw_vision_tokens_per_tile(config) * cw_vision_token_size(config);
  window_order(config->vision.window, s->vision.windows);
  for (uint32_t i = 0; i < rows * cols; i++) encode_tile(s, tiles + i * tile_bytes, i / cols, i % cols, s->vision.tokens + i * tile_floats);
}
