"""Carries a plan out, all of it or none, and rolls an unfinished one back.

Order: journal on disk; new contents in temporary files beside the old, on disk; each renamed over its file, which must still be the
one that was read; folders on disk; the check command; journal removed. A failure or a signal before the last step rolls back at
once; a crash or kill leaves the journal, and the next cw-apply on this root rolls back.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from cromwell.apply import journal as journals
from cromwell.apply.blob import blob_hash
from cromwell.apply.errors import Refused
from cromwell.apply.journal import Entry, Journal
from cromwell.apply.paths import show
from cromwell.apply.plan import Step
from cromwell.apply.tree import Tree
from cromwell.contract.errors import CommandError

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """SIGTERM or SIGHUP came."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def commit(tree: Tree, state: str, steps: list[Step], check: Callable[[], None] | None) -> None:
    """Makes the steps true. `check` runs on the patched tree and raises to have everything put back.

    Whatever is raised, the tree is then as before; only a failure of that itself leaves the journal and says so."""
    journal = journals.plan_journal(tree, steps)
    begun: set[bytes] = set()
    checking = done = False
    with _stoppable():
        try:
            journals.write(state, journal, tree.root)
            _write_temporaries(tree, steps, journal.entries)
            _replace(tree, steps, journal.entries, begun)
            if check:
                checking = True
                check()
            with _unstoppable():
                journals.discard(state)
                done = True
        except BaseException as error:
            if done:  # a signal that waited
                raise
            with _unstoppable():
                _roll_back_now(tree, state, journal, begun, force=checking)
            if isinstance(error, OSError):
                raise _as_command_error(tree, error) from None
            raise
    _prune(tree, [step.path for step in steps if step.new is None])
    journals.tidy(state)


def recover(tree: Tree, state: str) -> int | None:
    """Rolls back what an earlier run left unfinished. Returns how many files it had to do with, or None if there was nothing.

    Refused when files were changed since by others: those stay, and the journal with their old contents is kept."""
    journal = journals.pending(state)
    if journal is None:
        journals.tidy(state)
        return None
    with _unstoppable():
        changed = roll_back(tree, journal, None, force=False)
        if changed:
            kept = journals.set_aside(state)
            what = f"changed since an earlier cw-apply was cut off here ({len(changed)} such files were left alone)"
            raise Refused(f"{show(changed[0])}: {what}", f"their contents before it are in {kept}; run again to go on")
        journals.discard(state)
        journals.tidy(state)
    return len(journal.entries)


def roll_back(tree: Tree, journal: Journal, begun: set[bytes] | None, force: bool) -> list[bytes]:
    """Puts every file back as the journal has it and removes what was added; returns the files left alone.

    `begun`, where known, are the files that may have been replaced. A file is left alone when it is neither as before nor as meant to
    be after, unless `force`."""
    changed = []
    for entry in reversed(journal.entries):
        try:
            if not _put_back(tree, entry, begun is None or entry.path in begun, force):
                changed.append(entry.path)
        except Refused:  # something else stands there now
            changed.append(entry.path)
    _sync_folders(tree, {_folder(entry.path) for entry in journal.entries} - {_folder(path) for path in changed})
    for path in reversed(journal.folders):
        with suppress(OSError, Refused), tree.folder_of(path) as folder:
            if folder is not None:
                os.rmdir(_name(path), dir_fd=folder)
                os.fsync(folder)
    return changed


def _roll_back_now(tree: Tree, state: str, journal: Journal, begun: set[bytes], force: bool) -> None:
    try:
        changed = roll_back(tree, journal, begun, force)
        with suppress(FileNotFoundError):  # not yet written
            if changed:
                journals.set_aside(state)
            else:
                journals.discard(state)
        journals.tidy(state)
    except OSError as error:
        raise CommandError(f"{tree.name}: cannot put everything back: {error.strerror}",
                           "remove the cause, then run cw-apply --recover", 70) from None


# ---- Forward ----------------------------------------------------------------------------------------------------------------


def _write_temporaries(tree: Tree, steps: Iterable[Step], entries: list[Entry]) -> None:
    """Writes every new content beside its place. Two passes, so that the disk can put many writes together before the first fsync."""
    umask = os.umask(0)
    os.umask(umask)
    written = []
    for step, entry in zip(steps, entries, strict=True):
        if step.new is None or step.same_data:
            continue
        with tree.folder_of(entry.path, make=True) as folder:
            assert folder is not None
            fd = os.open(_name(entry.temporary), _NEW_FILE, 0o600, dir_fd=folder)
            with os.fdopen(fd, "wb") as stream:
                stream.write(step.new.data)
                stream.flush()
                if step.old:
                    _take_over(tree, entry.path, fd, step.old.status)
                fresh = (0o777 if step.new.executable else 0o666) & ~umask
                os.fchmod(fd, fresh if step.new.mode is None else _with_execution(step.new.mode, step.new.executable))
        written.append(entry.temporary)
    for path in written:
        with tree.folder_of(path) as folder:
            fd = os.open(_name(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _take_over(tree: Tree, path: bytes, fd: int, status: os.stat_result) -> None:
    """Gives the new file the old one's owner, group and extended attributes, as far as this process may."""
    for owner in ((status.st_uid, status.st_gid), (-1, status.st_gid)):
        with suppress(PermissionError):
            os.fchown(fd, *owner)
            break
    with tree.folder_of(path) as folder:
        try:
            old = os.open(_name(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            raise Refused(f"{show(path)}: vanished meanwhile, by another program", "run again") from None
        try:
            for name in _listed(old):
                with suppress(OSError):
                    os.setxattr(fd, name, os.getxattr(old, name))
        finally:
            os.close(old)


def _listed(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError:
        return []


def _with_execution(mode: int, executable: bool) -> int:
    """`mode`, made executable for those who may read, or for nobody, when its owner's bit does not say so yet; as git does."""
    if executable == bool(mode & 0o100):
        return mode
    return mode | (mode & 0o444) >> 2 if executable else mode & ~0o111


def _replace(tree: Tree, steps: Iterable[Step], entries: Iterable[Entry], begun: set[bytes]) -> None:
    """Puts every new file in its place; `begun` takes the paths as they are about to change."""
    touched = set()
    for (path, old, new), entry in zip(steps, entries, strict=True):
        with tree.folder_of(path) as folder:
            if folder is None:
                raise Refused(f"{show(path)}: its folder vanished meanwhile", "run again")
            name, temporary = _name(path), _name(entry.temporary)
            try:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                status = None
            if (old is None) != (status is None) or old and status and not old.is_still(status):
                raise Refused(f"{show(path)}: changed meanwhile, by another program", "run again")
            begun.add(path)
            if new is None:
                os.unlink(name, dir_fd=folder)
            elif old is None:
                try:
                    _put(temporary, name, folder)
                except FileExistsError:
                    begun.discard(path)
                    raise Refused(f"{show(path)}: appeared meanwhile, by another program", "run again") from None
            elif old.data == new.data:
                _set_mode(folder, path, _with_execution(old.mode, new.executable))
            else:
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            touched.add(_folder(path))
    _sync_folders(tree, touched)


def _put(temporary: bytes, name: bytes, folder: int) -> None:
    """Moves a file to a name that must be free: by a link, which fails with FileExistsError where a rename would replace."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except PermissionError:  # a file system without links
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(temporary, dir_fd=folder)


def _prune(tree: Tree, deleted: Iterable[bytes]) -> None:
    """Removes the folders that deletions left empty, as git does."""
    for path in deleted:
        for at in range(path.count(b"/"), 0, -1):
            inner = b"/".join(path.split(b"/")[:at])
            with suppress(OSError, CommandError), tree.folder_of(inner) as folder:
                os.rmdir(_name(inner), dir_fd=folder)


# ---- Back -------------------------------------------------------------------------------------------------------------------


def _put_back(tree: Tree, entry: Entry, replaced: bool, force: bool) -> bool:
    """Removes one file's temporary and, if it may have been replaced, puts it back as it was. False when it is left alone."""
    with tree.folder_of(entry.path, make=replaced and entry.old is not None) as folder:
        if folder is None:
            return True
        _unlink(entry.temporary, folder)  # first: while it is linked to its place, that has two names
        if not replaced:
            return True
        there = tree.read(entry.path)
        ours = force or there is None or blob_hash(there.data) == entry.new_blob
        if entry.old is None:
            if there is not None and ours:
                _unlink(entry.path, folder)
        elif there is not None and there.data == entry.old:
            if there.mode != entry.mode:
                _set_mode(folder, entry.path, entry.mode)
            return True
        elif ours:
            _restore(folder, entry)
        return ours


def _restore(folder: int, entry: Entry) -> None:
    assert entry.old is not None
    fd = os.open(_name(entry.temporary), _NEW_FILE, 0o600, dir_fd=folder)
    with os.fdopen(fd, "wb") as stream:
        stream.write(entry.old)
        stream.flush()
        for owner in (entry.owner, (-1, entry.owner[1])):
            with suppress(PermissionError):
                os.fchown(fd, *owner)
                break
        os.fchmod(fd, entry.mode)
        os.utime(fd, ns=entry.times_ns)
        os.fsync(fd)
    os.rename(_name(entry.temporary), _name(entry.path), src_dir_fd=folder, dst_dir_fd=folder)


def _set_mode(folder: int, path: bytes, mode: int) -> None:
    fd = os.open(_name(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.fchmod(fd, mode)
            os.fsync(fd)
    finally:
        os.close(fd)


def _unlink(path: bytes, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_name(path), dir_fd=folder)


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _folder(path: bytes) -> bytes:
    """The folder of `path` with its slash, or nothing."""
    return path[:path.rfind(b"/") + 1]


def _sync_folders(tree: Tree, folders: Iterable[bytes]) -> None:
    for path in sorted(folders):
        with tree.folder_of(path) as folder:
            if folder is not None:
                os.fsync(folder)


# ---- Signals and errors -----------------------------------------------------------------------------------------------------


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Stopped within, so that there is time to roll back."""

    def stop(number: int, _frame: object) -> None:
        raise Stopped(number)

    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that come within are handled on leaving; unlike blocked ones they are not passed on to a process started within."""
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: held.append(number))
              for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in held:
            signal.raise_signal(number)


@contextmanager
def _unstoppable() -> Iterator[None]:
    """No signal that can wait comes in between."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _as_command_error(tree: Tree, error: OSError) -> CommandError:
    where = show(error.filename) if isinstance(error.filename, bytes) else error.filename or tree.name
    code = 3 if isinstance(error, PermissionError) else 70
    return CommandError(f"{where}: {error.strerror or error}", "nothing was changed; remove the cause and run again", code)
