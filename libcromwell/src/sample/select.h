/* select.h: where the run of best tokens ends that has a given mass, without sorting. */
#ifndef CW_SAMPLE_SELECT_H
#define CW_SAMPLE_SELECT_H

#include "sample/scan.h"

/* Tokens are ordered by score d <= 0, highest first, equal scores by position. */
typedef struct {
  float d;      /* score of the run's last token */
  float better; /* the next better score there can be, +inf for none */
  size_t last;  /* position of the run's last token: equals up to here belong to it */
} cw_boundary;

/* The end of the shortest run of best tokens whose mass reaches `limit` > 0, the last token of any mass when it is not reached.
 * The mass of a token is its w, a function of d, or 1 where w is NULL; `total` is the mass of all. count > 0.
 * `at` [count + CW_SCAN_SLACK] is scratch.
 *
 * A sample of the tokens gives a range of scores that the boundary most likely lies in; one pass adds up what is better, and
 * collects what is inside. Only the collected tokens are looked at more closely: by mass per part of their range, then per part of that
 * part, four times at most. When the sample was wrong, the side that the boundary is on is collected whole: linear time for any scores. */
cw_boundary cw_select(const cw_scan *scan, const float *d, const float *w, size_t count, double limit, double total, uint32_t *at);

#endif
