/* test_text.c: the tokenizer against byte pair encoding as it is defined, on vocabularies made up here; damaged sections; one handle
 * in many threads; long runs. (tests/test_tokenizer.py compares with the tokenizers library.) */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cromwell.h"
#include "text/bpe.h"
#include "text/pieces.h"
#include "text/starts.h"

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

enum { SPECIALS = 2, FIRST_MERGE = SPECIALS + 256, MERGES_MAX = 400, TOKENS_MAX = FIRST_MERGE + MERGES_MAX, HEADER = 32 };

static uint64_t random_state = 20261121;

static uint32_t random_below(uint32_t bound) { /* splitmix64 */
  uint64_t z = random_state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return (uint32_t)((z ^ z >> 31) % bound);
}

static double seconds(void) {
  struct timespec at;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
  return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

/* ---- the slow twin -------------------------------------------------------------------------------------------- */

struct reference {
  uint32_t merges[MERGES_MAX][2], merge_count;
  uint8_t bytes[TOKENS_MAX][CW_TOKEN_BYTES_MAX];
  uint32_t size[TOKENS_MAX];
};

/* The definition: again and again the pair that was merged first in training, the leftmost of equals. */
static size_t merge_all(const struct reference *reference, const uint8_t *text, size_t size, uint32_t *ids) {
  size_t count = size;
  for (size_t at = 0; at < size; at++) ids[at] = SPECIALS + text[at];
  for (;;) {
    uint32_t best = reference->merge_count;
    size_t where = 0;
    for (size_t at = 0; at + 1 < count; at++) {
      for (uint32_t merge = 0; merge < best; merge++) {
        if (reference->merges[merge][0] == ids[at] && reference->merges[merge][1] == ids[at + 1]) {
          best = merge;
          where = at;
        }
      }
    }
    if (best == reference->merge_count) return count;
    ids[where] = FIRST_MERGE + best;
    memmove(ids + where + 1, ids + where + 2, (--count - where - 1) * sizeof *ids);
  }
}

/* A vocabulary over `letters` letters from 'a' on: random merges, each of which some text produces. */
static void invent(struct reference *reference, uint32_t letters, uint32_t merge_count, uint32_t size_max) {
  uint32_t ids[2 * CW_TOKEN_BYTES_MAX];
  reference->merge_count = 0;
  for (uint32_t byte = 0; byte < 256; byte++) {
    reference->bytes[SPECIALS + byte][0] = (uint8_t)byte;
    reference->size[SPECIALS + byte] = 1;
  }
  for (uint32_t trial = 0; trial < 40 * merge_count && reference->merge_count < merge_count; trial++) {
    uint32_t pair[2], token = FIRST_MERGE + reference->merge_count;
    for (int side = 0; side < 2; side++) {
      uint32_t choice = random_below(letters + reference->merge_count);
      pair[side] = choice < letters ? SPECIALS + 'a' + choice : FIRST_MERGE + choice - letters;
    }
    uint32_t left_size = reference->size[pair[0]], size = left_size + reference->size[pair[1]];
    if (size > size_max) continue;
    memcpy(reference->bytes[token], reference->bytes[pair[0]], left_size);
    memcpy(reference->bytes[token] + left_size, reference->bytes[pair[1]], size - left_size);
    if (merge_all(reference, reference->bytes[token], size, ids) != 2 || ids[0] != pair[0] || ids[1] != pair[1]) continue;
    memcpy(reference->merges[reference->merge_count], pair, sizeof pair);
    reference->size[token] = size;
    reference->merge_count++;
  }
}

/* ---- sections ------------------------------------------------------------------------------------------------- */

static void put(uint8_t *at, uint64_t value, int bytes) {
  for (int index = 0; index < bytes; index++) at[index] = (uint8_t)(value >> 8 * index);
}

static uint64_t get(const uint8_t *at, int bytes) {
  uint64_t value = 0;
  for (int index = 0; index < bytes; index++) value |= (uint64_t)at[index] << 8 * index;
  return value;
}

/* Writes the checksum as docs/tokenizer.md states it, for a section of whole words. */
static void seal(uint8_t *section, size_t size) {
  uint64_t sum = size - 16;
  for (size_t at = 8; at + 8 <= size; at += at == 16 ? 16 : 8) {
    sum = (sum ^ get(section + at, 8)) * 0x9E3779B97F4A7C15u;
    sum ^= sum >> 29;
  }
  put(section + 24, sum, 8);
}

static uint8_t *write_section(const struct reference *reference, size_t *size) {
  static const char names[16] = "<PAD>\0<EDIT>";
  *size = HEADER + sizeof names + 8 * (size_t)reference->merge_count;
  uint8_t *section = calloc(1, *size);
  CHECK(section != NULL);
  memcpy(section, "CWTOKEN\n", 8);
  put(section + 8, 1, 4);
  put(section + 12, SPECIALS, 4);
  put(section + 16, reference->merge_count, 4);
  put(section + 20, sizeof names, 4);
  memcpy(section + HEADER, names, sizeof names);
  for (uint32_t merge = 0; merge < reference->merge_count; merge++) {
    put(section + HEADER + sizeof names + 8 * merge, reference->merges[merge][0], 4);
    put(section + HEADER + sizeof names + 8 * merge + 4, reference->merges[merge][1], 4);
  }
  seal(section, *size);
  return section;
}

static cw_tokenizer *open_section(const uint8_t *section, size_t size) {
  cw_tokenizer *tokenizer = NULL;
  cw_fault fault;
  cw_status status = cw_tokenizer_open(section, size, &tokenizer, &fault);
  if (status != CW_OK) fprintf(stderr, "%s\n", fault.text);
  CHECK(status == CW_OK);
  return tokenizer;
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

static void check_round_trip(const cw_tokenizer *tokenizer, const uint8_t *text, size_t size) {
  int32_t *ids = malloc((size + 1) * sizeof *ids);
  uint8_t *back = malloc(size + 1);
  size_t count, back_size;
  CHECK(ids != NULL && back != NULL);
  CHECK(cw_tokenizer_encode(tokenizer, text, size, ids, size, &count) == CW_OK && count <= size);
  for (size_t index = 0; index < count; index++) CHECK((uint32_t)ids[index] >= tokenizer->special_count);
  CHECK(cw_tokenizer_decode(tokenizer, ids, count, 1, back, size, &back_size) == CW_OK);
  CHECK(back_size == size && memcmp(back, text, size) == 0);
  free(ids);
  free(back);
}

/* A window of bytes, most of them from a few that pieces care about. */
static void random_window(uint8_t *window) {
  static const char kinds[] = "ab1 1  \t\n\r=.\xc3\xff \0";
  uint32_t first = random_below(sizeof kinds), count = 1 + random_below(sizeof kinds), any = random_below(4);
  for (size_t at = 0; at < CW_WINDOW; at++) {
    window[at] = (uint8_t)(any == 0 ? random_below(256) : (uint32_t)kinds[(first + random_below(count)) % sizeof kinds]);
  }
}

/* Starts found by arithmetic on bits are those of the scan, whatever follows the window and whatever byte is where. */
static void test_starts(void) {
  uint8_t text[2 * CW_WINDOW];
  for (int trial = 0; trial < 300000; trial++) {
    uint64_t expected = 0;
    random_window(text);
    random_window(text + CW_WINDOW);
    for (size_t at = 0; at < CW_WINDOW - 1; at = cw_piece_end(text, sizeof text, at)) expected |= (uint64_t)1 << at;
    CHECK(cw_piece_starts(text) == expected);
  }
  for (uint32_t pair = 0; pair < 1 << 16; pair++) { /* every class of every byte, beside every other */
    uint64_t expected = 0;
    memset(text, 'a', sizeof text);
    text[20] = text[40] = (uint8_t)pair;
    text[21] = text[42] = (uint8_t)(pair >> 8);
    for (size_t at = 0; at < CW_WINDOW - 1; at = cw_piece_end(text, sizeof text, at)) expected |= (uint64_t)1 << at;
    CHECK(cw_piece_starts(text) == expected);
  }
}

/* Encoding of words (one piece each) equals merging; a buffer of exactly the needed size suffices and one less is refused. */
static void test_merging(void) {
  static struct reference reference;
  enum { TEXT = 120 };
  for (int round = 0; round < 300; round++) {
    uint32_t letters = 1 + random_below(5);
    invent(&reference, letters, 1 + random_below(60), 2 + random_below(30));
    size_t size;
    uint8_t *section = write_section(&reference, &size);
    cw_tokenizer *tokenizer = open_section(section, size);
    CHECK(cw_tokenizer_size(tokenizer) == (int32_t)(FIRST_MERGE + reference.merge_count));
    for (int trial = 0; trial < 40; trial++) {
      uint8_t text[TEXT];
      uint32_t expected[TEXT];
      int32_t ids[TEXT];
      size_t text_size = 1 + random_below(TEXT), count = 77;
      for (size_t at = 0; at < text_size; at++) text[at] = (uint8_t)('a' + random_below(letters));
      size_t expected_count = merge_all(&reference, text, text_size, expected);
      CHECK(cw_tokenizer_encode(tokenizer, text, text_size, ids, expected_count - 1, &count) == CW_E_CAPACITY && count == 77);
      CHECK(cw_tokenizer_encode(tokenizer, text, text_size, ids, expected_count, &count) == CW_OK);
      CHECK(count == expected_count && memcmp(ids, expected, count * sizeof *ids) == 0);
      CHECK(cw_bpe_search(tokenizer, text, text_size, text_size, ids, expected_count - 1, &count) == CW_E_CAPACITY);
      CHECK(cw_bpe_search(tokenizer, text, text_size, text_size, ids, expected_count, &count) == CW_OK);
      CHECK(count == expected_count && memcmp(ids, expected, count * sizeof *ids) == 0);
    }
    cw_tokenizer_close(tokenizer);
    free(section);
  }
}

/* A text of a few words that come again and again, runs and oddities between them. */
static size_t random_text(uint8_t *text, size_t limit) {
  uint8_t words[8][70];
  size_t sizes[8], size = 0;
  for (int word = 0; word < 8; word++) {
    sizes[word] = 1 + random_below(word < 6 ? 14 : 70);
    for (size_t at = 0; at < sizes[word]; at++) words[word][at] = (uint8_t)('a' + random_below(4));
  }
  for (size_t target = random_below((uint32_t)limit + 1); size < target;) {
    if (random_below(3) == 0) {
      uint8_t byte = (uint8_t)" \n\t=.0\xe9"[random_below(8)]; /* the string's zero too */
      for (size_t run = 1 + random_below(random_below(9) ? 2 : 90); run > 0 && size < target; run--) text[size++] = byte;
    } else {
      const size_t word = random_below(8);
      for (size_t at = 0; at < sizes[word] && size < target; at++) text[size++] = words[word][at];
    }
  }
  return size;
}

/* Texts of many pieces equal the merging of each piece, with places for any number of ids from one a byte down to just enough.
 * Each text and each result is a block of its own, so that the sanitizer sees a byte too far. */
static void test_texts(const cw_tokenizer *tokenizer, const struct reference *reference, int texts) {
  enum { LIMIT = 1500 };
  static uint8_t made[LIMIT];
  static uint32_t expected[LIMIT];
  for (int trial = 0; trial < texts; trial++) {
    size_t size = random_text(made, LIMIT), expected_count = 0, count = 77;
    uint8_t *text = malloc(size ? size : 1);
    CHECK(text != NULL);
    memcpy(text, made, size);
    for (size_t at = 0, end; at < size; at = end) {
      end = cw_piece_end(text, size, at);
      expected_count += merge_all(reference, text + at, end - at, expected + expected_count);
    }
    size_t spare = random_below(3) ? random_below(100) : size - expected_count;
    int32_t *ids = malloc((expected_count + spare + 1) * sizeof *ids);
    CHECK(ids != NULL);
    ids[expected_count + spare] = 4711;
    CHECK(cw_tokenizer_encode(tokenizer, text, size, ids, expected_count + spare, &count) == CW_OK);
    CHECK(count == expected_count && memcmp(ids, expected, count * sizeof *ids) == 0);
    CHECK(ids[expected_count + spare] == 4711);
    if (expected_count > 0) {
      ids[expected_count - 1] = 4711;
      CHECK(cw_tokenizer_encode(tokenizer, text, size, ids, expected_count - 1, &count) == CW_E_CAPACITY && count == expected_count);
      CHECK(ids[expected_count - 1] == 4711);
    }
    free(ids);
    free(text);
  }
}

static void test_interface(const cw_tokenizer *tokenizer) {
  size_t count = 5, size = 5;
  int32_t ids[64];
  uint8_t text[64];
  CHECK(cw_tokenizer_special(tokenizer, "<PAD>") == 0 && cw_tokenizer_special(tokenizer, "<EDIT>") == 1);
  CHECK(cw_tokenizer_special(tokenizer, "<EDIT") == -1 && cw_tokenizer_special(tokenizer, "") == -1);
  CHECK(cw_tokenizer_encode(tokenizer, NULL, 0, NULL, 0, &count) == CW_OK && count == 0);
  CHECK(cw_tokenizer_encode(tokenizer, NULL, 1, ids, 64, &count) == CW_E_ARGUMENT);
  check_round_trip(tokenizer, (const uint8_t *)"<EDIT></EDIT><PAD>", 18);

  const int32_t mixed[] = {1, SPECIALS + 'x', 0, SPECIALS + 'y'};
  CHECK(cw_tokenizer_decode(tokenizer, mixed, 4, 0, NULL, 0, &size) == CW_OK && size == 2);
  CHECK(cw_tokenizer_decode(tokenizer, mixed, 4, 1, NULL, 0, &size) == CW_OK && size == 13);
  CHECK(cw_tokenizer_decode(tokenizer, mixed, 4, 1, text, 12, &size) == CW_E_CAPACITY && size == 13);
  CHECK(cw_tokenizer_decode(tokenizer, mixed, 4, 1, text, 13, &size) == CW_OK && memcmp(text, "<EDIT>x<PAD>y", 13) == 0);
  const int32_t outside[] = {cw_tokenizer_size(tokenizer), -1, INT32_MIN, INT32_MAX};
  for (int index = 0; index < 4; index++) {
    CHECK(cw_tokenizer_decode(tokenizer, outside + index, 1, 0, text, 64, &size) == CW_E_ARGUMENT && size == 13);
  }
}

static void check_random_texts(const cw_tokenizer *tokenizer, int texts) {
  uint8_t text[300];
  for (int trial = 0; trial < texts; trial++) {
    size_t size = random_below(sizeof text);
    for (size_t at = 0; at < size; at++) text[at] = (uint8_t)(trial % 2 ? random_below(256) : 'a' + random_below(4));
    check_round_trip(tokenizer, text, size);
  }
}

/* No truncated section opens, and no changed one does unless its checksum was made to fit; then what opens still round-trips. */
static void test_damage(const uint8_t *section, size_t size) {
  int accepted = 0;
  for (int trial = 0; trial < 6000; trial++) {
    int sealed = trial % 3 == 0;
    size_t length = trial % 3 == 1 ? random_below((uint32_t)size) : size;
    uint8_t *damaged = malloc(length ? length : 1); /* its own block, so that the sanitizer sees a read past the end */
    CHECK(damaged != NULL);
    memcpy(damaged, section, length);
    for (uint32_t change = 0, changes = 1 + random_below(3); length == size && change < changes; change++) {
      size_t at = sealed && change % 2 ? 8 + random_below(24) : random_below((uint32_t)size);
      if (random_below(2)) damaged[at] ^= (uint8_t)(1u << random_below(8));
      else damaged[at] = (uint8_t)random_below(256);
    }
    int same = length == size && memcmp(damaged, section, size) == 0;
    if (sealed) seal(damaged, length);
    cw_tokenizer *tokenizer = NULL;
    cw_fault fault = {""};
    cw_status status = cw_tokenizer_open(damaged, length, &tokenizer, &fault);
    if (status == CW_OK) {
      CHECK(sealed || same);
      check_random_texts(tokenizer, 20);
      cw_tokenizer_close(tokenizer);
      accepted += !same;
    } else {
      CHECK(tokenizer == NULL && fault.text[0] != 0);
      CHECK(status == CW_E_FORMAT || status == CW_E_CHECKSUM || status == CW_E_VERSION);
    }
    free(damaged);
  }
  CHECK(accepted > 0); /* some changed merges are merges too: else nothing behind the checksum was tried */
}

/* A section of the given merges does not open. */
static void check_refused(const uint32_t (*merges)[2], uint32_t count) {
  static struct reference reference;
  size_t size;
  cw_tokenizer *tokenizer = NULL;
  memcpy(reference.merges, merges, count * sizeof *merges);
  reference.merge_count = count;
  uint8_t *section = write_section(&reference, &size);
  CHECK(cw_tokenizer_open(section, size, &tokenizer, NULL) == CW_E_FORMAT && tokenizer == NULL);
  free(section);
}

/* Merges that training cannot have written, behind a right checksum. */
static void test_impossible_merges(void) {
  enum { A = SPECIALS + 'a', B, C, M = FIRST_MERGE };
  check_refused((const uint32_t[][2]){{M, A}}, 1);                        /* of itself */
  check_refused((const uint32_t[][2]){{A, M}}, 1);                        /* of itself */
  check_refused((const uint32_t[][2]){{A, B}, {M + 2, C}, {A, C}}, 3);    /* of a later one */
  check_refused((const uint32_t[][2]){{A, SPECIALS - 1}}, 1);             /* of a special token */
  check_refused((const uint32_t[][2]){{SPECIALS - 1, A}}, 1);
  check_refused((const uint32_t[][2]){{A, B}, {A, B}}, 2);                /* twice */
  check_refused((const uint32_t[][2]){{A, B}, {B, C}, {A, M + 1}}, 3);    /* never produced: ab c comes first */
  check_refused((const uint32_t[][2]){{A, A}, {A, M}}, 2);                /* never produced: aa a comes first */
  check_refused((const uint32_t[][2]){{A, B}, {M, C}, {B, C}, {A, M + 2}}, 4); /* the bytes of another token */
  uint32_t doubled[9][2] = {{A, A}};
  for (uint32_t merge = 1; merge < 9; merge++) doubled[merge][0] = doubled[merge][1] = M + merge - 1;
  check_refused((const uint32_t(*)[2])doubled, 9); /* 512 bytes */
}

struct worker {
  const cw_tokenizer *tokenizer;
  const uint8_t *text;
  const int32_t *expected;
  size_t size, count;
  int failed;
};

static void *encode_often(void *argument) {
  struct worker *worker = argument;
  int32_t *ids = malloc(worker->size * sizeof *ids);
  size_t count;
  worker->failed = ids == NULL;
  for (int repeat = 0; !worker->failed && repeat < 50; repeat++) {
    worker->failed = cw_tokenizer_encode(worker->tokenizer, worker->text, worker->size, ids, worker->size, &count) != CW_OK ||
                     count != worker->count || memcmp(ids, worker->expected, count * sizeof *ids) != 0;
  }
  free(ids);
  return NULL;
}

static void test_threads(const cw_tokenizer *tokenizer) {
  enum { SIZE = 4000, THREADS = 4 };
  static uint8_t text[SIZE];
  static int32_t ids[SIZE];
  pthread_t threads[THREADS];
  struct worker workers[THREADS];
  size_t count;
  for (size_t at = 0; at < SIZE; at++) text[at] = (uint8_t)"abcd \n1="[random_below(8)];
  CHECK(cw_tokenizer_encode(tokenizer, text, SIZE, ids, SIZE, &count) == CW_OK);
  for (int index = 0; index < THREADS; index++) {
    workers[index] = (struct worker){tokenizer, text, ids, SIZE, count, 0};
    CHECK(pthread_create(&threads[index], NULL, encode_often, &workers[index]) == 0);
  }
  for (int index = 0; index < THREADS; index++) {
    CHECK(pthread_join(threads[index], NULL) == 0);
    CHECK(!workers[index].failed);
  }
}

/* Runs of few letters, whole pieces of a quarter megabyte: 16 times the text may take at most 64 times as long (quadratic: 256). */
static void test_long_runs(const cw_tokenizer *tokenizer) {
  enum { LONG = 1 << 18, SHORT = LONG / 16 };
  static const char *const patterns[] = {"a", "ab", "aab", "abcdbca", "\n", " ", "=", "\xff", " a", "\t "};
  uint8_t *text = malloc(LONG);
  int32_t *ids = malloc(LONG * sizeof *ids);
  CHECK(text != NULL && ids != NULL);
  for (size_t pattern = 0; pattern < sizeof patterns / sizeof *patterns; pattern++) {
    size_t period = strlen(patterns[pattern]), count;
    double took[2] = {1e9, 1e9};
    for (size_t at = 0; at < LONG; at++) text[at] = (uint8_t)patterns[pattern][at % period];
    for (int trial = 0; trial < 6; trial++) {
      double before = seconds();
      CHECK(cw_tokenizer_encode(tokenizer, text, trial % 2 ? LONG : SHORT, ids, LONG, &count) == CW_OK);
      double elapsed = seconds() - before;
      if (elapsed < took[trial % 2]) took[trial % 2] = elapsed;
    }
    CHECK(took[1] < 64 * took[0]);
    check_round_trip(tokenizer, text, LONG);
  }
  free(text);
  free(ids);
}

int main(void) {
  static struct reference reference;
  size_t size;
  test_starts();
  test_merging();
  invent(&reference, 4, MERGES_MAX, 40);
  CHECK(reference.merge_count > 100);
  uint8_t *section = write_section(&reference, &size);
  cw_tokenizer *tokenizer = open_section(section, size);
  test_interface(tokenizer);
  check_random_texts(tokenizer, 2000);
  test_texts(tokenizer, &reference, 1500);
  test_impossible_merges();
  test_damage(section, size);
  test_threads(tokenizer);
  test_long_runs(tokenizer);
  cw_tokenizer_close(tokenizer);
  cw_tokenizer_close(NULL);
  free(section);
  return 0;
}
