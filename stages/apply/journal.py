"""The record that makes an apply all or nothing: what every file was, on disk before the first of them changes.

It lies outside the tree, in the user's state folder, one folder a root: `$CROMWELL_STATE` or `$XDG_STATE_HOME/cromwell` (by default
~/.local/state/cromwell), then `apply/KEY/journal`. While a journal is there the tree is to be rolled back; removing it is the moment
at which a patch is applied. Contents: a JSON line, the old files' bytes one after another, a digest of all that.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple

from cromwell.apply.blob import blob_hash
from cromwell.apply.plan import Step
from cromwell.apply.tree import Tree
from cromwell.contract.errors import CommandError

FORMAT = 1
DIGEST_BYTES = 32


class Entry(NamedTuple):
    """One file: its bytes and attributes before (None: it was not there), the git blob meant to be after (None: none), and the name of
    the temporary file beside it."""

    path: bytes
    temporary: bytes
    old: bytes | None
    mode: int
    owner: tuple[int, int]
    times_ns: tuple[int, int]  # access, modification
    new_blob: str | None


class Journal(NamedTuple):
    """A patch under way: its files, and the folders made for them, outermost first."""

    entries: list[Entry]
    folders: list[bytes]


def state_folder(tree: Tree) -> str:
    """The folder for the journal of this root, which need not be there."""
    base = os.environ.get("CROMWELL_STATE")
    if not base:
        home = os.environ.get("XDG_STATE_HOME", "")
        base = os.path.join(home if os.path.isabs(home) else os.path.expanduser("~/.local/state"), "cromwell")
    return os.path.join(os.path.abspath(base), "apply", blake2b(os.fsencode(tree.root), digest_size=8).hexdigest())


def make_folder(folder: str) -> None:
    """Makes a state folder, for this user's eyes only. CommandError when it cannot be."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        parent = folder
        for _level in ("apply", "cromwell", "state"):  # what was made must be there after a power cut, too
            parent = os.path.dirname(parent)
            _sync(parent)
    except OSError as error:
        hint = "the journal of cw-apply lies here; CROMWELL_STATE names another folder"
        raise CommandError(f"{folder}: {error.strerror}", hint) from None


def is_pending(folder: str) -> bool:
    """Whether a run did not come to its end."""
    return os.path.exists(os.path.join(folder, "journal"))


def plan_journal(tree: Tree, steps: list[Step]) -> Journal:
    """The journal of `steps`, not yet written."""
    stamp = os.urandom(4).hex()
    entries, folders = [], {}
    for number, (path, old, new) in enumerate(steps):
        temporary = path[:path.rfind(b"/") + 1] + f".cw-apply-{stamp}-{number}".encode()
        status = old.status if old else None
        entries.append(Entry(path, temporary, old.data if old else None, old.mode if old else 0,
                             (status.st_uid, status.st_gid) if status else (0, 0),
                             (status.st_atime_ns, status.st_mtime_ns) if status else (0, 0), blob_hash(new.data) if new else None))
        if old is None:
            folders.update(dict.fromkeys(tree.missing_folders(path)))
    return Journal(entries, list(folders))


def write(folder: str, journal: Journal, root: str) -> None:
    """Puts the journal on disk for good."""
    entries = []
    for path, temporary, old, mode, owner, times_ns, new_blob in journal.entries:
        entries.append({"path": os.fsdecode(path), "temporary": os.fsdecode(temporary), "size": None if old is None else len(old),
                        "mode": mode, "owner": owner, "times_ns": times_ns, "new_blob": new_blob})
    header = {"format": FORMAT, "root": root, "entries": entries, "folders": [os.fsdecode(name) for name in journal.folders]}
    digest = blake2b(digest_size=DIGEST_BYTES)
    unfinished = os.path.join(folder, "journal.new")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as stream:
        for part in (json.dumps(header).encode() + b"\n", *(entry.old for entry in journal.entries if entry.old)):
            digest.update(part)
            stream.write(part)
        stream.write(digest.digest())
        stream.flush()
        os.fsync(fd)
    os.rename(unfinished, os.path.join(folder, "journal"))
    _sync(folder)


def pending(folder: str) -> Journal | None:
    """The journal of a run that did not come to its end, or None. CommandError (70) when it is damaged."""
    path = os.path.join(folder, "journal")
    try:
        with open(path, "rb") as stream:
            text = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    content, digest = text[:-DIGEST_BYTES], text[-DIGEST_BYTES:]
    if blake2b(content, digest_size=DIGEST_BYTES).digest() != digest:
        raise CommandError(f"{path}: damaged", "an earlier run was cut off; look at the tree, then remove this file", 70)
    line, _newline, rest = content.partition(b"\n")
    header: dict[str, Any] = json.loads(line)
    if header["format"] != FORMAT:
        what = f"written by another version (format {header['format']})"
        raise CommandError(f"{path}: {what}", "finish with that version: cw-apply --recover", 70)
    entries, at = [], 0
    for field in header["entries"]:
        size = field["size"]
        old = None if size is None else rest[at:at + size]
        at += size or 0
        entries.append(Entry(os.fsencode(field["path"]), os.fsencode(field["temporary"]), old, field["mode"], tuple(field["owner"]),
                             tuple(field["times_ns"]), field["new_blob"]))
    return Journal(entries, [os.fsencode(name) for name in header["folders"]])


def discard(folder: str) -> None:
    """Removes the journal: what it recorded is done, or undone, for good."""
    os.unlink(os.path.join(folder, "journal"))
    _sync(folder)


def tidy(folder: str) -> None:
    """Removes the folder when no journal is left in it."""
    with suppress(OSError):
        os.unlink(os.path.join(folder, "journal.new"))
    with suppress(OSError):
        os.rmdir(folder)


def set_aside(folder: str) -> str:
    """Keeps a journal that could not be rolled back in full, under a name that is no longer pending; returns it."""
    name = os.path.join(folder, f"journal.{os.urandom(4).hex()}.kept")
    os.rename(os.path.join(folder, "journal"), name)
    _sync(folder)
    return name


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
