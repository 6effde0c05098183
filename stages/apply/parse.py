"""A unified diff as what each file's part claims; reading it strictly, as bytes, is the library's (libcromwell/src/edit/patch.c).

Diffs come from git, GNU diff, Mercurial, Subversion, with mail around them or CRLF throughout. Text before, between and after the parts
is skipped as long as it cannot be a part of the patch that would be lost: a hunk whose counts do not match its lines, a hunk without a
file, a context diff are errors, never skipped. Nothing here touches a file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from cromwell.apply.errors import PatchError, Refused
from cromwell.apply.native import library

if TYPE_CHECKING:
    from cromwell.apply.binary_patch import Block

MAX_PATCH_BYTES = 256 << 20
MAIL_HEAD_BYTES = 16 << 10  # looked at for how the mail is encoded
DEV_NULL = b"/dev/null"

_OPPOSITE = bytes.maketrans(b"-+", b"+-")
_FILE, _HUNK = struct.Struct("=22I"), struct.Struct("=12I")  # cw_patch_file, cw_patch_hunk
_GIT, _CRLF, _RENAME, _COPY, _BINARY = 1, 2, 4, 8, 16  # CW_PATCH_*
_ABSENT = 0xFFFFFFFF  # CW_PATCH_ABSENT
_REVERSED, _VERSION, _WITHOUT_CR = 1, 2, 4  # CW_FIT_*

Lines = tuple["list[bytes]", "list[bytes]", bytes]
"""Old lines, new lines, marks."""


class Hunk:
    """Old lines to be replaced by new ones, both with their \\n (the last may lack it), context included.

    Starts are line numbers from 1 as stated; `marks` has a byte of " -+" for every line, in the patch's order; `leading` and `trailing`
    count the context lines at either end. The lines are made when they are first asked for: a hunk that stands at its stated line has
    no need of them (FilePatch.fitted)."""

    __slots__ = ("old_start", "old_count", "new_start", "new_count", "leading", "trailing", "patch_line", "_make", "_lines")

    def __init__(self, old_start: int, old_count: int, new_start: int, new_count: int, leading: int, trailing: int, patch_line: int,
                 make: Callable[[], Lines] | None, lines: Lines | None = None):
        self.old_start, self.old_count, self.new_start, self.new_count = old_start, old_count, new_start, new_count
        self.leading, self.trailing, self.patch_line, self._make, self._lines = leading, trailing, patch_line, make, lines

    @classmethod
    def of(cls, old_start: int, new_start: int, lines: Lines, patch_line: int) -> Hunk:
        """The hunk that holds these lines."""
        old, new, marks = lines
        leading, trailing = len(marks) - len(marks.lstrip(b" ")), len(marks) - len(marks.rstrip(b" "))
        return cls(old_start, len(old), new_start, len(new), leading, trailing, patch_line, None, lines)

    @property
    def lines(self) -> Lines:
        """The lines of both sides, and the marks."""
        if self._lines is None:
            assert self._make is not None
            self._lines = self._make()
        return self._lines

    @property
    def old(self) -> list[bytes]:
        """The old lines."""
        return self.lines[0]

    @property
    def new(self) -> list[bytes]:
        """The new lines."""
        return self.lines[1]

    @property
    def marks(self) -> bytes:
        """What every line is."""
        return self.lines[2]

    def reversed(self) -> Hunk:
        """The hunk that undoes this one."""
        def lines() -> Lines:
            old, new, marks = self.lines
            return new, old, marks.translate(_OPPOSITE)

        return Hunk(self.new_start, self.new_count, self.old_start, self.old_count, self.leading, self.trailing, self.patch_line, lines)

    def shortened(self, before: int, after: int) -> Hunk:
        """The hunk without its first `before` and last `after` lines, which must be context."""
        old, new = self.old[before:len(self.old) - after], self.new[before:len(self.new) - after]
        old_start = self.old_start + before - (not old)  # one without lines goes after the line it names
        new_start = self.new_start + before - (not new)
        return Hunk.of(old_start, new_start, (old, new, self.marks[before:len(self.marks) - after]), self.patch_line)

    def with_lines(self, change: Callable[[bytes], bytes]) -> Hunk:
        """The hunk with `change` made to every line."""
        old, new, marks = self.lines
        lines = [change(line) for line in old], [change(line) for line in new], marks
        return Hunk.of(self.old_start, self.new_start, lines, self.patch_line)


class FilePatch(NamedTuple):
    """One file's part of a patch. Names are as written, prefixes included.

    `old_name` or `new_name` DEV_NULL says that the file is absent on that side; `header_names` are those of a `diff --git` line, or of
    --- and +++ lines whatever their dates say.
    Modes and blobs are as written or None. `moved` is "rename" or "copy" when names come from such lines (then without prefixes),
    else "". `crlf`: header lines end in CRLF. `binary` is None for a text, else git's blocks for both directions, None where not given."""

    patch_line: int
    git: bool
    header_names: tuple[bytes, bytes] | None
    old_name: bytes
    new_name: bytes
    old_mode: bytes | None
    new_mode: bytes | None
    old_blob: str | None
    new_blob: str | None
    moved: str
    crlf: bool
    hunks: list[Hunk]
    binary: tuple[Block | None, Block | None] | None
    patch: Patch
    number: int  # of the part in it
    is_reversed: bool = False

    def reversed(self) -> FilePatch:
        """The patch that undoes this one. Refused for a copy, which has no opposite in a patch, and a binary patch of one direction."""
        if self.moved == "copy":
            raise Refused(f"patch line {self.patch_line}: a copy cannot be reversed", "delete the copy by hand")
        if self.binary and self.binary[0] and not self.binary[1]:
            raise Refused(f"patch line {self.patch_line}: a binary patch without its reverse", "make it with git diff --binary")
        header = self.header_names and self.header_names[::-1]
        return self._replace(header_names=header, old_name=self.new_name, new_name=self.old_name, old_mode=self.new_mode,
                             new_mode=self.old_mode, old_blob=self.new_blob, new_blob=self.old_blob,
                             hunks=[hunk.reversed() for hunk in self.hunks], binary=self.binary and self.binary[::-1],
                             is_reversed=not self.is_reversed)

    def fitted(self, data: bytes, base_known: bool, without_cr: bool = False) -> bytes | None:
        """What the hunks make of `data` when all stand at their stated lines (match.py says when they do), else None.

        `base_known`: it is the version that the patch was made from. `without_cr`: the patch's lines are taken without CR at their ends."""
        how = _REVERSED * self.is_reversed | _VERSION * base_known | _WITHOUT_CR * without_cr
        return self.patch.fitted(self.number, how, data)


class Patch:
    """A patch that the library has read; it goes when nothing refers to it any more."""

    def __init__(self, text: bytes, source: str):
        ffi, lib = library()
        self.text, self._buffer = text, ffi.from_buffer("uint8_t[]", text)
        handle, fault = ffi.new("cw_patch **"), ffi.new("cw_patch_fault *")
        status = lib.cw_patch_open(self._buffer, len(text), handle, fault)
        if status == lib.CW_E_FORMAT:
            from cromwell.apply.parse_faults import fault_error

            raise fault_error(lib, source, fault.kind, fault.line, fault.number)
        if status != lib.CW_OK:
            raise MemoryError
        self._handle = ffi.gc(handle[0], lib.cw_patch_close)
        self._out = ffi.new("int32_t *"), ffi.new("uint8_t **"), ffi.new("size_t *")

    def files(self) -> list[FilePatch]:
        """Its parts, in order."""
        ffi, lib = library()
        tables = [ffi.new(kind) for kind in ("cw_patch_file **", "cw_patch_hunk **", "uint8_t **")]
        counts = [count(self._handle, table) for count, table
                  in zip((lib.cw_patch_files, lib.cw_patch_hunks, lib.cw_patch_strings), tables, strict=True)]
        files, hunks, strings = (ffi.buffer(table[0], count * size)[:] if count else b"" for table, count, size
                                 in zip(tables, counts, (_FILE.size, _HUNK.size, 1), strict=True))
        made = [self._hunk(*fields) for fields in _HUNK.iter_unpack(hunks)]
        return [self._file(number, strings, made, *fields) for number, fields in enumerate(_FILE.iter_unpack(files))]

    def _file(self, number: int, strings: bytes, hunks: list[Hunk], line: int, flags: int, first_hunk: int, hunk_count: int,
              first_block: int, block_count: int, *places: int) -> FilePatch:
        def string(index: int) -> bytes | None:
            at, size = places[index], places[index + 1]
            return None if size == _ABSENT else strings[at:at + size]

        old_header, new_header, old_blob, new_blob = string(4), string(6), string(12), string(14)
        header = None if old_header is None or new_header is None else (old_header, new_header)
        old_name, new_name = string(0), string(2)
        assert old_name is not None and new_name is not None
        binary = self._blocks(strings, first_block, block_count) if flags & _BINARY else None
        moved = "rename" if flags & _RENAME else "copy" if flags & _COPY else ""
        return FilePatch(line, bool(flags & _GIT), header, old_name, new_name, string(8), string(10),
                         old_blob.decode() if old_blob else None, new_blob.decode() if new_blob else None, moved, bool(flags & _CRLF),
                         hunks[first_hunk:first_hunk + hunk_count], binary, self, number)

    def _blocks(self, strings: bytes, first: int, count: int) -> tuple[Block | None, Block | None]:
        from cromwell.apply.binary_patch import Block

        ffi, lib = library()
        table = ffi.new("cw_patch_block **")
        lib.cw_patch_blocks(self._handle, table)
        blocks: list[Block | None] = [None, None]
        for index in range(count):
            block = table[0][first + index]
            at, size = block.deflated.at, block.deflated.size
            blocks[index] = Block(bool(block.is_delta), block.size_bytes, strings[at:at + size])
        return blocks[0], blocks[1]

    def _hunk(self, line: int, old_start: int, old_count: int, new_start: int, new_count: int, _lines: int, leading: int, trailing: int,
              at: int, size: int, _old_bytes: int, _new_bytes: int) -> Hunk:
        return Hunk(old_start, old_count, new_start, new_count, leading, trailing, line, lambda: _body(self.text[at:at + size]))

    def fitted(self, number: int, how: int, data: bytes) -> bytes | None:
        """cw_patch_fit."""
        ffi, lib = library()
        fits, made, size = self._out
        if lib.cw_patch_fit(self._handle, number, how, ffi.from_buffer("uint8_t[]", data), len(data), fits, made, size) != lib.CW_OK:
            raise MemoryError
        return ffi.buffer(made[0], size[0])[:] if fits[0] else None


def _body(text: bytes) -> Lines:
    """The lines of a hunk that the library has read, by the text below its @@ line."""
    old: list[bytes] = []
    new: list[bytes] = []
    marks = bytearray()
    for line in text.split(b"\n")[:-1] if text.endswith(b"\n") else text.split(b"\n"):
        mark = line[:1]
        if mark == b"\\":  # the line before has no newline
            for side, other in ((old, 0x2B), (new, 0x2D)):
                if marks[-1] != other:
                    side[-1] = side[-1][:-1].removesuffix(b"\r") if line.endswith(b"\r") else side[-1][:-1]
            continue
        if mark not in (b" ", b"-", b"+"):  # an empty line of context without its space
            line, mark = b" " + line, b" "
        content = line[1:] + b"\n"
        if mark != b"+":
            old.append(content)
        if mark != b"-":
            new.append(content)
        marks += mark
    return old, new, bytes(marks)


def parse(text: bytes, source: str) -> list[FilePatch]:
    """The files of a patch, in order. `source` names it in errors. PatchError, also when there is none; Refused.

    What cw-diff says of equal files is a patch of no files; an empty text is not, since a command that failed leaves one, too."""
    if len(text) > MAX_PATCH_BYTES:
        raise PatchError(f"{source}: larger than {MAX_PATCH_BYTES >> 20} MiB", "split the patch")
    if text.startswith(b"# "):
        from cromwell.apply.unified import NO_DIFFERENCE

        if text == NO_DIFFERENCE:
            return []
    head = text[:MAIL_HEAD_BYTES].replace(b"\r\n", b"\n").partition(b"\n\n")[0].lower()
    if b"\ncontent-transfer-encoding: quoted-printable" in head or b"\ncontent-transfer-encoding: base64" in head:
        raise PatchError(f"{source}: a mail whose text is encoded", "decode it first: git mailinfo message patch < MAIL")
    files = Patch(text, source).files()
    if not files:
        if not text.strip():
            raise PatchError(f"{source}: empty", "the command before it in the pipe probably failed; look at its error")
        hint = "give a unified diff (git diff, diff -u, cw-diff) or an edit artifact"
        raise PatchError(f"{source}: no patch found", "it is coloured; make it with git diff --no-color" if b"\x1b[" in text else hint)
    return files
