/* encode.c: text to ids.
 *
 * Most pieces of real text are a token themselves and cost one look into the table of words. Most of the others have stood in the same
 * text before (names come back), so the places of the last thousand such pieces are kept, and their ids copied. Only what is left is
 * encoded. What is kept lives on the stack of the call: handles stay read-only and no call depends on another. */
#include "fault.h"
#include "text/bpe.h"
#include "text/pieces.h"
#include "text/starts.h"

#define SEEN_LOG2 10
#define GROUP 4 /* ids copied at a time */

/* A piece of several tokens earlier in the text; size 0 where there is none. */
struct seen {
  uint32_t at;  /* text[at .. at + size) is the piece */
  uint32_t ids; /* ids[ids .. ids + count) are its tokens */
  uint8_t size, count;
};

struct run {
  const cw_tokenizer *tokenizer;
  const uint8_t *text;
  size_t size;
  int32_t *ids;
  size_t capacity, count; /* of ids */
  struct seen seen[1 << SEEN_LOG2];
};

/* Appends the tokens of text[at..end), any piece. */
static cw_status append_piece(struct run *run, size_t at, size_t end) {
  uint32_t token = cw_vocabulary_token(run->tokenizer, run->text + at, end - at, run->size - at);
  size_t made = 1;
  int32_t *ids = run->ids + run->count;
  if (token != CW_NO_TOKEN && run->count < run->capacity) ids[0] = (int32_t)token;
  else CW_TRY(cw_bpe_encode(run->tokenizer, run->text + at, end - at, run->size - at, ids, run->capacity - run->count, &made));
  run->count += made;
  return CW_OK;
}

/* Appends the tokens of text[at..end), a piece of at most UINT8_MAX bytes that is no token of at most CW_WORD_MAX, for which there is
 * room and GROUP - 1 places more; 16 bytes from `at` on may be read. */
static __attribute__((noinline)) cw_status append_again(struct run *run, size_t at, size_t end) {
  size_t size = end - at;
  const uint8_t *text = run->text + at;
  uint64_t hash = size > CW_WORD_MAX ? cw_long_hash(text, size) : cw_word_hash(cw_word_cut(cw_load_u64(text), cw_load_u64(text + 8), size));
  struct seen *seen = &run->seen[hash >> (64 - SEEN_LOG2)];
  int32_t *ids = run->ids + run->count;
  if (seen->size == size && memcmp(run->text + seen->at, text, size) == 0) {
    for (size_t first = 0; first < seen->count; first += GROUP) { /* all tokens wanted lie before run->count, so none is overwritten */
      int32_t group[GROUP];
      memcpy(group, run->ids + seen->ids + first, sizeof group);
      memcpy(ids + first, group, sizeof group);
    }
    run->count += seen->count;
    return CW_OK;
  }
  size_t made = 1;
  uint32_t token = size > CW_WORD_MAX ? cw_vocabulary_long(run->tokenizer, text, size) : CW_NO_TOKEN;
  if (token != CW_NO_TOKEN) ids[0] = (int32_t)token;
  else CW_TRY(cw_bpe_encode(run->tokenizer, text, size, run->size - at, ids, run->capacity - run->count, &made));
  if (at <= UINT32_MAX) *seen = (struct seen){(uint32_t)at, (uint32_t)run->count, (uint8_t)size, (uint8_t)made};
  run->count += made;
  return CW_OK;
}

/* Appends the tokens of all pieces that end in the window at text[at], which is the start of a piece; *at moves to the first that does
 * not. There is room for as many ids as the window has bytes, and GROUP - 1 more; 16 bytes after the window may be read. */
static inline cw_status append_window(struct run *run, size_t *at) {
  uint64_t starts = cw_piece_starts(run->text + *at) & ~(uint64_t)1;
  if (starts == 0) {
    size_t end = cw_piece_end(run->text, run->size, *at), size = end - *at;
    CW_TRY(size <= UINT8_MAX && run->capacity - run->count >= size + GROUP ? append_again(run, *at, end) : append_piece(run, *at, end));
    *at = end;
    return CW_OK;
  }
  size_t from = *at;
  for (; starts != 0; starts &= starts - 1) {
    size_t end = *at + (size_t)__builtin_ctzll(starts), size = end - from;
    uint32_t token = CW_NO_TOKEN;
    if (size <= CW_WORD_MAX) {
      const uint8_t *text = run->text + from;
      token = cw_vocabulary_word(run->tokenizer, cw_word_cut(cw_load_u64(text), cw_load_u64(text + 8), size));
    }
    if (token != CW_NO_TOKEN) run->ids[run->count++] = (int32_t)token;
    else CW_TRY(append_again(run, from, end));
    from = end;
  }
  *at = from;
  return CW_OK;
}

cw_status cw_tokenizer_encode(const cw_tokenizer *tokenizer, const uint8_t *text, size_t size, int32_t *ids, size_t capacity,
                              size_t *count) {
  if (tokenizer == NULL || (text == NULL && size > 0) || (ids == NULL && capacity > 0) || count == NULL) return CW_E_ARGUMENT;
  CW_TRY(cw_vocabulary_complete(tokenizer, NULL));
  struct run run = {.tokenizer = tokenizer, .text = text, .size = size, .ids = ids, .capacity = capacity};
  size_t at = 0;
  while (size - at >= CW_WINDOW + 16 && capacity - run.count >= CW_WINDOW + GROUP) CW_TRY(append_window(&run, &at));
  while (at < size) {
    size_t end = cw_piece_end(text, size, at);
    CW_TRY(append_piece(&run, at, end));
    at = end;
  }
  *count = run.count;
  return CW_OK;
}
