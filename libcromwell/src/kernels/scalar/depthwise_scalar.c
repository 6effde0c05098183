/* depthwise_scalar.c: 3x3 convolution of each channel by itself, the reference that other instruction sets must equal bit for bit. */
#include "kernels/scalar/kernels_scalar.h"
#include "kernels/scalar/math_scalar.h"

void cw_depthwise_from_scalar(const cw_depthwise *d, size_t first) {
  for (size_t r = 0; r < d->count; r++)
    for (size_t c = first; c < d->channels; c++) {
      float total = 0.0f;
      for (size_t x = 0; x < d->width; x++) {
        float sum = d->bias[c];
        for (size_t tap = 0; tap < 9; tap++) {
          const float *cell = d->rows[r * d->stride + tap / 3] + (x * d->stride + tap % 3) * CW_CELL;
          sum = fmaf(cell[c], d->weight[tap * d->taps + c], sum);
        }
        sum = sum / one_plus_exp(sum);
        d->y[(r * d->width + x) * CW_SLAB + c] = sum;
        total += sum;
      }
      d->sums[r * d->sums_stride + c] = total;
    }
}

void cw_depthwise_scalar(const cw_depthwise *d) { cw_depthwise_from_scalar(d, 0); }
