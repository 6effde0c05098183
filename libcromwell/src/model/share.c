/* share.c: states that go from one session to another, or to a file and back, without being copied. */
#include <string.h>

#include "model/session.h"

static uint8_t *own_block(const cw_session *s, uint32_t index) { return s->own + (size_t)index * s->model->layout.bytes; }

void cw_session_write(cw_session *s, uint32_t first, uint32_t end) {
  if (first == end) return;
  for (uint32_t index = first / CW_BLOCK; index <= (end - 1) / CW_BLOCK; index++) {
    uint32_t position = index * CW_BLOCK;
    uint8_t *block = own_block(s, index);
    if (s->blocks[index] != block && first > position) memcpy(block, s->blocks[index], s->model->layout.bytes); /* its first tokens stay */
    s->blocks[index] = block;
    cw_block_header *header = (cw_block_header *)block;
    header->fingerprint = s->model->fingerprint;
    header->position = position;
    header->guidance = (uint32_t)s->guidance;
    for (uint32_t t = first > position ? first : position; t < end && t < position + CW_BLOCK; t++) header->ids[t - position] = s->ids[t];
  }
}

cw_status cw_session_block(const cw_session *s, uint32_t index, const void **block) {
  if (s == NULL || block == NULL || index >= s->length / CW_BLOCK) return CW_E_ARGUMENT;
  if (s->image_count > 0 && (index + 1) * CW_BLOCK > s->images[0].position) return CW_E_ARGUMENT;
  *block = s->blocks[index];
  return CW_OK;
}

cw_status cw_session_attach(cw_session *s, const int32_t *ids, const void *block, size_t size) {
  if (s == NULL || ids == NULL || block == NULL || s->image_count > 0 || s->length % CW_BLOCK != 0) return CW_E_ARGUMENT;
  if (size != s->model->layout.bytes || (uintptr_t)block % 64 != 0) return CW_E_ARGUMENT;
  if (s->max_tokens - s->length < CW_BLOCK) return CW_E_CAPACITY;
  for (uint32_t i = 0; i < CW_BLOCK; i++)
    if (ids[i] < 0 || (uint32_t)ids[i] >= s->model->config.vocab_size) return CW_E_ARGUMENT;
  const cw_block_header *header = block;
  if (header->fingerprint != s->model->fingerprint || header->position != s->length || header->guidance != (uint32_t)s->guidance ||
      memcmp(header->ids, ids, sizeof header->ids) != 0)
    return CW_E_FORMAT;
  memcpy(s->ids + s->length, ids, sizeof header->ids);
  cw_align_forget(&s->alignment, s->length);
  s->blocks[s->length / CW_BLOCK] = (uint8_t *)block; /* never written: cw_session_write makes a copy first */
  s->length += CW_BLOCK;
  return CW_OK;
}

int cw_session_shares_all(const cw_session *s, const cw_session *other) {
  if (s->length != other->length || s->image_count != other->image_count) return 0;
  if (s->image_count > 0 && s->images != other->images) return 0;
  for (uint32_t i = 0; i * CW_BLOCK < s->length; i++)
    if (s->blocks[i] != other->blocks[i]) return 0;
  return 1;
}

cw_status cw_session_copy(cw_session *s, const cw_session *from, uint32_t length) {
  if (s->image_count != from->image_count) return CW_E_ARGUMENT;
  if (length > s->max_tokens) return CW_E_CAPACITY;
  uint32_t same = 0, most = s->length < length ? s->length : length;
  while (same < most && s->ids[same] == from->ids[same]) same++;
  for (uint32_t index = same / CW_BLOCK; same < length && index * CW_BLOCK < length; index++) {
    memcpy(own_block(s, index), from->blocks[index], s->model->layout.bytes);
    s->blocks[index] = own_block(s, index);
  }
  memcpy(s->ids + same, from->ids + same, (length - same) * sizeof *s->ids);
  cw_align_forget(&s->alignment, same);
  s->length = length;
  return CW_OK;
}

cw_status cw_session_share(cw_session *s, const cw_session *from, uint32_t count) {
  if (s == NULL || from == NULL || s == from || s->model != from->model || s->guidance != from->guidance) return CW_E_ARGUMENT;
  if (s->length > 0 || s->image_count > 0 || count > from->length) return CW_E_ARGUMENT;
  if (count > s->max_tokens) return CW_E_CAPACITY;
  for (uint32_t i = 0; i * CW_BLOCK < count; i++) s->blocks[i] = from->blocks[i];
  memcpy(s->ids, from->ids, count * sizeof *s->ids);
  cw_align_forget(&s->alignment, 0);
  s->length = count;
  if (from->image_count > 0 && from->images[0].position < count) {
    s->images = from->images;
    s->cross = from->cross;
    while (s->image_count < from->image_count && from->images[s->image_count].position < count) s->image_count++;
    s->vision_count = s->image_count < from->image_count ? from->images[s->image_count].first : from->vision_count;
  }
  return CW_OK;
}
