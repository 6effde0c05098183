/* peaks.h: loops that do nothing but one kind of arithmetic, or nothing but read, as limits for benchmarks.
 *
 * Arithmetic counts two operations a multiply-add. 12 chains of dependent operations hide the latency (the longest known, vpdpbusd, is
 * 5 cycles at two a cycle) and fit the 16 registers of AVX2 beside their operands. Assembly, so that no compiler removes or spills it. */
#ifndef CW_PEAKS_H
#define CW_PEAKS_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { CW_PEAK_CHAINS = 12 };

#define CW_PEAK_ALL(step) \
  step("0") step("1") step("2") step("3") step("4") step("5") step("6") step("7") step("8") step("9") step("10") step("11")

/* A function that takes `steps` rounds over all chains and returns how many operations that were; `lanes` multiply-adds an instruction.
 * Registers 12 and up hold `bits` in every lane of 4 bytes. */
#define CW_PEAK(name, vector, bits, step, lanes)                                                                                   \
  static inline double name(long steps) {                                                                                         \
    static const uint32_t OPERAND = bits;                                                                                          \
    double operations = 2.0 * (lanes) * CW_PEAK_CHAINS * (double)steps;                                                            \
    __asm__ volatile("vbroadcastss %1, %%" vector "12\n\t vbroadcastss %1, %%" vector "14\n\t vbroadcastss %1, %%" vector "15\n\t" \
                     "1:\n\t" CW_PEAK_ALL(step) "dec %0\n\t jnz 1b\n\t vzeroupper"                                                 \
                     : "+r"(steps)                                                                                                 \
                     : "m"(OPERAND)                                                                                                \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",     \
                       "xmm12", "xmm13", "xmm14", "xmm15");                                                                        \
    return operations;                                                                                                             \
  }

#define CW_FMA_256(sum) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" sum "\n\t"
#define CW_FMA_512(sum) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" sum "\n\t"
#define CW_BYTES_256(sum)                                                                     \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm13\n\t vpmaddwd %%ymm12, %%ymm13, %%ymm13\n\t vpaddd " \
  "%%ymm13, %%ymm" sum ", %%ymm" sum "\n\t"
#define CW_WORDS_256(sum) "vpmaddwd %%ymm14, %%ymm15, %%ymm13\n\t vpaddd %%ymm13, %%ymm" sum ", %%ymm" sum "\n\t"
#define CW_BYTES_512(sum) "vpdpbusd %%zmm14, %%zmm15, %%zmm" sum "\n\t"
#define CW_BYTES_256_VEX(sum) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" sum "\n\t"
#define CW_BYTES_256_EVEX(sum) "%{evex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" sum "\n\t"
#define CW_WORDS_512(sum) "vpdpwssd %%zmm14, %%zmm15, %%zmm" sum "\n\t"

enum { CW_HALF_F32 = 0x3f000000, CW_BYTES_OF_37 = 0x25252525 };
CW_PEAK(cw_peak_fma_256, "ymm", CW_HALF_F32, CW_FMA_256, 8)
CW_PEAK(cw_peak_fma_512, "zmm", CW_HALF_F32, CW_FMA_512, 16)
CW_PEAK(cw_peak_bytes_256, "ymm", CW_BYTES_OF_37, CW_BYTES_256, 32) /* maddubs, madd, add: what AVX2 has instead of vpdpbusd */
CW_PEAK(cw_peak_words_256, "ymm", CW_BYTES_OF_37, CW_WORDS_256, 16) /* madd, add */
CW_PEAK(cw_peak_bytes_256_vex, "ymm", CW_BYTES_OF_37, CW_BYTES_256_VEX, 32)
CW_PEAK(cw_peak_bytes_256_evex, "ymm", CW_BYTES_OF_37, CW_BYTES_256_EVEX, 32)
CW_PEAK(cw_peak_bytes_512, "zmm", CW_BYTES_OF_37, CW_BYTES_512, 64) /* vpdpbusd */
CW_PEAK(cw_peak_words_512, "zmm", CW_BYTES_OF_37, CW_WORDS_512, 32) /* vpdpwssd */

/* Loads [bytes] as `streams` parts read side by side, four lines of each in turn; several streams keep more of the hardware's prefetchers
 * at work. `ahead` bytes before a load its line is asked for (0: never). */
#define CW_READ(name, isa, vector, load, held)                                                                            \
  __attribute__((target(isa))) static inline void name(const char *at, size_t bytes, size_t streams, size_t ahead) {      \
    const size_t part = bytes / streams / 256 * 256;                                                                      \
    for (size_t i = 0; i < part; i += 256)                                                                                \
      for (size_t stream = 0; stream < streams; stream++) {                                                               \
        const char *from = at + stream * part + i;                                                                        \
        if (ahead != 0)                                                                                                   \
          for (size_t line = 0; line < 256; line += 64) _mm_prefetch(from + ahead + line, _MM_HINT_T0);                   \
        _Pragma("GCC unroll 16") for (size_t k = 0; k < 256; k += sizeof(vector)) {                                       \
          vector value = load((const vector *)(const void *)(from + k));                                                  \
          __asm__ volatile("" : : held(value));                                                                           \
        }                                                                                                                 \
      }                                                                                                                   \
  }

CW_READ(cw_read_128, "sse2", __m128i, _mm_loadu_si128, "x")
CW_READ(cw_read_256, "avx2", __m256i, _mm256_loadu_si256, "x")
CW_READ(cw_read_512, "avx512f", __m512i, _mm512_loadu_si512, "v")

static inline void cw_read_lines(const char *at, size_t bytes, size_t streams, size_t ahead) {
  if (__builtin_cpu_supports("avx512f"))
    cw_read_512(at, bytes, streams, ahead);
  else if (__builtin_cpu_supports("avx2"))
    cw_read_256(at, bytes, streams, ahead);
  else
    cw_read_128(at, bytes, streams, ahead);
}

/* Ways to read memory, of which one is the fastest on each processor. */
static const struct {
  size_t streams, ahead;
} CW_PATTERNS[] = {{1, 0}, {1, 1024}, {2, 0}, {4, 0}, {4, 512}, {4, 1024}, {8, 512}, {8, 1024}};
enum { CW_PATTERN_COUNT = sizeof CW_PATTERNS / sizeof *CW_PATTERNS };

#endif
