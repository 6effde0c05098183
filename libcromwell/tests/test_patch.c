/* test_patch.c: a patch mutated in every way is read or refused, its hunks are placed or not, and nothing is read or written beyond.
 *
 *     cmake -S . -B build/sanitized -DCROMWELL_TESTS=ON -DCROMWELL_SANITIZE=ON && cmake --build build/sanitized --target test_patch
 *     build/sanitized/test_patch [ROUNDS] [SEED]
 *
 * Without arguments 4,000 rounds, as in the test suite; `test_patch 100000` is the whole of it. Each text is a block of its own size, so that
 * a read beyond it shows, and what is made of a text must go back to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cromwell.h"

static uint64_t random_state = 88172645463325252u;
static uint32_t random_below(uint32_t bound) { /* xorshift64 */
  random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 33) % bound;
}

static int failures;

#define CHECK(condition, ...)                                \
  do {                                                       \
    if (!(condition)) {                                      \
      printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); \
      printf(__VA_ARGS__);                                   \
      printf("\n");                                          \
      failures++;                                            \
    }                                                        \
  } while (0)

static const char *const SAMPLES[] = {
    "diff --git a/f b/f\nindex 1234567..89abcde 100644\n--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@ heading\n one\n-two\n+TWO\n three\n"
    "@@ -5,2 +5,3 @@\n five\n six\n+seven\n",
    "Index: f\n=====\n--- f\t(revision 1)\n+++ f\t(working copy)\n@@ -2 +2,2 @@\n-two\n+2\n+two\n-- \n2.39\n",
    "--- a/f\r\n+++ b/f\r\n@@ -1,2 +1,2 @@\r\n-one\r\n+ONE\r\n two\r\n",
    "diff --git \"a/\\303\\251\" \"b/\\303\\251\"\nsimilarity index 90%\nrename from \"\\303\\251\"\nrename to e\n--- \"a/\\303\\251\"\n+++ b/e\n"
    "@@ -6 +6 @@\n-six\n\\ No newline at end of file\n+6\n\\ No newline at end of file\n",
    "diff --git a/new b/new\nnew file mode 100755\nindex 0000000..1111111\n--- /dev/null\n+++ b/new\n@@ -0,0 +1,2 @@\n+a\n+b\n",
    "diff --git a/old b/old\ndeleted file mode 100644\nindex 1111111..0000000\n--- a/old\n+++ /dev/null\n@@ -1,6 +0,0 @@\n-one\n-two\n-three\n-four\n"
    "-five\n-six\n",
    "diff --git a/x y b/x y\nold mode 100644\nnew mode 100755\ndiff --git a/c b/c\ncopy from c\ncopy to d\n",
    "diff --git a/bin b/bin\nindex 0123456789012345678901234567890123456789..1123456789012345678901234567890123456789\nGIT binary patch\n"
    "literal 3\nKcmYdfNCE%>hycU@\n\nliteral 0\nHcmV?d00001\n\n",
    "--- a/g\t1970-01-01 00:00:00\n+++ b/g\n@@ -0,0 +1 @@\n+\n--- b\n+++ b\n@@ -1,4 +1,4 @@\n one\n\n-three\n+3\n four\n",
};
static const char *const PIECES[] = {
    "@@ -1,3 +1,3 @@\n", "@@ -0,0 +1 @@\n", "@@ -999999999,999999999 +1 @@\n", "@@ -1 +1,999999999 @@\n", "diff --git a/f b/f\n", "--- /dev/null\n",
    "+++ b/f\n", "\"", "\\", "\\3", "rename from f\n", "copy to g\n", "new file mode 100644\n", "index 1234567..89abcde 100644\n",
    "GIT binary patch\n", "literal 5\n", "delta 9999999999\n", "\\ No newline at end of file\n", "\\ \r\n", "-\n", "+\n", " \n", "\r\n", "\n",
    "@@@ -1 ", "***************\n", "/", " ",
};
static const char *const TEXTS[] = {"one\ntwo\nthree\nfour\nfive\nsix\n", "one\r\ntwo\r\n", "one\ntwo\nthree\nfour\nfive\nsix",
                                    "one\n\nthree\nfour\n", "", "\n", "one"};

enum { MOST_BYTES = 1 << 14 };
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Puts `piece` into text[at], within MOST_BYTES; the new size. */
static size_t insert(char *text, size_t size, size_t at, const char *piece, size_t piece_size) {
  if (size + piece_size > MOST_BYTES) return size;
  memmove(text + at + piece_size, text + at, size - at);
  memcpy(text + at, piece, piece_size);
  return size + piece_size;
}

static size_t take_out(char *text, size_t size, size_t at, size_t count) {
  if (count > size - at) count = size - at;
  memmove(text + at, text + at + count, size - at - count);
  return size - count;
}

static size_t mutate(char *text, size_t size) {
  size_t at = random_below((uint32_t)size + 1);
  const char *piece;
  char kept[64];
  size_t from, count;
  switch (random_below(8)) {
    case 0:
      if (at < size) text[at] = (char)random_below(256);
      return size;
    case 1: return take_out(text, size, at, 1 + random_below(20));
    case 2: return at;
    case 3: /* another digit */
      while (at < size && (text[at] < '0' || text[at] > '9')) at++;
      if (at < size) text[at] = (char)('0' + random_below(10));
      return size;
    case 4: /* a line out */
      while (at > 0 && text[at - 1] != '\n') at--;
      for (count = 1; at + count < size && text[at + count - 1] != '\n';) count++;
      return take_out(text, size, at, count);
    case 5: /* some bytes again elsewhere */
      from = random_below((uint32_t)size + 1);
      count = size - from < sizeof kept ? size - from : sizeof kept;
      memcpy(kept, text + from, count);
      return insert(text, size, at, kept, count);
    case 6:
      piece = SAMPLES[random_below(COUNT(SAMPLES))];
      return insert(text, size, at, piece, strlen(piece));
    default:
      piece = PIECES[random_below(COUNT(PIECES))];
      return insert(text, size, at, piece, strlen(piece));
  }
}

/* ---- What is known of a patch must hang together ---- */

static void check_string(cw_patch_string string, size_t bytes) {
  CHECK(string.size == CW_PATCH_ABSENT || (uint64_t)string.at + string.size <= bytes, "a string beyond the strings: %u, %u", string.at, string.size);
}

static void check_tables(const cw_patch *patch, size_t size) {
  const cw_patch_file *files;
  const cw_patch_hunk *hunks;
  const cw_patch_block *blocks;
  const uint8_t *strings;
  size_t file_count = cw_patch_files(patch, &files), hunk_count = cw_patch_hunks(patch, &hunks), block_count = cw_patch_blocks(patch, &blocks);
  size_t bytes = cw_patch_strings(patch, &strings), hunk = 0, block = 0;
  for (size_t i = 0; i < file_count; i++) {
    const cw_patch_file *f = &files[i];
    const cw_patch_string all[] = {f->old_name, f->new_name, f->header_old, f->header_new, f->old_mode, f->new_mode, f->old_blob, f->new_blob};
    for (size_t k = 0; k < COUNT(all); k++) check_string(all[k], bytes);
    CHECK(f->first_hunk == hunk || f->hunk_count == 0, "hunks of file %zu", i);
    CHECK(f->first_block == block, "blocks of file %zu", i);
    hunk += f->hunk_count, block += f->block_count;
  }
  CHECK(hunk == hunk_count && block == block_count, "%zu of %zu hunks, %zu of %zu blocks", hunk, hunk_count, block, block_count);
  for (size_t i = 0; i < hunk_count; i++) {
    const cw_patch_hunk *h = &hunks[i];
    CHECK((uint64_t)h->body_at + h->body_size <= size, "the body of hunk %zu", i);
    CHECK(h->leading + h->trailing < h->lines && h->lines <= h->old_count + h->new_count, "the lines of hunk %zu", i);
    CHECK((uint64_t)h->old_bytes + h->new_bytes <= 2 * (uint64_t)size, "the bytes of hunk %zu", i);
  }
  for (size_t i = 0; i < block_count; i++) check_string(blocks[i].deflated, bytes);
}

/* ---- Placing ---- */

/* A copy in a block of its own size, so that a read beyond it shows. */
static uint8_t *own(const void *bytes, size_t size) {
  uint8_t *block = malloc(size ? size : 1);
  if (!block) exit(1);
  memcpy(block, bytes, size);
  return block;
}

/* Whether the hunks of a file state where their lines come to be once those before them are in place. */
static int is_consistent(const cw_patch *patch, const cw_patch_file *file) {
  const cw_patch_hunk *hunks;
  int64_t shift = 0;
  cw_patch_hunks(patch, &hunks);
  for (uint32_t i = file->first_hunk; i < file->first_hunk + file->hunk_count; i++) {
    const cw_patch_hunk *h = &hunks[i];
    if ((int64_t)h->new_start - (h->new_count > 0) != (int64_t)h->old_start - (h->old_count > 0) + shift) return 0;
    shift += (int64_t)h->new_count - h->old_count;
  }
  return 1;
}

/* Fits every file of the patch to a text in every way; what comes out goes in again, the other way round, and gives the text. (A line after
 * one without newline goes on with it, and does not come out again.) */
static size_t fit(cw_patch *patch, int has_unfinished, const uint8_t *text, size_t size) {
  const cw_patch_file *files;
  size_t count = cw_patch_files(patch, &files), fitting = 0;
  for (uint32_t file = 0; file < count; file++) {
    int goes_back = is_consistent(patch, &files[file]) && !has_unfinished && (size == 0 || text[size - 1] == '\n');
    for (uint32_t how = 0; how < 8; how++) {
      const uint8_t *made = NULL;
      size_t made_size = 0;
      int32_t fits = -1;
      CHECK(cw_patch_fit(patch, file, how, text, size, &fits, &made, &made_size) == CW_OK, "file %u", file);
      if (fits != 1) {
        CHECK(fits == 0 && made == NULL, "fits is %d", fits);
        continue;
      }
      fitting++;
      uint8_t *there = own(made, made_size);
      CHECK(cw_patch_fit(patch, file, (how ^ CW_FIT_REVERSED) | CW_FIT_VERSION, there, made_size, &fits, &made, &made_size) == CW_OK, "back");
      CHECK(!goes_back || fits == 1, "file %u, how %u: does not go back", file, how);
      CHECK(!goes_back || (made_size == size && memcmp(made, text, size) == 0), "file %u, how %u: another text comes back", file, how);
      free(there);
    }
  }
  return fitting;
}

/* Which of reading, refusing and fitting it came to: counts[0..2]. */
static void try_patch(const char *bytes, size_t size, size_t counts[3]) {
  uint8_t *text = own(bytes, size);
  cw_patch *patch = NULL;
  cw_patch_fault fault = {CW_PATCH_SOUND, 0, 0};
  cw_status status = cw_patch_open(text, size, &patch, &fault);
  if (status == CW_OK) {
    int has_unfinished = memmem(bytes, size, "\n\\ ", 3) != NULL;
    check_tables(patch, size);
    counts[0]++;
    for (size_t i = 0; i < COUNT(TEXTS); i++) {
      uint8_t *there = own(TEXTS[i], strlen(TEXTS[i]));
      counts[2] += fit(patch, has_unfinished, there, strlen(TEXTS[i]));
      free(there);
    }
    cw_patch_close(patch);
  } else {
    CHECK(status == CW_E_FORMAT && patch == NULL, "status %d", (int)status);
    CHECK(fault.kind > CW_PATCH_SOUND && fault.kind <= CW_PATCH_HUNK_LONG && fault.line <= size, "fault %d of line %u", (int)fault.kind, fault.line);
    CHECK(cw_patch_open(text, size, &patch, NULL) == status && patch == NULL, "without a fault");
    counts[1]++;
  }
  free(text);
}

/* ---- Sizes and arguments ---- */

/* `piece` over and over, between a head and a tail: reading takes time in proportion, or it takes minutes. */
static void try_long(const char *head, const char *piece, const char *tail) {
  enum { LONG_BYTES = 1 << 22 };
  size_t piece_size = strlen(piece), size = strlen(head);
  char *text = malloc(LONG_BYTES + strlen(head) + strlen(tail) + piece_size);
  if (!text) exit(1);
  memcpy(text, head, size);
  for (; size < LONG_BYTES; size += piece_size) memcpy(text + size, piece, piece_size);
  memcpy(text + size, tail, strlen(tail));
  size += strlen(tail);
  clock_t start = clock();
  cw_patch *patch = NULL;
  if (cw_patch_open((const uint8_t *)text, size, &patch, NULL) == CW_OK) {
    check_tables(patch, size);
    cw_patch_close(patch);
  }
  double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
  CHECK(seconds < 5, "%s%s...: %.1f s", head, piece, seconds);
  free(text);
}

static void test_long(void) {
  try_long("", "--- a\n", "");
  try_long("", "\n", "");
  try_long("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n", "\n", "+z\n");
  try_long("diff --git ", "a ", "\nold mode 100644\nnew mode 100755\n");
  try_long("diff --git a/", " /", "\nold mode 100644\nnew mode 100755\n");
  try_long("--- \"", "\\a", "\"\n+++ b\n@@ -1 +1 @@\n-x\n+y\n");
  try_long("Files ", " and", "\n");
  try_long("--- a\n+++ b\n@@ -1,999999999 +1,999999999 @@\n", " a\n", "");
  try_long("GIT binary patch\nliteral 5\n", "AAAAAA\n", "");
  char *spaces = malloc((1 << 20) + 1); /* spaces, then as many slashes: every slash has its space */
  if (!spaces) exit(1);
  memset(spaces, ' ', 1 << 20);
  spaces[1 << 20] = '\0';
  char *head = malloc((1 << 20) + 64);
  if (!head) exit(1);
  sprintf(head, "diff --git a/%s", spaces);
  try_long(head, "/", "\nold mode 100644\nnew mode 100755\n");
  free(head), free(spaces);
}

static void test_arguments(void) {
  cw_patch *patch = NULL;
  const uint8_t *text = (const uint8_t *)SAMPLES[0], *made = NULL;
  int32_t fits;
  size_t size;
  CHECK(cw_patch_open(NULL, 1, &patch, NULL) == CW_E_ARGUMENT, "no text");
  CHECK(cw_patch_open(text, 1, NULL, NULL) == CW_E_ARGUMENT, "no place for the handle");
  CHECK(cw_patch_open(text, (size_t)CW_PATCH_BYTES_MAX + 1, &patch, NULL) == CW_E_CAPACITY, "a patch too large");
  CHECK(cw_patch_open(NULL, 0, &patch, NULL) == CW_OK && cw_patch_files(patch, &(const cw_patch_file *){NULL}) == 0, "no text of no bytes");
  cw_patch_close(patch);
  cw_patch_close(NULL);
  patch = NULL;
  CHECK(cw_patch_open(text, strlen(SAMPLES[0]), &patch, NULL) == CW_OK, "a sample");
  CHECK(cw_patch_fit(patch, 1, 0, text, 1, &fits, &made, &size) == CW_E_ARGUMENT, "a file that is not there");
  CHECK(cw_patch_fit(patch, 0, 8, text, 1, &fits, &made, &size) == CW_E_ARGUMENT, "an unknown way");
  CHECK(cw_patch_fit(patch, 0, 0, NULL, 1, &fits, &made, &size) == CW_E_ARGUMENT, "no text");
  cw_patch_close(patch);
}

int main(int argc, char **argv) {
  uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 4000;
  random_state += argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
  test_arguments();
  test_long();
  size_t counts[3] = {0, 0, 0};
  for (size_t i = 0; i < COUNT(SAMPLES); i++) {
    try_patch(SAMPLES[i], strlen(SAMPLES[i]), counts);
    CHECK(counts[0] == i + 1, "sample %zu is refused", i);
  }
  static char text[MOST_BYTES];
  for (uint32_t round = 0; round < rounds && failures < 10; round++) {
    const char *sample = SAMPLES[random_below(COUNT(SAMPLES))];
    size_t size = strlen(sample);
    memcpy(text, sample, size);
    for (uint32_t changes = 1 + random_below(8); changes > 0; changes--) size = mutate(text, size);
    try_patch(text, size, counts);
  }
  printf("%zu read, %zu refused, %zu fits\n", counts[0], counts[1], counts[2]);
  return failures ? 1 : 0;
}
