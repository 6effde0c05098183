/* checksum.c: the 64-bit checksum of model packs (docs/pack.md): four independent multiply-mix lanes of 8 bytes each. */
#include <string.h>

#include "cromwell.h"

/* Odd constants with evenly spread bits: the fractional parts of sqrt(2), sqrt(3), sqrt(5), sqrt(7). */
static const uint64_t LANE_KEY[4] = {0x6a09e667f3bcc909u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u};

/* One round: a step is a bijection of the lane for a fixed word and of the word for a fixed lane, so one changed word always shows. */
static uint64_t mix(uint64_t lane, uint64_t word, uint64_t key) {
  lane = (lane ^ word) * key;
  return lane ^ (lane >> 29);
}

static uint64_t word_at(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word); /* little-endian: x86-64 only, as the build checks */
  return word;
}

uint64_t cw_checksum64(const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  uint64_t lane[4] = {size ^ LANE_KEY[3], LANE_KEY[2], LANE_KEY[1], LANE_KEY[0]};
  size_t left = size;
  for (; left >= 32; left -= 32, at += 32)
    for (int i = 0; i < 4; i++) lane[i] = mix(lane[i], word_at(at + 8 * i), LANE_KEY[i]);
  if (left > 0) {
    uint8_t tail[32] = {0};
    memcpy(tail, at, left);
    for (int i = 0; i < 4; i++) lane[i] = mix(lane[i], word_at(tail + 8 * i), LANE_KEY[i]);
  }
  uint64_t sum = LANE_KEY[0];
  for (int i = 0; i < 4; i++) sum = mix(sum, lane[i], LANE_KEY[1]);
  sum = mix(sum, sum >> 32, LANE_KEY[2]);
  return sum ^ (sum >> 31);
}
