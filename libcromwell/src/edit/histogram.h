/* histogram.h: the differences of two sequences around the longest runs of rare common elements. */
#ifndef CW_EDIT_HISTOGRAM_H
#define CW_EDIT_HISTOGRAM_H

#include "edit/myers.h"

/* Marks the elements of all of `sequences` outside a common subsequence; `myers` serves where no rare element is common. */
cw_status cw_histogram_compare(const cw_sequences *sequences, cw_myers *myers);

#endif
