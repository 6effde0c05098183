/* table_avx512vnni.c: the table of kernels for AVX-512 with VNNI. */
#include "kernels/avx512vnni/kernels_avx512vnni.h"

const cw_kernels cw_kernels_avx512vnni = {
    .name = "avx512vnni",
    .product_f32 = cw_product_f32_avx512vnni,
    .product_q8 = cw_product_q8_avx512vnni,
    .product_q4 = cw_product_q4_avx512vnni,
    .quantise = cw_quantise_avx512vnni,
    .attend_q8 = cw_attend_q8_avx512vnni,
    .rms = cw_rms_avx512vnni,
    .exp = cw_exp_avx512vnni,
    .silu = cw_silu_avx512vnni,
    .silu_mul = cw_silu_mul_avx512vnni,
    .gelu = cw_gelu_avx512vnni,
    .sigmoid = cw_sigmoid_avx512vnni,
    .softcap = cw_softcap_avx512vnni,
    .depthwise = cw_depthwise_avx512vnni,
    .scale = cw_scale_avx512vnni,
};
