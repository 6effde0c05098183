"""The files under one root, reached so that nothing outside it can be: every folder on the way is opened by name within the one
before, never through a symbolic link, and only regular files with one name are read or replaced.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from cromwell.apply.errors import Refused
from cromwell.apply.paths import show
from cromwell.contract.errors import CommandError

MAX_FILE_BYTES = 1 << 30
LOCK_WAIT_S = 10.0

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class File(NamedTuple):
    """A regular file's bytes and what identified it when it was read."""

    data: bytes
    status: os.stat_result

    @property
    def mode(self) -> int:
        """Permission bits."""
        return self.status.st_mode & 0o777

    def is_still(self, status: os.stat_result) -> bool:
        """Whether `status` is of the same file, unchanged since."""
        mine = self.status
        return ((mine.st_dev, mine.st_ino, mine.st_size, mine.st_mtime_ns, mine.st_ctime_ns)
                == (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


class Tree:
    """The folder `root`, held open. Paths are relative, "/" between parts, as paths.targets gives them."""

    def __init__(self, root: str):
        self.name, self.root = root, os.path.realpath(root)
        try:
            self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CommandError(f"{root}: {error.strerror}", "--root names the folder that the patch's paths start from") from None

    def close(self) -> None:
        """Lets go of the root, and of its lock."""
        os.close(self.fd)

    def lock(self, state: str) -> None:
        """Waits until no other cw-apply works on this root, at most LOCK_WAIT_S; held until close.

        The lock is on the folder itself; where the file system cannot (NFS), on a file `lock` in the folder `state`."""
        fd, until = self.fd, time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Refused(f"{self.name}: another cw-apply is at work here", "try again when it is done") from None
                time.sleep(0.02)
            except OSError:
                if fd != self.fd:
                    raise
                os.makedirs(state, mode=0o700, exist_ok=True)
                fd = os.open(os.path.join(state, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    @contextmanager
    def folder_of(self, path: bytes, make: bool = False) -> Iterator[int | None]:
        """An open descriptor of the folder that `path` lies in, or None when a folder on the way is missing.

        With `make`, missing folders are made. Refused when a symbolic link or anything but a folder is in the way."""
        fd, parts = self.fd, path.split(b"/")[:-1]
        try:
            for depth, part in enumerate(parts):
                try:
                    inner = os.open(part, _FOLDER, dir_fd=fd)
                except FileNotFoundError:
                    if not make:
                        yield None
                        return
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o777, dir_fd=fd)
                    os.fsync(fd)
                    inner = os.open(part, _FOLDER, dir_fd=fd)
                except OSError as error:
                    raise self._obstacle(fd, part, b"/".join(parts[:depth + 1]), error) from None
                if fd != self.fd:
                    os.close(fd)
                fd = inner
            yield fd
        finally:
            if fd != self.fd:
                os.close(fd)

    def missing_folders(self, path: bytes) -> list[bytes]:
        """The folders, outermost first, that would have to be made for `path`."""
        parts = path.split(b"/")
        folders = [b"/".join(parts[:depth]) for depth in range(1, len(parts))]
        for index, folder in enumerate(folders):
            with self.folder_of(folder + b"/") as fd:
                if fd is None:
                    return folders[index:]
        return []

    def read(self, path: bytes) -> File | None:
        """The file at `path`, or None when there is nothing. Refused for anything but a regular file with one name."""
        with self.folder_of(path) as folder:
            if folder is None:
                return None
            name = path.rpartition(b"/")[2]
            try:
                fd = os.open(name, _FILE, dir_fd=folder)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise self._obstacle(folder, name, path, error) from None
            try:
                status = os.fstat(fd)
                _check_kind(path, status)
                return File(_read_all(fd, status.st_size), status)
            finally:
                os.close(fd)

    def _obstacle(self, folder: int, name: bytes, path: bytes, error: OSError) -> CommandError:
        """Why `name` in `folder` could not be opened."""
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            try:
                linked = stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
            except OSError:
                linked = False
            what = "is a symbolic link" if linked else "is a file, not a folder"
            return Refused(f"{show(path)}: {what}", "patch the file that it points to by its own name" if linked else "")
        if error.errno in (errno.ENXIO, errno.ENODEV):
            return Refused(f"{show(path)}: is not a regular file", "only regular files are patched")
        return Refused(f"{show(path)}: {error.strerror}", "check the permissions")


def _check_kind(path: bytes, status: os.stat_result) -> None:
    """Refused unless `status` is that of a file that may be patched."""
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"{show(path)}: is not a regular file", "only regular files are patched")
    if status.st_nlink > 1:
        hint = "replacing it would part it from its other names; copy it over itself first"
        raise Refused(f"{show(path)}: has {status.st_nlink} names (hard links)", hint)
    if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise Refused(f"{show(path)}: is set-user-id or set-group-id", "such files are not patched")
    if status.st_size > MAX_FILE_BYTES:
        raise Refused(f"{show(path)}: larger than {MAX_FILE_BYTES >> 30} GiB")


def _read_all(fd: int, size_hint: int) -> bytes:
    pieces = []
    while piece := os.read(fd, size_hint + 1):
        pieces.append(piece)
    return b"".join(pieces)
