/* defs_python.c: functions, classes and module-level names of Python, by its indentation.
 *
 * The ranges are those of tree-sitter's Python grammar: decorators belong to what they decorate, and so do comments at its end, as long
 * as they are indented like its body. */
#include <string.h>

#include "index/defs.h"

enum { OPEN_MAX = 128, COMMENTS_MAX = 4096 };

typedef struct {
  int32_t def;
  uint32_t indent, body; /* columns; body 0: not seen yet, UINT32_MAX: on the line of the definition */
} block;

typedef struct {
  cw_defs *d;
  block open[OPEN_MAX];
  uint32_t count, code_line; /* last line of code so far */
  int32_t assigned;          /* a module-level name whose value may go on */
  size_t comment;            /* first comment after the last code */
} state;

/* Column of a token; a tab goes to the next multiple of 8, a form feed to 0. */
static uint32_t column(const cw_lexer *l, size_t token) {
  uint32_t start = l->tokens[token].at, at = start, col = 0;
  while (at > 0 && l->text[at - 1] != '\n') at--;
  if (at == 0 && l->size >= 3 && memcmp(l->text, "\xef\xbb\xbf", 3) == 0) at = 3;
  for (; at < start; at++) col = l->text[at] == '\t' ? (col / 8 + 1) * 8 : l->text[at] == '\f' ? 0 : col + 1;
  return col;
}

/* Whether the line of a token goes on from the one before, by a backslash. */
static int continues(const cw_lexer *l, size_t token) {
  uint32_t at = l->tokens[token].at;
  while (at > 0 && l->text[at - 1] != '\n') at--;
  if (at > 0) at--;
  if (at > 0 && l->text[at - 1] == '\r') at--;
  return at > 0 && l->text[at - 1] == '\\';
}

/* Ends the blocks that a line of code at this column is no part of; `next` is its token. */
static void close_blocks(state *s, uint32_t indent, size_t next) {
  const cw_lexer *l = s->d->l;
  while (s->count > 0 && s->open[s->count - 1].indent >= indent) {
    const block *b = &s->open[--s->count];
    uint32_t last = s->code_line;
    if (b->body != UINT32_MAX && b->body > 0) {
      for (size_t i = s->comment; i < next && i < s->comment + COMMENTS_MAX; i++) {
        if (l->tokens[i].kind != CW_TOKEN_COMMENT || l->tokens[i].line <= s->code_line) continue;
        if (column(l, i) < b->body) break;
        last = l->tokens[i].line;
      }
    }
    if (b->def >= 0) s->d->defs[b->def].last_line = last;
  }
}

static size_t skip_comments(const cw_lexer *l, size_t token) {
  while (token < l->count && l->tokens[token].kind == CW_TOKEN_COMMENT) token++;
  return token;
}

/* import a.b as c, d      gives the lines "a.b", "d";      from .x import (y, z as w)      gives ".x y z". */
static void read_import(cw_defs *d, size_t at) {
  cw_lexer *l = d->l;
  int from = cw_token_is(l, at, "from"), depth = 0, in_names = 0, skip_next = 0;
  uint32_t line = l->tokens[at].line;
  size_t start = d->imports_size;
  for (at++; at < l->count; at++) {
    const cw_token *t = &l->tokens[at];
    if (t->kind == CW_TOKEN_COMMENT) continue;
    if (depth == 0 && t->line != line && !continues(l, at)) break;
    line = t->last_line;
    if (t->kind == ';') break;
    if (t->kind == '(') depth++;
    else if (t->kind == ')') depth--;
    else if (cw_token_is(l, at, "as")) skip_next = 1;
    else if (from && !in_names && cw_token_is(l, at, "import")) in_names = 1;
    else if (t->kind == ',') {
      if (!from) cw_defs_import(d, "\n", 1);
    } else if (t->kind == CW_TOKEN_NAME || t->kind == '.' || t->kind == '*') {
      if (skip_next) {
        skip_next = 0;
        continue;
      }
      if (in_names) cw_defs_import(d, " ", 1);
      cw_defs_import(d, l->text + t->at, t->size);
    } else {
      break;
    }
  }
  if (d->imports_size > start) cw_defs_import(d, "\n", 1);
}

/* The token of the colon that ends a header from `at` on, or the last one read. */
static size_t header_end(const cw_lexer *l, size_t at) {
  int depth = 0;
  size_t last = at;
  for (; at < l->count; at++) {
    uint8_t kind = l->tokens[at].kind;
    if (kind == CW_TOKEN_COMMENT) continue;
    last = at;
    if (kind == '(' || kind == '[' || kind == '{') depth++;
    else if (kind == ')' || kind == ']' || kind == '}') depth--;
    else if (kind == ':' && depth <= 0) return at;
    if (at > 0 && (cw_token_is(l, at, "def") || cw_token_is(l, at, "class")) && l->tokens[at].line > l->tokens[at - 1].last_line) return at - 1;
  }
  return last;
}

static int32_t surrounding(const state *s) { return s->count > 0 ? s->open[s->count - 1].def : -1; }

/* A line of code that begins with token `at`; *decorated is the first line of the decorators before it, or 0. */
static void logical_line(state *s, size_t at, uint32_t *decorated) {
  cw_defs *d = s->d;
  cw_lexer *l = d->l;
  uint32_t indent = column(l, at), line = l->tokens[at].line;
  close_blocks(s, indent, at);
  if (s->assigned >= 0) {
    d->defs[s->assigned].last_line = s->code_line;
    s->assigned = -1;
  }
  if (s->count > 0 && s->open[s->count - 1].body == 0) s->open[s->count - 1].body = indent;
  if (l->tokens[at].kind == '@') {
    if (*decorated == 0) *decorated = line;
    return;
  }
  size_t word = at + cw_token_is(l, at, "async");
  int is_function = cw_token_is(l, word, "def") || (l->language == CW_LANG_CYTHON && (cw_token_is(l, word, "cpdef"))),
      is_class = cw_token_is(l, word, "class");
  if ((is_function || is_class) && word + 1 < l->count && l->tokens[word + 1].kind == CW_TOKEN_NAME &&
      l->tokens[word + 1].line == l->tokens[word].line) {
    size_t colon = header_end(l, word + 2), body = skip_comments(l, colon + 1);
    uint32_t first = *decorated != 0 ? *decorated : line;
    int32_t made = cw_defs_add(d, is_class ? CW_DEF_CLASS : CW_DEF_FUNCTION, first, l->tokens[colon].line, line, word + 1, surrounding(s));
    if (s->count < OPEN_MAX) {
      int same_line = body < l->count && l->tokens[body].line == l->tokens[colon].line;
      s->open[s->count++] = (block){made, indent, same_line ? UINT32_MAX : 0};
    }
  } else if (cw_token_is(l, at, "import") || cw_token_is(l, at, "from")) {
    read_import(d, at);
  } else if (indent == 0 && at + 1 < l->count && l->tokens[at].kind == CW_TOKEN_NAME && l->tokens[at + 1].line == line) {
    uint8_t next = l->tokens[at + 1].kind, after = at + 2 < l->count ? l->tokens[at + 2].kind : 0;
    if ((next == '=' && after != '=') || (next == ':' && after == CW_TOKEN_NAME && !cw_token_is(l, at, "else") && !cw_token_is(l, at, "try") &&
                                          !cw_token_is(l, at, "finally") && !cw_token_is(l, at, "lambda"))) {
      int upper = 1;
      for (uint32_t i = 0; i < l->tokens[at].size; i++) upper &= cw_byte_class[l->text[l->tokens[at].at + i]] != CW_BYTE_LOWER;
      s->assigned = cw_defs_add(d, upper ? CW_DEF_CONSTANT : CW_DEF_VARIABLE, line, line, line, at, -1);
    }
  }
  *decorated = 0;
}

void cw_defs_python(cw_defs *d) {
  cw_lexer *l = d->l;
  state s = {.d = d, .assigned = -1};
  uint32_t decorated = 0;
  int depth = 0;
  for (size_t i = 0; i < l->count; i++) {
    const cw_token *t = &l->tokens[i];
    if (t->kind == CW_TOKEN_COMMENT) continue;
    int fresh = s.code_line == 0 || t->line > s.code_line;
    if (fresh && depth > 0 && (cw_token_is(l, i, "def") || cw_token_is(l, i, "class"))) depth = 0; /* never inside brackets: one was left open */
    if (fresh && depth == 0 && !continues(l, i)) logical_line(&s, i, &decorated);
    if (t->kind == '(' || t->kind == '[' || t->kind == '{') depth++;
    else if ((t->kind == ')' || t->kind == ']' || t->kind == '}') && depth > 0) depth--;
    s.code_line = t->last_line;
    s.comment = i + 1;
  }
  if (s.assigned >= 0) d->defs[s.assigned].last_line = s.code_line;
  close_blocks(&s, 0, l->count);
}
