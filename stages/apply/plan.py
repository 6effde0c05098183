"""What a patch will do to a tree, worked out in memory before anything is written: all of it fits, or Refused."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from cromwell.apply import patching, reject
from cromwell.apply.bases import Bases
from cromwell.apply.blob import blob_hash, is_blob
from cromwell.apply.errors import PatchError, Refused
from cromwell.apply.parse import FilePatch, Hunk
from cromwell.apply.patching import REJECTED, STRICT, HunkReport, Outcome, Rules
from cromwell.apply.paths import Target, show
from cromwell.apply.tree import File, Tree

ALREADY = "already applied"
_USUAL = {None: None, b"100644": False, b"100755": True}  # executable or not, for the modes that git writes of files
_REGULAR, _LINK = re.compile(rb"100([0-7]{3})"), b"120000"


class Content(NamedTuple):
    """A file as it is or will be, or a symbolic link with its target as `data`; `mode` None is that of a new file, by the umask and
    `executable`. `like` is the file whose owner and extended attributes it has, through renames and copies; `blob` git's name of the data,
    where it is known."""

    data: bytes
    executable: bool
    mode: int | None
    link: bool = False
    like: File | None = None
    blob: str | None = None

    @classmethod
    def of(cls, data: bytes, mode: int, link: bool, like: File | None = None) -> Content:
        """What is there, or was."""
        return cls(data, not link and bool(mode & 0o100), mode, link, like)


class Step(NamedTuple):
    """One file of the tree: what is there (None: nothing) and what shall be."""

    path: bytes
    old: File | None
    new: Content | None

    @property
    def same_data(self) -> bool:
        """Whether at most the mode changes."""
        return self.old is not None and self.new is not None and (self.old.data, self.old.link) == (self.new.data, self.new.link)

    @property
    def model(self) -> File | None:
        """The file whose owner and extended attributes the new one takes: of a rename or copy its source, else the one replaced. None
        where it is new: a link in a file's place is, and a file in a link's."""
        if self.new is None or self.new.like is not None:
            return self.new and self.new.like
        return self.old if self.old is not None and self.old.link == self.new.link else None


class Report(NamedTuple):
    """What is done for one part of the patch, and for each of its hunks."""

    path: bytes
    status: str  # patched, created, deleted, renamed, copied, mode changed, already applied, rejected; some with conflicts
    old_blob: str | None
    new_blob: str | None
    hunks: list[HunkReport]
    link: bool = False

    def as_json(self) -> dict[str, Any]:
        """For receipts and --json."""
        return {"path": os.fsdecode(self.path), "status": self.status, "link": self.link, "old_blob": self.old_blob,
                "new_blob": self.new_blob, "offsets": [hunk.offset for hunk in self.hunks if hunk.offset is not None],
                "hunks": [hunk._asdict() for hunk in self.hunks]}


class Plan:
    """Applies the parts of a patch one after another to a picture of the tree, as far as the rules allow."""

    def __init__(self, tree: Tree, rules: Rules = STRICT, bases: Bases | None = None):
        self.tree, self.rules, self.bases = tree, rules, bases or Bases(tree.root)
        self.before: dict[bytes, File | None] = {}
        self.now: dict[bytes, Content | None] = {}
        self.reports: list[Report] = []
        self.gone: list[Refused] = []  # deletions of files that are not there
        self.leaving: set[bytes] = set()  # files that some part deletes or renames
        self.filled: set[bytes] = set()  # files that some part so far has made
        self.retyped: set[bytes] = set()  # what one part deletes and another makes again: a file that becomes a link, or a link a file
        self.rejected: dict[bytes, list[Hunk]] = {}  # hunks without a place, by file
        self.conflicts = 0

    def apply(self, files: Sequence[FilePatch], targets: Sequence[Target]) -> None:
        """Takes all parts in. Refused or PatchError when one does not fit; then the plan is worthless."""
        self.leaving = {source for file, (source, target) in zip(files, targets, strict=True)
                        if source is not None and (target is None or file.moved == "rename")}
        kinds = {source: _is_link(file.old_mode) for file, (source, target) in zip(files, targets, strict=True) if target is None}
        self.retyped = {target for file, (source, target) in zip(files, targets, strict=True)
                        if source is None and target is not None and kinds.get(target) == (not _is_link(file.new_mode))}
        for file, (source, target) in zip(files, targets, strict=True):
            _check_kind(file, self.rules)
            if source is None:
                assert target is not None
                report = self._create(file, target)
            elif target is None:
                report = self._delete(file, source)
            else:
                report = self._change(file, source, target)
            self.reports.append(report._replace(link=self._concerns_link(file, report.path)))
            if target is not None and (source is None or file.moved):
                self.filled.add(target)
        # A file that a patch deletes and that is not there is as it should be only if all the rest is, too.
        if self.gone and (len(self.gone) == len(self.reports) or any(report.status != ALREADY for report in self.reports)):
            raise self.gone[0]
        self._set_aside({path for target in targets for path in target if path is not None})

    def steps(self) -> list[Step]:
        """The files that change, in the order in which the patch came to them."""
        steps = []
        for path, new in self.now.items():
            old = self.before[path]
            if old is None and new is None:
                continue
            step = Step(path, old, new)
            if old and new and step.same_data and (old.link or bool(old.mode & 0o100) == new.executable):
                continue
            steps.append(step)
        paths = {step.path for step in steps if step.new}
        for folder, path in {path.rpartition(b"/")[0]: path for path in paths}.items():
            inner = next((outer for outer in _with_outer(folder) if outer in paths or self.before.get(outer)), None)
            if inner is not None:
                there = self.now.get(inner) or _content(self.before[inner])
                what = "a symbolic link, which is never followed" if there and there.link else "a file, not a folder"
                raise Refused(f"{show(path)}: {show(inner)} is {what}", "split the patch, so that one becomes the other in two runs")
        return steps

    def _concerns_link(self, file: FilePatch, path: bytes) -> bool:
        stated, now = file.new_mode or file.old_mode, self.now.get(path)
        return _is_link(stated) if stated else now is not None and now.link

    def _look(self, path: bytes) -> Content | None:
        """The file as the parts so far have left it."""
        if path not in self.now:
            file = self.tree.read(path, self.rules.symlinks)
            self.before[path] = file
            self.now[path] = _content(file)
        return self.now[path]

    def _set_aside(self, named: set[bytes]) -> None:
        """Plans the .rej files."""
        for path, hunks in self.rejected.items():
            beside = path + reject.SUFFIX
            if beside in named:
                raise Refused(f"{show(beside)}: is a file of the patch, and where rejected hunks would go", "apply without --reject")
            there = self._look(beside)
            if there and there.link:
                raise Refused(f"{show(beside)}: is a symbolic link, where rejected hunks would go", "move it away")
            self.now[beside] = Content(reject.write(path, hunks), False, None)

    def _look_for_move(self, file: FilePatch, path: bytes) -> Content | None:
        """The file that a rename or copy starts from. In one diff of git's that is the file before the whole patch, whatever other parts
        do to it; in a series of diffs, the file as the ones before have left it."""
        now, file_before = self._look(path), self.before[path]
        before = _content(file_before)
        if file.old_blob:
            return now if now and is_blob(now.data, file.old_blob) and not (before and is_blob(before.data, file.old_blob)) else before
        return now if before is None or file.moved == "rename" and path not in self.filled else before

    def _create(self, file: FilePatch, path: bytes) -> Report:
        link = _is_link(file.new_mode)
        executable = not link and (_executable(file.new_mode) or False)
        if file.binary:
            results = [patching.binary_result(file, path, b"")]
        else:
            results = [b"".join(line for hunk in hunks for line in hunk.new) for hunks in patching.variants(file)]
        wanted = file.new_blob if patching.names_version(file.new_blob) else None
        data = next((result for result in results if wanted is None or is_blob(result, wanted)), None)
        if data is None:
            what = f"the patch's lines are not the version {wanted} that it names"
            raise PatchError(f"{show(path)}: {what}", "the patch is damaged; make it again")
        if link:
            patching.check_target(path, data)
        there = self._look(path)
        if there is not None:
            if (there.data, there.link) == (data, link):
                return Report(path, ALREADY, None, blob_hash(data), [])
            how = ", as a symbolic link" if there.link and not link else ", as a file" if link and not there.link else ""
            how = how or f", to {show(there.data)}" * link or ", with other contents"
            raise Refused(f"{show(path)}: exists already{how}", "move it away, or make a patch against it")
        self.now[path] = Content(data, executable, None, link)
        return Report(path, "created", None, blob_hash(data), [HunkReport("exact", 1, 0)] * len(file.hunks))

    def _delete(self, file: FilePatch, path: bytes) -> Report:
        there = self._look(path)
        if there is None:
            self.gone.append(Refused(f"{show(path)}: no such file", _root_hint(self.tree, path, file)))
            return Report(path, ALREADY, None, None, [])
        if path in self.retyped and there.link != _is_link(file.old_mode):  # applied already, if it is what the other part makes
            return Report(path, ALREADY, None, None, [])
        outcome = self._patched(file, path, there)
        if outcome.rejected:
            return Report(path, REJECTED, blob_hash(there.data), blob_hash(there.data), outcome.hunks)
        if outcome.already or outcome.data:
            raise Refused(f"{show(path)}: is not the file that the patch deletes", "make the patch anew for this version")
        self.now[path] = None
        return Report(path, "deleted", blob_hash(there.data), None, outcome.hunks)

    def _change(self, file: FilePatch, source: bytes, target: bytes) -> Report:
        there = self._look_for_move(file, source) if file.moved else self._look(source)
        occupant = self._look(target) if target != source else None
        if occupant is not None and (there is None or target not in self.leaving or target in self.filled):
            done = is_blob(occupant.data, file.new_blob) if file.new_blob else there is not None and there.data == occupant.data
            done = done and occupant.link == (there.link if there else _is_link(file.new_mode))
            if done and (there is None) == (file.moved == "rename"):
                return Report(target, ALREADY, None, blob_hash(occupant.data), [])
            hint = f"the patch makes it by a {file.moved} from {show(source)}; move it away first"
            raise Refused(f"{show(target)}: exists already", hint)
        if there is None and not file.git and len(file.hunks) == 1 and not file.hunks[0].old_count:
            return self._create(file, target)  # GNU diff -N without dates
        if there is None:
            raise Refused(f"{show(source)}: no such file", _root_hint(self.tree, source, file))
        outcome = self._patched(file, source, there, target)
        data = outcome.data
        if there.link:
            patching.check_target(target, data)
        executable = None if there.link else _executable(file.new_mode)
        mode_changes = executable is not None and executable != there.executable
        if not mode_changes and not file.moved and (outcome.already or not file.hunks and file.binary is None):
            return Report(source, ALREADY, blob_hash(data), blob_hash(data), [])
        if file.moved == "rename" and (source not in self.filled or there is self.now[source]):
            self.now[source] = None
        blob = blob_hash(data)
        self.now[target] = Content(data, there.executable if executable is None else executable, there.mode, there.link, there.like, blob)
        status = {"rename": "renamed", "copy": "copied", "": "mode changed" if data == there.data else "patched"}[file.moved]
        if outcome.conflicts:
            status += " with conflicts"
        elif outcome.rejected and data == there.data and not file.moved and not mode_changes:
            status = REJECTED
        return Report(target, status, blob_hash(there.data), blob, outcome.hunks)

    def _patched(self, file: FilePatch, source: bytes, there: Content, target: bytes | None = None) -> Outcome:
        """What the part makes of the file; hunks without a place are kept for its .rej file."""
        # Git names no mode where a file is only moved. Other diffs without modes are of files.
        if there.link != _is_link(file.old_mode) and (file.old_mode or file.hunks or not file.moved):
            kinds = ("a symbolic link", "a file") if there.link else ("a file", "a symbolic link")
            raise Refused(f"{show(source)}: is {kinds[0]}, the patch was made for {kinds[1]}", "make the patch anew for this version")
        if there.link:
            return patching.patched_link(file, source, there.data)
        outcome = patching.patched(file, source, there.data, self.rules, self.bases)
        if outcome.rejected:
            self.rejected.setdefault(target or source, []).extend(outcome.rejected)
        self.conflicts += outcome.conflicts
        return outcome


def _content(file: File | None) -> Content | None:
    if file is None:
        return None
    mode, link = file.mode, file.link
    return Content(file.data, not link and bool(mode & 0o100), mode, link, file)


def _with_outer(folder: bytes) -> list[bytes]:
    """The folder and those that it lies in, outermost first; none for the root."""
    parts = folder.split(b"/") if folder else []
    return [b"/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _root_hint(tree: Tree, path: bytes, file: FilePatch) -> str:
    if os.path.isfile(b"/" + path):  # an edit of a file named by an absolute path
        return f"--root / if /{show(path)} is meant"
    for name in (file.new_name, file.old_name):
        if name != path and b".." not in name.split(b"/") and os.path.isfile(os.path.join(os.fsencode(tree.root), name)):
            return f"-p0 if {show(name)} is meant, which is here"
    return f"paths start from {tree.name if tree.name != '.' else 'the current folder'}; --root and -p change that"


def _check_kind(file: FilePatch, rules: Rules) -> None:
    if file.binary is None and file.old_mode in _USUAL and file.new_mode in _USUAL:
        return
    if file.binary is not None:
        if not rules.binary and file.binary[0]:
            raise Refused(f"patch line {file.patch_line}: a binary file", "--binary allows git's binary patches; --exclude leaves it out")
        patching.check_binary(file)
    where = f"patch line {file.patch_line}"
    for mode in (file.old_mode, file.new_mode):
        if mode == _LINK:
            if not rules.symlinks:
                raise Refused(f"{where}: a symbolic link", "--symlinks allows them; --exclude leaves it out")
        elif mode is not None and not _REGULAR.fullmatch(mode):
            kind = "a submodule" if mode == b"160000" else f"a file of mode {mode.decode()}"
            raise Refused(f"{where}: {kind}", "only regular files are patched, and links with --symlinks; --exclude leaves it out")
    if None not in (file.old_mode, file.new_mode) and _is_link(file.old_mode) != _is_link(file.new_mode):
        raise Refused(f"{where}: a file and a symbolic link in one part", "git writes a deletion and a new file; make the patch with it")


def _is_link(mode: bytes | None) -> bool:
    return mode == _LINK


def _executable(mode: bytes | None) -> bool | None:
    """Whether a git mode says executable, as git takes it: by the owner's bit."""
    return _USUAL[mode] if mode in _USUAL else bool(int(mode, 8) & 0o100)
