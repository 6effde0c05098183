"""Scores of files: what a repository's past says, what names and paths say, and that a score is the sum of its factors."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.context_memory import MemoryIndex
from cromwell.prepare.rank import Target, crossed, kinds, rank, rank_files, read_query, weights
from cromwell.prepare.rank.history import History, Hunk, Record, open_history, parse_log, read_head, read_log

FILES = {
    "src/app/session.py": b"import socket\n\n\nclass Session:\n    def close(self):\n        self.socket.close()\n",
    "src/app/client.py": b"from app.session import Session\n\n\ndef open_client(host):\n    return Session(host)\n",
    "src/app/colours.py": b"RED = 1\nGREEN = 2\n",
    "tests/test_session.py": b"from app.session import Session\n\n\ndef test_close():\n    Session().close()\n",
    "CHANGES.md": b"# 1.2\n\n- a session can be closed\n",
}
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def index_of(files: dict[str, bytes]) -> MemoryIndex:
    """An index of these files."""
    index = MemoryIndex(lambda blob: files[blob])
    index.move({path: path for path in files})
    return index


class Checkout:
    """A git repository made by a test."""

    def __init__(self, root: Path):
        self.root = root
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        run = subprocess.run(["git", "-C", str(self.root), *identity, *arguments], check=True, capture_output=True, text=True)
        return run.stdout

    def commit(self, message: str, files: dict[str, bytes | None]) -> None:
        for name, data in files.items():
            path = self.root / name
            if data is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """An empty repository."""
    yield Checkout(tmp_path)


def numbered(count: int) -> list[bytes]:
    """Lines that say their first number."""
    return [b"line %d\n" % number for number in range(1, count + 1)]


@pytest.mark.parametrize(("path", "kind"), [
    ("src/app.py", kinds.CODE), ("tests/test_app.py", kinds.TEST), ("src/app.spec.ts", kinds.TEST), ("src/latest.py", kinds.CODE),
    ("CHANGES.rst", kinds.CHANGES), ("docs/changelog/12.md", kinds.CHANGES), ("docs/api.rst", kinds.DOCS), ("README", kinds.DOCS),
    ("pyproject.toml", kinds.SETTINGS), (".gitignore", kinds.SETTINGS), ("po/locale/de.po", kinds.LOCALE), ("data/a.bin", kinds.OTHER),
])
def test_kind(path: str, kind: str) -> None:
    assert kinds.name_of(path).kind == kind


def test_tests_are_named_for_their_source() -> None:
    paths = ("a/session.py", "tests/test_session.py", "session.spec.ts", "SessionTest.java", "session_test.go")
    assert {kinds.name_of(path).core for path in paths} == {"session"}
    assert kinds.nearness("a/b", "a/b") == 1.0 > kinds.nearness("a/b", "a") > kinds.nearness("a/b", "c")


def test_query_splits_names_and_leaves_out_what_every_instruction_says() -> None:
    query = read_query("fix the `getURLPath` of HTTPServer when closing")
    assert {"getURLPath", "HTTPServer"} <= query.names.keys()
    assert {"get", "url", "path", "http", "server", "closing"} <= query.words.keys()
    assert not {"fix", "the", "of"} & query.words.keys()


@needs_git
def test_log_is_read_as_git_wrote_it(checkout: Checkout) -> None:
    checkout.commit("first", {"a.txt": b"".join(numbered(4)), "b.txt": b"--- not a header\n"})
    checkout.commit("second: ü", {"a.txt": b"line 1\nnew\nline 3\nline 4\nline 5\n", "b.txt": None, "name with space.py": b"x\n"})
    records = read_log(str(checkout.root))
    assert records is not None
    assert [record.subject for record in records] == ["second: ü", "first"]
    second = {new or old: (old, new, hunks) for old, new, hunks in records[0].files}
    assert second["a.txt"] == ("a.txt", "a.txt", (Hunk(2, 1, 2, 1), Hunk(4, 0, 5, 1)))
    assert second["b.txt"] == ("b.txt", "", (Hunk(1, 1, 0, 0),))
    assert second["name with space.py"] == ("", "name with space.py", (Hunk(0, 0, 1, 1),))


def test_a_removed_line_that_looks_like_a_header_is_none() -> None:
    head = [b"\x01subject\n", b"diff --git a.txt a.txt\n", b"--- a.txt\n", b"+++ a.txt\n"]
    found = list(parse_log([*head, b"@@ -1 +0,0 @@\n", b"--- b.txt\n", b"+++ c.txt\n"]))
    assert found == [Record("subject", (("a.txt", "a.txt", (Hunk(1, 1, 0, 0),)),))]


@needs_git
def test_lines_and_names_of_the_past_are_those_of_today(checkout: Checkout) -> None:
    lines = numbered(30)
    checkout.commit("all", {"old.txt": b"".join(lines)})
    lines[19] = b"changed 20\n"
    checkout.commit("change 20", {"old.txt": b"".join(lines)})
    checkout.git("mv", "old.txt", "new.txt")
    lines[4:4] = [b"inserted\n"] * 3
    checkout.commit("rename, insert three after 4", {"new.txt": b"".join(lines)})
    del lines[:2]
    checkout.commit("delete two", {"new.txt": b"".join(lines)})
    history = History.build(read_log(str(checkout.root)) or [])
    assert history.paths == ["new.txt"]
    assert history.commits == [[0], [0], [0], [0]]
    changes = {change.commit: change for change in history.changes("new.txt")}
    assert lines[changes[2].first_line - 1] == b"changed 20\n"
    assert (changes[1].first_line, changes[1].last_line) == (3, 5)


@needs_git
def test_history_is_kept_and_only_newer_commits_are_read(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    index = MemoryIndex(lambda blob: b"")
    index.root = str(checkout.root)
    assert open_history(index) is None  # no commit yet
    checkout.commit("one", {"a.txt": b"1\n", "b.txt": b"1\n"})
    assert read_head(str(checkout.root)) == checkout.git("rev-parse", "HEAD").strip()
    first = open_history(index)
    assert first is not None and first.subjects == ["one"]
    checkout.git("mv", "a.txt", "c.txt")
    checkout.commit("two", {"b.txt": b"2\n"})
    checkout.git("pack-refs", "--all")
    second = open_history(index)
    whole = History.build(read_log(str(checkout.root)) or [])
    assert second is not None and second.subjects == whole.subjects == ["two", "one"]
    for history in (second, whole):
        assert [{history.paths[member] for member in members} for members in history.commits] == [{"c.txt", "b.txt"}] * 2
        assert [change[1:] for change in history.changes("b.txt")] == [(1, 1), (1, 1)]
    checkout.git("reset", "-q", "--hard", "HEAD~1")
    assert [*(open_history(index) or first).subjects] == ["one"]  # HEAD went back: read anew
    monkeypatch.setenv("PATH", os.devnull)
    assert [*(open_history(index) or second).subjects] == ["one"]  # kept: git is not asked
    index.put_meta("rank.history", b"damaged")
    assert open_history(index) is None


def test_without_a_repository_there_is_no_history(tmp_path: Path) -> None:
    index = MemoryIndex(lambda blob: b"")
    index.root = str(tmp_path)
    assert read_head(str(tmp_path)) == "" and open_history(index) is None


def test_a_score_is_the_sum_of_its_factors() -> None:
    index = index_of(FILES)
    past = History.build([Record("close sessions", (("CHANGES.md", "CHANGES.md", ()), ("src/app/session.py", "src/app/session.py", ())))])
    for history in (None, past):
        found = rank(index, Target("src/app/session.py"), "close the session", history).scores
        assert {scored.path for scored in found} == FILES.keys() - {"src/app/session.py"}
        assert [scored.total for scored in found] == sorted((scored.total for scored in found), reverse=True)
        for scored in found:
            assert scored.total == pytest.approx(sum(scored.factors.values()))
        together = {scored.path for scored in found if "together" in scored.factors}
        assert together == ({"CHANGES.md"} if history else set())


def test_related_files_come_before_unrelated_ones() -> None:
    order = [scored.path for scored in rank_files(index_of(FILES), Target("src/app/session.py"), "close the session on errors")]
    assert order.index("tests/test_session.py") < order.index("src/app/colours.py")


def test_no_target_and_an_unknown_one_are_scored_by_the_instruction_alone() -> None:
    for target in (Target(None), Target("src/app/new.py")):
        order = [scored.path for scored in rank_files(index_of(FILES), target, "RED and GREEN of colours")]
        assert order[0] == "src/app/colours.py" and len(order) == len(FILES)


def test_factors_are_crossed_with_kinds() -> None:
    row = crossed({"together": 0.5, "near": 1.0}, "test", "code")
    assert row == {"together": 0.5, "near": 1.0, "together.test": 0.5, "code-test": 1.0}


def test_weights_say_where_they_come_from() -> None:
    assert weights("from").keys() == {"command", "repositories"}
    for part in ("files", "files_without_history", "chunks", "chunks_without_history"):
        assert "base" in weights(part) and all(isinstance(value, float) for value in weights(part).values())
    for part in ("files_without_history",):
        assert not {"together", "often", "said", "lately", "beside"} & weights(part).keys()
