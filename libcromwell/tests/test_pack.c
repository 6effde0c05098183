/* test_pack.c: the pack loader: a sound pack opens; thousands of damaged ones are refused in one clear line, and nothing is read
 * beyond their end (run it under sanitizers). Damage comes in two kinds: raw, and with all checksums made to fit again. */
#include <inttypes.h>

#include "model/pack.h"
#include "pack_maker.h"

static int failures;

static void fail(const char *what, uint64_t detail) {
  printf("%s (%" PRIu64 ")\n", what, detail);
  failures++;
}

/* Opens a pack in a block of exactly its size. */
static cw_status open_pack(const uint8_t *bytes, size_t size, cw_fault *fault) {
  uint8_t *exact = NULL;
  if (posix_memalign((void **)&exact, 64, size > 0 ? size : 1) != 0) abort();
  memcpy(exact, bytes, size);
  cw_pack pack;
  cw_arena measured = {0}, arena = {0};
  cw_weights weights;
  uint64_t parameters;
  cw_status status = cw_pack_read(exact, size, &pack, fault);
  if (status == CW_OK) {
    cw_weights_take(&weights, &pack.config, &measured);
    if (cw_arena_open(&measured, &arena) != CW_OK) abort();
    cw_weights_take(&weights, &pack.config, &arena);
    status = cw_pack_tensors(exact, size, &pack, &weights, &parameters, fault);
    cw_arena_close(&arena);
  }
  free(exact);
  return status;
}

/* A refusal carries a format, version or checksum status and one printable line. */
static void expect_refusal(const char *what, uint64_t detail, const uint8_t *bytes, size_t size) {
  cw_fault fault = {{0}};
  cw_status status = open_pack(bytes, size, &fault);
  if (status != CW_E_FORMAT && status != CW_E_CHECKSUM && status != CW_E_VERSION) fail(what, detail);
  size_t length = strnlen(fault.text, sizeof fault.text);
  if (status != CW_OK && (length == 0 || length == sizeof fault.text || strchr(fault.text, '\n') != NULL)) fail("no clear line", detail);
}

static uint64_t state = 2463534242u;

static uint64_t next(uint64_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state % below;
}

static void test_truncation(const uint8_t *sound, size_t size) {
  for (size_t length = 0; length < 4096 && length < size; length += length < 256 ? 1 : 37) expect_refusal("truncated", length, sound, length);
  for (int i = 0; i < 300; i++) {
    size_t length = next(size);
    expect_refusal("truncated", length, sound, length);
  }
}

/* A flipped bit anywhere is seen. */
static void test_flips(const uint8_t *sound, size_t size) {
  uint8_t *bytes = malloc(size);
  memcpy(bytes, sound, size);
  for (int i = 0; i < 3000; i++) {
    size_t at = i < 1600 ? (size_t)i / 8 : next(size);
    uint8_t bit = (uint8_t)(1 << (i < 1600 ? i % 8 : (int)next(8)));
    bytes[at] ^= bit;
    expect_refusal("flipped bit", at, bytes, size);
    bytes[at] ^= bit;
  }
  free(bytes);
}

/* With fitting checksums: header, sections, configuration and tensor table hold hostile numbers. The pack may still be sound
 * (a tensor's name may be left as it was), so only crashes and unclear refusals count. */
static void test_hostile_numbers(const uint8_t *sound, size_t size, size_t data) {
  static const uint64_t numbers[] = {0, 1, 63, 64, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0xffffffffffffffc0, 0xffffffffffffffff};
  uint8_t *bytes = malloc(size);
  int refused = 0;
  for (int i = 0; i < 12000; i++) {
    memcpy(bytes, sound, size);
    for (uint64_t changes = 1 + next(3); changes > 0; changes--) {
      size_t at = next(4) == 0 ? next(512) : next(data);
      uint64_t number = next(3) == 0 ? next(size) : numbers[next(sizeof numbers / sizeof numbers[0])];
      size_t width = next(2) ? 4 : 8;
      at = at / width * width;
      if (at + width <= data) memcpy(bytes + at, &number, width);
    }
    maker_seal(bytes, size);
    cw_fault fault = {{0}};
    cw_status status = open_pack(bytes, size, &fault);
    refused += status != CW_OK;
    if (status != CW_OK && (fault.text[0] == '\0' || strchr(fault.text, '\n') != NULL)) fail("no clear line", (uint64_t)i);
  }
  if (refused < 6000) fail("hostile packs accepted too often", (uint64_t)refused);
  free(bytes);
}

static void test_checksum(void) {
  uint8_t bytes[200];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
  for (size_t size = 0; size < sizeof bytes; size++) { /* one more zero byte, one changed byte: other sums */
    uint64_t sum = cw_checksum64(bytes, size);
    if (size > 0) {
      bytes[size / 2] ^= 0x40;
      if (cw_checksum64(bytes, size) == sum) fail("checksum misses a change", size);
      bytes[size / 2] ^= 0x40;
    }
    uint8_t longer[201] = {0};
    memcpy(longer, bytes, size);
    if (cw_checksum64(longer, size + 1) == sum) fail("checksum misses a longer end", size);
  }
}

int main(void) {
  size_t size;
  uint8_t *sound = maker_pack(&size);
  cw_fault fault = {{0}};
  if (open_pack(sound, size, &fault) != CW_OK) printf("a sound pack is refused: %s\n", fault.text), failures++;
  cw_pack pack;
  if (cw_pack_read(sound, size, &pack, &fault) != CW_OK) return 1;
  test_checksum();
  test_truncation(sound, size);
  test_flips(sound, size);
  test_hostile_numbers(sound, size, pack.data_offset);
  free(sound);
  printf("test_pack: %d failures\n", failures);
  return failures != 0;
}
