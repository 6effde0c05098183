/* myers.c: which lines changed, by the linear-space variant of E. Myers, "An O(ND) Difference Algorithm and Its Variations",
 * Algorithmica 1986, with a limit on the work for one split.
 *
 * The grid: x counts old elements passed, y new ones, diagonal k = x - y. A step right deletes, a step down inserts, a diagonal
 * step keeps. Two searches, from the top left and from the bottom right corner, each keep the furthest x that c steps reach on
 * every diagonal; where they meet the problem is cut in two. Once c reaches the limit, the box is cut at the furthest point that
 * either search reached: still a correct script, no longer surely a shortest one. A cut-off search of cost c*c has passed at
 * least c elements, so the whole costs at most O(limit * elements). */
#include "edit/myers.h"

#include <stdlib.h>
#include <string.h>

enum { COST_LIMIT_MIN = 256 };

typedef struct {
  const int32_t *old_ids, *new_ids;
  const uint32_t *old_where, *new_where; /* the position of each element in the caller's sequence */
  uint8_t *old_changed, *new_changed;
  int32_t *forward, *backward; /* furthest x by diagonal, indexed by k in -new_count-1 .. old_count+1 */
  int32_t cost_limit;
} search;

typedef struct {
  int32_t old_first, old_end, new_first, new_end;
} box;

typedef struct {
  int32_t x, y;
} point;

static int inside(const box *b, int32_t x, int32_t y) { return x >= b->old_first && x <= b->old_end && y >= b->new_first && y <= b->new_end; }

/* The diagonals one more step reaches: one further out on each side, or one less where that would leave the grid; the slot
 * outside is primed so that it is never the better neighbour. */
static void widen(int32_t *reach, int32_t *low, int32_t *high, int32_t lowest, int32_t highest, int32_t never) {
  if (*low > lowest)
    reach[--*low - 1] = never;
  else
    ++*low;
  if (*high < highest)
    reach[++*high + 1] = never;
  else
    --*high;
}

/* A point to cut box b at, which has elements on both sides and differs in its first and in its last pair. */
static point split(const search *s, const box *b) {
  const int32_t lowest = b->old_first - b->new_end, highest = b->old_end - b->new_first;
  const int32_t start = b->old_first - b->new_first, finish = b->old_end - b->new_end;
  const int odd = (start - finish) & 1;
  int32_t *forward = s->forward, *backward = s->backward;
  int32_t forward_low = start, forward_high = start, backward_low = finish, backward_high = finish;
  forward[start] = b->old_first;
  backward[finish] = b->old_end;
  for (int32_t cost = 1;; cost++) {
    widen(forward, &forward_low, &forward_high, lowest, highest, -1);
    for (int32_t k = forward_high; k >= forward_low; k -= 2) {
      int32_t x = forward[k - 1] >= forward[k + 1] ? forward[k - 1] + 1 : forward[k + 1];
      while (x < b->old_end && x - k < b->new_end && s->old_ids[x] == s->new_ids[x - k]) x++;
      forward[k] = x;
      if (odd && k >= backward_low && k <= backward_high && backward[k] <= x && inside(b, x, x - k)) return (point){x, x - k};
    }
    widen(backward, &backward_low, &backward_high, lowest, highest, INT32_MAX);
    for (int32_t k = backward_high; k >= backward_low; k -= 2) {
      int32_t x = backward[k - 1] < backward[k + 1] ? backward[k - 1] : backward[k + 1] - 1;
      while (x > b->old_first && x - k > b->new_first && s->old_ids[x - 1] == s->new_ids[x - k - 1]) x--;
      backward[k] = x;
      if (!odd && k >= forward_low && k <= forward_high && x <= forward[k] && inside(b, x, x - k)) return (point){x, x - k};
    }
    if (cost < s->cost_limit) continue;
    point best = {b->old_first, b->new_first};
    int32_t most = 0; /* elements passed */
    for (int32_t k = forward_low; k <= forward_high; k += 2) {
      int32_t passed = forward[k] - b->old_first + (forward[k] - k - b->new_first);
      if (passed > most && inside(b, forward[k], forward[k] - k)) most = passed, best = (point){forward[k], forward[k] - k};
    }
    for (int32_t k = backward_low; k <= backward_high; k += 2) {
      if (!inside(b, backward[k], backward[k] - k)) continue;
      int32_t passed = b->old_end - backward[k] + (b->new_end - (backward[k] - k));
      if (passed > most) most = passed, best = (point){backward[k], backward[k] - k};
    }
    return best;
  }
}

/* Recursion only into the smaller half: its depth is at most log2 of the elements. */
static void compare(const search *s, box b) {
  for (;;) {
    while (b.old_first < b.old_end && b.new_first < b.new_end && s->old_ids[b.old_first] == s->new_ids[b.new_first]) b.old_first++, b.new_first++;
    while (b.old_first < b.old_end && b.new_first < b.new_end && s->old_ids[b.old_end - 1] == s->new_ids[b.new_end - 1]) b.old_end--, b.new_end--;
    if (b.old_first == b.old_end || b.new_first == b.new_end) {
      for (int32_t i = b.old_first; i < b.old_end; i++) s->old_changed[s->old_where[i]] = 1;
      for (int32_t i = b.new_first; i < b.new_end; i++) s->new_changed[s->new_where[i]] = 1;
      return;
    }
    point p = split(s, &b);
    box before = {b.old_first, p.x, b.new_first, p.y}, after = {p.x, b.old_end, p.y, b.new_end};
    int before_smaller = p.x - b.old_first + (p.y - b.new_first) < b.old_end - p.x + (b.new_end - p.y);
    compare(s, before_smaller ? before : after);
    b = before_smaller ? after : before;
  }
}

/* Keeps the elements that the other side has too; the others are changed whatever the script. Returns how many are kept. */
static uint32_t keep_shared(const int32_t *ids, uint32_t first, uint32_t end, const uint8_t *in_other, int32_t *kept, uint32_t *where,
                            uint8_t *changed) {
  uint32_t size = 0;
  for (uint32_t i = first; i < end; i++) {
    if (in_other[ids[i]])
      kept[size] = ids[i], where[size++] = i;
    else
      changed[i] = 1;
  }
  return size;
}

static int32_t square_root(uint32_t value) {
  int32_t root = 0;
  while ((int64_t)(root + 1) * (root + 1) <= value) root++;
  return root;
}

cw_status cw_myers_open(const cw_sequences *sequences, int minimal, cw_myers *out) {
  /* One block: kept ids and positions of both sides, then the two rows of diagonals, then two bytes an id. */
  size_t old_count = sequences->old_count, new_count = sequences->new_count, elements = old_count + new_count;
  size_t diagonals = elements + 3;
  int32_t *block = malloc((2 * elements + 2 * diagonals) * sizeof *block + 2 * (size_t)sequences->distinct + 1);
  *out = (cw_myers){.sequences = sequences, .minimal = minimal, .block = block};
  if (!block) return CW_E_MEMORY;
  out->old_kept = block, out->new_kept = block + old_count;
  out->old_where = (uint32_t *)(block + elements), out->new_where = out->old_where + old_count;
  out->rows = block + 2 * elements;
  out->in_old = (uint8_t *)(out->rows + 2 * diagonals), out->in_new = out->in_old + sequences->distinct;
  memset(out->in_old, 0, 2 * (size_t)sequences->distinct);
  return CW_OK;
}

void cw_myers_close(cw_myers *myers) { free(myers->block); }

void cw_myers_compare(cw_myers *m, cw_box b) {
  const cw_sequences *q = m->sequences;
  for (uint32_t i = b.old_first; i < b.old_end; i++) m->in_old[q->old_ids[i]] = 1;
  for (uint32_t i = b.new_first; i < b.new_end; i++) m->in_new[q->new_ids[i]] = 1;
  uint32_t old_size = keep_shared(q->old_ids, b.old_first, b.old_end, m->in_new, m->old_kept, m->old_where, q->old_changed);
  uint32_t new_size = keep_shared(q->new_ids, b.new_first, b.new_end, m->in_old, m->new_kept, m->new_where, q->new_changed);
  for (uint32_t i = b.old_first; i < b.old_end; i++) m->in_old[q->old_ids[i]] = 0;
  for (uint32_t i = b.new_first; i < b.new_end; i++) m->in_new[q->new_ids[i]] = 0;

  int32_t limit = square_root(old_size + new_size);
  search s = {.old_ids = m->old_kept, .new_ids = m->new_kept, .old_where = m->old_where, .new_where = m->new_where,
              .old_changed = q->old_changed, .new_changed = q->new_changed,
              .forward = m->rows + new_size + 1, .backward = m->rows + (old_size + new_size + 3) + new_size + 1,
              .cost_limit = m->minimal ? INT32_MAX : limit > COST_LIMIT_MIN ? limit : COST_LIMIT_MIN};
  compare(&s, (box){0, (int32_t)old_size, 0, (int32_t)new_size});
}
