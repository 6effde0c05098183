/* lex.c: tokens by lexical rules: comments and strings are told from code, brackets of text are not brackets of code.
 *
 * Only what the finding of definitions needs is exact. Where a literal is not closed it ends with its line, so that one odd place in a
 * file does not hide what follows. */
#include "index/lex.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

enum {
  SLASHES = 1,     /* // and block comments */
  HASH = 2,        /* # to the end of the line */
  NESTED = 4,      /* block comments nest */
  TRIPLE = 8,      /* triple quotes */
  CHARACTER = 16,  /* 'x' is a character, and ' may stand alone (Rust's lifetimes, C++'s 1'000) */
  TICK = 32,       /* `...` is a string over lines */
  TEMPLATE = 64,   /* ... with ${code} in it, and / may begin a regular expression */
  DIRECTIVES = 128, /* # begins a line for the preprocessor */
  RAW_R = 256,     /* r#"..."# */
  RAW_CPP = 512,   /* R"x(...)x" */
  DASHES = 1024,   /* -- to the end of the line */
  PROSE = 2048,    /* no code at all */
  TAGS = 4096,     /* <!-- comments -->, words otherwise */
  KEEP_COMMENTS = 8192
};

static const uint16_t rules_of[CW_LANG_COUNT] = {
    [CW_LANG_NONE] = HASH,
    [CW_LANG_PYTHON] = HASH | TRIPLE | KEEP_COMMENTS,
    [CW_LANG_CYTHON] = HASH | TRIPLE | KEEP_COMMENTS,
    [CW_LANG_JAVASCRIPT] = SLASHES | TICK | TEMPLATE,
    [CW_LANG_TYPESCRIPT] = SLASHES | TICK | TEMPLATE,
    [CW_LANG_VUE] = SLASHES | TICK | TEMPLATE,
    [CW_LANG_C] = SLASHES | CHARACTER | DIRECTIVES,
    [CW_LANG_CPP] = SLASHES | CHARACTER | DIRECTIVES | RAW_CPP,
    [CW_LANG_GO] = SLASHES | CHARACTER | TICK,
    [CW_LANG_RUST] = SLASHES | NESTED | CHARACTER | RAW_R,
    [CW_LANG_JAVA] = SLASHES | CHARACTER | TRIPLE,
    [CW_LANG_CSHARP] = SLASHES | CHARACTER,
    [CW_LANG_PHP] = SLASHES | HASH,
    [CW_LANG_RUBY] = HASH,
    [CW_LANG_SWIFT] = SLASHES | NESTED | TRIPLE,
    [CW_LANG_KOTLIN] = SLASHES | NESTED | TRIPLE | CHARACTER,
    [CW_LANG_SCALA] = SLASHES | NESTED | TRIPLE | CHARACTER,
    [CW_LANG_DART] = SLASHES | NESTED | TRIPLE,
    [CW_LANG_SHELL] = HASH,
    [CW_LANG_LUA] = DASHES,
    [CW_LANG_PERL] = HASH,
    [CW_LANG_SQL] = DASHES | SLASHES,
    [CW_LANG_HTML] = TAGS | PROSE,
    [CW_LANG_CSS] = SLASHES,
    [CW_LANG_JSON] = SLASHES,
    [CW_LANG_YAML] = HASH,
    [CW_LANG_TOML] = HASH | TRIPLE,
    [CW_LANG_XML] = TAGS | PROSE,
    [CW_LANG_MARKDOWN] = PROSE,
    [CW_LANG_RST] = PROSE,
    [CW_LANG_TEXT] = PROSE,
    [CW_LANG_MAKE] = HASH,
    [CW_LANG_CMAKE] = HASH,
    [CW_LANG_HASKELL] = DASHES,
    [CW_LANG_JULIA] = HASH | TRIPLE,
    [CW_LANG_R] = HASH,
    [CW_LANG_ELIXIR] = HASH | TRIPLE,
    [CW_LANG_PROTO] = SLASHES,
    [CW_LANG_DOCKER] = HASH,
};

enum { DEPTH_MAX = 64 }; /* of templates and elements in one another, and of #if */

typedef struct {
  cw_lexer *l;
  uint32_t rules, line;
  size_t at;
  cw_status status;
  uint32_t open;                  /* brackets open, of all kinds */
  struct {
    size_t tokens;                /* where the branch begins */
    uint32_t open, first_open, first; /* brackets open before it; after the first branch; whether it is the first */
  } branch[DEPTH_MAX];
  uint32_t branches;
} cursor;

static uint8_t byte_at(const cursor *c, size_t at) { return at < c->l->size ? c->l->text[at] : 0; }

static __attribute__((noinline)) int grow(cursor *c) {
  size_t room = c->l->room * 2 + 4096;
  cw_token *tokens = realloc(c->l->tokens, room * sizeof *tokens);
  if (tokens == NULL) {
    c->status = CW_E_MEMORY;
    return 0;
  }
  c->l->tokens = tokens;
  c->l->room = room;
  return 1;
}

static inline void push(cursor *c, size_t at, size_t end, uint32_t line, uint8_t kind) {
  cw_lexer *l = c->l;
  if (l->count == l->room && !grow(c)) return;
  l->tokens[l->count++] = (cw_token){(uint32_t)at, (uint32_t)(end - at), line, c->line, kind};
}

static void add_word(cursor *c, size_t at, size_t end, int is_code) {
  cw_status status = cw_words_add(c->l->words, c->l->text, (uint32_t)at, (uint32_t)(end - at), is_code);
  if (status != CW_OK) c->status = status;
}

static inline size_t word_end(const cursor *c, size_t at) {
  const uint8_t *text = c->l->text;
  size_t size = c->l->size;
  while (at < size && cw_byte_class[text[at]] != 0) at++;
  return at;
}

/* The same where "$" is a letter. */
static size_t script_name_end(const cursor *c, size_t at) {
  while (at < c->l->size && (cw_byte_class[c->l->text[at]] != 0 || c->l->text[at] == '$')) at++;
  return at;
}

/* Counts the words of text[at..end), which is no code, and its lines. */
static void words_of_text(cursor *c, size_t at, size_t end) {
  const uint8_t *text = c->l->text;
  while (at < end) {
    uint8_t byte = text[at];
    if (cw_byte_class[byte] != 0) {
      size_t stop = word_end(c, at);
      if (stop > end) stop = end;
      if (stop - at > 1) add_word(c, at, stop, 0);
      at = stop;
    } else {
      c->line += byte == '\n';
      at++;
    }
  }
}

static size_t line_end(const cursor *c, size_t at) {
  const uint8_t *newline = at < c->l->size ? memchr(c->l->text + at, '\n', c->l->size - at) : NULL;
  return newline != NULL ? (size_t)(newline - c->l->text) : c->l->size;
}

/* Where a string of one line or more ends, after its quote; at the end of its line when it is not closed and may not go on. */
static size_t quoted_end(const cursor *c, size_t at, uint8_t quote, int over_lines, int escapes) {
  for (; at < c->l->size; at++) {
    uint8_t byte = c->l->text[at];
    if (byte == '\\' && escapes) {
      at++;
      if (at + 1 < c->l->size && c->l->text[at] == '\r' && c->l->text[at + 1] == '\n') at++;
    } else if (byte == quote) {
      return at + 1;
    } else if (byte == '\n' && !over_lines) {
      return at;
    }
  }
  return c->l->size;
}

static size_t triple_end(const cursor *c, size_t at, uint8_t quote) {
  for (; at < c->l->size; at++) {
    if (c->l->text[at] == '\\') at++;
    else if (c->l->text[at] == quote && byte_at(c, at + 1) == quote && byte_at(c, at + 2) == quote) return at + 3;
  }
  return c->l->size;
}

static size_t comment_end(const cursor *c, size_t at) {
  uint32_t depth = 1;
  for (; at < c->l->size; at++) {
    if (c->l->text[at] == '*' && byte_at(c, at + 1) == '/') {
      at++;
      if (--depth == 0) return at + 1;
    } else if (c->rules & NESTED && c->l->text[at] == '/' && byte_at(c, at + 1) == '*') {
      at++;
      depth++;
    }
  }
  return c->l->size;
}

/* A literal from c->at to `end`: its words and lines, and a token. */
static void literal(cursor *c, size_t end, uint8_t kind) {
  size_t at = c->at;
  uint32_t line = c->line;
  if (end > c->l->size) end = c->l->size;
  words_of_text(c, at, end);
  if (kind != 0) push(c, at, end, line, kind);
  c->at = end;
}

/* Whether a / or < here begins a value: the token before is an operator, an opening bracket, or a word such as return. */
static int value_expected(const cw_lexer *l) {
  static const char *const words[] = {"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "await",
                                      "yield", "instanceof", "default"};
  if (l->count == 0) return 1;
  const cw_token *last = &l->tokens[l->count - 1];
  if (last->kind == CW_TOKEN_NAME) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
      if (cw_token_is(l, l->count - 1, words[i])) return 1;
    return 0;
  }
  return last->kind != CW_TOKEN_NUMBER && last->kind != CW_TOKEN_STRING && last->kind != ')' && last->kind != ']' && last->kind != '}';
}

static size_t expression_end(const cursor *c, size_t at) {
  int in_class = 0;
  for (; at < c->l->size; at++) {
    uint8_t byte = c->l->text[at];
    if (byte == '\n') return 0;
    if (byte == '\\') at++;
    else if (byte == '[') in_class = 1;
    else if (byte == ']') in_class = 0;
    else if (byte == '/' && !in_class) return word_end(c, at + 1);
  }
  return 0;
}

static void code(cursor *c, uint32_t depth, int until_brace);

/* `...`, with ${code} where the language has that. */
static void template(cursor *c, uint32_t depth) {
  size_t start = c->at, from = ++c->at;
  uint32_t line = c->line;
  while (c->at < c->l->size && c->l->text[c->at] != '`') {
    uint8_t byte = c->l->text[c->at];
    if (byte == '\\' && c->rules & TEMPLATE) {
      c->at += 2;
    } else if (c->rules & TEMPLATE && byte == '$' && byte_at(c, c->at + 1) == '{' && depth < DEPTH_MAX) {
      words_of_text(c, from, c->at);
      c->at += 2;
      size_t tokens = c->l->count;
      code(c, depth + 1, 1);
      /* What stands inside keeps no tokens: a definition in there is rare, and its braces belong to the text. */
      if (c->l->count > tokens) c->l->count = tokens;
      from = c->at;
    } else {
      c->at++;
    }
  }
  if (c->at > c->l->size) c->at = c->l->size;
  words_of_text(c, from, c->at);
  if (c->at < c->l->size) c->at++;
  push(c, start, c->at, line, CW_TOKEN_STRING);
}

/* An element of JSX from its "<" on, with all that it holds. Its text is no code; {code} is. */
static void element(cursor *c, uint32_t depth) {
  uint32_t elements = 0, line = c->line;
  size_t start = c->at, tokens = c->l->count;
  int in_tag = 0, closing = 0;
  do {
    uint8_t byte = byte_at(c, c->at);
    if (byte == '\n') {
      c->line++;
      c->at++;
    } else if (in_tag && (byte == '"' || byte == '\'')) {
      literal(c, quoted_end(c, c->at + 1, byte, 1, 0), 0);
    } else if (byte == '{' && depth < DEPTH_MAX) {
      c->at++;
      code(c, depth + 1, 1);
    } else if (!in_tag && byte == '<') {
      in_tag = 1;
      closing = byte_at(c, c->at + 1) == '/';
      elements += closing ? 0 : 1;
      c->at += closing ? 2 : 1;
    } else if (in_tag && byte == '>') {
      in_tag = 0;
      c->at++;
      if (closing) elements--;
    } else if (in_tag && byte == '/' && byte_at(c, c->at + 1) == '>') {
      in_tag = 0;
      elements--;
      c->at += 2;
    } else if (cw_byte_class[byte] != 0) {
      size_t end = word_end(c, c->at);
      add_word(c, c->at, end, in_tag);
      c->at = end;
    } else {
      c->at++;
    }
  } while (c->at < c->l->size && (elements > 0 || in_tag));
  if (c->l->count > tokens) c->l->count = tokens; /* a value, whatever is in it */
  push(c, start, c->at, line, CW_TOKEN_STRING);
}

/* What begins with a single quote. */
static void single_quote(cursor *c) {
  size_t at = c->at;
  if (!(c->rules & CHARACTER)) {
    literal(c, quoted_end(c, at + 1, '\'', 0, c->l->language != CW_LANG_SQL), CW_TOKEN_STRING);
    return;
  }
  uint8_t next = byte_at(c, at + 1);
  if (c->l->language == CW_LANG_RUST || c->l->language == CW_LANG_SCALA) {
    size_t end = at + 2;
    while (end < c->l->size && end < at + 6 && (c->l->text[end] & 0xc0) == 0x80) end++;
    if (next != '\\' && byte_at(c, end) != '\'') { /* a lifetime */
      c->at = word_end(c, at + 1);
      if (c->at == at + 1) push(c, at, at + 1, c->line, '\'');
      return;
    }
  }
  literal(c, quoted_end(c, at + 1, '\'', 0, 1), CW_TOKEN_STRING);
}

/* A prefix of a string: r, b, f, R, u8 and so on. Returns whether the literal was read, and c->at is after it. */
static int prefixed(cursor *c, size_t word, size_t end) {
  uint8_t quote = byte_at(c, end);
  size_t size = end - word;
  if (c->rules & RAW_R && (quote == '#' || quote == '"') && size <= 2 && byte_at(c, end - 1) == 'r') {
    size_t hashes = 0;
    while (byte_at(c, end + hashes) == '#') hashes++;
    if (byte_at(c, end + hashes) != '"') return 0;
    size_t at = end + hashes + 1;
    for (; at < c->l->size; at++) {
      if (c->l->text[at] != '"') continue;
      size_t closing = 0;
      while (closing < hashes && byte_at(c, at + 1 + closing) == '#') closing++;
      if (closing == hashes) {
        at += hashes + 1;
        break;
      }
    }
    c->at = end;
    literal(c, at, CW_TOKEN_STRING);
    return 1;
  }
  if (c->rules & RAW_CPP && quote == '"' && byte_at(c, end - 1) == 'R' && size <= 3) {
    size_t open = end + 1;
    while (open < c->l->size && open < end + 18 && c->l->text[open] != '(' && c->l->text[open] != '\n') open++;
    if (byte_at(c, open) != '(') return 0;
    size_t name = open - end - 1, at = open + 1;
    for (; at < c->l->size; at++)
      if (c->l->text[at] == ')' && c->l->size - at > name + 1 && memcmp(c->l->text + at + 1, c->l->text + end + 1, name) == 0 &&
          c->l->text[at + 1 + name] == '"')
        break;
    c->at = end;
    literal(c, at + name + 2, CW_TOKEN_STRING);
    return 1;
  }
  if ((c->l->language == CW_LANG_PYTHON || c->l->language == CW_LANG_CYTHON) && size <= 2 && (quote == '"' || quote == '\'')) {
    for (size_t i = word; i < end; i++)
      if (strchr("rRbBuUfFtT", c->l->text[i]) == NULL) return 0;
    c->at = end; /* the quote itself is read by whoever called */
    return 1;
  }
  return 0;
}

static void double_quote(cursor *c, uint8_t quote) {
  if (c->rules & TRIPLE && byte_at(c, c->at + 1) == quote && byte_at(c, c->at + 2) == quote) {
    literal(c, triple_end(c, c->at + 3, quote), CW_TOKEN_STRING);
    return;
  }
  int over_lines = c->l->language == CW_LANG_RUST || c->l->language == CW_LANG_SHELL || c->l->language == CW_LANG_PHP ||
                   c->l->language == CW_LANG_RUBY || c->l->language == CW_LANG_PERL;
  literal(c, quoted_end(c, c->at + 1, quote, over_lines, 1), CW_TOKEN_STRING);
}

/* A line for the preprocessor. Of #if ... #else ... #endif with unequal brackets the first branch counts: else nothing that follows
 * would be where it seems. */
static void directive(cursor *c) {
  cw_lexer *l = c->l;
  size_t at = c->at + 1, end = c->at;
  do {
    end = line_end(c, end + (end > c->at));
  } while (end < l->size && (l->text[end - 1] == '\\' || (l->text[end - 1] == '\r' && end > 1 && l->text[end - 2] == '\\')));
  while (at < end && (l->text[at] == ' ' || l->text[at] == '\t')) at++;
  size_t word = at, stop = word_end(c, at), size = stop - word;
  const char *name = (const char *)l->text + word;
  if (size >= 2 && memcmp(name, "if", 2) == 0) {
    if (c->branches < DEPTH_MAX) {
      c->branch[c->branches].tokens = l->count;
      c->branch[c->branches].open = c->branch[c->branches].first_open = c->open;
      c->branch[c->branches].first = 1;
    }
    c->branches++;
  } else if (c->branches > 0 && ((size >= 4 && memcmp(name, "el", 2) == 0) || (size == 5 && memcmp(name, "endif", 5) == 0))) {
    uint32_t number = c->branches - 1;
    if (number < DEPTH_MAX) {
      if (c->branch[number].first) {
        c->branch[number].first_open = c->open;
        c->branch[number].first = 0;
      } else if (c->open != c->branch[number].open || c->branch[number].first_open != c->branch[number].open) {
        l->count = c->branch[number].tokens;
      }
      /* A later branch starts from the brackets before the first, and what follows #endif from those after the first. */
      c->open = name[1] == 'l' ? c->branch[number].open : c->branch[number].first_open;
      c->branch[number].tokens = l->count;
    }
    if (name[1] == 'n') c->branches--;
  }
  uint32_t line = c->line;
  int defines = size == 6 && memcmp(name, "define", 6) == 0;
  size_t from = c->at;
  if (defines) {
    at = stop;
    while (at < end && (l->text[at] == ' ' || l->text[at] == '\t')) at++;
    stop = word_end(c, at);
  }
  int includes = size == 7 && memcmp(name, "include", 7) == 0;
  for (size_t i = from; i < end;) { /* names in directives are code */
    if (cw_byte_class[l->text[i]] != 0) {
      size_t word_stop = word_end(c, i);
      add_word(c, i, word_stop, !includes && cw_byte_class[l->text[i]] != CW_BYTE_DIGIT);
      i = word_stop;
    } else {
      c->line += l->text[i] == '\n';
      i++;
    }
  }
  if (defines && stop > at) push(c, at, stop, line, CW_TOKEN_DEFINE);
  if (includes) push(c, word, end, line, '#');
  c->at = end;
}

static int line_begins(const cursor *c) {
  size_t at = c->at;
  while (at > 0 && (c->l->text[at - 1] == ' ' || c->l->text[at - 1] == '\t')) at--;
  return at == 0 || c->l->text[at - 1] == '\n';
}

static void comment(cursor *c, size_t end) { literal(c, end, c->rules & KEEP_COMMENTS ? CW_TOKEN_COMMENT : 0); }

/* Marks that begin nothing longer and are no brackets, in any language. */
static const uint8_t plain_mark[256] = {['.'] = 1, [','] = 1, [':'] = 1, ['='] = 1, [';'] = 1, ['+'] = 1, ['*'] = 1, ['&'] = 1,
                                        ['|'] = 1, ['>'] = 1, ['!'] = 1, ['?'] = 1, ['@'] = 1, ['%'] = 1, ['^'] = 1, ['~'] = 1};

/* Code up to the end, or to the brace that closes it. */
static void code(cursor *c, uint32_t depth, int until_brace) {
  cw_lexer *l = c->l;
  uint32_t braces = 0;
  while (c->at < l->size && c->status == CW_OK) {
    uint8_t byte = l->text[c->at], next = byte_at(c, c->at + 1);
    int kind = cw_byte_class[byte];
    if (byte <= ' ') {
      c->line += byte == '\n';
      c->at++;
      while (c->at < l->size && l->text[c->at] == ' ') c->at++;
    } else if (kind == CW_BYTE_DIGIT) {
      size_t end = word_end(c, c->at);
      while (byte_at(c, end) == '.' && cw_byte_class[byte_at(c, end + 1)] == CW_BYTE_DIGIT) end = word_end(c, end + 1);
      if (c->rules & CHARACTER)
        while (byte_at(c, end) == '\'' && cw_byte_class[byte_at(c, end + 1)] == CW_BYTE_DIGIT) end = word_end(c, end + 1);
      if (end - c->at > 1 && end - c->at <= 8) add_word(c, c->at, end, 0);
      push(c, c->at, end, c->line, CW_TOKEN_NUMBER);
      c->at = end;
    } else if (kind != 0) {
      size_t word = c->at, end = c->rules & TEMPLATE ? script_name_end(c, word) : word_end(c, word);
      if (end - word <= 3 && prefixed(c, word, end)) continue;
      if (end - word > 1) add_word(c, word, end, 1); /* single letters tell files from one another no more than brackets do */
      push(c, word, end, c->line, CW_TOKEN_NAME);
      c->at = end;
    } else if (byte == '$' && c->rules & TEMPLATE) {
      size_t word = c->at, end = script_name_end(c, word);
      if (end - word > 1) add_word(c, word, end, 1); /* single letters tell files from one another no more than brackets do */
      push(c, word, end, c->line, CW_TOKEN_NAME);
      c->at = end;
    } else if (plain_mark[byte]) {
      push(c, c->at, c->at + 1, c->line, byte);
      c->at++;
    } else if (byte == '/' && next == '/' && c->rules & SLASHES) {
      comment(c, line_end(c, c->at));
    } else if (byte == '/' && next == '*' && c->rules & SLASHES) {
      comment(c, comment_end(c, c->at + 2));
    } else if (byte == '-' && next == '-' && c->rules & DASHES) {
      comment(c, line_end(c, c->at));
    } else if (byte == '#' && c->rules & HASH) {
      comment(c, line_end(c, c->at));
    } else if (byte == '#' && c->rules & DIRECTIVES && line_begins(c)) {
      directive(c);
    } else if (byte == '"' || (byte == '\'' && c->rules & TRIPLE && !(c->rules & CHARACTER))) {
      double_quote(c, byte);
    } else if (byte == '\'') {
      single_quote(c);
    } else if (byte == '`' && c->rules & TICK) {
      template(c, depth);
    } else if (byte == '/' && c->rules & TEMPLATE && value_expected(l) && expression_end(c, c->at + 1) > 0) {
      literal(c, expression_end(c, c->at + 1), CW_TOKEN_STRING);
    } else if (byte == '<' && l->jsx && (next == '>' || (cw_byte_class[next] != 0 && cw_byte_class[next] != CW_BYTE_DIGIT)) &&
               value_expected(l) && depth < DEPTH_MAX) {
      element(c, depth);
    } else {
      if (until_brace && byte == '}' && braces == 0) {
        c->at++;
        return;
      }
      braces += byte == '{';
      braces -= byte == '}' && braces > 0;
      if (byte == '{' || byte == '(' || byte == '[') c->open++;
      else if ((byte == '}' || byte == ')' || byte == ']') && c->open > 0) c->open--;
      push(c, c->at, c->at + 1, c->line, byte);
      c->at++;
    }
  }
}

cw_status cw_lex(cw_lexer *lexer) {
  cursor c = {.l = lexer, .rules = rules_of[lexer->language], .line = 1};
  lexer->count = 0;
  if (lexer->size >= 3 && memcmp(lexer->text, "\xef\xbb\xbf", 3) == 0) c.at = 3;
  if (c.rules & PROSE) words_of_text(&c, c.at, lexer->size);
  else code(&c, 0, 0);
  lexer->lines = c.line - (lexer->size == 0 || lexer->text[lexer->size - 1] == '\n');
  return c.status;
}
