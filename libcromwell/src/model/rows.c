/* rows.c: work that is done row by row. */
#include "model/run.h"

enum { ROWS_A_CHUNK = 16 };

typedef struct {
  cw_row_fn row_fn;
  const void *context;
  uint32_t rows;
} row_job;

static void row_chunk(void *context, uint32_t chunk, uint32_t worker) {
  (void)worker;
  const row_job *job = context;
  uint32_t first = chunk * ROWS_A_CHUNK, end = first + ROWS_A_CHUNK < job->rows ? first + ROWS_A_CHUNK : job->rows;
  for (uint32_t row = first; row < end; row++) job->row_fn(job->context, row);
}

void cw_run_rows(const cw_run *run, uint32_t rows, cw_row_fn row_fn, const void *context) {
  row_job job = {.row_fn = row_fn, .context = context, .rows = rows};
  uint32_t chunks = (rows + ROWS_A_CHUNK - 1) / ROWS_A_CHUNK;
  if (chunks <= 2)
    cw_pool_run_alone(row_chunk, &job, chunks);
  else
    cw_pool_run(run->pool, chunks, row_chunk, &job, chunks, NULL);
}

typedef struct {
  const cw_kernels *kernels;
  const float *x, *weight;
  float *y;
  float eps;
  uint32_t size;
} rms_job;

static void rms_row(const void *context, uint32_t row) {
  const rms_job *job = context;
  size_t at = (size_t)row * job->size;
  job->kernels->rms(job->x + at, job->weight, job->eps, job->size, job->y + at);
}

void cw_rms_rows(const cw_run *run, uint32_t rows, const float *x, const float *weight, float eps, uint32_t size, float *y) {
  rms_job job = {.kernels = run->kernels, .x = x, .weight = weight, .y = y, .eps = eps, .size = size};
  cw_run_rows(run, rows, rms_row, &job);
}
