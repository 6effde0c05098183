/* tracked.c: reads .git/index (gitformat-index(5)): the names, and which of them are submodules. */
#include "index/tracked.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

enum { HEADER = 12, FIXED = 40, EXTENDED = 0x4000, TYPE = 0170000, GITLINK = 0160000, NAME_MAX_BYTES = 1 << 16 };

typedef struct {
  uint32_t at, size; /* of the name in names; size 0: free */
  uint32_t what;
} slot;

struct cw_tracked {
  slot *slots; /* [mask + 1] */
  size_t mask, used;
  uint8_t *names;
  size_t names_size, names_room;
  uint64_t seed;
};

static uint32_t u32_at(const uint8_t *at) { return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]; }

static uint64_t hash(const cw_tracked *tracked, const uint8_t *name, size_t size) {
  uint64_t sum = tracked->seed ^ size;
  for (; size >= 8; name += 8, size -= 8) {
    uint64_t word;
    memcpy(&word, name, 8);
    sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
    sum ^= sum >> 29;
  }
  uint64_t word = 0;
  memcpy(&word, name, size);
  sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
  return sum ^ sum >> 32;
}

static slot *find(const cw_tracked *tracked, const uint8_t *name, size_t size) {
  for (size_t at = (size_t)hash(tracked, name, size) & tracked->mask;; at = (at + 1) & tracked->mask) {
    slot *s = &tracked->slots[at];
    if (s->size == 0 || (s->size == size && memcmp(tracked->names + s->at, name, size) == 0)) return s;
  }
}

static cw_status grow(cw_tracked *tracked) {
  if (tracked->used * 2 <= tracked->mask) return CW_OK;
  slot *old = tracked->slots;
  size_t count = tracked->mask + 1;
  slot *slots = calloc(count * 2, sizeof *slots);
  if (slots == NULL) return CW_E_MEMORY;
  tracked->slots = slots;
  tracked->mask = count * 2 - 1;
  for (size_t i = 0; i < count; i++)
    if (old[i].size > 0) *find(tracked, tracked->names + old[i].at, old[i].size) = old[i];
  free(old);
  return CW_OK;
}

/* Notes name[0..size), which lies at `at` in names, and the folders above it. */
static cw_status note(cw_tracked *tracked, uint32_t at, uint32_t size, uint32_t what) {
  for (;;) {
    CW_TRY(grow(tracked));
    slot *s = find(tracked, tracked->names + at, size);
    uint32_t had = s->what;
    if (s->size == 0) {
      *s = (slot){at, size, what};
      tracked->used++;
    } else {
      s->what |= what;
    }
    if (had & CW_TRACKED_BELOW && what & CW_TRACKED_BELOW) return CW_OK; /* the folders above are there */
    while (size > 0 && tracked->names[at + size - 1] != '/') size--;
    if (size <= 1) return CW_OK;
    size--;
    what = CW_TRACKED_BELOW;
  }
}

static cw_status reserve(cw_tracked *tracked, size_t more) {
  if (tracked->names_size + more <= tracked->names_room) return CW_OK;
  size_t room = (tracked->names_size + more) * 2 + 4096;
  if (room > UINT32_MAX) return CW_E_CAPACITY;
  uint8_t *names = realloc(tracked->names, room);
  if (names == NULL) return CW_E_MEMORY;
  tracked->names = names;
  tracked->names_room = room;
  return CW_OK;
}

/* The number that version 4 puts before a name: how much to take off the name before it. */
static int read_offset(const uint8_t *bytes, size_t end, size_t *at, size_t *value) {
  size_t number = 0;
  for (int first = 1; *at < end; first = 0) {
    uint8_t byte = bytes[(*at)++];
    number = first ? (byte & 0x7f) : ((number + 1) << 7 | (byte & 0x7f));
    if (number > NAME_MAX_BYTES) return 0;
    if (!(byte & 0x80)) {
      *value = number;
      return 1;
    }
  }
  return 0;
}

static cw_status read_entries(cw_tracked *tracked, const uint8_t *bytes, size_t size, uint32_t id_bytes) {
  if (size < HEADER + id_bytes || memcmp(bytes, "DIRC", 4) != 0) return CW_E_FORMAT;
  uint32_t version = u32_at(bytes + 4), count = u32_at(bytes + 8);
  if (version < 2 || version > 4) return CW_E_VERSION;
  size_t at = HEADER, end = size - id_bytes, before = 0, before_size = 0;
  for (uint32_t entry = 0; entry < count; entry++) {
    size_t start = at;
    if (end - at < FIXED + id_bytes + 2) return CW_E_FORMAT;
    uint32_t mode = u32_at(bytes + at + 24);
    at += FIXED + id_bytes;
    int extended = version >= 3 && (bytes[at] << 8 & EXTENDED) != 0;
    at += extended ? 4 : 2;
    size_t kept = 0;
    if (at >= end) return CW_E_FORMAT;
    if (version == 4) {
      size_t cut;
      if (!read_offset(bytes, end, &at, &cut) || cut > before_size) return CW_E_FORMAT;
      kept = before_size - cut;
    }
    const uint8_t *nul = at < end ? memchr(bytes + at, 0, end - at) : NULL;
    if (nul == NULL) return CW_E_FORMAT;
    size_t added = (size_t)(nul - bytes) - at, name_size = kept + added;
    if (name_size == 0 || name_size > NAME_MAX_BYTES) return CW_E_FORMAT;
    CW_TRY(reserve(tracked, name_size));
    uint8_t *name = tracked->names + tracked->names_size;
    memcpy(name, tracked->names + before, kept);
    memcpy(name + kept, bytes + at, added);
    before = tracked->names_size;
    before_size = name_size;
    tracked->names_size += name_size;
    CW_TRY(note(tracked, (uint32_t)before, (uint32_t)name_size, (mode & TYPE) == GITLINK ? CW_TRACKED_SUBMODULE : CW_TRACKED_FILE));
    at += added;
    at = version == 4 ? at + 1 : start + ((at - start + 8) & ~(size_t)7);
    if (at > end) return CW_E_FORMAT;
  }
  return CW_OK;
}

cw_status cw_tracked_parse(const uint8_t *bytes, size_t size, uint32_t id_bytes, cw_tracked **out) {
  cw_tracked *tracked = calloc(1, sizeof *tracked);
  if (tracked == NULL) return CW_E_MEMORY;
  tracked->mask = 1023;
  tracked->slots = calloc(tracked->mask + 1, sizeof *tracked->slots);
  tracked->seed = (uint64_t)(uintptr_t)tracked; /* so that nobody can prepare names that collide; what is found does not depend on it */
  cw_status status = tracked->slots != NULL ? read_entries(tracked, bytes, size, id_bytes) : CW_E_MEMORY;
  if (status == CW_OK) *out = tracked;
  else cw_tracked_free(tracked);
  return status;
}

void cw_tracked_free(cw_tracked *tracked) {
  if (tracked == NULL) return;
  free(tracked->slots);
  free(tracked->names);
  free(tracked);
}

int cw_tracked_find(const cw_tracked *tracked, const char *path, size_t size) {
  return tracked != NULL && size > 0 ? (int)find(tracked, (const uint8_t *)path, size)->what : CW_TRACKED_NO;
}
