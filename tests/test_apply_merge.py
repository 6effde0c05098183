"""cw-apply --3way: merges as git merge-file does, conflicts refused or marked, bases from the repository around the root."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell.apply import cw_apply, unified
from cromwell.apply.bases import Bases
from cromwell.apply.blob import blob_hash
from cromwell.apply.merge import merge
from cromwell.apply.unified import Version
from cromwell.contract import cli

BASE = b"".join(b"line %d\n" % number for number in range(1, 31))
THEIRS = BASE.replace(b"line 10\n", b"THEIRS 10\n")
PATCH = unified.write(unified.compare(b"f", Version(BASE), Version(THEIRS)))


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CROMWELL_STATE", str(tmp_path_factory.mktemp("state")))


def git(folder: Path, *arguments: str, code: int = 0) -> bytes:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    result = subprocess.run(["git", *arguments], cwd=folder, check=False, capture_output=True, env=environment)
    assert not code <= result.returncode < 0, result.stderr
    return result.stdout


@pytest.fixture
def repository(tmp_path) -> Path:
    """A folder with the base in its object store, and none of it in the working tree."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    (root / "f").write_bytes(BASE)
    git(root, "hash-object", "-w", "f")
    return root


def run(root: Path, text: bytes, *options: str) -> int:
    (root.parent / "patch").write_bytes(text)
    return cli.run(cw_apply.app, ["--root", str(root), str(root.parent / "patch"), *options])


# ---- The merge itself -------------------------------------------------------------------------------------------------------


def edited(lines: list[bytes], generator: random.Random) -> bytes:
    lines = list(lines)
    for _ in range(generator.randrange(4)):
        at = generator.randrange(len(lines) + 1)
        lines[at:at + generator.randrange(3)] = [b"new %d\n" % generator.randrange(4) for _ in range(generator.randrange(3))]
    data = b"".join(lines)
    return data[:-1] if generator.random() < 0.1 else data


def test_merges_as_git_does(tmp_path):
    """The same bytes where both merge, a conflict where git has one. Lines are unique, so that what changed is not open."""
    conflicts = 0
    for seed in range(120):
        generator = random.Random(seed)
        lines = [b"line %d\n" % number for number in range(generator.randrange(14))]
        base, ours, theirs = b"".join(lines), edited(lines, generator), edited(lines, generator)
        for name, data in (("base", base), ("ours", ours), ("theirs", theirs)):
            (tmp_path / name).write_bytes(data)
        result = subprocess.run(["git", "merge-file", "-p", "ours", "base", "theirs"], cwd=tmp_path, check=False, capture_output=True)
        merged = merge(base, ours, theirs)
        conflicts += bool(merged.conflicts)
        assert bool(merged.conflicts) == (result.returncode != 0), seed
        if not merged.conflicts:
            assert merged.data == result.stdout, seed
    assert 30 < conflicts < 90


TEXTS = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n"]), max_size=12).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, TEXTS)
def test_merge_laws(base, ours, theirs):
    assert merge(base, ours, base).data == ours and merge(base, base, theirs).data == theirs
    assert merge(base, ours, ours).data == ours
    one, other = merge(base, ours, theirs), merge(base, theirs, ours)
    assert len(one.conflicts) == len(other.conflicts)
    if not one.conflicts:
        assert one.data == other.data


def test_conflict_markers():
    assert merge(b"a\nb\nc\n", b"a\nX\nsame\nc\n", b"a\nY\nsame\nc\n").data == (
        b"a\n<<<<<<< the file\nX\n=======\nY\n>>>>>>> the patch\nsame\nc\n")
    assert b"=======\r\n" in merge(b"a\r\n", b"b\r\n", b"c\r\n").data
    assert merge(b"a", b"b", b"c").data == b"<<<<<<< the file\nb\n=======\nc\n>>>>>>> the patch\n"


def test_a_merge_of_many_changes_is_fast():
    lines = [b"line %d\n" % number for number in range(20_000)]
    ours = b"".join(b"x" + line if number % 4 == 0 else line for number, line in enumerate(lines))
    theirs = b"".join(b"y" + line if number % 4 == 2 else line for number, line in enumerate(lines))
    merged = merge(b"".join(lines), ours, theirs)
    assert not merged.conflicts and merged.data.count(b"x") == merged.data.count(b"y") == 5000
    assert merged.offset(19_999) == 0


# ---- The command ------------------------------------------------------------------------------------------------------------


def test_merges_into_a_changed_file(repository, capsysbinary):
    ours = b"top\n" + BASE.replace(b"line 20\n", b"OURS 20\n")
    (repository / "f").write_bytes(ours)
    assert run(repository, PATCH) == 3 and (repository / "f").read_bytes() == ours
    assert run(repository, PATCH, "--3way", "--json") == 0
    assert (repository / "f").read_bytes() == ours.replace(b"line 10\n", b"THEIRS 10\n")
    captured = capsysbinary.readouterr()
    assert b'"level": "merged"' in captured.out and b"hunk 1 merged at +1 lines" in captured.err


def test_merges_what_no_place_could_be_found_for(repository):
    """Every context line is doubled elsewhere, so that the lines alone would be ambiguous."""
    ours = BASE.replace(b"line 20\n", b"OURS 20\n") + BASE
    (repository / "f").write_bytes(ours)
    assert run(repository, PATCH, "--ignore-hashes") == 3
    assert run(repository, PATCH, "-3") == 0
    assert (repository / "f").read_bytes() == THEIRS.replace(b"line 20\n", b"OURS 20\n") + BASE


def test_reverse_merges_from_the_version_after(repository):
    (repository / "f").write_bytes(THEIRS)
    git(repository, "hash-object", "-w", "f")
    (repository / "f").write_bytes(THEIRS + b"more\n")
    assert run(repository, PATCH, "-R", "-3") == 0 and (repository / "f").read_bytes() == BASE + b"more\n"


def test_conflicts_are_refused(repository, capsysbinary):
    ours = BASE.replace(b"line 10\n", b"OURS 10\n")
    (repository / "f").write_bytes(ours)
    (repository / "g").write_bytes(BASE)
    both = PATCH.replace(b"/f", b"/g") + PATCH
    assert run(repository, both, "--3way") == 3
    assert (repository / "f").read_bytes() == ours and (repository / "g").read_bytes() == BASE
    assert b"f: changed at line 10 in another way" in capsysbinary.readouterr().err


def test_conflicts_are_marked_if_asked_for(repository, capsysbinary):
    ours = BASE.replace(b"line 10\n", b"OURS 10\n")
    (repository / "f").write_bytes(ours)
    (repository / "g").write_bytes(BASE)
    both = PATCH.replace(b"/f", b"/g") + PATCH
    assert run(repository, both, "--3way", "--conflict-markers", "--json") == 3
    marked = b"<<<<<<< the file\nOURS 10\n=======\nTHEIRS 10\n>>>>>>> the patch\n"
    assert (repository / "f").read_bytes() == BASE.replace(b"line 10\n", marked) and (repository / "g").read_bytes() == THEIRS
    captured = capsysbinary.readouterr()
    assert b"patched with conflicts" in captured.out and b'"level": "conflict"' in captured.out and b"1 conflict were" not in captured.err
    assert run(repository, PATCH, "--conflict-markers") == 2


def test_a_change_that_is_there_already(repository):
    ours = b"top\n" + THEIRS
    (repository / "f").write_bytes(ours)
    assert run(repository, PATCH, "--3way") == 0 and (repository / "f").read_bytes() == ours


def test_a_base_that_is_not_there(repository, capsysbinary):
    unknown = PATCH.replace(blob_hash(BASE).encode(), b"1" * 40)
    (repository / "f").write_bytes(b"top\n" + BASE)
    assert run(repository, unknown, "--3way") == 3 and (repository / "f").read_bytes() == b"top\n" + BASE
    assert b"in no git repository here" in capsysbinary.readouterr().err
    assert run(repository, unknown, "--3way", "--ignore-hashes") == 0 and (repository / "f").read_bytes() == b"top\n" + THEIRS


def test_a_base_among_what_can_be_undone(tmp_path):
    """A second patch made from the same version as the first, on a file that the first has changed, without any repository."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root/f").write_bytes(BASE)
    other = unified.write(unified.compare(b"f", Version(BASE), Version(BASE.replace(b"line 20\n", b"OTHER 20\n"))))
    assert run(tmp_path / "root", other) == 0
    assert run(tmp_path / "root", PATCH) == 3 and run(tmp_path / "root", PATCH, "--3way") == 0
    assert (tmp_path / "root/f").read_bytes() == THEIRS.replace(b"line 20\n", b"OTHER 20\n")


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_the_command_as_a_process_reaches_git(repository, options):
    """It has given up the right to write elsewhere by then."""
    (repository / "f").write_bytes(BASE + b"more\n")
    result = subprocess.run([sys.executable, "-m", "cromwell.apply.cw_apply", "--3way", "--root", repository, *options], input=PATCH,
                            capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (repository / "f").read_bytes() == (BASE if options else THEIRS) + b"more\n"


def test_bases_are_what_they_are_called(repository, tmp_path, monkeypatch):
    bases = Bases(str(repository))
    assert bases.find(blob_hash(BASE)) == bases.find(blob_hash(BASE)[:9]) == BASE
    assert bases.find("1" * 40) is None
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert Bases(str(tmp_path)).find(blob_hash(BASE)) is None  # no repository
    replaced = git(repository, "hash-object", "-w", "--stdin").decode().strip()
    git(repository, "replace", "-f", blob_hash(BASE), replaced)
    assert Bases(str(repository)).find(blob_hash(BASE)) == BASE
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Bases(str(repository)).find(blob_hash(BASE)) is None  # no git
