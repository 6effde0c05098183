"""Git's binary patches: how they are written, and what they make of a file's bytes.

    literal 11              or: delta 9; the size of the data below once inflated
    Scmd;sAnnotated-lines   a letter for the line's bytes (A-Z 1 to 26, a-z 27 to 52), then base 85 of a zlib stream

A patch has one such block for each direction, the backward one optional. A delta is one of git's packs: it copies ranges of the old file
and inserts bytes.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

MAX_RESULT_BYTES = 1 << 30


class Block(NamedTuple):
    """One direction of a binary patch: `deflated` inflates to `size_bytes`, which are the new file or a delta to it."""

    delta: bool
    size_bytes: int
    deflated: bytes

    def apply(self, old: bytes) -> bytes:
        """The file that it makes of `old`. ValueError: damaged, or not made for it."""
        if self.size_bytes > MAX_RESULT_BYTES:
            raise ValueError(f"more than {MAX_RESULT_BYTES >> 30} GiB")
        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(self.deflated, self.size_bytes + 1)
        except zlib.error as error:
            raise ValueError(f"damaged data ({error})") from None
        if len(data) != self.size_bytes or not inflater.eof:
            raise ValueError("its data have another size than it says")
        return _with_delta(old, data) if self.delta else data


def _with_delta(old: bytes, delta: bytes) -> bytes:
    """The file that a delta makes of `old`. ValueError as above."""
    old_size, at = _size(delta, 0)
    new_size, at = _size(delta, at)
    if old_size != len(old):
        raise ValueError(f"made for a file of {old_size} bytes, this one has {len(old)}")
    if new_size > MAX_RESULT_BYTES:
        raise ValueError(f"more than {MAX_RESULT_BYTES >> 30} GiB")
    pieces, made = [], 0
    try:
        while at < len(delta):
            command, at = delta[at], at + 1
            if command & 0x80:  # copy: its low bits say which bytes of offset and size follow
                fields = [0] * 7
                for bit in range(7):
                    if command >> bit & 1:
                        fields[bit], at = delta[at], at + 1
                offset = int.from_bytes(bytes(fields[:4]), "little")
                size = int.from_bytes(bytes(fields[4:]), "little") or 0x10000
                piece = old[offset:offset + size]
            else:
                size, piece, at = command, delta[at:at + command], at + command
            if not size or len(piece) != size:
                raise ValueError("a damaged delta")
            made += size
            if made > new_size:
                raise ValueError("a damaged delta")
            pieces.append(piece)
    except IndexError:
        raise ValueError("a damaged delta") from None
    if made != new_size:
        raise ValueError("a damaged delta")
    return b"".join(pieces)


def _size(delta: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    value = 0
    for shift in range(0, 42, 7):
        if at >= len(delta):
            break
        byte, at = delta[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a damaged delta")
