/* unified.h: hunks of a unified diff. */
#ifndef CW_EDIT_UNIFIED_H
#define CW_EDIT_UNIFIED_H

#include "edit/lines.h"

/* Writes the hunks of `changes` with `context` lines around them to a block that the caller frees. CW_E_MEMORY. */
cw_status cw_unified_write(const cw_lines *old_lines, const cw_lines *new_lines, const cw_diff_change *changes, size_t count, uint32_t context,
                           uint8_t **text, size_t *size);

#endif
