"""Three-way merge of lines: what two versions each changed since a common base, together, or as a conflict where they touch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from cromwell.apply.text import Text

Change = tuple[int, int, int, int]
"""(base first, base count, first, count), lines from 0, as binding.diff_lines gives them."""

OURS, MIDDLE, THEIRS = b"<<<<<<< ", b"=======", b">>>>>>> "  # git's and GNU patch's


class Conflict(NamedTuple):
    """Lines, from 0, that both sides changed differently: first and end in the base and in ours."""

    base_first: int
    base_end: int
    ours_first: int
    ours_end: int


class Merged(NamedTuple):
    """The merged bytes, with markers around the conflicts if there are any, and what ours changed since the base."""

    data: bytes
    conflicts: list[Conflict]
    changes: list[Change]

    def offset(self, base_line: int) -> int:
        """How far ours has moved a line of the base."""
        before = bisect_right(self.changes, base_line, key=lambda change: change[0] + change[1])
        return _shift(self.changes, before)


def merge(base_data: bytes, ours_data: bytes, theirs_data: bytes) -> Merged:
    """Both sides' changes to the base. Changes that touch are a conflict unless they are the same, as in git and diff3."""
    from cromwell.binding import diff_lines

    base, ours, theirs = Text(base_data), Text(ours_data), Text(theirs_data)
    mine, other = diff_lines(base_data, ours_data), diff_lines(base_data, theirs_data)
    pieces: list[bytes] = []
    conflicts = []
    i = j = done = 0  # changes of either side, and lines of the base, that are dealt with
    while i < len(mine) or j < len(other):
        first = min(changes[at][0] for changes, at in ((mine, i), (other, j)) if at < len(changes))
        end, i_start, j_start = first, i, j
        while True:  # all changes that touch this one, or one that touches it
            if i < len(mine) and mine[i][0] <= end:
                end, i = max(end, mine[i][0] + mine[i][1]), i + 1
            elif j < len(other) and other[j][0] <= end:
                end, j = max(end, other[j][0] + other[j][1]), j + 1
            else:
                break
        pieces.append(base.data[base.starts[done]:base.starts[first]])
        ours_range = first + _shift(mine, i_start), end + _shift(mine, i)
        theirs_range = first + _shift(other, j_start), end + _shift(other, j)
        our_lines, their_lines = ours.lines(*ours_range), theirs.lines(*theirs_range)
        if j_start == j or our_lines == their_lines:
            pieces += our_lines
        elif i_start == i:
            pieces += their_lines
        else:
            conflicts.append(Conflict(first, end, *ours_range))
            pieces += _marked(our_lines, their_lines)
        done = end
    pieces.append(base.data[base.starts[done]:])
    return Merged(b"".join(pieces), conflicts, mine)


def _shift(changes: Sequence[Change], count: int) -> int:
    """How far the first `count` changes of a side move what follows them."""
    return changes[count - 1][2] + changes[count - 1][3] - changes[count - 1][0] - changes[count - 1][1] if count else 0


def _marked(ours: Sequence[bytes], theirs: Sequence[bytes]) -> list[bytes]:
    """Both versions between markers; lines that both have at either end stay outside."""
    shorter = min(len(ours), len(theirs))
    before = next((at for at in range(shorter) if ours[at] != theirs[at]), shorter)
    after = next((at for at in range(shorter - before) if ours[-1 - at] != theirs[-1 - at]), shorter - before)
    newline = b"\r\n" if any(line.endswith(b"\r\n") for line in (*ours, *theirs)) else b"\n"
    lines = list(ours[:before])
    for marker, side in ((OURS + b"the file", ours), (MIDDLE, theirs)):
        lines.append(marker + newline)
        lines += (line if line.endswith(b"\n") else line + newline for line in side[before:len(side) - after])
    lines.append(THEIRS + b"the patch" + newline)
    return lines + list(ours[len(ours) - after:])
