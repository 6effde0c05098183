/* postings.c: writes, reads, joins and scores postings.
 *
 * A block:  8 bytes   checksum of the rest
 *           entries   8 bytes of hash, then in 7-bit groups the number of postings and their bytes, then for each posting the distance
 *                     from the file before it (from -1 for the first) and its count less one, the latter left out where it is 0 by
 *                     the lowest bit of the distance: 2 distance + (count > 1)
 *
 * Blocks hold whole entries in order of their hashes, so that one block answers for a term. */
#include "index/postings.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

enum { BLOCK_BYTES = 12 << 10, CHECKSUM_BYTES = 8, BUCKETS_LOG2 = 11 };

struct cw_postings {
  uint8_t *bytes;
  size_t size, room;
  uint64_t *firsts; /* [count] hash of each block's first entry */
  size_t *ends;     /* [count] */
  size_t count, blocks_room;
};

cw_status cw_posting_add(cw_posting_list *list, uint64_t hash, uint32_t doc, uint32_t count) {
  if (list->count == list->room) {
    size_t room = list->room * 2 + 4096;
    cw_posting *all = realloc(list->all, room * sizeof *all);
    if (all == NULL) return CW_E_MEMORY;
    list->all = all;
    list->room = room;
  }
  list->all[list->count++] = (cw_posting){hash, doc, count};
  return CW_OK;
}

static int before(const cw_posting *a, const cw_posting *b) { return a->hash != b->hash ? a->hash < b->hash : a->doc < b->doc; }

static void sort(cw_posting *at, size_t count) {
  while (count > 24) {
    cw_posting *last = at + count - 1, *middle = at + count / 2, pivot;
    if (before(middle, at)) pivot = *middle, *middle = *at, *at = pivot;
    if (before(last, middle)) {
      pivot = *last, *last = *middle, *middle = pivot;
      if (before(middle, at)) pivot = *middle, *middle = *at, *at = pivot;
    }
    pivot = *middle;
    cw_posting *low = at, *high = last;
    while (low <= high) {
      while (before(low, &pivot)) low++;
      while (before(&pivot, high)) high--;
      if (low <= high) {
        cw_posting swapped = *low;
        *low++ = *high;
        *high-- = swapped;
      }
    }
    size_t left = (size_t)(high + 1 - at), right = (size_t)(at + count - low);
    if (left < right) {
      sort(at, left);
      at = low;
      count = right;
    } else {
      sort(low, right);
      count = left;
    }
  }
  for (size_t i = 1; i < count; i++) {
    cw_posting moved = at[i];
    size_t to = i;
    for (; to > 0 && before(&moved, &at[to - 1]); to--) at[to] = at[to - 1];
    at[to] = moved;
  }
}

static size_t put_number(uint8_t *out, uint64_t value) {
  size_t size = 0;
  for (; value >= 0x80; value >>= 7) out[size++] = (uint8_t)value | 0x80;
  out[size++] = (uint8_t)value;
  return size;
}

/* Reads a number of at most `end`; 0 when it is cut off. */
static int take_number(const uint8_t **at, const uint8_t *end, uint64_t *value) {
  uint64_t number = 0;
  for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
    uint8_t byte = *(*at)++;
    number |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) {
      *value = number;
      return 1;
    }
  }
  return 0;
}

static void end_block(cw_postings *p, size_t start) {
  uint64_t sum = cw_checksum64(p->bytes + start + CHECKSUM_BYTES, p->size - start - CHECKSUM_BYTES);
  memcpy(p->bytes + start, &sum, sizeof sum);
  p->ends[p->count++] = p->size;
}

/* Writes one entry of count postings of one hash; a block that is full is ended. *start is that of the block being written, SIZE_MAX: none. */
static cw_status write_entry(cw_postings *p, const cw_posting *all, size_t count, size_t *start) {
  size_t most = p->size + CHECKSUM_BYTES + 8 + 20 + count * 15;
  if (most > p->room) {
    size_t room = most * 2;
    uint8_t *bytes = realloc(p->bytes, room);
    if (bytes == NULL) return CW_E_MEMORY;
    p->bytes = bytes;
    p->room = room;
  }
  if (*start == SIZE_MAX) {
    if (p->count == p->blocks_room) {
      size_t room = p->blocks_room * 2 + 64;
      uint64_t *firsts = realloc(p->firsts, room * sizeof *firsts);
      if (firsts != NULL) p->firsts = firsts;
      size_t *ends = realloc(p->ends, room * sizeof *ends);
      if (ends != NULL) p->ends = ends;
      if (firsts == NULL || ends == NULL) return CW_E_MEMORY;
      p->blocks_room = room;
    }
    *start = p->size;
    p->firsts[p->count] = all->hash;
    p->size += CHECKSUM_BYTES;
  }
  memcpy(p->bytes + p->size, &all->hash, 8);
  uint8_t *head = p->bytes + p->size + 8, *body = head + 20, *at = body;
  uint32_t last = UINT32_MAX;
  size_t written = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t total = all[i].count;
    while (i + 1 < count && all[i + 1].doc == all[i].doc) total += all[++i].count;
    at += put_number(at, (uint64_t)(all[i].doc - last) * 2 + (total > 1));
    if (total > 1) at += put_number(at, total - 2);
    last = all[i].doc;
    written++;
  }
  size_t body_size = (size_t)(at - body), head_size = put_number(head, written);
  head_size += put_number(head + head_size, body_size);
  memmove(head + head_size, body, body_size);
  p->size += 8 + head_size + body_size;
  if (p->size - *start >= BLOCK_BYTES) {
    end_block(p, *start);
    *start = SIZE_MAX;
  }
  return CW_OK;
}

static cw_status write_all(cw_postings *p, const cw_posting *all, size_t count) {
  size_t start = SIZE_MAX;
  for (size_t i = 0; i < count;) {
    size_t end = i + 1;
    while (end < count && all[end].hash == all[i].hash) end++;
    CW_TRY(write_entry(p, all + i, end - i, &start));
    i = end;
  }
  if (start != SIZE_MAX) end_block(p, start);
  return CW_OK;
}

cw_status cw_postings_write(const cw_posting_list *lists, size_t count, cw_postings **out) {
  size_t total = 0, starts[(1 << BUCKETS_LOG2) + 1] = {0};
  for (size_t i = 0; i < count; i++) {
    total += lists[i].count;
    for (size_t k = 0; k < lists[i].count; k++) starts[(lists[i].all[k].hash >> (64 - BUCKETS_LOG2)) + 1]++;
  }
  cw_posting *all = malloc(total * sizeof *all + 1);
  cw_postings *p = calloc(1, sizeof *p);
  cw_status status = all != NULL && p != NULL ? CW_OK : CW_E_MEMORY;
  if (status == CW_OK) {
    for (size_t i = 0; i < 1 << BUCKETS_LOG2; i++) starts[i + 1] += starts[i];
    for (size_t i = 0; i < count; i++)
      for (size_t k = 0; k < lists[i].count; k++) all[starts[lists[i].all[k].hash >> (64 - BUCKETS_LOG2)]++] = lists[i].all[k];
    size_t from = 0; /* starts[i] is where bucket i ends, now */
    for (size_t i = 0; i < 1 << BUCKETS_LOG2; i++) {
      sort(all + from, starts[i] - from);
      from = starts[i];
    }
    status = write_all(p, all, total);
  }
  free(all);
  if (status == CW_OK) *out = p;
  else cw_postings_close(p);
  return status;
}

void cw_postings_close(cw_postings *p) {
  if (p == NULL) return;
  free(p->bytes);
  free(p->firsts);
  free(p->ends);
  free(p);
}

size_t cw_postings_blocks(const cw_postings *p, const uint64_t **firsts, const size_t **ends, const uint8_t **bytes) {
  *firsts = p->firsts;
  *ends = p->ends;
  *bytes = p->bytes;
  return p->count;
}

/* The entries of a sound block. */
static cw_status open_block(const uint8_t *block, size_t size, const uint8_t **at, const uint8_t **end) {
  uint64_t sum;
  if (size < CHECKSUM_BYTES) return CW_E_FORMAT;
  memcpy(&sum, block, sizeof sum);
  if (cw_checksum64(block + CHECKSUM_BYTES, size - CHECKSUM_BYTES) != sum) return CW_E_CHECKSUM;
  *at = block + CHECKSUM_BYTES;
  *end = block + size;
  return CW_OK;
}

static int take_entry(const uint8_t **at, const uint8_t *end, uint64_t *hash, uint64_t *count, const uint8_t **body_end) {
  uint64_t size;
  if (end - *at < 8) return 0;
  memcpy(hash, *at, 8);
  *at += 8;
  if (!take_number(at, end, count) || !take_number(at, end, &size) || size > (uint64_t)(end - *at)) return 0;
  *body_end = *at + size;
  return 1;
}

static int take_posting(const uint8_t **at, const uint8_t *end, uint32_t *doc, uint32_t *count) {
  uint64_t distance, more = 0;
  if (!take_number(at, end, &distance) || (distance & 1 && !take_number(at, end, &more))) return 0;
  *doc += (uint32_t)(distance >> 1);
  *count = (uint32_t)(1 + (distance & 1) + more);
  return 1;
}

cw_status cw_postings_find(const uint8_t *block, size_t size, uint64_t hash, const int32_t *files, size_t docs, int32_t *found,
                           uint32_t *counts, size_t capacity, size_t *count) {
  const uint8_t *at, *end, *body_end;
  if (block == NULL || (files == NULL && docs > 0) || (capacity > 0 && (found == NULL || counts == NULL)) || count == NULL)
    return CW_E_ARGUMENT;
  CW_TRY(open_block(block, size, &at, &end));
  *count = 0;
  while (at < end) {
    uint64_t entry, postings;
    if (!take_entry(&at, end, &entry, &postings, &body_end)) return CW_E_FORMAT;
    if (entry != hash) {
      if (entry > hash) return CW_OK;
      at = body_end;
      continue;
    }
    uint32_t doc = UINT32_MAX, often;
    for (uint64_t i = 0; i < postings; i++) {
      if (!take_posting(&at, body_end, &doc, &often) || doc >= docs) return CW_E_FORMAT;
      if (files[doc] < 0) continue;
      if (*count == capacity) return CW_E_CAPACITY;
      found[*count] = files[doc];
      counts[(*count)++] = often;
    }
    return CW_OK;
  }
  return CW_OK;
}

struct cw_merge {
  cw_posting_list list;
};

cw_status cw_merge_open(cw_merge **out) {
  if (out == NULL) return CW_E_ARGUMENT;
  cw_merge *merge = calloc(1, sizeof *merge);
  if (merge == NULL) return CW_E_MEMORY;
  *out = merge;
  return CW_OK;
}

void cw_merge_close(cw_merge *merge) {
  if (merge == NULL) return;
  free(merge->list.all);
  free(merge);
}

cw_status cw_merge_add(cw_merge *merge, const uint8_t *block, size_t size, const int32_t *files, size_t docs) {
  const uint8_t *at, *end, *body_end;
  if (merge == NULL || block == NULL || (files == NULL && docs > 0)) return CW_E_ARGUMENT;
  CW_TRY(open_block(block, size, &at, &end));
  while (at < end) {
    uint64_t hash, postings;
    if (!take_entry(&at, end, &hash, &postings, &body_end)) return CW_E_FORMAT;
    uint32_t doc = UINT32_MAX, often;
    for (uint64_t i = 0; i < postings; i++) {
      if (!take_posting(&at, body_end, &doc, &often) || doc >= docs) return CW_E_FORMAT;
      if (files[doc] >= 0) CW_TRY(cw_posting_add(&merge->list, hash, (uint32_t)files[doc], often));
    }
    at = body_end;
  }
  return CW_OK;
}

cw_status cw_merge_postings(cw_merge *merge, cw_postings **out) {
  if (merge == NULL || out == NULL) return CW_E_ARGUMENT;
  return cw_postings_write(&merge->list, 1, out);
}

cw_status cw_bm25_add(const int32_t *files, const uint32_t *counts, size_t count, const uint32_t *lengths, size_t file_count, double weight,
                      double k1, double b, double mean_length, double *scores) {
  if (count > 0 && (files == NULL || counts == NULL || lengths == NULL || scores == NULL)) return CW_E_ARGUMENT;
  for (size_t i = 0; i < count; i++) {
    if (files[i] < 0 || (size_t)files[i] >= file_count) return CW_E_ARGUMENT;
    double often = counts[i], norm = k1 * (1 - b + b * lengths[files[i]] / mean_length);
    scores[files[i]] += weight * often * (k1 + 1) / (often + norm);
  }
  return CW_OK;
}
