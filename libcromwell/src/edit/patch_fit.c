/* patch_fit.c: a file's hunks at their stated lines: one pass over the text, which compares and copies. */
#include "edit/patch.h"

#include <stdlib.h>

/* One side of a hunk, as it is to be found and as it is to be written. */
typedef struct {
  uint32_t start, count; /* of the side that must be there */
  uint8_t added;         /* the mark of lines that are only on the other */
} wanted;

static wanted wanted_side(const cw_patch_hunk *hunk, uint32_t how) {
  if (how & CW_FIT_REVERSED) return (wanted){hunk->new_start, hunk->new_count, '-'};
  return (wanted){hunk->old_start, hunk->old_count, '+'};
}

/* Where a text is read, and how many lines lie before. */
typedef struct {
  const uint8_t *text;
  size_t size, at;
  uint64_t line;
} place;

/* Goes on to a line; whether the text has so many. */
static int go_to(place *p, uint64_t line) {
  while (p->line < line) {
    if (p->at >= p->size) return 0;
    const uint8_t *end = memchr(p->text + p->at, '\n', p->size - p->at);
    p->at = end ? (size_t)(end - p->text) + 1 : p->size;
    p->line++;
  }
  return 1;
}

/* Passes a line of the hunk; whether it stands there. */
static int pass(place *p, cw_piece content, int has_newline) {
  size_t left = p->size - p->at;
  if (left < content.size + (size_t)has_newline || memcmp(p->text + p->at, content.bytes, content.size) != 0) return 0;
  p->at += content.size;
  if (has_newline ? p->text[p->at] != '\n' : p->at != p->size) return 0;
  p->at += (size_t)has_newline;
  p->line++;
  return 1;
}

/* Compares a hunk's lines from `p` on and writes the new ones to *out; whether all old ones stand there. */
static int replace(const cw_patch *patch, const cw_patch_hunk *hunk, uint32_t how, uint8_t added, place *p, uint8_t **out) {
  size_t at = hunk->body_at, end = at + hunk->body_size;
  while (at < end) {
    cw_piece content;
    int has_newline;
    uint8_t mark = cw_patch_body_line(patch, &at, end, &content, &has_newline);
    if ((how & CW_FIT_WITHOUT_CR) && has_newline) content = cw_without_cr(content);
    if (mark != added && !pass(p, content, has_newline)) return 0;
    if (mark == ' ' || mark == added) {
      memcpy(*out, content.bytes, content.size);
      *out += content.size;
      if (has_newline) *(*out)++ = '\n';
    }
  }
  return 1;
}

/* Whether context that is missing before (after) the change says that the hunk stands at the start (end), and it does not. */
static int is_off_border(const cw_patch_hunk *hunk, const wanted *side, uint64_t line, const place *after) {
  return (hunk->leading == 0 && side->start <= 1 && line != 0) || (hunk->trailing == 0 && after->at != after->size);
}

cw_status cw_patch_fit(cw_patch *patch, uint32_t file, uint32_t how, const uint8_t *text, size_t size, int32_t *fits, const uint8_t **made,
                       size_t *made_size) {
  if (!patch || !fits || !made || !made_size || (!text && size) || file >= patch->file_count) return CW_E_ARGUMENT;
  if (how & ~(uint32_t)(CW_FIT_REVERSED | CW_FIT_VERSION | CW_FIT_WITHOUT_CR)) return CW_E_ARGUMENT;
  const cw_patch_hunk *hunks = patch->hunks + patch->files[file].first_hunk, *end = hunks + patch->files[file].hunk_count;
  uint64_t room = size + 1;
  int has_context = 0;
  for (const cw_patch_hunk *hunk = hunks; hunk < end; hunk++) {
    room += how & CW_FIT_REVERSED ? hunk->old_bytes : hunk->new_bytes;
    has_context |= hunk->old_count + hunk->new_count > hunk->lines;
  }
  if (room > patch->made_room) {
    free(patch->made);
    patch->made_room = 0;
    patch->made = malloc(room);
    if (!patch->made) return CW_E_MEMORY;
    patch->made_room = room;
  }
  place p = {text, size, 0, 0};
  uint8_t *out = patch->made;
  *fits = 0;
  for (const cw_patch_hunk *hunk = hunks; hunk < end; hunk++) {
    wanted side = wanted_side(hunk, how);
    uint64_t line = side.start - (side.count > 0);
    size_t copied = p.at;
    if (!go_to(&p, line)) return CW_OK;
    if (p.at > copied) memcpy(out, text + copied, p.at - copied);
    out += p.at - copied;
    if (!replace(patch, hunk, how, side.added, &p, &out)) return CW_OK;
    if (how & CW_FIT_VERSION) continue;
    if (side.count == 0 ? size > 0 : has_context && is_off_border(hunk, &side, line, &p)) return CW_OK;
  }
  if (p.at < size) memcpy(out, text + p.at, size - p.at);
  out += size - p.at;
  *made = patch->made, *made_size = (size_t)(out - patch->made), *fits = 1;
  return CW_OK;
}
