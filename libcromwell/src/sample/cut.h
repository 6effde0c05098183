/* cut.h: which of n scored tokens are the best, without sorting them. */
#ifndef CW_SAMPLE_CUT_H
#define CW_SAMPLE_CUT_H

#include <stddef.h>
#include <stdint.h>

/* Tokens are ordered by score d <= 0, highest first, equal scores by position. */
typedef struct {
  int32_t *id; /* [count] */
  float *d;    /* [count] score: (logit - best logit) / temperature */
  float *w;    /* [count] exp(d), or nothing yet */
  size_t count;
} cw_candidates;

enum { CW_CUT_BUCKETS = 2 * 2048 };

/* Keeps the shortest run of best candidates whose mass reaches `limit` > 0, all when it is not reached, in their old positions.
 * The mass of a candidate is 1 (`by_weight` = 0) or its w, which must be a function of d. `at` [count] and
 * `bucket` [CW_CUT_BUCKETS] are scratch.
 * Three counting passes over the 31 significant bits of d: linear time for any scores. */
void cw_cut(cw_candidates *candidates, int by_weight, double limit, uint32_t *at, double *bucket);

/* Keeps the candidates with w >= least. */
void cw_cut_below(cw_candidates *candidates, float least);

#endif
