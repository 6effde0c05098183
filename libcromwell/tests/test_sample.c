/* test_sample.c: the sampler and the token loop, on made-up logits. Distributions are compared in tests/test_sampling.py. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cpu.h"
#include "sample/generate.h"
#include "sample/numeric.h"
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

  float ones[97];
  for (int i = 0; i < 97; i++) ones[i] = 1;
  for (size_t n = 0; n <= 97; n++) CHECK(cw_sum(ones, n) == (double)n);

  CHECK(cw_uniform(1, 0) != cw_uniform(1, 1) && cw_uniform(1, 0) != cw_uniform(2, 0));
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

static cw_status script_logits(void *user, const float **logits) {
  script_source *s = user;
  for (int i = 0; i < 8; i++) s->logits[i] = i == s->script[s->fed] ? 5 : 0;
  *logits = s->logits;
  return CW_OK;
}

static cw_status script_feed(void *user, int32_t id) {
  script_source *s = user;
  CHECK(id == s->script[s->fed]);
  if (s->fed == s->room) return CW_E_CAPACITY;
  s->fed++;
  return CW_OK;
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

static cw_generate_result run(script_source *s, const char *stop_string, int32_t stop_id, uint32_t max_tokens, int32_t *ids) {
  cw_sampler *sampler = open_sampler(8, (cw_sampling){.top_p = 1, .repetition_penalty = 1});
  cw_token_source source = {s, 8, script_logits, script_feed, script_decode};
  const uint8_t *strings[1] = {(const uint8_t *)stop_string};
  size_t sizes[1] = {strlen(stop_string)};
  cw_generate_request request = {&stop_id, 1, strings, sizes, sizes[0] > 0, max_tokens, script_token, s};
  cw_generate_result result = {0};
  CHECK(cw_generate_from(&source, sampler, &request, ids, &result) == CW_OK);
  cw_sampler_close(sampler);
  return result;
}

static void test_generate(void) {
  const int32_t script[] = {1, 2, 5, 6, 4, 7, 0, 1, 1, 1};
  const double each = 5 - log(exp(5) + 7);
  int32_t ids[10];

  script_source s = {script, .room = 9};
  cw_generate_result r = run(&s, "", 7, 10, ids);
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

  cw_token_source source = {&s, 9, script_logits, script_feed, script_decode};
  cw_generate_request request = {.max_tokens = 1};
  cw_sampler *sampler = open_sampler(8, PLAIN);
  CHECK(cw_generate_from(&source, sampler, &request, ids, &r) == CW_E_ARGUMENT); /* another vocabulary */
  source.vocab_size = 8;
  CHECK(cw_generate_from(&source, NULL, &request, ids, &r) == CW_E_ARGUMENT);
  CHECK(cw_generate_from(&source, sampler, &request, NULL, &r) == CW_E_ARGUMENT);
  const int32_t outside = 8;
  request.stop_ids = &outside;
  request.stop_id_count = 1;
  CHECK(cw_generate_from(&source, sampler, &request, ids, &r) == CW_E_ARGUMENT);
  cw_sampler_close(sampler);
}

int main(void) {
  const char *const NAMES[] = {"scalar", "avx2"};
  for (int i = 0; i < 2; i++) {
    if (cw_isa_select(NAMES[i]) != CW_OK) continue; /* absent here: test_kernels says so */
    test_numeric();
    test_refusals();
    test_cuts();
    test_penalty();
    test_seeds();
    test_stop();
    test_generate();
  }
  return failures > 0;
}
