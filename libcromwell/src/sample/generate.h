/* generate.h: the token loop over anything that gives logits, so that it can be tested without a model. */
#ifndef CW_SAMPLE_GENERATE_H
#define CW_SAMPLE_GENERATE_H

#include "fault.h"

enum {
  CW_TOKEN_SIZE_MOST = 256, /* decoded bytes of one token */
  CW_STEP_MOST = 64         /* tokens fed at once, at most */
};

/* Where logits come from and tokens go to. */
typedef struct {
  void *user;
  uint32_t vocab_size;
  uint32_t step_most; /* tokens that may be fed at once, 1..CW_STEP_MOST */
  cw_status (*logits)(void *user, uint32_t count, const float **logits); /* of the last `count` tokens, float [count, vocab_size] */
  cw_status (*feed)(void *user, const int32_t *ids, uint32_t count);     /* CW_E_CAPACITY: no room, nothing was fed */
  cw_status (*forget)(void *user, uint32_t count);                       /* the last `count` tokens fed */
  cw_status (*decode)(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size);
} cw_token_source;

/* cw_generate over a source. `out` is meaningful only when CW_OK is returned. */
cw_status cw_generate_from(const cw_token_source *source, cw_sampler *sampler, const cw_generate_request *request, int32_t *ids,
                           cw_generation *out);

#endif
