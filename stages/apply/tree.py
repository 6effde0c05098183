"""The files under one root, reached so that nothing outside it can be: by openat2, which follows no symbolic link and never leaves
the root, or, where the kernel lacks it, folder by folder, each opened by name within the one before. Only regular files with one name
are read or replaced, and, where that is asked for, symbolic links themselves, which are never followed either.
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

from cromwell.apply import kernel
from cromwell.apply.errors import Refused
from cromwell.apply.paths import show
from cromwell.contract.errors import CommandError, exit_code_of

MAX_FILE_BYTES = 1 << 30
LOCK_WAIT_S = 10.0

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ODD = 0o170000 | stat.S_ISUID | stat.S_ISGID  # the bits of a mode that are those of S_IFREG where a file may be patched
_LINK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class File(NamedTuple):
    """A regular file's bytes or a symbolic link's target, what identified it when it was read, and its extended attributes."""

    data: bytes
    status: os.stat_result
    xattrs: tuple[tuple[str, bytes], ...] = ()

    @property
    def mode(self) -> int:
        """Permission bits."""
        return self.status.st_mode & 0o777

    @property
    def link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)

    def is_still_at(self, name: bytes, folder: int, renamed: bool = False) -> bool:
        """Whether this file is what stands at `name` in the folder, unchanged since. FileNotFoundError.

        A link's target is read again: another link made at the same tick of the clock may have its number and its size."""
        return (self.is_still(os.stat(name, dir_fd=folder, follow_symlinks=False), renamed)
                and (not self.link or os.readlink(name, dir_fd=folder) == self.data))

    def is_still(self, status: os.stat_result, renamed: bool = False) -> bool:
        """Whether `status` is of the same file, unchanged since; `renamed` by this process, which moves the time of its last change."""
        mine = self.status
        return ((mine.st_dev, mine.st_ino, mine.st_size, mine.st_mtime_ns, mine.st_mode)
                == (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)
                and (renamed or mine.st_ctime_ns == status.st_ctime_ns))


class Tree:
    """The folder `root`, held open. Paths are relative, "/" between parts, as paths.targets gives them."""

    def __init__(self, root: str):
        self.name, self.root = root, os.path.realpath(root)
        try:
            self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            hint = "--root names the folder that the patch's paths start from"
            raise CommandError(f"{root}: {error.strerror}", hint, exit_code_of(error)) from None
        self.in_one_step = kernel.has_openat2(self.fd)

    def close(self) -> None:
        """Lets go of the root, and of its lock."""
        os.close(self.fd)

    def lock(self, substitute: str) -> None:
        """Waits until no other cw-apply works on this root, at most LOCK_WAIT_S; held until close.

        The lock is on the folder itself; where the file system cannot (NFS), on the file `substitute`."""
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
                fd = os.open(substitute, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    @contextmanager
    def folder_of(self, path: bytes, make: bool = False) -> Iterator[int | None]:
        """An open descriptor of the folder that `path` lies in, or None when a folder on the way is missing.

        With `make`, missing folders are made. Refused when a symbolic link or anything but a folder is in the way."""
        folder = path.rpartition(b"/")[0]
        if not folder:
            yield self.fd
            return
        fd = self.open_folder(folder, make)
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    def open_folder(self, path: bytes, make: bool = False) -> int | None:
        """As folder_of, for the folder itself; the caller closes it."""
        if self.in_one_step:
            try:
                return kernel.open_beneath(self.fd, path, _FOLDER)
            except FileNotFoundError:
                if not make:
                    return None
            except OSError:  # step by step shows what is in the way
                pass
        fd, parts = os.dup(self.fd), path.split(b"/")
        for depth, part in enumerate(parts):
            try:
                inner = self._enter(fd, part, make)
            except OSError as error:
                raise self._obstacle(fd, part, b"/".join(parts[:depth + 1]), error, on_the_way=True) from None
            finally:
                os.close(fd)
            if inner is None:
                return None
            fd = inner
        return fd

    @staticmethod
    def _enter(folder: int, name: bytes, make: bool) -> int | None:
        try:
            return os.open(name, _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if not make:
                return None
        with suppress(FileExistsError):
            os.mkdir(name, 0o777, dir_fd=folder)
        return os.open(name, _FOLDER, dir_fd=folder)

    def open_file(self, path: bytes) -> int | None:
        """A descriptor for reading whatever is at `path`, or None when there is nothing. Refused for a symbolic link and what cannot be
        opened."""
        if self.in_one_step:
            try:
                return kernel.open_beneath(self.fd, path, _FILE)
            except FileNotFoundError:
                return None
            except OSError:
                pass
        with self.folder_of(path) as folder:
            if folder is None:
                return None
            name = path.rpartition(b"/")[2]
            try:
                return os.open(name, _FILE, dir_fd=folder)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise self._obstacle(folder, name, path, error) from None

    def missing_folders(self, path: bytes) -> list[bytes]:
        """The folders, outermost first, that would have to be made for `path`."""
        missing: list[bytes] = []
        while b"/" in path:
            path = path.rpartition(b"/")[0]
            fd = self.open_folder(path)
            if fd is not None:
                os.close(fd)
                break
            missing.insert(0, path)
        return missing

    def read(self, path: bytes, links: bool = False) -> File | None:
        """The file at `path`, or None when there is nothing. Refused for anything but a regular file with one name, or, with `links`, a
        symbolic link with one name, whose target is then its data."""
        if links:
            file = self._read_link(path)
            if file is not None:
                return file
        fd = self.open_file(path)
        if fd is None:
            return None
        try:
            status = os.fstat(fd)
            _check_kind(path, status)
            return File(_read_all(fd, status.st_size), status, _attributes(fd))
        except OSError as error:
            raise _unreadable(path, error) from None
        finally:
            os.close(fd)

    def _read_link(self, path: bytes) -> File | None:
        """The symbolic link at `path`; None when there is something else, or nothing."""
        with self.folder_of(path) as folder:
            if folder is None:
                return None
            try:
                fd = os.open(path.rpartition(b"/")[2], _LINK, dir_fd=folder)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise _unreadable(path, error) from None
            try:
                status = os.fstat(fd)
                if not stat.S_ISLNK(status.st_mode):
                    return None
                _check_names(path, status)
                return File(os.readlink(b"", dir_fd=fd), status)
            except OSError as error:
                raise _unreadable(path, error) from None
            finally:
                os.close(fd)

    def _obstacle(self, folder: int, name: bytes, path: bytes, error: OSError, on_the_way: bool = False) -> CommandError:
        """Why `name` in `folder` could not be opened."""
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            try:
                linked = stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
            except OSError:
                linked = False
            what = "is a symbolic link" if linked else "is a file, not a folder"
            hint = "patch the file that it points to by its own name; a link itself only --symlinks changes"
            if on_the_way:
                hint = "nothing goes through a link; patch what lies behind it by its own name"
            return Refused(f"{show(path)}: {what}", hint if linked else "")
        if error.errno in (errno.ENXIO, errno.ENODEV):
            return Refused(f"{show(path)}: is not a regular file", "only regular files are patched")
        if exit_code_of(error) == 70:
            return _unreadable(path, error)
        too_long = error.errno == errno.ENAMETOOLONG
        return Refused(f"{show(path)}: {error.strerror}", "--exclude leaves it out" if too_long else "check the permissions")


def _unreadable(path: bytes, error: OSError) -> CommandError:
    return CommandError(f"{show(path)}: cannot be read: {error.strerror}", "nothing was changed", 70 if exit_code_of(error) == 70 else 3)


def _check_names(path: bytes, status: os.stat_result) -> None:
    if status.st_nlink > 1:
        hint = "replacing it would part it from its other names; copy it over itself first"
        raise Refused(f"{show(path)}: has {status.st_nlink} names (hard links)", hint)


def _check_kind(path: bytes, status: os.stat_result) -> None:
    """Refused unless `status` is that of a file that may be patched."""
    if status.st_mode & _ODD == stat.S_IFREG and status.st_nlink == 1 and status.st_size <= MAX_FILE_BYTES:
        return
    if stat.S_ISDIR(status.st_mode):
        raise Refused(f"{show(path)}: is a folder, not a file", "move it away, or leave this part of the patch out (--exclude)")
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"{show(path)}: is not a regular file", "only regular files are patched")
    _check_names(path, status)
    if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise Refused(f"{show(path)}: is set-user-id or set-group-id", "such files are not patched")
    if status.st_size > MAX_FILE_BYTES:
        raise Refused(f"{show(path)}: larger than {MAX_FILE_BYTES >> 30} GiB")


def _read_all(fd: int, size_hint: int) -> bytes:
    data = os.read(fd, size_hint + 1)
    if len(data) == size_hint:
        return data
    pieces = [data]
    while piece := os.read(fd, size_hint + 1):
        pieces.append(piece)
    return b"".join(pieces)


def _attributes(fd: int) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes, access lists among them, that this process may read."""
    try:
        names = os.listxattr(fd)
    except OSError:  # a file system without
        return ()
    found = []
    for name in names:
        with suppress(OSError):
            found.append((name, os.getxattr(fd, name)))
    return tuple(found)
