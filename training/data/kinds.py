"""The edits of names and values: rename, rename_attribute, change_constant, change_default, replace_call.

Each function takes a view, a random generator and the pools, and returns a Draft or None when the region offers nothing.
What an instruction names must settle the edit: whatever could be understood in two ways is skipped."""

from __future__ import annotations

import ast
import re
from collections import Counter
from random import Random
from typing import NamedTuple

from . import names
from .names import Pools, dotted
from .scope import Occurrence, is_consistent
from .splice import Change, Splice
from .view import Draft, View

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_QUOTED = re.compile(r"""(['"])[^'"\\\n]*\1""")
_DYNAMIC = frozenset(("locals", "globals", "vars", "eval", "exec"))


def rename(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A variable, parameter, function or used global: every occurrence in the region that belongs to it, keyword names,
    attributes, strings and comments untouched."""
    found, every = view.names, []
    if _DYNAMIC & set(found.occurrences):
        return None
    uncertain = view.uncertain
    attributes = {node.attr for node in view.nodes if isinstance(node, ast.Attribute)}
    for name, places in found.occurrences.items():
        inside = [place for place in places if view.first < place.line <= view.last]
        if not inside or name in found.blocked | uncertain or name in ("self", "cls", "_", "super") or name.startswith("__"):
            continue
        free = inside[0].scope is None
        if free and (name in names.RESERVED or len(name) < 2):
            continue
        if not _consistent(view, name, inside, attributes):
            continue
        every.append((name, inside))
    if not every:
        return None
    weights = [3 if any(p.role == "parameter" for p in inside) else 1.2 if inside[0].scope is None else 3 for _, inside in every]
    name, inside = rng.choices(every, weights)[0]
    roles = {place.role for place in inside}
    role = "function" if "function" in roles else "parameter" if "parameter" in roles else "name" if inside[0].scope is None else "variable"
    pool = (
        pools.functions
        if role == "function"
        else pools.constants
        if name.isupper()
        else pools.classes
        if name[0].isupper()
        else pools.variables
    )
    new = names.new_name(rng, name, pool, pools, view.taken)
    if not new:
        return None
    holders = {function.name for function in view.functions if role == "parameter" and name in view.names.parameters.get(function.name, ())}
    slots = {"old": name, "new": new, "role": role, "func": min(holders) if len(holders) == 1 else ""}
    splices = [
        Splice(view.starts[p.line - 1] + p.column, view.starts[p.line - 1] + p.column + len(name.encode()), new.encode()) for p in inside
    ]
    if any(view.text[s.start : s.end] != name.encode() for s in splices):
        return None
    changes = {id(place.node): Change({place.field: new}) for place in inside}
    return Draft("rename", role, slots, splices, changes)


def _consistent(view: View, name: str, inside: list[Occurrence], attributes: set[str]) -> bool:
    if not is_consistent(inside):
        return False
    if any(place.role == "function" for place in inside) and name in attributes:
        return False
    for node in view.nodes:  # f(name=...) where f is defined here and its parameter would be renamed
        if isinstance(node, ast.Call) and any(word.arg == name for word in node.keywords):
            callee = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in view.names.parameters.get(callee, ()):
                return False
    return True


def rename_attribute(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An attribute or method of one object: every `base.name` in the region, when no other base has an attribute of that name."""
    groups: dict[str, list[ast.Attribute]] = {}
    for node in view.facts.by_type.get(ast.Attribute, ()):
        if view.first < node.end_lineno <= view.last or id(node) in view.in_string:
            groups.setdefault(node.attr, []).append(node)
    choices = []
    for name, nodes in groups.items():
        bases = {dotted(node.value) for node in nodes}
        if len(bases) == 1 and "" not in bases and not name.startswith("__") and not any(id(node) in view.in_string for node in nodes):
            choices.append((name, nodes, bases.pop()))
    if not choices:
        return None
    name, nodes, base = rng.choice(choices)
    new = names.new_name(rng, name, pools.attributes, pools, view.taken)
    size = len(name.encode())
    splices = [Splice(view.end(node) - size, view.end(node), new.encode()) for node in nodes]
    if not new or any(view.text[s.start : s.end] != name.encode() for s in splices):
        return None
    slots = {"old": name, "new": new, "base": base, "full": f"{base}.{name}", "full_new": f"{base}.{new}"}
    return Draft("rename_attribute", "attribute", slots, splices, {id(node): Change({"attr": new}) for node in nodes})


class Literal(NamedTuple):
    """A constant in the region, and what it is the value of."""

    node: ast.expr
    value: object
    text: str
    label: str  # target, keyword, parameter or dictionary key; "" when it has none
    call: str  # the called function, for keywords
    where: str  # "assign", "keyword", "default", "entry", "argument", "compare", "return", "other"


def _constant(view: View, node: ast.AST | None) -> tuple[object, str] | None:
    """Value and source text of a literal that an edit can replace, else None."""
    if node is None or id(node) in view.in_string or not view.contains(node) or node.lineno != node.end_lineno:
        return None
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    if not isinstance(inner, ast.Constant) or isinstance(inner.value, (bytes, complex)) or inner.value is Ellipsis:
        return None
    if inner is not node and (isinstance(inner.value, (bool, str)) or inner.value is None):
        return None
    text = view.source_of(node)
    if isinstance(inner.value, str):
        if not _QUOTED.fullmatch(text) or (inner.value and not names.is_plain_string(inner.value)):
            return None
    elif (
        not isinstance(inner.value, bool) and inner.value is not None and (len(text) > 12 or not re.fullmatch(r"-?[0-9][0-9._e+-]*", text))
    ):
        return None
    return (ast.literal_eval(text), text)


def _sites(view: View) -> list[tuple[str, str, str, ast.expr]]:
    """(label, call, where, value) of everything in the region that has a label, literal or not."""
    sites = []
    for node in view.nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            sites.append((dotted(node.targets[0]), "", "assign", node.value))
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and node.value is not None:
            sites.append((dotted(node.target), "", "assign" if isinstance(node, ast.AnnAssign) else "augment", node.value))
        elif isinstance(node, ast.Call):
            sites += [(word.arg, dotted(node.func), "keyword", word.value) for word in node.keywords if word.arg]
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str) and names.is_plain_string(key.value):
                    sites.append((view.source_of(key), "", "entry", value))
        elif isinstance(node, ast.Return) and node.value is not None:
            sites.append(("", "", "return", node.value))
    return sites + _defaults(view)


def _defaults(view: View) -> list[tuple[str, str, str, ast.expr]]:
    """(parameter, function, "default", value) of the defaults in the region."""
    sites = []
    for function in view.functions:
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = list(zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True))
        pairs += list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
        sites += [
            (argument.arg, function.name, "default", value) for argument, value in pairs if value is not None and view.contains(value)
        ]
    return sites


def literals(view: View) -> list[Literal]:
    """Every replaceable constant of the region."""
    labels = {id(value): (label, call, where) for label, call, where, value in _sites(view)}
    found, inner, documentation = [], set(), set()
    for node in view.facts.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            documentation.add(id(node.value))
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        for part in (node if isinstance(node, (ast.pattern, ast.Slice)) else None, annotation):
            inner.update(id(leaf) for leaf in (ast.walk(part) if part is not None else ()))
    for node in view.nodes:
        if id(node) in documentation or id(node) in inner or not isinstance(node, (ast.Constant, ast.UnaryOp)):
            continue
        constant = _constant(view, node)
        if constant:
            if isinstance(node, ast.UnaryOp):
                inner.add(id(node.operand))
            label, call, where = labels.get(id(node), ("", "", "other"))
            found.append(Literal(node, *constant, "" if where == "augment" else label, call, where))
    return found


def _literal_draft(view: View, kind: str, variant: str, chosen: list[Literal], new: str, slots: dict[str, str]) -> Draft:
    tree = ast.parse(new, mode="eval").body
    splices = [Splice(view.start(one.node), view.end(one.node), new.encode()) for one in chosen]
    return Draft(kind, variant, slots, splices, {id(one.node): Change(node=tree) for one in chosen})


def _shape(text: str) -> str:
    """The template subgroup of a new value: booleans can be switched on and off."""
    return {"True": "on", "False": "off"}.get(text, "")


def _loosen(rng: Random, slots: dict[str, str], variant: str) -> None:
    """Write strings in an instruction as people do: with other quotes than the code's, or bare when they are one word after a label."""
    roll = rng.random()
    texts = {slot: slots[slot][1:-1] for slot in ("old", "new") if slots[slot][:1] in ("'", '"')}
    if roll < 0.15:
        slots.update({slot: rng.choice("'\"") + text for slot, text in texts.items()})
        slots.update({slot: slots[slot] + slots[slot][0] for slot in texts})
    elif (
        roll < 0.3
        and variant in ("label", "from_to")
        and len(texts) == 2
        and all(re.fullmatch(r"[A-Za-z_][\w.-]*", text) for text in texts.values())
    ):
        if not {"True", "False", "None"} & set(texts.values()):
            slots.update(texts)


def change_constant(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A literal in an assignment, call, dictionary, comparison or return; by its label, or by its value when that is unique."""
    every = literals(view)
    candidates = [one for one in every if one.where != "default"]
    if not candidates:
        return None
    labels = Counter(label for label, _, _, _ in _sites(view) if label)
    values = Counter((type(one.value), one.value) for one in every)
    one = rng.choices(candidates, [4 if one.where in ("assign", "keyword") else 2 if one.where == "entry" else 1 for one in candidates])[0]
    quote = one.text[0] if isinstance(one.value, str) else rng.choice("'\"")
    new = names.new_literal(rng, one.value, quote, pools)
    if not new:
        return None
    same = [other for other in every if type(other.value) is type(one.value) and other.value == one.value]
    plain = one.label.removeprefix("self.")
    short_label = plain != one.label and "." not in plain and not labels[plain] and rng.random() < 0.35
    slots = {"label": plain if short_label else one.label, "old": one.text, "new": new, "call": one.call}
    label_values = Counter((other.label, type(other.value), other.value) for other in every)
    short = re.fullmatch(r"-?\d|True|False|None", one.text)
    word_unique = isinstance(one.value, str) or view.region.count(one.text.lstrip("-").encode()) == 1
    options = []
    if one.label and labels[one.label] == 1:
        switch = _shape(new) if isinstance(one.value, bool) else ""
        options += (
            ["label"] * 6
            + ["from_to"] * 4
            + (["call"] * 3 if one.where == "keyword" and one.call else [])
            + (["on" if switch == "on" else "off"] * 3 if switch else [])
        )
    elif one.label and label_values[(one.label, type(one.value), one.value)] == 1:
        options += ["from_to"] * 4
    if (
        values[(type(one.value), one.value)] == 1
        and word_unique
        and isinstance(one.value, (int, float, str))
        and not isinstance(one.value, bool)
        and not (short and one.label)
    ):
        options += ["literal"] * 3
    if len(same) > 1 and not short and isinstance(one.value, (int, float, str)):
        options += ["every"] * 2
    if not options:
        return None
    variant = rng.choice(options)
    if isinstance(one.value, str):
        _loosen(rng, slots, variant)
    return _literal_draft(view, "change_constant", variant, same if variant == "every" else [one], new, slots)


def change_default(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The default of a parameter; the function is named when several functions in the region have such a parameter."""
    sites = _defaults(view)
    if not sites:
        return None
    label, function, _, value = rng.choice(sites)
    constant = _constant(view, value)
    text = view.source_of(value)
    if id(value) in view.in_string or value.lineno != value.end_lineno or len(text) > 24:
        return None
    old = constant[0] if constant else None
    quote = text[0] if isinstance(old, str) else rng.choice("'\"")
    new = names.new_literal(rng, old, quote, pools)
    if not new or new == text:
        return None
    same = [site for site in sites if site[0] == label]
    if len({site[1] for site in same if site[1] == function}) != 1 or sum(site[1] == function for site in same) != 1:
        return None
    owners = sum(
        any(argument.arg == label for argument in ast.walk(other.args) if isinstance(argument, ast.arg)) for other in view.functions
    )
    switch = _shape(new) if isinstance(old, bool) else ""
    variant = (
        "function"
        if owners > 1
        else rng.choice(["default"] * 6 + ["from_to"] * 3 + ["function"] * 2 + ([f"switch_{switch}"] if switch else []))
    )
    others = [site for site in _sites(view) if site[0] == label and site[2] != "default"]
    if others and variant.startswith("switch"):
        return None
    slots = {"label": label, "old": text, "new": new, "func": function}
    return _literal_draft(view, "change_default", variant, [Literal(value, old, text, label, function, "default")], new, slots)


def replace_call(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Another function at every call of one function in the region; skipped when the function is also used without a call."""
    calls: dict[str, list[ast.expr]] = {}
    callees, loose = set(), Counter()
    for node in view.facts.by_type.get(ast.Call, ()):
        if view.first < node.func.lineno and node.func.end_lineno <= view.last:
            name = dotted(node.func)
            callees.add(id(node.func))
            if name and node.func.lineno == node.func.end_lineno:
                calls.setdefault(name, []).append(node.func)
    for node in view.facts.nodes:
        if isinstance(node, (ast.Name, ast.Attribute)) and (id(node) not in callees or id(node) in view.in_string):
            loose[dotted(node)] += 1
    choices = [
        (name, nodes) for name, nodes in calls.items() if not loose[name] and len(name) > 2 and name not in ("super", "locals", "globals")
    ]
    choices = [(name, nodes) for name, nodes in choices if all(view.source_of(node) == name for node in nodes)]
    if not choices:
        return None
    name, nodes = rng.choice(choices)
    new = _new_callee(rng, name, pools, view.taken)
    if not new or new == name:
        return None
    tree = ast.parse(new, mode="eval").body
    splices = [Splice(view.start(node), view.end(node), new.encode()) for node in nodes]
    slots = {"old": name, "new": new, "many": "s" if len(nodes) > 1 else ""}
    return Draft(
        "replace_call",
        "every" if len(nodes) > 1 and rng.random() < 0.4 else "call",
        slots,
        splices,
        {id(node): Change(node=tree) for node in nodes},
    )


def _new_callee(rng: Random, old: str, pools: Pools, taken: set[str]) -> str:
    """Another dotted name: the last part changed, a module put before or dropped, or a callee of other code."""
    *base, last = old.split(".")
    choice = rng.random()
    pool = pools.classes if last[0].isupper() else pools.functions
    if choice < 0.45 and base:
        new = names.new_name(rng, last, pool, pools, taken)
        return ".".join([*base, new]) if new else ""
    if choice < 0.55 and base and base[0] not in ("self", "cls"):
        return last
    if choice < 0.65:
        return ".".join([names.pick(rng, pools.modules).split(".")[-1], last])
    if choice < 0.8:
        return names.new_name(rng, last, pool, pools, taken)
    return names.pick(rng, pools.callees)


def absent_rename(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A rename of a name that the unit does not hold."""
    name, new = names.pick(rng, pools.variables), names.pick(rng, pools.variables)
    if name in view.taken or name == new:
        return None
    return "plain", {"old": name, "new": new, "role": rng.choice(("variable", "parameter", "name")), "func": ""}


def absent_constant(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A new value for a label that the unit does not hold."""
    name = names.pick(rng, pools.variables)
    if name in view.taken:
        return None
    slots = {"label": name, "old": str(rng.randrange(100)), "new": names.new_number(rng, rng.randrange(100)), "call": ""}
    return rng.choice(("label", "label", "from_to")), slots


def absent_call(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Another function for one that the unit does not name."""
    name, new = names.pick(rng, pools.callees), names.pick(rng, pools.callees)
    if set(name.split(".")) & view.taken or name == new:
        return None
    return "call", {"old": name, "new": new, "many": rng.choice(("", "s"))}


KINDS = {
    "rename": (rename, 35, None),
    "change_constant": (change_constant, 20, None),
    "change_default": (change_default, 10, re.compile(rb"\bdef \w.*=|^ +\w+(?:: [^=]+)?=.*[,)]", re.M)),
    "replace_call": (replace_call, 20, None),
    "rename_attribute": (rename_attribute, 4, None),
}
"""name -> (function, weight, hint), see registry.py."""

ABSENT = {"rename": absent_rename, "change_constant": absent_constant, "replace_call": absent_call}
