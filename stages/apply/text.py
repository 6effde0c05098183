"""A file's bytes as lines, and where given lines stand among them.

A few searches go through the bytes; for more of them an index of the file's lines is made, so that many hunks cost one pass. A line that
occurs very often says little; then the bytes are searched after all, and how much of that is done for one file is bounded.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

from cromwell.apply.errors import Refused

MAX_FOUND = 64  # places of one hunk that are looked for
MAX_CANDIDATES = 256  # of a hunk's rarest line; beyond, searching the bytes is cheaper
SEARCHES_BEFORE_INDEX = 12  # about what making the index costs
MAX_SEARCHED_BYTES = 1 << 30  # for one file; some seconds

_BLANKS = re.compile(rb"[ \t\r\f\v]+")


class Text:
    """A file's bytes with its line starts."""

    def __init__(self, data: bytes):
        self.data = data
        # starts[count] is the end, starts[:count] the lines
        self.starts = [0, *accumulate([len(line) + 1 for line in data.split(b"\n")])]
        if not data or data.endswith(b"\n"):
            self.starts.pop()
        else:
            self.starts[-1] = len(data)
        self.searched_bytes = 0

    @property
    def count(self) -> int:
        """Lines."""
        return len(self.starts) - 1

    def line(self, number: int) -> bytes:
        """Line `number` from 0."""
        return self.data[self.starts[number]:self.starts[number + 1]]

    def lines(self, first: int, end: int) -> list[bytes]:
        """Lines `first` to before `end`."""
        return [self.line(number) for number in range(first, end)]

    @cached_property
    def index(self) -> dict[bytes, list[int]]:
        """The numbers of each line, ascending."""
        found: dict[bytes, list[int]] = {}
        for number in range(self.count):
            found.setdefault(self.line(number), []).append(number)
        return found

    @cached_property
    def squeezed(self) -> Text:
        """The text with white space made uniform, line for line."""
        return Text(b"".join(squeeze(line) for line in self.lines(0, self.count)))

    def stands_at(self, joined: bytes, line: int) -> bool:
        """Whether whole lines `joined` stand at line `line`."""
        if not 0 <= line <= self.count:
            return False
        start = self.starts[line]
        return self.data.startswith(joined, start) and (joined[-1:] in (b"", b"\n") or start + len(joined) == len(self.data))

    def places(self, lines: Sequence[bytes]) -> list[int]:
        """The lines, ascending, at which `lines` (at least one) stand: the first MAX_FOUND. Refused when that takes too long."""
        joined = b"".join(lines)
        if not lines[-1].endswith(b"\n"):  # only the last line of a file can be so
            last = self.count - len(lines)
            return [last] if self.stands_at(joined, last) else []
        if "index" not in self.__dict__ and self.searched_bytes <= SEARCHES_BEFORE_INDEX * len(self.data):
            return self._search(joined)
        rarest, candidates = 0, None
        for index, line in enumerate(lines):
            numbers = self.index.get(line, [])
            if candidates is None or len(numbers) < len(candidates):
                rarest, candidates = index, numbers
                if not numbers:
                    return []
        assert candidates is not None
        if len(candidates) <= MAX_CANDIDATES:
            return [number - rarest for number in candidates if self.stands_at(joined, number - rarest)][:MAX_FOUND]
        return self._search(joined)

    def _search(self, joined: bytes) -> list[int]:
        found, needle = [0] if self.stands_at(joined, 0) else [], b"\n" + joined
        at = before = -1
        while len(found) < MAX_FOUND:
            at = self.data.find(needle, at + 1)
            self.searched_bytes += (len(self.data) if at < 0 else at) - before
            if self.searched_bytes > MAX_SEARCHED_BYTES:
                raise Refused("too many of the patch's lines occur over and over in the file", "make the patch anew for this version")
            if at < 0:
                break
            found.append(bisect_left(self.starts, at + 1))
            before = at
        return found


def squeeze(line: bytes) -> bytes:
    """`line` as it is compared where white space does not count: blanks within as one space, none at the end; its \\n stays."""
    end = b"\n" if line.endswith(b"\n") else b""
    return _BLANKS.sub(b" ", line.rstrip(b" \t\r\n\f\v")) + end
