/* generate.c: see generate.h. */
#include "sample/generate.h"

#include "sample/sampler.h"
#include "sample/stop.h"

static int is_among(int32_t id, const int32_t *ids, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (ids[i] == id) return 1;
  }
  return 0;
}

static cw_status check(const cw_token_source *source, const cw_sampler *sampler, const cw_generate_request *q, const int32_t *ids) {
  if (sampler == NULL || cw_sampler_vocab_size(sampler) != source->vocab_size) return CW_E_ARGUMENT;
  if ((q->stop_ids == NULL && q->stop_id_count > 0) || (ids == NULL && q->max_tokens > 0)) return CW_E_ARGUMENT;
  for (size_t i = 0; i < q->stop_id_count; i++) {
    if (q->stop_ids[i] < 0 || (uint32_t)q->stop_ids[i] >= source->vocab_size) return CW_E_ARGUMENT;
  }
  return CW_OK;
}

cw_status cw_generate_from(const cw_token_source *source, cw_sampler *sampler, const cw_generate_request *q, int32_t *ids,
                           cw_generate_result *result) {
  CW_TRY(check(source, sampler, q, ids));
  cw_stop stop;
  CW_TRY(cw_stop_begin(&stop, q->stop_strings, q->stop_sizes, q->stop_string_count));
  *result = (cw_generate_result){0, 0, 0, CW_STOP_LENGTH};

  while (result->count < q->max_tokens) {
    if (result->count > 0) { /* a token is fed when its successor is wanted */
      cw_status fed = source->feed(source->user, ids[result->count - 1]);
      if (fed == CW_E_CAPACITY) break;
      CW_TRY(fed);
    }
    const float *logits;
    CW_TRY(source->logits(source->user, &logits));
    int32_t id;
    float log_probability;
    CW_TRY(cw_sampler_next(sampler, logits, &id, &log_probability));
    result->log_probability_sum += log_probability;
    if (is_among(id, q->stop_ids, q->stop_id_count)) {
      result->reason = CW_STOP_TOKEN;
      break;
    }
    CW_TRY(cw_sampler_accept(sampler, &id, 1));
    ids[result->count++] = id;

    uint8_t bytes[CW_TOKEN_SIZE_MOST];
    size_t size;
    CW_TRY(source->decode(source->user, id, bytes, sizeof bytes, &size));
    int found = cw_stop_push(&stop, bytes, size);
    int refused = q->on_token != NULL && q->on_token(q->user, id) != 0;
    if (found || refused) {
      result->reason = found ? CW_STOP_STRING : CW_STOP_CALLER;
      break;
    }
  }
  result->text_size = stop.text_size;
  return CW_OK;
}
