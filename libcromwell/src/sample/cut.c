/* cut.c: see cut.h. */
#include "sample/cut.h"

#include <string.h>

/* Scores are <= 0, so dropping the sign bit leaves a key that grows as the score falls; -0 and +0 share key 0, -inf has the last. */
static uint32_t key_of(float d) {
  uint32_t bits;
  memcpy(&bits, &d, sizeof bits);
  return bits & 0x7fffffffu;
}

/* Moves the candidates for which KEEP holds to the front, in order and without a branch on it. */
#define CW_COMPACT(KEEP)                    \
  do {                                      \
    size_t kept = 0;                        \
    for (size_t i = 0; i < c->count; i++) { \
      size_t keep = (KEEP);                 \
      c->id[kept] = c->id[i];               \
      c->d[kept] = c->d[i];                 \
      c->w[kept] = c->w[i];                 \
      kept += keep;                         \
    }                                       \
    c->count = kept;                        \
  } while (0)

static double mass_of(const cw_candidates *c, int by_weight, uint32_t i) { return by_weight ? (double)c->w[i] : 1.0; }

/* Adds up the mass of each value of a digit over the candidates at[0..count). Two sets of sums, so that neighbours with the same digit do
 * not wait for one another. */
static void add_up(const cw_candidates *c, int by_weight, const uint32_t *at, size_t count, int shift, uint32_t digits, double *bucket) {
  memset(bucket, 0, 2 * digits * sizeof *bucket);
  for (size_t i = 0; i < count; i++) {
    uint32_t digit = key_of(c->d[at[i]]) >> shift & (digits - 1);
    bucket[digit * 2 + (i & 1)] += mass_of(c, by_weight, at[i]);
  }
  for (uint32_t j = 0; j < digits; j++) bucket[j] = bucket[2 * j] + bucket[2 * j + 1];
}

/* One digit of the key a pass, over the candidates that share the digits found so far: walk its values from the best to the one in
 * which `limit` is reached, go on with the next digit inside it. What is left after the last digit are equals. */
void cw_cut(cw_candidates *c, int by_weight, double limit, uint32_t *at, double *bucket) {
  static const struct { int shift, bits; } DIGITS[3] = {{20, 11}, {10, 10}, {0, 10}};
  uint32_t boundary = 0; /* digits found so far */
  double before = 0;     /* mass of the candidates better than those at[] */
  size_t count = c->count;
  for (uint32_t i = 0; i < count; i++) at[i] = i;
  for (int level = 0; level < 3; level++) {
    int shift = DIGITS[level].shift;
    uint32_t digits = 1u << DIGITS[level].bits, last = digits - 1, digit = 0;
    add_up(c, by_weight, at, count, shift, digits, bucket);
    while (last > 0 && bucket[last] == 0) last--; /* sums in another order may miss the limit by rounding */
    while (digit < last && before + bucket[digit] < limit) before += bucket[digit++];
    boundary = boundary * digits + digit;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
      uint32_t position = at[i];
      at[kept] = position;
      kept += key_of(c->d[position]) >> shift == boundary;
    }
    count = kept;
  }
  size_t equals = 0; /* so many of them stay, the first ones */
  while (equals < count && before < limit) before += mass_of(c, by_weight, at[equals++]);
  CW_COMPACT(key_of(c->d[i]) < boundary || (key_of(c->d[i]) == boundary && equals > 0 && equals--));
}

void cw_cut_below(cw_candidates *c, float least) { CW_COMPACT(c->w[i] >= least); }
