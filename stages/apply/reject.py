"""Hunks that found no place, as a patch of their own: the .rej file beside the file that they were meant for."""

from __future__ import annotations

from collections.abc import Sequence

from cromwell.apply.names import quote
from cromwell.apply.parse import Hunk

SUFFIX = b".rej"


def write(path: bytes, hunks: Sequence[Hunk]) -> bytes:
    """A unified diff of `hunks` for the file `path`, which cw-apply and GNU patch read."""
    tab = b"\t" if b" " in path else b""
    pieces = [b"--- %s%s\n+++ %s%s\n" % (quote(b"a/" + path), tab, quote(b"b/" + path), tab)]
    for hunk in hunks:
        pieces.append(b"@@ -%d,%d +%d,%d @@\n" % (hunk.old_start, len(hunk.old), hunk.new_start, len(hunk.new)))
        old = new = 0
        for mark in hunk.marks:
            line = hunk.new[new] if mark == 0x2B else hunk.old[old]
            old, new = old + (mark != 0x2B), new + (mark != 0x2D)
            pieces.append(bytes([mark]) + line)
            if not line.endswith(b"\n"):
                pieces.append(b"\n\\ No newline at end of file\n")
    return b"".join(pieces)
