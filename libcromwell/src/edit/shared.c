/* shared.c: leaves out what only one side has before the sides are compared. Such elements are changed whatever the algorithm, and of texts
 * that have little to do with one another they are most. One of each run stays: without any, what is left on either side of it would
 * look like one run of common elements. */
#include "edit/shared.h"

#include <stdlib.h>
#include <string.h>

enum { WORTH_SHARE = 4 /* at least one in so many elements has to go */ };

/* Elements that stay: those that the other side has, and the first of each run of others. */
static uint32_t count_kept(const int32_t *ids, uint32_t count, const uint8_t *in_other) {
  uint32_t kept = 0, before = 1;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t shared = in_other[ids[i]];
    kept += shared | before;
    before = shared;
  }
  return kept;
}

/* `number` gives ids in order of appearance from *distinct on; -1: none yet. An element that the other side has not gets one of its own. */
static void keep(const int32_t *ids, uint32_t count, const uint8_t *in_other, int32_t *number, uint32_t *distinct, int32_t *kept, uint32_t *where,
                 uint8_t *changed) {
  uint32_t size = 0, before = 1;
  for (uint32_t i = 0; i < count; i++) {
    int32_t id = ids[i];
    uint32_t shared = in_other[id];
    if (shared) {
      if (number[id] < 0) number[id] = (int32_t)(*distinct)++;
      kept[size] = number[id], where[size++] = i;
    } else {
      changed[i] = 1;
      if (before) kept[size] = (int32_t)(*distinct)++, where[size++] = i;
    }
    before = shared;
  }
}

cw_status cw_shared_open(const cw_sequences *whole, cw_shared *out) {
  *out = (cw_shared){0};
  const size_t elements = (size_t)whole->old_count + whole->new_count;
  uint8_t *in_old = calloc(2 * (size_t)whole->distinct + 1, 1), *in_new = in_old ? in_old + whole->distinct : NULL;
  if (!in_old) return CW_E_MEMORY;
  for (uint32_t i = 0; i < whole->old_count; i++) in_old[whole->old_ids[i]] = 1;
  for (uint32_t j = 0; j < whole->new_count; j++) in_new[whole->new_ids[j]] = 1;
  const uint32_t old_count = count_kept(whole->old_ids, whole->old_count, in_new), new_count = count_kept(whole->new_ids, whole->new_count, in_old);
  const size_t kept = (size_t)old_count + new_count;
  cw_status status = CW_OK;
  if (kept <= elements - elements / WORTH_SHARE) {
    /* [kept] ids, [kept] positions, [distinct] numbers, then a byte an element for marks */
    out->block = malloc((2 * kept + whole->distinct) * sizeof *out->block + kept + 1);
    status = out->block ? CW_OK : CW_E_MEMORY;
  }
  if (out->block) {
    int32_t *ids = out->block, *number = ids + 2 * kept;
    uint8_t *changed = (uint8_t *)(number + whole->distinct);
    out->old_where = (uint32_t *)(ids + kept), out->new_where = out->old_where + old_count;
    out->sequences = (cw_sequences){.old_ids = ids, .new_ids = ids + old_count, .old_count = old_count, .new_count = new_count,
                                    .old_changed = changed, .new_changed = changed + old_count};
    memset(number, -1, whole->distinct * sizeof *number);
    memset(changed, 0, kept);
    keep(whole->old_ids, whole->old_count, in_new, number, &out->sequences.distinct, ids, out->old_where, whole->old_changed);
    keep(whole->new_ids, whole->new_count, in_old, number, &out->sequences.distinct, ids + old_count, out->new_where, whole->new_changed);
  }
  free(in_old);
  return status;
}

void cw_shared_close(cw_shared *shared) { free(shared->block); }

void cw_shared_carry(const cw_shared *shared, const cw_sequences *whole) {
  const cw_sequences *s = &shared->sequences;
  for (uint32_t i = 0; i < s->old_count; i++) whole->old_changed[shared->old_where[i]] = s->old_changed[i];
  for (uint32_t j = 0; j < s->new_count; j++) whole->new_changed[shared->new_where[j]] = s->new_changed[j];
}
