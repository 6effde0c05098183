/* vocabulary.h: the tables that encoding and decoding read, made from the merges of a tokenizer section. */
#ifndef CW_TEXT_VOCABULARY_H
#define CW_TEXT_VOCABULARY_H

#include "cromwell.h"

#define CW_NO_TOKEN UINT32_MAX
#define CW_TOKEN_BYTES_MAX 256 /* longest token of a section */

/* Ids: special tokens, then the 256 bytes, then one token a merge. So a smaller id was merged earlier, and the parts of a merge
 * are smaller than the merge. */
struct cw_tokenizer {
  uint32_t special_count;
  uint32_t first_merge; /* special_count + 256 */
  uint32_t size;        /* tokens */
  const char *names;    /* special_count strings, one after another; in the section */
  void *tables[2];      /* the memory of all that follows */
  uint32_t *start;      /* [size + 1] bytes of token t are bytes[start[t] .. start[t + 1]) */
  uint8_t *bytes;
  uint32_t (*parts)[2]; /* [size] left and right part of a merge */
  uint32_t *shorter;    /* [size] longest token that is a proper prefix of token t, or CW_NO_TOKEN */
  uint64_t *pairs;      /* hash table: left << 40 | right << 20 | merge, all ones where empty */
  uint64_t *edges;      /* hash table of the prefix tree: node << 32 | byte << 24 | child, all ones where empty */
  uint32_t *longest;    /* [nodes] longest token on the way from the root to a node; nodes 0..255 are the single bytes */
  uint32_t pairs_shift, edges_shift; /* 64 - log2(slots) */
};

/* Makes the tables of `tokenizer`, whose counts are set and whose other fields are zero, from `merges`: little-endian pairs of
 * ids. CW_E_FORMAT for merges that training cannot have written. After a failure, too, the caller frees the tables. */
cw_status cw_vocabulary_build(struct cw_tokenizer *tokenizer, const uint8_t *merges, cw_fault *fault);
void cw_vocabulary_free(struct cw_tokenizer *tokenizer);

/* First slot to look for `key` in a table of 2^(64 - shift) slots (Fibonacci hashing: Knuth, TAOCP 3, 6.4). */
static inline uint32_t cw_vocabulary_slot(uint64_t key, uint32_t shift) { return (uint32_t)(key * 0x9E3779B97F4A7C15u >> shift); }

/* The token that merges `left` and `right`, or CW_NO_TOKEN. */
static inline uint32_t cw_vocabulary_pair(const struct cw_tokenizer *tokenizer, uint32_t left, uint32_t right) {
  uint64_t key = (uint64_t)left << 20 | right;
  uint32_t mask = UINT32_MAX >> (tokenizer->pairs_shift - 32);
  for (uint32_t slot = cw_vocabulary_slot(key, tokenizer->pairs_shift);; slot = (slot + 1) & mask) {
    uint64_t found = tokenizer->pairs[slot];
    if (found >> 20 == key) return (uint32_t)(found & 0xFFFFF);
    if (found == UINT64_MAX) return CW_NO_TOKEN;
  }
}

/* Longest token at the start of text[0..size), size >= 1. */
static inline uint32_t cw_vocabulary_longest(const struct cw_tokenizer *tokenizer, const uint8_t *text, size_t size) {
  uint32_t node = text[0], mask = UINT32_MAX >> (tokenizer->edges_shift - 32);
  for (size_t at = 1; at < size; at++) {
    uint64_t key = (uint64_t)node << 8 | text[at];
    uint32_t slot = cw_vocabulary_slot(key, tokenizer->edges_shift);
    while (tokenizer->edges[slot] >> 24 != key) {
      if (tokenizer->edges[slot] == UINT64_MAX) return tokenizer->longest[node];
      slot = (slot + 1) & mask;
    }
    node = (uint32_t)(tokenizer->edges[slot] & 0xFFFFFF);
  }
  return tokenizer->longest[node];
}

/* Whether `left` and `right` may stand next to each other: byte pair encoding of their joined bytes gives the two again, looking
 * only at merges before `bound` (CW_NO_TOKEN: all).
 *
 * The merges inside both are undone from the latest on. Meanwhile the two tokens at the border are those that met there at that time:
 * if a merge of them comes before both were merged further (the left one of two equal merges comes first), it had been made. */
static inline int cw_vocabulary_adjacent(const struct cw_tokenizer *tokenizer, uint32_t left, uint32_t right, uint32_t bound) {
  for (;;) {
    uint32_t merged = cw_vocabulary_pair(tokenizer, left, right);
    if (merged < bound) return 0;
    if (left > right) {
      if (left < tokenizer->first_merge) return 1;
      bound = left;
      left = tokenizer->parts[left][1];
    } else {
      if (right < tokenizer->first_merge) return 1;
      bound = right + 1;
      right = tokenizer->parts[right][0];
    }
  }
}

#endif
