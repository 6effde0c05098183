/* cache.c: see cache.h. SSE2, which every x86-64 has. */
#include "model/cache.h"

#include <emmintrin.h>
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
  const __m128 magnitude = _mm_castsi128_ps(_mm_set1_epi32(0x7fffffff));
  __m128 four = _mm_setzero_ps();
  for (uint32_t i = 0; i < size; i += 4) four = _mm_max_ps(four, _mm_and_ps(_mm_loadu_ps(x + i), magnitude));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* out[size] = x * inverse to the nearest even; whole numbers of a byte, plus `offset`. */
static void round_all(const float *x, uint32_t size, float inverse, int32_t offset, uint8_t *out) {
  for (uint32_t i = 0; i < size; i += 4) {
    __m128i whole = _mm_add_epi32(_mm_cvtps_epi32(_mm_mul_ps(_mm_loadu_ps(x + i), _mm_set1_ps(inverse))), _mm_set1_epi32(offset));
    __m128i bytes = _mm_and_si128(whole, _mm_set1_epi32(255));
    int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(_mm_packs_epi32(bytes, bytes), bytes));
    memcpy(out + i, &four, sizeof four);
  }
}

/* x as whole numbers of at most `most` in magnitude, to out [size]; gives their scale. size is a multiple of 4. */
static float quantise(const float *x, uint32_t size, float most, int32_t offset, uint8_t *out) {
  float top = largest(x, size);
  round_all(x, size, top < CW_TINY ? 0.0f : most / top, offset, out);
  return top < CW_TINY ? 0.0f : top / most;
}

static void put_quantised(uint8_t *unit, uint32_t head_dim, uint32_t place, const float *key, const float *value) {
  uint32_t D = cw_head_padded(head_dim);
  uint8_t *keys = unit + (size_t)place / CW_PANEL * D * CW_PANEL + place % CW_PANEL * 4, *values = unit + CW_BLOCK * (D + sizeof(float));
  float padded[256] = {0}; /* the largest head size */
  uint8_t bytes[256];
  memcpy(padded, key, head_dim * sizeof(float));
  float scale = quantise(padded, D, CW_OFFSET, CW_OFFSET, bytes);
  memcpy(unit + CW_BLOCK * (size_t)D + place * sizeof(float), &scale, sizeof scale);
  for (uint32_t d = 0; d < D; d += 4) memcpy(keys + (size_t)d * CW_PANEL, bytes + d, 4);
  memcpy(padded, value, head_dim * sizeof(float));
  scale = quantise(padded, D, CW_Q8_MOST, 0, bytes);
  memcpy(values + CW_BLOCK * (size_t)D + place * sizeof(float), &scale, sizeof scale);
  uint8_t *out = values + (size_t)place / 2 * D * 2 + place % 2;
  for (uint32_t d = 0; d < D; d++) out[d * 2] = bytes[d];
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
