/* generate_pack.c: one whole generation through the public header, for valgrind, the sanitizers and the allocation counter:
 *     generate_pack PACK ISA THREADS TOKENS TILES LENGTH
 * opens PACK, feeds a prompt of at least LENGTH tokens (with a picture of at most TILES tiles, without one for 0), attaches its blocks to
 * another session, generates up to TOKENS tokens there three times, greedy, the same with a draft, and sampled with a draft, then as
 * candidates that share the prompt and run in one pass, a token each, and as answers with drafts that are decoded together, the first of
 * them the greedy one; and closes everything. Prints the ids; linked with count_allocations.c it also fails when anything between
 * opening and closing allocated. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cromwell.h"

/* Of count_allocations.c, where that is linked. */
__attribute__((weak)) unsigned long cw_allocations(void);

static unsigned long allocations(void) { return cw_allocations != NULL ? cw_allocations() : 0; }

static void require(cw_status status, const char *what, const cw_fault *fault) {
  if (status == CW_OK) return;
  fprintf(stderr, "generate_pack: %s: %s %s\n", what, cw_status_text(status), fault != NULL ? fault->text : "");
  exit(1);
}

#define REQUIRE(call) require((call), #call, NULL)

enum { PROMPT_MOST = 2048, TILE_SIZE = 256 * 256 * 3, CANDIDATES = 3, ANSWERS = 1 + CANDIDATES };

typedef struct {
  int32_t ids[PROMPT_MOST];
  size_t count;
} prompt;

static void add_special(prompt *p, const cw_tokenizer *tokenizer, const char *name) {
  int32_t id = cw_tokenizer_special(tokenizer, name);
  if (id < 0) {
    fprintf(stderr, "generate_pack: no token %s\n", name);
    exit(1);
  }
  p->ids[p->count++] = id;
}

static void add_text(prompt *p, const cw_tokenizer *tokenizer, const char *text) {
  size_t count;
  REQUIRE(cw_tokenizer_encode(tokenizer, (const uint8_t *)text, strlen(text), p->ids + p->count, PROMPT_MOST - p->count, &count));
  p->count += count;
}

/* A picture of bars, shrunk to at most max_tiles tiles; the caller frees. */
static uint8_t *picture(uint32_t max_tiles, uint32_t *rows, uint32_t *cols) {
  uint32_t width = 600, height = 500, to_width, to_height;
  REQUIRE(cw_image_layout(width, height, max_tiles, rows, cols, &to_width, &to_height));
  uint8_t *rgb = malloc((size_t)width * height * 3), *tiles = malloc((size_t)*rows * *cols * TILE_SIZE);
  if (rgb == NULL || tiles == NULL) exit(1);
  for (size_t i = 0; i < (size_t)width * height * 3; i++) rgb[i] = i / 60 % 2 ? 20 : 230;
  REQUIRE(cw_image_tiles(rgb, width, height, *rows, *cols, to_width, to_height, tiles));
  free(rgb);
  return tiles;
}

static int each_token(void *user, int32_t id) {
  (void)id;
  (*(uint32_t *)user)++;
  return 0;
}

/* What all generations ask for; `seen` counts their tokens. */
static cw_generate_request request_for(const int32_t *stop_id, uint32_t max_tokens, const prompt *draft, uint32_t *seen) {
  static const uint8_t STOP[] = "\n\n\n\n\n";
  static const uint8_t *const STRINGS[] = {STOP};
  static const size_t SIZES[] = {sizeof STOP - 1};
  cw_generate_request request = {.stop_ids = stop_id, .stop_id_count = 1, .stop_strings = STRINGS, .stop_sizes = SIZES,
                                 .stop_string_count = 1, .max_tokens = max_tokens, .on_token = each_token, .user = seen};
  if (draft != NULL) request.draft_ids = draft->ids, request.draft_count = draft->count;
  return request;
}

static void generate(cw_session *session, cw_sampler *sampler, int32_t stop_id, uint32_t max_tokens, const prompt *draft, int32_t *ids,
                     uint32_t *count) {
  uint32_t seen = 0;
  cw_generate_request request = request_for(&stop_id, max_tokens, draft, &seen);
  cw_generation made;
  REQUIRE(cw_generate(session, sampler, &request, ids, &made));
  if (seen != made.count) exit(1);
  *count = made.count;
}

/* Answers with drafts of `session` and of candidates that share what it holds, one with each sampler: ids [ANSWERS, max_tokens]. */
static void generate_together(cw_session *session, cw_session *const *candidates, cw_sampler *const *samplers, int32_t stop_id,
                              uint32_t max_tokens, const prompt *draft, int32_t *ids, uint32_t *counts) {
  cw_session *sessions[ANSWERS] = {session};
  cw_generate_request requests[ANSWERS];
  cw_generation made[ANSWERS];
  int32_t *places[ANSWERS];
  uint32_t seen[ANSWERS] = {0};
  for (int i = 0; i < ANSWERS; i++) {
    if (i > 0) {
      sessions[i] = candidates[i - 1];
      REQUIRE(cw_session_rewind(sessions[i], 0));
      REQUIRE(cw_session_share(sessions[i], session, cw_session_length(session)));
    }
    requests[i] = request_for(&stop_id, max_tokens, draft, &seen[i]);
    places[i] = ids + (size_t)i * max_tokens;
  }
  REQUIRE(cw_generate_each(sessions, samplers, requests, ANSWERS, places, made));
  for (int i = 0; i < ANSWERS; i++) {
    counts[i] = made[i].count;
    if (seen[i] != made[i].count) exit(1);
  }
}

static void print(const char *what, const int32_t *ids, uint32_t count) {
  printf("%s:", what);
  for (uint32_t i = 0; i < count; i++) printf(" %d", ids[i]);
  printf("\n");
}

static int32_t best_of(const float *logits, uint32_t size) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < size; i++)
    if (logits[i] > logits[best]) best = i;
  return (int32_t)best;
}

/* Greedy candidates in one pass, each after the shared prompt and a first token of its own. */
static void generate_each(cw_session *const *sessions, const cw_session *from, uint32_t vocab_size, uint32_t max_tokens, int32_t *ids) {
  int32_t next[CANDIDATES];
  for (int i = 0; i < CANDIDATES; i++) {
    REQUIRE(cw_session_share(sessions[i], from, cw_session_length(from)));
    next[i] = 100 + i;
  }
  for (uint32_t step = 0; step < max_tokens; step++) {
    const float *logits;
    REQUIRE(cw_session_feed_each(sessions, next, NULL, CANDIDATES));
    REQUIRE(cw_session_logits_each(sessions, NULL, CANDIDATES, &logits));
    for (uint32_t i = 0; i < CANDIDATES; i++) ids[i * max_tokens + step] = next[i] = best_of(logits + (size_t)i * vocab_size, vocab_size);
  }
}

int main(int argc, char **argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: generate_pack PACK ISA THREADS TOKENS TILES LENGTH\n");
    return 2;
  }
  int threads = atoi(argv[3]), max_tokens = atoi(argv[4]), max_tiles = atoi(argv[5]), length = atoi(argv[6]);
  cw_fault fault = {""};
  REQUIRE(cw_isa_select(argv[2]));

  cw_model *model;
  require(cw_model_open(argv[1], &model, &fault), argv[1], &fault);
  require(cw_model_verify(model, &fault), argv[1], &fault);
  cw_model_info info;
  cw_model_describe(model, &info);
  const cw_tokenizer *tokenizer = cw_model_tokenizer(model);
  uint32_t rows = 0, cols = 0;
  uint8_t *tiles = max_tiles > 0 ? picture((uint32_t)max_tiles, &rows, &cols) : NULL;

  prompt p = {.count = 0};
  add_special(&p, tokenizer, "<FILE>");
  add_text(&p, tokenizer, "a.py\ndef add(a, b):\n");
  add_special(&p, tokenizer, "<EDIT>");
  do {
    add_text(&p, tokenizer, "    return a\n");
  } while (p.count < (size_t)length && p.count < PROMPT_MOST - 200);
  add_special(&p, tokenizer, "</EDIT>");
  add_special(&p, tokenizer, "</FILE>");
  size_t before_picture = p.count;
  if (tiles != NULL) add_special(&p, tokenizer, "<IMAGE>");
  add_special(&p, tokenizer, "<INS>");
  add_text(&p, tokenizer, "return the sum");
  add_special(&p, tokenizer, "<EDIT_START>");
  int32_t stop_id = cw_tokenizer_special(tokenizer, "<EDIT_END>");

  cw_session_options options = {.max_tokens = (uint32_t)p.count + (uint32_t)max_tokens, .max_tiles = rows * cols,
                                .threads = threads, .guidance = 1};
  cw_session *session, *source, *candidates[CANDIDATES];
  require(cw_session_open(model, &options, &session, &fault), "session", &fault);
  options.max_tiles = 0;
  require(cw_session_open(model, &options, &source, &fault), "session", &fault);
  for (int i = 0; i < CANDIDATES; i++) require(cw_session_open(model, &options, &candidates[i], &fault), "session", &fault);
  cw_sampler *greedy, *greedy_again, *sampled;
  cw_sampling plain = {.top_p = 1, .repetition_penalty = 1};
  cw_sampling rich = {.temperature = 0.9f, .top_k = 200, .top_p = 0.95f, .min_p = 0.01f, .repetition_penalty = 1.1f, .seed = 5};
  require(cw_sampler_open(info.vocab_size, options.max_tokens, &plain, &greedy, &fault), "sampler", &fault);
  require(cw_sampler_open(info.vocab_size, options.max_tokens, &plain, &greedy_again, &fault), "sampler", &fault);
  require(cw_sampler_open(info.vocab_size, options.max_tokens, &rich, &sampled, &fault), "sampler", &fault);
  cw_sampler *samplers[ANSWERS];
  cw_sampling drawn = {.temperature = 0.9f, .top_p = 1, .min_p = 0.02f, .repetition_penalty = 1}; /* two draw alike, with other seeds */
  for (uint32_t i = 0; i < ANSWERS; i++) {
    drawn.seed = i;
    const cw_sampling *sampling = i == 0 ? &plain : i == 1 ? &rich : &drawn;
    require(cw_sampler_open(info.vocab_size, options.max_tokens, sampling, &samplers[i], &fault), "sampler", &fault);
  }
  float *joint = malloc(p.count * info.joint_size * sizeof *joint);
  int32_t *ids = malloc((size_t)max_tokens * sizeof *ids), *drafted = malloc((size_t)max_tokens * sizeof *ids);
  int32_t *each = malloc((size_t)max_tokens * ANSWERS * sizeof *each);
  if (joint == NULL || ids == NULL || drafted == NULL || each == NULL) return 1;

  unsigned long before = allocations();
  uint32_t first_count, count, blocks = (uint32_t)before_picture / info.block_tokens;
  REQUIRE(cw_session_feed(source, p.ids, before_picture));
  for (uint32_t i = 0; i < blocks; i++) {
    const void *block;
    REQUIRE(cw_session_block(source, i, &block));
    REQUIRE(cw_session_attach(session, p.ids + i * info.block_tokens, block, info.block_bytes));
  }
  REQUIRE(cw_session_feed(session, p.ids + blocks * info.block_tokens, before_picture - blocks * info.block_tokens));
  if (tiles != NULL) REQUIRE(cw_session_feed_image(session, tiles, rows, cols));
  REQUIRE(cw_session_feed(session, p.ids + before_picture, p.count - before_picture));
  REQUIRE(cw_session_joint(session, 0, (uint32_t)p.count, joint));
  REQUIRE(cw_sampler_accept(sampled, p.ids, p.count));
  generate(session, greedy, stop_id, (uint32_t)max_tokens, NULL, ids, &first_count);
  unsigned long after = allocations();
  print("greedy", ids, first_count);
  memcpy(drafted, ids, first_count * sizeof *ids);
  before += allocations() - after; /* what printing took */
  REQUIRE(cw_session_rewind(session, (uint32_t)p.count - 1));
  REQUIRE(cw_session_feed(session, p.ids + p.count - 1, 1));
  generate(session, greedy_again, stop_id, (uint32_t)max_tokens, &p, ids, &count);
  if (count != first_count || memcmp(drafted, ids, count * sizeof *ids) != 0) {
    fprintf(stderr, "generate_pack: another answer with a draft\n");
    return 1;
  }
  after = allocations();

  before += allocations() - after; /* what printing took */
  REQUIRE(cw_session_rewind(session, (uint32_t)p.count - 1));
  REQUIRE(cw_session_feed(session, p.ids + p.count - 1, 1));
  const float *logits;
  int32_t id;
  REQUIRE(cw_session_logits(session, &logits));
  REQUIRE(cw_sampler_next(sampled, logits, &id, NULL));
  generate(session, sampled, stop_id, (uint32_t)max_tokens, &p, ids, &count);
  after = allocations();
  print("sampled", ids, count);

  before += allocations() - after;
  REQUIRE(cw_session_rewind(session, (uint32_t)p.count));
  generate_each(candidates, session, info.vocab_size, (uint32_t)max_tokens, each);
  after = allocations();
  print("candidates", each, (uint32_t)max_tokens * CANDIDATES);

  before += allocations() - after;
  uint32_t counts[ANSWERS];
  generate_together(session, candidates, samplers, stop_id, (uint32_t)max_tokens, &p, each, counts);
  after = allocations();
  if (counts[0] != first_count || memcmp(drafted, each, first_count * sizeof *each) != 0) {
    fprintf(stderr, "generate_pack: another answer together with others\n");
    return 1;
  }
  for (uint32_t i = 1; i < ANSWERS; i++) print("together", each + i * (uint32_t)max_tokens, counts[i]);

  free(each);
  free(ids);
  free(drafted);
  free(joint);
  free(tiles);
  cw_sampler_close(greedy);
  cw_sampler_close(greedy_again);
  cw_sampler_close(sampled);
  for (int i = 0; i < ANSWERS; i++) cw_sampler_close(samplers[i]);
  for (int i = 0; i < CANDIDATES; i++) cw_session_close(candidates[i]);
  cw_session_close(session);
  cw_session_close(source);
  cw_model_close(model);
  if (cw_allocations != NULL) printf("allocations: %lu of %lu\n", after - before, after);
  return after != before;
}
