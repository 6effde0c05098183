/* generate.h: the token loops over anything that gives logits, so that they can be tested without a model. */
#ifndef CW_SAMPLE_GENERATE_H
#define CW_SAMPLE_GENERATE_H

#include "sample/answer.h"

enum {
  CW_STEP_MOST = 64, /* tokens fed at once, at most: of one sequence or of several */
  CW_BEAM_MOST = 8   /* width of a beam search */
};

/* Where logits come from and tokens go to. */
typedef struct {
  void *user;
  uint32_t vocab_size;
  uint32_t step_most; /* tokens that may be fed at once, 1..CW_STEP_MOST */
  cw_status (*logits)(void *user, uint32_t count, const float **logits); /* of the last `count` tokens, float [count, vocab_size] */
  cw_status (*feed)(void *user, const int32_t *ids, uint32_t count);     /* CW_E_CAPACITY: no room, nothing was fed */
  cw_status (*forget)(void *user, uint32_t count);                       /* the last `count` tokens fed */
  cw_decode_fn decode;
} cw_token_source;

/* cw_generate over a source. `out` is meaningful only when CW_OK is returned. */
cw_status cw_generate_from(const cw_token_source *source, cw_sampler *sampler, const cw_generate_request *request, int32_t *ids,
                           cw_generation *out);

/* Several sequences, by number. */
typedef struct {
  void *user;
  uint32_t vocab_size;
  cw_status (*logits)(void *user, const uint32_t *numbers, uint32_t count, const float **rows); /* rows[i]: float [vocab_size] */
  /* One token to each of `count` different sequences; CW_E_CAPACITY: no room in one of them, nothing was fed. */
  cw_status (*feed)(void *user, const uint32_t *numbers, const int32_t *ids, uint32_t count);
  cw_status (*copy)(void *user, uint32_t to, uint32_t from); /* sequence `to` becomes what `from` is */
  cw_decode_fn decode;
} cw_sequences;

/* cw_generate_each over sequences 0..count-1. `out` is meaningful only when CW_OK is returned. */
cw_status cw_generate_each_from(const cw_sequences *sequences, cw_sampler *const *samplers, const cw_generate_request *requests,
                                uint32_t count, int32_t *const *ids, cw_generation *out);

/* cw_beam_search over as many sequences as the beam is wide, the first of which holds the prompt. */
cw_status cw_beam_search_from(cw_beam *beam, const cw_sequences *sequences, const cw_generate_request *request, uint32_t *found);
uint32_t cw_beam_width(const cw_beam *beam);

#endif
