/* patch_hunk.c: hunks: their headers, whose counts must be those of the lines below, and the lines. */
#include "edit/patch.h"

typedef struct {
  uint32_t old_start, old_count, new_start, new_count;
} ranges;

/* A number of up to nine digits, taken off `text`; whether there is one. */
static int take_number(cw_piece *text, uint32_t *number) {
  size_t digits = 0;
  *number = 0;
  while (digits < text->size && digits < 9 && text->bytes[digits] >= '0' && text->bytes[digits] <= '9')
    *number = *number * 10 + (uint32_t)(text->bytes[digits++] - '0');
  *text = cw_piece_from(*text, digits);
  return digits > 0;
}

static int take(cw_piece *text, char byte) {
  if (text->size == 0 || text->bytes[0] != (uint8_t)byte) return 0;
  *text = cw_piece_from(*text, 1);
  return 1;
}

/* "12,3"; "12" for one line. */
static int take_range(cw_piece *text, uint32_t *start, uint32_t *count) {
  *count = 1;
  return take_number(text, start) && (!take(text, ',') || take_number(text, count));
}

static int read_ranges(cw_piece line, ranges *out) {
  if (!CW_STARTS(line, "@@ -")) return 0;
  cw_piece rest = cw_piece_from(line, 4);
  return take_range(&rest, &out->old_start, &out->old_count) && take(&rest, ' ') && take(&rest, '+') &&
         take_range(&rest, &out->new_start, &out->new_count) && CW_STARTS(rest, " @@");
}

int cw_patch_is_hunk(cw_piece line) {
  ranges ignored;
  return read_ranges(line, &ignored);
}

/* What is counted while a hunk's lines go by. */
typedef struct {
  uint32_t old_left, new_left;
  uint32_t context;      /* lines at the end so far */
  int is_leading;        /* all lines so far are context */
  uint32_t old_last, new_last; /* bytes of the last line of either side */
} progress;

/* Takes the newline off the line that a `\ No newline at end of file` at hand follows. */
static cw_status end_without_newline(const cw_patch_reader *r, uint8_t mark, cw_piece content, const progress *p, cw_patch_hunk *hunk) {
  int drops_cr = CW_ENDS(cw_patch_raw(r->patch, r->at), "\r") && CW_ENDS(content, "\r");
  uint32_t size = (uint32_t)content.size - (uint32_t)drops_cr, less = 1 + (uint32_t)drops_cr;
  const uint32_t left[2] = {p->old_left, p->new_left};
  static const uint8_t OTHER[2] = {'+', '-'};
  for (int side = 0; side < 2; side++) {
    if (mark == OTHER[side]) continue;
    if (left[side] > 0) return cw_patch_wrong(r, r->line, CW_PATCH_NEWLINE_INSIDE, 0);
    if (size == 0) return cw_patch_wrong(r, r->line, CW_PATCH_NEWLINE_EMPTY, 0);
    *(side == 0 ? &hunk->old_bytes : &hunk->new_bytes) -= less;
  }
  return CW_OK;
}

/* The line at hand, and one about its newline. */
static cw_status read_line(cw_patch_reader *r, uint32_t head, progress *p, cw_patch_hunk *hunk) {
  const cw_patch *patch = r->patch;
  if (r->at >= patch->size) return cw_patch_wrong(r, head, CW_PATCH_HUNK_CUT, 0);
  cw_piece line = cw_patch_raw(patch, r->at), content = line.size > 0 ? cw_piece_from(line, 1) : line;
  uint8_t mark = line.size > 0 ? line.bytes[0] : ' ';
  if (line.size == 1 && mark == '\r') mark = ' ', content = line; /* mailers strip the space off an empty context line */
  if (mark != ' ' && mark != '-' && mark != '+') return cw_patch_wrong(r, r->line, CW_PATCH_HUNK_SHORT, 0);
  if ((mark != '+' && p->old_left == 0) || (mark != '-' && p->new_left == 0)) return cw_patch_wrong(r, r->line, CW_PATCH_HUNK_SUM, 0);
  if (mark != '+') p->old_left--, hunk->old_bytes += (uint32_t)content.size + 1;
  if (mark != '-') p->new_left--, hunk->new_bytes += (uint32_t)content.size + 1;
  hunk->lines++;
  p->context = mark == ' ' ? p->context + 1 : 0;
  p->is_leading = p->is_leading && mark == ' ';
  hunk->leading += (uint32_t)p->is_leading;
  if (r->at + line.size == patch->size) return cw_patch_wrong(r, r->line, CW_PATCH_LINE_CUT, 0);
  cw_patch_skip(r);
  cw_piece next = cw_patch_raw(patch, r->at);
  if (!CW_STARTS(next, "\\ ")) return CW_OK;
  CW_TRY(end_without_newline(r, mark, content, p, hunk));
  cw_patch_skip(r);
  return CW_OK;
}

/* The hunk whose @@ line is at hand. */
static cw_status read_hunk(cw_patch_reader *r) {
  cw_patch *patch = r->patch;
  uint32_t head = r->line;
  ranges stated;
  if (!read_ranges(cw_patch_raw(patch, r->at), &stated)) return cw_patch_wrong(r, head, CW_PATCH_HUNK_HEADER, 0);
  if ((stated.old_count && !stated.old_start) || (stated.new_count && !stated.new_start) || !(stated.old_count || stated.new_count))
    return cw_patch_wrong(r, head, CW_PATCH_HUNK_NUMBERS, 0);
  cw_patch_skip(r);
  cw_patch_hunk hunk = {.line = head + 1, .old_start = stated.old_start, .old_count = stated.old_count, .new_start = stated.new_start,
                        .new_count = stated.new_count, .body_at = (uint32_t)r->at};
  progress p = {.old_left = stated.old_count, .new_left = stated.new_count, .is_leading = 1};
  while (p.old_left || p.new_left) CW_TRY(read_line(r, head, &p, &hunk));
  if (p.is_leading) return cw_patch_wrong(r, head, CW_PATCH_HUNK_IDLE, 0);
  hunk.trailing = p.context;
  hunk.body_size = (uint32_t)(r->at - hunk.body_at);
  CW_TRY(cw_patch_grow((void **)&patch->hunks, &patch->hunk_room, patch->hunk_count, sizeof *patch->hunks));
  patch->hunks[patch->hunk_count++] = hunk;
  return CW_OK;
}

/* ---- After the last hunk ---- */

/* Whether a line that begins with - is a mail signature or the next file's --- line. */
static int is_separator(const cw_patch *patch, size_t at, cw_piece line) {
  static const char *const WHOLE[] = {"-- ", "--", "---"};
  for (size_t i = 0; i < sizeof WHOLE / sizeof WHOLE[0]; i++)
    if (line.size == strlen(WHOLE[i]) && memcmp(line.bytes, WHOLE[i], line.size) == 0) return 1;
  cw_piece next = cw_patch_line(patch, cw_patch_next(patch, at));
  return CW_STARTS(line, "--- ") && CW_STARTS(next, "+++ ");
}

/* A fault when what follows the last hunk of a file looks like more lines of it. */
static cw_status refuse_surplus(const cw_patch_reader *r) {
  const cw_patch *patch = r->patch;
  cw_patch_reader ahead = *r;
  while (ahead.at < patch->size && cw_patch_line(patch, ahead.at).size == 0) cw_patch_skip(&ahead);
  if (ahead.at >= patch->size) return CW_OK;
  cw_piece line = cw_patch_line(patch, ahead.at);
  uint8_t mark = line.bytes[0];
  if (mark == '+' || (mark == '-' && !is_separator(patch, ahead.at, line)) || ((mark == ' ' || mark == '\\') && ahead.at == r->at))
    return cw_patch_wrong(r, ahead.line, CW_PATCH_HUNK_LONG, 0);
  return CW_OK;
}

cw_status cw_patch_read_hunks(cw_patch_reader *r, cw_patch_file *file) {
  const cw_patch *patch = r->patch;
  file->first_hunk = (uint32_t)patch->hunk_count;
  for (; r->at < patch->size; file->hunk_count++) {
    cw_piece line = cw_patch_raw(patch, r->at);
    if (!CW_STARTS(line, "@@ ")) break;
    CW_TRY(read_hunk(r));
  }
  return file->hunk_count > 0 ? refuse_surplus(r) : cw_patch_wrong(r, r->line, CW_PATCH_NO_HUNK, 0);
}

/* ---- Lines again ---- */

uint8_t cw_patch_body_line(const cw_patch *patch, size_t *at, size_t end, cw_piece *content, int *has_newline) {
  cw_piece line = cw_patch_raw(patch, *at);
  int is_bare = line.size == 0 || (line.size == 1 && line.bytes[0] == '\r'); /* an empty context line without its space */
  *content = is_bare ? line : cw_piece_from(line, 1);
  *has_newline = 1;
  *at = cw_patch_next(patch, *at);
  if (*at < end && patch->text[*at] == '\\') {
    if (CW_ENDS(cw_patch_raw(patch, *at), "\r")) *content = cw_without_cr(*content);
    *has_newline = 0;
    *at = cw_patch_next(patch, *at);
  }
  return is_bare ? ' ' : line.bytes[0];
}
