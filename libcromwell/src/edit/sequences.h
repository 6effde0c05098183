/* sequences.h: two texts as numbers, one a line, and the marks that the algorithms make. */
#ifndef CW_EDIT_SEQUENCES_H
#define CW_EDIT_SEQUENCES_H

#include "cromwell.h"

typedef struct {
  const int32_t *old_ids, *new_ids; /* [old_count], [new_count]; below distinct; a number on both sides is the same line */
  uint32_t old_count, new_count, distinct;
  uint8_t *old_changed, *new_changed; /* [old_count], [new_count]; 1: not kept */
} cw_sequences;

/* Elements old_first..old_end-1 and new_first..new_end-1. */
typedef struct {
  uint32_t old_first, old_end, new_first, new_end;
} cw_box;

/* Takes equal elements off both ends; what is left, if one side is empty, is marked. Returns whether anything is left to compare. */
static inline int cw_box_trim(const cw_sequences *s, cw_box *b) {
  while (b->old_first < b->old_end && b->new_first < b->new_end && s->old_ids[b->old_first] == s->new_ids[b->new_first])
    b->old_first++, b->new_first++;
  while (b->old_first < b->old_end && b->new_first < b->new_end && s->old_ids[b->old_end - 1] == s->new_ids[b->new_end - 1])
    b->old_end--, b->new_end--;
  if (b->old_first < b->old_end && b->new_first < b->new_end) return 1;
  for (uint32_t i = b->old_first; i < b->old_end; i++) s->old_changed[i] = 1;
  for (uint32_t i = b->new_first; i < b->new_end; i++) s->new_changed[i] = 1;
  return 0;
}

static inline uint32_t cw_box_elements(const cw_box *b) { return b->old_end - b->old_first + (b->new_end - b->new_first); }

#endif
