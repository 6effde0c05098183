/* generate_session.c: the token loops on sessions of a model. */
#include "model/session.h"
#include "sample/generate.h"
#include "text/vocabulary.h"

_Static_assert(CW_TOKEN_SIZE_MOST >= CW_TOKEN_BYTES_MAX, "the loop holds any token that a tokenizer may have");
_Static_assert((int)CW_STEP_MOST <= (int)CW_LOGIT_ROWS, "a session gives the logits of every token of a step");

static uint32_t vocab_size(const cw_session *session) { return cw_session_model(session)->config.vocab_size; }

static cw_status decode(const cw_session *session, int32_t id, uint8_t *out, size_t capacity, size_t *size) {
  return cw_tokenizer_decode(cw_model_tokenizer(cw_session_model(session)), &id, 1, 0, out, capacity, size);
}

/* ---- One session */

static cw_status one_logits(void *user, uint32_t count, const float **logits) { return cw_session_logits_rows(user, count, logits); }

static cw_status one_feed(void *user, const int32_t *ids, uint32_t count) { return cw_session_feed(user, ids, count); }

static cw_status one_forget(void *user, uint32_t count) { return cw_session_rewind(user, cw_session_length(user) - count); }

static cw_status one_decode(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size) {
  return decode(user, id, out, capacity, size);
}

cw_status cw_generate(cw_session *session, cw_sampler *sampler, const cw_generate_request *request, int32_t *ids, cw_generation *out) {
  if (session == NULL || request == NULL || out == NULL) return CW_E_ARGUMENT;
  cw_token_source source = {session, vocab_size(session), CW_STEP_MOST, one_logits, one_feed, one_forget, one_decode};
  cw_generation made;
  CW_TRY(cw_generate_from(&source, sampler, request, ids, &made));
  *out = made;
  return CW_OK;
}

/* ---- Several sessions */

static cw_status each_logits(void *user, const uint32_t *numbers, uint32_t count, const float **rows) {
  cw_session *const *sessions = user, *those[CW_STEP_MOST] = {sessions[numbers[0]]};
  for (uint32_t i = 0; i < count; i++) those[i] = sessions[numbers[i]];
  const float *logits;
  CW_TRY(cw_session_logits_each(those, count, &logits));
  for (uint32_t i = 0; i < count; i++) rows[i] = logits + (size_t)i * vocab_size(those[0]);
  return CW_OK;
}

/* A pass runs in the buffers of the first session, which must have room for all: that is the roomiest. */
static cw_status each_feed(void *user, const uint32_t *numbers, const int32_t *ids, uint32_t count) {
  cw_session *const *sessions = user, *those[CW_STEP_MOST] = {sessions[numbers[0]]};
  int32_t tokens[CW_STEP_MOST];
  uint32_t host = 0;
  for (uint32_t i = 0; i < count; i++) {
    those[i] = sessions[numbers[i]];
    tokens[i] = ids[i];
    if (those[i]->max_tokens > those[host]->max_tokens) host = i;
  }
  cw_session *first = those[0];
  those[0] = those[host], those[host] = first;
  tokens[0] = ids[host], tokens[host] = ids[0];
  return cw_session_feed_each(those, tokens, count);
}

static cw_status each_copy(void *user, uint32_t to, uint32_t from) {
  cw_session *const *sessions = user;
  return cw_session_copy(sessions[to], sessions[from]);
}

static cw_status each_decode(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size) {
  return decode(*(cw_session *const *)user, id, out, capacity, size);
}

/* Sequences over sessions; CW_E_ARGUMENT when these do not go together. */
static cw_status sequences_of(cw_session *const *sessions, uint32_t count, cw_sequences *out) {
  if (sessions == NULL || count < 1 || count > CW_STEP_MOST) return CW_E_ARGUMENT;
  for (uint32_t i = 0; i < count; i++) {
    if (sessions[i] == NULL || sessions[i]->model != sessions[0]->model) return CW_E_ARGUMENT;
    if (sessions[i]->guidance != sessions[0]->guidance) return CW_E_ARGUMENT;
    for (uint32_t j = 0; j < i; j++) {
      if (sessions[i] == sessions[j]) return CW_E_ARGUMENT;
    }
  }
  *out = (cw_sequences){(void *)sessions, vocab_size(sessions[0]), each_logits, each_feed, each_copy, each_decode};
  return CW_OK;
}

cw_status cw_generate_each(cw_session *const *sessions, cw_sampler *const *samplers, const cw_generate_request *requests, uint32_t count,
                           int32_t *const *ids, cw_generation *out) {
  if (samplers == NULL || requests == NULL || ids == NULL || out == NULL) return CW_E_ARGUMENT;
  cw_sequences sequences;
  CW_TRY(sequences_of(sessions, count, &sequences));
  return cw_generate_each_from(&sequences, samplers, requests, count, ids, out);
}

cw_status cw_beam_search(cw_beam *beam, cw_session *const *sessions, const cw_generate_request *request, uint32_t *found) {
  if (beam == NULL || request == NULL || found == NULL) return CW_E_ARGUMENT;
  cw_sequences sequences;
  CW_TRY(sequences_of(sessions, cw_beam_width(beam), &sequences));
  uint32_t prompt = cw_session_length(sessions[0]);
  cw_status status = cw_beam_search_from(beam, &sequences, request, found);
  for (uint32_t i = 0; i < cw_beam_width(beam); i++) {
    if (cw_session_length(sessions[i]) > prompt) CW_TRY(cw_session_rewind(sessions[i], prompt));
  }
  return status;
}
