/* myers.h: the differences of two sequences by a shortest script. */
#ifndef CW_EDIT_MYERS_H
#define CW_EDIT_MYERS_H

#include "edit/sequences.h"

typedef struct {
  const cw_sequences *sequences;
  int minimal;
  int32_t *block; /* all of the below */
  int32_t *old_kept, *new_kept;
  uint32_t *old_where, *new_where;
  int32_t *rows;
  uint8_t *in_old, *in_new; /* [distinct], zero between calls */
} cw_myers;

/* Memory for comparing any box of the sequences; `minimal`: with no limit on the work. cw_myers_close may be called after a failure. */
cw_status cw_myers_open(const cw_sequences *sequences, int minimal, cw_myers *out);
void cw_myers_close(cw_myers *myers);

/* Marks the elements of a box that lie outside a common subsequence of its sides. The subsequence is a longest one unless that
 * would cost more than about max(256, sqrt(elements)) steps an element, or always with `minimal`. */
void cw_myers_compare(cw_myers *myers, cw_box box);

#endif
