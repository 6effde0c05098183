/* cpu.c: which instruction sets this machine and its operating system offer, which kernels run, and how many cores there are. */
#include "cpu.h"

#include <cpuid.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "cromwell.h"

/* Non-zero when the operating system saves the registers of `mask` (XCR0, Intel SDM vol. 1, 13.3). */
static int saves(unsigned mask) {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & mask) == mask;
}

/* AVX2, FMA and F16C in the processor, and ymm registers saved (Intel SDM vol. 1, 14.3 and 14.7.1). */
static int has_avx2(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
  if ((c & (fma | osxsave | avx | f16c)) != (fma | osxsave | avx | f16c)) return 0;
  if (!saves(0x06)) return 0; /* xmm and ymm */
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  return (b >> 5) & 1;
}

/* AVX-512 F, DQ, BW, VL and VNNI, and opmask and zmm registers saved (Intel SDM vol. 1, 15.2 to 15.4). */
static int has_avx512vnni(void) {
  unsigned a, b, c, d;
  if (!has_avx2() || !saves(0xe6)) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  const unsigned f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31, vnni = 1u << 11;
  return (b & (f | dq | bw | vl)) == (f | dq | bw | vl) && (c & vnni) != 0;
}

static int has_scalar(void) { return 1; }

/* Best first. */
static const struct {
  const cw_kernels *kernels;
  int (*present)(void);
} IMPLEMENTATIONS[] = {{&cw_kernels_avx512vnni, has_avx512vnni}, {&cw_kernels_avx2, has_avx2}, {&cw_kernels_scalar, has_scalar}};

enum { IMPLEMENTATION_COUNT = sizeof IMPLEMENTATIONS / sizeof IMPLEMENTATIONS[0] };

static _Atomic(const cw_kernels *) selected;

cw_status cw_isa_select(const char *name) {
  for (int i = 0; i < IMPLEMENTATION_COUNT; i++) {
    if (name != NULL && strcmp(name, IMPLEMENTATIONS[i].kernels->name) != 0) continue;
    if (!IMPLEMENTATIONS[i].present()) continue;
    atomic_store(&selected, IMPLEMENTATIONS[i].kernels);
    return CW_OK;
  }
  return CW_E_ISA;
}

const cw_kernels *cw_kernels_selected(void) {
  if (atomic_load(&selected) == NULL) cw_isa_select(NULL);
  return atomic_load(&selected);
}

const char *cw_isa_name(void) { return cw_kernels_selected()->name; }

/* Reads the first line of a file of the operating system; 0 when there is none. */
static int read_line(const char *path, char *line, int size) {
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  int found = fgets(line, size, file) != NULL;
  fclose(file);
  return found;
}

/* Non-zero when `cpu` is the first hardware thread of its core among those in `mask`. */
static int first_of_core(int cpu, const cpu_set_t *mask) {
  char path[96], line[256];
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
  if (!read_line(path, line, sizeof line)) return 1;
  for (const char *at = line; *at != '\0';) { /* "0,64" or "0-1" */
    int low, used;
    if (sscanf(at, "%d%n", &low, &used) != 1) break;
    at += used;
    int high = low;
    if (*at == '-' && sscanf(at + 1, "%d%n", &high, &used) == 1) at += 1 + used;
    for (int sibling = low; sibling <= high && sibling < cpu; sibling++)
      if (sibling >= 0 && sibling < CPU_SETSIZE && CPU_ISSET(sibling, mask)) return 0;
    if (*at != ',') break;
    at++;
  }
  return 1;
}

int32_t cw_threads_default(void) {
  cpu_set_t mask;
  int32_t cores = 0;
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return 1;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &mask) && first_of_core(cpu, &mask)) cores++;
  char line[64];
  long long quota, period;
  if (read_line("/sys/fs/cgroup/cpu.max", line, sizeof line) && sscanf(line, "%lld %lld", &quota, &period) == 2 && period > 0) {
    long long allowed = (quota + period - 1) / period;
    if (allowed < cores) cores = (int32_t)allowed;
  }
  return cores < 1 ? 1 : cores > 64 ? 64 : cores;
}
