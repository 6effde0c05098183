/* product_q8_avx512vnni.c: rows of int8 times int8 panels. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"
#include "kernels/avx512vnni/kernels_avx512vnni.h"

enum { FEW_ROWS = 16 /* up to which memory is the limit; with more, asking costs more than waiting for the hardware's prefetchers */ };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* One row times PANELS panels from `panel` on, as fast as memory gives them. 512 bytes ahead in every panel reads a little faster than plain
 * loads do; the hardware's prefetchers stop at pages. */
static inline __attribute__((always_inline)) void one_row(const size_t PANELS, const cw_q8_rows *x, const cw_q_panels *w, size_t panel,
                                                          float *y, int add) {
  const size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, stride = depth * CW_PANEL;
  const __mmask16 last = cw_wanted_avx512vnni(w->outputs - (panel + PANELS - 1) * CW_PANEL);
  const uint8_t *weights = w->weights + panel * stride;
  __m512 sums[CW_BESIDE];
#pragma GCC unroll 4
  for (size_t p = 0; p < PANELS; p++)
    sums[p] = add ? _mm512_maskz_loadu_ps(p + 1 == PANELS ? last : 0xffff, y + p * CW_PANEL) : _mm512_setzero_ps();
  for (size_t g = 0; g < groups; g++) {
    const size_t at = g * CW_GROUP, end = least(at + CW_GROUP, depth);
    int32_t sum = 0;
    for (size_t s = at / CW_SUB; s < end / CW_SUB; s++) sum += x->sums[s];
    __m512i dots[CW_BESIDE], odd[CW_BESIDE];
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) dots[p] = _mm512_set1_epi32(-CW_OFFSET * sum), odd[p] = _mm512_setzero_si512();
    for (size_t k = at; k < end; k += 8) {
      __m512i q = _mm512_set1_epi32(cw_four_q(x->q + k)), q4 = _mm512_set1_epi32(cw_four_q(x->q + k + 4));
#pragma GCC unroll 4
      for (size_t p = 0; p < PANELS; p++) {
        const uint8_t *from = weights + p * stride + k * CW_PANEL;
        _mm_prefetch((const char *)from + 512, _MM_HINT_T0);
        _mm_prefetch((const char *)from + 576, _MM_HINT_T0);
        dots[p] = _mm512_dpbusd_epi32(dots[p], _mm512_loadu_si512(from), q);
        odd[p] = _mm512_dpbusd_epi32(odd[p], _mm512_loadu_si512(from + 64), q4);
      }
    }
#pragma GCC unroll 4
    for (size_t p = 0; p < PANELS; p++) {
      __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(dots[p], odd[p])), _mm512_set1_ps(x->scales[g]));
      sums[p] = _mm512_fmadd_ps(dot, cw_scales_avx512vnni(w->scales + ((panel + p) * groups + g) * CW_PANEL), sums[p]);
    }
  }
#pragma GCC unroll 4
  for (size_t p = 0; p < PANELS; p++) _mm512_mask_storeu_ps(y + p * CW_PANEL, p + 1 == PANELS ? last : 0xffff, sums[p]);
}

static void product_of_one_row(const cw_q8_rows *x, const cw_q_panels *w, float *y, int add) {
  const size_t panels = (w->outputs + CW_PANEL - 1) / CW_PANEL;
  size_t panel = 0;
  for (; panel + CW_BESIDE <= panels; panel += CW_BESIDE) one_row(CW_BESIDE, x, w, panel, y + panel * CW_PANEL, add);
  for (; panel < panels; panel++) one_row(1, x, w, panel, y + panel * CW_PANEL, add);
}

/* `count` groups from `first` on, of at most CW_MOST_ROWS rows. Four panels at a time, and of them for 48 rows one group after the other:
 * what comes next is 2 KiB further on in every panel, and after the last group the first one of the panels beside. */
static void product(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, size_t first, size_t count, float *y, size_t y_stride, int add) {
  const size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, panel_bytes = depth * CW_PANEL;
  const ptrdiff_t group_bytes = CW_GROUP * CW_PANEL;
  float waiting[CW_ROWS_AT_ONCE * CW_WIDTH] __attribute__((aligned(64)));
  cw_row_factors factors;
  cw_gather_factors_avx512vnni(x, rows, depth, first, count, &factors);
  for (size_t n = 0; n < w->outputs; n += CW_WIDTH) {
    const size_t outputs = least(w->outputs - n, CW_WIDTH), panel = n / CW_PANEL;
    const ptrdiff_t beside = n + CW_WIDTH < w->outputs ? (ptrdiff_t)(CW_BESIDE * panel_bytes) - (ptrdiff_t)(count - 1) * group_bytes : 0;
    for (size_t row = 0; row < rows; row += CW_ROWS_AT_ONCE) {
      const size_t some = least(rows - row, CW_ROWS_AT_ONCE);
      const cw_sums inside = {waiting, CW_WIDTH, 0}, outside = {y + row * y_stride + n, y_stride, 1};
      for (size_t g = 0; g < count; g++) {
        const size_t at = (first + g) * CW_GROUP;
        cw_group_q8_avx512vnni(&(cw_group_q8){
            .q = x->q + row * depth + at,
            .start = factors.start[g] + row,
            .scales = factors.scale[g] + row,
            .rows = some,
            .depth = depth,
            .weights = w->weights + panel * panel_bytes + at * CW_PANEL,
            .stride = panel_bytes,
            .steps = least(depth - at, CW_GROUP) / 4,
            .ahead = rows > FEW_ROWS ? 0 : g + 1 < count ? group_bytes : beside,
            .panels = (outputs + CW_PANEL - 1) / CW_PANEL,
            .weight_scales = w->scales + (panel * groups + first + g) * CW_PANEL,
            .scale_stride = groups * CW_PANEL,
            .last = cw_wanted_avx512vnni((outputs - 1) % CW_PANEL + 1),
            .from = add && g == 0 ? outside : inside,
            .to = g + 1 < count ? inside : outside,
            .fresh = !add && g == 0,
        });
      }
    }
  }
}

void cw_product_q8_avx512vnni(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add) {
  const size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP;
  if (rows == 1) {
    product_of_one_row(x, w, y, add);
    return;
  }
  for (size_t row = 0; row < rows; row += CW_MOST_ROWS) {
    cw_q8_rows some = {x->q + row * depth, x->scales + row * groups, x->sums + row * (depth / CW_SUB)};
    for (size_t g = 0; g < groups; g += CW_MOST_GROUPS)
      product(&some, least(rows - row, CW_MOST_ROWS), w, g, least(groups - g, CW_MOST_GROUPS), y + row * y_stride, y_stride, add || g > 0);
  }
}
