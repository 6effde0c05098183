/* bench_sample.c: microseconds a sampled token, best of 100, for the table of docs/sampling.md:
 *     cmake --build build --target bench_sample && build/bench_sample */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cromwell.h"

enum { VOCAB = 50000, HISTORY = 2000, ROUNDS = 100 };

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static double best_us(const float *logits, cw_sampling sampling, float *log_probability) {
  cw_sampler *sampler;
  cw_fault fault;
  if (cw_sampler_open(VOCAB, HISTORY, &sampling, &sampler, &fault) != CW_OK) {
    fprintf(stderr, "bench_sample: %s\n", fault.text);
    exit(1);
  }
  for (int32_t i = 0; i < HISTORY; i++) {
    int32_t id = i * 7919 % VOCAB;
    cw_sampler_accept(sampler, &id, 1);
  }
  double best = 1e9;
  for (int i = 0; i < ROUNDS; i++) {
    int32_t id;
    double start = now_us();
    if (cw_sampler_next(sampler, logits, &id, log_probability) != CW_OK) exit(1);
    double elapsed = now_us() - start;
    if (elapsed < best) best = elapsed;
  }
  cw_sampler_close(sampler);
  return best;
}

enum { SHAPES = 4 };

static const char *const SHAPE_NAMES[SHAPES] = {"normal 3", "normal .01", "integers", "equal"};

static void make_logits(int shape, float *x) {
  for (int i = 0; i < VOCAB; i++) {
    double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = (rand() + 1.0) / (RAND_MAX + 2.0);
    double normal = sqrt(-2 * log(u)) * cos(6.283185307 * v);
    x[i] = (float)(shape == 0 ? 3 * normal : shape == 1 ? 0.01 * normal : shape == 2 ? round(3 * normal) : 0);
  }
}

int main(void) {
  static float logits[SHAPES][VOCAB];
  for (int shape = 0; shape < SHAPES; shape++) make_logits(shape, logits[shape]);
  static const struct { const char *name; cw_sampling sampling; int with_log_probability; } CASES[] = {
      {"greedy", {.top_p = 1, .repetition_penalty = 1}, 0},
      {"greedy, log-probability", {.top_p = 1, .repetition_penalty = 1}, 1},
      {"temperature", {.temperature = 0.8f, .top_p = 1, .repetition_penalty = 1}, 0},
      {"top-k 40", {.temperature = 0.8f, .top_k = 40, .top_p = 1, .repetition_penalty = 1}, 0},
      {"top-p 0.95", {.temperature = 0.8f, .top_p = 0.95f, .repetition_penalty = 1}, 0},
      {"top-p 0.5", {.temperature = 0.8f, .top_p = 0.5f, .repetition_penalty = 1}, 0},
      {"min-p 0.05", {.temperature = 0.8f, .top_p = 1, .min_p = 0.05f, .repetition_penalty = 1}, 0},
      {"everything", {.temperature = 0.8f, .top_k = 200, .top_p = 0.95f, .min_p = 0.05f, .repetition_penalty = 1.1f}, 1},
  };
  static const char *const SETS[] = {"avx512vnni", "avx2", "scalar"};
  for (size_t set = 0; set < sizeof SETS / sizeof *SETS; set++) {
    if (cw_isa_select(SETS[set]) != CW_OK) continue;
    printf("%-12s us for 50,000", SETS[set]);
    for (int shape = 0; shape < SHAPES; shape++) printf(" %10s", SHAPE_NAMES[shape]);
    printf("\n");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
      float log_probability, *wanted = CASES[i].with_log_probability ? &log_probability : NULL;
      printf("%-29s", CASES[i].name);
      for (int shape = 0; shape < SHAPES; shape++) printf(" %10.0f", best_us(logits[shape], CASES[i].sampling, wanted));
      printf("\n");
    }
  }
  return 0;
}
