/* vocabulary.h: the tables that encoding and decoding read, made from the merges of a tokenizer section. */
#ifndef CW_TEXT_VOCABULARY_H
#define CW_TEXT_VOCABULARY_H

#include <string.h>

#include "cromwell.h"

#define CW_NO_TOKEN UINT32_MAX
#define CW_TOKEN_BYTES_MAX 256 /* longest token of a section */

#define CW_FILTER_LOG2 2 /* filter bits for each slot of the token table: 4, so that one absent key in 8 passes */

struct cw_token_slot {
  uint64_t head; /* the first 8 bytes, little-endian, zeros after the last */
  uint32_t token, size; /* size 0 where the slot is empty */
};

/* Ids: special tokens, then the 256 bytes, then one token a merge. So a smaller id was merged earlier, and the parts of a merge
 * are smaller than the merge. */
struct cw_tokenizer {
  uint32_t special_count;
  uint32_t first_merge; /* special_count + 256 */
  uint32_t size;        /* tokens */
  const char *names;    /* special_count strings, one after another; in the section */
  void *tables[2];      /* the memory of all that follows */
  uint32_t (*parts)[2]; /* [size] left and right part of a merge */
  uint32_t *start;      /* [size + 1] bytes of token t are bytes[start[t] .. start[t + 1]) */
  uint8_t *bytes;       /* and 8 bytes that may be read */
  uint64_t *pairs;      /* hash table of merges: left << 40 | right << 20 | merge, all ones where empty */
  struct cw_token_slot *tokens;       /* hash table of tokens of at least 2 bytes, by their bytes */
  uint64_t *filter;                   /* bits by hash of the bytes of a token: 0 where no token has that hash */
  uint32_t pairs_shift, tokens_shift; /* 64 - log2(slots) */
  uint8_t longest[256];               /* size of the longest token that begins with a byte, less 1 */
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

static inline uint64_t cw_load_u64(const uint8_t *bytes) {
  uint64_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

/* The first min(size, 8) of `readable` bytes at `text` (size <= readable) as a number, zeros above. */
static inline uint64_t cw_vocabulary_head(const uint8_t *text, size_t size, size_t readable) {
  if (size >= 8) return cw_load_u64(text);
  uint64_t value = 0;
  if (readable >= 8) value = cw_load_u64(text);
  else memcpy(&value, text, size);
  return value & (((uint64_t)1 << 8 * size) - 1);
}

/* Key of the token table for text[0..size), size >= 2. */
static inline uint64_t cw_vocabulary_key(const uint8_t *text, size_t size, uint64_t head) {
  uint64_t tail = size > 8 ? cw_load_u64(text + size - 8) : 0;
  uint64_t mixed = head * 0xBF58476D1CE4E5B9u ^ (tail + size) * 0x94D049BB133111EBu;
  return mixed ^ mixed >> 32;
}

/* The token whose bytes are text[0..size), or CW_NO_TOKEN; `readable` >= size >= 1 bytes may be read. */
static inline uint32_t cw_vocabulary_token(const struct cw_tokenizer *tokenizer, const uint8_t *text, size_t size, size_t readable) {
  if (size == 1) return tokenizer->special_count + text[0];
  uint64_t head = cw_vocabulary_head(text, size, readable);
  uint64_t key = cw_vocabulary_key(text, size, head);
  uint32_t bit = cw_vocabulary_slot(key, tokenizer->tokens_shift - CW_FILTER_LOG2);
  if (!(tokenizer->filter[bit / 64] >> bit % 64 & 1)) return CW_NO_TOKEN;
  uint32_t slot = cw_vocabulary_slot(key, tokenizer->tokens_shift), mask = UINT32_MAX >> (tokenizer->tokens_shift - 32);
  for (;; slot = (slot + 1) & mask) {
    const struct cw_token_slot *found = &tokenizer->tokens[slot];
    if (found->head == head && found->size == size) {
      if (size <= 8 || memcmp(tokenizer->bytes + tokenizer->start[found->token] + 8, text + 8, size - 8) == 0) return found->token;
    }
    if (found->size == 0) return CW_NO_TOKEN;
  }
}

/* Whether `left` and `right` may stand next to each other: byte pair encoding of their joined bytes gives the two again, looking
 * only at merges before `bound` (CW_NO_TOKEN: all).
 *
 * The merges inside both are undone from the latest on. Meanwhile the two tokens at the border are those that met there at that time:
 * if a merge of them comes before both were merged further (the left one of two equal merges comes first), it had been made. */
static inline int cw_vocabulary_adjacent(const struct cw_tokenizer *tokenizer, uint32_t left, uint32_t right, uint32_t bound) {
  for (;;) {
    if (cw_vocabulary_pair(tokenizer, left, right) < bound) return 0;
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
