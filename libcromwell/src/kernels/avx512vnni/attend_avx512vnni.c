/* attend_avx512vnni.c: attention over a segment of up to 512 cached positions. Three passes over the rows at hand: scores, block after block;
 * weights of the values, row after row; values, block after block with their sums kept in between. A block is in L1 while all rows meet
 * it, scores and weights stay in L2. What is neither vpdpbusd nor vpdpwssd counts: all arithmetic shares two ports. */
#include <immintrin.h>
#include <string.h>

#include "kernels/avx512vnni/kernels_avx512vnni.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  ROWS = 48,       /* met by a block while it is in L1 */
  BATCH = 4,       /* rows whose lanes are joined together */
  PARTS = 4,       /* vectors of 16 positions a block */
  PAIRS = 32,      /* of positions a block */
  CHUNK = 64,      /* numbers of the head summed at once */
  MOST_SIZE = 256, /* head size */
  MOST_TILE = 8,   /* rows of a tile of sums */
  FEW = 4,         /* rows up to which memory is the bound, and asked for at every step */
  STRIDE = CW_SEGMENT + 64, /* floats of a row of scores: rows are spread over all sets of L1 */
  ROUND_BITS = 0x4b400000   /* of CW_ROUND: as long as dots are below 2^22, the float with these bits + dot is CW_ROUND + dot */
};

/* What the passes hand on. */
typedef struct {
  _Alignas(64) float scores[ROWS][STRIDE];     /* dot times key scale; then the weights, 16 bits each, from the beginning of each row */
  _Alignas(64) int32_t sums[ROWS * MOST_SIZE]; /* of values, as the tiles lie: [chunk][ROWS][numbers of the chunk] */
  _Alignas(64) int16_t wide[MOST_SIZE * PAIRS * 2];
  _Alignas(64) int8_t last_q[MOST_TILE * MOST_SIZE]; /* rows of a tile that is not full */
  _Alignas(64) float lanes[ROWS][16];          /* largest scores so far; then sums of e */
  _Alignas(64) float unused[MOST_TILE][16];    /* lanes nobody wants */
  _Alignas(64) float scales[CW_BLOCK], offsets[CW_BLOCK]; /* of a block's keys; CW_ROUND times that */
  _Alignas(64) float gains[CW_SEGMENT];        /* value scales in units of gains_unit, right for rows that see gains_seen positions */
  size_t gains_seen;
  float gains_unit;
  _Alignas(64) int32_t starts[ROWS];           /* of dots: CW_ROUND, and what the offset of keys adds is off */
  _Alignas(64) float top[ROWS], unit[ROWS], sum[ROWS]; /* top: what powers of two stand below */
  _Alignas(64) float before[ROWS], after[ROWS]; /* factors of what was before this segment, and of the segment */
} room;

INLINE size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Positions of block `index` that a row sees, as bits. */
INLINE uint64_t seen_bits(size_t seen, size_t index) {
  seen -= least(seen, index * CW_BLOCK);
  return seen >= CW_BLOCK ? ~(uint64_t)0 : ((uint64_t)1 << seen) - 1;
}

/* Joins the 16 lanes of each of four vectors, halves first (8, 4, 2, 1): lane r of the result is that of row r. */
#define JOIN(NAME, OPERATION)                                                                                        \
  INLINE __m128 NAME(const float lanes[BATCH][16]) {                                                                 \
    __m512 x[BATCH];                                                                                                 \
    for (size_t r = 0; r < BATCH; r++) x[r] = _mm512_load_ps(lanes[r]);                                              \
    __m512 low = OPERATION(_mm512_shuffle_f32x4(x[0], x[1], 0x44), _mm512_shuffle_f32x4(x[0], x[1], 0xee));          \
    __m512 high = OPERATION(_mm512_shuffle_f32x4(x[2], x[3], 0x44), _mm512_shuffle_f32x4(x[2], x[3], 0xee));         \
    __m512 all = OPERATION(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));            \
    all = OPERATION(all, _mm512_permute_ps(all, 0x4e));                                                              \
    all = OPERATION(all, _mm512_permute_ps(all, 0xb1));                                                              \
    return _mm512_castps512_ps128(_mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), all)); \
  }
JOIN(largest, _mm512_max_ps)
JOIN(total_of, _mm512_add_ps)

/* Rows of the next tile of sums when `left` are left: 6, or 4 where that wastes fewer. */
INLINE size_t tile_rows(size_t left) { return left <= 4 || left == 7 || left == 8 ? 4 : 6; }

/* ---- Scores ------------------------------------------------------------------------------------------------------------------------- */

/* The tiles are assembly because gcc 12 keeps many sums in place by copying them about. Sums of row r over panel p are register 4 r + p. */
#define ROW_0(STEP) STEP("0", "0", "1", "2", "3")
#define ROW_1(STEP) STEP("1", "4", "5", "6", "7")
#define ROW_2(STEP) STEP("2", "8", "9", "10", "11")
#define ROW_3(STEP) STEP("3", "12", "13", "14", "15")
#define ROW_4(STEP) STEP("4", "16", "17", "18", "19")
#define ROW_5(STEP) STEP("5", "20", "21", "22", "23")
#define ROWS_4(STEP) ROW_0(STEP) ROW_1(STEP) ROW_2(STEP) ROW_3(STEP)
#define ROWS_6(STEP) ROWS_4(STEP) ROW_4(STEP) ROW_5(STEP)

#define BEGIN(row, a, b, c, d)                                                                              \
  "vpbroadcastd 4*" row "(%[starts]), %%zmm" a "\n\t vmovdqa64 %%zmm" a ", %%zmm" b "\n\t"                 \
  "vmovdqa64 %%zmm" a ", %%zmm" c "\n\t vmovdqa64 %%zmm" a ", %%zmm" d "\n\t"
#define KEYS(at)                                                                                            \
  "vmovdqu64 " at "(%[keys]), %%zmm24\n\t vmovdqu64 " at "(%[keys],%[panel]), %%zmm25\n\t"                 \
  "vmovdqu64 " at "(%[keys],%[panel],2), %%zmm26\n\t vmovdqu64 " at "(%[keys],%[panel3]), %%zmm27\n\t"
#define ADD_BYTES(q, a, b, c, d)                                                                            \
  "vpbroadcastd " q ", %%zmm28\n\t"                                                                         \
  "vpdpbusd %%zmm28, %%zmm24, %%zmm" a "\n\t vpdpbusd %%zmm28, %%zmm25, %%zmm" b "\n\t"                    \
  "vpdpbusd %%zmm28, %%zmm26, %%zmm" c "\n\t vpdpbusd %%zmm28, %%zmm27, %%zmm" d "\n\t"
#define BYTES_4(at)                                                                                         \
  ADD_BYTES(at "(%[q])", "0", "1", "2", "3") ADD_BYTES(at "(%[q],%[size])", "4", "5", "6", "7")             \
  ADD_BYTES(at "(%[q],%[size],2)", "8", "9", "10", "11") ADD_BYTES(at "(%[q3])", "12", "13", "14", "15")
#define BYTES_6(at)                                                                                         \
  BYTES_4(at) ADD_BYTES(at "(%[q3],%[size])", "16", "17", "18", "19") ADD_BYTES(at "(%[q3],%[size],2)", "20", "21", "22", "23")
#define ASK_4 \
  "prefetcht0 (%[ask])\n\t prefetcht0 64(%[ask])\n\t prefetcht0 128(%[ask])\n\t prefetcht0 192(%[ask])\n\t" \
  "prefetcht0 256(%[ask])\n\t prefetcht0 320(%[ask])\n\t prefetcht0 384(%[ask])\n\t prefetcht0 448(%[ask])\n\t add $512, %[ask]\n\t"
#define ASK_6 "prefetcht0 (%[ask])\n\t prefetcht0 64(%[ask])\n\t add $128, %[ask]\n\t"
#define SCALES                                                                                              \
  "vmovaps (%[scales]), %%zmm24\n\t vmovaps 64(%[scales]), %%zmm25\n\t"                                    \
  "vmovaps 128(%[scales]), %%zmm26\n\t vmovaps 192(%[scales]), %%zmm27\n\t"
#define SCORES(row, a, b, c, d)                                                                             \
  "vfmsub213ps 256(%[scales]), %%zmm24, %%zmm" a "\n\t vfmsub213ps 320(%[scales]), %%zmm25, %%zmm" b "\n\t" \
  "vfmsub213ps 384(%[scales]), %%zmm26, %%zmm" c "\n\t vfmsub213ps 448(%[scales]), %%zmm27, %%zmm" d "\n\t" \
  "vmovaps %%zmm" a ", " row "*%c[stride](%[scores])\n\t vmovaps %%zmm" b ", " row "*%c[stride]+64(%[scores])\n\t" \
  "vmovaps %%zmm" c ", " row "*%c[stride]+128(%[scores])\n\t vmovaps %%zmm" d ", " row "*%c[stride]+192(%[scores])\n\t" \
  "vmaxps %%zmm" b ", %%zmm" a ", %%zmm28\n\t vmaxps %%zmm" d ", %%zmm" c ", %%zmm29\n\t"                   \
  "vmaxps 64*" row "(%[lanes]), %%zmm28, %%zmm28\n\t vmaxps %%zmm29, %%zmm28, %%zmm28\n\t"                 \
  "vmovaps %%zmm28, 64*" row "(%[lanes])\n\t"

/* Scores of a tile of rows over a block, and the largest of each lane: u = (start + sum over k of q[r][k] key) * scale - offset. Asks for
 * bytes from `ask` on, as many as keys for 4 rows and a quarter for 6. */
#define SCORE_TILE(NAME, EACH, BYTES, ASK)                                                                                       \
  INLINE void NAME(const int8_t *q, size_t size, const uint8_t *keys, float *scores, float *lanes, const int32_t *starts,        \
                   const float *scales, const uint8_t *ask) {                                                                    \
    const int8_t *q3 = q + 3 * size;                                                                                             \
    size_t left = size;                                                                                                          \
    __asm__ volatile(EACH(BEGIN) ".p2align 4\n\t 1:\n\t" KEYS("") BYTES("") KEYS("64") BYTES("4") ASK                              \
                     "add $128, %[keys]\n\t add $8, %[q]\n\t add $8, %[q3]\n\t sub $8, %[left]\n\t jnz 1b\n\t" SCALES EACH(SCORES) \
                     : [keys] "+&r"(keys), [q] "+&r"(q), [q3] "+&r"(q3), [left] "+&r"(left), [ask] "+&r"(ask)           \
                     : [panel] "r"(size * CW_PANEL), [panel3] "r"(3 * size * CW_PANEL), [size] "r"(size), [scores] "r"(scores),  \
                       [lanes] "r"(lanes), [starts] "r"(starts), [scales] "r"(scales), [stride] "i"(STRIDE * sizeof(float))      \
                     : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",  \
                       "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21",        \
                       "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29");                                  \
  }
SCORE_TILE(score_4, ROWS_4, BYTES_4, ASK_4)
SCORE_TILE(score_6, ROWS_6, BYTES_6, ASK_6)

/* Largest scores over what a row sees of block `index`. */
static void raise_lanes(uint64_t bits, const float *scores, float lanes[16]) {
  __m512 most = _mm512_load_ps(lanes);
  for (size_t p = 0; p < PARTS; p++)
    most = _mm512_mask_max_ps(most, (__mmask16)(bits >> (16 * p)), _mm512_load_ps(scores + p * 16), most);
  _mm512_store_ps(lanes, most);
}

/* Asks for the scales of a block. */
INLINE void ask_scales(const cw_q8_block *block) {
  for (size_t p = 0; p < CW_BLOCK; p += 16) {
    _mm_prefetch((const char *)(block->key_scales + p), _MM_HINT_T0);
    _mm_prefetch((const char *)(block->value_scales + p), _MM_HINT_T0);
  }
}

/* Scores of all rows over block `index`. `ask`: what is wanted next. */
static void score_block(const cw_q8_queries *q, const cw_q8_block *block, size_t index, size_t least_seen, const uint8_t *ask, room *s) {
  for (size_t p = 0; p < CW_BLOCK; p += 16) {
    __m512 scales = _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(block->key_scales + p), _mm512_set1_epi32(~3)));
    _mm512_store_ps(s->scales + p, scales);
    _mm512_store_ps(s->offsets + p, _mm512_mul_ps(scales, _mm512_set1_ps(CW_ROUND)));
  }
  const int all = least_seen >= (index + 1) * CW_BLOCK;
  for (size_t r = 0, count; r < q->rows; r += count) {
    count = tile_rows(q->rows - r);
    const int8_t *rows = r + count <= q->rows ? q->q + r * q->size : s->last_q;
    (count == 4 ? score_4 : score_6)(rows, q->size, block->keys, s->scores[r] + index * CW_BLOCK, all ? s->lanes[r] : s->unused[0],
                                     s->starts + r, s->scales, ask);
    ask += q->size * CW_BLOCK / (count == 4 ? 1 : 4);
  }
  for (size_t r = 0; !all && r < q->rows; r++) raise_lanes(seen_bits(q->seen[r], index), s->scores[r] + index * CW_BLOCK, s->lanes[r]);
}

/* What scores begin with; gives the positions that every row sees. */
static size_t begin_scores(const cw_q8_queries *q, room *s) {
  size_t least_seen = CW_SEGMENT, r = 0;
  for (; r < q->rows; r++) {
    least_seen = least(q->seen[r], least_seen);
    s->starts[r] = ROUND_BITS - CW_OFFSET * q->sums[r];
    _mm512_store_ps(s->lanes[r], _mm512_set1_ps(-__builtin_inff()));
  }
  for (r = 0; r + tile_rows(q->rows - r) <= q->rows && r < q->rows;) r += tile_rows(q->rows - r);
  if (r < q->rows) memcpy(s->last_q, q->q + r * q->size, (q->rows - r) * q->size);
  return least_seen;
}

/* ---- Weights ------------------------------------------------------------------------------------------------------------------------ */

/* 2^x as kernels.h describes. TOP: x may be above -1, where x - floor(x) must be rounded to the nearest; below it is one instruction. Times
 * 2^floor(x) always is. */
INLINE __m512 exp2_sixteen(const int TOP, __m512 x) {
  enum { DOWN = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC };
  x = _mm512_max_ps(x, _mm512_set1_ps(CW_EXP2_MIN));
  __m512 f = TOP ? _mm512_sub_ps(x, _mm512_roundscale_ps(x, DOWN)) : _mm512_reduce_ps(x, DOWN), p = _mm512_set1_ps(CW_EXP2_C4);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C3));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C2));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(CW_EXP2_C1));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, x);
}

/* 2^n for whole n <= 0, 0 below -126 and for what is no number. */
INLINE __m512 power_of_two(__m512 n) {
  return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(n, _mm512_set1_ps(CW_EXP2_MIN), _CMP_GE_OQ), _mm512_set1_ps(1.0f), n);
}

/* Scores [64] become weights [64], which may begin at the same place; gives the sum of e. */
INLINE __m512 weigh_block(const int ALL, uint64_t bits, const float *scores, __m512 scale, __m512 top, const float *gains, int16_t *weights) {
  __m512 e[PARTS];
  __m512i whole[PARTS];
#pragma GCC unroll 4
  for (size_t p = 0; p < PARTS; p++) {
    e[p] = exp2_sixteen(0, _mm512_fmsub_ps(_mm512_load_ps(scores + p * 16), scale, top));
    if (!ALL) e[p] = _mm512_maskz_mov_ps((__mmask16)(bits >> (16 * p)), e[p]);
    whole[p] = _mm512_cvtps_epi32(_mm512_mul_ps(e[p], _mm512_load_ps(gains + p * 16)));
    if (ALL) _mm_prefetch((const char *)(scores + STRIDE + p * 16), _MM_HINT_T0); /* of the next row */
  }
  _mm512_store_si512(weights, _mm512_packs_epi32(whole[0], whole[1]));
  _mm512_store_si512(weights + 32, _mm512_packs_epi32(whole[2], whole[3]));
  return _mm512_add_ps(_mm512_add_ps(e[0], e[1]), _mm512_add_ps(e[2], e[3]));
}

/* Value scales as whole-number weights need them, for rows that see `seen` positions; 0 beyond, where scales may be anything. */
static void set_gains(size_t seen, const cw_q8_block *blocks, room *s) {
  const size_t vectors = (seen + 15) / 16;
  __m512 most = _mm512_setzero_ps();
  for (size_t v = 0; v < vectors; v++) {
    const float *from = blocks[v / PARTS].value_scales + v % PARTS * 16;
    __m512 scales = v + 1 < vectors || seen % 16 == 0 ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps((__mmask16)((1u << seen % 16) - 1), from);
    _mm512_store_ps(s->gains + v * 16, scales);
    most = _mm512_max_ps(scales, most);
  }
  const float largest_scale = _mm512_reduce_max_ps(most);
  const int nothing = largest_scale < CW_TINY;
  const __m512 inverse = _mm512_set1_ps(nothing ? 0.0f : CW_Q16_RANGE / largest_scale);
  for (size_t v = 0; v < vectors; v++) _mm512_store_ps(s->gains + v * 16, _mm512_mul_ps(_mm512_load_ps(s->gains + v * 16), inverse));
  for (size_t v = vectors; v % PARTS != 0; v++) _mm512_store_ps(s->gains + v * 16, _mm512_setzero_ps());
  s->gains_unit = nothing ? 0.0f : largest_scale / CW_Q16_RANGE;
  s->gains_seen = seen;
}

/* Weights of a row over all blocks. */
static void weigh_row(const cw_q8_queries *q, size_t row, const cw_q8_block *blocks, size_t count, room *s) {
  if (q->rows <= FEW) /* a share of the second block of values; the first was asked for with the keys */
    for (size_t at = row * 16 * CW_BLOCK; at < (row + 1) * 16 * CW_BLOCK && at < CW_BLOCK * q->size; at += 64)
      _mm_prefetch((const char *)blocks[least(1, count - 1)].values + at, _MM_HINT_T0);
  const size_t seen = q->seen[row];
  if (seen != s->gains_seen) set_gains(seen, blocks, s);
  s->unit[row] = s->gains_unit;
  const float *scores = s->scores[row];
  int16_t *weights = (int16_t *)(void *)s->scores[row];
  const __m512 scale = _mm512_set1_ps(q->scales[row]), top = _mm512_set1_ps(s->top[row]);
  __m512 sum = _mm512_setzero_ps();
  size_t i = 0;
  for (; i < seen / CW_BLOCK; i++)
    sum = _mm512_add_ps(sum, weigh_block(1, 0, scores + i * CW_BLOCK, scale, top, s->gains + i * CW_BLOCK, weights + i * CW_BLOCK));
  if (seen % CW_BLOCK != 0) {
    const uint64_t bits = seen_bits(seen, i);
    sum = _mm512_add_ps(sum, weigh_block(0, bits, scores + i * CW_BLOCK, scale, top, s->gains + i * CW_BLOCK, weights + i * CW_BLOCK));
    i++;
  }
  for (; i < count; i++) memset(weights + i * CW_BLOCK, 0, CW_BLOCK * sizeof *weights);
  _mm512_store_ps(s->lanes[row], sum);
}

/* Joins highest and total of all rows with those of the segment; what follows for the values stays in before and after. */
static void join_rows(const cw_q8_queries *q, room *s) {
  for (size_t r = 0; r < q->rows; r += 16) {
    const __mmask16 left = (__mmask16)((1u << least(q->rows - r, 16)) - 1);
    const __mmask16 any = _mm256_mask_cmpneq_epi16_mask(left, _mm256_maskz_loadu_epi16(left, q->seen + r), _mm256_setzero_si256());
    const __m512 highest = _mm512_maskz_loadu_ps(any, q->highest + r), top = _mm512_load_ps(s->top + r);
    const __m512 h = _mm512_roundscale_ps(top, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC), now = _mm512_max_ps(highest, h);
    const __m512 before = power_of_two(_mm512_sub_ps(highest, now));
    const __m512 after = _mm512_mul_ps(exp2_sixteen(1, _mm512_sub_ps(top, h)), power_of_two(_mm512_sub_ps(h, now)));
    const __m512 total = _mm512_mul_ps(_mm512_maskz_loadu_ps(any, q->total + r), before), sum = _mm512_mul_ps(_mm512_load_ps(s->sum + r), after);
    _mm512_mask_storeu_ps(q->highest + r, any, now);
    _mm512_mask_storeu_ps(q->total + r, any, _mm512_add_ps(total, sum));
    _mm512_store_ps(s->before + r, before);
    _mm512_store_ps(s->after + r, after);
  }
}

/* ---- Values ------------------------------------------------------------------------------------------------------------------------- */

/* Values as 16 bits in the order of the weights: [chunk][32][numbers of the chunk][2]. Asks for as many bytes at `next`. packs_epi32 leaves
 * weights in fours of pairs, two from one vector of 16 positions (8 pairs) and two from the next: of each 16 pairs, 2 i, 2 i + 1, 8 + 2 i
 * and 9 + 2 i for i = 0..3. */
INLINE void widen_chunk(const size_t NUMBERS, const int8_t *values, size_t size, const int8_t *next, int16_t *wide) {
  static const size_t FOUR[4] = {0, 1, 8, 9};
  for (size_t pair = 0; pair < PAIRS; pair += pair % 16 == 6 ? 10 : 2)
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
      const size_t from = (pair + FOUR[i]) * size * 2;
#pragma GCC unroll 4
      for (size_t n = 0; n < NUMBERS * 2; n += 32, wide += 32)
        _mm512_store_si512(wide, _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(values + from + n))));
#pragma GCC unroll 2
      for (size_t n = 0; n < NUMBERS * 2; n += 64) _mm_prefetch((const char *)next + from + n, _MM_HINT_T0);
    }
}

static void widen(const int8_t *values, size_t size, const int8_t *next, int16_t *wide) {
  size_t d = 0;
  for (; d + CHUNK <= size; d += CHUNK) widen_chunk(CHUNK, values + d * 2, size, next + d * 2, wide + d * PAIRS * 2);
  if (d < size) widen_chunk(CHUNK / 2, values + d * 2, size, next + d * 2, wide + d * PAIRS * 2);
}

#define FROM(row, a, b, c, d)                                                                                                    \
  "vmovdqa64 256*" row "(%[from]), %%zmm" a "\n\t vmovdqa64 256*" row "+64(%[from]), %%zmm" b "\n\t"                            \
  "vmovdqa64 256*" row "+128(%[from]), %%zmm" c "\n\t vmovdqa64 256*" row "+192(%[from]), %%zmm" d "\n\t"
#define TO(row, a, b, c, d)                                                                                                      \
  "vmovdqa64 %%zmm" a ", 256*" row "(%[to])\n\t vmovdqa64 %%zmm" b ", 256*" row "+64(%[to])\n\t"                                \
  "vmovdqa64 %%zmm" c ", 256*" row "+128(%[to])\n\t vmovdqa64 %%zmm" d ", 256*" row "+192(%[to])\n\t"
#define VALUES_2(at) "vmovdqa64 " at "(%[wide]), %%zmm24\n\t vmovdqa64 " at "+64(%[wide]), %%zmm25\n\t"
#define VALUES_4(at) VALUES_2(at) "vmovdqa64 " at "+128(%[wide]), %%zmm26\n\t vmovdqa64 " at "+192(%[wide]), %%zmm27\n\t"
#define WEIGHT(row, at, to) "vpbroadcastd " row "*%c[stride]+" at "(%[weights]), %%zmm" to "\n\t"
#define ADD_WORDS_4(row, at, a, b, c, d)                                                                                         \
  WEIGHT(row, at, "28") "vpdpwssd %%zmm28, %%zmm24, %%zmm" a "\n\t vpdpwssd %%zmm28, %%zmm25, %%zmm" b "\n\t"                   \
  "vpdpwssd %%zmm28, %%zmm26, %%zmm" c "\n\t vpdpwssd %%zmm28, %%zmm27, %%zmm" d "\n\t"
#define ADD_WORDS_2(row, at, a, b)                                                                                               \
  WEIGHT(row, at, "28") "vpdpwssd %%zmm28, %%zmm24, %%zmm" a "\n\t vpdpwssd %%zmm28, %%zmm25, %%zmm" b "\n\t"
#define FIRST_WORDS(row, a, b, c, d) ADD_WORDS_4(row, "0", a, b, c, d)
#define SECOND_WORDS(row, a, b, c, d) ADD_WORDS_4(row, "4", a, b, c, d)
#define WORDS_4 VALUES_4("0") ROWS_4(FIRST_WORDS) VALUES_4("256") ROWS_4(SECOND_WORDS) "add $512, %[wide]\n\t"
#define WORDS_6 VALUES_4("0") ROWS_6(FIRST_WORDS) VALUES_4("256") ROWS_6(SECOND_WORDS) "add $512, %[wide]\n\t"
#define NARROW_8(at)                                                                                                             \
  ADD_WORDS_2("0", at, "0", "1") ADD_WORDS_2("1", at, "2", "3") ADD_WORDS_2("2", at, "4", "5") ADD_WORDS_2("3", at, "6", "7")    \
  ADD_WORDS_2("4", at, "8", "9") ADD_WORDS_2("5", at, "10", "11") ADD_WORDS_2("6", at, "12", "13") ADD_WORDS_2("7", at, "14", "15")
#define WORDS_8 VALUES_2("0") NARROW_8("0") VALUES_2("128") NARROW_8("4") "add $256, %[wide]\n\t"

/* to = from + weights of a tile of rows times values, over a block: 4 or 6 rows and 64 numbers of the head, or 8 rows and 32. */
#define ADD_VALUES(NAME, EACH, WORDS)                                                                                            \
  INLINE void NAME(const int16_t *wide, const float *weights, const int32_t *from, int32_t *to) {                                \
    size_t pairs = PAIRS;                                                                                                        \
    __asm__ volatile(EACH(FROM) ".p2align 4\n\t 1:\n\t" WORDS "add $8, %[weights]\n\t sub $2, %[pairs]\n\t jnz 1b\n\t" EACH(TO)  \
                     : [wide] "+&r"(wide), [weights] "+&r"(weights), [pairs] "+&r"(pairs)                                           \
                     : [from] "r"(from), [to] "r"(to), [stride] "i"(STRIDE * sizeof(float))                                      \
                     : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",  \
                       "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21",        \
                       "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28");                                           \
  }
ADD_VALUES(add_values_4, ROWS_4, WORDS_4)
ADD_VALUES(add_values_6, ROWS_6, WORDS_6)
ADD_VALUES(add_values_8, ROWS_4, WORDS_8)

/* out = out * before + (sums * unit) * after, for `size` numbers of a row. */
static void give(const int32_t *sums, size_t size, float before, float unit, float after, float *out) {
  for (size_t i = 0; i < size; i += 16) {
    __m512 kept = _mm512_mul_ps(_mm512_loadu_ps(out + i), _mm512_set1_ps(before));
    __m512 added = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums + i)), _mm512_set1_ps(unit));
    _mm512_storeu_ps(out + i, _mm512_add_ps(kept, _mm512_mul_ps(added, _mm512_set1_ps(after))));
  }
}

/* All rows over all blocks. */
static void add_values(const cw_q8_queries *q, const cw_q8_block *blocks, size_t count, room *s) {
  static const _Alignas(64) int32_t ZEROS[6 * CHUNK];
  for (size_t i = 0; i < count; i++) {
    widen(blocks[i].values, q->size, blocks[least(i + (q->rows <= FEW ? 2 : 1), count - 1)].values, s->wide);
    size_t d = 0;
    for (; d + CHUNK <= q->size; d += CHUNK)
      for (size_t r = 0, rows; r < q->rows; r += rows) {
        int32_t *sums = s->sums + ROWS * d + r * CHUNK;
        rows = tile_rows(q->rows - r);
        (rows == 4 ? add_values_4 : add_values_6)(s->wide + d * PAIRS * 2, s->scores[r] + i * PAIRS, i == 0 ? ZEROS : sums, sums);
      }
    for (size_t r = 0; d < q->size && r < q->rows; r += 8) {
      int32_t *sums = s->sums + ROWS * d + r * (CHUNK / 2);
      add_values_8(s->wide + d * PAIRS * 2, s->scores[r] + i * PAIRS, i == 0 ? ZEROS : sums, sums);
    }
  }
  for (size_t r = 0; r < q->rows; r++)
    for (size_t d = 0; d < q->size && q->seen[r] != 0; d += CHUNK) {
      const size_t width = least(q->size - d, CHUNK);
      give(s->sums + ROWS * d + r * width, width, s->before[r], s->unit[r], s->after[r], q->out + r * q->size + d);
    }
}

/* ---- A segment ---------------------------------------------------------------------------------------------------------------------- */

/* At most ROWS rows. */
static void attend_rows(const cw_q8_queries *q, const cw_q8_block *blocks, size_t count, room *s) {
  const size_t least_seen = begin_scores(q, s);
  ask_scales(&blocks[0]);
  for (size_t i = 0; i < count; i++) {
    if (i + 1 < count) ask_scales(&blocks[i + 1]);
    score_block(q, &blocks[i], i, least_seen, i + 1 < count ? blocks[i + 1].keys : (const uint8_t *)blocks[0].values, s);
  }
  for (size_t r = 0; r < q->rows; r += BATCH) {
    const __mmask8 left = (__mmask8)((1u << least(q->rows - r, BATCH)) - 1);
    const __m128 most = _mm_mul_ps(largest(s->lanes + r), _mm_maskz_loadu_ps(left, q->scales + r));
    _mm_store_ps(s->top + r, _mm_add_ps(most, _mm_set1_ps(1.0f)));
  }
  s->gains_seen = 0; /* of no row */
  for (size_t r = 0; r < q->rows; r++) weigh_row(q, r, blocks, count, s);
  for (size_t r = 0; r < q->rows; r += BATCH) _mm_store_ps(s->sum + r, total_of(s->lanes + r));
  join_rows(q, s);
  add_values(q, blocks, count, s);
}

void cw_attend_q8_avx512vnni(const cw_q8_queries *queries, const cw_q8_block *blocks, size_t count) {
  room s;
  for (size_t row = 0; row < queries->rows; row += ROWS) {
    const cw_q8_queries q = {.q = queries->q + row * queries->size,
                             .scales = queries->scales + row,
                             .sums = queries->sums + row,
                             .seen = queries->seen + row,
                             .rows = least(queries->rows - row, ROWS),
                             .size = queries->size,
                             .highest = queries->highest + row,
                             .total = queries->total + row,
                             .out = queries->out + row * queries->size};
    attend_rows(&q, blocks, count, &s);
  }
}
