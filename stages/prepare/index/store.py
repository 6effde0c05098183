"""Keeps an index in an SQLite database under the cache folder, or in memory where it cannot.

One database a tree, named by a hash of its real path and what else decides about its content. It is made as a temporary file and
renamed, later changed in transactions (WAL), by one writer at a time, who holds a lock file; readers see one state from beginning to end.
It is never made durable: after a crash of the machine a damaged one is told by checksums and made anew, like one of another version."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from array import array
from collections.abc import Iterator

from cromwell.contract.words import detail
from cromwell.prepare.index.catalog import Catalog
from cromwell.prepare.index.kinds import DamagedError

FORMAT = 1
"""Goes up with every change of what is kept or how it is found: databases of other formats are made anew."""
FOLDER = f"index{FORMAT}"
LOCK_SECONDS = 20.0
_STALE_SECONDS = 3600
_NUMBER_BITS, _KIND_BITS = 24, 4
_SCHEMA = """
CREATE TABLE catalog (id INTEGER PRIMARY KEY, version INTEGER, data BLOB);
CREATE TABLE segment (id INTEGER PRIMARY KEY, docs INTEGER, firsts BLOB);
CREATE TABLE block (id INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE detail (doc INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE derived (key TEXT PRIMARY KEY, state TEXT, data BLOB);
"""


def block_id(segment: int, kind: int, number: int) -> int:
    """The row of a block."""
    return (segment << _KIND_BITS | kind) << _NUMBER_BITS | number


def sealed(data: bytes) -> bytes:
    """Data with its checksum in front."""
    from cromwell.binding import checksum64

    return checksum64(data).to_bytes(8, "little") + data


def unsealed(data: bytes, what: str) -> bytes:
    """What was sealed. DamagedError when it is not what it was."""
    from cromwell.binding import checksum64

    body = data[8:]
    if checksum64(body).to_bytes(8, "little") != data[:8]:
        raise DamagedError(what)
    return body


class Store:
    """A database. `path` is None for one in memory, `writable` False for one that can only be read."""

    def __init__(self, database: sqlite3.Connection, path: str | None, writable: bool = True):
        self.database, self.path, self.writable = database, path, writable

    @classmethod
    def in_memory(cls) -> Store:
        """An empty one that is gone when it is closed."""
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        database.executescript(_SCHEMA)
        return cls(database, None)

    @classmethod
    def open(cls, path: str) -> Store | None:
        """The database at `path`, or None when there is none. DamagedError when it is none of ours."""
        if not os.path.exists(path):
            return None
        writable = os.access(os.path.dirname(path), os.W_OK) and os.access(path, os.W_OK)
        mode = "mode=rw" if writable else "mode=ro&immutable=1"
        name = "".join(chr(c) if chr(c).isalnum() and c < 128 or c in b"/._-" else f"%{c:02x}" for c in os.fsencode(path))
        try:
            database = sqlite3.connect(f"file:{name}?{mode}", uri=True, isolation_level=None, timeout=LOCK_SECONDS,
                                       check_same_thread=False)
        except sqlite3.Error as error:
            if not os.path.exists(path):  # another process threw it away
                return None
            raise DamagedError(str(error)) from None
        try:
            if database.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                raise DamagedError("of another version")
            database.execute("PRAGMA synchronous=OFF")
        except sqlite3.Error as error:
            database.close()
            raise DamagedError(str(error)) from None
        except DamagedError:
            database.close()
            raise
        return cls(database, path, writable)

    @classmethod
    def create(cls, path: str) -> Store:
        """A new one beside `path`, which `settle` renames. OSError or sqlite3.Error when that cannot be."""
        temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(temporary, isolation_level=None, check_same_thread=False)
        database.executescript("PRAGMA page_size=8192; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;"
                               f"PRAGMA user_version={FORMAT};" + _SCHEMA)
        return cls(database, temporary)

    def settle(self, path: str) -> Store:
        """Puts a new database in its place and opens it there."""
        self.database.execute("PRAGMA locking_mode=NORMAL")
        self.database.execute("PRAGMA journal_mode=WAL")
        self.close()
        discard(path)
        os.replace(str(self.path), path)
        store = Store.open(path)
        if store is None:
            raise OSError(f"{path}: gone")
        return store

    def close(self) -> None:
        """Closes the connection; a second call does nothing."""
        self.database.close()

    @contextlib.contextmanager
    def transaction(self, kind: str) -> Iterator[None]:
        """BEGIN `kind` and COMMIT, or ROLLBACK when something is raised."""
        self.database.execute(f"BEGIN {kind}")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    # ---- Reading; sqlite3.Error and DamagedError where it is damaged ----

    def catalog(self) -> Catalog | None:
        """The table of files, or None in an empty database."""
        row = self.database.execute("SELECT data FROM catalog WHERE id = 1").fetchone()
        return None if row is None else Catalog.load(row[0])

    def version(self) -> int:
        """How often the table of files was written."""
        row = self.database.execute("SELECT version FROM catalog WHERE id = 1").fetchone()
        return 0 if row is None else row[0]

    def segments(self) -> dict[int, tuple[int, list[array]]]:
        """Of each segment the number of its documents, and for each kind of postings the hashes that its blocks begin with."""
        found = {}
        for number, docs, data in self.database.execute("SELECT id, docs, firsts FROM segment"):
            body, columns = memoryview(unsealed(data, "a segment")), []
            while body:
                size = int.from_bytes(body[:8], "little")
                columns.append(array("Q", bytes(body[8:8 + size])))
                body = body[8 + size:]
            found[number] = (docs, columns)
        return found

    def block(self, segment: int, kind: int, number: int) -> bytes:
        """A block of postings; it has a checksum of its own."""
        row = self.database.execute("SELECT data FROM block WHERE id = ?", (block_id(segment, kind, number),)).fetchone()
        if row is None:
            raise DamagedError("a block is missing")
        return row[0]

    def blocks(self, segment: int, kind: int) -> list[bytes]:
        """All blocks of one kind of a segment, in order."""
        bounds = block_id(segment, kind, 0), block_id(segment, kind + 1, 0)
        return [row[0] for row in self.database.execute("SELECT data FROM block WHERE id >= ? AND id < ? ORDER BY id", bounds)]

    def detail(self, doc: int) -> bytes:
        """Definitions and imports of a document."""
        row = self.database.execute("SELECT data FROM detail WHERE doc = ?", (doc,)).fetchone()
        if row is None:
            raise DamagedError("details of a file are missing")
        return unsealed(row[0], "details of a file")

    def details(self) -> Iterator[tuple[int, bytes]]:
        """Those of all documents, with their numbers."""
        for doc, data in self.database.execute("SELECT doc, data FROM detail"):
            yield doc, unsealed(data, "details of a file")

    def derived(self, key: str) -> tuple[str, bytes] | None:
        """What was kept under a key, after the state of the tree that it belongs to."""
        row = self.database.execute("SELECT state, data FROM derived WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row[0], unsealed(row[1], f"data {key}"))

    # ---- Writing, inside a transaction ----

    def put_catalog(self, catalog: Catalog) -> None:
        """Replaces the table of files."""
        self.database.execute("INSERT OR REPLACE INTO catalog VALUES (1, ?, ?)", (self.version() + 1, catalog.dump()))

    def put_segment(self, number: int, docs: int, postings: list[tuple[array, list[bytes]]]) -> None:
        """Adds a segment with its postings, one of each kind: the hashes that blocks begin with, and the blocks."""
        firsts = b"".join(len(column.tobytes()).to_bytes(8, "little") + column.tobytes() for column, _blocks in postings)
        self.database.execute("INSERT INTO segment VALUES (?, ?, ?)", (number, docs, sealed(firsts)))
        self.database.executemany("INSERT INTO block VALUES (?, ?)", (
            (block_id(number, kind, place), block)
            for kind, (_column, blocks) in enumerate(postings) for place, block in enumerate(blocks)))

    def drop_segment(self, number: int) -> None:
        """Removes a segment and its blocks."""
        self.database.execute("DELETE FROM segment WHERE id = ?", (number,))
        self.database.execute("DELETE FROM block WHERE id >= ? AND id < ?", (block_id(number, 0, 0), block_id(number + 1, 0, 0)))

    def put_details(self, rows: list[tuple[int, bytes]]) -> None:
        """Adds details of documents."""
        self.database.executemany("INSERT INTO detail VALUES (?, ?)", ((doc, sealed(data)) for doc, data in rows))

    def drop_details(self, docs: list[int]) -> None:
        """Removes those of documents."""
        self.database.executemany("DELETE FROM detail WHERE doc = ?", ((doc,) for doc in docs))

    def put_derived(self, key: str, state: str, data: bytes) -> None:
        """Keeps data that belongs to a state of the tree."""
        self.database.execute("INSERT OR REPLACE INTO derived VALUES (?, ?, ?)", (key, state, sealed(data)))


def discard(path: str) -> None:
    """Removes a database and what SQLite keeps beside it."""
    for name in (path, path + "-wal", path + "-shm", path + "-journal"):
        with contextlib.suppress(OSError):
            os.unlink(name)


@contextlib.contextmanager
def write_lock(path: str, seconds: float = LOCK_SECONDS) -> Iterator[bool]:
    """Holds the lock of the database at `path`; gives whether it could be had in time. It ends with the process, however that ends."""
    import fcntl

    descriptor = None
    try:
        try:
            descriptor = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            detail(f"index: kept in memory, {path}.lock: {error.strerror}")
            yield False
            return
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.02)
        yield True
    finally:
        if descriptor is not None:
            os.close(descriptor)


def make_room(folder: str, limit_bytes: int, keep: str) -> None:
    """Removes the databases used longest ago until those of `folder` hold no more than `limit_bytes`, and what dead writers left. `keep`
    stays, and so does what was used within the last minutes."""
    now, held, found = time.time(), 0, []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        held += status.st_size
        if entry.name.endswith(".db"):
            found.append((status.st_mtime, status.st_size, entry.path))
        elif ".tmp" in entry.name and status.st_mtime < now - _STALE_SECONDS:
            discard(entry.path)
    for used, size, path in sorted(found):
        if held <= limit_bytes:
            break
        if path != keep and used < now - 600:
            discard(path)  # not its lock file, which somebody may hold
            held -= size
