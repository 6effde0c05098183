/* rows_q8_avx512vnni.c: several rows of int8 times all panels of a matrix, two panels at a time: 48 rows after one another, and for these
 * one group after the other, so that sums wait in L1. They wait in a dense buffer: rows of y are often a multiple of 4 KiB apart, where
 * the processor takes a load for one that depends on an earlier store, as it compares 12 bits of addresses. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"

enum {
  MOST_GROUPS = 32, /* of a call: what is kept of rows is 72 KiB, and 128 KiB for weights that must be expanded */
  FEW_ROWS = 16,   /* up to which memory is the limit; with more, asking costs more than waiting for the hardware's prefetchers */
  WRITTEN_ROWS = 8 /* that a tile asks for */
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
  size_t n, stride; /* n: the first output */
  const uint8_t *weights;
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
  const size_t asked = (rows + 11) / 12 * WRITTEN_ROWS; /* rows of y that the tiles of a group ask for */
  for (size_t g = 0; g < p->count; g++) {
    const size_t group = p->first + g;
    const int last = g + 1 == p->count, to_y = whole && last, from_y = whole && p->add && g == 0, soon = whole && g + 2 >= p->count;
    const float *from = from_y ? y : p->add || g > 0 ? waiting : zeros;
    cw_group_q8_avx512vnni(&(cw_group_q8){
        .rows = rows,
        .q = p->x->q + (group * p->x->stride + row) * CW_GROUP,
        .factors = &p->factors[g],
        .first = row,
        .weights = two->weights + g * CW_GROUP_BYTES,
        .stride = two->stride,
        .steps = least(p->w->depth - group * CW_GROUP, CW_GROUP) / 4,
        .scales = two->scales[g],
        .from = (const char *)from,
        .from_stride = from == y ? y_bytes : from == zeros ? 0 : sizeof(float[CW_WIDTH]),
        .to = (char *)(to_y ? y : waiting),
        .to_stride = to_y ? y_bytes : sizeof(float[CW_WIDTH]),
        .few = few,
        .next = last ? after : (const char *)two->weights + (g + 1) * CW_GROUP_BYTES,
        .later = later,
        .written = soon ? (const char *)y + (last && p->count > 1 ? asked * y_bytes : 0) : (const char *)waiting,
        .written_stride = soon ? y_bytes : 0,
    });
    later += (few ? 2048 : 1024) * ((rows + 11) / 12);
  }
  if (!whole) copy_rows(waiting, CW_WIDTH, y, p->y_stride, rows, width);
}

static void compute(product *p) {
  const size_t depth = p->w->depth, panel_bytes = depth * CW_PANEL, blocks = (p->rows + CW_ROWS_AT_ONCE - 1) / CW_ROWS_AT_ONCE;
  const size_t per_block = (p->rows + blocks - 1) / blocks, expanded_bytes = least(depth - p->first * CW_GROUP, p->count * CW_GROUP) * CW_PANEL;
  uint8_t expanded[CW_BESIDE * MOST_GROUPS * CW_GROUP_BYTES] __attribute__((aligned(64)));
  two_panels two;
  prepare_rows(p);
  for (two.n = 0; two.n < p->w->outputs; two.n += CW_WIDTH) {
    const size_t panel = two.n / CW_PANEL, beside = p->w->outputs - two.n > CW_PANEL; /* a last panel alone is computed twice, and kept once */
    two.weights = p->w->weights + panel * panel_bytes + p->first * CW_GROUP_BYTES;
    two.stride = beside * panel_bytes;
    const char *after = (const char *)two.weights + CW_BESIDE * panel_bytes, *later = after;
    if (p->expand != NULL) {
      later = (const char *)p->w->weights + ((panel + CW_BESIDE) * panel_bytes + p->first * CW_GROUP_BYTES) / 2;
      p->expand(p->w, panel, p->first, p->count, expanded);
      if (beside) p->expand(p->w, panel + 1, p->first, p->count, expanded + expanded_bytes);
      two.weights = expanded, after = (const char *)expanded, two.stride = beside * expanded_bytes;
    }
    prepare_scales(p, &two);
    for (size_t row = 0; row < p->rows; row += per_block)
      some_rows(p, &two, row, least(p->rows - row, per_block), row + per_block < p->rows ? (const char *)two.weights : after,
                row == 0 ? later : (const char *)two.weights);
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
