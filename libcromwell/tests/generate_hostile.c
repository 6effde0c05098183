/* generate_hostile.c: blocks of states whose header is right and whose other bytes are hostile, for the sanitizers:
 *     generate_hostile PACK ISA THREADS TILES ROUNDS SEED
 * A cache verifies blocks by checksum, but whatever they hold, nothing may be read or written out of place, no arithmetic be undefined,
 * and nothing of them stay in a session that forgets them. Each round attaches two such blocks and does with the session whatever the
 * public header offers; results may be nonsense, a status must be one that the header allows. Prints what it tried. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cromwell.h"

enum { BLOCKS = 2, INTO = 64 + 8, WHOLE = 200, MOST = 260, TILE_SIZE = 256 * 256 * 3, HEADER_SIZE = 8 + 4 + 4 + 64 * 4, KINDS = 6 };

static const char *const KIND_NAMES[KINDS] = {"noise", "ones", "zeros", "odd floats", "sound with odd floats", "sound with flipped bits"};

static void require(int held, const char *what, const char *why) {
  if (held) return;
  fprintf(stderr, "generate_hostile: %s %s\n", what, why);
  exit(1);
}

#define REQUIRE(call)                                               \
  do {                                                              \
    cw_status status_ = (call);                                     \
    require(status_ == CW_OK, #call, cw_status_text(status_));      \
  } while (0)

static uint64_t random_state;

static uint64_t random_word(void) { /* xorshift64 */
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  return random_state ^= random_state << 17;
}

/* NaN of both signs, quiet and signalling, infinities, the ends of the range, negative and tiny scales. */
static uint32_t odd_float(void) {
  static const uint32_t ODD[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff812345, 0x7f800000, 0xff800000, 0x7f7fffff, 0xff7fffff,
                                 0x00000001, 0x80000001, 0x00800000, 0x80000000, 0x0da24260, 0x8da24261, 0x3f800000, 0xbf800000,
                                 0x7e967699, 0xfe967699, 0x4f000000, 0xcf000000, 0xd01502f9, 0x24e69595};
  return ODD[random_word() % (sizeof ODD / sizeof ODD[0])];
}

/* Writes a block of `kind`; its header is that of `sound`. */
static void make_hostile(uint8_t *block, const uint8_t *sound, size_t size, int kind) {
  memcpy(block, sound, size);
  for (size_t at = HEADER_SIZE; at < size; at += 4) { /* sizes are multiples of 64 */
    uint32_t word;
    memcpy(&word, block + at, 4);
    switch (kind) {
      case 0: word = (uint32_t)random_word(); break;
      case 1: word = 0xffffffff; break;
      case 2: word = 0; break;
      case 3: word = odd_float(); break;
      case 4: word = random_word() % 50 == 0 ? odd_float() : word; break;
      default: word ^= random_word() % 20 == 0 ? 1u << random_word() % 32 : 0; break;
    }
    memcpy(block + at, &word, 4);
  }
}

static void attach(cw_session *session, const int32_t *ids, uint8_t *const *blocks, size_t size) {
  for (int i = 0; i < BLOCKS; i++) REQUIRE(cw_session_attach(session, ids + i * 64, blocks[i], size));
}

static cw_session *open_session(const cw_model *model, uint32_t max_tokens, uint32_t max_tiles, int threads) {
  cw_session_options options = {.max_tokens = max_tokens, .max_tiles = max_tiles, .threads = threads, .guidance = 1};
  cw_session *session = NULL;
  REQUIRE(cw_session_open(model, &options, &session, NULL));
  return session;
}

typedef struct {
  cw_session *session, *other;
  cw_sampler *sampler, *other_sampler;
  const cw_model_info *info;
  const int32_t *ids; /* [200], none of them special */
  const uint8_t *tiles;
  int32_t image;
  float *joint; /* [MOST, joint_size] */
} life;

/* CW_E_ARGUMENT is for logits that are NaN. */
static void require_made(cw_status status, const char *what) {
  require(status == CW_OK || status == CW_E_ARGUMENT, what, cw_status_text(status));
}

static void generate(const life *l) {
  int32_t out[8];
  cw_generation made;
  cw_generate_request request = {.max_tokens = 8, .draft_ids = l->ids, .draft_count = 100};
  require_made(cw_generate(l->session, l->sampler, &request, out, &made), "cw_generate");
}

/* Two answers to the same, which go on in one line until they differ, with drafts; the second has less room. */
static void generate_together(const life *l) {
  int32_t out[2][20], *const places[2] = {out[0], out[1]};
  cw_session *const sessions[2] = {l->session, l->other};
  cw_sampler *const samplers[2] = {l->sampler, l->other_sampler};
  cw_generation made[2];
  cw_generate_request requests[2] = {{.max_tokens = 20, .draft_ids = l->ids, .draft_count = 100}};
  requests[1] = requests[0];
  uint32_t before = cw_session_length(l->session);
  require_made(cw_generate_each(sessions, samplers, requests, 2, places, made), "cw_generate_each");
  REQUIRE(cw_session_rewind(l->session, before));
}

/* Whatever can be done with a session whose first blocks are hostile; leaves it rewound to nothing. */
static void live(const life *l) {
  const float *logits;
  uint32_t begin = cw_session_length(l->session);
  REQUIRE(cw_session_logits_rows(l->session, 64, &logits)); /* of tokens whose rows for the head are hostile */
  REQUIRE(cw_session_joint(l->session, 0, begin, l->joint));
  REQUIRE(cw_session_feed(l->session, l->ids, 40));
  REQUIRE(cw_session_feed(l->session, l->ids + 40, 1));
  REQUIRE(cw_session_logits(l->session, &logits));
  if (l->tiles != NULL) {
    REQUIRE(cw_session_feed_image(l->session, l->tiles, 1, 1));
    REQUIRE(cw_session_feed(l->session, &l->image, 1));
    REQUIRE(cw_session_feed(l->session, l->ids, 3));
  }
  REQUIRE(cw_session_share(l->other, l->session, cw_session_length(l->session) - 1));
  cw_session *both[2] = {l->session, l->other};
  for (uint32_t step = 0; step < 3; step++) {
    const uint32_t counts[2] = {1 + step * 5, 12 - step * 6}; /* at last none for the second */
    REQUIRE(cw_session_feed_each(both, l->ids + step, step == 0 ? NULL : counts, 2));
    REQUIRE(cw_session_logits_each(both, step == 0 ? NULL : counts, 2, &logits));
  }
  REQUIRE(cw_session_rewind(l->other, 0));
  generate(l);
  REQUIRE(cw_session_share(l->other, l->session, cw_session_length(l->session)));
  generate_together(l);
  REQUIRE(cw_session_rewind(l->other, 0));
  REQUIRE(cw_session_rewind(l->session, INTO)); /* into a hostile block, which is copied */
  REQUIRE(cw_session_feed(l->session, l->ids, 150));
  REQUIRE(cw_session_logits(l->session, &logits));
  REQUIRE(cw_session_rewind(l->session, 0));
}

/* Makes the session's own copy of the second block, hostile from INTO + 1 on; leaves the session rewound to nothing. */
static void copy_second(const life *l) {
  REQUIRE(cw_session_rewind(l->session, INTO));
  REQUIRE(cw_session_feed(l->session, l->ids, 1));
  REQUIRE(cw_session_rewind(l->session, 0));
}

/* Logits after the first `count` ids, fed from nothing. */
static void feed_afresh(const life *l, uint32_t count, float *out) {
  const float *logits;
  REQUIRE(cw_session_feed(l->session, l->ids, count));
  REQUIRE(cw_session_logits(l->session, &logits));
  memcpy(out, logits, l->info->vocab_size * sizeof(float));
  REQUIRE(cw_session_rewind(l->session, 0));
}

int main(int argc, char **argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: generate_hostile PACK ISA THREADS TILES ROUNDS SEED\n");
    return 2;
  }
  int threads = atoi(argv[3]), max_tiles = atoi(argv[4]), rounds = atoi(argv[5]);
  random_state = 88172645463325252u + (uint64_t)atoi(argv[6]);
  REQUIRE(cw_isa_select(argv[2]));
  cw_model *model = NULL;
  REQUIRE(cw_model_open(argv[1], &model, NULL));
  cw_model_info info;
  cw_model_describe(model, &info);
  int32_t ids[WHOLE];
  for (int i = 0; i < WHOLE; i++) ids[i] = 30 + i * 37 % 200;

  cw_session *source = open_session(model, MOST, 0, threads);
  REQUIRE(cw_session_feed(source, ids, BLOCKS * 64));
  size_t size = info.block_bytes;
  uint8_t *hostile[BLOCKS];
  for (int i = 0; i < BLOCKS; i++)
    if ((hostile[i] = aligned_alloc(64, size)) == NULL) return 1; /* apart, so that a read beyond one shows */
  uint8_t *tiles = calloc(1, TILE_SIZE);
  float *joint = malloc((size_t)MOST * info.joint_size * sizeof *joint);
  float *want = malloc(info.vocab_size * sizeof *want), *early = malloc(info.vocab_size * sizeof *early);
  float *got = malloc(info.vocab_size * sizeof *got);
  if (tiles == NULL || joint == NULL || want == NULL || early == NULL || got == NULL) return 1;
  cw_sampling sampling = {.temperature = 0.8f, .top_k = 40, .top_p = 0.9f, .min_p = 0.01f, .repetition_penalty = 1.1f, .seed = 3};
  cw_sampler *sampler = NULL, *other_sampler = NULL;
  REQUIRE(cw_sampler_open(info.vocab_size, 1u << 20, &sampling, &sampler, NULL));
  sampling = (cw_sampling){.top_p = 1, .repetition_penalty = 1};
  REQUIRE(cw_sampler_open(info.vocab_size, 1u << 20, &sampling, &other_sampler, NULL));
  life l = {.session = open_session(model, MOST, (uint32_t)max_tiles, threads), .other = open_session(model, MOST - 30, 0, 1),
            .sampler = sampler, .other_sampler = other_sampler, .info = &info, .ids = ids, .tiles = max_tiles > 0 ? tiles : NULL,
            .image = cw_tokenizer_special(cw_model_tokenizer(model), "<IMAGE>"), .joint = joint};
  feed_afresh(&l, WHOLE, want);
  feed_afresh(&l, INTO + 1, early);
  for (int round = 0; round < rounds; round++)
    for (int kind = 0; kind < KINDS; kind++) {
      for (int i = 0; i < BLOCKS; i++) {
        const void *sound;
        REQUIRE(cw_session_block(source, (uint32_t)i, &sound));
        make_hostile(hostile[i], sound, size, kind);
      }
      attach(l.session, ids, hostile, size);
      live(&l);
      feed_afresh(&l, WHOLE, got);
      require(memcmp(want, got, info.vocab_size * sizeof *want) == 0, KIND_NAMES[kind], "left something behind");
      attach(l.session, ids, hostile, size);
      copy_second(&l);
      feed_afresh(&l, INTO + 1, got); /* an odd number of positions: the next one, hostile, makes a pair with the last */
      require(memcmp(early, got, info.vocab_size * sizeof *early) == 0, KIND_NAMES[kind], "left something behind its end");
    }
  for (int kind = 0; kind < KINDS; kind++) printf("%s: %d times\n", KIND_NAMES[kind], rounds);
  for (int i = 0; i < BLOCKS; i++) free(hostile[i]);
  free(tiles), free(joint), free(want), free(early), free(got);
  cw_sampler_close(sampler);
  cw_sampler_close(other_sampler);
  cw_session_close(l.other);
  cw_session_close(l.session);
  cw_session_close(source);
  cw_model_close(model);
  return 0;
}
