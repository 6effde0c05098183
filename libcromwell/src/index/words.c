/* words.c: counting words, and cutting identifiers into terms. */
#include "index/words.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

const uint8_t cw_byte_class[256] = {
    ['a' ... 'z'] = CW_BYTE_LOWER,  ['A' ... 'Z'] = CW_BYTE_UPPER,     ['0' ... '9'] = CW_BYTE_DIGIT,
    ['_'] = CW_BYTE_UNDERSCORE,     [0x80 ... 0xff] = CW_BYTE_HIGH,
};

static uint64_t load(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

/* Of bytes with slack after them. */
static inline uint64_t hash_of(const uint8_t *bytes, size_t size) {
  uint64_t sum = size * 0xff51afd7ed558ccdu;
  for (; size >= 8; bytes += 8, size -= 8) {
    sum = (sum ^ load(bytes)) * 0x9e3779b97f4a7c15u;
    sum ^= sum >> 32;
  }
  uint64_t word = size > 0 ? load(bytes) & (~(uint64_t)0 >> (64 - 8 * size)) : 0;
  sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
  sum = (sum ^ sum >> 32) * 0xd6e8feb86659fd93u;
  return sum ^ sum >> 29;
}

uint64_t cw_term_hash(const uint8_t *bytes, size_t size) { return hash_of(bytes, size); }

uint64_t cw_name_hash(const uint8_t *name, size_t size) {
  uint8_t copy[CW_WORD_BYTES + 8] = {0};
  if (size > CW_WORD_BYTES) return 0; /* of no word */
  if (size > 0) memcpy(copy, name, size);
  return hash_of(copy, size);
}

cw_status cw_words_open(cw_words *words) {
  words->mask = (1 << 12) - 1;
  words->used = 0;
  words->slots = calloc(words->mask + 1, sizeof *words->slots);
  words->order = malloc((words->mask + 1) * sizeof *words->order);
  return words->slots != NULL && words->order != NULL ? CW_OK : CW_E_MEMORY;
}

void cw_words_close(cw_words *words) {
  free(words->slots);
  free(words->order);
}

void cw_words_clear(cw_words *words) {
  for (size_t i = 0; i < words->used; i++) words->slots[words->order[i]].size = 0;
  words->used = 0;
}

static cw_status grow(cw_words *words) {
  size_t room = (words->mask + 1) * 2;
  cw_word_count *slots = calloc(room, sizeof *slots);
  uint32_t *order = malloc(room * sizeof *order);
  if (slots == NULL || order == NULL) {
    free(slots);
    free(order);
    return CW_E_MEMORY;
  }
  for (size_t i = 0; i < words->used; i++) {
    const cw_word_count *old = &words->slots[words->order[i]];
    size_t at = (size_t)old->hash & (room - 1);
    while (slots[at].size > 0) at = (at + 1) & (room - 1);
    slots[at] = *old;
    order[i] = (uint32_t)at;
  }
  cw_words_close(words);
  words->slots = slots;
  words->order = order;
  words->mask = room - 1;
  return CW_OK;
}

/* The slot of a hash; a new one has the place and size given. */
static inline cw_status slot_of(cw_words *words, uint64_t hash, uint32_t at, uint32_t size, cw_word_count **out) {
  if (words->used * 2 > words->mask) CW_TRY(grow(words));
  size_t slot = (size_t)hash & words->mask;
  while (words->slots[slot].size > 0 && words->slots[slot].hash != hash) slot = (slot + 1) & words->mask;
  if (words->slots[slot].size == 0) {
    words->order[words->used++] = (uint32_t)slot;
    words->slots[slot] = (cw_word_count){.hash = hash, .at = at, .size = size};
  }
  *out = &words->slots[slot];
  return CW_OK;
}

cw_status cw_words_add(cw_words *words, const uint8_t *text, uint32_t at, uint32_t size, int is_code) {
  cw_word_count *slot;
  if (size > CW_WORD_BYTES) return CW_OK;
  CW_TRY(slot_of(words, hash_of(text + at, size), at, size, &slot));
  if (is_code) slot->code++;
  else slot->text++;
  return CW_OK;
}

cw_status cw_words_count(cw_words *words, uint64_t hash, uint32_t count) {
  cw_word_count *slot;
  CW_TRY(slot_of(words, hash, 0, 1, &slot));
  slot->code += count;
  return CW_OK;
}

cw_status cw_word_terms(const uint8_t *word, size_t size, cw_term_fn give, void *user) {
  uint8_t lower[CW_WORD_BYTES + 8] = {0};
  if (size == 0 || size > CW_WORD_BYTES) return CW_OK;
  for (size_t i = 0; i < size; i++) lower[i] = cw_byte_class[word[i]] == CW_BYTE_UPPER ? word[i] | 0x20 : word[i];
  CW_TRY(give(user, lower, size));
  for (size_t at = 0; at < size;) {
    size_t end = at + 1;
    int kind = cw_byte_class[word[at]];
    if (kind == CW_BYTE_UNDERSCORE || kind == 0) {
      at++;
      continue;
    }
    if (kind == CW_BYTE_DIGIT) {
      while (end < size && cw_byte_class[word[end]] == CW_BYTE_DIGIT) end++;
    } else if (kind == CW_BYTE_UPPER && end < size && cw_byte_class[word[end]] == CW_BYTE_UPPER) {
      /* An acronym ends before the capital that begins the next word: HTTP|Response. */
      while (end < size && cw_byte_class[word[end]] == CW_BYTE_UPPER) end++;
      if (end < size && cw_byte_class[word[end]] == CW_BYTE_LOWER) end--;
    } else {
      while (end < size && (cw_byte_class[word[end]] == CW_BYTE_LOWER || cw_byte_class[word[end]] == CW_BYTE_HIGH)) end++;
    }
    if (end - at < size) CW_TRY(give(user, lower + at, end - at));
    at = end;
  }
  return CW_OK;
}
