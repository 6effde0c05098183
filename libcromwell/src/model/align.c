/* align.c: see align.h. */
#include "model/align.h"

#include "model/session.h"

enum { INSERT = 4, JUMP = 3 }; /* of an answer's tokens a copied one costs nothing; leaving out any number of the region's tokens, JUMP */

/* The parts of a text before a token, as far as they matter to it. */
typedef struct {
  enum { OUTSIDE, IN_INSTRUCTION, IN_ANSWER } mode;
  int is_open, has_region;
  uint32_t opened;             /* index of an <EDIT> that waits for its end */
  uint32_t region, region_end; /* the last one that is closed */
  uint32_t instruction, start; /* its first token; <EDIT_START> */
} parts;

static void pass(parts *at, const cw_align_ids *ids, int32_t id, int is_special, uint32_t t) {
  if (!is_special) return;
  int answers = at->mode == IN_INSTRUCTION && id == ids->answer;
  at->mode = answers ? IN_ANSWER : OUTSIDE;
  if (answers) {
    at->start = t;
  } else if (id == ids->edit) {
    at->opened = t;
    at->is_open = 1;
  } else if (id == ids->edit_close && at->is_open) {
    at->region = at->opened + 1;
    at->region_end = t;
    at->is_open = 0;
    at->has_region = 1;
  } else if (id == ids->instruction && at->has_region) {
    at->mode = IN_INSTRUCTION;
    at->instruction = t + 1;
  }
}

void cw_align_take(cw_alignment *alignment, const cw_config *config, uint32_t max_tokens, cw_arena *arena) {
  if (!config->aligned) return;
  alignment->tokens = cw_arena_take(arena, max_tokens, sizeof *alignment->tokens);
  alignment->costs = cw_arena_take(arena, CW_PATHS, ((size_t)max_tokens + 1) * sizeof *alignment->costs);
}

void cw_align_forget(cw_alignment *alignment, uint32_t first) {
  if (alignment->count > first) alignment->count = first;
  if (alignment->costs_end > first) alignment->costs_end = first;
}

static int same_word(const cw_session *s, uint32_t a, uint32_t b) {
  const float *words = s->model->weights.words;
  return words[s->ids[a]] == words[s->ids[b]];
}

/* Words up to t, and those up to `with`, that are the same: at most `most`, none before `t_first` and `with_first`. */
static uint32_t run_back(const cw_session *s, uint32_t t, uint32_t t_first, uint32_t with, uint32_t with_first, uint32_t most) {
  uint32_t run = 0;
  while (run < most && t >= t_first + run && with >= with_first + run && same_word(s, t - run, with - run)) run++;
  return run;
}

/* Of a token of the instruction: the longest run up to it that stands in the region. */
static uint32_t mention_ending(const cw_session *s, const parts *at, uint32_t t) {
  uint32_t longest = 0;
  for (uint32_t r = at->region; r < at->region_end; r++) {
    uint32_t run = run_back(s, t, at->instruction, r, at->region, CW_MENTION_RUNS - 1);
    if (run > longest) longest = run;
  }
  return longest;
}

/* The longest run of the region's words from `place` on that stands in the instruction. */
static uint32_t mention_beginning(const cw_session *s, const parts *at, uint32_t place) {
  uint32_t longest = 0;
  for (uint32_t i = at->instruction; i < at->start; i++) {
    uint32_t run = 0;
    while (place + run < at->region_end && i + run < at->start && same_word(s, place + run, i + run)) run++;
    if (run > longest) longest = run;
  }
  return longest;
}

/* The token after the longest run of the last `fresh` words, up to t, that stands in the instruction. */
static int32_t continuation(const cw_session *s, const parts *at, uint32_t t, uint32_t fresh) {
  const cw_align_ids *ids = &s->model->align_ids;
  uint32_t longest = 0;
  int32_t found = ids->none;
  for (uint32_t i = at->instruction; i < at->start; i++) {
    uint32_t run = run_back(s, t, 0, i, at->instruction, fresh);
    if (run > longest) {
      longest = run;
      found = i + 1 < at->start ? s->ids[i + 1] : ids->answer_end;
    }
  }
  return found;
}

static uint32_t *costs_at(const cw_session *s, uint32_t t) { return s->alignment.costs + (size_t)(t % CW_PATHS) * (s->max_tokens + 1); }

static void keep_costs(cw_alignment *a, uint32_t t) {
  a->costs_end = t + 1;
  if (a->costs_end - a->costs_first > CW_PATHS) a->costs_first = a->costs_end - CW_PATHS;
}

/* Costs before an answer. */
static void begin_path(cw_session *s, const parts *at, uint32_t t) {
  uint32_t *cost = costs_at(s, t), size = at->region_end - at->region;
  for (uint32_t p = 0; p <= size; p++) cost[p] = p == 0 ? 0 : JUMP;
  s->alignment.costs_first = t;
  keep_costs(&s->alignment, t);
}

/* Costs after token t; returns the first place that costs least. */
static uint32_t step_path(cw_session *s, const parts *at, uint32_t t) {
  const uint32_t *before = costs_at(s, t - 1);
  uint32_t *cost = costs_at(s, t), size = at->region_end - at->region, least = UINT32_MAX, place = 0;
  const int32_t *region = s->ids + at->region;
  for (uint32_t p = 0; p <= size; p++) {
    uint32_t now = before[p] + INSERT;
    if (p > 0 && region[p - 1] == s->ids[t] && before[p - 1] < now) now = before[p - 1];
    cost[p] = p > 0 && least + JUMP < now ? least + JUMP : now;
    if (now < least) {
      least = now;
      place = p;
    }
  }
  keep_costs(&s->alignment, t);
  return place;
}

static uint32_t next_line(const cw_session *s, const parts *at, uint32_t place) {
  while (place < at->region_end && !(s->model->weights.breaks[s->ids[place]] > 0)) place++;
  return place < at->region_end ? place + 1 : place;
}

static int32_t region_token(const cw_session *s, const parts *at, uint32_t place) {
  return place < at->region_end ? s->ids[place] : s->model->align_ids.answer_end;
}

/* <EDIT_START> or a token of the answer. */
static void align_answer(cw_session *s, const parts *at, uint32_t t) {
  cw_aligned *token = &s->alignment.tokens[t];
  uint32_t place = at->region, fresh = 0;
  if (t == at->start) {
    begin_path(s, at, t);
  } else {
    place += step_path(s, at, t);
    int copied = place > at->region && s->ids[place - 1] == s->ids[t];
    fresh = copied ? 0 : token[-1].fresh + 1;
  }
  const float *leads = s->model->weights.leads;
  uint32_t run = mention_beginning(s, at, place), skipped = place + (run > 0 ? run : 1);
  *token = (cw_aligned){
      .place = (int32_t)place,
      .mention = (int32_t)((fresh > 0 ? 2 : 1) * CW_MENTION_RUNS + (run < CW_MENTION_RUNS ? run : CW_MENTION_RUNS - 1)),
      .fresh = fresh,
      .candidates = {region_token(s, at, place), region_token(s, at, skipped), region_token(s, at, next_line(s, at, place)),
                     fresh > 0 ? continuation(s, at, t, fresh) : s->model->align_ids.none},
      .instruction = at->instruction,
      .instruction_end = at->start,
      .lead = fresh == 0 && place < at->region_end && leads[s->ids[place]] > 0 ? leads[s->ids[place]] : 0,
  };
}

int32_t cw_align_form(const cw_session *s, const cw_aligned *at, uint32_t t) {
  const cw_model *model = s->model;
  int32_t id = s->ids[t];
  if (at->lead == 0 || !(model->weights.leads[id] > 0)) return id;
  int32_t form = model->first_forms[id];
  while (form >= 0 && model->weights.leads[form] != at->lead) form = model->next_forms[form];
  return form < 0 ? id : form;
}

static int is_special(const cw_session *s, uint32_t t) { return s->model->weights.breaks[s->ids[t]] < 0; }

void cw_align_to(cw_session *s, uint32_t end) {
  cw_alignment *a = &s->alignment;
  if (a->tokens == NULL || a->count >= end) return;
  const cw_align_ids *ids = &s->model->align_ids;
  parts at = {0};
  for (uint32_t t = 0; t < a->count; t++) pass(&at, ids, s->ids[t], is_special(s, t), t);
  if (at.mode == IN_ANSWER && (a->costs_end != a->count || a->costs_first + 1 > a->count)) {
    a->count = at.start; /* rewound too far */
    at.mode = IN_INSTRUCTION;
  }
  for (uint32_t t = a->count; t < end; t++) {
    pass(&at, ids, s->ids[t], is_special(s, t), t);
    a->tokens[t] = (cw_aligned){.place = -1, .mention = -1};
    if (at.mode == IN_ANSWER)
      align_answer(s, &at, t);
    else if (at.mode == IN_INSTRUCTION && t >= at.instruction)
      a->tokens[t].mention = (int32_t)mention_ending(s, &at, t);
  }
  a->count = end;
}
