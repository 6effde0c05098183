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
  cw_align_ids align_ids; /* this and the next two of an aligned model */
  int32_t *first_forms;   /* [V] a token of the same word, from which next_forms leads to all of them; -1 for none */
  int32_t *next_forms;
  uint64_t fingerprint, parameters;
};

#endif
