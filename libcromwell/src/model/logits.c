/* logits.c: logits of tokens that were fed, from the rows that their blocks keep for the head. */
#include <math.h>
#include <string.h>

#include "model/session.h"

/* Copies the head's input of one token to row `row` of the `rows` that products read. */
static void gather(const cw_session *host, const cw_session *s, uint32_t position, uint32_t row, uint32_t rows) {
  uint32_t A = s->model->config.ar.hidden, place = position % CW_BLOCK;
  uint8_t *block = s->blocks[position / CW_BLOCK];
  size_t offset = s->model->layout.last;
  if (!s->model->layout.last_quantised) {
    memcpy(host->buffers.h + (size_t)row * A, cw_block_floats(block, offset) + (size_t)place * A, A * sizeof(float));
    return;
  }
  cw_block_take_row(block, offset, place, A, cw_q8_shaped(host->run.input, rows), row);
}

static const float *kept_row(const cw_session *s, size_t offset, uint32_t position, uint32_t size) {
  return cw_block_floats(s->blocks[position / CW_BLOCK], offset) + (size_t)(position % CW_BLOCK) * size;
}

/* How well the answer at `position` points at the instruction's token t. */
static float match(const cw_session *s, const float *query, uint32_t t) {
  const float *key = kept_row(s, s->model->layout.point_k, t, CW_POINT);
  float sum = 0;
  for (uint32_t i = 0; i < CW_POINT; i++) sum += query[i] * key[i];
  return sum / sqrtf(CW_POINT) + s->model->weights.point_bias[s->alignment.tokens[t].mention];
}

/* `gain` shared out over the tokens of the instruction by a softmax of their matches: found twice rather than kept. */
static void add_pointed(const cw_session *s, uint32_t position, float gain, float *logits) {
  const cw_aligned *at = &s->alignment.tokens[position];
  const float *query = kept_row(s, s->model->layout.point_q, position, CW_POINT);
  float most = -INFINITY, total = 0;
  for (uint32_t t = at->instruction; t < at->instruction_end; t++) {
    float here = match(s, query, t);
    if (here > most) most = here;
  }
  for (uint32_t t = at->instruction; t < at->instruction_end; t++) total += expf(match(s, query, t) - most);
  for (uint32_t t = at->instruction; t < at->instruction_end; t++)
    logits[cw_align_form(s, at, t)] += gain * expf(match(s, query, t) - most) / total;
}

/* Adds to a token's logits what its candidates and what it points at have. */
static void add_scores(cw_session *s, uint32_t position, float *logits) {
  if (s->alignment.tokens == NULL) return;
  cw_align_to(s, position + 1);
  const cw_aligned *at = &s->alignment.tokens[position];
  if (at->place < 0) return;
  const float *scores = kept_row(s, s->model->layout.scores, position, CW_CANDIDATES + 1);
  for (uint32_t c = 0; c < CW_CANDIDATES; c++) logits[at->candidates[c]] += scores[c];
  add_pointed(s, position, scores[CW_CANDIDATES], logits);
}

static void compute(cw_session *host, cw_session *const *sessions, const uint32_t *counts, uint32_t count, uint32_t rows,
                    const float **logits) {
  const cw_config *config = &host->model->config;
  cw_product head = {.w = &host->model->weights.head, .y = host->logits};
  cw_q8_rows input = cw_q8_of(cw_q8_shaped(host->run.input, rows));
  if (host->model->layout.last_quantised)
    cw_products_q8(&host->run, rows, &input, &head, 1, 0);
  else
    cw_products(&host->run, rows, host->buffers.h, &head, 1, 0);
  float *row = host->logits;
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t left = counts == NULL ? 1 : counts[i]; left > 0; left--, row += config->vocab_size)
      add_scores(sessions[i], sessions[i]->length - left, row);
  if (config->logit_softcap > 0) host->run.kernels->softcap(host->logits, (size_t)rows * config->vocab_size, config->logit_softcap);
  cw_trace(&host->run, "logits", -1, host->logits, rows, config->vocab_size);
  *logits = host->logits;
}

cw_status cw_session_logits_in(cw_session *host, cw_session *const *sessions, const uint32_t *counts, uint32_t count,
                               const float **logits) {
  if (host == NULL || logits == NULL || count < 1 || count > CW_SESSIONS_MOST) return CW_E_ARGUMENT;
  uint32_t rows = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t here = counts == NULL ? 1 : counts[i];
    if (sessions[i] == NULL || sessions[i]->model != host->model) return CW_E_ARGUMENT;
    if (here > sessions[i]->length || here > CW_PASS_MOST - rows) return CW_E_ARGUMENT;
    rows += here;
  }
  if (rows == 0) return CW_E_ARGUMENT;
  for (uint32_t i = 0, row = 0; i < count; i++) {
    uint32_t left = counts == NULL ? 1 : counts[i];
    for (; left > 0; left--) gather(host, sessions[i], sessions[i]->length - left, row++, rows);
  }
  compute(host, sessions, counts, count, rows, logits);
  return CW_OK;
}

cw_status cw_session_logits_each(cw_session *const *sessions, const uint32_t *counts, uint32_t count, const float **logits) {
  return sessions == NULL || count < 1 ? CW_E_ARGUMENT : cw_session_logits_in(sessions[0], sessions, counts, count, logits);
}

cw_status cw_session_logits_rows(cw_session *s, uint32_t count, const float **logits) {
  return cw_session_logits_in(s, &s, &count, 1, logits);
}

cw_status cw_session_logits(cw_session *s, const float **logits) { return cw_session_logits_rows(s, 1, logits); }
