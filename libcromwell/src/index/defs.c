/* defs.c: which rules find the definitions of a file, and what they share. */
#include "index/defs.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

enum { DEFS_MAX = 1 << 20, IMPORTS_MAX = 1 << 20 };

int32_t cw_defs_add(cw_defs *defs, cw_def_kind kind, uint32_t first_line, uint32_t signature_line, uint32_t last_line, size_t name_token,
                    int32_t outer) {
  if (defs->count >= DEFS_MAX) return -1;
  if (defs->count == defs->room) {
    size_t room = defs->room * 2 + 64;
    cw_def *all = realloc(defs->defs, room * sizeof *all);
    if (all == NULL) {
      defs->status = CW_E_MEMORY;
      return -1;
    }
    defs->defs = all;
    defs->room = room;
  }
  const cw_token *name = &defs->l->tokens[name_token];
  defs->defs[defs->count] = (cw_def){first_line, signature_line, last_line, name->at, name->size, outer, (uint8_t)kind};
  return (int32_t)defs->count++;
}

void cw_defs_import(cw_defs *defs, const void *bytes, size_t size) {
  if (defs->imports_size + size > IMPORTS_MAX) return;
  if (defs->imports_size + size > defs->imports_room) {
    size_t room = (defs->imports_size + size) * 2 + 256;
    uint8_t *imports = realloc(defs->imports, room);
    if (imports == NULL) {
      defs->status = CW_E_MEMORY;
      return;
    }
    defs->imports = imports;
    defs->imports_room = room;
  }
  memcpy(defs->imports + defs->imports_size, bytes, size);
  defs->imports_size += size;
}

/* Pairs brackets. A closing one that fits none of the open ones is passed over, so that one stray bracket does not spoil the rest. */
static cw_status pair(cw_defs *defs) {
  const cw_lexer *l = defs->l;
  if (l->count > defs->match_room) {
    uint32_t *match = realloc(defs->match, l->count * sizeof *match);
    if (match == NULL) return CW_E_MEMORY;
    defs->match = match;
    defs->match_room = l->count;
  }
  /* Open brackets are a list through their own places in `match`. */
  uint32_t none = (uint32_t)l->count, top = none;
  for (uint32_t i = 0; i < l->count; i++) {
    uint8_t kind = l->tokens[i].kind;
    if (kind == '(' || kind == '[' || kind == '{') {
      defs->match[i] = top;
      top = i;
    } else if (kind == ')' || kind == ']' || kind == '}') {
      uint8_t open = kind == ')' ? '(' : kind == ']' ? '[' : '{';
      uint32_t at = top;
      for (uint32_t tries = 0; at != none && l->tokens[at].kind != open && tries < 64; tries++) {
        if (kind != '}' && l->tokens[at].kind == '{') at = none; /* a brace is not closed by what stands inside */
        else at = defs->match[at];
      }
      if (at == none || l->tokens[at].kind != open) {
        defs->match[i] = i;
        continue;
      }
      while (top != at) {
        uint32_t below = defs->match[top];
        defs->match[top] = none;
        top = below;
      }
      top = defs->match[at];
      defs->match[at] = i;
      defs->match[i] = at;
    }
  }
  while (top != none) {
    uint32_t below = defs->match[top];
    defs->match[top] = none;
    top = below;
  }
  return CW_OK;
}

cw_status cw_defs_find(cw_defs *defs) {
  defs->count = 0;
  defs->imports_size = 0;
  defs->status = CW_OK;
  switch (defs->l->language) {
    case CW_LANG_PYTHON:
    case CW_LANG_CYTHON:
      cw_defs_python(defs);
      break;
    case CW_LANG_JAVASCRIPT:
    case CW_LANG_TYPESCRIPT:
      CW_TRY(pair(defs));
      cw_defs_script(defs);
      break;
    case CW_LANG_C:
    case CW_LANG_CPP:
    case CW_LANG_JAVA:
    case CW_LANG_GO:
    case CW_LANG_RUST:
    case CW_LANG_CSHARP:
      CW_TRY(pair(defs));
      cw_defs_braces(defs);
      break;
    default:
      cw_defs_lines(defs);
  }
  return defs->status;
}
