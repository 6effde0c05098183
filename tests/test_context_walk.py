"""The walk lists what git lists: on random trees with random ignore files and on every kind of repository; odd files do not stop it."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from cromwell.contract.errors import CommandError
from cromwell.prepare.walk import given_files, tree_files
from cromwell.prepare.walk.repository import repository_of

GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="needs git")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration of whoever runs the tests."""
    home = tmp_path / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("GIT_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


def git(folder: Path, *words: str | bytes) -> bytes:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True).stdout


def by_git(folder: Path) -> set[bytes]:
    """What git lists, less what it tracks and is gone."""
    names = {name.rstrip(b"/") for name in git(folder, "ls-files", "-coz", "--exclude-standard").split(b"\0") if name}
    return {name for name in names if os.path.lexists(os.path.join(os.fsencode(folder), name))}


def by_walk(folder: Path, hidden: bool = True) -> set[bytes]:
    listing = tree_files(os.path.realpath(folder), hidden)
    names = listing.names.split(b"\0")[:-1]
    assert names == sorted(names) and len(names) == len(set(names))
    assert len(listing.stats) == 40 * len(names)
    return set(names)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


NAMES = ["a", "b", "ab", "a.o", "b.py", "abc", "a b", "a ", "#a", "!a", "a[b]", "-", "A", "a.b.c", "x\\y", "é", "aa", "bb", ".h"]
PIECES = ["a", "b", "ab", "*", "**", "?", "[ab]", "[!a]", "[a-c]", "[^b]", "[[:alpha:]]", "[]a]", "[a-", "\\*", "\\", "\\a", ".o", ".",
          "a*b", "abc", " ", "\\ ", "#", "!", "é", "*.o", "*a", "a?", "[[:foo:]]", "[[:digit]", "[\\]a]", "[b-a]"]


def random_pattern(draw: random.Random) -> str:
    parts = ["".join(draw.choices(PIECES, k=draw.choice((1, 1, 1, 2, 3)))) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
    text = "/".join(parts)
    start = "!" * (draw.random() < 0.25) + "/" * (draw.random() < 0.2)
    return start + text + "/" * (draw.random() < 0.25) + draw.choice(("", "", "", " ", "  ", "\r", "\t"))


def random_tree(folder: Path, draw: random.Random, depth: int = 0) -> None:
    for name in draw.sample(NAMES, draw.randint(2, 6)):
        path = folder / name
        kind = draw.random()
        if kind < 0.45 and depth < 3:
            path.mkdir()
            random_tree(path, draw, depth + 1)
        elif kind < 0.5:
            path.symlink_to(draw.choice(("a", "..", "/", "nowhere")))
        else:
            path.write_bytes(b"x")
    if draw.random() < 0.45:
        lines = [random_pattern(draw) for _ in range(draw.randint(1, 5))]
        (folder / ".gitignore").write_text(draw.choice(("", "\ufeff")) + "\n".join(lines) + draw.choice(("", "\n")), encoding="utf-8")


@needs_git
@pytest.mark.parametrize("seed", range(60))
def test_random_trees_are_listed_as_git_lists_them(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    tree = tmp_path / "tree"
    tree.mkdir()
    git(tree, "init", "-q")
    random_tree(tree, draw)
    (tree / ".git" / "info").mkdir(exist_ok=True)
    (tree / ".git" / "info" / "exclude").write_text("\n".join(random_pattern(draw) for _ in range(draw.randint(0, 2))))
    files = [path.relative_to(tree) for path in sorted(tree.rglob("*"))
             if ".git" not in path.parts and (path.is_file() or path.is_symlink())]
    for path in draw.sample(files, min(len(files), draw.randint(0, 6))):
        git(tree, "add", "-f", "--", ":(literal)" + str(path))
    git(tree, "update-index", "--index-version", str(draw.choice((2, 3, 4))), "-q")
    assert by_walk(tree) == by_git(tree)
    for below in [path for path in tree.iterdir() if path.is_dir() and not path.is_symlink() and path.name != ".git"]:
        if by_git(below):
            ignored = subprocess.run(["git", "check-ignore", "-q", "--no-index", "--", "./" + below.name], cwd=tree).returncode == 0
            if not ignored:
                assert by_walk(below) == by_git(below)


@needs_git
def test_submodules_and_repositories_below_are_one_entry(tmp_path: Path) -> None:
    inner, tree = tmp_path / "inner", tmp_path / "tree"
    for folder in (inner, tree):
        folder.mkdir()
        git(folder, "init", "-q")
        write(folder, a="a", b__c="c")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", "x")
    git(tree, "submodule", "-q", "add", str(inner), "sub")
    git(tree, "clone", "-q", str(inner), "nested")
    git(tree, "worktree", "add", "-q", "linked", "-b", "other")
    write(tree, fake__x="x")
    (tree / "fake" / ".git").mkdir()  # no repository
    write(tree, odd__x="x", odd__file="y")
    (tree / "odd" / ".git").write_text("gitdir: nowhere\n")
    assert by_walk(tree) == by_git(tree)
    assert {b"sub", b"nested", b"linked", b"fake/x", b"odd/x"} <= by_walk(tree)
    assert by_walk(tree / "linked") == by_git(tree / "linked")
    assert by_walk(tree / "sub") == by_git(tree / "sub") == {b"a", b"b/c"}


@needs_git
def test_global_ignore_file(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    write(tree, a="a", b="b", c="c", d="d")
    git(tree, "init", "-q")
    write(own_home, **{".config__git__ignore": "a\n"})
    assert by_walk(tree) == by_git(tree) == {b"b", b"c", b"d"}
    config = '[core] # comment\n\texcludesFile = "~/my ignore" ; more\n[include]\npath = more\n'
    write(own_home, **{".gitconfig": config, "my ignore": "b\n"})
    assert by_walk(tree) == by_git(tree) == {b"a", b"c", b"d"}
    write(own_home, more="[CORE]\nexcludesfile = ~/other\n", other="c\n")
    assert by_walk(tree) == by_git(tree) == {b"a", b"b", b"d"}
    git(tree, "config", "core.excludesFile", str(own_home / "local"))
    write(own_home, local="d\n")
    assert by_walk(tree) == by_git(tree) == {b"a", b"b", b"c"}
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own_home / "xdg"))
    git(tree, "config", "core.excludesFile", "")
    assert by_walk(tree) == by_git(tree)


@needs_git
def test_tracked_files_count_though_a_rule_matches(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write(tree, **{".gitignore": "build/\n*.log\n", "a.log": "x", "b.log": "x"}, build__kept="x", build__left="x", deep__build__kept="x")
    git(tree, "init", "-q")
    git(tree, "add", "-f", "build/kept", "deep/build/kept", "a.log")
    assert by_walk(tree) == by_git(tree) == {b".gitignore", b"build/kept", b"deep/build/kept", b"a.log"}
    write(tree, **{".ignore": "kept\n"})
    assert by_walk(tree) == {b".gitignore", b".ignore", b"a.log"}, "an own ignore file holds for tracked files, too"
    (tree / ".git" / "index").write_bytes(b"DIRC\0\0\0\2\0\0\0\1 cut off")
    assert by_walk(tree) == {b".gitignore", b".ignore"}, "an index that cannot be read tracks nothing"


def test_own_ignore_files_win(tmp_path: Path) -> None:
    write(tmp_path, **{".gitignore": "a\nb\nsub/\n", ".ignore": "!a\nc\n", ".cromwellignore": "!c\n!sub/\nd\n!.shown\n"},
          a="", b="", c="", d="", sub__x="", sub__d="", **{".hidden": "", ".shown": "", "sub__.gitignore": "c\n", "sub__c": ""})
    assert by_walk(tmp_path, hidden=False) == {b"a", b"c", b"sub/c", b"sub/x", b".shown"}
    assert {b".hidden", b".gitignore"} <= by_walk(tmp_path)


def test_no_repository(tmp_path: Path) -> None:
    assert repository_of(str(tmp_path)).git_folder is None
    write(tmp_path, **{".gitignore": "*.o\n", "a.o": "", "a.c": "", "other__.git__HEAD": "", "other__a": ""})
    assert by_walk(tmp_path, hidden=False) == {b"a.c", b"other/a"}, "without a repository ignore files hold, and repositories are folders"


def test_odd_names_and_kinds(tmp_path: Path) -> None:
    top = os.fsencode(tmp_path)
    odd = [b"new\nline", b"bad\xff\xfe", b"\xf0\x9f\x90\x8d", b"tab\t", b"'\"$(x)"]
    for name in odd:
        with open(os.path.join(top, name), "wb"):
            pass
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "up").symlink_to("..")
    (tmp_path / "everything").symlink_to("/")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / ".gitignore").symlink_to("../fifo")
    os.mkfifo(tmp_path / ".ignore")
    here = os.getcwd()
    os.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        found = by_walk(tmp_path, hidden=False)
    os.chdir(here)
    assert found - {b"home/" + name for name in odd} == {*odd, b"loop", b"up", b"everything"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_folders_are_counted(tmp_path: Path) -> None:
    write(tmp_path, a="", closed__b="")
    (tmp_path / "closed").chmod(0)
    try:
        listing = tree_files(str(tmp_path))
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert listing.names == b"a\0" and listing.unreadable == 1


def test_deep_trees_end(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):  # deeper than a path may be long
        os.mkdir("d" * 20, dir_fd=descriptor)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    assert tree_files(str(tmp_path)).unreadable <= 1
    shutil.rmtree(tmp_path / ("d" * 20), ignore_errors=True)


def test_one_or_many_threads_list_the_same(tmp_path: Path) -> None:
    for number in range(60):
        write(tmp_path, **{f"d{number % 7}__e{number % 5}__f{number}": "x"})
    listings = [tree_files(str(tmp_path), threads=threads) for threads in (1, 2, 5, 16)]
    assert all(listing == listings[0] for listing in listings)


def test_given_files(tmp_path: Path) -> None:
    write(tmp_path, a="1", b__c="22", **{".hidden": "", ".gitignore": "a\n"})
    listing = given_files(str(tmp_path), ["b/../a", "b/c", "./b/c", "gone", "b", ".hidden", str(tmp_path / "a")])
    assert listing.names == b".hidden\0a\0b/c\0" and listing.unreadable == 2
    for outside in ("../x", "/etc/passwd", "b/../../x"):
        with pytest.raises(CommandError, match="lies outside"):
            given_files(str(tmp_path), [outside])


def test_a_root_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        tree_files(str(tmp_path / "none"))
