"""Which names of a piece of code became others everywhere between two releases, and the old tree with the new ones in their place."""

from __future__ import annotations

import ast
import copy
from collections import Counter

from .names import dotted


class _Renamed(ast.NodeTransformer):
    """Puts new names for bound names and new chains for whole chains of attributes; positions stay those of the old text."""

    def __init__(self, names: dict[str, str], chains: dict[str, str]):
        self.names, self.chains = names, chains

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.names.get(node.id, node.id)
        return self._chain(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        self.generic_visit(node)
        node.arg = self.names.get(node.arg, node.arg)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if not dotted(node):
            return self.generic_visit(node)
        base = node
        while isinstance(base, ast.Attribute):
            base = base.value
        base.id = self.names.get(base.id, base.id)
        return self._chain(node)

    def _chain(self, node: ast.expr) -> ast.AST:
        new = self.chains.get(dotted(node))
        if new is None:
            return node
        made = ast.parse(new, mode="eval").body
        for inner in ast.walk(made):
            if isinstance(inner, ast.expr):
                ast.copy_location(inner, node)
        made.ctx = node.ctx
        return made


def _chains(tree: ast.AST) -> Counter:
    """How often each name and each chain of attributes stands in a tree, longest chains only."""
    found: Counter = Counter()

    def enter(node: ast.AST) -> None:
        name = dotted(node) if isinstance(node, (ast.Attribute, ast.Name)) else ""
        if name:
            found[name] += 1
            return
        for child in ast.iter_child_nodes(node):
            enter(child)

    enter(tree)
    return found


def _bound(tree: ast.AST) -> tuple[Counter, set[str]]:
    """How often each name that a tree binds (a parameter, a variable) stands in it, and every name."""
    found: Counter = Counter()
    bound = set()
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else ""
        if name:
            found[name] += 1
            if isinstance(node, ast.arg) or not isinstance(node.ctx, ast.Load):
                bound.add(name)
    return Counter({name: count for name, count in found.items() if name in bound}), set(found)


def fingerprint(node: ast.AST, found: list[int] | None = None) -> int:
    """A hash of a tree that leaves positions out, for comparing within one process; those of all nodes are added to `found`."""
    parts: list[object] = [type(node)]
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, ast.AST):
            parts.append(fingerprint(value, found))
        elif isinstance(value, list):
            parts.append(tuple(fingerprint(one, found) if isinstance(one, ast.AST) else one for one in value))
        else:
            parts.append(value if isinstance(value, str) else (repr(value),))
    mark = hash(tuple(parts))
    if found is not None:
        found.append(mark)
    return mark


def _marks(tree: ast.AST) -> Counter:
    found: list[int] = []
    fingerprint(tree, found)
    return Counter(found)


def _distance(old: ast.AST, new: Counter) -> int:
    """How many subtrees have no equal partner."""
    marks = _marks(old)
    return sum(((marks - new) + (new - marks)).values())


def _partners(old: Counter, new: Counter, gone: set[str], fresh: set[str]) -> list[tuple[str, str]]:
    """Pairs of a name that is gone and one that is new and stands as often, where there is one choice."""
    pairs = []
    for name in sorted(gone):
        found = [other for other in sorted(fresh) if new[other] == old[name]]
        if len(found) == 1 and sum(old[other] == old[name] for other in gone) == 1:
            pairs.append((name, found[0]))
    return pairs


def substitutions(old: ast.Module, new: ast.Module) -> tuple[dict[str, str], dict[str, str], ast.Module]:
    """(renamed variables and parameters, replaced names and chains of attributes, the old tree after both).

    A pair counts when the new tree has the one name as often as the old tree has the other, and when putting it in makes more alike than
    the name itself: the calls, assignments and conditions that it stands in."""
    def settled(tree: ast.Module, pairs: list[tuple[str, str]], counts: Counter, chain: bool) -> dict[str, str]:
        kept: dict[str, str] = {}
        if not pairs:
            return kept
        target = _marks(new)
        before = _distance(tree, target)
        for one, other in pairs:
            change = ({}, {one: other}) if chain else ({one: other}, {})
            gain = before - _distance(_Renamed(*change).visit(copy.deepcopy(tree)), target)
            own = (one.count(".") + other.count(".") + 2) * counts[one]
            if gain > own and other not in kept.values():
                kept[one] = other
        return kept

    (a, every_a), (b, every_b) = _bound(old), _bound(new)
    names = settled(old, _partners(a, b, set(a) - every_b, set(b) - every_a), a, chain=False)
    tree = _Renamed(names, {}).visit(copy.deepcopy(old)) if names else old
    a, b = _chains(tree), _chains(new)
    chains = settled(tree, _partners(a, b, set(a) - set(b), set(b) - set(a)), a, chain=True)
    return names, chains, _Renamed({}, chains).visit(copy.deepcopy(tree)) if chains else tree
