/* test_sample.c: the sampler and the token loop, on made-up logits. Distributions are compared in tests/test_sampling.py. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "sample/draft.h"
#include "sample/generate.h"
#include "sample/numeric.h"
#include "sample/select.h"
#include "sample/stop.h"

static int failures;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      failures++;                                                             \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
    }                                                                         \
  } while (0)

static const cw_sampling PLAIN = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

static cw_sampler *open_sampler(uint32_t vocab_size, cw_sampling sampling) {
  cw_sampler *sampler = NULL;
  cw_fault fault = {"none"};
  CHECK(cw_sampler_open(vocab_size, 64, &sampling, &sampler, &fault) == CW_OK);
  if (sampler == NULL) fprintf(stderr, "fault: %s\n", fault.text);
  return sampler;
}

static void test_numeric(void) {
  const cw_kernels *kernels = cw_kernels_selected();
  double worst = 0;
  for (float d = 0; d >= -87; d -= 0.00371f) {
    float w;
    w = d;
    kernels->exp(&w, 1);
    double error = fabs(w / exp(d) - 1);
    if (error > worst) worst = error;
  }
  CHECK(worst < 2 * FLT_EPSILON);
  float w[5] = {0.f, -0.f, -87.1f, -FLT_MAX, -INFINITY};
  kernels->exp(w, 5);
  CHECK(w[0] == 1 && w[1] == 1 && w[2] == 0 && w[3] == 0 && w[4] == 0);

  worst = 0;
  for (double x = 1e-3; x < 1e8; x *= 1.00371) {
    double error = fabs(cw_log(x) - log(x)) / fmax(fabs(log(x)), 1e-3);
    if (error > worst) worst = error;
  }
  CHECK(worst < 1e-12);
  CHECK(cw_log(1) == 0);

  CHECK(cw_uniform(1, 0) != cw_uniform(1, 1) && cw_uniform(1, 0) != cw_uniform(2, 0));
}

enum { LONGEST = 5000 };

/* Logits of several kinds: spread, flat, tied, with tokens ruled out, with one far ahead, and with an outlier far behind. */
static void make_logits(int kind, size_t count, float *x) {
  for (size_t i = 0; i < count; i++) {
    double u = cw_uniform((uint64_t)kind, i), sum = u;
    for (uint64_t j = 1; j < 6; j++) sum += cw_uniform((uint64_t)kind + 100 * j, i);
    double normal = (sum - 3) * 1.4142;
    x[i] = (float)(kind == 0 ? 3 * normal : kind == 1 ? 1e-3 * normal : kind == 2 ? 0.25 : floor(4 * normal) / 4);
    if (kind == 4 && u < 0.3) x[i] = -INFINITY;
  }
  if (kind == 5) x[count / 2] = 90;
  if (kind == 6) x[count / 3] = -1e30f;
  for (size_t i = 0; kind >= 7 && i < count; i++) x[i] = (i % 4 == 0) == (kind == 7) ? -20 : -2.5f - (float)(i % 7); /* misleads a sample */
}

enum { KINDS = 9 };

static int same_bits(const float *a, const float *b, size_t count) { return memcmp(a, b, count * sizeof *a) == 0; }

/* One table's passes against the reference; what lies beyond the ends is NaN. */
static void test_scan(const cw_scan *scan, const cw_scan *reference) {
  static const size_t SIZES[] = {1, 7, 8, 9, 15, 16, 17, 31, 33, 97, 256, LONGEST};
  static float x[LONGEST + 32], d[2][LONGEST + 32], w[2][LONGEST + 32];
  static uint32_t at[2][LONGEST + CW_SCAN_SLACK];
  for (int kind = 0; kind < KINDS; kind++) {
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
      size_t n = SIZES[i];
      for (size_t j = 0; j < LONGEST + 32; j++) x[j] = d[0][j] = d[1][j] = w[0][j] = w[1][j] = NAN;
      make_logits(kind, n, x);
      float best = reference->largest(x, n), middle = x[n / 2];
      if (best == -INFINITY) continue;
      CHECK(scan->largest(x, n) == best);
      CHECK(scan->find(x, n, best) == reference->find(x, n, best) && scan->find(x, n, middle) == reference->find(x, n, middle));
      CHECK(scan->find(x, n, 1e20f) == n);
      CHECK(scan->sum_exp(x, n, best) == reference->sum_exp(x, n, best));
      reference->score(x, n, best, 0.7f, d[0]);
      scan->score(x, n, best, 0.7f, d[1]);
      CHECK(same_bits(d[0], d[1], n));
      CHECK(scan->weigh(x, n, best, 1.3f, d[1], w[1]) == reference->weigh(x, n, best, 1.3f, d[0], w[0]));
      CHECK(same_bits(d[0], d[1], n) && same_bits(w[0], w[1], n) && isnan(d[1][n]) && isnan(w[1][n]));
      memcpy(d[1], x, n * sizeof *x);
      scan->weigh(d[1], n, best, 1.3f, d[1], w[1]);
      CHECK(same_bits(d[0], d[1], n) && same_bits(w[0], w[1], n));
      for (int by_weight = 0; by_weight < 2; by_weight++) {
        for (float low = -12; low <= 0; low += 1.5f) {
          const float high = low / 3;
          cw_between want = reference->between(d[0], by_weight ? w[0] : NULL, n, low, high, at[0]);
          cw_between got = scan->between(d[0], by_weight ? w[0] : NULL, n, low, high, at[1]);
          CHECK(got.above == want.above && got.count == want.count && memcmp(at[0], at[1], want.count * sizeof **at) == 0);
        }
      }
      CHECK(scan->keep(d[1], w[1], n, -3, 0.01f) == reference->keep(d[0], w[0], n, -3, 0.01f));
      CHECK(same_bits(w[0], w[1], n) && isnan(w[1][n]));
      x[n - 1] = NAN;
      CHECK(isnan(scan->largest(x, n)) && isnan(reference->largest(x, n)));
    }
  }
}

static const float *compared; /* scores that `better` goes by */

static int better(const void *a, const void *b) {
  uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
  if (compared[i] != compared[j]) return compared[i] > compared[j] ? -1 : 1;
  return i < j ? -1 : i > j;
}

/* cw_select against a sort, by weight and by count, for limits all over the range. */
static void test_select(const cw_scan *scan) {
  static float x[LONGEST], d[LONGEST], w[LONGEST];
  static uint32_t at[LONGEST + CW_SCAN_SLACK], order[LONGEST];
  const size_t SIZES[] = {1, 2, 33, 1000, 2049, 4096, LONGEST};
  const double SHARES[] = {1e-9, 1e-4, 0.01, 0.3, 0.5, 0.9, 0.95, 0.999, 0.9999999};
  for (int kind = 0; kind < KINDS; kind++) {
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
      size_t n = SIZES[i];
      make_logits(kind, n, x);
      if (scan->largest(x, n) == -INFINITY) continue;
      double weight = scan->weigh(x, n, scan->largest(x, n), 0.8f, d, w);
      for (uint32_t j = 0; j < n; j++) order[j] = j;
      compared = d;
      qsort(order, n, sizeof *order, better);
      for (size_t j = 0; j < 2 * sizeof SHARES / sizeof *SHARES; j++) {
        int by_weight = j % 2 == 0;
        double total = by_weight ? weight : (double)n, limit = SHARES[j / 2] * total, sum = 0;
        if (!by_weight) limit = ceil(limit);
        size_t end = 0;
        while (end < n && (sum += by_weight ? w[order[end]] : 1) < limit) end++;
        cw_boundary b = cw_select(scan, d, by_weight ? w : NULL, n, limit, total, at);
        CHECK(b.last == order[end] && b.d == d[b.last] && b.better == (b.d == 0 ? INFINITY : nextafterf(b.d, 0)));
      }
    }
  }
}

static void test_refusals(void) {
  const struct { cw_sampling sampling; const char *says; } BAD[] = {
      {{.temperature = -1, .top_p = 1, .repetition_penalty = 1}, "temperature"},
      {{.temperature = NAN, .top_p = 1, .repetition_penalty = 1}, "temperature"},
      {{.temperature = INFINITY, .top_p = 1, .repetition_penalty = 1}, "temperature"},
      {{.top_k = -1, .top_p = 1, .repetition_penalty = 1}, "top_k"},
      {{.top_p = 0, .repetition_penalty = 1}, "top_p"},
      {{.top_p = 1.5f, .repetition_penalty = 1}, "top_p"},
      {{.top_p = 1, .min_p = 1, .repetition_penalty = 1}, "min_p"},
      {{.top_p = 1, .min_p = NAN, .repetition_penalty = 1}, "min_p"},
      {{.top_p = 1, .repetition_penalty = 0}, "repetition_penalty"},
      {{.top_p = 1, .repetition_penalty = 1, .repetition_window = -2}, "repetition_window"},
  };
  for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
    cw_sampler *sampler = NULL;
    cw_fault fault = {""};
    CHECK(cw_sampler_open(8, 8, &BAD[i].sampling, &sampler, &fault) == CW_E_ARGUMENT);
    CHECK(sampler == NULL && strstr(fault.text, BAD[i].says) != NULL);
    CHECK(cw_sampler_open(8, 8, &BAD[i].sampling, &sampler, NULL) == CW_E_ARGUMENT);
  }
  cw_sampler *sampler = NULL;
  CHECK(cw_sampler_open(0, 8, &PLAIN, &sampler, NULL) == CW_E_ARGUMENT);
  CHECK(cw_sampler_open(8, 0, &PLAIN, &sampler, NULL) == CW_E_ARGUMENT);
  CHECK(cw_sampler_open(UINT32_MAX, 8, &PLAIN, &sampler, NULL) == CW_E_ARGUMENT);
  CHECK(cw_sampler_open(8, 8, NULL, &sampler, NULL) == CW_E_ARGUMENT);
  cw_sampler_close(NULL);

  sampler = open_sampler(3, PLAIN);
  int32_t id = -7;
  float log_probability = 3;
  const float nan_in[3] = {0, NAN, 0}, inf_in[3] = {0, INFINITY, 0}, nothing[3] = {-INFINITY, -INFINITY, -INFINITY};
  CHECK(cw_sampler_next(sampler, nan_in, &id, &log_probability) == CW_E_ARGUMENT);
  CHECK(cw_sampler_next(sampler, inf_in, &id, &log_probability) == CW_E_ARGUMENT);
  CHECK(cw_sampler_next(sampler, nothing, &id, &log_probability) == CW_E_ARGUMENT);
  CHECK(id == -7 && log_probability == 3);
  const int32_t outside[2] = {1, 3}, negative[1] = {-1};
  CHECK(cw_sampler_accept(sampler, outside, 2) == CW_E_ARGUMENT);
  CHECK(cw_sampler_accept(sampler, negative, 1) == CW_E_ARGUMENT);
  CHECK(cw_sampler_accept(sampler, NULL, 0) == CW_OK);
  const int32_t many[65] = {0};
  CHECK(cw_sampler_accept(sampler, many, 65) == CW_E_CAPACITY);
  CHECK(cw_sampler_accept(sampler, many, 64) == CW_OK);
  CHECK(cw_sampler_accept(sampler, many, 1) == CW_E_CAPACITY);
  cw_sampler_close(sampler);
}

/* Ids that come up in 400 draws, as a set of bits. */
static uint32_t support(const float *logits, uint32_t vocab_size, cw_sampling sampling) {
  cw_sampler *sampler = open_sampler(vocab_size, sampling);
  uint32_t seen = 0;
  for (int i = 0; i < 400; i++) {
    int32_t id = -1;
    CHECK(cw_sampler_next(sampler, logits, &id, NULL) == CW_OK);
    CHECK(id >= 0 && (uint32_t)id < vocab_size);
    seen |= 1u << id;
  }
  cw_sampler_close(sampler);
  return seen;
}

static void test_cuts(void) {
  const float equal[4] = {2, 2, 2, 2}, mixed[4] = {0, 1, -INFINITY, 1}, extreme[4] = {-1e30f, 1e30f, 0, -FLT_MAX};
  cw_sampling s = PLAIN;
  CHECK(support(equal, 4, s) == 15);
  CHECK(support(mixed, 4, s) == 11);
  CHECK(support(extreme, 4, s) == 2);
  CHECK(support(equal, 1, s) == 1);
  s.top_k = 3;
  CHECK(support(equal, 4, s) == 7); /* ties: the lowest ids */
  s.top_k = 2;
  CHECK(support(mixed, 4, s) == 10);
  s.top_k = 100;
  CHECK(support(equal, 4, s) == 15);
  s.top_k = 0;
  s.top_p = 0.5f;
  CHECK(support(equal, 4, s) == 3); /* reached exactly */
  s.top_p = 0.51f;
  CHECK(support(equal, 4, s) == 7);
  s.top_p = 1e-6f;
  CHECK(support(equal, 4, s) == 1);
  CHECK(support(mixed, 4, s) == 2);
  s.top_p = 1;
  s.min_p = 0.36f; /* exp(-1) = 0.3679 */
  CHECK(support(mixed, 4, s) == 11);
  s.min_p = 0.37f;
  CHECK(support(mixed, 4, s) == 10);
  s = (cw_sampling){.top_p = 1, .repetition_penalty = 1};
  CHECK(support(mixed, 4, s) == 2); /* greedy, ties: the lowest id */
  CHECK(support(extreme, 4, s) == 2);
}

static void test_penalty(void) {
  cw_sampling s = {.top_p = 1, .repetition_penalty = 2, .repetition_window = 2};
  cw_sampler *sampler = open_sampler(3, s);
  const float logits[3] = {4, 3, -1};
  const int32_t a = 0, b = 1, c = 2;
  int32_t id;
  float log_probability;
  CHECK(cw_sampler_next(sampler, logits, &id, NULL) == CW_OK && id == 0);
  CHECK(cw_sampler_accept(sampler, &a, 1) == CW_OK && cw_sampler_accept(sampler, &a, 1) == CW_OK);
  CHECK(cw_sampler_next(sampler, logits, &id, &log_probability) == CW_OK && id == 1); /* 4 / 2, once, is below 3 */
  CHECK(fabs(log_probability - (3 - log(exp(4) + exp(3) + exp(-1)))) < 1e-6);           /* of the plain logits */
  CHECK(cw_sampler_accept(sampler, &b, 1) == CW_OK);
  CHECK(cw_sampler_next(sampler, logits, &id, NULL) == CW_OK && id == 0); /* 2 against 1.5 */
  CHECK(cw_sampler_accept(sampler, &c, 1) == CW_OK);
  CHECK(cw_sampler_next(sampler, logits, &id, NULL) == CW_OK && id == 0); /* token 0 has left the window */
  cw_sampler_close(sampler);

  s.repetition_penalty = 1e-30f; /* a reward; quotients beyond the largest float are held there */
  sampler = open_sampler(3, s);
  const float high[3] = {FLT_MAX, 1e20f, -INFINITY};
  CHECK(cw_sampler_accept(sampler, &b, 1) == CW_OK && cw_sampler_accept(sampler, &c, 1) == CW_OK);
  CHECK(cw_sampler_next(sampler, high, &id, NULL) == CW_OK && id == 0);
  cw_sampler_close(sampler);
}

static void test_seeds(void) {
  float logits[50];
  for (int i = 0; i < 50; i++) logits[i] = (float)(i % 7) * 0.3f;
  cw_sampling s = PLAIN;
  s.seed = 42;
  cw_sampler *one = open_sampler(50, s), *two = open_sampler(50, s);
  s.seed = 43;
  cw_sampler *other = open_sampler(50, s);
  int same = 0, differ = 0;
  for (int i = 0; i < 200; i++) {
    int32_t a, b, c;
    cw_sampler_next(one, logits, &a, NULL);
    cw_sampler_next(two, logits, &b, NULL);
    cw_sampler_next(other, logits, &c, NULL);
    same += a == b;
    differ += a != c;
  }
  CHECK(same == 200 && differ > 150);
  cw_sampler_close(one);
  cw_sampler_close(two);
  cw_sampler_close(other);
}

static void test_stop(void) {
  const uint8_t *strings[3] = {(const uint8_t *)"ab", (const uint8_t *)"xaab", (const uint8_t *)"\0z"};
  const size_t sizes[3] = {2, 4, 2};
  cw_stop stop;
  CHECK(cw_stop_begin(&stop, strings, sizes, 3) == CW_OK);
  CHECK(!cw_stop_push(&stop, (const uint8_t *)"..xa", 4) && !cw_stop_push(&stop, NULL, 0) && !cw_stop_push(&stop, (const uint8_t *)"a", 1));
  CHECK(cw_stop_push(&stop, (const uint8_t *)"bab", 3) && stop.text_size == 2); /* both end here: the longer */
  CHECK(cw_stop_begin(&stop, strings, sizes, 3) == CW_OK);
  CHECK(cw_stop_push(&stop, (const uint8_t *)"q\0z", 3) && stop.text_size == 1);

  uint8_t longest[CW_STOP_SIZE_MOST + 1], text[1000];
  memset(longest, 'a', sizeof longest);
  longest[CW_STOP_SIZE_MOST - 1] = 'b';
  memset(text, 'a', sizeof text);
  text[900] = 'b';
  const uint8_t *one[1] = {longest};
  size_t size = CW_STOP_SIZE_MOST;
  CHECK(cw_stop_begin(&stop, one, &size, 1) == CW_OK);
  int found = 0;
  for (size_t i = 0; i < sizeof text && !found; i += 3) found = cw_stop_push(&stop, text + i, 3);
  CHECK(found && stop.text_size == 901 - CW_STOP_SIZE_MOST);
  size++;
  CHECK(cw_stop_begin(&stop, one, &size, 1) == CW_E_ARGUMENT);
  size = 0;
  CHECK(cw_stop_begin(&stop, one, &size, 1) == CW_E_ARGUMENT);
  CHECK(cw_stop_begin(&stop, strings, sizes, CW_STOP_STRINGS_MOST + 1) == CW_E_ARGUMENT);
}

/* A source that wants `script` in turn: token i of a vocabulary of 8 decodes to WORDS[i]. */
typedef struct {
  const int32_t *script;
  size_t fed, room;
  float logits[8];
  int calls; /* of the callback */
  int stop_at;
} script_source;

static const char *const WORDS[8] = {"", "a", "b", "ab", "\n", "en", "d.", "xyz"};

static cw_status script_logits(void *user, const uint32_t *numbers, const uint32_t *counts, uint32_t count, const float **logits) {
  script_source *s = user;
  CHECK(count == 1 && numbers[0] == 0 && counts[0] == 1);
  for (int i = 0; i < 8; i++) s->logits[i] = i == s->script[s->fed] ? 5 : 0;
  *logits = s->logits;
  return CW_OK;
}

static cw_status script_feed(void *user, const uint32_t *numbers, const int32_t *ids, const uint32_t *counts, uint32_t count) {
  script_source *s = user;
  CHECK(count == 1 && numbers[0] == 0 && counts[0] == 1 && *ids == s->script[s->fed] && s->fed < s->room);
  s->fed++;
  return CW_OK;
}

static uint32_t script_room(void *user, uint32_t number) {
  const script_source *s = user;
  CHECK(number == 0);
  return (uint32_t)(s->room - s->fed);
}

static cw_status script_decode(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size) {
  (void)user;
  *size = strlen(WORDS[id]);
  if (*size > capacity) return CW_E_CAPACITY;
  memcpy(out, WORDS[id], *size);
  return CW_OK;
}

static int script_token(void *user, int32_t id) {
  script_source *s = user;
  CHECK(id == s->script[s->calls]);
  return ++s->calls == s->stop_at;
}

/* Nothing is fed on a guess, or copied: these are not called. */
static cw_sequences script_sequences(script_source *s) {
  return (cw_sequences){.user = s, .vocab_size = 8, .step_most = 64, .logits = script_logits, .feed = script_feed, .room = script_room,
                        .decode = script_decode};
}

static cw_generation run(script_source *s, const char *stop_string, int32_t stop_id, uint32_t max_tokens, int32_t *ids) {
  cw_sampler *sampler = open_sampler(8, (cw_sampling){.top_p = 1, .repetition_penalty = 1});
  cw_sequences source = script_sequences(s);
  const uint8_t *strings[1] = {(const uint8_t *)stop_string};
  size_t sizes[1] = {strlen(stop_string)};
  cw_generate_request request = {.stop_ids = &stop_id, .stop_id_count = 1, .stop_strings = strings, .stop_sizes = sizes,
                                 .stop_string_count = sizes[0] > 0, .max_tokens = max_tokens, .on_token = script_token, .user = s};
  cw_generation result = {0};
  CHECK(cw_generate_from(&source, &sampler, &request, 1, &ids, &result) == CW_OK);
  cw_sampler_close(sampler);
  return result;
}

static void test_generate(void) {
  const int32_t script[] = {1, 2, 5, 6, 4, 7, 0, 1, 1, 1};
  const double each = 5 - log(exp(5) + 7);
  int32_t ids[10];

  script_source s = {script, .room = 9};
  cw_generation r = run(&s, "", 7, 10, ids);
  CHECK(r.reason == CW_STOP_TOKEN && r.count == 5 && r.text_size == 7 && s.calls == 5 && s.fed == 5);
  CHECK(fabs(r.log_probability_sum - 6 * each) < 1e-5);
  CHECK(memcmp(ids, script, 5 * sizeof *ids) == 0);

  s = (script_source){script, .room = 9};
  r = run(&s, "nd.", 7, 10, ids); /* over a token border */
  CHECK(r.reason == CW_STOP_STRING && r.count == 4 && r.text_size == 3 && s.calls == 4 && s.fed == 3);

  s = (script_source){script, .room = 9, .stop_at = 4};
  CHECK(run(&s, "nd.", 7, 10, ids).reason == CW_STOP_STRING); /* before the callback's wish */
  s = (script_source){script, .room = 9, .stop_at = 2};
  r = run(&s, "nd.", 7, 10, ids);
  CHECK(r.reason == CW_STOP_CALLER && r.count == 2 && r.text_size == 2);

  s = (script_source){script, .room = 9};
  r = run(&s, "", 7, 3, ids);
  CHECK(r.reason == CW_STOP_LENGTH && r.count == 3 && s.fed == 2);
  s = (script_source){script, .room = 1};
  r = run(&s, "", 7, 10, ids); /* the last logits give a token that cannot be fed */
  CHECK(r.reason == CW_STOP_LENGTH && r.count == 2 && s.fed == 1);
  s = (script_source){script, .room = 9};
  r = run(&s, "", 7, 0, NULL);
  CHECK(r.reason == CW_STOP_LENGTH && r.count == 0 && r.log_probability_sum == 0 && r.text_size == 0);

  s = (script_source){script, .room = 0};
  r = run(&s, "", 7, 10, ids);
  CHECK(r.reason == CW_STOP_LENGTH && r.count == 1 && s.fed == 0);

  cw_sequences source = script_sequences(&s);
  source.vocab_size = 9;
  cw_generate_request request = {.max_tokens = 1};
  cw_sampler *sampler = open_sampler(8, PLAIN), *none = NULL;
  int32_t *place = ids, *nowhere = NULL;
  CHECK(cw_generate_from(&source, &sampler, &request, 1, &place, &r) == CW_E_ARGUMENT); /* another vocabulary */
  source.vocab_size = 8;
  CHECK(cw_generate_from(&source, &none, &request, 1, &place, &r) == CW_E_ARGUMENT);
  CHECK(cw_generate_from(&source, &sampler, &request, 1, &nowhere, &r) == CW_E_ARGUMENT);
  const int32_t outside = 8;
  request.stop_ids = &outside;
  request.stop_id_count = 1;
  CHECK(cw_generate_from(&source, &sampler, &request, 1, &place, &r) == CW_E_ARGUMENT);
  request = (cw_generate_request){.max_tokens = 1, .draft_ids = &outside, .draft_count = 1};
  CHECK(cw_generate_from(&source, &sampler, &request, 1, &place, &r) == CW_E_ARGUMENT);
  request.draft_ids = NULL;
  CHECK(cw_generate_from(&source, &sampler, &request, 1, &place, &r) == CW_E_ARGUMENT);
  cw_sampler_close(sampler);
}

enum { WORDS_COUNT = 40, TEXT = 120, FED_MOST = 200 };

/* A source whose logits depend on everything fed; it mostly goes on in `text` from where its tokens last stood there, or repeats itself. */
typedef struct {
  const int32_t *text; /* [TEXT] */
  int32_t fed[FED_MOST];
  uint32_t count, room;
  double faith; /* how often it goes on in the text */
  int32_t seen[FED_MOST]; /* by the callback */
  uint32_t seen_count;
} copyist;

static void copyist_row(const copyist *c, uint32_t count, float *logits) {
  uint64_t hash = 1469598103934665603u;
  uint32_t at = 0; /* place in the text */
  for (uint32_t i = 0; i < count; i++) {
    hash = (hash ^ (uint64_t)c->fed[i]) * 1099511628211u;
    for (uint32_t j = 0; j < TEXT; j++) {
      uint32_t place = (at + j) % TEXT;
      if (c->text[place] == c->fed[i]) {
        at = (place + 1) % TEXT;
        break;
      }
    }
  }
  for (uint32_t i = 0; i < WORDS_COUNT; i++) logits[i] = (float)(2 * cw_uniform(hash, i));
  int32_t next = cw_uniform(hash, 100) < 0.9 || count < 9 ? c->text[at] : c->fed[count - 5];
  if (cw_uniform(hash, 101) < c->faith) logits[next] += 6;
}

/* Several copyists as the sequences of a loop. */
enum { CROWD = 6 };

typedef struct {
  copyist member[CROWD];
  float logits[CW_STEP_MOST * WORDS_COUNT];
  uint32_t steps, rows, refused, copies; /* calls of feed that were not refused, tokens fed in all, calls that were, calls of copy */
} crowd;

static uint32_t count_at(const uint32_t *counts, uint32_t i) { return counts == NULL ? 1 : counts[i]; }

static cw_status crowd_logits(void *user, const uint32_t *numbers, const uint32_t *counts, uint32_t count, const float **rows) {
  crowd *c = user;
  uint32_t row = 0;
  for (uint32_t i = 0; i < count; i++) {
    const copyist *m = &c->member[numbers[i]];
    CHECK(count_at(counts, i) >= 1 && count_at(counts, i) <= m->count + 1); /* + 1: what stands before all that was fed */
    CHECK(row + count_at(counts, i) <= CW_STEP_MOST);
    for (uint32_t left = count_at(counts, i); left-- > 0; row++) copyist_row(m, m->count - left, c->logits + row * WORDS_COUNT);
  }
  *rows = c->logits;
  return CW_OK;
}

static cw_status crowd_feed(void *user, const uint32_t *numbers, const int32_t *ids, const uint32_t *counts, uint32_t count) {
  crowd *c = user;
  CHECK(count >= 1);
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t j = 0; j < i; j++) CHECK(numbers[i] != numbers[j]);
    if (count_at(counts, i) > c->member[numbers[i]].room - c->member[numbers[i]].count) return c->refused++, CW_E_CAPACITY;
  }
  for (uint32_t i = 0; i < count; i++) {
    copyist *m = &c->member[numbers[i]];
    for (uint32_t k = 0; k < count_at(counts, i); k++) m->fed[m->count++] = *ids++;
    c->rows += count_at(counts, i);
  }
  c->steps++;
  return CW_OK;
}

static cw_status crowd_forget(void *user, uint32_t number, uint32_t count) {
  copyist *m = &((crowd *)user)->member[number];
  CHECK(count > 0 && count <= m->count);
  m->count -= count;
  return CW_OK;
}

static cw_status crowd_copy(void *user, uint32_t to, uint32_t from, uint32_t count) {
  crowd *c = user;
  CHECK(to != from && count <= c->member[from].count);
  c->member[to].count = c->member[from].count - count;
  CHECK(c->member[to].count <= c->member[to].room);
  memcpy(c->member[to].fed, c->member[from].fed, sizeof c->member[to].fed);
  c->copies++;
  return CW_OK;
}

static uint32_t crowd_room(void *user, uint32_t number) {
  const copyist *m = &((const crowd *)user)->member[number];
  return m->room - m->count;
}

static int same_ids(const int32_t *a, const int32_t *b, uint32_t count) { return memcmp(a, b, count * sizeof *a) == 0; }

static int crowd_are_same(void *user, uint32_t one, uint32_t other) {
  const copyist *a = &((const crowd *)user)->member[one], *b = &((const crowd *)user)->member[other];
  return a->text == b->text && a->faith == b->faith && a->count == b->count && same_ids(a->fed, b->fed, a->count);
}

static cw_status crowd_decode(void *user, int32_t id, uint8_t *out, size_t capacity, size_t *size) {
  (void)user, (void)capacity;
  *out = (uint8_t)('0' + id);
  *size = 1;
  return CW_OK;
}

static cw_sequences crowd_sequences(crowd *c, uint32_t step_most) {
  return (cw_sequences){.user = c, .vocab_size = WORDS_COUNT, .step_most = step_most, .logits = crowd_logits, .feed = crowd_feed,
                        .forget = crowd_forget, .copy = crowd_copy, .room = crowd_room, .are_same = crowd_are_same, .decode = crowd_decode};
}

static int copyist_token(void *user, int32_t id) {
  copyist *c = user;
  c->seen[c->seen_count++] = id;
  return c->seen_count == 150;
}

typedef struct {
  uint64_t seed;
  double faith;
  float temperature;
  uint32_t room, max_tokens;
  int32_t stop_id;
  const char *stop_string;
} speculation;

static cw_generation copy_out(const speculation *how, const int32_t *text, size_t draft_count, uint32_t step_most, crowd *c, int32_t *ids) {
  c->member[0] = (copyist){.text = text, .room = how->room, .faith = how->faith};
  c->refused = 0;
  cw_sampling sampling = {.temperature = how->temperature, .top_p = 0.95f, .repetition_penalty = 1.05f, .repetition_window = 9,
                          .seed = how->seed};
  cw_sampler *sampler = NULL;
  CHECK(cw_sampler_open(WORDS_COUNT, FED_MOST, &sampling, &sampler, NULL) == CW_OK);
  cw_sequences source = crowd_sequences(c, step_most);
  const uint8_t *string = (const uint8_t *)how->stop_string;
  size_t size = strlen(how->stop_string);
  cw_generate_request request = {.stop_ids = &how->stop_id, .stop_id_count = how->stop_id >= 0, .stop_strings = &string, .stop_sizes = &size,
                                 .stop_string_count = size > 0, .max_tokens = how->max_tokens, .draft_ids = text, .draft_count = draft_count,
                                 .on_token = copyist_token, .user = &c->member[0]};
  cw_generation made = {0};
  CHECK(cw_generate_from(&source, &sampler, &request, 1, &ids, &made) == CW_OK && c->refused == 0);
  cw_sampler_close(sampler);
  return made;
}

/* With any draft and any width of a step: the same tokens, sums, reasons, calls and state as without. */
static void test_speculation(void) {
  static const uint32_t WIDTHS[] = {1, 2, 3, 9, 64};
  const size_t DRAFTS[] = {TEXT, TEXT / 3};
  int32_t text[TEXT], ids[2][FED_MOST];
  static crowd crowds[2];
  const copyist *plain = &crowds[0].member[0], *ahead = &crowds[1].member[0];
  uint64_t plain_steps = 0, steps = 0, idle = 0, guesses = 0, stopped[4] = {0};
  for (uint64_t seed = 0; seed < 120; seed++) {
    for (uint64_t i = 0; i < TEXT; i++) text[i] = (int32_t)(cw_uniform(seed, i) * WORDS_COUNT);
    speculation how = {.seed = seed, .faith = seed % 5 == 0 ? 0 : seed % 5 == 1 ? 1 : 0.95, .temperature = seed % 3 == 0 ? 0 : 0.7f,
                       .room = seed % 7 == 0 ? 50 : 190, .max_tokens = seed % 11 == 0 ? 33 : 170,
                       .stop_id = seed % 2 == 0 ? (int32_t)(seed % 40) : -1, .stop_string = seed % 13 == 0 ? "5B" : ""};
    cw_generation want = copy_out(&how, text, 0, 64, &crowds[0], ids[0]);
    CHECK(want.steps == plain->count && want.drafted == 0 && want.accepted == 0);
    stopped[want.reason]++;
    for (size_t i = 0; i < sizeof WIDTHS / sizeof *WIDTHS; i++) {
      cw_generation got = copy_out(&how, text, DRAFTS[i % 2], WIDTHS[i], &crowds[1], ids[1]);
      CHECK(got.count == want.count && got.reason == want.reason && got.text_size == want.text_size);
      CHECK(got.log_probability_sum == want.log_probability_sum && same_ids(ids[0], ids[1], want.count));
      CHECK(ahead->count == plain->count && same_ids(ahead->fed, plain->fed, plain->count));
      CHECK(ahead->seen_count == plain->seen_count && same_ids(ahead->seen, plain->seen, plain->seen_count));
      CHECK(got.accepted <= got.drafted && got.steps <= want.steps && got.steps + got.accepted >= want.steps);
      if (how.faith == 0) idle += got.steps, guesses += got.drafted;
      if (how.faith == 1 && WIDTHS[i] == 64) plain_steps += want.steps, steps += got.steps;
    }
  }
  CHECK(stopped[CW_STOP_TOKEN] > 9 && stopped[CW_STOP_STRING] > 0 && stopped[CW_STOP_LENGTH] > 9 && stopped[CW_STOP_CALLER] > 9);
  CHECK(plain_steps > 3 * steps); /* an answer that mostly copies takes few steps; */
  CHECK(guesses < idle / 8);      /* one that never does is hardly ever guessed at */
}

/* How a crowd begins, and what each is asked for. */
typedef struct {
  uint64_t seed;
  int same_start;      /* all hold the same, and share a draft: lines to begin with */
  size_t draft_count;  /* 0: plain */
  uint32_t step_most;
} crowding;

static copyist crowd_member(const crowding *how, const int32_t *text, uint32_t i) {
  copyist c = {.text = text, .room = how->seed % 4 == 0 ? 20 + 9 * (i * 5 % CROWD) : 190, .faith = 0.8};
  for (; !how->same_start && c.count < i; c.count++) c.fed[c.count] = text[c.count];
  return c;
}

static cw_sampler *crowd_sampler(const crowding *how, uint32_t i) {
  cw_sampling sampling = {.temperature = 0.5f * (float)(i % 3), .top_p = 0.9f, .repetition_penalty = i % 2 ? 1 : 1.1f,
                          .seed = how->seed + i};
  cw_sampler *sampler = NULL;
  CHECK(cw_sampler_open(WORDS_COUNT, FED_MOST, &sampling, &sampler, NULL) == CW_OK);
  return sampler;
}

static cw_generate_request crowd_request(const crowding *how, const int32_t *text, const int32_t *stops, uint32_t i) {
  cw_generate_request q = {.stop_ids = &stops[i], .stop_id_count = i % 2, .max_tokens = 30 * i, .on_token = copyist_token};
  if (how->draft_count > 0) q.draft_ids = text, q.draft_count = how->same_start ? how->draft_count : how->draft_count - i;
  return q;
}

/* What the members of a crowd do together they do alone, whatever lengths, samplers and stops the others have. */
static void crowd_is_alone(const crowding *how) {
  int32_t text[TEXT], ids[CROWD + 1][FED_MOST], *places[CROWD + 1], stops[CROWD];
  static crowd c, alone;
  cw_sampler *samplers[CROWD];
  cw_generate_request requests[CROWD];
  cw_generation made[CROWD], want;
  for (uint64_t i = 0; i < TEXT; i++) text[i] = (int32_t)(cw_uniform(how->seed, i) * WORDS_COUNT);
  c.steps = c.rows = c.refused = 0;
  for (uint32_t i = 0; i < CROWD; i++) {
    stops[i] = (int32_t)(how->seed + 7 * i) % WORDS_COUNT;
    c.member[i] = crowd_member(how, text, i);
    samplers[i] = crowd_sampler(how, i);
    requests[i] = crowd_request(how, text, stops, i);
    requests[i].user = &c.member[i];
    places[i] = ids[i];
  }
  cw_sequences together = crowd_sequences(&c, how->step_most), single = crowd_sequences(&alone, 64);
  CHECK(cw_generate_from(&together, samplers, requests, CROWD, places, made) == CW_OK && c.refused == 0);
  uint32_t longest = 0;
  for (uint32_t i = 0; i < CROWD; i++) {
    alone.member[0] = crowd_member(how, text, i);
    uint32_t before = alone.member[0].count;
    cw_sampler_close(samplers[i]);
    samplers[i] = crowd_sampler(how, i);
    requests[i].user = &alone.member[0];
    requests[i].draft_count = 0;
    places[CROWD] = ids[CROWD];
    CHECK(cw_generate_from(&single, &samplers[i], &requests[i], 1, &places[CROWD], &want) == CW_OK);
    const copyist *a = &alone.member[0], *b = &c.member[i];
    CHECK(want.count == made[i].count && want.reason == made[i].reason && want.text_size == made[i].text_size);
    CHECK(want.log_probability_sum == made[i].log_probability_sum && same_ids(ids[i], ids[CROWD], want.count));
    CHECK(a->count == b->count && same_ids(a->fed, b->fed, a->count));
    CHECK(a->seen_count == b->seen_count && same_ids(a->seen, b->seen, a->seen_count));
    CHECK(made[i].steps <= want.steps && made[i].steps + made[i].accepted >= want.steps && made[i].accepted <= made[i].drafted);
    CHECK(how->draft_count > 0 || made[i].steps == a->count - before);
    longest = want.steps > longest ? want.steps : longest;
    cw_sampler_close(samplers[i]);
  }
  CHECK(how->draft_count > 0 ? c.steps <= longest : c.steps == longest); /* a step for all of them */
}

static void test_batch(void) {
  static const uint32_t WIDTHS[] = {64, CROWD, CROWD + 5};
  for (uint64_t seed = 0; seed < 48; seed++)
    crowd_is_alone(&(crowding){.seed = seed, .same_start = seed % 2 == 0, .draft_count = seed % 3 == 0 ? 0 : TEXT / (seed % 3),
                               .step_most = WIDTHS[seed / 3 % 3]});
}

/* Answers that stay the same are computed once, and copied where they end. */
static void test_lines(void) {
  int32_t text[TEXT], ids[CROWD][FED_MOST], *places[CROWD];
  static crowd c;
  cw_sampler *samplers[CROWD];
  cw_generate_request requests[CROWD];
  cw_generation made[CROWD];
  for (int32_t i = 0; i < TEXT; i++) text[i] = i * 7 % WORDS_COUNT;
  c.rows = c.copies = 0;
  for (uint32_t i = 0; i < CROWD; i++) {
    c.member[i] = (copyist){.text = text, .room = 190, .faith = 0.8};
    samplers[i] = crowd_sampler(&(crowding){.seed = 1}, 3); /* greedy, all the same */
    requests[i] = (cw_generate_request){.max_tokens = 60 + i / 3 * 20};
    places[i] = ids[i];
  }
  cw_sequences sequences = crowd_sequences(&c, 64);
  CHECK(cw_generate_from(&sequences, samplers, requests, CROWD, places, made) == CW_OK);
  CHECK(c.rows == 79 && c.copies == CROWD - 1); /* the longest answer but its last token */
  for (uint32_t i = 0; i < CROWD; i++) {
    CHECK(made[i].count == requests[i].max_tokens && c.member[i].count == made[i].count - 1);
    CHECK(same_ids(ids[i], ids[CROWD - 1], made[i].count) && same_ids(c.member[i].fed, ids[i], c.member[i].count));
  }
  CHECK(cw_generate_from(&sequences, samplers, requests, 0, places, made) == CW_E_ARGUMENT);
  sequences.step_most = CROWD - 1;
  CHECK(cw_generate_from(&sequences, samplers, requests, CROWD, places, made) == CW_E_ARGUMENT);
  cw_sampler_close(samplers[CROWD - 1]);
  samplers[CROWD - 1] = samplers[0]; /* one sampler twice */
  sequences.step_most = CROWD;
  CHECK(cw_generate_from(&sequences, samplers, requests, CROWD, places, made) == CW_E_ARGUMENT);
  for (uint32_t i = 0; i < CROWD - 1; i++) cw_sampler_close(samplers[i]);
}

/* The mean log-probability of an answer to the empty prompt, `stop` included unless -1. */
static double mean_of(const int32_t *text, const int32_t *ids, uint32_t count, int32_t stop) {
  static copyist c;
  c = (copyist){.text = text, .room = FED_MOST, .faith = 0.5};
  double sum = 0;
  uint32_t length = count + (stop >= 0);
  for (uint32_t i = 0; i < length; i++) {
    int32_t id = i < count ? ids[i] : stop;
    float logits[WORDS_COUNT];
    copyist_row(&c, c.count, logits);
    double total = 0;
    for (int j = 0; j < WORDS_COUNT; j++) total += exp((double)logits[j]);
    sum += logits[id] - log(total);
    c.fed[c.count++] = id;
  }
  return sum / length;
}

/* What a beam reports of its answers is so, they differ and come best first, a wider beam's best is hardly ever worse, and nearly every one
 * of width 8 is better than greedy. tests/test_beam.py has the reference that says which answers they must be. */
static void test_beam(void) {
  int32_t text[TEXT], stop = 3;
  static crowd c;
  int won = 0, lost = 0;
  for (uint64_t seed = 0; seed < 25; seed++) {
    for (uint64_t i = 0; i < TEXT; i++) text[i] = (int32_t)(cw_uniform(seed, i) * WORDS_COUNT);
    double best[2] = {0};
    for (uint32_t width = 1; width <= CROWD; width += CROWD - 1) {
      cw_beam *beam = NULL;
      CHECK(cw_beam_open(width, 40, &beam, NULL) == CW_OK && cw_beam_width(beam) == width);
      for (uint32_t i = 0; i < CROWD; i++) c.member[i] = (copyist){.text = text, .room = seed % 5 == 0 ? 10 : 190, .faith = 0.5};
      cw_sequences sequences = crowd_sequences(&c, 64);
      const uint8_t *string = (const uint8_t *)"BB";
      const size_t size = 2;
      cw_generate_request request = {.stop_ids = &stop, .stop_id_count = 1, .max_tokens = 25, .stop_strings = &string, .stop_sizes = &size,
                                     .stop_string_count = seed % 3 == 0};
      uint32_t found = 0;
      c.steps = 0;
      CHECK(cw_beam_search_from(beam, &sequences, &request, &found) == CW_OK && found >= 1 && found <= width);
      double before = 0;
      for (uint32_t i = 0; i < found; i++) {
        const int32_t *ids, *others;
        cw_generation made, other;
        CHECK(cw_beam_answer(beam, i, &ids, &made) == CW_OK && made.steps >= c.steps && made.steps <= 25);
        uint32_t length = made.count + (made.reason == CW_STOP_TOKEN);
        double mean = mean_of(text, ids, made.count, made.reason == CW_STOP_TOKEN ? stop : -1);
        CHECK(fabs(made.log_probability_sum / length - mean) < 1e-5);
        CHECK(i == 0 || mean <= before + 1e-9);
        before = mean;
        if (i == 0) best[width > 1] = mean;
        for (uint32_t j = 0; j < i; j++) {
          CHECK(cw_beam_answer(beam, j, &others, &other) == CW_OK);
          CHECK(other.count != made.count || other.reason != made.reason || !same_ids(ids, others, made.count));
        }
      }
      const int32_t *ids;
      cw_generation made;
      CHECK(cw_beam_answer(beam, found, &ids, &made) == CW_E_ARGUMENT);
      request.max_tokens = 41;
      CHECK(cw_beam_search_from(beam, &sequences, &request, &found) == CW_E_ARGUMENT);
      request.max_tokens = 4;
      request.draft_ids = text, request.draft_count = 2;
      CHECK(cw_beam_search_from(beam, &sequences, &request, &found) == CW_E_ARGUMENT);
      cw_beam_close(beam);
    }
    won += best[1] > best[0];
    lost += best[1] < best[0] - 1e-9;
  }
  CHECK(won > 12 && lost < 3);
  cw_beam *beam = NULL;
  CHECK(cw_beam_open(0, 40, &beam, NULL) == CW_E_ARGUMENT && cw_beam_open(9, 40, &beam, NULL) == CW_E_ARGUMENT);
  CHECK(cw_beam_open(2, 0, &beam, NULL) == CW_E_ARGUMENT && cw_beam_open(2, 9, NULL, NULL) == CW_E_ARGUMENT && beam == NULL);
  cw_beam_close(NULL);
}

/* What a guess goes by: the beginning, the place after a change, a far place only after two tokens, the answer itself. */
static void test_draft(void) {
  int32_t source[100], answer[100], out[CW_DRAFT_MOST];
  for (int32_t i = 0; i < 100; i++) source[i] = i;
  cw_draft draft;
  cw_draft_begin(&draft, source, 100, answer);
  answer[0] = 0;
  CHECK(cw_draft_guess(&draft, 1, 0, 100, out) == 16 && out[0] == 1 && out[15] == 16);
  for (int32_t i = 1; i < 18; i++) answer[i] = i;
  CHECK(cw_draft_guess(&draft, 18, 16, 100, out) == 32 && out[0] == 18); /* all right: twice as long */
  for (int32_t i = 18; i < 28; i++) answer[i] = i;
  answer[28] = 500; /* in place of 28 */
  CHECK(cw_draft_guess(&draft, 29, 10, 100, out) == 0);
  answer[29] = 30;
  CHECK(cw_draft_guess(&draft, 30, 0, 100, out) == 4 && out[0] == 31); /* near: one token is enough */
  answer[30] = 90;
  CHECK(cw_draft_guess(&draft, 31, 0, 100, out) == 0);
  answer[31] = 91;
  CHECK(cw_draft_guess(&draft, 32, 0, 100, out) == 4 && out[0] == 92); /* far: two */
  answer[32] = 95;
  CHECK(cw_draft_guess(&draft, 33, 0, 3, out) == 0); /* two wrong guesses: one token is no longer enough */
  for (int32_t i = 33; i < 60; i++) answer[i] = 200 + i % 3;
  CHECK(cw_draft_guess(&draft, 60, 0, 100, out) == 8);
  for (int32_t i = 0; i < 8; i++) CHECK(out[i] == 200 + (60 + i) % 3); /* beyond the end of the answer, too */
  CHECK(cw_draft_guess(&draft, 60, 0, 0, out) == 0);

  cw_draft_begin(&draft, source, 3, answer); /* a source that ends */
  answer[0] = 0;
  CHECK(cw_draft_guess(&draft, 1, 0, 100, out) == 2);
  answer[1] = 1, answer[2] = 2, answer[3] = 3;
  CHECK(cw_draft_guess(&draft, 4, 2, 100, out) == 0);
  cw_draft_begin(&draft, NULL, 0, answer);
  CHECK(cw_draft_guess(&draft, 1, 0, 100, out) == 0);
}

int main(void) {
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) test_scan(&cw_scan_avx2, &cw_scan_scalar);
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512dq")) test_scan(&cw_scan_avx512vnni, &cw_scan_scalar);
  test_select(&cw_scan_scalar);
  const char *const NAMES[] = {"scalar", "avx2", "avx512vnni"};
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
    if (cw_isa_select(NAMES[i]) != CW_OK) continue; /* absent here: test_kernels says so */
    CHECK(strcmp(cw_scan_selected()->name, NAMES[i]) == 0);
    test_numeric();
    test_refusals();
    test_cuts();
    test_penalty();
    test_seeds();
    test_stop();
    test_generate();
    test_speculation();
    test_draft();
    test_batch();
    test_lines();
    test_beam();
  }
  return failures > 0;
}
