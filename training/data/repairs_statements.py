"""Repairs of whole statements: a missing return, guard, raise, try, with or decorator, a mutable default, a wrong or too wide exception.

Each function damages the real code, the gold, and returns a Draft or None when the region offers nothing."""

from __future__ import annotations

import ast
import re
from random import Random

from . import source
from .names import Pools, dotted
from .repairs_damage import Options, Scene, draft, expression, indent_of, is_quotable, occurrences
from .splice import Change, Splice
from .statements import alone, bodies
from .view import FUNCTION, Draft, View

EXCEPTIONS = {
    "ValueError": ("TypeError", "RuntimeError", "KeyError"), "TypeError": ("ValueError", "AttributeError"),
    "KeyError": ("IndexError", "ValueError", "AttributeError"), "IndexError": ("KeyError", "ValueError"),
    "AttributeError": ("KeyError", "TypeError", "NameError"), "RuntimeError": ("ValueError", "Exception"),
    "NotImplementedError": ("RuntimeError", "ValueError", "NotImplemented"), "OSError": ("ValueError", "RuntimeError"),
    "FileNotFoundError": ("ValueError", "PermissionError"), "ImportError": ("OSError", "AttributeError"),
    "StopIteration": ("IndexError", "GeneratorExit"), "TimeoutError": ("RuntimeError", "ConnectionError"),
    "UnicodeDecodeError": ("UnicodeEncodeError", "ValueError"), "ZeroDivisionError": ("ValueError", "OverflowError"),
    "AssertionError": ("ValueError", "RuntimeError"), "ConnectionError": ("TimeoutError", "ValueError"),
    "PermissionError": ("FileNotFoundError", "ValueError"), "LookupError": ("ValueError",), "NameError": ("AttributeError",),
}  # fmt: skip
"""Exceptions and those that they are mistaken for."""


def _whole_lines(view: View, node: ast.stmt) -> Splice:
    """The splice that takes away a statement's lines."""
    return Splice(view.starts[node.lineno - 1], view.starts[node.end_lineno], b"")


def _is_blank(view: View, line: int) -> bool:
    """True when line `line` (from 1) of the unit is blank; lines outside are not."""
    return 1 <= line <= len(view.unit.lines) and not view.unit.lines[line - 1].strip()


def _stands_close(view: View, node: ast.stmt) -> bool:
    """True when no blank line or comment touches a statement, so that what puts it back cannot differ in them."""
    lines = [line for line in (node.lineno - 1, node.end_lineno + 1) if 1 <= line <= len(view.unit.lines)]
    own = view.unit.lines[node.lineno - 1 : node.end_lineno]
    comments = any(view.unit.lines[line - 1].lstrip().startswith(b"#") for line in lines) or any(b"#" in line for line in own)
    return not comments and not any(_is_blank(view, line) for line in lines)


def _has_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(function, clean=False) is not None


def _named_once(view: View, name: str) -> bool:
    """True when a unit has one function of that name."""
    return sum(isinstance(node, FUNCTION) and node.name == name for node in view.facts.nodes) == 1


def _dedented(view: View, node: ast.stmt, body: list[ast.stmt]) -> bytes | None:
    """The lines of `body` moved left to where `node` stands; None when a line stands further left already, or when the body does not begin
    on the line after the one with the colon."""
    outer = indent_of(view.unit.lines[node.lineno - 1])
    inner = indent_of(view.unit.lines[body[0].lineno - 1])
    lines = view.unit.lines[body[0].lineno - 1 : body[-1].end_lineno]
    left = any(line.strip() and not line.startswith(inner) for line in lines)
    if left or source.first_line(body[0]) != node.lineno + 1 or not inner.startswith(outer):
        return None
    return b"".join(outer + line[len(inner) :] if line.strip() else line for line in lines)


def fix_return(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The return at a function's end was missing, or the word `return` before a call."""
    found = []
    for function in view.facts.nodes:
        for node in ast.walk(function) if isinstance(function, FUNCTION) else ():
            if not isinstance(node, ast.Return) or node.value is None or not view.contains(node) or not alone(view, node):
                continue
            if node is function.body[-1] and len(function.body) > 1 and not isinstance(function.body[-2], (ast.Return, ast.Raise)):
                if not (len(function.body) == 2 and _has_docstring(function)):
                    found.append((function, node, "line"))
            if isinstance(node.value, ast.Call):
                found.append((function, node, "word"))
    if not found:
        return None
    function, node, how = rng.choice(found)
    text = view.source_of(node.value)
    precise: Options = []
    if how == "line":
        scene = Scene(view, [_whole_lines(view, node)])
        if is_quotable(text) and _stands_close(view, node) and _named_once(view, function.name):
            precise.append(("precise_end", {"new": text, "func": function.name}))
        change = Change(remove=True)
    else:
        start, inner = view.start(node), view.start(node.value)
        if view.text[start:inner] != b"return ":
            return None
        scene = Scene(view, [Splice(start, inner, b"")])
        callee = dotted(node.value.func)
        if scene.called_once(callee):
            precise.append(("precise_call", {"call": callee}))
        change = Change(node=ast.Expr(node.value))
    return draft("fix_return", scene, node, {id(node): change}, rng, precise)


def fix_raise(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An exception was made and not raised."""
    found = [node for node in view.nodes if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.cause is None]
    if not found:
        return None
    node = rng.choice(found)
    start, inner = view.start(node), view.start(node.exc)
    if view.text[start:inner] != b"raise ":
        return None
    scene = Scene(view, [Splice(start, inner, b"")])
    callee = dotted(node.exc.func)
    once = callee and scene.called_once(callee)
    return draft(
        "fix_raise", scene, node, {id(node): Change(node=ast.Expr(node.exc))}, rng, [("precise_call", {"call": callee})] if once else []
    )


def _symptom(view: View, test: ast.expr) -> Options:
    """What goes wrong without a check of `test`, as far as its form tells."""
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is) and len(test.ops) == 1 and dotted(test.left):
        if isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value is None:
            return [("vague_none", {"label": dotted(test.left)})] * 2
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and dotted(test.operand):
        return [("vague_empty", {"label": dotted(test.operand)})] * 2
    text = view.source_of(test)
    return [("vague_check", {"what": text})] if is_quotable(text) else []


def fix_guard(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An early `if …: raise`, `return`, `continue` or `break` was missing."""
    found = []
    for body in bodies(view):
        for place, node in enumerate(body[:-1]):
            if not isinstance(node, ast.If) or node.orelse or len(node.body) != 1:
                continue
            exits = isinstance(node.body[0], (ast.Raise, ast.Return, ast.Continue, ast.Break))
            if exits and view.contains(node) and view.text[view.start(node) :].startswith(b"if"):
                found.append((body, place, node))
    if not found:
        return None
    body, place, node = rng.choice(found)
    scene = Scene(view, [_whole_lines(view, node)])
    if not alone(view, node):
        return None
    precise: Options = []
    what, action = view.source_of(node.test), view.source_of(node.body[0])
    two_lines = node.body[0].lineno == node.lineno + 1 == node.end_lineno
    indent = indent_of(view.unit.lines[node.body[0].lineno - 1])
    usual = indent == indent_of(view.unit.lines[node.lineno - 1]) + b"    "
    if two_lines and usual and is_quotable(what) and is_quotable(action) and _stands_close(view, node):
        following = scene.line(body[place + 1])
        if following:
            precise.append(("precise_before", {"what": what, "stmt": action, "old": following}))
        owner = next(scene.around(node))
        if isinstance(owner, FUNCTION) and place == int(_has_docstring(owner)) and _named_once(view, owner.name):
            precise += [("precise_first", {"what": what, "stmt": action, "func": owner.name})] * 2
    return draft("fix_guard", scene, node, {id(node): Change(remove=True)}, rng, precise, _symptom(view, node.test))


def fix_try(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A try with handlers was missing around its body."""
    found = [
        node for node in view.nodes
        if isinstance(node, ast.Try) and node.handlers and not node.orelse and not node.finalbody and alone(view, node)
    ]  # fmt: skip
    if not found:
        return None
    node = rng.choice(found)
    text = _dedented(view, node, node.body)
    if text is None:
        return None
    scene = Scene(view, [_whole_lines(view, node)._replace(text=text)])
    handler = node.handlers[0]
    caught = view.source_of(handler.type) if handler.type is not None else ""
    action = view.source_of(handler.body[0])
    precise: Options = []
    short = len(node.handlers) == len(node.body) == len(handler.body) == 1 and node.end_lineno == node.lineno + 3
    old = scene.line(node.body[0])
    if short and old and caught and is_quotable(action) and is_quotable(caught) and b"#" not in text and _stands_close(view, node):
        what = f"{caught} as {handler.name}" if handler.name else caught
        precise += [("precise_wrap", {"old": old, "what": what, "stmt": action})] * 2
    hints: Options = [("vague_caught", {"what": caught})] * 2 if caught and is_quotable(caught) and not caught.startswith("(") else []
    return draft("fix_try", scene, node, {id(node): Change(remove=True, before=tuple(node.body))}, rng, precise, hints)


def fix_with(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A with was missing: its body stands alone, after an assignment of what it opened."""
    found = [node for node in view.nodes if isinstance(node, ast.With) and len(node.items) == 1 and alone(view, node)]
    if not found:
        return None
    node = rng.choice(found)
    item = node.items[0]
    opened, name = view.source_of(item.context_expr), item.optional_vars
    text = _dedented(view, node, node.body)
    if text is None or "\n" in opened or not (name is None or isinstance(name, ast.Name)):
        return None
    before: list[ast.stmt] = []
    if name is not None:
        line = f"{name.id} = {opened}"
        text = indent_of(view.unit.lines[node.lineno - 1]) + line.encode() + b"\n" + text
        before = ast.parse(line).body
    scene = Scene(view, [_whole_lines(view, node)._replace(text=text)])
    precise: Options = []
    old, head = scene.line(node.body[0]), f"with {opened}" + (f" as {name.id}" if name else "")
    if len(node.body) == 1 and node.end_lineno == node.lineno + 1 and old and is_quotable(head) and _stands_close(view, node):
        if name is None:
            precise += [("precise_wrap", {"old": old, "new": head})] * 2
        elif [row.strip() for row in scene.text.splitlines()].count(line) == 1:
            precise += [("precise_open", {"what": line, "old": old, "new": head})] * 2
    hints: Options = [("vague_open", {"label": name.id})] * 2 if name else [("vague_held", {"what": opened})] if is_quotable(opened) else []
    changes = {id(node): Change(remove=True, before=(*before, *node.body))}
    return draft("fix_with", scene, node, changes, rng, precise, hints)


def fix_mutable_default(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A parameter's default was a list, dictionary or set, shared by all calls, instead of None and a check first in the function."""
    found = []
    for function in view.functions:
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = list(zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True))
        pairs += [(one, value) for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value is not None]
        for parameter, value in pairs:
            if not isinstance(value, ast.Constant) or value.value is not None:
                continue
            for place, node in enumerate(function.body):
                made = _fresh(view, node, parameter.arg)
                if made and len(function.body) > 1 and view.contains(node) and view.contains(value):
                    found.append((function, parameter.arg, value, place, node, made))
    if not found:
        return None
    function, name, value, place, node, made = rng.choice(found)
    scene = Scene(view, [Splice(view.start(value), view.end(value), made.encode()), _whole_lines(view, node)])
    precise: Options = []
    first = place == int(_has_docstring(function)) and node.end_lineno == node.lineno + 1
    usual = indent_of(view.unit.lines[node.end_lineno - 1]) == indent_of(view.unit.lines[node.lineno - 1]) + b"    "
    owners = sum(any(one.arg == name for one in ast.walk(other.args) if isinstance(one, ast.arg)) for other in view.functions)
    if first and usual and owners == 1 and _stands_close(view, node):
        precise += [("precise_default", {"label": name, "value": made, "func": function.name})]
    changes = {id(value): Change(node=expression(made)), id(node): Change(remove=True)}
    return draft("fix_mutable_default", scene, value, changes, rng, precise, [("vague_label", {"label": name, "value": made})] * 2)


def _fresh(view: View, node: ast.stmt, name: str) -> str:
    """The empty container that `if name is None: name = …` makes, as source; "" for other statements."""
    if not isinstance(node, ast.If) or node.orelse or len(node.body) != 1 or view.source_of(node.test) != f"{name} is None":
        return ""
    one = node.body[0]
    if not isinstance(one, ast.Assign) or len(one.targets) != 1 or dotted(one.targets[0]) != name:
        return ""
    text = view.source_of(one.value)
    return text if text in ("[]", "{}", "set()", "dict()", "list()") else ""


def _handlers(view: View) -> list[tuple[ast.Try, ast.ExceptHandler]]:
    """(try, handler) of the handlers of the region that name what they catch."""
    every = [(node, one) for node in view.facts.nodes if isinstance(node, ast.Try) for one in node.handlers]
    return [(node, one) for node, one in every if one.type is not None and view.contains(one) and view.contains(one.type)]


def fix_except(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An except was bare or caught every Exception."""
    found = [
        (node, one) for node, one in _handlers(view)
        if one is node.handlers[-1] and view.source_of(one.type) not in ("Exception", "BaseException") and one.type.lineno == one.lineno
    ]  # fmt: skip
    if not found:
        return None
    _, one = rng.choice(found)
    start, end, text = view.start(one), view.end(one.type), view.source_of(one.type)
    if view.text[start : view.start(one.type)] != b"except " or view.text[end : end + 1] not in (b":", b" "):
        return None
    bare = one.name is None and rng.random() < 0.4
    splices = [Splice(start + 6, end, b"")] if bare else [Splice(view.start(one.type), end, b"Exception")]
    scene = Scene(view, splices)
    changes = {id(one): Change({"type": None})} if bare else {id(one.type): Change(node=expression("Exception"))}
    precise: Options = []
    wide = len(re.findall(r"\bexcept\s*:", scene.text)) if bare else len(re.findall(r"\bexcept\b[^:\n]*\bException\b", scene.text))
    if wide == 1 and is_quotable(text):
        precise += [("precise_bare" if bare else "precise_wide", {"new": text})] * 2
    return draft("fix_except", scene, one, changes, rng, precise)


def fix_exception(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A raise or an except named another exception."""
    raised = [node for node in view.nodes if isinstance(node, ast.Raise) and node.exc is not None]
    names = [(node.exc.func if isinstance(node.exc, ast.Call) else node.exc, "raise") for node in raised]
    names += [(one.type, "except") for _, one in _handlers(view)]
    found = [(node, where) for node, where in names if isinstance(node, ast.Name) and node.id in EXCEPTIONS]
    if not found:
        return None
    node, where = rng.choice(found)
    wrong = rng.choice(EXCEPTIONS[node.id])
    scene = Scene(view, [Splice(view.start(node), view.end(node), wrong.encode())])
    once = occurrences(scene.text, wrong) == 1 or len(re.findall(rf"\b{where} {wrong}\b", scene.text)) == 1
    precise: Options = [(f"precise_{where}", {"old": wrong, "new": node.id})] * 2 if once else []
    return draft("fix_exception", scene, node, {id(node): Change({"id": wrong})}, rng, precise)


def fix_decorator(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A function's decorator was missing."""
    found = []
    for function in view.functions:
        for one in function.decorator_list:
            line = view.unit.lines[one.lineno - 1]
            if view.contains(function) and one.lineno == one.end_lineno and line.strip() == b"@" + view.source_of(one).encode():
                found.append((function, one))
    if not found:
        return None
    function, one = rng.choice(found)
    scene = Scene(view, [_whole_lines(view, one)])
    text, name = view.source_of(one), function.name
    kept = [other for other in function.decorator_list if other is not one]
    precise: Options = []
    if not kept and is_quotable(text) and _named_once(view, name):
        precise.append(("precise_add", {"func": name, "new": "@" + text}))
        kinds = {"property": "property", "staticmethod": "static method", "classmethod": "class method"}
        if text in kinds:
            precise.append(("precise_make", {"func": name, "text": kinds[text]}))
    changes = {id(function): Change({"decorator_list": kept})}
    return draft("fix_decorator", scene, function, changes, rng, precise, [("vague_name", {"func": name})])
