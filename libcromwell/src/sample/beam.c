/* beam.c: beam search (docs/sampling.md): the answers of the highest mean log-probability that a bounded search finds.
 *
 * Memory, one block: cw_beam | ids of the lines: 2 sets of living ones, the finished ones, [3][width][max_tokens] */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sample/generate.h"
#include "sample/numeric.h"
#include "sample/scan.h"

enum { STOP_IDS_MOST = 32, TOKENS_MOST = 1 << 24, NEXT_MOST = CW_BEAM_MOST + STOP_IDS_MOST };

/* An answer so far, or a finished one. */
typedef struct {
  int32_t *ids; /* [max_tokens] */
  uint32_t count, number; /* tokens; which sequence holds them, the last one excepted */
  double sum, score;      /* of log-probabilities; score: once finished */
  cw_stop stop;
  cw_stop_reason reason;
} line;

typedef struct {
  line lines[CW_BEAM_MOST];
  uint32_t count;
} lines;

struct cw_beam {
  const cw_scan *scan;
  uint32_t width, max_tokens, steps;
  lines living[2], finished; /* finished: the best first */
};

/* The likeliest next tokens of a line, the best first. */
typedef struct {
  uint32_t count, taken;
  int32_t id[NEXT_MOST];
  float logit[NEXT_MOST];
  double sum[NEXT_MOST]; /* of the line with the token */
} choices;

cw_status cw_beam_open(uint32_t width, uint32_t max_tokens, cw_beam **out, cw_fault *fault) {
  if (out == NULL) return cw_fault_set(fault, CW_E_ARGUMENT, "no place for the beam");
  if (width < 1 || width > CW_BEAM_MOST) return cw_fault_set(fault, CW_E_ARGUMENT, "width is %u, not 1..%d", width, CW_BEAM_MOST);
  if (max_tokens < 1 || max_tokens > TOKENS_MOST)
    return cw_fault_set(fault, CW_E_ARGUMENT, "max_tokens is %u, not 1..%d", max_tokens, TOKENS_MOST);
  size_t size = sizeof(cw_beam) + (size_t)3 * width * max_tokens * sizeof(int32_t);
  cw_beam *beam = calloc(1, size);
  if (beam == NULL) return cw_fault_set(fault, CW_E_MEMORY, "no memory for a beam of %zu bytes", size);
  beam->scan = cw_scan_selected();
  beam->width = width;
  beam->max_tokens = max_tokens;
  int32_t *ids = (int32_t *)(beam + 1);
  lines *const sets[3] = {&beam->living[0], &beam->living[1], &beam->finished};
  for (int set = 0; set < 3; set++) {
    for (uint32_t i = 0; i < width; i++, ids += max_tokens) sets[set]->lines[i].ids = ids;
  }
  *out = beam;
  return CW_OK;
}

void cw_beam_close(cw_beam *beam) { free(beam); }

uint32_t cw_beam_width(const cw_beam *beam) { return beam->width; }

/* Copies a line, its ids included, into another's place. */
static void put(line *to, const line *from) {
  int32_t *ids = to->ids;
  memcpy(ids, from->ids, from->count * sizeof *ids);
  *to = *from;
  to->ids = ids;
}

/* The `most` best tokens of a line by logit, of equals the lowest id. CW_E_ARGUMENT for NaN, +inf, or nothing but -inf. */
static cw_status choose(const cw_beam *beam, const float *logits, uint32_t vocab_size, double sum, uint32_t most, choices *c) {
  float top = beam->scan->largest(logits, vocab_size);
  if (!(top >= -FLT_MAX && top <= FLT_MAX)) return CW_E_ARGUMENT;
  double log_sum = cw_log(beam->scan->sum_exp(logits, vocab_size, top));
  c->count = c->taken = 0;
  float least = -INFINITY; /* what a token must exceed */
  for (uint32_t id = 0; id < vocab_size; id++) {
    if (!(logits[id] > least)) continue;
    uint32_t at = c->count < most ? c->count++ : most - 1;
    for (; at > 0 && c->logit[at - 1] < logits[id]; at--) {
      c->id[at] = c->id[at - 1];
      c->logit[at] = c->logit[at - 1];
    }
    c->id[at] = (int32_t)id;
    c->logit[at] = logits[id];
    if (c->count == most) least = c->logit[most - 1];
  }
  for (uint32_t i = 0; i < c->count; i++) c->sum[i] = sum + ((double)c->logit[i] - top - log_sum);
  return CW_OK;
}

/* Adds a line of `length` tokens, a stop token included, to the finished ones, where it is among the best by mean log-probability. */
static void finish(cw_beam *beam, const line *from, cw_stop_reason reason, uint32_t length) {
  lines *done = &beam->finished;
  double score = from->sum / length;
  uint32_t at = done->count;
  while (at > 0 && done->lines[at - 1].score < score) at--;
  if (at == beam->width) return;
  if (done->count < beam->width) done->count++;
  line spare = done->lines[done->count - 1]; /* whose ids are written over */
  memmove(&done->lines[at + 1], &done->lines[at], (done->count - 1 - at) * sizeof spare);
  done->lines[at] = spare;
  put(&done->lines[at], from);
  done->lines[at].score = score;
  done->lines[at].reason = reason;
}

/* Walks the choices of all lines from the best: a stop ends a line, other tokens live on, until `width` lines do. Of equal sums that of
 * the earlier line is the better, within a line that of the better logit. */
static cw_status branch(cw_beam *beam, const cw_sequences *s, const cw_generate_request *q, const lines *from, choices *next,
                        lines *to) {
  to->count = 0;
  while (to->count < beam->width) {
    uint32_t best = from->count;
    for (uint32_t i = 0; i < from->count; i++) {
      if (next[i].taken == next[i].count) continue;
      if (best == from->count || next[i].sum[next[i].taken] > next[best].sum[next[best].taken]) best = i;
    }
    if (best == from->count) break;
    uint32_t at = next[best].taken++;
    line *grown = &to->lines[to->count];
    put(grown, &from->lines[best]);
    grown->sum = next[best].sum[at];
    int32_t id = next[best].id[at];
    if (cw_is_among(id, q->stop_ids, q->stop_id_count)) {
      finish(beam, grown, CW_STOP_TOKEN, grown->count + 1);
      continue;
    }
    grown->ids[grown->count++] = id;
    uint8_t bytes[CW_TOKEN_SIZE_MOST];
    size_t size;
    CW_TRY(s->decode(s->user, id, bytes, sizeof bytes, &size));
    if (cw_stop_push(&grown->stop, bytes, size))
      finish(beam, grown, CW_STOP_STRING, grown->count);
    else
      to->count++;
  }
  return CW_OK;
}

/* Gives every line a sequence of its own that holds its tokens but the last: the first line that comes of another keeps its sequence. */
static cw_status seat(const cw_beam *beam, const cw_sequences *s, lines *living) {
  int kept[CW_BEAM_MOST], taken[CW_BEAM_MOST] = {0};
  for (uint32_t i = 0; i < living->count; i++) {
    uint32_t number = living->lines[i].number;
    kept[i] = !taken[number];
    taken[number] = 1;
  }
  uint32_t free_number = 0;
  for (uint32_t i = 0; i < living->count; i++) {
    line *l = &living->lines[i];
    if (kept[i]) continue;
    while (free_number < beam->width && taken[free_number]) free_number++;
    taken[free_number] = 1;
    CW_TRY(s->copy(s->user, free_number, l->number, 0));
    l->number = free_number;
  }
  return CW_OK;
}

/* No line that lives can end better than the worst of a full set: sums only fall, and no line grows longer than max_tokens. */
static int is_settled(const cw_beam *beam, const lines *living, uint32_t max_tokens) {
  if (living->count == 0) return 1;
  if (beam->finished.count < beam->width) return 0;
  return living->lines[0].sum / max_tokens <= beam->finished.lines[beam->width - 1].score;
}

static cw_status feed_all(cw_beam *beam, const cw_sequences *s, const lines *living) {
  uint32_t numbers[CW_BEAM_MOST];
  int32_t last[CW_BEAM_MOST];
  for (uint32_t i = 0; i < living->count; i++) {
    numbers[i] = living->lines[i].number;
    last[i] = living->lines[i].ids[living->lines[i].count - 1];
  }
  beam->steps++;
  return s->feed(s->user, numbers, last, NULL, living->count);
}

static cw_status check(const cw_beam *beam, const cw_sequences *s, const cw_generate_request *q) {
  if (q->max_tokens < 1 || q->max_tokens > beam->max_tokens) return CW_E_ARGUMENT;
  if (q->stop_id_count > STOP_IDS_MOST || (q->stop_ids == NULL && q->stop_id_count > 0)) return CW_E_ARGUMENT;
  for (size_t i = 0; i < q->stop_id_count; i++) {
    if (q->stop_ids[i] < 0 || (uint32_t)q->stop_ids[i] >= s->vocab_size) return CW_E_ARGUMENT;
  }
  return q->draft_count > 0 || q->on_token != NULL ? CW_E_ARGUMENT : CW_OK;
}

cw_status cw_beam_search_from(cw_beam *beam, const cw_sequences *s, const cw_generate_request *q, uint32_t *found) {
  CW_TRY(check(beam, s, q));
  beam->finished.count = beam->steps = 0;
  lines *living = &beam->living[0], *next = &beam->living[1];
  living->count = 1;
  line *root = &living->lines[0];
  root->count = root->number = 0;
  root->sum = 0;
  CW_TRY(cw_stop_begin(&root->stop, q->stop_strings, q->stop_sizes, q->stop_string_count));
  choices choice[CW_BEAM_MOST];
  for (uint32_t length = 0;; length++) {
    uint32_t numbers[CW_BEAM_MOST];
    const float *rows; /* [living->count, vocab_size] */
    for (uint32_t i = 0; i < living->count; i++) numbers[i] = living->lines[i].number;
    CW_TRY(s->logits(s->user, numbers, NULL, living->count, &rows));
    uint32_t most = beam->width + (uint32_t)q->stop_id_count;
    for (uint32_t i = 0; i < living->count; i++)
      CW_TRY(choose(beam, rows + (size_t)i * s->vocab_size, s->vocab_size, living->lines[i].sum, most, &choice[i]));
    CW_TRY(branch(beam, s, q, living, choice, next));
    lines *spare = living;
    living = next;
    next = spare;
    if (length + 1 == q->max_tokens || is_settled(beam, living, q->max_tokens)) break;
    CW_TRY(seat(beam, s, living));
    cw_status fed = feed_all(beam, s, living);
    if (fed == CW_E_CAPACITY) break;
    CW_TRY(fed);
  }
  for (uint32_t i = 0; i < living->count; i++) finish(beam, &living->lines[i], CW_STOP_LENGTH, living->lines[i].count);
  *found = beam->finished.count;
  return CW_OK;
}

cw_status cw_beam_answer(const cw_beam *beam, uint32_t index, const int32_t **ids, cw_generation *out) {
  if (beam == NULL || ids == NULL || out == NULL || index >= beam->finished.count) return CW_E_ARGUMENT;
  const line *l = &beam->finished.lines[index];
  *ids = l->ids;
  *out = (cw_generation){.count = l->count, .text_size = l->stop.text_size, .log_probability_sum = (float)l->sum, .reason = l->reason,
                         .steps = beam->steps};
  return CW_OK;
}
