/* kernels_scalar.h: the reference kernels, for the table and for sets that override only some of them. */
#ifndef CW_KERNELS_SCALAR_H
#define CW_KERNELS_SCALAR_H

#include "kernels/kernels.h"

void cw_product_f32_scalar(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                           size_t y_stride, int add);
void cw_product_q8_scalar(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add);
void cw_product_q4_scalar(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add);
void cw_quantise_scalar(const float *x, size_t depth, size_t group, size_t stride, int8_t *q, float *scales, int32_t *sums);
void cw_attend_q8_scalar(const cw_q8_queries *queries, const cw_q8_block *blocks, size_t count);
void cw_depthwise_scalar(const cw_depthwise *d);
/* Channels from `first` on: what is left when a set has done all that fill a vector. */
void cw_depthwise_from_scalar(const cw_depthwise *d, size_t first);
void cw_scale_scalar(const float *x, const float *gains, size_t size, float *y);
void cw_rms_scalar(const float *x, const float *weight, float eps, size_t size, float *y);
void cw_exp_scalar(float *x, size_t size);
void cw_silu_scalar(float *x, size_t size);
void cw_silu_mul_scalar(float *x, const float *y, size_t size);
void cw_gelu_scalar(float *x, size_t size);
void cw_sigmoid_scalar(float *x, size_t size);
void cw_softcap_scalar(float *x, size_t size, float cap);

#endif
