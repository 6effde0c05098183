/* vit.c: the ViT blocks of the vision encoder. Between one attention and the next, everything is done cell by cell. */
#include <string.h>

#include "model/vision.h"

enum {
  ROWS = 56,              /* rows (four tiles of the int8 product) and columns of a middle that are activated while they are in L2 */
  COLUMNS = 3 * CW_GROUP,
  STRIDE = COLUMNS + 16,  /* rows not a multiple of 512 bytes apart */
  LEAST_TILES = (CW_GRID_CELLS + CW_ROWS - 1) / CW_ROWS
};

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

size_t cw_vit_scratch(const cw_config *config) {
  uint32_t P = config->vision.hidden;
  return cw_rounded(P) + 2 * cw_reading_floats(CW_ROWS, P) + cw_reading_floats(CW_ROWS, config->vision.mlp) + ROWS * STRIDE;
}

cw_reading cw_vit_reading(const cw_session *s, uint32_t index) {
  const cw_vision_layer *layer = &s->model->weights.vision[index];
  const cw_matrix *matrices[3] = {&layer->wq, &layer->wk, &layer->wv};
  return cw_vision_reading(s, matrices, 3, CW_GRID_CELLS);
}

/* A window's cells stand in the cache from a new block on. */
static uint32_t window_stride(uint32_t cells) { return (cells + CW_BLOCK - 1) / CW_BLOCK * CW_BLOCK; }

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

/* From the rows in `in` to vision.h. */
static void attend(cw_session *s, uint32_t index, const cw_reading *in) {
  const cw_run *run = &s->run;
  const cw_config *config = &s->model->config;
  const cw_vision_layer *layer = &s->model->weights.vision[index];
  cw_vision_buffers *b = &s->vision;
  const cw_product qkv[3] = {{.w = &layer->wq, .y = b->q}, {.w = &layer->wk, .y = b->k}, {.w = &layer->wv, .y = b->v}};
  cw_q8_rows quantised = cw_q8_of(in->q8);
  if (in->f32 == NULL)
    cw_products_q8(run, CW_GRID_CELLS, &quantised, qkv, 3, 0);
  else
    cw_products(run, CW_GRID_CELLS, in->f32, qkv, 3, 0);
  uint32_t cells = config->vision.global_layers >> index & 1 ? CW_GRID_CELLS : config->vision.window * config->vision.window;
  put_job put = {.buffers = b, .P = config->vision.hidden, .cells = cells};
  cw_run_rows(run, CW_GRID_CELLS, put_row, &put);
  cw_attention windows[CW_GRID_CELLS / 16]; /* a window is 4 cells wide or more */
  for (uint32_t i = 0; i < CW_GRID_CELLS / cells; i++)
    windows[i] = (cw_attention){.row = i * cells, .rows = cells, .span_count = 1,
                                .spans = {{.cache = &b->cache, .first = i * window_stride(cells), .count = cells}}};
  cw_attend(run, b->q, b->h, config->vision.heads, b->windows, windows, CW_GRID_CELLS / cells);
}

typedef struct {
  cw_session *s;
  const cw_vision_layer *layer;
  cw_reading next; /* of the next block; depth 0: there is none, and the last norm goes to `tokens` */
  const float *norm;
  float *tokens;
  uint32_t tiles;
} cells_job;

/* gelu(x w1) of `rows` rows. */
static void activate(const cells_job *job, const cw_reading *x, uint32_t rows, const cw_reading *middle, float *wide) {
  const cw_run *run = &job->s->run;
  const cw_matrix *w1 = &job->layer->w1;
  for (uint32_t column = 0; column < w1->outputs; column += COLUMNS) {
    uint32_t columns = least(w1->outputs - column, COLUMNS), panels = (columns + CW_PANEL - 1) / CW_PANEL;
    for (uint32_t row = 0; row < rows; row += ROWS) {
      cw_input in = cw_reading_from(x, row);
      uint32_t count = least(rows - row, ROWS);
      cw_panels_times(run->kernels, &in, count, w1, column / CW_PANEL, panels, wide, STRIDE, 0);
      for (uint32_t r = 0; r < count; r++) {
        run->kernels->gelu(wide + r * STRIDE, columns);
        cw_reading_put(run, middle, row + r, column, wide + r * STRIDE, columns);
      }
    }
  }
}

/* Where the last norm of a cell goes: each shuffle x shuffle neighbourhood is a token, (row, column, channel). */
static float *token_of(const cw_config *config, float *tokens, uint32_t cell) {
  uint32_t shuffle = config->vision.shuffle, row = cell / CW_GRID_SIDE, col = cell % CW_GRID_SIDE;
  uint32_t token = row / shuffle * (CW_GRID_SIDE / shuffle) + col / shuffle;
  return tokens + ((size_t)token * shuffle * shuffle + row % shuffle * shuffle + col % shuffle) * config->vision.hidden;
}

/* What follows attention, for some cells. */
static void cells_chunk(void *context, uint32_t chunk, uint32_t worker) {
  const cells_job *job = context;
  cw_session *s = job->s;
  const cw_run *run = &s->run;
  const cw_config *config = &s->model->config;
  const cw_vision_layer *layer = job->layer;
  uint32_t P = config->vision.hidden, first = CW_GRID_CELLS * chunk / job->tiles, count = CW_GRID_CELLS * (chunk + 1) / job->tiles - first;
  float *scratch = run->scratch + worker * run->scratch_size, *row = scratch, *x = s->vision.stream + (size_t)first * P;
  scratch += cw_rounded(P);
  cw_reading attended = cw_reading_take(&scratch, count, &layer->wo), normed = cw_reading_take(&scratch, count, &layer->w1);
  cw_reading middle = cw_reading_take(&scratch, count, &layer->w2);
  for (uint32_t i = 0; i < count; i++) cw_reading_put(run, &attended, i, 0, s->vision.h + (size_t)(first + i) * P, P);
  cw_rows_times(run, &attended, 0, count, &layer->wo, x, 1);
  cw_reading_norm(s, &normed, x, layer->mlp_norm, 0, count, row);
  activate(job, &normed, count, &middle, scratch);
  cw_rows_times(run, &middle, 0, count, &layer->w2, x, 1);
  if (job->next.depth > 0) {
    cw_reading_norm(s, &job->next, s->vision.stream, job->norm, first, count, row);
    return;
  }
  for (uint32_t i = 0; i < count; i++) run->kernels->rms(x + (size_t)i * P, job->norm, config->norm_eps, P, token_of(config, job->tokens, first + i));
}

void cw_vit(cw_session *s, float *tokens) {
  const cw_config *config = &s->model->config;
  const cw_weights *w = &s->model->weights;
  uint32_t wanted = 4 * cw_pool_threads(s->run.pool);
  for (uint32_t i = 0; i < config->vision.layers; i++) {
    cw_reading in = cw_vit_reading(s, i);
    attend(s, i, &in);
    cells_job job = {.s = s, .layer = &w->vision[i], .norm = w->vision_norm, .tokens = tokens, .tiles = wanted > LEAST_TILES ? wanted : LEAST_TILES};
    if (i + 1 < config->vision.layers) {
      job.next = cw_vit_reading(s, i + 1);
      job.norm = w->vision[i + 1].attn_norm;
    }
    cw_pool_run(s->run.pool, cw_pool_threads(s->run.pool), cells_chunk, &job, job.tiles, NULL);
    cw_trace(&s->run, "vision.layers", (int32_t)i, s->vision.stream, CW_GRID_CELLS, config->vision.hidden);
  }
  cw_trace(&s->run, "vision.norm", -1, tokens, cw_vision_tokens_per_tile(config), cw_vision_token_size(config));
}
