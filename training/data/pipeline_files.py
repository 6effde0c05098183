"""Files that appear whole or not at all, and JSON lines; what the steps of the preparation read and write."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from .fetch import DataError

PIECE_FILES = 2000
ROWS_AT_ONCE = 500  # of JSON lines


def failed_write(path: Path, error: OSError) -> DataError:
    """The one line for a write that failed (a full disk, mostly)."""
    return DataError(f"{path}: {error.strerror or error}: nothing was left half-written; make room and run the same command again")


@contextlib.contextmanager
def whole_file(path: Path, mode: str = "wb") -> Iterator[IO]:
    """A file to write that takes its name when the block has ended well, and is removed otherwise."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open(mode) as file:
            yield file
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise failed_write(path, error) from error
        raise


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that takes its name when the block has ended well, and is removed otherwise."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise failed_write(path, error) from error
        raise


def remove(folder: Path) -> None:
    """Remove a folder and all in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def write_rows(path: Path, rows: Iterable[dict]) -> int:
    """Write JSON lines; returns their number."""
    count = 0
    with whole_file(path, "w") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            count += 1
    return count


def read_lines(path: Path) -> Iterator[tuple[str, dict]]:
    """The lines of a file of JSON lines, each with its object. Raises DataError, naming the line, when one is damaged."""
    try:
        with path.open(encoding="utf-8") as file:
            first = 1
            while lines := list(islice(file, ROWS_AT_ONCE)):
                yield from zip(lines, _objects(path, first, lines), strict=True)
                first += len(lines)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file: a step before this one has not run, or its output was removed") from error


def _objects(path: Path, first: int, lines: list[str]) -> list[dict]:
    """The objects of some lines, read as one list, a third of the cost; one by one where that is not one object a line."""
    with contextlib.suppress(ValueError):
        found = json.loads(f"[{','.join(lines)}]")
        if len(found) == len(lines):
            return found
    found = []
    for number, line in enumerate(lines, first):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise DataError(f"{path}:{number}: not a JSON object ({error}): the file is damaged") from error
    return found


def read_rows(path: Path) -> Iterator[dict]:
    """The objects of read_lines."""
    return (row for _, row in read_lines(path))


def write_json(path: Path, value: object) -> None:
    """Write one JSON document."""
    with whole_file(path, "w") as file:
        file.write(json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> dict:
    """Read one JSON object. Raises DataError when there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return value
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error})") from error


def read_bytes(path: str) -> bytes:
    """The bytes of a file: what Path.read_bytes does, at a third of its cost for a small one. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(handle).st_size
        data = os.read(handle, size + 1)
        while len(data) < size and (more := os.read(handle, size - len(data))):  # a read may return less than it was asked for
            data += more
        return data
    finally:
        os.close(handle)


def piece_name(rank: int) -> str:
    """Name of a piece's file, without its ending."""
    return f"{rank:05d}"


def cut_pieces(rows: Iterator[dict], folder: Path, piece_bytes: int) -> dict:
    """Write JSON lines with package, path and bytes in pieces, folder/00000.jsonl and so on; returns counts. One piece is in memory."""
    counts, piece, size = {"pieces": 0, "files": 0, "bytes": 0}, [], 0

    def close() -> None:
        write_rows(folder / f"{piece_name(counts['pieces'])}.jsonl", piece)
        counts["pieces"] += 1

    for row in rows:
        if piece and (size + row["bytes"] > piece_bytes or len(piece) == PIECE_FILES):
            close()
            piece, size = [], 0
        piece.append(row)
        size += row["bytes"]
        counts["files"] += 1
        counts["bytes"] += row["bytes"]
    if piece:
        close()
    return counts


def files_of(prepared: Path) -> list[tuple[str, str]]:
    """(package, path) of the files that a preparation or a tranche lists, for source.load."""
    return [(row["package"], row["path"]) for row in read_rows(prepared / "files.jsonl")]
