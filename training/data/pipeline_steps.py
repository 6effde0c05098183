"""The steps of the preparation, as datatrove runs them: a reader of pieces, filters, keys of buckets, groups, decisions, lists.

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
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.readers.base import BaseDiskReader
from datatrove.pipeline.writers.disk_base import DiskWriter

from . import dedup, dedup_groups, pipeline_leaks, pipeline_tokens, quality, quality_filters
from .dedup_tokens import Scan, scan
from .fetch import DataError
from .pipeline_files import piece_name, read_json, read_rows, whole_file, write_json, write_rows

SYNTAX_BATCH_FILES = 256
SETS_IN_MEMORY = 256  # of shingles, while pairs are compared
RUFF_TARGET = f"py3{min(sys.version_info.minor, 13)}"


class _Filter(BaseFilter):
    """A filter that counts documents and reasons, and not the length of every document, which takes longer than some filters do."""

    def update_doc_stats(self, document: Document) -> None:
        pass


class Pieces(BaseDiskReader):
    """Reads the files that a piece lists: JSON lines with package and path, below `src`. Bytes that are not UTF-8 pass as surrogates."""

    name = "source files"

    def __init__(self, plan: Path, src: Path):
        super().__init__(str(plan), glob_pattern="*.jsonl", add_file_path=False)
        self.src = src

    def read_file(self, filepath: str) -> Iterator[Document]:
        with self.data_folder.open(filepath, "r") as file:
            rows = [json.loads(line) for line in file]
        for row in rows:
            path = self.src / row["package"] / row["path"]
            try:
                data = path.read_bytes()
            except OSError as error:
                raise DataError(f"{path}: {error.strerror}: the sources changed since the plan was made: give a new folder") from error
            text = data.decode("utf-8", "surrogateescape")
            yield Document(text=text, id=f"{row['package']}/{row['path']}", metadata={**row, "data": data})


class Excluded(DiskWriter):
    """Keeps what a filter dropped, without the text: package, path, bytes, reason."""

    name = "excluded files"
    default_output_filename = "${rank}.jsonl"

    def __init__(self, folder: Path, step: str):
        super().__init__(str(folder), output_filename="${rank}-" + step + ".jsonl", compression=None, adapter=_excluded_row)

    def _write(self, document: dict, file_handler, _filename: str) -> None:
        file_handler.write(json.dumps(document) + "\n")


def _excluded_row(_writer: DiskWriter, document: Document) -> dict:
    found = document.metadata
    more = {"score": found["quality"].score} if found["filter_reason"] == "low score" else {}
    return {"package": found["package"], "path": found["path"], "bytes": len(found["data"]), "reason": found["filter_reason"], **more}


def scan_of(document: Document) -> Scan:
    """The document's scan, made once."""
    if "scan" not in document.metadata:
        document.metadata["scan"] = scan(document.metadata["data"])
    return document.metadata["scan"]


class Screen(_Filter):
    """quality_filters.reject_reason."""

    name = "what a file is"

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        counts = doc.metadata["counts"] = quality_filters.byte_counts(doc.metadata["data"])
        reason = quality_filters.reject_reason(doc.metadata["data"], counts)
        return (False, reason) if reason else True


def find_ruff() -> str:
    """The ruff beside this Python, or on the path. Raises DataError."""
    beside = Path(sys.executable).with_name("ruff")
    found = str(beside) if beside.exists() else shutil.which("ruff")
    if not found:
        raise DataError("ruff is not installed: it checks whether files parse; pip install '.[train]'")
    return found


def unparsable(paths: list[Path]) -> set[str]:
    """Which of some files are not valid Python of this interpreter's version, by ruff's parser: some six times as fast as ast.parse."""
    command = [find_ruff(), "check", "--isolated", "--no-cache", "--select", "E902", "--target-version", RUFF_TARGET]
    command += ["--output-format", "json", *map(str, paths)]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}  # the executor counts on one core a task
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    try:
        rows = json.loads(done.stdout)
    except ValueError as error:
        raise DataError(f"ruff failed: {(done.stderr.strip().splitlines() or ['no output'])[-1]}") from error
    unread = [row["filename"] for row in rows if row["code"] == "E902"]
    if unread:
        raise DataError(f"{unread[0]}: ruff cannot read it: the sources changed since the plan was made")
    return {row["filename"] for row in rows}


class Syntax(_Filter):
    """Drops what does not parse."""

    name = "syntax"

    def __init__(self, src: Path, exclusion_writer: DiskWriter):
        super().__init__(exclusion_writer, batch_size=SYNTAX_BATCH_FILES)
        self.src = src

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        return self.filter_batch([doc])[0]

    def filter_batch(self, batch: list[Document]) -> list[bool | tuple[bool, str]]:
        paths = [(self.src / doc.id).absolute() for doc in batch]
        bad = unparsable(paths)
        return [(False, "syntax") if str(path) in bad else True for path in paths]


@lru_cache(1)
def _held_out(path: Path) -> pipeline_leaks.HeldOut:
    """Read once a process, however many pieces it goes through."""
    return pipeline_leaks.load(path)


class HeldOutCode(_Filter):
    """Drops copies of held-out code; of files that hold a little of it, notes the lines that are not used."""

    name = "held-out code"

    def __init__(self, held: Path, exclusion_writer: DiskWriter):
        super().__init__(exclusion_writer)
        self.held = held

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        found = doc.metadata
        cuts, whole = pipeline_leaks.find(found["data"], found["package"], found["path"], scan_of(doc), _held_out(self.held))
        found["cuts"] = cuts
        return (False, "held-out code") if whole else True


class Score(_Filter):
    """Scores a file and drops those below the threshold."""

    name = "quality"

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        found = doc.metadata
        found["quality"] = quality.measure(found["data"], found["path"], scan_of(doc), found["counts"])
        return True if found["quality"].score >= quality.MIN_SCORE else (False, "low score")


class Keys(PipelineStep):
    """Writes the files that remain of a piece, with their scores, and their bucket keys."""

    type, name = "🫂 - DEDUP", "bucket keys"

    def __init__(self, work: Path):
        super().__init__()
        self.work = work

    def run(self, data, rank: int = 0, world_size: int = 1) -> None:
        rows, keys = [], []
        for doc in data:
            with self.track_time():
                found, text = doc.metadata, scan_of(doc)
                hashes = dedup.shingles(text.words)
                buckets = dedup.bucket_keys(dedup.signature(hashes)) if len(hashes) else np.zeros(dedup.BUCKETS, np.uint64)
                keys.append(np.append(buckets, dedup.sequence_key(text.words)))
                row = {"package": found["package"], "path": found["path"], "bytes": len(found["data"]), **found["quality"]._asdict()}
                rows.append(row | ({"cuts": found["cuts"]} if found["cuts"] else {}))
                self.stat_update("files")
        with whole_file(self.work / "keys" / f"{piece_name(rank)}.npy") as file:
            np.save(file, np.array(keys, np.uint64).reshape(-1, dedup.KEYS))
        write_rows(self.work / "kept" / f"{piece_name(rank)}.jsonl", rows)


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
                left_out = []
                for path in sorted((self.work / "excluded").glob(f"{piece_name(piece)}-*.jsonl")):
                    left_out += read_rows(path)
                for row in read_rows(self.work / "kept" / f"{piece_name(piece)}.jsonl"):
                    if drop and drop["file"] == number:
                        facts = {name: drop[name] for name in ("reason", "of", "jaccard")}
                        left_out.append({"package": row["package"], "path": row["path"], "bytes": row["bytes"], **facts})
                        drop = next(drops, None)
                    else:
                        kept.write(json.dumps(row) + "\n")
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
