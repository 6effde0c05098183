/* table_scalar.c: the table of reference kernels. */
#include "kernels/scalar/kernels_scalar.h"

const cw_kernels cw_kernels_scalar = {
    .name = "scalar",
    .product_f32 = cw_product_f32_scalar,
    .product_q8 = cw_product_q8_scalar,
    .product_q4 = cw_product_q4_scalar,
    .quantise = cw_quantise_scalar,
    .attend_q8 = cw_attend_q8_scalar,
    .rms = cw_rms_scalar,
    .exp = cw_exp_scalar,
    .silu = cw_silu_scalar,
    .silu_mul = cw_silu_mul_scalar,
    .gelu = cw_gelu_scalar,
    .sigmoid = cw_sigmoid_scalar,
    .softcap = cw_softcap_scalar,
    .depthwise = cw_depthwise_scalar,
    .scale = cw_scale_scalar,
};
