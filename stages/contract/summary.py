"""Figures and text about arrays, for people: what cw-inspect says of each array."""

from __future__ import annotations

import math
import struct
from array import array
from typing import Any

from cromwell.contract.artifact import Array

_TYPECODES = {"|u1": "B", "|i1": "b", "<i2": "h", "<u2": "H", "<i4": "i", "<u4": "I", "<i8": "q", "<u8": "Q", "<f4": "f", "<f8": "d"}
"""array.array's names on the machines we run on (x86-64, little-endian); <f2 is read with struct."""


def values(item: Array) -> Any:
    """The items of an array as a sequence of Python numbers."""
    if item.dtype == "|u1":
        return item.data
    if item.dtype == "<f2":
        return [value for (value,) in struct.iter_unpack("<e", item.data)]
    numbers = array(_TYPECODES[item.dtype])
    numbers.frombytes(item.data)
    return numbers


def summary(item: Array) -> dict[str, Any]:
    """dtype, shape, bytes, and the minimum, maximum and mean of the finite items (null where there is none)."""
    numbers = values(item)
    result: dict[str, Any] = {"dtype": item.dtype, "shape": list(item.shape), "bytes": len(item.data)}
    result.update(min=None, max=None, mean=None)
    if item.dtype.startswith("<f"):
        finite = [number for number in numbers if math.isfinite(number)]
        result["not_finite"] = len(numbers) - len(finite)
        numbers = finite
    if len(numbers):
        total = math.fsum(numbers) if item.dtype.startswith("<f") else sum(numbers)
        result.update(min=min(numbers), max=max(numbers), mean=total / len(numbers))
    return result


def text_of(item: Array) -> str | None:
    """The text a one-dimensional array of bytes holds, or None when it is not UTF-8."""
    if item.dtype != "|u1" or len(item.shape) != 1:
        return None
    try:
        return item.data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def shown(data: bytes) -> str:
    """`data` as text for a terminal: what is not UTF-8 or would steer the terminal is escaped; line ends and tabs stay."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def described(item: Array, figures: dict[str, Any]) -> str:
    """One line: dtype, shape, size and range."""
    shape = " x ".join(map(str, item.shape)) or "scalar"
    line = f"{item.dtype} [{shape}], {len(item.data)} bytes"
    if figures["min"] is not None:
        line += f", {_short(figures['min'])} .. {_short(figures['max'])}, mean {_short(figures['mean'])}"
    if figures.get("not_finite"):
        line += f", {figures['not_finite']} not finite"
    if item.dtype == "|u1" and len(item.shape) == 3 and item.shape[2] == 3:
        line += f"; picture of {item.shape[1]} x {item.shape[0]} pixels"
    elif item.dtype == "|u1" and item.shape[1:] == (256, 256, 3):
        line += f"; {item.shape[0]} tiles"
    elif item.dtype == "|u1" and len(item.shape) == 1:
        lines = item.data.count(b"\n") + (len(item.data) > 0 and not item.data.endswith(b"\n"))
        line += f"; {lines} line{'' if lines == 1 else 's'}"
    return line


def _short(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.6g}"

