/* unified.c: changes as hunks: @@ lines with the heading that git would find, context, - and + lines. */
#include "edit/unified.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  HEADING_BYTES = 80, /* git's limit */
  HUNK_LINE_BYTES = 64 + HEADING_BYTES
};

static const char MISSING_NEWLINE[] = "\n\\ No newline at end of file\n";

typedef struct {
  uint8_t *at;
} writer;

static void put(writer *w, const void *bytes, size_t size) {
  memcpy(w->at, bytes, size);
  w->at += size;
}

static size_t line_bytes(const cw_lines *lines, uint32_t first, uint32_t end) {
  size_t size = lines->starts[end] - lines->starts[first] + (end - first);
  return end > first && end == lines->count && lines->text[lines->size - 1] != '\n' ? size + sizeof MISSING_NEWLINE : size;
}

static void put_lines(writer *w, char mark, const cw_lines *lines, uint32_t first, uint32_t end) {
  for (uint32_t i = first; i < end; i++) {
    *w->at++ = (uint8_t)mark;
    put(w, lines->text + lines->starts[i], lines->starts[i + 1] - lines->starts[i]);
  }
  if (end > first && w->at[-1] != '\n') put(w, MISSING_NEWLINE, sizeof MISSING_NEWLINE - 1);
}

/* A hunk is changes[first..end-1]: those with at most 2 * context lines between them. */
static size_t hunk_end(const cw_diff_change *changes, size_t count, size_t first, uint32_t context) {
  size_t end = first + 1;
  while (end < count && changes[end].old_first - (changes[end - 1].old_first + changes[end - 1].old_count) <= 2 * (uint64_t)context) end++;
  return end;
}

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Lines of context before and after. */
static void hunk_context(const cw_lines *old_lines, const cw_diff_change *first, const cw_diff_change *last, uint32_t context, uint32_t *before,
                         uint32_t *after) {
  *before = smaller(context, first->old_first);
  *after = smaller(context, old_lines->count - (last->old_first + last->old_count));
}

/* git: "12,3"; "12" for one line; the line before an empty range. */
static void put_range(writer *w, uint32_t first, uint32_t count) {
  int size = count == 1 ? sprintf((char *)w->at, "%u", first + 1) : sprintf((char *)w->at, "%u,%u", first + (count > 0), count);
  w->at += size;
}

static int starts_heading(uint8_t byte) { return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_' || byte == '$'; }
static int is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/* The heading: at most HEADING_BYTES of the line, not cutting a UTF-8 character, without white space at its end. */
static void put_heading(writer *w, const cw_lines *lines, uint32_t line) {
  const uint8_t *text = lines->text + lines->starts[line];
  size_t size = lines->starts[line + 1] - lines->starts[line];
  if (size > HEADING_BYTES) {
    size = HEADING_BYTES;
    while (size > HEADING_BYTES - 4 && (text[size] & 0xc0) == 0x80) size--;
    if ((text[size] & 0xc0) == 0x80) size = HEADING_BYTES; /* not UTF-8 */
  }
  while (size > 0 && is_space(text[size - 1])) size--;
  *w->at++ = ' ';
  put(w, text, size);
}

cw_status cw_unified_write(const cw_lines *old_lines, const cw_lines *new_lines, const cw_diff_change *changes, size_t count, uint32_t context,
                           uint8_t **text, size_t *size) {
  uint32_t before, after;
  size_t bound = 1;
  for (size_t i = 0, end; i < count; i = end) {
    end = hunk_end(changes, count, i, context);
    hunk_context(old_lines, &changes[i], &changes[end - 1], context, &before, &after);
    bound += HUNK_LINE_BYTES + line_bytes(old_lines, changes[i].old_first - before, changes[end - 1].old_first + changes[end - 1].old_count + after);
    for (size_t k = i; k < end; k++) bound += line_bytes(new_lines, changes[k].new_first, changes[k].new_first + changes[k].new_count) + sizeof MISSING_NEWLINE;
  }
  *text = malloc(bound);
  if (!*text) return CW_E_MEMORY;
  writer w = {*text};
  uint32_t searched = 0, heading = UINT32_MAX;
  for (size_t i = 0, end; i < count; i = end) {
    end = hunk_end(changes, count, i, context);
    const cw_diff_change *first = &changes[i], *last = &changes[end - 1];
    hunk_context(old_lines, first, last, context, &before, &after);
    uint32_t old_first = first->old_first - before, old_end = last->old_first + last->old_count + after;
    uint32_t new_first = first->new_first - before, new_end = last->new_first + last->new_count + after;
    for (uint32_t line = old_first; line > searched; line--) {
      if (starts_heading(old_lines->text[old_lines->starts[line - 1]])) {
        heading = line - 1;
        break;
      }
    }
    searched = old_first;
    put(&w, "@@ -", 4);
    put_range(&w, old_first, old_end - old_first);
    put(&w, " +", 2);
    put_range(&w, new_first, new_end - new_first);
    put(&w, " @@", 3);
    if (heading != UINT32_MAX) put_heading(&w, old_lines, heading);
    *w.at++ = '\n';
    uint32_t at = old_first;
    for (const cw_diff_change *c = first; c <= last; c++) {
      put_lines(&w, ' ', old_lines, at, c->old_first);
      put_lines(&w, '-', old_lines, c->old_first, c->old_first + c->old_count);
      put_lines(&w, '+', new_lines, c->new_first, c->new_first + c->new_count);
      at = c->old_first + c->old_count;
    }
    put_lines(&w, ' ', old_lines, at, old_end);
  }
  *size = (size_t)(w.at - *text);
  return CW_OK;
}
