"""`prepare`: from fetched packages to the list of files that training uses, as a datatrove pipeline (docs/data.md).

    python -m training.data prepare --src DIR/src --out PREPARED --workers 2
    python -m training.data prepare --src DIR/src --out PREPARED --slurm PARTITION

The same jobs run on this machine or on a Slurm cluster with a shared folder. Run again, it goes on where it stopped."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sysconfig
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.utils.logging import setup_default_logger
from datatrove.utils.stats import PipelineStats

from . import dedup, pipeline_leaks, pipeline_steps, quality, source
from .fetch import MANIFEST, DataError, read_manifest, sha256_of
from .pipeline_files import cut_pieces, failed_write, read_json, write_json

PIECE_BYTES = 32 << 20  # of source text in one task: setting one up takes 25 ms
GROUPED_FILES = 1 << 22  # whose keys of one column are sorted at once: 64 MiB


class Job(NamedTuple):
    """One run of an executor: all its tasks must be done before the next job starts."""

    name: str
    steps: list
    tasks: int


_folder_of = lru_cache(sysconfig.get_path)


@contextlib.contextmanager
def _quick_loggers() -> Iterator[None]:
    """Within it, a logger costs 0.1 ms instead of 9: each one asks sysconfig for forty folders, whose names never change."""
    given = sysconfig.get_path
    sysconfig.get_path = _folder_of
    try:
        yield
    finally:
        sysconfig.get_path = given


class Local(LocalPipelineExecutor):
    """datatrove's local executor, whose words go to its log files only. One worker needs no process that hands out tasks."""

    def run(self) -> None:
        with _quick_loggers():
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    setup_default_logger()
                    if self.workers > 1:
                        super().run()
                    else:
                        self._run_here()
            finally:
                setup_default_logger()

    def _run_here(self) -> None:
        ranks = self.get_incomplete_ranks()
        if ranks:
            self.save_executor_as_json()
            steps, stats = self.pipeline, PipelineStats()
            for rank in ranks:
                self.pipeline = deepcopy(steps)
                stats += self._run_for_rank(rank)
            with self.logging_dir.open("stats.json", "w") as file:
                stats.save_to_disk(file)

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        with contextlib.redirect_stderr(io.StringIO()), _quick_loggers():  # in a process of its own, too
            return super()._run_for_rank(rank, local_rank, node_rank)


def run_jobs(jobs: list[Job], logs: Path, workers: int, slurm: dict | None = None) -> None:
    """Run jobs one after the other: here with `workers` processes, or submitted to Slurm with the given options of its executor."""
    last: PipelineExecutor | None = None
    for job in jobs:
        folder = str(logs / job.name)
        if slurm is None:
            try:
                Local(job.steps, tasks=job.tasks, workers=min(workers, job.tasks), logging_dir=folder).run()
            except OSError as error:  # of datatrove's own files: ours name theirs
                raise failed_write(Path(error.filename or folder), error) from error
        else:
            last = SlurmPipelineExecutor(
                job.steps, tasks=job.tasks, logging_dir=folder, job_name=job.name, depends=last, workers=workers, **slurm
            )
    if last is not None:
        last.run()


def walk(root: Path) -> Iterator[tuple[str, int]]:
    """("/"-separated path, bytes) of every .py file below a folder, in the order of names; links are not followed."""

    def inside(folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            if entry.is_dir(follow_symlinks=False):
                yield from inside(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.name.endswith(".py") and entry.is_file(follow_symlinks=False):
                yield prefix + entry.name, entry.stat(follow_symlinks=False).st_size

    yield from inside(root, "")


def make_plan(src: Path, manifest: Path, split: str, out: Path, piece_bytes: int) -> dict:
    """The plan of a preparation: made anew, or read when `out` holds one with the same settings. Raises DataError when it holds another."""
    chosen = [row for row in read_manifest(manifest) if row.split == split]
    missing = [row.name for row in chosen if not (src / row.name).is_dir()]
    chosen = [row for row in chosen if row.name not in missing]
    if not chosen:
        raise DataError(f"{src}: none of the {split} packages: run `python -m training.data fetch` first")
    settings = {
        "src": str(src.resolve()),
        "manifest": sha256_of(manifest),
        "split": split,
        "packages": {row.name: {"version": row.version, "licence": row.licence} for row in chosen},
        "missing": missing,
        "piece_bytes": piece_bytes,
        "threshold": dedup.THRESHOLD,
        "min_score": quality.MIN_SCORE,
    }
    path = out / "plan.json"
    if path.exists():
        plan = read_json(path)
        differing = [name for name, value in settings.items() if plan.get(name) != value]
        if differing:
            raise DataError(f"{out}: holds a preparation with other settings ({', '.join(differing)}): remove it or give another folder")
        return plan
    rows = ({"package": row.name, "path": path, "bytes": size} for row in sorted(chosen) for path, size in walk(src / row.name))
    counts = cut_pieces(rows, out / "work" / "plan", piece_bytes)
    if not counts["files"]:
        raise DataError(f"{src}: no .py files in the {split} packages")
    plan = {"format": 1, **settings, **counts}
    write_json(path, plan)
    return plan


def gather_held_out(src: Path, manifest: Path, split: str, path: Path) -> None:
    """Write what is known of the held-out packages' functions, once; nothing of them for a preparation of those packages themselves."""
    if path.exists():
        return
    held = [row.name for row in read_manifest(manifest) if row.split == "heldout"] if split == "train" else []
    absent = [name for name in held if not (src / name).is_dir()]
    if absent:
        raise DataError(f"{src}: held-out packages are missing ({', '.join(absent)}), against which training files are checked: fetch them")
    files = ((name, file) for name in held for file, _ in walk(src / name))
    pairs = (pair for name, file in files for pair in pipeline_leaks.bodies_of(src, name, file))
    with source.many_trees():
        held_out = pipeline_leaks.gather(pairs)
    pipeline_leaks.save(path, held_out)


def jobs_of(src: Path, out: Path, plan: dict) -> list[Job]:
    """The four jobs of a preparation."""
    steps, work, pieces = pipeline_steps, out / "work", plan["pieces"]
    parts = -(-plan["files"] // GROUPED_FILES)

    screen = [
        steps.Pieces(work / "plan", src),
        steps.Screen(),
        steps.HeldOutCode(work / "heldout.npz"),
        steps.Score(),
        steps.Verdicts(work, src),
    ]
    return [
        Job("screen", screen, pieces),
        Job("groups", [steps.Groups(work, pieces, parts)], 1 if parts == 1 else dedup.KEYS * parts),
        Job("decide", [steps.Decide(work, src, pieces)], 1),
        Job("lists", [steps.Lists(work, out, pieces)], 1),
    ]


def prepare(
    src: Path, manifest: Path, split: str, out: Path, workers: int = 1, piece_bytes: int = PIECE_BYTES, slurm: dict | None = None
) -> None:
    """Write out/files.jsonl, out/excluded.jsonl and out/report.json; on Slurm they appear when the last job has run."""
    src, out = src.resolve(), out.resolve()
    plan = make_plan(src, manifest, split, out, piece_bytes)
    gather_held_out(src, manifest, split, out / "work" / "heldout.npz")
    run_jobs(jobs_of(src, out, plan), out / "logs", workers, slurm)


def prepare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--src", type=Path, required=True, metavar="DIR", help="the src folder of a fetch")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--split", choices=("train", "heldout"), default="train")
    parser.add_argument("--out", type=Path, required=True, metavar="PREPARED", help="a folder for the lists, the report and the work")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="tasks at once")
    parser.add_argument("--piece-mib", type=int, default=PIECE_BYTES >> 20, metavar="N", help="source text of a task")
    parser.add_argument("--slurm", metavar="PARTITION", help="submit the jobs to Slurm; --out and --src lie on a shared file system")
    parser.add_argument("--slurm-time", default="2:00:00", metavar="H:MM:SS", help="time limit of a task")


def prepare_command(arguments: argparse.Namespace) -> None:
    if arguments.workers < 1 or arguments.piece_mib < 1:
        raise DataError("--workers and --piece-mib: one at least")
    slurm = {"partition": arguments.slurm, "time": arguments.slurm_time} if arguments.slurm else None
    options = (arguments.workers, arguments.piece_mib << 20, slurm)
    prepare(arguments.src, arguments.manifest, arguments.split, arguments.out, *options)
    if slurm is None:
        print(json.dumps(read_json(arguments.out / "report.json")["outcome"], indent=1))
