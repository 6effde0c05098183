/* generate.c: see generate.h.
 *
 * With a draft, a step feeds the token that is known and guesses at those after it, and gets logits after each. Tokens are drawn from these
 * one after the other, exactly as if they had been fed one by one, as long as each is the one that had been guessed and fed; what
 * was fed beyond is forgotten. So the draws, their random numbers and the callback's calls are those of plain decoding. */
#include "sample/generate.h"

#include "sample/draft.h"
#include "sample/sampler.h"
#include "sample/stop.h"

/* The logits at hand: row r is after the token fed r tokens after the first of the step. */
typedef struct {
  const cw_token_source *source;
  const cw_generate_request *request;
  cw_draft draft;
  const float *logits;          /* [rows, vocab_size] */
  uint32_t rows, row;           /* row: the one to draw from; those after it stand for guesses */
  int32_t fed[CW_STEP_MOST];    /* [rows] tokens of the step */
} window;

static int is_among(int32_t id, const int32_t *ids, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (ids[i] == id) return 1;
  }
  return 0;
}

static int are_tokens(const int32_t *ids, size_t count, uint32_t vocab_size) {
  if (ids == NULL) return count == 0;
  for (size_t i = 0; i < count; i++) {
    if (ids[i] < 0 || (uint32_t)ids[i] >= vocab_size) return 0;
  }
  return 1;
}

static cw_status check(const cw_token_source *source, const cw_sampler *sampler, const cw_generate_request *q, const int32_t *ids) {
  if (sampler == NULL || cw_sampler_vocab_size(sampler) != source->vocab_size || (ids == NULL && q->max_tokens > 0)) return CW_E_ARGUMENT;
  int sound = are_tokens(q->stop_ids, q->stop_id_count, source->vocab_size) && are_tokens(q->draft_ids, q->draft_count, source->vocab_size);
  return sound ? CW_OK : CW_E_ARGUMENT;
}

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
  while (kept < length && !is_among(w->fed[1 + kept], q->stop_ids, q->stop_id_count)) kept++;
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
static cw_status run(window *w, cw_sampler *sampler, cw_stop *stop, int32_t *ids, cw_generation *out) {
  const cw_token_source *source = w->source;
  const cw_generate_request *q = w->request;
  double log_probability_sum = 0;
  while (out->count < q->max_tokens) {
    cw_status ready = out->count > 0 ? advance(w, ids, out->count, out) : source->logits(source->user, 1, &w->logits);
    if (ready == CW_E_CAPACITY) break;
    CW_TRY(ready);
    int32_t id;
    float log_probability;
    CW_TRY(cw_sampler_next(sampler, w->logits + (size_t)w->row * source->vocab_size, &id, &log_probability));
    log_probability_sum += log_probability;
    out->log_probability_sum = (float)log_probability_sum;
    if (is_among(id, q->stop_ids, q->stop_id_count)) {
      out->reason = CW_STOP_TOKEN;
      break;
    }
    CW_TRY(cw_sampler_accept(sampler, &id, 1));
    ids[out->count++] = id;

    uint8_t bytes[CW_TOKEN_SIZE_MOST];
    size_t size;
    CW_TRY(source->decode(source->user, id, bytes, sizeof bytes, &size));
    int found = cw_stop_push(stop, bytes, size);
    int refused = q->on_token != NULL && q->on_token(q->user, id) != 0;
    if (found || refused) {
      out->reason = found ? CW_STOP_STRING : CW_STOP_CALLER;
      break;
    }
  }
  out->text_size = stop->text_size;
  return CW_OK;
}

cw_status cw_generate_from(const cw_token_source *source, cw_sampler *sampler, const cw_generate_request *q, int32_t *ids,
                           cw_generation *out) {
  CW_TRY(check(source, sampler, q, ids));
  cw_stop stop;
  CW_TRY(cw_stop_begin(&stop, q->stop_strings, q->stop_sizes, q->stop_string_count));
  *out = (cw_generation){.reason = CW_STOP_LENGTH};
  window w = {.source = source, .request = q, .rows = 1};
  cw_draft_begin(&w.draft, q->draft_ids, q->draft_count, ids);
  cw_status status = run(&w, sampler, &stop, ids, out), forgotten = forget_rest(&w);
  return status == CW_OK ? forgotten : status;
}
