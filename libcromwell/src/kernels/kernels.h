/* kernels.h: the table of kernels that an instruction set provides.
 *
 * Every kernel of every set computes the same bits. Integer sums are exact, so their order is free; a float output is one chain
 * of fused multiply-adds in an order fixed here, and vectors run along outputs. Row sums (rms) use 32 lanes, element i in lane
 * i mod 32, joined as a fixed tree. exp, exp2, tanh and sigmoid are polynomials of this library.
 *
 * Quantised numbers. A weight is (u - 64) * scale with u in 0..128, an activation q * scale with q in -127..127. Seven bits for
 * weights and eight for activations: 2 * 128 * 127 fits 16 bits, so vpmaddubsw never saturates and AVX2 gives the sums of VNNI,
 * and u - 64 costs nothing: the sum over (u - 64) q is that over u q less 64 times the sum of q, which is known per row. */
#ifndef CW_KERNELS_H
#define CW_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
  CW_PANEL = 16,  /* outputs a panel: two ymm, one zmm */
  CW_GROUP = 128, /* numbers along k that share a scale */
  CW_SUB = 32,    /* numbers along k that share an int4 multiplier; depths of quantised matrices are multiples of it */
  CW_OFFSET = 64, /* of stored weights and keys */
  CW_BLOCK = 64,  /* positions whose cached keys and values lie together */
  CW_SEGMENT_BLOCKS = 8,
  CW_SEGMENT = CW_SEGMENT_BLOCKS * CW_BLOCK, /* positions attended at once, the most whose sums fit 32 bits: 512 * 32767 * 127 < 2^31 */
  CW_SLAB = 64,   /* channels of an image that are convolved at once */
  CW_CELL = 80    /* floats from a cell to the next while they are: 320 bytes spread over all sets of a cache, 256 would share a quarter */
};

/* Rows of activations: x[r, k] ~ q * scale of its group. What all rows have of one group stands together, so that a tile of rows is one
 * piece of memory whatever the depth: rows a multiple of some KiB apart would share a few sets of the cache. */
typedef struct {
  const int8_t *q;      /* [ceil(depth / 128)][stride][128]: q[k / 128][r][k % 128] */
  const float *scales;  /* [ceil(depth / 128)][stride]; of at most 22 significant bits: see cw_q8_scale */
  const int32_t *sums;  /* [depth / 32][stride]: sums of 32 q */
  size_t stride;        /* rows there are, of which a product may take some */
} cw_q8_rows;

/* Consecutive panels of a quantised matrix. w[n, k] of output n = 16 p + j:
 *     q8: (weights[p][k / 4][j][k % 4] - 64) * scale[p][k / 128][j]
 *     q4: (nibble - 8) * multipliers[p][k / 32][j] * scale[p][k / 128][j], the nibble in byte weights[p][k / 8][j][k % 4]: the low
 *         one where k % 8 < 4, else the high one; multipliers are 1..8, so that nibble and multiplier make a q8 weight
 * A scale is the upper half of a float32 (bfloat16). */
typedef struct {
  const uint8_t *weights, *multipliers; /* multipliers: q4 only */
  const uint16_t *scales;
  size_t depth, outputs; /* outputs: wanted from the first panel on; the last panel may be used in part */
} cw_q_panels;

/* Cached keys and values of one head over a block of positions; D is the head size, padded with zeros to a multiple of 32. */
typedef struct {
  const uint8_t *keys;       /* [4][D / 4][16][4]: panels of 16 positions, k + 64 */
  const float *key_scales;   /* [64] */
  const int8_t *values;      /* [32][D][2]: positions 2 i and 2 i + 1 side by side */
  const float *value_scales; /* [64] */
} cw_q8_block;

/* Query rows of one head with their running softmax (Milakov and Gimelshein, arXiv 1805.02867), in powers of two. */
typedef struct {
  const int8_t *q;      /* [rows, D] */
  const float *scales;  /* [rows]: of q, times log2(e) / sqrt(head size) */
  const int32_t *sums;  /* [rows]: sum of q */
  const uint16_t *seen; /* [rows]: positions of the segment that the row may see, 0..64 count */
  size_t rows, size;    /* size: D, at most 256 */
  float *highest;       /* [rows]: a whole number at least one above all scores so far, -inf at first */
  float *total;         /* [rows]: sum of 2^(score - highest) */
  float *out;           /* [rows, D]: sum of 2^(score - highest) value */
} cw_q8_queries;

/* Some rows of cells of a 3x3 convolution of each channel by itself, with stride 1 or 2. */
typedef struct {
  const float *const *rows; /* [(count - 1) * stride + 3][width * stride + 2 or more][CW_CELL]: the input from the cell above and left of the
                               first on; what lies outside of the image is zeros */
  size_t stride, count, width, channels; /* count: rows of y; width: its cells a row; channels: up to CW_SLAB */
  const float *weight;                   /* [9][channels], `taps` floats apart */
  size_t taps;
  const float *bias; /* [channels] */
  float *y;          /* [count][width][channels], cells CW_SLAB floats apart */
  float *sums;       /* [count][channels], `sums_stride` floats apart */
  size_t sums_stride;
} cw_depthwise;

typedef struct {
  const char *name;

  /* y[r, n] (+)= sum over k of x[r, k] w[n, k]: the chain over increasing k begins at y when `add`, else at +0.
   * panels: [ceil(outputs / 16)][depth][16]; strides in floats. */
  void (*product_f32)(const float *x, size_t x_stride, size_t rows, size_t depth, const float *panels, size_t outputs, float *y,
                      size_t y_stride, int add);
  /* The same over int8 rows: for each group g of 128, in order, y = fma((float)dot * x.scales[r, g], scale[n, g], y), where dot is the
   * exact sum over the group of x.q times the integer weight. */
  void (*product_q8)(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add);
  void (*product_q4)(const cw_q8_rows *x, size_t rows, const cw_q_panels *w, float *y, size_t y_stride, int add);

  /* Quantises one row in groups of `group` (a multiple of 32): m = max |x| of the group; below 1e-30 q = 0 and scale = 0, else
   * q = x * (127 / m) to the nearest even, scale = m / 127 without its last two bits. depth is a multiple of 32. The
   * layout is that of cw_q8_rows: group g goes to q + g stride group, scales[g stride], sums s to sums[s stride]; 1 is dense. */
  void (*quantise)(const float *x, size_t depth, size_t group, size_t stride, int8_t *q, float *scales, int32_t *sums);

  /* A segment of attention: 1 to CW_SEGMENT_BLOCKS blocks. For a row with seen > 0, over positions p < seen:
   *     u[p] = (float)dot * key_scale[p], dot = the exact sum of q (key - 64); the two lowest bits of a key scale count as 0
   *     top = max u * scale + 1; e[p] = exp2(fma(u[p], scale, -top)), at most 1/2; sum of e by 16 lanes: lane j adds, block after block,
   *         (e[j] + e[16+j]) + (e[32+j] + e[48+j]), 0 for positions not seen, then halves of the lanes are added: 8, 4, 2, 1
   *     V = max value_scale[p]; i[p] = e[p] * (value_scale[p] * (65534 / V)) to the nearest even, at most 32767; exact sums o of i value;
   *         v = (float)o * (V / 65534); where V < 1e-30: v = 0
   * is joined to what was before: h = ceil(top), new = max(highest, h), a = 2^(highest - new), b = exp2(top - h) * 2^(h - new), where whole
   *     powers below -126 are 0; total = total * a + sum * b, out = out * a + v * b, each operation rounded.                      */
  void (*attend_q8)(const cw_q8_queries *queries, const cw_q8_block *blocks, size_t count);

  /* y = x / sqrt(mean(x^2) + eps) * weight; weight NULL = 1; y may be x. */
  /* The sum of squares: 32 chains s[i mod 32] = fma(x[i], x[i], s[i mod 32]), then e[j] = (s[j] + s[8+j]) + (s[16+j] + s[24+j]), then
   * ((e[0]+e[4]) + (e[2]+e[6])) + ((e[1]+e[5]) + (e[3]+e[7])). */
  void (*rms)(const float *x, const float *weight, float eps, size_t size, float *y);

  void (*exp)(float *x, size_t size);                      /* exp(x), 0 below CW_EXP_MIN (-inf included); x <= CW_EXP_MAX */
  void (*silu)(float *x, size_t size);                     /* x sigmoid(x) = x / (1 + exp(-x)) */
  void (*silu_mul)(float *x, const float *y, size_t size); /* silu(x) y */
  void (*gelu)(float *x, size_t size);                     /* tanh form: 0.5 x (1 + tanh(0.7978845608 (x + 0.044715 x^3))) */
  void (*sigmoid)(float *x, size_t size);                  /* 1 / (1 + exp(-x)) */
  void (*softcap)(float *x, size_t size, float cap); /* cap tanh(x / cap) */

  /* y[r, x, c] = silu of the chain that begins at bias[c] and adds rows[r stride + i][x stride + j][c] weight[3 i + j, c] for i, j = 0..2
   * in order; sums[r, c] = sum over x of y[r, x, c], in order, from +0. */
  void (*depthwise)(const cw_depthwise *d);
  /* y[i] = x[i] gains[i] */
  void (*scale)(const float *x, const float *gains, size_t size, float *y);
} cw_kernels;

extern const cw_kernels cw_kernels_scalar, cw_kernels_avx2, cw_kernels_avx512vnni;

/* Constants of the polynomials, shared so that every set uses the same ones.
 * exp: x = n ln2 + r with n the nearest integer, |r| <= ln2/2; exp(r) - 1 by its Taylor series to r^7 (error below 6e-9 relative);
 * ln2 in two parts, the first with 9 trailing zero bits so that n * LN2_HIGH is exact (Cody and Waite). */
#define CW_LOG2E 1.44269504088896341f
#define CW_LN2_HIGH 0.693145751953125f
#define CW_LN2_LOW 1.42860682030941723e-6f
#define CW_ROUND 12582912.0f /* 1.5 * 2^23: adding and subtracting it rounds to the nearest integer */
#define CW_EXP_MIN -87.0f    /* below: exp(-87) = 1.6e-38, the last normal decade */
#define CW_EXP_MAX 88.0f
#define CW_EXP_C2 0.5f
#define CW_EXP_C3 0.166666666666666667f
#define CW_EXP_C4 0.0416666666666666667f
#define CW_EXP_C5 0.00833333333333333333f
#define CW_EXP_C6 0.00138888888888888889f
#define CW_EXP_C7 0.000198412698412698413f
/* exp2, for x <= 0, which counts as -126 where it is less: x = n + f with n = floor(x), exact for x <= -1; 2^f by the polynomial of degree 4 that
 * comes nearest to it in [0, 1] (error below 3e-6 relative) and is 1 at 0, times 2^n. Weights of attention end as 15 bits. */
#define CW_EXP2_MIN -126.0f
#define CW_EXP2_C1 0.69304484f
#define CW_EXP2_C2 0.24128020f
#define CW_EXP2_C3 0.05224247f
#define CW_EXP2_C4 0.01342668f
/* 1 + exp(-x) of sigmoid, silu and gelu, for x clamped to CW_SIGMOID_MIN..CW_SIGMOID_MAX: -x = n ln2 - g with n the nearest integer, and
 * exp(-g) = 1 - g + C2 g^2 + .. + C5 g^5, the coefficients with the least largest error, 1.1e-7 relative. One float does for ln2: it is
 * 2e-9 off, and |n| at most 127. The rounding constant adds 127 to n, so that its low bits, shifted, are 2^n. */
#define CW_SIGMOID_MIN -88.0f
#define CW_SIGMOID_MAX 87.0f
#define CW_SIGMOID_ROUND 12583039.0f /* 1.5 * 2^23 + 127 */
#define CW_LN2 0.693147180559945309f
#define CW_SIGMOID_C2 0.499992311f
#define CW_SIGMOID_C3 -0.166671156883f
#define CW_SIGMOID_C4 0.041890330613f
#define CW_SIGMOID_C5 -0.008312501013f
#define CW_GELU_SLOPE 1.5957691216f /* 2 * 0.7978845608, as 0.5 (1 + tanh u) = sigmoid(2u) */
#define CW_GELU_CUBE 0.0713548162726f /* CW_GELU_SLOPE * 0.044715: 2u = x (SLOPE + CUBE x^2) */
#define CW_TINY 1e-30f /* groups whose largest magnitude is below it count as zero */
#define CW_Q8_MOST 127.0f
#define CW_Q16_RANGE 65534.0f /* halves become 15 bits, 32767 */

/* The scale of a group with the largest magnitude m. Without its last two bits its product with CW_ROUND = 3 * 2^22 is exact. So an integer
 * sum that starts at the bits of CW_ROUND is itself the float CW_ROUND + sum (|sum| < 2^22: 128 * 64 * 127 fits), and one multiply-add
 * with scale and -CW_ROUND * scale gives (float)sum * scale, rounded once. */
static inline float cw_q8_scale(float m) {
  union {
    float value;
    uint32_t bits;
  } scale = {.value = m / CW_Q8_MOST};
  scale.bits &= ~(uint32_t)3;
  return scale.value;
}

#endif
