"""Where hunks go: down a ladder from the stated line to looser and looser agreement, as far as the user allows.

    exact       its old lines stand at the stated line
    moved       they stand at one other place
    whitespace  they do but for white space (only if asked for)
    context     they do without their outermost context lines (only if asked for, and as many as asked for)

Positions are of the unpatched file, so hunks do not depend on one another. A hunk that stands nowhere, or at several places of its level,
is refused with the nearest region; nothing is guessed. Once one hunk of a file is not at its stated line the file is known to have
changed, and from then on a hunk must stand at one place only, even when the stated line is among several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cromwell.apply.errors import Refused
from cromwell.apply.nearest import nearest
from cromwell.apply.parse import Hunk
from cromwell.apply.text import Text, squeeze

EXACT, MOVED, WHITESPACE, CONTEXT = "exact", "moved", "whitespace", "context"


class Ladder(NamedTuple):
    """How far down to go: whether white space may differ, and how many outer context lines may be left out at either end."""

    whitespace: bool = False
    fuzz: int = 0


STRICT = Ladder()


class Place(NamedTuple):
    """Where a hunk goes: line from 0 of the unpatched file, and lines away from the stated one.

    `hunk` is what is to be put there, without the `fuzz` outer lines that did not count; `whitespace`: its lines there differ in that."""

    hunk: Hunk
    line: int
    offset: int
    whitespace: bool = False
    fuzz: int = 0

    @property
    def level(self) -> str:
        """The rung of the ladder."""
        return CONTEXT if self.fuzz else WHITESPACE if self.whitespace else MOVED if self.offset else EXACT


class NoMatch(Exception):
    """Hunk number `number` (from 1) has no place: `what` says why, `hint` where it nearly fits. `ambiguous`: it has several."""

    def __init__(self, number: int, hunk: Hunk, what: str, hint: str, ambiguous: bool = False):
        super().__init__(what)
        self.number, self.hunk, self.what, self.hint, self.ambiguous = number, hunk, what, hint, ambiguous


def stated_line(hunk: Hunk) -> int:
    """The line from 0 that a hunk claims; one without old lines goes after the line it names."""
    return hunk.old_start - 1 if hunk.old_count else hunk.old_start


def place(text: Text, hunks: Sequence[Hunk], base_known: bool, drifted: bool, ladder: Ladder = STRICT) -> list[Place]:
    """A place for every hunk, in order and without overlap. NoMatch when there is none.

    `base_known`: the file is the version that the patch was made from, so only stated places count.
    `drifted`: it is known not to be, so every hunk must stand at one place only."""
    return list(attempts(text, hunks, base_known, drifted, ladder))


def attempts(text: Text, hunks: Sequence[Hunk], base_known: bool, drifted: bool, ladder: Ladder,
             failed: list[NoMatch] | None = None) -> Iterator[Place]:
    """The places of `place`, one by one. With a list `failed`, hunks without a place are put there instead of being raised."""
    with_context = any(b" " in hunk.marks for hunk in hunks)
    if not drifted:
        misfit = next((number for number, hunk in enumerate(hunks, 1) if not _fits(text, hunk, base_known, with_context)), None)
        if misfit is None:
            yield from (Place(hunk, stated_line(hunk), 0) for hunk in hunks)
            return
        if base_known:
            raise NoMatch(misfit, hunks[misfit - 1], "does not fit the very version it names", "the patch is damaged; make it again")
    end = 0
    for number, hunk in enumerate(hunks, 1):
        try:
            found = _only_place(text, number, hunk, with_context, ladder)
            if found.line < end:
                what = f"would stand at line {found.line + 1}, within or before the hunk before it"
                raise NoMatch(number, hunk, what, "make the patch anew for this version")
        except NoMatch as error:
            if failed is None:
                raise
            failed.append(error)
            continue
        yield found
        end = found.line + len(found.hunk.old)


def _fits(text: Text, hunk: Hunk, base_known: bool, with_context: bool) -> bool:
    """Whether the hunk may go to its stated line."""
    joined, line = b"".join(hunk.old), stated_line(hunk)
    if not text.stands_at(joined, line):
        return False
    if base_known:
        return True
    if not joined:
        return text.count == 0  # nothing of the file confirms the place
    return not with_context or _at_borders(text, hunk, line, *_borders(hunk))


def _borders(hunk: Hunk) -> tuple[bool, bool]:
    """Whether missing context says that the hunk is at the start of the file, and at its end."""
    return not hunk.leading and hunk.old_start <= 1, not hunk.trailing


def _at_borders(text: Text, hunk: Hunk, line: int, at_start: bool, at_end: bool) -> bool:
    return not (at_start and line != 0 or at_end and line + len(hunk.old) != text.count)


def _rungs(hunk: Hunk, ladder: Ladder) -> Iterator[tuple[Hunk, bool, int]]:
    """(the hunk shortened, whether white space does not count, how many lines it was shortened by), strictest first.

    As with GNU patch's fuzz, lines are first taken from the longer context, so that both ends come to have the same."""
    longest = max(hunk.leading, hunk.trailing)
    for fuzz in range(min(ladder.fuzz, longest) + 1):
        kept = longest - fuzz
        shorter = hunk if not fuzz else hunk.shortened(max(0, hunk.leading - kept), max(0, hunk.trailing - kept))
        if shorter.old:  # lines to add need something that they follow
            yield from ((shorter, whitespace, fuzz) for whitespace in (False, True)[:1 + ladder.whitespace])


def _only_place(text: Text, number: int, hunk: Hunk, with_context: bool, ladder: Ladder) -> Place:
    if not hunk.old:
        hint = "make the diff with context lines (-U3)"
        raise NoMatch(number, hunk, "adds lines without any context, so its place cannot be confirmed", hint)
    at_start, at_end = _borders(hunk) if with_context else (False, False)
    astray = None
    for shorter, whitespace, fuzz in _rungs(hunk, ladder):
        try:
            found = text.squeezed.places([squeeze(line) for line in shorter.old]) if whitespace else text.places(shorter.old)
        except Refused as error:
            raise NoMatch(number, hunk, f"cannot be placed: {error.where_and_what}", error.hint) from None
        free = fuzz > 0 and fuzz == max(hunk.leading, hunk.trailing)  # then a border's missing context says nothing any more
        fitting = [line for line in found if free or _at_borders(text, shorter, line, at_start, at_end)]
        if len(fitting) == 1:
            return Place(shorter, fitting[0], fitting[0] - stated_line(shorter), whitespace, fuzz)
        if fitting:
            shown = ", ".join(str(line + 1) for line in fitting[:4]) + (", …" if len(fitting) > 4 else "")
            raise NoMatch(number, hunk, f"fits at lines {shown}", "make the diff with more context lines (-U)", ambiguous=True)
        astray = found[0] if found and astray is None else astray
    if astray is not None:
        what = f"stands at line {astray + 1}, but was made for the {'end' if at_end else 'start'} of the file"
        raise NoMatch(number, hunk, what, "make the patch anew for this version")
    raise NoMatch(number, hunk, "does not match", nearest(text, hunk, stated_line(hunk)))


def is_applied(text: Text, hunks: Sequence[Hunk]) -> bool:
    """Whether the file has what every hunk would make: all new lines stand where they would be, or each at one place, in order."""
    if not all(hunk.old for hunk in hunks):  # lines added without anything around them may stand there for another reason
        return len(hunks) == 1 and b"".join(hunks[0].new) == text.data
    if all(hunk.new and text.stands_at(b"".join(hunk.new), hunk.new_start - 1) for hunk in hunks):
        return True
    if not all(b"+" in hunk.marks and b" " in hunk.marks for hunk in hunks):
        return False  # lines that are not there anywhere else prove nothing about lines taken away
    try:
        place(text, [hunk.reversed() for hunk in hunks], False, True)
    except NoMatch:
        return False
    return True


def apply(text: Text, places: Sequence[Place]) -> bytes:
    """The patched bytes."""
    pieces, at = [], 0
    for found in places:
        pieces.append(text.data[at:text.starts[found.line]])
        pieces += _kept_lines(text, found) if found.whitespace else found.hunk.new
        at = text.starts[found.line + len(found.hunk.old)]
    return b"".join([*pieces, text.data[at:]])


def _kept_lines(text: Text, found: Place) -> list[bytes]:
    """The new lines of a hunk whose white space is not the file's: context as the file has it, and added lines with its line ends
    when those are others than the patch's throughout."""
    hunk, there = found.hunk, text.lines(found.line, found.line + len(found.hunk.old))
    adapt = _line_ends(hunk.old, there)
    lines, old, new = [], 0, 0
    for mark in hunk.marks:
        if mark == 0x20:
            lines.append(there[old])
        elif mark == 0x2B:
            lines.append(_with_end(hunk.new[new], adapt))
        old, new = old + (mark != 0x2B), new + (mark != 0x2D)
    return lines


def _line_ends(patch: Sequence[bytes], there: Sequence[bytes]) -> bytes:
    """The line end that all full lines `there` have and none of `patch`'s; b"" when there is no such."""
    mine, theirs = ({line.endswith(b"\r\n") for line in lines if line.endswith(b"\n")} for lines in (patch, there))
    return b"" if len(mine) != 1 or len(theirs) != 1 or mine == theirs else b"\r\n" if theirs == {True} else b"\n"


def _with_end(line: bytes, end: bytes) -> bytes:
    return line if not end or not line.endswith(b"\n") else line[:-1].removesuffix(b"\r") + end
