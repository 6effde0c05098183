"""Two folders as pairs of file versions, in the order in which git diff --no-index comes to them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from cromwell.apply.unified import Version
from cromwell.contract.errors import CommandError, exit_code_of

IGNORED = b".git"


class Pair(NamedTuple):
    """A file on both sides, None where it is not there. Never both equal; of one kind, link or regular file."""

    path: bytes
    old: Version | None
    new: Version | None


def pairs(old_root: str, new_root: str) -> list[Pair]:
    """What differs below two folders; os.devnull is an empty one. Symbolic links are compared, not followed.

    CommandError for what cannot be read or is neither a file, a folder nor a link. Folders named .git are left out."""
    return list(_pairs(b"", *(None if root == os.devnull else os.fsencode(root) for root in (old_root, new_root))))


def _pairs(prefix: bytes, old_folder: bytes | None, new_folder: bytes | None) -> Iterator[Pair]:
    old_names, new_names = _entries(old_folder), _entries(new_folder)
    for name in sorted({*old_names, *new_names}):
        old, new = old_names.get(name), new_names.get(name)
        path = prefix + name
        old_inner = old.path if old and old.is_dir(follow_symlinks=False) else None
        new_inner = new.path if new and new.is_dir(follow_symlinks=False) else None
        old_file = None if old is None or old_inner else _version(old)
        new_file = None if new is None or new_inner else _version(new)
        if old_file and new_file and old_file.link != new_file.link:  # git, too, takes the one away and makes the other
            yield Pair(path, old_file, None)
            yield Pair(path, None, new_file)
        elif old_file != new_file:
            yield Pair(path, old_file, new_file)
        if old_inner or new_inner:
            yield from _pairs(path + b"/", old_inner, new_inner)


def _entries(folder: bytes | None) -> dict[bytes, os.DirEntry[bytes]]:
    if folder is None:
        return {}
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry for entry in entries if entry.name != IGNORED}
    except OSError as error:
        raise _unreadable(folder, error) from None


def _version(entry: os.DirEntry[bytes]) -> Version:
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            return Version(os.readlink(entry.path), link=True)
        if not stat.S_ISREG(mode):
            raise CommandError(f"{os.fsdecode(entry.path)}: is not a regular file, a folder or a symbolic link", "compare without it")
        with open(entry.path, "rb", opener=_open_here) as stream:
            return Version(stream.read(), bool(mode & stat.S_IXUSR))
    except OSError as error:
        raise _unreadable(entry.path, error) from None


def _open_here(path: bytes, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)


def _unreadable(path: bytes, error: OSError) -> CommandError:
    return CommandError(f"{os.fsdecode(path)}: {(error.strerror or str(error)).lower()}", "check who may read it", exit_code_of(error))
