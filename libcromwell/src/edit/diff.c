/* diff.c: the line differences of two texts: common ends off, lines as numbers, an algorithm on the rest, changes slid into place. */
#include <stdlib.h>

#include "edit/histogram.h"
#include "edit/lines.h"
#include "edit/myers.h"
#include "edit/patience.h"
#include "edit/shared.h"
#include "edit/slide.h"
#include "edit/unified.h"
#include "fault.h"

struct cw_diff {
  cw_lines old_lines, new_lines;
  size_t count;
  cw_diff_change *changes; /* [count] */
  uint8_t *text;           /* what cw_diff_text wrote last */
};

/* Counts (changes = NULL) or writes the maximal ranges marked in the flags of the lines after `head`. */
static size_t collect(const cw_sequences *s, uint32_t head, cw_diff_change *changes) {
  size_t count = 0;
  uint32_t i = 0, j = 0;
  while (i < s->old_count || j < s->new_count) {
    uint32_t old_first = i, new_first = j;
    while (i < s->old_count && s->old_changed[i]) i++;
    while (j < s->new_count && s->new_changed[j]) j++;
    if (i > old_first || j > new_first) {
      if (changes) changes[count] = (cw_diff_change){head + old_first, i - old_first, head + new_first, j - new_first};
      count++;
    } else {
      i++, j++;
    }
  }
  return count;
}

static cw_status mark(const cw_sequences *s, cw_diff_algorithm algorithm) {
  cw_myers myers;
  cw_status status = cw_myers_open(s, algorithm == CW_DIFF_MINIMAL, &myers);
  if (status == CW_OK) {
    if (algorithm == CW_DIFF_HISTOGRAM)
      status = cw_histogram_compare(s, &myers);
    else if (algorithm == CW_DIFF_PATIENCE)
      status = cw_patience_compare(s, &myers);
    else
      cw_myers_compare(&myers, (cw_box){0, s->old_count, 0, s->new_count});
  }
  cw_myers_close(&myers);
  return status;
}

/* The same, with most of what only one side has left out first. */
static cw_status mark_shared(const cw_sequences *s, cw_diff_algorithm algorithm) {
  cw_shared shared;
  cw_status status = cw_shared_open(s, &shared);
  if (status == CW_OK) status = mark(shared.block ? &shared.sequences : s, algorithm);
  if (status == CW_OK && shared.block) cw_shared_carry(&shared, s);
  cw_shared_close(&shared);
  return status;
}

static cw_status compare_lines(cw_diff *diff, cw_diff_algorithm algorithm) {
  uint32_t head, tail;
  cw_lines_common(&diff->old_lines, &diff->new_lines, &head, &tail);
  cw_sequences s = {.old_count = diff->old_lines.count - head - tail, .new_count = diff->new_lines.count - head - tail};
  size_t elements = (size_t)s.old_count + s.new_count;
  int32_t *ids = malloc(elements * sizeof *ids + 1);
  uint8_t *changed = calloc(elements + 1, 1);
  cw_status status = ids && changed ? CW_OK : CW_E_MEMORY;
  s.old_ids = ids, s.new_ids = ids + s.old_count, s.old_changed = changed, s.new_changed = changed + s.old_count;
  if (status == CW_OK)
    status = cw_lines_intern(&diff->old_lines, s.old_count, &diff->new_lines, s.new_count, head, ids, ids + s.old_count, &s.distinct);
  if (status == CW_OK) status = mark_shared(&s, algorithm);
  if (status == CW_OK) {
    size_t count = collect(&s, head, NULL);
    diff->changes = malloc(count * sizeof *diff->changes + 1);
    if (diff->changes) {
      collect(&s, head, diff->changes);
      diff->count = cw_changes_slide(&diff->old_lines, &diff->new_lines, diff->changes, count);
    } else {
      status = CW_E_MEMORY;
    }
  }
  free(ids);
  free(changed);
  return status;
}

cw_status cw_diff_open(const uint8_t *old_text, size_t old_size, const uint8_t *new_text, size_t new_size, cw_diff_algorithm algorithm,
                       cw_diff **out, cw_fault *fault) {
  if (!out || (!old_text && old_size) || (!new_text && new_size)) return cw_fault_set(fault, CW_E_ARGUMENT, "diff: a text is NULL");
  if ((uint32_t)algorithm > CW_DIFF_MINIMAL) return cw_fault_set(fault, CW_E_ARGUMENT, "diff: there is no algorithm %d", (int)algorithm);
  cw_diff *diff = calloc(1, sizeof *diff);
  cw_status status = diff ? cw_lines_open(old_text, old_size, &diff->old_lines) : CW_E_MEMORY;
  if (status == CW_OK) status = cw_lines_open(new_text, new_size, &diff->new_lines);
  if (status == CW_OK) status = compare_lines(diff, algorithm);
  if (status == CW_OK)
    *out = diff;
  else
    cw_diff_close(diff);
  if (status == CW_E_CAPACITY) return cw_fault_set(fault, status, "diff: a text has more than %u lines", CW_LINES_MAX);
  if (status == CW_E_MEMORY) return cw_fault_set(fault, status, "diff: out of memory for texts of %zu and %zu bytes", old_size, new_size);
  return status;
}

void cw_diff_close(cw_diff *diff) {
  if (!diff) return;
  cw_lines_close(&diff->old_lines);
  cw_lines_close(&diff->new_lines);
  free(diff->changes);
  free(diff->text);
  free(diff);
}

size_t cw_diff_changes(const cw_diff *diff, const cw_diff_change **changes) {
  *changes = diff->changes;
  return diff->count;
}

cw_status cw_diff_text(cw_diff *diff, uint32_t context, const uint8_t **text, size_t *size) {
  if (!diff || !text || !size) return CW_E_ARGUMENT;
  free(diff->text);
  diff->text = NULL;
  CW_TRY(cw_unified_write(&diff->old_lines, &diff->new_lines, diff->changes, diff->count, context, &diff->text, size));
  *text = diff->text;
  return CW_OK;
}
