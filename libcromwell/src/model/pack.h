/* pack.h: the model pack file (docs/pack.md), checked and mapped. */
#ifndef CW_MODEL_PACK_H
#define CW_MODEL_PACK_H

#include "model/weights.h"

/* Numbers of the format, docs/pack.md. */
enum {
  CW_PACK_VERSION = 2,
  CW_PACK_ALIGNMENT = 64,
  CW_PACK_ENTRY = 128, /* bytes of an entry of the tensor table */
  CW_PACK_NAME = 64    /* bytes of its name */
};
typedef enum { CW_PACK_TABLE = 1, CW_PACK_F32 = 2, CW_PACK_Q8 = 3, CW_PACK_Q4 = 4 } cw_pack_type;

/* What a pack holds; pointers lead into the file's bytes. */
typedef struct {
  cw_config config;
  const char *json;
  size_t json_size;
  const uint8_t *tokenizer;
  size_t tokenizer_size;
  const uint8_t *tensors; /* [tensor_count] entries */
  uint32_t tensor_count;
  uint64_t data_offset; /* of the first tensor's data */
  uint64_t fingerprint;
} cw_pack;

/* An entry of the tensor table. */
typedef struct {
  char name[CW_PACK_NAME]; /* terminated once the entry is checked */
  uint32_t type, rank, shape[3];
  uint64_t offset, size, checksum;
} cw_pack_entry;

/* Where the parts of a tensor's data begin, from its first byte; equal where a part is empty. */
typedef struct {
  uint64_t weights_size, multipliers, multipliers_size, scales, scales_size, size;
} cw_pack_layout;

/* Checks header, sections and configuration of `size` bytes that hold a pack (64-byte aligned). */
cw_status cw_pack_read(const uint8_t *bytes, size_t size, cw_pack *out, cw_fault *fault);
/* Checks the tensor table against the configuration and the file's size, and points `weights` (its layer arrays taken) at the data,
 * of which nothing is read. */
cw_status cw_pack_tensors(const uint8_t *bytes, size_t size, const cw_pack *pack, cw_weights *weights, uint64_t *parameters,
                          cw_fault *fault);
/* Checks the data of all tensors of a pack whose table is checked: checksums, ranges of quantised numbers, zeros between parts. */
cw_status cw_pack_check(const uint8_t *bytes, const cw_pack *pack, cw_fault *fault);

cw_pack_entry cw_pack_entry_at(const cw_pack *pack, uint32_t index);
/* For a type and a shape within the configuration's limits. */
cw_pack_layout cw_pack_layout_of(uint32_t type, const uint32_t shape[3]);
/* The first multiple of CW_PACK_ALIGNMENT from `offset` on. */
uint64_t cw_pack_aligned(uint64_t offset);
/* Whether bytes from .. to-1 are zero: no byte of a pack is unaccounted for. */
int cw_pack_zeros(const uint8_t *bytes, uint64_t from, uint64_t to);

#endif
