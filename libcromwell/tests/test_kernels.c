/* test_kernels.c: every kernel of every instruction set against the scalar reference, bit for bit, and the reference's mathematics
 * against libm in double precision. Buffers end in NaN, so that a read past the end spoils the result. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "cromwell.h"

static const size_t SIZES[] = {1, 7, 8, 9, 15, 16, 17, 33, 64, 65, 97, 256};
enum { SIZE_COUNT = sizeof SIZES / sizeof SIZES[0], PAD = 16 };

static int failures;
static uint64_t state = 88172645463325252u;

static uint64_t next(void) { /* xorshift64 (Marsaglia 2003) */
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static float uniform(float low, float high) { return low + (high - low) * (float)(next() >> 40) / 16777216.0f; }

/* `count` random floats followed by PAD NaNs. */
static float *row(size_t count, float low, float high) {
  float *values = malloc((count + PAD) * sizeof(float));
  for (size_t i = 0; i < count; i++) values[i] = uniform(low, high);
  for (size_t i = count; i < count + PAD; i++) values[i] = NAN;
  return values;
}

static float *copy(const float *values, size_t count) {
  float *out = malloc((count + PAD) * sizeof(float));
  memcpy(out, values, (count + PAD) * sizeof(float));
  return out;
}

/* Compares rows and their NaN pads as bits; frees both. */
static void same(const char *what, size_t size, float *got, float *want, size_t count) {
  for (size_t i = 0; i < count + PAD; i++)
    if (memcmp(&got[i], &want[i], sizeof(float)) != 0) {
      printf("%s, size %zu: [%zu] is %.9g, reference %.9g\n", what, size, i, (double)got[i], (double)want[i]);
      failures++;
      break;
    }
  free(got);
  free(want);
}

static void test_products(const cw_kernels *fast) {
  const cw_kernels *slow = &cw_kernels_scalar;
  for (int d = 0; d < SIZE_COUNT; d++) {
    size_t depth = SIZES[d], groups = (depth + CW_GROUP - 1) / CW_GROUP;
    for (size_t panels = 1; panels <= 7; panels++) {
      float *x = row(depth, -1, 1), *w = row(panels * depth * CW_PANEL, -1, 1), *scales = row(panels * groups * CW_PANEL, 0, 0.1f);
      int8_t *q = malloc(panels * depth * CW_PANEL);
      for (size_t i = 0; i < panels * depth * CW_PANEL; i++) q[i] = (int8_t)(next() % 255 - 127);
      for (int add = 0; add < 2; add++) {
        float *a = row(panels * CW_PANEL, -1, 1), *b = copy(a, panels * CW_PANEL);
        fast->gemv_f32(x, depth, w, depth * CW_PANEL, panels, a, add);
        slow->gemv_f32(x, depth, w, depth * CW_PANEL, panels, b, add);
        same("gemv_f32", depth, a, b, panels * CW_PANEL);
        a = row(panels * CW_PANEL, -1, 1), b = copy(a, panels * CW_PANEL);
        fast->gemv_q8(x, depth, q, scales, panels, a, add);
        slow->gemv_q8(x, depth, q, scales, panels, b, add);
        same("gemv_q8", depth, a, b, panels * CW_PANEL);
      }
      float *a = row(depth * CW_PANEL, 0, 0), *b = copy(a, depth * CW_PANEL);
      fast->expand_q8(q, scales, depth, a);
      slow->expand_q8(q, scales, depth, b);
      float *via = row(CW_PANEL, 0, 0), *direct = copy(via, CW_PANEL); /* an expanded panel gives the bits of the int8 one */
      fast->gemm_f32(x, depth, 1, depth, a, via, CW_PANEL, CW_PANEL, 0);
      fast->gemv_q8(x, depth, q, scales, 1, direct, 0);
      same("expand_q8 then gemm_f32", depth, via, direct, CW_PANEL);
      same("expand_q8", depth, a, b, depth * CW_PANEL);
      free(x), free(w), free(scales), free(q);
    }
    for (size_t rows = 1; rows <= 19; rows++)
      for (size_t width = 1; width <= CW_PANEL; width += rows % 2 ? 5 : 15)
        for (int add = 0; add < 2; add++) {
          size_t stride = width + rows % 3, x_stride = depth + 1;
          float *x = row(rows * x_stride, -1, 1), *w = row(depth * CW_PANEL, -1, 1);
          float *a = row(rows * stride, -1, 1), *b = copy(a, rows * stride);
          fast->gemm_f32(x, x_stride, rows, depth, w, a, stride, width, add);
          slow->gemm_f32(x, x_stride, rows, depth, w, b, stride, width, add);
          same("gemm_f32", depth, a, b, rows * stride);
          free(x), free(w);
        }
    float *taps_data = row(9 * depth, -2, 2), *weight = row(9 * depth, -1, 1), *bias = row(depth, -1, 1);
    const float *taps[9];
    for (int tap = 0; tap < 9; tap++) taps[tap] = tap % 4 == 3 ? NULL : taps_data + (size_t)tap * depth;
    float *a = row(depth, 0, 0), *b = copy(a, depth);
    fast->depthwise(taps, weight, bias, depth, a);
    slow->depthwise(taps, weight, bias, depth, b);
    same("depthwise", depth, a, b, depth);
    free(taps_data), free(weight), free(bias);
  }
}

static void test_rows(const cw_kernels *fast) {
  const cw_kernels *slow = &cw_kernels_scalar;
  for (int s = 0; s < SIZE_COUNT; s++) {
    size_t size = SIZES[s];
    float *x = row(size, -20, 20), *w = row(size, -2, 2);
    for (int weighted = 0; weighted < 2; weighted++) {
      float *a = row(size, 0, 0), *b = copy(a, size);
      fast->rms(x, weighted ? w : NULL, 1e-6f, size, a);
      slow->rms(x, weighted ? w : NULL, 1e-6f, size, b);
      same("rms", size, a, b, size);
    }
    float *a = copy(x, size), *b = copy(x, size);
    float sum = fast->softmax(a, size, size + PAD / 2, 0.7f), sum_slow = slow->softmax(b, size, size + PAD / 2, 0.7f);
    if (memcmp(&sum, &sum_slow, sizeof sum) != 0) printf("softmax, size %zu: sums differ\n", size), failures++;
    same("softmax", size, a, b, size);
    void (*const pairs[][2])(float *, size_t) = {{fast->silu, slow->silu}, {fast->gelu, slow->gelu}, {fast->sigmoid, slow->sigmoid}, {fast->exp, slow->exp}};
    static const char *const NAMES[] = {"silu", "gelu", "sigmoid", "exp"};
    for (int f = 0; f < 4; f++) {
      a = copy(x, size), b = copy(x, size);
      pairs[f][0](a, size), pairs[f][1](b, size);
      same(NAMES[f], size, a, b, size);
    }
    a = copy(x, size), b = copy(x, size);
    fast->silu_mul(a, w, size), slow->silu_mul(b, w, size);
    same("silu_mul", size, a, b, size);
    a = copy(x, size), b = copy(x, size);
    fast->softcap(a, size, 15.0f), slow->softcap(b, size, 15.0f);
    same("softcap", size, a, b, size);
    free(x), free(w);
  }
}

static void near(const char *what, float at, float got, double want, double tolerance) {
  if (!(fabs((double)got - want) <= tolerance)) {
    printf("%s(%.9g) is %.9g, libm %.9g\n", what, (double)at, (double)got, want);
    failures++;
  }
}

/* The reference itself: within a few units in the last place of libm's double precision. */
static void test_mathematics(void) {
  const cw_kernels *k = &cw_kernels_scalar;
  for (int i = 0; i < 4000 && failures < 20; i++) {
    float x = uniform(-30, 30) * (i % 4 == 0 ? 0.001f : 1), y;
    double eps = 4 * 1.2e-7;
    y = x, k->sigmoid(&y, 1);
    near("sigmoid", x, y, 1 / (1 + exp(-(double)x)), eps * y);
    y = x, k->silu(&y, 1);
    near("silu", x, y, x / (1 + exp(-(double)x)), eps * fabs(y));
    y = x, k->softcap(&y, 1, 15.0f);
    near("softcap", x, y, 15 * tanh((double)x / 15), eps * fabs(y));
    y = x, k->gelu(&y, 1);
    near("gelu", x, y, 0.5 * x * (1 + tanh(0.7978845608 * (x + 0.044715 * (double)x * x * x))), eps * (fabs(y) + 1e-2));
    float scores[2] = {x, 30};
    k->softmax(scores, 2, 2, 1.0f);
    near("exp", x - 30, scores[0], exp((double)(x - 30.0f)), eps * scores[0]);
  }
  float far[3] = {-1e30f, 0, 1e30f};
  k->sigmoid(far, 3);
  near("sigmoid", -1e30f, far[0], 0, 1e-30);
  near("sigmoid", 1e30f, far[2], 1, 0);
}

int main(void) {
  const char *names[] = {"scalar", "avx2"};
  for (int i = 0; i < 2; i++) {
    cw_status status = cw_isa_select(names[i]);
    if (status == CW_E_ISA && i > 0) {
      printf("%s: absent on this machine\n", names[i]);
      continue;
    }
    if (status != CW_OK || strcmp(cw_isa_name(), names[i]) != 0) printf("%s: was not selected\n", names[i]), failures++;
    test_products(cw_kernels_selected());
    test_rows(cw_kernels_selected());
  }
  if (cw_isa_select("none-such") != CW_E_ISA) printf("an unknown instruction set was accepted\n"), failures++;
  if (cw_threads_default() < 1) printf("no default thread\n"), failures++;
  test_mathematics();
  printf("test_kernels: %d failures\n", failures);
  return failures != 0;
}
