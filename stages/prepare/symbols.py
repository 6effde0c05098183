"""Where functions, methods and classes stand in a file, from its syntax tree.

A broken file has a tree too, so this works in the middle of an edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cromwell.contract.languages import syntax_tree

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
