/* product_f32_blocks.h: how a float product of many rows is cut into tiles. Each instruction set includes it with tiles of its own:
 *
 *     CW_TILE_ROWS, CW_TILE_PANELS    of its largest tile
 *     CW_TILES_BESIDE                 tiles beside each other whose weights wait in L2
 *     CW_SLOTS(rows)                  rows for which packed x of a tile has room
 *     cw_tile_f32, cw_pack_f32        below
 *
 *     for up to 192 rows and up to 384 of k       x, packed tile by tile, and the weights of a group of tiles (192 KiB) stay in L2
 *       for a group of tiles beside each other
 *         for the rows of a tile                  the first time round they are packed
 *           for each tile of the group            so y is walked along rows
 *
 * Packed x lies as it is read, so that whatever the distance between rows, their lines do not compete for a few sets of the cache. Along
 * a row the y that a tile loads does not lie a multiple of 4 KiB from what the last one stored, where the processor would take one for
 * the other. While a tile computes it asks for what comes next: a share of the weights of the next group, the y of the next tile, rows
 * that are to be packed. Sums wait in y between blocks of k, which keeps every chain of multiply-adds in order. */
#ifndef CW_PRODUCT_F32_BLOCKS_H
#define CW_PRODUCT_F32_BLOCKS_H

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

enum {
  CW_ROWS_AT_ONCE = 192,
  CW_K_BLOCK = 384, /* 192 rows of it are 288 KiB */
  CW_QUAD = 4,      /* numbers along k of a row that lie together in packed x */
  CW_SPAN = 16,    /* steps along k between two times of asking: a line of a row */
  CW_TILE_WIDTH = CW_TILE_PANELS * CW_PANEL,
  CW_GROUP_WIDTH = CW_TILES_BESIDE * CW_TILE_WIDTH
};

/* What a tile reads and writes, and where what comes next lies. */
typedef struct {
  const float *x;             /* [depth / 4][CW_SLOTS(rows)][4]: packed */
  const float *panels;        /* [CW_TILE_PANELS][depth][16], panels panel_stride apart */
  size_t panel_stride, depth; /* depth: of this block */
  float *y;                   /* [rows][CW_TILE_WIDTH] */
  size_t y_stride;
  int add;
  const float *next_panels;  /* as many, next_stride apart */
  size_t next_stride, lines; /* lines: of each that are asked for in a round */
  const float *next_y;
  const float *next_x;
  size_t x_stride, x_rows; /* x_rows: rows of next_x to ask for */
} cw_tile_job;

/* Computes a tile of 1..CW_TILE_ROWS rows and 1..CW_TILE_PANELS panels. */
static void cw_tile_f32(const cw_tile_job *j, size_t rows, size_t panels);
/* Rows of x to [depth / 4][CW_SLOTS(rows)][4], the last of depth in part. */
static void cw_pack_f32(const float *x, size_t x_stride, size_t rows, size_t depth, float *to);

/* Macros, as gcc 12 drops calls of a function that does nothing but prefetch. */
#define CW_ASK_SOON(at) _mm_prefetch((const char *)(at), _MM_HINT_T0)
#define CW_ASK_LATER(at) _mm_prefetch((const char *)(at), _MM_HINT_T1)

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* A tile of which a part of the last panel is wanted goes through a padded copy of y. */
static void part_of_tile(const cw_tile_job *j, size_t rows, size_t width) {
  float padded[CW_TILE_ROWS * CW_TILE_WIDTH] = {0};
  cw_tile_job part = *j;
  part.y = padded, part.y_stride = CW_TILE_WIDTH, part.next_y = padded;
  for (size_t r = 0; j->add && r < rows; r++) memcpy(padded + r * CW_TILE_WIDTH, j->y + r * j->y_stride, width * sizeof(float));
  cw_tile_f32(&part, rows, (width + CW_PANEL - 1) / CW_PANEL);
  for (size_t r = 0; r < rows; r++) memcpy(j->y + r * j->y_stride, padded + r * CW_TILE_WIDTH, width * sizeof(float));
}

typedef struct {
  const float *x, *panels; /* from the first row, and from the block of k, on */
  size_t x_stride, rows, depth, next_depth, panel_stride, outputs; /* next_depth: of the block after this one; 0: none */
  float *y;
  size_t y_stride;
  int add;
} block;

/* Where the weights lie that are wanted a group later than those of output n: at the end, those of the next block of k. Tile t of the
 * rows asks for `lines` of 64 bytes of a panel in a round, until all are asked for. */
static void ask_for_weights(const block *b, size_t n, size_t t, size_t lines, cw_tile_job *j) {
  size_t later = n + CW_GROUP_WIDTH, k = 0, line = t * (b->depth / CW_SPAN) * lines;
  if (later >= b->outputs) later = n % CW_GROUP_WIDTH, k = b->next_depth > 0 ? b->depth : 0;
  j->next_panels = b->panels + later / CW_PANEL * b->panel_stride + (k + line) * CW_PANEL;
  j->next_stride = b->outputs - later > CW_PANEL ? b->panel_stride : 0;
  j->lines = line < b->depth ? lines : 0;
}

/* One block of k for up to CW_ROWS_AT_ONCE rows and all outputs. */
static void compute(const block *b, float *packed) {
  enum { X_ROWS = (CW_TILE_ROWS + CW_TILES_BESIDE - 1) / CW_TILES_BESIDE };
  const size_t tiles = (b->rows + CW_TILE_ROWS - 1) / CW_TILE_ROWS, lines = (CW_SPAN + tiles - 1) / tiles;
  const size_t small = b->rows / tiles, larger = b->rows % tiles; /* rows split evenly: the first tiles have one more */
  for (size_t first = 0; first < b->outputs; first += CW_GROUP_WIDTH) {
    const size_t end = smaller(first + CW_GROUP_WIDTH, b->outputs);
    float *x = packed;
    for (size_t t = 0, row = 0; t < tiles; t++) {
      const size_t rows = small + (t < larger), next_row = t + 1 < tiles ? row + rows : 0;
      if (first == 0) cw_pack_f32(b->x + row * b->x_stride, b->x_stride, rows, b->depth, x);
      for (size_t n = first; n < end; n += CW_TILE_WIDTH) {
        const size_t next_n = n + CW_TILE_WIDTH < end ? n + CW_TILE_WIDTH : first, width = smaller(b->outputs - n, CW_TILE_WIDTH);
        cw_tile_job j = {.x = x,
                         .panels = b->panels + n / CW_PANEL * b->panel_stride,
                         .panel_stride = b->panel_stride,
                         .depth = b->depth,
                         .y = b->y + row * b->y_stride + n,
                         .y_stride = b->y_stride,
                         .add = b->add,
                         .next_y = b->y + (next_n > n ? row : next_row) * b->y_stride + next_n};
        ask_for_weights(b, n, t, lines, &j);
        if (first == 0 && (t + 1 < tiles || b->next_depth > 0)) {
          j.next_x = b->x + (next_row + n / CW_TILE_WIDTH * X_ROWS) * b->x_stride + (t + 1 < tiles ? 0 : b->depth);
          j.x_stride = b->x_stride, j.x_rows = X_ROWS;
        }
        if (width % CW_PANEL == 0)
          cw_tile_f32(&j, rows, width / CW_PANEL);
        else
          part_of_tile(&j, rows, width);
      }
      row += rows;
      x += CW_SLOTS(rows) * ((b->depth + CW_QUAD - 1) / CW_QUAD * CW_QUAD);
    }
  }
}

/* product_f32 of kernels.h, for any number of rows. */
static void cw_product_f32_blocks(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                                  size_t y_stride, int add) {
  enum { TILES = (CW_ROWS_AT_ONCE + CW_TILE_ROWS - 1) / CW_TILE_ROWS };
  float packed[TILES * CW_SLOTS(CW_TILE_ROWS) * CW_K_BLOCK] __attribute__((aligned(64)));
  const size_t row_blocks = (rows + CW_ROWS_AT_ONCE - 1) / CW_ROWS_AT_ONCE, blocks = (depth + CW_K_BLOCK - 1) / CW_K_BLOCK;
  const size_t k_block = ((depth + blocks - 1) / blocks + CW_SPAN - 1) / CW_SPAN * CW_SPAN;
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

#endif
