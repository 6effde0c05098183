/* products.c: shares products with weight panels out over the threads. An output is computed whole by one worker, so that neither
 * the number of threads nor of rows changes a bit. */
#include <string.h>

#include "model/run.h"

/* Below this many multiply-adds, some 10 microseconds of one core, waking another costs more than it brings. */
static const double WORTH_SHARING = 6e4;

void cw_run_chunks(const cw_run *run, cw_chunk_fn chunk_fn, void *job, uint32_t count, double operations) {
  if (operations < WORTH_SHARING)
    cw_pool_run_alone(chunk_fn, job, count);
  else
    cw_pool_run(run->pool, chunk_fn, job, count);
}

static uint32_t panels_of(const cw_matrix *w) { return (w->outputs + CW_PANEL - 1) / CW_PANEL; }

size_t cw_product_scratch(uint32_t depth) { return (size_t)depth * CW_PANEL; }

/* One row: whole panels straight into y, a last partial one through a copy. */
static void one_row(const cw_run *run, const cw_product *p, uint32_t first, uint32_t count) {
  const cw_matrix *w = p->w;
  size_t groups = (w->depth + CW_GROUP - 1) / CW_GROUP, panel = (size_t)w->depth * CW_PANEL;
  uint32_t whole = first + count <= w->outputs / CW_PANEL ? count : count - 1;
  float edge[CW_PANEL] = {0};
  for (uint32_t part = 0; part < 2; part++) {
    uint32_t at = part == 0 ? first : first + whole, panels = part == 0 ? whole : count - whole;
    if (panels == 0) continue;
    float *y = part == 0 ? p->y + (size_t)at * CW_PANEL : edge;
    if (part == 1 && p->add) memcpy(edge, p->y + (size_t)at * CW_PANEL, (w->outputs % CW_PANEL) * sizeof(float));
    if (w->q8 != NULL)
      run->kernels->gemv_q8(p->x, w->depth, w->q8 + at * panel, w->scales + at * groups * CW_PANEL, panels, y, p->add);
    else
      run->kernels->gemv_f32(p->x, w->depth, w->f32 + at * panel, panel, panels, y, p->add);
    if (part == 1) memcpy(p->y + (size_t)at * CW_PANEL, edge, (w->outputs % CW_PANEL) * sizeof(float));
  }
}

/* Panels first .. first+count-1 of one product. */
static void panel_range(const cw_run *run, uint32_t worker, uint32_t rows, const cw_product *p, uint32_t first, uint32_t count) {
  const cw_matrix *w = p->w;
  if (rows == 1) {
    one_row(run, p, first, count);
    return;
  }
  size_t groups = (w->depth + CW_GROUP - 1) / CW_GROUP, size = (size_t)w->depth * CW_PANEL;
  float *expanded = run->scratch + worker * run->scratch_size;
  for (uint32_t panel = first; panel < first + count; panel++) {
    const float *weights = w->f32 + panel * size;
    if (w->q8 != NULL) {
      run->kernels->expand_q8(w->q8 + panel * size, w->scales + panel * groups * CW_PANEL, w->depth, expanded);
      weights = expanded;
    }
    uint32_t left = w->outputs - panel * CW_PANEL;
    run->kernels->gemm_f32(p->x, w->depth, rows, w->depth, weights, p->y + (size_t)panel * CW_PANEL, w->outputs,
                           left < CW_PANEL ? left : CW_PANEL, p->add);
  }
}

typedef struct {
  const cw_run *run;
  uint32_t rows, count;
  const cw_product *products;
  uint32_t per_chunk, total; /* panels, over all products */
  int swiglu;                /* products are gate and up: multiply when both are there */
} product_job;

static void product_chunk(void *context, uint32_t chunk, uint32_t worker) {
  const product_job *job = context;
  uint32_t first = chunk * job->per_chunk, end = first + job->per_chunk < job->total ? first + job->per_chunk : job->total;
  if (job->swiglu) {
    const cw_product *gate = &job->products[0], *up = &job->products[1];
    panel_range(job->run, worker, job->rows, gate, first, end - first);
    panel_range(job->run, worker, job->rows, up, first, end - first);
    size_t mlp = gate->w->outputs, begin = (size_t)first * CW_PANEL, stop = (size_t)end * CW_PANEL < mlp ? (size_t)end * CW_PANEL : mlp;
    for (size_t row = 0; row < job->rows; row++)
      job->run->kernels->silu_mul(gate->y + row * mlp + begin, up->y + row * mlp + begin, stop - begin);
    return;
  }
  for (uint32_t i = 0; i < job->count && first < end; i++) {
    uint32_t panels = panels_of(job->products[i].w);
    if (first < panels) {
      uint32_t here = end < panels ? end : panels;
      panel_range(job->run, worker, job->rows, &job->products[i], first, here - first);
      first = here;
    }
    if (first >= end) break;
    first -= panels;
    end -= panels;
  }
}

/* Four chunks a thread even out what other programs take from one of the cores. */
static void run_products(product_job *job) {
  double operations = 0;
  for (uint32_t i = 0; i < job->count; i++) {
    const cw_matrix *w = job->products[i].w;
    operations += (double)job->rows * w->outputs * w->depth;
    if (i == 0 || !job->swiglu) job->total += panels_of(w);
  }
  uint32_t pieces = 4 * cw_pool_threads(job->run->pool);
  job->per_chunk = (job->total + pieces - 1) / pieces;
  if (job->rows == 1) job->per_chunk = (job->per_chunk + 3) / 4 * 4; /* gemv takes four panels at a time */
  cw_run_chunks(job->run, product_chunk, job, (job->total + job->per_chunk - 1) / job->per_chunk, operations);
}

void cw_products(const cw_run *run, uint32_t rows, const cw_product *products, uint32_t count) {
  product_job job = {.run = run, .rows = rows, .count = count, .products = products};
  run_products(&job);
}

void cw_matmul(const cw_run *run, uint32_t rows, const float *x, const cw_matrix *w, float *y, int add) {
  cw_product product = {.x = x, .w = w, .y = y, .add = add};
  cw_products(run, rows, &product, 1);
}

void cw_swiglu(const cw_run *run, uint32_t rows, const float *x, const cw_matrix *w_gate, const cw_matrix *w_up, float *gate, float *up) {
  const cw_product products[2] = {{.x = x, .w = w_gate, .y = gate}, {.x = x, .w = w_up, .y = up}};
  product_job job = {.run = run, .rows = rows, .count = 2, .products = products, .swiglu = 1};
  run_products(&job);
}

void cw_matrix_row(const cw_matrix *w, uint32_t row, float *out) {
  size_t groups = (w->depth + CW_GROUP - 1) / CW_GROUP, lane = row % CW_PANEL, panel = row / CW_PANEL;
  for (size_t k = 0; k < w->depth; k++) {
    size_t at = (panel * w->depth + k) * CW_PANEL + lane;
    out[k] = w->q8 == NULL ? w->f32[at] : (float)w->q8[at] * w->scales[(panel * groups + k / CW_GROUP) * CW_PANEL + lane];
  }
}
