/* lines.c: splitting into lines, trimming common ends, and interning lines as integers. */
#include "edit/lines.h"

#include <emmintrin.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

enum { SCAN_BYTES = 64, GUESSED_LINE_BYTES = 24, BATCH = 16 };

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

/* Room for `more` line starts after the first `count`. */
static cw_status reserve(cw_lines *lines, size_t *capacity, size_t count, size_t more) {
  if (count + more <= *capacity) return CW_OK;
  size_t *grown = realloc(lines->starts, 2 * (count + more) * sizeof *grown);
  if (!grown) return CW_E_MEMORY;
  lines->starts = grown, *capacity = 2 * (count + more);
  return CW_OK;
}

cw_status cw_lines_open(const uint8_t *text, size_t size, cw_lines *out) {
  *out = (cw_lines){.text = text, .size = size};
  size_t capacity = 0, count = 1, at = 0; /* of the starts, the first of which is 0 */
  CW_TRY(reserve(out, &capacity, 0, size / GUESSED_LINE_BYTES + SCAN_BYTES));
  out->starts[0] = 0;
  for (; at + SCAN_BYTES <= size; at += SCAN_BYTES) {
    CW_TRY(reserve(out, &capacity, count, SCAN_BYTES));
    for (uint64_t mask = newlines(text + at); mask; mask &= mask - 1) out->starts[count++] = at + (size_t)__builtin_ctzll(mask) + 1;
  }
  CW_TRY(reserve(out, &capacity, count, SCAN_BYTES));
  for (; at < size; at++)
    if (text[at] == '\n') out->starts[count++] = at + 1;
  if (size > 0 && text[size - 1] != '\n') out->starts[count++] = size;
  if (count - 1 > CW_LINES_MAX) return CW_E_CAPACITY;
  out->count = (uint32_t)(count - 1);
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

static uint64_t read8(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

static uint32_t read4(const uint8_t *bytes) {
  uint32_t word;
  memcpy(&word, bytes, 4);
  return word;
}

/* 16 bytes a multiplication; the last words may overlap the ones before, so that no length needs a loop over bytes. */
static uint64_t hash_bytes(const uint8_t *bytes, size_t size, uint64_t seed) {
  const uint64_t odd = 0x9e3779b97f4a7c15u ^ (seed << 1); /* 2^64 / golden ratio */
  uint64_t hash = seed ^ size, first, last;
  if (size >= 16) {
    const uint8_t *end = bytes + size;
    for (; end - bytes > 16; bytes += 16) hash = fold(read8(bytes) ^ odd, read8(bytes + 8) ^ hash);
    first = read8(end - 16), last = read8(end - 8);
  } else if (size >= 8) {
    first = read8(bytes), last = read8(bytes + size - 8);
  } else if (size >= 4) {
    first = read4(bytes), last = read4(bytes + size - 4);
  } else {
    first = size ? (uint64_t)bytes[0] << 16 | (uint64_t)bytes[size / 2] << 8 | bytes[size - 1] : 0, last = 0;
  }
  return fold(fold(first ^ odd, last ^ hash), odd);
}

/* An open-addressing table of 8-byte slots, so that it stays in the cache; the lines themselves are kept by number. */
typedef struct {
  uint32_t tag;  /* the upper half of the hash */
  uint32_t rank; /* number of the line + 1; 0: free */
} slot;

typedef struct {
  const cw_lines *lines; /* the old text */
  uint32_t first, count; /* of its lines that are interned */
  slot *slots;           /* [mask + 1] */
  size_t mask;
  uint64_t seed;
  uint32_t *places;      /* [distinct], where each appears first: lines from `first` on */
  uint32_t distinct;
} line_table;

/* The slot of a line: one that holds its number, or the free one where it would go. */
static slot *find(const line_table *table, const uint8_t *text, size_t size, uint64_t hash) {
  uint32_t tag = (uint32_t)(hash >> 32);
  for (size_t at = (size_t)hash & table->mask;; at = (at + 1) & table->mask) {
    slot *s = &table->slots[at];
    if (!s->rank) return s;
    if (s->tag != tag) continue;
    const size_t *start = table->lines->starts + table->first + table->places[s->rank - 1];
    if (start[1] - start[0] == size && memcmp(table->lines->text + start[0], text, size) == 0) return s;
  }
}

/* In batches: by the time a line is looked up, its slot is on its way to the cache. */
static void intern_old(line_table *table, int32_t *ids) {
  const cw_lines *lines = table->lines;
  const size_t *starts = lines->starts + table->first;
  uint64_t hashes[BATCH];
  for (uint32_t i = 0; i < table->count; i += BATCH) {
    uint32_t size = table->count - i < BATCH ? table->count - i : BATCH;
    for (uint32_t k = 0; k < size; k++) {
      hashes[k] = hash_bytes(lines->text + starts[i + k], starts[i + k + 1] - starts[i + k], table->seed);
      __builtin_prefetch(&table->slots[hashes[k] & table->mask], 1);
    }
    for (uint32_t k = 0; k < size; k++) {
      slot *found = find(table, lines->text + starts[i + k], starts[i + k + 1] - starts[i + k], hashes[k]);
      if (!found->rank) {
        table->places[table->distinct] = i + k;
        *found = (slot){(uint32_t)(hashes[k] >> 32), ++table->distinct};
      }
      ids[i + k] = (int32_t)found->rank - 1;
    }
  }
}

/* Most new lines follow one another as the old ones did: each is first held against the old line after the one before. That reads
 * both texts in order, where looking up reads table and text anywhere. */
static void intern_new(const line_table *table, const cw_lines *lines, uint32_t count, int32_t *ids, const int32_t *old_ids) {
  const size_t *starts = lines->starts + table->first, *old_starts = table->lines->starts + table->first;
  uint32_t expected = table->count; /* none */
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *text = lines->text + starts[i];
    size_t size = starts[i + 1] - starts[i];
    if (expected < table->count && old_starts[expected + 1] - old_starts[expected] == size &&
        memcmp(table->lines->text + old_starts[expected], text, size) == 0) {
      ids[i] = old_ids[expected++];
      continue;
    }
    uint32_t rank = find(table, text, size, hash_bytes(text, size, table->seed))->rank;
    ids[i] = (int32_t)(rank ? rank - 1 : table->distinct);
    if (rank) expected = table->places[rank - 1] + 1;
  }
}

cw_status cw_lines_intern(const cw_lines *old_lines, uint32_t old_count, const cw_lines *new_lines, uint32_t new_count, uint32_t first,
                          int32_t *old_ids, int32_t *new_ids, uint32_t *distinct) {
  size_t capacity = 16;
  while (capacity < old_count + (size_t)old_count / 4) capacity *= 2; /* at most four fifths full, if all lines are distinct */
  line_table table = {.lines = old_lines, .first = first, .count = old_count, .mask = capacity - 1};
  table.slots = calloc(capacity, sizeof *table.slots);
  table.places = malloc(old_count * sizeof *table.places + 1);
  cw_status status = table.slots && table.places ? CW_OK : CW_E_MEMORY;
  if (status == CW_OK) {
    /* The seed differs from run to run where addresses do, so that nobody can prepare lines that collide; ids do not depend on it. */
    table.seed = fold((uint64_t)(uintptr_t)table.slots ^ 0xd1b54a32d192ed03u, (uint64_t)(uintptr_t)&table ^ 0x2545f4914f6cdd1du);
    intern_old(&table, old_ids);
    intern_new(&table, new_lines, new_count, new_ids, old_ids);
    *distinct = table.distinct + 1;
  }
  free(table.slots);
  free(table.places);
  return status;
}
