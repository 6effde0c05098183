"""Where hunks go: at the stated line, else at the one other place where their old lines stand.

Positions are of the unpatched file, so hunks do not depend on one another. A hunk that stands nowhere, or at several places, is
refused with the nearest region; nothing is guessed. Once one hunk of a file is not at its stated line the file is known to have
changed, and from then on a hunk must stand at one place only, even when the stated line is among several.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from cromwell.apply.parse import Hunk

MAX_SHOWN = 60  # characters of a line in a hint
MAX_REPEATS = 64  # places considered of a line that occurs often, when looking for the nearest region


class Place(NamedTuple):
    """Where a hunk goes: line from 0 of the unpatched file, and lines away from the stated one."""

    line: int
    offset: int


class NoMatch(Exception):
    """Hunk number `number` (from 1) has no place: `what` says why, `hint` where it nearly fits."""

    def __init__(self, number: int, what: str, hint: str):
        super().__init__(what)
        self.number, self.what, self.hint = number, what, hint


class Text:
    """A file's bytes with its line starts."""

    def __init__(self, data: bytes):
        self.data = data
        self.starts = [0, *(match.end() for match in re.finditer(b"\n", data))]
        if self.starts[-1] != len(data):
            self.starts.append(len(data))  # starts[count] is the end, starts[:count] the lines

    @property
    def count(self) -> int:
        """Lines."""
        return len(self.starts) - 1

    def line(self, number: int) -> bytes:
        """Line `number` from 0."""
        return self.data[self.starts[number]:self.starts[number + 1]]

    def stands_at(self, joined: bytes, line: int) -> bool:
        """Whether whole lines `joined` stand at line `line`."""
        if not 0 <= line <= self.count:
            return False
        start = self.starts[line]
        return self.data.startswith(joined, start) and (joined[-1:] in (b"", b"\n") or start + len(joined) == len(self.data))

    def places(self, joined: bytes, limit: int) -> list[int]:
        """Up to `limit` lines at which whole lines `joined` (not empty) stand."""
        found = [0] if self.stands_at(joined, 0) else []
        at = self.data.find(b"\n" + joined)
        while at >= 0 and len(found) < limit:
            line = bisect_left(self.starts, at + 1)
            if self.stands_at(joined, line):
                found.append(line)
            at = self.data.find(b"\n" + joined, at + 1)
        return found


def stated_line(hunk: Hunk) -> int:
    """The line from 0 that a hunk claims; one without old lines goes after the line it names."""
    return hunk.old_start - 1 if hunk.old else hunk.old_start


def place(text: Text, hunks: Sequence[Hunk], base_known: bool, drifted: bool) -> list[Place]:
    """A place for every hunk, in order and without overlap. NoMatch when there is none.

    `base_known`: the file is the version that the patch was made from, so only stated places count.
    `drifted`: it is known not to be, so every hunk must stand at one place only."""
    with_context = any(hunk.leading or hunk.trailing for hunk in hunks)
    if not drifted:
        misfit = next((number for number, hunk in enumerate(hunks, 1) if not _fits(text, hunk, base_known, with_context)), None)
        if misfit is None:
            return [Place(stated_line(hunk), 0) for hunk in hunks]
        if base_known:
            raise NoMatch(misfit, "does not fit the very version it names", "the patch is damaged; make it again")
    places: list[Place] = []
    end = 0
    for number, hunk in enumerate(hunks, 1):
        line = _only_place(text, number, hunk, with_context)
        if line < end:
            raise NoMatch(number, f"would stand at line {line + 1}, within or before the hunk before it", nearest(text, hunk))
        places.append(Place(line, line - stated_line(hunk)))
        end = line + len(hunk.old)
    return places


def _fits(text: Text, hunk: Hunk, base_known: bool, with_context: bool) -> bool:
    """Whether the hunk may go to its stated line."""
    joined, line = b"".join(hunk.old), stated_line(hunk)
    if not text.stands_at(joined, line):
        return False
    if base_known:
        return True
    if not joined:
        return text.count == 0  # nothing of the file confirms the place
    return _at_borders(text, hunk, line, with_context)


def _at_borders(text: Text, hunk: Hunk, line: int, with_context: bool) -> bool:
    """Whether `line` agrees with what missing context says: none before, at the start of the file; none after, at its end."""
    if not with_context:
        return True
    if not hunk.leading and hunk.old_start <= 1 and line != 0:
        return False
    return bool(hunk.trailing) or line + len(hunk.old) == text.count


def _only_place(text: Text, number: int, hunk: Hunk, with_context: bool) -> int:
    joined = b"".join(hunk.old)
    if not joined:
        raise NoMatch(number, "adds lines without any context, so its place cannot be confirmed", "make the diff with context lines (-U3)")
    found = text.places(joined, 64)
    fitting = [line for line in found if _at_borders(text, hunk, line, with_context)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        shown = ", ".join(str(line + 1) for line in fitting[:4]) + (", …" if len(fitting) > 4 else "")
        raise NoMatch(number, f"fits at lines {shown}", "make the diff with more context lines (-U)")
    if found:
        border = "end" if not hunk.trailing else "start"
        what = f"stands at line {found[0] + 1}, but was made for the {border} of the file"
        raise NoMatch(number, what, "make the patch anew for this version")
    raise NoMatch(number, "does not match", nearest(text, hunk))


def apply(text: Text, hunks: Sequence[Hunk], places: Sequence[Place]) -> bytes:
    """The patched bytes."""
    pieces, at = [], 0
    for hunk, (line, _offset) in zip(hunks, places, strict=True):
        pieces.append(text.data[at:text.starts[line]])
        pieces += hunk.new
        at = text.starts[line + len(hunk.old)]
    return b"".join([*pieces, text.data[at:]])


def nearest(text: Text, hunk: Hunk) -> str:
    """A sentence about the region that most of the hunk's old lines agree with, and the first line in it that does not."""
    wanted: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, line in enumerate(hunk.old):
        wanted[line].append(index)
    votes: Counter[int] = Counter()
    for number in range(text.count):
        for index in wanted.get(text.line(number), ())[:MAX_REPEATS]:
            votes[number - index] += 1
    if not votes:
        return "none of its lines stands in the file; is this the right file?"
    stated = stated_line(hunk)
    shift, agreeing = max(votes.items(), key=lambda item: (item[1], -abs(item[0] - stated)))
    last = min(text.count, shift + len(hunk.old))
    region = f"nearest are lines {max(0, shift) + 1}-{last}, {agreeing} of {len(hunk.old)} agree"
    for index, line in enumerate(hunk.old):
        number = shift + index
        there = text.line(number) if 0 <= number < text.count else None
        if there != line:
            found = "beyond the file" if there is None else f"{_shown(there)}"
            return f"{region}; line {number + 1} is {found}, the patch has {_shown(line)}"
    return region


def _shown(line: bytes) -> str:
    text = repr(line.decode("utf-8", "backslashreplace"))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…'"
