/* select.c: see select.h. */
#include "sample/select.h"

#include <math.h>
#include <string.h>

/* Scores are <= 0, so dropping the sign bit leaves a key that grows as the score falls; -0 and +0 share key 0, -inf has the last. */
static uint32_t key_of(float d) {
  uint32_t bits;
  memcpy(&bits, &d, sizeof bits);
  return bits & 0x7fffffffu;
}

static const uint32_t KEY_MOST = 0x7f800000; /* of -inf */

static float score_of(uint32_t key) {
  uint32_t bits = key | 0x80000000u;
  float d;
  memcpy(&d, &bits, sizeof d);
  return d;
}

static double mass_of(const float *w, size_t i) { return w == NULL ? 1.0 : (double)w[i]; }

typedef struct {
  float low, high;
} score_range;

enum { SAMPLES = 1024, PARTS = 256 };

/* By how many bits keys must be shifted so that a span of them falls into PARTS parts. */
static unsigned shift_for(uint32_t span) {
  unsigned shift = 0;
  while (span >> shift >= PARTS) shift++;
  return shift;
}

/* A range of scores around the boundary, three standard deviations of the sample's error either way. Its ends are borders of equal
 * parts of the keys that the sample spans. Masses are estimated from the worst token up, where no single token weighs much; tokens too light
 * to matter even together are not allowed to widen the parts. The error of a count is that of the better side, usually the smaller. */
static score_range likely(const float *d, const float *w, size_t count, double limit, double total) {
  double each = (double)count / SAMPLES, rest = total - limit, light = w == NULL ? 0 : 1e-3 * rest / (double)count;
  uint32_t key[SAMPLES], first = UINT32_MAX, last = 0, last_heavy = 0;
  float mass[SAMPLES];
  for (size_t i = 0; i < SAMPLES; i++) {
    size_t position = i * count / SAMPLES;
    key[i] = key_of(d[position]);
    mass[i] = (float)mass_of(w, position);
    first = key[i] < first ? key[i] : first;
    last = key[i] > last ? key[i] : last;
    if (mass[i] >= light && key[i] > last_heavy) last_heavy = key[i];
  }
  if (first == last) return (score_range){score_of(first), score_of(first)};
  if (last_heavy < first) last_heavy = first;
  unsigned shift = shift_for(last_heavy - first);
  double sum[PARTS] = {0}, square[PARTS] = {0}; /* of the masses */
  for (size_t i = 0; i < SAMPLES; i++) {
    uint32_t part = (key[i] - first) >> shift;
    if (part > PARTS - 1) part = PARTS - 1;
    sum[part] += mass[i];
    square[part] += (double)mass[i] * mass[i];
  }
  score_range range = {-INFINITY, 0};
  double tail = 0, squares = 0;
  for (uint32_t part = PARTS; part-- > 0;) { /* may tokens from here on be all outside the run, or must some be inside? */
    tail += sum[part];
    squares += square[part];
    double error = 3 * each * sqrt(w == NULL ? SAMPLES - tail + 1 : squares), estimate = each * tail;
    uint32_t border = first + (part << shift);
    if (estimate + error <= rest && border > 0 && border <= KEY_MOST) range.low = score_of(border - 1);
    if (estimate - error > rest) {
      range.high = score_of(border);
      break;
    }
  }
  return range;
}

/* How many tokens of this mass it takes to get from `before` to `limit`, 1 to `count`. The product is exact. */
static size_t needed(double before, double mass, size_t count, double limit) {
  double estimate = (limit - before) / mass;
  size_t equals = estimate < 1 ? 1 : estimate < (double)count ? (size_t)estimate : count;
  while (equals > 1 && before + (double)(equals - 1) * mass >= limit) equals--;
  while (equals < count && before + (double)equals * mass < limit) equals++;
  return equals;
}

static cw_boundary boundary_at(const float *d, size_t position) {
  uint32_t key = key_of(d[position]);
  return (cw_boundary){d[position], key > 0 ? score_of(key - 1) : INFINITY, position};
}

/* Adds up the mass of each of the equal parts of the keys from `first` on, over the tokens at[0..count). Two sets of sums, so that
 * neighbours in the same part do not wait for one another. */
static void add_up(const float *d, const float *w, const uint32_t *at, size_t count, uint32_t first, unsigned shift,
                   double sum[2 * PARTS]) {
  memset(sum, 0, 2 * PARTS * sizeof *sum);
  for (size_t i = 0; i < count; i++) sum[((key_of(d[at[i]]) - first) >> shift) * 2 + (i & 1)] += mass_of(w, at[i]);
  for (size_t j = 0; j < PARTS; j++) sum[j] = sum[2 * j] + sum[2 * j + 1];
}

/* The boundary among the tokens at[0..count), those better than any of them weighing `before`: divides the keys into equal parts, walks
 * them from the best to the one in which `limit` is reached, goes on inside it until one key is left. */
static cw_boundary among(const float *d, const float *w, double before, double limit, uint32_t *at, size_t count) {
  uint32_t first = UINT32_MAX, last = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t key = key_of(d[at[i]]);
    first = key < first ? key : first;
    last = key > last ? key : last;
  }
  while (first < last) {
    unsigned shift = shift_for(last - first);
    double sum[2 * PARTS];
    add_up(d, w, at, count, first, shift, sum);
    uint32_t part = 0, worst = (last - first) >> shift;
    while (worst > 0 && sum[worst] == 0) worst--; /* sums in another order may miss the limit by rounding */
    while (part < worst && before + sum[part] < limit) before += sum[part++];
    size_t kept = 0;
    uint32_t from = first + (part << shift);
    for (size_t i = 0; i < count; i++) {
      uint32_t position = at[i];
      at[kept] = position;
      kept += (key_of(d[position]) - first) >> shift == part;
    }
    count = kept;
    last = shift == 0 || last - from < 1u << shift ? (shift == 0 ? from : last) : from + (1u << shift) - 1;
    first = from;
  }
  return boundary_at(d, at[needed(before, mass_of(w, at[0]), count, limit) - 1]);
}

static double mass_at(const float *w, const uint32_t *at, size_t count) {
  if (w == NULL) return (double)count;
  double sum[2] = {0, 0};
  for (size_t i = 0; i < count; i++) sum[i & 1] += w[at[i]];
  return sum[0] + sum[1];
}

cw_boundary cw_select(const cw_scan *scan, const float *d, const float *w, size_t count, double limit, double total, uint32_t *at) {
  score_range range = {-INFINITY, 0};
  if (count > 2 * SAMPLES) range = likely(d, w, count, limit, total);
  cw_between found = scan->between(d, w, count, range.low, range.high, at);
  if (found.above >= limit) { /* the boundary is better than the range */
    found = scan->between(d, w, count, score_of(key_of(range.high) - 1), 0, at);
  } else if (range.low == range.high && found.above + (double)found.count * mass_of(w, at[0]) >= limit) { /* all inside are equals */
    return boundary_at(d, at[needed(found.above, mass_of(w, at[0]), found.count, limit) - 1]);
  } else if (range.low > -INFINITY && found.above + mass_at(w, at, found.count) < limit) { /* it is worse */
    found = scan->between(d, w, count, -INFINITY, score_of(key_of(range.low) + 1), at);
  }
  return among(d, w, found.above, limit, at, found.count);
}
