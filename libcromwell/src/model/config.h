/* config.h: the shape of a model, as stored in the configuration section of a pack (docs/pack.md). */
#ifndef CW_MODEL_CONFIG_H
#define CW_MODEL_CONFIG_H

#include "fault.h"

enum {
  CW_MAX_LAYERS = 64,
  CW_MAX_VISION_LAYERS = 32, /* global_layers is a mask of 32 bits */
  CW_CNN_BLOCKS = 4,
  CW_TILE_SIDE = 256,  /* pixels */
  CW_STEM_SIDE = 64,   /* cells a side after the 4x4 stem */
  CW_GRID_SIDE = 32,   /* cells a side after the stride-2 block */
  CW_GRID_LIMIT = 8    /* tiles a side of an image */
};

/* Text blocks of one kind: language, JEPA or AR. */
typedef struct {
  uint32_t hidden, mlp, layers, heads, kv_heads;
} cw_stack_config;

/* Read straight from the file: little-endian, 4 bytes a field, in this order. */
typedef struct {
  uint32_t vocab_size, max_positions;
  float norm_eps, rope_base;
  uint32_t tie_embeddings, qk_norm, token_shift; /* 0 or 1 */
  float logit_softcap;                           /* 0 = none */
  struct {
    uint32_t stem_channels, cnn_channels, expansion, hidden, mlp, layers, heads, window, global_layers /* mask */, shuffle, max_tiles;
  } vision;
  cw_stack_config language;
  struct {
    uint32_t hidden, mlp, layers, heads;
  } fusion;
  cw_stack_config jepa;
  uint32_t jepa_steps;
  cw_stack_config ar;
  uint16_t places;  /* rows for lines, for columns and for parts of a text; 0 = none */
  uint16_t aligned; /* 0 or 1 */
} cw_config;

_Static_assert(sizeof(cw_config) == 160, "the configuration section is 160 bytes");

/* Every field within the limits of docs/pack.md, and the parts consistent with one another. */
cw_status cw_config_check(const cw_config *config, cw_fault *fault);

/* Channels of MBConv block i: in, expanded, squeezed (SE), out; and its stride. */
typedef struct {
  uint32_t in, expanded, squeezed, out, stride, side_in;
} cw_cnn_shape;
cw_cnn_shape cw_config_cnn(const cw_config *config, uint32_t block);

static inline uint32_t cw_vision_token_size(const cw_config *config) {
  return config->vision.shuffle * config->vision.shuffle * config->vision.hidden;
}

static inline uint32_t cw_vision_tokens_per_tile(const cw_config *config) {
  uint32_t side = CW_GRID_SIDE / config->vision.shuffle;
  return side * side;
}

#endif
