/* test_pack.c: the pack loader: a sound pack opens; thousands of damaged ones are refused in one clear line, and nothing is read
 * beyond their end (run it under sanitizers). Damage comes in two kinds: raw, and with all checksums made to fit again. A pack opened
 * without a look at its numbers computes with whatever they are, and comes to no harm. */
#include <inttypes.h>
#include <unistd.h>

#include "pack_maker.h"

static int failures;

static void fail(const char *what, uint64_t detail) {
  printf("%s (%" PRIu64 ")\n", what, detail);
  failures++;
}

/* Opens a pack in a block of exactly its size, and checks its numbers too. */
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
    if (status == CW_OK) status = cw_pack_check(exact, &pack, fault);
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

/* The entry of the first tensor of a type, or of a matrix whose depth fits no quantised type. */
static cw_pack_entry entry_of(const cw_pack *pack, uint32_t type, int odd_depth, uint32_t *index) {
  for (uint32_t i = 0; i < pack->tensor_count; i++) {
    cw_pack_entry entry = cw_pack_entry_at(pack, i);
    *index = i;
    if (entry.type == type && (!odd_depth || entry.shape[1] % CW_SUB != 0)) return entry;
  }
  abort();
}

/* Writes `count` bytes into the data of tensor `index`, or into its padding, and makes the checksums fit; expects `want`. */
static void expect_numbers(const char *what, const uint8_t *sound, size_t size, const cw_pack *pack, uint32_t index, uint64_t at,
                           const void *bytes, size_t count, cw_status want) {
  uint8_t *changed = malloc(size);
  memcpy(changed, sound, size);
  cw_pack_entry entry = cw_pack_entry_at(pack, index);
  memcpy(changed + entry.offset + at, bytes, count);
  uint64_t sum = cw_checksum64(changed + entry.offset, entry.size);
  memcpy(changed + (pack->tensors - sound) + index * CW_PACK_ENTRY + 112, &sum, sizeof sum);
  maker_seal(changed, size);
  cw_fault fault = {{0}};
  cw_status status = open_pack(changed, size, &fault);
  if (status != want) fail(what, (uint64_t)status);
  free(changed);
}

/* Numbers beyond the ranges of their type, under fitting checksums. */
static void test_ranges(const uint8_t *sound, size_t size, const cw_pack *pack) {
  uint32_t index;
  const uint16_t infinite = 0x7f80, large = 0xff7f;
  cw_pack_entry entry = entry_of(pack, CW_PACK_Q8, 0, &index);
  cw_pack_layout layout = cw_pack_layout_of(entry.type, entry.shape);
  expect_numbers("weight at the end of its range", sound, size, pack, index, 5, "\x80", 1, CW_OK);
  expect_numbers("weight above its range", sound, size, pack, index, layout.weights_size - 1, "\x81", 1, CW_E_FORMAT);
  expect_numbers("large scale", sound, size, pack, index, layout.size - 2, &large, 2, CW_OK);
  expect_numbers("infinite scale", sound, size, pack, index, layout.size - 2, &infinite, 2, CW_E_FORMAT);
  entry = entry_of(pack, CW_PACK_Q4, 0, &index);
  layout = cw_pack_layout_of(entry.type, entry.shape);
  expect_numbers("multiplier 8", sound, size, pack, index, layout.multipliers, "\10", 1, CW_OK);
  expect_numbers("multiplier 9", sound, size, pack, index, layout.multipliers, "\11", 1, CW_E_FORMAT);
  expect_numbers("multiplier 0", sound, size, pack, index, layout.multipliers + layout.multipliers_size - 1, "", 1, CW_E_FORMAT);
  expect_numbers("infinite scale", sound, size, pack, index, layout.scales, &infinite, 2, CW_E_FORMAT);
  for (index = 0; cw_pack_entry_at(pack, index).size % CW_PACK_ALIGNMENT == 0;) index++;
  entry = cw_pack_entry_at(pack, index);
  expect_numbers("byte after the end", sound, size, pack, index, entry.size, "\1", 1, CW_E_FORMAT);
}

/* Versions before this one, and quantised types where the depth does not allow them. */
static void test_fields(const uint8_t *sound, size_t size, const cw_pack *pack) {
  uint8_t *bytes = malloc(size);
  memcpy(bytes, sound, size);
  bytes[8] = 1;
  maker_seal(bytes, size);
  cw_fault fault = {{0}};
  if (open_pack(bytes, size, &fault) != CW_E_VERSION) fail("version 1", 0);
  bytes[8] = CW_PACK_VERSION;
  uint32_t index;
  entry_of(pack, CW_PACK_F32, 1, &index);
  for (uint8_t type = 0; type < 7; type++) {
    bytes[(size_t)(pack->tensors - sound) + index * CW_PACK_ENTRY + 64] = type;
    maker_seal(bytes, size);
    cw_status status = open_pack(bytes, size, &fault);
    if (type == CW_PACK_F32 ? status != CW_OK : status != CW_E_FORMAT) fail("type of a matrix of odd depth", type);
  }
  free(bytes);
}

/* Feeds text and a picture to a model. */
static void run_model(const cw_model *model) {
  cw_session *session;
  const cw_session_options options = {.max_tokens = 64, .max_tiles = 1, .threads = 2, .guidance = 1};
  if (cw_session_open(model, &options, &session, NULL) != CW_OK) abort();
  int32_t ids[48];
  for (int i = 0; i < 48; i++) ids[i] = MAKER_SPECIALS + i * 5;
  uint8_t *tile = malloc(256 * 256 * 3);
  memset(tile, 90, 256 * 256 * 3);
  const float *logits;
  if (cw_session_feed(session, ids, 47) != CW_OK || cw_session_feed(session, ids, 1) != CW_OK) fail("feeding fails", 0);
  if (cw_session_logits(session, &logits) != CW_OK) fail("no logits", 0);
  cw_session_rewind(session, 4);
  ids[0] = MAKER_IMAGE;
  if (cw_session_feed_image(session, tile, 1, 1) != CW_OK || cw_session_feed(session, ids, 8) != CW_OK) fail("feeding fails", 1);
  if (cw_session_logits(session, &logits) != CW_OK) fail("no logits", 1);
  free(tile);
  cw_session_close(session);
}

/* Damaged numbers: opening does not see them, verifying does, computing survives them. */
static void test_damaged_numbers(const uint8_t *sound, size_t size, const cw_pack *pack) {
  uint8_t *bytes = malloc(size);
  for (int round = 0; round < 12; round++) {
    memcpy(bytes, sound, size);
    uint64_t room = size - pack->data_offset;
    if (round < 4) /* everything at once: NaN; the largest of every kind; infinities; noise */
      for (uint64_t i = 0; i < room; i++)
        bytes[pack->data_offset + i] = round == 3 ? (uint8_t)next(256) : (uint8_t)(round == 0 ? 0xff : round == 1 ? 0x7f : i % 2 ? 0x7f : 0x80);
    else
      for (int i = 0; i < 2000; i++) bytes[pack->data_offset + next(room)] = (uint8_t)next(256);
    char path[64];
    maker_write(bytes, size, path);
    cw_model *model = NULL;
    cw_fault fault = {{0}};
    if (cw_model_open(path, &model, &fault) != CW_OK) {
      fail(fault.text, (uint64_t)round);
    } else {
      cw_status status = cw_model_verify(model, &fault);
      if (status != CW_E_CHECKSUM && status != CW_E_FORMAT) fail("damaged numbers pass", (uint64_t)round);
      run_model(model);
    }
    cw_model_close(model);
    unlink(path);
  }
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
  test_ranges(sound, size, &pack);
  test_fields(sound, size, &pack);
  test_damaged_numbers(sound, size, &pack);
  free(sound);
  printf("test_pack: %d failures\n", failures);
  return failures != 0;
}
