/* lines.c: splitting into lines, trimming common ends, and interning lines as integers. */
#include "edit/lines.h"

#include <emmintrin.h>
#include <stdlib.h>
#include <string.h>

enum { SCAN_BYTES = 64, BATCH = 16 };

/* One bit for each of SCAN_BYTES bytes that is a newline (SSE2, which every x86-64 has). */
static uint64_t newlines(const uint8_t *bytes) {
  const __m128i newline = _mm_set1_epi8('\n');
  uint64_t mask = 0;
  for (int part = 0; part < SCAN_BYTES / 16; part++) {
    __m128i equal = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(bytes + 16 * part)), newline);
    mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(equal) << 16 * part;
  }
  return mask;
}

cw_status cw_lines_open(const uint8_t *text, size_t size, cw_lines *out) {
  *out = (cw_lines){.text = text, .size = size};
  size_t count = 0;
  for (size_t i = 0; i < size; i++) count += text[i] == '\n';
  if (size > 0 && text[size - 1] != '\n') count++;
  if (count > CW_LINES_MAX) return CW_E_CAPACITY;
  out->starts = malloc((count + 1) * sizeof *out->starts);
  if (!out->starts) return CW_E_MEMORY;
  out->count = (uint32_t)count;
  size_t *next = out->starts, at = 0;
  *next++ = 0;
  for (; at + SCAN_BYTES <= size; at += SCAN_BYTES)
    for (uint64_t mask = newlines(text + at); mask; mask &= mask - 1) *next++ = at + (size_t)__builtin_ctzll(mask) + 1;
  for (; at < size; at++)
    if (text[at] == '\n') *next++ = at + 1;
  out->starts[count] = size;
  return CW_OK;
}

void cw_lines_close(cw_lines *lines) {
  free(lines->starts);
  lines->starts = NULL;
}

static size_t common_prefix(const uint8_t *a, const uint8_t *b, size_t limit) {
  size_t i = 0;
  for (; i + 8 <= limit; i += 8) {
    uint64_t x, y;
    memcpy(&x, a + i, 8);
    memcpy(&y, b + i, 8);
    if (x != y) return i + (size_t)__builtin_ctzll(x ^ y) / 8;
  }
  while (i < limit && a[i] == b[i]) i++;
  return i;
}

/* Of the bytes before a_end and b_end. */
static size_t common_suffix(const uint8_t *a_end, const uint8_t *b_end, size_t limit) {
  size_t i = 0;
  for (; i + 8 <= limit; i += 8) {
    uint64_t x, y;
    memcpy(&x, a_end - i - 8, 8);
    memcpy(&y, b_end - i - 8, 8);
    if (x != y) return i + (size_t)__builtin_clzll(x ^ y) / 8;
  }
  while (i < limit && a_end[-1 - (ptrdiff_t)i] == b_end[-1 - (ptrdiff_t)i]) i++;
  return i;
}

/* How many of the line boundaries starts[0..count] are <= at. */
static uint32_t boundaries_upto(const cw_lines *lines, size_t at) {
  uint32_t low = 0, high = lines->count + 1;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (lines->starts[middle] <= at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* How many whole lines the last `bytes` bytes hold, bytes >= 1. */
static uint32_t lines_within(const cw_lines *lines, size_t bytes) {
  return bytes == lines->size ? lines->count : lines->count - boundaries_upto(lines, lines->size - bytes - 1);
}

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

void cw_lines_common(const cw_lines *old_lines, const cw_lines *new_lines, uint32_t *head, uint32_t *tail) {
  size_t bytes = old_lines->size && new_lines->size
                     ? common_prefix(old_lines->text, new_lines->text, min_size(old_lines->size, new_lines->size)) : 0;
  /* The smaller count: a last line without \n ends at `bytes` in one text while the other's goes on. */
  *head = min_u32(boundaries_upto(old_lines, bytes), boundaries_upto(new_lines, bytes)) - 1;
  size_t taken = old_lines->starts[*head]; /* the same in both */
  size_t limit = min_size(old_lines->size, new_lines->size) - taken;
  bytes = limit ? common_suffix(old_lines->text + old_lines->size, new_lines->text + new_lines->size, limit) : 0;
  *tail = 0;
  if (bytes == 0) return;
  /* The smaller count again, for a line start that only one text has at the first common byte. */
  *tail = min_u32(lines_within(old_lines, bytes), lines_within(new_lines, bytes));
}

int cw_lines_equal(const cw_lines *lines, uint32_t i, uint32_t j) {
  size_t size = lines->starts[i + 1] - lines->starts[i];
  return size == lines->starts[j + 1] - lines->starts[j] && memcmp(lines->text + lines->starts[i], lines->text + lines->starts[j], size) == 0;
}

/* Folded multiplication: the two halves of a 128-bit product, mixed. */
static uint64_t fold(uint64_t a, uint64_t b) {
  __uint128_t product = (__uint128_t)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_bytes(const uint8_t *bytes, size_t size, uint64_t seed) {
  const uint64_t odd = 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio */
  uint64_t hash = seed ^ fold(size ^ seed, odd), word;
  for (; size >= 8; bytes += 8, size -= 8) {
    memcpy(&word, bytes, 8);
    hash = fold(hash ^ word, odd ^ seed);
  }
  word = 0;
  memcpy(&word, bytes, size);
  return fold(hash ^ word, odd ^ (seed << 1));
}

/* An open-addressing table of 8-byte slots, so that it stays in the cache; the lines themselves are kept by number. */
typedef struct {
  uint32_t tag;  /* the upper half of the hash */
  uint32_t rank; /* number of the line + 1; 0: free */
} slot;

typedef struct {
  const uint8_t *text;
  size_t size;
  uint32_t place; /* of its first appearance, counted from the first line interned of its text */
} line_text;

typedef struct {
  slot *slots; /* [mask + 1] */
  size_t mask;
  uint64_t seed;
  line_text *seen; /* [distinct] */
  uint32_t distinct;
} line_table;

/* The number of line `place`, which is table->distinct before the call if it is new. */
static uint32_t lookup(line_table *table, const uint8_t *text, size_t size, uint64_t hash, uint32_t place) {
  uint32_t tag = (uint32_t)(hash >> 32);
  for (size_t at = (size_t)hash & table->mask;; at = (at + 1) & table->mask) {
    slot *s = &table->slots[at];
    if (!s->rank) {
      table->seen[table->distinct] = (line_text){text, size, place};
      *s = (slot){tag, ++table->distinct};
      return s->rank - 1;
    }
    const line_text *seen = &table->seen[s->rank - 1];
    if (s->tag == tag && seen->size == size && memcmp(seen->text, text, size) == 0) return s->rank - 1;
  }
}

/* In batches: by the time a line is looked up, its slot is on its way to the cache. */
static void intern_old(line_table *table, const cw_lines *lines, uint32_t first, uint32_t count, int32_t *ids) {
  const size_t *starts = lines->starts + first;
  uint64_t hashes[BATCH];
  for (uint32_t i = 0; i < count; i += BATCH) {
    uint32_t size = count - i < BATCH ? count - i : BATCH;
    for (uint32_t k = 0; k < size; k++) {
      hashes[k] = hash_bytes(lines->text + starts[i + k], starts[i + k + 1] - starts[i + k], table->seed);
      __builtin_prefetch(&table->slots[hashes[k] & table->mask], 1);
    }
    for (uint32_t k = 0; k < size; k++)
      ids[i + k] = (int32_t)lookup(table, lines->text + starts[i + k], starts[i + k + 1] - starts[i + k], hashes[k], i + k);
  }
}

/* Most new lines follow one another as the old ones did: each is first held against the old line after the one before. That reads
 * both texts in order, where looking up reads table and text anywhere. */
static void intern_new(line_table *table, const cw_lines *lines, uint32_t first, uint32_t count, int32_t *ids, const cw_lines *old_lines,
                       uint32_t old_count, const int32_t *old_ids) {
  const size_t *starts = lines->starts + first, *old_starts = old_lines->starts + first;
  const uint32_t old_distinct = table->distinct;
  uint32_t expected = old_count; /* none */
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *text = lines->text + starts[i];
    size_t size = starts[i + 1] - starts[i];
    if (expected < old_count && old_starts[expected + 1] - old_starts[expected] == size &&
        memcmp(old_lines->text + old_starts[expected], text, size) == 0) {
      ids[i] = old_ids[expected++];
      continue;
    }
    uint32_t id = lookup(table, text, size, hash_bytes(text, size, table->seed), i);
    ids[i] = (int32_t)id;
    if (id < old_distinct) expected = table->seen[id].place + 1;
  }
}

cw_status cw_lines_intern(const cw_lines *old_lines, uint32_t old_count, const cw_lines *new_lines, uint32_t new_count, uint32_t first,
                          int32_t *old_ids, int32_t *new_ids, uint32_t *distinct) {
  size_t lines = (size_t)old_count + new_count, capacity = 16;
  while (capacity < lines + lines / 4) capacity *= 2; /* at most four fifths full, if all lines are distinct */
  line_table table = {.mask = capacity - 1};
  table.slots = calloc(capacity, sizeof *table.slots);
  table.seen = malloc(lines * sizeof *table.seen + 1);
  cw_status status = table.slots && table.seen ? CW_OK : CW_E_MEMORY;
  if (status == CW_OK) {
    /* The seed differs from run to run where addresses do, so that nobody can prepare lines that collide; ids do not depend on it. */
    table.seed = fold((uint64_t)(uintptr_t)table.slots ^ 0xd1b54a32d192ed03u, (uint64_t)(uintptr_t)&table ^ 0x2545f4914f6cdd1du);
    intern_old(&table, old_lines, first, old_count, old_ids);
    intern_new(&table, new_lines, first, new_count, new_ids, old_lines, old_count, old_ids);
    *distinct = table.distinct;
  }
  free(table.slots);
  free(table.seen);
  return status;
}
