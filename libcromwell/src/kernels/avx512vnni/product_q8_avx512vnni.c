/* product_q8_avx512vnni.c: rows of int8 times int8 panels. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"
#include "kernels/avx512vnni/kernels_avx512vnni.h"

void cw_product_q8_avx512vnni(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add) {
  const size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, subs = depth / CW_SUB, panel_bytes = depth * CW_PANEL;
  float waiting[CW_ROWS_AT_ONCE * CW_WIDTH] __attribute__((aligned(64)));
  for (size_t n = 0; n < w->outputs; n += CW_WIDTH) {
    size_t outputs = w->outputs - n < CW_WIDTH ? w->outputs - n : CW_WIDTH, panel = n / CW_PANEL;
    for (size_t row = 0; row < rows; row += CW_ROWS_AT_ONCE) {
      size_t count = rows - row < CW_ROWS_AT_ONCE ? rows - row : CW_ROWS_AT_ONCE;
      float *part = y + row * y_stride + n;
      if (add) cw_fetch_sums_avx512vnni(part, y_stride, count, outputs, waiting);
      for (size_t g = 0; g < groups; g++) {
        int is_last = g + 1 == groups; /* next come the panels beside */
        ptrdiff_t to_next = (ptrdiff_t)(CW_BESIDE * panel_bytes) - (ptrdiff_t)(g * CW_GROUP * CW_PANEL);
        cw_group_q8_avx512vnni(&(cw_group_q8){
            .q = x->q + row * depth + g * CW_GROUP,
            .scales = x->scales + row * groups + g,
            .sums = x->sums + row * subs + g * (CW_GROUP / CW_SUB),
            .rows = count,
            .depth = depth,
            .groups = groups,
            .weights = w->weights + panel * panel_bytes + g * CW_GROUP * CW_PANEL,
            .stride = panel_bytes,
            .steps = (is_last ? depth - g * CW_GROUP : CW_GROUP) / 4,
            .ahead = !is_last ? CW_GROUP * CW_PANEL : n + CW_WIDTH < w->outputs ? to_next : 0,
            .panels = (outputs + CW_PANEL - 1) / CW_PANEL,
            .weight_scales = w->scales + (panel * groups + g) * CW_PANEL,
            .waiting = waiting,
            .fresh = !add && g == 0,
        });
      }
      cw_put_sums_avx512vnni(waiting, count, outputs, part, y_stride);
    }
  }
}
