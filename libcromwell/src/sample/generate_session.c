/* generate_session.c: the token loop on a session of a model. */
#include "sample/generate.h"
#include "text/vocabulary.h"

_Static_assert(CW_TOKEN_SIZE_MOST >= CW_TOKEN_BYTES_MAX, "the loop holds any token that a tokenizer may have");

static cw_status session_logits(void *user, const float **logits) { return cw_session_logits(user, logits); }

static cw_status session_feed(void *user, int32_t id) { return cw_session_feed(user, &id, 1); }

static cw_status session_decode(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size) {
  return cw_tokenizer_decode(cw_model_tokenizer(cw_session_model(user)), &id, 1, 0, out, capacity, size);
}

cw_status cw_generate(cw_session *session, cw_sampler *sampler, const int32_t *stop_ids, size_t stop_id_count,
                      const uint8_t *const *stop_strings, const size_t *stop_sizes, size_t stop_string_count, uint32_t max_tokens,
                      cw_token_fn on_token, void *user, int32_t *ids, uint32_t *count, size_t *text_size, float *log_probability_sum,
                      cw_stop_reason *reason) {
  if (session == NULL || count == NULL || reason == NULL) return CW_E_ARGUMENT;
  cw_model_info info;
  cw_model_describe(cw_session_model(session), &info);
  cw_token_source source = {session, info.vocab_size, session_logits, session_feed, session_decode};
  cw_generate_request request = {stop_ids,   stop_id_count, stop_strings, stop_sizes, stop_string_count,
                                 max_tokens, on_token,      user};
  cw_generate_result result;
  CW_TRY(cw_generate_from(&source, sampler, &request, ids, &result));
  *count = result.count;
  *reason = result.reason;
  if (text_size != NULL) *text_size = result.text_size;
  if (log_probability_sum != NULL) *log_probability_sum = (float)result.log_probability_sum;
  return CW_OK;
}
