/* sampler.c: from logits to a token (docs/sampling.md).
 *
 * Memory, one block:
 *     cw_sampler | sums of blocks | x [V] | candidates: id [V], d [V], w [V] | at [V + slack] | stamp [V] | history [max_tokens] */
#include "sample/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "sample/numeric.h"
#include "sample/select.h"

enum { VOCAB_MOST = 1 << 24, TOKENS_MOST = 1 << 24, BLOCK = 256 /* candidates that a draw adds up at a time */ };

struct cw_sampler {
  const cw_scan *scan;
  cw_sampling sampling;
  uint32_t vocab_size;
  uint32_t history_capacity, history_count;
  uint32_t round;  /* of stamp: one a call that applies the penalty */
  uint64_t draws;  /* numbers drawn so far */
  float *x;        /* [V] logits after the penalty */
  uint32_t *id;    /* [V + CW_SCAN_SLACK] tokens that top-k leaves */
  float *d;        /* [V] their scores */
  float *w;        /* [V] and weights */
  uint32_t *at;    /* [V + CW_SCAN_SLACK] scratch */
  uint32_t *stamp; /* [V] round in which the token was last penalised */
  double *sum;     /* [ceil(V / BLOCK)] weights of each block */
  int32_t *history;
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
  size_t V = vocab_size, blocks = (V + BLOCK - 1) / BLOCK;
  size_t size = sizeof(cw_sampler) + blocks * sizeof(double) + (6 * V + 2 * CW_SCAN_SLACK + max_tokens) * 4;
  cw_sampler *s = calloc(1, size);
  if (s == NULL) return cw_fault_set(fault, CW_E_MEMORY, "no memory for a sampler of %zu bytes", size);
  s->scan = cw_scan_selected();
  s->sampling = *sampling;
  s->vocab_size = vocab_size;
  s->history_capacity = max_tokens;
  s->sum = (double *)(s + 1);
  s->x = (float *)(s->sum + blocks);
  s->id = (uint32_t *)(s->x + V);
  s->d = (float *)(s->id + V + CW_SCAN_SLACK);
  s->w = s->d + V;
  s->at = (uint32_t *)(s->w + V);
  s->stamp = s->at + V + CW_SCAN_SLACK;
  s->history = (int32_t *)(s->stamp + V);
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

/* The logits with those of tokens in the window penalised, each once: a copy in x where there is a penalty. */
static const float *penalised(cw_sampler *s, const float *logits) {
  float penalty = s->sampling.repetition_penalty;
  if (penalty == 1) return logits;
  memcpy(s->x, logits, s->vocab_size * sizeof *logits);
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
  return s->x;
}

/* Leaves the k best tokens of x in id, in the order of their ids, and their logits in d. */
static void keep_top_k(cw_sampler *s, const float *x, float best, size_t k) {
  size_t count = s->vocab_size;
  s->scan->score(x, count, best, s->sampling.temperature, s->d);
  cw_boundary end = cw_select(s->scan, s->d, NULL, count, (double)k, (double)count, s->at);
  size_t found = s->scan->between(s->d, NULL, end.last + 1, end.d, 0, s->id).count, rest = end.last + 1;
  size_t more = s->scan->between(s->d + rest, NULL, count - rest, end.better, 0, s->at).count;
  for (size_t i = 0; i < more; i++) s->id[found + i] = s->at[i] + (uint32_t)rest;
  for (size_t i = 0; i < k; i++) s->d[i] = x[s->id[i]];
}

/* Weighs what top-p and min-p leave of `count` candidates, block by block, and sets other weights to 0. Returns the sum of all. */
static double cut(cw_sampler *s, size_t count, double total) {
  const cw_sampling *o = &s->sampling;
  cw_boundary end = {-INFINITY, -INFINITY, count - 1};
  if (o->top_p < 1) end = cw_select(s->scan, s->d, s->w, count, o->top_p * total, total, s->at);
  double left = 0;
  for (size_t i = 0, block = 0; i < count; i += BLOCK, block++) {
    size_t stop = count - i < BLOCK ? count : i + BLOCK, split = end.last < i ? i : end.last + 1 < stop ? end.last + 1 : stop;
    double sum = 0;
    if (split > i) sum = s->scan->keep(s->d + i, s->w + i, split - i, end.d, o->min_p);
    if (split < stop) sum += s->scan->keep(s->d + split, s->w + split, stop - split, end.better, o->min_p);
    s->sum[block] = sum;
    left += sum;
  }
  return left;
}

/* What a draw needs of logits: candidates and their weights, in the arrays of the sampler that weighed them. */
typedef struct {
  size_t count;
  double total, left; /* sums of the weights that top-k left, and of those that all cuts left */
  int chosen;         /* candidates are tokens id[i], not i */
} weighed;

/* Position whose share of the weights, `left` in all, contains the fraction `u`. */
static size_t position_at(const cw_sampler *s, const weighed *w, double u) {
  double target = u * w->left, most = w->left * (1 - 0x1p-52), before = 0;
  if (target > most) target = most; /* below the total even after rounding: some block reaches it */
  size_t block = 0, chosen = 0;
  while (before + s->sum[block] <= target) before += s->sum[block++];
  size_t end = w->count - block * BLOCK < BLOCK ? w->count : (block + 1) * BLOCK;
  for (size_t i = block * BLOCK; i < end; i++) {
    if (s->w[i] > 0) chosen = i; /* the last of any weight, should rounding let the walk fall off the block's end */
    before += s->w[i];
    if (before > target) break;
  }
  return chosen;
}

/* Weighs what may be drawn from x; `best` is its largest value. */
static weighed weigh(cw_sampler *s, const float *x, float best) {
  const cw_sampling *o = &s->sampling;
  weighed w = {.count = s->vocab_size, .chosen = o->top_k > 0 && (uint32_t)o->top_k < s->vocab_size};
  if (w.chosen) {
    w.count = (size_t)o->top_k;
    keep_top_k(s, x, best, w.count);
    x = s->d;
  }
  w.total = s->scan->weigh(x, w.count, best, o->temperature, s->d, s->w);
  w.left = cut(s, w.count, w.total);
  return w;
}

/* Draws with a sampler's numbers from what `from`, itself or another, has weighed. */
static int32_t draw(cw_sampler *s, const cw_sampler *from, const weighed *w) {
  size_t position = position_at(from, w, cw_uniform(s->sampling.seed, s->draws++));
  return (int32_t)(w->chosen ? from->id[position] : position);
}

/* Whether both weigh the same logits alike, whatever their histories. */
static int weigh_alike(const cw_sampling *a, const cw_sampling *b) {
  return a->repetition_penalty == 1 && b->repetition_penalty == 1 && a->temperature == b->temperature && a->top_k == b->top_k &&
         a->top_p == b->top_p && a->min_p == b->min_p;
}

cw_status cw_sampler_next_each(cw_sampler *const *samplers, uint32_t count, const float *logits, int32_t *ids, float *log_probabilities) {
  const cw_scan *scan = samplers[0]->scan;
  uint32_t vocab_size = samplers[0]->vocab_size;
  float top = scan->largest(logits, vocab_size);
  if (!(top >= -FLT_MAX && top <= FLT_MAX)) return CW_E_ARGUMENT; /* -inf: every token is ruled out */
  double plain_total = 0; /* of the plain softmax, once known */
  weighed w = {0};
  const cw_sampler *from = NULL; /* whose arrays hold w */
  for (uint32_t i = 0; i < count; i++) {
    cw_sampler *s = samplers[i];
    const cw_sampling *o = &s->sampling;
    const float *x = penalised(s, logits);
    float best = x == logits ? top : scan->largest(x, vocab_size);
    double total = plain_total;
    if (o->temperature > 0) {
      if (from == NULL || !weigh_alike(o, &from->sampling)) {
        w = weigh(s, x, best);
        from = s;
      }
      ids[i] = draw(s, from, &w);
      if (o->temperature == 1 && x == logits && !w.chosen) total = w.total;
    } else {
      ids[i] = (int32_t)scan->find(x, vocab_size, best);
    }
    if (log_probabilities == NULL) continue;
    if (total == 0) total = plain_total = scan->sum_exp(logits, vocab_size, top);
    log_probabilities[i] = (float)((double)logits[ids[i]] - top - cw_log(total));
  }
  return CW_OK;
}

cw_status cw_sampler_next(cw_sampler *s, const float *logits, int32_t *id, float *log_probability) {
  if (s == NULL || logits == NULL || id == NULL) return CW_E_ARGUMENT;
  return cw_sampler_next_each(&s, 1, logits, id, log_probability);
}
