/* product_q8_avx512vnni.c: rows of int8 times int8 panels. */
#include "kernels/avx512vnni/group_q8_avx512vnni.h"
#include "kernels/avx512vnni/kernels_avx512vnni.h"

enum { ROWS_AT_ONCE = 48 /* rows whose part of y stays in L1 over all groups: 48 x 64 floats, 12 KiB */ };

void cw_product_q8_avx512vnni(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add) {
  const size_t depth = w->depth, groups = (depth + CW_GROUP - 1) / CW_GROUP, panels = (w->outputs + CW_PANEL - 1) / CW_PANEL;
  for (size_t panel = 0; panel < panels; panel += CW_BESIDE) {
    size_t beside = panels - panel < CW_BESIDE ? panels - panel : CW_BESIDE;
    for (size_t row = 0; row < rows; row += ROWS_AT_ONCE) {
      size_t count = rows - row < ROWS_AT_ONCE ? rows - row : ROWS_AT_ONCE;
      cw_q8_rows some = {x->q + row * depth, x->scales + row * groups, x->sums + row * (depth / CW_SUB)};
      for (size_t g = 0; g < groups; g++) {
        const uint8_t *weights = w->weights + panel * depth * CW_PANEL + g * CW_GROUP * CW_PANEL;
        cw_group_q8 group = {
            .weights = weights,
            .stride = depth * CW_PANEL,
            .depth = depth - g * CW_GROUP < CW_GROUP ? depth - g * CW_GROUP : CW_GROUP,
            .panels = beside,
            .last = panel + beside == panels ? cw_last_mask(w->outputs) : (__mmask16)0xffff,
            .scales = w->scales + (panel * groups + g) * CW_PANEL,
            .scale_stride = groups * CW_PANEL,
            .ahead = weights + CW_GROUP * CW_PANEL,
            .ahead_stride = depth * CW_PANEL,
        };
        cw_group_q8_avx512vnni(&some, count, depth, g, &group, y + row * y_stride + panel * CW_PANEL, y_stride, !add && g == 0);
      }
    }
  }
}
