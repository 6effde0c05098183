"""cw-diff of folders: git's headers, renames and copies; git apply makes the new folder of the old one; forms of output."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell.apply import cw_diff, diff_binary, diff_forms, unified
from cromwell.apply.unified import Version
from cromwell.binding import diff_lines
from cromwell.contract import cli

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(*arguments: str, cwd: Path, text: bytes = b"") -> bytes:
    result = subprocess.run(["git", *arguments], cwd=cwd, input=text, capture_output=True, check=False, env=ENVIRONMENT)
    assert result.returncode in (0, 1), result.stderr.decode()
    return result.stdout


def run(capsysbinary, *arguments: str) -> tuple[int, bytes, str]:
    code = cli.run(cw_diff.app, arguments)
    out, err = capsysbinary.readouterr()
    return code, out, err.decode()


def lines(count: int, word: str, seed: int = 0) -> bytes:
    generator = random.Random(f"{word}{seed}")
    return b"".join(b"%s %d %d\n" % (word.encode(), number, generator.randrange(100)) for number in range(count))


Content = bytes | tuple[str, bytes]  # bytes, or ("link", target) or ("executable", bytes)
NOISE = random.Random(3).randbytes(5000)
OLD: dict[str, Content] = {
    "renamed.txt": lines(50, "x"), "same": lines(40, "y"), "mode": b"1\n", "mode and text": b"1\n", "link": ("link", b"x"),
    "link to file": ("link", b"x"), "file to link": b"f", "binary": b"\0abc\n" * 50, "binary gone": bytes(range(255, -1, -1)),
    "caf\u00e9": b"1", 'q"t\t': b"1\n", "file to folder": b"1\n", "folder to file/z": b"hello\n", "emptied": b"x\n", "empty": b"",
    "source": lines(30, "m"), "crlf": b"1\r\n2\r\n", "noise": NOISE, "deep/er/a.py": lines(20, "p"), "gone/for/good": b"1\n",
    "unchanged": b"same\n", "a.b": b"1\n", "a/b": b"1\n", "a-b": b"1\n", "no newline": b"a\nb", "long": b"x" * 1000 + b"\n" + b"y" * 70,
}  # fmt: skip
NEW: dict[str, Content] = {
    "d/renamed2.txt": lines(50, "x") + b"more\n", "d/same": lines(40, "y"), "same2": lines(40, "y"), "mode": ("executable", b"1\n"),
    "mode and text": ("executable", b"2\n"), "link": ("link", b"y"), "link to file": b"file\n", "file to link": ("link", b"f"),
    "binary": b"\0abc\n" * 20 + b"q" + b"\0abc\n" * 30, "binary made": bytes(range(256)), "caf\u00e9": b"2", 'q"t\t': b"2",
    "file to folder/g": b"other\n", "folder to file": b"there\n", "emptied": b"", "empty2": b"", "source": lines(30, "m") + b"z\n",
    "copy": lines(30, "m") + b"u\n", "crlf": b"1\n2\r\n", "d/e/noise": NOISE[:3000] + b"k" + NOISE[3000:],
    "deep/other/a.py": lines(15, "p") + lines(5, "q"), "unchanged": b"same\n", "a.b": b"2\n", "a/b": b"2\n", "a-b": b"2\n",
    "no newline": b"a\nc", "long2": b"x" * 1000 + b"\n" + b"y" * 71 + b"\n",
}  # fmt: skip


def make(root: Path, files: dict[str, Content]) -> Path:
    root.mkdir()
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind, data = content if isinstance(content, tuple) else ("", content)
        if kind == "link":
            os.symlink(data, path)
        else:
            path.write_bytes(data)
            path.chmod(0o755 if kind else 0o644)
    return root


def tree(root: Path) -> dict[str, Content]:
    """What `make` would make the folder of, .git left out."""
    found: dict[str, Content] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", os.fsencode(os.readlink(path)))
        elif path.is_file() and not name.startswith(".git/"):
            found[name] = ("executable", path.read_bytes()) if path.stat().st_mode & 0o100 else path.read_bytes()
    return found


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The current folder, with two versions of a folder."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "old", OLD), make(tmp_path / "new", NEW)
    return tmp_path


def headers(text: bytes) -> list[list[bytes]]:
    """Of every file's part the lines before its first hunk."""
    parts: list[list[bytes]] = []
    in_header = False
    for line in text.split(b"\n"):
        if line.startswith(b"diff --git"):
            parts.append([])
            in_header = True
        elif line.startswith(b"@@ "):
            in_header = False
        if in_header:
            parts[-1].append(line)
    return parts


def within(part: list[bytes]) -> list[bytes]:
    """A header of git's with the folders' names taken out."""
    part = [re.sub(rb"((?:^| |\")[ab]/)(?:old|new)/", rb"\1", line) for line in part]
    part = [re.sub(rb"((?:rename|copy) (?:from|to) \"?)(?:old|new)/", rb"\1", line) for line in part]
    # One name twice, with one prefix before it, for a file made or deleted.
    part[0] = re.sub(rb'diff --git ("?)[ab]/(.*)\1 \1[ab]/\2\1$', rb"diff --git \1a/\2\1 \1b/\2\1", part[0])
    return part


@needs_git
@pytest.mark.parametrize("options", [[], ["-C"], ["-M90%"], ["--no-renames"], ["-U0"], ["--text"], ["-M", "20"]])
def test_headers_are_git_s(options, folders, capsysbinary):
    ours = headers(run(capsysbinary, *options, "old", "new")[1])
    command = ["diff", "--no-index", "--full-index", "--histogram", *("".join(options).split() if "-M" in options else options)]
    theirs = [within(part) for part in headers(git(*command, "old", "new", cwd=folders))]
    assert len(ours) > 20 and ours == theirs


@needs_git
@pytest.mark.parametrize("options", [[], ["-C"], ["--no-renames"], ["-U0"], ["--algorithm", "minimal"]])
def test_git_apply_makes_the_new_folder(options, folders, capsysbinary):
    text = run(capsysbinary, "--binary", *options, "old", "new")[1]
    git("init", "-q", cwd=folders / "old")
    git("apply", "--whitespace=nowarn", *(["--unidiff-zero"] if "-U0" in options else []), cwd=folders / "old", text=text)
    assert tree(folders / "old") == NEW
    git("apply", "-R", "--whitespace=nowarn", *(["--unidiff-zero"] if "-U0" in options else []), cwd=folders / "old",
        text=run(capsysbinary, "--binary", "--no-renames", *[one for one in options if one not in ("-C", "--no-renames")],
                 str(make(folders / "again", OLD)), "new")[1])
    assert tree(folders / "old") == OLD


@needs_git
def test_stat_is_git_s(folders, capsysbinary):
    root = make(folders / "repository", OLD)
    git("init", "-q", cwd=root)
    commit = ["-c", "user.name=n", "-c", "user.email=e", "-c", "core.quotePath=true", "commit", "-qam", "m"]
    git("add", "-A", cwd=root)
    git(*commit, cwd=root)
    for path in [path for path in root.iterdir() if path.name != ".git"]:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.copytree(folders / "new", root, symlinks=True, dirs_exist_ok=True)
    git("add", "-A", cwd=root)
    theirs = git("diff", "--cached", "--stat=80", "--histogram", cwd=root).decode().splitlines()
    ours = run(capsysbinary, "--stat", "old", "new")[1].decode().splitlines()
    # Git counts a file that becomes a link once, as changed; and its names set the width.
    changed = {"link to file", "file to link"}
    shown = [sorted(" ".join(line.split()) for line in side[:-1] if line.split("|")[0].strip() not in changed) for side in (ours, theirs)]
    assert shown[0] == shown[1] and len(shown[0]) > 15


def test_folders_and_forms(folders, capsysbinary):
    assert run(capsysbinary, "old", "old") == (0, b"", "")
    assert run(capsysbinary, "--exit-code", "--stat", "old", "new")[0] == 1
    files = {entry["path"]: entry for entry in json.loads(run(capsysbinary, "--json", "old", "new")[1])["files"]}
    assert files["d/same"]["status"] == "renamed" or files["same2"]["status"] == "renamed"
    moved = files["d/renamed2.txt"]
    assert (moved["old_path"], moved["similarity"], moved["added_lines"]) == ("renamed.txt", 98, 1)
    assert files["binary"]["binary"] and files["gone/for/good"]["status"] == "deleted" and files["mode"]["hunks"] == []
    made = headers(run(capsysbinary, "/dev/null", "new")[1])
    assert len(made) == len(NEW) and all(part[1].startswith(b"new file mode") for part in made)
    (folders / "new" / ".git").mkdir()
    (folders / "new" / ".git" / "config").write_bytes(b"1")
    assert b".git/config" not in run(capsysbinary, "old", "new")[1]


@pytest.mark.parametrize("arguments, words", [
    (["old", "new/mode"], "new/mode: is not a folder"), (["old", "gone"], "gone: no such folder"), (["-", "new"], "standard input: is not"),
    (["--path", "x", "old", "new"], "goes with two files"), (["old/mode", "new"], "old/mode: is not a folder"),
    (["--text", "--binary", "old", "new"], "exclude"), (["-C", "--no-renames", "old", "new"], "exclude"), (["-M0", "old", "new"], "-M"),
])
def test_bad_folders(arguments, words, folders, capsysbinary):
    code, out, err = run(capsysbinary, *arguments)
    assert (code, out) == (2, b"") and words in err.splitlines()[0] and "Traceback" not in err


def test_a_pipe_in_a_folder(folders, capsysbinary):
    os.mkfifo(folders / "new" / "pipe")
    code, out, err = run(capsysbinary, "old", "new")
    assert (code, out) == (2, b"") and err.startswith("error: new/pipe: is not a regular file")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=400), st.integers(0, 3))
def test_deltas_make_the_new_bytes(old, new, times):
    old, new = old * 7 ** times, (old * 7 ** times + new) if times else new
    made = diff_binary.delta(old, new)
    assert patched(made, old) == new


def patched(delta: bytes, old: bytes) -> bytes:
    """A pack delta applied, as gitformat-pack describes it."""
    at, sizes, out = 0, [0, 0], bytearray()
    for which in range(2):
        shift = 0
        while True:
            byte = delta[at]
            at += 1
            sizes[which] |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
    while at < len(delta):
        flags = delta[at]
        at += 1
        if flags & 0x80:
            numbers = [0] * 7
            for bit in range(7):
                if flags >> bit & 1:
                    numbers[bit] = delta[at]
                    at += 1
            first, size = int.from_bytes(numbers[:4], "little"), int.from_bytes(numbers[4:], "little")
            out += old[first:first + size]
        else:
            out += delta[at:at + flags]
            at += flags
    assert sizes == [len(old), len(out)]
    return bytes(out)


def test_changed_words_are_marked():
    old = b"def f(width, height):\n    return width * height\nkeep\n"
    new = b"def f(width, depth):\n    return width * depth\nkeep\n"
    text = diff_forms.colored(unified.compare(b"f", Version(old), Version(new)))
    assert b"\x1b[31m-def f(width, \x1b[7mheight\x1b[27m):\x1b[m\n" in text
    assert b"\x1b[32m+    return width * \x1b[7mdepth\x1b[27m\x1b[m\n" in text and b"\n keep\n" in text
    unlike = diff_forms.colored(unified.compare(b"f", Version(b"alpha beta\n"), Version(b"1 2 3\n")))
    assert b"\x1b[7m" not in unlike


LINES = st.sampled_from([b"a b\n", b"a c\n", b"\n", b"\r\n", b"\\ x\n", b"-\n", b"@@ d\n", b"e"])
SIDES = st.one_of(st.binary(max_size=80), st.lists(LINES, max_size=20).map(b"".join))


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES)
def test_colours_leave_the_text(old, new):
    diff = unified.compare(b"f", Version(old.replace(b"\x1b", b"")), Version(new.replace(b"\x1b", b"")))
    if diff:
        assert re.sub(rb"\x1b\[[0-9]*m", b"", diff_forms.colored(diff)) == unified.write(diff)


@needs_git
def test_as_many_lines_change_as_in_git_s(tmp_path):
    """Modules with lines changed, added, removed and blocks moved: histogram within 2% of git's, minimal never more than git's."""
    generator = random.Random(8)
    pairs = []
    for number, path in enumerate(sorted(Path(os.__file__).parent.glob("[a-h]*.py"))[:24]):
        old = unified.split_lines(path.read_bytes())
        new = list(old)
        for _ in range(len(old) // 15):
            place, size = generator.randrange(len(new) or 1), generator.randrange(6)
            moved = new[place:place + size]
            new[place:place + size] = generator.choice([[], [b"    pass\n"], [b"\n", *moved], [line.upper() for line in moved]])
            if generator.random() < 0.1:
                to = generator.randrange(len(new) or 1)
                new[to:to] = moved
        pairs.append((b"".join(old), b"".join(new)))
        for side, data in zip("ab", pairs[-1], strict=True):
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / str(number)).write_bytes(data)
    for algorithm in ("histogram", "minimal"):
        ours = sum(change[1] + change[3] for old, new in pairs for change in diff_lines(old, new, algorithm))
        table = git("diff", "--no-index", "--no-renames", "--numstat", f"--diff-algorithm={algorithm}", "a", "b", cwd=tmp_path)
        theirs = sum(int(line.split()[0]) + int(line.split()[1]) for line in table.splitlines())
        assert ours <= theirs * (1.02 if algorithm == "histogram" else 1)
        assert ours > 1000
