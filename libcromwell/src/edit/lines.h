/* lines.h: two texts as lines, and equal lines of both as equal numbers. */
#ifndef CW_EDIT_LINES_H
#define CW_EDIT_LINES_H

#include "cromwell.h"

typedef struct {
  const uint8_t *text;
  size_t size;
  size_t *starts; /* [count + 1]; line i is text[starts[i] .. starts[i + 1]), its \n included */
  uint32_t count;
} cw_lines;

#define CW_LINES_MAX 0x3fffffffu /* so that sums of two line numbers fit an int32_t */

/* Finds the lines of text; CW_E_CAPACITY above CW_LINES_MAX. cw_lines_close may be called after a failure too. */
cw_status cw_lines_open(const uint8_t *text, size_t size, cw_lines *out);
void cw_lines_close(cw_lines *lines);

/* Whole lines that both texts share at the start, and then at the end of what is left. */
void cw_lines_common(const cw_lines *old_lines, const cw_lines *new_lines, uint32_t *head, uint32_t *tail);

/* Numbers the lines first..first+count-1 of both texts: old ones from 0 in order of appearance, equal bytes with equal numbers, and new
 * ones as their equals in the old text; those without any are all *distinct - 1. old_ids is [old_count], new_ids [new_count]. */
cw_status cw_lines_intern(const cw_lines *old_lines, uint32_t old_count, const cw_lines *new_lines, uint32_t new_count, uint32_t first,
                          int32_t *old_ids, int32_t *new_ids, uint32_t *distinct);

/* Whether lines i and j of one text are equal. */
int cw_lines_equal(const cw_lines *lines, uint32_t i, uint32_t j);

#endif
