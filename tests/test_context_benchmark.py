"""The benchmark of cw-context: which commits make questions, what counts as found, and that every method keeps to its budget."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("numpy")  # of the fitting command, whose trees the benchmark walks

from benchmarks import context  # noqa: E402
from benchmarks.context_baselines import BASELINES  # noqa: E402
from benchmarks.context_commits import Blobs, Repository, clone_name, tree  # noqa: E402
from benchmarks.context_fit import walk  # noqa: E402
from benchmarks.context_memory import MemoryIndex  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def lines(name: str, count: int = 20) -> str:
    """A file of functions."""
    return "".join(f"def {name}_{number}(value):\n    return value + {number}\n\n" for number in range(count))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of seven commits, two of which make questions."""
    root = tmp_path_factory.mktemp("clones") / "sample"
    root.mkdir()
    texts = {"src/alpha.py": lines("alpha"), "src/beta.py": "import alpha\n" + lines("beta"), "tests/test_alpha.py": lines("test_alpha"),
             "README.md": "# Sample\n", "uv.lock": "1\n", **{f"many/m{number}.py": "x = 1\n" for number in range(9)}}

    def commit(message: str, changed: dict[str, str], author: str = "A <a@example.org>") -> None:
        for name, text in changed.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            texts[name] = text
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        for command in (["add", "-A"], ["commit", "-q", "-m", message, f"--author={author}"]):
            subprocess.run(["git", "-C", str(root), *identity, *command], check=True)

    subprocess.run(["git", "init", "-q", str(root)], check=True)
    commit("start", dict(texts))
    commit("alpha_3 adds five", {
        "src/alpha.py": texts["src/alpha.py"].replace("value + 3\n", "value + 5\n"),
        "tests/test_alpha.py": texts["tests/test_alpha.py"].replace("value + 3\n", "value + 5\n") + "def test_last():\n    pass\n",
    })
    commit("indent", {"src/alpha.py": texts["src/alpha.py"].replace("    return", "  return"),
                      "src/beta.py": texts["src/beta.py"].replace("    return", "  return")})
    commit("nine", {f"many/m{number}.py": "x = 2\n" for number in range(9)})
    commit("by a program", {"src/alpha.py": "#\n" + texts["src/alpha.py"], "src/beta.py": "#\n" + texts["src/beta.py"]}, "d[bot] <d@x>")
    commit("one and its lock", {"src/alpha.py": texts["src/alpha.py"] + "x = 1\n", "uv.lock": "2\n"})
    commit("beta_7 doubles", {"src/beta.py": texts["src/beta.py"].replace("value + 7\n", "2 * value\n"),
                              "README.md": "# Sample\n\nbeta_7\n", "src/new.py": "y = 1\n"})
    return root


def test_questions(clone: Path) -> None:
    repository = Repository(clone, 100)
    newest, oldest = repository.questions(10)
    assert (newest.subject, newest.target) == ("beta_7 doubles", "src/beta.py")
    assert [(file.path, file.spans) for file in newest.others] == [("README.md", ((1, 2),))]  # an insertion after line 1
    assert (oldest.subject, oldest.target) == ("alpha_3 adds five", "src/alpha.py")
    assert [(file.path, file.spans) for file in oldest.others] == [("tests/test_alpha.py", ((11, 11), (60, 61)))]
    assert [record.subject for record in repository.before(oldest.parent)] == ["start"]
    assert clone_name(Path("/a/b+c/repo")) == "b+c" and clone_name(Path("/a/flask.git")) == "flask"


def test_what_counts_as_found(clone: Path) -> None:
    repository = Repository(clone, 100)
    question = list(repository.questions(10))[1]
    blobs = Blobs(repository.folder)
    index = MemoryIndex(blobs.read)
    index.move(tree(repository.folder, question.parent))
    blobs.close()
    assert index.by_path["tests/test_alpha.py"].lines == 60  # the insertion at its end has one neighbour
    assert context.covered(question, [], index) == (0.0, 0.0)
    assert context.covered(question, [("tests/test_alpha.py", 1, 1)], index) == (1.0, 0.0)
    assert context.covered(question, [("tests/test_alpha.py", 11, 11)], index) == (1.0, 0.5)
    assert context.covered(question, [("tests/test_alpha.py", 60, 60)], index) == (1.0, 0.5)
    assert context.covered(question, [("src/beta.py", 1, 60)], index) == (0.0, 0.0)


def test_every_method_keeps_to_its_budget(clone: Path) -> None:
    def count(text: bytes) -> int:
        return len(text) // 3 + 1

    methods = [*BASELINES, context.OURS_WITHOUT, context.OURS]
    records = context.measure(clone, 10, [100, 2000], methods, count)
    assert len(records) == 2 * 2 * len(methods)
    assert all(0.0 <= record["files"] <= 1.0 and 0.0 <= record["hunks"] <= 1.0 for record in records)
    table = context.table(records, methods, [100, 2000])
    assert all(method in table for method in methods) and "sample" in table
    for question, index, _ in walk(clone, 10):
        for method, choose in BASELINES.items():
            shown = choose(index, context.Target(question.target), question.subject, 100, count)
            size = sum(count(b"".join(index.read(index.by_path[path]).splitlines(True)[first - 1:last])) for path, first, last in shown)
            assert size <= 100 + len(shown), method
            assert question.target not in {path for path, _, _ in shown}, method


def test_a_missing_clone_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        context.main(["run", "--repository", "/nowhere/at/all"])
    assert caught.value.code == 2 and "/nowhere/at/all: no such folder" in capsys.readouterr().err
