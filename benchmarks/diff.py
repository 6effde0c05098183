"""Times cw-diff against git diff and GNU diff -u: three pairs of texts, processes and library calls.

    PYTHONPATH=build/site .venv/bin/python -m benchmarks.diff [--rounds 15] [--json]

The texts are lines of the standard library: 10,000 with 100 scattered edits, 100,000 with 1,000, and two times 5,000 without relation.
Programs run in turn; figures are the least processor time of each, which other load on the machine moves least, with a bare interpreter's
start taken off cw-diff's (none of them runs more than one thread). The library call finds the changes and writes the hunks. Ratios above
1: cw-diff is faster."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

PEERS = {"git": ["git", "diff", "--no-index"], "diff": ["diff", "-u"]}
START = "import sys; from cromwell.apply.diff_start import main; main()"


def texts() -> dict[str, tuple[bytes, bytes]]:
    """The three pairs."""
    pool: list[bytes] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if len(pool) < 110_000 and "site-packages" not in path.parts:
            pool += [line + b"\n" for line in path.read_bytes().split(b"\n")]
    generator = random.Random(1)
    pairs = {}
    for count, edits in ((10_000, 100), (100_000, 1_000)):
        old, new = pool[:count], pool[:count]
        for place in sorted(generator.sample(range(count), edits), reverse=True):
            new[place:place + generator.randrange(2)] = [b"    edited = %d\n" % place] * generator.randrange(2)
        pairs[f"{count} lines, {edits} edits"] = b"".join(old), b"".join(new)
    pairs["5000 lines, unrelated"] = b"".join(pool[:5_000]), b"".join(pool[50_000:55_000])
    return pairs


def measure(pair: tuple[bytes, bytes], rounds: int, folder: Path) -> dict[str, float]:
    """Milliseconds: bare start, cw-diff less that, its library call, and the peers."""
    from cromwell.binding import Diff

    for name, text in zip(("old", "new"), pair, strict=True):
        (folder / name).write_bytes(text)
    commands = {"bare": [sys.executable, "-c", "pass"], "cw-diff": [sys.executable, "-c", START, "old", "new"]}
    commands |= {name: [*command, "old", "new"] for name, command in PEERS.items() if shutil.which(command[0])}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHONDONTWRITE")}
    environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(path or ".") for path in sys.path)
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            best[name] = min(best.get(name, 1e9), 1e3 * (usage.ru_utime + usage.ru_stime))
        start = time.process_time()
        with Diff(*pair) as diff:
            diff.text(3)
        best["call"] = min(best.get("call", 1e9), 1e3 * (time.process_time() - start))
    best["cw-diff"] -= best["bare"]
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, pair in texts().items():
            best = measure(pair, options.rounds, Path(scratch))
            ratios = {f"{ours} x {peer}": best[peer] / best[ours] for peer in PEERS if peer in best for ours in ("cw-diff", "call")}
            rows[name] = {**{f"{key} ms": value for key, value in best.items()}, **ratios}
    if options.json:
        print(json.dumps({"version": 1, "rounds": options.rounds, "rows": rows}))
    else:
        for name, row in rows.items():
            print(name + ": " + ", ".join(f"{key} {value:.2f}" for key, value in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
