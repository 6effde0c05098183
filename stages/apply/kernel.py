"""System calls that Python does not offer: openat2, renameat2 and the hint that starts writing a file to disk.

Each has a plain substitute, used where the kernel, the file system or a sandbox does not know the call. Flags are from Linux's
include/uapi (openat2.h, fs.h), the calls' numbers x86-64's.
"""

from __future__ import annotations

import ctypes
import errno
import os

_OPENAT2, _RENAMEAT2 = 437, 316
_RESOLVE = 0x02 | 0x04 | 0x08  # RESOLVE_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH
_NOREPLACE, _EXCHANGE = 1, 2
_START_WRITE = 2  # SYNC_FILE_RANGE_WRITE
_ATTEMPTS = 100  # openat2 gives EAGAIN when a rename anywhere came in its way

libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """The kernel, the file system or a sandbox does not know the call: do it in plain steps."""


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_HOW_BYTES = ctypes.c_size_t(ctypes.sizeof(_How))
_hows: dict[int, object] = {}


def open_beneath(folder: int, path: bytes, flags: int) -> int:
    """Opens `path` below the folder, with no symbolic link on the way or at the end, in one step. OSError as from os.open."""
    how = _hows.get(flags)
    if how is None:
        how = _hows[flags] = ctypes.byref(_How(flags, 0, _RESOLVE))
    for _attempt in range(_ATTEMPTS):
        fd = libc.syscall(_OPENAT2, folder, path, how, _HOW_BYTES)
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number), path)


def has_openat2(folder: int) -> bool:
    """Whether open_beneath works here: the kernel has the call (Linux 5.6) and no sandbox forbids it."""
    try:
        os.close(open_beneath(folder, b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def exchange(one: bytes, other: bytes, folder: int) -> None:
    """Two names in the folder change places in one step. Unavailable where they cannot."""
    _rename(one, other, folder, _EXCHANGE)


def rename_to_free(old: bytes, new: bytes, folder: int) -> None:
    """A rename within the folder that never replaces: FileExistsError. Unavailable where there is no such thing."""
    _rename(old, new, folder, _NOREPLACE)


def _rename(old: bytes, new: bytes, folder: int, flags: int) -> None:
    if libc.syscall(_RENAMEAT2, folder, old, folder, new, flags) == 0:
        return
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        raise Unavailable
    raise OSError(number, os.strerror(number), old, None, new)


def start_writing(fd: int) -> None:
    """Lets the disk begin, so that many files are under way at once before the first fsync waits. A hint: failures come with the fsync."""
    libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), _START_WRITE)
