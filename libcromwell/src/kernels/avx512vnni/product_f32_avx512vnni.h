/* product_f32_avx512vnni.h: the float product of a few rows, which is bound by reading its weights, and that of many. */
#ifndef CW_PRODUCT_F32_AVX512VNNI_H
#define CW_PRODUCT_F32_AVX512VNNI_H

#include "kernels/kernels.h"

enum { CW_FEW_ROWS = 16 };

/* product_f32 of kernels.h for 1..CW_FEW_ROWS rows. */
void cw_product_f32_few_avx512vnni(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs,
                                   float *y, size_t y_stride, int add);

#endif
