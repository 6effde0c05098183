/* sampler.c: from logits to a token (docs/sampling.md).
 *
 * Memory, one block:
 *     cw_sampler | x [V] | candidates: id [V], d [V], w [V] | at [V] | stamp [V] | history [max_tokens] */
#include "sample/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "fault.h"
#include "sample/cut.h"
#include "sample/numeric.h"

enum { VOCAB_MOST = 1 << 24, TOKENS_MOST = 1 << 24 };

struct cw_sampler {
  const cw_kernels *kernels;
  cw_sampling sampling;
  uint32_t vocab_size;
  uint32_t history_capacity, history_count;
  uint32_t round;  /* of stamp: one a call that applies the penalty */
  uint64_t draws;  /* numbers drawn so far */
  float *x;        /* [V] logits after the penalty */
  int32_t *id;     /* [V] */
  float *d;        /* [V] */
  float *w;        /* [V] */
  uint32_t *at;    /* [V] scratch of cw_cut */
  uint32_t *stamp; /* [V] round in which the token was last penalised */
  int32_t *history;
  double bucket[CW_CUT_BUCKETS];
};

static cw_status check(uint32_t vocab_size, uint32_t max_tokens, const cw_sampling *s, cw_fault *fault) {
  const cw_status bad = CW_E_ARGUMENT;
  if (vocab_size < 1 || vocab_size > VOCAB_MOST) return cw_fault_set(fault, bad, "vocab_size is %u, not 1..%d", vocab_size, VOCAB_MOST);
  if (max_tokens < 1 || max_tokens > TOKENS_MOST) return cw_fault_set(fault, bad, "max_tokens is %u, not 1..%d", max_tokens, TOKENS_MOST);
  if (!(s->temperature >= 0 && s->temperature <= FLT_MAX)) {
    return cw_fault_set(fault, bad, "temperature is %g, not 0 (greedy) or a positive number", (double)s->temperature);
  }
  if (s->top_k < 0) return cw_fault_set(fault, bad, "top_k is %d, not 0 (off) or a positive number", s->top_k);
  if (!(s->top_p > 0 && s->top_p <= 1)) return cw_fault_set(fault, bad, "top_p is %g, not above 0 and at most 1 (off)", (double)s->top_p);
  if (!(s->min_p >= 0 && s->min_p < 1)) return cw_fault_set(fault, bad, "min_p is %g, not at least 0 (off) and below 1", (double)s->min_p);
  if (!(s->repetition_penalty > 0 && s->repetition_penalty <= FLT_MAX)) {
    return cw_fault_set(fault, bad, "repetition_penalty is %g, not a positive number (1 is off)", (double)s->repetition_penalty);
  }
  if (s->repetition_window < 0) {
    return cw_fault_set(fault, bad, "repetition_window is %d, not 0 (everything) or a positive number", s->repetition_window);
  }
  return CW_OK;
}

cw_status cw_sampler_open(uint32_t vocab_size, uint32_t max_tokens, const cw_sampling *sampling, cw_sampler **out, cw_fault *fault) {
  if (sampling == NULL || out == NULL) return cw_fault_set(fault, CW_E_ARGUMENT, "no sampling options or no place for the sampler");
  CW_TRY(check(vocab_size, max_tokens, sampling, fault));
  size_t words = (size_t)6 * vocab_size + max_tokens;
  cw_sampler *s = calloc(1, sizeof *s + 4 * words);
  if (s == NULL) return cw_fault_set(fault, CW_E_MEMORY, "no memory for a sampler of %zu bytes", sizeof *s + 4 * words);
  s->kernels = cw_kernels_selected();
  s->sampling = *sampling;
  s->vocab_size = vocab_size;
  s->history_capacity = max_tokens;
  s->x = (float *)(s + 1);
  s->id = (int32_t *)(s->x + vocab_size);
  s->d = (float *)(s->id + vocab_size);
  s->w = s->d + vocab_size;
  s->at = (uint32_t *)(s->w + vocab_size);
  s->stamp = s->at + vocab_size;
  s->history = (int32_t *)(s->stamp + vocab_size);
  *out = s;
  return CW_OK;
}

void cw_sampler_close(cw_sampler *sampler) { free(sampler); }

uint32_t cw_sampler_vocab_size(const cw_sampler *sampler) { return sampler->vocab_size; }

cw_status cw_sampler_accept(cw_sampler *s, const int32_t *ids, size_t count) {
  if (s == NULL || (ids == NULL && count > 0)) return CW_E_ARGUMENT;
  if (count > s->history_capacity - s->history_count) return CW_E_CAPACITY;
  for (size_t i = 0; i < count; i++) {
    if (ids[i] < 0 || (uint32_t)ids[i] >= s->vocab_size) return CW_E_ARGUMENT;
  }
  if (count > 0) memcpy(s->history + s->history_count, ids, count * sizeof *ids);
  s->history_count += (uint32_t)count;
  return CW_OK;
}

static float to_finite(float x) { return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x; }

/* Copies logits to x, the ones of tokens in the window penalised, each once. */
static void penalise(cw_sampler *s, const float *logits) {
  float penalty = s->sampling.repetition_penalty;
  memcpy(s->x, logits, s->vocab_size * sizeof *logits);
  if (penalty == 1) return;
  if (++s->round == 0) {
    memset(s->stamp, 0, s->vocab_size * sizeof *s->stamp);
    s->round = 1;
  }
  uint32_t window = (uint32_t)s->sampling.repetition_window;
  uint32_t first = window > 0 && window < s->history_count ? s->history_count - window : 0;
  for (uint32_t i = first; i < s->history_count; i++) {
    int32_t id = s->history[i];
    if (s->stamp[id] == s->round || s->x[id] == -INFINITY) continue;
    s->stamp[id] = s->round;
    s->x[id] = to_finite(s->x[id] > 0 ? s->x[id] / penalty : s->x[id] * penalty);
  }
}

enum { BLOCK = 256 };

/* Position whose share of the weights contains the fraction `u` of their sum. */
static size_t position_at(const float *w, size_t count, double u) {
  double total = 0;
  for (size_t i = 0; i < count; i += BLOCK) total += cw_sum(w + i, count - i < BLOCK ? count - i : BLOCK);
  double target = u * total, most = total * (1 - 0x1p-52), before = 0;
  if (target > most) target = most; /* below the total even after rounding: some block reaches it */
  size_t chosen = 0;                /* the last position of any weight: should rounding let the walk fall off the block's end */
  for (size_t i = 0; i < count; i += BLOCK) {
    size_t end = count - i < BLOCK ? count : i + BLOCK;
    double after = before + cw_sum(w + i, end - i);
    if (after > target) {
      for (size_t j = i; j < end; j++) {
        if (w[j] > 0) chosen = j;
        before += w[j];
        if (before > target) break;
      }
      return chosen;
    }
    before = after;
  }
  return chosen;
}

/* Candidates so light that all of them together weigh less than what top-p leaves out go first: most of a vocabulary, cheaply. */
static void keep_top_p(cw_sampler *s, cw_candidates *c) {
  double total = cw_sum(c->w, c->count), out = (1.0 - s->sampling.top_p) * total;
  cw_cut_below(c, (float)(0.999 * out / (double)c->count));
  cw_cut(c, 1, s->sampling.top_p * total, s->at, s->bucket);
}

/* Draws from x; `best` is its largest value. */
static int32_t draw(cw_sampler *s, float best) {
  const cw_sampling *o = &s->sampling;
  cw_candidates c = {s->id, s->d, s->w, s->vocab_size};
  for (size_t i = 0; i < c.count; i++) {
    c.id[i] = (int32_t)i;
    c.d[i] = (s->x[i] - best) / o->temperature;
  }
  if (o->top_k > 0 && (size_t)o->top_k < c.count) cw_cut(&c, 0, o->top_k, s->at, s->bucket);
  memcpy(c.w, c.d, c.count * sizeof *c.w);
  s->kernels->exp(c.w, c.count);
  if (o->top_p < 1) keep_top_p(s, &c);
  if (o->min_p > 0) cw_cut_below(&c, o->min_p); /* the best candidate weighs exactly 1 */
  return c.id[position_at(c.w, c.count, cw_uniform(o->seed, s->draws++))];
}

cw_status cw_sampler_next(cw_sampler *s, const float *logits, int32_t *id, float *log_probability) {
  if (s == NULL || logits == NULL || id == NULL) return CW_E_ARGUMENT;
  float top = cw_largest(logits, s->vocab_size);
  if (!(top >= -FLT_MAX && top <= FLT_MAX)) return CW_E_ARGUMENT; /* -inf: every token is ruled out */

  double log_sum = 0;
  if (log_probability != NULL) {
    for (size_t i = 0; i < s->vocab_size; i++) s->w[i] = logits[i] - top;
    s->kernels->exp(s->w, s->vocab_size);
    log_sum = cw_log(cw_sum(s->w, s->vocab_size));
  }

  penalise(s, logits);
  float best = cw_largest(s->x, s->vocab_size);
  int32_t chosen = 0;
  if (s->sampling.temperature > 0) {
    chosen = draw(s, best);
  } else {
    while (s->x[chosen] != best) chosen++;
  }
  if (log_probability != NULL) *log_probability = (float)((double)logits[chosen] - top - log_sum);
  *id = chosen;
  return CW_OK;
}
