/* patch_name.c: file names as they stand in headers: git's quotes taken off, two names in one line told apart, dates of missing files. */
#include "edit/patch.h"

static int is_octal(uint8_t byte) { return byte >= '0' && byte <= '7'; }

/* The byte that `\c` stands for, or -1. */
static int escaped(uint8_t c) {
  switch (c) {
    case 'a': return '\a';
    case 'b': return '\b';
    case 't': return '\t';
    case 'n': return '\n';
    case 'v': return '\v';
    case 'f': return '\f';
    case 'r': return '\r';
    case '"': return '"';
    case '\\': return '\\';
    default: return -1;
  }
}

/* The length of the name in quotes that `text` begins with, quotes included; 0 when it does not begin so. */
static size_t quoted_size(cw_piece text) {
  if (text.size == 0 || text.bytes[0] != '"') return 0;
  for (size_t i = 1; i < text.size; i++) {
    if (text.bytes[i] == '"') return i + 1;
    i += text.bytes[i] == '\\';
  }
  return 0;
}

/* Keeps the name in quotes that fills `quoted`. */
static cw_status keep_quoted(const cw_patch_reader *r, cw_piece quoted, uint32_t line, cw_patch_string *name) {
  cw_patch *patch = r->patch;
  CW_TRY(cw_patch_grow((void **)&patch->strings, &patch->string_room, patch->string_bytes + quoted.size, 1));
  uint8_t *out = patch->strings + patch->string_bytes;
  const uint8_t *in = quoted.bytes + 1, *end = quoted.bytes + quoted.size - 1;
  size_t size = 0;
  while (in < end) {
    if (*in != '\\') {
      out[size++] = *in++;
    } else if (end - in >= 4 && in[1] <= '3' && is_octal(in[1]) && is_octal(in[2]) && is_octal(in[3])) {
      out[size++] = (uint8_t)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
      in += 4;
    } else { /* quoted_size saw that a byte follows */
      int byte = escaped(in[1]);
      if (byte < 0) return cw_patch_wrong(r, line, CW_PATCH_ESCAPE, in[1]);
      out[size++] = (uint8_t)byte;
      in += 2;
    }
  }
  *name = (cw_patch_string){(uint32_t)patch->string_bytes, (uint32_t)size};
  patch->string_bytes += size;
  return CW_OK;
}

/* ---- --- and +++ lines ---- */

static int take(cw_piece *text, const char *word) {
  size_t size = strlen(word);
  if (text->size < size || memcmp(text->bytes, word, size) != 0) return 0;
  *text = cw_piece_from(*text, size);
  return 1;
}

/* Whether what follows a name is the date or the word for a file that is not there, in any time zone. */
static int says_absent(cw_piece text) {
  if (!take(&text, "\t")) return 0;
  while (take(&text, " ")) continue;
  if (take(&text, "(nonexistent)") || take(&text, "1970-01-01 ") || take(&text, "1969-12-31 ")) return 1;
  if (!take(&text, "Thu Jan 1 ") && !take(&text, "Thu Jan 01 ") && !take(&text, "Wed Dec 31 ")) return 0;
  for (int i = 0; i < 8; i++) {
    if (text.size == 0 || !((text.bytes[0] >= '0' && text.bytes[0] <= '9') || text.bytes[0] == ':')) return 0;
    text = cw_piece_from(text, 1);
  }
  return take(&text, " 1970") || take(&text, " 1969");
}

cw_status cw_patch_read_name(const cw_patch_reader *r, size_t at, uint32_t line, cw_patch_string *name, int *is_absent) {
  cw_piece text = cw_piece_from(cw_patch_line(r->patch, at), 4);
  size_t size = quoted_size(text);
  if (size > 0) {
    CW_TRY(keep_quoted(r, (cw_piece){text.bytes, size}, line, name));
    cw_piece rest = cw_piece_from(text, size);
    if (name->size == 0 || (rest.size > 0 && rest.bytes[0] != '\t' && rest.bytes[0] != ' '))
      return cw_patch_wrong(r, line, CW_PATCH_NO_NAME, 0);
    *is_absent = says_absent(rest);
    return CW_OK;
  }
  const uint8_t *tab = text.size > 0 ? memchr(text.bytes, '\t', text.size) : NULL;
  size = tab ? (size_t)(tab - text.bytes) : text.size;
  if (size == 0) return cw_patch_wrong(r, line, CW_PATCH_NO_NAME, 0);
  *is_absent = says_absent(cw_piece_from(text, size));
  return cw_patch_keep(r->patch, (cw_piece){text.bytes, size}, name);
}

cw_status cw_patch_unquote(const cw_patch_reader *r, cw_piece text, uint32_t line, cw_patch_string *name) {
  size_t size = quoted_size(text);
  if (size == 0) return cw_patch_keep(r->patch, text, name);
  CW_TRY(keep_quoted(r, (cw_piece){text.bytes, size}, line, name));
  return size < text.size ? cw_patch_wrong(r, line, CW_PATCH_QUOTE_TAIL, 0) : CW_OK;
}

/* ---- diff --git lines ---- */

/* The second name is `rest`, in quotes or not; *found says whether that can be. */
static cw_status second_name(const cw_patch_reader *r, cw_piece rest, uint32_t line, cw_patch_string *name, int *found) {
  size_t size = quoted_size(rest);
  *found = rest.size > 0;
  if (size > 0) {
    CW_TRY(keep_quoted(r, (cw_piece){rest.bytes, size}, line, name));
    *found = size == rest.size;
    return CW_OK;
  }
  return cw_patch_keep(r->patch, rest, name);
}

#define NOWHERE SIZE_MAX

/* Where a space stands between the same name twice, in the middle. */
static size_t cut_in_middle(cw_piece text) {
  size_t middle = text.size / 2;
  return text.size % 2 == 1 && text.bytes[middle] == ' ' && memcmp(text.bytes, text.bytes + middle + 1, middle) == 0 ? middle : NOWHERE;
}

/* Where a space stands between two names that are the same after their first "/". For each slash there is one cut at which the
 * first name's rest is as long as that after the slash; it counts when the slash is the second name's first. */
static size_t cut_by_folders(cw_piece text) {
  const uint8_t *slash = text.size > 0 ? memchr(text.bytes, '/', text.size) : NULL;
  if (!slash) return NOWHERE;
  size_t first = (size_t)(slash - text.bytes), before = first;
  for (size_t other = first + 1; other < text.size; other++) {
    if (text.bytes[other] != '/') continue;
    size_t cut = text.size - other + first;
    if (before < cut && cut < other && text.bytes[cut] == ' ') { /* no slash between cut and other */
      size_t rest = cut - first - 1;
      return rest > 0 && memcmp(slash + 1, text.bytes + other + 1, rest) == 0 ? cut : NOWHERE;
    }
    before = other;
  }
  return NOWHERE;
}

/* The one space that can be between the names; NOWHERE when there is none, or more. */
static size_t only_cut(cw_piece text) {
  const uint8_t *space = text.size > 0 ? memchr(text.bytes, ' ', text.size) : NULL;
  if (!space) return NOWHERE;
  size_t cut = (size_t)(space - text.bytes);
  if (memchr(space + 1, ' ', text.size - cut - 1)) {
    size_t middle = cut_in_middle(text), folders = cut_by_folders(text);
    cut = middle == NOWHERE || middle == folders ? folders : folders == NOWHERE ? middle : NOWHERE;
  }
  return cut != NOWHERE && cut + 1 < text.size ? cut : NOWHERE;
}

cw_status cw_patch_two_names(const cw_patch_reader *r, cw_piece text, uint32_t line, cw_patch_string *old_name, cw_patch_string *new_name) {
  size_t size = quoted_size(text);
  int found = 0;
  *old_name = *new_name = CW_NO_STRING;
  cw_patch_string first, second;
  if (size > 0) {
    CW_TRY(keep_quoted(r, (cw_piece){text.bytes, size}, line, &first));
    if (size < text.size) CW_TRY(second_name(r, cw_piece_from(text, size + 1), line, &second, &found));
    if (found && text.bytes[size] == ' ') *old_name = first, *new_name = second;
    return CW_OK;
  }
  const uint8_t *quote = text.size > 1 ? memmem(text.bytes, text.size, " \"", 2) : NULL;
  if (quote) {
    size = (size_t)(quote - text.bytes);
    CW_TRY(second_name(r, cw_piece_from(text, size + 1), line, &second, &found));
    if (found) {
      *new_name = second;
      return cw_patch_keep(r->patch, (cw_piece){text.bytes, size}, old_name);
    }
  }
  size = only_cut(text);
  if (size == NOWHERE) return CW_OK;
  CW_TRY(cw_patch_keep(r->patch, (cw_piece){text.bytes, size}, old_name));
  return cw_patch_keep(r->patch, cw_piece_from(text, size + 1), new_name);
}
