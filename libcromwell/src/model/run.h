/* run.h: what an operation needs to run: kernels, threads, scratch memory, and who watches. */
#ifndef CW_MODEL_RUN_H
#define CW_MODEL_RUN_H

#include "arena.h"
#include "kernels/kernels.h"
#include "model/ahead.h"
#include "model/weights.h"
#include "pool.h"

enum { CW_ROWS = 224 /* rows computed at once, 16 tiles of the widest kernel: bounds activations whatever the length of a text */ };

/* Room for quantised rows (cw_q8_rows); `stride` rows of the depth at hand, as many as fit. */
typedef struct {
  int8_t *q;
  float *scales;
  int32_t *sums;
  size_t stride;
} cw_q8_room;

typedef struct {
  const cw_kernels *kernels;
  cw_pool *pool;
  float *scratch;            /* [threads, scratch_size] */
  size_t scratch_size;       /* floats a worker */
  float *partials;           /* [partials_size]: states of attention that several workers make */
  size_t partials_size;
  cw_follow *follow;         /* the order in which few rows read weights */
  cw_q8_room input, middle;  /* what products read; `middle` stands between the two halves of an MLP */
  cw_trace_fn trace;         /* NULL when nobody watches */
  void *trace_user;
} cw_run;

static inline void cw_trace(const cw_run *run, const char *name, int32_t layer, const float *values, uint32_t rows, uint32_t cols) {
  if (run->trace != NULL) run->trace(run->trace_user, name, layer, values, rows, cols);
}

/* Runs chunks in parallel when `operations` multiply-adds are worth waking a worker for. `ahead`, or NULL: see cw_pool_run. */
void cw_run_chunks(const cw_run *run, cw_chunk_fn chunk_fn, void *job, uint32_t count, double operations, const cw_ahead *ahead);

/* Calls `row_fn` for every row of [0, rows), spread over the threads when there are many. */
typedef void (*cw_row_fn)(const void *context, uint32_t row);
void cw_run_rows(const cw_run *run, uint32_t rows, cw_row_fn row_fn, const void *context);

/* Groups of 128 of a row: what it takes in a room. */
static inline size_t cw_q8_groups(size_t depth) { return (depth + CW_GROUP - 1) / CW_GROUP; }
/* Room for `groups` groups, whichever rows they belong to. */
cw_q8_room cw_q8_take(cw_arena *arena, size_t groups);
/* The same room for `rows` rows. */
static inline cw_q8_room cw_q8_shaped(cw_q8_room room, size_t rows) { return room.stride = rows, room; }
static inline cw_q8_rows cw_q8_of(cw_q8_room room) { return (cw_q8_rows){room.q, room.scales, room.sums, room.stride}; }
/* Quantises x[count], count a multiple of 32, to row `row`, from its group `first` on. */
void cw_q8_put(const cw_kernels *kernels, cw_q8_room room, size_t row, size_t first, const float *x, size_t count);
/* Quantises dense rows x[rows, depth], depth a multiple of 32; `out` is shaped for them. */
cw_q8_rows cw_quantise_rows(const cw_run *run, uint32_t rows, const float *x, uint32_t depth, cw_q8_room out);

/* y[rows, outputs] (+)= x[rows, depth] w^T */
typedef struct {
  const cw_matrix *w;
  float *y;
} cw_product;

/* Up to three products of the same dense rows, shared out together; x may not be a y. */
void cw_products(const cw_run *run, uint32_t rows, const float *x, const cw_product *products, uint32_t count, int add);
void cw_matmul(const cw_run *run, uint32_t rows, const float *x, const cw_matrix *w, float *y, int add);
/* Products of rows that are quantised already, with quantised matrices. */
void cw_products_q8(const cw_run *run, uint32_t rows, const cw_q8_rows *x, const cw_product *products, uint32_t count, int add);
/* y += (silu(x w_gate) * (x w_up)) w_down; `wide` is room for [rows, mlp] floats, used with float32 matrices. */
void cw_swiglu(const cw_run *run, uint32_t rows, const float *x, const cw_matrix *w_gate, const cw_matrix *w_up, const cw_matrix *w_down,
               float *wide, float *y);
/* Floats of scratch that a worker needs for it. */
size_t cw_mlp_scratch(void);
/* One row of a matrix, as floats: out[depth]. */
void cw_matrix_row(const cw_matrix *matrix, uint32_t row, float *out);

/* y[rows, size] = rms(x); weight NULL = 1; y may be x. */
void cw_rms_rows(const cw_run *run, uint32_t rows, const float *x, const float *weight, float eps, uint32_t size, float *y);

#endif
