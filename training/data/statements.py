"""The edits of whole statements: remove_statement, insert_statement, add_import."""

from __future__ import annotations

import ast
import re
from collections import Counter
from random import Random

from . import names
from .names import Pools, dotted
from .splice import Change, Splice
from .view import Draft, View

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_LOGGING = frozenset(("print", "debug", "info", "warning", "error", "warn", "log"))
_SIMPLE = (
    ast.Expr,
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.Assert,
    ast.Raise,
    ast.Return,
    ast.Delete,
    ast.Pass,
    ast.Import,
    ast.ImportFrom,
)


def bodies(view: View) -> list[list[ast.stmt]]:
    """Every list of statements of the unit."""
    found = [view.unit.tree.body]
    for node in view.facts.nodes:
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list) and body and node is not view.unit.tree:
                found.append(body)
    return found


def alone(view: View, statement: ast.stmt) -> bool:
    """True when a statement shares its lines with nothing but a comment."""
    before = view.unit.lines[statement.lineno - 1][: statement.col_offset]
    after = view.unit.lines[statement.end_lineno - 1][statement.end_col_offset :].strip()
    return not before.strip() and (not after or after.startswith(b"#"))


def _simple(view: View) -> list[tuple[list[ast.stmt], ast.stmt]]:
    """(body, statement) of the simple statements that stand alone on their lines in the region; docstrings are none."""
    return [
        (body, statement)
        for body in bodies(view)
        for statement in body
        if isinstance(statement, _SIMPLE)
        and view.contains(statement)
        and alone(view, statement)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]


def _callee(statement: ast.stmt) -> str:
    return dotted(statement.value.func) if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) else ""


def _target(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign):
        return dotted(statement.targets[0]) if len(statement.targets) == 1 else ""
    return dotted(statement.target) if isinstance(statement, (ast.AnnAssign, ast.AugAssign)) else ""


def _line(view: View, statement: ast.stmt) -> str:
    """A statement's source when it is one line that occurs once in the region and fits an instruction, else ""."""
    text = view.source_of(statement)
    lines = [line.split(b"#")[0].strip() for line in view.region.splitlines()]
    unique = sum(line == text.encode() for line in lines) == 1
    return text if unique and statement.lineno == statement.end_lineno and len(text) <= 60 and "#" not in text and "`" not in text else ""


def remove_statement(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Delete the lines of one statement: named by its text, by what it calls, by what it sets, or as the only assert, raise or return."""
    simple = [statement for body, statement in _simple(view) if len(body) > 1]
    every = [node for body in bodies(view) for node in body]
    callees = Counter(_callee(node) for node in every)
    targets = Counter(_target(node) for node in every)
    forms = Counter(type(node) for node in every)
    choices = []
    for statement in simple:
        callee, target, line = _callee(statement), _target(statement), _line(view, statement)
        called = callee and callees[callee] == 1 and view.region.count(callee.encode() + b"(") == 1
        if called:
            choices += [(statement, "call", callee)] * (4 if callee.split(".")[-1] in _LOGGING else 2)
        if target and targets[target] == 1 and isinstance(statement, ast.Assign):
            choices.append((statement, "sets", target))
        if isinstance(statement, (ast.Assert, ast.Raise, ast.Return)) and forms[type(statement)] == 1:
            choices.append((statement, "form", type(statement).__name__.lower()))
        if line:
            choices.append((statement, "line", line))
    if not choices:
        return None
    statement, variant, what = rng.choice(choices)
    splices = [Splice(view.starts[statement.lineno - 1], view.starts[statement.end_lineno], b"")]
    return Draft("remove_statement", variant, {"what": what}, splices, {id(statement): Change(remove=True)})


def insert_statement(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Put a given statement before or after a named line, first in a function (after its docstring), or before the only return."""
    text = names.pick(rng, pools.statements) if rng.random() < 0.6 else _made_statement(rng, view, pools)
    if "`" in text or text in view.text.decode("utf-8", "replace"):
        return None
    tree = ast.parse(text).body
    if len(tree) != 1:
        return None
    simple = _simple(view)
    returns = view.facts.by_type.get(ast.Return, [])
    choices: list[tuple[ast.stmt, bool, str, str]] = []  # (neighbour, put it after, variant, what names the place)
    for _, statement in simple:
        line = _line(view, statement)
        if line:
            choices.append((statement, False, "before", line))
            if not isinstance(statement, (ast.Return, ast.Raise)):
                choices.append((statement, True, "after", line))
        if isinstance(statement, ast.Return) and len(returns) == 1:
            choices += [(statement, False, "return", "")] * 3
    heads = [node for node in view.functions if sum(other.name == node.name for other in view.functions) == 1]
    for function in heads:
        has_text = isinstance(function.body[0], ast.Expr) and isinstance(function.body[0].value, ast.Constant)
        first = function.body[0]
        if view.contains(first) and alone(view, first) and (not has_text or isinstance(first.value.value, str)):
            choices += [(first, has_text, "first", function.name)] * 3
    if not choices:
        return None
    neighbour, after, variant, what = rng.choice(choices)
    row = neighbour.lineno - 1 if not getattr(neighbour, "decorator_list", None) else min(d.lineno for d in neighbour.decorator_list) - 1
    indent = view.unit.lines[row][: len(view.unit.lines[row]) - len(view.unit.lines[row].lstrip())]
    place = view.starts[neighbour.end_lineno] if after else view.starts[row]
    if after and not view.unit.lines[neighbour.end_lineno - 1].endswith(b"\n"):
        return None
    change = Change(after=tuple(tree)) if after else Change(before=tuple(tree))
    slots = {"stmt": text, "what": what}
    return Draft("insert_statement", variant, slots, [Splice(place, place, indent + text.encode() + b"\n")], {id(neighbour): change})


def _made_statement(rng: Random, view: View, pools: Pools) -> str:
    """A plain statement such as people add: a log call, a print, an assert, an assignment."""
    words = [
        word
        for word in set(view.words)
        if word.isidentifier() and word.islower() and word not in names.RESERVED and not word.startswith("__")
    ]
    word = rng.choice(sorted(words)) if words else "value"
    message = " ".join(names.pick(rng, pools.words) for _ in range(rng.choice((1, 2, 3))))
    fresh = names.pick(rng, pools.variables)
    return rng.choice(
        (
            f"print({word})",
            f'print("{message}")',
            f'logger.{rng.choice(("debug", "info", "warning", "error"))}("{message}")',
            f'logger.{rng.choice(("debug", "info"))}("{message}: %s", {word})',
            f'logging.{rng.choice(("debug", "info", "warning"))}("{message}")',
            f"assert {word} is not None",
            f"assert {word}",
            f"{fresh} = {rng.choice(('None', '0', '1', '[]', '{}', 'True', 'False', word))}",
            f"{fresh} += 1",
            f"self.{fresh} = {rng.choice(('None', word))}",
            f"import {names.pick(rng, pools.modules)}",
            f"{rng.choice(('self.', ''))}{names.pick(rng, pools.functions)}({rng.choice(('', word))})",
        )
    )


def add_import(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Another name at the end of a one-line `from m import …`, or an import line just before or after a named import line."""
    choices = [
        statement for _, statement in _simple(view) if isinstance(statement, (ast.Import, ast.ImportFrom)) and _line(view, statement)
    ]
    if not choices:
        return None
    statement = rng.choice(choices)
    text = _line(view, statement)
    module = getattr(statement, "module", None)
    if module == "__future__":
        return None
    same_module = sum(node.module == module for node in view.facts.by_type.get(ast.ImportFrom, ()))
    if (
        module
        and not statement.level
        and same_module == 1
        and not text.endswith(")")
        and statement.names[0].name != "*"
        and rng.random() < 0.6
    ):
        new = names.pick(rng, pools.classes if rng.random() < 0.5 else pools.functions)
        if new in view.taken:
            return None
        end = view.end(statement)
        change = Change(fields={"names": [*statement.names, ast.alias(new, None)]})
        return Draft(
            "add_import", "name", {"new": new, "module": module}, [Splice(end, end, b", " + new.encode())], {id(statement): change}
        )
    new = f"import {names.pick(rng, pools.modules)}"
    if rng.random() < 0.4:
        new = f"from {names.pick(rng, pools.modules)} import {names.pick(rng, pools.classes)}"
    if new in view.text.decode("utf-8", "replace"):
        return None
    tree = tuple(ast.parse(new).body)
    after = rng.random() < 0.5
    row = statement.end_lineno if after else statement.lineno - 1
    if after and not view.unit.lines[row - 1].endswith(b"\n"):
        return None
    indent = view.unit.lines[statement.lineno - 1][: statement.col_offset]
    change = Change(after=tree) if after else Change(before=tree)
    splices = [Splice(view.starts[row], view.starts[row], indent + new.encode() + b"\n")]
    return Draft("add_import", "after" if after else "before", {"stmt": new, "what": text}, splices, {id(statement): change})


KINDS = {
    "remove_statement": (remove_statement, 4, None),
    "insert_statement": (insert_statement, 4, None),
    "add_import": (add_import, 1, re.compile(rb"^ *(?:import|from) \w", re.M)),
}
"""name -> (function, weight, hint), see registry.py."""
