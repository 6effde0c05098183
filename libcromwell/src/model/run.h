/* run.h: what an operation needs to run: kernels, threads, scratch memory, and who watches. */
#ifndef CW_MODEL_RUN_H
#define CW_MODEL_RUN_H

#include "kernels/kernels.h"
#include "model/weights.h"
#include "pool.h"

enum { CW_ROWS = 192 /* rows computed at once, a multiple of the kernels' 6: bounds activations whatever the length of a text */ };

typedef struct {
  const cw_kernels *kernels;
  cw_pool *pool;
  float *scratch;        /* [threads, scratch_size] */
  size_t scratch_size;   /* floats a worker */
  cw_trace_fn trace;     /* NULL when nobody watches */
  void *trace_user;
} cw_run;

static inline void cw_trace(const cw_run *run, const char *name, int32_t layer, const float *values, uint32_t rows, uint32_t cols) {
  if (run->trace != NULL) run->trace(run->trace_user, name, layer, values, rows, cols);
}

/* Runs chunks in parallel when `operations` multiply-adds are worth waking a worker for. */
void cw_run_chunks(const cw_run *run, cw_chunk_fn chunk_fn, void *job, uint32_t count, double operations);

/* Calls `row_fn` for every row of [0, rows), spread over the threads when there are many. */
typedef void (*cw_row_fn)(const void *context, uint32_t row);
void cw_run_rows(const cw_run *run, uint32_t rows, cw_row_fn row_fn, const void *context);

/* y[rows, outputs] (+)= x[rows, depth] w^T */
typedef struct {
  const float *x;
  const cw_matrix *w;
  float *y;
  int add;
} cw_product;

/* Several products of the same number of rows, shared out together; x and y are dense. */
void cw_products(const cw_run *run, uint32_t rows, const cw_product *products, uint32_t count);
void cw_matmul(const cw_run *run, uint32_t rows, const float *x, const cw_matrix *w, float *y, int add);
/* gate = silu(x w_gate) * (x w_up), both [rows, mlp]; `up` is overwritten. */
void cw_swiglu(const cw_run *run, uint32_t rows, const float *x, const cw_matrix *w_gate, const cw_matrix *w_up, float *gate, float *up);
/* Floats of scratch that a worker needs for products with a matrix of this depth. */
size_t cw_product_scratch(uint32_t depth);
/* One row of a matrix, as floats: out[depth]. */
void cw_matrix_row(const cw_matrix *matrix, uint32_t row, float *out);

/* y[rows, size] = rms(x); weight NULL = 1; y may be x. */
void cw_rms_rows(const cw_run *run, uint32_t rows, const float *x, const float *weight, float eps, uint32_t size, float *y);

#endif
