"""The record that makes an apply all or nothing and lets it be undone: what every file was, on disk before the first of them changes.

It lies outside the tree, in one folder for all roots: `$CROMWELL_STATE` or `$XDG_STATE_HOME/cromwell` (by default
~/.local/state/cromwell), then `apply`. `KEY.journal` is there while a patch is under way, and the tree is to be rolled back; renaming
it to `KEY.N.undo` (or removing it) is the moment at which the patch is applied. KEY stands for the root's path. Contents: a JSON line,
the old files' bytes one after another, a digest of all that.
"""

from __future__ import annotations

import binascii
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple

from cromwell.apply.blob import blob_hash
from cromwell.apply.tree import Tree
from cromwell.contract.errors import CommandError, exit_code_of

FORMAT = 3
DIGEST_BYTES = 32


class Entry(NamedTuple):
    """One file: its bytes and attributes before (None: it was not there), the git blob and the permissions meant to be after (None:
    no file), and the name of the temporary file beside it. `link`, `new_link`: before, or after, it is a symbolic link, its bytes are the
    target and its permissions mean nothing."""

    path: bytes
    temporary: bytes
    old: bytes | None
    mode: int
    owner: tuple[int, int]
    times_ns: tuple[int, int]  # access, modification
    xattrs: tuple[tuple[str, bytes], ...]
    new_blob: str | None
    new_mode: int | None
    link: bool = False
    new_link: bool = False

    @property
    def links(self) -> bool:
        """Whether a symbolic link has to do with it."""
        return self.link or self.new_link


class Folder(NamedTuple):
    """A folder that a patch makes or leaves empty, and its attributes before it goes or when it comes back (None: by the umask)."""

    path: bytes
    mode: int | None
    owner: tuple[int, int] | None


class Journal(NamedTuple):
    """A patch under way or done: its files; the folders made for them and those that may go, outermost first; when (seconds since
    1970), from what source, and whether it undoes an earlier one."""

    entries: list[Entry]
    made: list[Folder]
    emptied: list[Folder]
    time_s: int = 0
    source: str = ""
    undoes: int | None = None


class State:
    """The folder with the journals, and this root's names in it. It need not be there."""

    def __init__(self, tree: Tree):
        base = os.environ.get("CROMWELL_STATE")
        if not base:
            home = os.environ.get("XDG_STATE_HOME", "")
            base = os.path.join(home if os.path.isabs(home) else os.path.expanduser("~/.local/state"), "cromwell")
        self.folder = os.path.join(os.path.abspath(base), "apply")
        self.root = tree.root
        self.key = blake2b(os.fsencode(tree.root), digest_size=8).hexdigest()
        self.journal, self.unfinished, self.lock = (self.path(name) for name in ("journal", "journal.new", "lock"))

    def path(self, name: str) -> str:
        """This root's file `name`."""
        return os.path.join(self.folder, f"{self.key}.{name}")

    def make(self) -> None:
        """Makes the folder, for this user's eyes only. CommandError when it cannot be."""
        try:
            made = not os.path.isdir(self.folder)
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            parent = self.folder
            for _level in ("apply", "cromwell", "state") if made else ():  # what was made must be there after a power cut, too
                parent = os.path.dirname(parent)
                _sync(parent)
        except OSError as error:
            hint = "the journal of cw-apply lies here; CROMWELL_STATE names another folder"
            raise CommandError(f"{self.folder}: {error.strerror}", hint, exit_code_of(error)) from None

    def is_pending(self) -> bool:
        """Whether a run did not come to its end."""
        return os.path.exists(self.journal)

    def has_links(self, undo: bool) -> bool:
        """Whether a run that did not come to its end, or with `undo` any patch that can be undone, has to do with symbolic links."""
        headers = [read_header(self.journal), *(read_header(self.undo_path(number)) for number in (self.undo_numbers() if undo else ()))]
        return any(field["link"] or field["new_link"] for header in headers if header for field in header["entries"])

    def undo_numbers(self) -> list[int]:
        """The numbers of this root's patches that can be undone, oldest first."""
        return sorted(number for key, number, _file in self._kept() if key == self.key)

    def undo_path(self, number: int) -> str:
        """The file of patch `number`."""
        return self.path(f"{number}.undo")

    def _kept(self) -> list[tuple[str, int, os.DirEntry[str]]]:
        """The undo entries of all roots: key, number, file."""
        found = []
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder) as files:
            for file in files:
                part = file.name.split(".")
                if len(part) == 3 and part[2] == "undo" and part[1].isdigit():
                    found.append((part[0], int(part[1]), file))
        return found

    # ---- Steps of a run ----

    def write(self, journal: Journal) -> None:
        """Puts the journal on disk for good."""
        fd = os.open(self.unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as stream:
            _encode(journal, self.root, stream.write)
            stream.flush()
            os.fsync(fd)
        os.rename(self.unfinished, self.journal)
        _sync(self.folder)

    def pending(self) -> Journal | None:
        """The journal of a run that did not come to its end, or None. CommandError (70) when it is damaged."""
        hint = "an earlier run was cut off; look at the tree, then remove this file"
        return read(self.journal, hint, "finish with that version: cw-apply --recover")

    def finish(self, max_count: int, max_bytes: int) -> int | None:
        """The patch is applied: makes its journal an entry of the undo store and returns its number; None when the bounds, which are
        on all roots together, leave no room for it. The oldest entries go."""
        if max_count < 1 or os.stat(self.journal).st_size > max_bytes:
            self.discard()
            return None
        number = max(self.undo_numbers(), default=0) + 1
        os.rename(self.journal, self.undo_path(number))
        try:
            _sync(self.folder)
        except OSError:
            os.rename(self.undo_path(number), self.journal)
            raise
        return number

    def drop_oldest(self, max_count: int, max_bytes: int) -> None:
        """Removes the oldest entries of any root until the store is within its bounds."""
        found = []
        for _key, number, file in self._kept():
            with suppress(OSError):
                status = file.stat(follow_symlinks=False)
                found.append((status.st_mtime_ns, number, status.st_size, file.path))
        found.sort()
        count, total = len(found), sum(size for _time, _number, size, _path in found)
        for _time, _number, size, path in found:
            if count <= max_count and total <= max_bytes:
                return
            with suppress(OSError):  # another cw-apply may do the same
                os.unlink(path)
            count, total = count - 1, total - size

    def discard(self) -> None:
        """Removes the journal: what it recorded is undone for good, or not to be undone."""
        os.unlink(self.journal)
        _sync(self.folder)

    def tidy(self) -> None:
        """Removes what a run left that was cut off while it wrote its journal."""
        with suppress(OSError):
            os.unlink(self.unfinished)

    def set_aside(self) -> str:
        """Keeps a journal that could not be rolled back in full, under a name that is no longer pending; returns it."""
        name = self.path(f"{os.urandom(4).hex()}.kept")
        os.rename(self.journal, name)
        _sync(self.folder)
        return name


# ---- Contents ---------------------------------------------------------------------------------------------------------------


def _encode(journal: Journal, root: str, write: Any) -> None:
    entries = [{"path": os.fsdecode(path), "temporary": os.fsdecode(temporary), "size": None if old is None else len(old), "mode": mode,
                "owner": owner, "times_ns": times_ns,
                "xattrs": [[name, binascii.b2a_base64(value, newline=False).decode()] for name, value in xattrs],
                "new_blob": new_blob, "new_mode": new_mode, "link": link, "new_link": new_link}
               for path, temporary, old, mode, owner, times_ns, xattrs, new_blob, new_mode, link, new_link in journal.entries]
    folders = {name: [[os.fsdecode(path), mode, owner] for path, mode, owner in value]
               for name, value in (("made", journal.made), ("emptied", journal.emptied))}
    header = {"format": FORMAT, "root": root, "time_s": journal.time_s, "source": journal.source, "undoes": journal.undoes,
              "entries": entries, **folders}
    digest = blake2b(digest_size=DIGEST_BYTES)
    for part in (json.dumps(header).encode() + b"\n", *(entry.old for entry in journal.entries if entry.old)):
        digest.update(part)
        write(part)
    write(digest.digest())


def read(path: str, damaged_hint: str, version_hint: str) -> Journal | None:
    """The journal in a file, or None when there is no file. CommandError (70) when it is damaged or of another version."""
    try:
        with open(path, "rb") as stream:
            text = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    content, digest = memoryview(text)[:-DIGEST_BYTES], text[-DIGEST_BYTES:]
    if blake2b(content, digest_size=DIGEST_BYTES).digest() != digest:
        raise CommandError(f"{path}: damaged", damaged_hint, 70)
    at = text.index(b"\n") + 1
    header = json.loads(text[:at])
    if header["format"] != FORMAT:
        raise CommandError(f"{path}: written by another version (format {header['format']})", version_hint, 70)
    entries = []
    for field in header["entries"]:
        size = field["size"]
        old = None if size is None else text[at:at + size]
        at += size or 0
        xattrs = tuple((name, binascii.a2b_base64(value)) for name, value in field["xattrs"])
        entries.append(Entry(os.fsencode(field["path"]), os.fsencode(field["temporary"]), old, field["mode"], tuple(field["owner"]),
                             tuple(field["times_ns"]), xattrs, field["new_blob"], field["new_mode"], field["link"], field["new_link"]))
    made, emptied = ([Folder(os.fsencode(path), mode, owner and tuple(owner)) for path, mode, owner in header[name]]
                     for name in ("made", "emptied"))
    return Journal(entries, made, emptied, header["time_s"], header["source"], header["undoes"])


def read_header(path: str) -> dict[str, Any] | None:
    """The JSON line of a journal alone, unchecked; None when there is no such file or it is none of this version's."""
    try:
        with open(path, "rb") as stream:
            header = json.loads(stream.readline())
    except (OSError, ValueError):
        return None
    return header if isinstance(header, dict) and header.get("format") == FORMAT else None


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# ---- Before a run -----------------------------------------------------------------------------------------------------------


def plan_journal(tree: Tree, steps: Iterable[Any], umask: int, made_modes: Mapping[bytes, Folder], may_go: Iterable[bytes] | None,
                 source: str, undoes: int | None) -> Journal:
    """The journal of `steps` (plan.Step), not yet written.

    `made_modes` are attributes of folders that may have to be made; `may_go` the folders to remove if they are left empty, by default
    those that deletions empty, as in git."""
    stamp = os.urandom(4).hex()
    entries: list[Entry] = []
    made: dict[bytes, Folder] = {}
    emptied: set[bytes] = set(may_go or ())
    there: set[bytes] = {b""}
    for number, (path, old, new) in enumerate(steps):
        folder, slash, _name = path.rpartition(b"/")
        temporary = folder + slash + f".cw-apply-{stamp}-{number}".encode()
        status = old.status if old else None
        entries.append(Entry(path, temporary, old.data if old else None, old.mode if old else 0,
                             (status.st_uid, status.st_gid) if status else (0, 0),
                             (status.st_atime_ns, status.st_mtime_ns) if status else (0, 0), old.xattrs if old else (),
                             (new.blob or blob_hash(new.data)) if new else None, new_mode(new, umask) if new else None,
                             bool(old and old.link), bool(new and new.link)))
        if new is None and may_go is None:
            while folder and folder not in emptied:
                emptied.add(folder)
                folder = folder.rpartition(b"/")[0]
        elif old is None and folder not in there:
            for missing in tree.missing_folders(path):
                made[missing] = made_modes.get(missing, Folder(missing, None, None))
            there.add(folder)
    leaving = [_folder(tree, path) for path in sorted(emptied)]
    return Journal(entries, list(made.values()), [folder for folder in leaving if folder], int(time.time()), source, undoes)


def new_mode(new: Any, umask: int) -> int:
    """The permissions of a plan.Content: a new file's are by the umask; an old one's stay, but for execution."""
    if new.mode is None:
        return (0o777 if new.executable else 0o666) & ~umask
    mode: int = new.mode
    if new.executable == bool(mode & 0o100):
        return mode
    return mode | (mode & 0o444) >> 2 if new.executable else mode & ~0o111


def _folder(tree: Tree, path: bytes) -> Folder | None:
    fd = tree.open_folder(path)
    if fd is None:
        return None
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    return Folder(path, status.st_mode & 0o7777, (status.st_uid, status.st_gid))
