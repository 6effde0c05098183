"""cw-apply stays below its root: openat2 and the walk that replaces it refuse the same; Landlock holds even where the program is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cromwell
from cromwell.apply import kernel, landlock
from cromwell.apply.errors import Refused
from cromwell.apply.tree import Tree
from cromwell.apply.unified import Version, compare, write

SITE = str(Path(cromwell.__path__[0]).absolute().parent)
MAIN = "from cromwell.apply.cw_apply import main; main()"
# A fault in the program: in the middle of its work it tries to write beside the root.
WRONG = """
import os
from cromwell.apply import commit
real = commit._write
def wrong(fd, data):
    real(fd, data)
    for action in (lambda: open("outside", "ab").close(), lambda: open("made", "xb").close(), lambda: os.mkdir("folder"),
                   lambda: os.unlink("outside"), lambda: os.rename("outside", "root/moved"), lambda: os.symlink("a", "root/link"),
                   lambda: os.link("outside", "root/linked")):
        try:
            action()
            os.write(2, b"escaped\\n")
        except OSError as error:
            os.write(2, f"errno {error.errno}\\n".encode())
commit._write = wrong
"""

needs_landlock = pytest.mark.skipif(landlock.version() < 2, reason="this kernel has no Landlock that allows renames")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    base = tmp_path / "root"
    (base / "d/e").mkdir(parents=True)
    (base / "d/e/f").write_bytes(b"old\n")
    (tmp_path / "outside").write_bytes(b"outside\n")
    (tmp_path / "p.diff").write_bytes(patch("d/e/f"))
    return base


def patch(name: str, old: bytes = b"old\n", new: bytes = b"new\n") -> bytes:
    found = compare(name.encode(), Version(old), Version(new))
    assert found is not None
    return write(found)


def program(root: Path, *arguments: str, before: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": SITE, "CROMWELL_STATE": str(root.parent / "state"), **variables}
    command = [sys.executable, "-c", before + MAIN, "--root", "root", *arguments]
    return subprocess.run(command, cwd=root.parent, env=environment, capture_output=True, check=False)


@pytest.fixture(params=["openat2", "step by step"])
def tree(request, root) -> Tree:
    """The root, opened in both ways."""
    opened = Tree(str(root))
    if request.param == "openat2" and not opened.in_one_step:
        pytest.skip("this kernel has no openat2, or a sandbox forbids it")
    opened.in_one_step = request.param == "openat2"
    yield opened
    opened.close()


# ---- Paths -------------------------------------------------------------------------------------------------------------------


def test_what_is_there_is_found(tree):
    file = tree.read(b"d/e/f")
    assert file is not None and file.data == b"old\n"
    assert tree.read(b"d/e/none") is None and tree.read(b"none/e/f") is None
    assert tree.missing_folders(b"d/e/x") == [] and tree.missing_folders(b"d/new/deep/x") == [b"d/new", b"d/new/deep"]


@pytest.mark.parametrize("path", [b"link/f", b"d/link/f", b"d/e/link", b"out/outside", b"d/e/dangling", b"proc/root/etc/passwd"])
def test_links_are_refused_wherever_they_lead(path, tree, root):
    (root / "link").symlink_to("d/e")
    (root / "d/link").symlink_to("e")
    (root / "d/e/link").symlink_to("f")
    (root / "out").symlink_to("..")
    (root / "d/e/dangling").symlink_to("nothing")
    (root / "proc").symlink_to("/proc/self")
    with pytest.raises(Refused, match="is a symbolic link"):
        tree.read(path)


@pytest.mark.parametrize("path", [b"d/e/f/g", b"d/e/f/g/h"])
def test_files_are_no_folders(path, tree):
    with pytest.raises(Refused, match="d/e/f: is a file, not a folder"):
        tree.read(path)


def test_a_link_put_in_the_way_later_is_not_followed(tree, root):
    assert tree.read(b"d/e/f") is not None
    (root / "d").rename(root.parent / "moved")
    (root / "d").symlink_to(root.parent / "moved")
    for use in (tree.read, tree.missing_folders, lambda path: tree.folder_of(path, make=True).__enter__()):
        with pytest.raises(Refused, match="d: is a symbolic link"):
            use(b"d/e/f")


def test_the_kernel_alone_keeps_dots_inside(root):
    """paths.py refuses such names before; this is what stands behind it."""
    opened = Tree(str(root))
    if not opened.in_one_step:
        pytest.skip("this kernel has no openat2, or a sandbox forbids it")
    for path in (b"../outside", b"d/../../outside", b"/etc/passwd"):
        with pytest.raises(OSError):
            kernel.open_beneath(opened.fd, path, os.O_RDONLY)
    opened.close()


# ---- Landlock ----------------------------------------------------------------------------------------------------------------


@needs_landlock
def test_a_wrong_program_writes_nothing_outside(root):
    listing = sorted(root.parent.iterdir())
    result = program(root, "p.diff", before=WRONG)
    assert result.returncode == 0 and b"escaped" not in result.stderr and result.stderr.count(b"errno ") == 7, result.stderr
    assert (root / "d/e/f").read_bytes() == b"new\n" and (root.parent / "outside").read_bytes() == b"outside\n"
    assert sorted(path for path in root.parent.iterdir() if path.name != "state") == listing
    assert not (root / "link").is_symlink() and not (root / "moved").exists() and not (root / "linked").exists()


@needs_landlock
def test_a_dry_run_may_write_nowhere(root):
    wrong = "from cromwell.apply import parse\ndef wrong(*a):\n    open('root/made', 'xb')\nparse.parse = wrong\n"
    result = program(root, "--dry-run", "p.diff", before=wrong)
    assert b"Permission denied" in result.stderr and not (root / "made").exists() and not (root.parent / "state").exists()


def test_the_check_command_is_free(root):
    """It runs outside of what confines cw-apply: it may write where it likes."""
    result = program(root, "--check", "echo free > ../made && test \"$(cat d/e/f)\" = new", "p.diff")
    assert result.returncode == 0, result.stderr
    assert (root.parent / "made").read_bytes() == b"free\n" and (root / "d/e/f").read_bytes() == b"new\n"


@pytest.mark.parametrize("receipt", ["r.cwa", "below/r.cwa", "root/r.cwa", "/dev/null"])
def test_the_receipt_is_written(receipt, root):
    (root.parent / "below").mkdir()
    result = program(root, "--receipt", receipt, "p.diff")
    assert result.returncode == 0, result.stderr
    assert receipt == "/dev/null" or (root.parent / receipt).stat().st_size > 0


def test_undo_is_confined_and_works(root):
    assert program(root, "p.diff").returncode == 0
    result = program(root, "--undo", before=WRONG)
    assert result.returncode == 0 and (root / "d/e/f").read_bytes() == b"old\n"
    assert landlock.version() < 2 or b"escaped" not in result.stderr


def test_a_killed_parent_leaves_no_child(root):
    """The child that waits to run --check ends with whoever could ask it."""
    killed = "import os, signal\nfrom cromwell.apply import parse\nparse.parse = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
    result = program(root, "--check", "touch made", "p.diff", before=killed)  # returns when nobody holds its pipes
    assert result.returncode == -9 and not (root / "made").exists()
    assert program(root, "p.diff").returncode == 0
