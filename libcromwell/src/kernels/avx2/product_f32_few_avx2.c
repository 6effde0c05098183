/* product_f32_few_avx2.c: products of few float32 rows with panels.
 *
 * A tile of rows x outputs keeps its sums in registers: each needs 8 chains at least (two FMA units, 4 cycles of latency). The depth is
 * cut into pieces so that one of a panel (16 KiB) stays in L1 while all rows pass over it; sums wait in y between pieces, which keeps
 * the chain of kernels.h since storing a float32 rounds nothing. One to three rows take several panels at once. */
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/product_f32_avx2.h"

#define CW_INLINE static inline __attribute__((always_inline))

enum { PIECE = 256, ROWS_MOST = 6, AHEAD = 512 /* floats: 2 KiB, half a page */, LINES_MOST = 32 };

typedef struct {
  const float *x, *panels;
  size_t x_stride, depth, panel_stride; /* depth: of this piece; panel_stride: from a panel to the next */
  float *y;
  size_t y_stride;
  int add;
  const float *later; /* weights of the next panel that this tile asks for */
  size_t lines;       /* of 64 bytes */
} job;

/* Asks for a share of the next panel's piece, and for y of the next rows: their lines lie apart, so the processor does not guess them. */
CW_INLINE void ask(const job *j, const int rows) {
  for (size_t line = 0; line < j->lines; line++) _mm_prefetch((const char *)(j->later + line * CW_PANEL), _MM_HINT_T0);
#pragma GCC unroll 6
  for (size_t r = 0; r < (size_t)rows; r++) _mm_prefetch((const char *)(j->y + (r + (size_t)rows) * j->y_stride), _MM_HINT_T0);
}

/* y[ROWS, 16 PANELS] of one piece; ROWS * PANELS <= 6. */
CW_INLINE void tile(const job *j, const int rows, const int panels) {
  const float *x = j->x, *w = j->panels;
  const size_t x_stride = j->x_stride, panel_stride = j->panel_stride, depth = j->depth;
  __m256 sum[ROWS_MOST * 2];
#pragma GCC unroll 12
  for (int i = 0; i < rows * panels * 2; i++) {
    const float *y = j->y + (size_t)(i / (panels * 2)) * j->y_stride + (size_t)(i % (panels * 2)) * 8;
    sum[i] = j->add ? _mm256_loadu_ps(y) : _mm256_setzero_ps();
  }
  if (rows >= 4) ask(j, rows);
#pragma GCC unroll 4
  for (size_t k = 0; k < depth; k++) {
#pragma GCC unroll 4
    for (int p = 0; p < panels; p++) {
      const float *at = w + (size_t)p * panel_stride + k * CW_PANEL;
      if (rows < 4) _mm_prefetch((const char *)(at + AHEAD), _MM_HINT_T0);
      __m256 low = _mm256_loadu_ps(at), high = _mm256_loadu_ps(at + 8);
#pragma GCC unroll 6
      for (int r = 0; r < rows; r++) {
        __m256 value = _mm256_broadcast_ss(x + (size_t)r * x_stride + k);
        sum[(r * panels + p) * 2] = _mm256_fmadd_ps(value, low, sum[(r * panels + p) * 2]);
        sum[(r * panels + p) * 2 + 1] = _mm256_fmadd_ps(value, high, sum[(r * panels + p) * 2 + 1]);
      }
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows * panels * 2; i++)
    _mm256_storeu_ps(j->y + (size_t)(i / (panels * 2)) * j->y_stride + (size_t)(i % (panels * 2)) * 8, sum[i]);
}

/* One panel, or as many as fit beside few rows: returns how many of `panels`. */
static size_t tile_of(const job *j, size_t rows, size_t panels) {
  switch (rows) {
    case 1:
      if (panels >= 4) return tile(j, 1, 4), 4;
      return tile(j, 1, 1), 1;
    case 2:
      if (panels >= 3) return tile(j, 2, 3), 3;
      return tile(j, 2, 1), 1;
    case 3:
      if (panels >= 2) return tile(j, 3, 2), 2;
      return tile(j, 3, 1), 1;
    case 4: return tile(j, 4, 1), 1;
    case 5: return tile(j, 5, 1), 1;
    default: return tile(j, 6, 1), 1;
  }
}

/* A panel of which only `width` outputs are wanted goes through a padded copy of y. */
static void tile_part(const job *j, size_t rows, size_t width) {
  float padded[ROWS_MOST * CW_PANEL] = {0};
  job part = *j;
  part.y = padded, part.y_stride = CW_PANEL;
  for (size_t r = 0; r < rows; r++) memcpy(padded + r * CW_PANEL, j->y + r * j->y_stride, width * sizeof(float));
  tile_of(&part, rows, 1);
  for (size_t r = 0; r < rows; r++) memcpy(j->y + r * j->y_stride, padded + r * CW_PANEL, width * sizeof(float));
}

void cw_product_f32_few_avx2(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                             size_t y_stride, int add) {
  size_t whole = outputs / CW_PANEL, tiles = (rows + ROWS_MOST - 1) / ROWS_MOST;
  for (size_t k = 0; k < depth; k += PIECE) {
    size_t piece = depth - k < PIECE ? depth - k : PIECE, share = (piece + tiles - 1) / tiles;
    for (size_t p = 0, used = 1; p * CW_PANEL < outputs; p += used)
      for (size_t t = 0; t < tiles; t++) { /* rows split evenly: no tile is left with a single one */
        size_t r = rows * t / tiles, count = rows * (t + 1) / tiles - r;
        const float *piece_of_panel = panels + (p * depth + k) * CW_PANEL;
        job j = {.x = x + r * x_stride + k,
                 .panels = piece_of_panel,
                 .x_stride = x_stride,
                 .depth = piece,
                 .panel_stride = depth * CW_PANEL,
                 .y = y + r * y_stride + p * CW_PANEL,
                 .y_stride = y_stride,
                 .add = add || k > 0,
                 .later = piece_of_panel + (depth + t * share) * CW_PANEL,
                 .lines = share < LINES_MOST ? share : LINES_MOST};
        if (p == whole) tile_part(&j, count, outputs % CW_PANEL);
        else used = tile_of(&j, count, tiles > 1 ? 1 : whole - p);
      }
  }
}
