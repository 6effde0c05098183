/* patch_git.c: a part with git's header: its extended lines, the names they and the --- and +++ lines give, modes and versions. */
#include "edit/patch.h"

typedef enum {
  OLD_MODE, NEW_MODE, DELETED_MODE, CREATED_MODE, COPY_FROM, COPY_TO, RENAME_FROM, RENAME_TO, SIMILARITY, DISSIMILARITY, INDEX, FIELDS
} field;

/* In the order that CW_PATCH_FIELD_TWICE counts in. */
static const char *const KEYWORDS[FIELDS] = {"old mode ", "new mode ", "deleted file mode ", "new file mode ", "copy from ", "copy to ",
                                             "rename from ", "rename to ", "similarity index ", "dissimilarity index ", "index "};

/* What a header holds. Fields that are not there have no bytes. */
typedef struct {
  uint32_t start;          /* the line of `diff --git` */
  cw_piece names;          /* what follows that word */
  cw_piece fields[FIELDS]; /* what follows the keywords */
  int has_names;           /* --- and +++ lines are there */
  cw_patch_string old_name, new_name; /* theirs */
} header;

static int has(const header *h, field which) { return h->fields[which].bytes != NULL; }

static cw_status read_fields(cw_patch_reader *r, header *h) {
  for (; r->at < r->patch->size; cw_patch_skip(r)) {
    cw_piece line = cw_patch_line(r->patch, r->at);
    int which = 0;
    while (which < FIELDS && (line.size < strlen(KEYWORDS[which]) || memcmp(line.bytes, KEYWORDS[which], strlen(KEYWORDS[which])) != 0)) which++;
    if (which == FIELDS) break;
    if (has(h, which)) return cw_patch_wrong(r, r->line, CW_PATCH_FIELD_TWICE, (uint64_t)which);
    h->fields[which] = cw_piece_from(line, strlen(KEYWORDS[which]));
  }
  return CW_OK;
}

int cw_patch_is_binary_note(cw_piece line) {
  if (CW_STARTS(line, "Cannot display: file marked as a")) return 1;
  cw_piece bare = cw_without_cr(line);
  if (CW_STARTS(bare, "GIT binary patch")) return bare.size == sizeof "GIT binary patch" - 1;
  static const char HEAD[] = "Files ", BETWEEN[] = " and ", TAIL[] = " differ";
  enum { HEAD_SIZE = sizeof HEAD - 1, BETWEEN_SIZE = sizeof BETWEEN - 1, TAIL_SIZE = sizeof TAIL - 1 };
  if (!CW_ENDS(bare, " differ")) return 0;
  if (CW_STARTS(bare, "Binary files ")) return bare.size >= sizeof "Binary files  differ" - 1;
  if (!CW_STARTS(bare, "Files ") || bare.size < HEAD_SIZE + BETWEEN_SIZE + TAIL_SIZE) return 0;
  return memmem(bare.bytes + HEAD_SIZE, bare.size - HEAD_SIZE - TAIL_SIZE, BETWEEN, BETWEEN_SIZE) != NULL;
}

/* ---- Names ---- */

static int ends_with_part(cw_piece name, cw_piece part) {
  return name.size > part.size && name.bytes[name.size - part.size - 1] == '/' &&
         memcmp(name.bytes + name.size - part.size, part.bytes, part.size) == 0;
}

/* Names of a rename (copy 0) or copy (1), which have no prefixes. */
static cw_status read_moved(const cw_patch_reader *r, const header *h, field from, uint64_t copy, cw_patch_file *file) {
  const cw_patch *patch = r->patch;
  CW_TRY(cw_patch_unquote(r, h->fields[from], h->start, &file->old_name));
  CW_TRY(cw_patch_unquote(r, h->fields[from + 1], h->start, &file->new_name));
  file->flags |= copy ? CW_PATCH_COPY : CW_PATCH_RENAME;
  if (!h->has_names) return CW_OK;
  const cw_patch_string names[2] = {h->old_name, h->new_name}, given[2] = {file->old_name, file->new_name};
  for (int side = 0; side < 2; side++) {
    cw_piece name = cw_patch_kept(patch, names[side]), wanted = cw_patch_kept(patch, given[side]);
    if (!cw_piece_equal(name, wanted) && !ends_with_part(name, wanted)) return cw_patch_wrong(r, h->start, CW_PATCH_MOVE_NAMES, copy);
  }
  return CW_OK;
}

static int is_header_name(const cw_patch *patch, cw_patch_string name, cw_patch_string header_name) {
  return cw_patch_is_null(patch, name) || cw_piece_equal(cw_patch_kept(patch, name), cw_patch_kept(patch, header_name));
}

static cw_status read_names(const cw_patch_reader *r, const header *h, cw_patch_file *file) {
  const cw_patch *patch = r->patch;
  if (has(h, RENAME_FROM) != has(h, RENAME_TO)) return cw_patch_wrong(r, h->start, CW_PATCH_MOVE_HALF, 0);
  if (has(h, RENAME_FROM) && has(h, COPY_FROM)) return cw_patch_wrong(r, h->start, CW_PATCH_MOVE_BOTH, 0);
  if (has(h, RENAME_FROM)) return read_moved(r, h, RENAME_FROM, 0, file);
  if (has(h, COPY_FROM) != has(h, COPY_TO)) return cw_patch_wrong(r, h->start, CW_PATCH_MOVE_HALF, 1);
  if (has(h, COPY_FROM)) return read_moved(r, h, COPY_FROM, 1, file);
  CW_TRY(cw_patch_two_names(r, h->names, h->start, &file->header_old, &file->header_new));
  int is_told = file->header_old.size != CW_PATCH_ABSENT;
  if (!h->has_names) {
    if (!is_told) return cw_patch_wrong(r, h->start, CW_PATCH_NAMES_UNCLEAR, 0);
    file->old_name = file->header_old, file->new_name = file->header_new;
    return CW_OK;
  }
  if (is_told && !(is_header_name(patch, h->old_name, file->header_old) && is_header_name(patch, h->new_name, file->header_new)))
    return cw_patch_wrong(r, h->start, CW_PATCH_NAMES_DIFFER, 0);
  if (cw_patch_is_null(patch, h->old_name) && cw_patch_is_null(patch, h->new_name))
    return cw_patch_wrong(r, h->start, CW_PATCH_BOTH_ABSENT, 0);
  file->old_name = h->old_name, file->new_name = h->new_name;
  return CW_OK;
}

/* ---- Modes and versions ---- */

static int is_mode(cw_piece text) {
  if (text.size != 6) return 0;
  for (size_t i = 0; i < 6; i++)
    if (text.bytes[i] < '0' || text.bytes[i] > '7') return 0;
  return 1;
}

static cw_status read_mode(const cw_patch_reader *r, const header *h, field usual, field other, cw_patch_string *mode) {
  field which = has(h, usual) ? usual : other;
  if (!has(h, which)) return CW_OK;
  if (!is_mode(h->fields[which])) return cw_patch_wrong(r, h->start, CW_PATCH_MODE, 0);
  return cw_patch_keep(r->patch, h->fields[which], mode);
}

static cw_status read_modes(const cw_patch_reader *r, const header *h, cw_patch_file *file) {
  if (has(h, OLD_MODE) != has(h, NEW_MODE)) return cw_patch_wrong(r, h->start, CW_PATCH_MODE_ALONE, 0);
  CW_TRY(read_mode(r, h, OLD_MODE, DELETED_MODE, &file->old_mode));
  return read_mode(r, h, NEW_MODE, CREATED_MODE, &file->new_mode);
}

/* The hex digits that `text` begins with. */
static size_t hex_size(cw_piece text) {
  size_t size = 0;
  while (size < text.size && ((text.bytes[size] >= '0' && text.bytes[size] <= '9') || (text.bytes[size] >= 'a' && text.bytes[size] <= 'f'))) size++;
  return size;
}

/* OLD..NEW, and the mode when that does not change. */
static cw_status read_index(const cw_patch_reader *r, const header *h, cw_patch_file *file) {
  cw_piece text = h->fields[INDEX], old_blob = text, new_blob;
  old_blob.size = hex_size(text);
  cw_piece rest = cw_piece_from(text, old_blob.size);
  int is_sound = CW_STARTS(rest, "..");
  new_blob = is_sound ? cw_piece_from(rest, 2) : rest;
  rest = new_blob;
  new_blob.size = hex_size(new_blob);
  rest = cw_piece_from(rest, new_blob.size);
  cw_piece mode = rest.size > 0 ? cw_piece_from(rest, 1) : rest;
  is_sound = is_sound && old_blob.size >= 4 && old_blob.size <= 64 && new_blob.size >= 4 && new_blob.size <= 64;
  if (!is_sound || (rest.size > 0 && (rest.bytes[0] != ' ' || !is_mode(mode)))) return cw_patch_wrong(r, h->start, CW_PATCH_INDEX, 0);
  CW_TRY(cw_patch_keep(r->patch, old_blob, &file->old_blob));
  CW_TRY(cw_patch_keep(r->patch, new_blob, &file->new_blob));
  if (rest.size > 0 && file->old_mode.size == CW_PATCH_ABSENT && !has(h, CREATED_MODE) && !has(h, DELETED_MODE)) {
    CW_TRY(cw_patch_keep(r->patch, mode, &file->old_mode));
    file->new_mode = file->old_mode;
  }
  return CW_OK;
}

static int same_string(const cw_patch *patch, cw_patch_string a, cw_patch_string b) {
  if (a.size == CW_PATCH_ABSENT || b.size == CW_PATCH_ABSENT) return a.size == b.size;
  return cw_piece_equal(cw_patch_kept(patch, a), cw_patch_kept(patch, b));
}

/* ---- The part ---- */

/* What follows the header: hunks, binary data, or a word about a binary file. */
static cw_status read_body(cw_patch_reader *r, header *h, cw_patch_file *file) {
  cw_piece line = cw_patch_line(r->patch, r->at);
  int ignored;
  if (CW_STARTS(line, "GIT binary patch")) return cw_patch_read_binary(r, file);
  if (cw_patch_is_binary_note(line)) {
    file->flags |= CW_PATCH_BINARY;
    cw_patch_skip(r);
    return CW_OK;
  }
  if (!CW_STARTS(line, "--- ")) return CW_OK;
  size_t second = cw_patch_next(r->patch, r->at);
  cw_piece second_line = cw_patch_line(r->patch, second);
  if (!CW_STARTS(second_line, "+++ ")) return cw_patch_wrong(r, r->line + 1, CW_PATCH_NO_NEW_NAME, 0);
  CW_TRY(cw_patch_read_name(r, r->at, r->line, &h->old_name, &ignored));
  CW_TRY(cw_patch_read_name(r, second, r->line + 1, &h->new_name, &ignored));
  h->has_names = 1;
  cw_patch_skip(r);
  cw_patch_skip(r);
  return cw_patch_read_hunks(r, file);
}

/* The header lines must agree about which side is missing. */
static cw_status settle_absent(const cw_patch_reader *r, const header *h, cw_patch_file *file) {
  const cw_patch *patch = r->patch;
  int created = has(h, CREATED_MODE), deleted = has(h, DELETED_MODE), moved = file->flags & (CW_PATCH_RENAME | CW_PATCH_COPY);
  if ((created && deleted) || (moved && (created || deleted))) return cw_patch_wrong(r, h->start, CW_PATCH_CONTRADICTION, 0);
  if (created) file->old_name = CW_NULL_NAME;
  if (deleted) file->new_name = CW_NULL_NAME;
  if (h->has_names && (cw_patch_is_null(patch, h->old_name) != cw_patch_is_null(patch, file->old_name) ||
                       cw_patch_is_null(patch, h->new_name) != cw_patch_is_null(patch, file->new_name)))
    return cw_patch_wrong(r, h->start, CW_PATCH_ABSENT_UNCLEAR, 0);
  return CW_OK;
}

cw_status cw_patch_read_git(cw_patch_reader *r, cw_patch_file *file) {
  const cw_patch *patch = r->patch;
  header h = {.start = r->line, .names = cw_piece_from(cw_patch_line(patch, r->at), sizeof "diff --git " - 1)};
  file->flags = CW_PATCH_GIT | (CW_ENDS(cw_patch_raw(patch, r->at), "\r") ? CW_PATCH_CRLF : 0);
  cw_patch_skip(r);
  CW_TRY(read_fields(r, &h));
  CW_TRY(read_body(r, &h, file));
  CW_TRY(read_names(r, &h, file));
  CW_TRY(read_modes(r, &h, file));
  CW_TRY(settle_absent(r, &h, file));
  if (has(&h, INDEX)) CW_TRY(read_index(r, &h, file));
  int moved = file->flags & (CW_PATCH_RENAME | CW_PATCH_COPY);
  if (file->hunk_count == 0 && !(file->flags & CW_PATCH_BINARY) && !has(&h, CREATED_MODE) && !has(&h, DELETED_MODE) && !moved &&
      same_string(patch, file->old_mode, file->new_mode))
    return cw_patch_wrong(r, h.start, CW_PATCH_NO_CHANGE, 0);
  return moved ? cw_patch_two_names(r, h.names, h.start, &file->header_old, &file->header_new) : CW_OK;
}
