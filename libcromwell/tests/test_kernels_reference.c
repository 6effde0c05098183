/* test_kernels_reference.c: the scalar kernels against straightforward arithmetic in double precision on plain matrices, so that the
 * layouts of kernels.h are checked too. Tolerances follow from the number of roundings. */
#include "kernel_data.h"
#include "kernels/scalar/math_scalar.h"

static const cw_kernels *const K = &cw_kernels_scalar;
static const double EPS = 5.9604644775390625e-8; /* 2^-24: half a unit in the last place of 1 */

static void near(const char *name, double at, double got, double want, double tolerance) {
  if (fabs(got - want) <= tolerance) return;
  char message[160];
  snprintf(message, sizeof message, "%s at %.9g is %.9g, want %.9g, tolerance %.3g", name, at, got, want, tolerance);
  fail(message);
}

static void test_product_f32(void) {
  enum { ROWS = 3, DEPTH = 77, OUTPUTS = 21 };
  static float x[ROWS][DEPTH], w[OUTPUTS][DEPTH], panels[2][DEPTH][CW_PANEL], y[ROWS][OUTPUTS];
  snprintf(what, sizeof what, "product_f32");
  for (int add = 0; add < 2; add++) {
    for (int k = 0; k < DEPTH; k++) {
      for (int r = 0; r < ROWS; r++) x[r][k] = uniform(-1, 1);
      for (int n = 0; n < OUTPUTS; n++) panels[n / CW_PANEL][k][n % CW_PANEL] = w[n][k] = uniform(-1, 1);
    }
    for (int r = 0; r < ROWS; r++)
      for (int n = 0; n < OUTPUTS; n++) y[r][n] = 0.25f;
    K->product_f32(x[0], DEPTH, ROWS, DEPTH, panels[0][0], OUTPUTS, y[0], OUTPUTS, add);
    for (int r = 0; r < ROWS; r++)
      for (int n = 0; n < OUTPUTS; n++) {
        double want = add ? 0.25 : 0, size = want;
        for (int k = 0; k < DEPTH; k++) want += (double)x[r][k] * w[n][k], size += fabs((double)x[r][k] * w[n][k]);
        near("y", n, y[r][n], want, DEPTH * EPS * size);
      }
  }
}

static double value_of(uint16_t half) { return (double)bfloat_one(half); }

/* Packs plain integers as kernels.h says, and multiplies them as they are. */
static void test_products_q(int four) {
  enum { ROWS = 3, DEPTH = 288, OUTPUTS = 37, GROUPS = 3, PANELS = 3 };
  static int plain[OUTPUTS][DEPTH]; /* the integer weight, offset removed */
  static uint8_t weights[PANELS * DEPTH * CW_PANEL], multipliers[PANELS * DEPTH / CW_SUB * CW_PANEL];
  static uint16_t scales[PANELS * GROUPS * CW_PANEL];
  static float y[ROWS][OUTPUTS];
  snprintf(what, sizeof what, "product_%s", four ? "q4" : "q8");
  for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) scales[i] = draw_scale();
  for (size_t i = 0; i < sizeof multipliers; i++) multipliers[i] = (uint8_t)(1 + below(8));
  memset(weights, 0, sizeof weights);
  for (size_t n = 0; n < OUTPUTS; n++)
    for (size_t k = 0; k < DEPTH; k++) {
      size_t p = n / CW_PANEL, j = n % CW_PANEL;
      if (four) {
        int nibble = (int)below(16);
        uint8_t *byte = &weights[p * DEPTH * CW_PANEL / 2 + k / 8 * 64 + j * 4 + k % 4];
        *byte = (uint8_t)(*byte | nibble << (k % 8 < 4 ? 0 : 4));
        plain[n][k] = (nibble - 8) * multipliers[(p * (DEPTH / CW_SUB) + k / CW_SUB) * CW_PANEL + j];
      } else {
        plain[n][k] = (int)below(129) - CW_OFFSET;
        weights[p * DEPTH * CW_PANEL + k / 4 * 64 + j * 4 + k % 4] = (uint8_t)(plain[n][k] + CW_OFFSET);
      }
    }
  cw_q8_rows x = take_rows(ROWS, DEPTH, MIXED);
  cw_q_panels w = {weights, multipliers, scales, DEPTH, OUTPUTS};
  for (int add = 0; add < 2; add++) {
    for (size_t i = 0; i < ROWS * OUTPUTS; i++) y[i / OUTPUTS][i % OUTPUTS] = 0.25f;
    (four ? K->product_q4 : K->product_q8)(&x, ROWS, &w, y[0], OUTPUTS, add);
    for (size_t r = 0; r < ROWS; r++)
      for (size_t n = 0; n < OUTPUTS; n++) {
        double want = add ? 0.25 : 0, size = want;
        for (size_t k = 0; k < DEPTH; k++) {
          size_t g = k / CW_GROUP;
          double scale = value_of(scales[(n / CW_PANEL * GROUPS + g) * CW_PANEL + n % CW_PANEL]);
          double term = (double)x.q[(g * x.stride + r) * CW_GROUP + k % CW_GROUP] * x.scales[g * x.stride + r] * plain[n][k] * scale;
          want += term, size += fabs(term);
        }
        near("y", (double)n, y[r][n], want, 3 * GROUPS * EPS * size);
      }
  }
  give_back_all();
}

static void test_quantise(void) {
  enum { DEPTH = 320, GROUP = 128 };
  snprintf(what, sizeof what, "quantise");
  static float x[DEPTH], scales[3];
  static int8_t q[DEPTH];
  static int32_t sums[DEPTH / CW_SUB];
  for (int k = 0; k < DEPTH; k++) x[k] = k / GROUP == 1 ? uniform(-1e-31f, 1e-31f) : uniform(-4, 4);
  K->quantise(x, DEPTH, GROUP, 1, q, scales, sums);
  for (int k = 0; k < DEPTH; k++) near("q times scale", k, (double)q[k] * scales[k / GROUP], x[k], (0.5 + 127 * 5e-7) * scales[k / GROUP] + 1e-31);
  for (int g = 0; g < 3; g++) {
    int most = 0;
    for (int k = g * GROUP; k < DEPTH && k < (g + 1) * GROUP; k++) most = abs(q[k]) > most ? abs(q[k]) : most;
    near("largest q", g, most, g == 1 ? 0 : 127, 0);
  }
  near("scale of a group of zeros", 1, scales[1], 0, 0);
  for (int s = 0; s < DEPTH / CW_SUB; s++) {
    int sum = 0;
    for (int k = 0; k < CW_SUB; k++) sum += q[s * CW_SUB + k];
    near("sum", s, sums[s], sum, 0);
  }
}

/* Plain keys and values of several segments, packed by the layout of kernels.h, against the exact softmax of the same numbers. The losses
 * are those of weights to 15 bits, half a unit of the largest value scale for each position; of the exponential, 3e-6; and of key scales
 * to 22 bits, as are roundings of float32 (scores of up to 40 lose 40 eps). */
static void test_attend(void) {
  enum { ROWS = 6, SIZE = 96, BLOCKS = 11, POSITIONS = BLOCKS * CW_BLOCK };
  static int key[POSITIONS][SIZE], value[POSITIONS][SIZE];
  static uint8_t keys[BLOCKS][CW_BLOCK * SIZE];
  static uint16_t seen[ROWS];
  static cw_q8_block blocks[BLOCKS];
  static int8_t values[BLOCKS][CW_BLOCK * SIZE], q[ROWS][SIZE];
  static float key_scales[POSITIONS], value_scales[POSITIONS], scales[ROWS], highest[ROWS], total[ROWS], out[ROWS][SIZE];
  static int32_t sums[ROWS];
  snprintf(what, sizeof what, "attend_q8");
  for (size_t p = 0; p < POSITIONS; p++) {
    size_t at = p % CW_BLOCK;
    key_scales[p] = uniform(0.001f, 0.02f), value_scales[p] = uniform(0.001f, 0.02f);
    for (size_t d = 0; d < SIZE; d++) {
      key[p][d] = (int)below(129) - CW_OFFSET, value[p][d] = (int)below(255) - 127;
      keys[p / CW_BLOCK][at / CW_PANEL * SIZE * CW_PANEL + d / 4 * 64 + at % CW_PANEL * 4 + d % 4] = (uint8_t)(key[p][d] + CW_OFFSET);
      values[p / CW_BLOCK][(at / 2 * SIZE + d) * 2 + at % 2] = (int8_t)value[p][d];
    }
  }
  static const size_t LENGTHS[ROWS] = {1, 64, 70, 512, 550, 704};
  for (size_t r = 0; r < ROWS; r++) {
    scales[r] = 0.02f, highest[r] = -INFINITY;
    for (size_t d = 0; d < SIZE; d++) q[r][d] = (int8_t)((int)below(255) - 127), sums[r] += q[r][d];
  }
  for (size_t b = 0; b < BLOCKS; b++)
    blocks[b] = (cw_q8_block){keys[b], key_scales + b * CW_BLOCK, values[b], value_scales + b * CW_BLOCK};
  for (size_t b = 0; b < BLOCKS; b += CW_SEGMENT_BLOCKS) {
    for (size_t r = 0; r < ROWS; r++) {
      size_t left = LENGTHS[r] < b * CW_BLOCK ? 0 : LENGTHS[r] - b * CW_BLOCK;
      seen[r] = (uint16_t)(left < CW_SEGMENT ? left : CW_SEGMENT);
    }
    cw_q8_queries queries = {q[0], scales, sums, seen, ROWS, SIZE, highest, total, out[0]};
    K->attend_q8(&queries, blocks + b, BLOCKS - b < CW_SEGMENT_BLOCKS ? BLOCKS - b : CW_SEGMENT_BLOCKS);
  }
  for (size_t r = 0; r < ROWS; r++) {
    double score[POSITIONS], most = -INFINITY, sum = 0, widest = 0;
    for (size_t p = 0; p < LENGTHS[r]; p++) {
      score[p] = 0;
      for (size_t d = 0; d < SIZE; d++) score[p] += (double)q[r][d] * key[p][d];
      score[p] *= (double)scales[r] * key_scales[p];
      most = score[p] > most ? score[p] : most;
      widest = fabs(score[p]) > widest ? fabs(score[p]) : widest;
    }
    near("highest", (double)r, highest[r], ceil(most) + 1, most - floor(most) < 16 * EPS * widest || ceil(most) - most < 16 * EPS * widest);
    for (size_t p = 0; p < LENGTHS[r]; p++) sum += exp2(score[p] - highest[r]);
    const double relative = 3e-6 + (16 * widest + 100) * EPS;
    near("total", (double)r, total[r], sum, relative * sum);
    for (size_t d = 0; d < SIZE; d++) {
      double want = 0;
      for (size_t p = 0; p < LENGTHS[r]; p++) want += exp2(score[p] - highest[r]) / sum * value[p][d] * value_scales[p];
      near("out", (double)d, out[r][d] / total[r], want, 127 * 0.02 * (LENGTHS[r] * 0.5 / 32767 / sum + 2 * relative));
    }
  }
}

static void test_rows(void) {
  enum { SIZE = 101 };
  static float x[SIZE], w[SIZE], y[SIZE];
  snprintf(what, sizeof what, "rms");
  double squares = 0;
  for (int i = 0; i < SIZE; i++) x[i] = uniform(-20, 20), w[i] = uniform(-2, 2), squares += (double)x[i] * x[i];
  K->rms(x, w, 1e-6f, SIZE, y);
  for (int i = 0; i < SIZE; i++) near("y", i, y[i], x[i] / sqrt(squares / SIZE + 1e-6) * w[i], 20 * EPS * fabs(y[i]));
}

/* A small image with zeros around it, convolved in strides of 1 and 2. */
static void test_depthwise(void) {
  enum { CHANNELS = 5, SIDE = 6, TAPS = 7 };
  static float image[SIDE + 2][SIDE + 2][CW_CELL], weight[9][TAPS], bias[CHANNELS], y[SIDE * SIDE][CW_SLAB], sums[SIDE][TAPS], gains[CHANNELS];
  const float *rows[SIDE + 2];
  for (int t = 0; t < 9; t++)
    for (int c = 0; c < CHANNELS; c++) weight[t][c] = uniform(-1, 1), bias[c] = uniform(-1, 1), gains[c] = uniform(-1, 1);
  for (int row = 0; row < SIDE; row++)
    for (int col = 0; col < SIDE; col++)
      for (int c = 0; c < CHANNELS; c++) image[row + 1][col + 1][c] = uniform(-2, 2);
  for (int row = 0; row < SIDE + 2; row++) rows[row] = image[row][0];
  for (int stride = 1; stride <= 2; stride++) {
    snprintf(what, sizeof what, "depthwise, stride %d", stride);
    int side = SIDE / stride;
    cw_depthwise d = {.rows = rows, .stride = (size_t)stride, .count = (size_t)side, .width = (size_t)side, .channels = CHANNELS,
                      .weight = weight[0], .taps = TAPS, .bias = bias, .y = y[0], .sums = sums[0], .sums_stride = TAPS};
    K->depthwise(&d);
    for (int row = 0; row < side; row++)
      for (int c = 0; c < CHANNELS; c++) {
        double total = 0, tolerance = 0;
        for (int col = 0; col < side; col++) {
          double want = bias[c], size = fabs(want);
          for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
              double product = (double)image[row * stride + i][col * stride + j][c] * weight[3 * i + j][c];
              want += product, size += fabs(product);
            }
          want = want / (1 + exp(-want));
          near("y", c, y[row * side + col][c], want, (9 * 1.2 + 8) * EPS * size); /* the slope of silu is below 1.1 */
          total += y[row * side + col][c], tolerance += SIDE * EPS * fabs(want);
        }
        near("sums", c, sums[row][c], total, tolerance);
      }
  }
  snprintf(what, sizeof what, "scale");
  K->scale(image[1][1], gains, CHANNELS, y[0]);
  for (int c = 0; c < CHANNELS; c++) near("y", c, y[0][c], (double)image[1][1][c] * gains[c], EPS * fabs(y[0][c]));
}

/* Within a few units in the last place of libm. */
static void test_functions(void) {
  snprintf(what, sizeof what, "functions");
  for (int i = 0; i < 20000; i++) {
    float x = uniform(-30, 30) * (i % 4 == 0 ? 0.001f : 1), y;
    double few = 8 * EPS;
    y = x, K->sigmoid(&y, 1);
    near("sigmoid", x, y, 1 / (1 + exp(-(double)x)), few * y);
    y = x, K->silu(&y, 1);
    near("silu", x, y, x / (1 + exp(-(double)x)), few * fabs(y));
    float gate = x, up = 1.5f;
    K->silu_mul(&gate, &up, 1);
    near("silu_mul", x, gate, 1.5 * x / (1 + exp(-(double)x)), few * fabs(gate));
    y = x, K->softcap(&y, 1, 15.0f);
    near("softcap", x, y, 15 * tanh((double)x / 15), few * fabs(y));
    y = x, K->gelu(&y, 1);
    near("gelu", x, y, 0.5 * x * (1 + tanh(0.7978845608 * (x + 0.044715 * (double)x * x * x))), few * (fabs(y) + 1e-2));
    y = x * 2.9f, K->exp(&y, 1);
    near("exp", x * 2.9f, y, exp((double)(x * 2.9f)), few * y);
    x = uniform(-126, 0) * (i % 4 == 0 ? 0.001f : 1);
    near("exp2", x, exp2_one(x), exp2(x), 3e-6 * exp2(x));
  }
  near("exp2", 0, exp2_one(0.0f), 1, 0);
  near("exp2", -1, exp2_one(-1.0f), 0.5, 0);
  near("exp2", -126, exp2_one(-126.0f), exp2(-126), 0);
  near("exp2", -127, exp2_one(-127.0f), exp2(-126), 0);
  near("exp2", -INFINITY, exp2_one(-INFINITY), exp2(-126), 0);
  near("power of two", -126, power_of_two(-126.0f), exp2(-126), 0);
  near("power of two", -127, power_of_two(-127.0f), 0, 0);
  near("power of two", -INFINITY, power_of_two(-INFINITY), 0, 0);
  float far[4] = {-1e30f, 1e30f, -INFINITY, -88.0f};
  K->sigmoid(far, 2);
  near("sigmoid", -1e30, far[0], 0, 1e-30);
  near("sigmoid", 1e30, far[1], 1, 0);
  K->exp(far + 2, 2);
  near("exp", -INFINITY, far[2], 0, 0);
  near("exp", -88, far[3], 0, 0);
}

int main(void) {
  test_product_f32();
  test_products_q(0);
  test_products_q(1);
  test_quantise();
  test_attend();
  test_rows();
  test_depthwise();
  test_functions();
  printf("test_kernels_reference: %d failures\n", failures);
  return failures != 0;
}
