/* defs_script.c: functions, classes and methods of JavaScript and TypeScript. */
#include <string.h>

#include "index/defs.h"

enum { OPEN_MAX = 128, HEADER_MAX = 512 };

typedef struct {
  cw_defs *d;
  cw_lexer *l;
  struct {
    size_t end; /* the token after it */
    int32_t def;
  } open[OPEN_MAX];
  uint32_t count;
} state;

static uint8_t kind_at(const state *s, size_t token) { return token < s->l->count ? s->l->tokens[token].kind : 0; }

static int is(const state *s, size_t token, const char *word) { return cw_token_is(s->l, token, word); }

static int is_one_of(const state *s, size_t token, const char *const *words) {
  if (kind_at(s, token) != CW_TOKEN_NAME) return 0;
  for (; *words != NULL; words++)
    if (is(s, token, *words)) return 1;
  return 0;
}

static size_t after(const state *s, size_t open) {
  size_t match = s->d->match[open];
  return match < s->l->count ? match + 1 : s->l->count;
}

static uint32_t line_of(const state *s, size_t token) {
  return token < s->l->count ? s->l->tokens[token].line : s->l->count > 0 ? s->l->tokens[s->l->count - 1].last_line : 1;
}

static uint32_t last_line_of(const state *s, size_t token) { return token < s->l->count ? s->l->tokens[token].last_line : line_of(s, token); }

static int32_t outer(const state *s) { return s->count > 0 ? s->open[s->count - 1].def : -1; }

static void enter(state *s, size_t end, int32_t def) {
  if (s->count < OPEN_MAX && def >= 0) {
    s->open[s->count].end = end;
    s->open[s->count++].def = def;
  }
}

static int arrow(const state *s, size_t token) {
  return kind_at(s, token) == '=' && kind_at(s, token + 1) == '>' && s->l->tokens[token + 1].at == s->l->tokens[token].at + 1;
}

/* After <...> at `open`, or `open` itself. */
static size_t after_angles(const state *s, size_t open) {
  int depth = 0;
  for (size_t i = open; i < s->l->count && i < open + HEADER_MAX; i++) {
    uint8_t kind = kind_at(s, i);
    if (kind == '<') depth++;
    else if (kind == '>' && !(i > 0 && arrow(s, i - 1)) && --depth == 0) return i + 1;
    else if (kind == '(' || kind == '[' || kind == '{') i = after(s, i) - 1;
    else if (kind == ';' || kind == ')' || kind == '}') return open;
  }
  return open;
}

/* After a type that begins at `at`: before a brace that is no part of it, =>, =, ; or a closing bracket. */
static size_t after_type(const state *s, size_t at) {
  int operand = 0; /* whether what was read may be all of it */
  for (size_t i = at; i < s->l->count && i < at + HEADER_MAX;) {
    uint8_t kind = kind_at(s, i);
    if (kind == '{' && operand) return i;
    if (kind == '{' || kind == '(' || kind == '[') {
      i = after(s, i);
      operand = 1;
      if (arrow(s, i)) { /* a type of functions */
        i += 2;
        operand = 0;
      }
    } else if (kind == '<') {
      size_t end = after_angles(s, i);
      if (end == i) return i;
      i = end;
      operand = 1;
    } else if (kind == ';' || kind == ',' || kind == '=' || kind == ')' || kind == ']' || kind == '}') {
      return i;
    } else {
      if (operand && kind == CW_TOKEN_NAME && line_of(s, i) > last_line_of(s, i - 1)) return i; /* a statement of its own */
      operand = kind != '|' && kind != '&' && kind != '.' && kind != '?' && kind != ':' && !is(s, i, "extends") && !is(s, i, "keyof") && !is(s, i, "is") &&
                !is(s, i, "typeof") && !is(s, i, "readonly") && !is(s, i, "infer") && !is(s, i, "asserts") && !is(s, i, "new");
      i++;
    }
  }
  return s->l->count;
}

/* After name<...>(...): type, where the body or => stands; 0 when there are no parameters. */
static size_t after_parameters(const state *s, size_t at) {
  if (kind_at(s, at) == '<') at = after_angles(s, at);
  if (kind_at(s, at) != '(') return 0;
  at = after(s, at);
  return kind_at(s, at) == ':' ? after_type(s, at + 1) : at;
}

/* Whether a statement may begin at a token: the one before ends another, or is on an earlier line and ends a value. */
static int begins_statement(const state *s, size_t i) {
  static const char *const before[] = {"export", "default", "declare", "abstract", "else", "do", NULL};
  if (i == 0 || is_one_of(s, i - 1, before)) return 1;
  uint8_t kind = kind_at(s, i - 1);
  if (kind == ';' || kind == '}' || kind == '{' || kind == ')') return 1;
  if (kind == ':') return 0;
  return line_of(s, i) > last_line_of(s, i - 1) &&
         (kind == CW_TOKEN_NAME || kind == CW_TOKEN_STRING || kind == CW_TOKEN_NUMBER || kind == ']' || kind == '>');
}

/* First token of a declaration: before it stand export, default, async, decorators and so on. */
static size_t beginning(const state *s, size_t i, int decorators) {
  static const char *const words[] = {"export", "default", "async", "declare", "abstract", "static", "get", "set", "public", "private",
                                      "protected", "readonly", "override", "accessor", NULL};
  for (;;) {
    if (i == 0) return i;
    size_t at = i - 1;
    if (is_one_of(s, at, words) || kind_at(s, at) == '*') {
      i = at;
    } else if (decorators && (kind_at(s, at) == ')' || kind_at(s, at) == CW_TOKEN_NAME)) {
      if (kind_at(s, at) == ')' && s->d->match[at] < at) at = s->d->match[at] - 1;
      while (at >= 2 && kind_at(s, at) == CW_TOKEN_NAME && kind_at(s, at - 1) == '.') at -= 2;
      if (at == 0 || at >= i || kind_at(s, at) != CW_TOKEN_NAME || kind_at(s, at - 1) != '@') return i;
      i = at - 1;
    } else {
      return i;
    }
  }
}

/* The last token of an expression that begins at `at`. */
static size_t expression_end(const state *s, size_t at) {
  size_t last = at;
  for (size_t i = at; i < s->l->count;) {
    uint8_t kind = kind_at(s, i);
    if (kind == ';' || kind == ',' || kind == ')' || kind == ']' || kind == '}') break;
    if (i > at && line_of(s, i) > last_line_of(s, last)) {
      uint8_t before = kind_at(s, last);
      int ended = before == CW_TOKEN_NAME || before == CW_TOKEN_STRING || before == CW_TOKEN_NUMBER || before == ')' || before == ']' || before == '}';
      int goes_on = kind != CW_TOKEN_NAME && kind != CW_TOKEN_NUMBER && kind != CW_TOKEN_STRING && kind != '{' && kind != '@' && kind != '#';
      if (ended && !goes_on && !is(s, i, "instanceof") && !is(s, i, "in") && !is(s, i, "as") && !is(s, i, "satisfies")) break;
    }
    last = kind == '(' || kind == '[' || kind == '{' ? after(s, i) - 1 : i;
    i = last + 1;
  }
  return last;
}

/* Whether a function, and nothing after it, is what stands at `at`; *body is where its body begins, *last its last token. */
static int function_value(const state *s, size_t at, size_t *body, size_t *last) {
  if (is(s, at, "async") && !arrow(s, at + 1)) at++;
  if (is(s, at, "function")) {
    at++;
    if (kind_at(s, at) == '*') return 0;
    if (kind_at(s, at) == CW_TOKEN_NAME) at++;
    *body = after_parameters(s, at);
    if (*body == 0 || kind_at(s, *body) != '{') return 0;
  } else {
    size_t end = kind_at(s, at) == CW_TOKEN_NAME ? at + 1 : after_parameters(s, at);
    if (end == 0 || !arrow(s, end)) return 0;
    *body = end + 2;
  }
  *last = expression_end(s, *body);
  return kind_at(s, *body) != '{' || *last + 1 == after(s, *body);
}

static void import_string(state *s, size_t token) {
  const cw_token *t = &s->l->tokens[token];
  if (t->kind != CW_TOKEN_STRING || t->size < 3 || memchr(s->l->text + t->at, '\n', t->size) != NULL) return;
  cw_defs_import(s->d, s->l->text + t->at + 1, t->size - 2);
  cw_defs_import(s->d, "\n", 1);
}

static size_t class_token(state *s, size_t i) {
  size_t name = i + 1, at = name + 1;
  if (kind_at(s, name) != CW_TOKEN_NAME || !begins_statement(s, beginning(s, i, 1)) || (i > 0 && kind_at(s, i - 1) == '.')) return i + 1;
  while (at < s->l->count && at < i + HEADER_MAX && kind_at(s, at) != '{') {
    uint8_t kind = kind_at(s, at);
    if (kind == ';' || kind == '}' || kind == ')' || kind == '=' || kind == ':') return i + 1;
    size_t end = kind == '<' ? after_angles(s, at) : kind == '(' || kind == '[' ? after(s, at) : at + 1;
    at = end > at ? end : at + 1;
  }
  if (kind_at(s, at) != '{') return i + 1;
  int32_t made = cw_defs_add(s->d, CW_DEF_CLASS, line_of(s, beginning(s, i, is(s, i, "class"))), line_of(s, at), line_of(s, s->d->match[at]), name, outer(s));
  enter(s, after(s, at), made);
  return at + 1;
}

static size_t token(state *s, size_t i) {
  static const char *const classes[] = {"class", "interface", "enum", NULL};
  static const char *const statements[] = {"if", "for", "while", "switch", "catch", "with", "function", "return", "await", "async", NULL};
  uint8_t kind = kind_at(s, i);
  if (is_one_of(s, i, classes)) return class_token(s, i);
  if (is(s, i, "function") && begins_statement(s, beginning(s, i, 0))) {
    size_t name = i + 1 + (kind_at(s, i + 1) == '*');
    if (kind_at(s, name) != CW_TOKEN_NAME) return i + 1;
    size_t body = after_parameters(s, name + 1);
    if (body == 0 || kind_at(s, body) != '{') return name + 1;
    int32_t made = cw_defs_add(s->d, CW_DEF_FUNCTION, line_of(s, beginning(s, i, 0)), line_of(s, body), line_of(s, s->d->match[body]), name, outer(s));
    enter(s, after(s, body), made);
    return name + 1;
  }
  if (is(s, i, "const") || is(s, i, "let") || is(s, i, "var")) {
    size_t name = i + 1;
    if (kind_at(s, name) != CW_TOKEN_NAME || (i > 0 && kind_at(s, i - 1) == '.')) return i + 1;
    size_t at = kind_at(s, name + 1) == ':' ? after_type(s, name + 2) : name + 1, body, last;
    if (kind_at(s, at) != '=' || arrow(s, at)) return i + 1;
    int exported = i > 0 && is(s, i - 1, "export");
    if (function_value(s, at + 1, &body, &last)) {
      int32_t made = cw_defs_add(s->d, CW_DEF_FUNCTION, line_of(s, name), line_of(s, body < s->l->count ? body : at), last_line_of(s, last), name, outer(s));
      enter(s, last + 1, made);
    } else if (s->count == 0 && (exported || is(s, i, "const"))) {
      cw_defs_add(s->d, is(s, i, "const") ? CW_DEF_CONSTANT : CW_DEF_VARIABLE, line_of(s, beginning(s, i, 0)), line_of(s, i),
                  last_line_of(s, expression_end(s, at + 1)), name, -1);
    }
    return name + 1;
  }
  if (is(s, i, "type") && kind_at(s, i + 1) == CW_TOKEN_NAME && s->l->language == CW_LANG_TYPESCRIPT && begins_statement(s, i)) {
    size_t at = kind_at(s, i + 2) == '<' ? after_angles(s, i + 2) : i + 2;
    if (kind_at(s, at) != '=') return i + 1;
    cw_defs_add(s->d, CW_DEF_TYPE, line_of(s, beginning(s, i, 0)), line_of(s, i), last_line_of(s, expression_end(s, at + 1)), i + 1, outer(s));
    return i + 2;
  }
  if (is(s, i, "from") || is(s, i, "import")) {
    if (kind_at(s, i + 1) == CW_TOKEN_STRING) import_string(s, i + 1);
    else if (is(s, i, "import") && kind_at(s, i + 1) == '(' && kind_at(s, i + 2) == CW_TOKEN_STRING) import_string(s, i + 2);
    return i + 1;
  }
  if (is(s, i, "require") && kind_at(s, i + 1) == '(' && kind_at(s, i + 2) == CW_TOKEN_STRING) {
    import_string(s, i + 2);
    return i + 3;
  }
  /* A method: name(...) {, in a class or an object. Nothing else looks so, apart from statements that begin with a word of the language. */
  int named = kind == CW_TOKEN_NAME || kind == CW_TOKEN_STRING || kind == CW_TOKEN_NUMBER || kind == ']';
  size_t open = i + 1 + (kind_at(s, i + 1) == '?' && kind_at(s, i + 2) != '.');
  if (named && (kind_at(s, open) == '(' || kind_at(s, open) == '<') && !is_one_of(s, i, statements)) {
    size_t name = kind == ']' && s->d->match[i] < i ? s->d->match[i] : i;
    size_t first = beginning(s, name - (name > 0 && kind_at(s, name - 1) == '#'), 0);
    uint8_t before = first > 0 ? kind_at(s, first - 1) : 0;
    if (before != 0 && before != '{' && before != '}' && before != ',' && before != ';' && !begins_statement(s, first)) return i + 1;
    size_t body = after_parameters(s, open);
    if (body == 0 || kind_at(s, body) != '{') return i + 1;
    if (before == ')' && s->l->tokens[body].line != line_of(s, name)) return i + 1;
    int32_t made = cw_defs_add(s->d, CW_DEF_FUNCTION, line_of(s, first), line_of(s, body), line_of(s, s->d->match[body]), name, outer(s));
    if (made >= 0 && kind == ']') {
      cw_def *def = &s->d->defs[made];
      uint32_t size = s->l->tokens[i].at + 1 - def->name_at;
      def->name_size = size < 200 ? size : 200;
    }
    if (made >= 0 && name > 0 && kind_at(s, name - 1) == '#') {
      s->d->defs[made].name_at--;
      s->d->defs[made].name_size++;
    }
    enter(s, after(s, body), made);
  }
  return i + 1;
}

void cw_defs_script(cw_defs *d) {
  state s = {.d = d, .l = d->l};
  for (size_t i = 0; i < s.l->count && d->status == CW_OK;) {
    while (s.count > 0 && i >= s.open[s.count - 1].end) s.count--;
    i = token(&s, i);
  }
}
