/* generate.c: see generate.h.
 *
 * With a draft, a step feeds the token that is known and guesses at those after it, and gets logits after each. Tokens are drawn from these
 * one after the other, exactly as if they had been fed one by one, as long as each is the one that had been guessed and fed; what
 * was fed beyond is forgotten. So the draws, their random numbers and the callback's calls are those of plain decoding. */
#include "sample/generate.h"

#include "sample/draft.h"

/* The logits at hand: row r is after the token fed r tokens after the first of the step. */
typedef struct {
  const cw_token_source *source;
  const cw_generate_request *request;
  cw_draft draft;
  const float *logits;          /* [rows, vocab_size] */
  uint32_t rows, row;           /* row: the one to draw from; those after it stand for guesses */
  int32_t fed[CW_STEP_MOST];    /* [rows] tokens of the step */
} window;

/* Forgets the guesses beyond the row that was drawn from last. */
static cw_status forget_rest(window *w) {
  uint32_t beyond = w->rows - 1 - w->row;
  w->rows -= beyond;
  return beyond > 0 ? w->source->forget(w->source->user, beyond) : CW_OK;
}

/* Writes guesses at the tokens after ids[0..count) behind the known one; a guess ends before a stop token, which is never fed. */
static uint32_t guess(window *w, uint32_t count) {
  const cw_generate_request *q = w->request;
  if (q->draft_count == 0) return 0;
  uint32_t most = w->source->step_most - 1, wanted = q->max_tokens - count - 1; /* after these and one more nothing is wanted */
  size_t length = cw_draft_guess(&w->draft, count, w->row, most < wanted ? most : wanted, w->fed + 1), kept = 0;
  while (kept < length && !cw_is_among(w->fed[1 + kept], q->stop_ids, q->stop_id_count)) kept++;
  w->draft.guessed = kept;
  return (uint32_t)kept;
}

/* Makes the row after ids[count - 1] the one to draw from: it is there when that token had been guessed. */
static cw_status advance(window *w, const int32_t *ids, uint32_t count, cw_generation *out) {
  const cw_token_source *source = w->source;
  int32_t known = ids[count - 1];
  if (w->row + 1 < w->rows && w->fed[w->row + 1] == known) {
    w->row++;
    out->accepted++;
    return CW_OK;
  }
  CW_TRY(forget_rest(w));
  uint32_t guesses = guess(w, count);
  w->fed[0] = known;
  cw_status fed = source->feed(source->user, w->fed, 1 + guesses);
  if (fed == CW_E_CAPACITY && guesses > 0) {
    w->draft.guessed = guesses = 0;
    fed = source->feed(source->user, w->fed, 1);
  }
  CW_TRY(fed);
  w->rows = 1 + guesses;
  w->row = 0;
  out->steps++;
  out->drafted += guesses;
  return source->logits(source->user, w->rows, &w->logits);
}

/* The loop; leaves guesses that were not needed fed. */
static cw_status run(window *w, cw_answer *answer) {
  const cw_token_source *source = w->source;
  cw_generation *made = &answer->made;
  while (!answer->ended) {
    cw_status ready = made->count > 0 ? advance(w, answer->ids, made->count, made) : source->logits(source->user, 1, &w->logits);
    if (ready == CW_E_CAPACITY) break;
    CW_TRY(ready);
    CW_TRY(cw_answer_add(answer, w->logits + (size_t)w->row * source->vocab_size, source->decode, source->user));
  }
  return CW_OK;
}

cw_status cw_generate_from(const cw_token_source *source, cw_sampler *sampler, const cw_generate_request *q, int32_t *ids,
                           cw_generation *out) {
  cw_answer answer;
  CW_TRY(cw_answer_begin(&answer, q, sampler, source->vocab_size, ids));
  window w = {.source = source, .request = q, .rows = 1};
  cw_draft_begin(&w.draft, q->draft_ids, q->draft_count, ids);
  cw_status status = run(&w, &answer), forgotten = forget_rest(&w);
  *out = answer.made;
  return status == CW_OK ? forgotten : status;
}
