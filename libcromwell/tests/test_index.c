/* test_index.c: ignore files, git's index, tokens, definitions and postings: known answers, and mutated input without a wrong access. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cromwell.h"
#include "index/glob.h"
#include "index/postings.h"
#include "index/rules.h"
#include "index/tracked.h"

static int failures;

static void check(int holds, const char *what) {
  if (!holds) {
    failures++;
    printf("FAILED: %s\n", what);
  }
}

static uint64_t state = 88172645463325252u;

static uint32_t draw(uint32_t below) { /* xorshift64 */
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)((state >> 32) % below);
}

static int rule(const char *lines, const char *path, int is_folder) {
  cw_rules *rules = NULL;
  const char *slash = strrchr(path, '/');
  check(cw_rules_parse((const uint8_t *)lines, strlen(lines), &rules) == CW_OK, lines);
  int verdict = rules == NULL ? 0 : cw_rules_match(rules, path, strlen(path), slash != NULL ? (size_t)(slash + 1 - path) : 0, is_folder);
  cw_rules_free(rules);
  return verdict;
}

static void test_rules(void) {
  check(rule("*.o\n", "a/b.o", 0) == CW_RULES_IGNORE, "*.o");
  check(rule("*.o\n!keep.o\n", "keep.o", 0) == CW_RULES_KEEP, "!keep.o");
  check(rule("/a\n", "a", 0) == CW_RULES_IGNORE && rule("/a\n", "b/a", 0) == 0, "anchored");
  check(rule("a/\n", "a", 0) == 0 && rule("a/\n", "a", 1) == CW_RULES_IGNORE, "folders only");
  check(rule("a/**/b\n", "a/b", 0) == CW_RULES_IGNORE && rule("a/**/b\n", "a/x/y/b", 0) == CW_RULES_IGNORE, "**/ in the middle");
  check(rule("a/**\n", "a", 1) == 0 && rule("a/**\n", "a/x/y", 0) == CW_RULES_IGNORE, "** at the end");
  check(rule("a/*\n", "a/x/y", 0) == 0 && rule("a/*\n", "a/x", 0) == CW_RULES_IGNORE, "* and slashes");
  check(rule("[a-c]?[!x]\n", "bqz", 0) == CW_RULES_IGNORE && rule("[a-c]?[!x]\n", "bqx", 0) == 0, "classes");
  check(rule("[]-]\n", "-", 0) == CW_RULES_IGNORE && rule("[[:digit:]_]\n", "7", 0) == CW_RULES_IGNORE, "odd classes");
  check(rule("a\\ \n", "a ", 0) == CW_RULES_IGNORE && rule("a  \n", "a", 0) == CW_RULES_IGNORE, "blanks at the end");
  check(rule("\\#a\n\\!b\n", "#a", 0) == CW_RULES_IGNORE && rule("\\!b\n", "!b", 0) == CW_RULES_IGNORE, "escaped marks");
  check(rule("#a\n\na[\nb\\\n", "a[", 0) == 0 && rule("a\r\n", "a", 0) == CW_RULES_IGNORE, "no patterns");
}

/* A version 2 index of two files and a submodule. */
static size_t make_index(uint8_t *out, const char *const *names, const uint32_t *modes, uint32_t count) {
  size_t size = 12;
  memset(out, 0, 4096);
  memcpy(out, "DIRC\0\0\0\2", 8);
  out[11] = (uint8_t)count;
  for (uint32_t i = 0; i < count; i++) {
    size_t name = strlen(names[i]);
    for (int k = 0; k < 4; k++) out[size + 24 + (size_t)k] = (uint8_t)(modes[i] >> (24 - 8 * k));
    out[size + 61] = (uint8_t)name;
    memcpy(out + size + 62, names[i], name);
    size += (62 + name + 8) & ~(size_t)7;
  }
  return size + 20;
}

static void test_tracked(void) {
  static uint8_t bytes[4096], mutated[4096];
  const char *const names[] = {"a/b/c.py", "a/sub", "z"};
  const uint32_t modes[] = {0100644, 0160000, 0120000};
  size_t size = make_index(bytes, names, modes, 3);
  cw_tracked *tracked = NULL;
  check(cw_tracked_parse(bytes, size, 20, &tracked) == CW_OK, "an index is read");
  check(cw_tracked_find(tracked, "a/b/c.py", 8) == CW_TRACKED_FILE && cw_tracked_find(tracked, "a/b", 3) == CW_TRACKED_BELOW, "a file and its folder");
  check(cw_tracked_find(tracked, "a/sub", 5) == CW_TRACKED_SUBMODULE && cw_tracked_find(tracked, "b", 1) == 0, "a submodule, and nothing");
  cw_tracked_free(tracked);
  for (int round = 0; round < 20000; round++) {
    size_t cut = draw(4) == 0 ? draw((uint32_t)size) : size;
    memcpy(mutated, bytes, size);
    for (uint32_t changes = 1 + draw(4); changes > 0; changes--) mutated[draw((uint32_t)size)] = (uint8_t)draw(256);
    uint8_t *exact = malloc(cut + 1); /* of the exact size, so that reading beyond it shows */
    memcpy(exact, mutated, cut);
    tracked = NULL;
    if (cw_tracked_parse(exact, cut, 20, &tracked) == CW_OK) cw_tracked_free(tracked);
    free(exact);
  }
}

static const char *const samples[] = {
    "@d(1)\nclass A(B):\n  \"\"\"doc\n  \"\"\"\n  async def f(self, x=[1,\n   2]): return r'\\'\n# c\nfrom .x import (y as z,\n w)\nX: int = 1\n",
    "export default class A<T> extends B { async *m<T>(a = {}): Promise<{x: 1}> { return `a${b(`c${d}`)}e` } get [k]() { return /[/]\\/x/g } }\n"
    "const f = async ({a}) => <div a='b'>{x} it's <b/></div>;\nimport x from './y'\nvar g = function () {}();\n",
    "#include \"a.h\"\n#define X(a) \\\n  a\n#if A\nint f(a) int a; {\n#else\nint f(int b) {\n#endif\n return '\\''; }\n"
    "template <class T, int N = 3> struct S final : B<T> { ~S() = default; int operator()(int) const noexcept; };\n"
    "auto N::f() -> int { return R\"x(\")x\"[0]; }\ntypedef struct { int a; } t;\nenum class E { A };\n",
    "package a\nimport (\n \"x/y\"\n z \"w\"\n)\ntype T[K any] struct { a interface{ f() } }\nfunc (t *T[K]) M(a func(int) error) (int, error) { return `x`, nil }\nconst (\n A = 1\n)\n",
    "use a::{b, c::{d as e}};\nmod m;\n#[x]\npub(crate) async unsafe fn f<'a>(x: &'a str) -> Vec<u8> where T: A { r#\"\"}\"#; 'c' }\n"
    "impl<T> X for Vec<T> { fn g() {} }\ntrait Q { fn h(); }\nmacro_rules! m { () => {} }\n/* /* */ */\n",
    "import static a.B.*;\n@X(y = {1}) public class A<T> { A() throws E { new B<>(1) { void m() {} }; } abstract Map<K, V> f(); enum E { P(1) { int x() { return 1; } } } }\n",
    "def f\n  class A\n  end\nend\nfun g() {\n}\n",
};
static const char *const suffixes[] = {"a.py", "a.ts", "a.tsx", "a.js", "a.c", "a.cpp", "a.go", "a.rs", "a.java", "a.rb", "a.cs", "a.md", "a.php", "a"};

static void test_lexing(void) {
  static const char pieces[] = "{}()[]<>'\"`$/\\#@;:,.=*\n\t abf01_\r-+!?&|";
  static uint8_t out[1 << 16];
  for (int round = 0; round < 30000; round++) {
    const char *sample = samples[draw(sizeof samples / sizeof *samples)];
    size_t size = strlen(sample), from = draw((uint32_t)size), kept = size - from, made;
    uint8_t *text = malloc(kept + 1);
    memcpy(text, sample + from, kept);
    for (uint32_t changes = draw(12); changes > 0 && kept > 0; changes--) text[draw((uint32_t)kept)] = (uint8_t)pieces[draw(sizeof pieces - 1)];
    if (draw(4) == 0) kept = draw((uint32_t)kept + 1);
    check(cw_survey_names(text, kept, suffixes[draw(sizeof suffixes / sizeof *suffixes)], out, sizeof out, &made) == CW_OK, "any text is read");
    free(text);
  }
}

static void test_postings(void) {
  cw_posting_list list = {0};
  cw_postings *postings;
  for (uint32_t i = 0; i < 5000; i++) cw_posting_add(&list, (uint64_t)(i % 97) * 0x9e3779b97f4a7c15u, i / 7, 1 + i % 300);
  check(cw_postings_write(&list, 1, &postings) == CW_OK, "postings are written");
  const uint64_t *firsts;
  const size_t *ends;
  const uint8_t *bytes;
  size_t blocks = cw_postings_blocks(postings, &firsts, &ends, &bytes), found = 0, count;
  static int32_t files[1000], numbers[1000];
  static uint32_t counts[1000];
  for (int32_t i = 0; i < 1000; i++) files[i] = i;
  for (size_t block = 0; block < blocks; block++) {
    size_t start = block > 0 ? ends[block - 1] : 0, size = ends[block] - start;
    for (uint64_t word = 0; word < 97; word++) {
      check(cw_postings_find(bytes + start, size, word * 0x9e3779b97f4a7c15u, files, 1000, numbers, counts, 1000, &count) == CW_OK, "found");
      for (size_t i = 0; i < count; i++) found += counts[i];
    }
    for (int round = 0; round < 3000; round++) { /* damaged behind a checksum that fits */
      uint8_t *copy = malloc(size);
      memcpy(copy, bytes + start, size);
      for (uint32_t changes = 1 + draw(6); changes > 0; changes--) copy[8 + draw((uint32_t)size - 8)] = (uint8_t)draw(256);
      uint64_t sum = cw_checksum64(copy + 8, size - 8);
      memcpy(copy, &sum, 8);
      cw_postings_find(copy, size, (uint64_t)draw(97) * 0x9e3779b97f4a7c15u, files, 1000, numbers, counts, 1000, &count);
      free(copy);
    }
  }
  size_t wanted = 0;
  for (uint32_t i = 0; i < 5000; i++) wanted += 1 + i % 300;
  check(found == wanted, "every count comes back");
  uint8_t torn[64] = {1};
  check(cw_postings_find(torn, sizeof torn, 1, files, 1000, numbers, counts, 1000, &count) == CW_E_CHECKSUM, "a torn block is told");
  cw_postings_close(postings);
  free(list.all);
}

int main(void) {
  test_rules();
  test_tracked();
  test_lexing();
  test_postings();
  if (failures == 0) printf("index: all well\n");
  return failures != 0;
}
