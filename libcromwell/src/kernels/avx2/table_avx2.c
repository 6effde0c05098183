/* table_avx2.c: the table of AVX2 kernels. */
#include "kernels/avx2/kernels_avx2.h"

const cw_kernels cw_kernels_avx2 = {
    .name = "avx2",
    .product_f32 = cw_product_f32_avx2,
    .product_q8 = cw_product_q8_avx2,
    .product_q4 = cw_product_q4_avx2,
    .quantise = cw_quantise_avx2,
    .attend_q8 = cw_attend_q8_avx2,
    .rms = cw_rms_avx2,
    .exp = cw_exp_avx2,
    .silu = cw_silu_avx2,
    .silu_mul = cw_silu_mul_avx2,
    .gelu = cw_gelu_avx2,
    .sigmoid = cw_sigmoid_avx2,
    .softcap = cw_softcap_avx2,
    .depthwise = cw_depthwise_avx2,
    .scale = cw_scale_avx2,
};
