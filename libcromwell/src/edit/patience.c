/* patience.c: Bram Cohen's patience difference: elements that both sides of a box have once are paired; the longest chain of pairs
 * that is in order on both sides, found by patience sorting, is kept, and the boxes between are treated in the same way. Boxes
 * without such elements go to Myers, as do all once the work grows beyond a multiple of the elements. */
#include "edit/patience.h"

#include <stdlib.h>

enum { GIVE_UP_AFTER = 32 /* times the elements read: ordinary texts need two or three levels */ };

typedef struct {
  uint32_t old_at, new_at;
  uint32_t before; /* index of the pair before it in the best chain, UINT32_MAX for none */
} pair;

typedef struct {
  const cw_sequences *s;
  cw_myers *myers;
  uint32_t *old_frequency, *new_frequency; /* [distinct], zero between searches */
  uint32_t *old_at;                        /* [distinct] */
  pair *pairs;                             /* [new_count]; a box uses a range that no box around it uses */
  uint32_t *piles;                         /* [new_count + 1]: the pair on top of each pile */
  uint64_t work, give_up_at;
} state;

/* Pairs of box b in order of the new side, into h->pairs from `base` on. */
static uint32_t find_pairs(state *h, const cw_box *b, uint32_t base) {
  const cw_sequences *s = h->s;
  uint32_t count = 0;
  for (uint32_t i = b->old_first; i < b->old_end; i++) h->old_frequency[s->old_ids[i]]++, h->old_at[s->old_ids[i]] = i;
  for (uint32_t j = b->new_first; j < b->new_end; j++) h->new_frequency[s->new_ids[j]]++;
  for (uint32_t j = b->new_first; j < b->new_end; j++) {
    int32_t id = s->new_ids[j];
    if (h->old_frequency[id] == 1 && h->new_frequency[id] == 1) h->pairs[base + count++] = (pair){h->old_at[id], j, UINT32_MAX};
  }
  for (uint32_t i = b->old_first; i < b->old_end; i++) h->old_frequency[s->old_ids[i]] = 0;
  for (uint32_t j = b->new_first; j < b->new_end; j++) h->new_frequency[s->new_ids[j]] = 0;
  h->work += cw_box_elements(b);
  return count;
}

/* Leaves a longest chain of the pairs, in order, at the front; returns its length, >= 1 of count >= 1. */
static uint32_t longest_chain(state *h, pair *pairs, uint32_t count) {
  uint32_t piles = 0;
  for (uint32_t k = 0; k < count; k++) {
    uint32_t low = 0, high = piles;
    while (low < high) {
      uint32_t middle = low + (high - low) / 2;
      if (pairs[h->piles[middle]].old_at < pairs[k].old_at)
        low = middle + 1;
      else
        high = middle;
    }
    pairs[k].before = low ? h->piles[low - 1] : UINT32_MAX;
    h->piles[low] = k;
    if (low == piles) piles++;
  }
  uint32_t at = h->piles[piles - 1];
  for (uint32_t k = piles; k-- > 0; at = pairs[at].before) h->piles[k] = at;
  for (uint32_t k = 0; k < piles; k++) pairs[k] = pairs[h->piles[k]]; /* the chain's indices grow: none is overwritten before it is read */
  return piles;
}

/* `base`: h->pairs is in use before it. Pairs that are kept are elements outside the boxes between them, so that the pairs of all boxes being
 * worked on fit in new_count. The recursion ends at the latest when the work is too much. */
static void compare_box(state *h, cw_box b, uint32_t base) {
  if (!cw_box_trim(h->s, &b)) return;
  uint32_t count = h->work < h->give_up_at ? find_pairs(h, &b, base) : 0;
  if (count == 0) {
    cw_myers_compare(h->myers, b);
    return;
  }
  count = longest_chain(h, h->pairs + base, count);
  cw_box part = {b.old_first, b.old_first, b.new_first, b.new_first};
  for (uint32_t k = 0; k < count; k++) {
    pair p = h->pairs[base + k];
    part.old_end = p.old_at, part.new_end = p.new_at;
    compare_box(h, part, base + count);
    part.old_first = p.old_at + 1, part.new_first = p.new_at + 1;
  }
  part.old_end = b.old_end, part.new_end = b.new_end;
  compare_box(h, part, base + count);
}

cw_status cw_patience_compare(const cw_sequences *s, cw_myers *myers) {
  size_t elements = (size_t)s->old_count + s->new_count, new_count = s->new_count;
  state h = {.s = s, .myers = myers, .give_up_at = GIVE_UP_AFTER * (uint64_t)elements};
  h.old_frequency = calloc(2 * (size_t)s->distinct + 1, sizeof *h.old_frequency);
  h.new_frequency = h.old_frequency ? h.old_frequency + s->distinct : NULL;
  h.old_at = malloc(((size_t)s->distinct + 1) * sizeof *h.old_at);
  h.pairs = malloc((new_count + 1) * sizeof *h.pairs);
  h.piles = malloc((new_count + 1) * sizeof *h.piles);
  cw_status status = h.old_frequency && h.old_at && h.pairs && h.piles ? CW_OK : CW_E_MEMORY;
  if (status == CW_OK) compare_box(&h, (cw_box){0, s->old_count, 0, s->new_count}, 0);
  free(h.old_frequency), free(h.old_at), free(h.pairs), free(h.piles);
  return status;
}
