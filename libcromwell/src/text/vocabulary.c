/* vocabulary.c: makes the tables of vocabulary.h.
 *
 * A section holds only merges, and everything else follows from them, so that no two tables can disagree. What is checked here
 * is what the encoder relies on: parts come before their merge, no pair is merged twice, and every token is what byte pair
 * encoding makes of its own bytes. */
#include "text/vocabulary.h"

#include <stdlib.h>

#include "fault.h"

static uint32_t load_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* log2 of the slots of a hash table at most half full. */
static uint32_t slots_log2(uint32_t entries) {
  uint32_t log2 = 4;
  while (((uint64_t)1 << log2) < 2 * (uint64_t)entries) log2++;
  return log2;
}

static uint32_t token_size(const struct cw_tokenizer *tokenizer, uint32_t token) {
  return tokenizer->start[token + 1] - tokenizer->start[token];
}

/* Reads `merges` into parts[] and start[]. */
static cw_status read_merges(struct cw_tokenizer *tokenizer, const uint8_t *merges, cw_fault *fault) {
  uint32_t special_count = tokenizer->special_count, *start = tokenizer->start;
  start[0] = 0;
  for (uint32_t token = 0; token < tokenizer->first_merge; token++) start[token + 1] = start[token] + (token >= special_count);
  for (uint32_t token = tokenizer->first_merge; token < tokenizer->size; token++, merges += 8) {
    uint32_t left = load_u32(merges), right = load_u32(merges + 4);
    if (left < special_count || left >= token || right < special_count || right >= token) {
      return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: token %u merges %u and %u, not both bytes or tokens before it", token, left, right);
    }
    uint32_t size = token_size(tokenizer, left) + token_size(tokenizer, right);
    if (size > CW_TOKEN_BYTES_MAX) {
      return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: token %u has %u bytes, more than %d", token, size, CW_TOKEN_BYTES_MAX);
    }
    tokenizer->parts[token][0] = left;
    tokenizer->parts[token][1] = right;
    start[token + 1] = start[token] + size;
  }
  return CW_OK;
}

#define LOW_BYTES(n) ((n) >= 8 ? UINT64_MAX : ((uint64_t)1 << 8 * ((n) & 7)) - 1)
#define WORD_MASK(n) {LOW_BYTES(n), LOW_BYTES((n) < 8 ? 0 : (n) - 8), (uint64_t)(n) << 40}
const cw_word_mask cw_word_masks[CW_WORD_MAX + 1] = {
    WORD_MASK(0), WORD_MASK(1), WORD_MASK(2), WORD_MASK(3),  WORD_MASK(4),  WORD_MASK(5),  WORD_MASK(6),
    WORD_MASK(7), WORD_MASK(8), WORD_MASK(9), WORD_MASK(10), WORD_MASK(11), WORD_MASK(12), WORD_MASK(13),
};

/* Puts the bytes of all tokens into bytes[]. */
static void write_bytes(struct cw_tokenizer *tokenizer) {
  for (uint32_t byte = 0; byte < 256; byte++) tokenizer->bytes[byte] = (uint8_t)byte;
  for (uint32_t token = tokenizer->first_merge; token < tokenizer->size; token++) {
    uint32_t left = tokenizer->parts[token][0], right = tokenizer->parts[token][1], left_size = token_size(tokenizer, left);
    uint8_t *bytes = tokenizer->bytes + tokenizer->start[token];
    memcpy(bytes, tokenizer->bytes + tokenizer->start[left], left_size);
    memcpy(bytes + left_size, tokenizer->bytes + tokenizer->start[right], token_size(tokenizer, right));
  }
}

/* Adds the merge that makes `token`. */
static void add_pair(struct cw_tokenizer *tokenizer, uint32_t token) {
  uint64_t key = (uint64_t)tokenizer->parts[token][0] << 20 | tokenizer->parts[token][1];
  uint32_t bit = cw_vocabulary_slot(key, tokenizer->pairs_shift - CW_FILTER_LOG2);
  tokenizer->filter[bit / 64] |= (uint64_t)1 << bit % 64;
  uint32_t slot = cw_vocabulary_slot(key, tokenizer->pairs_shift), mask = UINT32_MAX >> (tokenizer->pairs_shift - 32);
  while (tokenizer->pairs[slot] != UINT64_MAX) slot = (slot + 1) & mask;
  tokenizer->pairs[slot] = key << 20 | token;
  const uint8_t *bytes = tokenizer->bytes + tokenizer->start[token];
  if (token_size(tokenizer, token) == 2) tokenizer->byte_pairs[bytes[0] | bytes[1] << 8] = token + 1;
}

/* Adds `token` to the table of words or to that of longer tokens. */
static void add_token(struct cw_tokenizer *tokenizer, uint32_t token) {
  const uint8_t *bytes = tokenizer->bytes + tokenizer->start[token];
  uint32_t size = token_size(tokenizer, token);
  cw_word first = {cw_load_u64(bytes), cw_load_u64(bytes + 8)};
  if (size <= CW_WORD_MAX) {
    cw_word word = cw_word_cut(first.head, first.tail, size);
    uint32_t slot = (uint32_t)(cw_word_hash(word) >> tokenizer->words_shift), mask = UINT32_MAX >> (tokenizer->words_shift - 32);
    while (tokenizer->words[slot].tail != 0) slot = (slot + 1) & mask;
    tokenizer->words[slot] = (cw_word){word.head, word.tail | (uint64_t)token << 44};
  } else {
    uint32_t slot = (uint32_t)(cw_long_hash(bytes, size) >> tokenizer->tokens_shift), mask = UINT32_MAX >> (tokenizer->tokens_shift - 32);
    while (tokenizer->tokens[slot].size != 0) slot = (slot + 1) & mask;
    tokenizer->tokens[slot] = (struct cw_token_slot){first.head, token, size};
  }
  if (size >= 4) tokenizer->sizes[cw_sizes_slot(first.head)] |= (uint16_t)(1u << (size <= CW_WORD_MAX ? size : 15));
  if (size - 1 > tokenizer->longest[bytes[0]]) tokenizer->longest[bytes[0]] = (uint8_t)(size - 1);
}

/* Sets the sizes of the tables for encoding and takes the memory for them. */
static cw_status take_tables(struct cw_tokenizer *tokenizer, cw_fault *fault) {
  uint32_t merges = tokenizer->size - tokenizer->first_merge, words = 256;
  for (uint32_t token = tokenizer->first_merge; token < tokenizer->size; token++) words += token_size(tokenizer, token) <= CW_WORD_MAX;
  uint32_t pairs_log2 = slots_log2(merges), words_log2 = slots_log2(words), tokens_log2 = slots_log2(merges + 256 - words);
  size_t words_size = sizeof(cw_word) << words_log2, tokens_size = sizeof(struct cw_token_slot) << tokens_log2;
  size_t filter_size = (size_t)1 << (pairs_log2 + CW_FILTER_LOG2 - 3), pairs_size = sizeof(uint64_t) << pairs_log2;
  size_t byte_pairs_size = 256 * 256 * sizeof(uint32_t);
  uint8_t *block = calloc(1, words_size + tokens_size + filter_size + pairs_size + byte_pairs_size);
  if (block == NULL) return cw_fault_set(fault, CW_E_MEMORY, "tokenizer: no memory for %u tokens", tokenizer->size);
  tokenizer->memory[1] = block;
  tokenizer->words = (cw_word *)block;
  tokenizer->tokens = (struct cw_token_slot *)(block += words_size);
  tokenizer->filter = (uint64_t *)(block += tokens_size);
  tokenizer->pairs = memset(block += filter_size, 0xFF, pairs_size);
  tokenizer->byte_pairs = (uint32_t *)(block += pairs_size);
  tokenizer->pairs_shift = 64 - pairs_log2;
  tokenizer->words_shift = 64 - words_log2;
  tokenizer->tokens_shift = 64 - tokens_log2;
  return CW_OK;
}

cw_status cw_vocabulary_build(struct cw_tokenizer *tokenizer, const uint8_t *merges, cw_fault *fault) {
  size_t size = tokenizer->size;
  pthread_mutex_init(&tokenizer->making, NULL);
  uint32_t *words = tokenizer->memory[0] = malloc((3 * size + 1) * sizeof *words);
  if (words == NULL) return cw_fault_set(fault, CW_E_MEMORY, "tokenizer: no memory for %zu tokens", size);
  tokenizer->parts = (uint32_t(*)[2])words;
  tokenizer->start = words + 2 * size;
  CW_TRY(read_merges(tokenizer, merges, fault));
  tokenizer->bytes = calloc(1, (size_t)tokenizer->start[size] + 16);
  if (tokenizer->bytes == NULL) return cw_fault_set(fault, CW_E_MEMORY, "tokenizer: no memory for %zu tokens", size);
  write_bytes(tokenizer);
  return CW_OK;
}

static cw_status make_tables(struct cw_tokenizer *tokenizer, cw_fault *fault) {
  CW_TRY(take_tables(tokenizer, fault));
  for (uint32_t token = tokenizer->special_count; token < tokenizer->size; token++) add_token(tokenizer, token);
  for (uint32_t token = tokenizer->first_merge; token < tokenizer->size; token++) add_pair(tokenizer, token);
  for (uint32_t token = tokenizer->first_merge; token < tokenizer->size; token++) {
    if (!cw_vocabulary_adjacent(tokenizer, tokenizer->parts[token][0], tokenizer->parts[token][1], token)) {
      return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: token %u is never produced, earlier merges split its bytes another way", token);
    }
  }
  return CW_OK;
}

cw_status cw_vocabulary_complete(const struct cw_tokenizer *shared, cw_fault *fault) {
  if (atomic_load_explicit(&shared->made, memory_order_acquire) == 1) return CW_OK;
  struct cw_tokenizer *tokenizer = (struct cw_tokenizer *)(uintptr_t)shared; /* nobody reads these fields before they are made */
  pthread_mutex_lock(&tokenizer->making);
  if (atomic_load(&tokenizer->made) == 0) {
    tokenizer->status = make_tables(tokenizer, fault);
    atomic_store_explicit(&tokenizer->made, tokenizer->status == CW_OK ? 1 : -1, memory_order_release);
  } else if (tokenizer->status != CW_OK) {
    cw_fault_set(fault, tokenizer->status, "tokenizer: cannot be used to encode");
  }
  cw_status status = tokenizer->status;
  pthread_mutex_unlock(&tokenizer->making);
  return status;
}

void cw_vocabulary_free(struct cw_tokenizer *tokenizer) {
  free(tokenizer->memory[0]);
  free(tokenizer->memory[1]);
  free(tokenizer->bytes);
}
