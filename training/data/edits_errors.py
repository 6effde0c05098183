"""Edits of error handling: try around statements and away again, other exceptions, guards and early returns, asserts."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .names import Pools, dotted
from .splice import Change, Splice
from .view import FUNCTION, Draft, View

_EXCEPTIONS = (
    "ValueError", "TypeError", "KeyError", "IndexError", "AttributeError", "RuntimeError", "OSError", "FileNotFoundError", "ImportError",
    "ZeroDivisionError", "TimeoutError", "ConnectionError", "PermissionError", "StopIteration", "NotImplementedError", "LookupError",
    "Exception", "AssertionError", "UnicodeDecodeError",
)  # fmt: skip
_HEAD = re.compile(rb"^[ \t]*(?:async )?def \w", re.M)
_CALLING = re.compile(rb"^[ \t]+(?:[\w.]+ = |return )?[\w.]+\(", re.M)
_TRY = re.compile(rb"^[ \t]*try:", re.M)
_RAISED = re.compile(rb"^[ \t]*(?:raise \w|except \w)", re.M)
_SIMPLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.Return, ast.AnnAssign)


def logger_of(view: View) -> str:
    """The name that logs in this unit."""
    for name in (b"logger", b"LOG", b"log", b"self.logger", b"_logger", b"LOGGER"):
        if name + b"." in view.text:
            return name.decode()
    return "logging"


def _handlers(view: View, rng: Random, pools: Pools, function: ast.AST | None, in_loop: bool) -> tuple[str, str, str]:
    """(what binds the exception, the handler's statements on lines, how one says it)."""
    log, word = logger_of(view), names.pick(rng, pools.words)
    level = rng.choice(("error", "warning", "exception"))
    options = [
        ("", "pass", "ignore it"),
        ("", "pass", "do nothing"),
        ("", f'{log}.{level}("{word} failed")', f'log "{word} failed" with {log}.{level}'),
        ("", f'{log}.exception("{word} failed")\nraise', f'log "{word} failed" with {log}.exception and re-raise'),
        (" as error", "print(error)", "print the error"),
        (" as e", "print(e)", "print(e)"),
        (" as error", f'raise RuntimeError("{word} failed") from error', f'raise RuntimeError("{word} failed") from error'),
        ("", f'print("{word} failed")', f'print "{word} failed"'),
    ]
    if isinstance(function, FUNCTION):
        options += [("", "return None", "return None"), ("", "return False", "return False")]
    if in_loop:
        options += [("", "continue", "continue")] * 2
    return rng.choice(options)


def wrap_try(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A statement, or all statements of a function, go into a try; what is caught and what is then done is named, or in the plain form
    ("add error handling to f") the error is logged and raised again."""
    choices: list[tuple[str, list[ast.stmt], str, ast.AST]] = []
    for statement in view.find(*_SIMPLE):
        owner, field, body = layout.body_of(view, statement)
        if not layout.is_alone(view, statement) or isinstance(owner, (ast.Try, ast.ClassDef)) or statement is layout.docstring_of(owner):
            continue
        line = layout.line_of(view, statement)
        callee = dotted(statement.value.func) if isinstance(statement.value, ast.Call) else ""
        if callee and view.region.count(callee.encode()) == 1:
            choices += [("call", [statement], callee, owner)] * 3
        if line:
            choices.append(("line", [statement], line, owner))
    for function in layout.named_once(view):
        first = layout.first_code(function)
        if first is not None and view.contains(function) and len(function.body) < 12 and layout.is_alone(view, function.body[-1]):
            body = function.body[function.body.index(first) :]
            if not isinstance(first, ast.Try):
                choices += [("function", body, function.name, function)] * 4 + [("lazy", body, function.name, function)] * 4
    if not choices:
        return None
    variant, inside, what, owner = rng.choice(choices)
    function, in_loop = owner, False
    while function is not None and not isinstance(function, (*FUNCTION, ast.ClassDef)):
        in_loop |= isinstance(function, (ast.For, ast.While))
        function = view.parent(function)
    if variant == "lazy":
        binds, handler, said = "", f'{logger_of(view)}.exception("{what} failed")\nraise', ""
        caught = "Exception"
    else:
        binds, handler, said = _handlers(view, rng, pools, function, in_loop)
        caught = rng.choice(_EXCEPTIONS)
    first, last = layout.first_line(inside[0]), inside[-1].end_lineno
    indent, step = layout.indent_of(view, first), layout.step_of(view)
    body_text = layout.indented(view, first, last, step)
    if body_text is None or any(word in view.taken for word in ("error",)) and "error" in binds:
        return None
    lines = b"".join(indent + step + line.encode() + b"\n" for line in handler.split("\n"))
    text = indent + b"try:\n" + body_text + indent + f"except {caught}{binds}:\n".encode() + lines
    name = binds.split()[-1] if binds else None
    new = ast.Try(inside, [ast.ExceptHandler(layout.expression(caught), name, _handler_tree(handler))], [], [])
    holder, field, body = layout.body_of(view, inside[0])
    at = body.index(inside[0])
    fields = {field: [*body[:at], new, *body[at + len(inside) :]]}
    slots = {"what": what, "caught": caught, "text": said}
    return Draft("wrap_try", variant, slots, [Splice(view.starts[first - 1], view.starts[last], text)], {id(holder): Change(fields=fields)})


def _handler_tree(text: str) -> list[ast.stmt]:
    """The statements of a handler, which may return or continue."""
    indented = "".join(f"  {line}\n" for line in text.split("\n"))
    return layout.statements(f"def f():\n for i in j:\n{indented}")[0].body[0].body


def remove_try(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A try with nothing but handlers goes, its statements stay."""
    found = [
        node for node in view.find(ast.Try) if not node.orelse and not node.finalbody and layout.is_alone(view, node.handlers[-1].body[-1])
    ]
    every = view.facts.by_type.get(ast.Try, [])
    if not found:
        return None
    node = rng.choice(found)
    first, last = layout.first_line(node.body[0]), node.body[-1].end_lineno
    if first != node.lineno + 1 or not layout.is_alone(view, node.body[-1]) or node.handlers[0].lineno != last + 1:
        return None
    text = layout.dedented(view, first, last, layout.indent_of(view, node.lineno))
    caught = [dotted(one.type) if one.type is not None else "" for one in node.handlers]
    callee = next((dotted(one.func) for one in ast.walk(node.body[0]) if isinstance(one, ast.Call)), "")
    options = []
    if len(every) == 1:
        options += [("only", {})] * 2
    if callee and view.region.count(callee.encode()) == 1:
        options.append(("call", {"what": callee}))
    if len(caught) == 1 and caught[0] and view.region.count(b"except " + caught[0].encode()) == 1:
        options.append(("caught", {"caught": caught[0]}))
    if text is None or not options:
        return None
    variant, slots = rng.choice(options)
    holder, field, body = layout.body_of(view, node)
    at = body.index(node)
    fields = {field: [*body[:at], *node.body, *body[at + 1 :]]}
    splice = Splice(view.starts[node.lineno - 1], view.starts[node.end_lineno], text)
    return Draft("remove_try", variant, slots, [splice], {id(holder): Change(fields=fields)})


def absent_try(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A try where there is none."""
    return None if b"try" in view.text else ("only", {})


def change_exception(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Another exception raised or caught, or one more caught."""
    groups: dict[tuple[str, str], list[ast.expr]] = {}
    for node in view.facts.by_type.get(ast.Raise, ()):
        name = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if dotted(name):
            groups.setdefault(("raise", dotted(name)), []).append(name)
    for node in view.facts.by_type.get(ast.ExceptHandler, ()):
        for one in node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]:
            if dotted(one):
                groups.setdefault(("catch", dotted(one)), []).append(one)
    found = [key for key, nodes in groups.items() if all(view.contains(node) for node in nodes) and key[1] not in ("e", "exc", "error")]
    if not found:
        return None
    key = rng.choice(found)
    nodes, old = groups[key], key[1]
    new = (
        rng.choice(_EXCEPTIONS)
        if rng.random() < 0.75
        else names.pick(rng, [name for name in pools.classes if name.endswith("Error")] or ["ValueError"])
    )
    if new in view.taken or any(view.source_of(node) != old for node in nodes):
        return None
    tree = layout.expression(new)
    if key[0] == "catch" and len(nodes) == 1 and rng.random() < 0.4:
        node = nodes[0]
        holder = view.parent(node)
        if isinstance(holder, ast.Tuple):
            splice = layout.add_last(view, [layout.span(view, one) for one in holder.elts], new)
            if splice is None or node is not holder.elts[-1]:
                return None
            return Draft(
                "change_exception", "also", {"old": old, "new": new}, [splice], {id(holder): Change(fields={"elts": [*holder.elts, tree]})}
            )
        splice = Splice(*layout.span(view, node), f"({old}, {new})".encode())
        change = Change(node=ast.Tuple([node, tree], ast.Load()))
        return Draft("change_exception", "also", {"old": old, "new": new}, [splice], {id(node): change})
    if sum(other[1] == old for other in groups) > 1:
        return None
    splices = [Splice(*layout.span(view, node), new.encode()) for node in nodes]
    return Draft("change_exception", key[0], {"old": old, "new": new}, splices, {id(node): Change(node=tree) for node in nodes})


def absent_exception(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """An exception that the region does not name."""
    old, new = rng.sample(_EXCEPTIONS, 2)
    return None if old in view.taken else (rng.choice(("raise", "catch")), {"old": old, "new": new})


def _tests(name: str, word: str) -> list[tuple[str, str]]:
    """(condition, how one says it) of the guards people ask for."""
    return [
        (f"{name} is None", f"{name} is None"),
        (f"{name} is None", f"{name} is missing (None)"),
        (f"not {name}", f"{name} is empty"),
        (f"not {name}", f"not {name}"),
        (f"{name} < 0", f"{name} is negative"),
        (f"{name} < 0", f"{name} < 0"),
        (f"{name} <= 0", f"{name} is not positive"),
        (f"not isinstance({name}, {word})", f"{name} is not a {word}"),
        (f"len({name}) == 0", f"len({name}) == 0"),
    ]


def _guarded(view: View) -> list[tuple[ast.AST, ast.stmt, str]]:
    """(function, first statement of its code, parameter) of what a guard can be put at the start of."""
    found = []
    for function in layout.named_once(view):
        first = layout.first_code(function)
        if first is not None and view.contains(first) and layout.is_alone(view, first):
            a = function.args
            found += [(function, first, one.arg) for one in [*a.args, *a.kwonlyargs] if one.arg not in ("self", "cls")]
    return found


def at_start(view: View, kind: str, variant: str, slots: dict[str, str], function: ast.AST, first: ast.stmt, text: str) -> Draft | None:
    """Statements first in a function, after its docstring and the blank line there."""
    row = layout.first_line(first)
    above = view.unit.lines[row - 2].strip() if row > 1 else b""
    if above.startswith(b"#") or layout.docstring_of(function) is not None and not view.contains(function.body[0]):
        return None
    indent, step = layout.indent_of(view, row), layout.step_of(view)
    lines = [indent + step * (len(line) - len(line.lstrip("\t"))) + line.lstrip("\t").encode() + b"\n" for line in text.split("\n")]
    tree = layout.statements("def f():\n" + "".join(f"\t{line}\n" for line in text.split("\n")))[0].body
    place = view.starts[row - 1]
    at = function.body.index(first)
    fields = {"body": [*function.body[:at], *tree, *function.body[at:]]}
    return Draft(kind, variant, slots, [Splice(place, place, b"".join(lines))], {id(function): Change(fields=fields)})


def add_guard(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`if …: raise …` or `if …: return …` first in a function."""
    found = _guarded(view)
    if not found:
        return None
    function, first, name = rng.choice(found)
    test, said = rng.choice(_tests(name, rng.choice(("int", "str", "list", "dict", "float"))))
    slots = {"text": said, "func": function.name}
    if rng.random() < 0.5:
        value = rng.choice(("None", "", "[]", "False", "True", "0", "{}", name))
        slots["value"] = value
        return at_start(
            view, "add_guard", "return" if value else "return_bare", slots, function, first, f"if {test}:\n\treturn {value}".rstrip()
        )
    exception = rng.choice(("ValueError", "ValueError", "TypeError", "RuntimeError", "KeyError"))
    if rng.random() < 0.5:
        message = " ".join([name, rng.choice(("is required", "must be given", "is invalid", "must be set", names.pick(rng, pools.words)))])
        slots |= {"caught": exception, "message": f'"{message}"'}
        return at_start(view, "add_guard", "raise_message", slots, function, first, f'if {test}:\n\traise {exception}("{message}")')
    slots["caught"] = exception
    return at_start(view, "add_guard", "raise", slots, function, first, f"if {test}:\n\traise {exception}")


def add_assert(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`assert …` first in a function, or right before the only return."""
    found = _guarded(view)
    if not found:
        return None
    function, first, name = rng.choice(found)
    test, said = rng.choice(
        (
            (f"{name} is not None", f"{name} is not None"),
            (f"{name}", f"{name} is not empty"),
            (f"{name} > 0", f"{name} is positive"),
            (f"{name} >= 0", f"{name} is not negative"),
            (f"isinstance({name}, str)", f"{name} is a str"),
            (f"isinstance({name}, int)", f"{name} is an int"),
            (f"isinstance({name}, dict)", f"{name} is a dict"),
            (f"len({name}) > 0", f"len({name}) > 0"),
            (f"callable({name})", f"{name} is callable"),
        )
    )
    return at_start(view, "add_assert", "start", {"text": said, "func": function.name}, function, first, f"assert {test}")


KINDS = {
    "wrap_try": (wrap_try, 12, _CALLING),
    "remove_try": (remove_try, 6, _TRY),
    "change_exception": (change_exception, 5, _RAISED),
    "add_guard": (add_guard, 10, _HEAD),
    "add_assert": (add_assert, 4, _HEAD),
}

ABSENT = {"remove_try": absent_try, "change_exception": absent_exception}

TEMPLATES = {
    "wrap_try": {
        "line": (
            "wrap {what} in [a |]try[/except|], on {caught} {text}",
            "catch {caught} around {what} and {text}",
            "put {what} in a try block; except {caught}: {text}",
            "handle {caught} in {what}: {text}",
            "try {what}, on {caught} {text}",
            "surround {what} with try/except {caught} ({text})",
            "{what} can raise {caught}: catch it and {text}",
            "if {what} raises {caught}, {text}",
            "guard {what} against {caught}: {text}",
            "add error handling around {what}: on {caught} {text}",
        ),
        "call": (
            "wrap the call [of|to] {what} in try/except {caught} and {text}",
            "catch {caught} from {what} and {text}",
            "if {what} raises {caught}, {text}",
            "handle {caught} of the {what} call: {text}",
            "add error handling to the {what} call: on {caught} {text}",
            "{what} can fail with {caught}; then {text}",
            "put the {what} call in a try, on {caught} {text}",
            "try/except {caught} around the {what} call: {text}",
            "when {what} throws {caught}, {text}",
            "protect the {what} call against {caught}: {text}",
        ),
        "function": (
            "wrap the body of {what} in try/except {caught} and {text}",
            "catch {caught} in {what} and {text}",
            "[add error handling to|error handling for] {what}: on {caught} {text}",
            "{what}: on {caught} {text}",
            "if anything in {what} raises {caught}, {text}",
            "put all of {what} in a try, except {caught}: {text}",
            "{what} should catch {caught} and {text}",
            "handle {caught} in {what}: {text}",
            "let {what} {text} on {caught} (try around everything)",
            "try/except {caught} around the whole body of {what}: {text}",
        ),
        "lazy": (
            "add error handling to {what}",
            "error handling for {what}[ pls|]",
            "[add|put] a try/except in {what}",
            "{what} needs error handling",
            "handle errors in {what}",
            "make {what} log [its |]errors",
            "{what}: log and re-raise exceptions",
            "catch, log and re-raise errors in {what}",
            "wrap {what} in a try that logs",
            "add exception handling to {what}",
        ),
    },
    "remove_try": {
        "only": (
            "remove the try/except",
            "remove the error handling",
            "[drop|delete] the try[ block|/except]",
            "no try/except[ here|]",
            "let the exception through",
            "get rid of the try block, keep what is in it",
            "unwrap the try",
            "don't catch anything",
            "take the code out of the try",
            "without try/except",
        ),
        "call": (
            "remove the try around [the call of |]{what}",
            "[drop|delete] the try/except around {what}",
            "call {what} without try",
            "no error handling around {what}",
            "unwrap the try around {what}",
            "let errors of {what} through",
            "take {what} out of its try",
            "get rid of the try block with {what}",
            "don't catch what {what} raises",
        ),
        "caught": (
            "don't catch {caught}",
            "let {caught} through",
            "remove the try that catches {caught}",
            "[drop|delete] the try/except {caught}",
            "no try/except {caught}",
            "stop catching {caught}",
            "unwrap the try with except {caught}",
            "{caught} should not be caught",
            "get rid of the {caught} handling",
        ),
    },
    "change_exception": {
        "raise": (
            "raise {new} instead of {old}",
            "{old} -> {new}",
            "change the [raised |]exception [from {old} |]to {new}",
            "it should raise {new}, not {old}",
            "replace {old} [with|by] {new}",
            "use {new} rather than {old}",
            "throw {new} instead of {old}",
            "raise {new} where it raises {old}",
            "the exception should be {new}",
            "switch the exception from {old} to {new}",
        ),
        "catch": (
            "catch {new} instead of {old}",
            "except {old} -> except {new}",
            "replace except {old} [with|by] except {new}",
            "handle {new}, not {old}",
            "change the caught exception from {old} to {new}",
            "it should catch {new} instead of {old}",
            "except {new} rather than {old}",
            "catch {new}, {old} is wrong",
            "the handler [for|of] {old} should be for {new}",
        ),
        "also": (
            "also catch {new} where {old} is caught",
            "catch {new} [as well as|besides|in addition to] {old}",
            "except {old} should also handle {new}",
            "add {new} to except {old}",
            "handle {new} like {old}",
            "catch {old} and {new}",
            "{new} should be caught together with {old}",
            "the handler of {old} must catch {new} too",
            "extend except {old} by {new}",
        ),
    },
    "add_guard": {
        "raise": (
            "raise {caught} if {text} in {func}",
            "in {func}, raise {caught} if {text}",
            "{func} should raise {caught} if {text}",
            "{func}: {caught} if {text}",
            "at the start of {func} raise {caught} if {text}",
            "add a check to {func}: if {text}, raise {caught}",
            "guard {func}: raise {caught} when {text}",
            "add a guard to {func} that raises {caught} if {text}",
            "if {text}, {func} must raise {caught}",
            "validate in {func}: {caught} when {text}",
        ),
        "raise_message": (
            "raise {caught}({message}) if {text} in {func}",
            "in {func}, if {text} raise {caught} with message {message}",
            "{func} should raise {caught}({message}) if {text}",
            "{func}: {caught} {message} if {text}",
            "add a check to {func}: if {text}, raise {caught}({message})",
            "at the start of {func} raise {caught} with {message} if {text}",
            "if {text}, {func} must raise {caught} saying {message}",
            "guard {func}: raise {caught}({message}) when {text}",
            "validate in {func}: {caught} with text {message} when {text}",
        ),
        "return": (
            "return {value} if {text} in {func}",
            "in {func}, return {value} [early |]if {text}",
            "{func} should return {value} if {text}",
            "{func}: return {value} if {text}",
            "at the start of {func} return {value} if {text}",
            "add an early return to {func}: {value} if {text}",
            "if {text}, {func} returns {value}",
            "add a guard to {func}: return {value} when {text}",
            "early return of {value} in {func} when {text}",
            "exit {func} early with {value} if {text}",
        ),
        "return_bare": (
            "return [early |]if {text} in {func}",
            "in {func}, just return if {text}",
            "{func} should do nothing if {text}",
            "{func}: return if {text}",
            "at the start of {func} return if {text}",
            "add an early return to {func} if {text}",
            "if {text}, leave {func} at once",
            "add a guard to {func}: return when {text}",
            "early return in {func} when {text}",
            "exit {func} early if {text}",
        ),
    },
    "add_assert": {
        "start": (
            "assert that {text} in {func}",
            "in {func}, assert that {text}",
            "{func} should assert that {text}",
            "{func}: assert {text}",
            "add an assert to {func}: {text}",
            "at the start of {func} assert that {text}",
            "add an assertion in {func} that {text}",
            "make sure with an assert that {text} in {func}",
            "check with assert in {func}: {text}",
            "assert at the top of {func}: {text}",
        ),
    },
}
