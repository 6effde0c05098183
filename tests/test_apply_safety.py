"""cw-apply on disk: all or nothing whatever fails or kills it, nothing outside the root, everything about a file kept."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cromwell
from benchmarks.apply import kills
from cromwell.apply import commit, cw_apply, parse, paths, plan, tree, unified
from cromwell.apply.journal import State
from cromwell.apply.tree import Tree
from cromwell.apply.unified import Version
from cromwell.contract import artifact, cli
from cromwell.contract.errors import CommandError

SITE = str(Path(cromwell.__path__[0]).absolute().parent)
WORK = commit.Work("test", 100, 1 << 30)
APPLY = [sys.executable, "-c", "from cromwell.apply.cw_apply import main; main()"]


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is /dev/shm, since thousands of fsyncs take long."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None, prefix="cromwell-test-") as folder:
        yield Path(folder)


@pytest.fixture
def state(memory, monkeypatch) -> Path:
    """The folder for journals."""
    monkeypatch.setenv("CROMWELL_STATE", str(memory / "state"))
    return memory / "state"


@pytest.fixture
def root(memory, state) -> Path:
    """A folder with files of several modes in several folders, the only thing in its parent."""
    return build(memory / "tree" / "root")


def build(base: Path) -> Path:
    for number in range(4):
        folder = base / f"d{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}.py").write_bytes(b"line\n" * number + b"old\nlast")
        (folder / f"f{number}.py").chmod([0o600, 0o640, 0o755, 0o444][number])
    (base / "unchanged").write_bytes(b"same\n")
    return base


def rebuild(base: Path) -> None:
    shutil.rmtree(base)
    build(base)


def file_diff(name: str, old: bytes | None, new: bytes | None, **modes: bool) -> bytes:
    before = None if old is None else Version(old, modes.get("old_executable", False))
    after = None if new is None else Version(new, modes.get("new_executable", False))
    diff = unified.compare(name.encode(), before, after)
    assert diff is not None
    return unified.write(diff)


def big_patch(base: Path) -> bytes:
    """Changes, makes, deletes, renames and makes executable."""
    f = {number: (base / f"d{number % 2}/f{number}.py").read_bytes() for number in range(4)}
    return (file_diff("d0/f0.py", f[0], f[0] + b"\nmore\n") + file_diff("d1/f1.py", f[1], f[1].replace(b"old", b"new"))
            + file_diff("d0/f2.py", f[2], None) + file_diff("new/deep/made.py", None, b"made\n", new_executable=True)
            + b"diff --git a/d1/f3.py b/moved/f3.py\nsimilarity index 100%\nrename from d1/f3.py\nrename to moved/f3.py\n"
            + file_diff("unchanged", b"same\n", b"same\n", new_executable=True))


def picture(base: Path, times: bool = False) -> dict[str, tuple]:
    """Everything about a tree: kinds, modes, contents, optionally modification times."""
    found = {}
    for path in sorted(base.rglob("*")):
        status = path.lstat()
        data = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(base))] = (stat.filemode(status.st_mode), data, status.st_mtime_ns if times and data is not None else 0)
    return found


def litter(state: Path) -> list[Path]:
    """What a run left in the state folder beside what can be undone."""
    return [path for path in state.rglob("*") if path.is_file() and path.suffix != ".undo"]


def run(capsysbinary, *arguments) -> tuple[int, bytes, str]:
    code = cli.run(cw_apply.app, [str(argument) for argument in arguments])
    out, err = capsysbinary.readouterr()
    return code, out, err.decode()


def feed(monkeypatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text))))


def planned(base: Path, text: bytes) -> tuple[Tree, list[plan.Step]]:
    opened = Tree(str(base))
    files = parse.parse(text, "patch")
    work = plan.Plan(opened)
    work.apply(files, paths.targets(files, None, lambda path: opened.read(path) is not None))
    return opened, work.steps()


def carry_out(base: Path, text: bytes) -> None:
    opened, steps = planned(base, text)
    store = State(opened)
    store.make()
    commit.commit(opened, store, steps, None, WORK)
    opened.close()


# ---- Everything is kept ------------------------------------------------------------------------------------------------------


def test_modes_contents_and_times(root, monkeypatch, capsysbinary):
    os.setxattr(root / "d0/f0.py", "user.note", b"kept") if supports_xattrs(root) else None
    before = picture(root, times=True)
    feed(monkeypatch, big_patch(root))
    assert run(capsysbinary, "--root", root)[0] == 0
    after = picture(root, times=True)
    assert after["d0/f0.py"][:2] == ("-rw-------", b"old\nlast\nmore\n") and after["d1/f1.py"][:2] == ("-rw-r-----", b"line\nnew\nlast")
    assert after["moved/f3.py"][:2] == ("-r--r--r--", before["d1/f3.py"][1]) and "d1/f3.py" not in after and "d0/f2.py" not in after
    umask = os.umask(0)
    os.umask(umask)
    assert after["new/deep/made.py"][:2] == (stat.filemode(stat.S_IFREG | 0o777 & ~umask), b"made\n")
    assert after["unchanged"][0] == "-rwxr-xr-x" and after["unchanged"][1:] == before["unchanged"][1:]
    if supports_xattrs(root):
        assert os.getxattr(root / "d0/f0.py", "user.note") == b"kept"


def supports_xattrs(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.probe", b"")
        os.removexattr(folder, "user.probe")
    except OSError:
        return False
    return True


def test_executable_bits_go_to_readers(root, monkeypatch, capsysbinary):
    (root / "unchanged").chmod(0o640)
    feed(monkeypatch, file_diff("unchanged", b"same\n", b"same\n", new_executable=True))
    assert run(capsysbinary, "--root", root)[0] == 0 and (root / "unchanged").stat().st_mode & 0o7777 == 0o750
    feed(monkeypatch, file_diff("unchanged", b"same\n", b"other\n", old_executable=True))
    assert run(capsysbinary, "--root", root)[0] == 0 and (root / "unchanged").stat().st_mode & 0o7777 == 0o640


def test_untouched_where_nothing_changes(root, monkeypatch, capsysbinary):
    before = picture(root, times=True)
    text = file_diff("unchanged", b"different\n", b"same\n")
    feed(monkeypatch, text)
    code, _out, err = run(capsysbinary, "--root", root)
    assert (code, err) == (0, "unchanged: already applied\n") and picture(root, times=True) == before
    feed(monkeypatch, big_patch(root))
    code, out, _err = run(capsysbinary, "--root", root, "--dry-run", "--json")
    document = json.loads(out)
    assert code == 0 and document["dry_run"] and [file["status"] for file in document["files"]] == [
        "patched", "patched", "deleted", "created", "renamed", "mode changed"]
    assert picture(root, times=True) == before


def test_emptied_folders_go_and_no_state_stays(root, state, monkeypatch, capsysbinary):
    (root / "lone/deep").mkdir(parents=True)
    (root / "lone/deep/f").write_bytes(b"x\n")
    feed(monkeypatch, file_diff("lone/deep/f", b"x\n", None))
    assert run(capsysbinary, "--root", root)[0] == 0
    assert not (root / "lone").exists() and not litter(state)


def test_reverse_undoes_everything(root, monkeypatch, capsysbinary):
    before = picture(root)
    text = big_patch(root)
    carry_out(root, text)
    feed(monkeypatch, text)
    assert run(capsysbinary, "--root", root, "--reverse")[0] == 0
    after = picture(root)
    assert {name: entry[1] for name, entry in after.items()} == {name: entry[1] for name, entry in before.items()}


# ---- Inputs ------------------------------------------------------------------------------------------------------------------


def test_edit_is_applied_as_shown(root, monkeypatch, capsysbinary):
    from cromwell.apply import cw_diff

    target = (root / "d1/f1.py").read_bytes()
    region = {"start_line": 2, "end_line": 2, "start_byte": 5, "end_byte": 9}
    candidate = {"accepted": True, "reason": None, "log_probability": 0.0, "tokens": 1, "stop": "token"}
    meta = {"path": "d1/f1.py", "region": region, "eol": "lf", "encoding": "utf-8", "mode": "0640", "instruction": "i", "model": None,
            "candidates": [candidate], "best": 0}
    arrays = {"target": artifact.bytes_array(target), "candidate.0": artifact.bytes_array(b"new\n")}
    with open(root.parent / "e.cwa", "wb") as stream:
        artifact.write(artifact.Artifact("edit", meta, arrays, []), stream)
    assert cli.run(cw_diff.app, [str(root.parent / "e.cwa")]) == 0
    shown = capsysbinary.readouterr().out
    receipt = root.parent / "r.cwa"
    assert run(capsysbinary, "--root", root, "--receipt", receipt, root.parent / "e.cwa")[0] == 0
    assert (root / "d1/f1.py").read_bytes() == b"line\nnew\nlast"
    with open(receipt, "rb") as stream:
        (file,) = artifact.read(stream, "r.cwa", {"receipt"}).meta["files"]
    assert f"index {file['old_blob']}..{file['new_blob']} 100644\n".encode() in shown and file["status"] == "patched"
    assert cli.run(cw_diff.app, ["--artifact", "-o", str(root.parent / "d.cwa"), str(root.parent / "e.cwa")]) == 0
    capsysbinary.readouterr()
    assert run(capsysbinary, "--root", root, "-R", root.parent / "d.cwa")[0] == 0 and (root / "d1/f1.py").read_bytes() == target


@pytest.mark.parametrize("arguments, code, words", [
    (["gone.diff"], 2, "gone.diff: no such file"), (["--root", "nowhere", "-"], 2, "nowhere: No such file"),
    (["--dry-run", "--check", "true", "-"], 2, "--dry-run goes with none"), (["-p", "x", "-"], 2, "--strip"),
    (["-n", "1", "-"], 2, "goes with an edit"),
    (["--receipt", "-", "--json", "-"], 2, "both go to standard output"), (["-"], 2, "no patch found"),
])
def test_bad_usage(arguments, code, words, root, monkeypatch, capsysbinary):
    monkeypatch.chdir(root)
    feed(monkeypatch, b"not a patch\n")
    before = picture(root)
    got, out, err = run(capsysbinary, *arguments)
    assert (got, out) == (code, b"") and words in err.splitlines()[0] and "Traceback" not in err and picture(root) == before


# ---- Confinement -------------------------------------------------------------------------------------------------------------


def link_folder(base: Path) -> None:
    (base / "d1").rename(base.parent / "elsewhere")
    (base / "d1").symlink_to(base.parent / "elsewhere")


def link_inside(base: Path) -> None:
    (base / "d1").rename(base / "real")
    (base / "d1").symlink_to("real")


def link_file(base: Path) -> None:
    (base / "d1/f1.py").rename(base.parent / "target")
    (base / "d1/f1.py").symlink_to(base.parent / "target")


def dangling(base: Path) -> None:
    (base / "d1/f1.py").unlink()
    (base / "d1/f1.py").symlink_to(base.parent / "made-by-the-patch")


def hard_link(base: Path) -> None:
    os.link(base / "d1/f1.py", base.parent / "other-name")


def pipe(base: Path) -> None:
    (base / "d1/f1.py").unlink()
    os.mkfifo(base / "d1/f1.py")


def set_user_id(base: Path) -> None:
    (base / "d1/f1.py").chmod(0o4755)


def folder_instead(base: Path) -> None:
    (base / "d1/f1.py").unlink()
    (base / "d1/f1.py").mkdir()


def facts(path: Path) -> tuple:
    return path, path.lstat().st_mode, path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None


@pytest.mark.parametrize("trap, words", [
    (link_folder, "d1: is a symbolic link"), (link_inside, "d1: is a symbolic link"), (link_file, "d1/f1.py: is a symbolic link"),
    (dangling, "d1/f1.py: is a symbolic link"), (hard_link, "has 2 names"), (pipe, "not a regular file"), (set_user_id, "set-user-id"),
    (folder_instead, "is a folder, not a file"),
])
def test_traps(trap, words, root, monkeypatch, capsysbinary):
    """A patch of several files, one of which must not be touched: the others stay, too."""
    text = file_diff("unchanged", b"same\n", b"other\n") + file_diff("d1/f1.py", b"line\nold\nlast", b"line\nnew\nlast")
    trap(root)
    listing = [path for path in root.parent.rglob("*") if not path.is_fifo()]
    before = list(map(facts, listing))
    feed(monkeypatch, text)
    code, _out, err = run(capsysbinary, "--root", root)
    assert code == 3 and words in err, err
    assert before == list(map(facts, listing))
    assert [path for path in root.parent.rglob("*") if not path.is_fifo()] == listing


def test_creation_through_a_link_is_refused(root, monkeypatch, capsysbinary):
    (root / "out").symlink_to(root.parent)
    before = picture(root.parent)
    feed(monkeypatch, file_diff("out/made", None, b"x\n"))
    assert run(capsysbinary, "--root", root)[0] == 3 and picture(root.parent) == before


def test_the_root_itself_may_be_a_link(root, monkeypatch, capsysbinary):
    (root.parent / "alias").symlink_to(root)
    feed(monkeypatch, big_patch(root))
    assert run(capsysbinary, "--root", root.parent / "alias")[0] == 0


# ---- Failures ----------------------------------------------------------------------------------------------------------------

def test_read_only_folder(root, state, monkeypatch, capsysbinary):
    feed(monkeypatch, big_patch(root))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(root))
    (root / "d1").chmod(0o555)
    before = picture(root)
    user = os.geteuid()
    if user == 0:  # who may write anywhere
        for path in (state.parent, root.parent, root, *root.rglob("*")):
            os.chown(path, 65534, -1)
        os.seteuid(65534)
    try:
        code, _out, err = run(capsysbinary, "--root", root)
    finally:
        os.seteuid(user)
    assert code == 3 and "Permission denied" in err and picture(root) == before


def test_full_disk_by_file_size_limit(root):
    """A limit on file sizes makes the write of the journal fail."""
    before = picture(root)
    text = file_diff("unchanged", b"same\n", b"big\n" * 40_000)
    limited = ("import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
               "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
               "from cromwell.apply.cw_apply import main; main()")
    result = subprocess.run([sys.executable, "-c", limited, "--root", root], input=text, capture_output=True, check=False,
                            env={**os.environ, "PYTHONPATH": SITE})
    assert result.returncode == 70 and b"File too large" in result.stderr and picture(root) == before


def test_no_place_for_the_journal(root, monkeypatch, capsysbinary):
    monkeypatch.setenv("CROMWELL_STATE", str(root / "unchanged"))
    before = picture(root)
    feed(monkeypatch, big_patch(root))
    code, _out, err = run(capsysbinary, "--root", root)
    assert code == 2 and "CROMWELL_STATE" in err and picture(root) == before


def test_a_file_changed_meanwhile_is_not_overwritten(root, state):
    for meddle in (lambda: (root / "d1/f1.py").write_bytes(b"someone else's\n"), lambda: (root / "d1/f1.py").unlink(),
                   lambda: ((root / "new/deep").mkdir(parents=True), (root / "new/deep/made.py").write_bytes(b"mine\n"))):
        text = big_patch(root)
        opened, steps = planned(root, text)
        meddle()
        before = picture(root)
        store = State(opened)
        store.make()
        with pytest.raises(CommandError) as raised:
            commit.commit(opened, store, steps, None, WORK)
        opened.close()
        assert raised.value.exit_code == 3 and "meanwhile" in raised.value.where_and_what and picture(root) == before
        assert not litter(state)
        (root / "d1/f1.py").write_bytes(b"line\nold\nlast")


# ---- Kills, locks, checks ----------------------------------------------------------------------------------------------------


def test_killed_at_random_instants(memory, state):
    """Real processes, real SIGKILL, 200 files (python -m benchmarks.apply kills does it 500 times)."""
    found = kills(memory, count=200, runs=30)
    assert found["mixture"] == found["litter"] == 0 and found["old"] > 3 and found["new"] + found["old"] == 30


def test_the_next_start_recovers(root, state, monkeypatch, capsysbinary):
    text = big_patch(root)
    before = picture(root)
    child = os.fork()
    if child == 0:
        opened, steps = planned(root, text)
        store = State(opened)
        store.make()
        commit.commit(opened, store, steps, lambda: os._exit(9), WORK)
    os.waitpid(child, 0)
    assert picture(root) != before
    feed(monkeypatch, text)
    assert run(capsysbinary, "--root", root, "--dry-run")[0] == 3
    (root / "d1/f1.py").write_bytes(b"edited after the crash\n")
    code, _out, err = run(capsysbinary, "--root", root, "--recover")
    assert code == 3 and "d1/f1.py: changed since" in err
    assert (root / "d1/f1.py").read_bytes() == b"edited after the crash\n"
    after = picture(root)
    assert {**after, "d1/f1.py": before["d1/f1.py"]} == before and len(list(state.rglob("*.kept"))) == 1
    assert run(capsysbinary, "--root", root, "--recover") == (0, b"", "nothing to recover\n")


def test_check(root, state, monkeypatch, capsysbinary):
    before = picture(root, times=True)
    feed(monkeypatch, big_patch(root))
    command = "echo said; test ! -e d0/f2.py && echo spoiled >> d0/f0.py && rm d1/f1.py && exit 7"
    code, out, err = run(capsysbinary, "--root", root, "--check", command)
    assert (code, out) == (5, b"") and "exited with 7" in err and picture(root, times=True) == before
    assert not litter(state)
    feed(monkeypatch, big_patch(root))
    assert run(capsysbinary, "--root", root, "--check", "test -e new/deep/made.py && ! ls -A . d0 d1 | grep cw-apply")[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopped_during_a_check(number, root, state):
    before = picture(root)
    arguments = [*APPLY, "--root", root, "--check", "touch started; sleep 60"]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": SITE})
    process.stdin.write(big_patch(root))
    process.stdin.close()
    while not (root / "started").exists():
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(20) == 128 + number and b"Traceback" not in process.stderr.read()
    (root / "started").unlink()
    assert picture(root) == before


def test_only_one_at_a_time(root, monkeypatch, capsysbinary):
    monkeypatch.setattr(tree, "LOCK_WAIT_S", 0.05)
    other = os.open(root, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    before = picture(root)
    feed(monkeypatch, big_patch(root))
    code, _out, err = run(capsysbinary, "--root", root)
    os.close(other)
    assert code == 3 and "another cw-apply" in err and picture(root) == before


def test_two_at_once_both_apply(root):
    texts = [file_diff("unchanged", b"same\n", b"other\n"), file_diff("d0/f0.py", b"old\nlast", b"new\nlast")]
    environment = {**os.environ, "PYTHONPATH": SITE}
    processes = [subprocess.Popen([*APPLY, "-q", "--root", root], stdin=subprocess.PIPE, env=environment) for _ in texts]
    for process, text in zip(processes, texts, strict=True):
        process.stdin.write(text)
        process.stdin.close()
    assert [process.wait(30) for process in processes] == [0, 0]
    assert (root / "unchanged").read_bytes() == b"other\n" and (root / "d0/f0.py").read_bytes() == b"new\nlast"
