/* sampler.h: what cw_generate needs of samplers. */
#ifndef CW_SAMPLE_SAMPLER_H
#define CW_SAMPLE_SAMPLER_H

#include "cromwell.h"

uint32_t cw_sampler_vocab_size(const cw_sampler *sampler);
/* cw_sampler_next of `count` different samplers, all of one vocabulary, with the same logits: what they have in common is computed once.
 * ids and log_probabilities are [count]. */
cw_status cw_sampler_next_each(cw_sampler *const *samplers, uint32_t count, const float *logits, int32_t *ids, float *log_probabilities);

#endif
