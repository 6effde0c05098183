"""What an index gives its readers, and the exceptions around it; free of imports that cost time."""

from __future__ import annotations

from typing import NamedTuple


class ChangedError(KeyError):
    """A file differs from what was indexed, or is gone."""

    def __str__(self) -> str:
        return f"{self.args[0]}: changed since it was indexed"


class DamagedError(Exception):
    """What a database holds is not what was written into it."""


class File(NamedTuple):
    """A text file of the tree."""

    id: int
    """Its place in `Index.files`; good for this state of the tree."""
    path: str
    """Relative to the root, "/"-separated; bytes that are not UTF-8 as surrogates."""
    size: int
    mtime_ns: int
    tokens: int
    """By the model's own tokenizer, line ends as LF."""
    lines: int
    language: str
    """"python", "javascript" and so on; "" for none known."""
    digest: bytes


class Def(NamedTuple):
    """A definition: lines from 1, inclusive; decorators and modifiers belong to it."""

    name: str
    """Dotted: Client.get."""
    kind: str
    """function, class, constant, variable, type or macro."""
    first_line: int
    signature_last_line: int
    last_line: int


KINDS = {"f": "function", "c": "class", "k": "constant", "v": "variable", "t": "type", "m": "macro"}


def parse_details(text: bytes) -> tuple[list[Def], list[str]]:
    """Definitions and imports from the lines that cw_survey_details gives."""
    found: list[Def] = []
    imports: list[str] = []
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        if not line:
            continue
        if line[0] == ">":
            imports.append(line[2:])
            continue
        kind, first, signature, last, name = line.split(" ", 4)
        found.append(Def(name, KINDS[kind], int(first), int(signature), int(last)))
    return found, imports


def parse_imports(text: bytes) -> list[str]:
    """The imports alone."""
    lines = (b"\n" + text.rstrip(b"\n")).decode("utf-8", "surrogateescape").split("\n> ")
    return lines[1:]
