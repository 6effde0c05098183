/* ahead.h: which weights a job reads next. Steps read the same matrices in the same order again and again, so what followed a matrix last
 * time is what follows it now; nobody has to know the order. */
#ifndef CW_MODEL_AHEAD_H
#define CW_MODEL_AHEAD_H

#include "model/weights.h"
#include "pool.h"

enum { CW_FOLLOWERS = 512 /* above twice the jobs of a step for usual models; with more, some go unknown */ };

typedef struct {
  struct {
    const cw_matrix *key; /* the first matrix of a job */
    cw_ahead next;        /* what the job after it read */
  } follower[CW_FOLLOWERS];
  const cw_matrix *last;
} cw_follow;

/* Notes that the job of `matrices` begins, which reads them one after the other or `beside` each other; what follows it as far as is known. */
cw_ahead cw_follow_job(cw_follow *follow, const cw_matrix *const *matrices, uint32_t count, int beside);

#endif
