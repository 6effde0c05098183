"""What one part of a patch makes of one file's bytes: through the version it names, the ladder of match.py, or a three-way merge."""

from __future__ import annotations

from typing import NamedTuple

from cromwell.apply import match
from cromwell.apply.bases import Bases
from cromwell.apply.blob import blob_hash, is_absent, is_blob
from cromwell.apply.errors import PatchError, Refused
from cromwell.apply.merge import merge
from cromwell.apply.parse import FilePatch, Hunk
from cromwell.apply.paths import show
from cromwell.apply.text import Text

MERGED, CONFLICT, REJECTED = "merged", "conflict", "rejected"
MAX_NAMED = 4  # conflicts listed in an error
MAX_TARGET_BYTES = 4095  # Linux's PATH_MAX without its NUL


class Rules(NamedTuple):
    """What the user allows. `ignore_hashes`: match by content, whatever index lines say. `ladder`: how loosely.

    `three_way`: merge when the file is another version; `markers`: write conflicts into the file. `reject`: hunks without a place are set
    aside. `binary`: git's binary patches are taken. `symlinks`: so are parts that make, change, move or delete symbolic links."""

    ignore_hashes: bool = False
    ladder: match.Ladder = match.STRICT
    three_way: bool = False
    markers: bool = False
    reject: bool = False
    binary: bool = False
    symlinks: bool = False

    @property
    def by_lines(self) -> bool:
        """Whether a file that is not the version named may be patched by its lines. Asking for a looser match says that it changed."""
        return self.ignore_hashes or self.reject or self.ladder != match.STRICT


STRICT = Rules()


class HunkReport(NamedTuple):
    """Where a hunk went: `level` of match.py, or merged, conflict, rejected; `line` from 1 of the file as it was; None if nowhere.

    `fuzz` outer lines did not count, and white space if `whitespace`."""

    level: str
    line: int | None
    offset: int | None
    fuzz: int = 0
    whitespace: bool = False


class Outcome(NamedTuple):
    """The bytes after a part of a patch. `already`: they are as they were because it is applied. `rejected` hunks are not in them."""

    data: bytes
    hunks: list[HunkReport]
    already: bool = False
    rejected: tuple[Hunk, ...] = ()
    conflicts: int = 0


def patched(file: FilePatch, path: bytes, data: bytes, rules: Rules, bases: Bases) -> Outcome:
    """`data`, which is at `path`, after the hunks of `file`. Refused or PatchError when they do not fit."""
    if file.binary is not None:
        return _binary(file, path, data)
    named = names_version(file.old_blob)
    base_known = named and is_blob(data, file.old_blob or "")
    drifted = named and not base_known
    if drifted:
        if names_version(file.new_blob) and is_blob(data, file.new_blob or ""):
            return Outcome(data, [], already=True)
        base = bases.find(file.old_blob or "") if rules.three_way else None
        if base is not None:
            return _merged(file, path, data, base, rules)
        if not rules.by_lines:
            raise _other_version(file, path, data, rules)
    text: Text | None = None
    best: tuple[list[match.NoMatch], list[match.Place], list[Hunk]] | None = None
    for without_cr in (False, True)[:1 + file.crlf]:
        exact = None if drifted else file.fitted(data, base_known, without_cr)
        if exact is not None:
            _check_result(file, path, exact, base_known)
            return Outcome(exact, [HunkReport(match.EXACT, match.stated_line(hunk) + 1, 0) for hunk in file.hunks])
        text, hunks = text or Text(data), reading(file, without_cr)
        failed: list[match.NoMatch] = []
        try:
            places = list(match.attempts(text, hunks, base_known, drifted, rules.ladder, failed if rules.reject else None))
        except match.NoMatch as error:
            failed, places = [error], []
        if not failed:
            result = match.apply(text, places)
            _check_result(file, path, result, base_known)
            return Outcome(result, [_report(found) for found in places])
        if best is None or len(places) > len(best[1]):
            best = failed, places, hunks
    assert best is not None and text is not None
    failed, places, hunks = best
    if not failed[0].ambiguous and any(match.is_applied(text, hunks) for hunks in variants(file)):
        return Outcome(data, [], already=True)
    if not rules.reject or base_known:
        stated = failed[0].hunk.patch_line
        raise Refused(f"{show(path)}: hunk {failed[0].number} (patch line {stated}) {failed[0].what}", failed[0].hint)
    numbers = {failure.number for failure in failed}
    found = iter(places)
    reports = [HunkReport(REJECTED, None, None) if number in numbers else _report(next(found)) for number in range(1, len(hunks) + 1)]
    return Outcome(match.apply(text, places), reports, rejected=tuple(failure.hunk for failure in failed))


def _binary(file: FilePatch, path: bytes, data: bytes) -> Outcome:
    """The same for a binary patch: only the very version that it names will do."""
    check_binary(file)
    if not is_blob(data, file.old_blob or ""):
        if names_version(file.new_blob) and is_blob(data, file.new_blob or ""):
            return Outcome(data, [], already=True)
        what = f"is version {blob_hash(data)[:12]}, the binary patch was made from {(file.old_blob or '')[:12]}"
        raise Refused(f"{show(path)}: {what}", "make the patch anew for this version")
    return Outcome(binary_result(file, path, data), [])


def patched_link(file: FilePatch, path: bytes, target: bytes) -> Outcome:
    """The same for a symbolic link to `target`. A target has no lines to go by: only the very one that the patch names is changed."""
    if file.binary is not None:
        return _binary(file, path, target)
    if not file.hunks:
        return Outcome(target, [])
    readings = [(b"".join(line for hunk in hunks for line in hunk.old), b"".join(line for hunk in hunks for line in hunk.new))
                for hunks in variants(file)]
    for old, new in readings:
        if old == target and (not names_version(file.old_blob) or is_blob(old, file.old_blob or "")):
            _check_result(file, path, new, True)
            return Outcome(new, [HunkReport(match.EXACT, 1, 0)] * len(file.hunks))
    if any(new == target for _old, new in readings):
        return Outcome(target, [], already=True)
    what = f"points to {show(target)!r}, the patch was made from a link to {show(readings[0][0])!r}"
    raise Refused(f"{show(path)}: {what}", "make the patch anew; links are changed only from the target that the patch names")


def check_target(path: bytes, target: bytes) -> None:
    """Refused unless a symbolic link can point to `target`. It may lead out of the root, as with git; nothing ever goes through it."""
    if path.rpartition(b"/")[2].lower() == b".gitmodules":
        raise Refused(f"{show(path)}: a symbolic link where git reads a file", "git refuses that, too; --exclude leaves it out")
    what = ("no target" if not target else "a NUL in its target" if b"\0" in target
            else f"a target of more than {MAX_TARGET_BYTES} bytes" if len(target) > MAX_TARGET_BYTES else "")
    if what:
        raise Refused(f"{show(path)}: a symbolic link with {what}", "no system can make it; --exclude leaves it out")


def check_binary(file: FilePatch) -> None:
    """Refused unless a binary patch has its data, and names whole versions as git requires it."""
    where = f"patch line {file.patch_line}: a binary file"
    if not file.binary or file.binary[0] is None:
        raise Refused(f"{where} without its data", "make the patch with git diff --binary, or leave the file out with --exclude")
    if len(file.old_blob or "") not in (40, 64) or len(file.new_blob or "") not in (40, 64):
        raise Refused(f"{where} without the whole names of its versions", "make the patch with git diff --binary --full-index")


def binary_result(file: FilePatch, path: bytes, data: bytes) -> bytes:
    """What a binary patch makes of `data`. PatchError when it is damaged."""
    assert file.binary and file.binary[0] and file.new_blob
    try:
        result = file.binary[0].apply(data)
    except ValueError as error:
        raise PatchError(f"{show(path)}: binary patch: {error}", "the patch is damaged; make it again") from None
    _check_result(file, path, result, True)
    return result


def _merged(file: FilePatch, path: bytes, data: bytes, base: bytes, rules: Rules) -> Outcome:
    """The change that the hunks make to `base`, merged into `data`."""
    theirs = patched(file, path, base, STRICT, Bases("")).data
    merged = merge(base, data, theirs)
    if merged.data == data:
        return Outcome(data, [], already=True)
    if merged.conflicts and not rules.markers:
        lines = [f"{first + 1}-{end}" if end > first + 1 else str(first + 1) for _first, _end, first, end in merged.conflicts]
        shown = ", ".join(lines[:MAX_NAMED]) + (", …" if len(lines) > MAX_NAMED else "")
        what = f"changed at line{'s' * (len(lines) > 1 or '-' in shown)} {shown} in another way than by the patch"
        raise Refused(f"{show(path)}: {what}", "--conflict-markers writes both versions into the file")
    reports, at = [], 0
    for hunk in file.hunks:
        first = match.stated_line(hunk)
        while at < len(merged.conflicts) and merged.conflicts[at].base_end < first:
            at += 1
        touched = at < len(merged.conflicts) and merged.conflicts[at].base_first <= first + len(hunk.old)
        offset = merged.offset(first)
        reports.append(HunkReport(CONFLICT if touched else MERGED, first + offset + 1, offset))
    return Outcome(merged.data, reports, conflicts=len(merged.conflicts))


def _other_version(file: FilePatch, path: bytes, data: bytes, rules: Rules) -> Refused:
    what = f"is version {blob_hash(data)[:12]}, the patch was made from {(file.old_blob or '')[:12]}"
    if rules.three_way:
        return Refused(f"{show(path)}: {what}, which is in no git repository here and cannot be undone",
                       "fetch the commit that it was made from; or --ignore-hashes to go by the lines around each change")
    hint = "make the patch anew; --3way to merge, or --ignore-hashes to go by the lines around each change"
    return Refused(f"{show(path)}: {what}", hint)


def _check_result(file: FilePatch, path: bytes, result: bytes, base_known: bool) -> None:
    if base_known and names_version(file.new_blob) and not is_blob(result, file.new_blob or ""):
        raise PatchError(f"{show(path)}: the patch does not make the version {(file.new_blob or '')[:12]} that the patch names",
                         "the patch is damaged; make it again")


def _report(found: match.Place) -> HunkReport:
    return HunkReport(found.level, found.line + 1, found.offset, found.fuzz, found.whitespace)


def names_version(blob: str | None) -> bool:
    """Whether an index line's `blob` names contents."""
    return blob is not None and (not blob.startswith("0") or not is_absent(blob))


def variants(file: FilePatch) -> list[list[Hunk]]:
    """The readings of a file's hunks: as they are; and, in a patch with CRLF line ends, without the CR that a mailer may have added."""
    return [reading(file, without_cr) for without_cr in (False, True)[:1 + file.crlf]]


def reading(file: FilePatch, without_cr: bool) -> list[Hunk]:
    """One of the variants."""
    return [hunk.with_lines(_bare) for hunk in file.hunks] if without_cr else file.hunks


def _bare(line: bytes) -> bytes:
    return line[:-2] + b"\n" if line.endswith(b"\r\n") else line
