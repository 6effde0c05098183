"""Edits that give an expression a name or take one away: extract a variable or a constant, use a named constant, inline a variable."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .kinds import literals
from .names import Pools
from .splice import Change, Splice
from .view import FUNCTION, Draft, View

_CALL = re.compile(rb"^[ \t]+[^\n#]*\w\([^\n]*\w\(|^[ \t]+(?:return|if) [^\n]*[\w)] [-+*/<>=]|^[ \t]+[\w.]+ = [^\n]+[(\[]", re.M)
_LITERAL = re.compile(rb"""(?<![\w.])\d{2,}|\d\.\d|['"][\w /.-]{4,}['"]""")
_ASSIGN = re.compile(rb"^[ \t]*(\w+) = [^\n]+\n[^\n]*\b\1\b", re.M)
_SIMPLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.Return, ast.AnnAssign, ast.Raise, ast.Assert)


def _statement(view: View, node: ast.AST) -> ast.stmt | None:
    """The statement around an expression, when the expression is always evaluated first thing or last in it: no branch, lambda or
    comprehension stands between."""
    while node is not None and not isinstance(node, ast.stmt):
        parent = view.parent(node)
        field = view.facts.parents[id(node)][1]
        late = isinstance(parent, ast.BoolOp) and parent.values[0] is not node or isinstance(parent, ast.IfExp) and field != "test"
        late |= isinstance(parent, ast.Compare) and len(parent.ops) > 1
        if late or isinstance(
            parent, (ast.Lambda, ast.comprehension, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.JoinedStr)
        ):
            return None
        node = parent
    return node


def extract_variable(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An expression of a statement gets a name, assigned on the line before."""
    rows = []
    for node in view.find(ast.Call, ast.BinOp, ast.Compare, ast.Subscript, ast.Attribute, ast.BoolOp, ast.List, ast.Dict):
        if node.lineno != node.end_lineno or isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
            continue
        parent = view.parent(node)
        if (
            isinstance(parent, (ast.Expr, ast.Assign, ast.AnnAssign, ast.keyword))
            and (not isinstance(parent, ast.keyword))
            or isinstance(parent, ast.arguments)
        ):
            continue
        if isinstance(parent, ast.Call) and parent.func is node or isinstance(parent, ast.Attribute):
            continue
        text = view.source_of(node)
        if 5 <= len(text) and layout.is_unique(view, text):
            rows.append((node, text))
    if not rows:
        return None
    node, text = rng.choice(rows)
    statement = _statement(view, node)
    field = ""
    if isinstance(statement, (ast.If, ast.Return, *_SIMPLE)) or isinstance(statement, ast.For):
        field = view.facts.parents[id(node)][1]
    if not field or isinstance(statement, (ast.If, ast.For)) and not _in_head(view, statement, node):
        return None
    if (
        view.text[view.start(statement) : view.start(statement) + 4] == b"elif"
        or view.unit.owner == "class"
        or any(isinstance(one, ast.Await) for one in ast.walk(node))
    ):
        return None
    start_line = layout.first_line(statement)
    before = view.unit.lines[start_line - 1][: statement.col_offset]
    holder, holder_field, body = layout.body_of(view, statement)
    above = view.unit.lines[start_line - 2].strip() if start_line > 1 else b""
    if before.strip() or isinstance(holder, ast.ClassDef) or above.startswith(b"#") or getattr(statement, "decorator_list", None):
        return None
    name = names.pick(rng, pools.variables)
    if name in view.taken or len(name) < 2:
        return None
    if view.text[view.start(node) - 1 : view.start(node)] == b"(" and view.text[view.end(node) : view.end(node) + 1] == b")":
        if isinstance(view.parent(node), (ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare)):
            return None
    place = view.starts[start_line - 1]
    line = layout.indent_of(view, start_line) + f"{name} = {text}\n".encode()
    splices = [Splice(place, place, line), Splice(*layout.span(view, node), name.encode())]
    target = ast.Assign([ast.Name(name, ast.Store())], layout.expression(text), None)
    changes = {id(node): Change(node=ast.Name(name, ast.Load())), id(statement): Change(before=(target,))}
    return Draft("extract_variable", "variable", {"what": text, "new": name}, splices, changes)


def _in_head(view: View, statement: ast.If | ast.For, node: ast.AST) -> bool:
    """True when an expression belongs to the first line of an if or for."""
    head = statement.test if isinstance(statement, ast.If) else statement.iter
    return view.start(head) <= view.start(node) and view.end(node) <= view.end(head)


def _upper(text: str, rng: Random, pools: Pools) -> str:
    words = [names.pick(rng, pools.words) for _ in range(rng.choice((1, 2, 2)))]
    return "_".join(rng.choice((["default"], ["max"], [], [], [])) + words).upper() or text


def extract_constant(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A literal gets a name, assigned above the function or class of the module that uses it."""
    if view.unit.owner != "module":
        return None
    tops = [
        node
        for node in view.unit.tree.body
        if isinstance(node, (*FUNCTION, ast.ClassDef)) and view.first < layout.first_line(node) <= view.last
    ]
    if not tops:
        return None
    top = rng.choice(tops)
    rows = [one for one in literals(view) if isinstance(one.value, (int, float, str)) and not isinstance(one.value, bool)]
    rows = [
        one for one in rows if len(one.text) > 2 and top.lineno <= one.node.lineno <= top.end_lineno and layout.is_unique(view, one.text)
    ]
    if not rows:
        return None
    one = rng.choice(rows)
    name = _upper(one.text, rng, pools)
    if name in view.taken or not name.isidentifier() or len(name) < 3 or isinstance(view.parent(one.node), ast.JoinedStr):
        return None
    row = layout.first_line(top)
    place = view.starts[row - 1]
    if row > 1 and view.unit.lines[row - 2].strip():
        return None
    holder, field, body = layout.body_of(view, top)
    target = ast.Assign([ast.Name(name, ast.Store())], layout.expression(one.text), None)
    splices = [Splice(place, place, f"{name} = {one.text}\n\n\n".encode()), Splice(*layout.span(view, one.node), name.encode())]
    changes = {id(one.node): Change(node=ast.Name(name, ast.Load())), id(top): Change(before=(target,))}
    return Draft("extract_constant", "constant", {"old": one.text, "new": name, "func": top.name}, splices, changes)


def use_constant(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A literal gives way to a named constant that exists elsewhere."""
    rows = [one for one in literals(view) if isinstance(one.value, (int, float, str)) and not isinstance(one.value, bool)]
    rows = [
        one for one in rows if len(one.text) > 1 and layout.is_unique(view, one.text) and not isinstance(view.parent(one.node), ast.Dict)
    ]
    if not rows:
        return None
    one = rng.choice(rows)
    upper = [name for name in pools.constants if name.isupper()]
    name = names.pick(rng, upper) if upper and rng.random() < 0.5 else _upper(one.text, rng, pools)
    if rng.random() < 0.3:
        name = f"{rng.choice(('settings', 'config', 'constants', 'self'))}.{name}"
    if name in view.taken:
        return None
    label = one.label if one.label and layout.count_of(view.region.decode("utf-8", "replace"), one.label) == 1 else ""
    variant = "label" if label and rng.random() < 0.3 else "value"
    change = {id(one.node): Change(node=layout.expression(name))}
    slots = {"value": one.text, "new": name, "label": label}
    return Draft("use_constant", variant, slots, [Splice(*layout.span(view, one.node), name.encode())], change)


_ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.List, ast.Dict, ast.ListComp, ast.JoinedStr)


def inline_variable(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A variable that only the next statement uses, and uses once, goes; its value stands where it stood."""
    rows = []
    for node in view.find(ast.Assign):
        target = node.targets[0]
        if (
            len(node.targets) > 1
            or not isinstance(target, ast.Name)
            or not isinstance(node.value, _ATOMS)
            or node.lineno != node.end_lineno
        ):
            continue
        if not layout.is_alone(view, node) or layout.has_comment(view, node):
            continue
        holder, field, body = layout.body_of(view, node)
        at = body.index(node)
        after = body[at + 1] if at + 1 < len(body) else None
        if (
            isinstance(holder, (ast.ClassDef, ast.Module))
            or not isinstance(after, (*_SIMPLE, ast.If, ast.For))
            or layout.first_line(after) != node.lineno + 1
        ):
            continue
        uses = [one for one in view.facts.by_type.get(ast.Name, ()) if one.id == target.id and one is not target]
        if len(uses) != 1 or not isinstance(uses[0].ctx, ast.Load) or id(uses[0]) in view.in_string or not view.contains(uses[0]):
            continue
        if len(re.findall(rb"\b" + target.id.encode() + rb"\b", view.text)) != 2 or _statement(view, uses[0]) is not after:
            continue
        if isinstance(after, (ast.If, ast.For)) and not _in_head(view, after, uses[0]):
            continue
        if isinstance(view.parent(uses[0]), (ast.AugAssign, ast.Expr)) or uses[0].lineno != after.lineno:
            continue
        rows.append((node, target.id, uses[0]))
    if not rows:
        return None
    node, name, use = rng.choice(rows)
    text = view.source_of(node.value)
    line = view.unit.lines[use.lineno - 1]
    if (
        len(line) + len(text) - len(name) > layout.MAX_LINE
        or isinstance(node.value, ast.Constant)
        and isinstance(view.parent(use), ast.Attribute)
    ):
        return None
    splices = [Splice(view.starts[node.lineno - 1], view.starts[node.end_lineno], b""), Splice(*layout.span(view, use), text.encode())]
    changes = {id(node): Change(remove=True), id(use): Change(node=node.value)}
    return Draft("inline_variable", "variable", {"old": name}, splices, changes)


def absent_variable(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A variable to inline that is not there."""
    name = names.pick(rng, pools.variables)
    return None if name in view.taken else ("variable", {"old": name})


def absent_value(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A literal that the region does not hold."""
    value = names.new_number(rng, rng.randrange(10, 5000))
    return None if value.encode() in view.region else ("value", {"value": value, "new": _upper(value, rng, pools), "label": ""})


KINDS = {
    "extract_variable": (extract_variable, 8, _CALL),
    "extract_constant": (extract_constant, 8, _LITERAL),
    "use_constant": (use_constant, 5, _LITERAL),
    "inline_variable": (inline_variable, 4, _ASSIGN),
}

ABSENT = {"inline_variable": absent_variable, "use_constant": absent_value}

TEMPLATES = {
    "extract_variable": {
        "variable": (
            "extract {what} into a variable {new}",
            "extract {what} as {new}",
            "put {what} into a variable [called |named |]{new}",
            "introduce a variable {new} for {what}",
            "{new} = {what} on its own line",
            "name {what} {new}",
            "pull {what} out into {new}",
            "assign {what} to {new} first",
            "store {what} in {new} and use that",
            "extract variable {new}: {what}",
            "{what} deserves a name: {new}",
            "let {new} be {what} and use it",
        ),
    },
    "extract_constant": {
        "constant": (
            "extract {old} into a constant {new}",
            "make {old} a constant [called |named |]{new}",
            "introduce the constant {new} for {old} above {func}",
            "move {old} to a constant {new} above {func}",
            "{old} should be a module constant {new}",
            "replace the magic value {old} with a constant {new}",
            "define {new} = {old} above {func} and use it",
            "pull {old} out of {func} as {new}",
            "no magic {old} in {func}, define {new}",
            "extract constant {new}: {old}",
            "name the literal {old} {new}, defined above {func}",
        ),
    },
    "use_constant": {
        "value": (
            "use {new} instead of {value}",
            "replace {value} [with|by] {new}",
            "{value} -> {new}",
            "replace the literal {value} with the constant {new}",
            "use the constant {new} for {value}",
            "{new} in place of {value}",
            "don't hard-code {value}, use {new}",
            "no magic {value}: {new}",
            "{value} should be {new}",
            "take {new} rather than the literal {value}",
            "there is {new} for {value}, use it",
        ),
        "label": (
            "use {new} for {label}",
            "{label} should be {new}",
            "set {label} to {new}",
            "take {label} from {new}",
            "use the constant {new} as {label}",
            "don't hard-code {label}, use {new}",
            "{label}: {new} instead of a literal",
            "{label} comes from {new}",
            "replace the literal for {label} [with|by] {new}",
        ),
    },
    "inline_variable": {
        "variable": (
            "inline {old}",
            "inline the variable {old}",
            "get rid of the variable {old}",
            "no need for the variable {old}",
            "remove the temporary {old}, use its value directly",
            "{old} is used once, inline it",
            "put the value of {old} where it is used",
            "[drop|eliminate] the temporary variable {old}",
            "use the value directly instead of {old}",
            "without the variable {old}",
            "fold {old} into the next line",
        ),
    },
}
