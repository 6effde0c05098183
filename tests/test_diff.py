"""Line differences through the binding, unified diff text against git's, and the command cw-diff."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cromwell
from cromwell.apply import cw_diff, unified
from cromwell.apply.unified import Version, split_lines
from cromwell.binding import diff_lines
from cromwell.contract import artifact, cli

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"    c\n", b"\n", b"\r\n", b"\0\n", b"\x0c\n", b"d"]), max_size=40)


def rebuilt(old: bytes, new: bytes) -> bytes:
    """The new text from the old one and the changes, after checking their order."""
    old_lines, new_lines = split_lines(old), split_lines(new)
    pieces: list[bytes] = []
    old_at = new_at = 0
    for index, (old_first, old_count, new_first, new_count) in enumerate(diff_lines(old, new)):
        assert old_count or new_count
        assert old_first - old_at == new_first - new_at and (old_first > old_at or index == 0)
        pieces += old_lines[old_at:old_first] + new_lines[new_first:new_first + new_count]
        old_at, new_at = old_first + old_count, new_first + new_count
    return b"".join(pieces + old_lines[old_at:])


@settings(max_examples=250, deadline=None)
@given(st.one_of(LINES.map(b"".join), st.binary(max_size=60)), st.one_of(LINES.map(b"".join), st.binary(max_size=60)))
def test_changes_rebuild_the_new_text(old, new):
    assert rebuilt(old, new) == new
    assert (diff_lines(old, new) == []) == (old == new)


def test_changes_go_where_a_reader_expects_them():
    def added(old: bytes, new: bytes) -> bytes:
        ((_old_first, old_count, first, count),) = diff_lines(old, new)
        assert old_count == 0
        return b"".join(split_lines(new)[first:first + count])

    first, second, third = (b"def %s():\n    if x:\n        return 1\n\n" % name for name in (b"f", b"g", b"h"))
    assert added(first + third, first + second + third) == second
    loop = b"  for (;;) {\n    step(%d);\n  }\n"
    assert added(b"{\n" + loop % 1 + b"}\n", b"{\n" + loop % 1 + loop % 2 + b"}\n") == loop % 2
    case = b"# about %s\n%s = 1\n\n"
    first, second, third = (case % (name, name) for name in (b"a", b"b", b"c"))
    assert added(first + third, first + second + third) == second


def test_ten_thousand_lines_take_milliseconds():
    generator = random.Random(5)
    lines = [b"line %d of %d\n" % (number % 700, number) for number in range(10_000)]
    edited = list(lines)
    for place in generator.sample(range(10_000), 100):
        edited[place] = b"edited\n" * generator.randrange(3)
    best = min(timed(b"".join(lines), b"".join(edited)) for _ in range(5))
    assert best < 0.05, f"{best * 1000:.1f} ms"


def timed(old: bytes, new: bytes) -> float:
    start = time.process_time()
    diff_lines(old, new)
    return time.process_time() - start


# ---- Text --------------------------------------------------------------------------------------------------------------------


def git_diff(old: bytes, new: bytes, context: int, folder: Path) -> bytes:
    (folder / "old").write_bytes(old)
    (folder / "new").write_bytes(new)
    command = ["git", "diff", "--no-index", "--text", "--full-index", f"-U{context}", "old", "new"]
    result = subprocess.run(command, cwd=folder, capture_output=True, check=False,
                            env={"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"})
    return result.stdout.replace(b"b/new", b"b/old")


@pytest.mark.parametrize("context", [0, 1, 3])
def test_text_is_git_s(context, tmp_path):
    """Single replaced, added and removed lines leave no choice: the text must be git's to the byte."""
    generator = random.Random(context)
    for _ in range(25):
        lines = [b"%s%d\r\n" % (generator.choice([b"def f", b"  ", b"\t", b"# caf\xc3\xa9 "]), number) for number in range(60)]
        lines[-1] = lines[-1].rstrip() if generator.random() < 0.5 else lines[-1]
        edited = list(lines)
        for place in sorted(generator.sample(range(60), 4), reverse=True):
            edited[place:place + generator.randrange(2)] = [b"new %d\n" % place] * generator.randrange(2)
        old, new = b"".join(lines), b"".join(edited)
        diff = unified.compare(b"old", Version(old), Version(new), context)
        assert (unified.write(diff) if diff else b"") == git_diff(old, new, context, tmp_path)


# ---- The command -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with two versions of a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.py").write_bytes(b"a = 1\nb = 2\n")
    (tmp_path / "new.py").write_bytes(b"a = 1\nb = 3\n")
    return tmp_path


def run(capsysbinary, *arguments: str) -> tuple[int, bytes, str]:
    code = cli.run(cw_diff.app, arguments)
    out, err = capsysbinary.readouterr()
    return code, out, err.decode()


TEXT = (b"diff --git a/old.py b/old.py\nindex 223ca50d99502c4cf15a026d366965225e573961..2641db45a942b78cadc384f3dd6fb18624ea917f 100644\n"
        b"--- a/old.py\n+++ b/old.py\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n")


def edit(path: str = "./pkg/app.py", mode: str = "0644", best: int | None = 1) -> artifact.Artifact:
    """An edit with two candidates for the second line of a file."""
    target = b"one\r\ntwo\r\nthree"
    region = {"start_line": 2, "end_line": 2, "start_byte": 5, "end_byte": 10}
    candidates = [{"accepted": True, "reason": None, "log_probability": -1.0, "tokens": 2, "stop": "token"}] * 2
    meta = {"path": path, "region": region, "eol": "crlf", "encoding": "utf-8", "mode": mode, "instruction": "shout", "model": None,
            "candidates": candidates, "best": best}
    arrays = {"target": artifact.bytes_array(target), "candidate.0": artifact.bytes_array(b"2\r\n"),
              "candidate.1": artifact.bytes_array(b"TWO\r\n")}
    return artifact.Artifact("edit", meta, arrays, [artifact.lineage_entry("cw-generate", {}, {}, None, 0)])


def write_edit(path: Path, **options) -> None:
    with open(path, "wb") as stream:
        artifact.write(edit(**options), stream)


def test_two_files(folder, capsysbinary):
    assert run(capsysbinary, "old.py", "new.py") == (0, TEXT, "")
    assert run(capsysbinary, "--exit-code", "old.py", "new.py")[0] == 1
    assert run(capsysbinary, "--exit-code", "old.py", "old.py") == (0, b"", "")
    assert run(capsysbinary, "--path", "src/x.py", "old.py", "new.py")[1].startswith(b"diff --git a/src/x.py b/src/x.py\n")
    (folder / "deep").mkdir()
    os.chdir(folder / "deep")
    assert b"a/old.py" in run(capsysbinary, "../old.py", "../new.py")[1], "a name that could never apply is cut to its last part"


def test_missing_sides_and_modes(folder, capsysbinary):
    assert b"new file mode 100644\nindex 0000000000" in run(capsysbinary, "/dev/null", "new.py")[1]
    assert b"deleted file mode 100644\n" in run(capsysbinary, "old.py", "/dev/null")[1]
    (folder / "new.py").write_bytes(b"a = 1\nb = 2\n")
    (folder / "new.py").chmod(0o755)
    assert run(capsysbinary, "old.py", "new.py")[1] == b"diff --git a/old.py b/old.py\nold mode 100644\nnew mode 100755\n"


def test_forms(folder, capsysbinary):
    assert run(capsysbinary, "--stat", "old.py", "new.py")[1] == b" old.py | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n"
    document = json.loads(run(capsysbinary, "--json", "old.py", "new.py")[1])
    assert document["version"] == 1 and document["files"][0]["hunks"] == [
        {"old_start_line": 1, "old_lines": 2, "new_start_line": 1, "new_lines": 2}]
    assert run(capsysbinary, "--artifact", "-o", "d.cwa", "old.py", "new.py")[0] == 0
    with open("d.cwa", "rb") as stream:
        made = artifact.read(stream, "d.cwa", {"diff"})
    assert made.arrays["diff"].data == run(capsysbinary, "old.py", "new.py")[1] and made.meta["paths"] == ["old.py"]


def test_edit(folder, capsysbinary):
    write_edit(folder / "e.cwa")
    code, out, _err = run(capsysbinary, "e.cwa")
    assert code == 0 and out.startswith(b"diff --git a/pkg/app.py b/pkg/app.py\nindex ")
    assert out.endswith(b"@@ -1,3 +1,3 @@\n one\r\n-two\r\n+TWO\r\n three\n\\ No newline at end of file\n")
    assert b"+2\r\n" in run(capsysbinary, "-n", "0", "e.cwa")[1]
    run(capsysbinary, "--artifact", "-o", "d.cwa", "e.cwa")
    with open("d.cwa", "rb") as stream:
        assert [entry["tool"] for entry in artifact.read(stream, "d.cwa").lineage] == ["cw-generate", "cw-diff"]
    write_edit(folder / "none.cwa", best=None)
    assert run(capsysbinary, "none.cwa")[0] == 4
    assert run(capsysbinary, "-n", "7", "e.cwa")[0] == 2


@pytest.mark.parametrize("arguments, words", [
    (["gone.py", "old.py"], "gone.py: no such file"), ([".", "old.py"], "is a folder"), (["old.py"], "old.py"),
    (["a", "b", "c"], "3 files given"), (["-n", "0", "old.py", "new.py"], "goes with an edit"), (["--text", "old.py"], "go with two files"),
    (["-", "-"], "cannot be both"), (["-U", "x", "old.py", "new.py"], "-U"),
])
def test_bad_input(arguments, words, folder, capsysbinary):
    (folder / "binary").write_bytes(b"\0")
    code, out, err = run(capsysbinary, *arguments)
    assert (code, out) == (2, b"") and err.startswith("error: ") and words in err.splitlines()[0] and "Traceback" not in err


def test_as_a_process(folder):
    """From a pipe, and without the imports that make a start slow."""
    write_edit(folder / "e.cwa")
    program = ("import sys\nfrom cromwell.apply import cw_diff\nfrom cromwell.contract import cli\ncode = cli.run(cw_diff.app, [])\n"
               "slow = {'numpy', 'torch', 'PIL', 'typer', 'rich'} & set(sys.modules)\nsys.exit(code if not slow else 99)")
    result = subprocess.run([sys.executable, "-c", program], stdin=open("e.cwa", "rb"), capture_output=True, check=False,
                            env={**os.environ, "PYTHONPATH": str(Path(cromwell.__path__[0]).absolute().parent)})
    assert result.returncode == 0 and result.stdout.startswith(b"diff --git a/pkg/app.py"), result.stderr


PLAIN = ("old", "new")
LONG = b"def f\n" + b" x\n" * 9


@pytest.mark.parametrize("old, new, names", [
    (b"a\nb\n", b"a\nc\n", PLAIN), (b"a\nb", b"a\nb\n", PLAIN), (b"", b"x", PLAIN), (b"same\n", b"same\n", PLAIN), (b"\0", b"1", PLAIN),
    (LONG, LONG[:-3], PLAIN), (b"a", b"b", ("sub/old", "new")), (b"a", b"b", ("./old", "new")), (b"a", b"b", ("old", "gone")),
    (b"a", b"b", ("old", "run")), (b"a", b"b", ("old", "sub")), (b"a", b"b", ("--stat", "old")),
])
def test_the_quick_start_writes_the_same(old, new, names, tmp_path):
    """Through a pipe, both ways of starting give the same bytes, words and exit code."""
    (tmp_path / "sub").mkdir()
    for name, data in (("old", old), ("sub/old", old), ("new", new), ("run", new)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "run").chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(Path(cromwell.__path__[0]).absolute().parent)}
    results = []
    for module in ("cw_diff", "diff_start"):
        program = f"import sys; sys.argv[0] = 'cw-diff'; from cromwell.apply.{module} import main; main()"
        result = subprocess.run([sys.executable, "-c", program, *names], cwd=tmp_path, env=environment, capture_output=True, check=False)
        results.append((result.returncode, result.stdout, result.stderr))
    assert results[0] == results[1]


def test_the_quick_start_loads_little(folder):
    program = ("import os, sys\nbefore, leave = set(sys.modules), os._exit\n"
               "os._exit = lambda code: leave(99 if {'re', 'typing', 'click', 'hashlib'} & set(sys.modules) - before else code)\n"
               "from cromwell.apply.diff_start import main\nmain()")
    result = subprocess.run([sys.executable, "-c", program, "old.py", "new.py"], capture_output=True, check=False,
                            env={**os.environ, "PYTHONPATH": str(Path(cromwell.__path__[0]).absolute().parent)})
    assert (result.returncode, result.stdout) == (0, TEXT), result.stderr
