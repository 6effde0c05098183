/* products.c: shares products with weight panels out over the threads. An output is computed whole by one worker, so that neither
 * the number of threads nor of rows changes a bit. */
#include "model/products.h"

/* A thread takes part for so many multiply-adds, a few microseconds of one core; for fewer, waking it costs more than it brings. */
static const double WORTH_SHARING = 1e5;

void cw_run_chunks(const cw_run *run, cw_chunk_fn chunk_fn, void *job, uint32_t count, double operations, const cw_ahead *ahead) {
  double threads = 1 + operations / WORTH_SHARING;
  cw_pool_run(run->pool, threads < 64 ? (uint32_t)threads : 64, chunk_fn, job, count, ahead);
}

cw_q8_room cw_q8_take(cw_arena *arena, size_t groups) {
  cw_q8_room room = {0};
  room.q = cw_arena_take(arena, groups, CW_GROUP);
  room.scales = cw_arena_take(arena, groups, sizeof(float));
  room.sums = cw_arena_take(arena, groups, CW_GROUP / CW_SUB * sizeof(int32_t));
  return room;
}

void cw_q8_put(const cw_kernels *kernels, cw_q8_room room, size_t row, size_t first, const float *x, size_t count) {
  size_t at = first * room.stride + row;
  kernels->quantise(x, count, CW_GROUP, room.stride, room.q + at * CW_GROUP, room.scales + at,
                    room.sums + first * (CW_GROUP / CW_SUB) * room.stride + row);
}

typedef struct {
  const cw_kernels *kernels;
  const float *x;
  cw_q8_room out;
  uint32_t depth;
} quantise_job;

static void quantise_row(const void *context, uint32_t row) {
  const quantise_job *job = context;
  cw_q8_put(job->kernels, job->out, row, 0, job->x + (size_t)row * job->depth, job->depth);
}

cw_q8_rows cw_quantise_rows(const cw_run *run, uint32_t rows, const float *x, uint32_t depth, cw_q8_room out) {
  quantise_job job = {.kernels = run->kernels, .x = x, .out = cw_q8_shaped(out, rows), .depth = depth};
  cw_run_rows(run, rows, quantise_row, &job);
  return cw_q8_of(job.out);
}

void cw_panels_times(const cw_kernels *kernels, const cw_input *x, uint32_t rows, const cw_matrix *w, uint32_t first, uint32_t count,
                     float *y, size_t y_stride, int add) {
  size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, left = w->outputs - (size_t)first * CW_PANEL;
  size_t outputs = (size_t)count * CW_PANEL < left ? (size_t)count * CW_PANEL : left;
  if (w->format == CW_FORMAT_F32) {
    kernels->product_f32(x->f32, depth, rows, depth, w->f32 + (size_t)first * CW_PANEL * depth, outputs, y, y_stride, add);
    return;
  }
  cw_q_panels panels = {.scales = w->scales + (size_t)first * groups * CW_PANEL, .depth = depth, .outputs = outputs};
  if (w->format == CW_FORMAT_Q8) {
    panels.weights = w->weights + (size_t)first * CW_PANEL * depth;
    kernels->product_q8(&x->q8, rows, &panels, y, y_stride, add);
  } else {
    panels.weights = w->weights + (size_t)first * CW_PANEL * depth / 2;
    panels.multipliers = w->multipliers + (size_t)first * (depth / CW_SUB) * CW_PANEL;
    kernels->product_q4(&x->q8, rows, &panels, y, y_stride, add);
  }
}

cw_input cw_input_from(const cw_input *x, size_t row, size_t depth) {
  cw_input from = {.f32 = x->f32 == NULL ? NULL : x->f32 + row * depth};
  if (x->q8.q != NULL) from.q8 = (cw_q8_rows){x->q8.q + row * CW_GROUP, x->q8.scales + row, x->q8.sums + row, x->q8.stride};
  return from;
}

cw_input cw_input_quantised(const cw_run *run, uint32_t rows, const float *x, uint32_t depth, const cw_product *products, uint32_t count) {
  cw_input input = {.f32 = x};
  for (uint32_t i = 0; i < count && input.q8.q == NULL; i++)
    if (products[i].w->format != CW_FORMAT_F32) input.q8 = cw_quantise_rows(run, rows, x, depth, run->input);
  return input;
}

cw_split cw_split_work(const cw_run *run, uint32_t rows, uint32_t panels, uint32_t unit) {
  cw_split split = {.rows = rows, .panels = panels, .row_tiles = (rows + CW_ROWS - 1) / CW_ROWS};
  split.tile_rows = (rows + split.row_tiles - 1) / split.row_tiles;
  /* Four chunks a thread even out what other programs take from one of the cores. */
  uint32_t pieces = (4 * cw_pool_threads(run->pool) + split.row_tiles - 1) / split.row_tiles;
  split.per_chunk = ((panels + pieces - 1) / pieces + unit - 1) / unit * unit;
  split.panel_chunks = (panels + split.per_chunk - 1) / split.per_chunk;
  return split;
}

cw_piece cw_split_piece(const cw_split *split, uint32_t chunk) {
  cw_piece piece;
  piece.row = chunk / split->panel_chunks * split->tile_rows;
  piece.rows = split->rows - piece.row < split->tile_rows ? split->rows - piece.row : split->tile_rows;
  piece.panel = chunk % split->panel_chunks * split->per_chunk;
  piece.panels = split->panels - piece.panel < split->per_chunk ? split->panels - piece.panel : split->per_chunk;
  return piece;
}

typedef struct {
  const cw_run *run;
  cw_input x;
  const cw_product *products;
  uint32_t count;
  cw_split split; /* panels of all products, one after the other */
  int add;
} product_job;

static void product_chunk(void *context, uint32_t chunk, uint32_t worker) {
  (void)worker;
  const product_job *job = context;
  cw_piece piece = cw_split_piece(&job->split, chunk);
  uint32_t first = piece.panel, end = first + piece.panels;
  cw_input x = cw_input_from(&job->x, piece.row, job->products[0].w->depth);
  for (uint32_t i = 0; i < job->count; i++) {
    const cw_matrix *w = job->products[i].w;
    uint32_t panels = cw_matrix_panels(w);
    if (first < panels) {
      uint32_t here = end < panels ? end : panels;
      float *y = job->products[i].y + (size_t)piece.row * w->outputs + (size_t)first * CW_PANEL;
      cw_panels_times(job->run->kernels, &x, piece.rows, w, first, here - first, y, w->outputs, job->add);
      first = here;
    }
    if (end <= panels) break;
    first -= panels;
    end -= panels;
  }
}

static void run_products(const cw_run *run, uint32_t rows, cw_input x, const cw_product *products, uint32_t count, int add) {
  uint32_t panels = 0;
  double operations = 0;
  for (uint32_t i = 0; i < count; i++) {
    panels += cw_matrix_panels(products[i].w);
    operations += (double)rows * products[i].w->outputs * products[i].w->depth;
  }
  product_job job = {.run = run, .x = x, .products = products, .count = count, .add = add};
  job.split = cw_split_work(run, rows, panels, 4);
  cw_ahead ahead = {.count = 0};
  if (rows <= CW_FEW_ROWS) {
    const cw_matrix *matrices[CW_AHEAD_PIECES];
    for (uint32_t i = 0; i < count; i++) matrices[i] = products[i].w;
    ahead = cw_follow_job(run->follow, matrices, count, 0);
  }
  cw_run_chunks(run, product_chunk, &job, job.split.row_tiles * job.split.panel_chunks, operations, &ahead);
}

void cw_products(const cw_run *run, uint32_t rows, const float *x, const cw_product *products, uint32_t count, int add) {
  run_products(run, rows, cw_input_quantised(run, rows, x, products[0].w->depth, products, count), products, count, add);
}

void cw_products_q8(const cw_run *run, uint32_t rows, const cw_q8_rows *x, const cw_product *products, uint32_t count, int add) {
  run_products(run, rows, (cw_input){.q8 = *x}, products, count, add);
}

void cw_matmul(const cw_run *run, uint32_t rows, const float *x, const cw_matrix *w, float *y, int add) {
  cw_product product = {.w = w, .y = y};
  cw_products(run, rows, x, &product, 1, add);
}
