/* pack.c: reads a model pack (docs/pack.md). Nothing in the file is trusted: every offset is the one that the format prescribes,
 * or the pack is refused. */
#include "model/pack.h"

#include <inttypes.h>
#include <string.h>

#include "kernels/kernels.h"

enum {
  VERSION = 1,
  HEADER_SIZE = 64,
  SECTION_SIZE = 32,
  SECTION_COUNT = 4,
  ENTRY_SIZE = 128,
  NAME_SIZE = 64,
  ALIGNMENT = 64,
  DTYPE_F32 = 1, /* plain, [shape] */
  DTYPE_PANELS_F32 = 2,
  DTYPE_PANELS_Q8 = 3
};

static const char MAGIC[8] = {'C', 'R', 'O', 'M', 'P', 'A', 'C', 'K'};
static const char *const SECTION_NAMES[SECTION_COUNT] = {"configuration", "configuration text", "tokenizer", "tensor table"};

static uint32_t u32_at(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint64_t u64_at(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint64_t aligned(uint64_t offset) { return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* Bytes between parts are zero, so that no byte of a pack is unaccounted for. */
static int zeros(const uint8_t *bytes, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; i++)
    if (bytes[i] != 0) return 0;
  return 1;
}

/* header: magic[8] | version u32 | sections u32 | file size u64 | fingerprint u64 | zero[24] | checksum u64 of the 56 bytes before */
static cw_status read_header(const uint8_t *bytes, size_t size, cw_fault *fault) {
  if (size < HEADER_SIZE + SECTION_COUNT * SECTION_SIZE)
    return cw_fault_set(fault, CW_E_FORMAT, "%zu bytes are too few for a model pack", size);
  if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0) return cw_fault_set(fault, CW_E_FORMAT, "not a model pack");
  if (u32_at(bytes + 8) != VERSION)
    return cw_fault_set(fault, CW_E_VERSION, "model pack version %u, this build reads %d", u32_at(bytes + 8), VERSION);
  if (u64_at(bytes + 56) != cw_checksum64(bytes, 56)) return cw_fault_set(fault, CW_E_CHECKSUM, "header differs from its checksum");
  if (u32_at(bytes + 12) != SECTION_COUNT || !zeros(bytes, 32, 56)) return cw_fault_set(fault, CW_E_FORMAT, "malformed header");
  if (u64_at(bytes + 16) != size)
    return cw_fault_set(fault, CW_E_FORMAT, "the file has %zu bytes, its header says %" PRIu64, size, u64_at(bytes + 16));
  if (u64_at(bytes + 24) != cw_checksum64(bytes + HEADER_SIZE, SECTION_COUNT * SECTION_SIZE))
    return cw_fault_set(fault, CW_E_CHECKSUM, "section table differs from its checksum");
  return CW_OK;
}

cw_status cw_pack_read(const uint8_t *bytes, size_t size, cw_pack *out, cw_fault *fault) {
  CW_TRY(read_header(bytes, size, fault));
  const uint8_t *begin[SECTION_COUNT];
  uint64_t length[SECTION_COUNT], end = HEADER_SIZE + SECTION_COUNT * SECTION_SIZE;
  for (uint32_t i = 0; i < SECTION_COUNT; i++) { /* kind u32 | zero u32 | offset u64 | size u64 | checksum u64 */
    const uint8_t *entry = bytes + HEADER_SIZE + i * SECTION_SIZE;
    uint64_t offset = u64_at(entry + 8);
    length[i] = u64_at(entry + 16);
    if (u32_at(entry) != i + 1 || u32_at(entry + 4) != 0 || offset != aligned(end) || offset > size || length[i] > size - offset ||
        !zeros(bytes, end, offset))
      return cw_fault_set(fault, CW_E_FORMAT, "%s: malformed section", SECTION_NAMES[i]);
    begin[i] = bytes + offset;
    end = offset + length[i];
    if (cw_checksum64(begin[i], length[i]) != u64_at(entry + 24))
      return cw_fault_set(fault, CW_E_CHECKSUM, "%s: differs from its checksum", SECTION_NAMES[i]);
  }
  cw_pack pack = {0};
  if (length[0] != sizeof(cw_config)) return cw_fault_set(fault, CW_E_FORMAT, "configuration of %" PRIu64 " bytes", length[0]);
  memcpy(&pack.config, begin[0], sizeof pack.config);
  CW_TRY(cw_config_check(&pack.config, fault));
  if (memchr(begin[1], 0, length[1]) != NULL) return cw_fault_set(fault, CW_E_FORMAT, "configuration text: holds a zero byte");
  if (length[3] % ENTRY_SIZE != 0 || length[3] / ENTRY_SIZE > 1u << 16)
    return cw_fault_set(fault, CW_E_FORMAT, "tensor table of %" PRIu64 " bytes", length[3]);
  pack.json = (const char *)begin[1];
  pack.json_size = length[1];
  pack.tokenizer = begin[2];
  pack.tokenizer_size = length[2];
  pack.tensors = begin[3];
  pack.tensor_count = (uint32_t)(length[3] / ENTRY_SIZE);
  pack.data_offset = aligned(end);
  if (pack.data_offset > size || !zeros(bytes, end, pack.data_offset)) return cw_fault_set(fault, CW_E_FORMAT, "no room for tensors");
  pack.fingerprint = u64_at(bytes + 24);
  *out = pack;
  return CW_OK;
}

typedef struct {
  const uint8_t *bytes;
  size_t size;
  const cw_pack *pack;
  uint32_t index;  /* of the next entry */
  uint64_t offset; /* where its data must begin */
  uint64_t parameters;
  cw_fault *fault;
} reader;

/* entry: name[64] | dtype u32 | rank u32 | shape u32[3] | zero u32[3] | offset u64 | size u64 | checksum u64 | zero u64 */
static cw_status read_tensor(void *user, const cw_tensor *tensor) {
  reader *r = user;
  if (r->index >= r->pack->tensor_count) return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s is missing", tensor->name);
  const uint8_t *entry = r->pack->tensors + (size_t)r->index * ENTRY_SIZE;
  char name[NAME_SIZE] = {0};
  strncpy(name, tensor->name, NAME_SIZE - 1);
  if (memcmp(entry, name, NAME_SIZE) != 0)
    return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %u is named '%.63s', expected %s", r->index, (const char *)entry, name);
  uint32_t dtype = u32_at(entry + 64), depth = tensor->shape[1];
  const uint32_t shape[3] = {u32_at(entry + 72), u32_at(entry + 76), u32_at(entry + 80)};
  if (u32_at(entry + 68) != tensor->rank || memcmp(shape, tensor->shape, sizeof shape) != 0)
    return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s: shape is [%u, %u, %u], expected [%u, %u, %u]", name, shape[0], shape[1], shape[2],
                        tensor->shape[0], tensor->shape[1], tensor->shape[2]);
  if (tensor->matrix == NULL ? dtype != DTYPE_F32 : dtype != DTYPE_PANELS_F32 && dtype != DTYPE_PANELS_Q8)
    return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s: data type %u does not fit", name, dtype);
  /* The configuration's limits keep every product below 2^48. */
  uint64_t count = (uint64_t)shape[0] * shape[1] * shape[2];
  uint64_t panels = ((uint64_t)shape[0] + CW_PANEL - 1) / CW_PANEL, groups = ((uint64_t)depth + CW_GROUP - 1) / CW_GROUP;
  uint64_t scales = aligned(panels * depth * CW_PANEL);
  uint64_t want = dtype == DTYPE_F32          ? count * sizeof(float)
                  : dtype == DTYPE_PANELS_F32 ? panels * depth * CW_PANEL * sizeof(float)
                                              : scales + panels * groups * CW_PANEL * sizeof(float);
  uint64_t offset = u64_at(entry + 96);
  if (offset != r->offset || u64_at(entry + 104) != want || !zeros(entry, 84, 96) || !zeros(entry, 120, 128))
    return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s: malformed entry", name);
  uint64_t end = aligned(offset + want);
  if (offset > r->size || end > r->size || end < offset) return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s: beyond the end of the file", name);
  const uint8_t *data = r->bytes + offset;
  if (cw_checksum64(data, want) != u64_at(entry + 112))
    return cw_fault_set(r->fault, CW_E_CHECKSUM, "tensor %s: differs from its checksum", name);
  if (!zeros(r->bytes, offset + want, end)) return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s: bytes after its end", name);
  if (tensor->matrix == NULL)
    *tensor->vector = (const float *)data;
  else if (dtype == DTYPE_PANELS_F32)
    *tensor->matrix = (cw_matrix){.f32 = (const float *)data, .outputs = shape[0], .depth = depth};
  else
    *tensor->matrix =
        (cw_matrix){.q8 = (const int8_t *)data, .scales = (const float *)(data + scales), .outputs = shape[0], .depth = depth};
  r->index++;
  r->offset = end;
  r->parameters += count;
  return CW_OK;
}

cw_status cw_pack_tensors(const uint8_t *bytes, size_t size, const cw_pack *pack, cw_weights *weights, uint64_t *parameters,
                          cw_fault *fault) {
  reader r = {.bytes = bytes, .size = size, .pack = pack, .offset = pack->data_offset, .fault = fault};
  CW_TRY(cw_weights_each(weights, &pack->config, read_tensor, &r));
  if (r.index != pack->tensor_count) return cw_fault_set(fault, CW_E_FORMAT, "%u tensors too many", pack->tensor_count - r.index);
  if (r.offset != size) return cw_fault_set(fault, CW_E_FORMAT, "%" PRIu64 " bytes after the last tensor", (uint64_t)size - r.offset);
  *parameters = r.parameters;
  return CW_OK;
}
