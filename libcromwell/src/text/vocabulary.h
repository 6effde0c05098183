/* vocabulary.h: the tables that encoding and decoding read, made from the merges of a tokenizer section. */
#ifndef CW_TEXT_VOCABULARY_H
#define CW_TEXT_VOCABULARY_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "cromwell.h"

#define CW_NO_TOKEN UINT32_MAX
#define CW_TOKEN_BYTES_MAX 256 /* longest token of a section */

#define CW_WORD_MAX 13         /* longest token that is looked up as a cw_word */
#define CW_FILTER_LOG2 3       /* filter bits for each slot of the table of merges: 8, so that one absent pair in 16 passes */
#define CW_SIZES_LOG2 13       /* places in the table of sizes */

/* Up to 13 bytes as two numbers. In the table of words the top 20 bits of `tail` hold the token; a tail of 0 is an empty slot. */
typedef struct {
  uint64_t head; /* bytes 0..7, little-endian, zeros after the last */
  uint64_t tail; /* bytes 8..12, and their number in bits 40..43 */
} cw_word;

struct cw_token_slot {
  uint64_t head;        /* the first 8 bytes */
  uint32_t token, size; /* size 0 where the slot is empty */
};

/* Ids: special tokens, then the 256 bytes, then one token a merge. So a smaller id was merged earlier, and the parts of a merge
 * are smaller than the merge. */
struct cw_tokenizer {
  uint32_t special_count;
  uint32_t first_merge; /* special_count + 256 */
  uint32_t size;        /* tokens */
  uint64_t fingerprint; /* the section's checksum */
  const char *names;    /* special_count strings, one after another; in the section */
  void *memory[2];      /* of `parts` and `start`, and of the tables for encoding */
  uint32_t (*parts)[2]; /* [size] left and right part of a merge */
  uint32_t *start;      /* [size + 1] bytes of token t are bytes[start[t] .. start[t + 1]) */
  uint8_t *bytes;       /* and 16 bytes that may be read */

  /* For encoding only, made by the first who needs them: filling them takes longer than all else that opening a model does. */
  pthread_mutex_t making;
  atomic_int made;      /* 1 when they are there, -1 when that failed */
  cw_status status;     /* of making them */
  uint64_t *pairs;      /* hash table of merges: left << 40 | right << 20 | merge, all ones where empty */
  uint64_t *filter;     /* bits by hash of a pair: 0 where no merge has that hash */
  uint32_t *byte_pairs; /* [256 * 256] by first byte + 256 * second: 1 + the token that they make, or 0 */
  cw_word *words;       /* hash table of tokens of at most CW_WORD_MAX bytes, by their bytes */
  struct cw_token_slot *tokens;                    /* hash table of longer tokens */
  uint32_t pairs_shift, words_shift, tokens_shift; /* 64 - log2(slots) */
  uint16_t sizes[1 << CW_SIZES_LOG2]; /* by hash of 4 bytes: bit s, some token of s bytes begins so; bit 15, some longer than a word */
  uint8_t longest[256];               /* size of the longest token that begins with a byte, less 1 */
};

/* Makes what decoding reads of `tokenizer`, whose counts are set and whose other fields are zero, from `merges`: little-endian pairs of
 * ids. CW_E_FORMAT for merges of later or special tokens. After a failure, too, the caller frees it. */
cw_status cw_vocabulary_build(struct cw_tokenizer *tokenizer, const uint8_t *merges, cw_fault *fault);
void cw_vocabulary_free(struct cw_tokenizer *tokenizer);
/* Makes what encoding reads, unless it is there. CW_E_FORMAT for merges that training cannot have written. Any thread may call it. */
cw_status cw_vocabulary_complete(const struct cw_tokenizer *tokenizer, cw_fault *fault);
/* cw_tokenizer_open without that. */
cw_status cw_tokenizer_open_incomplete(const void *bytes, size_t size, struct cw_tokenizer **out, cw_fault *fault);

/* First slot to look for `key` in a table of 2^(64 - shift) slots (Fibonacci hashing: Knuth, TAOCP 3, 6.4). */
static inline uint32_t cw_vocabulary_slot(uint64_t key, uint32_t shift) { return (uint32_t)(key * 0x9E3779B97F4A7C15u >> shift); }

/* The token that merges `left` and `right`, or CW_NO_TOKEN. */
static inline uint32_t cw_vocabulary_pair(const struct cw_tokenizer *tokenizer, uint32_t left, uint32_t right) {
  uint64_t key = (uint64_t)left << 20 | right;
  uint32_t bit = cw_vocabulary_slot(key, tokenizer->pairs_shift - CW_FILTER_LOG2);
  if (!(tokenizer->filter[bit / 64] >> bit % 64 & 1)) return CW_NO_TOKEN;
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

/* What of 16 bytes is a word's, by the word's size, and that size where `tail` holds it. */
typedef struct {
  uint64_t head, tail, size;
} cw_word_mask;

extern const cw_word_mask cw_word_masks[CW_WORD_MAX + 1];

/* The first `size` <= CW_WORD_MAX of the 16 bytes in `head` and `tail`. */
static inline cw_word cw_word_cut(uint64_t head, uint64_t tail, size_t size) {
  const cw_word_mask *mask = &cw_word_masks[size];
  return (cw_word){head & mask->head, (tail & mask->tail) | mask->size};
}

/* The 16 bytes at `text`, of which `readable` may be read; zeros for others. */
static inline cw_word cw_load_16(const uint8_t *text, size_t readable) {
  if (readable >= 16) return (cw_word){cw_load_u64(text), cw_load_u64(text + 8)};
  uint8_t copy[16] = {0};
  memcpy(copy, text, readable);
  return (cw_word){cw_load_u64(copy), cw_load_u64(copy + 8)};
}

static inline uint64_t cw_word_hash(cw_word word) { return (word.head * 0xBF58476D1CE4E5B9u ^ word.tail) * 0x9E3779B97F4A7C15u; }

/* The token that two bytes make, or CW_NO_TOKEN. */
static inline uint32_t cw_vocabulary_byte_pair(const struct cw_tokenizer *tokenizer, uint8_t left, uint8_t right) {
  return tokenizer->byte_pairs[left | right << 8] - 1;
}

/* The token whose bytes are those of `word`, or CW_NO_TOKEN. */
static inline uint32_t cw_vocabulary_word(const struct cw_tokenizer *tokenizer, cw_word word) {
  uint32_t mask = UINT32_MAX >> (tokenizer->words_shift - 32);
  for (uint32_t slot = (uint32_t)(cw_word_hash(word) >> tokenizer->words_shift);; slot = (slot + 1) & mask) {
    cw_word found = tokenizer->words[slot];
    if (found.head == word.head && found.tail << 20 == word.tail << 20) return (uint32_t)(found.tail >> 44);
    if (found.tail == 0) return CW_NO_TOKEN;
  }
}

/* Hash of text[0..size), size >= 8. */
static inline uint64_t cw_long_hash(const uint8_t *text, size_t size) {
  uint64_t mixed = cw_load_u64(text) * 0xBF58476D1CE4E5B9u ^ (cw_load_u64(text + size - 8) + size) * 0x94D049BB133111EBu;
  return (mixed ^ mixed >> 32) * 0x9E3779B97F4A7C15u;
}

/* The token whose bytes are text[0..size), size > CW_WORD_MAX, or CW_NO_TOKEN. */
static inline uint32_t cw_vocabulary_long(const struct cw_tokenizer *tokenizer, const uint8_t *text, size_t size) {
  uint64_t head = cw_load_u64(text);
  uint32_t mask = UINT32_MAX >> (tokenizer->tokens_shift - 32);
  for (uint32_t slot = (uint32_t)(cw_long_hash(text, size) >> tokenizer->tokens_shift);; slot = (slot + 1) & mask) {
    const struct cw_token_slot *found = &tokenizer->tokens[slot];
    if (found->head == head && found->size == size) {
      if (memcmp(tokenizer->bytes + tokenizer->start[found->token] + 8, text + 8, size - 8) == 0) return found->token;
    }
    if (found->size == 0) return CW_NO_TOKEN;
  }
}

/* The token whose bytes are text[0..size), or CW_NO_TOKEN; `readable` >= size >= 1 bytes may be read. */
static inline uint32_t cw_vocabulary_token(const struct cw_tokenizer *tokenizer, const uint8_t *text, size_t size, size_t readable) {
  if (size > CW_WORD_MAX) return cw_vocabulary_long(tokenizer, text, size);
  cw_word bytes = cw_load_16(text, readable);
  return cw_vocabulary_word(tokenizer, cw_word_cut(bytes.head, bytes.tail, size));
}

/* Place in sizes[] of tokens whose first four bytes are the low ones of `head`. */
static inline uint32_t cw_sizes_slot(uint64_t head) { return (uint32_t)head * 0x9E3779B1u >> (32 - CW_SIZES_LOG2); }

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
