/* test_model.c: a whole life of a model: open, feed, pictures, states, generation, close; run it under valgrind and sanitizers. */
#include <unistd.h>

#include "cromwell.h"
#include "pack_maker.h"

static int failures;

#define CHECK(condition)                                               \
  do {                                                                 \
    if (!(condition)) printf("line %d: %s\n", __LINE__, #condition), failures++; \
  } while (0)

enum { PROMPT = 210, TILE = 256 * 256 * 3 };

static void traced(void *user, const char *name, int32_t layer, const float *values, uint32_t rows, uint32_t cols) {
  (void)layer;
  size_t *count = user;
  *count += name[0] != '\0' && rows > 0 && cols > 0 && values != NULL;
}

static void test_life(cw_model *model) {
  cw_model_info info;
  cw_model_describe(model, &info);
  CHECK(info.vocab_size == MAKER_VOCAB && info.vision_tokens_per_tile == 64);
  cw_session_options options = {.max_tokens = 300, .max_tiles = 2, .threads = 2, .guidance = 1};
  cw_session *session, *other;
  CHECK(cw_session_open(model, &options, &session, NULL) == CW_OK);
  options.threads = 1;
  CHECK(cw_session_open(model, &options, &other, NULL) == CW_OK);
  int32_t ids[PROMPT];
  for (int i = 0; i < PROMPT; i++) ids[i] = MAKER_SPECIALS + i * 31 % 256;
  CHECK(cw_session_feed(session, ids, PROMPT) == CW_OK);
  for (int i = 0; i < PROMPT; i++) CHECK(cw_session_feed(other, ids + i, 1) == CW_OK);
  const float *a, *b;
  CHECK(cw_session_logits(session, &a) == CW_OK && cw_session_logits(other, &b) == CW_OK);
  CHECK(memcmp(a, b, info.vocab_size * sizeof(float)) == 0);

  size_t state_size = PROMPT * info.state_bytes_per_token;
  uint8_t *state = malloc(state_size), *again = malloc(state_size), *tiles = malloc(2 * TILE);
  CHECK(cw_session_export(session, 0, PROMPT, state, state_size) == CW_OK);
  CHECK(cw_session_export(session, 0, PROMPT, state, state_size - 1) == CW_E_CAPACITY);
  CHECK(cw_session_rewind(other, 0) == CW_OK && cw_session_restore(other, ids, PROMPT, state, state_size) == CW_OK);
  CHECK(cw_session_export(other, 0, PROMPT, again, state_size) == CW_OK && memcmp(state, again, state_size) == 0);

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
  free(state), free(again), free(tiles);
  cw_session_close(session);
  cw_session_close(other);
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
  test_refusals(model);
  cw_model_close(model);
  free(bytes);
  printf("test_model: %d failures\n", failures);
  return failures != 0;
}
