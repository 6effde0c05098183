"""What cw-apply keeps of a file beside its bytes through changes, renames, copies and undo: mode, owner, group, extended attributes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from cromwell.apply import cw_apply, unified
from cromwell.apply.unified import Version
from cromwell.contract import cli

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
OLD, NEW = b"one\ntwo\nthree\n", b"one\n2\nthree\n"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A folder with files a and b of other attributes each; skipped where the file system has no extended attributes."""
    monkeypatch.setenv("CROMWELL_STATE", str(tmp_path / "state"))
    base = tmp_path / "root"
    base.mkdir()
    for number, name in enumerate("ab"):
        (base / name).write_bytes(OLD + b"%d\n" % number)
        (base / name).chmod([0o640, 0o604][number])
        try:
            os.setxattr(base / name, "user.note", name.encode())
        except OSError as error:
            pytest.skip(f"this file system has no extended attributes ({error.strerror})")
        if os.geteuid() == 0:
            os.chown(base / name, 1001 + number, 2001 + number)
    return base


def content(name: str, changed: bool = False) -> bytes:
    return (NEW if changed else OLD) + b"%d\n" % "ab".index(name)


def part(old_name: str, new_name: str, moved: str = "", changed: bool = True) -> bytes:
    found = unified.compare(new_name.encode(), Version(content(old_name)), Version(content(old_name, changed)), old_path=old_name.encode(),
                            moved=moved, similarity=90)
    assert found is not None
    return unified.write(found)


def facts(path: Path) -> tuple:
    """Everything but the bytes and times."""
    status = path.stat()
    return status.st_mode, status.st_uid, status.st_gid, {name: os.getxattr(path, name) for name in sorted(os.listxattr(path))}


def apply(root: Path, text: bytes | None, *options: str) -> None:
    arguments = ["--root", str(root), *options]
    if text is not None:
        (root.parent / "patch").write_bytes(text)
        arguments.append(str(root.parent / "patch"))
    assert cli.run(cw_apply.app, arguments) == 0


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("moved", ["rename", "copy", ""])
def test_kept_and_brought_back(changed, moved, root):
    if not moved and not changed:
        return
    before = {name: facts(root / name) for name in "ab"}
    assert before["a"][3] == {"user.note": b"a"} and before["a"] != before["b"]
    target = "new/c" if moved else "a"
    apply(root, part("a", target, moved, changed))
    assert (root / target).read_bytes() == content("a", changed) and facts(root / target) == before["a"]
    assert (root / "a").exists() == (moved != "rename")
    apply(root, None, "--undo")
    assert {name: facts(root / name) for name in "ab"} == before and sorted(os.listdir(root)) == ["a", "b"]
    apply(root, None, "--undo", "2")
    assert facts(root / target) == before["a"] and (root / "a").exists() == (moved != "rename")


def test_two_files_change_places(root):
    before = {name: facts(root / name) for name in "ab"}
    apply(root, part("b", "a", "rename", False) + part("a", "b", "rename"))
    assert (root / "a").read_bytes() == content("b") and (root / "b").read_bytes() == content("a", True)
    assert (facts(root / "a"), facts(root / "b")) == (before["b"], before["a"])
    apply(root, None, "--undo")
    assert {name: facts(root / name) for name in "ab"} == before and (root / "a").read_bytes() == content("a")


def test_through_a_series(root):
    """Renamed, then renamed and changed again; the middle name is never there."""
    before = facts(root / "a")
    apply(root, part("a", "m", "rename", False) + part("a", "z", "rename").replace(b"a/a", b"a/m").replace(b"from a", b"from m"))
    assert sorted(os.listdir(root)) == ["b", "z"] and (root / "z").read_bytes() == content("a", True) and facts(root / "z") == before


def test_what_a_patch_makes_is_its_maker_s(root):
    found = unified.compare(b"made", None, Version(b"1\n"))
    assert found is not None
    apply(root, unified.write(found))
    assert facts(root / "made")[1:] == (os.geteuid(), (root / "made").stat().st_gid, {})


def entries(*listed: tuple[int, int, int]) -> bytes:
    """An access list in the kernel's form: (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, rights, who & 0xFFFFFFFF) for tag, rights, who in listed)


def test_access_lists(root):
    """A file with one keeps it; one without gets none, though its folder gives one to every new file."""
    listed = entries((0x01, 6, -1), (0x02, 6, 1234), (0x04, 4, -1), (0x10, 6, -1), (0x20, 0, -1))
    try:
        os.setxattr(root / "a", ACCESS, listed)
        os.setxattr(root, DEFAULT, listed)
    except OSError as error:
        pytest.skip(f"this file system has no access lists ({error.strerror})")
    before = {name: facts(root / name) for name in "ab"}
    assert before["a"][3][ACCESS] == listed and ACCESS not in before["b"][3]
    apply(root, part("a", "c", "rename") + part("b", "b"))
    assert facts(root / "c") == before["a"] and facts(root / "b") == before["b"]
    apply(root, None, "--undo")
    assert {name: facts(root / name) for name in "ab"} == before
