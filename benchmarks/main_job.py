"""Times the main job as a user meets it: three processes in a pipe, from cold, on a real 300-line file.

    .venv/bin/python benchmarks/main_job.py [--bin .venv/bin] [--runs 9] [--json]

Each run edits a fresh copy of click's formatting.py. "cold" starts with an empty cache, "hot" repeats the job with the cache of the
run before. A bare interpreter's start is timed in turn with them, so that ratios come from the same minutes of the same machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLACE, INSTRUCTION = "col_spacing: int = 2", "change 2 to 4"


def pipe(binaries: Path, folder: Path, cache: Path) -> float:
    """Wall time in ms of context | generate | apply in `folder`; raises when a command fails."""
    environment = os.environ | {"CROMWELL_CACHE": str(cache)}
    line = (folder / "formatting.py").read_text(encoding="utf-8").split(PLACE)[0].count("\n") + 1
    steps = [["cw-context", f"formatting.py:{line}", "-m", INSTRUCTION], ["cw-generate"], ["cw-apply"]]
    start = time.perf_counter()
    processes: list[subprocess.Popen[bytes]] = []
    for step in steps:
        source = processes[-1].stdout if processes else subprocess.DEVNULL
        last = step is steps[-1]
        processes.append(
            subprocess.Popen(
                [binaries / step[0], *step[1:]],
                cwd=folder,
                env=environment,
                stdin=source,
                stdout=subprocess.DEVNULL if last else subprocess.PIPE,
            )
        )
        if source is not subprocess.DEVNULL:
            source.close()
    codes = [process.wait() for process in processes]
    elapsed_ms = 1e3 * (time.perf_counter() - start)
    if any(codes):
        raise SystemExit(f"error: exit codes {codes} of {' | '.join(step[0] for step in steps)}")
    return elapsed_ms


def process(command: list[str | Path]) -> float:
    """Wall time in ms of one process."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return 1e3 * (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path(sys.executable).parent, help="folder of the commands")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    binaries = arguments.bin.resolve()
    spec = importlib.util.find_spec("click.formatting")
    assert spec is not None and spec.origin is not None
    names = ("python -c pass", "main job, cold", "main job, hot")
    times: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        for run in range(arguments.runs):
            cache, folder = Path(scratch, f"cache-{run}"), Path(scratch, f"work-{run}")
            folder.mkdir()
            times["python -c pass"].append(process([binaries / "python", "-c", "pass"]))
            for name in ("main job, cold", "main job, hot"):
                shutil.copy(spec.origin, folder / "formatting.py")
                times[name].append(pipe(binaries, folder, cache))
    bare = min(times["python -c pass"])
    rows = {
        name: {"min_ms": min(values), "median_ms": statistics.median(values), "max_ms": max(values), "x_bare": min(values) / bare}
        for name, values in times.items()
    }
    if arguments.json:
        print(json.dumps({"version": 1, "runs": arguments.runs, "rows": rows}))
    else:
        print(f"{'':24}{'min ms':>10}{'median':>10}{'max':>10}{'x bare':>10}")
        for name, row in rows.items():
            print(f"{name:24}" + "".join(f"{row[key]:10.1f}" for key in ("min_ms", "median_ms", "max_ms", "x_bare")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
