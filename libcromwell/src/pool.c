/* pool.c: claiming chunks of a job by a ticket; workers spin briefly between jobs, then park (see pool.h). */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/* About 20 microseconds on the processors measured, where a pause takes 40-140 cycles: longer than the gap between two jobs of
 * a token step, shorter than a wake-up costs. */
enum { SPINS = 400 };

struct cw_pool {
  /* generation << 32 | chunk count << 16 | next chunk: a claim succeeds only on the very job it was read from. */
  _Alignas(64) _Atomic uint64_t ticket;
  _Alignas(64) _Atomic uint32_t done; /* chunks finished of the present job */
  _Alignas(64) _Atomic uint32_t sleepers;
  _Atomic(cw_chunk_fn) run;
  _Atomic(void *) job;
  _Atomic int stop;
  uint32_t threads, started;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  struct member {
    cw_pool *pool;
    uint32_t worker;
    pthread_t thread;
  } member[]; /* [threads - 1] */
};

static void pause_briefly(void) { __builtin_ia32_pause(); }

/* Claims and runs chunks until the present job has none left. */
static void work(cw_pool *pool, uint32_t worker) {
  for (;;) {
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    uint32_t count = (uint32_t)(ticket >> 16) & 0xffff, next = (uint32_t)ticket & 0xffff;
    if (next >= count) return;
    cw_chunk_fn run = atomic_load_explicit(&pool->run, memory_order_relaxed);
    void *job = atomic_load_explicit(&pool->job, memory_order_relaxed);
    if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket + 1, memory_order_acq_rel, memory_order_relaxed)) continue;
    run(job, next, worker);
    atomic_fetch_add_explicit(&pool->done, 1, memory_order_release);
  }
}

static int idle(cw_pool *pool, uint32_t generation) {
  return (uint32_t)(atomic_load(&pool->ticket) >> 32) == generation && !atomic_load(&pool->stop);
}

static void *member_main(void *argument) {
  struct member *self = argument;
  cw_pool *pool = self->pool;
  uint32_t seen = 0;
  while (!atomic_load(&pool->stop)) {
    for (int spin = 0; spin < SPINS && idle(pool, seen); spin++) pause_briefly();
    if (idle(pool, seen)) {
      pthread_mutex_lock(&pool->lock);
      atomic_fetch_add(&pool->sleepers, 1);
      while (idle(pool, seen)) pthread_cond_wait(&pool->wake, &pool->lock);
      atomic_fetch_sub(&pool->sleepers, 1);
      pthread_mutex_unlock(&pool->lock);
    }
    seen = (uint32_t)(atomic_load(&pool->ticket) >> 32);
    work(pool, self->worker);
  }
  return NULL;
}

static void wake_sleepers(cw_pool *pool) {
  if (atomic_load(&pool->sleepers) == 0) return;
  pthread_mutex_lock(&pool->lock);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
}

cw_status cw_pool_open(uint32_t threads, cw_pool **out) {
  if (threads < 1 || threads > 64) return CW_E_ARGUMENT;
  size_t size = sizeof(cw_pool) + (threads - 1) * sizeof(struct member);
  cw_pool *pool = aligned_alloc(64, (size + 63) / 64 * 64);
  if (pool == NULL) return CW_E_MEMORY;
  atomic_init(&pool->ticket, 0);
  atomic_init(&pool->done, 0);
  atomic_init(&pool->sleepers, 0);
  atomic_init(&pool->run, NULL);
  atomic_init(&pool->job, NULL);
  atomic_init(&pool->stop, 0);
  pool->threads = threads;
  pool->started = 0;
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  sigset_t every, before; /* signals are for the program's own threads */
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  for (uint32_t i = 0; i + 1 < threads; i++) {
    pool->member[i].pool = pool;
    pool->member[i].worker = i + 1;
    if (pthread_create(&pool->member[i].thread, NULL, member_main, &pool->member[i]) != 0) break;
    pool->started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (pool->started + 1 < threads) {
    cw_pool_close(pool);
    return CW_E_MEMORY;
  }
  *out = pool;
  return CW_OK;
}

void cw_pool_close(cw_pool *pool) {
  if (pool == NULL) return;
  atomic_store(&pool->stop, 1);
  wake_sleepers(pool);
  for (uint32_t i = 0; i < pool->started; i++) pthread_join(pool->member[i].thread, NULL);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool);
}

uint32_t cw_pool_threads(const cw_pool *pool) { return pool->threads; }

void cw_pool_run_alone(cw_chunk_fn run, void *job, uint32_t count) {
  for (uint32_t chunk = 0; chunk < count; chunk++) run(job, chunk, 0);
}

void cw_pool_run(cw_pool *pool, cw_chunk_fn run, void *job, uint32_t count) {
  if (pool->threads == 1 || count <= 1 || count > CW_CHUNKS_MOST) {
    cw_pool_run_alone(run, job, count);
    return;
  }
  uint64_t generation = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> 32) + 1;
  atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
  atomic_store_explicit(&pool->run, run, memory_order_relaxed);
  atomic_store_explicit(&pool->job, job, memory_order_relaxed);
  atomic_store(&pool->ticket, generation << 32 | (uint64_t)count << 16);
  wake_sleepers(pool);
  work(pool, 0);
  for (int spin = 0; atomic_load_explicit(&pool->done, memory_order_acquire) < count; spin++) {
    if (spin < SPINS)
      pause_briefly();
    else
      sched_yield(); /* the last chunk's worker may need this very core */
  }
}
