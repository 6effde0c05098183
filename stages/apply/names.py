"""File names as git writes them in diffs: C-style quotes around bytes that would not survive."""

from __future__ import annotations

import re

_ESCAPES = {0x07: b"a", 0x08: b"b", 0x09: b"t", 0x0A: b"n", 0x0B: b"v", 0x0C: b"f", 0x0D: b"r", 0x22: b'"', 0x5C: b"\\"}
_SPECIAL = re.compile(rb'[\x00-\x1f\x7f-\xff"\\]')


def quote(name: bytes) -> bytes:
    """`name` as git prints it with core.quotePath on: as it is, or in double quotes with escapes."""
    if not _SPECIAL.search(name):
        return name
    return b'"' + _SPECIAL.sub(lambda match: b"\\" + (_ESCAPES.get(match[0][0]) or b"%03o" % match[0][0]), name) + b'"'
