"""Which source files and which pieces of them are used: filters with counted reasons, duplicates, the held-out leak check, and units.

A unit is a run of whole sibling statements, at most MAX_UNIT_LINES lines: a function, a few methods, a run of assignments.
It is parsed on its own, so that every later step is exact and cheap."""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import random
import re
import warnings
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Iterator, NamedTuple

from .quality_filters import reject_reason

MAX_UNIT_LINES = 60
MAX_COPIED_SHARE = 0.2  # of a file's functions that may occur in held-out packages before none of it is used
BODY_KEY_BYTES = 12  # of a body's hash
MIN_BODY_BYTES = 40  # shorter bodies ("return self.x") say nothing about where code comes from

BODIES_FILE = "heldout-bodies.txt"  # beside the src folder of an unpacked tranche: the held-out bodies that occur in it, in hex
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_LISTS = {  # of statements, or of what holds them: the fields of the nodes that have such
    kind: tuple(name for name in ("body", "orelse", "finalbody", "handlers", "cases") if name in kind._fields)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, (ast.stmt, ast.Module, ast.ExceptHandler, ast.match_case)) and "body" in kind._fields
} | {ast.Match: ("cases",)}


class SourceFile(NamedTuple):
    """One usable file: LF line ends, parsed."""

    package: str
    path: str  # "/"-separated, below the package's folder
    lines: list[bytes]  # each with its "\n", the last one perhaps without
    tree: ast.Module


class Unit:
    """A run of whole sibling statements of a file, parsed on its own when its tree is first asked for.

    `first` is the index of its first line in the file, `owner` says what the statements stand in: "module", "class" or "function"."""

    def __init__(self, first: int, lines: list[bytes], tree: ast.Module | None, owner: str):
        self.first, self.lines, self.owner = first, lines, owner
        if tree is not None:
            self.tree = tree

    @cached_property
    def text(self) -> bytes:
        """All lines as one."""
        return b"".join(self.lines)

    @cached_property
    def tree(self) -> ast.Module:
        """Positions are those of `lines`: line numbers from 1, columns in bytes. Empty when the lines do not parse on their own."""
        try:
            return parse_indented(self.text)
        except SyntaxError:  # a piece that shares a line with its neighbour
            return ast.Module(body=[], type_ignores=[])


@contextlib.contextmanager
def many_trees() -> Iterator[None]:
    """Within it, files are parsed at 0.7 of the cost: the collector of cycles does not go through the trees, which have none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parse(text: bytes) -> ast.Module:
    """ast.parse without warnings on the console. Raises SyntaxError for whatever does not parse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error)) from error


def parse_indented(text: bytes) -> ast.Module:
    """The statements of `text`, whose first line may be indented, as a module whose positions are those of `text`."""
    if text[:1] not in (b" ", b"\t"):
        return parse(text)
    tree = parse(b"if 1:\n" + text)
    if len(tree.body) != 1:
        raise SyntaxError("statements at two levels")
    module = ast.Module(body=tree.body[0].body, type_ignores=[])
    for node in ast.walk(module):
        if hasattr(node, "lineno"):
            node.lineno -= 1
            node.end_lineno -= 1
    return module


def list_files(src: Path, packages: list[str], reasons: Counter) -> list[tuple[str, str]]:
    """(package, path) of the files that pass, sorted, each content once; the reasons of the others are counted in `reasons`."""
    seen: set[bytes] = set()
    found = []
    for package in sorted(packages):
        root = src / package
        for path in sorted(root.rglob("*.py")):
            data = path.read_bytes()
            reason = reject_reason(data)
            key = hashlib.blake2b(re.sub(rb"\s+", b"", data), digest_size=12).digest()
            if not reason and key in seen:
                reason = "duplicate"
            seen.add(key)
            reasons[reason or "used"] += 1
            if not reason:
                found.append((package, path.relative_to(root).as_posix()))
    return found


def load(src: Path, package: str, path: str) -> SourceFile | None:
    """The parsed file with LF line ends, or None when it does not parse."""
    return parsed((src / package / path).read_bytes(), package, path)


def parsed(data: bytes, package: str, path: str) -> SourceFile | None:
    """The file that holds `data`, with LF line ends, or None when it does not parse."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if b"\r" in text or b"\f" in text:
        return None
    try:
        return SourceFile(package, path, text.splitlines(keepends=True), parse(text))
    except SyntaxError:
        return None


def body_text(lines: list[bytes], function: ast.FunctionDef | ast.AsyncFunctionDef) -> bytes:
    """The lines of a function's body without its docstring."""
    body = function.body
    if len(body) > 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
        body = body[1:]
    return b"".join(lines[body[0].lineno - 1 : body[-1].end_lineno])


def body_hash(text: bytes) -> bytes | None:
    """Content hash of a function body without white space; None for one too short to tell."""
    dense = b"".join(text.split())
    return hashlib.blake2b(dense, digest_size=BODY_KEY_BYTES).digest() if len(dense) >= MIN_BODY_BYTES else None


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a tree, outer ones first: only lists of statements are entered, as functions stand nowhere else."""
    reached, functions = [tree], []
    for node in reached:
        kind = type(node)
        if kind in _FUNCTION:
            functions.append(node)
        for name in _LISTS.get(kind, ()):
            reached += getattr(node, name)
    return functions


def function_bodies(file_lines: list[bytes], tree: ast.AST) -> list[tuple[bytes, int, int]]:
    """(hash of the body, first line, last line) of every function of a tree whose body is long enough, nested ones too."""
    found = ((body_hash(body_text(file_lines, node)), node) for node in _functions(tree))
    return [(key, first_line(node), node.end_lineno) for key, node in found if key]


def body_texts(file_lines: list[bytes], tree: ast.AST) -> list[tuple[bytes, bytes]]:
    """(hash of the body, its text) of the same functions."""
    texts = (body_text(file_lines, node) for node in _functions(tree))
    return [(key, text) for text in texts if (key := body_hash(text))]


def body_hashes(file_lines: list[bytes], tree: ast.AST) -> set[bytes]:
    """The hashes of `function_bodies` alone."""
    return {key for key, _, _ in function_bodies(file_lines, tree)}


def copies(file: SourceFile, leaked: frozenset[bytes]) -> tuple[list[tuple[int, int]], bool]:
    """The (first line, last line) of a file's functions whose body hash is in `leaked`, and whether they are so many that the whole
    file counts as a copy."""
    bodies = function_bodies(file.lines, file.tree) if leaked else []
    found = [(first, last) for key, first, last in bodies if key in leaked]
    return found, len(found) > MAX_COPIED_SHARE * len(bodies)


def known_bodies(src: Path) -> frozenset[bytes]:
    """The held-out body hashes that a tranche brought along for the sources in `src`; none where no tranche was unpacked."""
    path = src.parent / BODIES_FILE
    return frozenset(map(bytes.fromhex, path.read_text().split())) if path.exists() else frozenset()


def first_line(statement: ast.stmt) -> int:
    """Number of a statement's first line, decorators counted in."""
    return min([statement.lineno, *(node.lineno for node in getattr(statement, "decorator_list", []))])


def _runs(body: list[ast.stmt], owner: str, rng: random.Random) -> Iterator[tuple[int, int, str]]:
    """Cut a list of statements into runs (first line, last line, owner); longer statements are entered."""
    i = 0
    while i < len(body):
        statement = body[i]
        first, last = first_line(statement), statement.end_lineno
        if last - first >= MAX_UNIT_LINES:
            inner = "class" if isinstance(statement, ast.ClassDef) else "function" if isinstance(statement, _FUNCTION) else owner
            bodies = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
            bodies += [part.body for name in ("handlers", "cases") for part in getattr(statement, name, [])]
            for part in bodies:
                yield from _runs(part, inner, rng)
            i += 1
            continue
        compound = isinstance(statement, (*_FUNCTION, ast.ClassDef))
        limit = 0 if compound and rng.random() < 0.75 else rng.randint(3, 30)
        while i + 1 < len(body) and body[i + 1].end_lineno - first < limit:
            i += 1
            last = body[i].end_lineno
        i += 1
        yield first, last, owner


def units(file: SourceFile, rng: random.Random) -> list[Unit]:
    """Cut a file into units at random."""
    return [Unit(first - 1, file.lines[first - 1 : last], None, owner) for first, last, owner in _runs(file.tree.body, "module", rng)]
