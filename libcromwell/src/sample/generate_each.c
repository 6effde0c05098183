/* generate_each.c: several answers at a time, a token each a pass. Every answer has its own sampler and draws what it would
 * draw alone; one that has ended leaves the others to go on. */
#include "sample/generate.h"

/* Feeds the last token of each answer that goes on; one without room ends. */
static cw_status feed(const cw_sequences *s, cw_answer *answers, uint32_t *numbers, uint32_t *count) {
  int32_t last[CW_STEP_MOST];
  uint32_t fed_count = 0;
  for (uint32_t i = 0; i < *count; i++) last[i] = answers[numbers[i]].ids[answers[numbers[i]].made.count - 1];
  cw_status fed = s->feed(s->user, numbers, last, *count);
  if (fed != CW_E_CAPACITY) {
    fed_count = *count;
    CW_TRY(fed);
  } else { /* nothing was fed: find out who has room */
    for (uint32_t i = 0; i < *count; i++) {
      cw_status alone = s->feed(s->user, &numbers[i], &last[i], 1);
      if (alone == CW_OK)
        numbers[fed_count++] = numbers[i];
      else if (alone == CW_E_CAPACITY)
        answers[numbers[i]].ended = 1;
      else
        return alone;
    }
  }
  for (uint32_t i = 0; i < fed_count; i++) answers[numbers[i]].made.steps++;
  *count = fed_count;
  return CW_OK;
}

cw_status cw_generate_each_from(const cw_sequences *s, cw_sampler *const *samplers, const cw_generate_request *requests, uint32_t count,
                                int32_t *const *ids, cw_generation *out) {
  if (count < 1 || count > CW_STEP_MOST) return CW_E_ARGUMENT;
  cw_answer answers[CW_STEP_MOST];
  uint32_t numbers[CW_STEP_MOST], running = 0;
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t j = 0; j < i; j++) {
      if (samplers[i] == samplers[j]) return CW_E_ARGUMENT; /* draws of one would depend on the other */
    }
    CW_TRY(cw_answer_begin(&answers[i], &requests[i], samplers[i], s->vocab_size, ids[i]));
    if (!answers[i].ended) numbers[running++] = i;
  }
  for (int first = 1; running > 0; first = 0) {
    if (!first) CW_TRY(feed(s, answers, numbers, &running));
    if (running == 0) break;
    const float *rows[CW_STEP_MOST];
    CW_TRY(s->logits(s->user, numbers, running, rows));
    uint32_t left = 0;
    for (uint32_t i = 0; i < running; i++) {
      cw_answer *answer = &answers[numbers[i]];
      CW_TRY(cw_answer_add(answer, rows[i], s->decode, s->user));
      if (!answer->ended) numbers[left++] = numbers[i];
    }
    running = left;
  }
  for (uint32_t i = 0; i < count; i++) out[i] = answers[i].made;
  return CW_OK;
}
