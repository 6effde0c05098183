"""Reads the files that a context is made of."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from cromwell.contract.cli import open_input
from cromwell.contract.errors import CommandError
from cromwell.contract.text import Text, read_text

MAX_SOURCE_BYTES = 32 << 20
MAX_PICTURE_BYTES = 128 << 20
MAX_INSTRUCTION_BYTES = 1 << 20


class Source(NamedTuple):
    """A source file: its name relative to the current folder where it lies below it, its text, and its mode in four octal digits."""

    path: str
    text: Text
    mode: str


def relative_path(path: str) -> str:
    """`path` as artifacts hold it: "/"-separated, without "." and, below the current folder, relative to it."""
    clean = os.path.normpath(path)
    if os.path.isabs(clean):
        here = os.getcwd()
        if clean.startswith(here.rstrip("/") + "/"):
            clean = os.path.relpath(clean, here)
    return clean


def read_file(path: str, limit_bytes: int) -> tuple[bytes, int]:
    """The bytes of a regular file, and its mode bits. CommandError when it cannot be read or is larger than the limit."""
    if "\n" in path or "\r" in path:
        raise CommandError(f"{path}: a name with a line break", "rename the file")
    try:
        kind = os.stat(path).st_mode
    except (OSError, ValueError):
        kind = stat.S_IFREG  # open_input says what is wrong
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # a pipe would never end, a device neither
        raise CommandError(f"{path}: not a regular file", "name a file")
    with open_input(path) as stream:
        status = os.fstat(stream.fileno())
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise CommandError(f"{path}: too large: more than {limit_bytes >> 20} MiB", "name a smaller file")
    return data, status.st_mode


def read_source(path: str) -> Source:
    """A source file. CommandError (exit 2) when it is missing, binary, not UTF-8, or too large."""
    if path == "-":
        raise CommandError("-: the file to edit cannot come from standard input", "name a file; the instruction may come from -m -")
    data, mode = read_file(path, MAX_SOURCE_BYTES)
    return Source(relative_path(path), read_text(data, path), f"{stat.S_IMODE(mode):04o}")


def read_instruction(message: str | None, message_file: str | None) -> str:
    """The instruction from -m TEXT, -m - (standard input) or a file, without white space around it. CommandError when there is none."""
    hint = "say what to change: -m 'rename a to left'"
    if (message is None) == (message_file is None):
        raise CommandError("cw-context: no instruction" if message is None else "cw-context: both --message and --message-file", hint)
    if message_file is not None or message == "-":
        name = "standard input" if message == "-" or message_file == "-" else str(message_file)
        with open_input("-" if name == "standard input" else name) as stream:
            data = stream.read(MAX_INSTRUCTION_BYTES + 1)
        if len(data) > MAX_INSTRUCTION_BYTES:
            raise CommandError(f"{name}: an instruction of more than {MAX_INSTRUCTION_BYTES >> 20} MiB", hint)
        text = read_text(data, name)
        message = text.lines(1, text.line_count).decode("utf-8")
    instruction = str(message).strip()
    if not instruction:
        raise CommandError("cw-context: the instruction is empty", hint)
    try:
        instruction.encode("utf-8")
    except UnicodeEncodeError:
        raise CommandError("cw-context: the instruction is not UTF-8", hint) from None
    return instruction
