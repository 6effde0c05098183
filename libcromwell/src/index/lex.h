/* lex.h: the text of a file cut into tokens by the lexical rules of its language, its words counted on the way. */
#ifndef CW_INDEX_LEX_H
#define CW_INDEX_LEX_H

#include <string.h>

#include "index/words.h"

/* Numbers are in indexes on disk: new ones go to the end. The order is that of the names in language.c. */
typedef enum {
  CW_LANG_NONE, CW_LANG_PYTHON, CW_LANG_JAVASCRIPT, CW_LANG_TYPESCRIPT, CW_LANG_C, CW_LANG_CPP, CW_LANG_GO, CW_LANG_RUST, CW_LANG_JAVA,
  CW_LANG_CSHARP, CW_LANG_PHP, CW_LANG_RUBY, CW_LANG_SWIFT, CW_LANG_KOTLIN, CW_LANG_SCALA, CW_LANG_DART, CW_LANG_SHELL, CW_LANG_LUA,
  CW_LANG_PERL, CW_LANG_SQL, CW_LANG_HTML, CW_LANG_CSS, CW_LANG_JSON, CW_LANG_YAML, CW_LANG_TOML, CW_LANG_XML, CW_LANG_MARKDOWN,
  CW_LANG_RST, CW_LANG_TEXT, CW_LANG_MAKE, CW_LANG_CMAKE, CW_LANG_HASKELL, CW_LANG_CYTHON, CW_LANG_JULIA, CW_LANG_R, CW_LANG_ELIXIR,
  CW_LANG_VUE, CW_LANG_PROTO, CW_LANG_DOCKER, CW_LANG_COUNT
} cw_language;

/* The language of a file by its name, else by the #! of its first line. */
cw_language cw_language_of(const char *path, const uint8_t *text, size_t size);

typedef struct {
  uint32_t at, size, line, last_line; /* lines from 1 */
  uint8_t kind;                       /* CW_TOKEN_* or the byte of a punctuation mark */
} cw_token;

enum { CW_TOKEN_NAME = 'a', CW_TOKEN_STRING = 's', CW_TOKEN_NUMBER = 'n', CW_TOKEN_COMMENT = 'c', CW_TOKEN_DEFINE = 'd' };

typedef struct {
  const uint8_t *text;
  size_t size;
  cw_language language;
  int jsx;
  cw_words *words;
  cw_token *tokens; /* [count] */
  size_t count, room;
  uint32_t lines;
} cw_lexer;

/* Cuts lexer->text, which has CW_TEXT_SLACK, into lexer->tokens and adds its words. Comments are tokens in Python alone. */
cw_status cw_lex(cw_lexer *lexer);
/* Whether a token is the word `name`. */
static inline int cw_token_is(const cw_lexer *lexer, size_t token, const char *name) {
  if (token >= lexer->count || lexer->tokens[token].kind != CW_TOKEN_NAME) return 0;
  size_t size = strlen(name);
  return lexer->tokens[token].size == size && memcmp(lexer->text + lexer->tokens[token].at, name, size) == 0;
}

#endif
