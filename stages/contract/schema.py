"""What the meta fields and arrays of each kind of artifact hold, and their check (docs/artifacts.md).

A reader may use a checked artifact without looking again: mandatory fields are there, of their type, and agree with the arrays.
Fields that are not listed are optional extensions and are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERSION = 1  # of this table; part of every header

NEXT_COMMAND = {
    "context": "a context goes to cw-encode or cw-generate",
    "encoding": "an encoding goes to cw-generate",
    "edit": "an edit goes to cw-diff or cw-apply",
    "diff": "a diff goes to cw-apply",
    "receipt": "a receipt is the end of the chain; cw-inspect shows it",
}


class SchemaError(ValueError):
    """A field or an array is missing, of the wrong type, or disagrees with another."""


PATH = "a path"  # a form: what the file system can name, bytes that are not UTF-8 escaped as Python does
TEXT = "text"  # a form: Unicode

REGION = {"start_line": int, "end_line": int, "start_byte": int, "end_byte": int}

_CONTEXT: dict[str, Any] = {
    "instruction": TEXT, "path": PATH, "region": REGION, "window": REGION, "eol": str, "encoding": str, "mode": str,
    "excerpts": [{"path": PATH, "start_line": int, "end_line": int}], "model": (str, None), "budget_tokens": int, "prompt_tokens": int,
}
_ENCODING: dict[str, Any] = {**_CONTEXT, "tiles": [{"rows": int, "cols": int}]}
_EDIT: dict[str, Any] = {
    "path": PATH, "region": REGION, "eol": str, "encoding": str, "mode": str, "instruction": TEXT, "model": (str, None),
    "candidates": [{"accepted": bool, "reason": (str, None), "log_probability": float, "tokens": int, "stop": str}], "best": (int, None),
}
_DIFF: dict[str, Any] = {"paths": [PATH]}
_RECEIPT: dict[str, Any] = {"files": [{"path": PATH, "old_blob": (str, None), "new_blob": (str, None), "status": str}]}

KINDS: dict[str, dict[str, Any]] = {"context": _CONTEXT, "encoding": _ENCODING, "edit": _EDIT, "diff": _DIFF, "receipt": _RECEIPT}
"""Mandatory meta fields by kind. A type; a tuple of alternatives (None: null); a dict: an object with at least these fields; a
one-element list: a list of such values; PATH or TEXT. An int is never a bool; a float field takes integers too."""

_LINEAGE = {"tool": str, "version": str, "arguments": dict, "inputs": dict, "model": (str, None), "seed": (int, None)}

EOLS = ("lf", "crlf", "cr", "mixed")


def check(kind: str, meta: Mapping[str, Any], arrays: Mapping[str, Any], lineage: list[Any]) -> None:
    """SchemaError unless `meta`, `arrays` and `lineage` are what `kind` promises."""
    _check_value(meta, KINDS[kind], "meta")
    _check_value(lineage, [_LINEAGE], "lineage")
    _check_numbering(arrays)
    if kind in ("context", "encoding", "edit"):
        _check_target(meta, arrays)
    if kind == "context":
        _check_group(arrays, "excerpt", len(meta["excerpts"]), "|u1", 1)
        _check_group(arrays, "image", None, "|u1", 3)
    elif kind == "encoding":
        _check_encoding(meta, arrays)
    elif kind == "edit":
        _check_group(arrays, "candidate", len(meta["candidates"]), "|u1", 1)
        if meta["best"] is not None and not 0 <= meta["best"] < len(meta["candidates"]):
            raise SchemaError(f"meta.best {meta['best']} is none of {len(meta['candidates'])} candidates")
    elif kind == "diff":
        _check_array(arrays, "diff", "|u1", 1)


def _check_value(value: Any, form: Any, where: str) -> None:
    if isinstance(form, tuple):
        if value is None and None in form:
            return
        form = form[0]
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise SchemaError(f"{where} is not an object")
        for name, inner in form.items():
            if name not in value:
                raise SchemaError(f"{where}.{name} is missing")
            _check_value(value[name], inner, f"{where}.{name}")
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise SchemaError(f"{where} is not a list")
        for index, item in enumerate(value):
            _check_value(item, form[0], f"{where}[{index}]")
    elif form in (PATH, TEXT):
        if type(value) is not str or not _encodes(value, "strict" if form == TEXT else "surrogateescape"):
            raise SchemaError(f"{where} is not {form}")
        if form == PATH and (not value or "\0" in value):
            raise SchemaError(f"{where} is empty or holds a NUL byte")
    elif form is float:
        if type(value) not in (int, float):
            raise SchemaError(f"{where} is not a number")
    elif type(value) is not form:
        raise SchemaError(f"{where} is not {'an object' if form is dict else 'a value of type ' + form.__name__}")


def _check_numbering(arrays: Mapping[str, Any]) -> None:
    """Numbered arrays (image.0, image.1, …) are in order and without gaps."""
    seen: dict[str, int] = {}
    for name in arrays:
        group, dot, number = name.partition(".")
        if dot:
            if int(number) != seen.get(group, 0):
                raise SchemaError(f"array {name} is out of order")
            seen[group] = int(number) + 1


def _encodes(text: str, errors: str) -> bool:
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return False
    return True


def _check_array(arrays: Mapping[str, Any], name: str, dtype: str, dimensions: int) -> Any:
    array = arrays.get(name)
    if array is None:
        raise SchemaError(f"array {name} is missing")
    if array.dtype != dtype or len(array.shape) != dimensions:
        raise SchemaError(f"array {name} is {array.dtype} with {len(array.shape)} axes, not {dtype} with {dimensions}")
    return array


def _check_group(arrays: Mapping[str, Any], group: str, count: int | None, dtype: str, dimensions: int) -> None:
    names = [name for name in arrays if name.startswith(group + ".")]
    if count is not None and len(names) != count:
        raise SchemaError(f"{len(names)} arrays {group}.*, expected {count}")
    for name in names:
        array = _check_array(arrays, name, dtype, dimensions)
        if group == "image" and (array.shape[2] != 3 or 0 in array.shape):
            raise SchemaError(f"array {name} is not a picture of RGB bytes")


def _check_target(meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    size = len(_check_array(arrays, "target", "|u1", 1).data)
    for name in ("region", "window"):
        if name in meta:
            place = meta[name]
            if not 0 <= place["start_byte"] <= place["end_byte"] <= size or not 1 <= place["start_line"] <= place["end_line"] + 1:
                raise SchemaError(f"meta.{name} lies outside the target")
    region, window = meta["region"], meta.get("window", meta["region"])
    if window["start_byte"] > region["start_byte"] or window["end_byte"] < region["end_byte"]:
        raise SchemaError("meta.window does not hold the region")
    if meta["eol"] not in EOLS:
        raise SchemaError(f"meta.eol {meta['eol']!r} is none of {' '.join(EOLS)}")
    mode = meta["mode"]
    if len(mode) != 4 or any(digit not in "01234567" for digit in mode):
        raise SchemaError(f"meta.mode {mode!r} is not four octal digits")


def _check_encoding(meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    tokens = _check_array(arrays, "tokens", "<i4", 1)
    _check_group(arrays, "pixels", len(meta["tiles"]), "|u1", 4)
    for index, grid in enumerate(meta["tiles"]):
        shape = arrays[f"pixels.{index}"].shape
        if grid["rows"] < 1 or grid["cols"] < 1 or shape != (grid["rows"] * grid["cols"], 256, 256, 3):
            raise SchemaError(f"array pixels.{index} does not fit its grid of tiles")
    if "joint" in arrays and _check_array(arrays, "joint", "<f4", 2).shape[0] != tokens.shape[0]:
        raise SchemaError("array joint does not have a row a token")
