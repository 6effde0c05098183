/* diff.c: the line differences of two texts: common ends off, lines as numbers, Myers on the rest, changes slid into place. */
#include <stdlib.h>

#include "edit/lines.h"
#include "edit/myers.h"
#include "edit/slide.h"
#include "fault.h"

struct cw_diff {
  size_t count;
  cw_diff_change *changes; /* [count], in the same block */
};

/* Counts (changes = NULL) or writes the maximal ranges marked in the flags of the lines after `head`. */
static size_t collect(const uint8_t *old_changed, uint32_t old_count, const uint8_t *new_changed, uint32_t new_count, uint32_t head,
                      cw_diff_change *changes) {
  size_t count = 0;
  uint32_t i = 0, j = 0;
  while (i < old_count || j < new_count) {
    uint32_t old_first = i, new_first = j;
    while (i < old_count && old_changed[i]) i++;
    while (j < new_count && new_changed[j]) j++;
    if (i > old_first || j > new_first) {
      if (changes) changes[count] = (cw_diff_change){head + old_first, i - old_first, head + new_first, j - new_first};
      count++;
    } else {
      i++, j++;
    }
  }
  return count;
}

static cw_status compare_lines(const cw_lines *old_lines, const cw_lines *new_lines, cw_diff **out) {
  uint32_t head, tail;
  cw_lines_common(old_lines, new_lines, &head, &tail);
  uint32_t old_count = old_lines->count - head - tail, new_count = new_lines->count - head - tail;
  size_t elements = (size_t)old_count + new_count;
  int32_t *ids = malloc(elements * sizeof *ids + 1);
  uint8_t *changed = calloc(elements + 1, 1);
  cw_status status = ids && changed ? CW_OK : CW_E_MEMORY;
  uint32_t distinct = 0;
  if (status == CW_OK) status = cw_lines_intern(old_lines, old_count, new_lines, new_count, head, ids, ids + old_count, &distinct);
  if (status == CW_OK)
    status = cw_myers_compare(ids, old_count, ids + old_count, new_count, distinct, changed, changed + old_count);
  if (status == CW_OK) {
    size_t count = collect(changed, old_count, changed + old_count, new_count, head, NULL);
    cw_diff *diff = malloc(sizeof *diff + count * sizeof *diff->changes);
    if (diff) {
      diff->changes = (cw_diff_change *)(diff + 1);
      collect(changed, old_count, changed + old_count, new_count, head, diff->changes);
      diff->count = cw_changes_slide(old_lines, new_lines, diff->changes, count);
      *out = diff;
    } else {
      status = CW_E_MEMORY;
    }
  }
  free(ids);
  free(changed);
  return status;
}

cw_status cw_diff_open(const uint8_t *old_text, size_t old_size, const uint8_t *new_text, size_t new_size, cw_diff **out, cw_fault *fault) {
  if (!out || (!old_text && old_size) || (!new_text && new_size)) return cw_fault_set(fault, CW_E_ARGUMENT, "diff: a text is NULL");
  cw_lines old_lines = {0}, new_lines = {0};
  cw_status status = cw_lines_open(old_text, old_size, &old_lines);
  if (status == CW_OK) status = cw_lines_open(new_text, new_size, &new_lines);
  if (status == CW_OK) status = compare_lines(&old_lines, &new_lines, out);
  cw_lines_close(&old_lines);
  cw_lines_close(&new_lines);
  if (status == CW_E_CAPACITY) return cw_fault_set(fault, status, "diff: a text has more than %u lines", CW_LINES_MAX);
  if (status == CW_E_MEMORY) return cw_fault_set(fault, status, "diff: out of memory for texts of %zu and %zu bytes", old_size, new_size);
  return status;
}

void cw_diff_close(cw_diff *diff) { free(diff); }

size_t cw_diff_changes(const cw_diff *diff, const cw_diff_change **changes) {
  *changes = diff->changes;
  return diff->count;
}
