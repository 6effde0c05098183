"""File names as git writes them in diffs: C-style quotes around bytes that would not survive."""

from __future__ import annotations

import re

_ESCAPES = {0x07: b"a", 0x08: b"b", 0x09: b"t", 0x0A: b"n", 0x0B: b"v", 0x0C: b"f", 0x0D: b"r", 0x22: b'"', 0x5C: b"\\"}
_UNESCAPES = {escape: byte for byte, escape in _ESCAPES.items()}
_SPECIAL = re.compile(rb'[\x00-\x1f\x7f-\xff"\\]')
_QUOTED = re.compile(rb'"((?:[^"\\\n]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)


def quote(name: bytes) -> bytes:
    """`name` as git prints it with core.quotePath on: as it is, or in double quotes with escapes."""
    if not _SPECIAL.search(name):
        return name
    return b'"' + _SPECIAL.sub(lambda match: b"\\" + (_ESCAPES.get(match[0][0]) or b"%03o" % match[0][0]), name) + b'"'


def quoted_prefix(text: bytes) -> tuple[bytes, bytes] | None:
    """The name that `text` begins with in double quotes, and what follows; None when it does not begin so. ValueError: bad escape."""
    match = _QUOTED.match(text)
    return (_ESCAPE.sub(_unescape, match[1]), text[match.end():]) if match else None


def _unescape(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    if len(escape) == 3:
        return bytes([int(escape, 8)])
    if escape not in _UNESCAPES:
        raise ValueError(f"unknown escape \\{escape.decode('latin-1')} in a quoted name")
    return bytes([_UNESCAPES[escape]])
