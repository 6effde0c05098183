/* defs_braces.c: definitions of C, C++, Java, C#, Go and Rust, by what stands before their braces.
 *
 * Tokens are walked once. Where one begins a definition its end is the bracket that matches its brace; the body of a class is walked on,
 * that of a function is passed over (in Java walked for the classes in it). */
#include <string.h>

#include "index/defs.h"

enum { SCOPES_MAX = 128, HEADER_MAX = 512 };

typedef struct {
  size_t end; /* the token that closes it */
  int32_t def;
  uint8_t is_class; /* members may follow; else statements */
} scope;

typedef struct {
  cw_defs *d;
  cw_lexer *l;
  scope scopes[SCOPES_MAX];
  uint32_t count;
  size_t template_end; /* after the last template<...>, which is no part of what it stands before */
} state;

static uint8_t kind_at(const state *s, size_t token) { return token < s->l->count ? s->l->tokens[token].kind : 0; }

static int is(const state *s, size_t token, const char *word) { return cw_token_is(s->l, token, word); }

static int is_one_of(const state *s, size_t token, const char *const *words) {
  if (kind_at(s, token) != CW_TOKEN_NAME) return 0;
  for (; *words != NULL; words++)
    if (is(s, token, *words)) return 1;
  return 0;
}

/* After the bracket that matches the one at `open`; the end where none does. */
static size_t after(const state *s, size_t open) {
  size_t match = s->d->match[open];
  return match < s->l->count ? match + 1 : s->l->count;
}

static int adjacent(const state *s, size_t token) { /* to the one after */
  const cw_token *t = &s->l->tokens[token];
  return token + 1 < s->l->count && t[1].at == t->at + t->size;
}

/* After <...> that begins at `open`, or `open` itself when it is not closed before a ; or brace. */
static size_t after_angles(const state *s, size_t open) {
  int depth = 0;
  for (size_t i = open; i < s->l->count && i < open + HEADER_MAX; i++) {
    uint8_t kind = kind_at(s, i);
    if (kind == '<') depth++;
    else if (kind == '>' && i > 0 && kind_at(s, i - 1) == '-' && adjacent(s, i - 1)) continue; /* -> */
    else if (kind == '>' && --depth == 0) return i + 1;
    else if (kind == '(' || kind == '[') i = after(s, i) - 1;
    else if (kind == ';' || kind == '{' || kind == '}') return open;
  }
  return open;
}

static int32_t outer(const state *s) { return s->count > 0 ? s->scopes[s->count - 1].def : -1; }

static void enter(state *s, size_t open, int32_t def, int is_class) {
  if (s->count < SCOPES_MAX && s->d->match[open] < s->l->count) s->scopes[s->count++] = (scope){s->d->match[open], def, (uint8_t)is_class};
}

static uint32_t line_of(const state *s, size_t token) {
  return token < s->l->count ? s->l->tokens[token].line : s->l->count > 0 ? s->l->tokens[s->l->count - 1].last_line : 1;
}

/* The line that a brace's match is on; the last one of the file where it has none. */
static uint32_t closing_line(const state *s, size_t open) { return line_of(s, s->d->match[open]); }

/* First token of the declaration that `token` belongs to. */
static size_t beginning(const state *s, size_t token) {
  size_t at = token, floor = token > HEADER_MAX ? token - HEADER_MAX : 0;
  if (s->template_end <= token && s->template_end > floor) floor = s->template_end;
  while (at > floor) {
    uint8_t kind = kind_at(s, at - 1);
    if (kind == ';' || kind == '{' || kind == '}' || kind == CW_TOKEN_DEFINE || kind == '#') break;
    if (kind == ':' && at >= 2 && kind_at(s, at - 2) == CW_TOKEN_NAME) { /* public: */
      static const char *const labels[] = {"public", "private", "protected", "signals", "slots", NULL};
      if (is_one_of(s, at - 2, labels)) break;
    }
    if ((kind == ')' || kind == ']') && s->d->match[at - 1] < at) at = s->d->match[at - 1];
    else at--;
  }
  return at;
}

/* ---- C and C++ ------------------------------------------------------------------------------------------------------------------ */

static int is_macro_name(const state *s, size_t token) {
  const cw_token *t = &s->l->tokens[token];
  if (t->kind != CW_TOKEN_NAME) return 0;
  for (uint32_t i = 0; i < t->size; i++)
    if (cw_byte_class[s->l->text[t->at + i]] == CW_BYTE_LOWER) return t->size > 1 && s->l->text[t->at] == '_' && s->l->text[t->at + 1] == '_';
  return 1;
}

/* struct, class, union or enum with a name and a body at token i; returns its brace, or 0. */
static size_t c_class(const state *s, size_t i, size_t *name) {
  static const char *const words[] = {"struct", "class", "union", "enum", "interface", NULL};
  if (!is_one_of(s, i, words)) return 0;
  int cpp = s->l->language == CW_LANG_CPP || s->l->language == CW_LANG_C;
  size_t at = i + 1;
  *name = 0;
  if (is(s, i, "enum") && (is(s, at, "class") || is(s, at, "struct"))) at++;
  for (; at < s->l->count && at < i + HEADER_MAX; at++) {
    uint8_t kind = kind_at(s, at);
    if (kind == '{') return *name != 0 ? at : 0;
    if (kind == '[' || kind == '(') {
      at = after(s, at) - 1;
    } else if (kind == '<' && *name != 0) {
      size_t end = after_angles(s, at);
      if (end == at) return 0;
      at = end - 1;
    } else if (kind == CW_TOKEN_NAME) {
      if (*name != 0 && !is(s, at, "final") && !is_macro_name(s, *name)) {
        if (!(kind_at(s, at - 1) == ':' && kind_at(s, at - 2) == ':')) return 0; /* struct x y: no definition of x */
      }
      if (!is(s, at, "final") && !is(s, at, "alignas") && !is(s, at, "__attribute__")) *name = at;
    } else if (kind == ':' && kind_at(s, at + 1) == ':' && cpp) {
      at++;
    } else if (kind == ':' && *name != 0) { /* bases */
      for (at++; at < s->l->count && at < i + HEADER_MAX; at++) {
        kind = kind_at(s, at);
        if (kind == '{') return at;
        if (kind == ';' || kind == ')' || kind == '}') return 0;
        if (kind == '(') at = after(s, at) - 1;
      }
      return 0;
    } else {
      return 0;
    }
  }
  return 0;
}

/* After the parameters that end before token `at`: the brace of the body, the ; of `= default;`, or 0 when this is no definition. */
static size_t c_body(const state *s, size_t at, size_t open) {
  static const char *const qualifiers[] = {"const", "noexcept", "override", "final", "volatile", "throw", "try", "requires",
                                           "__attribute__", "mutable", "constexpr", NULL};
  int cpp = s->l->language == CW_LANG_CPP || s->l->language == CW_LANG_C;
  for (size_t i = at; i < s->l->count && i < at + HEADER_MAX; i++) {
    uint8_t kind = kind_at(s, i);
    if (kind == '{') return i;
    if (kind == '(' || (kind == '[' && kind_at(s, i + 1) == '[')) {
      i = after(s, i) - 1;
    } else if (kind == '&' || (kind == ':' && kind_at(s, i + 1) == ':')) {
      i += kind == ':';
    } else if (kind == '-' && kind_at(s, i + 1) == '>') { /* the type of the result */
      for (i += 2; i < s->l->count && i < at + HEADER_MAX && kind_at(s, i) != '{'; i++) {
        if (kind_at(s, i) == ';' || kind_at(s, i) == '=' || kind_at(s, i) == '}') return 0;
        if (kind_at(s, i) == '(') i = after(s, i) - 1;
      }
      return kind_at(s, i) == '{' ? i : 0;
    } else if (kind == ':' && cpp) { /* members of a constructor: name(...) or name{...} */
      for (i++; i < s->l->count && i < at + 4 * HEADER_MAX; i++) {
        kind = kind_at(s, i);
        if (kind == '(' || (kind == '{' && kind_at(s, i - 1) == CW_TOKEN_NAME)) i = after(s, i) - 1;
        else if (kind == '{') return i;
        else if (kind == ';' || kind == '}') return 0;
      }
      return 0;
    } else if (kind == '=' && (is(s, i + 1, "default") || is(s, i + 1, "delete")) && kind_at(s, i + 2) == ';') {
      return i + 2;
    } else if (kind == CW_TOKEN_NAME && (is_one_of(s, i, qualifiers) || is_macro_name(s, i))) {
      continue;
    } else if (kind == CW_TOKEN_NAME && s->l->language == CW_LANG_C) { /* int f(a) int a; {: parameters of names alone */
      for (size_t name = open + 1; name + 1 < at; name++)
        if (kind_at(s, name) != CW_TOKEN_NAME && kind_at(s, name) != ',') return 0;
      for (; i < s->l->count && i < at + HEADER_MAX && kind_at(s, i) != '{'; i++)
        if (kind_at(s, i) == '(' || kind_at(s, i) == '}' || kind_at(s, i) == '=') return 0;
      return kind_at(s, i) == '{' && kind_at(s, i - 1) == ';' ? i : 0;
    } else {
      return 0;
    }
  }
  return 0;
}

/* First token of the name that ends at `token`: Outer::inner, ~Thing, operator==. */
static size_t c_name(const state *s, size_t token) {
  size_t at = token;
  for (;;) {
    if (at >= 1 && kind_at(s, at - 1) == '~') at--;
    if (at < 2 || kind_at(s, at - 1) != ':' || kind_at(s, at - 2) != ':') return at;
    size_t before = at - 3;
    if (at < 3) return at;
    if (kind_at(s, before) == '>') { /* Outer<T>::inner */
      int depth = 0;
      while (before > 0 && before + 64 > at) {
        depth += kind_at(s, before) == '>';
        depth -= kind_at(s, before) == '<';
        if (depth == 0) break;
        before--;
      }
      if (before == 0) return at;
      before--;
    }
    if (kind_at(s, before) != CW_TOKEN_NAME) return at - 2;
    at = before;
  }
}

static int32_t add_named(state *s, cw_def_kind kind, size_t first, size_t signature, uint32_t last_line, size_t from, size_t to) {
  int32_t made = cw_defs_add(s->d, kind, line_of(s, first), line_of(s, signature), last_line, from, outer(s));
  if (made >= 0) {
    const cw_token *end = &s->l->tokens[to];
    uint32_t size = end->at + end->size - s->d->defs[made].name_at;
    s->d->defs[made].name_size = size < 200 ? size : 200;
  }
  return made;
}

static size_t c_token(state *s, size_t i) {
  static const char *const statements[] = {"if", "for", "while", "switch", "return", "sizeof", "do", "else", "catch", "defined",
                                           "alignas", "decltype", "__attribute__", "static_assert", "int", "char", "void", "long",
                                           "short", "unsigned", "signed", "float", "double", "bool", "auto", "throw", "new", "delete", "_Static_assert", "assert", NULL};
  uint8_t kind = kind_at(s, i);
  size_t name;
  if (kind == '#') {
    const cw_token *t = &s->l->tokens[i];
    for (uint32_t at = 0; at < t->size; at++) {
      uint8_t byte = s->l->text[t->at + at];
      if (byte != '"' && byte != '<') continue;
      uint32_t end = at + 1;
      while (end < t->size && s->l->text[t->at + end] != (byte == '"' ? '"' : '>')) end++;
      cw_defs_import(s->d, s->l->text + t->at + at, end - at + (end < t->size));
      cw_defs_import(s->d, "\n", 1);
      break;
    }
    return i + 1;
  }
  if (kind == CW_TOKEN_DEFINE) {
    cw_defs_add(s->d, CW_DEF_MACRO, line_of(s, i), line_of(s, i), s->l->tokens[i].last_line, i, -1);
    return i + 1;
  }
  if (is(s, i, "template") && kind_at(s, i + 1) == '<') {
    size_t end = after_angles(s, i + 1);
    if (end > i + 1) s->template_end = end;
    return end;
  }
  size_t brace = c_class(s, i, &name);
  if (brace != 0) {
    cw_def_kind made_kind = is(s, i, "enum") || is(s, i, "union") ? CW_DEF_TYPE : CW_DEF_CLASS;
    int32_t made = add_named(s, made_kind, i, brace, closing_line(s, brace), c_name(s, name), name);
    if (is(s, i, "enum")) return after(s, brace);
    enter(s, brace, made, 1);
    return brace + 1;
  }
  if (is(s, i, "typedef") && (is(s, i + 1, "struct") || is(s, i + 1, "union") || is(s, i + 1, "enum")) && kind_at(s, i + 2) == '{') {
    size_t end = after(s, i + 2);
    if (kind_at(s, end) == CW_TOKEN_NAME) cw_defs_add(s->d, CW_DEF_TYPE, line_of(s, i), line_of(s, i + 2), line_of(s, end), end, outer(s));
    return end;
  }
  if (is(s, i, "namespace") || (is(s, i, "extern") && kind_at(s, i + 1) == CW_TOKEN_STRING)) {
    size_t at = i + 1;
    while (at < i + 32 && (kind_at(s, at) == CW_TOKEN_NAME || kind_at(s, at) == CW_TOKEN_STRING || kind_at(s, at) == ':')) at++;
    return kind_at(s, at) == '{' ? at + 1 : i + 1;
  }
  if (kind == CW_TOKEN_NAME && is(s, i, "operator") && s->l->language != CW_LANG_C) {
    size_t open = i + 1;
    if (kind_at(s, open) == '(' && kind_at(s, open + 1) == ')') open += 2;
    while (open < i + 16 && open < s->l->count && kind_at(s, open) != '(') open++;
    if (kind_at(s, open) != '(') return i + 1;
    size_t body = c_body(s, after(s, open), open);
    if (body == 0) return after(s, open);
    uint32_t last = kind_at(s, body) == '{' ? closing_line(s, body) : line_of(s, body);
    add_named(s, CW_DEF_FUNCTION, beginning(s, c_name(s, i)), body, last, c_name(s, i), open - 1);
    return kind_at(s, body) == '{' ? after(s, body) : body + 1;
  }
  if (kind == CW_TOKEN_NAME && kind_at(s, i + 1) == '(' && !is_one_of(s, i, statements)) {
    size_t open = i + 1, end = after(s, open), body = c_body(s, end, open), first_name = c_name(s, i);
    size_t first = beginning(s, first_name);
    int assigned = first_name > 0 && kind_at(s, first_name - 1) == '=';
    if (body != 0 && !assigned) {
      /* A macro with arguments before the declaration: its name is no type. */
      uint32_t last = kind_at(s, body) == '{' ? closing_line(s, body) : line_of(s, body);
      add_named(s, CW_DEF_FUNCTION, first, body, last, first_name, i);
      return kind_at(s, body) == '{' ? after(s, body) : body + 1;
    }
    return end;
  }
  if (kind == '{' || kind == '(' || kind == '[') return after(s, i);
  return i + 1;
}

/* ---- Java and C# ---------------------------------------------------------------------------------------------------------------- */

static void java_import(state *s, size_t i) {
  for (size_t at = i + 1; at < s->l->count && kind_at(s, at) != ';' && at < i + 64; at++) {
    if (is(s, at, "static")) continue;
    cw_defs_import(s->d, s->l->text + s->l->tokens[at].at, s->l->tokens[at].size);
  }
  cw_defs_import(s->d, "\n", 1);
}

static size_t java_token(state *s, size_t i) {
  static const char *const classes[] = {"class", "interface", "enum", "record", "struct", NULL};
  static const char *const statements[] = {"if", "for", "while", "switch", "return", "new", "catch", "synchronized", "super", "this", "else",
                                           "try", "throw", "assert", "using", "lock", "foreach", "when", NULL};
  uint8_t kind = kind_at(s, i);
  int in_class = s->count > 0 && s->scopes[s->count - 1].is_class;
  if ((is(s, i, "import") || is(s, i, "using")) && s->count == 0) {
    java_import(s, i);
    while (i < s->l->count && kind_at(s, i) != ';') i++;
    return i + 1;
  }
  if (is_one_of(s, i, classes) && kind_at(s, i + 1) == CW_TOKEN_NAME && (i == 0 || kind_at(s, i - 1) != '.')) {
    size_t at = i + 2;
    if (kind_at(s, at) == '(') at = after(s, at);
    while (at < s->l->count && at < i + HEADER_MAX && kind_at(s, at) != '{' && kind_at(s, at) != ';' && kind_at(s, at) != '}' && kind_at(s, at) != '=')
      at++;
    if (kind_at(s, at) == '{') {
      int32_t made = cw_defs_add(s->d, CW_DEF_CLASS, line_of(s, beginning(s, i)), line_of(s, at), closing_line(s, at), i + 1, outer(s));
      enter(s, at, made, 1);
      return at + 1;
    }
  }
  if (kind == '@' && kind_at(s, i + 1) == CW_TOKEN_NAME && !is(s, i + 1, "interface")) { /* an annotation */
    size_t at = i + 2;
    while (kind_at(s, at) == '.' && kind_at(s, at + 1) == CW_TOKEN_NAME) at += 2;
    return kind_at(s, at) == '(' ? after(s, at) : at;
  }
  if (is(s, i, "new") && kind_at(s, i + 1) == CW_TOKEN_NAME) { /* new Thing(...) {: a class without a name */
    size_t at = i + 2;
    while (kind_at(s, at) == '.' && kind_at(s, at + 1) == CW_TOKEN_NAME) at += 2;
    if (kind_at(s, at) == '<') at = after_angles(s, at);
    if (kind_at(s, at) == '(' && kind_at(s, after(s, at)) == '{') {
      enter(s, after(s, at), outer(s), 1);
      return i + 2;
    }
    return i + 2;
  }
  if (in_class && kind == CW_TOKEN_NAME && kind_at(s, i + 1) == '(' && !is_one_of(s, i, statements)) {
    size_t first = beginning(s, i), at = after(s, i + 1);
    int assigned = 0, constant = first == i; /* constants of an enum begin with their name, and so do constructors */
    for (size_t back = first; back < i; back++) assigned |= kind_at(s, back) == '=' || (kind_at(s, back) == '-' && kind_at(s, back + 1) == '>');
    if (is(s, at, "throws"))
      while (at < s->l->count && kind_at(s, at) != '{' && kind_at(s, at) != ';') at++;
    while (kind_at(s, at) == '[' || kind_at(s, at) == ']') at++;
    if (!assigned && kind_at(s, at) == '{') {
      if (constant) { /* a constructor has the name of its class */
        int32_t of = s->scopes[s->count - 1].def;
        const cw_token *t = &s->l->tokens[i];
        constant = of < 0 || s->d->defs[of].name_size != t->size || memcmp(s->l->text + s->d->defs[of].name_at, s->l->text + t->at, t->size) != 0;
      }
      if (constant) {
        enter(s, at, outer(s), 1);
        return i + 2;
      }
      int32_t made = cw_defs_add(s->d, CW_DEF_FUNCTION, line_of(s, first), line_of(s, at), closing_line(s, at), i, outer(s));
      enter(s, at, made, 0);
      return at + 1;
    }
    if (!assigned && !constant && (kind_at(s, at) == ';' || is(s, at, "default")) && i > 0 && kind_at(s, i - 1) != '.') {
      while (at < s->l->count && kind_at(s, at) != ';') at++;
      cw_defs_add(s->d, CW_DEF_FUNCTION, line_of(s, first), line_of(s, at), line_of(s, at), i, outer(s));
      return at + 1;
    }
  }
  if (kind == '{' && in_class && s->scopes[s->count - 1].end != s->d->match[i]) { /* an initialiser, or a value in braces */
    enter(s, i, outer(s), 0);
    return i + 1;
  }
  return i + 1;
}

/* ---- Go ------------------------------------------------------------------------------------------------------------------------- */

static void go_import(state *s, size_t i) {
  size_t end = kind_at(s, i + 1) == '(' ? after(s, i + 1) : i + 4;
  for (size_t at = i + 1; at < end && at < s->l->count; at++) {
    const cw_token *t = &s->l->tokens[at];
    if (end == i + 4 && t->line != s->l->tokens[i].line) break;
    if (t->kind != CW_TOKEN_STRING || t->size < 3) continue;
    cw_defs_import(s->d, s->l->text + t->at + 1, t->size - 2);
    cw_defs_import(s->d, "\n", 1);
  }
}

static size_t go_token(state *s, size_t i) {
  uint8_t kind = kind_at(s, i);
  if (is(s, i, "import")) {
    go_import(s, i);
    return kind_at(s, i + 1) == '(' ? after(s, i + 1) : i + 1;
  }
  if (is(s, i, "func")) {
    size_t name = i + 1;
    if (kind_at(s, name) == '(') name = after(s, name);
    if (kind_at(s, name) != CW_TOKEN_NAME) return i + 1;
    size_t at = name + 1;
    if (kind_at(s, at) == '[') at = after(s, at);
    if (kind_at(s, at) != '(') return i + 1;
    at = after(s, at);
    uint32_t line = line_of(s, at - 1);
    for (; at < s->l->count && at < i + HEADER_MAX; at++) {
      kind = kind_at(s, at);
      if (kind == '(' || kind == '[') {
        at = after(s, at) - 1;
      } else if (kind == '{') {
        if (is(s, at - 1, "interface") || is(s, at - 1, "struct")) at = after(s, at) - 1;
        else break;
      } else if (line_of(s, at) != line && kind != '.' && kind != '*') {
        break;
      }
      line = line_of(s, at < s->l->count ? at : s->l->count - 1);
    }
    int has_body = kind_at(s, at) == '{';
    cw_defs_add(s->d, CW_DEF_FUNCTION, line_of(s, i), has_body ? line_of(s, at) : line, has_body ? closing_line(s, at) : line, name, -1);
    return has_body ? after(s, at) : at;
  }
  if (is(s, i, "type") && s->count == 0) {
    size_t from = i + 1, end = i + 2;
    if (kind_at(s, from) == '(') {
      end = after(s, from);
      from++;
    }
    for (size_t at = from; at < end && at < s->l->count; at++) { /* one name, or several in parentheses */
      if (kind_at(s, at) != CW_TOKEN_NAME) continue;
      size_t name = at, body = at + 1;
      if (kind_at(s, body) == '[' && kind_at(s, body + 1) == CW_TOKEN_NAME && kind_at(s, body + 2) != ']') body = after(s, body);
      if (kind_at(s, body) == '=') body++;
      int is_class = (is(s, body, "struct") || is(s, body, "interface")) && kind_at(s, body + 1) == '{';
      if (is_class) {
        cw_defs_add(s->d, CW_DEF_CLASS, line_of(s, from == i + 1 ? i : name), line_of(s, body + 1), closing_line(s, body + 1), name, -1);
        at = s->d->match[body + 1];
      } else {
        cw_defs_add(s->d, CW_DEF_TYPE, line_of(s, name), line_of(s, name), line_of(s, name), name, -1);
        for (uint32_t line = line_of(s, name); at + 1 < s->l->count && line_of(s, at + 1) == line; at++)
          if ((kind_at(s, at + 1) == '(' || kind_at(s, at + 1) == '{') && s->d->match[at + 1] < s->l->count) at = s->d->match[at + 1] - 1;
      }
    }
    return end > i + 2 ? end : i + 2;
  }
  if ((is(s, i, "const") || is(s, i, "var")) && kind_at(s, i + 1) == CW_TOKEN_NAME) {
    cw_defs_add(s->d, is(s, i, "const") ? CW_DEF_CONSTANT : CW_DEF_VARIABLE, line_of(s, i), line_of(s, i), line_of(s, i), i + 1, -1);
    return i + 2;
  }
  if (is(s, i, "const") && kind_at(s, i + 1) == '(') {
    size_t end = after(s, i + 1);
    for (size_t at = i + 2; at < end; at++)
      if (kind_at(s, at) == CW_TOKEN_NAME && line_of(s, at) > line_of(s, at - 1))
        cw_defs_add(s->d, CW_DEF_CONSTANT, line_of(s, at), line_of(s, at), line_of(s, at), at, -1);
    return end;
  }
  if (kind == '{' || kind == '(' || kind == '[') return after(s, i);
  return i + 1;
}

/* ---- Rust ----------------------------------------------------------------------------------------------------------------------- */

/* First token of an item: before its word stand pub, pub(crate), async, unsafe, const, extern "C", default. */
static size_t rust_beginning(const state *s, size_t i) {
  static const char *const words[] = {"pub", "async", "unsafe", "const", "extern", "default", "safe", NULL};
  for (;;) {
    if (i == 0) return i;
    if (is_one_of(s, i - 1, words)) i--;
    else if (kind_at(s, i - 1) == CW_TOKEN_STRING && i >= 2 && is(s, i - 2, "extern")) i -= 2;
    else if (kind_at(s, i - 1) == ')' && s->d->match[i - 1] >= 1 && s->d->match[i - 1] < i && is(s, s->d->match[i - 1] - 1, "pub"))
      i = s->d->match[i - 1] - 1;
    else return i;
  }
}

/* From `at` to the brace or the semicolon that ends a header; types may hold braces only in brackets. */
static size_t rust_header(const state *s, size_t at) {
  for (size_t i = at; i < s->l->count && i < at + 4 * HEADER_MAX; i++) {
    uint8_t kind = kind_at(s, i);
    if (kind == '{' || kind == ';' || kind == '}') return i;
    if (kind == '(' || kind == '[') i = after(s, i) - 1;
  }
  return s->l->count;
}

/* use a::b::{c, d as e}; gives "a::b::c" and "a::b::d" as one line of what is written, without blanks. */
static size_t rust_use(state *s, size_t i) {
  size_t at = i + 1;
  for (; at < s->l->count && kind_at(s, at) != ';' && at < i + 400; at++) {
    if (is(s, at, "as")) {
      at++;
      continue;
    }
    cw_defs_import(s->d, s->l->text + s->l->tokens[at].at, s->l->tokens[at].size);
  }
  cw_defs_import(s->d, "\n", 1);
  return at;
}

static size_t rust_token(state *s, size_t i) {
  static const char *const classes[] = {"struct", "enum", "trait", "union", NULL};
  uint8_t kind = kind_at(s, i);
  if (kind == '#' && (kind_at(s, i + 1) == '[' || (kind_at(s, i + 1) == '!' && kind_at(s, i + 2) == '[')))
    return after(s, kind_at(s, i + 1) == '[' ? i + 1 : i + 2);
  if (is(s, i, "use")) return rust_use(s, i);
  if (is(s, i, "mod") && kind_at(s, i + 1) == CW_TOKEN_NAME && kind_at(s, i + 2) == ';') {
    cw_defs_import(s->d, "mod ", 4);
    cw_defs_import(s->d, s->l->text + s->l->tokens[i + 1].at, s->l->tokens[i + 1].size);
    cw_defs_import(s->d, "\n", 1);
    return i + 3;
  }
  if (is(s, i, "fn") && kind_at(s, i + 1) == CW_TOKEN_NAME) {
    size_t end = rust_header(s, i + 2);
    uint32_t first = line_of(s, rust_beginning(s, i));
    if (kind_at(s, end) != '{') return end;
    int32_t made = cw_defs_add(s->d, CW_DEF_FUNCTION, first, line_of(s, end), closing_line(s, end), i + 1, outer(s));
    enter(s, end, made, 0);
    return end + 1;
  }
  if (is_one_of(s, i, classes) && kind_at(s, i + 1) == CW_TOKEN_NAME && (kind_at(s, i + 2) == '{' || kind_at(s, i + 2) == '<' ||
      kind_at(s, i + 2) == '(' || kind_at(s, i + 2) == ';' || kind_at(s, i + 2) == ':' || is(s, i + 2, "where"))) {
    size_t end = rust_header(s, i + 2);
    uint32_t last = kind_at(s, end) == '{' ? closing_line(s, end) : line_of(s, end);
    int32_t made = cw_defs_add(s->d, CW_DEF_CLASS, line_of(s, rust_beginning(s, i)), line_of(s, end), last, i + 1, outer(s));
    if (kind_at(s, end) != '{') return end + 1;
    if (!is(s, i, "trait")) return after(s, end);
    enter(s, end, made, 1);
    return end + 1;
  }
  if (is(s, i, "impl") && (i == 0 || kind_at(s, i - 1) == '}' || kind_at(s, i - 1) == ';' || kind_at(s, i - 1) == ']' || kind_at(s, i - 1) == '{' ||
                           is(s, i - 1, "unsafe") || is(s, i - 1, "default"))) {
    size_t at = i + 1;
    if (kind_at(s, at) == '<') at = after_angles(s, at);
    size_t end = rust_header(s, at), name = 0;
    if (kind_at(s, end) != '{') return i + 1;
    for (size_t t = at; t < end; t++) { /* the type after `for`, else the first; the last part of its path */
      if (is(s, t, "where")) break;
      if (is(s, t, "for") && kind_at(s, t + 1) != '<') name = 0, at = t + 1;
    }
    for (size_t t = at; t < end && !is(s, t, "where") && name == 0; t++)
      if (kind_at(s, t) == CW_TOKEN_NAME && !is(s, t, "dyn") && !is(s, t, "mut")) {
        name = t;
        while (kind_at(s, name + 1) == ':' && kind_at(s, name + 2) == ':' && kind_at(s, name + 3) == CW_TOKEN_NAME) name += 3;
      }
    if (name == 0) {
      enter(s, end, outer(s), 1);
      return end + 1;
    }
    size_t first = rust_beginning(s, i);
    int32_t made = cw_defs_add(s->d, CW_DEF_CLASS, line_of(s, first), line_of(s, end), closing_line(s, end), name, outer(s));
    enter(s, end, made, 1);
    return end + 1;
  }
  if (is(s, i, "macro_rules") && kind_at(s, i + 1) == '!' && kind_at(s, i + 2) == CW_TOKEN_NAME) {
    size_t open = i + 3;
    if (kind_at(s, open) != '{' && kind_at(s, open) != '(') return i + 1;
    cw_defs_add(s->d, CW_DEF_MACRO, line_of(s, i), line_of(s, open), closing_line(s, open), i + 2, -1);
    return after(s, open);
  }
  if ((is(s, i, "const") || is(s, i, "static")) && kind_at(s, i + 1) == CW_TOKEN_NAME && kind_at(s, i + 2) == ':' &&
      (s->count == 0 || s->scopes[s->count - 1].is_class)) {
    size_t end = i + 2;
    while (end < s->l->count && kind_at(s, end) != ';' && kind_at(s, end) != '}' && end < i + HEADER_MAX)
      end = kind_at(s, end) == '{' || kind_at(s, end) == '(' || kind_at(s, end) == '[' ? after(s, end) : end + 1;
    cw_defs_add(s->d, CW_DEF_CONSTANT, line_of(s, rust_beginning(s, i)), line_of(s, i), line_of(s, end), i + 1, outer(s));
    return i + 2;
  }
  if (kind == CW_TOKEN_NAME && kind_at(s, i + 1) == '!' && (kind_at(s, i + 2) == '{' || kind_at(s, i + 2) == '(' || kind_at(s, i + 2) == '['))
    return after(s, i + 2); /* a macro's arguments are no code yet */
  return i + 1;
}

void cw_defs_braces(cw_defs *d) {
  state s = {.d = d, .l = d->l};
  for (size_t i = 0; i < s.l->count && d->status == CW_OK;) {
    while (s.count > 0 && i >= s.scopes[s.count - 1].end) s.count--;
    size_t next;
    switch (s.l->language) {
      case CW_LANG_GO:
        next = go_token(&s, i);
        break;
      case CW_LANG_RUST:
        next = rust_token(&s, i);
        break;
      case CW_LANG_JAVA:
      case CW_LANG_CSHARP:
        next = java_token(&s, i);
        break;
      default:
        next = c_token(&s, i);
    }
    i = next > i ? next : i + 1;
  }
}
