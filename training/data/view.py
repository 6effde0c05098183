"""A region of a unit as an edit kind sees it: the nodes wholly inside, their byte positions, the names, and the visible text."""

from __future__ import annotations

import ast
import re
from functools import cached_property
from typing import NamedTuple

from . import scope, source
from .splice import Change, Splice, line_starts

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_LEAF_FIELDS = frozenset(
    "ctx op ops id attr kind type_comment level conversion simple is_async module asname tag type_ignores rest".split()
)
_child_fields: dict[type, tuple[str, ...]] = {ast.Constant: ()}


class Draft(NamedTuple):
    """An edit of a unit before it has words: splices of the unit's text, what they do to its tree, what an instruction must name.

    An inverse edit is made backwards: the real code is the gold, and the spliced text is what the model is shown."""

    kind: str
    variant: str  # the group of instruction templates that fits
    slots: dict[str, str]
    splices: list[Splice]
    changes: dict[int, Change]
    inverse: bool = False


def children(node: ast.AST) -> list[tuple[str, ast.AST]]:
    """(field, node) of the nodes directly below one, operators and contexts left out."""
    kind = type(node)
    fields = _child_fields.get(kind)
    if fields is None:
        fields = _child_fields[kind] = tuple(name for name in kind._fields if name not in _LEAF_FIELDS)
    found = []
    for name in fields:
        value = getattr(node, name, None)
        if value.__class__ is list:
            found += [(name, item) for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append((name, value))
    return found


class Facts:
    """What is known of a unit whatever the region: made once, in one walk, and kept with its tree."""

    def __init__(self, unit: source.Unit):
        self.starts = line_starts(unit.lines)
        self.text = unit.text
        self.nodes: list[ast.AST] = [unit.tree]  # breadth first, operators and contexts left out
        self.parents: dict[int, tuple[ast.AST, str]] = {}  # id of a node -> the node above and the field it stands in
        self.in_string: set[int] = set()  # ids of the nodes inside f-strings
        self.by_type: dict[type, list[ast.AST]] = {}
        self.names: scope.Names | None = None
        for node in self.nodes:
            kind = type(node)
            self.by_type.setdefault(kind, []).append(node)
            below = children(node)
            if below:
                if kind is ast.JoinedStr or id(node) in self.in_string:
                    self.in_string.update(id(child) for _, child in below)
                for field, child in below:
                    self.parents[id(child)] = (node, field)
                    self.nodes.append(child)


def facts_of(unit: source.Unit) -> Facts:
    """The unit's facts; the first call makes them."""
    found = unit.__dict__.get("facts")
    if found is None:
        found = unit.__dict__["facts"] = Facts(unit)
    return found


class View:
    """Lines first..last-1 of a unit (0-based), the region that an edit may change."""

    def __init__(self, unit: source.Unit, first: int, last: int):
        self.unit, self.first, self.last = unit, first, last
        self.facts = facts_of(unit)
        self.starts, self.text = self.facts.starts, self.facts.text  # of the whole unit
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

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node above one; None for the unit's own module."""
        return self.facts.parents.get(id(node), (None, ""))[0]

    def find(self, *types: type) -> list:
        """The nodes of these types that lie wholly in the region, those inside f-strings left out."""
        inside, found = self.facts.in_string, self.facts.by_type
        return [node for kind in types for node in found.get(kind, ()) if self.contains(node) and id(node) not in inside]

    @property
    def in_string(self) -> set[int]:
        """Ids of the nodes inside f-strings, whose positions Python 3.11 does not report exactly."""
        return self.facts.in_string

    @cached_property
    def uncertain(self) -> set[str]:
        """Names used in f-strings of several lines: Python 3.11 may report them on a wrong line."""
        strings = [node for node in self.facts.by_type.get(ast.JoinedStr, ()) if node.lineno != node.end_lineno]
        return {inner.id for node in strings for inner in ast.walk(node) if isinstance(inner, ast.Name)}

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every positioned node that lies wholly in the region, in the tree's order, those inside f-strings left out."""
        inside = self.facts.in_string
        return [node for node in self.facts.nodes if hasattr(node, "lineno") and self.contains(node) and id(node) not in inside]

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """The functions whose first line lies in the region."""
        return [node for node in self.facts.nodes if isinstance(node, FUNCTION) and self.first < node.lineno <= self.last]

    @cached_property
    def names(self) -> scope.Names:
        """The resolved names of the whole unit."""
        if self.facts.names is None:
            self.facts.names = scope.resolve_names(self.unit.tree, self.unit.lines, self.unit.owner)
        return self.facts.names

    @cached_property
    def taken(self) -> set[str]:
        """Every word of the unit: a new name must be none of them."""
        return set(re.findall(r"\w+", self.text.decode("utf-8", "replace")))

    @cached_property
    def words(self) -> list[str]:
        """The words of the region, in order."""
        return re.findall(r"\w+", self.region.decode("utf-8", "replace"))
