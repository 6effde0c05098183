/* rows_q8_avx512vnni.c: several rows of int8 times all panels of a matrix, two panels at a time: 56 rows after one another, and for these
 * one group after the other, so that sums wait in L1. They wait in a dense buffer: rows of y are often a multiple of 4 KiB apart, where
 * the processor takes a load for one that depends on an earlier store, as it compares 12 bits of addresses. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"

enum {
  MOST_GROUPS = 32, /* of a call: what is kept of rows is 84 KiB, and 128 KiB for weights that must be expanded */
  DIRECT_ROWS = CW_TILE_MOST, /* up to which int4 weights are used as they are */
  FEW_ROWS = 16,   /* up to which memory is the limit; with more, asking costs more than waiting for the hardware's prefetchers */
  WRITTEN_ROWS = 8, /* that a tile asks for */
  WAITING_BYTES = CW_WIDTH * sizeof(float)
};

typedef struct {
  const cw_q8_rows *x;
  const cw_q_panels *w;
  cw_expand_fn expand;
  size_t rows, first, count; /* groups first .. first + count - 1 */
  float *y;
  size_t y_stride;
  int add;
  cw_row_factors factors[MOST_GROUPS];
} product;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void prepare_rows(product *p) {
  const size_t stride = p->x->stride, subs = p->w->depth / CW_SUB;
  const __m512 round = _mm512_set1_ps(CW_ROUND), minus = _mm512_set1_ps(-CW_ROUND);
  for (size_t g = 0; g < p->count; g++)
    for (size_t r = 0; r < p->rows; r += 16) {
      const __mmask16 wanted = cw_wanted_avx512vnni(p->rows - r);
      __m512i sum = _mm512_setzero_si512();
      for (size_t s = (p->first + g) * (CW_GROUP / CW_SUB); s < least(subs, (p->first + g + 1) * (CW_GROUP / CW_SUB)); s++)
        sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(wanted, p->x->sums + s * stride + r));
      sum = _mm512_slli_epi32(sum, 6); /* times 64, the offset */
      _mm512_storeu_si512(p->factors[g].start + r, _mm512_sub_epi32(_mm512_castps_si512(round), sum));
      __m512 scale = _mm512_maskz_loadu_ps(wanted, p->x->scales + (p->first + g) * stride + r);
      _mm512_storeu_ps(p->factors[g].scale + r, scale);
      _mm512_storeu_ps(p->factors[g].back + r, _mm512_mul_ps(scale, minus));
    }
}

/* Copies `width` of 32 floats of each row. */
static void copy_rows(const float *from, size_t from_stride, float *to, size_t to_stride, size_t rows, size_t width) {
  const __mmask16 first = cw_wanted_avx512vnni(width), second = width > CW_PANEL ? cw_wanted_avx512vnni(width - CW_PANEL) : 0;
  for (size_t r = 0; r < rows; r++, from += from_stride, to += to_stride) {
    _mm512_mask_storeu_ps(to, first, _mm512_maskz_loadu_ps(first, from));
    if (second) _mm512_mask_storeu_ps(to + CW_PANEL, second, _mm512_maskz_loadu_ps(second, from + CW_PANEL));
  }
}

/* Two panels for the rows of a call: their scales as floats, weights of these groups, panels `stride` bytes apart, and what comes after. */
typedef struct {
  size_t n, stride, group_bytes; /* n: the first output; group_bytes: of a panel's weights */
  const uint8_t *weights, *multipliers; /* multipliers: NULL for int8 */
  size_t multiplier_stride;
  float scales[MOST_GROUPS][CW_WIDTH] __attribute__((aligned(64)));
} two_panels;

static void prepare_scales(const product *p, two_panels *two) {
  const size_t groups = (p->w->depth + CW_GROUP - 1) / CW_GROUP, beside = two->stride > 0;
  const uint16_t *scales = p->w->scales + (two->n / CW_PANEL * groups + p->first) * CW_PANEL;
  for (size_t g = 0; g < p->count; g++, scales += CW_PANEL) {
    _mm512_store_ps(two->scales[g], cw_scales_avx512vnni(scales));
    _mm512_store_ps(two->scales[g] + CW_PANEL, cw_scales_avx512vnni(scales + beside * groups * CW_PANEL));
  }
}

/* Rows row .. row + rows - 1. */
static void some_rows(const product *p, const two_panels *two, size_t row, size_t rows, const char *after, const char *later) {
  static const float zeros[CW_WIDTH] __attribute__((aligned(64)));
  const size_t width = least(p->w->outputs - two->n, CW_WIDTH), y_bytes = p->y_stride * sizeof(float);
  const int few = p->rows <= FEW_ROWS, whole = width == CW_WIDTH;
  float waiting[CW_ROWS_AT_ONCE * CW_WIDTH] __attribute__((aligned(64)));
  float *y = p->y + row * p->y_stride + two->n;
  if (p->add && !whole) copy_rows(y, p->y_stride, waiting, CW_WIDTH, rows, width);
  const size_t tiles = (rows + CW_TILE_MOST - 1) / CW_TILE_MOST, y_asked = tiles * WRITTEN_ROWS * y_bytes;
  cw_group_q8 group = {
      .rows = rows,
      .q = p->x->q + (p->first * p->x->stride + row) * CW_GROUP,
      .factors = p->factors,
      .first = row,
      .weights = two->weights,
      .stride = two->stride,
      .steps = CW_GROUP / 4,
      .multipliers = two->multipliers,
      .multiplier_stride = two->multiplier_stride,
      .scales = two->scales[0],
      .from = (const char *)(p->add ? whole ? y : waiting : zeros),
      .from_stride = p->add ? whole ? y_bytes : WAITING_BYTES : 0,
      .to = (char *)waiting,
      .to_stride = WAITING_BYTES,
      .few = few,
      .later = later,
      .written = (const char *)waiting,
  };
  for (size_t left = p->count; left > 0; left--) {
    group.next = left > 1 ? (const char *)group.weights + two->group_bytes : after;
    if (left == 1) group.steps = least(p->w->depth - (p->first + p->count - 1) * CW_GROUP, CW_GROUP) / 4;
    if (whole && left <= 2) { /* the tiles of two groups ask for y */
      group.written = (const char *)y + (left == 1 && p->count > 1 ? y_asked : 0);
      group.written_stride = y_bytes;
    }
    if (whole && left == 1) group.to = (char *)y, group.to_stride = y_bytes;
    if (two->multipliers != NULL) {
      cw_group_q4_avx512vnni(&group);
      group.multipliers += CW_GROUP / CW_SUB * CW_PANEL;
    } else {
      cw_group_q8_avx512vnni(&group);
    }
    group.q += p->x->stride * CW_GROUP;
    group.factors++;
    group.weights += two->group_bytes;
    group.scales += CW_WIDTH;
    group.from = (const char *)waiting, group.from_stride = WAITING_BYTES;
    group.later += (few ? 2048 : 1024) * tiles;
  }
  if (!whole) copy_rows(waiting, CW_WIDTH, y, p->y_stride, rows, width);
}

static void compute(product *p) {
  const size_t depth = p->w->depth, subs = depth / CW_SUB, blocks = (p->rows + CW_ROWS_AT_ONCE - 1) / CW_ROWS_AT_ONCE;
  const size_t per_block = (p->rows + blocks - 1) / blocks, expanded_bytes = least(depth - p->first * CW_GROUP, p->count * CW_GROUP) * CW_PANEL;
  const int four = p->expand != NULL, expanding = four && p->rows > DIRECT_ROWS;
  const size_t panel_bytes = depth * CW_PANEL / (four ? 2 : 1), group_bytes = CW_GROUP_BYTES / (four ? 2 : 1);
  uint8_t expanded[CW_BESIDE * MOST_GROUPS * CW_GROUP_BYTES] __attribute__((aligned(64)));
  two_panels two;
  prepare_rows(p);
  for (two.n = 0; two.n < p->w->outputs; two.n += CW_WIDTH) {
    const size_t panel = two.n / CW_PANEL, beside = p->w->outputs - two.n > CW_PANEL; /* a last panel alone is computed twice, and kept once */
    const uint8_t *stored = p->w->weights + panel * panel_bytes + p->first * group_bytes;
    const char *later = (const char *)stored + CW_BESIDE * panel_bytes;
    two.weights = stored, two.stride = beside * panel_bytes, two.group_bytes = group_bytes;
    two.multipliers = four ? p->w->multipliers + (panel * subs + p->first * (CW_GROUP / CW_SUB)) * CW_PANEL : NULL;
    two.multiplier_stride = beside * subs * CW_PANEL;
    prepare_scales(p, &two);
    if (expanding) {
      p->expand(p->w, panel, p->first, p->count, expanded);
      if (beside) p->expand(p->w, panel + 1, p->first, p->count, expanded + expanded_bytes);
      two.weights = expanded, two.stride = beside * expanded_bytes, two.group_bytes = CW_GROUP_BYTES, two.multipliers = NULL;
    }
    const char *again = (const char *)two.weights;
    for (size_t row = 0; row < p->rows; row += per_block)
      some_rows(p, &two, row, least(p->rows - row, per_block), row + per_block < p->rows || expanding ? again : later, row == 0 ? later : again);
  }
}

void cw_rows_q8_avx512vnni(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, cw_expand_fn expand, float *y, size_t y_stride, int add) {
  const size_t groups = (w->depth + CW_GROUP - 1) / CW_GROUP;
  for (size_t row = 0; row < rows; row += CW_MOST_ROWS) {
    cw_q8_rows some = {x->q + row * CW_GROUP, x->scales + row, x->sums + row, x->stride};
    for (size_t g = 0; g < groups; g += MOST_GROUPS) {
      product p;
      p.x = &some, p.w = w, p.expand = expand;
      p.rows = least(rows - row, CW_MOST_ROWS), p.first = g, p.count = least(groups - g, MOST_GROUPS);
      p.y = y + row * y_stride, p.y_stride = y_stride, p.add = add || g > 0;
      compute(&p);
    }
  }
}
