/* test_image.c: limits and edges of the picture functions. Values are compared in tests/test_image.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cromwell.h"

static int failures;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      failures++;                                                             \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
    }                                                                         \
  } while (0)

static void check_layout(uint32_t width, uint32_t height, uint32_t max_tiles, uint32_t rows, uint32_t cols, uint32_t to_width, uint32_t to_height) {
  uint32_t r = 0, c = 0, w = 0, h = 0;
  CHECK(cw_image_layout(width, height, max_tiles, &r, &c, &w, &h) == CW_OK);
  if (r == rows && c == cols && w == to_width && h == to_height) return;
  failures++;
  fprintf(stderr, "%ux%u in %u tiles: %ux%u of %ux%u, not %ux%u of %ux%u\n", width, height, max_tiles, w, h, r, c, to_width, to_height, rows, cols);
}

static void test_layout(void) {
  check_layout(1, 1, 1, 1, 1, 1, 1);
  check_layout(256, 256, 1, 1, 1, 256, 256);
  check_layout(257, 1, 16, 1, 2, 257, 1);
  check_layout(257, 1, 1, 1, 1, 256, 1);
  check_layout(1024, 1024, 16, 4, 4, 1024, 1024);
  check_layout(2000, 3000, 16, 5, 3, 768, 1152);
  check_layout(2048, 256, 16, 1, 8, 2048, 256);
  check_layout(2049, 1, 64, 1, 8, 2048, 1);
  check_layout(65535, 1, 16, 1, 8, 2048, 1);
  check_layout(1, 65535, 2, 2, 1, 1, 512);
  check_layout(1025, 1023, 16, 4, 4, 1024, 1022);
  check_layout(16384, 16384, 64, 8, 8, 2048, 2048);
  check_layout(5000, 5000, UINT32_MAX, 8, 8, 2048, 2048);

  uint32_t r = 9, c = 9, w = 9, h = 9;
  const uint32_t BAD[][3] = {{0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {65536, 1, 1}, {1, UINT32_MAX, 1}, {65535, 65535, 16}, {16385, 16384, 16}};
  for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
    CHECK(cw_image_layout(BAD[i][0], BAD[i][1], BAD[i][2], &r, &c, &w, &h) == CW_E_ARGUMENT);
  }
  CHECK(r == 9 && c == 9 && w == 9 && h == 9);
  CHECK(cw_image_layout(1, 1, 1, NULL, &c, &w, &h) == CW_E_ARGUMENT);
}

/* Every byte of the tiles is written, and none beyond them. */
static void test_bounds(uint32_t width, uint32_t height, uint32_t max_tiles) {
  uint32_t rows, cols, to_width, to_height;
  CHECK(cw_image_layout(width, height, max_tiles, &rows, &cols, &to_width, &to_height) == CW_OK);
  uint8_t *rgb = malloc((size_t)width * height * 3);
  size_t size = (size_t)rows * cols * 256 * 256 * 3;
  uint8_t *one = malloc(size + 1), *two = malloc(size + 1);
  for (size_t i = 0; i < (size_t)width * height * 3; i++) rgb[i] = (uint8_t)(i * 37 % 251);
  memset(one, 0x55, size + 1);
  memset(two, 0xaa, size + 1);
  CHECK(cw_image_tiles(rgb, width, height, rows, cols, to_width, to_height, one) == CW_OK);
  CHECK(cw_image_tiles(rgb, width, height, rows, cols, to_width, to_height, two) == CW_OK);
  CHECK(memcmp(one, two, size) == 0 && one[size] == 0x55 && two[size] == 0xaa);
  CHECK((to_width < width) || cw_image_tiles(rgb, width, height, rows, cols, to_width + 1, to_height, two) == CW_E_ARGUMENT);
  free(rgb);
  free(one);
  free(two);
}

static void test_refusals(void) {
  uint8_t pixel[3] = {1, 2, 3};
  static uint8_t tiles[256 * 256 * 3];
  const uint32_t BAD[][6] = {{0, 1, 1, 1, 1, 1},      {1, 1, 0, 1, 1, 1}, {1, 1, 9, 1, 1, 1}, {1, 1, 1, UINT32_MAX, 1, 1},
                             {1, 1, 1, 1, 0, 1},      {1, 1, 1, 1, 1, 2}, {1, 1, 1, 1, 2, 1}, {UINT32_MAX, UINT32_MAX, 1, 1, 1, 1},
                             {65535, 65535, 1, 1, 1, 1}, {300, 1, 1, 1, 257, 1}};
  for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
    const uint32_t *b = BAD[i];
    CHECK(cw_image_tiles(pixel, b[0], b[1], b[2], b[3], b[4], b[5], tiles) == CW_E_ARGUMENT);
  }
  CHECK(cw_image_tiles(NULL, 1, 1, 1, 1, 1, 1, tiles) == CW_E_ARGUMENT);
  CHECK(cw_image_tiles(pixel, 1, 1, 1, 1, 1, 1, NULL) == CW_E_ARGUMENT);
}

int main(void) {
  test_layout();
  test_bounds(1, 1, 1);
  test_bounds(256, 256, 1);
  test_bounds(257, 1, 16);
  test_bounds(513, 300, 16);
  test_bounds(700, 513, 2);
  test_bounds(2000, 3000, 16);
  test_bounds(65535, 2, 8);
  test_refusals();
  return failures > 0;
}
