/* test_kernels.c: every kernel of every instruction set on this machine gives the bits of the scalar reference, and touches no byte
 * outside its buffers. What the reference itself is worth is tested by test_kernels_reference.c. */
#include "cpu.h"
#include "cromwell.h"
#include "kernel_data.h"

static const cw_kernels *const SLOW = &cw_kernels_scalar;

static const size_t OUTPUTS[] = {16, 1, 64, 17, 128, 48, 31, 100, 80, 15, 192, 65, 33, 112};
enum { OUTPUT_COUNT = sizeof OUTPUTS / sizeof OUTPUTS[0] };

static const size_t ROWS[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 29, 100, 230};
enum { ROWS_COUNT = sizeof ROWS / sizeof ROWS[0], FEW = 20 };

static void check_product_f32(const cw_kernels *fast, size_t rows, size_t depth, size_t outputs, size_t turn, int add) {
  size_t x_stride = depth + turn % 3, y_stride = outputs + turn % 5, y_count = (rows - 1) * y_stride + outputs;
  snprintf(what, sizeof what, "%s product_f32, %zu rows, depth %zu, %zu outputs, add %d", fast->name, rows, depth, outputs, add);
  float *x = take_floats((rows - 1) * x_stride + depth, -1, 1);
  float *w = take_floats((outputs + CW_PANEL - 1) / CW_PANEL * depth * CW_PANEL, -1, 1);
  float *a = take_floats(y_count, -1, 1), *b = take_copy(a, y_count * sizeof(float));
  fast->product_f32(x, x_stride, rows, depth, w, outputs, a, y_stride, add);
  SLOW->product_f32(x, x_stride, rows, depth, w, outputs, b, y_stride, add);
  same("y", a, b, y_count);
  give_back_all();
}

static void test_product_f32(const cw_kernels *fast) {
  static const size_t DEPTHS[] = {1, 3, 8, 16, 33, 64, 96, 255, 256, 257, 384, 513, 768, 1152};
  size_t turn = 0;
  for (size_t d = 0; d < sizeof DEPTHS / sizeof DEPTHS[0]; d++)
    for (size_t i = 0; i < ROWS_COUNT; i++)
      for (int add = 0; add < 2; add++) {
        size_t depth = DEPTHS[d], rows = ROWS[i], outputs = OUTPUTS[turn++ % OUTPUT_COUNT];
        if (rows > FEW && depth != 33 && depth != 513) continue; /* the reference is slow */
        check_product_f32(fast, rows, depth, outputs, turn, add);
      }
  for (size_t rows = 150; rows < 450; rows += 86) /* more than are computed at once, and more panels than tiles lie beside each other */
    for (size_t outputs = 250; outputs < 300; outputs += 23, turn++)
      check_product_f32(fast, rows, 21 + rows, outputs, turn, (int)(turn % 2));
}

static void test_products_q(const cw_kernels *fast) {
  static const size_t DEPTHS[] = {32, 64, 96, 128, 160, 256, 288, 384, 480, 768, 1152};
  size_t turn = 0;
  for (size_t d = 0; d < sizeof DEPTHS / sizeof DEPTHS[0]; d++)
    for (size_t i = 0; i < ROWS_COUNT; i++)
      for (int form = 0; form < 4; form++) { /* bit 0: add, bit 1: int4 */
        size_t depth = DEPTHS[d], rows = ROWS[i], outputs = OUTPUTS[turn++ % OUTPUT_COUNT];
        if (rows > FEW && depth != 64 && depth != 480) continue;
        size_t y_stride = outputs + turn % 5, y_count = (rows - 1) * y_stride + outputs;
        int add = form & 1;
        kind x_kind = (kind)(turn / 4 % KIND_COUNT), w_kind = (kind)(turn / 4 / KIND_COUNT % KIND_COUNT);
        snprintf(what, sizeof what, "%s product_%s, %zu rows, depth %zu, %zu outputs, add %d, inputs %d %d", fast->name,
                 form & 2 ? "q4" : "q8", rows, depth, outputs, add, x_kind, w_kind);
        cw_q8_rows x = take_rows(rows, depth, x_kind);
        cw_q_panels w = (form & 2 ? take_q4 : take_q8)(depth, outputs, w_kind);
        float *a = take_floats(y_count, -1, 1), *b = take_copy(a, y_count * sizeof(float));
        (form & 2 ? fast->product_q4 : fast->product_q8)(&x, rows, &w, a, y_stride, add);
        (form & 2 ? SLOW->product_q4 : SLOW->product_q8)(&x, rows, &w, b, y_stride, add);
        same("y", a, b, y_count);
        give_back_all();
      }
}

/* Ordinary rows, and rows with what quantisation meets at its edges. */
static void fill_row(float *x, size_t depth, int form) {
  for (size_t k = 0; k < depth; k++) {
    x[k] = uniform(-3, 3);
    if (form == 1) x[k] = k / CW_SUB % 2 ? 0.0f : x[k];                     /* groups of zeros */
    if (form == 2) x[k] *= 1e-31f;                                          /* below CW_TINY */
    if (form == 3) x[k] = (float)((int)below(255) - 127) * 0.5f;            /* ties */
    if (form == 4) x[k] = k % 100 == 17 ? -3e38f : x[k] * 1e-40f;           /* an outlier among denormals */
    if (form == 5) x[k] = k / CW_SUB % 2 ? -0.0f : uniform(0.999e-30f, 1.001e-30f); /* about CW_TINY */
    if (form == 6) x[k] = k == depth - 1 ? 1e6f : x[k];
  }
}

static void test_quantise(const cw_kernels *fast) {
  static const size_t GROUPS[] = {32, 64, 96, 128, 256, 1152};
  for (size_t depth = 32; depth <= 1152; depth += depth < 512 ? 32 : 160)
    for (size_t g = 0; g < sizeof GROUPS / sizeof GROUPS[0]; g++)
      for (int form = 0; form < 7; form++) {
        size_t group = GROUPS[g], groups = (depth + group - 1) / group;
        snprintf(what, sizeof what, "%s quantise, depth %zu, group %zu, form %d", fast->name, depth, group, form);
        size_t stride = form % 3 + 1, q_count = (groups - 1) * stride * group + depth - (groups - 1) * group;
        size_t scale_count = (groups - 1) * stride + 1, sum_count = (depth / CW_SUB - 1) * stride + 1;
        float *x = take(depth * sizeof(float)), *scales = take_floats(scale_count, 0, 1), *scales_slow = take_copy(scales, scale_count * sizeof(float));
        int8_t *q = take(q_count), *q_slow = take_copy(q, q_count);
        int32_t *sums = take(sum_count * 4), *sums_slow = take_copy(sums, sum_count * 4);
        fill_row(x, depth, form);
        fast->quantise(x, depth, group, stride, q, scales, sums);
        SLOW->quantise(x, depth, group, stride, q_slow, scales_slow, sums_slow);
        same("scale", scales, scales_slow, scale_count);
        if (memcmp(q, q_slow, q_count) != 0) fail("q differs");
        if (memcmp(sums, sums_slow, sum_count * 4) != 0) fail("sums differ");
        give_back_all();
      }
}

/* A block of keys and values. Positions from `filled` on hold what no row may see: any keys, scales that are not numbers. */
static cw_q8_block take_block(size_t size, size_t filled, int form) {
  uint8_t *keys = take(CW_BLOCK * size);
  int8_t *values = take(CW_BLOCK * size);
  float *key_scales = take_floats(CW_BLOCK, 0.001f, 0.05f), *value_scales = take_floats(CW_BLOCK, 0.0f, form == 3 ? 1e-31f : 0.1f);
  for (size_t i = 0; i < CW_BLOCK * size; i++) {
    size_t position = i / (CW_PANEL * size) * CW_PANEL + i / 4 % CW_PANEL;
    keys[i] = (uint8_t)(form == 1 ? (next() >> 40 & 1 ? 128 : 0) : below(129));
    if (position >= filled) keys[i] = (uint8_t)(next() >> 40);
    values[i] = (int8_t)(form == 2 ? 0 : form == 1 ? (next() >> 40 & 1 ? 127 : -127) : (int)below(255) - 127);
  }
  for (size_t p = filled; p < CW_BLOCK; p++) key_scales[p] = value_scales[p] = NAN;
  return (cw_q8_block){keys, key_scales, values, value_scales};
}

/* Segments of 1 to 8 blocks, the last of them full in part, joined one after the other. */
static void test_attend(const cw_kernels *fast) {
  static const size_t SIZES[] = {32, 64, 96, 128, 160, 256}, LENGTHS[] = {64, 512, 200, 1, 130};
  size_t turn = 0;
  for (size_t s = 0; s < sizeof SIZES / sizeof SIZES[0]; s++)
    for (size_t rows = 1; rows <= 100; rows += rows < 17 ? 1 : rows == 47 ? 2 : 6)
      for (int form = 0; form < 4; form++) {
        size_t size = SIZES[s];
        if (rows > 20 && size % 64 != 0 && form > 0) continue; /* the reference is slow */
        snprintf(what, sizeof what, "%s attend_q8, %zu rows, head size %zu, form %d", fast->name, rows, size, form);
        int8_t *q = take(rows * size);
        for (size_t i = 0; i < rows * size; i++) q[i] = (int8_t)(form == 1 ? (next() >> 40 & 1 ? 127 : -127) : (int)below(255) - 127);
        int32_t *sums = take(rows * sizeof *sums);
        float *scales = take_floats(rows, 0.0001f, 0.01f);
        for (size_t r = 0; r < rows; r++) {
          sums[r] = 0;
          for (size_t d = 0; d < size; d++) sums[r] += q[r * size + d];
        }
        uint16_t *seen = take(rows * sizeof *seen);
        cw_q8_queries a = {q, scales, sums, seen, rows, size, take_floats(rows, -INFINITY, -INFINITY), take_floats(rows, 0, 0),
                           take_floats(rows * size, 0, 0)};
        for (size_t r = 0; r < rows; r++) a.highest[r] = -INFINITY;
        cw_q8_queries b = a;
        b.highest = take_copy(a.highest, rows * sizeof(float));
        b.total = take_copy(a.total, rows * sizeof(float));
        b.out = take_copy(a.out, rows * size * sizeof(float));
        for (int segment = 0; segment < 3; segment++) {
          const size_t filled = LENGTHS[turn++ % (sizeof LENGTHS / sizeof LENGTHS[0])], count = (filled + CW_BLOCK - 1) / CW_BLOCK;
          if (rows > 20 && filled == CW_SEGMENT && turn % 3 != 0) continue;
          cw_q8_block blocks[CW_SEGMENT_BLOCKS];
          for (size_t i = 0; i < count; i++)
            blocks[i] = take_block(size, filled - i * CW_BLOCK < CW_BLOCK ? filled - i * CW_BLOCK : CW_BLOCK, segment == 2 ? 0 : form);
          for (size_t r = 0; r < rows; r++) {
            static const uint8_t EDGES[] = {0, 64, 1, 63, 16, 17, 15, 32, 33, 48, 47, 8};
            size_t wish = turn++ % 3 ? (count - 1) * CW_BLOCK + EDGES[turn / 3 % sizeof EDGES] : below(filled + 1);
            seen[r] = (uint16_t)(segment == 1 || wish > filled ? filled : wish); /* segment 1: all rows see all, the usual case */
          }
          fast->attend_q8(&a, blocks, count);
          SLOW->attend_q8(&b, blocks, count);
          same("highest", a.highest, b.highest, rows);
          same("total", a.total, b.total, rows);
          same("out", a.out, b.out, rows * size);
        }
        give_back_all();
      }
}

static const size_t SIZES[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 97, 256};
enum { SIZE_COUNT = sizeof SIZES / sizeof SIZES[0] };

static void test_depthwise(const cw_kernels *fast) {
  static const size_t CHANNELS[] = {64, 1, 7, 8, 9, 16, 17, 24, 32, 33, 48, 63};
  static const size_t WIDTHS[] = {1, 2, 3, 4, 5, 8, 11, 32};
  for (size_t i = 0; i < sizeof CHANNELS / sizeof CHANNELS[0]; i++)
    for (size_t w = 0; w < sizeof WIDTHS / sizeof WIDTHS[0]; w++)
      for (size_t stride = 1; stride <= 2; stride++) {
        size_t channels = CHANNELS[i], width = WIDTHS[w], count = 1 + below(3), inputs = (count - 1) * stride + 3;
        size_t taps = channels + below(3), sums_stride = channels + below(3), cells = (width - 1) * stride + 3;
        snprintf(what, sizeof what, "%s depthwise, %zu channels, width %zu, stride %zu", fast->name, channels, width, stride);
        const float *rows[7];
        for (size_t r = 0; r < inputs; r++) rows[r] = take_floats((cells - 1) * CW_CELL + channels, -2, 2);
        cw_depthwise a = {.rows = rows, .stride = stride, .count = count, .width = width, .channels = channels,
                          .weight = take_floats(8 * taps + channels, -1, 1), .taps = taps, .bias = take_floats(channels, -1, 1),
                          .y = take_floats((count * width - 1) * CW_SLAB + channels, NAN, NAN),
                          .sums = take_floats((count - 1) * sums_stride + channels, NAN, NAN), .sums_stride = sums_stride};
        cw_depthwise b = a;
        b.y = take_copy(a.y, ((count * width - 1) * CW_SLAB + channels) * sizeof(float));
        b.sums = take_copy(a.sums, ((count - 1) * sums_stride + channels) * sizeof(float));
        fast->depthwise(&a);
        SLOW->depthwise(&b);
        same("y", a.y, b.y, (count * width - 1) * CW_SLAB + channels);
        same("sums", a.sums, b.sums, (count - 1) * sums_stride + channels);
        give_back_all();
      }
}

static void test_scale(const cw_kernels *fast) {
  for (int s = 0; s < SIZE_COUNT; s++) {
    size_t size = SIZES[s];
    snprintf(what, sizeof what, "%s scale, %zu numbers", fast->name, size);
    float *x = take_floats(size, -2, 2), *gains = take_floats(size, -1, 1), *a = take(size * sizeof(float)), *b = take(size * sizeof(float));
    fast->scale(x, gains, size, a);
    SLOW->scale(x, gains, size, b);
    same("y", a, b, size);
    give_back_all();
  }
}

static void test_rms(const cw_kernels *fast) {
  for (int s = 0; s < SIZE_COUNT; s++)
    for (int form = 0; form < 4; form++) { /* bit 0: weighted, bit 1: in place */
      size_t size = SIZES[s];
      snprintf(what, sizeof what, "%s rms, %zu numbers, form %d", fast->name, size, form);
      float *x = take_floats(size, -20, 20), *w = take_floats(size, -2, 2);
      float *a = form & 2 ? x : take(size * sizeof(float)), *b = take(size * sizeof(float));
      SLOW->rms(x, form & 1 ? w : NULL, 1e-6f, size, b);
      fast->rms(x, form & 1 ? w : NULL, 1e-6f, size, a);
      same("y", a, b, size);
      give_back_all();
    }
}

typedef void (*activation)(float *x, size_t size);

static void test_activations(const cw_kernels *fast) {
  const struct {
    const char *name;
    activation fast, slow;
    float low, high;
  } ACTIVATIONS[] = {{"silu", fast->silu, SLOW->silu, -120, 120},
                     {"gelu", fast->gelu, SLOW->gelu, -30, 30},
                     {"sigmoid", fast->sigmoid, SLOW->sigmoid, -120, 120},
                     {"exp", fast->exp, SLOW->exp, -100, 88}};
  static const float EDGES[] = {0.0f, -0.0f, -87.0f, -87.00001f, 1e-40f, -1e-40f, 1e-20f, 0.5f, -88.5f, 20.0f};
  for (int s = 0; s < SIZE_COUNT; s++) {
    size_t size = SIZES[s];
    for (int f = 0; f < 4; f++) {
      snprintf(what, sizeof what, "%s %s, %zu numbers", fast->name, ACTIVATIONS[f].name, size);
      float *a = take_floats(size, ACTIVATIONS[f].low, ACTIVATIONS[f].high);
      for (size_t i = 0; i < size && i < sizeof EDGES / sizeof EDGES[0]; i++)
        if (s % 2) a[i] = EDGES[i];
      if (f == 3 && size > 10) a[10] = -INFINITY;
      float *b = take_copy(a, size * sizeof(float));
      ACTIVATIONS[f].fast(a, size), ACTIVATIONS[f].slow(b, size);
      same("x", a, b, size);
      give_back_all();
    }
    snprintf(what, sizeof what, "%s silu_mul, %zu numbers", fast->name, size);
    float *a = take_floats(size, -20, 20), *b = take_copy(a, size * sizeof(float)), *y = take_floats(size, -2, 2);
    fast->silu_mul(a, y, size), SLOW->silu_mul(b, y, size);
    same("x", a, b, size);
    give_back_all();
    snprintf(what, sizeof what, "%s softcap, %zu numbers", fast->name, size);
    a = take_floats(size, -400, 400), b = take_copy(a, size * sizeof(float));
    fast->softcap(a, size, 15.0f), SLOW->softcap(b, size, 15.0f);
    same("x", a, b, size);
    give_back_all();
  }
}

int main(void) {
  static const char *const NAMES[] = {"scalar", "avx2", "avx512vnni"};
  catch_faults();
  for (int i = 0; i < 3; i++) {
    cw_status status = cw_isa_select(NAMES[i]);
    if (status == CW_E_ISA && i > 0) {
      printf("%s: absent on this machine\n", NAMES[i]);
      continue;
    }
    snprintf(what, sizeof what, "%s", NAMES[i]);
    if (status != CW_OK || strcmp(cw_isa_name(), NAMES[i]) != 0) fail("was not selected");
    const cw_kernels *fast = cw_kernels_selected();
    int before = failures;
    test_product_f32(fast);
    test_products_q(fast);
    test_quantise(fast);
    test_attend(fast);
    test_depthwise(fast);
    test_scale(fast);
    test_rms(fast);
    test_activations(fast);
    printf("%s: %d failures\n", NAMES[i], failures - before);
  }
  snprintf(what, sizeof what, "cpu");
  if (cw_isa_select("none-such") != CW_E_ISA) fail("an unknown instruction set was accepted");
  if (cw_threads_default() < 1) fail("no default thread");
  printf("test_kernels: %d failures\n", failures);
  return failures != 0;
}
