"""Brings an index up to what the tree is now: surveys the files that are new or changed, and keeps the rest.

A file is taken as unchanged when its size, times, inode and kind are. Times tick, so a file that changed just before it was read could
change again and look the same: such files are noted as unsettled, and read again the next time (git calls them racy)."""

from __future__ import annotations

import struct
import time
from array import array
from typing import TYPE_CHECKING

from cromwell.prepare.index.catalog import DIGEST_BYTES, LINK, NONE, STAT_BYTES, SUBMODULE, Catalog

if TYPE_CHECKING:
    from cromwell.binding import Tokenizer
    from cromwell.binding.files import Listing
    from cromwell.prepare.index.store import Store

MAX_BYTES = 8 << 20
"""Largest file in a known language that is read; real sources of a few MB exist, generated ones beyond that help nobody."""
MAX_OTHER_BYTES = 1 << 20
"""Largest other file."""
BATCH_FILES, BATCH_BYTES = 8192, 96 << 20
"""Most that one segment holds, so that memory stays bounded."""
SMALL_SEGMENT, SMALL_SEGMENTS = 4096, 6
"""Segments of fewer documents are small; more than so many of them are joined."""
_TICK_NS, _COARSE_NS = 20_000_000, 2_000_000_000
"""How long a file's times may stay behind the clock: two ticks of a kernel at 100 Hz; on file systems without fractions 2 s."""
_STAT = struct.Struct("<qqqQII")
_KIND_AT = 32  # of a stat record


class Work:
    """What has to be done to bring `old` up to a listing: `kept` maps listed files to old ones (NONE: none), `read` are those to read;
    neither is made when there is nothing to do."""

    def __init__(self, old: Catalog | None, listing: Listing):
        from cromwell.binding import files

        self.old, self.listing = old, listing
        self.count = len(listing.stats) // STAT_BYTES
        self.kept = array("I", [NONE]) * self.count
        self.read: list[int] = []
        unsettled = set(old.unsettled) if old is not None else set()
        stats = listing.stats
        self._regular, self._submodule = files.REGULAR, files.SUBMODULE
        self.is_clean = old is not None and not unsettled and old.names == listing.names and old.stats == stats
        if self.is_clean:
            return
        if old is not None and old.names == listing.names:
            same = old.stats == stats
            for number in range(self.count):
                self.kept[number] = number
                at = number * STAT_BYTES
                if number in unsettled or not same and old.stats[at:at + STAT_BYTES] != stats[at:at + STAT_BYTES]:
                    self.read.append(number)
        else:
            places = {} if old is None else {name: place for place, name in enumerate(old.names.split(b"\0")[:-1])}
            for number, name in enumerate(listing.names.split(b"\0")[:-1]):
                place = places.get(name, NONE)
                self.kept[number] = place
                at = number * STAT_BYTES
                if place == NONE or place in unsettled or \
                        old.stats[place * STAT_BYTES:(place + 1) * STAT_BYTES] != stats[at:at + STAT_BYTES]:  # type: ignore[union-attr]
                    self.read.append(number)
        self.read = [number for number in self.read if self._kind(number) == files.REGULAR]

    def _kind(self, number: int) -> int:
        return self.listing.stats[number * STAT_BYTES + _KIND_AT]

    def start(self) -> Catalog:
        """A catalog of the listing with what is known of the files that are kept."""
        new, old = Catalog(self.listing.names, self.listing.stats, self.count), self.old
        if old is not None:
            new.next_doc, new.next_segment = old.next_doc, old.next_segment
            if old.names == self.listing.names:
                for column in ("segment", "local", "doc", "tokens", "lines", "terms", "language", "state"):
                    setattr(new, column, array(getattr(old, column).typecode, getattr(old, column)))
                new.digest = bytearray(old.digest)
            else:
                columns = [(getattr(new, name), getattr(old, name))
                           for name in ("segment", "local", "doc", "tokens", "lines", "terms", "language", "state")]
                for number, place in enumerate(self.kept):
                    if place != NONE:
                        for to, of in columns:
                            to[number] = of[place]
                        new.digest[number * DIGEST_BYTES:(number + 1) * DIGEST_BYTES] = \
                            old.digest[place * DIGEST_BYTES:(place + 1) * DIGEST_BYTES]
        for number in range(self.count):
            kind = self._kind(number)
            if kind != self._regular:
                new.state[number] = SUBMODULE if kind == self._submodule else LINK
                new.segment[number], new.digest[number * DIGEST_BYTES:(number + 1) * DIGEST_BYTES] = NONE, bytes(DIGEST_BYTES)
        return new


def is_unsettled(stat: tuple[int, ...], started_ns: int) -> bool:
    """Whether a file read after `started_ns` may have changed again without a trace."""
    _size, mtime, ctime = stat[:3]
    coarse = mtime % 1_000_000_000 == 0 and ctime % 1_000_000_000 == 0
    return max(mtime, ctime) > started_ns - (_COARSE_NS if coarse else _TICK_NS)


def refresh(store: Store, root: bytes, work: Work, tokenizer: Tokenizer | None, threads: int = 1) -> Catalog:
    """Does the work and writes it into the store, in its transaction. Returns the new table of files."""
    from cromwell.binding import index

    new = work.start()
    names = work.listing.names.split(b"\0")
    size_of = {number: _STAT.unpack_from(work.listing.stats, number * STAT_BYTES)[0] for number in work.read}
    record = struct.Struct(index.FILE_FORMAT)
    new.stats = bytes(_survey(store, root, work, new, names, size_of, record, tokenizer, threads))
    if work.old is not None:
        held = set(new.doc[number] for number in range(new.count) if new.segment[number] != NONE)
        gone = [doc for place, doc in enumerate(work.old.doc) if work.old.segment[place] != NONE and doc not in held]
        store.drop_details(gone)
        _join_segments(store, new)
    store.put_catalog(new)
    return new


def _survey(store: Store, root: bytes, work: Work, new: Catalog, names: list[bytes], size_of: dict[int, int], record: struct.Struct,
            tokenizer: Tokenizer | None, threads: int) -> bytearray:
    """Reads the files of the work in batches, a segment each; returns the states of all files as they were when read."""
    from cromwell.binding import index

    stats = bytearray(work.listing.stats)
    at = 0
    while at < len(work.read):
        batch, held = [], 0
        while at < len(work.read) and len(batch) < BATCH_FILES and (held < BATCH_BYTES or not batch):
            batch.append(work.read[at])
            held += min(size_of[work.read[at]], MAX_BYTES)
            at += 1
        started_ns = time.time_ns()
        with index.Survey(root, b"".join(names[number] + b"\0" for number in batch), len(batch), tokenizer, threads, MAX_BYTES,
                          MAX_OTHER_BYTES) as survey:
            segment, fresh, rows = new.next_segment, False, []
            for local, (number, found) in enumerate(zip(batch, record.iter_unpack(survey.files()), strict=True)):
                stat, (state, language, tokens, lines, terms, _details, digest) = found[:6], found[6:]
                place = work.kept[number]
                if state in (index.UNREADABLE, index.CHANGING):
                    stats[number * STAT_BYTES:(number + 1) * STAT_BYTES] = bytes(STAT_BYTES)  # it is tried again
                    new.unsettled.append(number)
                else:
                    stats[number * STAT_BYTES:(number + 1) * STAT_BYTES] = _STAT.pack(*stat)
                    if is_unsettled(stat, started_ns):
                        new.unsettled.append(number)
                if place != NONE and state == index.TEXT and work.old is not None and work.old.segment[place] != NONE and \
                        work.old.digest[place * DIGEST_BYTES:(place + 1) * DIGEST_BYTES] == digest and work.old.state[place] == state:
                    continue  # touched, and the same
                new.state[number], new.language[number], new.tokens[number], new.lines[number] = state, language, tokens, lines
                new.terms[number] = terms
                new.digest[number * DIGEST_BYTES:(number + 1) * DIGEST_BYTES] = digest
                new.segment[number] = NONE
                if state == index.TEXT:
                    new.segment[number], new.local[number], new.doc[number] = segment, local, new.next_doc
                    rows.append((new.next_doc, survey.details(local)))
                    new.next_doc += 1
                    fresh = True
            if fresh:
                new.next_segment += 1
                store.put_segment(segment, len(batch), [survey.postings(kind) for kind in range(index.KINDS)])
                store.put_details(rows)
    return stats


def _join_segments(store: Store, new: Catalog) -> None:
    """Joins small segments when there are many of them, and drops those that nothing is left of."""
    from cromwell.binding import index

    live: dict[int, list[int]] = {}
    for number in range(new.count):
        if new.segment[number] != NONE:
            live.setdefault(new.segment[number], []).append(number)
    sizes = {number: docs for number, (docs, _firsts) in store.segments().items()}
    for number in sizes:
        if number not in live:
            store.drop_segment(number)
    small = [number for number, files in live.items() if len(files) < SMALL_SEGMENT]
    if len(small) <= SMALL_SEGMENTS:
        return
    joined, renamed, count = new.next_segment, {}, 0
    for number in sorted(small):
        places = array("i", [-1]) * sizes[number]
        for file in live[number]:
            places[new.local[file]] = count
            new.local[file], new.segment[file] = count, joined
            count += 1
        renamed[number] = places
    new.next_segment += 1
    store.put_segment(joined, count, [index.merge((store.blocks(number, kind), places) for number, places in renamed.items())
                                      for kind in range(index.KINDS)])
    for number in renamed:
        store.drop_segment(number)
