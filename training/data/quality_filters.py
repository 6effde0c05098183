"""Which files are not used at all, whatever is in them otherwise, and the reason in a word or two.

Reasons are counted and every file left out is listed with its own (docs/data.md); the first that applies is the one given."""

from __future__ import annotations

import re

import numpy as np

MIN_BYTES, MAX_BYTES = 200, 300_000
MAX_LINE_BYTES = 300
MAX_DIGIT_SHARE = 0.25
MAX_MEAN_LINE_BYTES = 100  # of lines that are not empty; PEP 8's code has 35
MIN_BLANK_SHARE = 0.05  # of bytes: minified code has fewer; ordinary code has 25-40%
MAX_BLOB_BYTES = 200  # of letters, digits, + / = and backslashes in a row: encoded data

GENERATED_HEAD, LICENCE_HEAD = 2000, 4000  # bytes from the start in which the two are looked for
_GENERATED = re.compile(
    rb"\b(?:auto-?generated|generated (?:by|from|file|automatically|code)|do not (?:edit|modify)|machine[- ]generated)\b|@generated"
)
_LICENCE = re.compile(
    rb"(?:Lesser|Affero|GNU) General Public|General Public License|Mozilla Public License|Eclipse Public License"
    rb"|\b[AL]?GPL(?:v?[23])?\b|\bMPL[- ]2|\bCC[- ]BY|Creative Commons|\bSSPL\b|Business Source License|All rights reserved\. Proprietary"
)
_LICENCE_WORDS = (b"Public License", b"GPL", b"MPL", b"Creative Commons", b"CC-", b"CC BY", b"SSPL", b"Business Source", b"Proprietary")
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BLOB = re.compile(rb"[A-Za-z0-9+/=\\]{%d}" % MAX_BLOB_BYTES)
_DIGITS, _BLANKS = slice(48, 58), np.array([9, 10, 11, 12, 13, 32])
_CONTROLS = np.array([byte for byte in range(32) if byte not in (9, 10, 13)] + [127])


def byte_counts(data: bytes) -> np.ndarray:
    """How often each byte occurs, int64 [256]."""
    return np.bincount(np.frombuffer(data, np.uint8), minlength=256)


def declared_encoding(data: bytes) -> str:
    """The encoding that a file's first two lines declare (PEP 263), "utf-8" when they declare none."""
    for line in data[:400].split(b"\n", 2)[:2]:
        if found := _CODING.match(line):
            return found[1].decode("ascii").lower().replace("_", "-")
        if line.strip() and not line.lstrip().startswith(b"#"):
            break
    return "utf-8"


def _names_licence(head: bytes) -> bool:
    """True for a licence that is not permissive; the plain search for words comes first, as the expression is slow."""
    return any(word in head for word in _LICENCE_WORDS) and bool(_LICENCE.search(head))


def reject_reason(data: bytes, counts: np.ndarray | None = None) -> str:
    """Why a file is not used, or "" when it passes (whether it parses is another question); `counts` are its byte_counts, if known."""
    if not MIN_BYTES <= len(data) <= MAX_BYTES:
        return "size"
    counts = byte_counts(data) if counts is None else counts
    if counts[0]:
        return "binary"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    if declared_encoding(data) not in ("utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii"):
        return "declared encoding"
    if counts[_CONTROLS].any() or (counts[13] and counts[13] != data.count(b"\r\n")):
        return "control characters"
    head = data[:GENERATED_HEAD].lower()
    if (b"generated" in head or b"do not " in head) and _GENERATED.search(head):
        return "generated"
    head = data[:LICENCE_HEAD]
    if _names_licence(head):
        return "licence"
    line_ends = np.flatnonzero(np.frombuffer(b"\n" + data + b"\n", np.uint8) == 10)
    line_sizes = line_ends[1:] - line_ends[:-1] - 1
    longest = int(line_sizes.max())
    if longest > MAX_LINE_BYTES:
        return "long line"
    filled = np.count_nonzero(line_sizes > 1)
    if len(data) > MAX_MEAN_LINE_BYTES * max(1, filled) or counts[_BLANKS].sum() < MIN_BLANK_SHARE * len(data):
        return "minified"
    if counts[_DIGITS].sum() > MAX_DIGIT_SHARE * len(data):
        return "mostly numbers"
    if longest >= MAX_BLOB_BYTES and _BLOB.search(data):
        return "encoded data"
    return ""
