/* arena.h: one block of memory, taken front to back at open and never grown.
 *
 * An owner lays its buffers out twice with the same code: first with base = NULL to learn the size, then over the real block.
 *
 *     | buffer 0 | pad to 64 | guard 64 | buffer 1 | pad to 64 | guard 64 | ...      guards are poisoned under AddressSanitizer */
#ifndef CW_ARENA_H
#define CW_ARENA_H

#include <stddef.h>

#include "cromwell.h"

typedef struct {
  unsigned char *base; /* NULL while measuring */
  size_t used;
  int overflow;
} cw_arena;

/* `count * size` bytes, 64-byte aligned and zeroed; NULL while measuring. Sets overflow when the size does not fit. */
void *cw_arena_take(cw_arena *arena, size_t count, size_t size);
/* Allocates the block that a measuring pass asked for: a fresh arena over zeroed memory. */
cw_status cw_arena_open(const cw_arena *measured, cw_arena *out);
void cw_arena_close(cw_arena *arena);

#endif
