"""Writes the C source of the cffi extension `cromwell.binding._native` from cromwell.h: ffi_build.py OUTPUT."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cffi

HEADER = Path(__file__).resolve().parent.parent / "include" / "cromwell.h"


def declarations(header: str) -> str:
    """The part of cromwell.h between the cffi marks, as cffi reads it."""
    begin, end = header.index("/* cffi: begin"), header.index("/* cffi: end")
    return re.sub(r"\bCW_API\b\s*", "", header[begin:end])


CALLBACKS = """
extern "Python" void cw_py_trace(void *user, const char *name, int32_t layer, const float *values, uint32_t rows, uint32_t cols);
extern "Python" int cw_py_token(void *user, int32_t id);
"""


def builder() -> cffi.FFI:
    """The configured FFI builder."""
    ffi = cffi.FFI()
    ffi.cdef(declarations(HEADER.read_text()) + CALLBACKS)
    ffi.set_source("cromwell.binding._native", '#include "cromwell.h"\n')
    return ffi


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: ffi_build.py OUTPUT.c")
    builder().emit_c_code(sys.argv[1])
