"""Counts what looks like a secret in sources that are known to be public, where next to everything found is a mistake.

    .venv/bin/python benchmarks/secrets_found.py data/src [--every 6] [--show]

`--every N` looks at every Nth file. What is found is shown with `--show` only: kind, file and line.
"""

from __future__ import annotations

import argparse
import collections
import time
from pathlib import Path

from cromwell.prepare.secrets import file_kind, secrets_in


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    kinds: collections.Counter[str] = collections.Counter()
    files = lines = size = 0
    seconds = 0.0
    for path in sorted(path for path in options.folder.rglob("*") if path.is_file())[::options.every]:
        data = path.read_bytes()
        if b"\0" in data[:8000]:
            continue
        files, lines, size = files + 1, lines + data.count(b"\n"), size + len(data)
        start = time.process_time()
        found = [(secret.kind, secret.first_line) for secret in secrets_in(path.as_posix(), data)]
        kind = file_kind(path.relative_to(options.folder).as_posix())
        seconds += time.process_time() - start
        for name, line in [*found, *([(f"file: {kind}", 1)] if kind else [])]:
            kinds[name] += 1
            if options.show:
                print(f"{name}\t{path}:{line}")
    total = sum(kinds.values())
    print(f"{total} in {files} files, {lines} lines: {1e6 * total / max(1, lines):.1f} in a million lines; "
          f"{size / 1e6 / max(seconds, 1e-9):.0f} MB/s; " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))


if __name__ == "__main__":
    main()
