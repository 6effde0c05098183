/* status.c: the version and the words for each status. */
#include "cromwell.h"

const char *cw_version(void) { return CW_VERSION; }

const char *cw_status_text(cw_status status) {
  switch (status) {
    case CW_OK: return "done";
    case CW_E_ARGUMENT: return "a value is out of its range";
    case CW_E_MEMORY: return "memory allocation failed";
    case CW_E_IO: return "the operating system refused";
    case CW_E_FORMAT: return "not what it claims to be";
    case CW_E_VERSION: return "a format version that this build does not read";
    case CW_E_CHECKSUM: return "contents differ from their checksum";
    case CW_E_ISA: return "instruction set unknown or absent on this machine";
    case CW_E_CAPACITY: return "the buffer or the session is too small";
  }
  return "unknown status";
}
