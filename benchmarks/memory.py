"""Prints the peak memory of this process in bytes before and after it reads a text and goes on: run by benchmarks.measure.

    python -m benchmarks.memory PACK TOKENS THREADS GUIDANCE
"""

from __future__ import annotations

import random
import re
import sys
from array import array
from pathlib import Path

from cromwell import binding

CONTINUED = 8


def peak_bytes() -> int:
    """VmHWM: the most memory that was ever resident, pages of mapped files included."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def main() -> None:
    path, tokens, threads, guidance = sys.argv[1], *map(int, sys.argv[2:5])
    empty = peak_bytes()
    with binding.Model(path) as model, binding.Session(model, tokens, threads=threads, guidance=bool(guidance)) as session:
        numbers, size = random.Random(1), model.info.vocab_size
        session.feed(array("i", [numbers.randrange(size // 2, size) for _ in range(tokens - CONTINUED)]))
        for _ in range(CONTINUED):
            logits = session.logits()
            session.feed([max(range(size // 2, size), key=logits.__getitem__)])
    print(empty, peak_bytes())


if __name__ == "__main__":
    main()
