/* draft.c: see draft.h. The constants are the best of a simulation over the answers to 550 held-out edits, greedy and drawn, with a
 * row more costing 5, 10 and 20% of a pass; the figures move by a few percent around them. */
#include "sample/draft.h"

enum {
  FIRST = 16,      /* tokens of the first guess */
  AFTER_SHORT = 4, /* of one after a match of few tokens, */
  AFTER_LONG = 8,  /* and of LONG tokens or more */
  LONG = 4,
  MATCH_MOST = 8, /* tokens that a match is followed back */
  NEAR = 24,      /* so near to where the answer left the source, one token is a match */
  FAR_NEEDED = 2
};

void cw_draft_begin(cw_draft *d, const int32_t *source, size_t source_count, const int32_t *answer) {
  *d = (cw_draft){.source = source, .source_count = source_count, .answer = answer, .following = 1, .length = FIRST, .needed = 1};
}

/* How many tokens before text[place] are the last of the answer. */
static size_t match(const cw_draft *d, const int32_t *text, size_t place) {
  size_t most = place < d->count ? place : d->count, length = 0;
  if (most > MATCH_MOST) most = MATCH_MOST;
  while (length < most && text[place - 1 - length] == d->answer[d->count - 1 - length]) length++;
  return length;
}

static size_t distance(size_t a, size_t b) { return a > b ? a - b : b - a; }

/* Looks for a place to go on at. */
static void find_place(cw_draft *d) {
  const int32_t last = d->answer[d->count - 1];
  size_t longest = 0;
  for (size_t place = 1; place < d->source_count; place++) {
    if (d->source[place - 1] != last) continue;
    size_t length = match(d, d->source, place), far = distance(place, d->left_source);
    if (length < d->needed || (length < FAR_NEEDED && far > NEAR)) continue;
    if (length < longest || (length == longest && far >= distance(d->cursor, d->left_source))) continue;
    longest = length;
    d->cursor = place;
    d->in_answer = 0;
  }
  for (size_t place = d->count - 1; place > 0 && longest < MATCH_MOST; place--) { /* the latest first */
    if (d->answer[place - 1] != last) continue;
    size_t length = match(d, d->answer, place);
    if (length < d->needed || length < FAR_NEEDED || length <= longest) continue;
    longest = length;
    d->cursor = place;
    d->in_answer = 1;
  }
  d->following = longest > 0;
  d->length = longest < LONG ? AFTER_SHORT : AFTER_LONG;
}

/* Compares the last guess with what came: `right` tokens of it, then answer[count - 1]. */
static void learn(cw_draft *d, size_t right) {
  if (!d->following) return;
  size_t end = d->in_answer ? d->count - 1 : d->source_count;
  d->cursor += right;
  if (d->guessed > 0) d->needed = right > 0 ? 1 : d->needed < MATCH_MOST ? d->needed + 1 : MATCH_MOST;
  int goes_on = right == d->guessed && d->cursor < end && (d->in_answer ? d->answer : d->source)[d->cursor] == d->answer[d->count - 1];
  if (goes_on) {
    d->cursor++;
    if (d->guessed > 0) d->length = 2 * d->length < CW_DRAFT_MOST ? 2 * d->length : CW_DRAFT_MOST;
  }
  if (!d->in_answer) d->left_source = d->cursor;
  d->following = goes_on;
}

size_t cw_draft_guess(cw_draft *d, size_t count, size_t right, size_t most, int32_t *out) {
  d->count = count;
  learn(d, right);
  if (!d->following) find_place(d);
  size_t length = !d->following ? 0 : d->length < most ? d->length : most;
  if (!d->in_answer && length > d->source_count - d->cursor) length = d->source_count - d->cursor;
  for (size_t i = 0; i < length; i++) { /* what repeats the answer may go on to repeat the guess */
    size_t place = d->cursor + i;
    out[i] = !d->in_answer ? d->source[place] : place < count ? d->answer[place] : out[place - count];
  }
  d->guessed = length;
  return length;
}
