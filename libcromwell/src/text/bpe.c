/* bpe.c: exact byte pair encoding by backtracking.
 *
 * Merging pairs in order, as the definition says, costs a search per merge. But in a vocabulary where every token is the encoding
 * of its own bytes, a row of tokens is the encoding of its bytes exactly when each two neighbours are (the observation behind
 * GitHub's "bpe" crate). So we look for such a row: the longest token first, a shorter prefix when the neighbours do not fit,
 * one token back when nothing fits. Each beginning of the piece has one encoding, hence one way to be reached, so every position
 * is entered at most once and the search is linear without remembering where it has been. */
#include "text/bpe.h"

#define SPILL 256 /* tokens tried beyond `capacity`, on ways that turn out wrong */

/* Longest token at the start of text[0..size) of at most `limit` bytes that may follow `before`, or CW_NO_TOKEN. */
static uint32_t next_token(const struct cw_tokenizer *tokenizer, const uint8_t *text, size_t limit, size_t readable, uint32_t before) {
  for (size_t size = limit; size > 0; size--) {
    uint32_t token = cw_vocabulary_token(tokenizer, text, size, readable);
    if (token == CW_NO_TOKEN) continue;
    if (before == CW_NO_TOKEN || cw_vocabulary_adjacent(tokenizer, before, token, CW_NO_TOKEN)) return token;
  }
  return CW_NO_TOKEN;
}

cw_status cw_bpe_encode(const struct cw_tokenizer *tokenizer, const uint8_t *piece, size_t size, size_t readable, int32_t *ids,
                        size_t capacity, size_t *count) {
  const uint32_t *start = tokenizer->start;
  int32_t spill[SPILL];
  size_t at = 0, made = 0, limit = size;
  uint32_t before = CW_NO_TOKEN;
  for (;;) {
    size_t longest = (size_t)tokenizer->longest[piece[at]] + 1;
    uint32_t token = next_token(tokenizer, piece + at, limit < longest ? limit : longest, readable - at, before);
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
      if (made == 0) return CW_E_FORMAT; /* cw_vocabulary_build accepts no such vocabulary */
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
