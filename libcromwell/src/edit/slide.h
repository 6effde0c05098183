/* slide.h: moving changes to where a reader expects them. */
#ifndef CW_EDIT_SLIDE_H
#define CW_EDIT_SLIDE_H

#include "edit/lines.h"

/* A pure insertion or deletion whose first line equals the line after it (or last line the one before it) can sit at several
 * places. Moves each to one that joins it with a neighbouring change if there is any, else to the most readable one.
 * Works in place on `changes` (in order, not touching one another); returns how many are left. */
size_t cw_changes_slide(const cw_lines *old_lines, const cw_lines *new_lines, cw_diff_change *changes, size_t count);

#endif
