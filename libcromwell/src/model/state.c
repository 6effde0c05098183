/* state.c: saves and restores the states of tokens, in a layout that does not depend on a session's capacities:
 *
 *     a token: id u32 | position u32 | guidance u32 | zero u32
 *              | keys, values of each language, JEPA and AR layer | input of each fusion block [J] | f [J] | AR output [A]     float32 */
#include <string.h>

#include "model/session.h"

enum { RECORD_HEADER = 16 };

static size_t kv_floats(const cw_stack_config *shape) { return (size_t)shape->layers * 2 * shape->kv_heads * (shape->hidden / shape->heads); }

size_t cw_state_bytes(const cw_config *config) {
  size_t floats = kv_floats(&config->language) + kv_floats(&config->jepa) + kv_floats(&config->ar);
  floats += ((size_t)config->fusion.layers + 1) * config->fusion.hidden + config->ar.hidden;
  return RECORD_HEADER + floats * sizeof(float);
}

/* One direction of copying between a record and the session. */
typedef struct {
  unsigned char *at; /* next byte of the record */
  int restore;
} mover;

static void move_floats(mover *m, float *floats, size_t count) {
  if (m->restore)
    memcpy(floats, m->at, count * sizeof(float));
  else
    memcpy(m->at, floats, count * sizeof(float));
  m->at += count * sizeof(float);
}

static void move_stack(mover *m, const cw_cache *caches, uint32_t layers, uint32_t position, float *key, float *value) {
  for (uint32_t i = 0; i < layers; i++) {
    size_t size = (size_t)caches[i].heads * caches[i].head_dim;
    if (!m->restore) cw_cache_get(&caches[i], position, key, value);
    move_floats(m, key, size);
    move_floats(m, value, size);
    if (m->restore) cw_cache_put(&caches[i], position, key, value);
  }
}

static void move_token(const cw_session *s, mover *m, uint32_t position) {
  const cw_config *config = &s->model->config;
  size_t J = config->fusion.hidden, A = config->ar.hidden;
  float *key = s->buffers.k, *value = s->buffers.v;
  move_stack(m, s->language, config->language.layers, position, key, value);
  move_stack(m, s->jepa, config->jepa.layers, position, key, value);
  move_stack(m, s->ar, config->ar.layers, position, key, value);
  for (uint32_t i = 0; i < config->fusion.layers; i++) move_floats(m, s->joint_input[i] + position * J, J);
  move_floats(m, s->joint + position * J, J);
  move_floats(m, s->ar_out + position * A, A);
}

static void record_header(const cw_session *s, int32_t id, uint32_t position, uint32_t out[4]) {
  out[0] = (uint32_t)id;
  out[1] = position;
  out[2] = (uint32_t)s->guidance;
  out[3] = 0;
}

cw_status cw_session_export(const cw_session *s, uint32_t first, uint32_t count, void *out, size_t size) {
  if (s == NULL || (out == NULL && count > 0) || first > s->length || count > s->length - first) return CW_E_ARGUMENT;
  if (s->image_count > 0 && first + count > s->images[0].position) return CW_E_ARGUMENT;
  size_t bytes = cw_state_bytes(&s->model->config);
  if (size < count * bytes) return CW_E_CAPACITY;
  for (uint32_t i = 0; i < count; i++) {
    mover m = {.at = (unsigned char *)out + i * bytes, .restore = 0};
    uint32_t header[4];
    record_header(s, s->ids[first + i], first + i, header);
    memcpy(m.at, header, RECORD_HEADER);
    m.at += RECORD_HEADER;
    move_token(s, &m, first + i);
  }
  return CW_OK;
}

cw_status cw_session_restore(cw_session *s, const int32_t *ids, uint32_t count, const void *state, size_t size) {
  if (s == NULL || (count > 0 && (ids == NULL || state == NULL)) || s->image_count > 0) return CW_E_ARGUMENT;
  size_t bytes = cw_state_bytes(&s->model->config);
  if (count > s->max_tokens - s->length) return CW_E_CAPACITY;
  if (size != count * bytes) return CW_E_ARGUMENT;
  for (uint32_t i = 0; i < count; i++) { /* refuse states of other tokens or places before touching anything */
    if (ids[i] < 0 || (uint32_t)ids[i] >= s->model->config.vocab_size) return CW_E_ARGUMENT;
    uint32_t header[4];
    record_header(s, ids[i], s->length + i, header);
    if (memcmp((const unsigned char *)state + i * bytes, header, RECORD_HEADER) != 0) return CW_E_FORMAT;
  }
  for (uint32_t i = 0; i < count; i++) {
    mover m = {.at = (unsigned char *)state + i * bytes + RECORD_HEADER, .restore = 1};
    move_token(s, &m, s->length + i);
    s->ids[s->length + i] = ids[i];
  }
  s->length += count;
  if (count > 0) s->logits_known = 0;
  return CW_OK;
}
