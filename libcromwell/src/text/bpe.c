/* bpe.c: exact byte pair encoding by backtracking.
 *
 * Merging pairs in order, as the definition says, costs a search per merge. But in a vocabulary where every token is the encoding
 * of its own bytes, a row of tokens is the encoding of its bytes exactly when each two neighbours are (the observation behind
 * GitHub's "bpe" crate). So we look for such a row: the longest token first, a shorter prefix when the neighbours do not fit,
 * one token back when nothing fits. Each beginning of the piece has one encoding, hence one way to be reached, so every position
 * is entered at most once and the search is linear without remembering where it has been. */
#include "text/bpe.h"

#define SPILL 256 /* tokens tried beyond `capacity`, on ways that turn out wrong */

cw_status cw_bpe_encode(const struct cw_tokenizer *tokenizer, const uint8_t *piece, size_t size, int32_t *ids, size_t capacity,
                        size_t *count) {
  const uint32_t *start = tokenizer->start;
  int32_t spill[SPILL];
  size_t at = 0, made = 0;
  uint32_t before = CW_NO_TOKEN, token = cw_vocabulary_longest(tokenizer, piece, size);
  for (;;) {
    while (before != CW_NO_TOKEN && token != CW_NO_TOKEN && !cw_vocabulary_adjacent(tokenizer, before, token, CW_NO_TOKEN)) {
      token = tokenizer->shorter[token];
    }
    if (token != CW_NO_TOKEN) {
      if (made < capacity) ids[made] = (int32_t)token;
      else if (made - capacity < SPILL) spill[made - capacity] = (int32_t)token;
      else return CW_E_CAPACITY;
      made++;
      at += start[token + 1] - start[token];
      if (at == size) break;
      before = token;
      token = cw_vocabulary_longest(tokenizer, piece + at, size - at);
    } else {
      if (made == 0) return CW_E_FORMAT; /* cw_vocabulary_build accepts no such vocabulary */
      token = before;
      made--;
      if (made == 0) before = CW_NO_TOKEN;
      else before = (uint32_t)(made <= capacity ? ids[made - 1] : spill[made - 1 - capacity]);
      at -= start[token + 1] - start[token];
      token = tokenizer->shorter[token];
    }
  }
  if (made > capacity) return CW_E_CAPACITY;
  *count = made;
  return CW_OK;
}
