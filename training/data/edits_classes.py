"""Edits of heads: base classes, decorators, properties, parameters kept on self, functions made async and plain again."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .names import Pools, dotted
from .splice import Change, Splice
from .view import FUNCTION, Draft, View

_CLASS = re.compile(rb"^[ \t]*class \w", re.M)
_HEAD = re.compile(rb"^[ \t]*(?:async def|def|class) \w", re.M)
_DECORATOR = re.compile(rb"^[ \t]*@\w", re.M)
_INIT = re.compile(rb"^[ \t]*def __init__\(", re.M)
_DEF = re.compile(rb"^[ \t]*def \w", re.M)
_ASYNC = re.compile(rb"^[ \t]*async def \w|\bawait \w", re.M)
_BASES = (
    "ABC",
    "Exception",
    "ValueError",
    "Protocol",
    "Enum",
    "NamedTuple",
    "BaseModel",
    "TestCase",
    "Thread",
    "dict",
    "Generic[T]",
    "Base",
)
_DECORATORS = (
    "staticmethod", "classmethod", "property", "abstractmethod", "functools.wraps(func)", "functools.cache", "override", "contextmanager",
    "pytest.fixture", "pytest.mark.slow", "dataclass", "dataclass(frozen=True)", "total_ordering", "cached_property", "timed", "retry(3)",
    "app.route(\"/\")", "typing.no_type_check", "login_required", "unittest.skip(\"slow\")", "final", "deprecated", "njit",
)  # fmt: skip


def change_base(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A base class is given to a class without one, added as the last, exchanged or taken away."""
    classes = [
        node for node in layout.named_once(view, (ast.ClassDef,)) if not node.keywords and node.lineno == (node.bases or [node])[-1].lineno
    ]
    if not classes:
        return None
    node = rng.choice(classes)
    new = rng.choice(_BASES) if rng.random() < 0.4 else names.pick(rng, pools.classes)
    tree = layout.expression(new)
    head = re.compile(rb"class " + node.name.encode() + rb"(\(\))?").match(view.text, view.start(node))
    if head is None or new in view.taken:
        return None
    end = head.end()
    if not node.bases:
        if view.text[end : end + 1] != b":":
            return None
        splice = Splice(view.start(node) + len("class " + node.name), end, f"({new})".encode())
        return Draft("change_base", "add", {"func": node.name, "new": new}, [splice], {id(node): Change(fields={"bases": [tree]})})
    base = rng.choice(node.bases)
    old = view.source_of(base)
    slots = {"func": node.name, "old": old, "new": new}
    choice = rng.random()
    if not layout.is_quotable(old):
        return None
    if choice < 0.5:
        return Draft("change_base", "replace", slots, [Splice(*layout.span(view, base), new.encode())], {id(base): Change(node=tree)})
    spans = [layout.span(view, one) for one in node.bases]
    if choice < 0.75:
        splice = layout.add_last(view, spans, new)
        changes = {id(node): Change(fields={"bases": [*node.bases, tree]})}
        return Draft("change_base", "also", slots, [splice], changes) if splice else None
    number = node.bases.index(base)
    if len(node.bases) == 1:
        splice = Splice(end, spans[0][1] + 1, b"")
        if view.text[end : end + 1] + view.text[spans[0][1] : spans[0][1] + 2] != b"():":
            return None
    else:
        splice = layout.drop_item(view, spans, number)
    fields = {"bases": [one for one in node.bases if one is not base]}
    return Draft("change_base", "remove", slots, [splice], {id(node): Change(fields=fields)}) if splice else None


def _decorated(view: View) -> list:
    return layout.named_once(view, (*FUNCTION, ast.ClassDef))


def add_decorator(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A decorator on a function or class; where there are some, on top of them or right above the def, as told."""
    found = [node for node in _decorated(view) if view.first < layout.first_line(node)]
    if not found:
        return None
    node = rng.choice(found)
    text = rng.choice(_DECORATORS) if rng.random() < 0.7 else names.pick(rng, pools.functions)
    if isinstance(node, ast.ClassDef) != (text.startswith(("dataclass", "total", "final"))) and text in _DECORATORS:
        return None
    old = node.decorator_list
    if any(view.source_of(one) == text for one in old):
        return None
    top = not old or rng.random() < 0.5
    row = layout.first_line(node) if top else node.lineno
    place = view.starts[row - 1]
    line = layout.indent_of(view, row) + b"@" + text.encode() + b"\n"
    tree = layout.expression(text)
    fields = {"decorator_list": [tree, *old] if top else [*old, tree]}
    variant = "plain" if not old else "top" if top else "bottom"
    slots = {"code": "@" + text, "func": node.name}
    return Draft("add_decorator", variant, slots, [Splice(place, place, line)], {id(node): Change(fields=fields)})


def remove_decorator(view: View, rng: Random, pools: Pools) -> Draft | None:
    """One decorator goes, named by itself, or as the only one of a function."""
    every = [
        dotted(one.func if isinstance(one, ast.Call) else one) for node in view.facts.nodes for one in getattr(node, "decorator_list", [])
    ]
    rows = [
        (node, one) for node in _decorated(view) for one in node.decorator_list if view.contains(node.body[0]) or node.lineno <= view.last
    ]
    if not rows:
        return None
    node, one = rng.choice(rows)
    name = dotted(one.func if isinstance(one, ast.Call) else one)
    line = view.unit.lines[one.lineno - 1]
    if not name or line[: one.col_offset].strip() != b"@" or view.unit.lines[one.end_lineno - 1][one.end_col_offset :].strip():
        return None
    if every.count(name) == 1 and rng.random() < 0.5:
        variant = "alone"
    elif sum(dotted(other.func if isinstance(other, ast.Call) else other) == name for other in node.decorator_list) == 1:
        variant = "named"
    else:
        return None
    splice = Splice(view.starts[one.lineno - 1], view.starts[one.end_lineno], b"")
    fields = {"decorator_list": [other for other in node.decorator_list if other is not one]}
    return Draft("remove_decorator", variant, {"code": "@" + name, "func": node.name}, [splice], {id(node): Change(fields=fields)})


def absent_decorator(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A decorator that is not there."""
    text = rng.choice(_DECORATORS).split("(")[0]
    return None if text.split(".")[-1] in view.taken else ("alone", {"code": "@" + text})


def store_parameter(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`self.x = x` at the end of `__init__`; where a real one stands there, the code without it is shown."""
    inits = [node for node in layout.named_once(view, (ast.FunctionDef,)) if node.name == "__init__"]
    if not inits:
        return None
    node = inits[0]
    last = node.body[-1]
    stored = {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
    parameters = [one.arg for one in [*node.args.args[1:], *node.args.kwonlyargs]]
    if not layout.is_alone(view, last) or not view.contains(last) or layout.first_line(last) == node.lineno or not node.args.args:
        return None
    target = dotted(last.targets[0]) if isinstance(last, ast.Assign) and len(last.targets) == 1 else ""
    name = target.removeprefix("self.")
    if target.startswith("self.") and name in parameters and view.source_of(last) == f"self.{name} = {name}" and len(node.body) > 1:
        if (
            layout.has_comment(view, last)
            or not view.unit.lines[last.lineno - 2].strip()
            or view.unit.lines[last.lineno - 2].lstrip().startswith(b"#")
        ):
            return None
        splice = Splice(view.starts[last.lineno - 1], view.starts[last.end_lineno], b"")
        return Draft("store_parameter", "store", {"label": name, "code": f"self.{name}"}, [splice], {id(last): Change(remove=True)}, True)
    free = [one for one in parameters if one not in stored]
    if (
        not free
        or isinstance(last, (ast.Return, ast.Raise))
        or not isinstance(last, (ast.Assign, ast.AnnAssign, ast.Expr))
        or layout.docstring_of(node) is last
    ):
        return None
    name = rng.choice(free)
    place = view.starts[last.end_lineno]
    text = f"self.{name} = {name}"
    line = layout.indent_of(view, last.lineno) + text.encode() + b"\n"
    change = {id(last): Change(after=tuple(layout.statements(text)))}
    return Draft("store_parameter", "store", {"label": name, "code": f"self.{name}"}, [Splice(place, place, line)], change)


def make_async(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A function becomes async, and a named call in it is awaited; real async functions are shown without, and made plain where asked."""
    rows = []
    for node in layout.named_once(view):
        if not view.contains(node):
            continue
        inside = [one for one in ast.walk(node) if one is not node]
        if any(
            isinstance(one, (*FUNCTION, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)) or getattr(one, "is_async", 0)
            for one in inside
        ):
            continue
        rows.append((node, [one for one in inside if isinstance(one, ast.Await) and id(one) not in view.in_string], inside))
    if not rows:
        return None
    node, awaits, inside = rng.choice(rows)
    if isinstance(node, ast.AsyncFunctionDef):
        head = re.compile(rb"async[ \t]+(?=def)").match(view.text, view.start(node))
        if head is None or len(awaits) > 3 or any(not isinstance(one.value, ast.Call) or not dotted(one.value.func) for one in awaits):
            return None
        if any(
            view.text[view.start(one) : view.start(one.value)] != b"await " or isinstance(view.parent(one), ast.Attribute) for one in awaits
        ):
            return None
        calls = [dotted(one.value.func) for one in awaits]
        every = [dotted(one.func) for one in inside if isinstance(one, ast.Call)]
        splices = [Splice(head.start(), head.end(), b""), *(Splice(view.start(one), view.start(one.value), b"") for one in awaits)]
        changes: dict[int, Change] = {id(one): Change(node=one.value) for one in awaits}
        fields = {name: getattr(node, name) for name in node._fields}
        changes[id(node)] = Change(node=ast.FunctionDef(**fields))
        if rng.random() < 0.3:
            return Draft("make_async", "plain", {"func": node.name}, splices, changes)
        if sorted(set(calls)) != sorted(calls) or any(every.count(name) > 1 for name in calls) or len(calls) > 2:
            return None
        slots = {"func": node.name} | {key: name for key, name in zip(("call", "second"), calls, strict=False)}
        return Draft("make_async", ("only", "await", "await_two")[len(calls)], slots, splices, changes, True)
    if view.text[view.start(node) : view.start(node) + 4] != b"def " or node.name.startswith("__") or awaits:
        return None
    calls = [one for one in inside if isinstance(one, ast.Call) and dotted(one.func) and id(one) not in view.in_string]
    names_of = [dotted(one.func) for one in calls]
    good = [
        one for one in calls if names_of.count(dotted(one.func)) == 1 and isinstance(view.parent(one), (ast.Assign, ast.Return, ast.Expr))
    ]
    fields = {name: getattr(node, name) for name in node._fields}
    splices = [Splice(view.start(node), view.start(node), b"async ")]
    changes = {id(node): Change(node=ast.AsyncFunctionDef(**fields))}
    if not good or rng.random() < 0.3:
        return Draft("make_async", "only", {"func": node.name}, splices, changes)
    call = rng.choice(good)
    splices.append(Splice(view.start(call), view.start(call), b"await "))
    changes[id(call)] = Change(node=ast.Await(call))
    return Draft("make_async", "await", {"func": node.name, "call": dotted(call.func)}, splices, changes)


def absent_async(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A function that is plain already."""
    found = [node.name for node in layout.named_once(view, (ast.FunctionDef,))]
    return ("plain", {"func": rng.choice(found)}) if found and b"await" not in view.text else None


KINDS = {
    "change_base": (change_base, 5, _CLASS),
    "add_decorator": (add_decorator, 7, _HEAD),
    "remove_decorator": (remove_decorator, 5, _DECORATOR),
    "store_parameter": (store_parameter, 4, _INIT),
    "make_async": (make_async, 4, re.compile(_ASYNC.pattern + b"|" + _DEF.pattern, re.M)),
}

ABSENT = {"remove_decorator": absent_decorator, "make_async": absent_async}

TEMPLATES = {
    "change_base": {
        "add": (
            "make {func} inherit from {new}",
            "{func} should [inherit from|extend|subclass] {new}",
            "derive {func} from {new}",
            "class {func}({new})",
            "add the base class {new} to {func}",
            "{func} is a {new}",
            "let {func} subclass {new}",
            "{func}: base class {new}",
            "{func} must be a subclass of {new}",
            "base {func} on {new}",
        ),
        "also": (
            "{func} should also inherit from {new}",
            "add {new} [as last base|to the bases] of {func}",
            "{func}: add base class {new}",
            "make {func} also [extend|subclass] {new}",
            "mix {new} into {func} as the last base",
            "let {func} inherit from {new} too",
            "extend the bases of {func} by {new}",
            "one more base for {func}: {new}",
            "{func} needs {new} as another base class",
        ),
        "replace": (
            "{func} should inherit from {new} instead of {old}",
            "change the base class of {func} from {old} to {new}",
            "replace the base {old} of {func} [with|by] {new}",
            "class {func}: {old} -> {new}",
            "{func} [extends|subclasses] {new}, not {old}",
            "derive {func} from {new}, not from {old}",
            "swap the base {old} for {new} in {func}",
            "make {func} a {new} instead of a {old}",
            "base class of {func}: {new} in place of {old}",
            "switch {func} from {old} to {new}",
        ),
        "remove": (
            "{func} should not inherit from {old}",
            "remove the base [class |]{old} from {func}",
            "drop {old} from the bases of {func}",
            "{func} is no {old}",
            "class {func} without {old}",
            "{func}: delete base {old}",
            "don't derive {func} from {old}",
            "take {old} out of {func}'s bases",
            "get rid of the base class {old} of {func}",
        ),
    },
    "add_decorator": {
        "plain": (
            "add {code} to {func}",
            "decorate {func} with {code}",
            "put {code} on {func}",
            "{func} [needs|should have] {code}",
            "add the decorator {code} to {func}",
            "{func}: {code}",
            "mark {func} with {code}",
            "make {func} {code}",
            "use {code} for {func}",
            "give {func} the decorator {code}",
            "{code} above {func}",
        ),
        "top": (
            "add {code} on top of the decorators of {func}",
            "put {code} above the other decorators of {func}",
            "make {code} the first decorator of {func}",
            "{code} as outermost decorator of {func}",
            "decorate {func} with {code}, above the rest",
            "{func}: {code} on top",
            "add the decorator {code} to {func}, first in the list",
            "insert {code} before the decorators of {func}",
            "{func} needs {code} as the first decorator",
        ),
        "bottom": (
            "add {code} below the decorators of {func}",
            "put {code} right above def {func}",
            "make {code} the last decorator of {func}",
            "{code} as innermost decorator of {func}",
            "decorate {func} with {code}, below the rest",
            "{func}: {code} directly above the definition",
            "add the decorator {code} to {func}, last in the list",
            "insert {code} after the decorators of {func}",
            "{func} needs {code} as the last decorator",
        ),
    },
    "remove_decorator": {
        "named": (
            "remove {code} from {func}",
            "remove the decorator {code} of {func}",
            "[delete|drop] {code} from {func}",
            "{func} should not be {code}",
            "no {code} on {func}",
            "take {code} off {func}",
            "{func} without {code}",
            "get rid of {code} on {func}",
            "{func} does not need {code}",
            "undecorate {func}: no {code}",
        ),
        "alone": (
            "remove {code}",
            "remove the decorator {code}",
            "[delete|drop] {code}",
            "no {code}[ please|]",
            "take {code} away",
            "without {code}",
            "get rid of {code}",
            "the {code} decorator can go",
            "strip {code}",
        ),
    },
    "store_parameter": {
        "store": (
            "store {label} on self",
            "store {label} as {code}[ in __init__|]",
            "set {code} in __init__",
            "keep {label} as attribute",
            "save the parameter {label} in {code}",
            "assign {label} to {code} at the end of __init__",
            "remember {label} on self",
            "{code} should be set in __init__",
            "make {label} an attribute",
            "at the end of __init__ keep {label} in {code}",
            "__init__ should store {label}",
        ),
    },
    "make_async": {
        "only": (
            "make {func} async",
            "{func} should be async",
            "turn {func} into a coroutine",
            "async {func}",
            "{func} -> async def",
            "convert {func} to async",
            "make {func} [an async function|a coroutine]",
            "use async def for {func}",
            "{func} must be awaitable",
            "declare {func} async",
        ),
        "await": (
            "make {func} async and await {call}",
            "turn {func} into a coroutine that awaits {call}",
            "{func} should be async, {call} awaited",
            "async {func}, await the call of {call}",
            "convert {func} to async; {call} needs an await",
            "make {func} async and the {call} call awaited",
            "{func}: async def, await {call}",
            "await {call} in {func} and make that async",
            "{call} is a coroutine now: await it, {func} async",
        ),
        "await_two": (
            "make {func} async and await {call} and {second}",
            "turn {func} into a coroutine that awaits {call} and {second}",
            "{func} should be async, {call} and {second} awaited",
            "async {func}, await {call} and {second}",
            "convert {func} to async; {call} and {second} need an await",
            "{func}: async def, await {call}, {second}",
            "{call} and {second} are coroutines now: await them, {func} async",
            "await {call} and {second} in {func}, make it async",
            "asyncify {func}: await {call} and {second}",
        ),
        "plain": (
            "make {func} synchronous",
            "{func} should not be async",
            "remove async and await from {func}",
            "turn {func} into a normal function",
            "{func}: no async",
            "convert {func} to sync",
            "drop async/await in {func}",
            "sync version of {func}",
            "{func} as plain def without await",
            "de-async {func}",
        ),
    },
}
