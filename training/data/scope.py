"""Which variable each name in a piece of Python stands for, as far as the piece itself can tell.

Two occurrences of a name are the same variable when they resolve to the same scope; names that the piece does not bind are free.
Names bound in ways whose position the tree does not give (imports, `except … as`, patterns, global, nonlocal) are blocked."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from typing import NamedTuple

_DEF = re.compile(rb"(?:async[ \t]+)?def[ \t]+")
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSION = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Scope:
    """One naming scope; `kind` is top, class, function or comprehension."""

    def __init__(self, kind: str, parent: Scope | None):
        self.kind, self.parent, self.bound = kind, parent, set()

    def is_inside(self, other: Scope) -> bool:
        """True when `other` is a scope around this one."""
        scope = self.parent
        while scope is not None and scope is not other:
            scope = scope.parent
        return scope is not None


class Occurrence(NamedTuple):
    """One place where a variable's name is written."""

    node: ast.AST
    field: str  # the field of `node` that holds the name
    line: int  # from 1
    column: int  # in bytes
    role: str  # "use", "parameter" or "function"
    scope: Scope | None  # where it is bound; None: not in this piece


class Names(NamedTuple):
    """The names of a piece of code."""

    occurrences: dict[str, list[Occurrence]]
    blocked: set[str]
    parameters: dict[str, set[str]]  # function name -> its parameters' names, for keyword arguments


class _Walker(ast.NodeVisitor):
    def __init__(self, lines: list[bytes], top: str):
        self.lines = lines
        self.scope = Scope(top, None)
        self.raw: list[tuple[str, ast.AST, str, int, int, str, Scope]] = []
        self.blocked: set[str] = set()
        self.parameters: dict[str, set[str]] = defaultdict(set)

    def note(self, name: str, node: ast.AST, field: str, line: int, column: int, role: str) -> None:
        self.raw.append((name, node, field, line, column, role, self.scope))

    def bind(self, name: str) -> None:
        self.scope.bound.add(name)

    def block(self, *names: str | None) -> None:
        self.blocked.update(name for name in names if name)

    def inside(self, kind: str, nodes: list[ast.AST | None]) -> None:
        self.scope = Scope(kind, self.scope)
        for node in nodes:
            if node is not None:
                self.visit(node)
        self.scope = self.scope.parent

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bind(node.id)
        self.note(node.id, node, "id", node.lineno, node.col_offset, "use")

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        inner, scope = self.scope, self.scope
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        self.scope = scope
        self.visit(node.target)
        self.scope = inner

    def visit_arg(self, node: ast.arg) -> None:
        self.bind(node.arg)
        self.note(node.arg, node, "arg", node.lineno, node.col_offset, "parameter")

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
        for outer in [*node.decorator_list, *arguments.defaults, *arguments.kw_defaults, *(a.annotation for a in every), node.returns]:
            if outer is not None:
                self.visit(outer)
        self.bind(node.name)
        self.parameters[node.name].update(argument.arg for argument in every)
        match = _DEF.match(self.lines[node.lineno - 1], node.col_offset)
        if match:
            self.note(node.name, node, "name", node.lineno, match.end(), "function")
        else:
            self.block(node.name)
        for parameter in getattr(node, "type_params", []):
            self.block(parameter.name)
        self.inside("function", [*every, *node.body])

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_Lambda(self, node: ast.Lambda) -> None:
        arguments = node.args
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                self.visit(default)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
        self.inside("function", [*every, node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for outer in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(outer)
        self.bind(node.name)
        self.block(node.name)
        self.inside("class", node.body)

    def _comprehension(self, node: ast.AST) -> None:
        self.visit(node.generators[0].iter)
        inner: list[ast.AST] = []
        for i, generator in enumerate(node.generators):
            inner += [generator.target, *([generator.iter] if i else []), *generator.ifs]
        inner += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.inside("comprehension", inner)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            name = (alias.asname or alias.name).split(".")[0]
            self.bind(name)
            self.block(name)

    visit_Import = visit_ImportFrom = _import

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.block(node.name)
        self.generic_visit(node)

    def _declared(self, node: ast.Global | ast.Nonlocal) -> None:
        self.block(*node.names)

    visit_Global = visit_Nonlocal = _declared

    def _pattern(self, node: ast.AST) -> None:
        self.block(getattr(node, "name", None), getattr(node, "rest", None))
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = visit_MatchMapping = _pattern


def _resolve(name: str, scope: Scope) -> Scope | None:
    """The scope that binds `name` as seen from `scope`; class scopes are seen only from directly inside."""
    start = scope
    while scope is not None:
        if name in scope.bound and (scope.kind != "class" or scope is start):
            return scope
        scope = scope.parent
    return None


def resolve_names(tree: ast.Module, lines: list[bytes], owner: str) -> Names:
    """Resolve every name of a unit that stands in a module, class or function body (`owner`)."""
    walker = _Walker(lines, "class" if owner == "class" else "top")
    for statement in tree.body:
        walker.visit(statement)
    occurrences: dict[str, list[Occurrence]] = defaultdict(list)
    for name, node, field, line, column, role, scope in walker.raw:
        home = _resolve(name, scope)
        # The decorator, default or annotation of a function is a use in the scope around it; the walker visited it there.
        occurrences[name].append(Occurrence(node, field, line, column, role, home))
    return Names(dict(occurrences), walker.blocked, dict(walker.parameters))


def is_consistent(places: list[Occurrence]) -> bool:
    """True when renaming all of `places` together cannot confuse two variables: none is free while another is bound,
    no binding shadows another, and no name of a class body is involved except methods' own names."""
    scopes = {id(place.scope): place.scope for place in places}.values()
    if any(scope is None for scope in scopes) and len(scopes) > 1:
        return False
    if any(scope is not None and scope.kind == "class" for scope in scopes) and any(place.role != "function" for place in places):
        return False
    bound = [scope for scope in scopes if scope is not None]
    return not any(one is not other and one.is_inside(other) for one in bound for other in bound)
