"""Carries a plan out, all of it or none, and rolls an unfinished one back.

Order: journal on disk; new contents in temporary files beside the old, on disk; each changes places with its file, which must be the one
that was read; what was replaced goes, and folders that are empty now; folders on disk; the check command; the journal becomes an entry
of the undo store. A failure or a signal before that last step rolls back at once; a crash or kill leaves the journal, and the next
cw-apply on this root rolls back.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

from cromwell.apply import journal as journals
from cromwell.apply import kernel
from cromwell.apply.durable import in_pieces, sync_folders
from cromwell.apply.errors import Refused
from cromwell.apply.journal import Entry, Folder, Journal, State
from cromwell.apply.paths import show
from cromwell.apply.plan import Step
from cromwell.apply.rollback import NEW_FILE, keep_owner, keep_xattrs, make_link, roll_back, set_folder
from cromwell.apply.signals import stoppable, unstoppable
from cromwell.apply.tree import File, Tree
from cromwell.contract.errors import CommandError, exit_code_of

_STAYS = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EBUSY, errno.EACCES, errno.EPERM)


class Work(NamedTuple):
    """What goes with the steps: the name of their source, the bounds of the undo store, and, when they undo patch `undoes`, the entries of
    files that come back, attributes of folders that come back, and the folders that may go when they are empty (None: as git's)."""

    source: str
    undo_count: int
    undo_bytes: int
    undoes: int | None = None
    returning: Mapping[bytes, Entry] = {}
    folders: Mapping[bytes, Folder] = {}
    may_go: Iterable[bytes] | None = None


def commit(tree: Tree, state: State, steps: list[Step], check: Callable[[], None] | None, work: Work) -> int | None:
    """Makes the steps true. `check` runs on the patched tree and raises to have everything put back.

    Returns the number by which it can be undone, None when the undo store has no room. Whatever is raised, the tree is then as before;
    only a failure of that itself leaves the journal and says so."""
    umask = os.umask(0)
    os.umask(umask)
    try:
        journal = journals.plan_journal(tree, steps, umask, work.folders, work.may_go, work.source, work.undoes)
    except OSError as error:
        raise _as_command_error(tree, error) from None
    begun: set[bytes] = set()
    checking = done = False
    number = None
    with stoppable():
        try:
            state.write(journal)
            _write_temporaries(tree, steps, journal, work)
            _replace(tree, steps, journal.entries, begun)
            _clear(tree, steps, journal)
            if check:
                checking = True
                check()
            with unstoppable():
                number = state.finish(work.undo_count, work.undo_bytes)
                done = True
        except BaseException as error:
            if done:  # a signal that waited
                raise
            with unstoppable():
                _roll_back_now(tree, state, journal, begun, force=checking)
            if isinstance(error, OSError):
                raise _as_command_error(tree, error) from None
            raise
    state.drop_oldest(work.undo_count, work.undo_bytes)
    return number


def recover(tree: Tree, state: State) -> int | None:
    """Rolls back what an earlier run left unfinished. Returns how many files it had to do with, or None if there was nothing.

    Refused when files were changed since by others: those stay, and the journal with their old contents is kept."""
    journal = state.pending()
    if journal is None:
        state.tidy()
        return None
    with unstoppable():
        try:
            changed = roll_back(tree, journal, None, force=False)
        except OSError as error:
            raise _stuck(tree, error) from None
        if changed:
            kept = state.set_aside()
            what = f"changed since an earlier cw-apply was cut off here ({len(changed)} such files were left alone)"
            raise Refused(f"{show(changed[0])}: {what}", f"their contents before it are in {kept}; run again to go on")
        state.discard()
        state.tidy()
    return len(journal.entries)


def _roll_back_now(tree: Tree, state: State, journal: Journal, begun: set[bytes], force: bool) -> None:
    if not state.is_pending():  # nothing begins before the journal is there
        state.tidy()
        return
    try:
        if roll_back(tree, journal, begun, force):
            state.set_aside()
        else:
            state.discard()
        state.tidy()
    except OSError as error:
        raise _stuck(tree, error) from None


def _stuck(tree: Tree, error: OSError) -> CommandError:
    what = f"cannot put everything back: {error.strerror}"
    return CommandError(f"{tree.name}: {what}", "remove the cause, then run cw-apply --recover", 70)


# ---- Forward ----------------------------------------------------------------------------------------------------------------


class _Folders:
    """The folder of one path after another, opened again when it is another one."""

    def __init__(self, tree: Tree):
        self.tree, self.path, self.fd = tree, b"", tree.fd

    def of(self, path: bytes) -> int:
        """The descriptor of the folder that `path` lies in. Refused when it is gone."""
        folder = path.rpartition(b"/")[0]
        if folder != self.path:
            self.close()
            fd = self.tree.open_folder(folder) if folder else self.tree.fd
            if fd is None:
                raise Refused(f"{show(path)}: its folder vanished meanwhile", "run again")
            self.path, self.fd = folder, fd
        return self.fd

    def close(self) -> None:
        """Lets go of the folder."""
        fd, self.path, self.fd = self.fd, b"", self.tree.fd
        if fd != self.tree.fd:
            os.close(fd)


@contextmanager
def _folders(tree: Tree) -> Iterator[_Folders]:
    folders = _Folders(tree)
    try:
        yield folders
    finally:
        folders.close()


def _write_temporaries(tree: Tree, steps: Iterable[Step], journal: Journal, work: Work) -> None:
    """Makes the folders and writes every new content beside its place, for good."""
    with _folders(tree) as folders:
        for folder in journal.made:
            outer = folders.of(folder.path)
            with suppress(FileExistsError):
                os.mkdir(_name(folder.path), 0o777 if folder.mode is None else 0o700, dir_fd=outer)
                set_folder(outer, _name(folder.path), folder)
    new = [(step, entry) for step, entry in zip(steps, journal.entries, strict=True) if step.new is not None and not step.same_data]
    in_pieces(new, lambda piece: _write_some(tree, piece, work))


def _write_some(tree: Tree, new: Iterable[tuple[Step, Entry]], work: Work) -> None:
    """Writes a few new files, and waits for them together."""
    written: list[int] = []
    try:
        with _folders(tree) as folders:
            for step, entry in new:
                assert step.new is not None
                folder, name, returning = folders.of(entry.path), _name(entry.temporary), work.returning.get(entry.path)
                if step.new.link:
                    make_link(step.new.data, name, folder, _owner(step, returning))
                    continue
                fd = os.open(name, NEW_FILE, 0o600, dir_fd=folder)
                written.append(fd)
                _write(fd, step.new.data)
                _take_over(fd, entry, step, returning)
                kernel.start_writing(fd)
        for fd in written:
            os.fsync(fd)
    finally:
        for fd in written:
            os.close(fd)


def _write(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    if written < len(data):
        rest = memoryview(data)
        while written < len(data):
            written += os.write(fd, rest[written:])


def _owner(step: Step, returning: Entry | None) -> tuple[int, int] | None:
    """The owner and group that a new file or link is to have; None: whoever makes it."""
    if returning is not None:
        return returning.owner
    model = step.model
    return None if model is None else (model.status.st_uid, model.status.st_gid)


def _take_over(fd: int, entry: Entry, step: Step, returning: Entry | None) -> None:
    """Gives a new file its mode, and the owner, group and extended attributes of the one it is made from or brings back, as far as this
    process may. Where the group cannot be kept, it gets no more than everybody."""
    mode, model, owner = entry.new_mode, step.model, _owner(step, returning)
    assert mode is not None
    if owner is not None and not keep_owner(fd, owner):
        mode = mode & ~0o070 | (mode & 0o007) << 3
    attributes_of = returning or model
    if attributes_of is not None:
        keep_xattrs(fd, attributes_of.xattrs)
    os.fchmod(fd, mode)


def _replace(tree: Tree, steps: Iterable[Step], entries: Iterable[Entry], begun: set[bytes]) -> None:
    """Puts every new file in its place; `begun` takes the paths as they are about to change. What was there is then under the temporary
    name, where the file system can exchange names."""
    with _folders(tree) as folders:
        for step, entry in zip(steps, entries, strict=True):
            path, old, new = step
            folder, name, temporary = folders.of(path), _name(path), _name(entry.temporary)
            if old is None:
                begun.add(path)
                try:
                    _put(temporary, name, folder)
                except FileExistsError:
                    begun.discard(path)
                    raise Refused(f"{show(path)}: appeared meanwhile, by another program", "run again") from None
                continue
            try:
                if not old.is_still_at(name, folder):
                    raise _changed(path)
                begun.add(path)
                if new is None:
                    _take_away(path, old, temporary, folder, begun)
                elif step.same_data:
                    assert entry.new_mode is not None
                    _set_mode(folder, path, old, entry.new_mode)
                else:
                    _exchange(path, old, temporary, folder, begun)
            except FileNotFoundError:
                raise _changed(path) from None


def _changed(path: bytes) -> Refused:
    return Refused(f"{show(path)}: changed meanwhile, by another program", "run again")


def _exchange(path: bytes, old: File, temporary: bytes, folder: int, begun: set[bytes]) -> None:
    """The new file and the old one change places; and back again when the old one turns out not to be the one that was read."""
    name = _name(path)
    try:
        kernel.exchange(temporary, name, folder)
    except kernel.Unavailable:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    if not old.is_still_at(temporary, folder, renamed=True):
        with unstoppable():
            kernel.exchange(temporary, name, folder)
            begun.discard(path)
        raise _changed(path)


def _take_away(path: bytes, old: File, temporary: bytes, folder: int, begun: set[bytes]) -> None:
    """Moves a file that is to be deleted to its temporary name; and back again when it is not the one that was read."""
    name = _name(path)
    try:
        kernel.rename_to_free(name, temporary, folder)
    except kernel.Unavailable:
        os.unlink(name, dir_fd=folder)
        return
    if not old.is_still_at(temporary, folder, renamed=True):
        with unstoppable():
            kernel.rename_to_free(temporary, name, folder)
            begun.discard(path)
        raise _changed(path)


def _put(temporary: bytes, name: bytes, folder: int) -> None:
    """Moves a file to a name that must be free. FileExistsError."""
    try:
        kernel.rename_to_free(temporary, name, folder)
        return
    except kernel.Unavailable:
        pass
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except PermissionError:  # a file system without links
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(temporary, dir_fd=folder)


def _set_mode(folder: int, path: bytes, old: File, mode: int) -> None:
    fd = os.open(_name(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not old.is_still(os.fstat(fd)):
            raise _changed(path)
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def _clear(tree: Tree, steps: Iterable[Step], journal: Journal) -> None:
    """Removes what was replaced and the folders that are empty now, and makes all names durable."""
    touched = {_folder(changed.path) for changed in (*journal.made, *journal.entries)}
    replaced = [entry.temporary for step, entry in zip(steps, journal.entries, strict=True) if step.old and not step.same_data]
    in_pieces(replaced, lambda piece: _remove(tree, piece), waits=False)
    for folder in reversed(journal.emptied):
        with tree.folder_of(folder.path) as outer:
            if outer is not None and _remove_if_empty(_name(folder.path), outer):
                touched.add(_folder(folder.path))
    sync_folders(tree, sorted(touched))


def _remove(tree: Tree, paths: Iterable[bytes]) -> None:
    with _folders(tree) as folders:
        for path in paths:
            with suppress(FileNotFoundError):
                os.unlink(_name(path), dir_fd=folders.of(path))


def _remove_if_empty(name: bytes, folder: int) -> bool:
    """Removes a folder where it is empty and this process may; says whether."""
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in _STAYS:
            raise
        return False
    return True


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _folder(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _as_command_error(tree: Tree, error: OSError) -> CommandError:
    where = show(error.filename) if isinstance(error.filename, bytes) else error.filename or tree.name
    code = 70 if exit_code_of(error) == 70 else 3
    return CommandError(f"{where}: {error.strerror or error}", "nothing was changed; remove the cause and run again", code)
