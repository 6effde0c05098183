"""What misuse_calls.py and its parts record: every call is announced before it is made, and compared with what it should give."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cromwell.binding._native import ffi, lib

OK, ARGUMENT, IO, FORMAT, ISA, CAPACITY = lib.CW_OK, lib.CW_E_ARGUMENT, lib.CW_E_IO, lib.CW_E_FORMAT, lib.CW_E_ISA, lib.CW_E_CAPACITY
NULL, HUGE, INT_MIN = ffi.NULL, 2**32 - 1, -(2**31)
NAN, INFINITY = float("nan"), float("inf")
DAMAGED = (FORMAT, lib.CW_E_VERSION, lib.CW_E_CHECKSUM)

rooms: list[Any] = []  # what sessions may still use in place
called: set[str] = set()
wrong: list[str] = []


def call(name: str, case: str, *arguments: Any, gives: int | Collection[int] = ARGUMENT) -> int:
    """Makes one call and compares its status."""
    print(f"{name}: {case}", flush=True)
    called.add(name)
    status = getattr(lib, name)(*arguments)
    expected = (gives,) if isinstance(gives, int) else gives
    if status not in expected:
        wrong.append(f"{name}: {case}: status {status}, expected {' or '.join(map(str, expected))}")
    return status


def value(name: str, *arguments: Any) -> Any:
    """Makes a call that gives no status."""
    print(name, flush=True)
    called.add(name)
    return getattr(lib, name)(*arguments)


def opened(name: str, kind: str, *arguments: Any) -> Any:
    """The handle that an opening call gives."""
    out = ffi.new(f"{kind} **")
    call(name, "as documented", *arguments, out, ffi.new("cw_fault *"), gives=OK)
    return out[0]


def refused(name: str, kind: str, case: str, *arguments: Any, gives: int | Collection[int] = ARGUMENT) -> None:
    """An opening call that must leave its out pointer alone and say why, with and without room for the reason."""
    out, fault = ffi.new(f"{kind} **"), ffi.new("cw_fault *")
    call(name, case, *arguments, out, fault, gives=gives)
    text = ffi.string(fault.text)
    if out[0] != NULL or not text or b"\n" in text:
        wrong.append(f"{name}: {case}: out pointer {out[0]}, fault {text!r}")
    call(name, case + ", no fault", *arguments, out, NULL, gives=gives)
    either = (ARGUMENT, gives) if isinstance(gives, int) else (ARGUMENT, *gives)
    call(name, case + ", no place", *arguments, NULL, ffi.new("cw_fault *"), gives=either)
