/* generate_session.c: the token loop on a session of a model. */
#include "sample/generate.h"
#include "text/vocabulary.h"

_Static_assert(CW_TOKEN_SIZE_MOST >= CW_TOKEN_BYTES_MAX, "the loop holds any token that a tokenizer may have");

static cw_status session_logits(void *user, uint32_t count, const float **logits) { return cw_session_logits_rows(user, count, logits); }

static cw_status session_feed(void *user, const int32_t *ids, uint32_t count) { return cw_session_feed(user, ids, count); }

static cw_status session_forget(void *user, uint32_t count) { return cw_session_rewind(user, cw_session_length(user) - count); }

static cw_status session_decode(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size) {
  return cw_tokenizer_decode(cw_model_tokenizer(cw_session_model(user)), &id, 1, 0, out, capacity, size);
}

cw_status cw_generate(cw_session *session, cw_sampler *sampler, const cw_generate_request *request, int32_t *ids, cw_generation *out) {
  if (session == NULL || request == NULL || out == NULL) return CW_E_ARGUMENT;
  cw_model_info info;
  cw_model_describe(cw_session_model(session), &info);
  cw_token_source source = {session,      info.vocab_size, CW_STEP_MOST,  session_logits,
                            session_feed, session_forget,  session_decode};
  cw_generation result;
  CW_TRY(cw_generate_from(&source, sampler, request, ids, &result));
  *out = result;
  return CW_OK;
}
