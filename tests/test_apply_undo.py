"""cw-apply --undo and --log: a patch is taken back byte for byte, without git, from a private, bounded store."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cromwell.apply import cw_apply
from cromwell.apply.journal import State
from cromwell.apply.tree import Tree
from cromwell.apply.unified import Version, compare, write
from cromwell.contract import cli


@pytest.fixture
def root(monkeypatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None, prefix="cromwell-test-") as folder:
        monkeypatch.setenv("CROMWELL_STATE", f"{folder}/state")
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        base = Path(folder) / "root"
        (base / "lone/deep").mkdir(parents=True)
        (base / "lone/deep").chmod(0o710)
        (base / "lone/deep/gone").write_bytes(b"x\r\n\xff\0\n")
        (base / "lone/deep/gone").chmod(0o640)
        (base / "private").write_bytes(b"old\nlast")
        (base / "private").chmod(0o600)
        (base / "same").write_bytes(b"same\n")
        (base / "empty").mkdir()
        yield base


def diff(name: str, old: bytes | None, new: bytes | None, executable: bool = False) -> bytes:
    found = compare(name.encode(), None if old is None else Version(old), None if new is None else Version(new, executable))
    assert found is not None
    return write(found)


def everything(root: Path) -> bytes:
    """Changes, deletes, makes in a new and in an empty folder, makes executable."""
    return (diff("private", b"old\nlast", b"new\nlast") + diff("lone/deep/gone", b"x\r\n\xff\0\n", None)
            + diff("made/deep/f", None, b"made\n", True) + diff("empty/f", None, b"made\n") + diff("same", b"same\n", b"same\n", True))


def picture(root: Path) -> dict[str, tuple]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, path.read_bytes() if path.is_file() else None)
    return found


def run(capsysbinary, root: Path, *arguments: str, code: int = 0) -> tuple[bytes, str]:
    got = cli.run(cw_apply.app, ["--root", str(root), *arguments])
    out, err = capsysbinary.readouterr()
    assert got == code, err
    return out, err.decode()


def apply(capsysbinary, root: Path, text: bytes, *arguments: str, code: int = 0) -> tuple[bytes, str]:
    (root.parent / "p.diff").write_bytes(text)
    return run(capsysbinary, root, *arguments, str(root.parent / "p.diff"), code=code)


def entries(root: Path) -> list[Path]:
    return sorted((root.parent / "state").rglob("*.undo"))


def test_everything_comes_back_and_forth(root, capsysbinary):
    os.setxattr(root / "lone/deep/gone", "user.note", b"kept") if supports_xattrs(root) else None
    before = picture(root)
    apply(capsysbinary, root, everything(root))
    after = picture(root)
    assert "lone" not in after and "made/deep/f" in after
    _out, err = run(capsysbinary, root, "--undo")
    assert picture(root) == before and "private: restored" in err and "made/deep/f: removed" in err
    if supports_xattrs(root):
        assert os.getxattr(root / "lone/deep/gone", "user.note") == b"kept"
    run(capsysbinary, root, "--undo", code=3)  # nothing is left
    run(capsysbinary, root, "--undo", "2")  # takes the undo back
    assert picture(root) == after
    run(capsysbinary, root, "--undo")
    assert picture(root) == before


def supports_xattrs(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.probe", b"")
        os.removexattr(folder, "user.probe")
    except OSError:
        return False
    return True


def test_one_after_another(root, capsysbinary):
    for number in range(3):
        apply(capsysbinary, root, diff("private", b"old\nlast" + b"+" * number, b"old\nlast" + b"+" * (number + 1)))
    run(capsysbinary, root, "--undo", "1", code=3)
    for number in (2, 1, 0):
        run(capsysbinary, root, "--undo")
        assert (root / "private").read_bytes() == b"old\nlast" + b"+" * number
    assert run(capsysbinary, root, "--undo", code=3)[1].startswith("error: ")


@pytest.mark.parametrize("edit, words", [
    (lambda root: (root / "private").write_bytes(b"mine\n"), "private: was edited since"),
    (lambda root: (root / "private").chmod(0o644), "private: has mode 644 instead of 600"),
    (lambda root: (root / "made/deep/f").unlink(), "made/deep/f: is gone"),
    (lambda root: ((root / "lone/deep").mkdir(parents=True), (root / "lone/deep/gone").touch()), "lone/deep/gone: was made again"),
    (lambda root: ((root / "same").unlink(), (root / "same").symlink_to("private")), "same: is a symbolic link"),
])
def test_refused_where_edited(edit, words, root, capsysbinary):
    apply(capsysbinary, root, everything(root))
    edit(root)
    before = picture(root)
    assert words in run(capsysbinary, root, "--undo", code=3)[1]
    assert picture(root) == before


def test_all_edited_files_are_named(root, capsysbinary):
    apply(capsysbinary, root, everything(root))
    (root / "private").write_bytes(b"mine\n")
    (root / "made/deep/f").write_bytes(b"mine\n")
    _out, err = run(capsysbinary, root, "--undo", code=3)
    assert "private: was edited" in err and "made/deep/f: was edited" in err and err.count("\n") == 3


def test_log(root, capsysbinary):
    assert run(capsysbinary, root, "--log") == (b"", "nothing to take back\n")
    apply(capsysbinary, root, everything(root))
    run(capsysbinary, root, "--undo")
    document = json.loads(run(capsysbinary, root, "--log", "--json")[0])
    undo, patch = document["entries"]
    assert document["version"] == 1 and (patch["id"], patch["undone"], undo["undoes"]) == (1, True, 1)
    assert {"path": "lone/deep/gone", "status": "deleted"} in patch["files"] and {"path": "same", "status": "changed"} in patch["files"]
    out = run(capsysbinary, root, "--log")[0].decode()
    assert out.splitlines()[1].split()[0] == "1" and "p.diff (taken back): private" in out


def test_dry_run_check_and_json(root, capsysbinary):
    apply(capsysbinary, root, everything(root))
    after = picture(root)
    assert "would be restored" in run(capsysbinary, root, "--undo", "--dry-run")[1]
    run(capsysbinary, root, "--undo", "--check", "test ! -e lone/deep/gone", code=5)
    assert picture(root) == after and len(entries(root)) == 1
    document = json.loads(run(capsysbinary, root, "--undo", "--json", "--check", "test -e lone/deep/gone")[0])
    assert document["undo"] == 2 and document["files"][0]["status"] == "restored"


def test_the_store_is_private_and_bounded(root, capsysbinary, monkeypatch):
    monkeypatch.setenv("CROMWELL_UNDO_COUNT", "3")
    for number in range(5):
        apply(capsysbinary, root, diff("private", b"old\nlast" + b"+" * number, b"old\nlast" + b"+" * (number + 1)))
    assert [path.name.split(".")[1] for path in entries(root)] == ["3", "4", "5"]
    for path in entries(root):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    monkeypatch.setenv("CROMWELL_UNDO_SIZE", str(sum(path.stat().st_size for path in entries(root)) - 1))
    apply(capsysbinary, root, diff("private", b"old\nlast+++++", b"old\nlast"))
    assert [path.name.split(".")[1] for path in entries(root)] in (["5", "6"], ["4", "5", "6"])
    monkeypatch.setenv("CROMWELL_UNDO_SIZE", "10")
    assert "not kept for --undo" in apply(capsysbinary, root, diff("private", b"old\nlast", b"new\n"))[1]
    monkeypatch.setenv("CROMWELL_UNDO_COUNT", "0")
    apply(capsysbinary, root, diff("private", b"new\n", b"old\n"))
    assert not entries(root)


def test_a_damaged_entry_changes_nothing(root, capsysbinary):
    apply(capsysbinary, root, everything(root))
    before = picture(root)
    (entry,) = entries(root)
    data = bytearray(entry.read_bytes())
    data[-40] ^= 1
    entry.write_bytes(data)
    assert "damaged" in run(capsysbinary, root, "--undo", code=70)[1] and picture(root) == before


@pytest.mark.parametrize("arguments", [
    ["--undo", "x"], ["--undo", "0"], ["--undo", "1", "p.diff"], ["--undo", "--log"], ["--recover", "--undo"],
])
def test_wrong_use(arguments, root, capsysbinary):
    _out, err = run(capsysbinary, root, *arguments, code=2)
    assert err.startswith("error: cw-apply: ") and not entries(root)


def test_an_unknown_number(root, capsysbinary):
    assert "no patch 7" in run(capsysbinary, root, "--undo", "7", code=3)[1]


def test_other_roots_do_not_mix(root, capsysbinary):
    other = root.parent / "other"
    other.mkdir()
    apply(capsysbinary, root, everything(root))
    run(capsysbinary, other, "--undo", code=3)
    assert not State(Tree(str(other))).undo_numbers() and State(Tree(str(root))).undo_numbers() == [1]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs files of other groups")
def test_a_group_that_cannot_be_kept_gives_no_rights_to_another(root, capsysbinary):
    for path in (root.parent, root):
        os.chown(path, 65534, 0)
    os.chown(root / "private", 65534, 4)
    (root / "private").chmod(0o664)
    (root.parent / "p.diff").write_bytes(diff("private", b"old\nlast", b"new\n"))
    os.seteuid(65534)
    try:
        run(capsysbinary, root, str(root.parent / "p.diff"))
        assert stat.S_IMODE((root / "private").stat().st_mode) == 0o644
        run(capsysbinary, root, "--undo")
        status = (root / "private").stat()
    finally:
        os.seteuid(0)
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o644, 0) and (root / "private").read_bytes() == b"old\nlast"
