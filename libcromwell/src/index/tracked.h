/* tracked.h: the names in a git index file, and the folders above them. */
#ifndef CW_INDEX_TRACKED_H
#define CW_INDEX_TRACKED_H

#include "cromwell.h"

typedef struct cw_tracked cw_tracked;

enum { CW_TRACKED_NO = 0, CW_TRACKED_FILE = 1, CW_TRACKED_SUBMODULE = 2, CW_TRACKED_BELOW = 4 };

/* Reads a git index of version 2, 3 or 4 whose object ids have id_bytes (20 or 32). CW_E_FORMAT for what is none, or is cut off. */
cw_status cw_tracked_parse(const uint8_t *bytes, size_t size, uint32_t id_bytes, cw_tracked **out);
void cw_tracked_free(cw_tracked *tracked);
/* What git tracks at or below path[0..size): bits of CW_TRACKED_*. */
int cw_tracked_find(const cw_tracked *tracked, const char *path, size_t size);

#endif
