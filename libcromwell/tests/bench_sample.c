/* bench_sample.c: microseconds a sampled token, best of 60, for the table of docs/sampling.md:
 *     cmake --build build --target bench_sample && build/bench_sample */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cromwell.h"

enum { VOCAB = 50000, HISTORY = 2000, ROUNDS = 60 };

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

int main(void) {
  static float normal[VOCAB], equal[VOCAB];
  for (int i = 0; i < VOCAB; i++) {
    double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = (rand() + 1.0) / (RAND_MAX + 2.0);
    normal[i] = (float)(3 * sqrt(-2 * log(u)) * cos(6.283185307 * v));
  }
  static const struct { const char *name; cw_sampling sampling; int with_log_probability; } CASES[] = {
      {"greedy", {.top_p = 1, .repetition_penalty = 1}, 0},
      {"greedy, log-probability", {.top_p = 1, .repetition_penalty = 1}, 1},
      {"temperature", {.temperature = 0.8f, .top_p = 1, .repetition_penalty = 1}, 0},
      {"top-k 40", {.temperature = 0.8f, .top_k = 40, .top_p = 1, .repetition_penalty = 1}, 0},
      {"top-p 0.95", {.temperature = 0.8f, .top_p = 0.95f, .repetition_penalty = 1}, 0},
      {"min-p 0.05", {.temperature = 0.8f, .top_p = 1, .min_p = 0.05f, .repetition_penalty = 1}, 0},
      {"everything", {.temperature = 0.8f, .top_k = 200, .top_p = 0.95f, .min_p = 0.05f, .repetition_penalty = 1.1f}, 1},
  };
  printf("%-26s %8s %8s\n", "us for 50,000 logits", "normal", "equal");
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    float log_probability, *wanted = CASES[i].with_log_probability ? &log_probability : NULL;
    printf("%-26s %8.0f %8.0f\n", CASES[i].name, best_us(normal, CASES[i].sampling, wanted), best_us(equal, CASES[i].sampling, wanted));
  }
  return 0;
}
