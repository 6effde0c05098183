/* histogram.c: the histogram difference of JGit and git: a box is cut at the longest common run that holds the rarest old element,
 * and what lies before and after is cut in the same way; boxes whose common elements are all frequent go to Myers.
 *
 * Searching every box anew would read the texts once a cut. So the runs that hold an element unique in the old text, which are nearly
 * all that count, are found once for the whole; cutting along them handles runs, not lines. Only what lies between is searched.
 *
 * Work is bounded: of runs of equal length the one in the middle is taken, so that they are halved; of unequal ones there are at
 * most sqrt(2n) lengths. The search of a box does the same once it has read much, and gives up, to Myers, once it has read more. */
#include "edit/histogram.h"

#include <stdlib.h>
#include <string.h>

enum {
  CHAIN_MAX = 64,    /* elements more frequent than this anchor nothing; git's limit */
  HALVE_AFTER = 16,  /* times the elements: from then on cuts are made in the middle rather than at the first of equals */
  GIVE_UP_AFTER = 96 /* times the elements */
};

typedef struct {
  uint32_t old_at, new_at, count;
  uint32_t first_rare, last_rare; /* offsets of elements unique in the old text */
} run;

typedef struct {
  const cw_sequences *s;
  cw_myers *myers;
  uint32_t *frequency; /* [distinct], of the old side of the box searched; zero between searches */
  uint32_t *first;     /* [distinct], where frequency is not 0: position of the first such element of that side */
  uint32_t *next;      /* [old_count]: position of the next equal element */
  run *runs;           /* [run_count] */
  uint64_t work, halve_at, give_up_at;
} state;

/* ---- Runs of the whole ---- */

static size_t find_runs(state *h, const cw_box *b) {
  const cw_sequences *s = h->s;
  size_t count = 0;
  for (uint32_t i = b->old_first; i < b->old_end; i++) h->frequency[s->old_ids[i]]++, h->first[s->old_ids[i]] = i;
  for (uint32_t j = b->new_first; j < b->new_end;) {
    int32_t id = s->new_ids[j];
    if (h->frequency[id] != 1) {
      j++;
      continue;
    }
    uint32_t i = h->first[id], back = 0, ahead = 1, last_rare = 0;
    /* Back only over elements that are not unique, or they had begun the run: no element is passed twice. */
    while (i - back > b->old_first && j - back > b->new_first && s->old_ids[i - back - 1] == s->new_ids[j - back - 1]) back++;
    for (; i + ahead < b->old_end && j + ahead < b->new_end && s->old_ids[i + ahead] == s->new_ids[j + ahead]; ahead++)
      if (h->frequency[s->new_ids[j + ahead]] == 1) last_rare = ahead;
    h->runs[count++] = (run){i - back, j - back, back + ahead, back, back + last_rare};
    j += ahead;
  }
  for (uint32_t i = b->old_first; i < b->old_end; i++) h->frequency[s->old_ids[i]] = 0;
  return count;
}

/* The part of a run within a box; 0 unless it still holds a rare element. */
static uint32_t clip(const run *r, const cw_box *b, cw_box *part) {
  if (r->old_at >= b->old_end || r->new_at >= b->new_end) return 0;
  uint32_t skip_old = r->old_at < b->old_first ? b->old_first - r->old_at : 0, skip_new = r->new_at < b->new_first ? b->new_first - r->new_at : 0;
  uint32_t skip = skip_old > skip_new ? skip_old : skip_new, end = r->count;
  if (end > b->old_end - r->old_at) end = b->old_end - r->old_at;
  if (end > b->new_end - r->new_at) end = b->new_end - r->new_at;
  if (skip >= end || r->first_rare >= end || r->last_rare < skip) return 0;
  *part = (cw_box){r->old_at + skip, r->old_at + end, r->new_at + skip, r->new_at + end};
  return end - skip;
}

/* ---- One box ---- */

/* The frequency, in the old side of the box, of the rarest element that the new side has too, and where that first is; 0: nothing in common. */
static uint32_t rarest_common(const state *h, const cw_box *b, uint32_t *at) {
  uint32_t rarest = 0;
  for (uint32_t j = b->new_first; j < b->new_end && rarest != 1; j++) {
    uint32_t frequency = h->frequency[h->s->new_ids[j]];
    if (frequency && (frequency < rarest || !rarest)) rarest = frequency, *at = j;
  }
  return rarest;
}

/* The longest run of a box that holds an element of the rarest. 0: nothing in common; 1: found; -1: only what is frequent is common, or too
 * much work. */
static int find_best(state *h, const cw_box *b, cw_box *best) {
  const cw_sequences *s = h->s;
  const int32_t *old_ids = s->old_ids, *new_ids = s->new_ids;
  uint32_t best_count = 0, first = 0;
  const int halving = h->work > h->halve_at;
  const uint32_t middle = b->new_first + (b->new_end - b->new_first) / 2;
  for (uint32_t i = b->old_end; i-- > b->old_first;) {
    int32_t id = old_ids[i];
    h->next[i] = h->frequency[id]++ ? h->first[id] : UINT32_MAX;
    h->first[id] = i;
  }
  const uint32_t rarest = rarest_common(h, b, &first);
  for (uint32_t j = rarest && rarest <= CHAIN_MAX ? first : b->new_end, j_next; j < b->new_end && h->work < h->give_up_at; j = j_next) {
    j_next = j + 1;
    if (h->frequency[new_ids[j]] != rarest) continue;
    for (uint32_t i = h->first[new_ids[j]]; i != UINT32_MAX;) {
      uint32_t back = 0, ahead = 1;
      while (i - back > b->old_first && j - back > b->new_first && old_ids[i - back - 1] == new_ids[j - back - 1]) back++;
      while (i + ahead < b->old_end && j + ahead < b->new_end && old_ids[i + ahead] == new_ids[j + ahead]) ahead++;
      uint32_t count = back + ahead, at = j - back;
      /* The nearer to the middle of equals from some work on: ever nearer, since runs come in order. */
      if (count > best_count || (halving && count == best_count && at <= middle)) {
        best_count = count;
        *best = (cw_box){i - back, i + ahead, at, j + ahead};
      }
      if (j_next < j + ahead) j_next = j + ahead;
      h->work += count + 1;
      uint32_t i_end = i + ahead;
      for (i = h->next[i]; i != UINT32_MAX && i < i_end; i = h->next[i]) h->work++;
    }
  }
  for (uint32_t i = b->old_first; i < b->old_end; i++) h->frequency[old_ids[i]] = 0;
  h->work += cw_box_elements(b);
  if (h->work >= h->give_up_at) return -1;
  return best_count ? 1 : rarest ? -1 : 0;
}

static void compare_box(state *h, cw_box b) {
  while (cw_box_trim(h->s, &b)) {
    cw_box best = {0};
    int found = find_best(h, &b, &best);
    if (found <= 0) {
      if (found < 0) {
        cw_myers_compare(h->myers, b);
      } else {
        memset(h->s->old_changed + b.old_first, 1, b.old_end - b.old_first);
        memset(h->s->new_changed + b.new_first, 1, b.new_end - b.new_first);
      }
      return;
    }
    cw_box before = {b.old_first, best.old_first, b.new_first, best.new_first}, after = {best.old_end, b.old_end, best.new_end, b.new_end};
    int before_smaller = cw_box_elements(&before) < cw_box_elements(&after);
    compare_box(h, before_smaller ? before : after); /* into the smaller one: the depth is at most log2 of the elements */
    b = before_smaller ? after : before;
  }
}

/* Cuts a box along the longest of the runs first..end-1, which are in order of place in the new text. */
static void cut(state *h, cw_box b, size_t first, size_t end) {
  for (;;) {
    cw_box best = {0}, part;
    uint32_t best_count = 0;
    size_t best_run = first;
    const size_t middle = first + (end - first) / 2;
    for (size_t i = first; i < end; i++) {
      uint32_t count = clip(&h->runs[i], &b, &part);
      if (count > best_count || (count && count == best_count && i <= middle)) best_count = count, best_run = i, best = part;
    }
    if (best_count == 0) {
      compare_box(h, b);
      return;
    }
    cw_box before = {b.old_first, best.old_first, b.new_first, best.new_first}, after = {best.old_end, b.old_end, best.new_end, b.new_end};
    if (best_run - first < end - best_run) {
      cut(h, before, first, best_run);
      b = after, first = best_run + 1;
    } else {
      cut(h, after, best_run + 1, end);
      b = before, end = best_run;
    }
  }
}

cw_status cw_histogram_compare(const cw_sequences *s, cw_myers *myers) {
  size_t elements = (size_t)s->old_count + s->new_count;
  state h = {.s = s, .myers = myers, .halve_at = HALVE_AFTER * (uint64_t)elements, .give_up_at = GIVE_UP_AFTER * (uint64_t)elements + 4096};
  h.frequency = calloc((size_t)s->distinct + 1, sizeof *h.frequency);
  h.first = malloc(((size_t)s->distinct + 1) * sizeof *h.first);
  h.next = malloc(((size_t)s->old_count + 1) * sizeof *h.next);
  h.runs = malloc(((size_t)s->new_count + 1) * sizeof *h.runs);
  cw_status status = h.frequency && h.first && h.next && h.runs ? CW_OK : CW_E_MEMORY;
  cw_box all = {0, s->old_count, 0, s->new_count};
  if (status == CW_OK && cw_box_trim(s, &all)) cut(&h, all, 0, find_runs(&h, &all));
  free(h.frequency), free(h.first), free(h.next), free(h.runs);
  return status;
}
