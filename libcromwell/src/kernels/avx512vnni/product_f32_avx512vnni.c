/* product_f32_avx512vnni.c: float rows times float panels, for many rows: tiles of 12 rows x 2 panels, whose 24 sums stay in registers
 * while 14 loads feed 24 multiply-adds. */
#include "kernels/avx512vnni/kernels_avx512vnni.h"
#include "kernels/avx512vnni/product_f32_avx512vnni.h"

enum { CW_TILE_ROWS = 12, CW_TILE_PANELS = 2, CW_TILES_BESIDE = 4 };
#define CW_SLOTS(rows) (((rows) + 3) / 4 * 4)
#include "kernels/product_f32_blocks.h"

#define INLINE static inline __attribute__((always_inline))

/* sum + w x. As assembly because gcc 12 copies the 24 sums of a tile through the stack otherwise. */
INLINE void add_product(__m512 *sum, __m512 w, __m512 x) { __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(w), "v"(x)); }

/* One step along k of the sums of a tile; x of the first row, others CW_QUAD apart. */
INLINE void step(const size_t ROWS, const size_t PANELS, __m512 sums[CW_TILE_ROWS][2], const float *x, const float *panels, size_t stride) {
  __m512 w[2];
#pragma GCC unroll 2
  for (size_t p = 0; p < PANELS; p++) w[p] = _mm512_loadu_ps(panels + p * stride);
#pragma GCC unroll 12
  for (size_t r = 0; r < ROWS; r++) {
    __m512 one = _mm512_set1_ps(x[r * CW_QUAD]);
#pragma GCC unroll 2
    for (size_t p = 0; p < PANELS; p++) add_product(&sums[r][p], w[p], one);
  }
}

INLINE void quads(const size_t ROWS, const size_t PANELS, size_t count, __m512 sums[CW_TILE_ROWS][2], const float **x, const float **panels,
                  size_t stride) {
  for (; count > 0; count--) {
#pragma GCC unroll 4
    for (size_t k = 0; k < CW_QUAD; k++) step(ROWS, PANELS, sums, *x + k, *panels + k * CW_PANEL, stride);
    *x += CW_SLOTS(ROWS) * CW_QUAD, *panels += CW_QUAD * CW_PANEL;
    __asm__("" : "+r"(*x), "+r"(*panels)); /* two pointers that move, not one for each row and step */
  }
}

/* ROWS and PANELS are constants where this is inlined. */
INLINE void tile(const size_t ROWS, const size_t PANELS, const cw_tile_job *j) {
  const size_t y_stride = j->y_stride, stride = j->panel_stride;
  __m512 sums[CW_TILE_ROWS][2];
  float *y = j->y;
#pragma GCC unroll 12
  for (size_t r = 0; r < ROWS; r++) {
#pragma GCC unroll 2
    for (size_t p = 0; p < PANELS; p++) sums[r][p] = j->add ? _mm512_loadu_ps(y + p * CW_PANEL) : _mm512_setzero_ps();
    y += y_stride;
    __asm__("" : "+r"(y));
  }

  const float *x = j->x, *panels = j->panels, *next_panels = j->next_panels, *next_y = j->next_y, *next_x = j->next_x;
  const size_t next_stride = j->next_stride, lines = j->lines, x_stride = j->x_stride, x_rows = j->x_rows;
  for (size_t round = j->depth / CW_SPAN; round > 0; round--) {
    CW_ASK_SOON(next_y);
    CW_ASK_SOON(next_y + CW_PANEL);
    next_y += y_stride;
    for (size_t i = 0; i < x_rows; i++) CW_ASK_LATER(next_x + i * x_stride);
    next_x += CW_SPAN;
    for (size_t i = lines; i > 0; i--) {
      CW_ASK_LATER(next_panels);
      CW_ASK_LATER(next_panels + next_stride);
      next_panels += CW_PANEL;
    }
    quads(ROWS, PANELS, CW_SPAN / CW_QUAD, sums, &x, &panels, stride);
  }
  quads(ROWS, PANELS, j->depth % CW_SPAN / CW_QUAD, sums, &x, &panels, stride);
  for (size_t k = 0; k < j->depth % CW_QUAD; k++) step(ROWS, PANELS, sums, x + k, panels + k * CW_PANEL, stride);

  y = j->y;
#pragma GCC unroll 12
  for (size_t r = 0; r < ROWS; r++) {
#pragma GCC unroll 2
    for (size_t p = 0; p < PANELS; p++) _mm512_storeu_ps(y + p * CW_PANEL, sums[r][p]);
    y += y_stride;
    __asm__("" : "+r"(y));
  }
}

#define TILE(ROWS)                                                   \
  static void one_##ROWS(const cw_tile_job *j) { tile(ROWS, 1, j); } \
  static void two_##ROWS(const cw_tile_job *j) { tile(ROWS, 2, j); }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)

#define ALL(NAME) \
  {NULL, NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6, NAME##_7, NAME##_8, NAME##_9, NAME##_10, NAME##_11, NAME##_12}

static void cw_tile_f32(const cw_tile_job *j, size_t rows, size_t panels) {
  static void (*const TILES[CW_TILE_PANELS][CW_TILE_ROWS + 1])(const cw_tile_job *) = {ALL(one), ALL(two)};
  TILES[panels - 1][rows](j);
}

/* Four rows at a time; slots beyond the last row repeat it, and are not read. */
static void cw_pack_f32(const float *x, size_t x_stride, size_t rows, size_t depth, float *to) {
  const size_t slots = CW_SLOTS(rows);
  for (size_t row = 0; row < rows; row += 4, to += 4 * CW_QUAD) {
    const float *from[4];
    for (size_t i = 0; i < 4; i++) from[i] = x + (row + i < rows ? row + i : rows - 1) * x_stride;
    float *out = to;
    for (size_t k = 0; k < depth; k += 4 * CW_QUAD, out += 4 * slots * CW_QUAD) {
      const size_t left = depth - k;
      const __mmask16 there = left < 4 * CW_QUAD ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
      __m512 a = _mm512_maskz_loadu_ps(there, from[0] + k), b = _mm512_maskz_loadu_ps(there, from[1] + k);
      __m512 c = _mm512_maskz_loadu_ps(there, from[2] + k), d = _mm512_maskz_loadu_ps(there, from[3] + k);
      __m512 ab = _mm512_shuffle_f32x4(a, b, 0x44), cd = _mm512_shuffle_f32x4(c, d, 0x44); /* quads 0 and 1 of two rows */
      _mm512_storeu_ps(out, _mm512_shuffle_f32x4(ab, cd, 0x88));
      if (left > CW_QUAD) _mm512_storeu_ps(out + slots * CW_QUAD, _mm512_shuffle_f32x4(ab, cd, 0xdd));
      ab = _mm512_shuffle_f32x4(a, b, 0xee), cd = _mm512_shuffle_f32x4(c, d, 0xee); /* 2 and 3 */
      if (left > 2 * CW_QUAD) _mm512_storeu_ps(out + 2 * slots * CW_QUAD, _mm512_shuffle_f32x4(ab, cd, 0x88));
      if (left > 3 * CW_QUAD) _mm512_storeu_ps(out + 3 * slots * CW_QUAD, _mm512_shuffle_f32x4(ab, cd, 0xdd));
    }
  }
}

void cw_product_f32_avx512vnni(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                               size_t y_stride, int add) {
  if (rows <= CW_FEW_ROWS)
    cw_product_f32_few_avx512vnni(x, x_stride, rows, depth, panels, outputs, y, y_stride, add);
  else
    cw_product_f32_blocks(x, x_stride, rows, depth, panels, outputs, y, y_stride, add);
}
