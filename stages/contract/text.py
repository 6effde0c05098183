"""How the bytes of a source file become lines of text for the model, and which parts of them stand outside the text.

Accepted is UTF-8 with or without a byte-order mark. The model sees LF line ends only; `eol` says what the file has. A lone CR ends
a line only in a file without any LF ("cr", old Mac OS); elsewhere it is an ordinary character. Lines are found on bytes, never with
`splitlines`, which also splits at form feeds and U+2028.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cromwell.contract.errors import CommandError

BOM = b"\xef\xbb\xbf"
MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
"""Byte-order marks of other encodings; the longer ones first, since one begins another."""


class Text(NamedTuple):
    """A source file: its exact bytes, and where its lines start."""

    raw: bytes
    encoding: str
    """"utf-8", or "utf-8-sig" with a byte-order mark (which belongs to no line)."""
    eol: str
    """"lf", "crlf", "cr", or "mixed" (LF and CRLF)."""
    starts: tuple[int, ...]
    """Byte offset of every line, and of the end of the last one: line n (from 1) is raw[starts[n-1]:starts[n]]."""

    @property
    def line_count(self) -> int:
        """Number of lines; a missing newline after the last one does not matter."""
        return len(self.starts) - 1

    def span(self, first_line: int, last_line: int) -> tuple[int, int]:
        """Byte range of lines `first_line..last_line` (from 1, inclusive; last = first - 1 is the empty range before first)."""
        return self.starts[first_line - 1], self.starts[last_line]

    def lines(self, first_line: int, last_line: int) -> bytes:
        """Lines `first_line..last_line` with LF line ends."""
        start, end = self.span(first_line, last_line)
        return to_lf(self.raw[start:end], self.eol)


def to_lf(raw: bytes, eol: str) -> bytes:
    """Bytes of a file whose line ends are `eol`, with LF line ends."""
    if eol == "lf":
        return raw
    return raw.replace(b"\r", b"\n") if eol == "cr" else raw.replace(b"\r\n", b"\n")


def line_ends(raw: bytes) -> str:
    """"lf", "crlf", "cr" or "mixed"; "lf" when there is no line end at all."""
    lf_count = raw.count(b"\n")
    if lf_count == 0:
        return "cr" if b"\r" in raw else "lf"
    crlf_count = raw.count(b"\r\n")
    return "lf" if crlf_count == 0 else "crlf" if crlf_count == lf_count else "mixed"


def read_text(raw: bytes, name: str) -> Text:
    """The lines of a file called `name` in messages.

    Raises CommandError (exit 2) when it is binary or not UTF-8."""
    for mark, encoding in MARKS:
        if raw.startswith(mark):
            raise CommandError(f"{name}: unknown encoding: it starts like {encoding}, expected UTF-8",
                               f"convert it: iconv -f {encoding} -t UTF-8")
    nul = raw.find(b"\0")
    if nul >= 0:
        raise CommandError(f"{name}: a binary file: NUL byte at offset {nul}", "give text in UTF-8")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise CommandError(f"{name}: unknown encoding: byte 0x{raw[fault.start]:02x} at offset {fault.start} (line {line}) is not UTF-8",
                           "convert it if you know its encoding: iconv -f LATIN1 -t UTF-8") from None
    first = len(BOM) if raw.startswith(BOM) else 0
    eol = line_ends(raw)
    end_mark = re.compile(b"\r" if eol == "cr" else b"\n")
    starts = [first, *(match.end() for match in end_mark.finditer(raw))]
    if starts[-1] < len(raw):
        starts.append(len(raw))
    return Text(raw, "utf-8-sig" if first else "utf-8", eol, tuple(starts))
