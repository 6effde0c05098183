/* attend_q8_avx2.c: attention over a block of cached positions, up to four query rows at a time: keys and values are read once for all of
 * them. Weights of values become 16-bit integers, so that vpmaddwd adds two positions at a time and every sum is exact. */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/avx2/dots_avx2.h"
#include "kernels/avx2/kernels_avx2.h"
#include "kernels/avx2/math_avx2.h"

enum { EIGHTS = CW_BLOCK / 8, VALUES = 16 /* numbers of the head that a tile of rows takes at once */ };

/* Scores of the panels that some row may see: scores[r][position], the integers. */
CW_INLINE void score(const int rows, const cw_q8_queries *x, size_t r, const uint8_t *keys, size_t seen, int32_t (*scores)[CW_BLOCK]) {
  const int8_t *q = x->q + r * x->size;
  for (size_t p = 0; p < seen; p += CW_PANEL) {
    __m256i dot[CW_TILE_ROWS * 2];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) dot[i * 2] = dot[i * 2 + 1] = _mm256_set1_epi32(-CW_OFFSET * x->sums[r + (size_t)i]);
    dots(rows, q, x->size, keys + p * x->size, x->size, 0, 0, dot);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      _mm256_store_si256((__m256i *)(void *)&scores[i][p], dot[i * 2]);
      _mm256_store_si256((__m256i *)(void *)&scores[i][p + 8], dot[i * 2 + 1]);
    }
  }
}

/* Sum of e by the tree of kernels.h. */
CW_INLINE float sum_of(const __m256 e[EIGHTS]) {
  __m256 low = _mm256_add_ps(_mm256_add_ps(e[0], e[2]), _mm256_add_ps(e[4], e[6]));
  __m256 high = _mm256_add_ps(_mm256_add_ps(e[1], e[3]), _mm256_add_ps(e[5], e[7]));
  __m256 eight = _mm256_add_ps(low, high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* Softmax of row r: updates highest and total; leaves the weights of values in `whole`, their unit in *unit (0: all are nothing) and the
 * factor of what was before in *before. */
CW_INLINE void weigh(const cw_q8_queries *x, size_t r, const cw_q8_block *b, const int32_t *scores, int16_t *whole, float *unit,
                     float *before) {
  const __m256 scale = all(x->scales[r]), none = all(-INFINITY);
  const __m256i counts = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), seen = _mm256_set1_epi32(x->seen[r]);
  __m256 e[EIGHTS], highest = all(x->highest[r]);
#pragma GCC unroll 8
  for (int i = 0; i < EIGHTS; i++) {
    __m256 s = _mm256_cvtepi32_ps(_mm256_load_si256((const __m256i *)(const void *)(scores + i * 8)));
    s = _mm256_mul_ps(_mm256_mul_ps(s, scale), _mm256_loadu_ps(b->key_scales + i * 8));
    __m256i visible = _mm256_cmpgt_epi32(seen, _mm256_add_epi32(counts, _mm256_set1_epi32(i * 8)));
    e[i] = _mm256_blendv_ps(none, s, _mm256_castsi256_ps(visible));
    highest = _mm256_max_ps(e[i], highest);
  }
  highest = all(most_of_eight(highest));
  *before = _mm256_cvtss_f32(exp2_eight(_mm256_sub_ps(all(x->highest[r]), highest)));
#pragma GCC unroll 8
  for (int i = 0; i < EIGHTS; i++) e[i] = exp2_eight(_mm256_sub_ps(e[i], highest));
  x->total[r] = __builtin_fmaf(x->total[r], *before, sum_of(e));
  x->highest[r] = _mm256_cvtss_f32(highest);
  __m256 most = _mm256_setzero_ps();
#pragma GCC unroll 8
  for (int i = 0; i < EIGHTS; i++) {
    e[i] = _mm256_mul_ps(e[i], _mm256_loadu_ps(b->value_scales + i * 8));
    most = _mm256_max_ps(e[i], most);
  }
  float largest = most_of_eight(most);
  int nothing = largest < CW_TINY;
  *unit = nothing ? 0.0f : largest / CW_Q16_MOST;
  __m256 inverse = all(nothing ? 0.0f : CW_Q16_MOST / largest);
#pragma GCC unroll 4
  for (int i = 0; i < EIGHTS; i += 2) {
    __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(e[i], inverse)), high = _mm256_cvtps_epi32(_mm256_mul_ps(e[i + 1], inverse));
    __m256i sixteen = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    _mm256_store_si256((__m256i *)(void *)(whole + i * 8), sixteen);
  }
}

/* out = fma((float)sum, unit, out * before) for eight numbers; a unit of 0 leaves out * before. */
CW_INLINE void give(float *out, __m256i sum, float unit, float before) {
  __m256 old = _mm256_mul_ps(_mm256_loadu_ps(out), all(before));
  _mm256_storeu_ps(out, unit == 0.0f ? old : _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), all(unit), old));
}

/* Values of `pairs` pairs of positions, weighted and summed, 16 numbers of the head at a time. */
CW_INLINE void add_values(const int rows, const cw_q8_queries *x, size_t r, const int8_t *values, size_t pairs,
                          int16_t (*whole)[CW_BLOCK], const float *unit, const float *before) {
  for (size_t d = 0; d < x->size; d += VALUES) {
    __m256i sum[CW_TILE_ROWS * 2];
#pragma GCC unroll 8
    for (int i = 0; i < rows * 2; i++) sum[i] = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (size_t p = 0; p < pairs; p++) {
      const int8_t *at = values + (p * x->size + d) * 2;
      __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at));
      __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(at + 16)));
#pragma GCC unroll 4
      for (int i = 0; i < rows; i++) {
        int32_t pair;
        memcpy(&pair, &whole[i][p * 2], sizeof pair);
        __m256i both = _mm256_set1_epi32(pair);
        add_to(&sum[i * 2], _mm256_madd_epi16(low, both));
        add_to(&sum[i * 2 + 1], _mm256_madd_epi16(high, both));
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      size_t row = r + (size_t)i;
      if (x->seen[row] == 0) continue;
      give(x->out + row * x->size + d, sum[i * 2], unit[i], before[i]);
      give(x->out + row * x->size + d + 8, sum[i * 2 + 1], unit[i], before[i]);
    }
  }
}

CW_INLINE void tile(const int rows, const cw_q8_queries *x, size_t r, const cw_q8_block *b) {
  _Alignas(32) int32_t scores[CW_TILE_ROWS][CW_BLOCK];
  _Alignas(32) int16_t whole[CW_TILE_ROWS][CW_BLOCK];
  float unit[CW_TILE_ROWS], before[CW_TILE_ROWS];
  size_t seen = 0;
  for (int i = 0; i < rows; i++) seen = x->seen[r + (size_t)i] > seen ? x->seen[r + (size_t)i] : seen;
  if (seen == 0) return;
  memset(scores, 0, sizeof scores); /* panels that no row may see */
  memset(whole, 0, sizeof whole);   /* rows that may see nothing */
  score(rows, x, r, b->keys, seen, scores);
  for (int i = 0; i < rows; i++)
    if (x->seen[r + (size_t)i] > 0) weigh(x, r + (size_t)i, b, scores[i], whole[i], &unit[i], &before[i]);
  add_values(rows, x, r, b->values, (seen + 1) / 2, whole, unit, before);
}

void cw_attend_q8_avx2(const cw_q8_queries *queries, const cw_q8_block *block) {
  size_t tiles = (queries->rows + CW_TILE_ROWS - 1) / CW_TILE_ROWS;
  for (size_t t = 0; t < tiles; t++) { /* rows split evenly */
    size_t r = queries->rows * t / tiles, count = queries->rows * (t + 1) / tiles - r;
    if (count == 1) tile(1, queries, r, block);
    else if (count == 2) tile(2, queries, r, block);
    else if (count == 3) tile(3, queries, r, block);
    else tile(4, queries, r, block);
  }
}
