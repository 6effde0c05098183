/* cache.h: cached keys and values: blocks of 64 positions, each anywhere in memory, so that states can be shared between sessions
 * and used in place from files. A block holds, for each head, one unit:
 *
 *     int8      | keys u8 [4][D/4][16][4] | key scales f32 [64] | values s8 [32][D][2] | value scales f32 [64] |   (kernels.h)
 *     float32   | keys [64][head_dim] | values [64][head_dim] |
 *
 * D is the head size rounded up to a multiple of 32. */
#ifndef CW_MODEL_CACHE_H
#define CW_MODEL_CACHE_H

#include "kernels/kernels.h"
#include "model/weights.h"

typedef struct {
  uint8_t *const *blocks; /* block i holds positions 64 i .. 64 i + 63 */
  size_t offset;          /* of the first head's unit in a block */
  size_t unit;            /* bytes a head */
  uint32_t heads, head_dim;
  int quantised;
} cw_cache;

static inline uint32_t cw_head_padded(uint32_t head_dim) { return (head_dim + CW_SUB - 1) / CW_SUB * CW_SUB; }
/* Bytes of a head's unit, a multiple of 64. */
size_t cw_cache_unit(uint32_t head_dim, int quantised);
/* Stores the key and value of one position, [heads, head_dim] each. */
void cw_cache_put(const cw_cache *cache, uint32_t position, const float *key, const float *value);
/* The quantised unit of a head in a block. */
cw_q8_block cw_cache_block(const cw_cache *cache, uint32_t block, uint32_t head);

#endif
