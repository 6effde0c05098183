/* ahead.c: see ahead.h. */
#include "model/ahead.h"

#include "kernels/kernels.h"

static cw_ahead *follower_of(cw_follow *follow, const cw_matrix *key) {
  size_t at = ((uintptr_t)key / sizeof *key) % CW_FOLLOWERS;
  for (uint32_t tries = 0; tries < 8; tries++, at = (at + 1) % CW_FOLLOWERS) {
    if (follow->follower[at].key == NULL) follow->follower[at].key = key;
    if (follow->follower[at].key == key) return &follow->follower[at].next;
  }
  return NULL;
}

static size_t weight_bytes(const cw_matrix *w) {
  size_t numbers = ((size_t)w->outputs + CW_PANEL - 1) / CW_PANEL * CW_PANEL * w->depth;
  return w->format == CW_FORMAT_F32 ? numbers * sizeof(float) : w->format == CW_FORMAT_Q8 ? numbers : numbers / 2;
}

cw_ahead cw_follow_job(cw_follow *follow, const cw_matrix *const *matrices, uint32_t count, int beside) {
  cw_ahead *before = follow->last == NULL ? NULL : follower_of(follow, follow->last), *after = follower_of(follow, matrices[0]);
  if (before != NULL) {
    *before = (cw_ahead){.count = count, .beside = (uint32_t)beside};
    for (uint32_t i = 0; i < count; i++) {
      const cw_matrix *w = matrices[i];
      before->pieces[i].at = w->format == CW_FORMAT_F32 ? (const void *)w->f32 : w->weights;
      before->pieces[i].bytes = weight_bytes(w);
    }
  }
  follow->last = matrices[0];
  return after == NULL ? (cw_ahead){.count = 0} : *after;
}
