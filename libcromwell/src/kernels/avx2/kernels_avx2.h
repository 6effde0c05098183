/* kernels_avx2.h: the AVX2 and FMA kernels. Haswell to Zen 5: fma 4-5 cycles latency, 2 a cycle, so 8-10 chains in flight fill the
 * units; 16 ymm registers hold a 6x16 tile (12 sums, 2 of weights, 1 broadcast). */
#ifndef CW_KERNELS_AVX2_H
#define CW_KERNELS_AVX2_H

#include "kernels/kernels.h"

void cw_product_f32_avx2(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                         size_t y_stride, int add);
void cw_product_q8_avx2(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add);
void cw_product_q4_avx2(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add);
void cw_quantise_avx2(const float *x, size_t depth, size_t group, size_t stride, int8_t *q, float *scales, int32_t *sums);
void cw_attend_q8_avx2(const cw_q8_queries *queries, const cw_q8_block *blocks, size_t count);
void cw_depthwise_avx2(const cw_depthwise *d);
void cw_scale_avx2(const float *x, const float *gains, size_t size, float *y);
void cw_rms_avx2(const float *x, const float *weight, float eps, size_t size, float *y);
void cw_exp_avx2(float *x, size_t size);
void cw_silu_avx2(float *x, size_t size);
void cw_silu_mul_avx2(float *x, const float *y, size_t size);
void cw_gelu_avx2(float *x, size_t size);
void cw_sigmoid_avx2(float *x, size_t size);
void cw_softcap_avx2(float *x, size_t size, float cap);

#endif
