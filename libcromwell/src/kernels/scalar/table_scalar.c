/* table_scalar.c: the table of reference kernels. */
#include "kernels/scalar/kernels_scalar.h"

const cw_kernels cw_kernels_scalar = {
    .name = "scalar",
    .gemm_f32 = cw_gemm_f32_scalar,
    .gemv_f32 = cw_gemv_f32_scalar,
    .gemv_q8 = cw_gemv_q8_scalar,
    .expand_q8 = cw_expand_q8_scalar,
    .rms = cw_rms_scalar,
    .softmax = cw_softmax_scalar,
    .exp = cw_exp_scalar,
    .silu = cw_silu_scalar,
    .silu_mul = cw_silu_mul_scalar,
    .gelu = cw_gelu_scalar,
    .sigmoid = cw_sigmoid_scalar,
    .softcap = cw_softcap_scalar,
    .depthwise = cw_depthwise_scalar,
};
