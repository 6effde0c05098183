/* products.h: how products are cut into pieces, for the operations that are made of them. */
#ifndef CW_MODEL_PRODUCTS_H
#define CW_MODEL_PRODUCTS_H

#include "model/run.h"

/* Dense rows as floats, quantised, or both: whichever the matrices read. */
typedef struct {
  const float *f32;
  cw_q8_rows q8;
} cw_input;

/* The rows of x, quantised into run->input when one of the products reads them so. */
cw_input cw_input_quantised(const cw_run *run, uint32_t rows, const float *x, uint32_t depth, const cw_product *products, uint32_t count);
/* Rows from `row` on. */
cw_input cw_input_from(const cw_input *x, size_t row, size_t depth);

/* Outputs of panels first .. first+count-1 to y (that of the first output), for all rows. */
void cw_panels_times(const cw_kernels *kernels, const cw_input *x, uint32_t rows, const cw_matrix *w, uint32_t first, uint32_t count,
                     float *y, size_t y_stride, int add);

static inline uint32_t cw_matrix_panels(const cw_matrix *w) { return (w->outputs + CW_PANEL - 1) / CW_PANEL; }

/* rows x panels cut into row_tiles * panel_chunks pieces, a piece `unit` panels or a multiple, but for the last of a row tile. */
typedef struct {
  uint32_t rows, panels, row_tiles, tile_rows, panel_chunks, per_chunk;
} cw_split;

typedef struct {
  uint32_t row, rows, panel, panels;
} cw_piece;

/* The largest number of rows for which reading weights takes longer than computing. */
enum { CW_FEW_ROWS = 16 };

cw_split cw_split_work(const cw_run *run, uint32_t rows, uint32_t panels, uint32_t unit);
cw_piece cw_split_piece(const cw_split *split, uint32_t chunk);

#endif
