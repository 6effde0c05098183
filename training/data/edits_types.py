"""Edits of annotations: add, change or remove one of a parameter, a return or a variable; write old typing names the new way."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .edits_signature import parameters
from .names import Pools, dotted
from .splice import Change, Splice
from .view import Draft, View

_TYPES = (
    "int", "str", "float", "bool", "bytes", "list", "dict", "list[str]", "list[int]", "dict[str, int]", "dict[str, str]", "dict[str, Any]",
    "str | None", "int | None", "float | None", "tuple[int, int]", "tuple[str, ...]", "set[str]", "Any", "object", "Path", "datetime",
    "Sequence[str]", "Iterable[int]", "Callable[..., Any]", "Optional[str]", "np.ndarray", "pd.DataFrame", "Decimal", "list[float]",
)  # fmt: skip
_RETURNS = (*_TYPES, "None", "None", "None", "Iterator[str]", "bool", "bool")
_HEAD = re.compile(rb"^[ \t]*(?:async )?def \w", re.M)
_ANNOTATED = re.compile(rb"\) *->|[\w)] ?: ?[A-Za-z_][\w.\[\], |]*[,)=]|^[ \t]*\w+: \w", re.M)
_ASSIGNED = re.compile(rb"^[ \t]*(?:self\.)?\w+ = ", re.M)
_OLD_NAMES = {"List": "list", "Dict": "dict", "Set": "set", "Tuple": "tuple", "FrozenSet": "frozenset", "Type": "type"}
_OLD = re.compile(rb"\b(?:Optional|Union|List|Dict|Set|Tuple|FrozenSet|Type)\[")
_CLOSING = re.compile(rb"(?:[\s,/]|#[^\n]*\n)*\)")


def _closing(view: View, function: ast.FunctionDef | ast.AsyncFunctionDef) -> int | None:
    """Offset just after the parenthesis that closes a parameter list."""
    a = function.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg)), *a.defaults, *filter(None, a.kw_defaults)]
    if every:
        place = max(view.end(one) for one in every)
    else:
        head = re.compile(rb"(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(").match(view.text, view.start(function))
        if not head:
            return None
        place = head.end()
    found = _CLOSING.match(view.text, place)
    return found.end() if found else None


def _pick_type(rng: Random, pools: Pools, choices: tuple[str, ...] = _TYPES) -> str:
    return rng.choice(choices) if rng.random() < 0.85 else names.pick(rng, pools.classes)


def _alone(view: View, name: str) -> bool:
    """True when one parameter of the unit has this name."""
    return sum(one.arg == name for one in view.facts.by_type.get(ast.arg, ())) == 1


def _variables(view: View) -> list[tuple[ast.Assign, str]]:
    """(assignment, target) of the single assignments whose target the region assigns once."""
    every = [(node, dotted(node.targets[0])) for node in view.find(ast.Assign) if len(node.targets) == 1]
    targets = [name for _, name in every]
    return [(node, name) for node, name in every if name and targets.count(name) == 1 and layout.is_alone(view, node)]


def add_annotation(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The type of a parameter, a return or an assigned variable."""
    choices: list[tuple[str, ast.AST, ast.AST]] = []
    for function in layout.named_once(view):
        choices += [
            ("parameter", function, one)
            for one, _ in parameters(function)
            if one.annotation is None and one.arg not in ("self", "cls") and view.contains(one)
        ] * 2
        if function.returns is None and function.name != "__init__":
            choices += [("return", function, function)] * 3
    choices += [("variable", node, node.targets[0]) for node, _ in _variables(view)]
    if not choices:
        return None
    where, owner, node = rng.choice(choices)
    new = _pick_type(rng, pools, _RETURNS if where == "return" else _TYPES)
    tree, text = layout.expression(new), new.encode()
    slots = {"new": new, "func": getattr(owner, "name", "")}
    if where == "return":
        place = _closing(view, owner)
        if place is None or place > view.starts[view.last]:
            return None
        return Draft("add_annotation", where, slots, [Splice(place, place, b" -> " + text)], {id(owner): Change(fields={"returns": tree})})
    if where == "variable":
        place = view.end(node)
        simple = int(isinstance(node, ast.Name))
        new_node = ast.AnnAssign(node, tree, owner.value, simple)
        slots["label"] = view.source_of(node)
        return Draft("add_annotation", where, slots, [Splice(place, place, b": " + text)], {id(owner): Change(node=new_node)})
    splices = [Splice(view.end(node), view.end(node), b": " + text)]
    default = dict((id(one), value) for one, value in parameters(owner))[id(node)]
    if default is not None:
        if view.text[view.end(node) : view.start(default)] != b"=":
            return None
        splices = [Splice(view.end(node), view.start(default), b": " + text + b" = ")]
    slots["label"] = node.arg
    variant = "parameter" if _alone(view, node.arg) and rng.random() < 0.6 else "parameter_in"
    return Draft("add_annotation", variant, slots, splices, {id(node): Change(fields={"annotation": tree})})


def _annotations(view: View) -> list[tuple[str, ast.AST, ast.AST, ast.expr]]:
    """(where, owner, node, annotation) of everything annotated in the region."""
    found: list[tuple[str, ast.AST, ast.AST, ast.expr]] = []
    for function in layout.named_once(view):
        found += [("parameter", function, one, one.annotation) for one, _ in parameters(function) if one.annotation is not None]
        if function.returns is not None:
            found.append(("return", function, function, function.returns))
    targets = [dotted(node.target) for node in view.find(ast.AnnAssign)]
    found += [
        ("variable", node, node.target, node.annotation)
        for node in view.find(ast.AnnAssign)
        if dotted(node.target) and targets.count(dotted(node.target)) == 1
    ]
    return [row for row in found if view.contains(row[3]) and row[3].lineno == row[3].end_lineno]


def _named(view: View, rng: Random, where: str, owner: ast.AST, node: ast.AST) -> tuple[str, dict[str, str]]:
    """(variant, slots) that say which annotation is meant."""
    if where == "variable":
        return where, {"label": view.source_of(node)}
    if where == "return":
        return where, {"func": owner.name}
    return "parameter" if _alone(view, node.arg) and rng.random() < 0.6 else "parameter_in", {"label": node.arg, "func": owner.name}


def change_annotation(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Another type for a parameter, a return or a variable."""
    found = _annotations(view)
    if not found:
        return None
    where, owner, node, annotation = rng.choice(found)
    old, new = view.source_of(annotation), _pick_type(rng, pools, _RETURNS if where == "return" else _TYPES)
    if rng.random() < 0.2 and "None" not in old and "Optional" not in old and not isinstance(annotation, ast.Constant):
        new = f"{old} | None"
    if old == new or not layout.is_quotable(old):
        return None
    variant, slots = _named(view, rng, where, owner, node)
    change = {id(annotation): Change(node=layout.expression(new))}
    return Draft(
        "change_annotation", variant, slots | {"old": old, "new": new}, [Splice(*layout.span(view, annotation), new.encode())], change
    )


def remove_annotation(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The type of a parameter, a return or a variable goes, or all types of one function."""
    found = _annotations(view)
    if not found:
        return None
    where, owner, node, annotation = rng.choice(found)
    rows = [row for row in found if row[1] is owner]
    variant, slots = _named(view, rng, where, owner, node)
    if where != "variable" and rng.random() < 0.35:
        a = owner.args
        every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        total = sum(one.annotation is not None for one in every) + (owner.returns is not None)
        if total != len(rows) or total < 2:
            return None
        variant, slots = "function", {"func": owner.name}
    else:
        rows = [(where, owner, node, annotation)]
    splices, changes = [], {}
    for place, holder, one, hint in rows:
        if place == "return":
            close = _closing(view, holder)
            if close is None or view.text[close : view.start(hint)].strip() != b"->":
                return None
            splices.append(Splice(close, view.end(hint), b""))
            changes[id(holder)] = Change(fields={"returns": None})
        elif place == "variable":
            if holder.value is None or not holder.simple and not isinstance(one, ast.Attribute):
                return None
            splices.append(Splice(view.end(one), view.end(hint), b""))
            changes[id(holder)] = Change(node=ast.Assign([one], holder.value, None))
        else:
            start = view.start(one) + len(one.arg.encode())
            default = dict((id(other), value) for other, value in parameters(holder))[id(one)]
            end = view.end(hint)
            if default is not None:
                if view.text[end : view.start(default)].strip() != b"=":
                    return None
                splices.append(Splice(start, view.start(default), b"="))
            else:
                splices.append(Splice(start, end, b""))
            changes[id(one)] = Change(fields={"annotation": None})
    return Draft("remove_annotation", variant, slots, splices, changes)


def absent_annotation(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A return type that is not there."""
    bare = [one for one in layout.named_once(view) if one.returns is None]
    return ("return", {"func": rng.choice(bare).name}) if bare else None


def modern_types(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`Optional[X]` becomes `X | None`, `Union[X, Y]` `X | Y`, `List[X]` `list[X]` and so on: one of these everywhere in the region."""
    groups: dict[str, list[ast.Subscript]] = {}
    for node in view.facts.by_type.get(ast.Subscript, ()):
        name = dotted(node.value)
        if name in _OLD_NAMES or name in ("Optional", "Union"):
            groups.setdefault(name, []).append(node)
    found = [name for name, nodes in groups.items() if all(view.contains(node) and node.lineno == node.end_lineno for node in nodes)]
    if not found:
        return None
    name = rng.choice(found)
    nodes = groups[name]
    splices, changes = [], {}
    for node in nodes:
        if name in _OLD_NAMES:
            splices.append(Splice(*layout.span(view, node.value), _OLD_NAMES[name].encode()))
            changes[id(node.value)] = Change(fields={"id": _OLD_NAMES[name]})
            continue
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) and name == "Union" else [node.slice]
        if (
            len(parts) < 2
            and name == "Union"
            or any(isinstance(one, (ast.Constant, ast.Tuple)) and getattr(one, "value", 0) is not None for one in parts)
        ):
            return None
        if any(other is not node and other in parts for other in nodes):
            return None
        new: ast.expr = parts[0]
        for one in [*parts[1:], *([ast.Constant(None, None)] if name == "Optional" else [])]:
            new = ast.BinOp(new, ast.BitOr(), one)
        changes[id(node)] = Change(node=new)
        splices.append(Splice(view.start(node), view.start(parts[0]), b""))
        splices += [Splice(view.end(a), view.start(b), b" | ") for a, b in zip(parts, parts[1:], strict=False)]
        splices.append(Splice(view.end(parts[-1]), view.end(node), b" | None" if name == "Optional" else b""))
    sample = view.source_of(nodes[0])
    new_name = _OLD_NAMES.get(name, "X | None" if name == "Optional" else "X | Y")
    return Draft(
        "modern_types", "builtin" if name in _OLD_NAMES else "union", {"old": name, "new": new_name, "what": sample}, splices, changes
    )


def absent_old_types(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Old typing names that the region does not use."""
    name = rng.choice(tuple(_OLD_NAMES))
    return None if name in view.taken else ("builtin", {"old": name, "new": _OLD_NAMES[name]})


KINDS = {
    "add_annotation": (add_annotation, 10, re.compile(_HEAD.pattern + rb"|" + _ASSIGNED.pattern, re.M)),
    "change_annotation": (change_annotation, 7, _ANNOTATED),
    "remove_annotation": (remove_annotation, 5, _ANNOTATED),
    "modern_types": (modern_types, 9, _OLD),
}

ABSENT = {"remove_annotation": absent_annotation, "modern_types": absent_old_types}

TEMPLATES = {
    "add_annotation": {
        "parameter": (
            "annotate {label} as {new}",
            "[add|give] {label} the type {new}",
            "{label} is [a |of type |]{new}, annotate it",
            "type hint {new} for {label}",
            "add [a|the] type hint {new} to {label}",
            "{label}: {new}",
            "[parameter|argument] {label} should be annotated {new}",
            "add the annotation {new} to [the parameter |]{label}",
            "type of {label}: {new}",
            "say that {label} is {new} in the signature",
            "{label} gets the type {new}",
        ),
        "parameter_in": (
            "annotate {label} of {func} as {new}",
            "in {func}, [give {label} the type|annotate {label} as] {new}",
            "{func}: {label} is [a |]{new}",
            "add type hint {new} to the parameter {label} of {func}",
            "type hint {label}: {new} in {func}",
            "{func}'s {label} should be annotated with {new}",
            "add the annotation {new} to {label} in {func}",
            "the {label} of {func} gets the type {new}",
            "type {label} of {func} as {new}",
        ),
        "return": (
            "{func} returns {new}, annotate it",
            "add [the |]return type {new} to {func}",
            "annotate the return of {func} as {new}",
            "add -> {new} to {func}",
            "{func} -> {new}",
            "return type of {func}: {new}",
            "give {func} the return [type|annotation] {new}",
            "type hint the return value of {func}: {new}",
            "{func} should be annotated to return {new}",
            "[pls |]add return annotation {new} for {func}",
            "say that {func} returns {new} (annotation)",
        ),
        "variable": (
            "annotate {label} as {new}",
            "add [a|the] type hint {new} to {label}",
            "{label}: {new}",
            "give [the variable |]{label} the type {new}",
            "type hint {new} for {label}",
            "declare {label} as {new}",
            "the variable {label} is [a |]{new}, annotate it",
            "add the annotation {new} to the assignment of {label}",
            "type of {label}: {new}",
            "{label} gets the type {new}",
        ),
    },
    "change_annotation": {
        "parameter": (
            "change the type of {label} to {new}",
            "{label} should be [typed |annotated |]{new}",
            "change the annotation of {label} from {old} to {new}",
            "{label}: {old} -> {new}",
            "{label}: {new}",
            "make {label} [a |]{new}",
            "the type [hint |]of {label} should be {new}",
            "annotate {label} as {new} instead of {old}",
            "use {new} as type of {label}",
            "{label} is [a |]{new}, not [a |]{old}",
            "type of {label}: {new}, not {old}",
        ),
        "parameter_in": (
            "change the type of {label} in {func} to {new}",
            "in {func}, {label} should be [typed |]{new}",
            "{func}: {label} is [a |]{new}",
            "change {func}'s {label} from {old} to {new} (annotation)",
            "annotate {label} of {func} as {new} instead of {old}",
            "make {label} in {func} [a |]{new}",
            "the type of {label} in {func} should be {new}, not {old}",
            "{label} of {func} gets the type {new} instead",
            "in {func} the hint of {label} becomes {new}",
        ),
        "return": (
            "change the return type of {func} to {new}",
            "{func} [returns|should return] {new}, fix the annotation",
            "{func} -> {new}",
            "change the return annotation of {func} from {old} to {new}",
            "return type of {func}: {old} -> {new}",
            "annotate {func} to return {new} instead of {old}",
            "make {func} -> {new}",
            "the return type of {func} should be {new}, not {old}",
            "{func} returns {new}, not {old}: correct the type hint",
            "set the return type of {func} to {new}",
        ),
        "variable": (
            "change the type of {label} to {new}",
            "{label} should be [typed |annotated |]{new}",
            "change the annotation of {label} from {old} to {new}",
            "{label}: {old} -> {new}",
            "make the type of {label} {new}",
            "the type [hint |]of {label} should be {new}",
            "annotate {label} as {new} instead of {old}",
            "use {new} as type of {label}",
            "the hint of {label} becomes {new}",
        ),
    },
    "remove_annotation": {
        "parameter": (
            "remove the [type|annotation|type hint] of {label}",
            "no type hint for {label}",
            "drop the annotation of [the parameter |]{label}",
            "{label} should not be annotated",
            "[delete|strip] the type [hint |]of {label}",
            "{label} without type",
            "untype {label}",
            "take the annotation off {label}",
            "get rid of {label}'s type hint",
        ),
        "parameter_in": (
            "remove the [type|annotation|type hint] of {label} in {func}",
            "in {func}, no type hint for {label}",
            "drop the annotation of {label} in {func}",
            "{func}: {label} should not be annotated",
            "delete the type of {func}'s {label}",
            "in {func}, {label} without type",
            "take the annotation off {label} in {func}",
            "get rid of the type hint of {label} in {func}",
        ),
        "return": (
            "remove the return [type|annotation|type hint] of {func}",
            "no return type for {func}",
            "drop the return annotation of {func}",
            "{func} should have no return annotation",
            "delete the -> of {func}",
            "[strip|take away] the return type [hint |]of {func}",
            "{func} without return type",
            "get rid of {func}'s return annotation",
            "don't annotate what {func} returns",
        ),
        "variable": (
            "remove the [type|annotation|type hint] of {label}",
            "no type hint for {label}",
            "drop the annotation of [the variable |]{label}",
            "{label} should not be annotated",
            "[delete|strip] the type [hint |]of {label}",
            "plain assignment to {label}, no type",
            "take the annotation off {label}",
            "get rid of {label}'s type hint",
        ),
        "function": (
            "remove all [type hints|annotations|types] from {func}",
            "remove the [type hints|annotations] of {func}",
            "strip the type hints from {func}",
            "{func} without [any |]type hints",
            "no annotations in the signature of {func}",
            "drop every annotation of {func}",
            "untyped {func} please",
            "delete the types from {func}'s signature",
            "take all types out of {func}",
        ),
    },
    "modern_types": {
        "builtin": (
            "use {new} instead of typing.{old}",
            "replace {old}[...] with {new}[...]",
            "[modernise|modernize] the type hints: {old} -> {new}",
            "{old} -> {new} in annotations",
            "use the builtin {new} instead of {old} in the type hints",
            "{old} is deprecated, use {new}",
            "pep 585: {new} for {old}",
            "write {new}[...] where it says {old}[...]",
            "turn {old} into {new} in the annotations",
            "no more {old} from typing, use {new}",
        ),
        "union": (
            "use {new} instead of {old}",
            "use | instead of {old} in [the type hints|annotations]",
            "[modernise|modernize] the type hints: no {old}",
            "replace {old}[...] with the | syntax",
            "write {old} types with |",
            "pep 604 syntax instead of {old}",
            "{old}[X] -> new union syntax",
            "get rid of {old} in the type hints",
            "no {old}, use the bar",
            "turn {old} into a | union",
        ),
    },
}
