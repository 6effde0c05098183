/* vision.h: what the parts of the vision encoder share. Every step is cut by cells of the image, and whoever computes the stream of a cell
 * makes of it at once what the next step reads: a cell passes through the caches once a step. */
#ifndef CW_MODEL_VISION_H
#define CW_MODEL_VISION_H

#include "model/products.h"
#include "model/session.h"

enum { CW_STEM_CELLS = CW_STEM_SIDE * CW_STEM_SIDE, CW_GRID_CELLS = CW_GRID_SIDE * CW_GRID_SIDE };

/* Rows that matrices read: int8 where q8.q is not NULL, floats where f32 is not; both, when formats differ. */
typedef struct {
  cw_q8_room q8;
  float *f32; /* [rows, depth] */
  uint32_t depth;
} cw_reading;

/* What `count` matrices of one depth read of `rows` rows, in run.input and vision.floats. */
cw_reading cw_vision_reading(const cw_session *s, const cw_matrix *const *matrices, uint32_t count, uint32_t rows);
/* What a matrix reads, `rows` rows in scratch memory from *scratch on, which moves behind them. */
cw_reading cw_reading_take(float **scratch, uint32_t rows, const cw_matrix *matrix);
/* Floats that it takes at most. */
size_t cw_reading_floats(uint32_t rows, uint32_t depth);
/* Stores `size` numbers of row `index` from column `column` on, a multiple of 128. */
void cw_reading_put(const cw_run *run, const cw_reading *to, uint32_t index, uint32_t column, const float *values, uint32_t size);
/* Stores rows first .. first+count-1 of the stream x, normed; `row` is scratch of [depth]. */
void cw_reading_norm(const cw_session *s, const cw_reading *to, const float *x, const float *norm, uint32_t first, uint32_t count, float *row);
/* Rows from `first` on, for a product. */
cw_input cw_reading_from(const cw_reading *reading, uint32_t first);

/* y (+)= x w^T for `rows` rows, all outputs: the part of a product that one worker does. */
void cw_rows_times(const cw_run *run, const cw_reading *x, uint32_t first, uint32_t rows, const cw_matrix *w, float *y, int add);

static inline size_t cw_rounded(size_t floats) { return (floats + 15) / 16 * 16; } /* to whole cache lines */

/* MBConv block `index` over vision.x, whose cells, normed, are `in`. Leaves them so for the next block. */
void cw_mbconv(cw_session *s, uint32_t index);
size_t cw_mbconv_scratch(const cw_config *config);
/* What the expansion of block `index` reads. */
cw_reading cw_mbconv_reading(const cw_session *s, uint32_t index);

/* The ViT blocks over vision.stream, and the last norm, to `tokens`. */
void cw_vit(cw_session *s, float *tokens);
size_t cw_vit_scratch(const cw_config *config);
/* What ViT block `index` reads. */
cw_reading cw_vit_reading(const cw_session *s, uint32_t index);

#endif
