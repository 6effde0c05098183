/* arena.c: one block of memory for everything that an owner needs (see arena.h). */
#include "arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(at, size) __asan_poison_memory_region(at, size)
#define UNPOISON(at, size) __asan_unpoison_memory_region(at, size)
#else
#define POISON(at, size) ((void)(at))
#define UNPOISON(at, size) ((void)(at))
#endif

enum { ALIGNMENT = 64, GUARD = 64 };
static const size_t LIMIT = (size_t)1 << 40; /* far above any real session, far below overflow */

void *cw_arena_take(cw_arena *arena, size_t count, size_t size) {
  if (size != 0 && count > LIMIT / size) arena->overflow = 1;
  size_t bytes = count * size;
  size_t padded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + GUARD;
  if (arena->overflow || arena->used > LIMIT - padded) {
    arena->overflow = 1;
    return NULL;
  }
  unsigned char *taken = arena->base == NULL ? NULL : arena->base + arena->used;
  if (taken != NULL) POISON(taken + bytes, padded - bytes);
  arena->used += padded;
  return taken;
}

cw_status cw_arena_open(const cw_arena *measured, cw_arena *out) {
  if (measured->overflow) return CW_E_MEMORY;
  /* Mapped, not malloc'ed: pages are zero and cost nothing until a long sequence touches them. The size stays in front. */
  size_t total = measured->used + ALIGNMENT;
  unsigned char *block = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (block == MAP_FAILED) return CW_E_MEMORY;
  /* Large pages where the system has them: the convolutions of an image alone touch more small ones than a processor remembers. Refusing
   * changes nothing but speed. */
  (void)madvise(block, total, MADV_HUGEPAGE);
  memcpy(block, &total, sizeof total);
  *out = (cw_arena){.base = block + ALIGNMENT, .used = 0, .overflow = 0};
  return CW_OK;
}

void cw_arena_close(cw_arena *arena) {
  if (arena->base == NULL) return;
  unsigned char *block = arena->base - ALIGNMENT;
  size_t total;
  memcpy(&total, block, sizeof total);
  UNPOISON(block, total);
  munmap(block, total);
  arena->base = NULL;
}
