"""Puts a tree back as a journal has it, at once after a failure or later after a crash.

What was replaced is still there under its temporary name until all files are replaced, and goes back by a rename, which needs no space
and keeps everything; after that it is written anew from the journal.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from cromwell.apply.blob import blob_hash
from cromwell.apply.durable import sync_folders
from cromwell.apply.errors import Refused
from cromwell.apply.journal import Entry, Folder, Journal
from cromwell.apply.tree import Tree

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_ALLOWED = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP)  # EINVAL: an owner that a container does not know
_ACCESS_LIST = "system.posix_acl_access"
_AGAIN = b".cw-apply-folder"
_BACK = b"-back"
"""Ends the name of a file that is being written anew, which must not be taken for one that was replaced."""


def roll_back(tree: Tree, journal: Journal, begun: set[bytes] | None, force: bool) -> list[bytes]:
    """Puts every file back as the journal has it and removes what was added; returns the files left alone.

    `begun`, where known, are the files that may have been replaced. A file is left alone when it is neither as before nor as meant to
    be after, unless `force`."""
    changed = []
    for folder in journal.emptied:
        with suppress(Refused):  # something else stands there now
            _make_again(tree, folder)
    for entry in reversed(journal.entries):
        try:
            if not _put_back(tree, entry, begun is None or entry.path in begun, force):
                changed.append(entry.path)
        except Refused:
            changed.append(entry.path)
    for folder in reversed(journal.made):
        with suppress(OSError, Refused), tree.folder_of(folder.path) as outer:
            if outer is not None:
                os.rmdir(_name(folder.path), dir_fd=outer)
    left = {_folder(path) for path in changed}
    touched = {_folder(entry.path) for entry in journal.entries} | {_folder(folder.path) for folder in (*journal.made, *journal.emptied)}
    sync_folders(tree, sorted(touched - left))
    return changed


def _make_again(tree: Tree, folder: Folder) -> None:
    """Makes a folder that went because it was empty: under another name first, so that under its own it has its attributes at once."""
    with tree.folder_of(folder.path, make=True) as outer:
        assert outer is not None
        with suppress(FileNotFoundError):
            os.rmdir(_AGAIN, dir_fd=outer)
        try:
            os.stat(_name(folder.path), dir_fd=outer, follow_symlinks=False)
        except FileNotFoundError:
            os.mkdir(_AGAIN, 0o700, dir_fd=outer)
            set_folder(outer, _AGAIN, folder)
            os.rename(_AGAIN, _name(folder.path), src_dir_fd=outer, dst_dir_fd=outer)


def set_folder(outer: int, name: bytes, folder: Folder) -> None:
    """Gives a folder just made as `name` the owner and mode that are known of it."""
    if folder.mode is None or folder.owner is None:
        return
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=outer)
    try:
        keep_owner(fd, folder.owner)
        os.fchmod(fd, folder.mode)
    finally:
        os.close(fd)


def keep_owner(fd: int, owner: tuple[int, int]) -> bool:
    """Gives a file the owner and group, or the group alone, as far as this process may. Whether it has the group."""
    for user, group in (owner, (-1, owner[1])):
        try:
            os.fchown(fd, user, group)
            return True
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise
    return os.fstat(fd).st_gid == owner[1]


def make_link(target: bytes, name: bytes, folder: int, owner: tuple[int, int] | None) -> None:
    """Makes a symbolic link, of that owner as far as this process may. It is on disk when its folder is."""
    os.symlink(target, name, dir_fd=folder)
    for user, group in (owner, (-1, owner[1])) if owner else ():
        try:
            return os.chown(name, user, group, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise


def keep_xattrs(fd: int, xattrs: Iterable[tuple[str, bytes]]) -> None:
    """Gives a new file these extended attributes, as far as this process may, and not the access list that its folder gave it."""
    kept = dict(xattrs)
    with suppress(OSError):  # there is none, or no such thing here
        if _ACCESS_LIST not in kept:
            os.removexattr(fd, _ACCESS_LIST)
    for name, value in kept.items():
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise


def _put_back(tree: Tree, entry: Entry, replaced: bool, force: bool) -> bool:
    """Removes one file's temporary and, if it may have been replaced, puts it back as it was. False when it is left alone."""
    with tree.folder_of(entry.path, make=replaced and entry.old is not None) as folder:
        if folder is None:
            return True
        name, temporary = _name(entry.path), _name(entry.temporary)
        _unlink(temporary + _BACK, folder)
        if not replaced:
            _unlink(temporary, folder)
            return True
        if entry.old is None:  # first: while it is linked to its place, that has two names
            _unlink(temporary, folder)
        there = tree.read(entry.path, links=entry.links)
        ours = force or (there is None if entry.new_blob is None
                         else there is not None and there.link == entry.new_link and blob_hash(there.data) == entry.new_blob)
        if entry.old is None:
            if there is not None and ours:
                _unlink(name, folder)
            return ours or there is None
        if there is not None and (there.data, there.link) == (entry.old, entry.link):
            if there.mode != entry.mode and not entry.link:
                _set_mode(folder, name, entry.mode)
            _unlink(temporary, folder)
            return True
        # What is there is new, so under the temporary name is what was there before it, if anything.
        if ours and _is_there(temporary, folder, entry.link):
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            return True
        _unlink(temporary, folder)
        if ours or there is None:
            _write_anew(folder, entry)
            return True
        return False


def _is_there(name: bytes, folder: int, link: bool) -> bool:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISLNK(mode) if link else stat.S_ISREG(mode)


def _write_anew(folder: int, entry: Entry) -> None:
    assert entry.old is not None
    temporary = _name(entry.temporary) + _BACK
    if entry.link:
        make_link(entry.old, temporary, folder, entry.owner)
        os.utime(temporary, ns=entry.times_ns, dir_fd=folder, follow_symlinks=False)
    else:
        fd = os.open(temporary, NEW_FILE, 0o600, dir_fd=folder)
        with os.fdopen(fd, "wb") as stream:
            stream.write(entry.old)
            stream.flush()
            keep_owner(fd, entry.owner)
            os.fchmod(fd, entry.mode)
            keep_xattrs(fd, entry.xattrs)
            os.utime(fd, ns=entry.times_ns)
            os.fsync(fd)
    os.rename(temporary, _name(entry.path), src_dir_fd=folder, dst_dir_fd=folder)


def _set_mode(folder: int, name: bytes, mode: int) -> None:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def _unlink(name: bytes, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _folder(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]
