/* generate.c: see generate.h.
 *
 * With a draft, a step feeds the token that is known and guesses at those after it, and gets logits after each. Tokens are drawn from these
 * one after the other, exactly as if they had been fed one by one, as long as each is the one that had been guessed and fed; what
 * was fed beyond is forgotten. So the draws, their random numbers and the callback's calls are those of plain decoding.
 *
 * Answers that hold the same tokens so far make a line: one sequence, that of its leader, is fed for all, and every answer draws from the
 * same logits with its own sampler. Those that draw something else leave the line with a copy of its states. Most tokens of an edit are
 * certain, so candidates mostly stay together for long, and many to the end. */
#include "sample/generate.h"

#include <string.h>

#include "sample/draft.h"
#include "sample/sampler.h"

/* One answer, and where it stands. */
typedef struct {
  cw_answer answer;
  cw_draft draft;   /* of the leader of a line */
  uint32_t leader;  /* number of the sequence that holds its states, its own or an earlier one's */
  uint32_t row;     /* of its line in the step at hand: the one that it draws from, or drew from last */
} member;

typedef struct {
  const cw_sequences *sequences;
  member *members; /* [count] */
  uint32_t count;
  /* The step at hand: rows[i] logits of the line of leaders[i], behind those of the lines before it. */
  uint32_t leaders[CW_SEQUENCES_MOST], rows[CW_SEQUENCES_MOST], line_count;
  int32_t fed[CW_STEP_MOST]; /* the tokens before these logits: the known one, then guesses */
  const float *logits;
} steps;

static int same_draft(const cw_generate_request *a, const cw_generate_request *b) {
  if (a->draft_count != b->draft_count) return 0;
  if (a->draft_count == 0 || a->draft_ids == b->draft_ids) return 1;
  return memcmp(a->draft_ids, b->draft_ids, a->draft_count * sizeof *a->draft_ids) == 0;
}

/* Puts answers whose sequences hold the same, and whose guesses would be the same, into one line. */
static void line_up(steps *w) {
  for (uint32_t i = 0; i < w->count; i++) {
    member *m = &w->members[i];
    m->leader = i;
    for (uint32_t j = 0; j < i && m->leader == i; j++) {
      if (w->members[j].leader != j || w->members[j].answer.ended) continue;
      if (!same_draft(m->answer.request, w->members[j].answer.request)) continue;
      if (w->sequences->are_same(w->sequences->user, i, j)) m->leader = j;
    }
  }
}

static void list_lines(steps *w) {
  w->line_count = 0;
  for (uint32_t i = 0; i < w->count; i++)
    if (w->members[i].leader == i && !w->members[i].answer.ended) w->leaders[w->line_count++] = i;
}

/* Writes guesses at the tokens behind the known one; a guess ends before a stop token, which is never fed. */
static uint32_t guess(member *m, uint32_t most, int32_t *out) {
  const cw_answer *a = &m->answer;
  const cw_generate_request *q = a->request;
  if (q->draft_count == 0) return 0;
  uint32_t wanted = a->most - a->made.count - 1; /* after these and one more nothing is wanted */
  size_t length = cw_draft_guess(&m->draft, a->made.count, m->row, most < wanted ? most : wanted, out), kept = 0;
  while (kept < length && !cw_is_among(out[kept], q->stop_ids, q->stop_id_count)) kept++;
  m->draft.guessed = kept;
  return (uint32_t)kept;
}

/* Feeds every line its last token and guesses at those after it. */
static cw_status feed(steps *w) {
  const cw_sequences *s = w->sequences;
  uint32_t total = 0;
  for (uint32_t i = 0; i < w->line_count; i++) {
    member *m = &w->members[w->leaders[i]];
    uint32_t left = w->line_count - i, most = (s->step_most - total) / left; /* what one line leaves, the next may use */
    w->fed[total] = m->answer.ids[m->answer.made.count - 1];
    w->rows[i] = 1 + guess(m, most - 1, w->fed + total + 1);
    total += w->rows[i];
  }
  CW_TRY(s->feed(s->user, w->leaders, w->fed, w->rows, w->line_count));
  for (uint32_t i = 0; i < w->line_count; i++) {
    for (uint32_t k = 0; k < w->count; k++) {
      member *m = &w->members[k];
      if (m->leader != w->leaders[i]) continue;
      m->row = 0;
      m->answer.made.steps++;
      m->answer.made.drafted += w->rows[i] - 1;
    }
  }
  return CW_OK;
}

/* The answers of a line that draw from one of its rows. */
static uint32_t at_row(const steps *w, uint32_t leader, uint32_t row, uint32_t *numbers, cw_sampler **samplers) {
  uint32_t count = 0;
  for (uint32_t k = 0; k < w->count; k++) {
    if (w->members[k].leader != leader || w->members[k].row != row) continue;
    samplers[count] = w->members[k].answer.sampler;
    numbers[count++] = k;
  }
  return count;
}

/* Draws the tokens of one line: row after row, each for all answers that followed the guesses so far. */
static cw_status draw_line(steps *w, uint32_t leader, const int32_t *fed, const float *logits, uint32_t rows) {
  const cw_sequences *s = w->sequences;
  for (uint32_t row = 0, going = 1; row < rows && going; row++) {
    uint32_t numbers[CW_SEQUENCES_MOST], count;
    cw_sampler *samplers[CW_SEQUENCES_MOST];
    int32_t ids[CW_SEQUENCES_MOST];
    float log_probabilities[CW_SEQUENCES_MOST];
    count = at_row(w, leader, row, numbers, samplers);
    CW_TRY(cw_sampler_next_each(samplers, count, logits + (size_t)row * s->vocab_size, ids, log_probabilities));
    going = 0;
    for (uint32_t k = 0; k < count; k++) {
      member *m = &w->members[numbers[k]];
      CW_TRY(cw_answer_add(&m->answer, ids[k], log_probabilities[k], s->decode, s->user));
      if (m->answer.ended || row + 1 == rows || ids[k] != fed[row + 1]) continue;
      m->answer.made.accepted++;
      m->row++;
      going = 1;
    }
  }
  return CW_OK;
}

/* Tokens of a step of `rows` that an answer has no use for. */
static uint32_t beyond(const member *m, uint32_t rows) { return rows - 1 - m->row; }

static cw_status forget_beyond(const steps *w, uint32_t number, uint32_t rows) {
  uint32_t count = beyond(&w->members[number], rows);
  return count > 0 ? w->sequences->forget(w->sequences->user, number, count) : CW_OK;
}

static int go_on_together(const member *a, const member *b) {
  if (a->answer.ended || b->answer.ended || a->row != b->row) return 0;
  return a->answer.ids[a->answer.made.count - 1] == b->answer.ids[b->answer.made.count - 1];
}

/* Gives every answer of a line that ended, or drew something else than the leader, states of its own, or a line with those that drew the
 * same; then every sequence that is not behind holds what its answer has used. */
static cw_status part(steps *w, uint32_t leader, uint32_t rows) {
  const cw_sequences *s = w->sequences;
  member *first = &w->members[leader];
  uint32_t parted[CW_SEQUENCES_MOST], parted_count = 0; /* leaders of the new lines */
  for (uint32_t i = leader + 1; i < w->count; i++) {
    member *m = &w->members[i];
    if (m->leader != leader || go_on_together(m, first)) continue;
    uint32_t k = 0;
    while (k < parted_count && !go_on_together(m, &w->members[parted[k]])) k++;
    if (k < parted_count) {
      m->leader = parted[k];
      continue;
    }
    CW_TRY(s->copy(s->user, i, leader, beyond(m, rows)));
    m->leader = i;
    m->draft = first->draft;
    m->draft.answer = m->answer.ids;
    parted[parted_count++] = i;
  }
  return forget_beyond(w, leader, rows);
}

/* Draws from the logits at hand, line by line. */
static cw_status draw(steps *w) {
  const int32_t *fed = w->fed;
  const float *logits = w->logits;
  for (uint32_t i = 0; i < w->line_count; i++) {
    uint32_t leader = w->leaders[i], rows = w->rows[i];
    CW_TRY(draw_line(w, leader, fed, logits, rows));
    CW_TRY(part(w, leader, rows));
    w->rows[i] = w->members[leader].row + 1; /* what the sequence still holds of the step */
    fed += rows;
    logits += (size_t)rows * w->sequences->vocab_size;
  }
  return CW_OK;
}

/* The loop; leaves guesses that were not needed fed where it fails. */
static cw_status run(steps *w) {
  const cw_sequences *s = w->sequences;
  for (uint32_t i = 0; i < CW_SEQUENCES_MOST; i++) w->rows[i] = 1; /* logits of what was fed before, to begin with */
  for (int begun = 0;; begun = 1) {
    list_lines(w);
    if (w->line_count == 0) return CW_OK;
    if (begun) CW_TRY(feed(w));
    CW_TRY(s->logits(s->user, w->leaders, w->rows, w->line_count, &w->logits));
    CW_TRY(draw(w));
  }
}

cw_status cw_generate_from(const cw_sequences *s, cw_sampler *const *samplers, const cw_generate_request *requests, uint32_t count,
                           int32_t *const *ids, cw_generation *out) {
  if (count < 1 || count > CW_SEQUENCES_MOST || count > s->step_most) return CW_E_ARGUMENT;
  member members[CW_SEQUENCES_MOST];
  for (uint32_t i = 0; i < count; i++) {
    member *m = &members[i];
    for (uint32_t j = 0; j < i; j++)
      if (samplers[i] == samplers[j]) return CW_E_ARGUMENT; /* draws of one would depend on the other */
    CW_TRY(cw_answer_begin(&m->answer, &requests[i], samplers[i], s->vocab_size, s->room(s->user, i), ids[i]));
    cw_draft_begin(&m->draft, requests[i].draft_ids, requests[i].draft_count, ids[i]);
    m->row = 0;
  }
  steps w = {.sequences = s, .members = members, .count = count};
  line_up(&w);
  cw_status status = run(&w);
  if (status != CW_OK)
    for (uint32_t i = 0; i < w.line_count; i++) CW_TRY(forget_beyond(&w, w.leaders[i], w.rows[i]));
  for (uint32_t i = 0; i < count; i++) out[i] = members[i].answer.made;
  return status;
}
