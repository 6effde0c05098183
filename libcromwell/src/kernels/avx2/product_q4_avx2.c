/* product_q4_avx2.c: products of int8 rows with int4 panels.
 *
 * A nibble is at most 15, so that the eight products of vpmaddubsw along a sub-block of 32 add up in 16 bits: 8 * 2 * 15 * 127 < 32768.
 * Only their sum is multiplied by the sub-block's multiplier and widened, by one vpmaddwd with (m, m). The sums begin at -4 times the
 * sum of the 32 q: as a pair of them makes one output, that takes off 8 for every nibble, and no sum leaves 16 bits, since it is
 * sum_a (n - 4) q - 4 sum_b q over 16 numbers each, 15 * 127 * 16 at most. So int4 needs half the multiplications of int8.
 *
 * With up to four rows nibbles are taken apart on the way; for more, a group of a panel is taken apart once. */
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/dots_avx2.h"
#include "kernels/avx2/kernels_avx2.h"

enum { SUBS = CW_GROUP / CW_SUB, LINES = CW_SUB / 8 /* of 64 bytes in a sub-block of a panel */, BESIDE = 4 };

/* One group of one panel. */
typedef struct {
  const uint8_t *weights;     /* [length / 8][16][4] of nibbles */
  const uint8_t *multipliers; /* [length / 32][16] */
  const uint16_t *scales;     /* [16] */
  size_t start, length;       /* along k */
  size_t width;               /* outputs wanted */
  size_t ahead;               /* bytes to the weights that are needed a group later */
} piece;

/* (m, m) for eight outputs, from 16 multipliers in both halves. */
CW_INLINE __m256i pairs_of(__m256i multipliers, int high) {
  const __m256i first = _mm256_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1, /* the second 128 bits: 4 to 7 */
                                         4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1);
  const __m256i second = _mm256_setr_epi8(8, -1, 8, -1, 9, -1, 9, -1, 10, -1, 10, -1, 11, -1, 11, -1, /* 8 to 11, 12 to 15 */
                                          12, -1, 12, -1, 13, -1, 13, -1, 14, -1, 14, -1, 15, -1, 15, -1);
  return _mm256_shuffle_epi8(multipliers, high ? second : first);
}

CW_INLINE __m256i multipliers_of(const uint8_t *multipliers) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)multipliers));
}

/* sum += u times q, in 16 bits; kept as written (see add_to). */
CW_INLINE void add_short(__m256i *sum, __m256i u, __m256i q) {
  *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(u, q));
  __asm__("" : "+x"(*sum));
}

/* Writes y for one panel, of which `width` outputs are wanted. */
CW_INLINE void finish(const __m256i dot[2], __m256 scale, const uint16_t *scales, float *y, size_t width, int fresh) {
  float padded[CW_PANEL] = {0}, *at = width == CW_PANEL ? y : padded;
  if (width < CW_PANEL && !fresh) memcpy(padded, y, width * sizeof(float));
#pragma GCC unroll 2
  for (int half = 0; half < 2; half++) {
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(dot[half]), scale);
    __m256 old = fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(at + half * 8);
    _mm256_storeu_ps(at + half * 8, _mm256_fmadd_ps(value, eight_scales(scales + half * 8), old));
  }
  if (width < CW_PANEL) memcpy(y, padded, width * sizeof(float));
}

/* Up to four rows: nibbles go from memory to the products. */
CW_INLINE void few(const int rows, const cw_q8_rows *x, const piece *w, float *y, size_t y_stride, int fresh) {
  const __m256i nibble = _mm256_set1_epi8(15);
  const size_t of_group = w->start / CW_GROUP * x->stride;
  __m256i dot[CW_TILE_ROWS * 2];
#pragma GCC unroll 8
  for (int i = 0; i < rows * 2; i++) dot[i] = _mm256_setzero_si256();
  for (size_t s = 0; s < w->length / CW_SUB; s++) {
    const int8_t *q = x->q + of_group * CW_GROUP + s * CW_SUB;
    const uint8_t *weights = w->weights + s * (CW_SUB * CW_PANEL / 2);
    __m256i sum[CW_TILE_ROWS * 2];
#pragma GCC unroll 4
    for (size_t r = 0; r < (size_t)rows; r++)
      sum[r * 2] = sum[r * 2 + 1] = _mm256_set1_epi16((int16_t)(-4 * x->sums[(w->start / CW_SUB + s) * x->stride + r]));
#pragma GCC unroll 4
    for (size_t line = 0; line < LINES; line++) {
      _mm_prefetch((const char *)(weights + line * 64 + w->ahead), _MM_HINT_T0);
#pragma GCC unroll 2
      for (int shift = 0; shift < 8; shift += 4) {
        __m256i low = _mm256_and_si256(_mm256_srli_epi16(load_bytes(weights + line * 64), shift), nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(load_bytes(weights + line * 64 + 32), shift), nibble);
#pragma GCC unroll 4
        for (size_t r = 0; r < (size_t)rows; r++) {
          __m256i four = broadcast_four(q + r * CW_GROUP + line * 8 + (size_t)shift);
          add_short(&sum[r * 2], low, four);
          add_short(&sum[r * 2 + 1], high, four);
        }
      }
    }
    __m256i multipliers = multipliers_of(w->multipliers + s * CW_PANEL);
#pragma GCC unroll 8
    for (int i = 0; i < rows * 2; i++) add_to(&dot[i], _mm256_madd_epi16(sum[i], pairs_of(multipliers, i % 2)));
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < (size_t)rows; r++)
    finish(dot + r * 2, _mm256_set1_ps(x->scales[of_group + r]), w->scales, y + r * y_stride, w->width, fresh);
}

/* A group of a panel, taken apart: nibbles as bytes in the layout of int8 panels. */
typedef struct {
  _Alignas(32) uint8_t nibbles[CW_GROUP * CW_PANEL];
  _Alignas(32) int16_t multipliers[SUBS][CW_PANEL * 2]; /* (m, m) */
} apart;

static void take_apart(const piece *w, apart *out) {
  const __m256i nibble = _mm256_set1_epi8(15);
  for (size_t k = 0; k < w->length; k += 8) {
    const uint8_t *line = w->weights + k / 8 * 64;
    uint8_t *to = out->nibbles + k * CW_PANEL;
    _mm_prefetch((const char *)(line + w->ahead), _MM_HINT_T0);
#pragma GCC unroll 2
    for (int half = 0; half < 64; half += 32) {
      __m256i two = load_bytes(line + half);
      _mm256_store_si256((__m256i *)(void *)(to + half), _mm256_and_si256(two, nibble));
      _mm256_store_si256((__m256i *)(void *)(to + half + 64), _mm256_and_si256(_mm256_srli_epi16(two, 4), nibble));
    }
  }
  for (size_t s = 0; s < w->length / CW_SUB; s++) {
    __m256i multipliers = multipliers_of(w->multipliers + s * CW_PANEL);
    _mm256_store_si256((__m256i *)(void *)out->multipliers[s], pairs_of(multipliers, 0));
    _mm256_store_si256((__m256i *)(void *)(out->multipliers[s] + CW_PANEL), pairs_of(multipliers, 1));
  }
}

/* One to four rows from row r on. */
CW_INLINE void tile(const int rows, const cw_q8_rows *x, size_t r, const piece *w, const apart *a, float *y, size_t y_stride,
                    int fresh) {
  const size_t of_group = w->start / CW_GROUP * x->stride + r;
  __m256i dot[CW_TILE_ROWS * 2];
#pragma GCC unroll 8
  for (int i = 0; i < rows * 2; i++) dot[i] = _mm256_setzero_si256();
  for (size_t s = 0; s < w->length / CW_SUB; s++) {
    const int8_t *q = x->q + of_group * CW_GROUP + s * CW_SUB;
    const uint8_t *nibbles = a->nibbles + s * (CW_SUB * CW_PANEL);
    __m256i sum[CW_TILE_ROWS * 2];
#pragma GCC unroll 4
    for (size_t i = 0; i < (size_t)rows; i++)
      sum[i * 2] = sum[i * 2 + 1] = _mm256_set1_epi16((int16_t)(-4 * x->sums[(w->start / CW_SUB + s) * x->stride + r + i]));
#pragma GCC unroll 8
    for (size_t k = 0; k < CW_SUB; k += 4) {
      __m256i low = load_bytes(nibbles + k * CW_PANEL), high = load_bytes(nibbles + k * CW_PANEL + 32);
#pragma GCC unroll 4
      for (size_t i = 0; i < (size_t)rows; i++) {
        __m256i four = broadcast_four(q + i * CW_GROUP + k);
        add_short(&sum[i * 2], low, four);
        add_short(&sum[i * 2 + 1], high, four);
      }
    }
    __m256i low = load_bytes(a->multipliers[s]), high = load_bytes(a->multipliers[s] + CW_PANEL);
#pragma GCC unroll 8
    for (int i = 0; i < rows * 2; i++) dot[i] = _mm256_add_epi32(dot[i], _mm256_madd_epi16(sum[i], i % 2 ? high : low));
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < (size_t)rows; i++)
    finish(dot + i * 2, _mm256_set1_ps(x->scales[of_group + i]), w->scales, y + i * y_stride, w->width, fresh);
}

/* Five rows and more, split evenly into tiles. */
static void many(const cw_q8_rows *x, size_t rows, const piece *w, float *y, size_t y_stride, int fresh) {
  size_t tiles = (rows + CW_TILE_ROWS - 1) / CW_TILE_ROWS;
  apart a;
  take_apart(w, &a);
  for (size_t t = 0; t < tiles; t++) {
    size_t r = rows * t / tiles, count = rows * (t + 1) / tiles - r;
    float *at = y + r * y_stride;
    if (count == 2) tile(2, x, r, w, &a, at, y_stride, fresh);
    else if (count == 3) tile(3, x, r, w, &a, at, y_stride, fresh);
    else tile(4, x, r, w, &a, at, y_stride, fresh);
  }
}

void cw_product_q4_avx2(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add) {
  size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, panels = (w->outputs + CW_PANEL - 1) / CW_PANEL;
  for (size_t first = 0; first < panels; first += BESIDE)
    for (size_t g = 0; g < groups; g++)
      for (size_t p = first; p < panels && p < first + BESIDE; p++) {
        size_t start = g * CW_GROUP, left = w->outputs - p * CW_PANEL;
        piece one = {w->weights + (p * depth + start) * CW_PANEL / 2,
                     w->multipliers + (p * depth + start) / CW_SUB * CW_PANEL,
                     w->scales + (p * groups + g) * CW_PANEL,
                     start,
                     depth - start < CW_GROUP ? depth - start : CW_GROUP,
                     left < CW_PANEL ? left : CW_PANEL,
                     (g + 1 < groups ? CW_GROUP : BESIDE * depth - start) * CW_PANEL / 2};
        float *at = y + p * CW_PANEL;
        int fresh = !add && g == 0;
        if (rows == 1) few(1, x, &one, at, y_stride, fresh);
        else if (rows == 2) few(2, x, &one, at, y_stride, fresh);
        else if (rows == 3) few(3, x, &one, at, y_stride, fresh);
        else if (rows == 4) few(4, x, &one, at, y_stride, fresh);
        else many(x, rows, &one, at, y_stride, fresh);
      }
}
