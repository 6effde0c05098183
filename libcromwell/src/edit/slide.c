/* slide.c: where a change goes that could go to several places. */
#include "edit/slide.h"

#include <string.h>

enum {
  TAB_WIDTH = 8,
  INDENT_MAX = 200,     /* columns; deeper lines count as this deep */
  BLANKS_MAX = 20,      /* blank lines looked at around a border */
  POSITIONS_MAX = 128,  /* lowest positions compared; further ones are not worth the time */
  /* Costs of a border between two lines, tried on the edits of tests/test_diff.py. */
  COST_COLUMN = 12,     /* each column that the line after the border is indented */
  COST_CLOSING = 30,    /* the line after the border closes a block: indented less than the one before, no blank line between */
  GAIN_BLANK = 5        /* each blank line just before the border */
};

static uint32_t old_end(const cw_diff_change *c) { return c->old_first + c->old_count; }
static uint32_t new_end(const cw_diff_change *c) { return c->new_first + c->new_count; }

/* Columns of white space before the line's text; -1 for a blank line. */
static int32_t indent(const cw_lines *lines, uint32_t line) {
  int32_t column = 0;
  for (size_t at = lines->starts[line]; at < lines->starts[line + 1] && column < INDENT_MAX; at++) {
    uint8_t byte = lines->text[at];
    if (byte == ' ')
      column++;
    else if (byte == '\t')
      column += TAB_WIDTH - column % TAB_WIDTH;
    else
      return byte == '\n' || byte == '\r' ? -1 : column;
  }
  return column < INDENT_MAX ? -1 : INDENT_MAX;
}

/* How badly a change would begin or end between line-1 and line. */
static int32_t border_cost(const cw_lines *lines, uint32_t line) {
  int32_t after = -1, before = -1, blanks = 0, following = 0;
  for (uint32_t i = line; i < lines->count && following <= BLANKS_MAX && (after = indent(lines, i)) < 0; i++) following++;
  for (uint32_t i = line; i > 0 && blanks <= BLANKS_MAX && (before = indent(lines, i - 1)) < 0; i--) blanks++;
  int32_t cost = after > 0 ? after * COST_COLUMN : 0;
  if (after >= 0 && before > after && blanks == 0 && following == 0) cost += COST_CLOSING;
  return cost - blanks * GAIN_BLANK;
}

/* The side of a pure change that has lines, as first and count; NULL when both have. */
static const cw_lines *pure_side(const cw_lines *old_lines, const cw_lines *new_lines, const cw_diff_change *c, uint32_t *first, uint32_t *count) {
  if (c->old_count && c->new_count) return NULL;
  *first = c->old_count ? c->old_first : c->new_first;
  *count = c->old_count ? c->old_count : c->new_count;
  return c->old_count ? old_lines : new_lines;
}

static void shift(cw_diff_change *c, int32_t lines) {
  c->old_first = (uint32_t)((int32_t)c->old_first + lines);
  c->new_first = (uint32_t)((int32_t)c->new_first + lines);
}

/* Lines that c can move up (or down) before it touches `neighbour`, the change before (after) it or the file's border. */
static uint32_t room_up(const cw_diff_change *c, const cw_diff_change *neighbour) { return c->old_first - (neighbour ? old_end(neighbour) : 0); }

static uint32_t slide_up(const cw_lines *lines, uint32_t first, uint32_t count, uint32_t room) {
  uint32_t moved = 0;
  while (moved < room && cw_lines_equal(lines, first - moved - 1, first + count - moved - 1)) moved++;
  return moved;
}

static uint32_t slide_down(const cw_lines *lines, uint32_t first, uint32_t count, uint32_t room) {
  uint32_t moved = 0;
  while (moved < room && cw_lines_equal(lines, first + moved, first + count + moved)) moved++;
  return moved;
}

static void join(cw_diff_change *c, const cw_diff_change *next) {
  c->old_count = old_end(next) - c->old_first;
  c->new_count = new_end(next) - c->new_first;
}

size_t cw_changes_slide(const cw_lines *old_lines, const cw_lines *new_lines, cw_diff_change *changes, size_t count) {
  uint32_t first = 0, size = 0;
  /* Up: each change as far as it goes, joined with the one before when they meet. */
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    cw_diff_change c = changes[i];
    for (;;) {
      const cw_lines *lines = pure_side(old_lines, new_lines, &c, &first, &size);
      uint32_t room = room_up(&c, kept ? &changes[kept - 1] : NULL);
      if (lines) {
        uint32_t moved = slide_up(lines, first, size, room);
        shift(&c, -(int32_t)moved);
        room -= moved;
      }
      if (room > 0 || kept == 0) break;
      cw_diff_change before = changes[--kept];
      join(&before, &c);
      c = before;
    }
    changes[kept++] = c;
  }
  /* Down, from the last: joined with the one after when they meet, else to the best of the places passed. */
  size_t top = kept;
  for (size_t i = kept; i-- > 0;) {
    cw_diff_change c = changes[i];
    const cw_lines *lines;
    for (;;) {
      lines = pure_side(old_lines, new_lines, &c, &first, &size);
      if (!lines) break;
      uint32_t room = (top < kept ? changes[top].old_first : old_lines->count) - old_end(&c);
      uint32_t moved = slide_down(lines, first, size, room);
      if (moved == room && top < kept) {
        shift(&c, (int32_t)moved);
        join(&c, &changes[top++]);
        continue;
      }
      uint32_t best = moved, positions = moved < POSITIONS_MAX ? moved : POSITIONS_MAX;
      int32_t best_cost = INT32_MAX;
      for (uint32_t back = 0; back <= positions; back++) { /* the lowest of equals */
        uint32_t at = moved - back;
        int32_t cost = border_cost(lines, first + at) + border_cost(lines, first + size + at);
        if (cost < best_cost) best_cost = cost, best = at;
      }
      shift(&c, (int32_t)best);
      break;
    }
    changes[--top] = c;
  }
  memmove(changes, changes + top, (kept - top) * sizeof *changes);
  return kept - top;
}
