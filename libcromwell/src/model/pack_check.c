/* pack_check.c: checks the numbers of a model pack whose structure is sound (docs/pack.md).
 *
 * No number of a tensor can lead to a wrong address: kernels load indices from nowhere but tokens and positions. What the check adds is
 * that the numbers are those that were written, and that quantised ones keep to their ranges, within which all kernels agree. */
#include <string.h>

#include "kernels/kernels.h"
#include "model/pack.h"

enum { WEIGHT_MOST = 2 * CW_OFFSET, MULTIPLIER_MOST = 8, BFLOAT_EXPONENT = 0x7f80 };

/* Written as reductions without a branch, which compilers vectorise: checking costs less than the checksum. */
static uint8_t largest(const uint8_t *bytes, uint64_t size) {
  uint8_t most = 0;
  for (uint64_t i = 0; i < size; i++) most = bytes[i] > most ? bytes[i] : most;
  return most;
}

static uint8_t least(const uint8_t *bytes, uint64_t size) {
  uint8_t low = 255;
  for (uint64_t i = 0; i < size; i++) low = bytes[i] < low ? bytes[i] : low;
  return low;
}

static int all_finite(const uint16_t *scales, uint64_t count) {
  int odd = 0;
  for (uint64_t i = 0; i < count; i++) odd |= (scales[i] & BFLOAT_EXPONENT) == BFLOAT_EXPONENT;
  return !odd;
}

static const char *fault_of(const cw_pack_entry *entry, const cw_pack_layout *layout, const uint8_t *data) {
  const uint8_t *multipliers = data + layout->multipliers;
  if (entry->type == CW_PACK_Q8 && largest(data, layout->weights_size) > WEIGHT_MOST) return "holds a weight out of range";
  if (entry->type == CW_PACK_Q4 &&
      (least(multipliers, layout->multipliers_size) < 1 || largest(multipliers, layout->multipliers_size) > MULTIPLIER_MOST))
    return "holds a multiplier out of range";
  if (!all_finite((const uint16_t *)(data + layout->scales), layout->scales_size / sizeof(uint16_t))) return "holds a scale that is not finite";
  uint64_t end = cw_pack_aligned(entry->offset + layout->size) - entry->offset;
  if (!cw_pack_zeros(data, layout->weights_size, layout->multipliers) || !cw_pack_zeros(data, layout->size, end) ||
      !cw_pack_zeros(data, layout->multipliers + layout->multipliers_size, layout->scales))
    return "bytes between its parts";
  return NULL;
}

cw_status cw_pack_check(const uint8_t *bytes, const cw_pack *pack, cw_fault *fault) {
  for (uint32_t i = 0; i < pack->tensor_count; i++) {
    cw_pack_entry entry = cw_pack_entry_at(pack, i);
    cw_pack_layout layout = cw_pack_layout_of(entry.type, entry.shape);
    const uint8_t *data = bytes + entry.offset;
    if (cw_checksum64(data, layout.size) != entry.checksum)
      return cw_fault_set(fault, CW_E_CHECKSUM, "tensor %s: differs from its checksum", entry.name);
    const char *wrong = fault_of(&entry, &layout, data);
    if (wrong != NULL) return cw_fault_set(fault, CW_E_FORMAT, "tensor %s: %s", entry.name, wrong);
  }
  return CW_OK;
}
