/* gemv_avx2.c: one row times many panels, four panels at a time: 8 chains of fma hide their latency. */
#include <immintrin.h>

#include "kernels/avx2/kernels_avx2.h"

static inline __attribute__((always_inline)) void store(float *y, __m256 sum, int add) {
  _mm256_storeu_ps(y, add ? _mm256_add_ps(_mm256_loadu_ps(y), sum) : sum);
}

static inline __attribute__((always_inline)) void f32_panels(const float *x, size_t depth, const float *panels, size_t stride, float *y,
                                                             int add, const int COUNT) {
  __m256 sum[4][2];
#pragma GCC unroll 4
  for (int p = 0; p < COUNT; p++) sum[p][0] = sum[p][1] = _mm256_setzero_ps();
  for (size_t k = 0; k < depth; k++) {
    __m256 value = _mm256_broadcast_ss(x + k);
#pragma GCC unroll 4
    for (int p = 0; p < COUNT; p++) {
      const float *w = panels + (size_t)p * stride + k * CW_PANEL;
      sum[p][0] = _mm256_fmadd_ps(value, _mm256_loadu_ps(w), sum[p][0]);
      sum[p][1] = _mm256_fmadd_ps(value, _mm256_loadu_ps(w + 8), sum[p][1]);
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < COUNT; p++) {
    store(y + p * CW_PANEL, sum[p][0], add);
    store(y + p * CW_PANEL + 8, sum[p][1], add);
  }
}

void cw_gemv_f32_avx2(const float *x, size_t depth, const float *panels, size_t panel_stride, size_t panel_count, float *y, int add) {
  size_t p = 0;
  for (; p + 4 <= panel_count; p += 4) f32_panels(x, depth, panels + p * panel_stride, panel_stride, y + p * CW_PANEL, add, 4);
  for (; p + 2 <= panel_count; p += 2) f32_panels(x, depth, panels + p * panel_stride, panel_stride, y + p * CW_PANEL, add, 2);
  if (p < panel_count) f32_panels(x, depth, panels + p * panel_stride, panel_stride, y + p * CW_PANEL, add, 1);
}

/* Eight weights as floats: (float)q * scale. */
static inline __attribute__((always_inline)) __m256 weights(const int8_t *at, __m256 scale) {
  __m128i bytes = _mm_loadl_epi64((const __m128i *)at);
  return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), scale);
}

/* One step along k over COUNT panels. */
static inline __attribute__((always_inline)) void q8_step(const float *x, size_t depth, const int8_t *panels, size_t k, __m256 scale[2][2],
                                                          __m256 sum[2][2], const int COUNT) {
  __m256 value = _mm256_broadcast_ss(x + k);
#pragma GCC unroll 2
  for (int p = 0; p < COUNT; p++) {
    const int8_t *w = panels + ((size_t)p * depth + k) * CW_PANEL;
    sum[p][0] = _mm256_fmadd_ps(value, weights(w, scale[p][0]), sum[p][0]);
    sum[p][1] = _mm256_fmadd_ps(value, weights(w + 8, scale[p][1]), sum[p][1]);
  }
}

/* COUNT panels, while the next COUNT are fetched: a panel is about a page, where the hardware's own prefetching stops. */
static inline __attribute__((always_inline)) void q8_panels(const float *x, size_t depth, const int8_t *panels, const float *scales,
                                                            float *y, int add, const int COUNT) {
  size_t groups = (depth + CW_GROUP - 1) / CW_GROUP;
  __m256 sum[2][2];
#pragma GCC unroll 2
  for (int p = 0; p < COUNT; p++) sum[p][0] = sum[p][1] = _mm256_setzero_ps();
  for (size_t group = 0; group < groups; group++) {
    size_t k = group * CW_GROUP, end = k + CW_GROUP < depth ? k + CW_GROUP : depth;
    __m256 scale[2][2];
#pragma GCC unroll 2
    for (int p = 0; p < COUNT; p++) {
      scale[p][0] = _mm256_loadu_ps(scales + ((size_t)p * groups + group) * CW_PANEL);
      scale[p][1] = _mm256_loadu_ps(scales + ((size_t)p * groups + group) * CW_PANEL + 8);
    }
    for (; k + 4 <= end; k += 4) { /* a cache line of each panel */
#pragma GCC unroll 2
      for (int p = 0; p < COUNT; p++) _mm_prefetch((const char *)panels + ((size_t)(p + COUNT) * depth + k) * CW_PANEL, _MM_HINT_T0);
#pragma GCC unroll 4
      for (size_t step = 0; step < 4; step++) q8_step(x, depth, panels, k + step, scale, sum, COUNT);
    }
    for (; k < end; k++) q8_step(x, depth, panels, k, scale, sum, COUNT);
  }
#pragma GCC unroll 2
  for (int p = 0; p < COUNT; p++) {
    store(y + p * CW_PANEL, sum[p][0], add);
    store(y + p * CW_PANEL + 8, sum[p][1], add);
  }
}

void cw_gemv_q8_avx2(const float *x, size_t depth, const int8_t *panels, const float *scales, size_t panel_count, float *y, int add) {
  size_t groups = (depth + CW_GROUP - 1) / CW_GROUP, p = 0;
  /* Two panels: with conversion and scaling three operations share the two fma ports, so four chains keep them busy. */
  for (; p + 2 <= panel_count; p += 2)
    q8_panels(x, depth, panels + p * depth * CW_PANEL, scales + p * groups * CW_PANEL, y + p * CW_PANEL, add, 2);
  if (p < panel_count) q8_panels(x, depth, panels + p * depth * CW_PANEL, scales + p * groups * CW_PANEL, y + p * CW_PANEL, add, 1);
}

void cw_expand_q8_avx2(const int8_t *panel, const float *scales, size_t depth, float *out) {
  for (size_t start = 0; start < depth; start += CW_GROUP) {
    size_t end = start + CW_GROUP < depth ? start + CW_GROUP : depth;
    const float *scale = scales + start / CW_GROUP * CW_PANEL;
    __m256 low = _mm256_loadu_ps(scale), high = _mm256_loadu_ps(scale + 8);
    for (size_t k = start; k < end; k++) {
      _mm256_storeu_ps(out + k * CW_PANEL, weights(panel + k * CW_PANEL, low));
      _mm256_storeu_ps(out + k * CW_PANEL + 8, weights(panel + k * CW_PANEL + 8, high));
    }
  }
}
