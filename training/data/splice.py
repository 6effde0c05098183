"""Changing source text at syntax-tree positions, and proving that the tree changed exactly as meant.

`Change`s say what should happen to which node; `same_tree` compares the tree of the spliced text with the old tree under them."""

from __future__ import annotations

import ast
from typing import NamedTuple, Sequence


class Splice(NamedTuple):
    """Replace bytes start..end of a text."""

    start: int
    end: int
    text: bytes


class Change(NamedTuple):
    """What becomes of one node: fields with new values, another node, nothing (`remove`), or statements put before or after it.

    New nodes and lists may hold nodes of the old tree: those stand for what has become of them."""

    fields: dict[str, object] = {}
    node: ast.AST | None = None
    remove: bool = False
    before: tuple[ast.AST, ...] = ()
    after: tuple[ast.AST, ...] = ()


def line_starts(lines: Sequence[bytes]) -> list[int]:
    """Byte offset of each line's start, and of the end."""
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    return starts


def splice(text: bytes, splices: Sequence[Splice]) -> bytes:
    """`text` with every splice applied; raises ValueError when two overlap."""
    parts, position = [], 0
    for start, end, new in sorted(splices):
        if start < position or end > len(text):
            raise ValueError("overlapping splices")
        parts += [text[position:start], new]
        position = end
    return b"".join([*parts, text[position:]])


def _expected_list(nodes: list, changes: dict[int, Change]) -> list:
    expected = []
    for node in nodes:
        change = changes.get(id(node))
        if change is None:
            expected.append(node)
        else:
            expected += change.before
            if not change.remove:
                expected.append(node)
            expected += change.after
    return expected


def same_tree(old: ast.AST, new: ast.AST, changes: dict[int, Change]) -> bool:
    """True when `new` is `old` after `changes` (keyed by id of the old tree's nodes) and nothing else."""
    change = changes.get(id(old))
    if change is not None and change.node is not None:
        return same_tree(change.node, new, {key: value for key, value in changes.items() if key != id(old)})
    if type(old) is not type(new):
        return False
    fields = change.fields if change is not None else {}
    for field in old._fields:
        a, b = getattr(old, field, None), getattr(new, field, None)
        if field in fields:
            a = fields[field]
        if a is b:  # None, a short string, the one Load there is
            continue
        if isinstance(a, list):
            a = _expected_list(a, changes)
            if not isinstance(b, list) or len(a) != len(b):
                return False
            for x, y in zip(a, b, strict=True):
                if not _same(x, y, changes):
                    return False
        elif not _same(a, b, changes):
            return False
    return True


def _same(old: object, new: object, changes: dict[int, Change]) -> bool:
    """`same_tree` for whatever a field holds."""
    if isinstance(old, ast.AST):
        return isinstance(new, ast.AST) and same_tree(old, new, changes)
    return type(old) is type(new) and (old == new or (old != old and new != new))
