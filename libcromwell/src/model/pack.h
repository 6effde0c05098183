/* pack.h: the model pack file (docs/pack.md), checked and mapped. */
#ifndef CW_MODEL_PACK_H
#define CW_MODEL_PACK_H

#include "model/weights.h"

/* What a pack holds; pointers lead into the file's bytes. */
typedef struct {
  cw_config config;
  const char *json;
  size_t json_size;
  const uint8_t *tokenizer;
  size_t tokenizer_size;
  const uint8_t *tensors; /* [tensor_count] entries of 128 bytes */
  uint32_t tensor_count;
  uint64_t data_offset; /* of the first tensor's data */
  uint64_t fingerprint;
} cw_pack;

/* Checks header, sections and configuration of `size` bytes that hold a pack (64-byte aligned). */
cw_status cw_pack_read(const uint8_t *bytes, size_t size, cw_pack *out, cw_fault *fault);
/* Checks the tensor table and all tensor data against the configuration, and points `weights` (its layer arrays taken) at them. */
cw_status cw_pack_tensors(const uint8_t *bytes, size_t size, const cw_pack *pack, cw_weights *weights, uint64_t *parameters,
                          cw_fault *fault);

#endif
