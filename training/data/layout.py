"""Where new code goes and how it looks: lines, indentation, comma lists, and what of the code an instruction can quote."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from random import Random

from .source import first_line
from .splice import Splice
from .view import FUNCTION, View

MAX_LINE = 100  # columns: an edit that would make a longer line is not made, since one would wrap it in one way or another
MAX_QUOTED = 60  # characters of code quoted in an instruction
WORD = re.compile(r"\w")


def expression(text: str) -> ast.expr:
    """The tree of an expression's source."""
    return ast.parse(text, mode="eval").body


def statements(text: str) -> list[ast.stmt]:
    """The trees of some statements' source."""
    return ast.parse(text).body


def is_quotable(text: str) -> bool:
    """True for code that an instruction can quote: one short line without comments or backticks."""
    return 0 < len(text) <= MAX_QUOTED and not set(text) & set("\n`#") and text.isprintable()


def count_of(text: str, wanted: str) -> int:
    """How often `wanted` stands in `text` as a whole: not inside a longer word, and a name not as an attribute."""
    before = r"(?<![\w.])" if WORD.match(wanted[0]) else ""
    after = r"(?!\w)" if WORD.match(wanted[-1]) else ""
    return len(re.findall(before + re.escape(wanted) + after, text))


def is_unique(view: View, text: str) -> bool:
    """True when `text` can be quoted and stands once in the region."""
    return is_quotable(text) and count_of(view.region.decode("utf-8", "replace"), text) == 1


def indent_of(view: View, line: int) -> bytes:
    """The white space that a line (from 1) begins with."""
    text = view.unit.lines[line - 1]
    return text[: len(text) - len(text.lstrip(b" \t"))]


def is_alone(view: View, statement: ast.stmt) -> bool:
    """True when a statement shares its lines with nothing but a comment and ends in a line end."""
    first, last = view.unit.lines[first_line(statement) - 1], view.unit.lines[statement.end_lineno - 1]
    after = last[statement.end_col_offset :]
    before = first[: statement.col_offset] if first_line(statement) == statement.lineno else first.split(b"@")[0]
    return not before.strip() and (not after.strip() or after.lstrip().startswith(b"#")) and last.endswith(b"\n")


def has_comment(view: View, statement: ast.stmt) -> bool:
    """True when a comment follows a statement on its last line."""
    return b"#" in view.unit.lines[statement.end_lineno - 1][statement.end_col_offset :]


def line_of(view: View, statement: ast.stmt) -> str:
    """A statement's source when it is one line that occurs once in the region and can be quoted, else ""."""
    text = view.source_of(statement)
    lines = [line.split(b"#")[0].strip() for line in view.region.splitlines()]
    unique = lines.count(text.encode()) == 1
    return text if unique and statement.lineno == statement.end_lineno and is_quotable(text) else ""


def lines_start(view: View, statement: ast.stmt) -> int:
    """Offset of the line that a statement, decorators counted in, begins on."""
    return view.starts[first_line(statement) - 1]


def lines_end(view: View, statement: ast.stmt) -> int:
    """Offset just after the line that a statement ends on."""
    return view.starts[statement.end_lineno]


def body_of(view: View, statement: ast.stmt) -> tuple[ast.AST, str, list[ast.stmt]]:
    """(node, field, list) that hold a statement."""
    node, field = view.facts.parents[id(statement)]
    return node, field, getattr(node, field)


def docstring_of(node: ast.AST) -> ast.Expr | None:
    """The docstring statement of a function, class or module."""
    first = node.body[0] if node.body else None
    found = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return first if found else None


def first_code(node: ast.AST) -> ast.stmt | None:
    """The first statement of a function or class after its docstring; None when there is none or it shares the head's line."""
    body = node.body[1:] if docstring_of(node) else node.body
    return body[0] if body and first_line(body[0]) > node.lineno else None


def named_once(view: View, types: tuple[type, ...] = FUNCTION) -> list:
    """The functions (or classes) whose head lies in the region and whose name no other one of the unit has."""
    every = [node for kind in types for node in view.facts.by_type.get(kind, ())]
    names = [node.name for node in every]
    return [node for node in every if view.first < node.lineno <= view.last and names.count(node.name) == 1]


def step_of(view: View) -> bytes:
    """What one level of indentation adds in this unit."""
    for node in view.facts.nodes:
        body = getattr(node, "body", None)
        if isinstance(node, ast.stmt) and isinstance(body, list) and body and first_line(body[0]) > node.lineno:
            outer, inner = indent_of(view, node.lineno), indent_of(view, first_line(body[0]))
            if inner.startswith(outer) and len(inner) > len(outer):
                return inner[len(outer) :]
    return b"\t" if indent_of(view, 1).startswith(b"\t") else b"    "


def string_lines(view: View) -> set[int]:
    """Numbers of the lines that begin inside a string literal (or between the parts of one)."""
    found: set[int] = set()
    for kind in (ast.Constant, ast.JoinedStr):
        for node in view.facts.by_type.get(kind, ()):
            if node.end_lineno > node.lineno and id(node) not in view.in_string:
                found.update(range(node.lineno + 1, node.end_lineno + 1))
    return found


def indented(view: View, first: int, last: int, step: bytes) -> bytes | None:
    """Lines first..last (from 1) one level deeper; None when a string would change with them."""
    if string_lines(view) & set(range(first, last + 1)):
        return None
    return b"".join(step + line if line.strip() else line for line in view.unit.lines[first - 1 : last])


def dedented(view: View, first: int, last: int, outer: bytes) -> bytes | None:
    """Lines first..last (from 1) brought to the indentation `outer` of the statement around them; None when that cannot be."""
    if string_lines(view) & set(range(first, last + 1)):
        return None
    inner = indent_of(view, first)
    if not inner.startswith(outer):
        return None
    parts = []
    for line in view.unit.lines[first - 1 : last]:
        if line.strip() and not line.startswith(inner):
            return None
        parts.append(outer + line[len(inner) :] if line.strip() else line)
    return b"".join(parts)


def add_last(view: View, items: Sequence[tuple[int, int]], text: str) -> Splice | None:
    """A new last item of a comma list whose items lie at these (start, end) offsets: on the last one's line, or on a line of its own
    where each item has one. None where a comment or the line's length makes that unclear."""
    start, end = items[-1]
    line_start = view.text.rfind(b"\n", 0, start) + 1
    line_end = view.text.find(b"\n", end)
    line_end = len(view.text) if line_end < 0 else line_end
    lead = view.text[line_start:start]
    own_line = not lead.strip() and (len(items) == 1 or view.text.count(b"\n", items[-2][1], start) == 1)
    if b"#" in view.text[end:line_end]:
        return None
    if own_line:
        return Splice(end, end, b",\n" + lead + text.encode())
    if line_end - line_start + len(text) + 2 > MAX_LINE or b"\n" in view.text[start:end]:
        return None
    return Splice(end, end, b", " + text.encode())


def drop_item(view: View, items: Sequence[tuple[int, int]], number: int) -> Splice | None:
    """What takes one item out of a comma list: its lines where it has lines of its own, else it and one comma. None where a comment or
    a marker stands beside it."""
    start, end = items[number]
    line_start = view.text.rfind(b"\n", 0, start) + 1
    follow = re.compile(rb"[ \t]*,[ \t]*\n").match(view.text, end)
    if follow and not view.text[line_start:start].strip() and (number or len(items) > 1):
        return Splice(line_start, follow.end(), b"")
    if number:
        found = Splice(items[number - 1][1], end, b"")
    elif len(items) > 1:
        found = Splice(start, items[1][0], b"")
    else:
        found = Splice(start, re.compile(rb"[ \t]*,?").match(view.text, end).end(), b"")
    rest = view.text[found.start : start] + view.text[end : found.end]
    return found if not rest.strip(b" \t\n,") and rest.count(b",") <= 1 else None


def span(view: View, node: ast.AST) -> tuple[int, int]:
    """(start, end) offsets of a node."""
    return view.start(node), view.end(node)


def quote_of(view: View, rng: Random) -> str:
    """The quote that most strings of the unit use; either one where it has none."""
    single, double = view.text.count(b"'"), view.text.count(b'"') - 3 * view.text.count(b'"""')
    return rng.choice("'\"") if single == double else "'" if single > double else '"'
