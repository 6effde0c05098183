/* block.h: the states of 64 tokens in one piece of memory. A session holds a table of blocks, its own, another session's or a
 * mapped file's: sharing and restoring states is setting pointers.
 *
 *     | header | language layers | JEPA layers | AR layers | text as vision reads it, each fusion layer | f [64, J] | rows for the head |
 *
 * A layer is a unit of cache.h for each head. Rows are float32, or int8 with scales and sums as products read them. Parts begin at
 * multiples of 64 bytes. */
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
  size_t bytes;
} cw_block_layout;

cw_block_layout cw_block_layout_of(const cw_config *config, const cw_weights *weights);
/* Rows of `depth` numbers at `offset` of a block: floats, or the three arrays of quantised rows. */
static inline float *cw_block_floats(uint8_t *block, size_t offset) { return (float *)(block + offset); }
cw_q8_room cw_block_q8(uint8_t *block, size_t offset, size_t depth);

#endif
