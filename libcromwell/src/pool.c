/* pool.c: claiming chunks of a job by a ticket; workers spin briefly between jobs, then park (see pool.h). */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A worker waits for the next job with its eyes open, as waking up costs more than most gaps between two jobs of a token step: first for
 * about 20 microseconds on the processors measured, where a pause takes 40-140 cycles, then for another 100 between yields, which leave
 * the core to whoever needs it. */
enum { SPINS = 400, YIELDS = 100, PAUSES_A_YIELD = 10 };

/* Asked for between two looks for a new job, and by a worker at most: half of a core's second cache. */
enum { STEP = 1024, AHEAD_MOST = 512 * 1024 };

struct member {
  /* generation << 32 | end << 16 | next chunk of this worker's share: a claim succeeds only on the very job it was read from. */
  _Alignas(64) _Atomic uint64_t ticket;
  /* What to ask for when idle. Written before the tickets of a job; a worker that still reads those of the last job may see a mixture,
   * and asks in vain. */
  struct {
    _Atomic uintptr_t at;
    _Atomic size_t bytes;
  } ahead[CW_AHEAD_PIECES];
  _Atomic int asleep;
  pthread_cond_t wake;
  cw_pool *pool;
  uint32_t worker;
  pthread_t thread;
};

struct cw_pool {
  _Alignas(64) _Atomic uint32_t done; /* chunks finished of the present job */
  _Alignas(64) _Atomic(cw_chunk_fn) run;
  _Atomic(void *) job;
  _Atomic int stop;
  _Atomic uint32_t active; /* members that take part in the present job, the first ones */
  uint32_t threads, started, generation;
  pthread_mutex_t lock;
  struct member member[]; /* [threads]; the first is the caller */
};

static void pause_briefly(void) { __builtin_ia32_pause(); }

/* Claims and runs chunks of a member's share until it has none left. */
static void work_on(cw_pool *pool, struct member *share, uint32_t worker) {
  for (;;) {
    uint64_t ticket = atomic_load_explicit(&share->ticket, memory_order_acquire);
    uint32_t end = (uint32_t)(ticket >> 16) & 0xffff, next = (uint32_t)ticket & 0xffff;
    if (next >= end) return;
    cw_chunk_fn run = atomic_load_explicit(&pool->run, memory_order_relaxed);
    void *job = atomic_load_explicit(&pool->job, memory_order_relaxed);
    if (!atomic_compare_exchange_weak_explicit(&share->ticket, &ticket, ticket + 1, memory_order_acq_rel, memory_order_relaxed)) continue;
    run(job, next, worker);
    atomic_fetch_add_explicit(&pool->done, 1, memory_order_release);
  }
}

static void work(cw_pool *pool, uint32_t worker) {
  const uint32_t active = atomic_load_explicit(&pool->active, memory_order_relaxed);
  for (uint32_t i = 0; i < active; i++) work_on(pool, &pool->member[(worker + i) % active], worker);
}

/* Where a worker is in asking for what comes next. */
typedef struct {
  uint32_t piece;
  size_t offset, all;
} asking;

/* Asks for the next KiB of a worker's memory ahead; 0 when there is no more. */
static int ask(struct member *self, asking *at) {
  while (at->piece < CW_AHEAD_PIECES && at->all < AHEAD_MOST) {
    size_t bytes = atomic_load_explicit(&self->ahead[at->piece].bytes, memory_order_relaxed);
    if (at->offset >= bytes) {
      at->piece++, at->offset = 0;
      continue;
    }
    uintptr_t from = atomic_load_explicit(&self->ahead[at->piece].at, memory_order_relaxed) + at->offset;
    for (size_t i = 0; i < STEP; i += 64) __builtin_prefetch((const void *)(from + i), 0, 2); /* into the second cache */
    at->offset += STEP, at->all += STEP;
    return 1;
  }
  return 0;
}

static int idle(const struct member *self, uint32_t generation) {
  return (uint32_t)(atomic_load(&self->ticket) >> 32) == generation && !atomic_load(&self->pool->stop);
}

static void *member_main(void *argument) {
  struct member *self = argument;
  cw_pool *pool = self->pool;
  uint32_t seen = 0;
  while (!atomic_load(&pool->stop)) {
    asking at = {0};
    while (idle(self, seen) && ask(self, &at)) continue;
    for (int spin = 0; spin < SPINS && idle(self, seen); spin++) pause_briefly();
    for (int yield = 0; yield < YIELDS && idle(self, seen); yield++) {
      sched_yield();
      for (int spin = 0; spin < PAUSES_A_YIELD && idle(self, seen); spin++) pause_briefly();
    }
    if (idle(self, seen)) {
      pthread_mutex_lock(&pool->lock);
      atomic_store(&self->asleep, 1);
      while (idle(self, seen)) pthread_cond_wait(&self->wake, &pool->lock);
      atomic_store(&self->asleep, 0);
      pthread_mutex_unlock(&pool->lock);
    }
    seen = (uint32_t)(atomic_load(&self->ticket) >> 32);
    work(pool, self->worker);
  }
  return NULL;
}

/* Wakes those of members 1 .. count-1 that sleep. */
static void wake_members(cw_pool *pool, uint32_t count) {
  for (uint32_t w = 1; w < count; w++) {
    if (!atomic_load(&pool->member[w].asleep)) continue;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->member[w].wake);
    pthread_mutex_unlock(&pool->lock);
  }
}

cw_status cw_pool_open(uint32_t threads, cw_pool **out) {
  if (threads < 1 || threads > 64) return CW_E_ARGUMENT;
  size_t size = sizeof(cw_pool) + threads * sizeof(struct member);
  cw_pool *pool = aligned_alloc(64, (size + 63) / 64 * 64);
  if (pool == NULL) return CW_E_MEMORY;
  atomic_init(&pool->done, 0);
  atomic_init(&pool->active, 1);
  atomic_init(&pool->run, NULL);
  atomic_init(&pool->job, NULL);
  atomic_init(&pool->stop, 0);
  pool->threads = threads;
  for (uint32_t i = 0; i < threads; i++) {
    atomic_init(&pool->member[i].ticket, 0);
    atomic_init(&pool->member[i].asleep, 0);
    pthread_cond_init(&pool->member[i].wake, NULL);
    for (uint32_t piece = 0; piece < CW_AHEAD_PIECES; piece++) atomic_init(&pool->member[i].ahead[piece].bytes, 0);
    pool->member[i].pool = pool;
    pool->member[i].worker = i;
  }
  pool->started = pool->generation = 0;
  pthread_mutex_init(&pool->lock, NULL);
  sigset_t every, before; /* signals are for the program's own threads */
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  for (uint32_t i = 1; i < threads; i++) {
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
  wake_members(pool, pool->started + 1);
  for (uint32_t i = 1; i <= pool->started; i++) pthread_join(pool->member[i].thread, NULL);
  for (uint32_t i = 0; i < pool->threads; i++) pthread_cond_destroy(&pool->member[i].wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool);
}

uint32_t cw_pool_threads(const cw_pool *pool) { return pool->threads; }

void cw_pool_run_alone(cw_chunk_fn run, void *job, uint32_t count) {
  for (uint32_t chunk = 0; chunk < count; chunk++) run(job, chunk, 0);
}

/* Gives the first `threads` workers their shares of the memory ahead. */
static void share_ahead(cw_pool *pool, uint32_t threads, const cw_ahead *ahead) {
  size_t all = 0;
  for (uint32_t i = 0; i < ahead->count; i++) all += ahead->pieces[i].bytes;
  for (uint32_t w = 0; w < threads; w++) {
    size_t before = 0;
    for (uint32_t i = 0; i < CW_AHEAD_PIECES; i++) {
      size_t bytes = i < ahead->count ? ahead->pieces[i].bytes : 0, first = before, end = before + bytes;
      size_t share = ahead->beside ? bytes : all, from = share * w / threads, to = share * (w + 1) / threads;
      if (ahead->beside) from += before, to += before;
      first = first > from ? first : from;
      end = end < to ? end : to;
      atomic_store_explicit(&pool->member[w].ahead[i].bytes, end > first ? end - first : 0, memory_order_relaxed);
      atomic_store_explicit(&pool->member[w].ahead[i].at, (uintptr_t)(i < ahead->count ? ahead->pieces[i].at : NULL) + (first - before), memory_order_relaxed);
      before += bytes;
    }
  }
}

void cw_pool_run(cw_pool *pool, uint32_t threads, cw_chunk_fn run, void *job, uint32_t count, const cw_ahead *ahead) {
  if (threads > pool->threads) threads = pool->threads;
  if (threads <= 1 || count <= 1 || count > CW_CHUNKS_MOST) {
    cw_pool_run_alone(run, job, count);
    return;
  }
  const cw_ahead nothing = {.count = 0};
  const uint64_t generation = ++pool->generation;
  atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
  atomic_store_explicit(&pool->run, run, memory_order_relaxed);
  atomic_store_explicit(&pool->job, job, memory_order_relaxed);
  atomic_store_explicit(&pool->active, threads, memory_order_relaxed);
  share_ahead(pool, threads, ahead != NULL ? ahead : &nothing);
  for (uint64_t w = threads; w-- > 0;)
    atomic_store(&pool->member[w].ticket, generation << 32 | count * (w + 1) / threads << 16 | count * w / threads);
  wake_members(pool, threads);
  work(pool, 0);
  asking at = {0};
  for (int spin = 0; atomic_load_explicit(&pool->done, memory_order_acquire) < count;) {
    if (ask(&pool->member[0], &at)) continue;
    if (spin++ < SPINS)
      pause_briefly();
    else
      sched_yield(); /* the last chunk's worker may need this very core */
  }
}
