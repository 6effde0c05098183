/* block.h: the states of 64 tokens in one piece of memory. A session holds a table of blocks, its own, another session's or a
 * mapped file's: sharing and restoring states is setting pointers.
 *
 *     | header | language layers | JEPA layers | AR layers | text as vision reads it, each fusion layer | f [64, J] | rows for the head |
 *     | scores of candidates and pointing, queries and keys of pointing: of an aligned model |
 *
 * A layer is a unit of cache.h for each head. Rows are float32, or int8 with their scales: [64, depth], [64, groups]. Parts begin at
 * multiples of 64 bytes. What a block holds beside its header may be anything: no number in it is used as an index or a size. */
#ifndef CW_MODEL_BLOCK_H
#define CW_MODEL_BLOCK_H

#include "model/run.h"

/* What a block is good for; a block with another header is none of the session's. */
typedef struct {
  uint64_t fingerprint; /* of the model */
  uint32_t position;    /* of its first token */
  uint32_t guidance;    /* 0 or 1 */
  int32_t ids[CW_BLOCK];
} cw_block_header;

typedef struct {
  int kv_quantised, text_quantised, last_quantised;
  size_t language, jepa, ar;                      /* offsets of the first layer */
  size_t language_layer, jepa_layer, ar_layer;    /* bytes a layer */
  size_t text, text_layer;                        /* rms(text, text_norm) of each fusion layer, [64, J] */
  size_t joint;                                   /* f [64, J] float32 */
  size_t last;                                    /* rms(AR output, ar.norm) [64, A] */
  size_t scores;                                  /* of an aligned model: [64, CW_CANDIDATES + 1] float32 */
  size_t point_q, point_k;                        /* [64, CW_POINT] float32 each */
  size_t bytes;
} cw_block_layout;

cw_block_layout cw_block_layout_of(const cw_config *config, const cw_weights *weights);
/* Rows of floats at `offset` of a block. */
static inline float *cw_block_floats(uint8_t *block, size_t offset) { return (float *)(block + offset); }
/* Quantises x[depth] to row `place` of the quantised rows at `offset`. */
void cw_block_put_row(uint8_t *block, size_t offset, uint32_t place, const cw_kernels *kernels, const float *x, size_t depth);
/* Copies this row to row `row` of a room for products, with the sums, which follow from it. */
void cw_block_take_row(const uint8_t *block, size_t offset, uint32_t place, size_t depth, cw_q8_room room, size_t row);

#endif
