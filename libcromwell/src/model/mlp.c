/* mlp.c: the MLPs of the blocks. What the first half makes is activated in cache, 128 columns at a time, and leaves as int8 rows for
 * the second half. */
#include "model/products.h"

enum { COLUMNS = CW_GROUP, COLUMN_PANELS = COLUMNS / CW_PANEL };

size_t cw_mlp_scratch(void) { return 2 * (size_t)CW_ROWS * COLUMNS; }

typedef struct {
  const cw_run *run;
  cw_input x;
  const cw_matrix *gate, *up;
  int quantise; /* the middle goes to `middle`, else to `wide` */
  cw_q8_room middle;
  float *wide; /* [rows, mlp] */
  cw_split split;
} mlp_job;

static void mlp_chunk(void *context, uint32_t chunk, uint32_t worker) {
  const mlp_job *job = context;
  const cw_kernels *kernels = job->run->kernels;
  cw_piece piece = cw_split_piece(&job->split, chunk);
  size_t mlp = job->gate->outputs;
  float *gate = job->run->scratch + worker * job->run->scratch_size, *up = gate + (size_t)CW_ROWS * COLUMNS;
  cw_input x = cw_input_from(&job->x, piece.row, job->gate->depth);
  for (uint32_t panel = piece.panel; panel < piece.panel + piece.panels; panel += COLUMN_PANELS) {
    size_t column = (size_t)panel * CW_PANEL, columns = mlp - column < COLUMNS ? mlp - column : COLUMNS;
    uint32_t panels = (uint32_t)((columns + CW_PANEL - 1) / CW_PANEL);
    cw_panels_times(kernels, &x, piece.rows, job->gate, panel, panels, gate, COLUMNS, 0);
    cw_panels_times(kernels, &x, piece.rows, job->up, panel, panels, up, COLUMNS, 0);
    for (size_t r = 0; r < piece.rows; r++) {
      kernels->silu_mul(gate + r * COLUMNS, up + r * COLUMNS, columns);
      if (job->quantise) {
        cw_q8_put(kernels, job->middle, piece.row + r, column / COLUMNS, gate + r * COLUMNS, columns);
      } else {
        for (size_t i = 0; i < columns; i++) job->wide[(piece.row + r) * mlp + column + i] = gate[r * COLUMNS + i];
      }
    }
  }
}

void cw_swiglu(const cw_run *run, uint32_t rows, const float *x, const cw_matrix *w_gate, const cw_matrix *w_up, const cw_matrix *w_down,
               float *wide, float *y) {
  const cw_product first[2] = {{.w = w_gate}, {.w = w_up}}, second = {.w = w_down, .y = y};
  mlp_job job = {.run = run, .gate = w_gate, .up = w_up, .wide = wide, .quantise = w_down->format != CW_FORMAT_F32,
                 .middle = cw_q8_shaped(run->middle, rows)};
  job.x = cw_input_quantised(run, rows, x, w_gate->depth, first, 2);
  job.split = cw_split_work(run, rows, cw_matrix_panels(w_gate), COLUMN_PANELS);
  cw_ahead ahead = {.count = 0};
  if (rows <= CW_FEW_ROWS) ahead = cw_follow_job(run->follow, (const cw_matrix *[]){w_gate, w_up}, 2, 1);
  cw_run_chunks(run, mlp_chunk, &job, job.split.row_tiles * job.split.panel_chunks, 2.0 * rows * w_gate->outputs * w_gate->depth, &ahead);
  if (job.quantise) {
    cw_q8_rows middle = cw_q8_of(job.middle);
    cw_products_q8(run, rows, &middle, &second, 1, 1);
  } else {
    cw_products(run, rows, wide, &second, 1, 1);
  }
}
