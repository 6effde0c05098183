/* pack_maker.h: builds a small random model pack in memory, for tests that must not depend on Python. */
#ifndef CW_TEST_PACK_MAKER_H
#define CW_TEST_PACK_MAKER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "model/pack.h"

enum { MAKER_SPECIALS = 19, MAKER_IMAGE = 13, MAKER_VOCAB = MAKER_SPECIALS + 256 };

static const char *const MAKER_NAMES[MAKER_SPECIALS] = {
    "<PAD>", NULL, NULL, NULL, "<EDIT>", "</EDIT>", "<EDIT_START>", "<EDIT_END>", "<INS>", [MAKER_IMAGE] = "<IMAGE>",
};

static const cw_config MAKER_CONFIG = {
    .vocab_size = MAKER_VOCAB, .max_positions = 300, .norm_eps = 1e-6f, .rope_base = 10000, .tie_embeddings = 1, .qk_norm = 1,
    .token_shift = 1, .places = 6, .aligned = 1, .logit_softcap = 15,
    .vision = {.stem_channels = 8, .cnn_channels = 12, .expansion = 2, .hidden = 16, .mlp = 32, .layers = 2, .heads = 2, .window = 16,
               .global_layers = 2, .shuffle = 4, .max_tiles = 2},
    .language = {.hidden = 64, .mlp = 160, .layers = 1, .heads = 2, .kv_heads = 1},
    .fusion = {.hidden = 32, .mlp = 40, .layers = 2, .heads = 2},
    .jepa = {.hidden = 32, .mlp = 96, .layers = 1, .heads = 2, .kv_heads = 2}, .jepa_steps = 3,
    .ar = {.hidden = 64, .mlp = 40, .layers = 2, .heads = 2, .kv_heads = 1},
};

typedef struct {
  uint8_t *bytes; /* 64-byte aligned */
  size_t size, capacity;
  size_t table;   /* offset of the tensor table's next entry */
  int writing;    /* 0: only count tensors */
  uint32_t count;
  uint64_t random;
} maker;

static uint64_t maker_random(maker *m) { /* xorshift64 */
  m->random ^= m->random << 13;
  m->random ^= m->random >> 7;
  return m->random ^= m->random << 17;
}

static void maker_grow(maker *m, size_t size) {
  size = (size + 63) / 64 * 64;
  if (size > m->capacity) {
    size_t capacity = size * 2;
    uint8_t *bytes = aligned_alloc(64, (capacity + 63) / 64 * 64);
    if (bytes == NULL) abort();
    memset(bytes, 0, capacity);
    if (m->bytes != NULL) memcpy(bytes, m->bytes, m->size);
    free(m->bytes);
    m->bytes = bytes;
    m->capacity = capacity;
  }
}

static void maker_put(maker *m, size_t at, const void *from, size_t size) {
  maker_grow(m, at + size);
  memcpy(m->bytes + at, from, size);
  if (at + size > m->size) m->size = at + size;
}

/* Numbers of a float part, within -0.3 .. 0.3. */
static void maker_floats(maker *m, uint8_t *at, uint64_t size) {
  for (uint64_t i = 0; i < size; i += 4) {
    float value = ((float)(maker_random(m) >> 40) / 8388608.0f - 1.0f) * 0.3f;
    memcpy(at + i, &value, 4);
  }
}

/* Bytes first .. first+count-1. */
static void maker_bytes(maker *m, uint8_t *at, uint64_t size, uint8_t first, uint8_t count) {
  for (uint64_t i = 0; i < size; i++) at[i] = (uint8_t)(first + (maker_random(m) >> 40) % count);
}

/* Matrices take turns between float32, q8 and q4 where their depth allows it. */
static cw_status maker_tensor(void *user, const cw_tensor *tensor) {
  maker *m = user;
  m->count++;
  if (!m->writing) return CW_OK;
  uint32_t type = CW_PACK_TABLE;
  if (tensor->matrix != NULL) type = tensor->shape[1] % CW_SUB == 0 ? CW_PACK_F32 + m->count % 3 : CW_PACK_F32;
  cw_pack_layout layout = cw_pack_layout_of(type, tensor->shape);
  size_t at = (m->size + 63) / 64 * 64;
  uint64_t size = layout.size;
  maker_grow(m, at + size);
  uint8_t *data = m->bytes + at;
  memset(data, 0, size);
  if (type == CW_PACK_TABLE || type == CW_PACK_F32) maker_floats(m, data, size);
  if (type == CW_PACK_Q8) maker_bytes(m, data, layout.weights_size, 0, 129);
  if (type == CW_PACK_Q4) {
    maker_bytes(m, data, layout.weights_size, 0, 255);
    maker_bytes(m, data + layout.multipliers, layout.multipliers_size, 1, 8);
  }
  const uint16_t scale = 0x3b80; /* 2^-8 */
  for (uint64_t i = layout.scales; i < layout.scales + layout.scales_size; i += 2) memcpy(data + i, &scale, 2);
  m->size = (at + size + 63) / 64 * 64;
  uint8_t entry[128] = {0};
  strncpy((char *)entry, tensor->name, 63);
  uint32_t numbers[5] = {type, tensor->rank, tensor->shape[0], tensor->shape[1], tensor->shape[2]};
  memcpy(entry + 64, numbers, sizeof numbers);
  uint64_t places[3] = {at, size, cw_checksum64(m->bytes + at, size)};
  memcpy(entry + 96, places, sizeof places);
  memcpy(m->bytes + m->table, entry, sizeof entry);
  m->table += sizeof entry;
  return CW_OK;
}

/* A tokenizer section without merges (docs/tokenizer.md). Returns its size. */
static size_t maker_tokenizer(uint8_t out[512]) {
  memset(out, 0, 512);
  size_t at = 32;
  for (int i = 0; i < MAKER_SPECIALS; i++) at += (size_t)sprintf((char *)out + at, MAKER_NAMES[i] != NULL ? MAKER_NAMES[i] : "<S%d>", i) + 1;
  uint32_t names = (uint32_t)((at - 32 + 7) / 8 * 8), header[4] = {1, MAKER_SPECIALS, 0, names};
  memcpy(out, "CWTOKEN\n", 8);
  memcpy(out + 8, header, sizeof header);
  uint64_t sum = 16 + names;
  for (size_t i = 8; i < 32 + names; i += i == 16 ? 16 : 8) {
    uint64_t word;
    memcpy(&word, out + i, 8);
    sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
    sum ^= sum >> 29;
  }
  memcpy(out + 24, &sum, 8);
  return 32 + names;
}

/* Makes every checksum of header and sections fit again after a change; offsets must lie within the pack. */
static void maker_seal(uint8_t *bytes, size_t size) {
  for (int i = 0; i < 4; i++) {
    uint64_t place[2], sum;
    memcpy(place, bytes + 64 + i * 32 + 8, sizeof place);
    if (place[0] > size || place[1] > size - place[0]) continue;
    sum = cw_checksum64(bytes + place[0], place[1]);
    memcpy(bytes + 64 + i * 32 + 24, &sum, 8);
  }
  uint8_t covered[144];
  memcpy(covered, bytes + 8, 16);
  memcpy(covered + 16, bytes + 64, 128);
  uint64_t fingerprint = cw_checksum64(covered, sizeof covered);
  memcpy(bytes + 24, &fingerprint, 8);
  uint64_t header = cw_checksum64(bytes, 56);
  memcpy(bytes + 56, &header, 8);
}

/* The pack's bytes, to be freed; *size is set. */
static uint8_t *maker_pack(size_t *size) {
  maker m = {.random = 88172645463325252u};
  cw_arena measured = {0}, arena = {0};
  cw_weights weights;
  cw_weights_take(&weights, &MAKER_CONFIG, &measured);
  if (cw_arena_open(&measured, &arena) != CW_OK) abort();
  cw_weights_take(&weights, &MAKER_CONFIG, &arena);
  cw_weights_each(&weights, &MAKER_CONFIG, maker_tensor, &m);

  uint8_t tokenizer[512];
  const char *json = "{\"name\": \"made\"}";
  size_t sizes[4] = {sizeof MAKER_CONFIG, strlen(json), maker_tokenizer(tokenizer), (size_t)m.count * 128}, at = 192;
  const void *parts[4] = {&MAKER_CONFIG, json, tokenizer, NULL};
  uint8_t header[192] = "CROMPACK";
  uint32_t numbers[2] = {CW_PACK_VERSION, 4};
  memcpy(header + 8, numbers, sizeof numbers);
  for (uint32_t i = 0; i < 4; i++) {
    uint32_t kind[2] = {i + 1, 0};
    uint64_t place[2] = {at, sizes[i]};
    memcpy(header + 64 + i * 32, kind, sizeof kind);
    memcpy(header + 64 + i * 32 + 8, place, sizeof place);
    maker_grow(&m, at + sizes[i]);
    if (parts[i] != NULL) maker_put(&m, at, parts[i], sizes[i]);
    if (parts[i] == NULL) m.table = at;
    m.size = (at + sizes[i] + 63) / 64 * 64;
    at = m.size;
  }
  m.writing = 1;
  m.count = 0;
  cw_weights_each(&weights, &MAKER_CONFIG, maker_tensor, &m);
  cw_arena_close(&arena);
  uint64_t total = m.size;
  memcpy(header + 16, &total, 8);
  memcpy(m.bytes, header, sizeof header);
  maker_seal(m.bytes, m.size);
  *size = m.size;
  return m.bytes;
}

/* Writes bytes to a new temporary file and puts its path into `path`. */
static inline void maker_write(const uint8_t *bytes, size_t size, char path[64]) {
  strcpy(path, "/tmp/cromwell-test-XXXXXX");
  int descriptor = mkstemp(path);
  FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
  if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) abort();
}

#endif
