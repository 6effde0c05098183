/* scan_avx2.c: the sampler's passes, sixteen numbers a step; a short end goes through a padded copy. */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "sample/scan.h"

static inline __m256 all(float value) { return _mm256_set1_ps(value); }

/* The 16 lanes of a sum: lane[j] holds lanes 4 j .. 4 j + 3. */
typedef struct {
  __m256d lane[4];
} sums;

static inline sums no_sums(void) {
  __m256d zero = _mm256_setzero_pd();
  return (sums){{zero, zero, zero, zero}};
}

static inline void add_eight(__m256d lane[2], __m256 x) {
  lane[0] = _mm256_add_pd(lane[0], _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
  lane[1] = _mm256_add_pd(lane[1], _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
}

static double join(sums s) {
  __m256d four = _mm256_add_pd(_mm256_add_pd(s.lane[0], s.lane[2]), _mm256_add_pd(s.lane[1], s.lane[3]));
  __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/* The last `count` < 16 numbers of x, padded. */
static inline void pad(const float *x, size_t count, float filler, float out[16]) {
  for (size_t i = count; i < 16; i++) out[i] = filler;
  memcpy(out, x, count * sizeof *out);
}

static float largest(const float *x, size_t count) {
  __m256 top[4], nan = _mm256_setzero_ps();
  for (int j = 0; j < 4; j++) top[j] = all(-INFINITY);
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    __m256 v[4];
    for (int j = 0; j < 4; j++) v[j] = _mm256_loadu_ps(x + i + 8 * j);
    for (int j = 0; j < 4; j++) top[j] = _mm256_max_ps(v[j], top[j]);
    for (int j = 0; j < 4; j += 2) nan = _mm256_or_ps(nan, _mm256_cmp_ps(v[j], v[j + 1], _CMP_UNORD_Q));
  }
  float lane[8];
  _mm256_storeu_ps(lane, _mm256_max_ps(_mm256_max_ps(top[0], top[1]), _mm256_max_ps(top[2], top[3])));
  int seen = _mm256_movemask_ps(nan);
  float result = lane[0];
  for (int j = 1; j < 8; j++) result = lane[j] > result ? lane[j] : result;
  for (; i < count; i++) {
    result = x[i] > result ? x[i] : result;
    seen |= x[i] != x[i];
  }
  return seen ? NAN : result;
}

static size_t find(const float *x, size_t count, float value) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    int equal = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + i), all(value), _CMP_EQ_OQ));
    if (equal != 0) return i + (size_t)__builtin_ctz((unsigned)equal);
  }
  while (i < count && x[i] != value) i++;
  return i;
}

static inline __m256 score_eight(const float *x, __m256 best, __m256 temperature) {
  return _mm256_div_ps(_mm256_sub_ps(_mm256_loadu_ps(x), best), temperature);
}

/* exp(d), d <= 0: the operations of math_avx2.h less the clamps, which within the range change nothing and beyond are masked out. */
static inline __m256 weight_eight(__m256 d) {
  __m256 shifted = _mm256_fmadd_ps(d, all(CW_LOG2E), all(CW_ROUND));
  __m256 n = _mm256_sub_ps(shifted, all(CW_ROUND));
  __m256 r = _mm256_fmadd_ps(n, all(-CW_LN2_HIGH), d);
  r = _mm256_fmadd_ps(n, all(-CW_LN2_LOW), r);
  __m256 p = all(CW_EXP_C7);
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C6));
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C5));
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C4));
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C3));
  p = _mm256_fmadd_ps(p, r, all(CW_EXP_C2));
  __m256i bits = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127));
  __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
  __m256 q = _mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r);
  return _mm256_and_ps(_mm256_fmadd_ps(q, power, power), _mm256_cmp_ps(d, all(CW_EXP_MIN), _CMP_GE_OQ));
}

static void score(const float *x, size_t count, float best, float temperature, float *d) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(d + i, score_eight(x + i, all(best), all(temperature)));
  for (; i < count; i++) d[i] = (x[i] - best) / temperature;
}

static inline void weigh_sixteen(const float *x, __m256 best, __m256 temperature, float *d, float *w, sums *total) {
  for (int j = 0; j < 2; j++) {
    __m256 scores = score_eight(x + 8 * j, best, temperature), weights = weight_eight(scores);
    _mm256_storeu_ps(d + 8 * j, scores);
    _mm256_storeu_ps(w + 8 * j, weights);
    add_eight(total->lane + 2 * j, weights);
  }
}

static double weigh(const float *x, size_t count, float best, float temperature, float *d, float *w) {
  sums total = no_sums();
  size_t whole = count / 16 * 16, end = count - whole;
  for (size_t i = 0; i < whole; i += 16) weigh_sixteen(x + i, all(best), all(temperature), d + i, w + i, &total);
  if (end > 0) {
    float last[16], scores[16], weights[16];
    pad(x + whole, end, -INFINITY, last);
    weigh_sixteen(last, all(best), all(temperature), scores, weights, &total);
    memcpy(d + whole, scores, end * sizeof *d);
    memcpy(w + whole, weights, end * sizeof *w);
  }
  return join(total);
}

static inline void sum_sixteen(const float *x, __m256 best, sums *total) {
  for (int j = 0; j < 2; j++) add_eight(total->lane + 2 * j, weight_eight(_mm256_sub_ps(_mm256_loadu_ps(x + 8 * j), best)));
}

static double sum_exp(const float *x, size_t count, float best) {
  sums total = no_sums();
  size_t whole = count / 16 * 16;
  for (size_t i = 0; i < whole; i += 16) sum_sixteen(x + i, all(best), &total);
  if (whole < count) {
    float last[16];
    pad(x + whole, count - whole, -INFINITY, last);
    sum_sixteen(last, all(best), &total);
  }
  return join(total);
}

/* PACK[m]: the places of the bits set in m, as bytes. */
static const uint32_t PACK[16] = {0x000000, 0x000000, 0x000001, 0x000100, 0x000002, 0x000200, 0x000201, 0x020100,
                                  0x000003, 0x000300, 0x000301, 0x030100, 0x000302, 0x030200, 0x030201, 0x03020100};

/* Writes the positions, from the one in `first` on, whose bits are set in `mask`; returns how many. Four more may be overwritten. */
static inline size_t put_four(uint32_t *at, __m128i first, unsigned mask) {
  __m128i places = _mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)PACK[mask]));
  _mm_storeu_si128((__m128i *)at, _mm_add_epi32(places, first));
  return (size_t)__builtin_popcount(mask);
}

/* Appends the positions within to at[count..], adds to *above or, without weights, counts what is above. Returns the new count. */
static inline size_t range_sixteen(const float *d, const float *w, float low, float high, __m128i first, uint32_t *at, size_t count,
                                   sums *above, size_t *counted) {
  for (int j = 0; j < 2; j++) {
    __m256 scores = _mm256_loadu_ps(d + 8 * j);
    __m256 over = _mm256_cmp_ps(scores, all(high), _CMP_GT_OQ), reached = _mm256_cmp_ps(scores, all(low), _CMP_GE_OQ);
    if (w != NULL)
      add_eight(above->lane + 2 * j, _mm256_and_ps(over, _mm256_loadu_ps(w + 8 * j)));
    else
      *counted += (size_t)__builtin_popcount((unsigned)_mm256_movemask_ps(over));
    unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_andnot_ps(over, reached));
    count += put_four(at + count, _mm_add_epi32(first, _mm_set1_epi32(8 * j)), mask & 15);
    count += put_four(at + count, _mm_add_epi32(first, _mm_set1_epi32(8 * j + 4)), mask >> 4);
  }
  return count;
}

/* Scores in the padding are NaN, neither above nor inside. */
static inline cw_between between_by(const float *d, const float *w, size_t count, float low, float high, uint32_t *at) {
  sums above = no_sums();
  size_t whole = count / 16 * 16, end = count - whole, found = 0, counted = 0;
  __m128i first = _mm_setzero_si128();
  for (size_t i = 0; i < whole; i += 16) {
    found = range_sixteen(d + i, w == NULL ? NULL : w + i, low, high, first, at, found, &above, &counted);
    first = _mm_add_epi32(first, _mm_set1_epi32(16));
  }
  if (end > 0) {
    float scores[16], mass[16];
    pad(d + whole, end, NAN, scores);
    if (w != NULL) pad(w + whole, end, 0, mass);
    found = range_sixteen(scores, w == NULL ? NULL : mass, low, high, first, at, found, &above, &counted);
  }
  return (cw_between){w == NULL ? (double)counted : join(above), found};
}

static cw_between between(const float *d, const float *w, size_t count, float low, float high, uint32_t *at) {
  return w == NULL ? between_by(d, NULL, count, low, high, at) : between_by(d, w, count, low, high, at);
}

static inline void keep_sixteen(const float *d, float *w, float least_d, float least_w, sums *total) {
  for (int j = 0; j < 2; j++) {
    __m256 weights = _mm256_loadu_ps(w + 8 * j);
    __m256 stays = _mm256_and_ps(_mm256_cmp_ps(_mm256_loadu_ps(d + 8 * j), all(least_d), _CMP_GE_OQ),
                                 _mm256_cmp_ps(weights, all(least_w), _CMP_GE_OQ));
    weights = _mm256_and_ps(weights, stays);
    _mm256_storeu_ps(w + 8 * j, weights);
    add_eight(total->lane + 2 * j, weights);
  }
}

static double keep(const float *d, float *w, size_t count, float least_d, float least_w) {
  sums total = no_sums();
  size_t whole = count / 16 * 16, end = count - whole;
  for (size_t i = 0; i < whole; i += 16) keep_sixteen(d + i, w + i, least_d, least_w, &total);
  if (end > 0) {
    float scores[16], weights[16];
    pad(d + whole, end, NAN, scores);
    pad(w + whole, end, 0, weights);
    keep_sixteen(scores, weights, least_d, least_w, &total);
    memcpy(w + whole, weights, end * sizeof *w);
  }
  return join(total);
}

const cw_scan cw_scan_avx2 = {"avx2", largest, find, score, weigh, sum_exp, between, keep};
