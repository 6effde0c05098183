"""cw-apply when everything goes wrong: killed at, or failing at, every single call that reaches the file system; full disks; races.

A small library in front of the C library (faults.c, LD_PRELOAD) strikes, so that the program under test is the real one with its real
system calls. Unlike ptrace it needs no rights, unlike wrapped Python functions it misses none of the calls. The process that holds it loads
everything once and forks for each trial."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import cromwell
from cromwell.apply import commit, kernel, parse, patching, paths, plan, unified
from cromwell.apply.errors import Refused
from cromwell.apply.journal import State
from cromwell.apply.tree import Tree
from cromwell.apply.unified import Version

SITE = str(Path(cromwell.__path__[0]).absolute().parent)
HERE = Path(__file__).parent
WORK = commit.Work("faults", 3, 1 << 30)

TRIALS = r"""
import ctypes, json, os, sys
sys.path.insert(0, sys.argv[1])
import test_apply_faults as t
from cromwell.apply import commit, durable, signals, undo
from cromwell.contract.errors import CommandError
import threading
shim, base, job = ctypes.CDLL(None), t.Path(sys.argv[2]), json.loads(sys.argv[3])
shim.faults_old_kernel(job["old_kernel"])
root, state = base / "root", base / "state"

def trial(action, *arm):
    # (exit code, calls counted) of action in a child with the shim armed; -9 is killed
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            shim.faults_arm(*arm)
            action()
            code = 0
        except CommandError as error:
            code = error.exit_code
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os.write(into, b"%d" % shim.faults_disarm())
            os._exit(code)
    os.close(into)
    count = os.read(out, 20)
    os.close(out)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(count or 0)

def apply():
    opened, steps = t.planned(root, text)
    store = t.State(opened)
    store.make()
    commit.commit(opened, store, steps, None, t.WORK)

def take_back():
    opened = t.Tree(str(root))
    store = t.State(opened)
    work = undo.plan(opened, store, None)
    more = {"undoes": work.number, "returning": work.returning, "folders": work.folders, "may_go": work.may_go}
    commit.commit(opened, store, work.steps, None, t.WORK._replace(**more))

def recover():
    opened = t.Tree(str(root))
    commit.recover(opened, t.State(opened))
    opened.close()

def fail(*words):
    print(json.dumps({"failed": " ".join(map(str, words))}))
    sys.exit(0)

def build():
    t.build(root)
    if job["undo"]:
        apply()
    return t.picture(root)

text = t.patch(t.build(root))
action = take_back if job["undo"] else apply
before = build()
action()
after = t.without_times(t.picture(root))
before = build()
calls, outcomes = 0, []
for at in range(10_000):
    code, count = trial(action, at, job["error"], job["full"])
    calls = max(calls, count)
    if code == 0 and count <= at:  # nothing was left to strike at
        break
    if job["error"] and code not in (0, 3, 70, 2 if job["error"] == t.errno.EACCES else 3):  # 2: a root that may not be opened
        fail("call", at, "exit code", code)
    if job["twice"] and at % 13 == 3:
        for again in range(10_000):
            if trial(recover, again, 0, 0)[0] == 0:
                break
    if job["error"] and not t.State(t.Tree(str(root))).is_pending() and t.litter(base):
        fail("call", at, "left", t.litter(base))
    recover()
    now = t.picture(root)
    outcomes.append(now == before)
    if job["error"] == t.errno.EACCES:  # a folder left empty stays where it may not be removed
        now = {name: entry for name, entry in now.items() if now == before or name not in ("lone", "lone/deep")}
    if now != before and t.without_times(now) != after:
        fail("call", at, "exit code", code, "a mixture", sorted(set(map(str, now.items())) ^ set(map(str, before.items()))))
    if job["error"] and code and now != before:
        fail("call", at, "exit code", code, "but patched")
    if t.litter(base):
        fail("call", at, "litter", t.litter(base))
    if now != before or job["undo"]:
        before = build()
in_order = outcomes == sorted(outcomes, reverse=True)
print(json.dumps({"failed": "", "calls": len(outcomes), "unchanged": sum(outcomes), "in_order": in_order}))
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder in memory where there is /dev/shm, since thousands of fsyncs take long."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None, prefix="cromwell-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of faults.c."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler, as building Cromwell does")
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", library, HERE / "faults.c", "-ldl"], check=True)
    return library


def build(root: Path) -> Path:
    """Files of several modes, one alone in its folder; symbolic links."""
    shutil.rmtree(root, ignore_errors=True)
    for number in range(4):
        path = root / f"d{number % 2}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"line\n" * number + b"old\nlast")
        path.chmod([0o600, 0o640, 0o755, 0o444][number])
    (root / "lone/deep").mkdir(parents=True)
    (root / "lone/deep/f").write_bytes(b"x\n")
    (root / "lone/deep").chmod(0o750)
    (root / "same").write_bytes(b"same\n")
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    (root / "to link").write_bytes(b"file\n")
    return root


LINKS = {"points": "d0", "gone": "nowhere", "to file": "/etc"}


def diff(name: str, old: bytes | None, new: bytes | None, executable: bool = False, link: bool = False) -> bytes:
    found = unified.compare(name.encode(), None if old is None else Version(old, False, link),
                            None if new is None else Version(new, executable, link))
    assert found is not None
    return unified.write(found)


def patch(root: Path) -> bytes:
    """Changes, makes, deletes (one leaves its folders empty), renames and makes executable; the same with links, and files as links."""
    f = [(root / f"d{number % 2}/f{number}").read_bytes() for number in range(4)]
    return (diff("d0/f0", f[0], f[0] + b"\nmore\n") + diff("d1/f1", f[1], f[1].replace(b"old", b"new")) + diff("d0/f2", f[2], None)
            + diff("new/deep/made", None, b"made\n", True) + diff("lone/deep/f", b"x\n", None)
            + b"diff --git a/d1/f3 b/moved/f3\nsimilarity index 100%\nrename from d1/f3\nrename to moved/f3\n"
            + diff("same", b"same\n", b"same\n", True)
            + diff("points", b"d0", b"d1", link=True) + diff("gone", b"nowhere", None, link=True) + diff("new/link", None, b"..", link=True)
            + diff("to file", b"/etc", None, link=True) + diff("to file", None, b"file\n")
            + diff("to link", b"file\n", None) + diff("to link", None, b"same", link=True))


def planned(root: Path, text: bytes) -> tuple[Tree, list[plan.Step]]:
    opened = Tree(str(root))
    files = parse.parse(text, "patch")
    work = plan.Plan(opened, patching.Rules(symlinks=True))
    work.apply(files, paths.targets(files, None, lambda path: opened.read(path) is not None))
    return opened, work.steps()


def picture(root: Path) -> dict[str, tuple]:
    """Kinds, modes, owners and contents of everything, and files' times."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, data, status.st_mtime_ns if data else 0)
    return found


def without_times(shown: dict[str, tuple]) -> dict[str, tuple]:
    return {name: entry[:4] for name, entry in shown.items()}


def litter(base: Path) -> list[str]:
    """Files that have no business to be there."""
    return ([str(path) for path in base.rglob(".cw-apply-*")]
            + [str(path) for path in (base / "state").rglob("*") if path.is_file() and path.suffix != ".undo"])


def trials(base: Path, shim: Path, error: int = 0, full: bool = False, undo: bool = False, old_kernel: bool = False,
           twice: bool = False) -> dict:
    job = json.dumps({"error": error, "full": full, "undo": undo, "old_kernel": old_kernel, "twice": twice})
    environment = {**os.environ, "PYTHONPATH": SITE, "LD_PRELOAD": str(shim), "CROMWELL_STATE": str(base / "state")}
    result = subprocess.run([sys.executable, "-c", TRIALS, HERE, base, job], capture_output=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr.decode()
    answer = json.loads(result.stdout)
    assert not answer["failed"], answer["failed"] + "\n" + result.stderr.decode()
    return answer


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("old_kernel", [False, True])
def test_killed_at_every_call(undo, old_kernel, base, shim):
    """Recovery gives the old tree up to one call, and the new one stands from it on."""
    answer = trials(base, shim, undo=undo, old_kernel=old_kernel)
    assert answer["calls"] > 120 and answer["in_order"] and 100 < answer["unchanged"] < answer["calls"]


@pytest.mark.parametrize("old_kernel", [False, True])
def test_killed_while_recovering(old_kernel, base, shim):
    """A run killed at every thirteenth call, its recovery killed at every call: the next one ends it."""
    assert trials(base, shim, old_kernel=old_kernel, twice=True)["in_order"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EINTR])
def test_failing_at_every_call(number, base, shim):
    """The old tree and exit 3 or 70, or the new tree where the call did not matter; no litter."""
    assert trials(base, shim, error=number)["calls"] > 120


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("undo", [False, True])
def test_full_disk(number, undo, base, shim):
    """From some call on nothing that needs space works any more, for every such call: putting back needs none."""
    assert trials(base, shim, error=number, full=True, undo=undo)["calls"] > 15


# ---- Races -------------------------------------------------------------------------------------------------------------------


def replace(path: Path) -> None:
    path.with_suffix(".other").write_bytes(b"someone else's\n")
    path.with_suffix(".other").rename(path)


def write_into(path: Path) -> None:
    path.write_bytes(b"someone else's\n")


@pytest.mark.parametrize("call, name", [("exchange", "d1/f1"), ("rename_to_free", "d0/f2")])
@pytest.mark.parametrize("meddle", [replace, write_into])
def test_a_file_changed_in_the_last_instant(call, name, meddle, base, monkeypatch):
    """Between the look at a file and the rename that replaces it: what was written then is not lost."""
    monkeypatch.setenv("CROMWELL_STATE", str(base / "state"))
    root = build(base / "root")
    opened, steps = planned(root, patch(root))
    if not can_exchange(base):
        pytest.skip("this file system cannot exchange names")
    real, done = getattr(kernel, call), []

    def raced(one: bytes, other: bytes, folder: int) -> None:
        if (other if call == "exchange" else one) == os.fsencode(name).rpartition(b"/")[2] and not done:
            done.append(1)
            meddle(root / name)
        real(one, other, folder)

    before = picture(root)
    monkeypatch.setattr(kernel, call, raced)
    store = State(opened)
    store.make()
    with pytest.raises(Refused, match="changed meanwhile"):
        commit.commit(opened, store, steps, None, WORK)
    opened.close()
    after = picture(root)
    assert done and after.pop(name)[3] == b"someone else's\n" and not litter(base)
    before.pop(name)
    assert after == before


def can_exchange(folder: Path) -> bool:
    for name in ("x", "y"):
        (folder / name).touch()
    fd = os.open(folder, os.O_RDONLY)
    try:
        kernel.exchange(b"x", b"y", fd)
    except (kernel.Unavailable, OSError):
        return False
    finally:
        os.close(fd)
    return True
