/* attend_avx512vnni.c: attention over a block of 64 positions, six query rows at a time: scores are 4 zmm a row, 16 positions each, and
 * the sums over values 4 zmm a row, 16 numbers of the head each, so that keys and widened values are loaded once for six rows. */
#include <immintrin.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"

enum { ROWS = 6, PARTS = CW_BLOCK / 16 };

/* 2^x as kernels.h describes. */
static inline __attribute__((always_inline)) __m512 exp2_all(__m512 x) {
  const __m512 round = _mm512_set1_ps(CW_ROUND);
  __m512 shifted = _mm512_add_ps(x, round), f = _mm512_sub_ps(x, _mm512_sub_ps(shifted, round));
  __m512 p = _mm512_set1_ps(CW_EXP2_C6);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C5));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C4));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C3));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C2));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C1));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  __m512i power = _mm512_slli_epi32(_mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127)), 23);
  return _mm512_maskz_mul_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(CW_EXP2_MIN), _CMP_GE_OQ), p, _mm512_castsi512_ps(power));
}

/* Halves added: 8, 4, 2, 1. */
static inline __attribute__((always_inline)) float sum_of(__m512 t) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(t), _mm512_extractf32x8_ps(t, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline __attribute__((always_inline)) float most_of(__m512 a, __m512 b, __m512 c, __m512 d) {
  __m512 all = _mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, d));
  __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline __m512i activation(const int8_t *q) {
  int32_t four;
  __builtin_memcpy(&four, q, sizeof four);
  return _mm512_set1_epi32(four);
}

/* dots[r][64]: q (key - 64). */
static inline __attribute__((always_inline)) void scores(const cw_q8_queries *q, size_t row, const cw_q8_block *b, int fetch,
                                                         int32_t dots[ROWS][CW_BLOCK], const int COUNT) {
  size_t steps = q->size / 4;
  __m512i sum[ROWS][PARTS];
#pragma GCC unroll 6
  for (int r = 0; r < COUNT; r++)
#pragma GCC unroll 4
    for (int part = 0; part < PARTS; part++) sum[r][part] = _mm512_set1_epi32(-CW_OFFSET * q->sums[row + (size_t)r]);
  const int8_t *x = q->q + row * q->size;
  for (size_t k = 0; k < steps; k++) {
    __m512i key[PARTS];
#pragma GCC unroll 4
    for (size_t part = 0; part < PARTS; part++) {
      key[part] = _mm512_loadu_si512(b->keys + (part * steps + k) * 64);
      if (fetch) _mm_prefetch((const char *)b->values + (part * steps + k) * 32, _MM_HINT_T0);
    }
#pragma GCC unroll 6
    for (int r = 0; r < COUNT; r++) {
      __m512i value = activation(x + (size_t)r * q->size + 4 * k);
#pragma GCC unroll 4
      for (int part = 0; part < PARTS; part++) sum[r][part] = _mm512_dpbusd_epi32(sum[r][part], key[part], value);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < COUNT; r++)
#pragma GCC unroll 4
    for (int part = 0; part < PARTS; part++) _mm512_store_si512(dots[r] + 16 * part, sum[r][part]);
}

/* What a row's softmax leaves for its values: weights, and by what the old and the new sums are multiplied. */
typedef struct {
  int16_t weight[CW_BLOCK] __attribute__((aligned(64)));
  float before, unit;
} row_weights;

static inline __attribute__((always_inline)) void softmax(const cw_q8_queries *q, size_t row, const cw_q8_block *b, const int32_t *dots,
                                                          row_weights *out) {
  uint64_t seen = q->seen[row] == CW_BLOCK ? ~0ull : (1ull << q->seen[row]) - 1;
  __m512 scale = _mm512_set1_ps(q->scales[row]), e[PARTS];
#pragma GCC unroll 4
  for (int part = 0; part < PARTS; part++) {
    __m512 s = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(dots + 16 * part)), scale);
    s = _mm512_mul_ps(s, _mm512_loadu_ps(b->key_scales + 16 * part));
    e[part] = _mm512_mask_blend_ps((__mmask16)(seen >> (16 * part)), _mm512_set1_ps(-__builtin_inff()), s);
  }
  float highest = most_of(e[0], e[1], e[2], e[3]);
  highest = highest > q->highest[row] ? highest : q->highest[row];
  __m512 top = _mm512_set1_ps(highest);
  float before = _mm512_cvtss_f32(exp2_all(_mm512_set1_ps(q->highest[row] - highest)));
#pragma GCC unroll 4
  for (int part = 0; part < PARTS; part++) e[part] = exp2_all(_mm512_sub_ps(e[part], top));
  float total = sum_of(_mm512_add_ps(_mm512_add_ps(e[0], e[1]), _mm512_add_ps(e[2], e[3])));
  q->total[row] = __builtin_fmaf(q->total[row], before, total);
  q->highest[row] = highest;
#pragma GCC unroll 4
  for (int part = 0; part < PARTS; part++) e[part] = _mm512_mul_ps(e[part], _mm512_loadu_ps(b->value_scales + 16 * part));
  float most = most_of(e[0], e[1], e[2], e[3]);
  __m512 inverse = _mm512_set1_ps(most < CW_TINY ? 0.0f : CW_Q16_MOST / most);
#pragma GCC unroll 4
  for (int part = 0; part < PARTS; part++) {
    __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(e[part], inverse));
    _mm256_store_si256((__m256i *)(out->weight + 16 * part), _mm512_cvtepi32_epi16(whole));
  }
  out->before = before;
  out->unit = most < CW_TINY ? 0.0f : most / CW_Q16_MOST;
}

/* out = out * before + unit * sum of weight value, for numbers 16 * first .. of the head, WIDE zmm of them. */
static inline __attribute__((always_inline)) void values(const cw_q8_queries *q, size_t row, const cw_q8_block *b, const row_weights *weights,
                                                         size_t first, const int COUNT, const int WIDE) {
  __m512i sum[ROWS][4];
#pragma GCC unroll 6
  for (int r = 0; r < COUNT; r++)
#pragma GCC unroll 4
    for (int v = 0; v < WIDE; v++) sum[r][v] = _mm512_setzero_si512();
  for (size_t pair = 0; pair < CW_BLOCK / 2; pair++) {
    __m512i value[4];
#pragma GCC unroll 4
    for (int v = 0; v < WIDE; v++)
      value[v] = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(b->values + (pair * q->size + (first + (size_t)v) * 16) * 2)));
#pragma GCC unroll 6
    for (int r = 0; r < COUNT; r++) {
      int32_t two;
      __builtin_memcpy(&two, weights[r].weight + 2 * pair, sizeof two);
      __m512i weight = _mm512_set1_epi32(two);
#pragma GCC unroll 4
      for (int v = 0; v < WIDE; v++) sum[r][v] = _mm512_dpwssd_epi32(sum[r][v], value[v], weight);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < COUNT; r++) {
    if (q->seen[row + (size_t)r] == 0) continue;
    float *out = q->out + (row + (size_t)r) * q->size + first * 16;
    __m512 before = _mm512_set1_ps(weights[r].before), unit = _mm512_set1_ps(weights[r].unit);
#pragma GCC unroll 4
    for (int v = 0; v < WIDE; v++) {
      __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(out + 16 * v), before);
      _mm512_storeu_ps(out + 16 * v, weights[r].unit == 0.0f ? scaled : _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][v]), unit, scaled));
    }
  }
}

static inline __attribute__((always_inline)) void rows(const cw_q8_queries *q, size_t row, const cw_q8_block *b, const int COUNT) {
  int32_t dots[ROWS][CW_BLOCK] __attribute__((aligned(64)));
  row_weights weights[ROWS];
  int any = 0;
  for (int r = 0; r < COUNT; r++) any |= q->seen[row + (size_t)r];
  if (any == 0) return;
  scores(q, row, b, row == 0, dots, COUNT);
  for (int r = 0; r < COUNT; r++) {
    if (q->seen[row + (size_t)r] > 0)
      softmax(q, row + (size_t)r, b, dots[r], &weights[r]);
    else
      __builtin_memset(weights[r].weight, 0, sizeof weights[r].weight);
  }
  size_t first = 0, wide = q->size / 16;
  for (; first + 4 <= wide; first += 4) values(q, row, b, weights, first, COUNT, 4);
  if (first < wide) values(q, row, b, weights, first, COUNT, 2);
}

void cw_attend_q8_avx512vnni(const cw_q8_queries *q, const cw_q8_block *b) {
  size_t row = 0;
  /* 7 rows are 4 + 3 and 8 are 4 + 4: small tiles run at a fraction of the rate. */
  for (; q->rows - row >= 9 || q->rows - row == 6; row += 6) rows(q, row, b, 6);
  for (; q->rows - row == 7 || q->rows - row == 8 || q->rows - row == 4; row += 4) rows(q, row, b, 4);
  switch (q->rows - row) {
    case 5: rows(q, row, b, 5); break;
    case 3: rows(q, row, b, 3); break;
    case 2: rows(q, row, b, 2); break;
    case 1: rows(q, row, b, 1); break;
    default: break;
  }
}
