/* patience.h: the differences of two sequences around the elements that each side has once. */
#ifndef CW_EDIT_PATIENCE_H
#define CW_EDIT_PATIENCE_H

#include "edit/myers.h"

/* Marks the elements of all of `sequences` outside a common subsequence; `myers` serves where no unique element is common. */
cw_status cw_patience_compare(const cw_sequences *sequences, cw_myers *myers);

#endif
