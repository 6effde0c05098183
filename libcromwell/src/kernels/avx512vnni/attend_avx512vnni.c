/* attend_avx512vnni.c: attention over a block of 64 cached positions, four query rows at a time: 16 sums for the scores of 4 rows x 64
 * positions, 16 for 4 rows x 64 numbers of the values. Row-wise maxima and sums of four rows are joined together. */
#include <immintrin.h>
#include <string.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  BATCH = 4,       /* rows computed together: the query heads of a key head */
  PARTS = 4,       /* vectors of 16 positions a block */
  PAIRS = 32,      /* of positions a block */
  CHUNK = 64,      /* numbers of the head summed at once */
  MOST_SIZE = 128, /* head size up to which values are converted once for many rows: 16 KiB */
  MANY_ROWS = 8    /* from which that pays */
};

/* Rows that see something; where fewer than four are left, the first one again: it is computed twice and kept once. */
typedef struct {
  size_t rows[BATCH], count;
} batch;

/* As assembly because gcc 12 copies many sums through the stack otherwise. */
INLINE void add_bytes(__m512i *sums, __m512i u, __m512i q) { __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(u), "v"(q)); }
INLINE void add_words(__m512i *sums, __m512i v, __m512i w) { __asm__("vpdpwssd %2, %1, %0" : "+v"(*sums) : "v"(v), "v"(w)); }

INLINE int32_t four(const int8_t *q) {
  int32_t bits;
  memcpy(&bits, q, sizeof bits);
  return bits;
}

/* 2^x for x <= 0: x - round(x) is one instruction, and 2^n is added to the exponent, which never leaves its range as 2^f >= 1 for n = -126. */
INLINE __m512 exp2_sixteen(__m512 x, __mmask16 wanted) {
  __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512i n = _mm512_castps_si512(_mm512_add_ps(x, _mm512_set1_ps(CW_ROUND))); /* its low bits */
  __m512 p = _mm512_set1_ps(CW_EXP2_C6);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C5));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C4));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C3));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C2));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C1));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  __mmask16 normal = _mm512_mask_cmp_ps_mask(wanted, x, _mm512_set1_ps(CW_EXP2_MIN), _CMP_GE_OQ);
  return _mm512_castsi512_ps(_mm512_maskz_add_epi32(normal, _mm512_castps_si512(p), _mm512_slli_epi32(n, 23)));
}

/* Joins the 16 lanes of each of four vectors, halves first (8, 4, 2, 1): lane r of the result is that of row r. */
#define JOIN(NAME, OPERATION)                                                                                        \
  INLINE __m128 NAME(const __m512 x[BATCH]) {                                                                        \
    __m512 low = OPERATION(_mm512_shuffle_f32x4(x[0], x[1], 0x44), _mm512_shuffle_f32x4(x[0], x[1], 0xee));          \
    __m512 high = OPERATION(_mm512_shuffle_f32x4(x[2], x[3], 0x44), _mm512_shuffle_f32x4(x[2], x[3], 0xee));         \
    __m512 all = OPERATION(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));            \
    all = OPERATION(all, _mm512_permute_ps(all, 0x4e));                                                              \
    all = OPERATION(all, _mm512_permute_ps(all, 0xb1));                                                              \
    return _mm512_castps512_ps128(_mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), all)); \
  }
JOIN(largest, _mm512_max_ps)
JOIN(total_of, _mm512_add_ps)

INLINE __m512 lane_everywhere(__m128 x, size_t lane) {
  return _mm512_permutexvar_ps(_mm512_set1_epi32((int)lane), _mm512_castps128_ps512(x));
}

INLINE __m128 gather(const float *x, const batch *b) {
  return _mm_setr_ps(x[b->rows[0]], x[b->rows[1]], x[b->rows[2]], x[b->rows[3]]);
}

INLINE void scatter(float *x, const batch *b, __m128 values) {
  float lanes[BATCH];
  _mm_storeu_ps(lanes, values);
  for (size_t i = 0; i < b->count; i++) x[b->rows[i]] = lanes[i];
}

/* Scores of four rows, with the values asked for meanwhile. */
INLINE void score(const cw_q8_queries *q, const batch *b, const cw_q8_block *block, __m512 s[BATCH][PARTS]) {
  const size_t steps = q->size / 4;
  const int8_t *row[BATCH];
  __m512i dots[BATCH][PARTS];
#pragma GCC unroll 4
  for (size_t r = 0; r < BATCH; r++) {
    row[r] = q->q + b->rows[r] * q->size;
#pragma GCC unroll 4
    for (size_t p = 0; p < PARTS; p++) dots[r][p] = _mm512_set1_epi32(-CW_OFFSET * q->sums[b->rows[r]]);
  }
  for (size_t k = 0; k < steps; k++) {
    __m512i u[PARTS];
#pragma GCC unroll 4
    for (size_t p = 0; p < PARTS; p++) {
      u[p] = _mm512_loadu_si512(block->keys + (p * steps + k) * 64);
      _mm_prefetch((const char *)block->values + (p * steps + k) * 64, _MM_HINT_T0);
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < BATCH; r++) {
      __m512i four_q = _mm512_set1_epi32(four(row[r] + k * 4));
#pragma GCC unroll 4
      for (size_t p = 0; p < PARTS; p++) add_bytes(&dots[r][p], u[p], four_q);
    }
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < BATCH; r++) {
    __m512 scale = _mm512_set1_ps(q->scales[b->rows[r]]);
#pragma GCC unroll 4
    for (size_t p = 0; p < PARTS; p++)
      s[r][p] = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(dots[r][p]), scale), _mm512_loadu_ps(block->key_scales + p * 16));
  }
}

/* Turns scores into weights of the values, 16 bits each, in the order of pack(): weights[row][32] pairs. Updates highest and total; gives
 * what the old sums and the new ones are multiplied by. ALL: every row sees the whole block. */
INLINE void weigh(const int ALL, const cw_q8_queries *q, const batch *b, const cw_q8_block *block, __m512 s[BATCH][PARTS],
                  int32_t weights[BATCH][PAIRS], __m128 *old, __m128 *unit) {
  __m512 most[BATCH], sum[BATCH];
  __mmask16 seen[BATCH][PARTS];
#pragma GCC unroll 4
  for (size_t r = 0; r < BATCH; r++) {
    const uint64_t bits = ALL || q->seen[b->rows[r]] >= CW_BLOCK ? ~(uint64_t)0 : ((uint64_t)1 << q->seen[b->rows[r]]) - 1;
#pragma GCC unroll 4
    for (size_t p = 0; p < PARTS; p++) seen[r][p] = ALL ? 0xffff : (__mmask16)(bits >> (16 * p));
    if (ALL) {
      most[r] = _mm512_max_ps(_mm512_max_ps(s[r][0], s[r][1]), _mm512_max_ps(s[r][2], s[r][3]));
    } else {
      most[r] = _mm512_set1_ps(-__builtin_inff());
#pragma GCC unroll 4
      for (size_t p = 0; p < PARTS; p++) most[r] = _mm512_mask_max_ps(most[r], seen[r][p], most[r], s[r][p]);
    }
  }
  const __m128 before = gather(q->highest, b), now = _mm_max_ps(largest(most), before);
  *old = _mm512_castps512_ps128(exp2_sixteen(_mm512_castps128_ps512(_mm_sub_ps(before, now)), 0xffff));
#pragma GCC unroll 4
  for (size_t r = 0; r < BATCH; r++) {
    const __m512 top = lane_everywhere(now, r);
#pragma GCC unroll 4
    for (size_t p = 0; p < PARTS; p++) s[r][p] = exp2_sixteen(_mm512_sub_ps(s[r][p], top), seen[r][p]);
    sum[r] = _mm512_add_ps(_mm512_add_ps(s[r][0], s[r][1]), _mm512_add_ps(s[r][2], s[r][3]));
#pragma GCC unroll 4
    for (size_t p = 0; p < PARTS; p++) s[r][p] = _mm512_mul_ps(s[r][p], _mm512_maskz_loadu_ps(seen[r][p], block->value_scales + p * 16));
    most[r] = _mm512_max_ps(_mm512_max_ps(s[r][0], s[r][1]), _mm512_max_ps(s[r][2], s[r][3]));
  }
  scatter(q->highest, b, now);
  scatter(q->total, b, _mm_fmadd_ps(gather(q->total, b), *old, total_of(sum)));

  /* Rows without weight get weights of 0 and a unit of -0, which leaves even the sign of a zero as it is. */
  const __m128 peak = largest(most), range = _mm_set1_ps(CW_Q16_MOST);
  const __mmask8 any = _mm_cmp_ps_mask(peak, _mm_set1_ps(CW_TINY), _CMP_GE_OQ);
  const __m128 inverse = _mm_maskz_div_ps(any, range, peak);
  *unit = _mm_mask_div_ps(_mm_set1_ps(-0.0f), any, peak, range);
#pragma GCC unroll 4
  for (size_t r = 0; r < BATCH; r++) {
    const __m512 factor = lane_everywhere(inverse, r);
    __m512i i[PARTS];
#pragma GCC unroll 4
    for (size_t p = 0; p < PARTS; p++) i[p] = _mm512_cvtps_epi32(_mm512_mul_ps(s[r][p], factor));
    _mm512_store_si512(weights[r], _mm512_packs_epi32(i[0], i[1]));
    _mm512_store_si512(weights[r] + 16, _mm512_packs_epi32(i[2], i[3]));
  }
}

/* Weights are stored in fours of pairs, as packs_epi32 leaves them: of four, two come from one vector of 16 positions (8 pairs) and two from
 * the next. Pair 2 i, 2 i + 1, 8 + 2 i, 9 + 2 i of each half for i = 0..3. */
INLINE size_t pair_of(size_t at) { return at / 16 * 16 + at % 16 / 4 * 2 + at % 4 / 2 * 8 + at % 2; }

/* Values as 16 bits in the order of the weights: wide[chunk][32][64][2]. */
static void widen(const int8_t *values, size_t size, int16_t *wide) {
  for (size_t d = 0; d < size; d += CHUNK)
    for (size_t at = 0; at < PAIRS; at++, wide += CHUNK * 2)
      for (size_t i = 0; i < CHUNK && d + i < size; i += 16) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(values + (pair_of(at) * size + d + i) * 2));
        _mm512_store_si512(wide + i * 2, _mm512_cvtepi8_epi16(bytes));
      }
}

/* out = old out + unit sums, for VECTORS * 16 numbers from d on. `wide`: values as 16 bits, or NULL. */
INLINE void add_values(const size_t VECTORS, const int WIDE, const cw_q8_queries *q, const batch *b, const int8_t *values, const int16_t *wide,
                       size_t d, const int32_t weights[BATCH][PAIRS], __m128 old, __m128 unit) {
  __m512i sums[BATCH][CHUNK / 16];
#pragma GCC unroll 4
  for (size_t r = 0; r < BATCH; r++)
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++) sums[r][v] = _mm512_setzero_si512();
  for (size_t at = 0; at < PAIRS; at++) {
    __m512i value[CHUNK / 16];
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++) {
      const int8_t *bytes = values + (pair_of(at) * q->size + d + v * 16) * 2;
      value[v] = WIDE ? _mm512_load_si512(wide + at * CHUNK * 2 + v * 32)
                      : _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)bytes));
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < BATCH; r++) {
      __m512i weight = _mm512_set1_epi32(weights[r][at]);
#pragma GCC unroll 4
      for (size_t v = 0; v < VECTORS; v++) add_words(&sums[r][v], value[v], weight);
    }
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < BATCH; r++) {
    if (r >= b->count) break;
    const __m512 a = lane_everywhere(old, r), u = lane_everywhere(unit, r);
    float *out = q->out + b->rows[r] * q->size + d;
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++) {
      __m512 kept = _mm512_mul_ps(_mm512_loadu_ps(out + v * 16), a);
      _mm512_storeu_ps(out + v * 16, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r][v]), u, kept));
    }
  }
}

INLINE void attend_batch(const int ALL, const int WIDE, const cw_q8_queries *q, const batch *b, const cw_q8_block *block, const int16_t *wide) {
  __m512 s[BATCH][PARTS];
  int32_t weights[BATCH][PAIRS] __attribute__((aligned(64)));
  __m128 old, unit;
  score(q, b, block, s);
  weigh(ALL, q, b, block, s, weights, &old, &unit);
  size_t d = 0;
  for (; d + CHUNK <= q->size; d += CHUNK)
    add_values(4, WIDE, q, b, block->values, wide + d * PAIRS * 2, d, weights, old, unit);
  if (d < q->size) add_values(2, WIDE, q, b, block->values, wide + d * PAIRS * 2, d, weights, old, unit);
}

#define ATTEND(NAME, ALL, WIDE)                                                                                    \
  static void NAME(const cw_q8_queries *q, const batch *b, const cw_q8_block *block, const int16_t *wide) {        \
    attend_batch(ALL, WIDE, q, b, block, wide);                                                                    \
  }
ATTEND(attend_all_wide, 1, 1)
ATTEND(attend_some_wide, 0, 1)
ATTEND(attend_all, 1, 0)
ATTEND(attend_some, 0, 0)

void cw_attend_q8_avx512vnni(const cw_q8_queries *q, const cw_q8_block *block) {
  int16_t wide[MOST_SIZE * PAIRS * 2] __attribute__((aligned(64)));
  const int is_wide = q->rows >= MANY_ROWS && q->size <= MOST_SIZE;
  if (is_wide) widen(block->values, q->size, wide);
  for (size_t row = 0; row < q->rows;) {
    batch b = {.count = 0};
    int all = 1;
    for (; row < q->rows && b.count < BATCH; row++) {
      if (q->seen[row] == 0) continue;
      all &= q->seen[row] >= CW_BLOCK;
      b.rows[b.count++] = row;
    }
    if (b.count == 0) return;
    for (size_t i = b.count; i < BATCH; i++) b.rows[i] = b.rows[0];
    if (is_wide)
      (all ? attend_all_wide : attend_some_wide)(q, &b, block, wide);
    else
      (all ? attend_all : attend_some)(q, &b, block, wide);
  }
}
