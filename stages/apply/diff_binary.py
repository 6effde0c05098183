"""Git binary patches: a file's new bytes, and its old ones for the way back, deflated and in base 85, whole or as a delta."""

from __future__ import annotations

import zlib
from base64 import b85encode

LEVEL = 1  # of deflate, as in git
LINE_BYTES = 52  # deflated bytes a line; the first character gives their number: A to Z 1 to 26, a to z 27 to 52
MAX_COPY, MAX_INSERT = 0xFFFFFF, 0x7F


def binary_patch(old: bytes, new: bytes) -> bytes:
    """The lines after the header of a file's part: the way from old to new, then the way back."""
    return b"GIT binary patch\n" + _way(old, new) + _way(new, old)


def _way(old: bytes, new: bytes) -> bytes:
    """One direction: literal, or a delta where that is smaller deflated."""
    kind, size, packed = b"literal", len(new), zlib.compress(new, LEVEL)
    if old and new:
        made = delta(old, new)
        packed_delta = zlib.compress(made, LEVEL)
        if len(packed_delta) < len(packed):
            kind, size, packed = b"delta", len(made), packed_delta
    lines = [b"%s %d\n" % (kind, size)]
    for at in range(0, len(packed), LINE_BYTES):
        piece = packed[at:at + LINE_BYTES]
        lines.append(bytes([len(piece) + (64 if len(piece) <= 26 else 70)]) + b85encode(piece, pad=True) + b"\n")
    return b"".join(lines) + b"\n"


def delta(old: bytes, new: bytes) -> bytes:
    """Git's pack delta: both sizes, then copies from `old` and insertions, found by comparing the pieces between newline bytes."""
    from cromwell.apply.unified import split_lines
    from cromwell.binding import diff_lines

    starts = [[0], [0]]
    for side, data in enumerate((old, new)):
        for line in split_lines(data):
            starts[side].append(starts[side][-1] + len(line))
    parts = [_varint(len(old)), _varint(len(new))]
    old_at = 0
    for old_first, old_count, new_first, new_count in diff_lines(old, new):
        first, end = starts[0][old_first], starts[0][old_first + old_count]
        inserted = new[starts[1][new_first]:starts[1][new_first + new_count]]
        replaced = old[first:end]
        head = _common(replaced, inserted)
        tail = _common(replaced[head:][::-1], inserted[head:][::-1])
        parts.append(_copy(old_at, first + head))
        parts.append(_insert(inserted[head:len(inserted) - tail]))
        old_at = end - tail
    parts.append(_copy(old_at, len(old)))
    return b"".join(parts)


def _common(one: bytes, other: bytes) -> int:
    """Bytes that both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _copy(first: int, end: int) -> bytes:
    """Instructions that copy old[first:end]: a byte of flags, then the bytes of offset and size that are not zero."""
    out = bytearray()
    while first < end:
        size = min(end - first, MAX_COPY)
        flags, numbers = 0x80, bytearray()
        for bit, byte in enumerate(first.to_bytes(4, "little") + size.to_bytes(3, "little")):
            if byte:
                flags |= 1 << bit
                numbers.append(byte)
        out.append(flags)
        out += numbers
        first += size
    return bytes(out)


def _insert(data: bytes) -> bytes:
    return b"".join(bytes([len(data[at:at + MAX_INSERT])]) + data[at:at + MAX_INSERT] for at in range(0, len(data), MAX_INSERT))
