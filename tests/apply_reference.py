"""Reads unified diffs line by line: what libcromwell/src/edit/patch.c is held against (test_apply_parse.py).

The result says what each file's part claims; nothing here touches a file. Text before, between and after the parts is skipped as long
as it cannot be a part of the patch that would be lost: a hunk whose counts do not match its lines, a hunk without a file, a context
diff are errors, never skipped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import NamedTuple

from cromwell.apply import binary_patch
from cromwell.apply.errors import PatchError, Refused
from cromwell.apply.names import _ESCAPES
from cromwell.apply.unified import NO_DIFFERENCE

MAX_PATCH_BYTES = 256 << 20
MAX_FILES = 100_000

DEV_NULL = b"/dev/null"
_OPPOSITE = bytes.maketrans(b"-+", b"+-")
_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_INDEX = re.compile(rb"([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: ([0-7]{6}))?")
_MODE = re.compile(rb"[0-7]{6}")
_EPOCH = re.compile(rb"\t *(?:\(nonexistent\)|(?:1970-01-01|1969-12-31) |(?:Thu Jan 0?1|Wed Dec 31) [0-9:]{8} (?:1970|1969))")
_EXTENDED = (b"old mode ", b"new mode ", b"deleted file mode ", b"new file mode ", b"copy from ", b"copy to ", b"rename from ",
             b"rename to ", b"similarity index ", b"dissimilarity index ", b"index ")
_BINARY = re.compile(rb"Binary files .* differ\r?$|Files .* and .* differ\r?$|GIT binary patch\r?$|Cannot display: file marked as a")


class Hunk:
    """Old lines to be replaced by new ones, both with their \\n (the last may lack it), context included.

    Starts are line numbers from 1 as stated; `marks` has a byte of " -+" for every line, in the patch's order; `leading` and `trailing`
    count the context lines at either end."""

    __slots__ = ("old_start", "new_start", "old", "new", "marks", "leading", "trailing", "patch_line")

    def __init__(self, old_start: int, new_start: int, old: list[bytes], new: list[bytes], marks: bytes, patch_line: int):
        self.old_start, self.new_start, self.old, self.new, self.marks, self.patch_line = old_start, new_start, old, new, marks, patch_line
        self.leading, self.trailing = len(marks) - len(marks.lstrip(b" ")), len(marks) - len(marks.rstrip(b" "))

    def reversed(self) -> Hunk:
        """The hunk that undoes this one."""
        return Hunk(self.new_start, self.old_start, self.new, self.old, self.marks.translate(_OPPOSITE), self.patch_line)

    def shortened(self, before: int, after: int) -> Hunk:
        """The hunk without its first `before` and last `after` lines, which must be context."""
        old, new = self.old[before:len(self.old) - after], self.new[before:len(self.new) - after]
        old_start = self.old_start + before - (not old)  # one without lines goes after the line it names
        new_start = self.new_start + before - (not new)
        return Hunk(old_start, new_start, old, new, self.marks[before:len(self.marks) - after], self.patch_line)

    def with_lines(self, change: Callable[[bytes], bytes]) -> Hunk:
        """The hunk with `change` made to every line."""
        return Hunk(self.old_start, self.new_start, [change(line) for line in self.old], [change(line) for line in self.new], self.marks,
                    self.patch_line)


class FilePatch(NamedTuple):
    """One file's part of a patch. Names are as written, prefixes included.

    `old_name` or `new_name` DEV_NULL says that the file is absent on that side; `header_names` are those of a `diff --git` line.
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
    binary: tuple[binary_patch.Block | None, binary_patch.Block | None] | None = None

    def reversed(self) -> FilePatch:
        """The patch that undoes this one. Refused for a copy, which has no opposite in a patch, and a binary patch of one direction."""
        if self.moved == "copy":
            raise Refused(f"patch line {self.patch_line}: a copy cannot be reversed", "delete the copy by hand")
        if self.binary and self.binary[0] and not self.binary[1]:
            raise Refused(f"patch line {self.patch_line}: a binary patch without its reverse", "make it with git diff --binary")
        header = self.header_names and self.header_names[::-1]
        return self._replace(header_names=header, old_name=self.new_name, new_name=self.old_name, old_mode=self.new_mode,
                             new_mode=self.old_mode, old_blob=self.new_blob, new_blob=self.old_blob,
                             hunks=[hunk.reversed() for hunk in self.hunks], binary=self.binary and self.binary[::-1])


def parse(text: bytes, source: str) -> list[FilePatch]:
    """The files of a patch, in order. `source` names it in errors. PatchError, also when there is none; Refused.

    What cw-diff says of equal files is a patch of no files; an empty text is not, since a command that failed leaves one, too."""
    if len(text) > MAX_PATCH_BYTES:
        raise PatchError(f"{source}: larger than {MAX_PATCH_BYTES >> 20} MiB", "split the patch")
    if text == NO_DIFFERENCE:
        return []
    files = _Parser(text, source).files()
    if not files:
        if not text.strip():
            raise PatchError(f"{source}: empty", "the command before it in the pipe probably failed; look at its error")
        raise PatchError(f"{source}: no patch found", "give a unified diff (git diff, diff -u, cw-diff) or an edit artifact")
    return files


class _Parser:
    def __init__(self, text: bytes, source: str):
        self.lines = text.split(b"\n")
        self.unfinished = self.lines[-1] != b""  # the last line lacks its newline
        if not self.unfinished:
            self.lines.pop()
        self.source, self.at = source, 0

    def error(self, line: int, what: str, hint: str = "the patch is damaged or was edited by hand; make it again") -> PatchError:
        return PatchError(f"{self.source}: line {line + 1}: {what}", hint)

    def unsupported(self, line: int, what: str, hint: str) -> Refused:
        return Refused(f"{self.source}: line {line + 1}: {what}", hint)

    def line(self, at: int) -> bytes:
        """Line `at` without CR at its end; empty past the end."""
        return self.lines[at].removesuffix(b"\r") if at < len(self.lines) else b""

    def files(self) -> list[FilePatch]:
        found: list[FilePatch] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.startswith(b"diff --git "):
                found.append(self.git_file())
            elif self.names_ahead():
                found.append(self.plain_file())
            else:
                self.refuse_lost(line)
                self.at += 1
            if len(found) > MAX_FILES:
                raise self.error(self.at, f"more than {MAX_FILES} files", "split the patch")
        return found

    def names_ahead(self) -> bool:
        return (self.lines[self.at].startswith(b"--- ") and self.line(self.at + 1).startswith(b"+++ ")
                and self.line(self.at + 2).startswith(b"@@ "))

    def refuse_lost(self, line: bytes) -> None:
        """Raises for a line outside any part that shows that a part would be skipped."""
        if _HUNK.match(line):
            raise self.error(self.at, "a hunk without a file header")
        if line.startswith((b"diff --cc ", b"diff --combined ")) or re.match(rb"@@@+ -", line):
            raise self.unsupported(self.at, "a combined diff of a merge", "make a diff against one parent")
        if re.match(rb"\*{15}\r?$", line):
            raise self.unsupported(self.at, "a context diff", "make a unified diff (diff -u)")
        if _BINARY.match(line):
            raise self.unsupported(self.at, "a binary file's difference", "make it with git diff --binary, or take it out of the patch")

    # ---- headers ----

    def plain_file(self) -> FilePatch:
        """A part that begins with --- and +++ lines; self.at is on the first."""
        start = self.at
        old_name, old_epoch = self.name(self.at)
        new_name, new_epoch = self.name(self.at + 1)
        self.at += 2
        hunks = self.hunks()
        header = (old_name, new_name) if len(hunks) == 1 and DEV_NULL not in (old_name, new_name) else None
        if len(hunks) == 1:  # GNU diff -N dates a missing file to 1970 instead of naming /dev/null, Subversion says "(nonexistent)"
            if old_epoch and not hunks[0].old and hunks[0].old_start == 0:
                old_name = DEV_NULL
            if new_epoch and not hunks[0].new and hunks[0].new_start == 0:
                new_name = DEV_NULL
        if old_name == new_name == DEV_NULL:
            raise self.error(start, "both names are /dev/null")
        return self.checked(FilePatch(start + 1, False, header, old_name, new_name, None, None, None, None, "", self.crlf(start), hunks))

    def crlf(self, at: int) -> bool:
        return self.lines[at].endswith(b"\r")

    def name(self, at: int) -> tuple[bytes, bool]:
        """The name on a --- or +++ line, and whether its date says that the file is missing."""
        text = self.line(at)[4:]
        try:
            quoted = quoted_prefix(text)
        except ValueError as error:
            raise self.error(at, str(error)) from None
        name = quoted[0] if quoted else text.partition(b"\t")[0]
        rest = quoted[1] if quoted else text[len(name):]
        if not name or (quoted and rest and not rest.startswith((b"\t", b" "))):
            raise self.error(at, "no file name")
        return name, bool(_EPOCH.match(rest))

    def git_file(self) -> FilePatch:
        """A part that begins with a `diff --git` line; self.at is on it."""
        start = self.at
        self.at += 1
        fields = self.extended()
        line = self.line(self.at)
        names, hunks, binary = None, [], None
        if line.startswith(b"GIT binary patch"):
            binary = self.binary_blocks()
        elif _BINARY.match(line):
            binary, self.at = (None, None), self.at + 1
        elif line.startswith(b"--- "):
            if not self.line(self.at + 1).startswith(b"+++ "):
                raise self.error(self.at + 1, "no +++ line after the --- line")
            names = self.name(self.at)[0], self.name(self.at + 1)[0]
            self.at += 2
            hunks = self.hunks()
        moved, old_name, new_name = self.git_names(start, fields, names)
        old_mode, new_mode = self.modes(start, fields)
        created, deleted = b"new file mode " in fields, b"deleted file mode " in fields
        if created and deleted or moved and (created or deleted):
            raise self.error(start, "header lines contradict one another")
        if created:
            old_name = DEV_NULL
        if deleted:
            new_name = DEV_NULL
        if names is not None and ((names[0] == DEV_NULL) != (old_name == DEV_NULL) or (names[1] == DEV_NULL) != (new_name == DEV_NULL)):
            raise self.error(start, "the names and the header lines disagree about a missing file")
        index = _INDEX.fullmatch(fields[b"index "]) if b"index " in fields else None
        if b"index " in fields and not index:
            raise self.error(start, "malformed index line")
        old_blob, new_blob = (index[1].decode(), index[2].decode()) if index else (None, None)
        if index and index[3] and old_mode is None and not created and not deleted:
            old_mode = new_mode = index[3]
        if not hunks and binary is None and not (created or deleted or moved or old_mode != new_mode):
            raise self.error(start, "a file header without hunks or a change of mode")
        return self.checked(FilePatch(start + 1, True, self.header_names(start), old_name, new_name, old_mode, new_mode, old_blob, new_blob,
                                      moved, self.crlf(start), hunks, binary))

    def binary_blocks(self) -> tuple[binary_patch.Block, binary_patch.Block | None]:
        """The blocks of a binary patch; self.at is on its first line."""
        self.at += 1
        forward = self.binary_block()
        if forward is None:
            raise self.error(self.at, "neither `literal` nor `delta` in a binary patch")
        return forward, self.binary_block()

    def binary_block(self) -> binary_patch.Block | None:
        head = _head(self.line(self.at))
        if head is None:
            return None
        self.at += 1
        pieces = []
        while self.line(self.at):
            try:
                pieces.append(_decode_line(self.line(self.at)))
            except ValueError as error:
                raise self.error(self.at, str(error)) from None
            self.at += 1
        if self.at >= len(self.lines):
            raise self.error(self.at - 1, "the patch ends within a binary patch", "the patch was cut short; make it again")
        self.at += 1
        return binary_patch.Block(*head, b"".join(pieces))

    def extended(self) -> dict[bytes, bytes]:
        """The extended header lines from self.at on, by keyword."""
        fields: dict[bytes, bytes] = {}
        while self.at < len(self.lines):
            line = self.line(self.at)
            keyword = next((word for word in _EXTENDED if line.startswith(word)), None)
            if keyword is None:
                break
            if keyword in fields:
                raise self.error(self.at, f"a second `{keyword.decode().strip()}` line for one file")
            fields[keyword] = line[len(keyword):]
            self.at += 1
        return fields

    def modes(self, start: int, fields: dict[bytes, bytes]) -> tuple[bytes | None, bytes | None]:
        old = fields.get(b"old mode ", fields.get(b"deleted file mode "))
        new = fields.get(b"new mode ", fields.get(b"new file mode "))
        if (b"old mode " in fields) != (b"new mode " in fields):
            raise self.error(start, "one of `old mode` and `new mode` without the other")
        for mode in (old, new):
            if mode is not None and not _MODE.fullmatch(mode):
                raise self.error(start, "malformed file mode")
        return old, new

    def git_names(self, start: int, fields: dict[bytes, bytes], names: tuple[bytes, bytes] | None) -> tuple[str, bytes, bytes]:
        """("rename", "copy" or "", old name, new name) of a git header."""
        for moved, source, target in (("rename", b"rename from ", b"rename to "), ("copy", b"copy from ", b"copy to ")):
            if (source in fields) != (target in fields):
                raise self.error(start, f"`{moved} from` and `{moved} to` do not come together")
            if source in fields:
                if "copy" != moved and b"copy from " in fields:
                    raise self.error(start, "both renamed and copied")
                found = [self.unquoted(start, fields[key]) for key in (source, target)]
                if names and not all(name == given or name.endswith(b"/" + given) for name, given in zip(names, found, strict=True)):
                    raise self.error(start, f"the names on the --- and +++ lines are not those of the {moved}")
                return moved, found[0], found[1]
        given = self.header_names(start)
        if names is None:
            if given is None:
                raise self.error(start, "cannot tell the file's name")
            return "", given[0], given[1]
        if given is not None and any(name not in (header, DEV_NULL) for name, header in zip(names, given, strict=True)):
            raise self.error(start, "the names on the --- and +++ lines are not those of the header")
        if names == (DEV_NULL, DEV_NULL):
            raise self.error(start, "both names are /dev/null")
        return "", names[0], names[1]

    def unquoted(self, at: int, text: bytes) -> bytes:
        try:
            quoted = quoted_prefix(text)
        except ValueError as error:
            raise self.error(at, str(error)) from None
        if quoted and quoted[1]:
            raise self.error(at, "text after a quoted name")
        return quoted[0] if quoted else text

    def header_names(self, start: int) -> tuple[bytes, bytes] | None:
        """The two names on a `diff --git` line; None when spaces in them leave it open."""
        try:
            return _two_names(self.line(start)[len(b"diff --git "):])
        except ValueError as error:
            raise self.error(start, str(error)) from None

    def checked(self, file: FilePatch) -> FilePatch:
        """`file`, once its hunks are known to be in order, apart, and to suit a missing side."""
        old_end = new_end = 0
        for number, hunk in enumerate(file.hunks, 1):
            old_first = hunk.old_start - 1 if hunk.old else hunk.old_start
            new_first = hunk.new_start - 1 if hunk.new else hunk.new_start
            if old_first < old_end or new_first < new_end:
                raise self.error(hunk.patch_line - 1, f"hunk {number} overlaps the one before or is out of order")
            old_end, new_end = old_first + len(hunk.old), new_first + len(hunk.new)
        if file.old_name == DEV_NULL and any(hunk.old for hunk in file.hunks):
            raise self.error(file.patch_line - 1, "a new file with old lines")
        if file.new_name == DEV_NULL and any(hunk.new for hunk in file.hunks):
            raise self.error(file.patch_line - 1, "a deleted file with lines left")
        if DEV_NULL in (file.old_name, file.new_name) and len(file.hunks) > 1:
            raise self.error(file.patch_line - 1, "a new or deleted file in several hunks")
        return file

    # ---- hunks ----

    def hunks(self) -> list[Hunk]:
        """The hunks from self.at on, at least one."""
        found = []
        while self.at < len(self.lines) and self.lines[self.at].startswith(b"@@ "):
            found.append(self.hunk())
        if not found:
            raise self.error(self.at, "no hunk after the file names")
        self.refuse_surplus()
        return found

    def hunk(self) -> Hunk:
        head = self.at
        match = _HUNK.match(self.lines[head])
        if not match:
            raise self.error(head, "malformed hunk header")
        old_start, new_start = int(match[1]), int(match[3])
        old_left, new_left = (1 if count is None else int(count) for count in (match[2], match[4]))
        if (old_left and not old_start) or (new_left and not new_start) or not (old_left or new_left):
            raise self.error(head, "impossible line numbers in a hunk header")
        old: list[bytes] = []
        new: list[bytes] = []
        marks = bytearray()
        self.at += 1
        while old_left or new_left:
            if self.at >= len(self.lines):
                raise self.error(head, "the patch ends within a hunk", "the patch was cut short; make it again")
            line = self.lines[self.at]
            mark = line[:1]
            if mark == b" " or line in (b"", b"\r"):  # mailers strip the space off an empty context line
                content = (line[1:] if mark == b" " else line) + b"\n"
                old.append(content)
                new.append(content)
                old_left, new_left = old_left - 1, new_left - 1
                mark = b" "
            elif mark == b"-":
                old.append(line[1:] + b"\n")
                old_left -= 1
            elif mark == b"+":
                new.append(line[1:] + b"\n")
                new_left -= 1
            else:
                raise self.error(self.at, "a hunk has fewer lines than its header says")
            if old_left < 0 or new_left < 0:
                raise self.error(self.at, "a hunk's lines do not add up to its header")
            marks += mark
            if self.at + 1 == len(self.lines) and self.unfinished:
                raise self.error(self.at, "the patch ends within a line", "the patch was cut short; make it again")
            self.at += 1
            if self.lines[self.at:self.at + 1] and self.lines[self.at].startswith(b"\\ "):
                self.unfinished_line(mark, old, new, old_left, new_left)
                self.at += 1
        if not marks.strip(b" "):
            raise self.error(head, "a hunk without a change")
        return Hunk(old_start, new_start, old, new, bytes(marks), head + 1)

    def unfinished_line(self, mark: bytes, old: list[bytes], new: list[bytes], old_left: int, new_left: int) -> None:
        """Takes the newline off the line that a `\\ No newline at end of file` follows."""
        for lines, left, other in ((old, old_left, b"+"), (new, new_left, b"-")):
            if mark != other:
                lines[-1] = lines[-1][:-1].removesuffix(b"\r") if self.crlf(self.at) else lines[-1][:-1]
                if left or not lines[-1]:
                    raise self.error(self.at, "no newline in the middle of a file" if left else "an empty line without newline")

    def refuse_surplus(self) -> None:
        """Raises when what follows the last hunk of a file looks like more lines of it."""
        at = self.at
        while at < len(self.lines) and not self.line(at):
            at += 1
        if at >= len(self.lines):
            return
        line = self.lines[at]
        if line[:1] == b"+" or line[:1] == b"-" and not self.separator(at) or line[:1] in (b" ", b"\\") and at == self.at:
            raise self.error(at, "a hunk has more lines than its header says")

    def separator(self, at: int) -> bool:
        """Whether a line that begins with - after a hunk is a mail signature or the next file's --- line."""
        line = self.line(at)
        return line in (b"-- ", b"--", b"---") or line.startswith(b"--- ") and self.line(at + 1).startswith(b"+++ ")


def _two_names(text: bytes) -> tuple[bytes, bytes] | None:
    """The names in "NAME NAME", either of them quoted or not; None when spaces leave it open. ValueError: bad escape."""
    first = quoted_prefix(text)
    if first:
        return _pair(first[0], first[1][:1], first[1][1:])
    cut = text.find(b' "')
    if cut >= 0 and (pair := _pair(text[:cut], b" ", text[cut + 1:])):
        return pair
    cuts = [text.find(b" ")] if text.count(b" ") == 1 else _even_cuts(text)
    pairs = {(text[:cut], text[cut + 1:]) for cut in cuts if cut + 1 < len(text)}
    return pairs.pop() if len(pairs) == 1 else None


def _pair(old: bytes, between: bytes, rest: bytes) -> tuple[bytes, bytes] | None:
    second = quoted_prefix(rest)
    return None if between != b" " or not rest or second and second[1] else (old, second[0] if second else rest)


def _even_cuts(text: bytes) -> list[int]:
    """The spaces in `text` with the same name on either side, or names that are the same after their first "/": at most two."""
    cuts = []
    middle = len(text) // 2
    if text[middle:middle + 1] == b" " and text[:middle] == text[middle + 1:]:
        cuts.append(middle)
    slash = text.find(b"/")
    for match in re.finditer(b"/", text[slash + 1:]):
        other = match.start() + slash + 1  # the second name's first: then its rest is as long as the first name's
        cut = len(text) - other + slash
        if slash < cut < other and text[cut:cut + 1] == b" " and text.find(b"/", cut) == other:
            if text[slash + 1:cut] == text[other + 1:] != b"":
                cuts.append(cut)
            break  # a later one would mean an earlier cut, before which no other is first
    return cuts


# ---- Quotes and base 85 ----

_UNESCAPES = {escape: byte for byte, escape in _ESCAPES.items()}
_QUOTED = re.compile(rb'"((?:[^"\\\n]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)
_HEAD = re.compile(rb"(literal|delta) (\d{1,10})")
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def quoted_prefix(text: bytes) -> tuple[bytes, bytes] | None:
    """The name that `text` begins with in double quotes, and what follows; None when it does not begin so. ValueError: bad escape."""
    match = _QUOTED.match(text)
    return (_ESCAPE.sub(_unescape, match[1]), text[match.end():]) if match else None


def _unescape(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    if len(escape) == 3:
        return bytes([int(escape, 8)])
    if escape not in _UNESCAPES:
        raise ValueError(f"unknown escape \\{escape.decode('latin-1')} in a quoted name")
    return bytes([_UNESCAPES[escape]])


def _head(line: bytes) -> tuple[bool, int] | None:
    """Whether a block begins with `line`, a delta or not, and its size."""
    match = _HEAD.fullmatch(line)
    return (match[1] == b"delta", int(match[2])) if match else None


def _decode_line(line: bytes) -> bytes:
    """The bytes of one line of a block. ValueError: malformed."""
    size = _LETTERS.find(line[:1]) + 1
    if not size or len(line) != 1 + (size + 3) // 4 * 5:
        raise ValueError("malformed line of a binary patch")
    return base64.b85decode(line[1:])[:size]
