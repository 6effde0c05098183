"""Measures cw-apply beside git apply, and kills it at random instants.

    python -m benchmarks.apply speed [--files 1000] [--rounds 5] [--folder DIR]
    python -m benchmarks.apply moved
    python -m benchmarks.apply kills [--runs 500] [--files 200] [--folder DIR]

`speed` applies one patch to trees of the same files as whole processes, interleaved; the minimum of the rounds counts, of time and of
processor time. "Durable" is cw-apply as it is, and git apply followed by an fsync of each file and folder it touched, in as many threads
(git apply makes nothing durable). "Not durable" is git apply as it is, and cw-apply with fsync made to do nothing by a library in front
of the C library, here alone. Every run has a tree of its own: an ext4 without journal takes the longer to make a file the more were
deleted in the same folder within the last minutes.

`moved` finds hunks that are a line off in a file of 100,000 lines: the processor time from the patch's text to the new file's, in memory.

`kills` applies a patch in a process that SIGKILL ends at a random instant, recovers, and looks: the tree must be the old or the new one,
and nothing left over.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

if "PYTHONPATH" in os.environ:  # the commands run in other folders
    os.environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(part) for part in os.environ["PYTHONPATH"].split(os.pathsep) if part)
APPLY = [sys.executable, "-c", "from cromwell.apply.apply_start import main; main()", "-q"]
IDLE_SYNC = "int fsync(int fd) { return fd < 0; }\n"
IDLE_SYNC += "int sync_file_range(int fd, long at, long size, unsigned how) { return fd + at + size + how < 0; }\n"
THREADS = 32


def names(count: int) -> list[str]:
    """Paths of the files, twenty a folder."""
    return [f"d{number // 20}/f{number}.txt" for number in range(count)]


def fill(root: Path, count: int) -> None:
    """Writes the old tree: files of 100 lines."""
    shutil.rmtree(root, ignore_errors=True)
    for number, name in enumerate(names(count)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(b"line %d of file %d\n" % (line, number) for line in range(100)))


def patch(root: Path, count: int) -> bytes:
    """A diff that changes a line of each file."""
    from cromwell.apply.unified import Version, compare, write

    parts = []
    for name in names(count):
        old = (root / name).read_bytes()
        diff = compare(name.encode(), Version(old), Version(old.replace(b"line 50 ", b"line fifty ")))
        assert diff is not None
        parts.append(write(diff))
    return b"".join(parts)


def make_durable(root: Path, count: int) -> None:
    """What cw-apply does to the files and folders it touches."""
    def sync(path: Path) -> None:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    files = [root / name for name in names(count)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(sync, files))
        list(pool.map(sync, sorted({path.parent for path in files})))


def installed(folder: Path) -> str:
    """A folder for PYTHONPATH that holds the package as an installation does: with its bytecode, whatever PYTHONDONTWRITEBYTECODE says."""
    import cromwell

    shutil.copytree(Path(cromwell.__file__).parent, folder / "site" / "cromwell", ignore=shutil.ignore_patterns("models", "__pycache__"))
    compileall.compile_dir(folder / "site", quiet=1)
    return str(folder / "site")


class Spent(NamedTuple):
    """What a way to apply the patch took: seconds by the clock, and of the processor."""

    wall_s: float
    cpu_s: float


def speed(folder: Path, count: int, rounds: int) -> dict[str, Spent]:
    """The least that each way to apply the patch took."""
    text = folder / "p.diff"
    fill(folder / "first", count)
    text.write_bytes(patch(folder / "first", count))
    (folder / "idle.c").write_text(IDLE_SYNC)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", folder / "idle.so", folder / "idle.c"], check=True)
    environment = {**os.environ, "CROMWELL_STATE": str(folder / "state"), "GIT_CEILING_DIRECTORIES": str(folder),
                   "PYTHONPATH": installed(folder)}
    idle = {**environment, "LD_PRELOAD": str(folder / "idle.so")}
    ours, git = [*APPLY, str(text)], ["git", "apply", str(text)]
    ways = {"cw-apply, durable": (ours, environment, False), "git apply, durable": (git, environment, True),
            "cw-apply, not durable": (ours, idle, False), "git apply, not durable": (git, environment, False)}
    best: dict[str, Spent] = {}
    for turn in range(rounds):
        for name, (command, variables, then_sync) in ways.items():
            root = folder / f"{turn}-{name.replace(', ', '-').replace(' ', '-')}"
            fill(root, count)
            os.sync()
            start, before = time.perf_counter(), os.times()
            subprocess.run(command, cwd=root, env=variables, check=True)
            if then_sync:
                make_durable(root, count)
            wall_s, after = time.perf_counter() - start, os.times()
            cpu_s = sum(after[:4]) - sum(before[:4])
            known = best.get(name, Spent(wall_s, cpu_s))
            best[name] = Spent(min(known.wall_s, wall_s), min(known.cpu_s, cpu_s))
    return best


def moved(counts: Sequence[int] = (1, 10, 1000), rounds: int = 5) -> dict[int, float]:
    """The least processor seconds to place so many moved hunks."""
    from cromwell.apply import match, parse
    from cromwell.apply.text import Text

    lines = [b"line %d of a long file\n" % number for number in range(100_000)]
    data, best = b"one more\n" + b"".join(lines), {}
    for count in counts:
        text = [b"--- a/f\n+++ b/f\n"]
        for at in range(50, 50 + 90 * count, 90):
            old = [b" " + line for line in lines[at:at + 7]]
            text += [b"@@ -%d,7 +%d,7 @@\n" % (at + 1, at + 1), *old[:3], b"-" + old[3][1:], b"+new\n", *old[4:]]
        spent = []
        for _round in range(rounds):
            start = time.process_time()
            (file,) = parse.parse(b"".join(text), "patch")
            assert file.fitted(data, False) is None
            there = Text(data)
            made = match.apply(there, match.place(there, file.hunks, False, False))
            spent.append(time.process_time() - start)
            assert made.count(b"\nnew\n") == count
        best[count] = min(spent)
    return best


def kills(folder: Path, count: int, runs: int, seed: int = 7) -> dict[str, int]:
    """Kills `runs` times and returns how often the tree was old, new, a mixture, or something was left over."""
    from cromwell.apply import cw_apply
    from cromwell.apply.commit import recover
    from cromwell.apply.journal import State
    from cromwell.apply.tree import Tree
    from cromwell.contract import cli

    root, text = folder / "root", folder / "p.diff"
    os.environ["CROMWELL_STATE"] = str(folder / "state")
    fill(root, count)
    text.write_bytes(patch(root, count))
    old = contents(root)
    start = time.perf_counter()
    subprocess.run([*APPLY, "--root", str(root), str(text)], check=True)  # also loads what a run loads
    assert cli.run(cw_apply.app, ["-q", "--root", str(root), "--undo"]) == 0
    new: dict[str, bytes] | None = None
    whole_s = time.perf_counter() - start
    generator, found = random.Random(seed), {"old": 0, "new": 0, "mixture": 0, "litter": 0}
    for _run in range(runs):
        child = os.fork()
        if child == 0:
            os._exit(cli.run(cw_apply.app, ["-q", "--root", str(root), str(text)]))
        time.sleep(generator.uniform(0, 1) * whole_s)
        os.kill(child, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            whole_s *= 0.8  # it was done: sooner next time
        else:
            whole_s *= 1.05
        tree = Tree(str(root))
        recover(tree, State(tree))
        tree.close()
        now = contents(root)
        if now == old:
            found["old"] += 1
        else:
            if new is None and all(b"line fifty " in data for data in now.values()) and now.keys() == old.keys():
                new = now
            found["new" if now == new else "mixture"] += 1
            fill(root, count)
        found["litter"] += any(path.suffix != ".undo" for path in (folder / "state").rglob("*") if path.is_file())
    return found


def contents(root: Path) -> dict[str, bytes]:
    """Every file below the root, hidden ones too."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "moved", "kills"])
    parser.add_argument("--files", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=None, help="where to work, on the disk to measure")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.what == "moved":
        found_s = moved()
        lines = [f"{count:5} hunks{1e3 * spent_s:8.1f} ms" for count, spent_s in found_s.items()]
        print(json.dumps(found_s) if options.json else "\n".join(lines))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="cromwell-benchmark-") as scratch:
        if options.what == "kills":
            found = kills(Path(scratch), options.files or 200, options.runs)
            print(json.dumps(found) if options.json else ", ".join(f"{name} {count}" for name, count in found.items()))
            return 1 if found["mixture"] or found["litter"] else 0
        best = speed(Path(scratch), options.files or 1000, options.rounds)
    ratios = {how: best[f"cw-apply, {how}"].wall_s / best[f"git apply, {how}"].wall_s for how in ("durable", "not durable")}
    if options.json:
        print(json.dumps({"version": 2, "seconds": {name: spent._asdict() for name, spent in best.items()}, "ratios": ratios}))
    else:
        for name, spent in best.items():
            print(f"{name:26}{1e3 * spent.wall_s:8.0f} ms{1e3 * spent.cpu_s:8.0f} ms of the processor")
        print(", ".join(f"{how}: {ratio:.2f} times git apply" for how, ratio in ratios.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
