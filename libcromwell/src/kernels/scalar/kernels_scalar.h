/* kernels_scalar.h: the reference kernels, for the table and for sets that override only some of them. */
#ifndef CW_KERNELS_SCALAR_H
#define CW_KERNELS_SCALAR_H

#include "kernels/kernels.h"

void cw_gemm_f32_scalar(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panel, float *y, size_t y_stride,
                        size_t width, int add);
void cw_gemv_f32_scalar(const float *x, size_t depth, const float *panels, size_t panel_stride, size_t panel_count, float *y, int add);
void cw_gemv_q8_scalar(const float *x, size_t depth, const int8_t *panels, const float *scales, size_t panel_count, float *y, int add);
void cw_expand_q8_scalar(const int8_t *panel, const float *scales, size_t depth, float *out);
void cw_depthwise_scalar(const float *const taps[9], const float *weight, const float *bias, size_t channels, float *y);
void cw_rms_scalar(const float *x, const float *weight, float eps, size_t size, float *y);
float cw_softmax_scalar(float *scores, size_t count, size_t padded, float scale);
void cw_exp_scalar(float *x, size_t size);
void cw_silu_scalar(float *x, size_t size);
void cw_silu_mul_scalar(float *x, const float *y, size_t size);
void cw_gelu_scalar(float *x, size_t size);
void cw_sigmoid_scalar(float *x, size_t size);
void cw_softcap_scalar(float *x, size_t size, float cap);

#endif
