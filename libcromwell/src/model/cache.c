/* cache.c: see cache.h. */
#include "model/cache.h"

#include <math.h>
#include <string.h>

size_t cw_cache_unit(uint32_t head_dim, int quantised) {
  size_t D = cw_head_padded(head_dim);
  size_t size = quantised ? 2 * CW_BLOCK * (D + sizeof(float)) : 2 * CW_BLOCK * (size_t)head_dim * sizeof(float);
  return (size + 63) / 64 * 64;
}

cw_q8_block cw_cache_block(const cw_cache *cache, uint32_t block, uint32_t head) {
  size_t D = cw_head_padded(cache->head_dim);
  const uint8_t *unit = cache->blocks[block] + cache->offset + head * cache->unit;
  const uint8_t *values = unit + CW_BLOCK * (D + sizeof(float));
  return (cw_q8_block){.keys = unit,
                       .key_scales = (const float *)(unit + CW_BLOCK * D),
                       .values = (const int8_t *)values,
                       .value_scales = (const float *)(values + CW_BLOCK * D)};
}

static float largest(const float *x, uint32_t size) {
  float most = 0.0f;
  for (uint32_t i = 0; i < size; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
  return most;
}

/* The nearest integer, half to even, of |x| < 2^22: twice rounded by the float's own end. */
static int32_t nearest(float x) {
  float shifted = x + CW_ROUND;
  return (int32_t)(shifted - CW_ROUND);
}

static void put_quantised(uint8_t *unit, uint32_t head_dim, uint32_t place, const float *key, const float *value) {
  uint32_t D = cw_head_padded(head_dim);
  uint8_t *keys = unit + (size_t)place / CW_PANEL * D * CW_PANEL + place % CW_PANEL * 4, *values = unit + CW_BLOCK * (D + sizeof(float));
  float most = largest(key, head_dim), inverse = most < CW_TINY ? 0.0f : CW_OFFSET / most, scale = most < CW_TINY ? 0.0f : most / CW_OFFSET;
  memcpy(unit + CW_BLOCK * (size_t)D + place * sizeof(float), &scale, sizeof scale);
  for (uint32_t d = 0; d < D; d++)
    keys[(size_t)d / 4 * CW_PANEL * 4 + d % 4] = (uint8_t)(d < head_dim ? nearest(key[d] * inverse) + CW_OFFSET : CW_OFFSET);
  most = largest(value, head_dim), inverse = most < CW_TINY ? 0.0f : CW_Q8_MOST / most, scale = most < CW_TINY ? 0.0f : most / CW_Q8_MOST;
  memcpy(values + CW_BLOCK * (size_t)D + place * sizeof(float), &scale, sizeof scale);
  uint8_t *out = values + (size_t)place / 2 * D * 2 + place % 2;
  for (uint32_t d = 0; d < D; d++) out[d * 2] = (uint8_t)(int8_t)(d < head_dim ? nearest(value[d] * inverse) : 0);
}

void cw_cache_put(const cw_cache *cache, uint32_t position, const float *key, const float *value) {
  uint32_t place = position % CW_BLOCK, head_dim = cache->head_dim;
  for (uint32_t head = 0; head < cache->heads; head++, key += head_dim, value += head_dim) {
    uint8_t *unit = cache->blocks[position / CW_BLOCK] + cache->offset + head * cache->unit;
    if (cache->quantised) {
      put_quantised(unit, head_dim, place, key, value);
    } else {
      memcpy(unit + (size_t)place * head_dim * sizeof(float), key, head_dim * sizeof(float));
      memcpy(unit + ((size_t)CW_BLOCK + place) * head_dim * sizeof(float), value, head_dim * sizeof(float));
    }
  }
}
