"""The content-addressed cache on disk: same inputs, same key, same bytes; losing it costs time and nothing else (design 3).

    ROOT/v1/SPACE/KK/KEY      one entry: 64 bytes of header, then the data; KK is the key's first two digits
    ROOT/v1/written           one byte for every UNIT written since the last eviction, appended by all writers

Entries appear whole (temporary file and rename, no fsync: the checksum tells a torn one), are touched when read, and the ones touched
longest ago go first once more than the size allowed is held. Any number of processes may read, write and evict at once."""

from __future__ import annotations

import os
from hashlib import blake2b

from cromwell.contract.settings import Settings
from cromwell.contract.words import detail

LAYOUT = "v1"
HEADER_BYTES = 64  # so that mapped data is aligned for any kernel
_MAGIC = b"cwcache2"
_KEY_DIGITS = 64
_STALE_SECONDS = 3600  # a temporary file older than this was left by a process that died


def content_key(*parts: bytes | str | int | float | None) -> str:
    """blake2b-256 in hex of `parts`, each with its type and length, so that no two lists of parts share their bytes."""
    digest = blake2b(digest_size=32)
    for part in parts:
        if isinstance(part, bytes):
            tag, data = b"b", part
        elif isinstance(part, str):
            tag, data = b"s", part.encode("utf-8", "surrogatepass")
        elif part is None:
            tag, data = b"n", b""
        elif type(part) is int:
            tag, data = b"i", str(part).encode()
        elif type(part) is float:
            tag, data = b"f", part.hex().encode()
        else:
            raise TypeError(f"no content key for a {type(part).__name__}")
        digest.update(b"%c%d:" % (tag, len(data)))
        digest.update(data)
    return digest.hexdigest()


class Cache:
    """A folder of entries of at most `size_bytes` in all; no folder: nothing is found or kept."""

    def __init__(self, folder: str | None, size_bytes: int = 2 << 30):
        self.root = None if folder is None else os.path.join(folder, LAYOUT)
        self.size_bytes = size_bytes
        # A sixteenth of the size may be written between two evictions: UNIT is a 4096th of it at most, 64 KiB at most.
        self._unit_bytes = max(1, min(1 << 16, size_bytes >> 12))

    @classmethod
    def of(cls, settings: Settings) -> Cache:
        """The cache that the settings ask for."""
        return cls(settings.cache_dir if settings.cache else None, settings.cache_size_bytes)

    def get(self, space: str, key: str) -> memoryview | None:
        """The data of an entry, mapped and read-only, or None. A damaged entry is removed."""
        if self.root is None:
            return None
        path = self._path(space, key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            size = os.fstat(descriptor).st_size
            if size >= HEADER_BYTES:
                import mmap

                whole = memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ))
                data = whole[HEADER_BYTES:]
                if whole[:HEADER_BYTES] == _header(key, data):
                    _touch(descriptor)
                    return data
            _remove(path)
        except (OSError, ValueError):
            pass
        finally:
            os.close(descriptor)
        detail(f"cache: damaged entry {path} ignored")
        return None

    def put(self, space: str, key: str, data: bytes | memoryview) -> bool:
        """Keeps `data`, replacing what is there; returns whether it did. A folder that cannot be written ends the cache's use with a
        note under -v, never a failure."""
        if self.root is None or HEADER_BYTES + len(data) > self.size_bytes // 2:
            return False
        path = self._path(space, key)
        temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        try:
            try:
                descriptor = _create(temporary)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                descriptor = _create(temporary)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(_header(key, data))
                    stream.write(data)
                os.replace(temporary, path)
            except BaseException:
                _remove(temporary)
                raise
            self._count(HEADER_BYTES + len(data))
        except OSError as error:
            detail(f"cache: not used, {self.root}: {error.strerror}")
            self.root = None
            return False
        return True

    def _path(self, space: str, key: str) -> str:
        if len(key) != _KEY_DIGITS or not key.isalnum() or not space.isidentifier():
            raise ValueError(f"no cache key: {space} {key}")
        return os.path.join(str(self.root), space, key[:2], key)

    def _count(self, size_bytes: int) -> None:
        """Adds to what was written since the last eviction, and evicts when it is a sixteenth of the size allowed."""
        path = os.path.join(str(self.root), "written")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(-(-size_bytes // self._unit_bytes)))
            if os.fstat(descriptor).st_size * self._unit_bytes > self.size_bytes >> 4:
                os.ftruncate(descriptor, 0)
                self.evict()
        finally:
            os.close(descriptor)

    def evict(self) -> None:
        """Removes the entries touched longest ago until 7/8 of the size allowed is held, and what dead writers left."""
        import time

        entries, held = [], 0
        stale = time.time() - _STALE_SECONDS
        for space in _folders(str(self.root)):
            for shard in _folders(space.path):
                for entry in os.scandir(shard.path):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:  # another process removed it
                        continue
                    if len(entry.name) == _KEY_DIGITS:
                        entries.append((status.st_mtime_ns, entry.path, status.st_size))
                        held += status.st_size
                    elif entry.name.endswith(".tmp") and status.st_mtime < stale:
                        _remove(entry.path)
        entries.sort()
        for _touched, path, size in entries:
            if held <= self.size_bytes - (self.size_bytes >> 3):
                break
            _remove(path)
            held -= size


def _header(key: str, data: bytes | memoryview) -> bytes:
    """The header of an entry: it names the key, so that a misplaced file is no entry either."""
    from cromwell.binding import checksum64

    head = _MAGIC + len(data).to_bytes(8, "little") + checksum64(data).to_bytes(8, "little") + bytes.fromhex(key)
    return head + checksum64(head).to_bytes(8, "little")


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _touch(descriptor: int) -> None:
    try:
        os.utime(descriptor)
    except OSError:  # a cache that is only readable
        pass


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _folders(path: str) -> list[os.DirEntry[str]]:
    try:
        return [entry for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
