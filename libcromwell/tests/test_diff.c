/* test_diff.c: for every algorithm, changes are in order, do not touch, and rebuild the new text; minimal is minimal; no input is slow. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cromwell.h"

static int failures;

#define CHECK(condition, ...)                                        \
  do {                                                               \
    if (!(condition)) {                                              \
      printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);         \
      printf(__VA_ARGS__);                                           \
      printf("\n");                                                  \
      failures++;                                                    \
      return;                                                        \
    }                                                                \
  } while (0)

static uint64_t random_state = 88172645463325252u;
static uint32_t random_below(uint32_t bound) { /* xorshift64 */
  random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 33) % bound;
}

/* Where line `line` of a text starts, walking from (*at, *number). */
static size_t line_start(const uint8_t *text, size_t size, uint32_t line, size_t *at, uint32_t *number) {
  while (*number < line && *at < size) {
    const uint8_t *end = memchr(text + *at, '\n', size - *at);
    *at = end ? (size_t)(end - text) + 1 : size;
    ++*number;
  }
  return *number == line ? *at : SIZE_MAX;
}

/* Returns changed lines, both sides together. */
static void check_diff(const char *name, cw_diff_algorithm algorithm, const uint8_t *old_text, size_t old_size, const uint8_t *new_text, size_t new_size, uint64_t *changed) {
  cw_diff *diff = NULL;
  cw_fault fault;
  CHECK(cw_diff_open(old_text, old_size, new_text, new_size, algorithm, &diff, &fault) == CW_OK, "%s: %s", name, fault.text);
  const cw_diff_change *changes;
  size_t count = cw_diff_changes(diff, &changes);
  uint8_t *built = malloc(old_size + new_size + 1);
  size_t built_size = 0, old_at = 0, old_copied = 0, new_at = 0;
  uint32_t old_number = 0, new_number = 0;
  if (changed) *changed = 0;
  for (size_t i = 0; i < count; i++) {
    const cw_diff_change *c = &changes[i];
    CHECK(c->old_count + c->new_count > 0, "%s: change %zu is empty", name, i);
    if (i > 0) {
      CHECK(c->old_first > changes[i - 1].old_first + changes[i - 1].old_count, "%s: change %zu touches the one before", name, i);
      CHECK(c->old_first - changes[i - 1].old_first - changes[i - 1].old_count ==
                c->new_first - changes[i - 1].new_first - changes[i - 1].new_count, "%s: gap before change %zu", name, i);
    } else {
      CHECK(c->old_first == c->new_first, "%s: first change", name);
    }
    size_t old_from = line_start(old_text, old_size, c->old_first, &old_at, &old_number);
    size_t old_to = line_start(old_text, old_size, c->old_first + c->old_count, &old_at, &old_number);
    size_t new_from = line_start(new_text, new_size, c->new_first, &new_at, &new_number);
    size_t new_to = line_start(new_text, new_size, c->new_first + c->new_count, &new_at, &new_number);
    CHECK(old_from != SIZE_MAX && old_to != SIZE_MAX && new_from != SIZE_MAX && new_to != SIZE_MAX, "%s: change %zu past the end", name, i);
    if (old_from > old_copied) memcpy(built + built_size, old_text + old_copied, old_from - old_copied);
    built_size += old_from - old_copied;
    if (new_to > new_from) memcpy(built + built_size, new_text + new_from, new_to - new_from);
    built_size += new_to - new_from;
    old_copied = old_to;
    if (changed) *changed += c->old_count + c->new_count;
  }
  if (old_size > old_copied) memcpy(built + built_size, old_text + old_copied, old_size - old_copied);
  built_size += old_size - old_copied;
  CHECK(built_size == new_size && (new_size == 0 || memcmp(built, new_text, new_size) == 0), "%s: does not rebuild the new text", name);
  free(built);
  cw_diff_close(diff);
}

/* Length of a shortest script for short texts whose lines are single letters: dynamic programming. */
static uint64_t shortest(const uint8_t *a, size_t n, const uint8_t *b, size_t m) {
  uint32_t table[64][64];
  for (size_t i = 0; i <= n; i++)
    for (size_t j = 0; j <= m; j++)
      table[i][j] = i == 0 || j == 0 ? 0 : a[2 * i - 2] == b[2 * j - 2] ? table[i - 1][j - 1] + 1
                    : table[i - 1][j] > table[i][j - 1] ? table[i - 1][j] : table[i][j - 1];
  return n + m - 2 * table[n][m];
}

static size_t random_letters(uint8_t *text, size_t lines, uint32_t letters) {
  for (size_t i = 0; i < lines; i++) text[2 * i] = (uint8_t)('a' + random_below(letters)), text[2 * i + 1] = '\n';
  return 2 * lines;
}

static void test_shortest(void) {
  uint8_t a[128], b[128];
  for (int round = 0; round < 20000; round++) {
    size_t n = random_below(40), m = random_below(40);
    uint32_t letters = 1 + random_below(round % 3 ? 6 : 60); /* of many letters, most are on one side only */
    random_letters(a, n, letters), random_letters(b, m, letters);
    uint64_t changed = 0;
    check_diff("letters", CW_DIFF_MINIMAL, a, 2 * n, b, 2 * m, &changed);
    CHECK(changed == shortest(a, n, b, m), "round %d: %llu lines changed", round, (unsigned long long)changed);
    check_diff("letters", (cw_diff_algorithm)(round % 4), a, 2 * n, b, 2 * m, &changed);
  }
}

static void test_bytes(void) {
  static const char alphabet[] = {'a', '\n', '\r', '\0', ' ', '\n', '\f', (char)0xff};
  uint8_t a[64], b[64];
  for (int round = 0; round < 20000; round++) {
    size_t n = random_below(sizeof a), m = random_below(sizeof b);
    for (size_t i = 0; i < n; i++) a[i] = (uint8_t)alphabet[random_below(sizeof alphabet)];
    for (size_t i = 0; i < m; i++) b[i] = (uint8_t)alphabet[random_below(sizeof alphabet)];
    if (round % 2 && n > 8) memcpy(b, a, m = n), b[random_below((uint32_t)m)] = '\n';
    check_diff("bytes", (cw_diff_algorithm)(round % 4), a, n, b, m, NULL);
  }
  check_diff("empty", CW_DIFF_HISTOGRAM, NULL, 0, NULL, 0, NULL);
  check_diff("to empty", CW_DIFF_HISTOGRAM, (const uint8_t *)"a", 1, NULL, 0, NULL);
  check_diff("from empty", CW_DIFF_HISTOGRAM, NULL, 0, (const uint8_t *)"\n", 1, NULL);
  check_diff("newline lost", CW_DIFF_HISTOGRAM, (const uint8_t *)"a\nb\n", 4, (const uint8_t *)"a\nb", 3, NULL);
}

/* Large inputs that make a plain search quadratic, in numbers i and j of the old and new text's line `at`. */
enum { HOSTILE_LINES = 40000, HOSTILE_KINDS = 11 };

static void hostile_line(uint32_t kind, uint32_t at, uint32_t *i, uint32_t *j) {
  uint32_t root = 1;
  while ((uint64_t)root * root < HOSTILE_LINES) root++;
  switch (kind) {
    case 0: *i = random_below(2), *j = random_below(2); break;
    case 1: *i = random_below(20), *j = random_below(20); break;
    case 2: *i = 0, *j = at % 2; break;                                         /* all equal, half of them */
    case 3: *i = at % 2, *j = at % 3; break;                                    /* periods */
    case 4: *i = at, *j = HOSTILE_LINES - 1 - at; break;                        /* reversed, all distinct */
    case 5: *i = at, *j = at % 2 ? at + HOSTILE_LINES : at; break;              /* every other line replaced */
    case 6: *i = at / 2, *j = at % 2 ? at + HOSTILE_LINES : at / 2; break;      /* the same with every line twice */
    case 7: *i = at % 60 ? at % 60 : 100 + at, *j = at % 61 ? at % 61 : 100 + at; break;
    case 8: *i = at, *j = at / root * root + root - 1 - at % root; break;       /* reversed in blocks */
    case 9: *i = at, *j = (at % root) * root + at / root; break;                /* transposed */
    default: *i = at / 63, *j = at % (HOSTILE_LINES / 63); break;               /* each line 63 times, grouped and not */
  }
}

static void test_hostile(void) {
  uint8_t *texts[2];
  for (int side = 0; side < 2; side++) texts[side] = malloc(8 * HOSTILE_LINES);
  for (uint32_t kind = 0; kind < HOSTILE_KINDS; kind++) {
    size_t sizes[2] = {0, 0};
    for (uint32_t at = 0; at < HOSTILE_LINES; at++) {
      uint32_t numbers[2];
      hostile_line(kind, at, &numbers[0], &numbers[1]);
      for (int side = 0; side < 2; side++) sizes[side] += (size_t)sprintf((char *)texts[side] + sizes[side], "%x\n", numbers[side]);
    }
    for (uint32_t algorithm = CW_DIFF_HISTOGRAM; algorithm < CW_DIFF_MINIMAL; algorithm++) {
      clock_t start = clock();
      uint64_t changed = 0;
      check_diff("hostile", (cw_diff_algorithm)algorithm, texts[0], sizes[0], texts[1], sizes[1], &changed);
      double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
      printf("hostile %u, algorithm %u: %.3f s, %llu lines changed\n", kind, algorithm, seconds, (unsigned long long)changed);
      CHECK(seconds < 10, "kind %u took %.1f s", kind, seconds); /* generous for sanitizers; quadratic work is 1.6e9 steps */
    }
  }
  free(texts[0]), free(texts[1]);
}

static void test_arguments(void) {
  cw_diff *diff = NULL;
  cw_fault fault = {{0}};
  CHECK(cw_diff_open(NULL, 1, NULL, 0, CW_DIFF_MYERS, &diff, &fault) == CW_E_ARGUMENT && diff == NULL, "NULL text");
  CHECK(cw_diff_open(NULL, 0, NULL, 0, CW_DIFF_MYERS, NULL, &fault) == CW_E_ARGUMENT, "NULL out");
  CHECK(cw_diff_open(NULL, 0, NULL, 0, (cw_diff_algorithm)4, &diff, &fault) == CW_E_ARGUMENT && diff == NULL, "unknown algorithm");
  cw_diff_close(NULL);
}

/* The names git hash-object gives; contents that end at every place of a block, beside others of other lengths, agree with themselves alone. */
static void test_names(void) {
  static uint8_t text[300];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)(i * 7);
  const uint8_t *texts[CW_BLOB_NAMES_MAX] = {NULL, (const uint8_t *)"hello\n", (const uint8_t *)"what is up, doc?", text};
  size_t sizes[CW_BLOB_NAMES_MAX] = {0, 6, 16, 0};
  char names[CW_BLOB_NAMES_MAX][CW_BLOB_NAME_DIGITS + 1], alone[CW_BLOB_NAME_DIGITS + 1];
  for (size_t size = 0; size <= sizeof text; size++) {
    sizes[3] = size;
    CHECK(cw_blob_names(texts, sizes, CW_BLOB_NAMES_MAX, names[0]) == CW_OK, "names");
    CHECK(strcmp(names[0], "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391") == 0, "empty: %s", names[0]);
    CHECK(strcmp(names[1], "ce013625030ba8dba906f756967f9e9ca394464a") == 0, "hello: %s", names[1]);
    CHECK(strcmp(names[2], "bd9dbf5aae1a3862dd1526723246b20206e5fc37") == 0, "doc: %s", names[2]);
    CHECK(cw_blob_names(&texts[3], &size, 1, alone) == CW_OK && strcmp(names[3], alone) == 0, "size %zu: %s", size, alone);
  }
  CHECK(cw_blob_names(texts, sizes, 5, names[0]) == CW_E_ARGUMENT && cw_blob_names(NULL, sizes, 1, alone) == CW_E_ARGUMENT, "arguments");
}

int main(void) {
  test_names();
  test_shortest();
  test_bytes();
  test_hostile();
  test_arguments();
  return failures != 0;
}
