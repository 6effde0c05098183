/* product_f32_avx2.h: the float product of a few rows, which is bound by reading its weights, and that of many. */
#ifndef CW_PRODUCT_F32_AVX2_H
#define CW_PRODUCT_F32_AVX2_H

#include "kernels/kernels.h"

enum { CW_FEW_ROWS = 16 };

/* product_f32 of kernels.h; faster than tiles of packed rows up to CW_FEW_ROWS rows. */
void cw_product_f32_few_avx2(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                             size_t y_stride, int add);

#endif
