/* kernel_data.h: inputs for the tests of kernels. Every buffer ends where an unreadable page begins and starts behind marked bytes, so
 * that touching a byte too many stops the test at once and writing one before is found when the buffer is given back. */
#ifndef CW_KERNEL_DATA_H
#define CW_KERNEL_DATA_H

#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/kernels.h"

enum { PAGE = 4096, MARK = 0xa5, MARKED = 64, BUFFERS = 128 };

static int failures;
static char what[192]; /* the case at hand, for messages */

static uint64_t state = 88172645463325252u;

static inline uint64_t next(void) { /* xorshift64 (Marsaglia 2003) */
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static inline size_t below(size_t limit) { return (size_t)(next() >> 16) % limit; }
static inline float uniform(float low, float high) { return low + (high - low) * (float)(next() >> 40) / 16777216.0f; }

static inline void fail(const char *message) {
  if (failures++ < 20) printf("%s: %s\n", what, message);
}

static struct {
  uint8_t *base, *data;
  size_t mapped;
} held[BUFFERS];
static size_t held_count;

/* `bytes` bytes up to the end of a page. Released by give_back_all. */
static inline void *take(size_t bytes) {
  size_t mapped = (bytes + MARKED + PAGE - 1) / PAGE * PAGE + PAGE;
  uint8_t *base = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED || held_count == BUFFERS || mprotect(base + mapped - PAGE, PAGE, PROT_NONE) != 0) abort();
  uint8_t *data = base + mapped - PAGE - bytes;
  memset(data - MARKED, MARK, MARKED);
  held[held_count].base = base, held[held_count].data = data, held[held_count++].mapped = mapped;
  return data;
}

/* Ends a case: releases all buffers, after a look at the bytes before them. */
static inline void give_back_all(void) {
  while (held_count > 0) {
    held_count--;
    for (size_t i = 1; i <= MARKED; i++)
      if (*(held[held_count].data - i) != MARK) {
        fail("wrote before a buffer");
        break;
      }
    munmap(held[held_count].base, held[held_count].mapped);
  }
}

static inline void *take_copy(const void *from, size_t bytes) { return memcpy(take(bytes), from, bytes); }

static inline float *take_floats(size_t count, float low, float high) {
  float *values = take(count * sizeof(float));
  for (size_t i = 0; i < count; i++) values[i] = uniform(low, high);
  return values;
}

/* Compares results as bits and names the first that differs. */
static inline void same(const char *name, const float *got, const float *want, size_t count) {
  if (memcmp(got, want, count * sizeof(float)) == 0) return;
  for (size_t i = 0; i < count; i++)
    if (memcmp(&got[i], &want[i], sizeof(float)) != 0) {
      char message[128];
      snprintf(message, sizeof message, "%s[%zu] is %.9g, reference %.9g", name, i, (double)got[i], (double)want[i]);
      fail(message);
      return;
    }
}

static void on_fault(int signal_number) {
  (void)signal_number;
  static const char words[] = ": touched memory beyond a buffer\n";
  ssize_t ignored = write(STDOUT_FILENO, what, strlen(what)) + write(STDOUT_FILENO, words, sizeof words - 1);
  _exit(ignored < 0 ? 2 : 1);
}

static inline void catch_faults(void) {
  signal(SIGSEGV, on_fault);
  signal(SIGBUS, on_fault);
}

/* How quantised inputs are drawn. */
typedef enum { MIXED, MOST, LEAST, EXTREMES, ZEROS, KIND_COUNT } kind;

/* Activations: all values; all 127; all -127; either; zero groups among others. Scales of zero groups are zero, as quantise makes them. */
static inline cw_q8_rows take_rows(size_t rows, size_t depth, kind of) {
  size_t groups = (depth + CW_GROUP - 1) / CW_GROUP;
  size_t stride = rows + below(3);
  int8_t *q = take(stride * groups * CW_GROUP);
  float *scales = take_floats(stride * groups, 0.1f, 10.0f);
  int32_t *sums = take(stride * (depth / CW_SUB) * sizeof *sums);
  for (size_t i = 0; i < stride * groups; i++) scales[i] = cw_q8_scale(scales[i]);
  for (size_t r = 0; r < rows; r++)
    for (size_t k = 0; k < depth; k++) {
      int value = (int)below(255) - 127;
      if (of == MOST || of == LEAST) value = (of == MOST) == (r % 2 == 0) ? 127 : -127;
      if (of == EXTREMES) value = next() >> 40 & 1 ? 127 : -127;
      if (of == ZEROS && (k / CW_GROUP + r) % 3 != 0) value = 0, scales[k / CW_GROUP * stride + r] = 0.0f;
      q[(k / CW_GROUP * stride + r) * CW_GROUP + k % CW_GROUP] = (int8_t)value;
      int32_t *sum = &sums[k / CW_SUB * stride + r];
      *sum = (k % CW_SUB == 0 ? 0 : *sum) + value;
    }
  return (cw_q8_rows){q, scales, sums, stride};
}

/* A quantised matrix as plain integers, for packing: whole[n, k] of q8; nibble and multiplier of q4. */
static inline int draw_weight(kind of) {
  if (of == MOST) return 128;
  if (of == LEAST) return 0;
  if (of == EXTREMES) return next() >> 40 & 1 ? 128 : 0;
  return (int)below(129);
}

static inline uint16_t draw_scale(void) {
  float value = uniform(-0.01f, 0.05f);
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return next() >> 40 & 15 ? (uint16_t)(bits >> 16) : 0;
}

static inline uint16_t *take_scales(size_t panels, size_t depth) {
  size_t count = panels * ((depth + CW_GROUP - 1) / CW_GROUP) * CW_PANEL;
  uint16_t *scales = take(count * sizeof *scales);
  for (size_t i = 0; i < count; i++) scales[i] = draw_scale();
  return scales;
}

/* Random panels: bytes 0..128 are q8 weights, any byte is two nibbles. */
static inline cw_q_panels take_q8(size_t depth, size_t outputs, kind of) {
  size_t panels = (outputs + CW_PANEL - 1) / CW_PANEL;
  uint8_t *weights = take(panels * depth * CW_PANEL);
  for (size_t i = 0; i < panels * depth * CW_PANEL; i++) weights[i] = (uint8_t)draw_weight(of);
  return (cw_q_panels){weights, NULL, take_scales(panels, depth), depth, outputs};
}

static inline cw_q_panels take_q4(size_t depth, size_t outputs, kind of) {
  size_t panels = (outputs + CW_PANEL - 1) / CW_PANEL;
  uint8_t *weights = take(panels * depth * CW_PANEL / 2), *multipliers = take(panels * depth / CW_SUB * CW_PANEL);
  for (size_t i = 0; i < panels * depth * CW_PANEL / 2; i++)
    weights[i] = of == MOST ? 0xff : of == LEAST ? 0 : of == EXTREMES ? (next() >> 40 & 1 ? 0xf0 : 0x0f) : (uint8_t)(next() >> 40);
  for (size_t i = 0; i < panels * depth / CW_SUB * CW_PANEL; i++)
    multipliers[i] = (uint8_t)(of == MOST || of == LEAST || of == EXTREMES ? 8 : 1 + below(8));
  return (cw_q_panels){weights, multipliers, take_scales(panels, depth), depth, outputs};
}

#endif
