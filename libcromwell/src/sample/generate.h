/* generate.h: the token loops over anything that gives logits, so that they can be tested without a model. */
#ifndef CW_SAMPLE_GENERATE_H
#define CW_SAMPLE_GENERATE_H

#include "sample/answer.h"

enum {
  CW_SEQUENCES_MOST = 64, /* sequences that a loop runs */
  CW_STEP_MOST = 64,      /* tokens fed at once, to all of them, at most: more are bound by arithmetic, which wrong guesses waste */
  CW_BEAM_MOST = 8        /* width of a beam search */
};

/* Sequences, by number: where logits come from and tokens go to. counts = NULL: one each. */
typedef struct {
  void *user;
  uint32_t vocab_size;
  uint32_t step_most; /* tokens that may be fed at once, 1..CW_STEP_MOST and at least one a sequence */
  /* Logits of the last counts[i] tokens of each of `count` different sequences, in turn: float [all, vocab_size]. */
  cw_status (*logits)(void *user, const uint32_t *numbers, const uint32_t *counts, uint32_t count, const float **rows);
  /* counts[i] tokens to each of `count` different sequences; CW_E_CAPACITY: no room in one of them, nothing was fed. */
  cw_status (*feed)(void *user, const uint32_t *numbers, const int32_t *ids, const uint32_t *counts, uint32_t count);
  cw_status (*forget)(void *user, uint32_t number, uint32_t count); /* the last `count` tokens fed */
  cw_status (*copy)(void *user, uint32_t to, uint32_t from, uint32_t count); /* `to` becomes `from` without its last `count` tokens */
  uint32_t (*room)(void *user, uint32_t number);                    /* tokens that may still be fed */
  int (*are_same)(void *user, uint32_t one, uint32_t other);        /* whether both hold the same: 0 where that is not known */
  cw_decode_fn decode;
} cw_sequences;

/* cw_generate_each over sequences 0..count-1; cw_generate with one. `out` is meaningful only when CW_OK is returned. */
cw_status cw_generate_from(const cw_sequences *sequences, cw_sampler *const *samplers, const cw_generate_request *requests, uint32_t count,
                           int32_t *const *ids, cw_generation *out);

/* cw_beam_search over as many sequences as the beam is wide, the first of which holds the prompt. */
cw_status cw_beam_search_from(cw_beam *beam, const cw_sequences *sequences, const cw_generate_request *request, uint32_t *found);
uint32_t cw_beam_width(const cw_beam *beam);

#endif
