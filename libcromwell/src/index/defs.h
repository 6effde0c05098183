/* defs.h: what a file defines and imports, found among its tokens. */
#ifndef CW_INDEX_DEFS_H
#define CW_INDEX_DEFS_H

#include "index/lex.h"

typedef enum { CW_DEF_FUNCTION = 'f', CW_DEF_CLASS = 'c', CW_DEF_CONSTANT = 'k', CW_DEF_VARIABLE = 'v', CW_DEF_TYPE = 't', CW_DEF_MACRO = 'm' } cw_def_kind;

typedef struct {
  uint32_t first_line, signature_line, last_line;
  uint32_t name_at, name_size; /* in the text */
  int32_t outer;               /* number of the definition around it, -1: none */
  uint8_t kind;
} cw_def;

typedef struct {
  cw_lexer *l;
  uint32_t *match; /* token of the other bracket, or the number of tokens [l->count] */
  size_t match_room;
  cw_def *defs;
  size_t count, room;
  uint8_t *imports; /* lines */
  size_t imports_size, imports_room;
  cw_status status;
} cw_defs;

/* Finds the definitions and imports of defs->l, which is cut into tokens. */
cw_status cw_defs_find(cw_defs *defs);

/* For the files that do. A definition is added, and its number returned (-1 without memory). */
int32_t cw_defs_add(cw_defs *defs, cw_def_kind kind, uint32_t first_line, uint32_t signature_line, uint32_t last_line, size_t name_token,
                    int32_t outer);
/* Adds to the line of an import; a newline ends it. */
void cw_defs_import(cw_defs *defs, const void *bytes, size_t size);
void cw_defs_python(cw_defs *defs);
void cw_defs_braces(cw_defs *defs);
void cw_defs_script(cw_defs *defs); /* JavaScript and TypeScript */
void cw_defs_lines(cw_defs *defs);

#endif
