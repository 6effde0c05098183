/* attend_q8_avx2.c: attention over a segment of up to 512 cached positions. Three passes over the rows at hand: scores, block after block;
 * weights of the values, row after row; values, block after block with their sums kept in between. A block is in L1 while all rows meet
 * it, scores and weights stay in L2. Weights of values are 16-bit integers, so that vpmaddwd adds two positions at a time and every sum is
 * exact. */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/avx2/dots_avx2.h"
#include "kernels/avx2/kernels_avx2.h"
#include "kernels/avx2/math_avx2.h"

enum {
  ROWS = 48,         /* met by a block while it is in L1 */
  EIGHTS = CW_BLOCK / 8,
  PAIRS = CW_BLOCK / 2,
  NUMBERS = 16,      /* of the head, that a tile of rows takes at once */
  MOST_SIZE = 256,   /* head size */
  STRIDE = CW_SEGMENT + 64, /* floats of a row of scores: rows are spread over all sets of L1 */
  ROUND_BITS = 0x4b400000   /* of CW_ROUND: as long as dots are below 2^22, the float with these bits + dot is CW_ROUND + dot */
};

/* What the passes hand on. */
typedef struct {
  _Alignas(32) float scores[ROWS][STRIDE];     /* dot times key scale; then the weights, 16 bits each, from the beginning of each row */
  _Alignas(32) int32_t sums[ROWS * MOST_SIZE]; /* of values: [rows, D] */
  _Alignas(32) int16_t wide[MOST_SIZE * CW_BLOCK];
  _Alignas(32) float lanes[ROWS][8];           /* largest scores so far */
  _Alignas(32) float gains[CW_SEGMENT];        /* value scales in units of gains_unit, right for rows that see gains_seen positions */
  size_t gains_seen;
  float gains_unit;
  float unit[ROWS], before[ROWS], after[ROWS]; /* factors of what was before this segment, and of the segment */
} room;

CW_INLINE size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* All ones where the row sees one of eight positions of block `index`, from position 8 `eighth` of it on. */
CW_INLINE __m256i visible(size_t seen, size_t index, int eighth) {
  const int32_t left = (int32_t)seen - (int32_t)(index * CW_BLOCK) - eighth * 8;
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* ---- Scores ------------------------------------------------------------------------------------------------------------------------- */

/* Scores of a tile of rows over block `index`, and their largest in each lane. Sums begin at the bits of CW_ROUND: they are floats,
 * CW_ROUND + dot, and CW_ROUND times the scale comes off in the multiplication. */
CW_INLINE void score(const int rows, const cw_q8_queries *x, size_t r, const cw_q8_block *b, size_t index, room *s) {
  int every = 1;
  for (int i = 0; i < rows; i++) every &= x->seen[r + (size_t)i] >= (index + 1) * CW_BLOCK;
  for (int panel = 0; panel < CW_BLOCK / CW_PANEL; panel++) {
    __m256i dot[CW_TILE_ROWS * 2];
    __m256 scales[2], offsets[2];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) dot[i * 2] = dot[i * 2 + 1] = _mm256_set1_epi32(ROUND_BITS - CW_OFFSET * x->sums[r + (size_t)i]);
    dots(rows, x->q + r * x->size, x->size, b->keys + (size_t)panel * CW_PANEL * x->size, x->size, 0, 0, dot);
    for (int half = 0; half < 2; half++) {
      __m256 scale = _mm256_loadu_ps(b->key_scales + panel * CW_PANEL + half * 8);
      scales[half] = _mm256_and_ps(scale, _mm256_castsi256_ps(_mm256_set1_epi32(~3)));
      offsets[half] = _mm256_mul_ps(scales[half], all(CW_ROUND));
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      float *to = s->scores[r + (size_t)i] + index * CW_BLOCK + panel * CW_PANEL;
      __m256 low = _mm256_fmsub_ps(_mm256_castsi256_ps(dot[i * 2]), scales[0], offsets[0]);
      __m256 high = _mm256_fmsub_ps(_mm256_castsi256_ps(dot[i * 2 + 1]), scales[1], offsets[1]);
      _mm256_store_ps(to, low);
      _mm256_store_ps(to + 8, high);
      if (!every) {
        const size_t seen = x->seen[r + (size_t)i];
        low = _mm256_blendv_ps(all(-INFINITY), low, _mm256_castsi256_ps(visible(seen, index, panel * 2)));
        high = _mm256_blendv_ps(all(-INFINITY), high, _mm256_castsi256_ps(visible(seen, index, panel * 2 + 1)));
      }
      float *lanes = s->lanes[r + (size_t)i];
      _mm256_store_ps(lanes, _mm256_max_ps(low, _mm256_max_ps(high, _mm256_load_ps(lanes))));
    }
  }
}

/* ---- Weights ------------------------------------------------------------------------------------------------------------------------ */

/* Value scales as whole-number weights need them, for rows that see `seen` positions; 0 beyond, where scales may be anything. */
static void set_gains(size_t seen, const cw_q8_block *blocks, room *s) {
  __m256 most = _mm256_setzero_ps();
  const size_t end = (seen + CW_BLOCK - 1) / CW_BLOCK * CW_BLOCK;
  for (size_t p = 0; p < end; p += 8) {
    __m256i some = visible(seen, p / CW_BLOCK, (int)(p % CW_BLOCK / 8));
    __m256 scales = _mm256_maskload_ps(blocks[p / CW_BLOCK].value_scales + p % CW_BLOCK, some);
    _mm256_store_ps(s->gains + p, scales);
    most = _mm256_max_ps(scales, most);
  }
  const float largest = most_of_eight(most);
  const int nothing = largest < CW_TINY;
  const __m256 inverse = all(nothing ? 0.0f : CW_Q16_RANGE / largest);
  for (size_t p = 0; p < end; p += 8) _mm256_store_ps(s->gains + p, _mm256_mul_ps(_mm256_load_ps(s->gains + p), inverse));
  s->gains_unit = nothing ? 0.0f : largest / CW_Q16_RANGE;
  s->gains_seen = seen;
}

/* Scores [64] become weights [64], which may begin at the same place; adds e to the lower and upper 8 of 16 lanes. ALL: the row sees the
 * whole block. */
CW_INLINE void weigh_block(const int ALL, size_t seen, size_t index, const float *scores, __m256 scale, __m256 top, const float *gains,
                           int16_t *weights, __m256 sum[2]) {
  __m256 lane[2][4];
#pragma GCC unroll 4
  for (int i = 0; i < EIGHTS; i += 2) {
    __m256i whole[2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
      __m256 e = exp2_eight(_mm256_fmsub_ps(_mm256_load_ps(scores + (i + half) * 8), scale, top));
      if (!ALL) e = _mm256_and_ps(e, _mm256_castsi256_ps(visible(seen, index, i + half)));
      whole[half] = _mm256_cvtps_epi32(_mm256_mul_ps(e, _mm256_load_ps(gains + (i + half) * 8)));
      lane[half][i / 2] = e;
    }
    _mm256_store_si256((__m256i *)(void *)(weights + i * 8), _mm256_packs_epi32(whole[0], whole[1]));
  }
#pragma GCC unroll 2
  for (int half = 0; half < 2; half++) {
    __m256 *e = lane[half];
    sum[half] = _mm256_add_ps(sum[half], _mm256_add_ps(_mm256_add_ps(e[0], e[1]), _mm256_add_ps(e[2], e[3])));
  }
}

/* 2^n for whole n <= 0, 0 below -126 and for what is no number. */
static float power_of_two(float n) {
  const int32_t bits = n >= CW_EXP2_MIN ? ((int32_t)n + 127) << 23 : 0;
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
}

/* Weights of a row over all blocks; highest and total joined with those of the segment. */
static void weigh_row(const cw_q8_queries *x, size_t row, const cw_q8_block *blocks, size_t count, room *s) {
  const size_t seen = x->seen[row];
  int16_t *weights = (int16_t *)(void *)s->scores[row];
  if (seen == 0) {
    memset(weights, 0, count * CW_BLOCK * sizeof *weights);
    return;
  }
  if (seen != s->gains_seen) set_gains(seen, blocks, s);
  const float *scores = s->scores[row];
  const float top = most_of_eight(_mm256_load_ps(s->lanes[row])) * x->scales[row] + 1.0f, h = ceilf(top);
  const __m256 scale = all(x->scales[row]), tops = all(top);
  __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  size_t i = 0;
  for (; i < seen / CW_BLOCK; i++)
    weigh_block(1, seen, i, scores + i * CW_BLOCK, scale, tops, s->gains + i * CW_BLOCK, weights + i * CW_BLOCK, sum);
  if (seen % CW_BLOCK != 0) {
    weigh_block(0, seen, i, scores + i * CW_BLOCK, scale, tops, s->gains + i * CW_BLOCK, weights + i * CW_BLOCK, sum);
    i++;
  }
  memset(weights + i * CW_BLOCK, 0, (count - i) * CW_BLOCK * sizeof *weights);
  const __m256 eight = _mm256_add_ps(sum[0], sum[1]);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  const float total = _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two))), highest = x->highest[row], now = highest > h ? highest : h;
  s->unit[row] = s->gains_unit;
  s->before[row] = power_of_two(highest - now);
  s->after[row] = _mm256_cvtss_f32(exp2_eight(all(top - h))) * power_of_two(h - now);
  x->total[row] = x->total[row] * s->before[row] + total * s->after[row];
  x->highest[row] = now;
}

/* ---- Values ------------------------------------------------------------------------------------------------------------------------- */

/* Values as 16 bits: [D / 16][32][16][2], pairs in the order of the weights, as packs_epi32 leaves them: of 8 pairs 0, 1, 4, 5, 2, 3, 6, 7. */
static void widen(const int8_t *values, size_t size, int16_t *wide) {
  static const size_t EIGHT[8] = {0, 1, 4, 5, 2, 3, 6, 7};
  for (size_t d = 0; d < size; d += NUMBERS)
    for (size_t pair = 0; pair < PAIRS; pair += 8)
#pragma GCC unroll 8
      for (size_t i = 0; i < 8; i++, wide += NUMBERS * 2) {
        const int8_t *from = values + ((pair + EIGHT[i]) * size + d) * 2;
        __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)from));
        __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(from + 16)));
        _mm256_store_si256((__m256i *)(void *)wide, low);
        _mm256_store_si256((__m256i *)(void *)(wide + 16), high);
      }
}

#define WORDS(at, row, low, high)                                                                                      \
  "vpbroadcastd " row "*%c[stride]+" at "(%[weights]), %%ymm10\n\t vpmaddwd %%ymm10, %%ymm8, %%ymm11\n\t"             \
  "vpmaddwd %%ymm10, %%ymm9, %%ymm12\n\t vpaddd %%ymm11, %%ymm" low ", %%ymm" low "\n\t"                              \
  "vpaddd %%ymm12, %%ymm" high ", %%ymm" high "\n\t"
#define PAIR(value, at)                                                                                                \
  "vmovdqa " value "(%[wide]), %%ymm8\n\t vmovdqa 32+" value "(%[wide]), %%ymm9\n\t"                                  \
  WORDS(at, "0", "0", "1") WORDS(at, "1", "2", "3") WORDS(at, "2", "4", "5") WORDS(at, "3", "6", "7")
#define FROM(row, low, high) "vmovdqa " row ", %%ymm" low "\n\t vmovdqa 32+" row ", %%ymm" high "\n\t"
#define TO(row, low, high) "vmovdqa %%ymm" low ", " row "\n\t vmovdqa %%ymm" high ", 32+" row "\n\t"
#define ALL_ROWS(MOVE)                                                                                                 \
  MOVE("(%[sums])", "0", "1") MOVE("(%[sums],%[size],4)", "2", "3") MOVE("(%[sums],%[size],8)", "4", "5") MOVE("(%[last])", "6", "7")

/* sums += weights of 4 rows times 16 numbers of the values, over a block. Assembly because gcc 12 keeps eight sums partly on the stack. */
CW_INLINE void add_values(const int16_t *wide, const float *weights, size_t size, int32_t *sums) {
  size_t pairs = PAIRS;
  __asm__ volatile(ALL_ROWS(FROM) ".p2align 4\n\t 1:\n\t" PAIR("0", "0") PAIR("64", "4")
                   "add $128, %[wide]\n\t add $8, %[weights]\n\t sub $2, %[pairs]\n\t jnz 1b\n\t" ALL_ROWS(TO)
                   : [wide] "+&r"(wide), [weights] "+&r"(weights), [pairs] "+&r"(pairs)
                   : [sums] "r"(sums), [last] "r"(sums + 3 * size), [size] "r"(size), [stride] "i"(STRIDE * sizeof(float))
                   : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12");
}

/* out = out * before + (sums * unit) * after */
static void give(const int32_t *sums, size_t size, float before, float unit, float after, float *out) {
  for (size_t d = 0; d < size; d += 8) {
    __m256 added = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_load_si256((const __m256i *)(const void *)(sums + d))), all(unit));
    __m256 kept = _mm256_mul_ps(_mm256_loadu_ps(out + d), all(before));
    _mm256_storeu_ps(out + d, _mm256_add_ps(kept, _mm256_mul_ps(added, all(after))));
  }
}

/* ---- A segment ---------------------------------------------------------------------------------------------------------------------- */

/* Rows of the next tile when `left` are left. */
CW_INLINE size_t tile_rows(size_t left) { return left == 5 ? 3 : least(left, CW_TILE_ROWS); }

static void score_tile(const cw_q8_queries *x, size_t r, size_t rows, const cw_q8_block *block, size_t index, room *s) {
  switch (rows) {
    case 1: score(1, x, r, block, index, s); break;
    case 2: score(2, x, r, block, index, s); break;
    case 3: score(3, x, r, block, index, s); break;
    default: score(4, x, r, block, index, s);
  }
}

/* Four rows over block `index`; those beyond the last are computed, and never given. */
static void add_tile(const cw_q8_queries *x, size_t r, size_t index, room *s) {
  for (size_t d = 0; d < x->size; d += NUMBERS)
    add_values(s->wide + d * CW_BLOCK, s->scores[r] + index * (CW_BLOCK / 2), x->size, s->sums + r * x->size + d);
}

/* At most ROWS rows. */
static void attend_rows(const cw_q8_queries *x, const cw_q8_block *blocks, size_t count, room *s) {
  for (size_t r = 0; r < x->rows; r++) _mm256_store_ps(s->lanes[r], all(-INFINITY));
  for (size_t i = 0; i < count; i++)
    for (size_t r = 0; r < x->rows; r += tile_rows(x->rows - r)) score_tile(x, r, tile_rows(x->rows - r), &blocks[i], i, s);
  s->gains_seen = 0; /* of no row */
  for (size_t r = 0; r < x->rows; r++) weigh_row(x, r, blocks, count, s);
  memset(s->sums, 0, (x->rows + CW_TILE_ROWS - 1) / CW_TILE_ROWS * CW_TILE_ROWS * x->size * sizeof(int32_t));
  for (size_t i = 0; i < count; i++) {
    widen(blocks[i].values, x->size, s->wide);
    for (size_t r = 0; r < x->rows; r += CW_TILE_ROWS) add_tile(x, r, i, s);
  }
  for (size_t r = 0; r < x->rows; r++)
    if (x->seen[r] != 0) give(s->sums + r * x->size, x->size, s->before[r], s->unit[r], s->after[r], x->out + r * x->size);
}

void cw_attend_q8_avx2(const cw_q8_queries *queries, const cw_q8_block *blocks, size_t count) {
  room s;
  for (size_t row = 0; row < queries->rows; row += ROWS) {
    const cw_q8_queries x = {.q = queries->q + row * queries->size,
                             .scales = queries->scales + row,
                             .sums = queries->sums + row,
                             .seen = queries->seen + row,
                             .rows = least(queries->rows - row, ROWS),
                             .size = queries->size,
                             .highest = queries->highest + row,
                             .total = queries->total + row,
                             .out = queries->out + row * queries->size};
    attend_rows(&x, blocks, count, &s);
  }
}
