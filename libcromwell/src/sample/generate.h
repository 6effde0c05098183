/* generate.h: the token loop over anything that gives logits, so that it can be tested without a model. */
#ifndef CW_SAMPLE_GENERATE_H
#define CW_SAMPLE_GENERATE_H

#include "fault.h"

enum { CW_TOKEN_SIZE_MOST = 256 }; /* decoded bytes of one token */

/* Where logits come from and tokens go to. */
typedef struct {
  void *user;
  uint32_t vocab_size;
  cw_status (*logits)(void *user, const float **logits); /* float [vocab_size] */
  cw_status (*feed)(void *user, int32_t id);             /* CW_E_CAPACITY: no room for another token */
  cw_status (*decode)(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size);
} cw_token_source;

/* The arguments of cw_generate with the same names and meanings. */
typedef struct {
  const int32_t *stop_ids;
  size_t stop_id_count;
  const uint8_t *const *stop_strings;
  const size_t *stop_sizes;
  size_t stop_string_count;
  uint32_t max_tokens;
  cw_token_fn on_token;
  void *user;
} cw_generate_request;

typedef struct {
  uint32_t count;
  size_t text_size;
  double log_probability_sum;
  cw_stop_reason reason;
} cw_generate_result;

/* Writes tokens to ids [max_tokens] until a stop. `result` is meaningful only when CW_OK is returned. */
cw_status cw_generate_from(const cw_token_source *source, cw_sampler *sampler, const cw_generate_request *request, int32_t *ids,
                           cw_generate_result *result);

#endif
