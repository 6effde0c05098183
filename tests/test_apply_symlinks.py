"""cw-apply --symlinks: links are made, changed, moved and deleted as git does, and never followed; with cw-diff, which writes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import cromwell
from cromwell.apply import commit, cw_apply, cw_diff, unified
from cromwell.apply.errors import Refused
from cromwell.apply.tree import Tree
from cromwell.apply.unified import Version
from cromwell.contract import cli

SITE = str(Path(cromwell.__path__[0]).absolute().parent)
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
Files = dict[str, tuple[str, bytes]]
"""By name: ("file", "run" (executable) or "link"; bytes or target)."""


@pytest.fixture
def base(monkeypatch) -> Iterator[Path]:
    """A folder in memory where there is /dev/shm."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None, prefix="cromwell-test-") as folder:
        monkeypatch.setenv("CROMWELL_STATE", f"{folder}/state")
        yield Path(folder)


def put(root: Path, files: Files) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, (kind, data) in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "link":
            os.symlink(data, os.fsencode(path))
        else:
            path.write_bytes(data)
            path.chmod(0o755 if kind == "run" else 0o644)
    return root


def contents(root: Path) -> Files:
    found: Files = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = "link", os.readlink(os.fsencode(path))
        elif path.is_file() and not name.startswith(".git/"):
            found[name] = "run" if path.stat().st_mode & 0o100 else "file", path.read_bytes()
    return found


def part(name: str, old: bytes | None, new: bytes | None, link: bool = True) -> bytes:
    before, after = (None if data is None else Version(data, link=link) for data in (old, new))
    found = unified.compare(name.encode(), before, after)
    assert found is not None
    return unified.write(found)


@pytest.fixture
def apply(base, capsysbinary):
    """Runs cw-apply on `root` with a patch: (exit code, standard output, words)."""
    def run(root: Path, text: bytes | None, *options: str) -> tuple[int, bytes, str]:
        arguments = ["--root", str(root), *options]
        if text is not None:
            (base / "patch").write_bytes(text)
            arguments.append(str(base / "patch"))
        code = cli.run(cw_apply.app, arguments)
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()
    return run


OLD: Files = {
    "kept": ("link", b"file"), "file": ("file", b"1\n"), "moved": ("link", b"d/deep"), "aimed": ("link", b"here"), "gone": ("link", b"x"),
    "to file": ("link", b"file"), "to link": ("run", b"#!\n"), "d/deep": ("file", b"2\n"), "lone/link": ("link", b"../file"),
    "odd": ("link", b"caf\xc3\xa9 \xff\nx"),
}
NEW: Files = {
    "kept": ("link", b"file"), "file": ("file", b"1\n"), "d/moved": ("link", b"d/deep"), "aimed": ("link", b"/etc/passwd"),
    "to file": ("file", b"now\n"), "to link": ("link", b"d"), "d/deep": ("file", b"3\n"), "made/link": ("link", b"../.."),
    "odd": ("link", b"other\n"), "copy": ("link", b"file"),
}


def difference(old: Path, new: Path, *options: str) -> bytes:
    output = old.parent / "difference"
    assert cli.run(cw_diff.app, [*options, "-o", str(output), str(old), str(new)]) == 0
    return output.read_bytes()


# ---- What it does ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["-C"], ["--no-renames"]])
def test_all_that_can_happen_to_a_link_and_back(options, base, apply):
    root = put(base / "root", OLD)
    text = difference(root, put(base / "new", NEW), *options)
    code, out, _err = apply(root, text, "--symlinks", "--dry-run")
    assert (code, contents(root)) == (0, OLD)
    code, out, _err = apply(root, text, "--symlinks", "--json")
    assert (code, contents(root)) == (0, NEW)
    told = {(file["path"], file["status"]): file["link"] for file in json.loads(out)["files"]}
    assert told["aimed", "patched"] and told["to link", "created"] and not told["to link", "deleted"] and not told["d/deep", "patched"]
    assert told["made/link", "created"] and told["gone", "deleted"] and ("--no-renames" in options or told["d/moved", "renamed"])
    assert apply(root, None, "--undo")[0] == 0 and contents(root) == OLD and not (root / "made").exists()
    assert apply(root, None, "--undo", "2")[0] == 0 and contents(root) == NEW  # the undo, undone
    if "-C" not in options:  # a copy cannot be reversed
        assert apply(root, text, "--symlinks", "--reverse")[0] == 0 and contents(root) == OLD


def test_without_the_flag(base, apply):
    root = put(base / "root", OLD)
    for text in (part("new", None, b"x"), part("aimed", b"here", b"there"), part("gone", b"x", None),
                 b"diff --git a/moved b/m\nsimilarity index 100%\nrename from moved\nrename to m\n"):
        code, _out, err = apply(root, text)
        assert code == 3 and "a symbolic link" in err.splitlines()[0] and "--symlinks" in err.splitlines()[2] and contents(root) == OLD


def test_applied_twice(base, apply):
    root = put(base / "root", OLD)
    text = difference(root, put(base / "new", {name: entry for name, entry in NEW.items() if name != "copy"}), "--no-renames")
    assert apply(root, text, "--symlinks")[0] == 0
    after = contents(root)
    code, out, err = apply(root, text, "--symlinks", "--json")
    assert code == 0 and {file["status"] for file in json.loads(out)["files"]} == {"already applied"} and contents(root) == after, err


def test_a_failing_check_puts_links_back(base, apply):
    root = put(base / "root", OLD)
    before = {name: (root / name).lstat().st_mtime_ns for name in OLD}
    text = difference(root, put(base / "new", NEW))
    code, _out, err = apply(root, text, "--symlinks", "--check", "test -L 'to link' && rm -f aimed && ln -s elsewhere aimed && false")
    assert code == 5 and contents(root) == OLD, err
    assert {name: (root / name).lstat().st_mtime_ns for name in OLD} == before


def test_a_receipt_tells_of_links(base, apply):
    from cromwell.contract import artifact

    root = put(base / "root", OLD)
    assert apply(root, part("aimed", b"here", b"there"), "--symlinks", "--receipt", str(base / "r.cwa"))[0] == 0
    with open(base / "r.cwa", "rb") as stream:
        (file,) = artifact.read(stream, "r.cwa", {"receipt"}).meta["files"]
    assert file["link"] is True and file["status"] == "patched"


@pytest.mark.parametrize("killed", ["_replace", "_clear"])
def test_links_come_back_after_a_kill(killed, base, apply):
    """The process dies before its step, when all temporaries are written, or when everything is in place."""
    root = put(base / "root", OLD)
    (base / "p.diff").write_bytes(difference(root, put(base / "new", NEW)))
    die = f"import os, signal\nfrom cromwell.apply import commit\ncommit.{killed} = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
    program = [sys.executable, "-c", die + "from cromwell.apply.cw_apply import main; main()"]
    environment = {**os.environ, "PYTHONPATH": SITE}
    result = subprocess.run([*program, "--symlinks", "--root", root, base / "p.diff"], env=environment, capture_output=True, check=False)
    assert result.returncode == -9 and [path for path in root.rglob(".cw-apply-*")]
    program[2] = "from cromwell.apply.cw_apply import main; main()"
    result = subprocess.run([*program, "--recover", "--root", root], env=environment, capture_output=True, check=False)
    assert result.returncode == 0 and contents(root) == OLD and not [path for path in root.rglob(".cw-apply-*")], result.stderr


# ---- What it refuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, words", [
    (part("new", None, b"d") + part("new/x", None, b"1\n", link=False), "new/x: new is a symbolic link, which is never followed"),
    (part("new", None, b"/etc") + part("new/x", None, b"l"), "new/x: new is a symbolic link, which is never followed"),
    (part("gone", b"x", None) + part("gone/x", None, b"1\n", link=False), "gone: is a symbolic link"),
    (part("moved/x", None, b"1\n", link=False), "moved: is a symbolic link"), (part("moved/x", None, b"l"), "moved: is a symbolic link"),
    (b"diff --git a/moved b/m\nsimilarity index 100%\nrename from moved\nrename to m\n" + part("m/x", None, b"1\n", link=False),
     "m/x: m is a symbolic link, which is never followed"),
    (part("aimed", b"there", b"x"), "aimed: points to 'here', the patch was made from a link to 'there'"),
    (part("file", b"1", b"x"), "file: is a file, the patch was made for a symbolic link"),
    (part("aimed", b"here", b"x", link=False), "aimed: is a symbolic link, the patch was made for a file"),
    (b"--- a/aimed\n+++ b/aimed\n@@ -1 +1 @@\n-here\n\\ No newline at end of file\n+x\n\\ No newline at end of file\n",
     "aimed: is a symbolic link, the patch was made for a file"),
    (part("aimed", None, b"x"), "aimed: exists already, to here"), (part("file", None, b"x"), "file: exists already, as a file"),
    (part("aimed", None, b"x", link=False), "aimed: exists already, as a symbolic link"),
    (part("new", None, b"a\0b"), "a NUL in its target"), (part("new", None, b"x" * 4096), "a target of more than 4095 bytes"),
    (b"diff --git a/new b/new\nnew file mode 120000\nindex 0000000..e69de29\n", "no target"),
    (part("d/.gitmodules", None, b"x"), "d/.gitmodules: a symbolic link where git reads a file"),
    (part(".git/hooks/x", None, b"x"), "within git's own folder"), (part("../new", None, b"x"), "leads out of the root"),
    (b"diff --git a/file b/file\nold mode 100644\nnew mode 120000\n", "a file and a symbolic link in one part"),
    (part("d", None, b"x"), "d: is a folder, not a file"), (part("d/deep/x", None, b"x"), "d/deep: is a file, not a folder"),
])
def test_refused(text, words, base, apply):
    """Whatever is with it: the other part of the patch is not applied either."""
    root = put(base / "root", OLD)
    code, _out, err = apply(root, part("d/deep", b"2\n", b"9\n", link=False) + text, "--symlinks")
    assert code == 3 and words in err.splitlines()[0] and contents(root) == OLD, err


@pytest.mark.parametrize("option", ["--3way", "--ignore-hashes", "--reject", "--fuzz=3", "--ignore-whitespace"])
def test_no_looser_match_moves_a_link_to_another_target(option, base, apply):
    root = put(base / "root", OLD)
    code, _out, err = apply(root, part("aimed", b"there", b"x"), "--symlinks", option)
    assert code == 3 and "points to 'here'" in err and contents(root) == OLD


def test_a_damaged_target_is_noticed(base, apply):
    root = put(base / "root", OLD)
    code, _out, err = apply(root, part("aimed", b"here", b"there").replace(b"+there", b"+where"), "--symlinks")
    assert code == 2 and "does not make the version" in err and contents(root) == OLD


def test_no_reject_goes_through_a_link(base, apply):
    root = put(base / "root", OLD | {"file.rej": ("link", b"../outside")})
    code, _out, err = apply(root, part("file", b"0\n", b"9\n", link=False), "--symlinks", "--reject")
    assert code == 3 and "file.rej: is a symbolic link" in err and not (base / "outside").exists()


def test_the_longest_target(base, apply):
    root = put(base / "root", OLD)
    assert apply(root, part("new", None, b"x" * 4095), "--symlinks")[0] == 0 and os.readlink(root / "new") == "x" * 4095


def test_a_link_that_became_another_meanwhile(base):
    """Another link of the same number, size and times is told by its target."""
    root = put(base / "root", OLD)
    opened = Tree(str(root))
    file = opened.read(b"aimed", links=True)
    assert file is not None and file.link and file.is_still_at(b"aimed", opened.fd)
    assert not file._replace(data=b"hers").is_still_at(b"aimed", opened.fd)
    (root / "aimed").unlink()
    (root / "aimed").symlink_to("hers")
    assert not file.is_still_at(b"aimed", opened.fd)
    opened.close()


def test_a_link_changed_after_it_was_read(base, apply, monkeypatch):
    root, real = put(base / "root", OLD), commit._replace

    def meddle(*arguments):
        (root / "aimed").unlink()
        (root / "aimed").symlink_to("hers")
        real(*arguments)

    monkeypatch.setattr(commit, "_replace", meddle)
    code, _out, err = apply(root, part("gone", b"x", None) + part("aimed", b"here", b"there"), "--symlinks")
    assert code == 3 and "aimed: changed meanwhile" in err and contents(root) == OLD | {"aimed": ("link", b"hers")}


@pytest.mark.parametrize("change, words", [(("link", b"elsewhere"), "points elsewhere now"), (("file", b"there"), "is a file now"),
                                           (None, "is gone")])
def test_undo_wants_the_link_as_it_was_left(change, words, base, apply):
    root = put(base / "root", OLD)
    assert apply(root, part("aimed", b"here", b"there"), "--symlinks")[0] == 0
    now = contents(root)
    now.pop("aimed")
    put(root, now | ({"aimed": change} if change else {}))
    code, _out, err = apply(root, None, "--undo")
    assert code == 3 and f"aimed: {words}" in err, err


def test_undo_tells_a_file_from_a_link(base, apply):
    root = put(base / "root", OLD)
    assert apply(root, part("file", b"1\n", b"2\n", link=False))[0] == 0
    (root / "file").unlink()
    (root / "file").symlink_to("d/deep")
    code, _out, err = apply(root, None, "--undo")
    assert code == 3 and "file: is a symbolic link" in err


def test_reading_a_link_follows_nothing(base):
    root = put(base / "root", OLD | {"d/up": ("link", b"..")})
    opened = Tree(str(root))
    with pytest.raises(Refused, match="d/up: is a symbolic link"):
        opened.read(b"d/up/aimed", links=True)
    assert opened.read(b"none", links=True) is None and opened.read(b"none/x", links=True) is None
    opened.close()


# ---- With cw-diff, beside git ------------------------------------------------------------------------------------------------

NAMES = ["a", "b", "d/a", "d/c", "e/f/g", "with space", "caf\u00e9"]
ENTRIES = st.one_of(
    st.tuples(st.just("link"), st.sampled_from([b"a", b"d/c", b"..", b"/etc", b"nowhere", b"x\ny", b"\xff", b"a\n"])),
    st.tuples(st.sampled_from(["file", "file", "run"]),
              st.sampled_from([b"", b"a", b"1\n2\n3\n4\n", b"1\n2\n3\n5\n", b"x\r\ny", b"\0" * 9])))
TREES = st.dictionaries(st.sampled_from(NAMES), ENTRIES, max_size=len(NAMES))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(old={"a": ("file", b"1\n")}, new={"a": ("link", b"a"), "b": ("file", b"1\n")}, copies=False)
@given(old=TREES, new=TREES, copies=st.booleans())
def test_a_difference_makes_the_new_tree(old, new, copies, base, apply):
    root, other = put(base / "root", old), put(base / "new", new)
    text = difference(root, other, "--binary", *["-C"] * copies)
    code, _out, err = apply(root, text or unified.NO_DIFFERENCE, "--symlinks", "--binary")
    assert (code, contents(root)) == (0, new), err
    if text:
        assert apply(root, None, "--undo")[0] == 0 and contents(root) == old


@needs_git
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=TREES, new=TREES, moves=st.sampled_from([[], ["-M"], ["-C", "--find-copies-harder"]]))
def test_patches_of_git_s(old, new, moves, base, apply):
    """What git writes of two trees is applied to the same as by git."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(base), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(folder: Path, *arguments: str, text: bytes = b"", **more: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=folder, env=environment | more, input=text, capture_output=True, check=True).stdout

    store, trees = {"GIT_DIR": str(base / "store")}, []
    for files in (old, new):
        root = put(base / "root", files)
        for arguments in (["init", "-q"], ["add", "-A"], ["write-tree"]):
            out = git(root, *arguments, GIT_WORK_TREE=str(root), **store)
        trees.append(out.decode().strip())
    text = git(base, "diff", "--binary", "--full-index", *moves, *trees, **store)
    root, theirs = put(base / "root", old), put(base / "theirs", old)
    if text:
        code, _out, err = apply(root, text, "--symlinks", "--binary")
        assert code == 0 and contents(root) == new, err
        git(theirs, "apply", "--whitespace=nowarn", "-", text=text)
        assert contents(theirs) == new
