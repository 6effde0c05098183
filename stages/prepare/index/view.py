"""What is read from an index: files, definitions, references, imports, and BM25 over the words of every file."""

from __future__ import annotations

import bisect
import math
import os
import sqlite3
import struct
from array import array
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import compress
from typing import Any, TypeVar

from cromwell.prepare.index.catalog import DIGEST_BYTES, NONE, STAT_BYTES, Catalog
from cromwell.prepare.index.kinds import ChangedError, DamagedError, Def, File, parse_details, parse_imports
from cromwell.prepare.index.store import Store

BM25_K1, BM25_B = 1.2, 0.75
"""The usual values (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework")."""

T = TypeVar("T")
_DIGEST = struct.Struct(f"{DIGEST_BYTES}s")


class Index:
    """One state of a tree. `left_out` counts the listed files that are not among `files`, by reason; `unreadable` counts folders."""

    def __init__(self, root: str, store: Store, catalog: Catalog, unreadable: int, again: Callable[[], tuple[Store, Catalog]]):
        self.root, self.unreadable = root, unreadable
        self._again, self._kept_meta = again, dict[str, bytes]()
        self._take(store, catalog)
        self.state = catalog.identity()

    def _take(self, store: Store, catalog: Catalog) -> None:
        from cromwell.binding import index

        self._store, self._catalog = store, catalog
        languages = index.languages()
        indexed = [segment != NONE for segment in catalog.segment]
        chosen = [number for number, is_file in enumerate(indexed) if is_file]
        stats = memoryview(catalog.stats).cast("q") if catalog.stats else memoryview(b"").cast("q")
        step = STAT_BYTES // 8
        columns = (os.fsdecode(catalog.names).split("\0"), stats[0::step], stats[1::step], catalog.tokens, catalog.lines,
                   map(languages.__getitem__, catalog.language), [digest for digest, in _DIGEST.iter_unpack(catalog.digest)])
        rows = zip(range(len(chosen)), *(compress(column, indexed) for column in columns), strict=True)
        self.files = list(map(partial(tuple.__new__, File), rows))
        self.by_path = {file.path: file for file in self.files}
        self._chosen = chosen
        self._segments: dict[int, tuple[array, list[array]]] | None = None
        self._details: dict[int, tuple[list[Def], list[str]]] = {}
        self._graph: tuple[array, array] | None = None
        self._backward: dict[int, list[int]] | None = None

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Ends reading; a second call does nothing."""
        self._store.close()

    @property
    def left_out(self) -> dict[str, int]:
        """How many listed files are not among `files`, by reason."""
        reasons = {1: "binary", 2: "not UTF-8", 3: "too large", 4: "unreadable", 5: "changing", 6: "symbolic links", 7: "submodules"}
        found: dict[str, int] = {}
        for number, segment in enumerate(self._catalog.segment):
            if segment == NONE:
                reason = reasons.get(self._catalog.state[number], "unreadable")
                found[reason] = found.get(reason, 0) + 1
        return found

    def read(self, file: File) -> bytes:
        """The bytes of a file as they are on disk. ChangedError when they are not those that were indexed."""
        from cromwell.binding import index

        try:
            descriptor = os.open(os.path.join(self.root, file.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as stream:
                data = stream.read(file.size + 1)
        except OSError:
            raise ChangedError(file.path) from None
        if len(data) != file.size or index.digest(data) != file.digest:
            raise ChangedError(file.path)
        return data

    # ---- What stands in files ----

    def definitions(self, file_ids: Iterable[int]) -> dict[int, list[Def]]:
        """The definitions of files, in order of their first lines."""
        return self._guarded(lambda: {number: details[0] for number, details in self._details_of(list(file_ids))})

    def defining(self, names: Iterable[str]) -> dict[str, list[tuple[int, Def]]]:
        """Where names are defined, by the last part of the dotted name."""
        from cromwell.binding import index

        def look() -> dict[str, list[tuple[int, Def]]]:
            wanted = list(names)
            holders = {name: self._postings(index.DEFINED, name)[0] for name in wanted}
            details = dict(self._details_of(sorted({number for files in holders.values() for number in files})))
            return {name: [(number, found) for number in holders[name] for found in details[number][0]
                           if found.name.rpartition(".")[2] == name] for name in wanted}

        return self._guarded(look)

    def references(self, file_ids: Iterable[int]) -> dict[int, dict[str, int]]:
        """How often each identifier stands in the code of files, by reading them again; nothing for one that has changed since."""
        from cromwell.binding import index

        found: dict[int, dict[str, int]] = {}
        for number in file_ids:
            try:
                names = index.code_names(self.read(self.files[number]), os.fsencode(self.files[number].path))
            except ChangedError:
                names = {}
            found[number] = {os.fsdecode(name): count for name, count in names.items()}
        return found

    def referring(self, names: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
        """The files in whose code identifiers stand, with how often."""
        from cromwell.binding import index

        return self._guarded(lambda: {name: list(zip(*self._postings(index.NAMES, name), strict=True)) for name in names})

    # ---- Imports ----

    def imports(self, file_ids: Iterable[int]) -> dict[int, list[int]]:
        """The files of the tree that files import."""
        ends, targets = self._guarded(self._import_graph)
        return {number: list(targets[ends[number]:ends[number + 1]]) for number in file_ids}

    def importers(self, file_ids: Iterable[int]) -> dict[int, list[int]]:
        """The files of the tree that import files."""
        ends, targets = self._guarded(self._import_graph)
        if self._backward is None:
            self._backward = {}
            for number in range(len(self.files)):
                for target in targets[ends[number]:ends[number + 1]]:
                    self._backward.setdefault(target, []).append(number)
        return {number: list(self._backward.get(number, ())) for number in file_ids}

    # ---- Words ----

    def document_frequency(self, terms: Iterable[str]) -> dict[str, int]:
        """In how many files each term (lower case) stands."""
        from cromwell.binding import index

        return self._guarded(lambda: {term: len(self._postings(index.TERMS, term)[0]) for term in terms})

    def bm25(self, terms: Mapping[str, float]) -> dict[int, float]:
        """Weighted BM25 of every file with a hit; terms are those of `text_terms`, or parts of identifiers, in lower case."""
        from cromwell.binding import index

        def score() -> dict[int, float]:
            lengths = array("I", [self._catalog.terms[number] for number in self._chosen])
            scores, total = array("d", bytes(8 * len(self.files))), len(self.files)
            mean = max(1.0, sum(lengths) / max(1, total))
            for term, weight in terms.items():
                files, counts = self._postings(index.TERMS, term)
                if files:
                    idf = math.log(1 + (total - len(files) + 0.5) / (len(files) + 0.5))
                    index.bm25_add(files, counts, lengths, weight * idf, BM25_K1, BM25_B, mean, scores)
            return {number: value for number, value in enumerate(scores) if value}

        return self._guarded(score)

    # ---- Data of others ----

    def meta(self, key: str, any_state: bool = False) -> bytes | None:
        """Data that was put under `key` for this state of the tree, or None; with `any_state` also what was put for an earlier one."""
        if key in self._kept_meta:
            return self._kept_meta[key]
        found = self._guarded(lambda: self._store.derived("meta " + key))
        return found[1] if found is not None and (any_state or found[0] == self.state) else None

    def put_meta(self, key: str, data: bytes) -> None:
        """Keeps data that belongs to this state of the tree, in place of what `key` had; not kept where nothing can be written."""
        self._kept_meta[key] = data
        self._put_derived("meta " + key, data)

    def _put_derived(self, key: str, data: bytes) -> None:
        if not self._store.writable or self._store.path is None:
            return
        try:
            other = Store.open(self._store.path)
            if other is not None:
                try:
                    other.database.execute("PRAGMA busy_timeout=1000")
                    with other.transaction("IMMEDIATE"):
                        other.put_derived(key, self.state, data)
                finally:
                    other.close()
        except (sqlite3.Error, OSError, DamagedError):
            pass  # it is made again the next time

    # ---- Inside ----

    def _guarded(self, look: Callable[[], T]) -> T:
        """What `look` gives; when the database turns out to be damaged, after making it anew."""
        from cromwell.binding import STATUS_CHECKSUM, STATUS_FORMAT, CromwellError

        try:
            return look()
        except (sqlite3.DatabaseError, DamagedError, ValueError):
            pass
        except CromwellError as error:
            if error.status not in (STATUS_CHECKSUM, STATUS_FORMAT):
                raise
        self._store.close()
        store, catalog = self._again()
        self._take(store, catalog)
        if catalog.identity() != self.state:
            from cromwell.contract.errors import CommandError

            raise CommandError(f"{self.root}: changed while its index was made anew", "run it again")
        return look()

    def _details_of(self, file_ids: list[int]) -> list[tuple[int, tuple[list[Def], list[str]]]]:
        missing = [number for number in file_ids if number not in self._details]
        docs = {self._catalog.doc[self._chosen[number]]: number for number in missing}
        if len(missing) * 4 > len(self.files):
            for doc, text in self._store.details():
                if doc in docs:
                    self._details[docs[doc]] = parse_details(text)
        for doc, number in docs.items():
            if number not in self._details:
                self._details[number] = parse_details(self._store.detail(doc))
        return [(number, self._details[number]) for number in file_ids]

    def _imports_of(self, file_ids: list[int]) -> dict[int, list[str]]:
        """What is written after the import words of files."""
        docs = {self._catalog.doc[self._chosen[number]]: number for number in file_ids}
        if len(file_ids) * 4 > len(self.files):
            return {docs[doc]: parse_imports(text) for doc, text in self._store.details() if doc in docs}
        return {number: parse_imports(self._store.detail(doc)) for doc, number in docs.items()}

    def _postings(self, kind: int, name: str) -> tuple[array, array]:
        """Ids of the files that have a term or name, ascending, and how often."""
        from cromwell.binding import index

        if self._segments is None:
            places = {number: (array("i", [-1]) * docs, firsts) for number, (docs, firsts) in self._store.segments().items()}
            catalog = self._catalog
            for number, listed in enumerate(self._chosen):
                if catalog.segment[listed] not in places or catalog.local[listed] >= len(places[catalog.segment[listed]][0]):
                    raise DamagedError("a segment is missing")
                places[catalog.segment[listed]][0][catalog.local[listed]] = number
            self._segments = places
            self._finder = index.Finder(len(self.files))
        wanted = index.name_hash(os.fsencode(name))
        files, counts, parts = array("i"), array("I"), 0
        for number, (renamed, firsts) in self._segments.items():
            place = bisect.bisect_right(firsts[kind], wanted) - 1
            if place >= 0:
                found, often = self._finder.find(self._store.block(number, kind, place), wanted, renamed)
                files += found
                counts += often
                parts += len(found) > 0
        # Documents of a segment need not be in order of their names after files came and went.
        pairs = sorted(zip(files, counts, strict=True))
        return array("i", [file for file, _ in pairs]), array("I", [count for _, count in pairs])

    def _import_graph(self) -> tuple[array, array]:
        """For each file where its imports end among all, one more at the front, and the ids of all."""
        from cromwell.prepare.index.imports import load_graph

        if self._graph is None:
            kept = self._store.derived("imports")
            graph, data = load_graph(self.files, self._imports_of, self.read,
                                     kept[1] if kept is not None else None, kept is not None and kept[0] == self.state)
            if data is not None:
                self._put_derived("imports", data)
            self._graph = graph
        return self._graph
