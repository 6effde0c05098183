/* model.h: an open model: its pack mapped read-only, its configuration and its weights. */
#ifndef CW_MODEL_MODEL_H
#define CW_MODEL_MODEL_H

#include "model/block.h"
#include "model/pack.h"

struct cw_model {
  const uint8_t *bytes; /* the mapped file */
  size_t size;
  cw_arena arena; /* arrays of layers */
  cw_pack pack; /* what the file holds */
  cw_config config;
  cw_weights weights;
  cw_block_layout layout; /* of a session's blocks */
  cw_tokenizer *tokenizer;
  int32_t image_token; /* id of <IMAGE>, -1 when the tokenizer has none */
  uint64_t fingerprint, parameters;
};

#endif
