/* mbconv.c: the convolution blocks of the vision encoder, in two passes over the cells.
 *
 * The first goes over slabs of 64 channels: it expands some rows of cells, activates them, convolves them and activates them again while
 * they are in L2, and sums them for the squeeze. The gains that the sums give are for whole channels, so the second pass, over cells,
 * can only begin behind all of the first: gains, projection, residual, and the norm of the next block. */
#include <string.h>

#include "model/vision.h"

enum {
  STRIP = 8,        /* rows of cells expanded at a time, or two more */
  RING = STRIP + 2, /* those that a strip of results reads */
  SLAB_PANELS = CW_SLAB / CW_PANEL,
  TILE = 64 /* cells of a chunk of the second pass */
};

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t most(uint32_t a, uint32_t b) { return a > b ? a : b; }

cw_reading cw_mbconv_reading(const cw_session *s, uint32_t index) {
  const cw_matrix *expand = &s->model->weights.cnn[index].expand;
  return cw_vision_reading(s, &expand, 1, index < 2 ? CW_STEM_CELLS : CW_GRID_CELLS);
}

size_t cw_mbconv_scratch(const cw_config *config) {
  size_t size = (RING + 1) * (size_t)(CW_STEM_SIDE + 2) * CW_CELL;
  for (uint32_t i = 0; i < CW_CNN_BLOCKS; i++) {
    cw_cnn_shape shape = cw_config_cnn(config, i);
    size_t second = cw_reading_floats(TILE, shape.expanded) + most(shape.expanded, shape.out);
    size = second > size ? second : size;
  }
  return size;
}

typedef struct {
  cw_session *s;
  const cw_cnn_block *block;
  cw_cnn_shape shape;
  cw_reading in;
  uint32_t side;         /* cells a side of the result */
  uint32_t slabs, parts; /* chunks: slabs times parts of the rows of cells */
} expand_job;

/* Row `row` of the input, expanded and activated, for the channels of a slab. */
static void expand_row(const expand_job *job, uint32_t slab, uint32_t row, float *cells) {
  const cw_kernels *kernels = job->s->run.kernels;
  const cw_matrix *expand = &job->block->expand;
  uint32_t side = job->shape.side_in, channels = least(job->shape.expanded - slab * CW_SLAB, CW_SLAB);
  cw_input in = cw_reading_from(&job->in, row * side);
  cw_panels_times(kernels, &in, side, expand, slab * SLAB_PANELS, (channels + CW_PANEL - 1) / CW_PANEL, cells, CW_CELL, 0);
  for (uint32_t i = 0; i < side; i++) kernels->silu(cells + (size_t)i * CW_CELL, channels);
}

static void expand_chunk(void *context, uint32_t chunk, uint32_t worker) {
  const expand_job *job = context;
  const cw_run *run = &job->s->run;
  uint32_t slab = chunk % job->slabs, part = chunk / job->slabs, side = job->shape.side_in, stride = job->shape.stride, E = job->shape.expanded;
  uint32_t row = job->side * part / job->parts, end = job->side * (part + 1) / job->parts;
  size_t line = (size_t)(side + 2) * CW_CELL;
  float *ring = run->scratch + worker * run->scratch_size, *outside = ring + RING * line;
  memset(outside, 0, line * sizeof(float));
  for (uint32_t i = 0; i < RING; i++) {
    memset(ring + i * line, 0, CW_CELL * sizeof(float));
    memset(ring + (i + 1) * line - CW_CELL, 0, CW_CELL * sizeof(float));
  }
  for (uint32_t next = row == 0 ? 0 : row * stride - 1; row < end; row += STRIP / stride) {
    uint32_t count = least(end - row, STRIP / stride), inputs = (count - 1) * stride + 3;
    const float *rows[RING];
    for (uint32_t i = 0; i < inputs; i++) { /* input row `at` - 1 */
      uint32_t at = row * stride + i;
      float *cells = ring + (at + RING - 1) % RING * line;
      rows[i] = at == 0 || at > side ? outside : cells;
      if (rows[i] == outside || at - 1 < next) continue;
      expand_row(job, slab, at - 1, cells + CW_CELL);
      next = at;
    }
    run->kernels->depthwise(&(cw_depthwise){
        .rows = rows,
        .stride = stride,
        .count = count,
        .width = job->side,
        .channels = least(E - slab * CW_SLAB, CW_SLAB),
        .weight = job->block->dw + slab * CW_SLAB,
        .taps = E,
        .bias = job->block->dw_bias + slab * CW_SLAB,
        .y = job->s->vision.convolved + ((size_t)slab * job->side + row) * job->side * CW_SLAB,
        .sums = job->s->vision.lines + (size_t)row * E + slab * CW_SLAB,
        .sums_stride = E,
    });
  }
}

static void add_bias(float *x, const float *bias, size_t size) {
  for (size_t i = 0; i < size; i++) x[i] += bias[i];
}

/* Squeeze and excitation: gains = sigmoid(silu(mean(y) w1 + b1) w2 + b2), from the sums that the convolution left. */
static const float *excite(cw_session *s, const cw_cnn_block *block, const cw_cnn_shape *shape, uint32_t side) {
  const cw_run *run = &s->run;
  size_t E = shape->expanded, width = shape->expanded + shape->squeezed;
  float *mean = s->vision.squeeze, *gains = mean + width, *squeezed = mean + E;
  memset(mean, 0, E * sizeof(float));
  for (size_t row = 0; row < side; row++)
    for (size_t c = 0; c < E; c++) mean[c] += s->vision.lines[row * E + c];
  for (size_t c = 0; c < E; c++) mean[c] /= (float)(side * side);
  cw_matmul(run, 1, mean, &block->se_w1, squeezed, 0);
  add_bias(squeezed, block->se_b1, shape->squeezed);
  run->kernels->silu(squeezed, shape->squeezed);
  cw_matmul(run, 1, squeezed, &block->se_w2, gains, 0);
  add_bias(gains, block->se_b2, E);
  run->kernels->sigmoid(gains, E);
  return gains;
}

typedef struct {
  cw_session *s;
  const cw_cnn_block *block;
  cw_cnn_shape shape;
  uint32_t cells;
  const float *gains;
  cw_reading next; /* of the next block; depth 0: there is none */
  const float *norm;
} project_job;

static void project_chunk(void *context, uint32_t chunk, uint32_t worker) {
  const project_job *job = context;
  const cw_run *run = &job->s->run;
  uint32_t first = chunk * TILE, count = least(job->cells - first, TILE), E = job->shape.expanded, out = job->shape.out;
  float *scratch = run->scratch + worker * run->scratch_size, *row = scratch;
  scratch += cw_rounded(most(E, out));
  cw_reading excited = cw_reading_take(&scratch, count, &job->block->project);
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t slab = 0; slab * CW_SLAB < E; slab++) {
      const float *from = job->s->vision.convolved + ((size_t)slab * job->cells + first + i) * CW_SLAB;
      run->kernels->scale(from, job->gains + slab * CW_SLAB, least(E - slab * CW_SLAB, CW_SLAB), row + slab * CW_SLAB);
    }
    cw_reading_put(run, &excited, i, 0, row, E);
  }
  cw_rows_times(run, &excited, 0, count, &job->block->project, job->s->vision.x + (size_t)first * out, job->shape.stride == 1 && job->shape.in == out);
  if (job->next.depth > 0) cw_reading_norm(job->s, &job->next, job->s->vision.x, job->norm, first, count, row);
}

void cw_mbconv(cw_session *s, uint32_t index) {
  const cw_cnn_block *block = &s->model->weights.cnn[index];
  cw_cnn_shape shape = cw_config_cnn(&s->model->config, index);
  uint32_t side = shape.side_in / shape.stride;
  expand_job expand = {.s = s, .block = block, .shape = shape, .in = cw_mbconv_reading(s, index), .side = side};
  expand.slabs = (shape.expanded + CW_SLAB - 1) / CW_SLAB;
  /* Eight chunks a thread even out the slabs; two rows are expanded twice for each cut. */
  expand.parts = least((8 * cw_pool_threads(s->run.pool) + expand.slabs - 1) / expand.slabs, side / STRIP);
  cw_pool_run(s->run.pool, cw_pool_threads(s->run.pool), expand_chunk, &expand, expand.slabs * expand.parts, NULL);
  project_job project = {.s = s, .block = block, .shape = shape, .cells = side * side, .gains = excite(s, block, &shape, side)};
  if (index + 1 < CW_CNN_BLOCKS) {
    project.next = cw_mbconv_reading(s, index + 1);
    project.norm = block[1].norm;
  }
  cw_pool_run(s->run.pool, cw_pool_threads(s->run.pool), project_chunk, &project, (side * side + TILE - 1) / TILE, NULL);
  cw_trace(&s->run, "vision.cnn", (int32_t)index, s->vision.x, side * side, shape.out);
}
