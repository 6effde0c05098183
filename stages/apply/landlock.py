"""Takes from this process the right to change anything outside a few folders, so that even a bug cannot (Linux 5.19 and later).

Landlock knows creating, writing, truncating, removing and renaming files; changes of modes, owners, times and extended attributes it
does not know. What was open before stays open. The restriction lasts as long as the process and holds for those that it starts.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from cromwell.apply.kernel import libc

# include/uapi/linux/landlock.h; the numbers of the calls are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38
_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _REFER, _TRUNCATE = 1 << 1, 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 13, 1 << 14
LINKS = 1 << 12
"""The right to make symbolic links in a folder and below, beside FOLDER."""
_MAKE_OTHERS = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | LINKS  # devices, sockets, pipes: allowed nowhere
FOLDER = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _TRUNCATE
"""The right to work in a folder and below."""
FILE = _WRITE_FILE | _TRUNCATE
"""The right to write to one file that is there."""
_OLDEST = 2  # before, it forbids a link or rename between folders even where both are allowed


class _Ruleset(ctypes.Structure):
    _fields_ = [("handled_access_fs", ctypes.c_uint64)]


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def version() -> int:
    """Landlock's version here, 0 where there is none."""
    return max(0, libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION))


def restrict(allowed: Iterable[tuple[int, int]]) -> bool:
    """From here on this thread and all it starts change files only below `allowed`: (descriptor, FOLDER with or without LINKS, or FILE).

    False, and no restriction, where Landlock is missing, too old or not permitted."""
    have = version()
    if have < _OLDEST:
        return False
    handled = FOLDER | _MAKE_OTHERS | _REFER
    if have < 3:
        handled &= ~_TRUNCATE
    ruleset = _Ruleset(handled)
    fd = libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(ctypes.sizeof(ruleset)), 0)
    if fd < 0:
        return False
    try:
        for where, rights in allowed:
            rule = _Rule(rights & handled, where)
            if libc.syscall(_ADD_RULE, fd, _PATH_BENEATH, ctypes.byref(rule), 0) != 0:
                return False
        if libc.prctl(_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
            return False
        return libc.syscall(_RESTRICT_SELF, fd, 0) == 0
    finally:
        os.close(fd)
