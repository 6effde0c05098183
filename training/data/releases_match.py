"""What changed between two releases of a package: the same file, the same function or class head, a few changed lines.

Every change is cut down to a region that can be shown: the lines of one edit as the later release has them are its answer, whatever
else changed in the same function stays as it was."""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from . import source
from .releases_phrases import same
from .view import FUNCTION

MAX_REGION_LINES = 40
MAX_REGION_BYTES = 2000
MAX_CHANGED_LINES = 12  # on either side
MAX_AROUND_LINES = 6
Span = tuple[int, int, int, int]  # first and last line of the old, first and last line of the new text
NEAR_LINES = 3  # changes with at most so many equal lines between them belong together


class Change(NamedTuple):
    """An edit of a piece of code (a function, or what stands before the first method of a class) from one release to the next."""

    name: str  # qualified: "Class.method"
    before: bytes
    region: bytes
    after: bytes
    new_region: bytes
    old: source.Unit  # the whole piece
    new: source.Unit  # the piece with this edit alone


class Piece(NamedTuple):
    """A function or a class head of a file: lines first..last-1 (0-based)."""

    first: int
    last: int
    owner: str


def pieces(file: source.SourceFile) -> dict[str, Piece]:
    """Qualified name -> piece, of the functions and classes of a module and of its classes. Names that occur twice are left out."""
    found: dict[str, Piece] = {}
    seen: Counter = Counter()

    def enter(body: list[ast.stmt], prefix: str, owner: str) -> None:
        for node in body:
            if isinstance(node, FUNCTION):
                name, last = prefix + node.name, node.end_lineno
            elif isinstance(node, ast.ClassDef):
                name = prefix + node.name
                inner = [source.first_line(one) for one in node.body if isinstance(one, (*FUNCTION, ast.ClassDef))]
                last = min([line - 1 for line in inner], default=node.end_lineno)
                enter(node.body, name + ".", "class")
            else:
                continue
            seen[name] += 1
            found[name] = Piece(source.first_line(node) - 1, last, owner)

    enter(file.tree.body, "", "module")
    return {name: piece for name, piece in found.items() if seen[name] == 1}


def comments(text: bytes) -> list[str]:
    """The comments of a piece of code, as far as it can be cut into tokens."""
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text.decode("utf-8", "replace")).readline):
            if token.type == tokenize.COMMENT:
                found.append(token.string)
    except (tokenize.TokenError, SyntaxError):
        pass
    return found


def _groups(old: list[bytes], new: list[bytes]) -> list[list[Span]]:
    """The changed spans (old first, last, new first, last) of a piece, near ones together."""
    spans = [span[1:] for span in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if span[0] != "equal"]
    found: list[list[Span]] = []
    for span in spans:
        if found and span[0] - found[-1][-1][1] <= NEAR_LINES:
            found[-1].append(span)
        else:
            found.append([span])
    return found


def _size(spans: list[Span]) -> int:
    return max(sum(b - a for a, b, _, _ in spans), sum(d - c for _, _, c, d in spans))


def _window(count: int, first: int, last: int, rng: Random) -> tuple[int, int]:
    """Lines around first..last-1 to show as the region: mostly all of a short piece."""
    if count <= 25 and rng.random() < 0.75:
        return 0, count
    room = MAX_REGION_LINES - (last - first)
    begin = max(0, first - min(rng.randint(0, 6), room // 2))
    return begin, min(count, last + min(rng.randint(0, 6), room // 2))


def _unit(lines: list[bytes], piece: Piece) -> source.Unit | None:
    """A piece by itself, or None when it does not parse. A class of methods alone has a head without a body: it is parsed with a `pass`."""
    text = b"".join(lines)
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    for closed in (text, text + indent + b"    pass\n"):
        try:
            return source.Unit(piece.first, lines, source.parse_indented(closed), piece.owner)
        except SyntaxError:
            continue
    return None


def changes(
    old: source.SourceFile, new: source.SourceFile, leaked: frozenset[bytes], rng: Random, reasons: Counter
) -> Iterator[list[Change]]:
    """The edits of every piece that both files have and that differs: first the whole difference where it is small, then its parts.

    A caller takes the first of each list that it can describe whole, or several parts. Why pieces give none is counted in `reasons`."""
    if source.copies(old, leaked)[1] or source.copies(new, leaked)[1]:
        reasons["file copied from a held-out package"] += 1
        return
    olds, news = pieces(old), pieces(new)
    copied = [source.copies(file, leaked)[0] for file in (old, new)]
    for name, a in olds.items():
        if name not in news:
            reasons["gone or moved"] += 1
            continue
        b = news[name]
        lines, others = old.lines[a.first : a.last], new.lines[b.first : b.last]
        if lines == others:
            continue
        reasons["changed"] += 1
        near = [
            any(first - MAX_AROUND_LINES <= piece.last and piece.first < last + MAX_AROUND_LINES for first, last in found)
            for piece, found in zip((a, b), copied, strict=True)
        ]
        if any(near):
            reasons["copied from a held-out package"] += 1
            continue
        unit, whole = _unit(lines, a), _unit(others, b)
        if unit is None or whole is None:
            reasons["does not parse by itself"] += 1
            continue
        if same(unit.tree, whole.tree):
            reasons["only white space or comments"] += 1
            continue
        groups = _groups(lines, others)
        every = [span for group in groups for span in group]
        tried = [every] + (groups if len(groups) > 1 else [])
        found = [change for spans in tried if (change := _change(name, old, a, unit, others, spans, rng))]
        if found:
            yield found
        else:
            reasons["too large"] += 1


def _change(
    name: str, file: source.SourceFile, piece: Piece, unit: source.Unit, others: list[bytes], spans: list[Span], rng: Random
) -> Change | None:
    """One edit: these spans of the piece as the later release has them; None when it is too large, does not parse or is none."""
    first, last = spans[0][0], spans[-1][1]
    if _size(spans) > MAX_CHANGED_LINES or last - first > MAX_REGION_LINES:
        return None
    begin, end = _window(len(unit.lines), first, last, rng)
    made, at = [], 0
    for a, b, c, d in spans:
        made += [*unit.lines[at:a], *others[c:d]]
        at = b
    made += unit.lines[at:]
    grown = len(made) - len(unit.lines)
    shown, gold = b"".join(unit.lines[begin:end]), b"".join(made[begin : end + grown])
    after = _unit(made, piece)
    if after is None or max(len(shown), len(gold)) > MAX_REGION_BYTES or not shown.strip() or not gold.strip():
        return None
    if same(after.tree, unit.tree):
        return None
    lines, place = file.lines, piece.first
    above, below = (rng.choice((0, 0, rng.randint(1, 3), rng.randint(1, MAX_AROUND_LINES))) for _ in range(2))
    before = b"".join(lines[max(0, place + begin - above) : place + begin])
    return Change(name, before, shown, b"".join(lines[place + end : place + end + below]), gold, unit, after)
