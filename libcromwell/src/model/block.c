/* block.c: see block.h. */
#include "model/block.h"

#include <string.h>

#include "model/cache.h"

static size_t aligned(size_t size) { return (size + 63) / 64 * 64; }

static size_t rows_bytes(size_t depth, int quantised) {
  if (!quantised) return aligned(CW_BLOCK * depth * sizeof(float));
  return CW_BLOCK * (depth + cw_q8_groups(depth) * sizeof(float));
}

void cw_block_put_row(uint8_t *block, size_t offset, uint32_t place, const cw_kernels *kernels, const float *x, size_t depth) {
  int32_t sums[8192 / CW_SUB]; /* of the largest hidden size of a configuration */
  float *scales = (float *)(block + offset + CW_BLOCK * depth);
  kernels->quantise(x, depth, CW_GROUP, 1, (int8_t *)block + offset + place * depth, scales + place * cw_q8_groups(depth), sums);
}

void cw_block_take_row(const uint8_t *block, size_t offset, uint32_t place, size_t depth, cw_q8_room room, size_t row) {
  const int8_t *q = (const int8_t *)block + offset + place * depth;
  const float *scales = (const float *)(block + offset + CW_BLOCK * depth) + place * cw_q8_groups(depth);
  for (size_t g = 0; g < cw_q8_groups(depth); g++) room.scales[g * room.stride + row] = scales[g];
  for (size_t k = 0; k < depth; k += CW_SUB) {
    int8_t *to = room.q + (k / CW_GROUP * room.stride + row) * CW_GROUP + k % CW_GROUP;
    memcpy(to, q + k, CW_SUB);
    int32_t sum = 0;
    for (size_t i = 0; i < CW_SUB; i++) sum += to[i];
    room.sums[k / CW_SUB * room.stride + row] = sum;
  }
}

static size_t take_stack(size_t *at, const cw_stack_config *shape, int quantised, size_t *layer) {
  size_t begin = *at;
  *layer = shape->kv_heads * cw_cache_unit(shape->hidden / shape->heads, quantised);
  *at += shape->layers * *layer;
  return begin;
}

/* Whether all products with the text as vision reads it take quantised rows: a pack may give every matrix a format of its own. */
static int reads_quantised_text(const cw_config *config, const cw_weights *w) {
  for (uint32_t i = 0; i < config->fusion.layers; i++)
    if (w->fusion[i].vision_wk.format == CW_FORMAT_F32 || w->fusion[i].vision_wv.format == CW_FORMAT_F32) return 0;
  return 1;
}

cw_block_layout cw_block_layout_of(const cw_config *config, const cw_weights *w) {
  cw_block_layout layout = {.kv_quantised = w->language.layers[0].wq.format != CW_FORMAT_F32,
                            .text_quantised = reads_quantised_text(config, w),
                            .last_quantised = w->head.format != CW_FORMAT_F32};
  size_t at = aligned(sizeof(cw_block_header));
  layout.language = take_stack(&at, &config->language, layout.kv_quantised, &layout.language_layer);
  layout.jepa = take_stack(&at, &config->jepa, layout.kv_quantised, &layout.jepa_layer);
  layout.ar = take_stack(&at, &config->ar, layout.kv_quantised, &layout.ar_layer);
  layout.text = at;
  layout.text_layer = rows_bytes(config->fusion.hidden, layout.text_quantised);
  at += config->fusion.layers * layout.text_layer;
  layout.joint = at;
  at += rows_bytes(config->fusion.hidden, 0);
  layout.last = at;
  at += rows_bytes(config->ar.hidden, layout.last_quantised);
  layout.scores = at;
  if (config->aligned) at += rows_bytes(CW_CANDIDATES + 1, 0);
  layout.point_q = at;
  if (config->aligned) at += rows_bytes(CW_POINT, 0);
  layout.point_k = at;
  if (config->aligned) at += rows_bytes(CW_POINT, 0);
  layout.bytes = aligned(at);
  return layout;
}
