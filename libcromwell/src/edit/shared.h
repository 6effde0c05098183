/* shared.h: two sequences without most of the elements that only one of them has. */
#ifndef CW_EDIT_SHARED_H
#define CW_EDIT_SHARED_H

#include "edit/sequences.h"

typedef struct {
  cw_sequences sequences;          /* what is left; its ids are numbered anew */
  uint32_t *old_where, *new_where; /* [old_count], [new_count] of those: positions in the whole */
  int32_t *block;                  /* all of the above but the struct itself */
} cw_shared;

/* Replaces every run of elements that the other side has not at all by one such element, so that what was apart stays apart, and marks
 * them all in `whole`. `out` is left without a block where too little would go to be worth it. cw_shared_close may be called after a
 * failure and without a block. */
cw_status cw_shared_open(const cw_sequences *whole, cw_shared *out);
void cw_shared_close(cw_shared *shared);

/* Carries the marks of what is left over to `whole`. */
void cw_shared_carry(const cw_shared *shared, const cw_sequences *whole);

#endif
