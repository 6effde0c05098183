/* tokenizer.c: the tokenizer section of a model pack, and ids back to bytes (docs/tokenizer.md). */
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "text/vocabulary.h"

/* Offset  Header of a section; all numbers little-endian
 *  0      magic
 *  8      version
 * 12      special_count
 * 16      merge_count
 * 20      names_size, a multiple of 8
 * 24      checksum of bytes 8..23 and all after 31
 * 32      names, each ended by a zero byte, zeros up to names_size
 *         merges, two 4-byte ids each */
enum { VERSION = 1, CHECKED = 8, CHECKSUM = 24, HEADER = 32 };
static const char magic[8] = {'C', 'W', 'T', 'O', 'K', 'E', 'N', '\n'};

#define SPECIALS_MAX 4096u
#define TOKENS_MAX (1u << 20) /* a slot of the pair table holds 20 bits of a token */

static uint32_t u32_at(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint64_t u64_at(const uint8_t *bytes) { return u32_at(bytes) | (uint64_t)u32_at(bytes + 4) << 32; }

static uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t size) {
  for (size_t at = 0; at < size; at += 8) {
    sum = (sum ^ u64_at(bytes + at)) * 0x9E3779B97F4A7C15u;
    sum ^= sum >> 29;
  }
  return sum;
}

/* Checks that names[0..size) are `count` distinct, non-empty strings and then zeros. */
static cw_status check_names(const char *names, uint32_t size, uint32_t count, cw_fault *fault) {
  uint32_t at = 0;
  for (uint32_t special = 0; special < count; special++) {
    const char *end = memchr(names + at, 0, size - at);
    if (end == NULL || end == names + at) return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: special token %u has no name", special);
    at = (uint32_t)(end - names) + 1;
  }
  for (; at < size; at++) {
    if (names[at] != 0) return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: more names than special tokens");
  }
  return CW_OK;
}

static cw_status read_section(struct cw_tokenizer *tokenizer, const uint8_t *bytes, size_t size, cw_fault *fault) {
  if (size < HEADER || memcmp(bytes, magic, sizeof magic) != 0) return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: not a tokenizer section");
  uint32_t version = u32_at(bytes + 8), specials = u32_at(bytes + 12), merges = u32_at(bytes + 16), names_size = u32_at(bytes + 20);
  if (version != VERSION) return cw_fault_set(fault, CW_E_VERSION, "tokenizer: section version %u, this build reads %d", version, VERSION);
  if (names_size % 8 != 0 || (uint64_t)HEADER + names_size + 8 * (uint64_t)merges != size) {
    return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: section of %zu bytes, its header says %llu", size,
                        (unsigned long long)HEADER + names_size + 8 * (unsigned long long)merges);
  }
  uint64_t sum = checksum_add(size - CHECKED - sizeof sum, bytes + CHECKED, CHECKSUM - CHECKED);
  if (checksum_add(sum, bytes + HEADER, size - HEADER) != u64_at(bytes + CHECKSUM)) {
    return cw_fault_set(fault, CW_E_CHECKSUM, "tokenizer: section differs from its checksum");
  }
  if (specials > SPECIALS_MAX || merges > TOKENS_MAX - SPECIALS_MAX - 256) {
    return cw_fault_set(fault, CW_E_FORMAT, "tokenizer: %u special tokens and %u merges, too many", specials, merges);
  }
  CW_TRY(check_names((const char *)bytes + HEADER, names_size, specials, fault));
  tokenizer->names = (const char *)bytes + HEADER;
  tokenizer->fingerprint = u64_at(bytes + CHECKSUM);
  tokenizer->special_count = specials;
  tokenizer->first_merge = specials + 256;
  tokenizer->size = specials + 256 + merges;
  return cw_vocabulary_build(tokenizer, bytes + HEADER + names_size, fault);
}

cw_status cw_tokenizer_open_incomplete(const void *bytes, size_t size, cw_tokenizer **out, cw_fault *fault) {
  if (bytes == NULL || out == NULL) return cw_fault_set(fault, CW_E_ARGUMENT, "tokenizer: no section");
  struct cw_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
  if (tokenizer == NULL) return cw_fault_set(fault, CW_E_MEMORY, "tokenizer: no memory");
  cw_status status = read_section(tokenizer, bytes, size, fault);
  if (status != CW_OK) {
    cw_tokenizer_close(tokenizer);
    return status;
  }
  *out = tokenizer;
  return CW_OK;
}

cw_status cw_tokenizer_open(const void *bytes, size_t size, cw_tokenizer **out, cw_fault *fault) {
  cw_tokenizer *tokenizer;
  if (out == NULL) return cw_fault_set(fault, CW_E_ARGUMENT, "tokenizer: no section");
  CW_TRY(cw_tokenizer_open_incomplete(bytes, size, &tokenizer, fault));
  cw_status status = cw_vocabulary_complete(tokenizer, fault);
  if (status != CW_OK) {
    cw_tokenizer_close(tokenizer);
    return status;
  }
  *out = tokenizer;
  return CW_OK;
}

void cw_tokenizer_close(cw_tokenizer *tokenizer) {
  if (tokenizer == NULL) return;
  cw_vocabulary_free(tokenizer);
  free(tokenizer);
}

uint64_t cw_tokenizer_fingerprint(const cw_tokenizer *tokenizer) { return tokenizer->fingerprint; }

int32_t cw_tokenizer_size(const cw_tokenizer *tokenizer) { return (int32_t)tokenizer->size; }

/* The bytes of `id` in the output of cw_tokenizer_decode. */
static const void *decoded(const cw_tokenizer *tokenizer, uint32_t id, int32_t with_special, size_t *size) {
  if (id >= tokenizer->special_count) {
    *size = tokenizer->start[id + 1] - tokenizer->start[id];
    return tokenizer->bytes + tokenizer->start[id];
  }
  const char *name = tokenizer->names;
  for (; with_special && id > 0; id--) name += strlen(name) + 1;
  *size = with_special ? strlen(name) : 0;
  return name;
}

cw_status cw_tokenizer_decode(const cw_tokenizer *tokenizer, const int32_t *ids, size_t count, int32_t with_special, uint8_t *out,
                              size_t capacity, size_t *size) {
  if (tokenizer == NULL || (ids == NULL && count > 0) || size == NULL) return CW_E_ARGUMENT;
  size_t total = 0;
  for (size_t index = 0; index < count; index++) {
    size_t added;
    if (ids[index] < 0 || (uint32_t)ids[index] >= tokenizer->size) return CW_E_ARGUMENT;
    const void *bytes = decoded(tokenizer, (uint32_t)ids[index], with_special, &added);
    if (out != NULL) {
      if (added > capacity - total) return CW_E_CAPACITY;
      memcpy(out + total, bytes, added);
    }
    total += added;
  }
  *size = total;
  return CW_OK;
}

int32_t cw_tokenizer_special(const cw_tokenizer *tokenizer, const char *name) {
  const char *at = tokenizer->names;
  for (uint32_t special = 0; special < tokenizer->special_count; special++, at += strlen(at) + 1) {
    if (strcmp(at, name) == 0) return (int32_t)special;
  }
  return -1;
}
