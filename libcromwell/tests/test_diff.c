/* test_diff.c: changes are in order, do not touch, hold no equal ends, and rebuild the new text; no input is slow. */
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
static void check_diff(const char *name, const uint8_t *old_text, size_t old_size, const uint8_t *new_text, size_t new_size, uint64_t *changed) {
  cw_diff *diff = NULL;
  cw_fault fault;
  CHECK(cw_diff_open(old_text, old_size, new_text, new_size, &diff, &fault) == CW_OK, "%s: %s", name, fault.text);
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
    uint32_t letters = 1 + random_below(6);
    random_letters(a, n, letters), random_letters(b, m, letters);
    uint64_t changed = 0;
    check_diff("letters", a, 2 * n, b, 2 * m, &changed);
    CHECK(changed == shortest(a, n, b, m), "round %d: %llu lines changed", round, (unsigned long long)changed);
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
    check_diff("bytes", a, n, b, m, NULL);
  }
  check_diff("empty", NULL, 0, NULL, 0, NULL);
  check_diff("to empty", (const uint8_t *)"a", 1, NULL, 0, NULL);
  check_diff("from empty", NULL, 0, (const uint8_t *)"\n", 1, NULL);
  check_diff("newline lost", (const uint8_t *)"a\nb\n", 4, (const uint8_t *)"a\nb", 3, NULL);
}

/* Large inputs that make a plain O(ND) search quadratic; seconds of CPU allowed for each, generous for sanitizers. */
static void test_hostile(void) {
  enum { LINES = 40000 };
  uint8_t *a = malloc(2 * LINES + 8), *b = malloc(2 * LINES + 8);
  for (uint32_t kind = 0; kind < 5; kind++) {
    size_t n = LINES, m = LINES;
    random_letters(a, n, 2), random_letters(b, m, kind == 0 ? 2 : 1);
    if (kind == 1) random_letters(a, n, 1), m = LINES / 2;                           /* all equal, half as many */
    if (kind == 2) for (size_t i = 0; i < n; i++) a[2 * i] = (uint8_t)('a' + i % 2), b[2 * i] = (uint8_t)('a' + i % 3); /* periods */
    if (kind == 3) for (size_t i = 0; i < n; i++) a[2 * i] = (uint8_t)(i % 200 + 32), b[2 * (n - 1 - i)] = a[2 * i];   /* reversed */
    if (kind == 4) random_letters(a, n, 20), random_letters(b, m, 20);
    for (size_t i = 0; i < n; i++) a[2 * i + 1] = b[2 * i + 1] = '\n';
    clock_t start = clock();
    check_diff("hostile", a, 2 * n, b, 2 * m, NULL);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("hostile %u: %.3f s\n", kind, seconds);
    CHECK(seconds < 10, "kind %u took %.1f s", kind, seconds);
  }
  free(a), free(b);
}

static void test_arguments(void) {
  cw_diff *diff = NULL;
  cw_fault fault = {{0}};
  CHECK(cw_diff_open(NULL, 1, NULL, 0, &diff, &fault) == CW_E_ARGUMENT && diff == NULL, "NULL text");
  CHECK(cw_diff_open(NULL, 0, NULL, 0, NULL, &fault) == CW_E_ARGUMENT, "NULL out");
  cw_diff_close(NULL);
}

int main(void) {
  test_shortest();
  test_bytes();
  test_hostile();
  test_arguments();
  return failures != 0;
}
