/* glob.c: wildcards of ignore files: ? * ** [class] and backslashes.
 *
 * Only two places to come back to are ever needed: the last "*", which cannot reach over a slash, and the last "**", which can swallow
 * whatever an earlier one could have. So matching takes no recursion, and no pattern makes it exponential. */
#include "index/glob.h"

#include <ctype.h>
#include <string.h>

enum {
  END,
  BYTE,
  ANY,        /* ?: any byte but a slash */
  CLASS,      /* [...] */
  STAR,       /* any bytes but slashes */
  DEEP,       /* ** at the end: any bytes */
  DEEP_SLASH, /* **\/: nothing, or any bytes up to and including a slash */
};

static void add(uint8_t *set, uint8_t byte) { set[byte / 8] |= (uint8_t)(1u << byte % 8); }

static int has(const uint8_t *set, uint8_t byte) { return set[byte / 8] >> byte % 8 & 1; }

/* Adds the ASCII bytes of a class such as "alpha"; 0 when there is none of that name. */
static int add_named(uint8_t *set, const uint8_t *name, size_t size) {
  static const struct {
    const char *name;
    int (*member)(int);
  } classes[] = {{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl}, {"digit", isdigit}, {"graph", isgraph},
                 {"lower", islower}, {"print", isprint}, {"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit}};
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
    if (strlen(classes[i].name) != size || memcmp(classes[i].name, name, size) != 0) continue;
    for (int byte = 0; byte < 0x80; byte++)
      if (classes[i].member(byte)) add(set, (uint8_t)byte);
    return 1;
  }
  return 0;
}

/* Reads the class that begins after the bracket before pattern[at]; returns where it ends (after its bracket), 0 when it never does. */
static size_t read_class(const uint8_t *pattern, size_t size, size_t at, uint8_t *set) {
  int negated = at < size && (pattern[at] == '!' || pattern[at] == '^');
  size_t first = at += (size_t)negated;
  int before = -1; /* the byte that a range may start from */
  memset(set, 0, 32);
  for (; at < size && (pattern[at] != ']' || at == first); at++) {
    uint8_t byte = pattern[at];
    if (byte == '\\') {
      if (++at == size) return 0;
      add(set, pattern[at]);
      before = pattern[at];
    } else if (byte == '-' && before >= 0 && at + 1 < size && pattern[at + 1] != ']') {
      if (pattern[++at] == '\\' && ++at == size) return 0;
      for (int member = before; member <= pattern[at]; member++) add(set, (uint8_t)member);
      before = -1;
    } else if (byte == '[' && at + 1 < size && pattern[at + 1] == ':') {
      const uint8_t *close = memchr(pattern + at + 2, ']', size - at - 2);
      if (close == NULL) return 0;
      size_t end = (size_t)(close - pattern);
      if (end < at + 3 || pattern[end - 1] != ':') { /* no class after all: a bracket and what follows */
        add(set, '[');
        before = '[';
        continue;
      }
      if (!add_named(set, pattern + at + 2, end - at - 3)) return 0;
      at = end;
      before = -1;
    } else {
      add(set, byte);
      before = byte;
    }
  }
  if (at >= size) return 0;
  if (negated)
    for (int i = 0; i < 32; i++) set[i] = (uint8_t)~set[i];
  set['/' / 8] &= (uint8_t) ~(1u << '/' % 8);
  return at + 1;
}

size_t cw_glob_compile(const uint8_t *pattern, size_t size, cw_glob_step *steps) {
  size_t made = 0;
  for (size_t at = 0; at < size;) {
    cw_glob_step *step = &steps[made++];
    switch (pattern[at]) {
      case '?':
        step->op = ANY;
        at++;
        break;
      case '*': {
        size_t start = at;
        while (at < size && pattern[at] == '*') at++;
        int alone = at - start >= 2 && (start == 0 || pattern[start - 1] == '/');
        step->op = STAR;
        if (alone && at == size) step->op = DEEP;
        if (alone && at < size && pattern[at] == '/') {
          step->op = DEEP_SLASH;
          at++;
        }
        break;
      }
      case '[':
        step->op = CLASS;
        at = read_class(pattern, size, at + 1, step->set);
        if (at == 0) return 0;
        break;
      case '\\':
        if (++at == size) return 0; /* fall through */
      default:
        step->op = BYTE;
        step->byte = pattern[at++];
    }
  }
  steps[made++].op = END;
  return made;
}

int cw_glob_match(const cw_glob_step *steps, const uint8_t *text, size_t size) {
  const cw_glob_step *step = steps, *after_star = NULL, *after_deep = NULL;
  size_t at = 0, star_at = 0, deep_at = 0;
  for (;;) {
    switch (step->op) {
      case STAR:
        after_star = ++step;
        star_at = at;
        continue;
      case DEEP:
        return 1;
      case DEEP_SLASH:
        after_deep = ++step;
        deep_at = at;
        after_star = NULL;
        continue;
      case END:
        if (at == size) return 1;
        break;
      default:
        if (at < size && (step->op == BYTE  ? text[at] == step->byte
                          : step->op == ANY ? text[at] != '/'
                                            : has(step->set, text[at]))) {
          at++;
          step++;
          continue;
        }
    }
    if (after_star != NULL && star_at < size && text[star_at] != '/') {
      at = ++star_at;
      step = after_star;
    } else if (after_deep != NULL) {
      const uint8_t *slash = memchr(text + deep_at, '/', size - deep_at);
      if (slash == NULL) return 0;
      at = deep_at = (size_t)(slash - text) + 1;
      step = after_deep;
      after_star = NULL;
    } else {
      return 0;
    }
  }
}
