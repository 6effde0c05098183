"""Edits of collections and files: an entry added to or taken out of a dictionary or list, `open` with `with`, a return at the end."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .names import Pools, dotted
from .splice import Change, Splice
from .view import Draft, View

_DISPLAY = re.compile(rb"[\w\])] ?= ?(?:\{|\[|\()\s*['\"\w]|return (?:\{|\[)\s*['\"\w]")
_OPEN = re.compile(rb"^[ \t]*with [\w.]+\([^\n]* as \w+:\n|= open\(", re.M)
_HEAD = re.compile(rb"^[ \t]*(?:async )?def \w", re.M)


def _named(view: View) -> list[tuple[ast.expr, str]]:
    """(display, name) of the dictionaries, lists, tuples and sets that are assigned or passed under a name that stands once."""
    found = []
    for node in view.find(ast.Dict, ast.List, ast.Set, ast.Tuple):
        parent = view.parent(node)
        name = ""
        if isinstance(parent, ast.Assign) and parent.value is node and len(parent.targets) == 1:
            name = dotted(parent.targets[0])
        elif isinstance(parent, ast.AnnAssign) and parent.value is node:
            name = dotted(parent.target)
        elif isinstance(parent, ast.keyword):
            name = parent.arg or ""
        items = node.keys if isinstance(node, ast.Dict) else node.elts
        opened = view.text[view.start(node) : view.start(node) + 1] in (b"{", b"[", b"(")
        good = name and items and opened and all(one is not None and not isinstance(one, ast.Starred) for one in items)
        if (
            good
            and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
            and len(re.findall(rb"\b" + name.encode() + rb" ?(?::[^=\n]+)?=[^=]", view.region)) == 1
        ):
            found.append((node, name))
    return found


def _spans(view: View, node: ast.expr) -> list[tuple[int, int]]:
    """(start, end) of a display's items."""
    if isinstance(node, ast.Dict):
        return [(view.start(key), view.end(value)) for key, value in zip(node.keys, node.values, strict=True)]
    return [layout.span(view, one) for one in node.elts]


def add_entry(view: View, rng: Random, pools: Pools) -> Draft | None:
    """One more entry at the end of a named dictionary, list, tuple or set."""
    found = _named(view)
    if not found:
        return None
    node, name = rng.choice(found)
    sample = (node.values if isinstance(node, ast.Dict) else node.elts)[-1]
    quote = layout.quote_of(view, rng)
    word = names.pick(rng, pools.words)
    if isinstance(sample, ast.Constant) and isinstance(sample.value, str):
        value = quote + rng.choice((word, names.new_string(rng, "", pools))) + quote
    elif isinstance(sample, ast.Constant) and isinstance(sample.value, (int, float)) and not isinstance(sample.value, bool):
        value = names.new_number(rng, sample.value)
    elif isinstance(sample, ast.Name):
        value = names.pick(rng, pools.classes if sample.id[:1].isupper() else pools.variables)
    else:
        value = rng.choice((f"{quote}{word}{quote}", "None", "True", names.new_number(rng, 10), names.pick(rng, pools.variables)))
    if value in view.text.decode("utf-8", "replace") or "`" in value or not names.is_plain_string(value.strip("'\"")):
        return None
    slots = {"label": name, "value": value}
    if isinstance(node, ast.Dict):
        if not isinstance(node.keys[-1], ast.Constant) or not isinstance(node.keys[-1].value, str):
            return None
        own = view.source_of(node.keys[-1])[:1]
        key = f"{own}{word}{own}"
        if own not in ("'", '"') or word in view.taken:
            return None
        slots["key"] = key
        text = f"{key}: {value}"
        fields = {"keys": [*node.keys, layout.expression(key)], "values": [*node.values, layout.expression(value)]}
        variant = "entry"
    else:
        text, fields, variant = value, {"elts": [*node.elts, layout.expression(value)]}, "item"
    splice = layout.add_last(view, _spans(view, node), text)
    if splice is not None and isinstance(node, ast.Tuple) and len(node.elts) == 1 and splice.text.startswith(b", "):
        splice = None  # `(a,)` has its comma already
    slots["code"] = text
    return Draft("add_entry", variant, slots, [splice], {id(node): Change(fields=fields)}) if splice else None


def remove_entry(view: View, rng: Random, pools: Pools) -> Draft | None:
    """One entry of a named dictionary, list, tuple or set goes."""
    rows = []
    for node, name in _named(view):
        items = node.keys if isinstance(node, ast.Dict) else node.elts
        for number, one in enumerate(items):
            text = view.source_of(one)
            if len(items) > 1 and layout.is_quotable(text) and [view.source_of(other) for other in items].count(text) == 1:
                rows.append((node, name, number, text))
    if not rows:
        return None
    node, name, number, text = rng.choice(rows)
    if isinstance(node, ast.Tuple) and len(node.elts) == 2:
        return None
    splice = layout.drop_item(view, _spans(view, node), number)
    if isinstance(node, ast.Dict):
        fields = {field: [one for i, one in enumerate(getattr(node, field)) if i != number] for field in ("keys", "values")}
    else:
        fields = {"elts": [one for i, one in enumerate(node.elts) if i != number]}
    slots = {"label": name, "value": text}
    variant = "entry" if isinstance(node, ast.Dict) else "item"
    return Draft("remove_entry", variant, slots, [splice], {id(node): Change(fields=fields)}) if splice else None


def absent_entry(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """An entry that the collection does not hold."""
    found, word = _named(view), names.pick(rng, pools.words)
    if not found or word in view.taken:
        return None
    node, name = rng.choice(found)
    return "entry" if isinstance(node, ast.Dict) else "item", {"label": name, "value": f'"{word}"'}


def with_open(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`f = open(…)` with a later `f.close()` becomes `with open(…) as f:`; real with statements are shown with the two calls."""
    rows = []
    for node in view.find(ast.With):
        item = node.items[0]
        if len(node.items) == 1 and isinstance(item.optional_vars, ast.Name) and isinstance(item.context_expr, ast.Call):
            name = dotted(item.context_expr.func)
            if (
                name.split(".")[-1] == "open"
                and layout.first_line(node.body[0]) == node.lineno + 1
                and layout.is_alone(view, node.body[-1])
            ):
                rows.append((True, node, item, None))
    for node in view.find(ast.Assign):
        if (
            isinstance(node.value, ast.Call)
            and dotted(node.value.func).split(".")[-1] == "open"
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
        ):
            holder, field, body = layout.body_of(view, node)
            name = node.targets[0].id
            closing = [
                one
                for one in body[body.index(node) + 1 :]
                if isinstance(one, ast.Expr)
                and isinstance(one.value, ast.Call)
                and dotted(one.value.func) == f"{name}.close"
                and view.contains(one)
            ]
            if len(closing) == 1 and body.index(closing[0]) - body.index(node) > 1:
                rows.append((False, node, None, closing[0]))
    if not rows:
        return None
    inverse, node, item, closing = rng.choice(rows)
    holder, field, body = layout.body_of(view, node)
    at = body.index(node)
    indent = layout.indent_of(view, node.lineno)
    if inverse:
        name, call = item.optional_vars.id, view.source_of(item.context_expr)
        inside = [one for statement in node.body for one in ast.walk(statement)]
        if any(isinstance(one, (ast.Return, ast.Break, ast.Continue, ast.Raise, ast.Yield)) for one in inside) or any(
            not row[0] for row in rows
        ):
            return None
        text = layout.dedented(view, node.lineno + 1, node.end_lineno, indent)
        if text is None or view.source_of(node).split("\n")[0] != f"with {call} as {name}:" or len(rows) > 1:
            return None
        lines = indent + f"{name} = {call}\n".encode() + text + indent + f"{name}.close()\n".encode()
        closed = layout.statements(f"{name}.close()")
        new = [ast.Assign([item.optional_vars], item.context_expr, None), *node.body, *closed]
        change = {id(holder): Change(fields={field: [*body[:at], *new, *body[at + 1 :]]})}
        splice = Splice(view.starts[node.lineno - 1], view.starts[node.end_lineno], lines)
        return Draft("with_open", "open", {"call": dotted(item.context_expr.func), "label": name}, [splice], change, True)
    end = body.index(closing)
    first, last = body[at + 1], body[end - 1]
    name = node.targets[0].id
    if sum(not row[0] for row in rows) > 1 or layout.first_line(first) != node.end_lineno + 1 or closing.lineno != last.end_lineno + 1:
        return None
    later = view.text[view.end(closing) :]
    if re.search(rb"\b" + name.encode() + rb"\b", later) or not layout.is_alone(view, node) or not layout.is_alone(view, closing):
        return None
    text = layout.indented(view, layout.first_line(first), last.end_lineno, layout.step_of(view))
    call = view.source_of(node.value)
    if text is None or "\n" in call:
        return None
    lines = indent + f"with {call} as {name}:\n".encode() + text
    new_with = ast.With([ast.withitem(node.value, node.targets[0])], body[at + 1 : end], None)
    change = {id(holder): Change(fields={field: [*body[:at], new_with, *body[end + 1 :]]})}
    splice = Splice(view.starts[node.lineno - 1], view.starts[closing.end_lineno], lines)
    return Draft("with_open", "open", {"call": dotted(node.value.func), "label": name}, [splice], change)


def add_return(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A given return as the last statement of a function; of real ones the code without it is shown."""
    rows = []
    for node in layout.named_once(view):
        last = node.body[-1]
        if (
            not view.contains(last)
            or not layout.is_alone(view, last)
            or layout.first_line(last) == node.lineno
            or layout.docstring_of(node) is last
        ):
            continue
        if isinstance(last, ast.Return) and last.value is not None and len(node.body) > 1 and not layout.has_comment(view, last):
            above = view.unit.lines[last.lineno - 2]
            if above.strip() and not above.lstrip().startswith(b"#") and layout.is_quotable(view.source_of(last)):
                rows.append((node, last, view.source_of(last.value)))
        elif isinstance(last, (ast.Assign, ast.AugAssign, ast.Expr)) and not any(
            isinstance(one, (ast.Yield, ast.YieldFrom)) for one in ast.walk(node)
        ):
            if node.name != "__init__":
                rows.append((node, last, ""))
    if not rows:
        return None
    node, last, text = rng.choice(rows)
    if text:
        splice = Splice(view.starts[last.lineno - 1], view.starts[last.end_lineno], b"")
        return Draft("add_return", "end", {"value": text, "func": node.name}, [splice], {id(last): Change(remove=True)}, True)
    assigned = sorted({one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)})
    value = rng.choice(
        [*assigned, *assigned, "self" if node.args.args and node.args.args[0].arg == "self" else "None", "True", "False", "None"]
    )
    place = view.starts[last.end_lineno]
    line = layout.indent_of(view, layout.first_line(last)) + f"return {value}\n".encode()
    change = {id(last): Change(after=(ast.Return(layout.expression(value)),))}
    return Draft("add_return", "end", {"value": value, "func": node.name}, [Splice(place, place, line)], change)


KINDS = {
    "add_entry": (add_entry, 7, _DISPLAY),
    "remove_entry": (remove_entry, 6, _DISPLAY),
    "with_open": (with_open, 9, _OPEN),
    "add_return": (add_return, 5, _HEAD),
}

ABSENT = {"remove_entry": absent_entry}

TEMPLATES = {
    "add_entry": {
        "entry": (
            "add {code} to {label}",
            "add the key {key} with value {value} to {label}",
            "{label} needs {code}",
            "put {code} in {label}",
            "set {key} to {value} in {label}[, it is missing|]",
            "new entry in {label}: {code}",
            "{label}: add {code}",
            "extend {label} with {code}",
            "add an entry {key} = {value} to {label}",
            "also {code} in {label}",
            "append {code} to the dict {label}",
        ),
        "item": (
            "add {value} to {label}",
            "append {value} to {label}",
            "{label} needs {value} too",
            "put {value} at the end of {label}",
            "{label}: add {value}",
            "extend {label} with {value}",
            "{label} should [also |]contain {value}",
            "one more item in {label}: {value}",
            "include {value} in {label}",
            "also {value} in {label}",
        ),
    },
    "remove_entry": {
        "entry": (
            "remove [the key |the entry |]{value} from {label}",
            "[delete|drop] {value} from {label}",
            "{label}: remove {value}",
            "take {value} out of {label}",
            "{label} should not have [the key |]{value}",
            "no {value} in {label}",
            "get rid of {value} in {label}",
            "{label} without {value}",
            "the {value} entry of {label} can go",
            "delete the key {value} of {label}",
        ),
        "item": (
            "remove {value} from {label}",
            "[delete|drop] {value} from {label}",
            "{label}: remove {value}",
            "take {value} out of {label}",
            "{label} should not [contain|include] {value}",
            "no {value} in {label}",
            "get rid of {value} in {label}",
            "{label} without {value}",
            "leave {value} out of {label}",
            "{value} does not belong in {label}",
        ),
    },
    "with_open": {
        "open": (
            "use a with statement",
            "use with for {call}",
            "open the file [with|in] a with statement",
            "with {call} as {label}",
            "use a context manager[ for the file|]",
            "close {label} with a with block",
            "no {label}.close(), use with",
            "put the file handling in a with block",
            "make {label} a with block",
            "replace {call}/close [with|by] a with statement",
            "the file should be opened in a with",
        ),
    },
    "add_return": {
        "end": (
            "return {value} at the end of {func}",
            "{func} should return {value}",
            "let {func} return {value}",
            "{func}: return {value}",
            "add return {value} to {func}",
            "{func} must return {value} [at the end|in the end]",
            "end {func} with return {value}",
            "add a return of {value} to {func}",
            "make {func} return {value}",
            "the last line of {func} should return {value}",
            "{func} forgets to return {value}",
        ),
    },
}
