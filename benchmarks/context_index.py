"""The index of a tree beside plain Python walks: files a second, and how soon an unchanged tree is there again.

    PYTHONPATH=build/site python -m benchmarks.context_index [--files 10000] [--many 100000] [--rounds 3] [--share 10] [--folder DIR]
        [--json]

The tree holds `--files` sources of the packages installed beside this Python and of its standard library, copied; where there are
fewer, they are copied again under other names, each with a line of its own. Read are:

- cold: listing the tree, reading, tokenising, finding definitions, words and imports, and writing the database; a process's work without
  its start. Beside it os.walk, open().read() and counting tokens, one thread: with libcromwell's tokenizer through its binding, tiktoken
  and the tokenizers library as commonly used (encode of a string), all with the same vocabulary; the last two on every tenth
  file, times ten. All take turns, and each one's best round counts, by the clock and in processor time.
- touched: one file changed; opening the index again, and a query.
- warm: opening the index of the unchanged tree and one BM25 query of ten terms; in the process, and as a whole process.
- rescan: listing `--many` small files and comparing them with what is kept.
- walk: listing alone, beside os.walk with a stat of each file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, Limits, Peer, table
from benchmarks.measure import Foreign
from cromwell import binding
from cromwell.contract import settings
from cromwell.contract.engine import open_model
from cromwell.prepare.index import open_index
from cromwell.prepare.walk import tree_files

SUFFIXES = (".py", ".pyi", ".h", ".c", ".cpp", ".js", ".ts", ".rs", ".md", ".rst", ".txt", ".json")
MOST_BYTES = 200_000
OWN = "own tokenizer"
QUERY = dict.fromkeys("parse session request timeout header token config error response buffer".split(), 1.0)
WHOLE = """
import sys, time
from cromwell.contract import settings
from cromwell.prepare.index import open_index
with open_index(sys.argv[1], settings.load({})) as index:
    found = index.bm25(dict.fromkeys(sys.argv[2].split(), 1.0))
    print(len(index.files), len(found))
"""


def fill(root: Path, count: int) -> int:
    """Writes a tree of `count` sources; returns its bytes."""
    found = []
    for place in dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")):
        for folder, folders, names in os.walk(place):
            folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
            found += [os.path.join(folder, name) for name in sorted(names) if name.endswith(SUFFIXES)]
    found = [path for path in dict.fromkeys(found) if 0 < os.path.getsize(path) <= MOST_BYTES]
    total = 0
    for number in range(count):
        copy, source = divmod(number, len(found))
        target = root / f"part{copy}" / os.path.relpath(found[source], sys.prefix).replace("..", "up")
        target.parent.mkdir(parents=True, exist_ok=True)
        data = Path(found[source]).read_bytes() + (b"# copy %d\n" % copy if copy else b"")
        target.write_bytes(data)
        total += len(data)
    return total


def fill_small(root: Path, count: int) -> None:
    """Writes `count` small files, fifty a folder."""
    for number in range(count):
        if number % 50 == 0:
            folder = root / f"d{number // 5000}" / f"e{number // 50}"
            folder.mkdir(parents=True)
        (folder / f"f{number}.py").write_bytes(b"def f%d():\n    return %d\n" % (number, number))


def stat_all(root: Path) -> None:
    """The state of every file, in plain Python."""
    for folder, _folders, names in os.walk(root):
        for name in names:
            os.stat(os.path.join(folder, name))


def listed(root: Path) -> list[str]:
    """Every file, in plain Python."""
    return [os.path.join(folder, name) for folder, _folders, names in os.walk(root) for name in names]


def tokens_of(paths: list[str], count_tokens: Callable[[bytes], int]) -> int:
    """What a script does with them: each read and tokenised; returns the tokens."""
    total = 0
    for path in paths:
        with open(path, "rb") as stream:
            total += count_tokens(stream.read())
    return total


def counters(tokenizer: binding.Tokenizer) -> dict[str, Callable[[bytes], int]]:
    """Token counters by name, all of the shipped vocabulary as far as the libraries are there."""
    found: dict[str, Callable[[bytes], int]] = {OWN: lambda data: len(tokenizer.encode_array(data))}
    try:
        from benchmarks import tokenizer as speeds
        from training import tokenizer as training

        vocabulary = training.load(binding.default_model_path()).vocabulary
        passes = speeds.encoders(vocabulary, [])
    except (ImportError, AttributeError, OSError) as error:
        print(f"the other tokenizers are left out: {error}", file=sys.stderr)
        return found
    if "tiktoken" in passes:
        encode = passes["tiktoken"][0]
        found["tiktoken"] = lambda data: len(encode(data.decode("utf-8", "replace")))
    library = training.library_tokenizer(vocabulary)
    found["tokenizers"] = lambda data: len(library.encode(data.decode("latin-1")).ids)
    return found


def processor_seconds() -> float:
    """Of this process and its children so far."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Times:
    """The best of each thing's turns, by the clock and in processor time, and how busy others kept the machine."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self.foreign: dict[str, float] = {}

    def take(self, name: str, run: Callable[[], object]) -> None:
        foreign, cpu, start = Foreign(), processor_seconds(), time.perf_counter()
        run()
        wall = time.perf_counter() - start
        if wall < self.wall.get(name, 1e9):
            self.wall[name], self.foreign[name] = wall, foreign.share()
        self.processor[name] = min(self.processor.get(name, 1e9), processor_seconds() - cpu)


def measured(folder: Path, count: int, many: int, rounds: int, share: int) -> tuple[Times, dict[str, int]]:
    """Takes all times."""
    root, small, cache = folder / "tree", folder / "small", folder / "cache"
    size = fill(root, count)
    os.environ["CROMWELL_CACHE"] = str(cache)
    chosen = settings.load({})
    with open_model(chosen) as model:
        ways = counters(model.tokenizer)
        for run in ways.values():
            run(b"warm up")  # tables are made when they are first needed
        times = Times()
        for _round in range(rounds):
            shutil.rmtree(cache / "index1", ignore_errors=True)
            times.take("cold", lambda: open_index(str(root), chosen).close())
            times.take("list", lambda: listed(root))
            for name, run in ways.items():
                chosen_paths = listed(root)[:: 1 if name == OWN else share]
                times.take(f"plain walk, {name}", lambda run=run, paths=chosen_paths: tokens_of(paths, run))
        for name in ways:
            for seconds in (times.wall, times.processor):
                seconds[f"plain walk, {name}"] = seconds[f"plain walk, {name}"] * (1 if name == OWN else share) + seconds["list"]
        for seconds in (times.wall, times.processor):
            del seconds["list"]
    time.sleep(0.1)
    open_index(str(root), chosen).close()  # what was written just before it was read is settled now

    def query() -> None:
        with open_index(str(root), chosen) as index:
            index.bm25(QUERY)

    def process() -> None:
        subprocess.run([sys.executable, "-c", WHOLE, str(root), " ".join(QUERY)], check=True, stdout=subprocess.DEVNULL)

    changed = next(root.rglob("*.py"))
    for _round in range(2 * rounds):
        times.take("warm", query)
        times.take("warm process", process)
        times.take("walk", lambda: tree_files(str(root)))
        times.take("walk, os.walk and stat", lambda: stat_all(root))
        changed.write_bytes(changed.read_bytes() + b"x = 1\n")
        times.take("touched", query)
        time.sleep(0.05)
        query()
    if many:
        fill_small(small, many)
        open_index(str(small), chosen).close()
        time.sleep(0.1)
        open_index(str(small), chosen).close()
        for _round in range(rounds):
            times.take("rescan", lambda: open_index(str(small), chosen).close())
            times.take("rescan, walk alone", lambda: tree_files(str(small)))
            times.take("rescan, os.walk and stat", lambda: stat_all(small))
    database = sum(entry.stat().st_size for entry in os.scandir(cache / "index1"))
    return times, {"files": count, "bytes": size, "many": many, "database_bytes": database}


def report(times: Times, sizes: dict[str, int]) -> str:
    """The figures beside their peers, by the clock."""
    figures, peers = [], []
    for name, seconds in times.wall.items():
        kind, _, peer = name.partition(", ")
        if peer:
            continue
        count = sizes["many"] if kind == "rescan" else sizes["files"]
        if kind == "cold":
            figures.append(Figure("index", "cold", count / seconds, "files/s", 2, foreign=times.foreign[name]))
            peers += [Peer(other, "index", "cold", count / times.wall[f"plain walk, {other}"], "files/s", 2)
                      for other in (OWN, "tiktoken", "tokenizers") if f"plain walk, {other}" in times.wall]
        else:
            figures.append(Figure("index", kind, 1e3 * seconds, "ms", 2, foreign=times.foreign[name]))
            peers += [Peer(other[len(kind) + 2:], "index", kind, 1e3 * times.wall[other], "ms", 2)
                      for other in times.wall if other.startswith(kind + ", ")]
    lines = [f"{sizes['files']:,} files, {sizes['bytes'] / 1e6:.0f} MB; database {sizes['database_bytes'] / 1e6:.0f} MB",
             table(figures, Limits(), peers), "", "processor seconds"]
    lines += [f"  {name:32}{seconds:8.3f}" for name, seconds in times.processor.items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000, help="files of the rescan; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=int, default=10, help="the slow tokenizers read one file of so many, and their time is multiplied")
    parser.add_argument("--folder", type=Path, default=None, help="where to work")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="cromwell-benchmark-") as scratch:
        times, sizes = measured(Path(scratch), options.files, options.many, options.rounds, options.share)
    if options.json:
        ratios = {name: times.wall[name] / times.wall["cold"] for name in times.wall if name.startswith("plain walk")}
        processor = {name: times.processor[name] / times.processor["cold"] for name in times.wall if name.startswith("plain walk")}
        print(json.dumps({"version": 1, **sizes, "seconds": times.wall, "processor_seconds": times.processor, "foreign": times.foreign,
                          "cold_ratios": ratios, "cold_processor_ratios": processor}))
    else:
        print(report(times, sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
