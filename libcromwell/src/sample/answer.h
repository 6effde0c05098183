/* answer.h: one answer as it grows, token by token: sampling, stopping, reporting. Where logits come from is the caller's business. */
#ifndef CW_SAMPLE_ANSWER_H
#define CW_SAMPLE_ANSWER_H

#include "sample/stop.h"

enum { CW_TOKEN_SIZE_MOST = 256 /* decoded bytes of one token */ };

/* The bytes of a token, special ones none. */
typedef cw_status (*cw_decode_fn)(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size);

typedef struct {
  cw_sampler *sampler;
  const cw_generate_request *request;
  cw_stop stop;
  int32_t *ids;  /* [most] */
  uint32_t most; /* tokens there may be */
  cw_generation made;
  double log_probability_sum;
  int ended;
} cw_answer;

/* `room` tokens can be fed: there may be one more. CW_E_ARGUMENT for anything in the request that is out of its range. */
cw_status cw_answer_begin(cw_answer *answer, const cw_generate_request *request, cw_sampler *sampler, uint32_t vocab_size, uint32_t room,
                          int32_t *ids);

/* Takes the next token, drawn with its sampler; sets `ended` at a stop, or when `most` are there. */
cw_status cw_answer_add(cw_answer *answer, int32_t id, float log_probability, cw_decode_fn decode, void *user);

int cw_is_among(int32_t id, const int32_t *ids, size_t count);

#endif
