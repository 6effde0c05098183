/* depthwise_avx512vnni.c: 3x3 convolution of each channel by itself, sixteen channels and four cells at a time: the weights stay in registers, and
 * the three rows of sixteen channels that are read in L1 from one row of the result to the next. */
#include <immintrin.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"
#include "kernels/avx512vnni/math_avx512vnni.h"
#include "kernels/scalar/kernels_scalar.h"

enum { CELLS = 4, LANES = 16 };

#define INLINE static inline __attribute__((always_inline))

/* Sixteen channels of COUNT cells: the three rows at the first tap of the first cell. The sum of the row goes on in `total`. */
INLINE void cells(const size_t COUNT, const size_t STRIDE, const float *const row[3], const __m512 weight[9], __m512 bias, float *y,
                  __m512 *total) {
  __m512 sum[CELLS];
#pragma GCC unroll 4
  for (size_t x = 0; x < COUNT; x++) sum[x] = bias;
#pragma GCC unroll 9
  for (size_t tap = 0; tap < 9; tap++)
#pragma GCC unroll 4
    for (size_t x = 0; x < COUNT; x++)
      sum[x] = _mm512_fmadd_ps(_mm512_loadu_ps(row[tap / 3] + (x * STRIDE + tap % 3) * CW_CELL), weight[tap], sum[x]);
#pragma GCC unroll 4
  for (size_t x = 0; x < COUNT; x++) {
    sum[x] = silu_sixteen(sum[x]);
    _mm512_storeu_ps(y + x * CW_SLAB, sum[x]);
    *total = _mm512_add_ps(*total, sum[x]);
  }
}

INLINE void channels(const size_t STRIDE, const cw_depthwise *d, size_t c) {
  __m512 weight[9], bias = _mm512_loadu_ps(d->bias + c);
#pragma GCC unroll 9
  for (size_t tap = 0; tap < 9; tap++) weight[tap] = _mm512_loadu_ps(d->weight + tap * d->taps + c);
  for (size_t r = 0; r < d->count; r++) {
    const float *const *rows = d->rows + r * STRIDE, *row[3] = {rows[0] + c, rows[1] + c, rows[2] + c};
    float *y = d->y + r * d->width * CW_SLAB + c;
    __m512 total = _mm512_setzero_ps();
    size_t x = 0;
    for (; x + CELLS <= d->width; x += CELLS, y += CELLS * CW_SLAB) {
      cells(CELLS, STRIDE, row, weight, bias, y, &total);
      for (size_t i = 0; i < 3; i++) row[i] += CELLS * STRIDE * CW_CELL;
    }
    for (; x < d->width; x++, y += CW_SLAB) {
      cells(1, STRIDE, row, weight, bias, y, &total);
      for (size_t i = 0; i < 3; i++) row[i] += STRIDE * CW_CELL;
    }
    _mm512_storeu_ps(d->sums + r * d->sums_stride + c, total);
  }
}

void cw_depthwise_avx512vnni(const cw_depthwise *d) {
  size_t c = 0;
  for (; c + LANES <= d->channels; c += LANES)
    if (d->stride == 1)
      channels(1, d, c);
    else
      channels(2, d, c);
  if (c < d->channels) cw_depthwise_from_scalar(d, c);
}
