"""The steps of the preparation, as datatrove runs them: a reader of pieces, filters, keys of buckets, groups, decisions, lists.

Files go from step to step in groups of about a MiB, whose text lies in one array, as a call of numpy costs as much as it does for a file.

A piece is a list of files of at most some megabytes. A task of the executor has one piece, so whatever a task writes is the same on any
number of workers, and a task that was killed is done again as a whole (docs/data.md)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from datatrove.pipeline.base import PipelineStep

from . import dedup, dedup_groups, pipeline_leaks, pipeline_tokens, quality, quality_filters
from .dedup_tokens import Scan, lay_out, scan, scan_texts
from .fetch import DataError
from .pipeline_files import piece_name, read_bytes, read_json, read_lines, read_rows, whole_file, write_json, write_rows

GROUP_FILES, GROUP_BYTES = 256, 1 << 20  # of source text that is looked at together
HEAP_BYTES = 31 << 20  # glibc keeps what is freed up to twice its largest freed block; else arrays are mapped anew, a tenth slower
RUFF_FILES = 1000  # of one call: as many as a command line holds
SETS_IN_MEMORY = 256  # of shingles, while pairs are compared
RUFF_TARGET = f"py3{min(sys.version_info.minor, 13)}"


class Group:
    """Some files on their way through the steps of `screen`. A file that has a reason is not used, and not looked at any more."""

    def __init__(self, rows: list[dict], data: list[bytes], left_out: list[dict]):
        self.rows, self.data = rows, data  # package, path and bytes of each file; its content
        self.left_out = left_out  # rows that the filters dropped, with their reasons
        self.reasons = [""] * len(rows)
        self.counts: np.ndarray  # int64 [files, 256], of bytes
        self.scan: Scan
        self.quality: list[quality.Quality]
        self.cuts: list[list[tuple[int, int]]] = []

    def drop(self, file: int, reason: str) -> None:
        self.reasons[file] = self.reasons[file] or reason


class _Look(PipelineStep):
    """A step that looks at each group in turn and hands it on; the reasons that it gives are counted."""

    def run(self, data, rank: int = 0, world_size: int = 1) -> Iterator[Group]:
        for group in data:
            before = sum(map(bool, group.reasons)) + len(group.left_out)
            with self.track_time("group"):
                self.look(group)
            self.stat_update("files", value=len(group.rows), unit="group")
            self.stat_update("dropped", value=sum(map(bool, group.reasons)) + len(group.left_out) - before, unit="group")
            yield group

    def look(self, group: Group) -> None:
        raise NotImplementedError


class Pieces(PipelineStep):
    """Reads the files that a piece lists, JSON lines with package, path and bytes, below `src`, in groups. Files of a size that is not
    used are not read."""

    type, name = "📖 - READER", "source files"

    def __init__(self, plan: Path, src: Path):
        super().__init__()
        self.plan, self.src = plan, src

    def run(self, data, rank: int = 0, world_size: int = 1) -> Iterator[Group]:
        np.empty(HEAP_BYTES, np.uint8)  # freed at once
        rows, contents, left_out, size = [], [], [], 0
        for row in read_rows(self.plan / f"{piece_name(rank)}.jsonl"):
            if quality_filters.MIN_BYTES <= row["bytes"] <= quality_filters.MAX_BYTES:
                rows.append(row)
                contents.append(self._read(row))
                size += row["bytes"]
            else:
                left_out.append({**row, "reason": "size"})
            if size >= GROUP_BYTES or len(rows) == GROUP_FILES:
                yield Group(rows, contents, left_out)
                rows, contents, left_out, size = [], [], [], 0
        if rows or left_out:
            yield Group(rows, contents, left_out)

    def _read(self, row: dict) -> bytes:
        path = f"{self.src}/{row['package']}/{row['path']}"
        try:
            data = read_bytes(path)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}: the sources changed since the plan was made: give a new folder") from error
        if len(data) != row["bytes"]:
            raise DataError(f"{path}: {len(data)} bytes, the plan says {row['bytes']}: the sources changed: give a new folder")
        return data


class Screen(_Look):
    """quality_filters.reject_reasons; takes what they drop out of the group, and finds the words of the rest."""

    type, name = "🔻 - FILTER", "what a file is"

    def look(self, group: Group) -> None:
        if not group.rows:
            return
        texts = lay_out(group.data)
        counts = quality_filters.byte_counts(texts)
        reasons = quality_filters.reject_reasons(texts, counts)
        kept = [file for file, reason in enumerate(reasons) if not reason]
        group.left_out += [{**row, "reason": reason} for row, reason in zip(group.rows, reasons, strict=True) if reason]
        group.rows, group.data = [group.rows[file] for file in kept], [group.data[file] for file in kept]
        group.counts, group.reasons = counts[kept], [""] * len(kept)
        if kept:
            group.scan = scan_texts(texts if len(kept) == len(reasons) else lay_out(group.data))


def find_ruff() -> str:
    """The ruff beside this Python, or on the path. Raises DataError."""
    beside = Path(sys.executable).with_name("ruff")
    found = str(beside) if beside.exists() else shutil.which("ruff")
    if not found:
        raise DataError("ruff is not installed: it checks whether files parse; pip install '.[train]'")
    return found


def unparsable(src: Path, names: list[str]) -> set[str]:
    """Which of some files below `src` are not valid Python of this interpreter's version, by ruff's parser: some six times as fast as
    ast.parse."""
    command = [find_ruff(), "check", "--isolated", "--no-cache", "--select", "E902", "--target-version", RUFF_TARGET]
    command += ["--output-format", "json", "--"]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}  # the executor counts on one core a task
    bad: set[str] = set()
    for first in range(0, len(names), RUFF_FILES):
        done = subprocess.run([*command, *names[first : first + RUFF_FILES]], capture_output=True, text=True, env=environment, cwd=src)
        try:
            rows = json.loads(done.stdout)
        except ValueError as error:
            raise DataError(f"ruff failed: {(done.stderr.strip().splitlines() or ['no output'])[-1]}") from error
        unread = [row["filename"] for row in rows if row["code"] == "E902"]
        if unread:
            raise DataError(f"{unread[0]}: ruff cannot read it: the sources changed since the plan was made")
        bad |= {os.path.relpath(row["filename"], os.path.realpath(src)) for row in rows}
    return bad


@lru_cache(1)
def _held_out(path: Path) -> pipeline_leaks.HeldOut:
    """Read once a process, however many pieces it goes through."""
    return pipeline_leaks.load(path)


class HeldOutCode(_Look):
    """Drops copies of held-out code; of files that hold a little of it, notes the lines that are not used."""

    type, name = "🔻 - FILTER", "held-out code"

    def __init__(self, held: Path):
        super().__init__()
        self.held = held

    def look(self, group: Group) -> None:
        group.cuts = [[] for _ in group.rows]
        held = _held_out(self.held)
        for file in pipeline_leaks.possible(group.scan, held).tolist() if group.rows else ():
            row = group.rows[file]
            group.cuts[file], whole = pipeline_leaks.find_by_tree(group.data[file], row["package"], row["path"], held)
            if whole:
                group.drop(file, "held-out code")


class Score(_Look):
    """Scores files and drops those below the threshold."""

    type, name = "🔻 - FILTER", "quality"

    def look(self, group: Group) -> None:
        group.quality = quality.measure(group.scan, [row["path"] for row in group.rows], group.counts) if group.rows else []
        for file, found in enumerate(group.quality):
            if found.score < quality.MIN_SCORE:
                group.drop(file, "low score")


class Verdicts(PipelineStep):
    """Drops what does not parse, and writes for a piece: the files that remain with their scores, their bucket keys, and the other files
    with their reasons. What does not parse is found for the whole piece at once, as the parser is a program of its own; it is the reason
    given where there are others."""

    type, name = "🫂 - DEDUP", "syntax and bucket keys"

    def __init__(self, work: Path, src: Path):
        super().__init__()
        self.work, self.src = work, src

    def run(self, data, rank: int = 0, world_size: int = 1) -> None:
        rows, keys, left_out = [], [np.zeros((0, dedup.KEYS), np.uint64)], []
        for group in data:
            left_out += group.left_out
            if group.rows:
                with self.track_time("group"):
                    keys.append(dedup.keys(group.scan.words, group.scan.word_of))
                    rows += [self._row(group, file) for file in range(len(group.rows))]
        with self.track_time("piece"):
            bad = unparsable(self.src, [f"{row['package']}/{row['path']}" for row in rows])
        for row in rows:
            if f"{row['package']}/{row['path']}" in bad:
                row["reason"] = "syntax"
        kept = [not row["reason"] for row in rows]
        for row in left_out + [row for row in rows if row["reason"]]:
            self.stat_update("dropped_" + row["reason"])
        self.stat_update("forwarded", value=sum(kept))
        with whole_file(self.work / "keys" / f"{piece_name(rank)}.npy") as file:
            np.save(file, np.concatenate(keys)[np.array(kept, bool)])
        write_rows(self.work / "kept" / f"{piece_name(rank)}.jsonl", (_without(row, "reason") for row in rows if not row["reason"]))
        left_out += [_left_out(row) for row in rows if row["reason"]]
        write_rows(self.work / "excluded" / f"{piece_name(rank)}.jsonl", left_out)

    def _row(self, group: Group, file: int) -> dict:
        cuts = {"cuts": group.cuts[file]} if group.cuts[file] else {}
        return {**group.rows[file], **group.quality[file]._asdict(), **cuts, "reason": group.reasons[file]}


def _left_out(row: dict) -> dict:
    """What is kept of a file that is not used."""
    score = {"score": row["score"]} if row["reason"] == "low score" else {}
    return {"package": row["package"], "path": row["path"], "bytes": row["bytes"], "reason": row["reason"], **score}


def _without(row: dict, name: str) -> dict:
    return {key: value for key, value in row.items() if key != name}


class Groups(PipelineStep):
    """Finds files with equal keys. The work is cut by column and range of keys, so that a task's memory stays with a growing corpus."""

    type, name = "🫂 - DEDUP", "groups of equal keys"

    def __init__(self, work: Path, pieces: int, parts: int):
        super().__init__()
        self.work, self.pieces, self.parts = work, pieces, parts

    def _column(self, column: int) -> Iterator[np.ndarray]:
        for rank in range(self.pieces):
            yield np.load(self.work / "keys" / f"{piece_name(rank)}.npy", allow_pickle=False)[:, column]

    def run(self, data, rank: int = 0, world_size: int = 1) -> None:
        for unit in range(rank, dedup.KEYS * self.parts, world_size):
            column, part = divmod(unit, self.parts)
            with self.track_time("column"):
                rows = dedup_groups.groups(self._column(column), part, self.parts)
            with whole_file(self.work / "groups" / f"{column:02d}-{part:05d}.npy") as file:
                np.save(file, rows)


class Decide(PipelineStep):
    """Compares the files of every group exactly and lists those to drop: one task."""

    type, name = "🫂 - DEDUP", "exact comparison"

    def __init__(self, work: Path, src: Path, pieces: int):
        super().__init__()
        self.work, self.src, self.pieces = work, src, pieces

    def run(self, data, rank: int = 0, world_size: int = 1) -> None:
        columns = []
        for column in range(dedup.KEYS):
            parts = sorted((self.work / "groups").glob(f"{column:02d}-*.npy"))
            columns.append(np.concatenate([np.load(part, allow_pickle=False) for part in parts]))
        wanted = set(np.concatenate(columns)[:, 1].tolist())
        names: dict[int, tuple[str, str]] = {}
        number = 0
        for piece in range(self.pieces):
            for row in read_rows(self.work / "kept" / f"{piece_name(piece)}.jsonl"):
                if number in wanted:
                    names[number] = (row["package"], row["path"])
                number += 1

        @lru_cache(SETS_IN_MEMORY)
        def shingles_of(file: int) -> np.ndarray:
            return dedup.as_set(dedup.shingles(scan(self.src.joinpath(*names[file]).read_bytes()).words))

        def rows() -> Iterator[dict]:
            for drop in dedup_groups.decide(columns, shingles_of):
                reason = "near duplicate" if drop.jaccard < 1 else "duplicate"
                yield {"file": drop.file, "reason": reason, "of": "/".join(names[drop.of]), "jaccard": drop.jaccard}

        with self.track_time():
            self.stat_update("dropped", value=write_rows(self.work / "dropped.jsonl", rows()))


class Lists(PipelineStep):
    """Joins what the tasks wrote: files.jsonl, excluded.jsonl and report.json. One task; a piece is in memory at a time."""

    type, name = "💽 - WRITER", "lists"

    def __init__(self, work: Path, out: Path, pieces: int):
        super().__init__()
        self.work, self.out, self.pieces = work, out, pieces

    def run(self, data, rank: int = 0, world_size: int = 1) -> None:
        files, size = Counter(), Counter()
        drops = iter(read_rows(self.work / "dropped.jsonl"))
        drop, number = next(drops, None), 0
        with whole_file(self.out / "files.jsonl", "w") as kept, whole_file(self.out / "excluded.jsonl", "w") as excluded:
            for piece in range(self.pieces):
                left_out = list(read_rows(self.work / "excluded" / f"{piece_name(piece)}.jsonl"))
                for line, row in read_lines(self.work / "kept" / f"{piece_name(piece)}.jsonl"):
                    if drop and drop["file"] == number:
                        facts = {name: drop[name] for name in ("reason", "of", "jaccard")}
                        left_out.append({"package": row["package"], "path": row["path"], "bytes": row["bytes"], **facts})
                        drop = next(drops, None)
                    else:
                        kept.write(line)
                        files["used"] += 1
                        size["used"] += row["bytes"]
                    number += 1
                for row in sorted(left_out, key=lambda row: (row["package"], row["path"])):
                    excluded.write(json.dumps(row) + "\n")
                    files[row["reason"]] += 1
                    size[row["reason"]] += row["bytes"]
        facts = {name: {"files": files[name], "bytes": size[name]} for name in sorted(files, key=lambda name: (name != "used", name))}
        plan = read_json(self.out / "plan.json")
        write_json(self.out / "report.json", {"files": files.total(), "bytes": size.total(), "outcome": facts, "plan": plan})


class Tokens(PipelineStep):
    """Tokenises the piece of the task's number into a shard of its own (pipeline_tokens.write_piece)."""

    type, name = "🔢 - TOKENIZER", "plain code"

    def __init__(self, settings: pipeline_tokens.Settings):
        super().__init__()
        self.settings = settings

    def run(self, data, rank: int = 0, world_size: int = 1) -> None:
        with self.track_time("piece"):
            pipeline_tokens.write_piece(self.settings, rank)
