/* vocabulary.c: makes the tables of vocabulary.h.
 *
 * A section holds only merges, and everything else follows from them, so that no two tables can disagree. What is checked here
 * is what the encoder relies on: parts come before their merge, no pair is merged twice, and every token is what byte pair
 * encoding makes of its own bytes. */
#include "text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define TREE_NODES_MAX (1u << 24) /* an edge slot holds 24 bits of a node */

/* The prefix tree while it grows. */
struct tree {
  uint32_t *node_of;  /* [size] node where a token ends */
  uint32_t *token_of; /* [nodes] token that ends there, or CW_NO_TOKEN */
  uint32_t *parent;   /* [nodes] */
  uint32_t nodes;
};

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

/* Reads `merges` into parts[] and sizes into start[]; *nodes bounds the nodes of the prefix tree. */
static cw_status read_merges(struct cw_tokenizer *tokenizer, const uint8_t *merges, uint32_t *nodes, cw_fault *fault) {
  uint32_t special_count = tokenizer->special_count, *start = tokenizer->start;
  *nodes = 256;
  for (uint32_t token = 0; token < tokenizer->first_merge; token++) start[token + 1] = start[token] + (token >= special_count);
  for (uint32_t token = tokenizer->first_merge; token < tokenizer->size; token++, merges += 8) {
    uint32_t left = load_u32(merges), right = load_u32(merges + 4);
    if (left < special_count || left >= token || right < special_count || right >= token) {
      return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: token %u merges %u and %u, not both bytes or tokens before it", token, left, right);
    }
    uint32_t size = token_size(tokenizer, left) + token_size(tokenizer, right);
    if (size > CW_TOKEN_BYTES_MAX) return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: token %u has %u bytes, at most %d are read", token, size, CW_TOKEN_BYTES_MAX);
    if (start[token] + size > TREE_NODES_MAX - 256) return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: tokens are too long in sum");
    tokenizer->parts[token][0] = left;
    tokenizer->parts[token][1] = right;
    start[token + 1] = start[token] + size;
    *nodes += token_size(tokenizer, right);
  }
  return CW_OK;
}

/* The child of `node` for `byte`, added when it is not there. */
static uint32_t tree_child(struct cw_tokenizer *tokenizer, struct tree *tree, uint32_t node, uint8_t byte) {
  uint64_t key = (uint64_t)node << 8 | byte;
  uint32_t slot = cw_vocabulary_slot(key, tokenizer->edges_shift), mask = UINT32_MAX >> (tokenizer->edges_shift - 32);
  for (; tokenizer->edges[slot] != UINT64_MAX; slot = (slot + 1) & mask) {
    if (tokenizer->edges[slot] >> 24 == key) return (uint32_t)(tokenizer->edges[slot] & 0xFFFFFF);
  }
  tokenizer->edges[slot] = key << 24 | tree->nodes;
  tree->token_of[tree->nodes] = CW_NO_TOKEN;
  tree->parent[tree->nodes] = node;
  return tree->nodes++;
}

/* Adds the merge that makes `token` to the tables. */
static cw_status add_merge(struct cw_tokenizer *tokenizer, struct tree *tree, uint32_t token, cw_fault *fault) {
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
  uint32_t node = tree->node_of[left];
  for (uint32_t at = left_size; at < size; at++) node = tree_child(tokenizer, tree, node, bytes[at]);
  tree->node_of[token] = node;
  tree->token_of[node] = token;
  return CW_OK;
}

/* Fills longest[] and shorter[] once the tree is complete. */
static void find_prefixes(struct cw_tokenizer *tokenizer, const struct tree *tree) {
  for (uint32_t node = 0; node < tree->nodes; node++) { /* parents come first */
    uint32_t token = tree->token_of[node], above = node < 256 ? CW_NO_TOKEN : tokenizer->longest[tree->parent[node]];
    tokenizer->longest[node] = token == CW_NO_TOKEN ? above : token;
    if (token != CW_NO_TOKEN) tokenizer->shorter[token] = above;
  }
}

static cw_status build(struct cw_tokenizer *tokenizer, struct tree *tree, cw_fault *fault) {
  uint8_t *bytes = tokenizer->bytes;
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t token = tokenizer->special_count + byte;
    bytes[byte] = (uint8_t)byte;
    tree->node_of[token] = byte;
    tree->token_of[byte] = token;
  }
  tree->nodes = 256;
  for (uint32_t token = tokenizer->first_merge; token < tokenizer->size; token++) CW_TRY(add_merge(tokenizer, tree, token, fault));
  find_prefixes(tokenizer, tree);
  return CW_OK;
}

cw_status cw_vocabulary_build(struct cw_tokenizer *tokenizer, const uint8_t *merges, cw_fault *fault) {
  size_t size = tokenizer->size;
  uint32_t nodes;
  uint32_t *words = tokenizer->tables[0] = malloc((4 * size + 1) * sizeof *words);
  if (words == NULL) return cw_fault_set(fault, CW_E_MEMORY, "tokenizer: no memory for %zu tokens", size);
  tokenizer->parts = (uint32_t(*)[2])words;
  tokenizer->shorter = words + 2 * size;
  tokenizer->start = words + 3 * size;
  tokenizer->start[0] = 0;
  CW_TRY(read_merges(tokenizer, merges, &nodes, fault));

  uint32_t pairs_log2 = slots_log2(tokenizer->size - tokenizer->first_merge), edges_log2 = slots_log2(nodes);
  size_t pairs_size = sizeof(uint64_t) << pairs_log2, edges_size = sizeof(uint64_t) << edges_log2;
  uint8_t *block = tokenizer->tables[1] = malloc(pairs_size + edges_size + nodes * sizeof(uint32_t) + tokenizer->start[size]);
  struct tree tree = {.node_of = malloc((size + 2 * (size_t)nodes) * sizeof(uint32_t))};
  if (block == NULL || tree.node_of == NULL) {
    free(tree.node_of);
    return cw_fault_set(fault, CW_E_MEMORY, "tokenizer: no memory for %zu tokens", size);
  }
  memset(block, 0xFF, pairs_size + edges_size);
  tokenizer->pairs = (uint64_t *)block;
  tokenizer->edges = (uint64_t *)(block + pairs_size);
  tokenizer->longest = (uint32_t *)(block + pairs_size + edges_size);
  tokenizer->bytes = (uint8_t *)(tokenizer->longest + nodes);
  tokenizer->pairs_shift = 64 - pairs_log2;
  tokenizer->edges_shift = 64 - edges_log2;
  tree.token_of = tree.node_of + size;
  tree.parent = tree.token_of + nodes;
  cw_status status = build(tokenizer, &tree, fault);
  free(tree.node_of);
  return status;
}

void cw_vocabulary_free(struct cw_tokenizer *tokenizer) {
  free(tokenizer->tables[0]);
  free(tokenizer->tables[1]);
}
