/* test_model.c: a whole life of a model: open, feed, blocks, shared prefixes, several sessions, pictures, generation, close; run it under
 * valgrind and sanitizers. */
#include <unistd.h>

#include "cromwell.h"
#include "pack_maker.h"

static int failures;

#define CHECK(condition)                                               \
  do {                                                                 \
    if (!(condition)) printf("line %d: %s\n", __LINE__, #condition), failures++; \
  } while (0)

enum { PROMPT = 210, TILE = 256 * 256 * 3, SEVERAL = 5 };

static void traced(void *user, const char *name, int32_t layer, const float *values, uint32_t rows, uint32_t cols) {
  (void)layer;
  size_t *count = user;
  *count += name[0] != '\0' && rows > 0 && cols > 0 && values != NULL;
}

static cw_session *open_session(const cw_model *model, uint32_t max_tokens, uint32_t max_tiles, int32_t threads) {
  cw_session_options options = {.max_tokens = max_tokens, .max_tiles = max_tiles, .threads = threads, .guidance = 1};
  cw_session *session = NULL;
  CHECK(cw_session_open(model, &options, &session, NULL) == CW_OK);
  return session;
}

static void fill_ids(int32_t ids[PROMPT]) {
  for (int i = 0; i < PROMPT; i++) ids[i] = MAKER_SPECIALS + i * 31 % 256;
}

/* Whether two sessions, of equal length, give the same logits and joint embeddings. */
static int equal_sessions(cw_session *one, cw_session *two, const cw_model_info *info) {
  const float *a, *b;
  uint32_t length = cw_session_length(one);
  if (length != cw_session_length(two) || cw_session_logits(one, &a) != CW_OK || cw_session_logits(two, &b) != CW_OK) return 0;
  if (memcmp(a, b, info->vocab_size * sizeof(float)) != 0) return 0;
  size_t size = (size_t)length * info->joint_size * sizeof(float);
  float *joint = malloc(2 * size), *other = joint + (size_t)length * info->joint_size;
  CHECK(cw_session_joint(one, 0, length, joint) == CW_OK && cw_session_joint(two, 0, length, other) == CW_OK);
  int equal = memcmp(joint, other, size) == 0;
  free(joint);
  return equal;
}

static void test_life(cw_model *model) {
  cw_model_info info;
  cw_model_describe(model, &info);
  CHECK(info.vocab_size == MAKER_VOCAB && info.vision_tokens_per_tile == 64);
  CHECK(info.block_tokens == CW_BLOCK && info.block_bytes % 64 == 0);
  cw_session *session = open_session(model, 300, 2, 2), *other = open_session(model, 300, 2, 1);
  int32_t ids[PROMPT];
  fill_ids(ids);
  CHECK(cw_session_feed(session, ids, PROMPT) == CW_OK);
  for (int i = 0; i < PROMPT; i++) CHECK(cw_session_feed(other, ids + i, 1) == CW_OK);
  CHECK(equal_sessions(session, other, &info));

  uint8_t *tiles = malloc(2 * TILE);
  for (int i = 0; i < 2 * TILE; i++) tiles[i] = (uint8_t)(i * 7 >> 3);
  size_t traces = 0;
  cw_session_trace(session, traced, &traces);
  CHECK(cw_session_feed_image(session, tiles, 1, 2) == CW_OK);
  int32_t image = MAKER_IMAGE;
  CHECK(cw_session_feed(session, ids, 1) == CW_E_ARGUMENT);
  CHECK(cw_session_feed(session, &image, 1) == CW_OK);
  CHECK(traces > 20);
  cw_session_trace(session, NULL, NULL);

  cw_sampling sampling = {.temperature = 0.8f, .top_k = 20, .top_p = 0.9f, .repetition_penalty = 1.1f, .seed = 7};
  cw_sampler *sampler;
  CHECK(cw_sampler_open(info.vocab_size, 400, &sampling, &sampler, NULL) == CW_OK);
  int32_t out[60], stop = 1;
  cw_generate_request request = {.stop_ids = &stop, .stop_id_count = 1, .max_tokens = 60, .draft_ids = ids, .draft_count = PROMPT};
  cw_generation made;
  CHECK(cw_generate(session, sampler, &request, out, &made) == CW_OK);
  CHECK(made.count > 0 && cw_session_length(session) >= PROMPT + 1);
  cw_sampler_close(sampler);
  free(tiles);
  cw_session_close(session);
  cw_session_close(other);
}

/* Blocks copied to memory that ends where they do, used in place, rewound into and written past; then a picture after them. */
static void test_blocks(const cw_model *model) {
  cw_model_info info;
  cw_model_describe(model, &info);
  cw_session *source = open_session(model, PROMPT, 1, 1), *target = open_session(model, 300, 1, 2);
  int32_t ids[PROMPT], image = MAKER_IMAGE;
  fill_ids(ids);
  CHECK(cw_session_feed(source, ids, PROMPT) == CW_OK);
  uint8_t *copies[3] = {0};
  const void *block = NULL;
  for (uint32_t i = 0; i < 3; i++) {
    CHECK(cw_session_block(source, i, &block) == CW_OK);
    copies[i] = aligned_alloc(64, info.block_bytes);
    if (copies[i] == NULL) abort();
    memcpy(copies[i], block, info.block_bytes);
    CHECK(cw_session_attach(target, ids + i * CW_BLOCK, copies[i], info.block_bytes) == CW_OK);
    CHECK(cw_session_block(target, i, &block) == CW_OK && block == copies[i]);
  }
  CHECK(cw_session_block(source, 3, &block) == CW_E_ARGUMENT);
  CHECK(cw_session_feed(target, ids + 3 * CW_BLOCK, PROMPT - 3 * CW_BLOCK) == CW_OK);
  CHECK(equal_sessions(source, target, &info));

  /* Into an attached block, which is then copied; the ones before it stay in use. */
  CHECK(cw_session_rewind(target, 2 * CW_BLOCK + 5) == CW_OK);
  CHECK(cw_session_feed(target, ids + 2 * CW_BLOCK + 5, PROMPT - 2 * CW_BLOCK - 5) == CW_OK);
  CHECK(equal_sessions(source, target, &info));
  CHECK(cw_session_block(source, 2, &block) == CW_OK && memcmp(copies[2], block, info.block_bytes) == 0);
  free(copies[2]); /* rewinding below its end ended its use */
  CHECK(cw_session_rewind(target, 2 * CW_BLOCK) == CW_OK && cw_session_rewind(source, 2 * CW_BLOCK) == CW_OK);

  uint8_t *tiles = calloc(1, TILE);
  cw_session *both[2] = {source, target};
  for (int i = 0; i < 2; i++) {
    CHECK(cw_session_feed_image(both[i], tiles, 1, 1) == CW_OK && cw_session_feed(both[i], &image, 1) == CW_OK);
    CHECK(cw_session_feed(both[i], ids, 30) == CW_OK);
    CHECK(cw_session_block(both[i], 1, &block) == CW_OK && cw_session_block(both[i], 2, &block) == CW_E_ARGUMENT);
  }
  CHECK(equal_sessions(source, target, &info));
  cw_session_close(target);
  cw_session_close(source);
  free(copies[0]), free(copies[1]), free(tiles);
}

/* Sessions that share a prompt and go on in one pass give what each gives alone; so do the rows of several tokens. */
static void test_several(const cw_model *model) {
  cw_model_info info;
  cw_model_describe(model, &info);
  cw_session *source = open_session(model, 300, 1, 2), *alone = open_session(model, 300, 1, 1), *each[SEVERAL];
  int32_t ids[PROMPT], image = MAKER_IMAGE;
  fill_ids(ids);
  uint8_t *tiles = calloc(1, TILE);
  CHECK(cw_session_feed(source, ids, 20) == CW_OK && cw_session_feed_image(source, tiles, 1, 1) == CW_OK);
  CHECK(cw_session_feed(source, &image, 1) == CW_OK && cw_session_feed(source, ids, 129) == CW_OK);
  for (uint32_t i = 0; i < SEVERAL; i++) {
    each[i] = open_session(model, 300, 0, i == 0 ? 3 : 1);
    CHECK(cw_session_share(each[i], source, i == 4 ? 15 : 150 - i) == CW_OK); /* the last one without the picture */
  }
  for (int32_t step = 0; step < 6; step++) {
    int32_t next[SEVERAL];
    for (int i = 0; i < SEVERAL; i++) next[i] = MAKER_SPECIALS + 40 * i + step;
    CHECK(cw_session_feed_each(each, next, NULL, SEVERAL) == CW_OK);
  }
  const float *rows, *row;
  size_t size = info.vocab_size * sizeof(float);
  float *kept = malloc(SEVERAL * size);
  CHECK(cw_session_logits_each(each, NULL, SEVERAL, &rows) == CW_OK);
  memcpy(kept, rows, SEVERAL * size);
  for (int32_t i = 0; i < SEVERAL; i++) {
    uint32_t shared = i == 4 ? 15 : (uint32_t)(150 - i);
    CHECK(cw_session_rewind(alone, 0) == CW_OK && cw_session_feed(alone, ids, shared < 20 ? shared : 20) == CW_OK);
    if (shared > 20) {
      CHECK(cw_session_feed_image(alone, tiles, 1, 1) == CW_OK && cw_session_feed(alone, &image, 1) == CW_OK);
      CHECK(cw_session_feed(alone, ids, shared - 21) == CW_OK);
    }
    for (int32_t step = 0; step < 6; step++) {
      int32_t next = MAKER_SPECIALS + 40 * i + step;
      CHECK(cw_session_feed(alone, &next, 1) == CW_OK);
    }
    CHECK(equal_sessions(each[i], alone, &info));
    CHECK(cw_session_logits(each[i], &row) == CW_OK && memcmp(row, kept + (size_t)i * info.vocab_size, size) == 0);
    cw_session_close(each[i]);
  }
  float *several = malloc(64 * size);
  CHECK(cw_session_logits_rows(source, 64, &rows) == CW_OK);
  memcpy(several, rows, 64 * size);
  for (uint32_t i = 0; i < 64; i += 21) {
    CHECK(cw_session_rewind(source, 150 - i) == CW_OK && cw_session_logits(source, &row) == CW_OK);
    CHECK(memcmp(row, several + (size_t)(63 - i) * info.vocab_size, size) == 0);
  }
  free(several), free(kept), free(tiles);
  cw_session_close(alone);
  cw_session_close(source);
}

static void test_refusals(const cw_model *model) {
  cw_session *session = NULL;
  cw_fault fault = {{0}};
  const cw_session_options wrong[] = {{0, 0, 1, 1}, {301, 0, 1, 1}, {10, 3, 1, 1}, {10, 0, -1, 1}, {10, 0, 65, 1}};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    fault.text[0] = '\0';
    CHECK(cw_session_open(model, &wrong[i], &session, &fault) == CW_E_ARGUMENT && session == NULL && fault.text[0] != '\0');
  }
  CHECK(cw_session_open(NULL, &wrong[0], &session, NULL) == CW_E_ARGUMENT);
  CHECK(cw_session_feed(NULL, NULL, 1) == CW_E_ARGUMENT);
  cw_model *missing = NULL;
  CHECK(cw_model_open("/nonexistent/model.cwm", &missing, &fault) == CW_E_IO && missing == NULL);
  CHECK(cw_model_open(NULL, &missing, NULL) == CW_E_ARGUMENT);
  cw_session_close(NULL);
  cw_model_close(NULL);
}

int main(void) {
  size_t size;
  char path[64];
  uint8_t *bytes = maker_pack(&size);
  maker_write(bytes, size, path);
  cw_model *model = NULL;
  cw_fault fault = {{0}};
  if (cw_model_open(path, &model, &fault) != CW_OK) {
    printf("open: %s\n", fault.text);
    return 1;
  }
  unlink(path);
  test_life(model);
  test_blocks(model);
  test_several(model);
  test_refusals(model);
  cw_model_close(model);
  free(bytes);
  printf("test_model: %d failures\n", failures);
  return failures != 0;
}
