"""Times each command's --help and its readiness for work against a bare interpreter's start.

    .venv/bin/python benchmarks/startup.py [--rounds 12] [--json]

Ready for work means that every module which a real run of the command loads is loaded. Processes run interleaved from cached bytecode;
the minimum is the figure that other load on the machine moves least. The bar is 8 times the bare start.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "cw-context": "cromwell.prepare.cw_context",
    "cw-encode": "cromwell.encode.cw_encode",
    "cw-generate": "cromwell.generate.cw_generate",
    "cw-diff": "cromwell.apply.cw_diff",
    "cw-apply": "cromwell.apply.apply_start",
    "cw-inspect": "cromwell.contract.cw_inspect",
}
JOBS = {  # in order: each leaves what the next ones read
    "cw-context": ["formatting.py::iter_rows", "-m", "rename col_count to columns", "-o", "context.cwa"],
    "cw-encode": ["context.cwa", "-o", "encoding.cwa"],
    "cw-generate": ["encoding.cwa", "--max-tokens", "1", "-o", "edit.cwa"],
    "cw-diff": ["formatting.py", "other.py", "-o", "change.patch"],
    "cw-apply": ["change.patch", "--dry-run"],
    "cw-inspect": ["context.cwa"],
}
PROGRAM = "import sys; sys.argv[0] = {name!r}; from {module} import main; main()"
# Commands leave with os._exit, so that is where the modules are listed; cw-apply may open no file by then.
LISTING = """
import os, sys
out = open("modules", "w")
def leave(code, real=os._exit):
    out.write("\\n".join(sys.modules))
    out.close()
    real(code)
os._exit = leave
"""


def programs(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """The measured programs by name, after one real run of each command in `folder`."""
    spec = importlib.util.find_spec("click.formatting")
    assert spec is not None and spec.origin is not None
    shutil.copy(spec.origin, folder / "formatting.py")
    text = Path(spec.origin).read_text(encoding="utf-8")
    (folder / "other.py").write_text(text.replace("col_count", "columns"), encoding="utf-8")
    found = {"python -c pass": "pass"}
    for name, arguments in JOBS.items():
        run = PROGRAM.format(name=name, module=COMMANDS[name])
        command = [sys.executable, "-c", LISTING + run, *arguments]
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        if result.returncode not in ((0, 4) if name == "cw-generate" else (0, 3)):
            raise SystemExit(f"error: {name}: exit code {result.returncode}\n{result.stderr.decode()}")
        modules = [module for module in (folder / "modules").read_text().split("\n") if not module.startswith(("__main__", "_distutils"))]
        found[f"{name} --help"] = run
        found[f"{name} ready"] = f"import importlib, os\nfor name in {modules!r}: importlib.import_module(name)\nos._exit(0)"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CROMWELL_", "PYTHONDONTWRITE"))}
        environment = kept | {"HOME": scratch, "XDG_CACHE_HOME": f"{scratch}/cache", "PYTHONPYCACHEPREFIX": f"{scratch}/bytecode"}
        measured = programs(folder, environment)
        for number in range(options.rounds + 1):
            for name, program in measured.items():
                command = [sys.executable, "-c", program, *(["--help"] if name.endswith("--help") else [])]
                start = time.perf_counter()
                subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
                if number:  # the first round writes the bytecode
                    best[name] = min(best.get(name, 1e9), 1e3 * (time.perf_counter() - start))
    bare = best["python -c pass"]
    rows = {name: {"min_ms": value, "x_bare": value / bare} for name, value in best.items()}
    if options.json:
        print(json.dumps({"version": 1, "rounds": options.rounds, "rows": rows}))
    else:
        for name, row in rows.items():
            print(f"{name:24}{row['min_ms']:8.1f} ms{row['x_bare']:8.2f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
