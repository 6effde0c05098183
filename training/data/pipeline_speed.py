"""How fast the preparation is and whether its memory stays flat, on two sizes of the same corpus (docs/data.md).

    python -m training.data speed --src DIR/src --tokenizer tokenizer.bin --mib 32 --mib 64

Each size is a run of `prepare` and `tokenise` with one worker in a process of its own: reading, filters, syntax, the held-out check,
scores, duplicates, tokens, shard. CPU seconds are those of the process and of all it started; making edits is not part of it."""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from . import pipeline_tokens
from .fetch import MANIFEST, DataError, read_manifest
from .pipeline_files import read_json


def sample_of(src: Path, manifest: Path, mib: int, seed: int, out: Path) -> int:
    """Copy some training files of about `mib` MiB, and link all held-out packages, below `out`; returns the bytes of the former."""
    from .pipeline import walk

    rows = read_manifest(manifest)
    names = [row.name for row in rows if row.split == "train" and (src / row.name).is_dir()]
    files = [(name, path, size) for name in names for path, size in walk(src / name)]
    if sum(size for _, _, size in files) < mib << 20:
        raise DataError(f"{src}: less than {mib} MiB of training packages")
    Random(seed).shuffle(files)
    total = 0
    for package, path, size in files:
        if total >= mib << 20:
            break
        copy = out / package / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(src / package / path, copy)
        total += size
    for row in rows:
        if row.split == "heldout":
            (out / row.name).symlink_to((src / row.name).resolve(), target_is_directory=True)
    return total


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run_here(src: Path, manifest: Path, tokenizer: Path, out: Path) -> dict:
    """Prepare and tokenise in this process; returns seconds of each part and the peak of memory in MiB."""
    from . import pipeline

    marks, wall = [_cpu_seconds()], time.monotonic()
    plan = pipeline.make_plan(src, manifest, "train", out, pipeline.PIECE_BYTES)
    pipeline.gather_held_out(src, manifest, "train", out / "work" / "heldout.npz")
    marks.append(_cpu_seconds())
    pipeline.run_jobs(pipeline.jobs_of(src, out, plan), out / "logs", 1)
    marks.append(_cpu_seconds())
    index = pipeline_tokens.tokenise(out, out / "shard", pipeline_tokens.Settings(src, out / "tokens", tokenizer, 1024, 0.5, 1))
    marks.append(_cpu_seconds())
    held, prepared, tokens = (round(after - before, 2) for before, after in zip(marks, marks[1:], strict=False))
    return {
        "bytes": read_json(out / "report.json")["bytes"],
        "tokens": index["tokens"],
        "heldout_s": held,
        "prepare_s": prepared,
        "tokenise_s": tokens,
        "wall_s": round(time.monotonic() - wall, 2),
        "mb_per_cpu_s": round(plan["bytes"] / 1e6 / (prepared + tokens), 2),
        "mb_per_cpu_s_with_heldout": round(plan["bytes"] / 1e6 / (held + prepared + tokens), 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def speed_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--src", type=Path, required=True, metavar="DIR")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE", help="tokenizer.bin")
    parser.add_argument("--mib", type=int, action="append", metavar="N", help="source text of a run; several (default: 32 and 64)")
    parser.add_argument("--seed", type=int, default=1, metavar="S")


def speed_command(arguments: argparse.Namespace) -> None:
    for mib in arguments.mib or [32, 64]:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            sample_of(arguments.src.resolve(), arguments.manifest, mib, arguments.seed, place / "src")
            call = f"run_here(*map(Path, {[str(place / 'src'), str(arguments.manifest), str(arguments.tokenizer), str(place / 'out')]!r}))"
            code = f"import json; from pathlib import Path; from training.data.pipeline_speed import run_here; print(json.dumps({call}))"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            if done.returncode:
                raise DataError(f"the run on {mib} MiB failed: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
            print(json.dumps({"mib": mib, **json.loads(done.stdout)}), flush=True)
