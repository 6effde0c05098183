/* pool.h: a persistent team of threads for one session; the caller is worker 0.
 *
 * A job is cut into chunks. Each worker has a share of consecutive ones, which it claims one by one, so that it reads memory in one
 * stream; when its share is done it claims what is left of the others'. Which worker runs a chunk never changes a result, as every
 * output belongs to exactly one chunk; and a worker that the system took off its core holds nobody up except for its own chunk. */
#ifndef CW_POOL_H
#define CW_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "cromwell.h"

typedef struct cw_pool cw_pool;

/* Runs one chunk; `worker` is 0 .. threads-1 and names the scratch memory to use. */
typedef void (*cw_chunk_fn)(void *job, uint32_t chunk, uint32_t worker);

cw_status cw_pool_open(uint32_t threads, cw_pool **out);
void cw_pool_close(cw_pool *pool); /* joins every thread */
uint32_t cw_pool_threads(const cw_pool *pool);
/* Memory that the job after this one reads first: workers ask for their share of it while they have nothing to do. The pieces are one
 * after another, and a worker's share is a range of them all; or, `beside` each other, a range of each. */
enum { CW_AHEAD_PIECES = 4 };
typedef struct {
  struct {
    const void *at;
    size_t bytes;
  } pieces[CW_AHEAD_PIECES];
  uint32_t count, beside;
} cw_ahead;

/* Runs chunks 0 .. count-1 on `threads` of the pool's threads, or all there are, and returns when all are done; more than CW_CHUNKS_MOST on
 * the caller alone. `ahead` may be NULL. Threads that a job does not need are not woken. */
enum { CW_CHUNKS_MOST = 65535 };
void cw_pool_run(cw_pool *pool, uint32_t threads, cw_chunk_fn run, void *job, uint32_t count, const cw_ahead *ahead);
/* The same on the caller alone: for jobs too short to share. */
void cw_pool_run_alone(cw_chunk_fn run, void *job, uint32_t count);

#endif
