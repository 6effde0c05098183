"""Writes git-format unified diffs: one function from two versions of a file to the text that cw-diff prints and cw-apply applies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cromwell.apply.blob import ABSENT, blob_hash
from cromwell.apply.names import quote

CONTEXT_LINES = 3
HEADING_BYTES = 80  # git's limit for the text after the second @@
_HEADING = re.compile(rb"[A-Za-z_$]")

Change = tuple[int, int, int, int]
"""(old first, old count, new first, new count), lines from 0, as binding.diff_lines gives them."""


class Version(NamedTuple):
    """A file's bytes and whether it is executable."""

    data: bytes
    executable: bool = False

    @property
    def mode(self) -> bytes:
        """As git writes it."""
        return b"100755" if self.executable else b"100644"


class Hunk(NamedTuple):
    """Line ranges from 0 of both sides, context included, and the changes within."""

    old_first: int
    old_count: int
    new_first: int
    new_count: int
    changes: list[Change]


class FileDiff(NamedTuple):
    """The differences between two versions of one file; None is a version that does not exist."""

    path: bytes
    old: Version | None
    new: Version | None
    hunks: list[Hunk]

    @property
    def added(self) -> int:
        """Lines added."""
        return sum(change[3] for hunk in self.hunks for change in hunk.changes)

    @property
    def removed(self) -> int:
        """Lines removed."""
        return sum(change[1] for hunk in self.hunks for change in hunk.changes)


def split_lines(data: bytes) -> list[bytes]:
    """Lines with their \\n; the last may lack it. Unlike splitlines, nothing but \\n ends a line."""
    lines = data.split(b"\n")
    last = lines.pop()
    lines = [line + b"\n" for line in lines]
    if last:
        lines.append(last)
    return lines


def compare(path: bytes, old: Version | None, new: Version | None, context: int = CONTEXT_LINES) -> FileDiff | None:
    """The difference of two versions, or None when there is none. `path` is relative with "/" between its parts."""
    from cromwell.binding import diff_lines

    if old == new:
        return None
    old_data, new_data = old.data if old else b"", new.data if new else b""
    changes = diff_lines(old_data, new_data)
    old_size = old_data.count(b"\n") + (old_data[-1:] not in (b"", b"\n"))
    return FileDiff(path, old, new, group(changes, old_size, context))


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
    return b"".join(_header(diff)) + b"".join(_body(diff))


def _header(diff: FileDiff) -> Iterator[bytes]:
    old, new = diff.old, diff.new
    old_name, new_name = quote(b"a/" + diff.path), quote(b"b/" + diff.path)
    yield b"diff --git %s %s\n" % (old_name, new_name)
    mode = b""
    if old is None and new is not None:
        yield b"new file mode %s\n" % new.mode
    elif new is None and old is not None:
        yield b"deleted file mode %s\n" % old.mode
    elif old is not None and new is not None and old.executable != new.executable:
        yield b"old mode %s\nnew mode %s\n" % (old.mode, new.mode)
    elif old is not None:
        mode = b" " + old.mode
    old_blob, new_blob = (blob_hash(version.data) if version else ABSENT for version in (old, new))
    if old_blob != new_blob:
        yield f"index {old_blob}..{new_blob}".encode() + mode + b"\n"
    if diff.hunks:  # as git, a tab ends a name with spaces, so that patch does not take the rest for a date
        yield b"--- %s%s\n" % (old_name if old else b"/dev/null", b"\t" if old and b" " in old_name else b"")
        yield b"+++ %s%s\n" % (new_name if new else b"/dev/null", b"\t" if new and b" " in new_name else b"")


def _body(diff: FileDiff) -> Iterator[bytes]:
    if not diff.hunks:
        return
    old_lines = split_lines(diff.old.data if diff.old else b"")
    new_lines = split_lines(diff.new.data if diff.new else b"")
    heading, searched = b"", 0
    for hunk in diff.hunks:
        for at in range(hunk.old_first - 1, searched - 1, -1):
            if _HEADING.match(old_lines[at]):
                heading = _shorten(old_lines[at])
                break
        searched = hunk.old_first
        ranges = b"-%s +%s" % (_range(hunk.old_first, hunk.old_count), _range(hunk.new_first, hunk.new_count))
        yield b"@@ %s @@%s\n" % (ranges, b" " + heading if heading else b"")
        at = hunk.old_first
        for old_first, old_count, new_first, new_count in hunk.changes:
            yield from _marked(b" ", old_lines[at:old_first])
            yield from _marked(b"-", old_lines[old_first:old_first + old_count])
            yield from _marked(b"+", new_lines[new_first:new_first + new_count])
            at = old_first + old_count
        yield from _marked(b" ", old_lines[at:hunk.old_first + hunk.old_count])


def _shorten(line: bytes) -> bytes:
    """A heading line cut to HEADING_BYTES at a character's border."""
    return line[:HEADING_BYTES].decode("utf-8", "ignore").rstrip().encode()


def _range(first: int, count: int) -> bytes:
    """A hunk header's range: lines from 1; of an empty range the line before it; a count of 1 is left out."""
    start = first + 1 if count else first
    return b"%d" % start if count == 1 else b"%d,%d" % (start, count)


def _marked(mark: bytes, lines: Sequence[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield mark + line
        if not line.endswith(b"\n"):
            yield b"\n\\ No newline at end of file\n"
