/* patch_binary.c: the data of git's binary patches: lines of a letter for their bytes (A-Z 1 to 26, a-z 27 to 52) and base 85. */
#include "edit/patch.h"

static const char DIGITS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/* The bytes that a line's first letter stands for, 0 when it is none. */
static size_t line_bytes(uint8_t letter) {
  if (letter >= 'A' && letter <= 'Z') return (size_t)(letter - 'A') + 1;
  return letter >= 'a' && letter <= 'z' ? (size_t)(letter - 'a') + 27 : 0;
}

/* Appends the bytes of one line to the strings. */
static cw_status decode_line(const cw_patch_reader *r, cw_piece line) {
  cw_patch *patch = r->patch;
  size_t size = line_bytes(line.bytes[0]);
  if (size == 0 || line.size != 1 + (size + 3) / 4 * 5) return cw_patch_wrong(r, r->line, CW_PATCH_BINARY_LINE, 0);
  CW_TRY(cw_patch_grow((void **)&patch->strings, &patch->string_room, patch->string_bytes + line.size, 1));
  uint8_t *out = patch->strings + patch->string_bytes;
  for (size_t i = 0; i + 1 < line.size; i += 5) {
    uint64_t value = 0;
    for (size_t j = i; j < i + 5; j++) {
      const char *digit = line.bytes[1 + j] ? strchr(DIGITS, line.bytes[1 + j]) : NULL;
      if (!digit) return cw_patch_wrong(r, r->line, CW_PATCH_BASE85_DIGIT, j);
      value = value * 85 + (uint64_t)(digit - DIGITS);
    }
    if (value > UINT32_MAX) return cw_patch_wrong(r, r->line, CW_PATCH_BASE85_OVERFLOW, i);
    for (int byte = 0; byte < 4; byte++) *out++ = (uint8_t)(value >> (24 - 8 * byte));
  }
  patch->string_bytes += size;
  return CW_OK;
}

/* "literal 123" or "delta 123". */
static int read_head(cw_piece line, cw_patch_block *block) {
  block->is_delta = CW_STARTS(line, "delta ");
  if (!block->is_delta && !CW_STARTS(line, "literal ")) return 0;
  cw_piece digits = cw_piece_from(line, block->is_delta ? sizeof "delta " - 1 : sizeof "literal " - 1);
  if (digits.size < 1 || digits.size > 10) return 0;
  block->size_bytes = 0;
  for (size_t i = 0; i < digits.size; i++) {
    if (digits.bytes[i] < '0' || digits.bytes[i] > '9') return 0;
    block->size_bytes = block->size_bytes * 10 + (uint64_t)(digits.bytes[i] - '0');
  }
  return 1;
}

/* The block at hand; *found says whether there is one. */
static cw_status read_block(cw_patch_reader *r, int *found) {
  cw_patch *patch = r->patch;
  cw_patch_block block;
  *found = read_head(cw_patch_line(patch, r->at), &block);
  if (!*found) return CW_OK;
  cw_patch_skip(r);
  size_t first = patch->string_bytes;
  cw_piece line;
  for (; (line = cw_patch_line(patch, r->at)).size > 0; cw_patch_skip(r)) CW_TRY(decode_line(r, line));
  if (r->at >= patch->size) return cw_patch_wrong(r, r->line - 1, CW_PATCH_BINARY_CUT, 0);
  cw_patch_skip(r);
  block.deflated = (cw_patch_string){(uint32_t)first, (uint32_t)(patch->string_bytes - first)};
  CW_TRY(cw_patch_grow((void **)&patch->blocks, &patch->block_room, patch->block_count, sizeof *patch->blocks));
  patch->blocks[patch->block_count++] = block;
  return CW_OK;
}

cw_status cw_patch_read_binary(cw_patch_reader *r, cw_patch_file *file) {
  int found;
  cw_patch_skip(r);
  file->flags |= CW_PATCH_BINARY;
  CW_TRY(read_block(r, &found));
  if (!found) return cw_patch_wrong(r, r->line, CW_PATCH_BINARY_KIND, 0);
  CW_TRY(read_block(r, &found));
  file->block_count = 1 + (uint32_t)found;
  return CW_OK;
}
