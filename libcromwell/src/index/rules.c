/* rules.c: the lines of an ignore file (gitignore(5)), and which of them speaks of a path. */
#include "index/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "index/glob.h"

enum { FILE_MAX = 16 << 20, LINE_MAX_BYTES = 4096 };

typedef struct {
  const uint8_t *text; /* the literal beginning; all of it where there are no steps */
  uint32_t size;
  uint8_t keep, folders_only;
  uint8_t whole;     /* matched with the path below the file's folder, else with the last name alone */
  uint8_t tail;      /* "*text": the name ends so */
  cw_glob_step *steps; /* what follows the literal beginning, or NULL */
} rule;

struct cw_rules {
  uint8_t *text;
  size_t count;
  rule *rules;
};

static int is_wild(uint8_t byte) { return byte == '*' || byte == '?' || byte == '[' || byte == '\\'; }

static size_t literal_size(const uint8_t *text, size_t size) {
  size_t at = 0;
  while (at < size && !is_wild(text[at])) at++;
  return at;
}

/* Size of a line without the blanks at its end that no backslash keeps. */
static size_t trimmed(const uint8_t *line, size_t size) {
  size_t end = 0;
  for (size_t at = 0; at < size; at++) {
    if (line[at] == '\\') {
      if (++at == size) return size;
      end = at + 1;
    } else if (line[at] != ' ') {
      end = at + 1;
    }
  }
  return end;
}

/* Makes the rule of a line; *made says whether there is one. */
static cw_status read_line(const uint8_t *line, size_t size, rule *out, int *made) {
  const uint8_t *nul = memchr(line, 0, size);
  if (nul != NULL) size = (size_t)(nul - line);
  *made = 0;
  if (size > 0 && line[0] == '#') return CW_OK;
  size = trimmed(line, size);
  rule found = {0};
  if (size > 0 && line[0] == '!') {
    found.keep = 1;
    line++, size--;
  }
  if (size > 0 && line[size - 1] == '/') {
    found.folders_only = 1;
    size--;
  }
  if (size == 0 || size > LINE_MAX_BYTES) return CW_OK;
  found.whole = memchr(line, '/', size) != NULL;
  if (found.whole && line[0] == '/') line++, size--;
  size_t literal = literal_size(line, size);
  if (!found.whole && line[0] == '*' && literal_size(line + 1, size - 1) == size - 1) {
    found.tail = 1;
    line++, literal = --size;
  }
  found.text = line;
  found.size = (uint32_t)literal;
  if (literal < size) {
    cw_glob_step *steps = malloc((size - literal + 1) * sizeof *steps);
    if (steps == NULL) return CW_E_MEMORY;
    size_t count = cw_glob_compile(line + literal, size - literal, steps);
    if (count == 0) {
      free(steps);
      return CW_OK;
    }
    found.steps = realloc(steps, count * sizeof *steps);
    if (found.steps == NULL) found.steps = steps;
  }
  *out = found;
  *made = 1;
  return CW_OK;
}

/* Takes over `text`. */
static cw_status parse_owned(uint8_t *text, size_t size, cw_rules **out) {
  size_t lines = 1;
  for (size_t at = 0; at < size; at++) lines += text[at] == '\n';
  cw_rules *rules = calloc(1, sizeof *rules);
  rule *all = malloc(lines * sizeof *all);
  if (rules == NULL || all == NULL) {
    free(rules);
    free(all);
    free(text);
    return CW_E_MEMORY;
  }
  rules->text = text;
  rules->rules = all;
  size_t at = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  cw_status status = CW_OK;
  while (at < size && status == CW_OK) {
    const uint8_t *newline = memchr(text + at, '\n', size - at);
    size_t end = newline != NULL ? (size_t)(newline - text) : size;
    size_t line = end - at - (end > at && text[end - 1] == '\r'); /* git ends the last line, too */
    int made;
    status = read_line(text + at, line, &all[rules->count], &made);
    if (status == CW_OK && made) rules->count++;
    at = end + 1;
  }
  if (status != CW_OK || rules->count == 0) {
    cw_rules_free(rules);
    rules = NULL;
  }
  if (status == CW_OK) *out = rules;
  return status;
}

cw_status cw_rules_parse(const uint8_t *text, size_t size, cw_rules **out) {
  uint8_t *copy = malloc(size + 1);
  if (copy == NULL) return CW_E_MEMORY;
  memcpy(copy, text, size);
  return parse_owned(copy, size, out);
}

cw_status cw_rules_read(int folder_fd, const char *name, int follow, cw_rules **out) {
  *out = NULL;
  int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW));
  if (fd < 0) return CW_OK;
  struct stat status;
  uint8_t *text = NULL;
  size_t size = 0;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 && status.st_size <= FILE_MAX) {
    text = malloc((size_t)status.st_size);
    if (text == NULL) {
      close(fd);
      return CW_E_MEMORY;
    }
    while (size < (size_t)status.st_size) {
      ssize_t got = read(fd, text + size, (size_t)status.st_size - size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      size += (size_t)got;
    }
  }
  close(fd);
  return text != NULL ? parse_owned(text, size, out) : CW_OK;
}

void cw_rules_free(cw_rules *rules) {
  if (rules == NULL) return;
  for (size_t i = 0; i < rules->count; i++) free(rules->rules[i].steps);
  free(rules->rules);
  free(rules->text);
  free(rules);
}

static int matches(const rule *r, const char *text, size_t size) {
  if (r->tail) return size >= r->size && memcmp(text + size - r->size, r->text, r->size) == 0;
  if (r->steps == NULL) return size == r->size && memcmp(text, r->text, size) == 0;
  if (size < r->size || memcmp(text, r->text, r->size) != 0) return 0;
  return cw_glob_match(r->steps, (const uint8_t *)text + r->size, size - r->size);
}

int cw_rules_match(const cw_rules *rules, const char *path, size_t size, size_t base, int is_folder) {
  for (size_t i = rules->count; i-- > 0;) {
    const rule *r = &rules->rules[i];
    if (r->folders_only && !is_folder) continue;
    if (r->whole ? matches(r, path, size) : matches(r, path + base, size - base)) return r->keep ? CW_RULES_KEEP : CW_RULES_IGNORE;
  }
  return CW_RULES_NOTHING;
}
