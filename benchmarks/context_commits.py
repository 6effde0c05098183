"""Real commits of a repository as questions: given the commit's subject and one changed file, which other files and lines change?"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cromwell.prepare.rank import history, kinds

LEAST_FILES, MOST_FILES = 2, 8
LOCK_FILES = frozenset("package-lock.json yarn.lock pnpm-lock.yaml Cargo.lock poetry.lock uv.lock go.sum Pipfile.lock Gemfile.lock".split())
_BOT = re.compile(r"\[bot\]|dependabot|renovate|pre-commit-ci|pyup|github-actions", re.IGNORECASE)
_BUMP = re.compile(r"^(?:build|chore)?(?:\([\w-]+\))?:?\s*bump\b.*\bfrom\b.*\bto\b", re.IGNORECASE)


class Changed(NamedTuple):
    """A file of the parent's tree that the commit changes."""

    path: str
    spans: tuple[tuple[int, int], ...]
    """Old-side lines of each hunk, from 1; a pure insertion stands for the lines before and after it."""
    lines: int
    """Lines removed and added."""
    is_deleted: bool


class Question(NamedTuple):
    """A commit as a question."""

    commit: str
    parent: str
    subject: str
    target: str
    others: tuple[Changed, ...]
    """The changed files of the parent's tree other than the target, by path."""


def git(folder: Path, *arguments: str) -> list[str]:
    """The lines that git prints."""
    command = ["git", f"--git-dir={folder}", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode("utf-8", "surrogateescape").splitlines()


def git_folder(path: Path) -> Path:
    """The git directory of a clone, bare or not."""
    return path / ".git" if (path / ".git").exists() else path


def clone_name(path: Path) -> str:
    """The name of a clone's folder: OWNER+NAME or NAME of OWNER+NAME/repo, NAME.git, NAME/.git."""
    return next(part for part in reversed(path.resolve().parts) if part not in (".git", "repo")).removesuffix(".git")


class Repository:
    """A clone's commits, newest first, and who descends from whom."""

    def __init__(self, path: Path, depth: int):
        """Reads the newest `depth` commits without merges."""
        self.folder = git_folder(path)
        paths: list[str] = []
        while True:
            command = ["git", f"--git-dir={self.folder}", *history.log_arguments(depth, "", paths)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                assert process.stdout is not None and process.stderr is not None
                self.records = list(history.parse_log(process.stdout))
                fault = process.stderr.read().decode("utf-8", "replace")
            absent = re.search(r"unable to read (\w{40})", fault)
            if absent is None:
                break
            # A clone without its largest files: leave out the path of the one that is missing.
            named = git(self.folder, "log", f"--find-object={absent[1]}", "--name-only", "--format=")
            paths += [f":(exclude){path}" for path in named if path]
        fields = "%H%x00%P%x00%an <%ae>"
        listed = git(self.folder, "log", "--no-merges", "--topo-order", f"-n{depth}", f"--format={fields}", "HEAD", "--", *paths)
        self.commits = [tuple(line.split("\0")) for line in listed]
        assert len(self.commits) == len(self.records)
        self._parents = {}
        for line in git(self.folder, "rev-list", "--parents", "HEAD"):
            commit, *parents = line.split()
            self._parents[commit] = parents

    def before(self, commit: str) -> list[history.Record]:
        """The records of `commit` and of the commits that it descends from, newest first."""
        seen, pending = {commit}, [commit]
        while pending:
            for parent in self._parents.get(pending.pop(), ()):
                if parent not in seen:
                    seen.add(parent)
                    pending.append(parent)
        return [record for record, fields in zip(self.records, self.commits, strict=True) if fields[0] in seen]

    def questions(self, count: int, least_history: int = 0) -> Iterator[Question]:
        """The newest `count` commits that make a question."""
        found = 0
        for record, (commit, parents, author) in zip(self.records, self.commits, strict=True):
            if found >= count:
                return
            question = None if _BOT.search(author) or not parents else self._question(record, commit, parents.split()[0])
            if question is not None:
                found += 1
                yield question

    def _question(self, record: history.Record, commit: str, parent: str) -> Question | None:
        """The commit as a question; None where it makes none."""
        if not LEAST_FILES <= len(record.files) <= MOST_FILES or _BUMP.match(record.subject) or not record.subject:
            return None
        changed = []
        for old, new, hunks in record.files:
            if not old or not hunks or old.rpartition("/")[2] in LOCK_FILES:  # new, only moved, binary, or made by a program
                continue
            spans = [] if not new else [_span(hunk) for hunk in hunks]
            changed.append(Changed(old, tuple(spans), sum(hunk.old_count + hunk.new_count for hunk in hunks), not new))
        edited = [file for file in changed if not file.is_deleted]
        if len(changed) < LEAST_FILES or not edited or self._is_formatting(commit, parent):
            return None
        # What a user would name: the source file with most changed lines; a test where only tests change, any file where no code does.
        order = {kinds.CODE: 0, kinds.TEST: 1}
        target = min(edited, key=lambda file: (order.get(kinds.name_of(file.path).kind, 2), -file.lines, file.path))
        others = sorted(file for file in changed if file is not target)
        return Question(commit, parent, record.subject, target.path, tuple(others))

    def _is_formatting(self, commit: str, parent: str) -> bool:
        """Whether the commit changes white space and blank lines alone."""
        return not git(self.folder, "diff", "-w", "--ignore-blank-lines", "--shortstat", parent, commit, "--")


def _span(hunk: history.Hunk) -> tuple[int, int]:
    """Old-side lines of a hunk; of an insertion after line n, n and n + 1 (a file's first line where it is put before it)."""
    if hunk.old_count:
        return hunk.old_first, hunk.old_first + hunk.old_count - 1
    return max(1, hunk.old_first), hunk.old_first + 1


class Blobs:
    """Reads objects through one `git cat-file --batch`."""

    def __init__(self, folder: Path):
        command = ["git", f"--git-dir={folder}", "cat-file", "--batch"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, blob: str) -> bytes:
        """The bytes of a blob; a NUL byte, as of a binary file, for one that the clone lacks."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(blob.encode() + b"\n")
        stdin.flush()
        head = stdout.readline().split()
        return stdout.read(int(head[2]) + 1)[:-1] if head[-1] != b"missing" else b"\0"

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def tree(folder: Path, commit: str) -> dict[str, str]:
    """Path -> blob of the regular files of a commit."""
    raw = subprocess.run(["git", f"--git-dir={folder}", "ls-tree", "-r", "-z", commit], check=True, stdout=subprocess.PIPE).stdout
    found = {}
    for entry in raw.split(b"\0"):
        if entry.startswith(b"100"):
            head, _, path = entry.partition(b"\t")
            found[path.decode("utf-8", "surrogateescape")] = head.split()[2].decode()
    return found


