/* generate_session.c: the token loops on sessions of a model. */
#include "model/session.h"
#include "sample/generate.h"
#include "text/vocabulary.h"

_Static_assert(CW_TOKEN_SIZE_MOST >= CW_TOKEN_BYTES_MAX, "the loop holds any token that a tokenizer may have");
_Static_assert((int)CW_STEP_MOST <= (int)CW_PASS_MOST && (int)CW_SEQUENCES_MOST <= (int)CW_SESSIONS_MOST, "a pass takes any step");

/* Sessions, and the one whose buffers and threads are used: it has room for the positions of all. */
typedef struct {
  cw_session *const *sessions;
  cw_session *host;
} crowd;

static void pick(const crowd *c, const uint32_t *numbers, uint32_t count, cw_session **out) {
  for (uint32_t i = 0; i < count; i++) out[i] = c->sessions[numbers[i]];
}

static cw_status crowd_logits(void *user, const uint32_t *numbers, const uint32_t *counts, uint32_t count, const float **rows) {
  const crowd *c = user;
  cw_session *those[CW_SEQUENCES_MOST];
  pick(c, numbers, count, those);
  return cw_session_logits_in(c->host, those, counts, count, rows);
}

static cw_status crowd_feed(void *user, const uint32_t *numbers, const int32_t *ids, const uint32_t *counts, uint32_t count) {
  const crowd *c = user;
  cw_session *those[CW_SEQUENCES_MOST];
  pick(c, numbers, count, those);
  return cw_session_feed_in(c->host, those, ids, counts, count);
}

static cw_status crowd_forget(void *user, uint32_t number, uint32_t count) {
  cw_session *session = ((const crowd *)user)->sessions[number];
  return cw_session_rewind(session, cw_session_length(session) - count);
}

static cw_status crowd_copy(void *user, uint32_t to, uint32_t from, uint32_t count) {
  const crowd *c = user;
  return cw_session_copy(c->sessions[to], c->sessions[from], cw_session_length(c->sessions[from]) - count);
}

static uint32_t crowd_room(void *user, uint32_t number) {
  const cw_session *session = ((const crowd *)user)->sessions[number];
  return session->max_tokens - session->length;
}

static int crowd_are_same(void *user, uint32_t one, uint32_t other) {
  const crowd *c = user;
  return cw_session_shares_all(c->sessions[one], c->sessions[other]);
}

static cw_status crowd_decode(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size) {
  const crowd *c = user;
  return cw_tokenizer_decode(cw_model_tokenizer(cw_session_model(c->host)), &id, 1, 0, out, capacity, size);
}

/* CW_E_ARGUMENT for sessions that do not go together. */
static cw_status gather(cw_session *const *sessions, uint32_t count, crowd *out) {
  if (sessions == NULL || count < 1 || count > CW_SEQUENCES_MOST) return CW_E_ARGUMENT;
  crowd c = {.sessions = sessions, .host = sessions[0]};
  for (uint32_t i = 0; i < count; i++) {
    if (sessions[i] == NULL || sessions[i]->model != sessions[0]->model) return CW_E_ARGUMENT;
    if (sessions[i]->guidance != sessions[0]->guidance) return CW_E_ARGUMENT;
    for (uint32_t j = 0; j < i; j++)
      if (sessions[i] == sessions[j]) return CW_E_ARGUMENT;
    if (sessions[i]->max_tokens > c.host->max_tokens) c.host = sessions[i];
  }
  *out = c;
  return CW_OK;
}

static cw_sequences sequences_of(crowd *c) {
  return (cw_sequences){.user = c, .vocab_size = c->host->model->config.vocab_size, .step_most = CW_STEP_MOST, .logits = crowd_logits,
                        .feed = crowd_feed, .forget = crowd_forget, .copy = crowd_copy, .room = crowd_room, .are_same = crowd_are_same,
                        .decode = crowd_decode};
}

cw_status cw_generate_each(cw_session *const *sessions, cw_sampler *const *samplers, const cw_generate_request *requests, uint32_t count,
                           int32_t *const *ids, cw_generation *out) {
  if (samplers == NULL || requests == NULL || ids == NULL || out == NULL) return CW_E_ARGUMENT;
  crowd c;
  CW_TRY(gather(sessions, count, &c));
  cw_sequences sequences = sequences_of(&c);
  cw_generation made[CW_SEQUENCES_MOST];
  CW_TRY(cw_generate_from(&sequences, samplers, requests, count, ids, made));
  for (uint32_t i = 0; i < count; i++) out[i] = made[i];
  return CW_OK;
}

cw_status cw_generate(cw_session *session, cw_sampler *sampler, const cw_generate_request *request, int32_t *ids, cw_generation *out) {
  return cw_generate_each(&session, &sampler, request, 1, &ids, out);
}

cw_status cw_beam_search(cw_beam *beam, cw_session *const *sessions, const cw_generate_request *request, uint32_t *found) {
  if (beam == NULL || request == NULL || found == NULL) return CW_E_ARGUMENT;
  crowd c;
  CW_TRY(gather(sessions, cw_beam_width(beam), &c));
  cw_sequences sequences = sequences_of(&c);
  uint32_t prompt = cw_session_length(sessions[0]);
  cw_status status = cw_beam_search_from(beam, &sequences, request, found);
  for (uint32_t i = 0; i < cw_beam_width(beam); i++) {
    if (cw_session_length(sessions[i]) > prompt) CW_TRY(cw_session_rewind(sessions[i], prompt));
  }
  return status;
}
