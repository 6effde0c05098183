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

/* Adds the merge that makes `token` to the tables. */
static cw_status add_merge(struct cw_tokenizer *tokenizer, uint32_t token, cw_fault *fault) {
  uint32_t left = tokenizer->parts[token][0], right = tokenizer->parts[token][1];
  if (!cw_vocabulary_adjacent(tokenizer, left, right, token)) {
    return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: token %u is never produced, earlier merges split its bytes another way", token);
  }
  uint64_t key = (uint64_t)left << 20 | right;
  uint32_t slot = cw_vocabulary_slot(key, tokenizer->pairs_shift), mask = UINT32_MAX >> (tokenizer->pairs_shift - 32);
  while (tokenizer->pairs[slot] != UINT64_MAX) slot = (slot + 1) & mask;
  tokenizer->pairs[slot] = key << 20 | token;

  uint8_t *bytes = tokenizer->bytes + tokenizer->start[token];
  uint32_t left_size = token_size(tokenizer, left), size = token_size(tokenizer, token);
  memcpy(bytes, tokenizer->bytes + tokenizer->start[left], left_size);
  memcpy(bytes + left_size, tokenizer->bytes + tokenizer->start[right], size - left_size);
  uint64_t head = cw_vocabulary_head(bytes, size, size + 8);
  key = cw_vocabulary_key(bytes, size, head);
  uint32_t bit = cw_vocabulary_slot(key, tokenizer->tokens_shift - CW_FILTER_LOG2);
  tokenizer->filter[bit / 64] |= (uint64_t)1 << bit % 64;
  slot = cw_vocabulary_slot(key, tokenizer->tokens_shift);
  mask = UINT32_MAX >> (tokenizer->tokens_shift - 32);
  while (tokenizer->tokens[slot].size != 0) slot = (slot + 1) & mask;
  tokenizer->tokens[slot] = (struct cw_token_slot){head, token, size};
  if (size - 1 > tokenizer->longest[bytes[0]]) tokenizer->longest[bytes[0]] = (uint8_t)(size - 1);
  return CW_OK;
}

cw_status cw_vocabulary_build(struct cw_tokenizer *tokenizer, const uint8_t *merges, cw_fault *fault) {
  size_t size = tokenizer->size;
  uint32_t *words = tokenizer->tables[0] = malloc((3 * size + 1) * sizeof *words);
  if (words == NULL) return cw_fault_set(fault, CW_E_MEMORY, "tokenizer: no memory for %zu tokens", size);
  tokenizer->parts = (uint32_t(*)[2])words;
  tokenizer->start = words + 2 * size;
  CW_TRY(read_merges(tokenizer, merges, fault));

  uint32_t slots = slots_log2(tokenizer->size - tokenizer->first_merge);
  size_t pairs_size = sizeof(uint64_t) << slots, tokens_size = sizeof(struct cw_token_slot) << slots, filter_size = (size_t)1 << (slots + CW_FILTER_LOG2 - 3);
  uint8_t *block = tokenizer->tables[1] = calloc(1, tokens_size + filter_size + pairs_size + tokenizer->start[size] + 8);
  if (block == NULL) return cw_fault_set(fault, CW_E_MEMORY, "tokenizer: no memory for %zu tokens", size);
  tokenizer->tokens = (struct cw_token_slot *)block;
  tokenizer->filter = (uint64_t *)(block + tokens_size);
  tokenizer->pairs = memset(block + tokens_size + filter_size, 0xFF, pairs_size);
  tokenizer->bytes = (uint8_t *)tokenizer->pairs + pairs_size;
  tokenizer->pairs_shift = tokenizer->tokens_shift = 64 - slots;
  for (uint32_t byte = 0; byte < 256; byte++) tokenizer->bytes[byte] = (uint8_t)byte;
  for (uint32_t token = tokenizer->first_merge; token < tokenizer->size; token++) CW_TRY(add_merge(tokenizer, token, fault));
  return CW_OK;
}

void cw_vocabulary_free(struct cw_tokenizer *tokenizer) {
  free(tokenizer->tables[0]);
  free(tokenizer->tables[1]);
}
