"""Where functions, methods and classes stand in a file, from its syntax tree.

A broken file has a tree too, so this works in the middle of an edit."""

from __future__ import annotations

import bisect
import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from cromwell.contract.languages import is_python, syntax_tree

if TYPE_CHECKING:
    from tree_sitter import Node

FUNCTIONS = {
    "function_definition", "function_declaration", "generator_function_declaration", "method_definition", "method_declaration",
    "constructor_declaration", "function_item",
}
CLASSES = {
    "class_definition", "class_declaration", "class_specifier", "struct_specifier", "interface_declaration", "enum_declaration",
    "struct_item", "enum_item", "trait_item", "impl_item",
}
FUNCTION_VALUES = {"arrow_function", "function_expression", "function"}
WRAPPERS = {"decorated_definition", "export_statement"}
"""Nodes that belong to the definition they hold: decorators, `export`."""


class Definition(NamedTuple):
    """A function, method or class: lines from 1, inclusive, decorators included."""

    name: str
    """Dotted: Client.get."""
    is_function: bool
    first_line: int
    last_line: int


def _name(node: Node) -> str | None:
    """The name that a definition gives, or None when the node defines nothing."""
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        if value is None or value.type not in FUNCTION_VALUES:
            return None
    elif node.type not in FUNCTIONS and node.type not in CLASSES:
        return None
    named = node.child_by_field_name("type" if node.type == "impl_item" else "name")
    inner = node.child_by_field_name("declarator")
    while named is None and inner is not None:  # C: the name is inside nested declarators
        if inner.type in ("identifier", "field_identifier", "qualified_identifier"):
            named = inner
        inner = inner.child_by_field_name("declarator")
    return named.text.decode("utf-8", "replace") if named is not None and named.text else None


def _last_line(node: Node) -> int:
    """The last line of a node; one that ends just after a newline ends on the line before."""
    row, column = node.end_point
    return row if column == 0 and row > node.start_point[0] else row + 1


def definitions(path: str, source: bytes) -> list[Definition] | None:
    """All definitions of `source` (LF line ends) in order of their first line; None when its language has no grammar."""
    root = syntax_tree(path, source)
    if root is None:
        return None
    found: list[Definition] = []
    # (node, dotted name of what surrounds it, first line of the wrapper that holds it)
    pending: list[tuple[Node, str, int | None]] = [(root, "", None)]
    while pending:
        node, outer, first_line = pending.pop()
        name = _name(node)
        if name is not None:
            outer = f"{outer}.{name}" if outer else name
            found.append(Definition(outer, node.type not in CLASSES, first_line or node.start_point[0] + 1, _last_line(node)))
        if node.start_point[0] != node.end_point[0] or node is root:  # what stands on one line holds no definition
            wrapped = (first_line or node.start_point[0] + 1) if node.type in WRAPPERS else None
            pending += [(child, outer, wrapped) for child in node.named_children]
    return sorted(found, key=lambda definition: (definition.first_line, -definition.last_line, definition.name))


def matching(found: list[Definition], symbol: str) -> list[Definition]:
    """The definitions that `symbol` names, exactly, else by the last parts of their dotted names; of several under one dotted name
    (overloads, redefinitions) the last one, which is the one that counts."""
    exact = [definition for definition in found if definition.name == symbol]
    chosen = exact or [definition for definition in found if definition.name.endswith("." + symbol)]
    return list({definition.name: definition for definition in chosen}.values())


PARSED_BYTES = 400_000
"""Python files up to this size are parsed for `outline`, which takes 60 ms; longer ones are read line by line."""
_HEAD = re.compile(rb"^([ \t]*)(?:async[ \t]+)?(def|class)[ \t]+(\w+)", re.MULTILINE)


@functools.cache
def _block_end(indent: int) -> re.Pattern[bytes]:
    """A line that ends a block whose head has this indentation. Comments, closing brackets and the ends of strings do not."""
    return re.compile(rb"^[ \t]{0,%d}[^\s#)\]}'\"]" % indent, re.MULTILINE)


def outline(path: str, source: bytes) -> list[Definition]:
    """The definitions of `source` (LF line ends), where speed counts for more than a rare wrong end: those of a long Python file by
    indentation (a string with text at the margin may end one early); else `definitions`; none without a grammar."""
    if len(source) <= PARSED_BYTES or not is_python(path):
        return definitions(path, source) or []
    starts = [0, *(match.end() for match in re.finditer(rb"\n", source)), len(source)]
    found: list[Definition] = []
    around: list[tuple[int, str]] = []  # what surrounds a head: (offset of its end, dotted name)
    for head in _HEAD.finditer(source):
        stop = _block_end(len(head[1])).search(source, head.end())
        end = stop.start() if stop else len(source)
        while around and around[-1][0] <= head.start():
            around.pop()
        name = ".".join([outer for _, outer in around[-1:]] + [head[3].decode("utf-8", "replace")])
        around.append((end, name))
        first_line, last_line = bisect.bisect_right(starts, head.start()), bisect.bisect_right(starts, end - 1)
        while first_line > 1 and source[starts[first_line - 2]:starts[first_line - 1]].lstrip().startswith(b"@"):
            first_line -= 1
        while not (line := source[starts[last_line - 1]:starts[last_line]].strip()) or line[:1] in b"#@":
            last_line -= 1
        found.append(Definition(name, head[2] == b"def", first_line, last_line))
    return sorted(found, key=lambda definition: (definition.first_line, -definition.last_line, definition.name))
