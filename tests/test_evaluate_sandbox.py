"""The sandbox contains what it runs, with every layer of the kernel and with the weakest (training/evaluate/sandbox.py)."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the sandbox is Linux's", allow_module_level=True)
sandbox = pytest.importorskip("training.evaluate.sandbox")

LIMITS = sandbox.Limits(wall_s=60, memory_bytes=256 << 20, output_bytes=1 << 18, folder_bytes=1 << 20)
SHORT = LIMITS._replace(wall_s=1.5)  # for what runs on until it is stopped
LAYERS = {"all": sandbox.LAYERS, "filters": ("landlock", "seccomp"), "hook": ()}
HARMFUL = {
    "endless loop": ("while True: pass", "timed out"),
    "sleep": ("import time; time.sleep(60)", "timed out"),
    "closed output": ("import os\nos.close(1); os.close(2)\nwhile True: pass", "timed out"),
    "memory bomb": ("held = []\nwhile True: held.append('x' * 10**7)", "out of memory"),
    "one large string": ("text = 'x' * 10**11", "out of memory"),
    "fork bomb": ("import os\nwhile True: os.fork()", "failed"),
    "program": ("import subprocess; subprocess.run(['/bin/sh', '-c', 'true'])", "failed"),
    "socket": ("import socket; socket.create_connection(('127.0.0.1', 9), 1)", "failed"),
    "name look-up": ("import socket; socket.getaddrinfo('example.org', 80)", "failed"),
    "reading standard input": ("input()", "failed"),
    "killing the parent": ("import os; os.kill(os.getppid(), 9)", "failed"),
    "killing the group": ("import os; os.killpg(0, 9)", "failed"),
    "higher limits": ("import resource as r; r.setrlimit(r.RLIMIT_AS, (1 << 40, 1 << 40))", "failed"),
    "the parent's limits": ("import os, resource as r; r.prlimit(os.getppid(), r.RLIMIT_CPU, (1, 1))", "failed"),
    "huge output": ("while True: print('x' * 1000)", "too much output"),
    "huge file": ("with open('x', 'wb') as f:\n    while True: f.write(b'x' * 10**5)", "failed"),
    "leaving early": ("import sys; sys.exit(0)", "ended early"),
    "leaving at once": ("import os; os._exit(0)", "ended early"),
    "wrong": ("assert 1 == 2, 'one'", "failed"),
    "no Python": ("def", "failed"),
    "endless recursion": ("def f(): f()\nf()", "failed"),
    "abort": ("import os; os.abort()", "killed"),
    "file modes": ("import os; os.chmod('/', 0o755)", "failed"),
}


@pytest.mark.parametrize("layers", LAYERS)
def test_what_is_harmless_passes(layers: str) -> None:
    outcome = sandbox.run("open('x', 'w').write('a')\nassert open('x').read() == 'a'\nprint('done')", LIMITS, LAYERS[layers])
    assert outcome == ("passed", "", "done\n")
    library = "import asyncio, collections, dataclasses, decimal, hashlib, heapq, itertools, json, math, random, re, threading\n"
    assert sandbox.run(library + "t = threading.Thread(target=print)\nt.start()\nt.join()", LIMITS, LAYERS[layers]).passed


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("name", HARMFUL)
def test_what_is_harmful_is_contained_and_reported(layers: str, name: str) -> None:
    code, reason = HARMFUL[name]
    limits, begin = SHORT if reason == "timed out" else LIMITS, time.monotonic()
    outcome = sandbox.run(code, limits, LAYERS[layers])
    assert outcome.reason == reason and not outcome.passed, outcome
    assert time.monotonic() - begin < limits.wall_s + 30 and len(outcome.output) <= sandbox.KEPT_BYTES


@pytest.mark.parametrize("layers", LAYERS)
def test_nothing_outside_the_folder_is_written(layers: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("mine")
    for code in (
        f"open({str(kept)!r}, 'w')", f"open({str(kept)!r}, 'a').write('x')", f"open({str(tmp_path / 'new')!r}, 'w')",
        f"import os; os.remove({str(kept)!r})", f"import os; os.truncate({str(kept)!r}, 0)",
        f"import os; os.mkdir({str(tmp_path / 'd')!r})",
        f"import os; os.rename({str(kept)!r}, 'x')", f"import os; os.link({str(kept)!r}, 'x')",
        f"import os; os.symlink('/', 'up'); open('up' + {str(kept)!r}, 'w')",
    ):  # fmt: skip
        assert sandbox.run(code, LIMITS, LAYERS[layers]).reason == "failed", code
    assert kept.read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_environment_descriptors_and_folder_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC_CTYPE is what the interpreter sets for itself."""
    monkeypatch.setenv("SECRET", "s3cret")
    handle = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        outcome = sandbox.run(
            "import os\nassert set(os.environ) <= {'LC_CTYPE'}, os.environ\nassert os.listdir('.') == []\n"
            "def there(n):\n    try: os.fstat(n)\n    except OSError: return False\n    return True\n"
            "assert [n for n in range(64) if there(n)] == [0, 1, 2]\n",
            LIMITS,
        )
    finally:
        os.close(handle)
    assert outcome.passed, outcome


def test_the_kernel_refuses_where_the_interpreter_does_not() -> None:
    """Straight through the C library, past every hook."""
    if "seccomp" not in sandbox.confinement():
        pytest.skip("the kernel has no seccomp here")
    outcome = sandbox.run(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "calls = {'socket': (2, 1, 0), 'fork': (), 'unshare': (0x40000000,), 'setsid': (), 'chmod': (b'/', 0o755)}\n"
        "for name, arguments in calls.items():\n"
        "    assert getattr(libc, name)(*arguments) == -1, name\n"
        "    assert ctypes.get_errno() == 1, (name, ctypes.get_errno())\n",
        LIMITS,
    )
    assert outcome.passed, outcome


def test_no_process_and_no_folder_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))
    sandbox.run("open('x', 'w').write('a')\nimport time; time.sleep(60)", SHORT)
    sandbox.run("import os; os.mkdir('d'); open('d/x', 'w')", LIMITS, ())
    assert list(tmp_path.iterdir()) == []
    children = {line.split()[3] for line in _statuses() if "confine" in line.split()[1]}
    assert str(os.getpid()) not in children


def _statuses() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found.append(path.read_text())
        except OSError:
            continue
    return found


def test_runs_do_not_disturb_one_another() -> None:
    outcomes: dict[int, str] = {}

    def work(number: int) -> None:
        outcomes[number] = sandbox.run(f"open('x', 'w').write('{number}')\nprint(open('x').read())", LIMITS).output.strip()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {number: str(number) for number in range(4)}


def test_limits_too_small_for_anything_are_said() -> None:
    with pytest.raises(sandbox.EvaluationError, match="cannot run an empty program"):
        sandbox.check(sandbox.Limits(wall_s=0.001))
    sandbox.check(LIMITS)
