/* patch.h: what the readers of a patch's parts share: the growing tables, the line at hand, strings and faults. */
#ifndef CW_EDIT_PATCH_H
#define CW_EDIT_PATCH_H

#include <string.h>

#include "cromwell.h"
#include "fault.h"

struct cw_patch {
  const uint8_t *text;
  size_t size;
  cw_patch_file *files; /* [file_count] */
  size_t file_count, file_room;
  cw_patch_hunk *hunks; /* [hunk_count] */
  size_t hunk_count, hunk_room;
  cw_patch_block *blocks; /* [block_count] */
  size_t block_count, block_room;
  uint8_t *strings; /* [string_bytes]: names without their quotes, modes, blobs, binary data; first of all "/dev/null" */
  size_t string_bytes, string_room;
  uint8_t *made; /* what cw_patch_fit made last */
  size_t made_room;
};

/* Some bytes of the patch. */
typedef struct {
  const uint8_t *bytes;
  size_t size;
} cw_piece;

/* Where a reader is: at the start of a line (or at the end), and that line's number from 0. */
typedef struct {
  cw_patch *patch;
  size_t at;
  uint32_t line;
  cw_patch_fault *fault;
} cw_patch_reader;

static const cw_patch_string CW_NO_STRING = {0, CW_PATCH_ABSENT};
static const cw_patch_string CW_NULL_NAME = {0, 9};

#define CW_STARTS(piece, literal) ((piece).size >= sizeof(literal) - 1 && memcmp((piece).bytes, literal, sizeof(literal) - 1) == 0)
#define CW_ENDS(piece, literal) \
  ((piece).size >= sizeof(literal) - 1 && memcmp((piece).bytes + (piece).size - (sizeof(literal) - 1), literal, sizeof(literal) - 1) == 0)

/* ---- Lines: `at` is where one starts ---- */

/* The line without its \n; empty past the end. */
static inline cw_piece cw_patch_raw(const cw_patch *patch, size_t at) {
  const uint8_t *first = patch->text + at, *end = at < patch->size ? memchr(first, '\n', patch->size - at) : first;
  return (cw_piece){first, end ? (size_t)(end - first) : patch->size - at};
}

static inline size_t cw_patch_next(const cw_patch *patch, size_t at) {
  size_t end = at + cw_patch_raw(patch, at).size;
  return end < patch->size ? end + 1 : patch->size;
}

/* The piece without the first `count` bytes. */
static inline cw_piece cw_piece_from(cw_piece piece, size_t count) { return (cw_piece){piece.bytes + count, piece.size - count}; }

static inline cw_piece cw_without_cr(cw_piece line) {
  return (cw_piece){line.bytes, line.size - (line.size > 0 && line.bytes[line.size - 1] == '\r')};
}

/* The line without \n and a CR before it. */
static inline cw_piece cw_patch_line(const cw_patch *patch, size_t at) { return cw_without_cr(cw_patch_raw(patch, at)); }

static inline void cw_patch_skip(cw_patch_reader *r) {
  r->at = cw_patch_next(r->patch, r->at);
  r->line++;
}

/* ---- Tables (patch.c) ---- */

/* Room for element `count` of an array, which may move. */
cw_status cw_patch_grow(void **array, size_t *room, size_t count, size_t element_bytes);
cw_status cw_patch_keep(cw_patch *patch, cw_piece piece, cw_patch_string *out);
/* Sets the fault; CW_E_FORMAT. */
cw_status cw_patch_wrong(const cw_patch_reader *r, uint32_t line, cw_patch_fault_kind kind, uint64_t number);

static inline cw_piece cw_patch_kept(const cw_patch *patch, cw_patch_string string) {
  return (cw_piece){patch->strings + string.at, string.size};
}

static inline int cw_piece_equal(cw_piece a, cw_piece b) { return a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0; }

static inline int cw_patch_is_null(const cw_patch *patch, cw_patch_string name) {
  return cw_piece_equal(cw_patch_kept(patch, name), cw_patch_kept(patch, CW_NULL_NAME));
}

/* ---- Parts ---- */

/* patch_name.c. The name on a --- or +++ line at `at`, and whether its date says that the file is missing. */
cw_status cw_patch_read_name(const cw_patch_reader *r, size_t at, uint32_t line, cw_patch_string *name, int *is_absent);
/* A whole name, in quotes or not; faults are of line `line`. */
cw_status cw_patch_unquote(const cw_patch_reader *r, cw_piece text, uint32_t line, cw_patch_string *name);
/* The two names of a `diff --git` line; CW_NO_STRING both, when spaces leave them open. */
cw_status cw_patch_two_names(const cw_patch_reader *r, cw_piece text, uint32_t line, cw_patch_string *old_name, cw_patch_string *new_name);

/* patch_hunk.c. The hunks from here on, at least one, into `file`. */
cw_status cw_patch_read_hunks(cw_patch_reader *r, cw_patch_file *file);
int cw_patch_is_hunk(cw_piece line);
/* The next line of a hunk's body from *at on: its mark, its bytes, whether a newline follows them. */
uint8_t cw_patch_body_line(const cw_patch *patch, size_t *at, size_t end, cw_piece *content, int *has_newline);

/* patch_binary.c. Blocks of a git binary patch, whose first line is at hand, into `file`. */
cw_status cw_patch_read_binary(cw_patch_reader *r, cw_patch_file *file);

/* patch_git.c. A part that begins with the `diff --git` line at hand, into `file`. */
cw_status cw_patch_read_git(cw_patch_reader *r, cw_patch_file *file);
int cw_patch_is_binary_note(cw_piece line);

#endif
