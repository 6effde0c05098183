"""What cw-diff prints instead of, or over, the plain text: --stat, --json, colours with the changed words marked."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from cromwell.apply import unified
from cromwell.apply.blob import blob_hash
from cromwell.apply.names import quote
from cromwell.apply.unified import FileDiff

# ---- --stat ----------------------------------------------------------------------------------------------------------------


def stat(diffs: Sequence[FileDiff], columns: int | None = None) -> bytes:
    """Git's --stat: a line a file with its graph, then the sum; as wide as the terminal, or 80 columns."""
    if not diffs:
        return b""
    columns = columns or shutil.get_terminal_size().columns
    names = [_shown_name(diff) for diff in diffs]
    most = max(diff.added + diff.removed for diff in diffs)
    sizes = [[len(version.data) if version else 0 for version in (diff.old, diff.new)] for diff in diffs]
    binary_widths = [14 + len(f"{old}{new}") for diff, (old, new) in zip(diffs, sizes, strict=True) if diff.binary]
    binary_width = max(binary_widths, default=0)
    number_width = max(len(str(most)), 3 if binary_width else 0)
    width = max(columns, 16 + 6 + number_width)
    graph_width = most if most + 4 > binary_width else binary_width - 4
    name_width = max(_width(name) for name in names)
    if name_width + number_width + 6 + graph_width > width:
        graph_width = min(graph_width, max(6, width * 3 // 8 - number_width - 6))
        if name_width > width - number_width - 6 - graph_width:
            name_width = width - number_width - 6 - graph_width
        else:
            graph_width = width - number_width - 6 - name_width
    lines = []
    for diff, name, (old, new) in zip(diffs, names, sizes, strict=True):
        start = f" {_fitted(name, name_width)} | "
        if diff.binary:
            lines.append(f"{start}{'Bin':>{number_width}}" + (f" {old} -> {new} bytes" if old != new or diff.body else ""))
        else:
            plus, minus = _graph(diff.added, diff.removed, graph_width, most)
            total = diff.added + diff.removed
            lines.append(f"{start}{total:>{number_width}}{' ' if total else ''}{'+' * plus}{'-' * minus}")
    added, removed = sum(diff.added for diff in diffs), sum(diff.removed for diff in diffs)
    summary = [f" {len(diffs)} file{'s' * (len(diffs) != 1)} changed"]
    if added or not removed:
        summary.append(f"{added} insertion{'s' * (added != 1)}(+)")
    if removed or not added:
        summary.append(f"{removed} deletion{'s' * (removed != 1)}(-)")
    return os.fsencode("\n".join([*lines, ", ".join(summary), ""]))


def _graph(added: int, removed: int, width: int, most: int) -> tuple[int, int]:
    """Plus and minus signs of a file."""
    if width > most:
        return added, removed

    def scale(count: int) -> int:
        return 1 + count * (width - 1) // most if count else 0

    total = scale(added + removed)
    if total < 2 and added and removed:
        total = 2
    if added < removed:
        return scale(added), total - scale(added)
    return total - scale(removed), scale(removed)


def _shown_name(diff: FileDiff) -> str:
    """A file's name; of a moved one old and new, what they share written once."""
    old, new = diff.old_path, diff.path
    if old == new:
        return os.fsdecode(quote(new))
    if quote(old) != old or quote(new) != new:
        return os.fsdecode(quote(old) + b" => " + quote(new))
    head = os.path.commonprefix([old, new]).rfind(b"/") + 1
    tail, shared = 0, head - (head > 0)
    for size in range(1, min(len(old), len(new)) - shared + 1):
        if old[-size] != new[-size]:
            break
        if old[-size] == 0x2F:
            tail = size
    middle = b"%s => %s" % (old[head:max(head, len(old) - tail)], new[head:max(head, len(new) - tail)])
    if head or tail:
        middle = b"%s{%s}%s" % (old[:head], middle, old[len(old) - tail:])
    return os.fsdecode(middle)


def _width(text: str) -> int:
    """Columns on a terminal."""
    return len(text) if text.isascii() else sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _fitted(name: str, width: int) -> str:
    """`name` in `width` columns: filled up, or cut at its front."""
    if _width(name) > width:
        width = max(0, width - 3)
        while _width(name) > width:
            name = name[1:]
        slash = name.find("/")
        name = "..." + (name[slash:] if slash >= 0 else name)
        width += 3
    return name + " " * (width - _width(name))


# ---- --json ----------------------------------------------------------------------------------------------------------------


def as_json(diff: FileDiff) -> dict[str, Any]:
    """One entry of --json's "files"."""
    hunks = []
    for hunk in diff.hunks:
        hunks.append({"old_start_line": hunk.old_first + bool(hunk.old_count), "old_lines": hunk.old_count,
                      "new_start_line": hunk.new_first + bool(hunk.new_count), "new_lines": hunk.new_count})
    sides = {}
    for side, version in (("old", diff.old), ("new", diff.new)):
        sides[side + "_blob"] = blob_hash(version.data) if version else None
        sides[side + "_mode"] = version.mode.decode() if version else None
    if diff.moved:
        status = {"rename": "renamed", "copy": "copied"}[diff.moved]
    else:
        status = "created" if diff.old is None else "deleted" if diff.new is None else "changed"
    return {"path": os.fsdecode(diff.path), "old_path": os.fsdecode(diff.old_path), "status": status,
            "similarity": diff.similarity if diff.moved else None, "binary": diff.binary, **sides, "added_lines": diff.added,
            "removed_lines": diff.removed, "hunks": hunks}


# ---- Colours ---------------------------------------------------------------------------------------------------------------

BOLD, CYAN, GREEN, RED = b"1", b"36", b"32", b"31"
_WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+|[ \t]+|[^A-Za-z0-9_\x80-\xff]")
MIN_SHARED = 0.3  # share of the words of a replaced line's both versions that stay, below which marking words says nothing
MAX_MARKED_BYTES = 1 << 16  # of one change; marks in more are no help


def colored(diff: FileDiff) -> bytes:
    """A file's diff in git's colours; in replaced lines the changed words are shown in reverse."""
    out = [_painted(BOLD, line) for line in unified.header(diff).splitlines(keepends=True)]
    if diff.binary:
        return b"".join(out) + diff.body
    removed: list[bytes] = []
    added: list[bytes] = []
    for line in [*unified.split_lines(diff.body), b""]:
        mark = line[:1]
        if mark == b"-" and not added:
            removed.append(line)
        elif mark == b"+":
            added.append(line)
        elif mark == b"\\" and (removed or added):
            (added or removed).append(line)
        else:
            out += _changed(removed, added)
            removed, added = ([line], []) if mark == b"-" else ([], [])
            if mark == b"@":
                end = line.index(b"@@", 2) + 2
                out.append(_painted(CYAN, line[:end]) + line[end:])
            elif mark != b"-":
                out.append(line)
    return b"".join(out)


def _painted(color: bytes, line: bytes) -> bytes:
    """A line in a colour that ends before its newline."""
    text = line.removesuffix(b"\n")
    return b"\x1b[%sm%s\x1b[m%s" % (color, text, line[len(text):]) if text else line


def _changed(removed: list[bytes], added: list[bytes]) -> Iterator[bytes]:
    """The lines of one change."""
    marks = _changed_words(removed, added) if removed and added else None
    for side, (lines, color) in enumerate(((removed, RED), (added, GREEN))):
        at = 0
        for line in lines:
            if marks is None or line.startswith(b"\\"):
                yield _painted(color, line)
                continue
            pieces = []
            for word, is_changed in _runs(marks[side], at, len(line) - 1):
                pieces.append(b"\x1b[7m%s\x1b[27m" % word if is_changed and word.strip() else word)
            at += len(line) - 1
            yield _painted(color, line[:1] + b"".join(pieces))


def _changed_words(removed: list[bytes], added: list[bytes]) -> list[tuple[bytes, list[tuple[int, int]]]] | None:
    """Of each side its text without marks and the ranges that changed; None when too little stays the same."""
    texts = [b"".join(line[1:] for line in lines if not line.startswith(b"\\")) for lines in (removed, added)]
    if sum(map(len, texts)) > MAX_MARKED_BYTES:
        return None
    from cromwell.binding import diff_lines

    words = [_WORD.findall(text) for text in texts]
    # One word a line: a newline among the words becomes a byte that no word has.
    changes = diff_lines(*(b"".join(word.replace(b"\n", b"\r\r") + b"\n" for word in side) for side in words), "minimal")
    marks = []
    for side, (text, parts) in enumerate(zip(texts, words, strict=True)):
        starts = [0]
        for part in parts:
            starts.append(starts[-1] + len(part))
        ranges = [(starts[change[2 * side]], starts[change[2 * side] + change[2 * side + 1]]) for change in changes]
        if sum(len(text[first:end].strip()) for first, end in ranges) > (1 - MIN_SHARED) * len(text.strip()):
            return None
        marks.append((text, ranges))
    return marks


def _runs(marks: tuple[bytes, list[tuple[int, int]]], first: int, size: int) -> Iterator[tuple[bytes, bool]]:
    """text[first:first + size] in pieces, with whether each changed; a newline is never part of a changed one."""
    text, ranges = marks
    at, end = first, first + size
    for begin, stop in ranges:
        begin, stop = max(begin, at), min(stop, end)
        if begin >= stop:
            continue
        yield text[at:begin], False
        body = text[begin:stop].removesuffix(b"\n")
        yield body, True
        at = begin + len(body)
    yield text[at:end], False
