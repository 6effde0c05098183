"""A region of a unit as an edit kind sees it: the nodes wholly inside, their byte positions, the names, and the visible text."""

from __future__ import annotations

import ast
import re
from functools import cached_property
from typing import NamedTuple

from . import scope, source
from .splice import Change, Splice, line_starts


class Draft(NamedTuple):
    """An edit of a unit before it has words: splices of the unit's text, what they do to its tree, what an instruction must name."""

    kind: str
    variant: str  # the group of instruction templates that fits
    slots: dict[str, str]
    splices: list[Splice]
    changes: dict[int, Change]
    inverse: bool = False  # True: what the splices make is shown, the text as it was is the answer


class View:
    """Lines first..last-1 of a unit (0-based), the region that an edit may change."""

    def __init__(self, unit: source.Unit, first: int, last: int):
        self.unit, self.first, self.last = unit, first, last
        self.starts = line_starts(unit.lines)
        self.region = b"".join(unit.lines[first:last])

    def contains(self, node: ast.AST) -> bool:
        """True when every line of `node`, decorators too, lies in the region."""
        start = source.first_line(node) if isinstance(node, ast.stmt) else node.lineno
        return self.first < start and node.end_lineno <= self.last

    def start(self, node: ast.AST) -> int:
        """Offset of a node's first byte in the unit's text."""
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.AST) -> int:
        """Offset just after a node's last byte in the unit's text."""
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def source_of(self, node: ast.AST) -> str:
        """A node's source text."""
        return self.text[self.start(node) : self.end(node)].decode("utf-8", "replace")

    @cached_property
    def text(self) -> bytes:
        """The unit's whole text."""
        return b"".join(self.unit.lines)

    @cached_property
    def in_string(self) -> set[int]:
        """Ids of the nodes inside f-strings, whose positions Python 3.11 does not report exactly."""
        return {
            id(inner)
            for node in ast.walk(self.unit.tree)
            if isinstance(node, ast.JoinedStr)
            for inner in ast.walk(node)
            if inner is not node
        }

    @cached_property
    def uncertain(self) -> set[str]:
        """Names used in f-strings of several lines: Python 3.11 may report them on a wrong line."""
        strings = [node for node in ast.walk(self.unit.tree) if isinstance(node, ast.JoinedStr) and node.lineno != node.end_lineno]
        return {inner.id for node in strings for inner in ast.walk(node) if isinstance(inner, ast.Name)}

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every positioned node that lies wholly in the region, in the tree's order, those inside f-strings left out."""
        return [
            node for node in ast.walk(self.unit.tree) if hasattr(node, "lineno") and self.contains(node) and id(node) not in self.in_string
        ]

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """The functions whose first line lies in the region."""
        return [
            node
            for node in ast.walk(self.unit.tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and self.first < node.lineno <= self.last
        ]

    @cached_property
    def names(self) -> scope.Names:
        """The resolved names of the whole unit."""
        return scope.resolve_names(self.unit.tree, self.unit.lines, self.unit.owner)

    @cached_property
    def taken(self) -> set[str]:
        """Every word of the unit: a new name must be none of them."""
        return set(re.findall(r"\w+", self.text.decode("utf-8", "replace")))

    @cached_property
    def words(self) -> list[str]:
        """The words of the region, in order."""
        return re.findall(r"\w+", self.region.decode("utf-8", "replace"))
