"""What a repository's past says: which files change together, which change often, which lines changed lately, what was said about them.

`git log` is read once; its records are kept in the index under the commit that they were read at, and only newer commits are read
later. Without git, without a .git, or without commits there is no history, and every factor that rests on it is absent."""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cromwell.prepare.rank.protocol import Index

COMMITS = 2000
"""Newest commits without merges that are read."""
MOST_FILES = 30
"""A commit of more files says nothing of what belongs together: a move, a licence year, a formatter."""
FILE_COMMITS = 12
"""Newest commits of a file whose lines are kept: older lines have mostly been rewritten since."""
META_COMMITS, META_HUNKS = "rank.history", "rank.history.hunks"
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


class Hunk(NamedTuple):
    """Lines of one change: `old_count` lines from `old_first` became `new_count` lines from `new_first` (git's numbers: of an empty
    side the line before it)."""

    old_first: int
    old_count: int
    new_first: int
    new_count: int


class Record(NamedTuple):
    """One commit: its subject and what it changed, by path after it (and the path before it, where it renamed)."""

    subject: str
    files: tuple[tuple[str, str, tuple[Hunk, ...]], ...]
    """(path before, path after, hunks); a path is "" where the file did not exist."""


def log_arguments(count: int, after: str = "", paths: Sequence[str] = ()) -> list[str]:
    """The arguments of git that print what `parse_log` reads: the newest `count` commits, or those after commit `after` alone."""
    return ["-c", "core.quotePath=false", "-c", "diff.renames=true", "log", "--no-merges", "--topo-order", f"-n{count}",
            "--patch", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-prefix",
            "--diff-algorithm=histogram", "--find-renames", "--format=%x01%s", *([f"{after}..HEAD"] if after else ["HEAD"]), "--", *paths]


def parse_log(lines: Iterable[bytes]) -> Iterator[Record]:
    """The commits of a log in git's order, newest first."""
    subject: str | None = None
    files: list[tuple[str, str, tuple[Hunk, ...]]] = []
    old = new = ""
    hunks: list[Hunk] = []
    is_head = False  # within a file's header, where "--- " is no removed line

    def close_file() -> None:
        if old or new:
            files.append((old, new, tuple(hunks)))

    for line in lines:
        first = line[:1]
        if first == b"\x01":
            close_file()
            if subject is not None:
                yield Record(subject, tuple(files))
            subject, files, old, new, hunks, is_head = line[1:].decode("utf-8", "replace").strip(), [], "", "", [], False
        elif first == b"d" and line.startswith(b"diff --git "):
            close_file()
            old = new = ""
            hunks, is_head = [], True
        elif first == b"@" and (match := _HUNK.match(line)):
            is_head = False
            a, b, c, d = match.groups()
            hunks.append(Hunk(int(a), int(b) if b else 1, int(c), int(d) if d else 1))
        elif is_head:
            if line.startswith(b"--- "):
                old = _path(line[4:])
            elif line.startswith(b"+++ "):
                new = _path(line[4:])
            elif line.startswith(b"rename from "):
                old = _path(line[12:])
            elif line.startswith(b"rename to "):
                new = _path(line[10:])
    close_file()
    if subject is not None:
        yield Record(subject, tuple(files))


def _path(raw: bytes) -> str:
    """A path of a diff header; "" for /dev/null. A quoted one (a control character in it) is taken as it stands: it names no file."""
    path = raw.rstrip(b"\n").removesuffix(b"\t").decode("utf-8", "surrogateescape")
    return "" if path == "/dev/null" else path


class Change(NamedTuple):
    """Lines that a past commit touched, as they are numbered now."""

    commit: int
    """Its number in the history, 0 the newest."""
    first_line: int
    last_line: int


class History:
    """Commits newest first, with the files by their names of today."""

    def __init__(self, paths: list[str], subjects: list[str], commits: list[list[int]], hunks: array[int]):
        """`commits[i]` holds numbers of `paths`. `hunks` is flat, six numbers each: the number of a path, of a commit, and the four of a
        `Hunk`; a file's hunks lie together, newest commit first."""
        self.paths, self.subjects, self.commits, self.hunks = paths, subjects, commits, hunks
        self.number_of = {path: number for number, path in enumerate(paths)}
        self._starts: dict[int, tuple[int, int]] | None = None
        self.said = "\n".join(subjects).lower()
        """The subjects in lower case, one a line."""
        self.starts = [0]
        """Where each begins."""
        for subject in subjects:
            self.starts.append(self.starts[-1] + len(subject.lower()) + 1)

    @classmethod
    def build(cls, records: Iterable[Record], older: History | None = None) -> History:
        """A history of commits given newest first, with those of `older` after them."""
        paths: list[str] = []
        numbers: dict[str, int] = {}
        today: dict[str, str] = {}  # a name before the commits read so far -> the name today

        def number(name: str) -> int:
            if name not in numbers:
                numbers[name] = len(paths)
                paths.append(name)
            return numbers[name]

        subjects, commits = [], []
        hunks: dict[int, list[int]] = {}
        seen: dict[int, int] = {}
        for commit, record in enumerate(records):
            members = []
            for old, new, changed in record.files:
                name = today.get(new, new)
                if name:
                    member = number(name)
                    members.append(member)
                    seen[member] = seen.get(member, 0) + 1
                    if seen[member] <= FILE_COMMITS:
                        of_file = hunks.setdefault(member, [])
                        for hunk in changed:
                            of_file += (member, commit, *hunk)
                if old and old != new:  # older commits call it by its old name; a deleted file has none today
                    today[old] = name
            subjects.append(record.subject)
            commits.append(members)
        if older is not None:
            renumbered = []
            for path in older.paths:
                name = today.get(path, path)
                renumbered.append(number(name) if name else -1)
            offset, room = len(subjects), max(0, COMMITS - len(subjects))
            subjects += older.subjects[:room]
            commits += [[renumbered[member] for member in members if renumbered[member] >= 0] for members in older.commits[:room]]
            flat = iter(older.hunks)
            for member, commit, *hunk in zip(flat, flat, flat, flat, flat, flat, strict=True):
                if renumbered[member] >= 0 and commit < room:
                    hunks.setdefault(renumbered[member], []).extend((renumbered[member], commit + offset, *hunk))
        together = array("i")
        for of_file in hunks.values():
            together.extend(of_file)
        return cls(paths, subjects, commits, together)

    def changes(self, path: str) -> list[Change]:
        """Lines of `path` that its newest commits touched, newest first, carried forward through the commits after them."""
        if self._starts is None:
            self._starts = {}
            start, hunks = 0, self.hunks
            for place in range(6, len(hunks) + 6, 6):
                if place == len(hunks) or hunks[place] != hunks[start]:
                    self._starts[hunks[start]] = (start, place)
                    start = place
        number = self.number_of.get(path, -1)
        if number not in self._starts:
            return []
        found: list[Change] = []
        later: list[list[tuple[int, int]]] = []  # of each newer commit: (line from which on, shift), in order of lines
        steps: list[tuple[int, int]] = []
        last = -1
        for place in range(*self._starts[number], 6):
            commit, old_first, old_count, new_first, new_count = self.hunks[place + 1:place + 6]
            if commit != last:
                if steps:
                    later.append(steps)
                steps, last = [], commit
                if len(later) >= FILE_COMMITS:
                    break
            first, end = new_first, new_first + max(new_count, 1) - 1
            for newer in reversed(later):
                first, end = _shifted(newer, first), _shifted(newer, end)
            found.append(Change(commit, max(1, first), max(1, end)))
            end_old, end_new = old_first + old_count + (not old_count), new_first + new_count + (not new_count)
            steps.append((end_old, end_new - end_old))
        return found


def _shifted(steps: Sequence[tuple[int, int]], line: int) -> int:
    """The number of a line after a commit with these `steps`."""
    shift = 0
    for start, total in steps:
        if start > line:
            break
        shift = total
    return line + shift


def read_head(root: str) -> str:
    """The commit that HEAD of the repository at `root` names, read without git; "" when there is none."""
    folder = os.path.join(root, ".git")
    try:
        if os.path.isfile(folder):  # a linked worktree or a submodule
            with open(folder, encoding="utf-8", errors="surrogateescape") as file:
                folder = os.path.join(root, file.read().strip().removeprefix("gitdir: "))
        with open(os.path.join(folder, "HEAD"), encoding="ascii", errors="replace") as file:
            head = file.read().strip()
        if not head.startswith("ref: "):
            return head
        reference = head[5:]
        common = folder
        if os.path.exists(os.path.join(folder, "commondir")):
            with open(os.path.join(folder, "commondir"), encoding="utf-8", errors="surrogateescape") as file:
                common = os.path.join(folder, file.read().strip())
        for place in (folder, common):
            path = os.path.join(place, reference)
            if os.path.exists(path):
                with open(path, encoding="ascii", errors="replace") as file:
                    return file.read().strip()
        with open(os.path.join(common, "packed-refs"), encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                if line.rstrip("\n").endswith(" " + reference):
                    return line.split(" ", 1)[0]
    except OSError:
        pass
    return ""


def read_log(root: str, count: int = COMMITS, after: str = "") -> list[Record] | None:
    """The newest commits of the repository at `root`, or those after commit `after` alone; None without git, or when git fails (no
    commit yet, not the user's repository, `after` unknown)."""
    import subprocess  # here: most queries need no git

    # A partial clone must not fetch what it lacks.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    try:
        with subprocess.Popen(["git", "-C", root, *log_arguments(count, after)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL, env=environment) as process:
            assert process.stdout is not None
            records = list(parse_log(process.stdout))
    except OSError:
        return None
    return records if process.returncode == 0 else None


def _descends(root: str, commit: str) -> bool:
    """Whether HEAD descends from `commit`."""
    import subprocess

    command = ["git", "-C", root, "merge-base", "--is-ancestor", commit, "HEAD"]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def _kept(index: Index) -> tuple[str, History | None]:
    """The history that the index keeps, and the commit it was read at; a damaged one is none."""
    try:
        fields = json.loads(index.meta(META_COMMITS, any_state=True) or b"null")
        if fields is None:
            return "", None
        hunks = array("i")
        hunks.frombytes(index.meta(META_HUNKS, any_state=True) or b"")
        return fields["head"], History(fields["paths"], fields["subjects"], fields["commits"], hunks)
    except (ValueError, KeyError, TypeError):
        return "", None


def open_history(index: Index) -> History | None:
    """The history of the index's root, from the index where HEAD is the one it was read at; None when there is none."""
    head = read_head(index.root)
    if not head:
        return None
    at, history = _kept(index)
    if at != head:
        older = history if at and _descends(index.root, at) else None
        records = read_log(index.root, COMMITS, at if older is not None else "")
        if records is None:
            return None
        history = History.build(records, older)
        fields = {"head": head, "paths": history.paths, "subjects": history.subjects, "commits": history.commits}
        index.put_meta(META_HUNKS, history.hunks.tobytes())
        index.put_meta(META_COMMITS, json.dumps(fields, separators=(",", ":")).encode("ascii"))
    return history if history is not None and history.commits else None
