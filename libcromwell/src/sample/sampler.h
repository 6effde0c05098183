/* sampler.h: what cw_generate needs to know of a sampler. */
#ifndef CW_SAMPLE_SAMPLER_H
#define CW_SAMPLE_SAMPLER_H

#include "cromwell.h"

uint32_t cw_sampler_vocab_size(const cw_sampler *sampler);

#endif
