"""cw-apply's git binary patches: both directions as git makes them, only with the flag, only for the very version, nothing damaged."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell.apply import binary_patch, cw_apply, parse
from cromwell.apply.errors import PatchError, Refused
from cromwell.contract import cli


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CROMWELL_STATE", str(tmp_path_factory.mktemp("state")))


def git(folder: Path, *arguments: str) -> bytes:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env=environment).stdout


def versions() -> dict[str, tuple[bytes | None, bytes | None]]:
    noise = random.Random(7).randbytes
    long = noise(70_000)
    return {
        "literal": (noise(300), noise(280)), "delta": (long, long[:30_000] + b"\0new" + long[30_010:]),
        "copied whole": (long[:100], long[:100] + b"\0" * 70_000 + long), "grown": (b"\0", noise(1000)), "emptied": (noise(50), b""),
        "made": (None, noise(100)), "gone": (noise(100), None), "text to binary": (b"a\nb\n", b"a\0b"), "sizes": (noise(52), noise(53)),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> bytes:
    """One binary patch of all versions."""
    folder = tmp_path_factory.mktemp("git")
    git(folder, "init", "-q")
    for side in (0, 1):
        for name, contents in versions().items():
            (folder / name).unlink(missing_ok=True)
            if contents[side] is not None:
                (folder / name).write_bytes(contents[side])
        git(folder, "add", "-A")
        if not side:
            git(folder, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "before")
    return git(folder, "diff", "--cached", "--binary")


def put(root: Path, side: int) -> Path:
    root.mkdir()
    for name, contents in versions().items():
        if contents[side] is not None:
            (root / name).write_bytes(contents[side])
    return root


def contents(root: Path) -> dict[str, bytes | None]:
    return {name: (root / name).read_bytes() if (root / name).exists() else None for name in versions()}


def run(root: Path, text: bytes, *options: str) -> int:
    (root.parent / "patch").write_bytes(text)
    return cli.run(cw_apply.app, ["--root", str(root), str(root.parent / "patch"), *options])


@pytest.mark.parametrize("side", [0, 1])
def test_both_directions(side, made, tmp_path):
    assert b"\ndelta " in made and b"\nliteral " in made
    root = put(tmp_path / "root", side)
    options = ["--binary", "--reverse"][:1 + side]
    assert run(root, made, *options) == 0
    after = {name: pair[1 - side] for name, pair in versions().items()}
    assert contents(root) == after
    if not side:  # applied twice, it changes nothing; a file that is to be deleted and gone counts only beside others that are done
        assert run(root, made, *options) == 0 and contents(root) == after


def test_only_with_the_flag(made, tmp_path, capsysbinary):
    root = put(tmp_path / "root", 0)
    assert run(root, made) == 3 and contents(root) == {name: old for name, (old, _new) in versions().items()}
    assert b"--binary" in capsysbinary.readouterr().err


def test_only_the_version_that_it_names(made, tmp_path, capsysbinary):
    root = put(tmp_path / "root", 0)
    (root / "delta").write_bytes(b"other")
    before = contents(root)
    assert run(root, made, "--binary", "--ignore-hashes", "-F3", "--reject") == 3 and contents(root) == before
    assert b"delta: is version" in capsysbinary.readouterr().err
    assert run(root, made, "--binary", "--exclude", "delta") == 0 and (root / "literal").read_bytes() == versions()["literal"][1]


def part(text: bytes) -> bytes:
    return b"diff --git a/f b/f\nindex %s..%s 100644\n%s" % (b"1" * 40, b"2" * 40, text)


REFUSED = {
    "no data": (part(b"Binary files a/f and b/f differ\n"), 3),
    "short names": (part(b"GIT binary patch\nliteral 1\nHcmb2|00000\n\n").replace(b"1" * 40, b"1" * 9), 3),
    "no block": (part(b"GIT binary patch\nhello\n"), 2),
    "bad letter": (part(b"GIT binary patch\nliteral 1\n!cmb2|00000\n\n"), 2),
    "bad length": (part(b"GIT binary patch\nliteral 1\nHcmb2|0000\n\n"), 2),
    "not base 85": (part(b"GIT binary patch\nliteral 1\nHcmb2|0000 \n\n"), 2),
    "too large a word": (part(b"GIT binary patch\nliteral 1\nD~~~~~\n\n"), 2),
    "cut": (part(b"GIT binary patch\nliteral 1\nHcmb2|00000\n"), 2),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/f").write_bytes(b"x")
    text, code = REFUSED[case]
    assert run(tmp_path / "root", text, "--binary") == code and (tmp_path / "root/f").read_bytes() == b"x"


def test_a_binary_patch_of_one_direction_has_no_reverse(made):
    files = parse.parse(made, "patch")
    with pytest.raises(Refused, match="without its reverse"):
        files[0]._replace(binary=(files[0].binary[0], None)).reversed()


def test_a_bomb_is_cut_off(made):
    import zlib

    deflated = zlib.compress(b"\0" * 10_000_000, 9)
    with pytest.raises(ValueError, match="another size"):
        binary_patch.Block(False, 1000, deflated).apply(b"")
    with pytest.raises(ValueError, match="GiB"):
        binary_patch.Block(False, 1 << 31, deflated).apply(b"")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_delta_is_applied_or_refused(old, delta):
    import zlib

    try:
        binary_patch.Block(True, len(delta), zlib.compress(delta)).apply(old)
    except ValueError:
        pass


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_damaged_patches_are_refused(made, seed):
    """A byte changed anywhere is noticed: by base 85, the stream's checksum, the size, or the version that must come out."""
    generator = random.Random(seed)
    damaged = bytearray(made)
    damaged[generator.randrange(len(damaged))] = generator.randrange(256)
    try:
        files = parse.parse(bytes(damaged), "patch")
    except (PatchError, Refused):
        return
    for file in files:
        for block, old in zip(file.binary or (), (b"", b"x"), strict=False):
            try:
                if block:
                    block.apply(old)
            except ValueError:
                pass
