/* bench_limits.c: what can this machine do at most? Arithmetic, caches and memory, measured for several thread counts, as JSON:
 *     cmake --build build --target bench_limits && build/bench_limits [--threads 1,2] [--rounds 12] [--set BYTES]... [--memory BYTES]
 *
 * Arithmetic (peaks.h) counts two operations a multiply-add: GFLOP/s in float32, GOP/s in int8. Reads are plain loads of every byte in GB/s (10^9), each thread its own slice; `--set` measures a working set of that size over all
 * threads. Memory is a set of 16 times the L3 (1 GiB at most) or `--memory`. memcpy counts copied bytes once. A limit is the best of all
 * rounds and of several access patterns: other programs on the machine only ever lower a figure. What the processor lacks is left out. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "peaks.h"

enum { STEPS = 100000, MAX_THREADS = 64, MAX_COUNTS = 8, MAX_SETS = 16, MAX_ROUNDS = 2000 };
static const size_t HUGE_PAGE = 2u << 20, CACHE_TRAFFIC = 32u << 20; /* bytes a thread reads from a cache in one round */

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- Rounds: all threads start together. What they share (L3, memory) is judged by all work of a round over the time from its first
 * start to its last end; what each core has for itself by the sum of the threads' own best rounds. -------------------------------- */

typedef struct {
  double (*peak)(long); /* arithmetic, or NULL for memory */
  char *memory;         /* [threads * slice] */
  size_t slice;         /* bytes of a thread, a multiple of 256 */
  size_t parts;         /* a round takes one of them, in turn */
  size_t passes, streams, ahead;
  int copy;   /* one half of a part to the other, instead of reading it */
  int shared; /* the threads compete for it */
} task;

typedef struct {
  const task *what;
  atomic_int *arrived; /* threads ready, counted over all rounds */
  int threads, rounds, index, cpu;
  double work, start_s[MAX_ROUNDS], stop_s[MAX_ROUNDS];
} member;

/* Returns the work done: operations or bytes. */
static double run_once(const task *what, int index, int round) {
  if (what->peak != NULL) return what->peak(STEPS);
  size_t part = what->slice / what->parts / 1024 * 1024;
  char *mine = what->memory + (size_t)index * what->slice + (size_t)round % what->parts * part;
  for (size_t pass = 0; pass < what->passes; pass++) {
    if (what->copy)
      memcpy(mine, mine + part / 2, part / 2);
    else
      cw_read_lines(mine, part, what->streams, what->ahead);
    __asm__ volatile("" : : : "memory");
  }
  return (double)what->passes * (double)(what->copy ? part / 2 : part);
}

static void *member_main(void *argument) {
  member *self = argument;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(self->cpu, &one);
  pthread_setaffinity_np(pthread_self(), sizeof one, &one);
  run_once(self->what, self->index, 0); /* pages, caches and clock warm */
  for (int round = 0; round < self->rounds; round++) {
    atomic_fetch_add(self->arrived, 1);
    while (atomic_load(self->arrived) < self->threads * (round + 1)) sched_yield();
    self->start_s[round] = now_s();
    self->work = run_once(self->what, self->index, round);
    self->stop_s[round] = now_s();
  }
  return NULL;
}

/* Best rate of `rounds`, in 10^9 a second. */
static double best_rate(const task *what, const int *cpus, int threads, int rounds) {
  static member members[MAX_THREADS];
  pthread_t ids[MAX_THREADS];
  atomic_int arrived = 0;
  for (int i = 0; i < threads; i++) {
    member *m = &members[i];
    m->what = what, m->arrived = &arrived, m->threads = threads, m->rounds = rounds, m->index = i, m->cpu = cpus[i];
    if (pthread_create(&ids[i], NULL, member_main, m) != 0) {
      fputs("bench_limits: no more threads\n", stderr);
      exit(1);
    }
  }
  for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  double best = 0, best_alone[MAX_THREADS] = {0}, sum_alone = 0;
  for (int round = 0; round < rounds; round++) {
    double first = members[0].start_s[round], last = members[0].stop_s[round], work = 0;
    for (int i = 0; i < threads; i++) {
      if (members[i].start_s[round] < first) first = members[i].start_s[round];
      if (members[i].stop_s[round] > last) last = members[i].stop_s[round];
      work += members[i].work;
      double alone = members[i].work / (members[i].stop_s[round] - members[i].start_s[round]);
      if (alone > best_alone[i]) best_alone[i] = alone;
    }
    if (work / (last - first) > best) best = work / (last - first);
  }
  for (int i = 0; i < threads; i++) sum_alone += best_alone[i];
  return 1e-9 * (what->shared ? best : sum_alone);
}

/* Best over the access patterns that read fastest on some processor. */
static double best_read(task what, const int *cpus, int threads, int rounds) {
  double best = 0;
  for (size_t i = 0; i < CW_PATTERN_COUNT; i++) {
    what.streams = CW_PATTERNS[i].streams, what.ahead = CW_PATTERNS[i].ahead;
    double rate = best_rate(&what, cpus, threads, rounds);
    if (rate > best) best = rate;
  }
  return best;
}

/* ---- The machine ----------------------------------------------------------------------------------------------------------------- */

static int read_number(int cpu, const char *name) {
  char path[96];
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, name);
  FILE *file = fopen(path, "re");
  int value = -1;
  if (file == NULL) return value;
  if (fscanf(file, "%d", &value) != 1) value = -1;
  fclose(file);
  return value;
}

static size_t cache_size(int name, size_t otherwise) {
  long size = sysconf(name);
  return size > 0 ? (size_t)size : otherwise;
}

static char *take_memory(size_t bytes) {
  char *all = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) {
    fprintf(stderr, "bench_limits: no memory for %zu bytes\n", bytes);
    exit(1);
  }
  char *memory = all + (HUGE_PAGE - (uintptr_t)all % HUGE_PAGE);
  madvise(memory, bytes, MADV_HUGEPAGE);
  memset(memory, 1, bytes);
  return memory;
}

/* ---- Output ------------------------------------------------------------------------------------------------------------------------ */

typedef struct {
  int cpus[MAX_THREADS], cpu_count, core_count; /* one processor of each core first, then their siblings */
  int counts[MAX_COUNTS], count_count, rounds;
  size_t sets[MAX_SETS], set_count, l2, l3;
  char *memory;
  size_t memory_size;
  const char *between; /* of two entries of "limits" */
} plan;

static void print_entry(plan *p, const char *name, const char *unit, const double *values) {
  printf("%s\n  \"%s\": {\"unit\": \"%s\", \"values\": [", p->between, name, unit);
  for (int i = 0; i < p->count_count; i++)
    if (values[i] > 0)
      printf("%s%.2f", i > 0 ? ", " : "", values[i]);
    else
      printf("%snull", i > 0 ? ", " : "");
  printf("]}");
  p->between = ",";
}

static void print_peak(plan *p, const char *name, const char *unit, int present, double (*peak)(long)) {
  double values[MAX_COUNTS];
  if (!present) return;
  for (int i = 0; i < p->count_count; i++) values[i] = best_rate(&(task){.peak = peak}, p->cpus, p->counts[i], 40 * p->rounds);
  print_entry(p, name, unit, values);
}

/* `total` bytes over all threads, or, where that is 0, `each` a thread. Slices of less than `least` bytes have no figure.
 * A set that no cache holds may be read in `parts`, whose rounds are short enough to fall between what other programs do. */
static void print_read(plan *p, const char *name, size_t total, size_t each, size_t least, size_t parts) {
  double values[MAX_COUNTS];
  task what = {.memory = p->memory, .parts = parts, .shared = total > 0};
  for (int i = 0; i < p->count_count; i++) {
    size_t threads = (size_t)p->counts[i], slice = (total > 0 ? total / threads : each) / 1024 * 1024;
    what.slice = slice;
    what.passes = slice > 0 && slice < CACHE_TRAFFIC ? CACHE_TRAFFIC / slice : 1;
    values[i] = 0;
    if (slice >= least && slice > 0 && slice * threads <= p->memory_size) values[i] = best_read(what, p->cpus, p->counts[i], 2 * p->rounds);
  }
  print_entry(p, name, "GB/s", values);
}

static void print_copy(plan *p) {
  double values[MAX_COUNTS];
  task what = {.memory = p->memory, .parts = 8, .passes = 1, .copy = 1, .shared = 1};
  for (int i = 0; i < p->count_count; i++) {
    what.slice = p->memory_size / (size_t)p->counts[i] / 1024 * 1024;
    values[i] = best_rate(&what, p->cpus, p->counts[i], p->rounds);
  }
  print_entry(p, "memcpy", "GB/s", values);
}

static void print_all(plan *p) {
  printf("{\"version\": 1, \"l2_bytes\": %zu, \"l3_bytes\": %zu, \"dram_bytes\": %zu, \"threads\": [", p->l2, p->l3, p->memory_size);
  for (int i = 0; i < p->count_count; i++) printf("%s%d", i > 0 ? ", " : "", p->counts[i]);
  printf("], \"limits\": {");
  int avx512 = __builtin_cpu_supports("avx512f"), vnni512 = avx512 && __builtin_cpu_supports("avx512vnni");
  int avx2 = __builtin_cpu_supports("avx2"), evex256 = vnni512 && __builtin_cpu_supports("avx512vl");
  int vex256 = avx2 && __builtin_cpu_supports("avxvnni");
  print_peak(p, "fma_f32_256", "GFLOP/s", avx2 && __builtin_cpu_supports("fma"), cw_peak_fma_256);
  print_peak(p, "fma_f32_512", "GFLOP/s", avx512, cw_peak_fma_512);
  print_peak(p, "maddubs_256", "GOP/s", avx2, cw_peak_bytes_256);
  print_peak(p, "vpdpbusd_256", "GOP/s", evex256 || vex256, evex256 ? cw_peak_bytes_256_evex : cw_peak_bytes_256_vex);
  print_peak(p, "vpdpbusd_512", "GOP/s", vnni512, cw_peak_bytes_512);
  print_read(p, "l2_read", 0, p->l2 / 2, 0, 1);
  print_read(p, "l3_read", p->l3 / 3, 0, 2 * p->l2, 1);
  print_read(p, "dram_read", p->memory_size, 0, 0, 8);
  print_copy(p);
  for (size_t i = 0; i < p->set_count; i++) {
    char name[32];
    snprintf(name, sizeof name, "read_%zu", p->sets[i]);
    print_read(p, name, p->sets[i], 0, 0, 1);
  }
  printf("\n}}\n");
}

/* The processors of the affinity mask. */
static void list_cpus(plan *p) {
  cpu_set_t mask;
  int siblings[MAX_THREADS], cores[MAX_THREADS], packages[MAX_THREADS], sibling_count = 0;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) CPU_SET(0, &mask);
  for (int cpu = 0; cpu < CPU_SETSIZE && p->core_count + sibling_count < MAX_THREADS; cpu++) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    int core = read_number(cpu, "core_id"), package = read_number(cpu, "physical_package_id"), known = 0;
    for (int i = 0; i < p->core_count; i++) known |= core >= 0 && cores[i] == core && packages[i] == package;
    if (known) {
      siblings[sibling_count++] = cpu;
    } else {
      cores[p->core_count] = core, packages[p->core_count] = package;
      p->cpus[p->core_count++] = cpu;
    }
  }
  memcpy(p->cpus + p->core_count, siblings, (size_t)sibling_count * sizeof *siblings);
  p->cpu_count = p->core_count + sibling_count;
}

static void fail_usage(void) {
  fputs("usage: bench_limits [--threads 1,2] [--rounds 12] [--set BYTES]... [--memory BYTES]\n", stderr);
  exit(2);
}

/* "1,2,4": numbers of threads. */
static void read_counts(plan *p, const char *text) {
  p->count_count = 0;
  for (const char *at = text;; at++) {
    char *end;
    long count = strtol(at, &end, 10);
    if (end == at || count < 1 || count > p->cpu_count || p->count_count == MAX_COUNTS) fail_usage();
    p->counts[p->count_count++] = (int)count;
    if (*end == '\0') return;
    if (*end != ',') fail_usage();
    at = end;
  }
}

int main(int argc, char **argv) {
  static plan p = {.rounds = 12, .between = ""};
  list_cpus(&p);
  p.counts[p.count_count++] = 1;
  if (p.core_count > 1) p.counts[p.count_count++] = p.core_count;
  p.l2 = cache_size(_SC_LEVEL2_CACHE_SIZE, 1u << 20);
  p.l3 = cache_size(_SC_LEVEL3_CACHE_SIZE, 16u << 20);
  p.memory_size = 16 * p.l3 < (1u << 30) ? 16 * p.l3 / HUGE_PAGE * HUGE_PAGE : 1u << 30; /* what stays in the cache is then noise */
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) fail_usage();
    if (strcmp(argv[i], "--threads") == 0) {
      read_counts(&p, argv[i + 1]);
    } else if (strcmp(argv[i], "--rounds") == 0) {
      p.rounds = atoi(argv[i + 1]);
      if (p.rounds < 1 || p.rounds > MAX_ROUNDS / 40) fail_usage();
    } else if (strcmp(argv[i], "--memory") == 0) {
      p.memory_size = (size_t)strtoull(argv[i + 1], NULL, 10) / HUGE_PAGE * HUGE_PAGE;
      if (p.memory_size == 0) fail_usage();
    } else if (strcmp(argv[i], "--set") == 0 && p.set_count < MAX_SETS) {
      p.sets[p.set_count++] = (size_t)strtoull(argv[i + 1], NULL, 10);
    } else {
      fail_usage();
    }
  }
  p.memory = take_memory(p.memory_size);
  print_all(&p);
  return 0;
}
