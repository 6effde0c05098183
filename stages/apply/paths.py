"""Which files the parts of a patch mean: prefixes taken off, and names that could lead out of the root refused.

Without -p the number of leading parts to take off is read from the patch as a whole: `a/x` and `b/x` (or `old/x` and `new/x`) mean 1,
the same name twice means 0. Nothing is tried out on the files, so that a patch cannot land on another file of the same name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from cromwell.apply.errors import PatchError, Refused
from cromwell.apply.parse import DEV_NULL, FilePatch

MAX_PARTS = 255
_LONE_PREFIX = re.compile(rb"[abciow12]/")  # of git, with diff.mnemonicPrefix too
_SLASHES = re.compile(rb"/+")
_NO_PART = {b"", b".", b"/"}  # bytes with which there may be no part, or another one
_PLAIN = re.compile(rb"(?:[A-Za-z0-9_+-][A-Za-z0-9_.+-]*/){0,254}[A-Za-z0-9_+-][A-Za-z0-9_.+-]*")  # nothing in such a name needs care

Target = tuple["bytes | None", "bytes | None"]
"""(path before, path after), relative to the root; None where the file is absent."""


def targets(files: Sequence[FilePatch], strip: int | None, exists: Callable[[bytes], bool]) -> list[Target]:
    """The files that each part reads and writes. `strip` is -p; `exists` decides between two names of a diff without git's header.

    PatchError or Refused when the names leave it open or are not allowed."""
    if strip is None:
        strip = _prefix_parts(files)
    return [_target(file, strip, exists) for file in files]


def is_chosen(target: Target, include: Sequence[bytes], exclude: Sequence[bytes]) -> bool:
    """Whether a part is wanted, by its name after (or before, if it deletes): as for git, `*` in a pattern matches "/", too."""
    name = target[0] if target[1] is None else target[1]
    assert name is not None
    return ((not include or any(fnmatchcase(name, pattern) for pattern in include))
            and not any(fnmatchcase(name, pattern) for pattern in exclude))


def _prefix_parts(files: Sequence[FilePatch]) -> int:
    """How many leading parts are prefixes, by the names alone."""
    found: set[int] = set()
    lone = False
    for file in files:
        old, new = file.header_names or (file.old_name, file.new_name)
        if DEV_NULL in (old, new):
            lone = lone or bool(_LONE_PREFIX.match(new if old == DEV_NULL else old))
        elif old == new:
            found.add(0)
        elif old[1:] == new[1:] and old[1:2] == b"/" and not {old[:1], new[:1], old[2:3]} & _NO_PART or _rest(old) == _rest(new) != []:
            found.add(1)
        else:
            lone = lone or bool(_LONE_PREFIX.match(old) and _LONE_PREFIX.match(new))
    if len(found) > 1:
        what = "some names have a prefix and some have not"
        raise PatchError(f"patch line {files[0].patch_line}: {what}", "say with -p how many parts to take off")
    return found.pop() if found else int(lone)


def _rest(name: bytes) -> list[bytes]:
    """The parts after the first."""
    return [part for part in (_SLASHES.split(name) if b"//" in name else name.split(b"/")) if part != b"."][1:]


def _target(file: FilePatch, strip: int, exists: Callable[[bytes], bool]) -> Target:
    if file.moved:  # such names have no prefix, which a git -p counts
        strip = max(0, strip - 1)
    old, new = (None if name == DEV_NULL else _clean(file, name, strip) for name in (file.old_name, file.new_name))
    if file.moved or old is None or new is None or old == new:
        return old, new
    where = f"patch line {file.patch_line}"
    shown = f"{show(old)} and {show(new)}"
    if file.git:
        what = f"{shown} are two files, and the patch does not say that one becomes the other"
        raise Refused(f"{where}: {what}", "make it with git diff -M, or say -p")
    there = [name for name in (old, new) if exists(name)]
    if len(there) != 1:
        how = "both exist" if there else "neither exists"
        raise Refused(f"{where}: the patch names {shown}, and {how}", "say with -p how many parts to take off, or edit the +++ line")
    return there[0], there[0]


def _clean(file: FilePatch, name: bytes, strip: int) -> bytes:
    """`name` without its first `strip` parts, checked."""
    if _PLAIN.fullmatch(name) and name.count(b"/") >= strip:
        return name.split(b"/", strip)[strip]
    where = f"patch line {file.patch_line}: {show(name)}"
    parts = _SLASHES.split(name)
    if len(parts) <= strip:
        raise PatchError(f"{where}: has no {strip} parts to take off", "give a smaller -p")
    parts = [part for part in parts[strip:] if part != b"."]
    if not parts or parts[-1] == b"":
        raise Refused(f"{where}: names a folder")
    if parts[0] == b"":
        raise Refused(f"{where}: is an absolute path", "give the folder with --root and take parts off with -p")
    if len(parts) > MAX_PARTS:
        raise Refused(f"{where}: more than {MAX_PARTS} folders deep")
    for part in parts:
        if part == b"..":
            raise Refused(f"{where}: leads out of the root", "run where the file is below, or give --root and -p")
        if b"\0" in part or b"\n" in part:
            raise Refused(f"{where}: has a NUL or a newline in its name")
        if _is_git_folder(part):
            raise Refused(f"{where}: lies within git's own folder", "cw-apply never touches .git")
    return b"/".join(parts)


def _is_git_folder(part: bytes) -> bool:
    """Whether some file system takes `part` for .git: other case, short name, trailing dots or spaces, a stream, invisible letters."""
    if part.isascii() and b"git" not in part.lower():  # nearly all names, and the rest is slow
        return False
    text = part.decode("utf-8", "replace").lower()
    text = re.sub("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]", "", text)  # HFS+ ignores these
    return text.split(":")[0].rstrip(" .") in (".git", "git~1")


def show(path: bytes) -> str:
    """`path` for a message."""
    return os.fsdecode(path)
