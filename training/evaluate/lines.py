"""JSON lines from files that others wrote: what is wrong is said with its line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

GZIP_MAGIC = b"\x1f\x8b"


class EvaluationError(Exception):
    """Something cannot be measured; the text says what and where, in one line."""


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("FILE:LINE", object) of every line that is not blank; the file may be gzipped. EvaluationError for anything else."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == GZIP_MAGIC
        with gzip.open(path, "rb") if zipped else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path}:{number}", _object(f"{path}:{number}", line)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise EvaluationError(f"{path}: damaged gzip file ({error})") from None
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror or error}") from None


def _object(where: str, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{where}: not UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise EvaluationError(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise EvaluationError(f"{where}: JSON nested too deeply") from None
    if not isinstance(value, dict):
        raise EvaluationError(f"{where}: a JSON {type(value).__name__} where an object should be")
    return value


def text_field(where: str, row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """A field that must be text; without a default it must be there."""
    value = row.get(name, default)
    if value is None:
        raise EvaluationError(f'{where}: no "{name}"')
    if not isinstance(value, str):
        raise EvaluationError(f'{where}: "{name}" is a JSON {type(value).__name__} where text should be')
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise EvaluationError(f'{where}: "{name}" holds half a surrogate pair') from None
    return value
