"""What to tell about a hunk that fits nowhere: the region of the file most like it, and its first line that differs."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from cromwell.apply.parse import Hunk
from cromwell.apply.text import Text

MAX_SHOWN = 60  # characters of a line in a hint
MAX_REPEATS = 64  # places considered of a line that occurs often


def nearest(text: Text, hunk: Hunk, stated: int) -> str:
    """A sentence about the region that most of the hunk's old lines agree with; of equal ones that nearest to line `stated` (from 0)."""
    votes: Counter[int] = Counter()
    for index, line in enumerate(hunk.old):
        numbers = text.index.get(line, [])
        first = max(0, min(bisect_left(numbers, stated + index) - MAX_REPEATS // 2, len(numbers) - MAX_REPEATS))
        for number in numbers[first:first + MAX_REPEATS]:
            votes[number - index] += 1
    if not votes:
        return "none of its lines stands in the file; is this the right file?"
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
    text = repr(line[:4 * MAX_SHOWN].decode("utf-8", "backslashreplace"))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…'"
