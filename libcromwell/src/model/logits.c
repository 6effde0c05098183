/* logits.c: logits of tokens that were fed, from the rows that their blocks keep for the head. */
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

static void compute(cw_session *host, uint32_t rows, const float **logits) {
  const cw_config *config = &host->model->config;
  cw_product head = {.w = &host->model->weights.head, .y = host->logits};
  cw_q8_rows input = cw_q8_of(cw_q8_shaped(host->run.input, rows));
  if (host->model->layout.last_quantised)
    cw_products_q8(&host->run, rows, &input, &head, 1, 0);
  else
    cw_products(&host->run, rows, host->buffers.h, &head, 1, 0);
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
  compute(host, rows, logits);
  return CW_OK;
}

cw_status cw_session_logits_each(cw_session *const *sessions, const uint32_t *counts, uint32_t count, const float **logits) {
  return sessions == NULL || count < 1 ? CW_E_ARGUMENT : cw_session_logits_in(sessions[0], sessions, counts, count, logits);
}

cw_status cw_session_logits_rows(cw_session *s, uint32_t count, const float **logits) {
  return cw_session_logits_in(s, &s, &count, 1, logits);
}

cw_status cw_session_logits(cw_session *s, const float **logits) { return cw_session_logits_rows(s, 1, logits); }
