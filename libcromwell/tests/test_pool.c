/* test_pool.c: every chunk of every job runs exactly once, sees the job's data, and is finished when cw_pool_run returns. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool.h"

static int failures;

enum { MOST = 3000 };

typedef struct {
  uint32_t number;
  uint32_t seen[MOST]; /* plain memory: only the pool's own ordering protects it */
  uint32_t worker[MOST];
} job;

static void chunk(void *data, uint32_t i, uint32_t worker) {
  job *j = data;
  j->seen[i] += j->number;
  j->worker[i] = worker;
}

static void check_job(cw_pool *pool, uint32_t number, uint32_t count) {
  static job j;
  const cw_ahead ahead = {.pieces = {{&j, sizeof j}, {&failures, 1}, {NULL, 1 << 20}}, .count = 3, .beside = number % 4 == 1};
  memset(&j, 0, sizeof j);
  j.number = number;
  cw_pool_run(pool, number % 5 == 4 ? 2 : 64, chunk, &j, count, number % 2 ? &ahead : NULL);
  for (uint32_t i = 0; i < MOST; i++) {
    uint32_t wanted = i < count ? number : 0;
    if (j.seen[i] == wanted && j.worker[i] < cw_pool_threads(pool)) continue;
    printf("job %u of %u chunks on %u threads: chunk %u shows %u of worker %u\n", number, count, cw_pool_threads(pool), i, j.seen[i], j.worker[i]);
    failures++;
    return;
  }
}

static void count_chunk(void *data, uint32_t i, uint32_t worker) {
  (void)worker;
  ((uint8_t *)data)[i]++;
}

/* The most chunks that workers can claim, and more. */
static void check_limits(cw_pool *pool) {
  static uint8_t seen[CW_CHUNKS_MOST + 1000];
  static const uint32_t COUNTS[] = {CW_CHUNKS_MOST - 1, CW_CHUNKS_MOST, CW_CHUNKS_MOST + 1, CW_CHUNKS_MOST + 999};
  for (int c = 0; c < 4; c++) {
    memset(seen, 0, sizeof seen);
    cw_pool_run(pool, 64, count_chunk, seen, COUNTS[c], NULL);
    for (uint32_t i = 0; i < sizeof seen; i++)
      if (seen[i] != (i < COUNTS[c])) {
        printf("%u chunks: chunk %u ran %u times\n", COUNTS[c], i, seen[i]), failures++;
        return;
      }
  }
}

int main(void) {
  static const uint32_t THREADS[] = {1, 2, 3, 8}, COUNTS[] = {0, 1, 2, 3, 7, 64, MOST};
  for (int t = 0; t < 4; t++) {
    cw_pool *pool = NULL;
    if (cw_pool_open(THREADS[t], &pool) != CW_OK) return 1;
    uint32_t number = 1;
    for (int round = 0; round < 150; round++) {
      for (int c = 0; c < 7; c++) check_job(pool, number++, COUNTS[c]);
      if (round % 50 == 49) usleep(3000); /* long enough for the members to park */
    }
    check_limits(pool);
    cw_pool_close(pool);
  }
  for (int i = 0; i < 50; i++) { /* closed without a job, and while members are still starting */
    cw_pool *pool = NULL;
    if (cw_pool_open(4, &pool) != CW_OK) return 1;
    cw_pool_close(pool);
  }
  cw_pool *none = NULL;
  if (cw_pool_open(0, &none) != CW_E_ARGUMENT || cw_pool_open(65, &none) != CW_E_ARGUMENT || none != NULL) failures++;
  cw_pool_close(NULL);
  return failures > 0;
}
