/* defs_lines.c: definitions in languages without rules of their own: a line that begins with a word such as def, func or class and a
 * name. It ends before the next line that is indented no deeper, or with it where that only closes it. */
#include <string.h>

#include "index/defs.h"

static uint32_t column(const cw_lexer *l, size_t token) {
  uint32_t start = l->tokens[token].at, at = start;
  while (at > 0 && l->text[at - 1] != '\n') at--;
  return start - at;
}

static cw_def_kind kind_of(const cw_lexer *l, size_t token) {
  static const char *const functions[] = {"def", "func", "fun", "fn", "function", "sub", "proc", "defp", "defmacro", "macro", "rpc"};
  static const char *const classes[] = {"class", "module", "struct", "interface", "trait", "enum", "protocol", "object", "defmodule",
                                        "record", "extension", "message", "service"};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (cw_token_is(l, token, functions[i])) return CW_DEF_FUNCTION;
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (cw_token_is(l, token, classes[i])) return CW_DEF_CLASS;
  return 0;
}

/* Words that may stand before: public static final class X. */
static int is_modifier(const cw_lexer *l, size_t token) {
  static const char *const words[] = {"public", "private", "protected", "internal", "static", "final", "abstract", "open", "override",
                                      "async", "suspend", "inline", "export", "local", "sealed", "data", "implicit", "case", "mutating",
                                      "fileprivate", "lazy", "default"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (cw_token_is(l, token, words[i])) return 1;
  return 0;
}

static int only_closes(const cw_lexer *l, size_t token) {
  uint8_t kind = l->tokens[token].kind;
  return kind == '}' || kind == ')' || cw_token_is(l, token, "end");
}

void cw_defs_lines(cw_defs *d) {
  cw_lexer *l = d->l;
  if (l->language == CW_LANG_JSON || l->language == CW_LANG_YAML || l->language == CW_LANG_CSS || l->language == CW_LANG_TOML) return;
  struct {
    int32_t def;
    uint32_t column;
  } open[64];
  uint32_t count = 0, line = 0;
  for (size_t i = 0; i < l->count; i++) {
    if (l->tokens[i].kind == CW_TOKEN_COMMENT || (i > 0 && l->tokens[i].line <= line)) continue;
    uint32_t indent = column(l, i);
    while (count > 0 && open[count - 1].column >= indent) {
      count--;
      int closes = only_closes(l, i) && open[count].column == indent;
      if (open[count].def >= 0) d->defs[open[count].def].last_line = closes ? l->tokens[i].line : line;
    }
    line = l->tokens[i].last_line;
    size_t word = i;
    while (word < i + 4 && is_modifier(l, word)) word++;
    cw_def_kind kind = kind_of(l, word);
    size_t name = word + 1;
    if (kind != 0 && name < l->count && l->tokens[name].kind == CW_TOKEN_NAME && l->tokens[name].line == l->tokens[word].line) {
      while (name + 2 < l->count && (l->tokens[name + 1].kind == '.' || l->tokens[name + 1].kind == ':') && l->tokens[name + 2].kind == CW_TOKEN_NAME &&
             l->tokens[name + 2].at == l->tokens[name].at + l->tokens[name].size + 1)
        name += 2;
      int32_t made = cw_defs_add(d, kind, l->tokens[i].line, l->tokens[i].line, l->tokens[i].line, name, count > 0 ? open[count - 1].def : -1);
      if (count < 64) {
        open[count].def = made;
        open[count++].column = indent;
      }
    }
    for (size_t next = i + 1; next < l->count && l->tokens[next].line == l->tokens[i].line; next++) line = l->tokens[next].last_line;
  }
  while (count > 0 && open[--count].def >= 0) d->defs[open[count].def].last_line = line;
}
