/* attend_q8_avx2.c: attention over a block of cached positions, up to four query rows at a time: keys and values are read once for all of
 * them. Weights of values become 16-bit integers, so that vpmaddwd adds two positions at a time and every sum is exact. */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/avx2/dots_avx2.h"
#include "kernels/avx2/kernels_avx2.h"
#include "kernels/avx2/math_avx2.h"

enum { EIGHTS = CW_BLOCK / 8, VALUES = 16 /* numbers of the head that a tile of rows takes at once */ };

/* What a tile of rows holds between steps. Each step passes over all rows: within a row a step waits on its predecessor's reductions
 * and divisions, and other rows fill that time. */
typedef struct {
  _Alignas(32) float e[CW_TILE_ROWS][CW_BLOCK];       /* scores, then 2^(score - highest), then times the scales of values */
  _Alignas(32) int16_t whole[CW_TILE_ROWS][CW_BLOCK]; /* e in units of unit */
  float unit[CW_TILE_ROWS];                           /* 0: every e is as good as nothing */
  float before[CW_TILE_ROWS];                         /* factor of what was before this block */
} state;

/* Scores of 16 positions from `position` on; those that a row may not see are -inf. */
CW_INLINE void score(const int rows, const cw_q8_queries *x, size_t r, const cw_q8_block *b, size_t position, state *s) {
  const __m256i places = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32((int32_t)position));
  __m256i dot[CW_TILE_ROWS * 2];
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++) dot[i * 2] = dot[i * 2 + 1] = _mm256_set1_epi32(-CW_OFFSET * x->sums[r + (size_t)i]);
  dots(rows, x->q + r * x->size, x->size, b->keys + position * x->size, x->size, 0, 0, dot);
#pragma GCC unroll 8
  for (int i = 0; i < rows * 2; i++) {
    const size_t row = r + (size_t)i / 2, half = (size_t)i % 2 * 8;
    __m256i place = _mm256_add_epi32(places, _mm256_set1_epi32((int32_t)half));
    __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(dot[i]), all(x->scales[row]));
    scaled = _mm256_mul_ps(scaled, _mm256_loadu_ps(b->key_scales + position + half));
    __m256 visible = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(x->seen[row]), place));
    _mm256_store_ps(s->e[i / 2] + position + half, _mm256_blendv_ps(all(-INFINITY), scaled, visible));
  }
}

/* Highest score so far, and the powers of two of scores below it. */
CW_INLINE void raise(const cw_q8_queries *x, size_t row, float e[CW_BLOCK], float *before) {
  __m256 score[EIGHTS], highest = all(x->highest[row]);
#pragma GCC unroll 8
  for (int i = 0; i < EIGHTS; i++) {
    score[i] = _mm256_load_ps(e + i * 8);
    highest = _mm256_max_ps(score[i], highest);
  }
  highest = all(most_of_eight(highest));
#pragma GCC unroll 8
  for (int i = 0; i < EIGHTS; i++) _mm256_store_ps(e + i * 8, exp2_eight(_mm256_sub_ps(score[i], highest)));
  *before = _mm256_cvtss_f32(exp2_eight(_mm256_sub_ps(all(x->highest[row]), highest)));
  x->highest[row] = _mm256_cvtss_f32(highest);
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

/* Total of e, and e as weights of values in whole numbers. */
CW_INLINE void weigh(const cw_q8_queries *x, size_t row, const float *value_scales, const float e[CW_BLOCK], int16_t whole[CW_BLOCK],
                     float *unit, float before) {
  __m256 weight[EIGHTS], most = _mm256_setzero_ps();
#pragma GCC unroll 8
  for (int i = 0; i < EIGHTS; i++) weight[i] = _mm256_load_ps(e + i * 8);
  x->total[row] = __builtin_fmaf(x->total[row], before, sum_of(weight));
#pragma GCC unroll 8
  for (int i = 0; i < EIGHTS; i++) {
    __m256 some = _mm256_cmp_ps(weight[i], _mm256_setzero_ps(), _CMP_NEQ_OQ); /* scales of positions not seen may be anything */
    weight[i] = _mm256_and_ps(some, _mm256_mul_ps(weight[i], _mm256_loadu_ps(value_scales + i * 8)));
    most = _mm256_max_ps(weight[i], most);
  }
  float largest = most_of_eight(most);
  int nothing = largest < CW_TINY;
  *unit = nothing ? 0.0f : largest / CW_Q16_MOST;
  __m256 inverse = all(nothing ? 0.0f : CW_Q16_MOST / largest);
#pragma GCC unroll 4
  for (int i = 0; i < EIGHTS; i += 2) {
    __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(weight[i], inverse)), high = _mm256_cvtps_epi32(_mm256_mul_ps(weight[i + 1], inverse));
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
CW_INLINE void add_values(const int rows, const cw_q8_queries *x, size_t r, const int8_t *values, size_t pairs, const state *s) {
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
        memcpy(&pair, &s->whole[i][p * 2], sizeof pair);
        __m256i both = _mm256_set1_epi32(pair);
        add_to(&sum[i * 2], _mm256_madd_epi16(low, both));
        add_to(&sum[i * 2 + 1], _mm256_madd_epi16(high, both));
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      size_t row = r + (size_t)i;
      if (x->seen[row] == 0) continue;
      give(x->out + row * x->size + d, sum[i * 2], s->unit[i], s->before[i]);
      give(x->out + row * x->size + d + 8, sum[i * 2 + 1], s->unit[i], s->before[i]);
    }
  }
}

CW_INLINE void tile(const int rows, const cw_q8_queries *x, size_t r, const cw_q8_block *b) {
  state s;
  size_t seen = 0;
  for (size_t i = r; i < r + (size_t)rows; i++) seen = x->seen[i] > seen ? x->seen[i] : seen;
  if (seen == 0) return;
  for (size_t p = 0; p < seen; p += CW_PANEL) score(rows, x, r, b, p, &s);
  for (size_t p = (seen + CW_PANEL - 1) / CW_PANEL * CW_PANEL; p < CW_BLOCK; p++) /* panels that no row may see */
    for (int i = 0; i < rows; i++) s.e[i][p] = -INFINITY;
  for (size_t i = 0; i < (size_t)rows; i++)
    if (x->seen[r + i] > 0) raise(x, r + i, s.e[i], &s.before[i]);
  for (size_t i = 0; i < (size_t)rows; i++)
    if (x->seen[r + i] > 0) weigh(x, r + i, b->value_scales, s.e[i], s.whole[i], &s.unit[i], s.before[i]);
    else memset(s.whole[i], 0, sizeof s.whole[i]);
  add_values(rows, x, r, b->values, (seen + 1) / 2, &s);
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
