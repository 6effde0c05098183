/* myers.h: the differences of two integer sequences. */
#ifndef CW_EDIT_MYERS_H
#define CW_EDIT_MYERS_H

#include "cromwell.h"

/* Sets old_changed[i] and new_changed[j] to 1 for the elements outside a common subsequence of old [old_count] and
 * new [new_count], and leaves the others alone. The subsequence is a longest one unless that would cost more than about
 * max(256, sqrt(old_count + new_count)) steps an element. Elements are 0..distinct-1. */
cw_status cw_myers_compare(const int32_t *old_ids, uint32_t old_count, const int32_t *new_ids, uint32_t new_count, uint32_t distinct,
                           uint8_t *old_changed, uint8_t *new_changed);

#endif
