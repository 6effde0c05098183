/* table_avx2.c: the table of AVX2 kernels. */
#include "kernels/avx2/kernels_avx2.h"

const cw_kernels cw_kernels_avx2 = {
    .name = "avx2",
    .gemm_f32 = cw_gemm_f32_avx2,
    .gemv_f32 = cw_gemv_f32_avx2,
    .gemv_q8 = cw_gemv_q8_avx2,
    .expand_q8 = cw_expand_q8_avx2,
    .rms = cw_rms_avx2,
    .softmax = cw_softmax_avx2,
    .exp = cw_exp_avx2,
    .silu = cw_silu_avx2,
    .silu_mul = cw_silu_mul_avx2,
    .gelu = cw_gelu_avx2,
    .sigmoid = cw_sigmoid_avx2,
    .softcap = cw_softcap_avx2,
    .depthwise = cw_depthwise_avx2,
};
