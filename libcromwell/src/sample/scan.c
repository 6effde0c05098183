/* scan.c: which passes go with which kernels. */
#include "sample/scan.h"

#include <string.h>

#include "cpu.h"

/* Whatever is not scalar has AVX2; sets are named for what they need beyond it. */
const cw_scan *cw_scan_selected(void) {
  const char *name = cw_kernels_selected()->name;
  if (strcmp(name, "scalar") == 0) return &cw_scan_scalar;
  if (strncmp(name, "avx512", 6) == 0) return &cw_scan_avx512vnni;
  return &cw_scan_avx2;
}
