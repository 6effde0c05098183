"""Runs Python that nobody has read, such as a model's answers, where it can do no harm, and says how it ended.

The code runs in a process of its own that confines itself first (confine.py): no network, no other processes, no signals to others, no
writing outside an empty folder, limits on memory, processor time, files and output. The environment is empty, standard input is at its
end, no descriptor is inherited, and on time-out the whole process group is killed. What the kernel does not offer is replaced by a
weaker hook inside the interpreter; `confinement` names what holds here."""

from __future__ import annotations

import functools
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .lines import EvaluationError

CONFINE = Path(__file__).with_name("confine.py")
KEPT_BYTES = 2000  # of the output, its end
LAYERS = ("namespaces", "landlock", "seccomp")


class Limits(NamedTuple):
    """What a run may use. Processor time is bounded by the wall time, rounded up."""

    wall_s: float = 5.0
    memory_bytes: int = 512 << 20  # of address space
    output_bytes: int = 1 << 20
    folder_bytes: int = 64 << 20  # of all files, where the kernel lets the folder be a file system of its own; else of each file


DEFAULT_LIMITS = Limits()


class Outcome(NamedTuple):
    """How a run ended. `reason` is "passed", "failed", "ended early" (before its last line), "timed out", "out of memory", "too much
    output", "killed"; `detail` says more, in a line; `output` is the end of what was printed."""

    reason: str
    detail: str
    output: str

    @property
    def passed(self) -> bool:
        return self.reason == "passed"


def run(code: str, limits: Limits = DEFAULT_LIMITS, layers: Sequence[str] = LAYERS) -> Outcome:
    """Runs `code` as a program; it has passed when its last line is reached without an exception. `layers` is for tests: what of the
    kernel's means to use."""
    mark = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="cromwell-", ignore_cleanup_errors=True) as folder:
        job = {"code": code, "mark": mark, "layers": list(layers), **limits._asdict()}
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(CONFINE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, env={}, start_new_session=True,
        )  # fmt: skip
        try:
            output, why = _watch(process, json.dumps(job).encode(), limits)
        finally:
            _kill(process)
    return _outcome(output, why, mark, process.returncode)


def _watch(process: subprocess.Popen, job: bytes, limits: Limits) -> tuple[bytes, str]:
    """The end of the output, and why the run must be ended ("" when it ended itself)."""
    deadline = time.monotonic() + limits.wall_s
    kept, total = b"", 0
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(job)
        process.stdin.close()
    except BrokenPipeError:
        pass
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return kept, "timed out"
            if not selector.select(left):
                continue
            data = process.stdout.read(1 << 16)
            if data is None:
                continue
            if not data:
                break
            total += len(data)
            kept = (kept + data)[-KEPT_BYTES:]
            if total > limits.output_bytes:
                return kept, "too much output"
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:  # it closed its output and went on
        return kept, "timed out"
    return kept, ""


def _kill(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:
                pass


def _outcome(output: bytes, why: str, mark: str, status: int) -> Outcome:
    before, found, after = output.rpartition(mark.encode())
    said = after.decode("utf-8", "replace") if found else ""
    text = (before if found else output).decode("utf-8", "replace")
    if why:
        return Outcome(why, "", text)
    if said:
        reason, _, detail = said.partition(": ")
        return Outcome(reason, detail, text)
    if status < 0:
        name = signal.Signals(-status).name
        return Outcome("timed out" if name == "SIGXCPU" else "killed", name, text)
    return Outcome("ended early", f"exit status {status}", text)


@functools.cache
def confinement() -> str:
    """What confines a run on this machine, in words."""
    outcome = run("import sys\nprint(sys.modules['__main__'].__confined__)")
    if not outcome.passed:
        raise EvaluationError(f"the sandbox does not work here: {outcome.reason} {outcome.detail} {outcome.output.strip()[-200:]}")
    return outcome.output.strip()


def check(limits: Limits) -> None:
    """EvaluationError where not even an empty program runs within the limits."""
    outcome = run("", limits)
    if not outcome.passed:
        raise EvaluationError(
            f"the sandbox cannot run an empty program in {limits.wall_s:g} s and {limits.memory_bytes >> 20} MiB: {outcome.reason}"
        )
