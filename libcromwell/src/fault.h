/* fault.h: how a function that fails says why. */
#ifndef CW_FAULT_H
#define CW_FAULT_H

#include "cromwell.h"

/* Writes one line into `fault` (NULL allowed; cut to fit; control characters become '?') and returns `status`:
 *     return cw_fault_set(fault, CW_E_FORMAT, "tensor %u: shape is [%u, %u]", i, rows, cols); */
cw_status cw_fault_set(cw_fault *fault, cw_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Leaves the calling function with the status of `call` unless it is CW_OK. */
#define CW_TRY(call)                                  \
  do {                                                \
    cw_status cw_try_status = (call);                 \
    if (cw_try_status != CW_OK) return cw_try_status; \
  } while (0)

#endif
