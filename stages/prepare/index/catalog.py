"""The table of a tree's files: what was listed, and where what is known of each lies. One blob, so that it is read and compared at once."""

from __future__ import annotations

import struct
from array import array
from hashlib import blake2b

from cromwell.prepare.index.kinds import DamagedError

NONE = 0xFFFFFFFF
LINK, SUBMODULE = 6, 7
"""States beyond those of a survey: what is listed, and is no file."""
_HEAD = struct.Struct("<qqqqq")  # files, bytes of names, unsettled files, next document, next segment
_COLUMNS = (("segment", "I"), ("local", "I"), ("doc", "Q"), ("tokens", "I"), ("lines", "I"), ("terms", "I"), ("language", "B"),
            ("state", "B"))
STAT_BYTES, DIGEST_BYTES = 40, 16


class Catalog:
    """Columns by listed file: `names` (each ended by a zero byte) and `stats` are those of the listing; `segment` and `local` say where its
    postings are (NONE: nowhere), `doc` where its details are; `digest` holds 16 bytes each. `unsettled` are the numbers of files that
    could change again without a trace in their times. `next_doc` and `next_segment` were never used."""

    def __init__(self, names: bytes = b"", stats: bytes = b"", count: int = 0):
        self.names, self.stats, self.count = names, stats, count
        self.segment, self.local = array("I", [NONE]) * count, array("I", [0]) * count
        self.doc = array("Q", [0]) * count
        self.tokens, self.lines, self.terms = (array("I", [0]) * count for _ in range(3))
        self.language, self.state = array("B", [0]) * count, array("B", [0]) * count
        self.digest = bytearray(DIGEST_BYTES * count)
        self.unsettled = array("I")
        self.next_doc, self.next_segment = 1, 1

    def dump(self) -> bytes:
        """All of it with a checksum in front."""
        from cromwell.binding import checksum64

        body = b"".join([
            _HEAD.pack(self.count, len(self.names), len(self.unsettled), self.next_doc, self.next_segment), self.names, self.stats,
            bytes(self.digest), *(getattr(self, name).tobytes() for name, _kind in _COLUMNS), self.unsettled.tobytes()])
        return checksum64(body).to_bytes(8, "little") + body

    @classmethod
    def load(cls, data: bytes) -> Catalog:
        """What dump gave. DamagedError for anything else."""
        from cromwell.binding import checksum64

        body = memoryview(data)[8:]
        if len(body) < _HEAD.size or checksum64(body).to_bytes(8, "little") != data[:8]:
            raise DamagedError("the table of files")
        count, names, unsettled, next_doc, next_segment = _HEAD.unpack_from(body)
        at = _HEAD.size
        made = cls()
        made.count, made.next_doc, made.next_segment = count, next_doc, next_segment
        made.names, made.stats = bytes(body[at:at + names]), bytes(body[at + names:at + names + STAT_BYTES * count])
        at += names + STAT_BYTES * count
        made.digest = bytearray(body[at:at + DIGEST_BYTES * count])
        at += DIGEST_BYTES * count
        for name, kind in _COLUMNS:
            column = array(kind)
            column.frombytes(body[at:at + column.itemsize * count])
            setattr(made, name, column)
            at += column.itemsize * count
        made.unsettled.frombytes(body[at:at + 4 * unsettled])
        return made

    def identity(self) -> str:
        """A name for this state of the tree: the names and contents of its files."""
        names = blake2b(self.names, digest_size=16)
        names.update(self.digest)
        names.update(self.state.tobytes())
        return names.hexdigest()
