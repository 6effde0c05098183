/* pack.c: reads the structure of a model pack (docs/pack.md). Nothing in the file is trusted: every offset is the one that the format
 * prescribes, or the pack is refused. The numbers of the tensors are another matter (pack_check.c). */
#include "model/pack.h"

#include <inttypes.h>
#include <string.h>

#include "kernels/kernels.h"

enum { HEADER_SIZE = 64, SECTION_SIZE = 32, SECTION_COUNT = 4, FIRST_FIELDS = 8, FIRST_FIELDS_SIZE = 16 };

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

uint64_t cw_pack_aligned(uint64_t offset) { return (offset + CW_PACK_ALIGNMENT - 1) / CW_PACK_ALIGNMENT * CW_PACK_ALIGNMENT; }

int cw_pack_zeros(const uint8_t *bytes, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; i++)
    if (bytes[i] != 0) return 0;
  return 1;
}

/* The fingerprint: version, number of sections and size of the file, then the section table. */
static uint64_t fingerprint_of(const uint8_t *bytes) {
  uint8_t covered[FIRST_FIELDS_SIZE + SECTION_COUNT * SECTION_SIZE];
  memcpy(covered, bytes + FIRST_FIELDS, FIRST_FIELDS_SIZE);
  memcpy(covered + FIRST_FIELDS_SIZE, bytes + HEADER_SIZE, SECTION_COUNT * SECTION_SIZE);
  return cw_checksum64(covered, sizeof covered);
}

/* header: magic[8] | version u32 | sections u32 | file size u64 | fingerprint u64 | zero[24] | checksum u64 of the 56 bytes before */
static cw_status read_header(const uint8_t *bytes, size_t size, cw_fault *fault) {
  if (size < HEADER_SIZE + SECTION_COUNT * SECTION_SIZE)
    return cw_fault_set(fault, CW_E_FORMAT, "%zu bytes are too few for a model pack", size);
  if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0) return cw_fault_set(fault, CW_E_FORMAT, "not a model pack");
  if (u32_at(bytes + 8) != CW_PACK_VERSION)
    return cw_fault_set(fault, CW_E_VERSION, "model pack version %u, this build reads %d", u32_at(bytes + 8), CW_PACK_VERSION);
  if (u64_at(bytes + 56) != cw_checksum64(bytes, 56)) return cw_fault_set(fault, CW_E_CHECKSUM, "header differs from its checksum");
  if (u32_at(bytes + 12) != SECTION_COUNT || !cw_pack_zeros(bytes, 32, 56)) return cw_fault_set(fault, CW_E_FORMAT, "malformed header");
  if (u64_at(bytes + 16) != size)
    return cw_fault_set(fault, CW_E_FORMAT, "the file has %zu bytes, its header says %" PRIu64, size, u64_at(bytes + 16));
  if (u64_at(bytes + 24) != fingerprint_of(bytes))
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
    if (u32_at(entry) != i + 1 || u32_at(entry + 4) != 0 || offset != cw_pack_aligned(end) || offset > size || length[i] > size - offset ||
        !cw_pack_zeros(bytes, end, offset))
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
  if (length[3] % CW_PACK_ENTRY != 0 || length[3] / CW_PACK_ENTRY > 1u << 16)
    return cw_fault_set(fault, CW_E_FORMAT, "tensor table of %" PRIu64 " bytes", length[3]);
  pack.json = (const char *)begin[1];
  pack.json_size = length[1];
  pack.tokenizer = begin[2];
  pack.tokenizer_size = length[2];
  pack.tensors = begin[3];
  pack.tensor_count = (uint32_t)(length[3] / CW_PACK_ENTRY);
  pack.data_offset = cw_pack_aligned(end);
  if (pack.data_offset > size || !cw_pack_zeros(bytes, end, pack.data_offset)) return cw_fault_set(fault, CW_E_FORMAT, "no room for tensors");
  pack.fingerprint = u64_at(bytes + 24);
  *out = pack;
  return CW_OK;
}

/* entry: name[64] | type u32 | rank u32 | shape u32[3] | zero u32[3] | offset u64 | size u64 | checksum u64 | zero u64 */
cw_pack_entry cw_pack_entry_at(const cw_pack *pack, uint32_t index) {
  const uint8_t *at = pack->tensors + (size_t)index * CW_PACK_ENTRY;
  cw_pack_entry entry = {.type = u32_at(at + 64),
                         .rank = u32_at(at + 68),
                         .shape = {u32_at(at + 72), u32_at(at + 76), u32_at(at + 80)},
                         .offset = u64_at(at + 96),
                         .size = u64_at(at + 104),
                         .checksum = u64_at(at + 112)};
  memcpy(entry.name, at, sizeof entry.name);
  return entry;
}

/* The configuration's limits keep every product below 2^48. */
cw_pack_layout cw_pack_layout_of(uint32_t type, const uint32_t shape[3]) {
  uint64_t depth = shape[1], lanes = ((uint64_t)shape[0] + CW_PANEL - 1) / CW_PANEL * CW_PANEL;
  uint64_t scales = lanes * ((depth + CW_GROUP - 1) / CW_GROUP) * sizeof(uint16_t);
  cw_pack_layout layout = {0};
  switch (type) {
    case CW_PACK_TABLE: layout.weights_size = (uint64_t)shape[0] * depth * shape[2] * sizeof(float); break;
    case CW_PACK_F32: layout.weights_size = lanes * depth * sizeof(float); break;
    case CW_PACK_Q8: layout = (cw_pack_layout){.weights_size = lanes * depth, .scales_size = scales}; break;
    case CW_PACK_Q4:
      layout = (cw_pack_layout){.weights_size = lanes * depth / 2, .multipliers_size = lanes * (depth / CW_SUB), .scales_size = scales};
      break;
    default: break;
  }
  layout.multipliers = layout.scales = layout.size = layout.weights_size;
  if (layout.scales_size > 0) {
    layout.multipliers = cw_pack_aligned(layout.weights_size);
    layout.scales = cw_pack_aligned(layout.multipliers + layout.multipliers_size);
    layout.size = layout.scales + layout.scales_size;
  }
  return layout;
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

static int type_fits(uint32_t type, const cw_tensor *tensor) {
  if (tensor->matrix == NULL) return type == CW_PACK_TABLE;
  return type == CW_PACK_F32 || ((type == CW_PACK_Q8 || type == CW_PACK_Q4) && tensor->shape[1] % CW_SUB == 0);
}

static void point(const cw_tensor *tensor, uint32_t type, const cw_pack_layout *layout, const uint8_t *data) {
  if (tensor->matrix == NULL) {
    *tensor->vector = (const float *)data;
    return;
  }
  cw_matrix matrix = {.outputs = tensor->shape[0], .depth = tensor->shape[1]};
  if (type == CW_PACK_F32) {
    matrix.format = CW_FORMAT_F32;
    matrix.f32 = (const float *)data;
  } else {
    matrix.format = type == CW_PACK_Q8 ? CW_FORMAT_Q8 : CW_FORMAT_Q4;
    matrix.weights = data;
    matrix.multipliers = type == CW_PACK_Q4 ? data + layout->multipliers : NULL;
    matrix.scales = (const uint16_t *)(data + layout->scales);
  }
  *tensor->matrix = matrix;
}

static cw_status read_tensor(void *user, const cw_tensor *tensor) {
  reader *r = user;
  if (r->index >= r->pack->tensor_count) return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s is missing", tensor->name);
  const uint8_t *raw = r->pack->tensors + (size_t)r->index * CW_PACK_ENTRY;
  cw_pack_entry entry = cw_pack_entry_at(r->pack, r->index);
  char name[CW_PACK_NAME] = {0};
  strncpy(name, tensor->name, sizeof name - 1);
  if (memcmp(entry.name, name, sizeof name) != 0)
    return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %u is named '%.63s', expected %s", r->index, entry.name, name);
  if (entry.rank != tensor->rank || memcmp(entry.shape, tensor->shape, sizeof entry.shape) != 0)
    return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s: shape is [%u, %u, %u], expected [%u, %u, %u]", name, entry.shape[0], entry.shape[1],
                        entry.shape[2], tensor->shape[0], tensor->shape[1], tensor->shape[2]);
  if (!type_fits(entry.type, tensor)) return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s: data type %u does not fit", name, entry.type);
  cw_pack_layout layout = cw_pack_layout_of(entry.type, entry.shape);
  if (entry.offset != r->offset || entry.size != layout.size || !cw_pack_zeros(raw, 84, 96) || !cw_pack_zeros(raw, 120, 128))
    return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s: malformed entry", name);
  uint64_t end = cw_pack_aligned(entry.offset + layout.size);
  if (entry.offset > r->size || end > r->size || end < entry.offset)
    return cw_fault_set(r->fault, CW_E_FORMAT, "tensor %s: beyond the end of the file", name);
  point(tensor, entry.type, &layout, r->bytes + entry.offset);
  r->index++;
  r->offset = end;
  r->parameters += (uint64_t)entry.shape[0] * entry.shape[1] * entry.shape[2];
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
