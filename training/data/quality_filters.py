"""Which files are not used at all, whatever is in them otherwise, and the reason in a word or two.

Reasons are counted and every file left out is listed with its own (docs/data.md); the first that applies is the one given."""

from __future__ import annotations

import re

import numpy as np

from .dedup_tokens import Texts, lay_out, per_text

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
_GENERATED_WORDS = (b"generated", b"do not edit", b"do not modify")
_LICENCE = re.compile(
    rb"(?:Lesser|Affero|GNU) General Public|General Public License|Mozilla Public License|Eclipse Public License"
    rb"|\b[AL]?GPL(?:v?[23])?\b|\bMPL[- ]2|\bCC[- ]BY|Creative Commons|\bSSPL\b|Business Source License|All rights reserved\. Proprietary"
)
_LICENCE_WORDS = (b"General Public", b"Mozilla Public", b"Eclipse Public", b"Creative Commons", b"Business Source", b". Proprietary")
_LICENCE_SHORT_WORDS = (  # take longest to look for: only where the first is there ("MPL" alone is part of "IMPLIED", in most licences)
    (b"PL", b"GPL", b"SSPL", b"MPL-2", b"MPL 2"),
    (b"CC", b"CC-BY", b"CC BY"),
)
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BLOB = re.compile(rb"[A-Za-z0-9+/=\\]{%d}" % MAX_BLOB_BYTES)
_DIGITS, _BLANKS = slice(48, 58), np.array([9, 10, 11, 12, 13, 32])
_CONTROLS = np.array([byte for byte in range(32) if byte not in (9, 10, 13)] + [127])


def byte_counts(texts: Texts) -> np.ndarray:
    """How often each byte occurs in each text, int64 [texts, 256]."""
    bounds = zip(texts.first.tolist(), texts.last.tolist(), strict=True)
    return np.stack([np.bincount(texts.bytes[first:last], minlength=256) for first, last in bounds])


def declared_encoding(data: bytes) -> str:
    """The encoding that a file's first two lines declare (PEP 263), "utf-8" when they declare none."""
    for line in data[:400].split(b"\n", 2)[:2]:
        if found := _CODING.match(line):
            return found[1].decode("ascii").lower().replace("_", "-")
        if line.strip() and not line.lstrip().startswith(b"#"):
            break
    return "utf-8"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_generated(data: bytes) -> bool:
    """True when the head says so; plain searches come first, as the expression is slow."""
    head = data[:GENERATED_HEAD].lower()
    return any(word in head for word in _GENERATED_WORDS) and bool(_GENERATED.search(head))


def _names_licence(data: bytes) -> bool:
    """True for a licence that is not permissive."""
    head = data[:LICENCE_HEAD]
    for word in _LICENCE_WORDS:
        if word in head:
            return bool(_LICENCE.search(head))
    for first, *words in _LICENCE_SHORT_WORDS:
        if first in head and any(word in head for word in words):
            return bool(_LICENCE.search(head))
    return False


def _has_other_encoding(data: bytes) -> bool:
    return b"coding" in data[:400] and declared_encoding(data) not in ("utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii")


def reject_reason(data: bytes) -> str:
    """Why a file is not used, or "" when it passes (whether it parses is another question)."""
    if not MIN_BYTES <= len(data) <= MAX_BYTES:
        return "size"
    texts = lay_out([data])
    return reject_reasons(texts, byte_counts(texts))[0]


def reject_reasons(texts: Texts, counts: np.ndarray) -> list[str]:
    """reject_reason of each of some texts of MIN_BYTES to MAX_BYTES, with their byte_counts."""
    sizes = texts.last - texts.first
    line_sizes = np.diff(texts.line_ends, prepend=-1) - 1
    line_sizes[texts.line_of[:-1]] = texts.line_ends[texts.line_of[:-1]] - texts.first  # not what lies between the texts
    longest = np.maximum.reduceat(line_sizes, texts.line_of[:-1])
    filled = per_text(line_sizes > 1, texts.line_of)
    minified = (sizes > MAX_MEAN_LINE_BYTES * np.maximum(1, filled)) | (counts[:, _BLANKS].sum(axis=1) < MIN_BLANK_SHARE * sizes)
    numbers = counts[:, _DIGITS].sum(axis=1) > MAX_DIGIT_SHARE * sizes
    controls, high = counts[:, _CONTROLS].any(axis=1), counts[:, 128:].any(axis=1)

    def reason(i: int, data: bytes) -> str:
        if counts[i, 0]:
            return "binary"
        if high[i] and not _is_utf8(data):
            return "not UTF-8"
        if _has_other_encoding(data):
            return "declared encoding"
        if controls[i] or (counts[i, 13] and counts[i, 13] != data.count(b"\r\n")):
            return "control characters"
        if _is_generated(data):
            return "generated"
        if _names_licence(data):
            return "licence"
        if longest[i] > MAX_LINE_BYTES:
            return "long line"
        if minified[i]:
            return "minified"
        if numbers[i]:
            return "mostly numbers"
        if longest[i] >= MAX_BLOB_BYTES and _BLOB.search(data):
            return "encoded data"
        return ""

    return [reason(i, data) for i, data in enumerate(texts.data)]
