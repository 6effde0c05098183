/* bpe.c: exact byte pair encoding of one piece, in two ways.
 *
 * Short pieces are merged as the definition says, the pair of the lowest rank first: a search per merge, over a few neighbours.
 *
 * Long ones would take quadratic time so. But in a vocabulary where every token is the encoding of its own bytes, a row of tokens is
 * the encoding of its bytes exactly when each two neighbours are (the observation behind GitHub's "bpe" crate). So we look for such a
 * row: the longest token first, a shorter prefix when the neighbours do not fit, one token back when nothing fits. Each beginning of
 * the piece has one encoding, hence one way to be reached, so every position is entered at most once and the search is linear
 * without remembering where it has been. */
#include "text/bpe.h"

#define SPILL 256 /* tokens tried beyond `capacity`, on ways that turn out wrong */

/* Merges a piece of at most CW_MERGE_MAX bytes; returns the number of its tokens, which are the first of parts[size]. */
static size_t merge(const struct cw_tokenizer *tokenizer, const uint8_t *piece, size_t size, uint32_t *parts) {
  uint32_t merged[CW_MERGE_MAX]; /* the token that part i and the one after it make, or CW_NO_TOKEN: tokens are ranks */
  for (size_t at = 0; at < size; at++) parts[at] = tokenizer->special_count + piece[at];
  for (size_t at = 0; at + 1 < size; at++) merged[at] = cw_vocabulary_byte_pair(tokenizer, piece[at], piece[at + 1]);
  for (size_t count = size; count > 1; count--) {
    size_t where = 0;
    uint32_t best = merged[0];
    for (size_t at = 1; at + 1 < count; at++) {
      where = merged[at] < best ? at : where;
      best = merged[at] < best ? merged[at] : best;
    }
    if (best == CW_NO_TOKEN) return count;
    parts[where] = best;
    for (size_t at = where + 1; at + 1 < count; at++) {
      parts[at] = parts[at + 1];
      merged[at - 1] = merged[at];
    }
    if (where + 2 < count) merged[where] = cw_vocabulary_pair(tokenizer, best, parts[where + 1]);
    if (where > 0) merged[where - 1] = cw_vocabulary_pair(tokenizer, parts[where - 1], best);
  }
  return 1;
}

/* Whether `token` may follow `before`; everything may follow CW_NO_TOKEN. */
static int may_follow(const struct cw_tokenizer *tokenizer, uint32_t before, uint32_t token) {
  return before == CW_NO_TOKEN || cw_vocabulary_adjacent(tokenizer, before, token, CW_NO_TOKEN);
}

/* Longest token at the start of text[0..readable) of at most `limit` bytes that may follow `before`, or CW_NO_TOKEN. */
static uint32_t next_token(const struct cw_tokenizer *tokenizer, const uint8_t *text, size_t limit, size_t readable, uint32_t before) {
  size_t longest = (size_t)tokenizer->longest[text[0]] + 1, size = limit < longest ? limit : longest;
  cw_word bytes = cw_load_16(text, readable);
  uint32_t byte = tokenizer->special_count + text[0], sizes = tokenizer->sizes[cw_sizes_slot(bytes.head)] | 0xC; /* 2 and 3 are not in it */
  for (; size > CW_WORD_MAX; size--) {
    uint32_t token = sizes >> 15 ? cw_vocabulary_long(tokenizer, text, size) : CW_NO_TOKEN;
    if (token != CW_NO_TOKEN && may_follow(tokenizer, before, token)) return token;
  }
  for (sizes &= (2u << size) - 1; sizes != 0; sizes ^= 1u << size) {
    size = 31 - (size_t)__builtin_clz(sizes);
    uint32_t token = cw_vocabulary_word(tokenizer, cw_word_cut(bytes.head, bytes.tail, size));
    if (token != CW_NO_TOKEN && may_follow(tokenizer, before, token)) return token;
  }
  return limit > 0 && may_follow(tokenizer, before, byte) ? byte : CW_NO_TOKEN;
}

cw_status cw_bpe_search(const struct cw_tokenizer *tokenizer, const uint8_t *piece, size_t size, size_t readable, int32_t *ids,
                        size_t capacity, size_t *count) {
  const uint32_t *start = tokenizer->start;
  int32_t spill[SPILL];
  size_t at = 0, made = 0, limit = size;
  uint32_t before = CW_NO_TOKEN;
  for (;;) {
    uint32_t token = next_token(tokenizer, piece + at, limit, readable - at, before);
    if (token != CW_NO_TOKEN) {
      if (made < capacity) ids[made] = (int32_t)token;
      else if (made - capacity < SPILL) spill[made - capacity] = (int32_t)token;
      else return CW_E_CAPACITY;
      made++;
      at += start[token + 1] - start[token];
      if (at == size) break;
      before = token;
      limit = size - at;
    } else { /* nothing may follow `before` here, so it was wrong: shorter ones in its place */
      if (made == 0) return CW_E_FORMAT; /* cw_vocabulary_complete accepts no such vocabulary */
      size_t tried = start[before + 1] - start[before];
      at -= tried;
      limit = tried - 1;
      made--;
      if (made == 0) before = CW_NO_TOKEN;
      else before = (uint32_t)(made <= capacity ? ids[made - 1] : spill[made - 1 - capacity]);
    }
  }
  if (made > capacity) return CW_E_CAPACITY;
  *count = made;
  return CW_OK;
}

cw_status cw_bpe_encode(const struct cw_tokenizer *tokenizer, const uint8_t *piece, size_t size, size_t readable, int32_t *ids,
                        size_t capacity, size_t *count) {
  if (size > CW_MERGE_MAX) return cw_bpe_search(tokenizer, piece, size, readable, ids, capacity, count);
  uint32_t aside[CW_MERGE_MAX], *parts = capacity < size ? aside : (uint32_t *)ids;
  size_t made = merge(tokenizer, piece, size, parts);
  if (made > capacity) return CW_E_CAPACITY;
  if (parts == aside) memcpy(ids, parts, made * sizeof *ids);
  *count = made;
  return CW_OK;
}
