/* patch.c: reads a unified diff strictly, part by part; text between parts is passed over unless a part would be lost with it. */
#include "edit/patch.h"

#include <stdlib.h>

cw_status cw_patch_grow(void **array, size_t *room, size_t count, size_t element_bytes) {
  if (count < *room) return CW_OK;
  size_t wanted = count + count / 2 + 16; /* tables are bounded by the patch's bytes, so this cannot overflow */
  void *moved = realloc(*array, wanted * element_bytes);
  if (!moved) return CW_E_MEMORY;
  *array = moved, *room = wanted;
  return CW_OK;
}

cw_status cw_patch_keep(cw_patch *patch, cw_piece piece, cw_patch_string *out) {
  CW_TRY(cw_patch_grow((void **)&patch->strings, &patch->string_room, patch->string_bytes + piece.size, 1));
  memcpy(patch->strings + patch->string_bytes, piece.bytes, piece.size);
  *out = (cw_patch_string){(uint32_t)patch->string_bytes, (uint32_t)piece.size};
  patch->string_bytes += piece.size;
  return CW_OK;
}

cw_status cw_patch_wrong(const cw_patch_reader *r, uint32_t line, cw_patch_fault_kind kind, uint64_t number) {
  *r->fault = (cw_patch_fault){kind, line, number};
  return CW_E_FORMAT;
}

/* ---- Parts ---- */

/* Whether --- and +++ lines and a hunk follow. */
static int names_ahead(const cw_patch *patch, size_t at, cw_piece line) {
  if (!CW_STARTS(line, "--- ")) return 0;
  size_t second = cw_patch_next(patch, at);
  cw_piece new_line = cw_patch_line(patch, second);
  if (!CW_STARTS(new_line, "+++ ")) return 0;
  cw_piece hunk = cw_patch_line(patch, cw_patch_next(patch, second));
  return CW_STARTS(hunk, "@@ ");
}

/* A part that begins with the --- line at hand. GNU diff -N dates a missing file to 1970 instead of naming /dev/null, and Subversion says
 * "(nonexistent)". */
static cw_status read_plain(cw_patch_reader *r, cw_patch_file *file) {
  cw_patch *patch = r->patch;
  uint32_t start = r->line;
  int old_absent, new_absent;
  file->flags = CW_ENDS(cw_patch_raw(patch, r->at), "\r") ? CW_PATCH_CRLF : 0;
  CW_TRY(cw_patch_read_name(r, r->at, r->line, &file->old_name, &old_absent));
  cw_patch_skip(r);
  CW_TRY(cw_patch_read_name(r, r->at, r->line, &file->new_name, &new_absent));
  cw_patch_skip(r);
  CW_TRY(cw_patch_read_hunks(r, file));
  if (file->hunk_count == 1) {
    const cw_patch_hunk *hunk = &patch->hunks[file->first_hunk];
    if (!cw_patch_is_null(patch, file->old_name) && !cw_patch_is_null(patch, file->new_name))
      file->header_old = file->old_name, file->header_new = file->new_name; /* which a date must not hide: they tell prefixes */
    if (old_absent && hunk->old_count == 0 && hunk->old_start == 0) file->old_name = CW_NULL_NAME;
    if (new_absent && hunk->new_count == 0 && hunk->new_start == 0) file->new_name = CW_NULL_NAME;
  }
  if (cw_patch_is_null(patch, file->old_name) && cw_patch_is_null(patch, file->new_name))
    return cw_patch_wrong(r, start, CW_PATCH_BOTH_ABSENT, 0);
  return CW_OK;
}

/* Hunks must be in order and apart, and suit a missing side. */
static cw_status check_file(const cw_patch_reader *r, const cw_patch_file *file) {
  const cw_patch *patch = r->patch;
  const cw_patch_hunk *hunks = patch->hunks + file->first_hunk;
  uint64_t old_end = 0, new_end = 0;
  int has_old = 0, has_new = 0;
  for (uint32_t i = 0; i < file->hunk_count; i++) {
    const cw_patch_hunk *h = &hunks[i];
    uint32_t old_first = h->old_start - (h->old_count > 0), new_first = h->new_start - (h->new_count > 0);
    if (old_first < old_end || new_first < new_end) return cw_patch_wrong(r, h->line - 1, CW_PATCH_OVERLAP, i + 1);
    old_end = (uint64_t)old_first + h->old_count, new_end = (uint64_t)new_first + h->new_count;
    has_old |= h->old_count > 0, has_new |= h->new_count > 0;
  }
  int is_new = cw_patch_is_null(patch, file->old_name), is_deleted = cw_patch_is_null(patch, file->new_name);
  if (is_new && has_old) return cw_patch_wrong(r, file->line - 1, CW_PATCH_NEW_HAS_OLD, 0);
  if (is_deleted && has_new) return cw_patch_wrong(r, file->line - 1, CW_PATCH_DELETED_HAS_NEW, 0);
  if ((is_new || is_deleted) && file->hunk_count > 1) return cw_patch_wrong(r, file->line - 1, CW_PATCH_ABSENT_HUNKS, 0);
  return CW_OK;
}

/* ---- Between parts ---- */

static int is_combined(cw_piece line) {
  if (CW_STARTS(line, "diff --cc ") || CW_STARTS(line, "diff --combined ")) return 1;
  size_t signs = 0;
  while (signs < line.size && line.bytes[signs] == '@') signs++;
  cw_piece rest = cw_piece_from(line, signs);
  return signs >= 3 && CW_STARTS(rest, " -");
}

/* Faults for a line outside any part that shows that a part would be passed over. */
static cw_status refuse_lost(const cw_patch_reader *r, cw_piece line) {
  static const uint8_t STARS[] = "***************";
  if (cw_patch_is_hunk(line)) return cw_patch_wrong(r, r->line, CW_PATCH_HUNK_ALONE, 0);
  if (is_combined(line)) return cw_patch_wrong(r, r->line, CW_PATCH_COMBINED, 0);
  if (cw_piece_equal(cw_without_cr(line), (cw_piece){STARS, sizeof STARS - 1})) return cw_patch_wrong(r, r->line, CW_PATCH_CONTEXT_DIFF, 0);
  if (cw_patch_is_binary_note(line)) return cw_patch_wrong(r, r->line, CW_PATCH_BINARY_ALONE, 0);
  return CW_OK;
}

static cw_status read_parts(cw_patch_reader *r) {
  cw_patch *patch = r->patch;
  while (r->at < patch->size) {
    cw_piece line = cw_patch_raw(patch, r->at);
    int is_git = CW_STARTS(line, "diff --git ");
    if (!is_git && !names_ahead(patch, r->at, line)) {
      CW_TRY(refuse_lost(r, line));
      cw_patch_skip(r);
      continue;
    }
    cw_patch_file file = {.line = r->line + 1, .first_hunk = (uint32_t)patch->hunk_count, .first_block = (uint32_t)patch->block_count,
                          .header_old = CW_NO_STRING, .header_new = CW_NO_STRING, .old_mode = CW_NO_STRING, .new_mode = CW_NO_STRING,
                          .old_blob = CW_NO_STRING, .new_blob = CW_NO_STRING};
    CW_TRY(is_git ? cw_patch_read_git(r, &file) : read_plain(r, &file));
    CW_TRY(check_file(r, &file));
    if (patch->file_count == CW_PATCH_FILES_MAX) return cw_patch_wrong(r, r->line, CW_PATCH_MANY_FILES, 0);
    CW_TRY(cw_patch_grow((void **)&patch->files, &patch->file_room, patch->file_count, sizeof *patch->files));
    patch->files[patch->file_count++] = file;
  }
  return CW_OK;
}

/* ---- The handle ---- */

cw_status cw_patch_open(const uint8_t *text, size_t size, cw_patch **out, cw_patch_fault *fault) {
  if (!out || (!text && size)) return CW_E_ARGUMENT;
  if (size > CW_PATCH_BYTES_MAX) return CW_E_CAPACITY;
  cw_patch *patch = calloc(1, sizeof *patch);
  if (!patch) return CW_E_MEMORY;
  static const uint8_t NULL_NAME[] = "/dev/null";
  cw_patch_fault ignored;
  cw_patch_string null_name;
  cw_patch_reader r = {.patch = patch, .fault = fault ? fault : &ignored};
  patch->text = text, patch->size = size;
  cw_status status = cw_patch_keep(patch, (cw_piece){NULL_NAME, sizeof NULL_NAME - 1}, &null_name);
  if (status == CW_OK) status = read_parts(&r);
  if (status == CW_OK)
    *out = patch;
  else
    cw_patch_close(patch);
  return status;
}

void cw_patch_close(cw_patch *patch) {
  if (!patch) return;
  free(patch->files);
  free(patch->hunks);
  free(patch->blocks);
  free(patch->strings);
  free(patch->made);
  free(patch);
}

size_t cw_patch_files(const cw_patch *patch, const cw_patch_file **files) {
  *files = patch->files;
  return patch->file_count;
}

size_t cw_patch_hunks(const cw_patch *patch, const cw_patch_hunk **hunks) {
  *hunks = patch->hunks;
  return patch->hunk_count;
}

size_t cw_patch_blocks(const cw_patch *patch, const cw_patch_block **blocks) {
  *blocks = patch->blocks;
  return patch->block_count;
}

size_t cw_patch_strings(const cw_patch *patch, const uint8_t **bytes) {
  *bytes = patch->strings;
  return patch->string_bytes;
}
