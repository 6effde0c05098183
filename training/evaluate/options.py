"""What the commands of this package share: options, progress on a terminal, files that are whole or absent."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .sandbox import Limits


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def positive_real(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def add_processes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=positive, default=len(os.sched_getaffinity(0)), metavar="N", help="(default: %(default)s)")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")


def add_limits(parser: argparse.ArgumentParser) -> None:
    limits, what = Limits(), "of code that is run (default: %(default)s)"
    parser.add_argument("--timeout", type=positive_real, default=limits.wall_s, metavar="SECONDS", help=what)
    parser.add_argument("--memory", type=positive, default=limits.memory_bytes >> 20, metavar="MIB", help=what)


def limits_of(arguments: argparse.Namespace) -> Limits:
    return Limits(wall_s=arguments.timeout, memory_bytes=arguments.memory << 20)


def atomic_text(path: Path, text: str) -> None:
    """Writes a file that is complete or absent."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write(document: dict[str, Any], text: str, as_json: bool) -> None:
    """The result on standard output, as it was asked for."""
    print(json.dumps(document, ensure_ascii=False) if as_json else text)


class Progress:
    """A count on a terminal's standard error, at most five times a second; silent elsewhere."""

    def __init__(self, total: int, what: str):
        self.total, self.what, self.done, self.shown_at = total, what, 0, 0.0
        self.shows = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def step(self) -> None:
        self.done += 1
        if self.shows and time.monotonic() - self.shown_at > 0.2:
            self.shown_at = time.monotonic()
            sys.stderr.write(f"\r{self.done}/{self.total} {self.what}")
            sys.stderr.flush()

    def __exit__(self, *_: Any) -> None:
        if self.shows:
            sys.stderr.write("\r\x1b[K")
