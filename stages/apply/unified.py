"""Writes git-format unified diffs: one function from two versions of a file to the text that cw-diff prints and cw-apply applies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cromwell.apply.blob import ABSENT, blob_hash
from cromwell.apply.names import quote

CONTEXT_LINES = 3
NO_DIFFERENCE = b"# no difference\n"
"""What cw-diff writes to a pipe when it has nothing to write, since a reader takes an empty pipe for the end of a failed command."""

BINARY_PROBE_BYTES = 8000  # git looks for a NUL in as many

Change = tuple[int, int, int, int]
"""(old first, old count, new first, new count), lines from 0, as binding.diff_lines gives them."""


class Version(NamedTuple):
    """A file's bytes (a symbolic link's target when `link`) and whether it is executable."""

    data: bytes
    executable: bool = False
    link: bool = False

    @property
    def mode(self) -> bytes:
        """As git writes it."""
        return b"120000" if self.link else b"100755" if self.executable else b"100644"


class Hunk(NamedTuple):
    """Line ranges from 0 of both sides, context included, and the changes within."""

    old_first: int
    old_count: int
    new_first: int
    new_count: int
    changes: list[Change]


class FileDiff(NamedTuple):
    """The differences between two versions of one file; None is a version that does not exist.

    `body` is the text after the --- and +++ lines, or the whole of a binary difference. `old_path` differs from `path` where the file
    was moved: "rename" or "copy", with git's similarity in percent."""

    path: bytes
    old: Version | None
    new: Version | None
    old_path: bytes
    moved: str
    similarity: int
    binary: bool
    context: int
    changes: list[Change]
    body: bytes

    @property
    def added(self) -> int:
        """Lines added."""
        return sum(change[3] for change in self.changes)

    @property
    def removed(self) -> int:
        """Lines removed."""
        return sum(change[1] for change in self.changes)

    @property
    def hunks(self) -> list[Hunk]:
        """The changes with their context, as `body` shows them."""
        data = self.old.data if self.old else b""
        return group(self.changes, data.count(b"\n") + (data[-1:] not in (b"", b"\n")), self.context)


def split_lines(data: bytes) -> list[bytes]:
    """Lines with their \\n; the last may lack it. Unlike splitlines, nothing but \\n ends a line."""
    lines = data.split(b"\n")
    last = lines.pop()
    lines = [line + b"\n" for line in lines]
    if last:
        lines.append(last)
    return lines


def compare(path: bytes, old: Version | None, new: Version | None, context: int = CONTEXT_LINES, *, algorithm: str = "histogram",
            old_path: bytes | None = None, moved: str = "", similarity: int = 100, binary: str = "text") -> FileDiff | None:
    """The difference of two versions, or None when there is none. Paths are relative with "/" between their parts.

    `binary` is what becomes of files that look binary: "text" compares their lines, "note" says that they differ, "patch" makes a git
    binary patch. Both versions are of one kind, link or not."""
    if old == new and not moved:
        return None
    old_data, new_data = old.data if old else b"", new.data if new else b""
    is_binary = binary != "text" and looks_binary(old_data, new_data)
    changes, body = [], b""
    if old_data == new_data:
        pass
    elif is_binary:
        body = _binary_body(path, old_path or path, old, new, binary)
    else:
        from cromwell.binding import Diff

        with Diff(old_data, new_data, algorithm) as diff:
            changes, body = diff.changes(), diff.text(context)
    return FileDiff(path, old, new, old_path or path, moved, similarity, is_binary, context, changes, body)


def looks_binary(*contents: bytes) -> bool:
    """Whether git takes one of `contents` for binary."""
    return any(data.find(b"\0", 0, BINARY_PROBE_BYTES) >= 0 for data in contents)


def group(changes: Sequence[Change], old_size: int, context: int) -> list[Hunk]:
    """Joins changes with at most 2 * `context` unchanged lines between them into hunks, given the old side's number of lines."""
    groups: list[list[Change]] = []
    for change in changes:
        if groups and change[0] - (groups[-1][-1][0] + groups[-1][-1][1]) <= 2 * context:
            groups[-1].append(change)
        else:
            groups.append([change])
    hunks = []
    for members in groups:
        first, last = members[0], members[-1]
        before = min(context, first[0])
        after = min(context, old_size - last[0] - last[1])
        hunks.append(Hunk(first[0] - before, last[0] + last[1] + after - (first[0] - before),
                          first[2] - before, last[2] + last[3] + after - (first[2] - before), members))
    return hunks


def write(diff: FileDiff) -> bytes:
    """The text of one file's diff."""
    return header(diff) + diff.body


def header(diff: FileDiff) -> bytes:
    """The lines before the first hunk."""
    old, new = diff.old, diff.new
    old_name, new_name = quote(b"a/" + diff.old_path), quote(b"b/" + diff.path)
    lines = [b"diff --git %s %s\n" % (old_name, new_name)]
    mode = b""
    if old is None and new is not None:
        lines.append(b"new file mode %s\n" % new.mode)
    elif new is None and old is not None:
        lines.append(b"deleted file mode %s\n" % old.mode)
    elif old is not None and new is not None and old.mode != new.mode:
        lines.append(b"old mode %s\nnew mode %s\n" % (old.mode, new.mode))
    elif old is not None:
        mode = b" " + old.mode
    if diff.moved:
        how = diff.moved.encode()
        lines.append(b"similarity index %d%%\n" % diff.similarity)
        lines.append(b"%s from %s\n%s to %s\n" % (how, quote(diff.old_path), how, quote(diff.path)))
    old_blob, new_blob = (blob_hash(version.data) if version else ABSENT for version in (old, new))
    if old_blob != new_blob:
        lines.append(f"index {old_blob}..{new_blob}".encode() + mode + b"\n")
    if diff.body and not diff.binary:  # as git, a tab ends a name with spaces, so that patch does not take the rest for a date
        lines.append(b"--- %s%s\n" % (old_name if old else b"/dev/null", b"\t" if old and b" " in old_name else b""))
        lines.append(b"+++ %s%s\n" % (new_name if new else b"/dev/null", b"\t" if new and b" " in new_name else b""))
    return b"".join(lines)


def _binary_body(path: bytes, old_path: bytes, old: Version | None, new: Version | None, binary: str) -> bytes:
    if binary == "patch":
        from cromwell.apply.diff_binary import binary_patch

        return binary_patch(old.data if old else b"", new.data if new else b"")
    names = quote(b"a/" + old_path) if old else b"/dev/null", quote(b"b/" + path) if new else b"/dev/null"
    return b"Binary files %s and %s differ\n" % names
