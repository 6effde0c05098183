/* blob.c: git's names of file contents: SHA-1 (FIPS 180-4) of "blob SIZE\0" and the bytes, four contents at a time in the lanes of a
 * vector, since one alone is a single chain of dependent additions. */
#include <stdio.h>
#include <string.h>

#include "cromwell.h"
#include "fault.h"

enum { LANES = CW_BLOB_NAMES_MAX, BLOCK_BYTES = 64, ROUNDS = 80 };

typedef uint32_t lanes_u32 __attribute__((vector_size(4 * LANES)));

typedef struct {
  const uint8_t *text;
  size_t size;
  uint8_t header[32]; /* "blob SIZE\0" */
  size_t header_size;
  size_t blocks; /* of header, text, the byte 0x80, zeros, and the number of bits in 8 bytes */
} source;

static void open_source(source *s, const uint8_t *text, size_t size) {
  s->text = text, s->size = size;
  s->header_size = (size_t)snprintf((char *)s->header, sizeof s->header, "blob %zu", size) + 1;
  s->blocks = (s->header_size + size + 1 + 8 + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

/* The bytes of block `number`: in the text itself, or put together in `buffer`. */
static const uint8_t *block(const source *s, size_t number, uint8_t *buffer) {
  size_t first = number * BLOCK_BYTES, message = s->header_size + s->size; /* first: the offset in the message */
  if (first >= s->header_size && first + BLOCK_BYTES <= message) return s->text + (first - s->header_size);
  memset(buffer, 0, BLOCK_BYTES);
  size_t at = 0;
  for (; at < BLOCK_BYTES && first + at < s->header_size; at++) buffer[at] = s->header[first + at];
  if (first + at < message) {
    size_t offset = first + at - s->header_size, room = BLOCK_BYTES - at, left = s->size - offset;
    memcpy(buffer + at, s->text + offset, left < room ? left : room);
  }
  if (message >= first && message < first + BLOCK_BYTES) buffer[message - first] = 0x80;
  if (number + 1 == s->blocks)
    for (int i = 0; i < 8; i++) buffer[BLOCK_BYTES - 1 - i] = (uint8_t)((uint64_t)message * 8 >> 8 * i);
  return buffer;
}

static inline lanes_u32 rotated(lanes_u32 value, int bits) { return value << bits | value >> (32 - bits); }

#define ROUND(function, constant)                                       \
  do {                                                                  \
    lanes_u32 sum = rotated(a, 5) + (function) + e + (constant) + w[t]; \
    e = d, d = c, c = rotated(b, 30), b = a, a = sum;                   \
  } while (0)

static inline __attribute__((always_inline)) void digest_with(lanes_u32 state[5], lanes_u32 w[ROUNDS]) {
  for (int t = 16; t < ROUNDS; t++) w[t] = rotated(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
  lanes_u32 a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
  for (int t = 0; t < 20; t++) ROUND(d ^ (b & (c ^ d)), 0x5a827999u);
  for (int t = 20; t < 40; t++) ROUND(b ^ c ^ d, 0x6ed9eba1u);
  for (int t = 40; t < 60; t++) ROUND((b & c) | (d & (b | c)), 0x8f1bbcdcu);
  for (int t = 60; t < 80; t++) ROUND(b ^ c ^ d, 0xca62c1d6u);
  state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* The same twice: rotation is one instruction with AVX-512 and three without. */
static void digest_plain(lanes_u32 *state, lanes_u32 *w) { digest_with(state, w); }
__attribute__((target("avx512f,avx512vl"))) static void digest_avx512vl(lanes_u32 *state, lanes_u32 *w) { digest_with(state, w); }

cw_status cw_blob_names(const uint8_t *const *texts, const size_t *sizes, uint32_t count, char *names) {
  if (!texts || !sizes || !names || count == 0 || count > CW_BLOB_NAMES_MAX) return CW_E_ARGUMENT;
  source sources[LANES];
  size_t most = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (!texts[i] && sizes[i]) return CW_E_ARGUMENT;
    open_source(&sources[i], texts[i], sizes[i]);
    if (sources[i].blocks > most) most = sources[i].blocks;
  }
  static const uint32_t first[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
  lanes_u32 state[5], w[ROUNDS];
  for (int i = 0; i < 5; i++) state[i] = (lanes_u32){0} + first[i];
  memset(w, 0, sizeof w);
  void (*digest)(lanes_u32 *, lanes_u32 *) = __builtin_cpu_supports("avx512vl") ? digest_avx512vl : digest_plain;
  for (size_t number = 0; number < most; number++) {
    for (uint32_t lane = 0; lane < count; lane++) {
      uint8_t buffer[BLOCK_BYTES];
      if (number >= sources[lane].blocks) continue; /* the lane's name was taken when its last block was done */
      const uint8_t *bytes = block(&sources[lane], number, buffer);
      for (int t = 0; t < 16; t++) {
        uint32_t word;
        memcpy(&word, bytes + 4 * t, 4);
        ((uint32_t *)&w[t])[lane] = __builtin_bswap32(word);
      }
    }
    digest(state, w);
    for (uint32_t lane = 0; lane < count; lane++)
      if (number + 1 == sources[lane].blocks)
        for (int i = 0; i < 5; i++) sprintf(names + lane * (CW_BLOB_NAME_DIGITS + 1) + 8 * i, "%08x", (unsigned)state[i][lane]);
  }
  return CW_OK;
}
