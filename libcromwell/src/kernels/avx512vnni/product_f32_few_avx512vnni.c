/* product_f32_few_avx512vnni.c: float rows times float panels, for few rows. Tiles of up to 6 rows x 4 panels over short blocks of k, so
 * that weights come from memory in four streams and stay in L1 for all rows; between blocks sums wait, which keeps chains in order. */
#include <immintrin.h>

#include "kernels/avx512vnni/product_f32_avx512vnni.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  TILE_ROWS = 6,
  BESIDE = 4,
  WIDTH = BESIDE * CW_PANEL,
  K_BLOCK = 64 /* 4 panels of it, 16 KiB, stay in L1 over all tiles */
};

/* The part of a product that a tile sees: rows of x, a block of k of up to four panels, and sums [rows][64]. */
typedef struct {
  const float *x, *panels;
  size_t x_stride, panel_stride, depth; /* depth: of the block */
  ptrdiff_t ahead;                      /* floats from these panels to what is needed next; 0: nothing is */
  float *sums;
} block;

/* sum + w x. As assembly because gcc 12 copies the 24 sums of a tile through the stack otherwise. */
INLINE void add_product(__m512 *sum, __m512 w, __m512 x) { __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(w), "v"(x)); }

/* ROWS, PANELS and ASK are constants where this is inlined. Rows are reached from two pointers, and the loop hides from gcc where they come
 * from: it would keep one pointer a row and a panel, more than there are registers. */
INLINE void tile(const size_t ROWS, const size_t PANELS, const int ASK, const block *b, size_t row, size_t panel) {
  const size_t x_stride = b->x_stride, stride = b->panel_stride, stride3 = 3 * stride;
  __m512 sums[TILE_ROWS][BESIDE];
  float *waiting = b->sums + row * WIDTH + panel * CW_PANEL;
#pragma GCC unroll 6
  for (size_t r = 0; r < ROWS; r++)
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) sums[r][p] = _mm512_loadu_ps(waiting + r * WIDTH + p * CW_PANEL);

  const float *x = b->x + row * x_stride, *x3 = x + 3 * x_stride, *weights = b->panels + panel * stride;
  const ptrdiff_t ahead = b->ahead;
  for (size_t k = b->depth; k > 0; k--) {
    __m512 w[BESIDE];
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) {
      const float *at = weights + (p == 3 ? stride3 : p * stride);
      w[p] = _mm512_loadu_ps(at);
      if (ASK) _mm_prefetch((const char *)(at + ahead), _MM_HINT_T0);
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < ROWS; r++) {
      __m512 one = _mm512_set1_ps(*(r < 3 ? x + r * x_stride : x3 + (r - 3) * x_stride));
#pragma GCC unroll 4
      for (size_t p = 0; p < PANELS; p++) add_product(&sums[r][p], w[p], one);
    }
    weights += CW_PANEL, x++, x3++;
    __asm__("" : "+r"(weights), "+r"(x), "+r"(x3));
  }

#pragma GCC unroll 6
  for (size_t r = 0; r < ROWS; r++)
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) _mm512_storeu_ps(waiting + r * WIDTH + p * CW_PANEL, sums[r][p]);
}

/* Tiles of one size over rows [row, end). */
#define TILES(NAME, ROWS, PANELS, ASK)                                           \
  static void NAME(const block *b, size_t row, size_t end, size_t panel) {       \
    for (; row < end; row += ROWS) tile(ROWS, PANELS, ASK, b, row, panel);       \
  }

#define SIZES(NAME, PANELS, ASK)                                                 \
  TILES(NAME##_1, 1, PANELS, ASK)                                                \
  TILES(NAME##_2, 2, PANELS, ASK)                                                \
  TILES(NAME##_3, 3, PANELS, ASK)                                                \
  TILES(NAME##_4, 4, PANELS, ASK)                                                \
  TILES(NAME##_5, 5, PANELS, ASK)                                                \
  TILES(NAME##_6, 6, PANELS, ASK)                                                \
  static void (*const NAME[TILE_ROWS + 1])(const block *, size_t, size_t, size_t) = \
      {NULL, NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6};

SIZES(four_panels, 4, 0)
SIZES(four_panels_asking, 4, 1)
SIZES(one_panel, 1, 0)

static void compute(const block *b, size_t rows, size_t panels) {
  const size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, small = rows / tiles; /* 7 rows are 4 + 3, not 6 + 1 */
  const size_t large_end = rows % tiles * (small + 1);
  if (panels < BESIDE) {
    for (size_t panel = 0; panel < panels; panel++) {
      if (large_end > 0) one_panel[small + 1](b, 0, large_end, panel);
      one_panel[small](b, large_end, rows, panel);
    }
    return;
  }
  size_t row = 0;
  if (b->ahead != 0) {
    row = large_end > 0 ? small + 1 : small;
    four_panels_asking[row](b, 0, row, 0);
  }
  if (row < large_end) four_panels[small + 1](b, row, large_end, 0), row = large_end;
  four_panels[small](b, row, rows, 0);
}

void cw_product_f32_few_avx512vnni(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs,
                                   float *y, size_t y_stride, int add) {
  float sums[CW_FEW_ROWS * WIDTH] __attribute__((aligned(64))); /* dense: rows of y may lie a multiple of 4 KiB apart */
  for (size_t n = 0; n < outputs; n += WIDTH) {
    const size_t width = outputs - n < WIDTH ? outputs - n : WIDTH;
    for (size_t r = 0; r < rows; r++)
      for (size_t i = 0; i < WIDTH; i += CW_PANEL) {
        __mmask16 wanted = i >= width ? 0 : width - i < CW_PANEL ? (__mmask16)((1u << (width - i)) - 1) : (__mmask16)0xffff;
        _mm512_store_ps(sums + r * WIDTH + i, _mm512_maskz_loadu_ps(add ? wanted : 0, y + r * y_stride + n + i));
      }
    for (size_t k = 0; k < depth; k += K_BLOCK) {
      const int is_last = k + K_BLOCK >= depth; /* next come the panels beside */
      const ptrdiff_t to_next = (ptrdiff_t)(WIDTH * depth) - (ptrdiff_t)(k * CW_PANEL);
      compute(&(block){.x = x + k,
                       .panels = panels + n * depth + k * CW_PANEL,
                       .x_stride = x_stride,
                       .panel_stride = depth * CW_PANEL,
                       .depth = is_last ? depth - k : K_BLOCK,
                       .ahead = !is_last ? K_BLOCK * CW_PANEL : n + WIDTH < outputs ? to_next : 0,
                       .sums = sums},
              rows, (width + CW_PANEL - 1) / CW_PANEL);
    }
    for (size_t r = 0; r < rows; r++)
      for (size_t i = 0; i < width; i += CW_PANEL) {
        __mmask16 wanted = width - i < CW_PANEL ? (__mmask16)((1u << (width - i)) - 1) : (__mmask16)0xffff;
        _mm512_mask_storeu_ps(y + r * y_stride + n + i, wanted, _mm512_load_ps(sums + r * WIDTH + i));
      }
  }
}
