/* bench_kernels.c: every kernel of every instruction set present against what the machine can do at most, measured in the same run:
 *     cmake --build build --target bench_kernels && build/bench_kernels [--json] [--kernel product_q8]... [--isa avx2]...
 *         [--threads 1,2] [--rows 1,224] [--rounds 12] [--small-pages]
 *
 * The bound of a product or of attention is the greater of two times: its arithmetic at the peak rate of the instructions that its set
 * has for it, and its weights read once at the rate at which the same threads read the same memory by plain loads. ratio = bound / time.
 * The other kernels have a rate only. All candidates of a shape run in turn, and each keeps its best round: other programs on the
 * machine only ever lower a figure. Threads take ranges of whole panels, as in the engine. Matrices of `dram` shapes are so many
 * copies, used in turn, that none is in a cache; others stay where their size lets them. Memory is in huge pages unless
 * --small-pages, which is how a mapped file looks. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "cpu.h"
#include "cromwell.h"
#include "peaks.h"

enum {
  MAX_THREADS = 64,
  MAX_NAMES = 16,
  MAX_ISAS = 3,
  MOST_ROWS = 224,  /* of what the engine computes at once */
  TALL_ROWS = 4096, /* of whole float products, which the reference is spared */
  FEW_ROWS = 16,    /* up to which memory may be the bound */
  BLOCKS = 64
};
static const size_t HUGE_PAGE = 2u << 20, UNCACHED = 320u << 20;
static const double LEAST_S = 1e-3; /* a run of a small shape repeats it until about this */

/* ---- What is asked for ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *kernels[MAX_NAMES], *isas[MAX_NAMES];
  int threads[MAX_NAMES], rows[MAX_NAMES];
  int kernel_count, isa_count, thread_count, row_count, rounds, json, small_pages;
} request;

static request wanted = {.rounds = 12};

static int asked(const char *const *names, int count, const char *name) {
  for (int i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return 1;
  return count == 0;
}

/* ---- Threads: a round starts them together. Work that shares memory took from the first start to the last end; other work as much
 * processor time as the busiest thread used, since on a busy machine a run of some milliseconds is rarely left alone. -------------- */

typedef struct {
  void (*run)(void *context, int index, int threads);
  void *context;
  int threads;
  int alone; /* bound by the cores: judged by processor time */
} job;

static struct {
  job now;
  atomic_int round, arrived, done;
  double start_s[MAX_THREADS], stop_s[MAX_THREADS], used_s[MAX_THREADS];
} team;

static double now_s(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void take_part(int index) {
  atomic_fetch_add(&team.arrived, 1);
  while (atomic_load(&team.arrived) < team.now.threads) sched_yield();
  double used_s = now_s(CLOCK_THREAD_CPUTIME_ID);
  team.start_s[index] = now_s(CLOCK_MONOTONIC);
  team.now.run(team.now.context, index, team.now.threads);
  team.stop_s[index] = now_s(CLOCK_MONOTONIC);
  team.used_s[index] = now_s(CLOCK_THREAD_CPUTIME_ID) - used_s;
}

static void *worker_main(void *argument) {
  int index = *(int *)argument;
  for (int seen = 0;;) {
    while (atomic_load(&team.round) == seen) sched_yield();
    seen = atomic_load(&team.round);
    if (index < team.now.threads) take_part(index);
    atomic_fetch_add(&team.done, 1);
  }
  return NULL;
}

static int workers; /* beside the caller */

static void pin(pthread_t thread, int nth) { /* to the nth processor allowed */
  static cpu_set_t all;
  if (CPU_COUNT(&all) == 0) sched_getaffinity(0, sizeof all, &all);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &all) && nth-- == 0) CPU_SET(cpu, &one);
  if (CPU_COUNT(&one) == 1) pthread_setaffinity_np(thread, sizeof one, &one);
}

static void start_workers(int threads) {
  static int indices[MAX_THREADS];
  pin(pthread_self(), 0);
  for (workers = 0; workers + 1 < threads; workers++) {
    pthread_t id;
    indices[workers] = workers + 1;
    if (pthread_create(&id, NULL, worker_main, &indices[workers]) != 0) exit(1);
    pin(id, workers + 1);
  }
}

static double time_of(const job *what) {
  team.now = *what;
  atomic_store(&team.arrived, 0);
  atomic_store(&team.done, 0);
  atomic_fetch_add(&team.round, 1);
  take_part(0);
  while (atomic_load(&team.done) < workers) sched_yield();
  double first = team.start_s[0], last = team.stop_s[0], most_used = team.used_s[0];
  for (int i = 1; i < what->threads; i++) {
    first = team.start_s[i] < first ? team.start_s[i] : first;
    last = team.stop_s[i] > last ? team.stop_s[i] : last;
    most_used = team.used_s[i] > most_used ? team.used_s[i] : most_used;
  }
  return what->alone ? most_used : last - first;
}

/* ---- Memory ----------------------------------------------------------------------------------------------------------------------- */

static uint64_t state = 88172645463325252u;

static uint64_t next(void) { /* xorshift64 (Marsaglia 2003) */
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static float uniform(float low, float high) { return low + (high - low) * (float)(next() >> 40) / 16777216.0f; }

static char *take(size_t bytes) {
  char *all = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) {
    fprintf(stderr, "bench_kernels: no memory for %zu bytes\n", bytes);
    exit(1);
  }
  char *memory = all + (HUGE_PAGE - (uintptr_t)all % HUGE_PAGE);
  madvise(memory, bytes, wanted.small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  return memory;
}

static float *floats(size_t count, float low, float high) {
  float *values = (float *)(void *)take(count * sizeof(float));
  for (size_t i = 0; i < count; i++) values[i] = uniform(low, high);
  return values;
}

/* ---- Rows that every case shares ------------------------------------------------------------------------------------------------- */

enum { MOST_DEPTH = 4096, MOST_OUTPUTS = 50000 };
static float *rows_f32, *other_f32, *result;
static cw_q8_rows rows_q8; /* filled for a depth by fill_rows */

/* As `rows` rows see it that are all there are, or, for attention, dense. */
static void fill_rows(size_t rows, size_t depth, size_t group) {
  const size_t groups = (depth + group - 1) / group;
  int32_t sums[MOST_DEPTH / CW_SUB];
  rows_q8.stride = rows;
  for (size_t r = 0; r < rows; r++)
    for (size_t g = 0; g < groups; g++) {
      const size_t count = depth - g * group < group ? depth - g * group : group;
      cw_kernels_scalar.quantise(rows_f32 + r * depth + g * group, count, group, 1, (int8_t *)rows_q8.q + (g * rows + r) * group,
                                 (float *)rows_q8.scales + g * rows + r, sums);
      for (size_t s = 0; s < count / CW_SUB; s++) ((int32_t *)rows_q8.sums)[(g * (group / CW_SUB) + s) * rows + r] = sums[s];
    }
}

static void take_rows(void) {
  rows_f32 = floats((size_t)TALL_ROWS * MOST_DEPTH, -1, 1);
  other_f32 = floats((size_t)MOST_ROWS * MOST_DEPTH, -1, 1);
  result = floats((size_t)TALL_ROWS * MOST_DEPTH, 0, 0); /* more than MOST_ROWS * MOST_OUTPUTS */
  rows_q8.q = (const int8_t *)take((size_t)MOST_ROWS * MOST_DEPTH);
  rows_q8.scales = (const float *)(const void *)take((size_t)MOST_ROWS * MOST_DEPTH);
  rows_q8.sums = (const int32_t *)(const void *)take((size_t)MOST_ROWS * MOST_DEPTH);
}

/* ---- Candidates ------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *name; /* of the kernel */
  size_t depth, outputs, rows, copies, matrix_bytes, turn; /* outputs of attention: blocks of positions; turn: next copy */
  char *memory;                                            /* [copies][matrix_bytes]: weights, or blocks of keys and values */
  const cw_kernels *kernels;
  size_t repeats;
  double (*peak)(long steps);
} measured;

/* Panels [first, end) of a thread: multiples of 8 but for the last. */
static void share(size_t panels, int index, int threads, size_t *first, size_t *end) {
  size_t eights = (panels + 7) / 8;
  *first = eights * (size_t)index / (size_t)threads * 8;
  *end = eights * (size_t)(index + 1) / (size_t)threads * 8;
  *end = *end < panels ? *end : panels;
}

static int format_of(const char *kernel) { return strcmp(kernel, "product_q8") == 0 ? 8 : strcmp(kernel, "product_q4") == 0 ? 4 : 32; }

static void run_product(const measured *m, const char *matrix, int index, int threads) {
  size_t panels = (m->outputs + CW_PANEL - 1) / CW_PANEL, groups = (m->depth + CW_GROUP - 1) / CW_GROUP, first, end;
  share(panels, index, threads, &first, &end);
  if (first >= end) return;
  size_t outputs = (end < panels ? end * CW_PANEL : m->outputs) - first * CW_PANEL;
  float *y = result + first * CW_PANEL;
  int bits = format_of(m->name);
  if (bits == 32) {
    const float *weights = (const float *)(const void *)matrix + first * m->depth * CW_PANEL;
    m->kernels->product_f32(rows_f32, m->depth, m->rows, m->depth, weights, outputs, y, m->outputs, 0);
    return;
  }
  const char *multipliers = matrix + panels * CW_PANEL * m->depth * (size_t)bits / 8;
  const char *scales = multipliers + (bits == 4 ? panels * CW_PANEL * (m->depth / CW_SUB) : 0);
  cw_q_panels w = {.weights = (const uint8_t *)matrix + first * CW_PANEL * m->depth * (size_t)bits / 8,
                   .multipliers = (const uint8_t *)multipliers + first * CW_PANEL * (m->depth / CW_SUB),
                   .scales = (const uint16_t *)(const void *)scales + first * groups * CW_PANEL,
                   .depth = m->depth,
                   .outputs = outputs};
  (bits == 8 ? m->kernels->product_q8 : m->kernels->product_q4)(&rows_q8, m->rows, &w, y, m->outputs, 0);
}

static size_t block_bytes(size_t size) { return 2 * CW_BLOCK * size + 2 * CW_BLOCK * sizeof(float); }

static void run_attend(const measured *m, const char *memory, int index, int threads) {
  static uint16_t seen[MOST_ROWS];
  static float highest[MAX_THREADS][MOST_ROWS], total[MAX_THREADS][MOST_ROWS];
  for (size_t r = 0; r < m->rows; r++) seen[r] = CW_SEGMENT;
  size_t size = m->depth, each = m->outputs / (size_t)threads, first = each * (size_t)index;
  for (size_t r = 0; r < m->rows; r++) highest[index][r] = -INFINITY, total[index][r] = 0;
  float *out = result + (size_t)index * MOST_ROWS * size;
  for (size_t i = 0; i < m->rows * size; i++) out[i] = 0;
  for (size_t i = 0; i + CW_SEGMENT_BLOCKS <= each; i += CW_SEGMENT_BLOCKS) {
    cw_q8_block blocks[CW_SEGMENT_BLOCKS];
    for (size_t j = 0; j < CW_SEGMENT_BLOCKS; j++) { /* in an order that no prefetcher of the hardware foresees */
      const char *at = memory + (first + ((i + j) * 37) % each) * block_bytes(size);
      const float *scales = (const float *)(const void *)(at + 2 * CW_BLOCK * size);
      blocks[j] = (cw_q8_block){(const uint8_t *)at, scales, (const int8_t *)at + CW_BLOCK * size, scales + CW_BLOCK};
    }
    cw_q8_queries queries = {rows_q8.q, rows_q8.scales, rows_q8.sums, seen, m->rows, size, highest[index], total[index], out};
    m->kernels->attend_q8(&queries, blocks, CW_SEGMENT_BLOCKS);
  }
}

static void run_row_kernel(const measured *m, int index) {
  const cw_kernels *k = m->kernels;
  size_t size = m->depth;
  for (size_t r = 0; r < m->rows; r++) {
    float *x = result + ((size_t)index * MOST_ROWS + r) * size;
    const float *y = other_f32 + r * size;
    const char *name = m->name;
    if (strcmp(name, "quantise") == 0) {
      int8_t q[MOST_DEPTH];
      float scales[MOST_DEPTH / CW_GROUP];
      int32_t sums[MOST_DEPTH / CW_SUB];
      k->quantise(rows_f32 + r * size, size, CW_GROUP, 1, q, scales, sums);
      __asm__ volatile("" : : "r"(q), "r"(scales), "r"(sums) : "memory");
    } else if (strcmp(name, "depthwise") == 0) {
      const float *rows[3] = {y, y + 8 * CW_CELL, y + 16 * CW_CELL};
      k->depthwise(&(cw_depthwise){.rows = rows, .stride = 1, .count = 1, .width = 6, .channels = CW_SLAB, .weight = rows_f32, .taps = CW_SLAB,
                                   .bias = rows_f32 + 9 * CW_SLAB, .y = x, .sums = x + 6 * CW_SLAB, .sums_stride = CW_SLAB});
    } else {
      memcpy(x, rows_f32 + r * size, size * sizeof(float));
      if (strcmp(name, "rms") == 0) k->rms(x, y, 1e-6f, size, x);
      if (strcmp(name, "exp") == 0) k->exp(x, size);
      if (strcmp(name, "silu") == 0) k->silu(x, size);
      if (strcmp(name, "silu_mul") == 0) k->silu_mul(x, y, size);
      if (strcmp(name, "gelu") == 0) k->gelu(x, size);
      if (strcmp(name, "sigmoid") == 0) k->sigmoid(x, size);
      if (strcmp(name, "softcap") == 0) k->softcap(x, size, 15.0f);
    }
  }
}

static void run_kernel(void *context, int index, int threads) {
  const measured *m = context;
  for (size_t i = 0; i < m->repeats; i++) {
    const char *matrix = m->memory + (m->turn + i) % m->copies * m->matrix_bytes;
    if (strncmp(m->name, "product", 7) == 0)
      run_product(m, matrix, index, threads);
    else if (strcmp(m->name, "attend_q8") == 0)
      run_attend(m, matrix, index, threads);
    else
      run_row_kernel(m, index);
  }
}

typedef struct {
  const measured *what;
  size_t pattern;
} reading;

static void run_read(void *context, int index, int threads) {
  const reading *r = context;
  const measured *m = r->what;
  size_t slice = m->matrix_bytes / (size_t)threads / 64 * 64;
  for (size_t i = 0; i < m->repeats; i++) {
    cw_read_lines(m->memory + (m->turn + i) % m->copies * m->matrix_bytes + (size_t)index * slice, slice, CW_PATTERNS[r->pattern].streams,
                  CW_PATTERNS[r->pattern].ahead);
    __asm__ volatile("" : : : "memory");
  }
}

enum { PEAK_STEPS = 50000 };

static void run_peak(void *context, int index, int threads) {
  (void)index, (void)threads;
  double (*const *peak)(long steps) = context;
  (*peak)(PEAK_STEPS);
}

/* ---- One case: all sets in turn beside their limits -------------------------------------------------------------------------------- */

typedef struct {
  const char *name, *unit, *where; /* where: of the matrices, "dram" or "" */
  size_t depth, outputs, rows;
} shape;

static const struct {
  const char *isa;
  double (*f32)(long), (*bytes)(long), (*words)(long);
} PEAKS[MAX_ISAS] = {{"avx512vnni", cw_peak_fma_512, cw_peak_bytes_512, cw_peak_words_512},
                     {"avx2", cw_peak_fma_256, cw_peak_bytes_256, cw_peak_words_256},
                     {"scalar", NULL, NULL, NULL}};

static const cw_kernels *present[MAX_ISAS]; /* in the order of PEAKS; NULL: absent or not asked for */

/* Seconds an operation takes at the peak of the set; 0 without. */
static double best_peak(double (*peak)(long), int threads, int rounds) {
  if (peak == NULL) return 0;
  double best = 1e9;
  job what = {run_peak, &peak, threads, 1};
  for (int i = 0; i < rounds; i++) {
    double elapsed = time_of(&what);
    best = elapsed < best ? elapsed : best;
  }
  return best / (peak(1) * PEAK_STEPS * threads);
}

static void print_result(const shape *s, const char *isa, int threads, double value, const char *limit, double limit_value, double ratio) {
  static int printed;
  char shape_text[64];
  snprintf(shape_text, sizeof shape_text, "%zux%zu->%zu%s%s", s->rows, s->depth, s->outputs, s->where[0] ? " " : "", s->where);
  if (wanted.json) {
    printf("%s\n {\"kernel\": \"%s\", \"isa\": \"%s\", \"shape\": \"%s\", \"threads\": %d, \"value\": %.4g, \"unit\": \"%s\"", printed ? "," : "",
           s->name, isa, shape_text, threads, value, s->unit);
    if (limit != NULL)
      printf(", \"limit\": {\"name\": \"%s\", \"value\": %.4g}, \"ratio\": %.3f}", limit, limit_value, ratio);
    else
      printf(", \"limit\": null, \"ratio\": null}");
  } else if (limit != NULL) {
    printf("%-12s %-11s %-22s %d %9.1f %-8s %9.1f %-5s %5.0f%%\n", s->name, isa, shape_text, threads, value, s->unit, limit_value, limit,
           100 * ratio);
  } else {
    printf("%-12s %-11s %-22s %d %9.3g %-8s\n", s->name, isa, shape_text, threads, value, s->unit);
  }
  fflush(stdout);
  printed = 1;
}

/* Fills matrices with numbers that are legal in every format: bytes 1..119; multipliers 1..8 and scales are written over them. */
static void fill(measured *m) {
  if (strcmp(m->name, "product_f32") == 0) {
    float *values = (float *)(void *)m->memory;
    for (size_t i = 0; i < m->copies * m->matrix_bytes / sizeof(float); i++) values[i] = (float)(int)(i % 251) * 0.004f - 0.5f;
    return;
  }
  for (size_t i = 0; i < m->copies * m->matrix_bytes; i++) m->memory[i] = (char)(1 + i * 7 % 119);
  for (size_t copy = 0; copy < m->copies; copy++) {
    char *matrix = m->memory + copy * m->matrix_bytes;
    if (strcmp(m->name, "attend_q8") == 0) {
      for (size_t block = 0; block < m->outputs; block++) {
        float *scales = (float *)(void *)(matrix + block * block_bytes(m->depth) + 2 * CW_BLOCK * m->depth);
        for (size_t i = 0; i < 2 * CW_BLOCK; i++) scales[i] = uniform(0.001f, 0.01f);
      }
    } else {
      size_t panels = (m->outputs + CW_PANEL - 1) / CW_PANEL, groups = (m->depth + CW_GROUP - 1) / CW_GROUP;
      char *end = matrix + m->matrix_bytes - panels * CW_PANEL * groups * 2;
      if (format_of(m->name) == 4)
        for (char *at = matrix + panels * CW_PANEL * m->depth / 2; at < end; at++) *at = (char)(1 + *at % 8);
      for (size_t i = 0; i < panels * CW_PANEL * groups; i++) ((uint16_t *)(void *)end)[i] = 0x3c00 + i % 100; /* 2^-7 and up */
    }
  }
}

static size_t bytes_of(const shape *s) {
  size_t outputs = (s->outputs + CW_PANEL - 1) / CW_PANEL * CW_PANEL, scales = outputs * ((s->depth + CW_GROUP - 1) / CW_GROUP) * 2;
  if (strcmp(s->name, "product_f32") == 0) return outputs * s->depth * sizeof(float);
  if (strcmp(s->name, "product_q8") == 0) return outputs * s->depth + scales;
  if (strcmp(s->name, "product_q4") == 0) return outputs * s->depth / 2 + outputs * (s->depth / CW_SUB) + scales;
  return strcmp(s->name, "attend_q8") == 0 ? s->outputs * block_bytes(s->depth) : 0;
}

static void least(double *best, double value) { *best = value < *best ? value : *best; }

static void bench(const shape *s, int threads) {
  int bounded = bytes_of(s) > 0, is_product = strncmp(s->name, "product", 7) == 0;
  measured m = {.name = s->name, .depth = s->depth, .outputs = s->outputs, .rows = s->rows, .matrix_bytes = bytes_of(s), .copies = 1};
  if (strcmp(s->where, "dram") == 0) m.copies = UNCACHED / m.matrix_bytes + 1;
  static char *memory;
  static size_t memory_bytes;
  if (m.copies * m.matrix_bytes + 4096 > memory_bytes) {
    if (memory != NULL) munmap(memory, memory_bytes);
    memory_bytes = m.copies * m.matrix_bytes + 4096; /* prefetches may look past the end */
    memory = take(memory_bytes);
  }
  m.memory = memory;
  if (bounded) fill(&m);
  if (is_product && format_of(s->name) != 32) fill_rows(s->rows, s->depth, CW_GROUP);
  double operations = 2.0 * (double)s->rows * (double)s->depth * (double)s->outputs; /* of a run by all threads */
  if (strcmp(s->name, "attend_q8") == 0) operations *= 2 * CW_BLOCK;

  double best[MAX_ISAS] = {1e9, 1e9, 1e9}, read_s = 1e9, op_s[MAX_ISAS] = {1e9, 1e9, 1e9}, word_s[MAX_ISAS] = {1e9, 1e9, 1e9};
  const int tall = s->rows > MOST_ROWS, rounds = tall ? (wanted.rounds + 3) / 4 : wanted.rounds; /* some take a second */
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < MAX_ISAS; i++) {
      if (present[i] == NULL) continue;
      int slow = PEAKS[i].f32 == NULL; /* the reference needs no more than two rounds */
      if (slow && (round > 1 || tall)) continue;
      m.kernels = present[i];
      m.repeats = 1;
      job what = {run_kernel, &m, threads, m.rows > FEW_ROWS || !bounded};
      if (best[i] < LEAST_S && !slow) m.repeats = (size_t)(LEAST_S / best[i]) + 1;
      least(&best[i], time_of(&what) / (double)m.repeats);
      m.turn += m.repeats;
      if (!bounded) continue;
      double (*peak)(long) = is_product && format_of(s->name) == 32 ? PEAKS[i].f32 : PEAKS[i].bytes;
      least(&op_s[i], best_peak(peak, threads, 2));
      if (!is_product) least(&word_s[i], best_peak(PEAKS[i].words, threads, 2));
    }
    for (size_t pattern = 0; bounded && pattern < CW_PATTERN_COUNT; pattern++) {
      reading r = {&m, pattern};
      job what = {run_read, &r, threads, 0};
      m.repeats = read_s < LEAST_S ? (size_t)(LEAST_S / read_s) + 1 : 1;
      least(&read_s, time_of(&what) / (double)m.repeats);
      m.turn += m.repeats;
    }
  }
  for (int i = 0; i < MAX_ISAS; i++) {
    if (present[i] == NULL || (tall && PEAKS[i].f32 == NULL)) continue;
    if (!bounded) {
      print_result(s, PEAKS[i].isa, threads, 1e-9 * (double)(s->rows * s->depth) * threads / best[i], NULL, 0, 0);
      continue;
    }
    double arithmetic_s = is_product ? operations * op_s[i] : operations / 2 * (op_s[i] + word_s[i]);
    int by_memory = read_s > arithmetic_s;
    double bound = by_memory ? read_s : arithmetic_s, work = by_memory ? (double)m.matrix_bytes : operations;
    shape printed = *s;
    printed.unit = by_memory ? "GB/s" : "GOP/s";
    print_result(&printed, PEAKS[i].isa, threads, 1e-9 * work / best[i], PEAKS[i].f32 == NULL ? NULL : by_memory ? "read" : "peak",
                 1e-9 * work / bound, bound / best[i]);
  }
}

/* ---- The cases ------------------------------------------------------------------------------------------------------------------------ */

static const shape PRODUCTS[] = {
    {"", "", "dram", 768, 768, 0},  {"", "", "dram", 768, 192, 0},  {"", "", "dram", 768, 3072, 0}, {"", "", "dram", 3072, 768, 0},
    {"", "", "dram", 512, 2048, 0}, {"", "", "dram", 2048, 512, 0}, {"", "", "dram", 768, 50000, 0}, {"", "", "", 256, 256, 0},
    {"", "", "", 256, 512, 0},      {"", "", "", 512, 256, 0},      {"", "", "", 192, 384, 0},      {"", "", "", 256, 16384, 0},
    {"", "", "", 768, 3072, 0},
};
static const shape WIDE[] = {{"", "", "", 512, 512, 0}, {"", "", "", 1024, 1024, 0}, {"", "", "", 2048, 2048, 0}, {"", "", "", 4096, 4096, 0},
                             {"", "", "", 96, 576, 0},  {"", "", "", 1152, 192, 0},  {"", "", "", 384, 1536, 0}};
static const shape TALL[] = {{"", "", "", 512, 512, 512}, {"", "", "", 1024, 1024, 1024}, {"", "", "", 2048, 2048, 2048},
                             {"", "", "", 4096, 4096, TALL_ROWS}, {"", "", "", 768, 3072, TALL_ROWS}};
static const shape ROWS[] = {{"quantise", "Gnum/s", "", 768, 1, 8},  {"rms", "Gnum/s", "", 768, 1, 8},       {"exp", "Gnum/s", "", 768, 1, 8},
                             {"silu", "Gnum/s", "", 768, 1, 8},      {"silu_mul", "Gnum/s", "", 3072, 1, 2}, {"gelu", "Gnum/s", "", 1536, 1, 4},
                             {"sigmoid", "Gnum/s", "", 768, 1, 8},   {"softcap", "Gnum/s", "", 4096, 1, 4},  {"depthwise", "Gnum/s", "", 6 * CW_SLAB, 1, 16}};

static int rows_asked(int rows) {
  for (int i = 0; i < wanted.row_count; i++)
    if (wanted.rows[i] == rows) return 1;
  return wanted.row_count == 0;
}

static void bench_threads(const shape *s, const char *name, int rows) {
  shape one = *s;
  one.name = name;
  one.rows = (size_t)rows;
  if (rows > FEW_ROWS) one.where = ""; /* bound by arithmetic wherever the weights are */
  if (asked(wanted.kernels, wanted.kernel_count, name) && rows_asked(rows))
    for (int t = 0; t < wanted.thread_count; t++) bench(&one, wanted.threads[t]);
}

static void bench_all(void) {
  static const char *const NAMES[] = {"product_q8", "product_q4", "product_f32"};
  static const int FEW[] = {1, 2, 4, 8, 16, MOST_ROWS};
  for (size_t n = 0; n < sizeof NAMES / sizeof *NAMES; n++) {
    for (size_t i = 0; i < sizeof PRODUCTS / sizeof *PRODUCTS; i++)
      for (size_t r = 0; r < sizeof FEW / sizeof *FEW; r++)
        if (PRODUCTS[i].outputs < MOST_OUTPUTS || FEW[r] <= 8) bench_threads(&PRODUCTS[i], NAMES[n], FEW[r]);
    for (size_t i = 0; i < sizeof WIDE / sizeof *WIDE; i++) bench_threads(&WIDE[i], NAMES[n], MOST_ROWS);
  }
  for (size_t i = 0; i < sizeof TALL / sizeof *TALL; i++) bench_threads(&TALL[i], "product_f32", (int)TALL[i].rows);
  static const int QUERIES[] = {4, 8, 24, 96, 192};
  for (size_t i = 0; i < sizeof QUERIES / sizeof *QUERIES; i++)
    for (size_t size = 32; size <= 64; size *= 2)
      for (int cached = 0; cached < 2; cached++) {
        shape s = {"attend_q8", "", cached || QUERIES[i] > 8 ? "" : "dram", size, BLOCKS, 0};
        if (cached && QUERIES[i] > 8) continue;
        if (asked(wanted.kernels, wanted.kernel_count, s.name)) fill_rows(MOST_ROWS, size, size);
        bench_threads(&s, s.name, QUERIES[i]);
      }
  for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) bench_threads(&ROWS[i], ROWS[i].name, (int)ROWS[i].rows);
}

static void fail_usage(void) {
  fputs("usage: bench_kernels [--json] [--kernel NAME]... [--isa NAME]... [--threads 1,2] [--rows 1,224] [--rounds 12] [--small-pages]\n", stderr);
  exit(2);
}

/* "1,2,4" */
static int read_numbers(const char *text, int most, int *numbers) {
  int count = 0;
  for (const char *at = text;; at++) {
    char *end;
    long number = strtol(at, &end, 10);
    if (end == at || number < 1 || number > most || count == MAX_NAMES) fail_usage();
    numbers[count++] = (int)number;
    if (*end == '\0') return count;
    if (*end != ',') fail_usage();
    at = end;
  }
}

static void read_arguments(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    if (strcmp(name, "--json") == 0) {
      wanted.json = 1;
    } else if (strcmp(name, "--small-pages") == 0) {
      wanted.small_pages = 1;
    } else if (i + 1 == argc) {
      fail_usage();
    } else if (strcmp(name, "--kernel") == 0 && wanted.kernel_count < MAX_NAMES) {
      wanted.kernels[wanted.kernel_count++] = argv[++i];
    } else if (strcmp(name, "--isa") == 0 && wanted.isa_count < MAX_NAMES) {
      wanted.isas[wanted.isa_count++] = argv[++i];
    } else if (strcmp(name, "--threads") == 0) {
      wanted.thread_count = read_numbers(argv[++i], MAX_THREADS, wanted.threads);
    } else if (strcmp(name, "--rows") == 0) {
      wanted.row_count = read_numbers(argv[++i], TALL_ROWS, wanted.rows);
    } else if (strcmp(name, "--rounds") == 0) {
      int numbers[MAX_NAMES];
      read_numbers(argv[++i], 100000, numbers);
      wanted.rounds = numbers[0];
    } else {
      fail_usage();
    }
  }
}

int main(int argc, char **argv) {
  read_arguments(argc, argv);
  if (wanted.thread_count == 0) {
    wanted.threads[wanted.thread_count++] = 1;
    if (cw_threads_default() > 1) wanted.threads[wanted.thread_count++] = cw_threads_default();
  }
  int most = 1, any = 0;
  for (int i = 0; i < wanted.thread_count; i++) most = wanted.threads[i] > most ? wanted.threads[i] : most;
  for (int i = 0; i < MAX_ISAS; i++) {
    if (!asked(wanted.isas, wanted.isa_count, PEAKS[i].isa) || cw_isa_select(PEAKS[i].isa) != CW_OK) continue;
    present[i] = cw_kernels_selected();
    any = 1;
  }
  if (!any) {
    fputs("bench_kernels: none of the instruction sets asked for is on this machine\n", stderr);
    return 1;
  }
  start_workers(most);
  take_rows();
  if (wanted.json)
    printf("[");
  else
    printf("%-12s %-11s %-22s %s %9s %-8s %9s %-5s %6s\n", "kernel", "isa", "shape", "T", "value", "unit", "limit", "", "ratio");
  bench_all();
  if (wanted.json) printf("\n]\n");
  return 0;
}
