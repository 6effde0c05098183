/* test_isa.c: every instruction set by name: one that is present runs and gives the reference's bits, one that is absent is refused.
 *     test_isa [BEST]
 * With BEST the program also fails unless that is what the library chooses by itself; for emulated processors. */
#include <unistd.h>

#include "cromwell.h"
#include "pack_maker.h"

static int failures;

#define CHECK(condition)                                               \
  do {                                                                 \
    if (!(condition)) printf("line %d: %s\n", __LINE__, #condition), failures++; \
  } while (0)

enum { TOKENS = 90 };

/* Logits after a short text with the selected kernels. */
static void logits_of(const cw_model *model, float out[MAKER_VOCAB]) {
  cw_session_options options = {.max_tokens = TOKENS, .threads = 2, .guidance = 1};
  cw_session *session = NULL;
  int32_t ids[TOKENS];
  const float *logits;
  for (int i = 0; i < TOKENS; i++) ids[i] = MAKER_SPECIALS + i * 31 % 256;
  ids[3] = 4, ids[40] = 5, ids[42] = 8, ids[55] = 6; /* a region, an instruction and an answer */
  memcpy(ids + 60, ids + 4, 20 * sizeof *ids);
  CHECK(cw_session_open(model, &options, &session, NULL) == CW_OK);
  CHECK(cw_session_feed(session, ids, TOKENS) == CW_OK && cw_session_logits(session, &logits) == CW_OK);
  memcpy(out, logits, MAKER_VOCAB * sizeof *out);
  cw_session_close(session);
}

int main(int argc, char **argv) {
  static const char *const NAMES[] = {"scalar", "avx2", "avx512vnni"};
  const char *best = cw_isa_name();
  printf("best: %s\n", best);
  if (argc > 1) CHECK(strcmp(best, argv[1]) == 0);
  size_t size;
  char path[64];
  uint8_t *bytes = maker_pack(&size);
  maker_write(bytes, size, path);
  cw_model *model = NULL;
  CHECK(cw_model_open(path, &model, NULL) == CW_OK);
  unlink(path);
  if (model == NULL) return 1;
  float want[MAKER_VOCAB], got[MAKER_VOCAB];
  int beyond = 0; /* whether the best one has been passed */
  for (int i = 0; i < 3; i++) {
    cw_status status = cw_isa_select(NAMES[i]);
    CHECK(status == (beyond ? CW_E_ISA : CW_OK)); /* each one's processors have those before it */
    CHECK(strcmp(cw_isa_name(), beyond ? best : NAMES[i]) == 0);
    logits_of(model, i == 0 ? want : got);
    if (i > 0) CHECK(memcmp(want, got, sizeof want) == 0);
    beyond = beyond || strcmp(NAMES[i], best) == 0;
  }
  CHECK(cw_isa_select("sse9") == CW_E_ISA && cw_isa_select("") == CW_E_ISA && strcmp(cw_isa_name(), best) == 0);
  CHECK(cw_isa_select(NULL) == CW_OK && strcmp(cw_isa_name(), best) == 0);
  cw_model_close(model);
  free(bytes);
  printf("test_isa: %d failures\n", failures);
  return failures != 0;
}
