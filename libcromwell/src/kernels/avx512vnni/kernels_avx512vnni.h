/* kernels_avx512vnni.h: the kernels for AVX-512 with VNNI. Cascade Lake to Zen 5: zmm multiply-adds, float or int8, take 4-5 cycles and
 * start two a cycle (ports 0 and 5), zmm loads two a cycle; so 10 sums in flight fill the units, and of 32 registers 24 hold the sums of
 * 6 rows x 4 panels: 10 loads feed 24 multiply-adds. */
#ifndef CW_KERNELS_AVX512VNNI_H
#define CW_KERNELS_AVX512VNNI_H

#include "kernels/kernels.h"

void cw_product_f32_avx512vnni(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                               size_t y_stride, int add);
void cw_product_q8_avx512vnni(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add);
void cw_product_q4_avx512vnni(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add);
void cw_quantise_avx512vnni(const float *x, size_t depth, size_t group, size_t stride, int8_t *q, float *scales, int32_t *sums);
void cw_attend_q8_avx512vnni(const cw_q8_queries *queries, const cw_q8_block *blocks, size_t count);
void cw_depthwise_avx512vnni(const cw_depthwise *d);
void cw_scale_avx512vnni(const float *x, const float *gains, size_t size, float *y);
void cw_rms_avx512vnni(const float *x, const float *weight, float eps, size_t size, float *y);
void cw_exp_avx512vnni(float *x, size_t size);
void cw_silu_avx512vnni(float *x, size_t size);
void cw_silu_mul_avx512vnni(float *x, const float *y, size_t size);
void cw_gelu_avx512vnni(float *x, size_t size);
void cw_sigmoid_avx512vnni(float *x, size_t size);
void cw_softcap_avx512vnni(float *x, size_t size, float cap);

#endif
