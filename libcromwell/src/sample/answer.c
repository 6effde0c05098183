/* answer.c: see answer.h. */
#include "sample/answer.h"

#include "sample/sampler.h"

int cw_is_among(int32_t id, const int32_t *ids, size_t count) {
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

cw_status cw_answer_begin(cw_answer *a, const cw_generate_request *q, cw_sampler *sampler, uint32_t vocab_size, uint32_t room,
                          int32_t *ids) {
  if (sampler == NULL || cw_sampler_vocab_size(sampler) != vocab_size || (ids == NULL && q->max_tokens > 0)) return CW_E_ARGUMENT;
  if (!are_tokens(q->stop_ids, q->stop_id_count, vocab_size) || !are_tokens(q->draft_ids, q->draft_count, vocab_size)) return CW_E_ARGUMENT;
  *a = (cw_answer){.sampler = sampler, .request = q, .ids = ids, .made = {.reason = CW_STOP_LENGTH}, .ended = q->max_tokens == 0};
  a->most = q->max_tokens > 0 && q->max_tokens - 1 > room ? room + 1 : q->max_tokens;
  return cw_stop_begin(&a->stop, q->stop_strings, q->stop_sizes, q->stop_string_count);
}

cw_status cw_answer_add(cw_answer *a, int32_t id, float log_probability, cw_decode_fn decode, void *user) {
  const cw_generate_request *q = a->request;
  a->log_probability_sum += log_probability;
  a->made.log_probability_sum = (float)a->log_probability_sum;
  if (cw_is_among(id, q->stop_ids, q->stop_id_count)) {
    a->made.reason = CW_STOP_TOKEN;
    a->ended = 1;
    return CW_OK;
  }
  CW_TRY(cw_sampler_accept(a->sampler, &id, 1));
  a->ids[a->made.count++] = id;

  uint8_t bytes[CW_TOKEN_SIZE_MOST];
  size_t size;
  CW_TRY(decode(user, id, bytes, sizeof bytes, &size));
  int found = cw_stop_push(&a->stop, bytes, size);
  int refused = q->on_token != NULL && q->on_token(q->user, id) != 0;
  a->made.text_size = a->stop.text_size;
  if (found || refused) a->made.reason = found ? CW_STOP_STRING : CW_STOP_CALLER;
  a->ended = found || refused || a->made.count == a->most;
  return CW_OK;
}
