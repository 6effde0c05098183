/* product_f32_avx512vnni.c: float rows times float panels, for many rows.
 *
 * A tile of 12 rows x 2 panels keeps its 24 sums in registers: 14 loads feed 24 multiply-adds. What decides is how its numbers come:
 *
 *     for up to 192 rows and up to 384 of k            x, packed tile by tile, and four pairs of panels (192 KiB) stay in L2
 *       for four pairs of panels
 *         for a tile of rows                           the first time round it is packed
 *           for each of the pairs                      y is walked along rows
 *
 * Packed x lies as it is read, so no distance between rows makes its lines compete for a few sets of the cache. Along a row, the y that a tile
 * loads never lies a multiple of 4 KiB from what the tile before has just stored, where the processor would take the one for the other.
 * While a tile computes it asks for its share of the weights of the next four pairs, for the y of the next tile, and for rows that are to
 * be packed. Sums wait in y between blocks of k, which keeps every chain of multiply-adds in order. */
#include <immintrin.h>
#include <string.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"
#include "kernels/avx512vnni/product_f32_avx512vnni.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  TILE_ROWS = 12,
  PAIR = 2 * CW_PANEL,
  PAIRS = 4, /* whose weights wait in L2 */
  ROWS_AT_ONCE = 192,
  K_BLOCK = 384, /* 192 rows of it are 288 KiB */
  QUAD = 4,                      /* numbers along k of a row that lie together in packed x */
  ROUND = 16,                    /* steps along k between two times of asking: a line of a row */
  ROWS_ASKED = TILE_ROWS / PAIRS /* rows to be packed that a tile asks for */
};
#define SLOTS(count) (((count) + QUAD - 1) / QUAD * QUAD) /* of rows, or of steps along k, in packed x */

/* What a tile reads and writes, and where what comes next lies. */
typedef struct {
  const float *x;      /* [depth / 4][rows rounded up to 4][4]: packed */
  const float *panels; /* [2][depth][16], panels panel_stride apart */
  size_t panel_stride, depth; /* depth: of this block */
  float *y;            /* [rows][32] */
  size_t y_stride;
  int add;
  const float *next_panels; /* two panels, next_stride apart; 0 where there is one */
  size_t next_stride, lines; /* lines: of each that are asked for in a round */
  const float *next_y;
  const float *next_x;
  size_t x_stride, x_rows; /* x_rows: rows of next_x to ask for */
} job;

/* sum + w x. As assembly because gcc 12 copies the 24 sums of a tile through the stack otherwise. */
INLINE void add_product(__m512 *sum, __m512 w, __m512 x) { __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(w), "v"(x)); }

INLINE void ask(const float *at, enum _mm_hint hint) { _mm_prefetch((const char *)at, hint); }

/* One step along k of the sums of a tile; x of the first row, others QUAD apart. */
INLINE void step(const size_t ROWS, const size_t PANELS, __m512 sums[TILE_ROWS][2], const float *x, const float *panels, size_t stride) {
  __m512 w[2];
#pragma GCC unroll 2
  for (size_t p = 0; p < PANELS; p++) w[p] = _mm512_loadu_ps(panels + p * stride);
#pragma GCC unroll 12
  for (size_t r = 0; r < ROWS; r++) {
    __m512 one = _mm512_set1_ps(x[r * QUAD]);
#pragma GCC unroll 2
    for (size_t p = 0; p < PANELS; p++) add_product(&sums[r][p], w[p], one);
  }
}

INLINE void quads(const size_t ROWS, const size_t PANELS, size_t count, __m512 sums[TILE_ROWS][2], const float **x, const float **panels,
                  size_t stride) {
  for (; count > 0; count--) {
#pragma GCC unroll 4
    for (size_t k = 0; k < QUAD; k++) step(ROWS, PANELS, sums, *x + k, *panels + k * CW_PANEL, stride);
    *x += SLOTS(ROWS) * QUAD, *panels += QUAD * CW_PANEL;
    __asm__("" : "+r"(*x), "+r"(*panels)); /* two pointers that move, not one for each row and step */
  }
}

/* ROWS and PANELS are constants where this is inlined. */
INLINE void tile(const size_t ROWS, const size_t PANELS, const job *j) {
  const size_t y_stride = j->y_stride, stride = j->panel_stride;
  __m512 sums[TILE_ROWS][2];
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
  for (size_t round = j->depth / ROUND; round > 0; round--) {
    ask(next_y, _MM_HINT_T0);
    ask(next_y + CW_PANEL, _MM_HINT_T0);
    next_y += y_stride;
    for (size_t i = 0; i < x_rows; i++) ask(next_x + i * x_stride, _MM_HINT_T1);
    next_x += ROUND;
    for (size_t i = lines; i > 0; i--) {
      ask(next_panels, _MM_HINT_T1);
      ask(next_panels + next_stride, _MM_HINT_T1);
      next_panels += CW_PANEL;
    }
    quads(ROWS, PANELS, ROUND / QUAD, sums, &x, &panels, stride);
  }
  quads(ROWS, PANELS, j->depth % ROUND / QUAD, sums, &x, &panels, stride);
  for (size_t k = 0; k < j->depth % QUAD; k++) step(ROWS, PANELS, sums, x + k, panels + k * CW_PANEL, stride);

  y = j->y;
#pragma GCC unroll 12
  for (size_t r = 0; r < ROWS; r++) {
#pragma GCC unroll 2
    for (size_t p = 0; p < PANELS; p++) _mm512_storeu_ps(y + p * CW_PANEL, sums[r][p]);
    y += y_stride;
    __asm__("" : "+r"(y));
  }
}

#define TILE(ROWS)                                                     \
  static void pair_##ROWS(const job *j) { tile(ROWS, 2, j); }          \
  static void single_##ROWS(const job *j) { tile(ROWS, 1, j); }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)

#define ALL(NAME) {NULL, NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6, NAME##_7, NAME##_8, NAME##_9, NAME##_10, NAME##_11, NAME##_12}
static void (*const TILES[2][TILE_ROWS + 1])(const job *) = {ALL(single), ALL(pair)}; /* [panels - 1][rows] */

/* A tile of which a part of the last panel is wanted goes through a padded copy of y. */
static void tile_part(const job *j, size_t rows, size_t width) {
  float padded[TILE_ROWS * PAIR] = {0};
  job part = *j;
  part.y = padded, part.y_stride = PAIR, part.next_y = padded;
  for (size_t r = 0; j->add && r < rows; r++) memcpy(padded + r * PAIR, j->y + r * j->y_stride, width * sizeof(float));
  TILES[width > CW_PANEL][rows](&part);
  for (size_t r = 0; r < rows; r++) memcpy(j->y + r * j->y_stride, padded + r * PAIR, width * sizeof(float));
}

/* Rows of x to [depth / 4][rows rounded up to 4][4]; slots beyond the last row repeat it, and are not read. */
static void pack(const float *x, size_t x_stride, size_t rows, size_t depth, float *to) {
  const size_t slots = SLOTS(rows);
  for (size_t row = 0; row < rows; row += QUAD, to += QUAD * QUAD) {
    const float *from[QUAD];
    for (size_t i = 0; i < QUAD; i++) from[i] = x + (row + i < rows ? row + i : rows - 1) * x_stride;
    float *out = to;
    for (size_t k = 0; k < depth; k += ROUND, out += slots * ROUND) {
      const size_t left = depth - k;
      const __mmask16 there = left < ROUND ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
      __m512 a = _mm512_maskz_loadu_ps(there, from[0] + k), b = _mm512_maskz_loadu_ps(there, from[1] + k);
      __m512 c = _mm512_maskz_loadu_ps(there, from[2] + k), d = _mm512_maskz_loadu_ps(there, from[3] + k);
      __m512 ab = _mm512_shuffle_f32x4(a, b, 0x44), cd = _mm512_shuffle_f32x4(c, d, 0x44); /* quads 0 and 1 of two rows */
      _mm512_storeu_ps(out, _mm512_shuffle_f32x4(ab, cd, 0x88));
      if (left > QUAD) _mm512_storeu_ps(out + slots * QUAD, _mm512_shuffle_f32x4(ab, cd, 0xdd));
      ab = _mm512_shuffle_f32x4(a, b, 0xee), cd = _mm512_shuffle_f32x4(c, d, 0xee); /* 2 and 3 */
      if (left > 2 * QUAD) _mm512_storeu_ps(out + 2 * slots * QUAD, _mm512_shuffle_f32x4(ab, cd, 0x88));
      if (left > 3 * QUAD) _mm512_storeu_ps(out + 3 * slots * QUAD, _mm512_shuffle_f32x4(ab, cd, 0xdd));
    }
  }
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

typedef struct {
  const float *x, *panels; /* from the first row, and from the block of k, on */
  size_t x_stride, rows, depth, next_depth, panel_stride, outputs; /* next_depth: of the block after this one; 0: none */
  float *y;
  size_t y_stride;
  int add;
} block;

/* Where the weights lie that are wanted a group of pairs later than those of output n: at the end, those of the next block of k. */
static void ask_later(const block *b, size_t n, job *j) {
  size_t later = n + PAIRS * PAIR, k = 0;
  if (later >= b->outputs) later = n % (PAIRS * PAIR), k = b->next_depth > 0 ? b->depth : 0;
  j->next_panels = b->panels + later / CW_PANEL * b->panel_stride + k * CW_PANEL;
  j->next_stride = b->outputs - later > CW_PANEL ? b->panel_stride : 0;
}

/* One block of k for up to ROWS_AT_ONCE rows and all outputs. */
static void compute(const block *b, float *packed) {
  const size_t tiles = (b->rows + TILE_ROWS - 1) / TILE_ROWS;
  const size_t small = b->rows / tiles, larger = b->rows % tiles; /* rows split evenly: the first tiles have one more */
  const size_t lines = (ROUND + tiles - 1) / tiles, share = b->depth / ROUND * lines * CW_PANEL; /* of the weights that a tile asks for */
  for (size_t first = 0; first < b->outputs; first += PAIRS * PAIR) {
    const size_t end = smaller(first + PAIRS * PAIR, b->outputs);
    float *x = packed;
    for (size_t t = 0, row = 0; t < tiles; t++) {
      const size_t rows = small + (t < larger), next_row = t + 1 < tiles ? row + rows : 0;
      if (first == 0) pack(b->x + row * b->x_stride, b->x_stride, rows, b->depth, x);
      for (size_t n = first; n < end; n += PAIR) {
        const size_t next_n = n + PAIR < end ? n + PAIR : first, width = smaller(b->outputs - n, PAIR);
        job j = {.x = x,
                 .panels = b->panels + n / CW_PANEL * b->panel_stride,
                 .panel_stride = b->panel_stride,
                 .depth = b->depth,
                 .y = b->y + row * b->y_stride + n,
                 .y_stride = b->y_stride,
                 .add = b->add,
                 .lines = lines,
                 .next_y = b->y + (next_n > n ? row : next_row) * b->y_stride + next_n};
        ask_later(b, n, &j);
        j.next_panels += t * share;
        if (first == 0 && (t + 1 < tiles || b->next_depth > 0)) {
          j.next_x = b->x + (next_row + n / PAIR * ROWS_ASKED) * b->x_stride + (t + 1 < tiles ? 0 : b->depth);
          j.x_stride = b->x_stride, j.x_rows = ROWS_ASKED;
        }
        if (width % CW_PANEL == 0)
          TILES[width / CW_PANEL - 1][rows](&j);
        else
          tile_part(&j, rows, width);
      }
      row += rows;
      x += SLOTS(rows) * SLOTS(b->depth);
    }
  }
}

void cw_product_f32_avx512vnni(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                               size_t y_stride, int add) {
  if (rows <= CW_FEW_ROWS) {
    cw_product_f32_few_avx512vnni(x, x_stride, rows, depth, panels, outputs, y, y_stride, add);
    return;
  }
  float packed[ROWS_AT_ONCE * K_BLOCK] __attribute__((aligned(64)));
  const size_t row_blocks = (rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE, blocks = (depth + K_BLOCK - 1) / K_BLOCK;
  const size_t k_block = ((depth + blocks - 1) / blocks + ROUND - 1) / ROUND * ROUND;
  for (size_t r = 0; r < row_blocks; r++) {
    const size_t row = rows * r / row_blocks, count = rows * (r + 1) / row_blocks - row;
    for (size_t k = 0; k < depth; k += k_block) {
      const size_t here = smaller(depth - k, k_block);
      compute(&(block){.x = x + row * x_stride + k,
                       .panels = panels + k * CW_PANEL,
                       .x_stride = x_stride,
                       .rows = count,
                       .depth = here,
                       .next_depth = smaller(depth - k - here, k_block),
                       .panel_stride = depth * CW_PANEL,
                       .outputs = outputs,
                       .y = y + row * y_stride,
                       .y_stride = y_stride,
                       .add = add || k > 0},
              packed);
    }
  }
}
