/* scan.h: the passes of the sampler over a whole vocabulary, as a table that an instruction set provides.
 *
 * Every table gives the same bits. Sums are in double, in 16 lanes: element i adds to lane i mod 16, from +0, what does not count adds
 * +0; lanes are joined by halves: 8 + 8, 4 + 4, 2 + 2, 1 + 1. Scores d = (x - best) / temperature are <= 0, weights w = exp(d) the
 * kernels' own polynomial. Of NaN and +inf only `largest` knows. */
#ifndef CW_SAMPLE_SCAN_H
#define CW_SAMPLE_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum { CW_SCAN_SLACK = 16 /* positions that `between` may write beyond those it found */ };

typedef struct {
  double above; /* mass of d > high */
  size_t count; /* positions with low <= d <= high */
} cw_between;

typedef struct {
  const char *name;
  /* The largest of x, NaN when there is one in x, -inf for no x. */
  float (*largest)(const float *x, size_t count);
  /* The first position of `value`, or `count`. */
  size_t (*find)(const float *x, size_t count, float value);
  /* d of x; d may be x. */
  void (*score)(const float *x, size_t count, float best, float temperature, float *d);
  /* d and w of x; d may be x. Returns the sum of w. */
  double (*weigh)(const float *x, size_t count, float best, float temperature, float *d, float *w);
  /* The sum of exp(x - best). */
  double (*sum_exp)(const float *x, size_t count, float best);
  /* What lies above a range of scores, and in `at` [count + CW_SCAN_SLACK] the positions within, in order. The mass of a token is its w,
   * or 1 where w is NULL. */
  cw_between (*between)(const float *d, const float *w, size_t count, float low, float high, uint32_t *at);
  /* Sets w to 0 where d < least_d or w < least_w; returns the sum of those left. */
  double (*keep)(const float *d, float *w, size_t count, float least_d, float least_w);
} cw_scan;

extern const cw_scan cw_scan_scalar, cw_scan_avx2, cw_scan_avx512vnni;

/* The one that goes with the selected kernels. */
const cw_scan *cw_scan_selected(void);

#endif
