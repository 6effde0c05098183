"""Edits of calls: add, remove or rename a keyword argument, swap two arguments, wrap an expression in a call or take the call away."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .names import Pools, dotted
from .splice import Change, Splice
from .view import Draft, View

_CALL = re.compile(rb"\w\(")
_KEYWORD = re.compile(rb"[(,]\s*\w+=[^=]")
_TWO = re.compile(rb"\w\([^()\n]+,[^()\n]+\)")
_WRAP = re.compile(rb"(?:= |return |\()\w")
_WRAPPERS = ("int", "str", "float", "list", "len", "abs", "sorted", "tuple", "set", "bool", "repr", "dict", "round", "sum", "max", "min")
_WRAPPED = re.compile(rb"\b(?:int|str|float|list|len|abs|sorted|tuple|set|bool|repr|dict|round|sum|max|min|iter|reversed|Path)\(")


def _calls(view: View) -> list[tuple[ast.Call, str]]:
    """(call, callee) of the calls in the region whose callee the unit calls once and writes as a dotted name."""
    every = [(node, dotted(node.func)) for node in view.facts.by_type.get(ast.Call, ()) if id(node) not in view.in_string]
    names_of = [name for _, name in every]
    return [(node, name) for node, name in every if name and view.contains(node) and names_of.count(name) == 1 and len(name) > 1]


def _items(view: View, call: ast.Call) -> list[tuple[int, int]]:
    """(start, end) of a call's arguments in the order of the text."""
    return sorted(layout.span(view, node) for node in [*call.args, *call.keywords])


def add_keyword(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A keyword argument more, at the end of one call."""
    choices = [
        (call, name)
        for call, name in _calls(view)
        if not any(isinstance(a, (ast.Starred, ast.GeneratorExp)) for a in call.args) and all(word.arg for word in call.keywords)
    ]
    if not choices:
        return None
    call, name = rng.choice(choices)
    label = names.pick(rng, pools.variables)
    if label in view.taken or len(label) > 20:
        return None
    near = sorted({word for word in view.words if word.isidentifier() and word not in names.RESERVED and word.islower()})
    value = rng.choice((names.new_number(rng, rng.randrange(100)), "True", "False", "None", rng.choice(near or ["None"]), '"utf-8"', label))
    text = f"{label}={value}"
    items = _items(view, call)
    if items:
        splice = layout.add_last(view, items, text)
    else:
        end = view.end(call) - 1
        splice = Splice(end, end, text.encode()) if view.text[end - 1 : end] == b"(" else None
    if splice is None:
        return None
    keywords = [*call.keywords, ast.keyword(label, layout.expression(value))]
    slots = {"label": label, "value": value, "call": name, "code": text}
    return Draft("add_keyword", "call", slots, [splice], {id(call): Change(fields={"keywords": keywords})})


def remove_keyword(view: View, rng: Random, pools: Pools) -> Draft | None:
    """One keyword argument of one call goes."""
    every = [word.arg for node in view.facts.by_type.get(ast.Call, ()) for word in node.keywords]
    choices = [(call, name, word) for call, name in _calls(view) for word in call.keywords if word.arg]
    if not choices:
        return None
    call, name, word = rng.choice(choices)
    items = _items(view, call)
    splice = layout.drop_item(view, items, items.index(layout.span(view, word)))
    if splice is None:
        return None
    value = view.source_of(word.value)
    slots = {"label": word.arg, "call": name, "value": value}
    variant = "call"
    if every.count(word.arg) == 1 and not re.search(rb"\b" + word.arg.encode() + rb"\b(?!=)", view.region):
        variant = rng.choice(("call", "alone", "value") if layout.is_quotable(value) and "`" not in value else ("call", "alone"))
    kept = [other for other in call.keywords if other is not word]
    return Draft("remove_keyword", variant, slots, [splice], {id(call): Change(fields={"keywords": kept})})


def absent_keyword(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A keyword argument that the call does not have."""
    calls, label = _calls(view), names.pick(rng, pools.variables)
    return ("call", {"label": label, "call": rng.choice(calls)[1]}) if calls and label not in view.taken else None


def rename_keyword(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The name of a keyword argument in every call of one function."""
    groups: dict[tuple[str, str], list[ast.keyword]] = {}
    outside: set[tuple[str, str]] = set()
    for call in view.facts.by_type.get(ast.Call, ()):
        for word in call.keywords:
            if word.arg and id(call) not in view.in_string:
                key = (dotted(call.func), word.arg)
                groups.setdefault(key, []).append(word)
                if not view.contains(word) or not key[0]:
                    outside.add(key)
    found = [key for key in groups if key not in outside]
    if not found:
        return None
    key = rng.choice(found)
    name, old = key
    new = names.new_name(rng, old, pools.variables, pools, view.taken)
    if not new:
        return None
    words = groups[key]
    splices = [Splice(view.start(word), view.start(word) + len(old.encode()), new.encode()) for word in words]
    if any(view.text[one.start : one.end] != old.encode() for one in splices):
        return None
    slots = {"old": old, "new": new, "call": name, "many": "s" if len(words) > 1 else ""}
    return Draft("rename_keyword", "call", slots, splices, {id(word): Change(fields={"arg": new}) for word in words})


def swap_arguments(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Two positional arguments of a call, or two parameters of a function, change places."""
    choices: list[tuple[str, str, ast.AST, list, int, int]] = []
    for call, name in _calls(view):
        texts = [view.source_of(one) for one in call.args]
        good = [
            i for i, text in enumerate(texts) if layout.is_quotable(text) and len(text) <= 25 and not isinstance(call.args[i], ast.Starred)
        ]
        good = [i for i in good if texts.count(texts[i]) == 1 and "`" not in texts[i]]
        choices += [("call", name, call, call.args, i, j) for i in good for j in good if i < j <= i + 2]
    for function in layout.named_once(view):
        a = function.args
        plain = [
            i for i, one in enumerate(a.args[: len(a.args) - len(a.defaults)]) if one.arg not in ("self", "cls") and view.contains(one)
        ]
        choices += [("parameters", function.name, a, a.args, i, j) for i in plain for j in plain if i < j <= i + 2] * 2
    if not choices:
        return None
    variant, name, owner, nodes, i, j = rng.choice(choices)
    one, two = nodes[i], nodes[j]
    first, second = view.source_of(one), view.source_of(two)
    splices = [Splice(*layout.span(view, one), second.encode()), Splice(*layout.span(view, two), first.encode())]
    order = list(nodes)
    order[i], order[j] = order[j], order[i]
    said = [first, second] if variant == "call" else [one.arg, two.arg]
    if rng.random() < 0.3:
        said.reverse()
    slots = {"first": said[0], "second": said[1], "call": name}
    return Draft("swap_arguments", variant, slots, splices, {id(owner): Change(fields={"args": order})})


def _values(view: View) -> list[ast.expr]:
    """Expressions that one can name by their text: assigned and returned values and arguments, names, attributes, items and calls."""
    found = []
    for node in view.find(ast.Name, ast.Attribute, ast.Subscript, ast.Call):
        parent, field = view.facts.parents[id(node)]
        if field in ("value", "args") and isinstance(parent, (ast.Assign, ast.Return, ast.Call, ast.keyword, ast.AugAssign)):
            if isinstance(parent, ast.Call) and (field != "args" or len(parent.args) == 1 and isinstance(node, ast.Starred)):
                continue
            found.append(node)
    return found


def wrap_call(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An expression, named by its text, becomes the argument of a call."""
    found = [node for node in _values(view) if len(view.source_of(node)) > 1 and layout.is_unique(view, view.source_of(node))]
    if not found:
        return None
    node = rng.choice(found)
    text = view.source_of(node)
    name = rng.choice(_WRAPPERS) if rng.random() < 0.75 else names.pick(rng, pools.functions)
    if name in text:
        return None
    new = ast.Call(layout.expression(name), [node], [])
    splices = [Splice(view.start(node), view.start(node), f"{name}(".encode()), Splice(view.end(node), view.end(node), b")")]
    return Draft("wrap_call", "call", {"what": text, "call": name, "new": f"{name}({text})"}, splices, {id(node): Change(node=new)})


def unwrap_call(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A call with one argument gives way to its argument."""
    found = []
    for call, name in _calls(view):
        one = call.args[0] if len(call.args) == 1 and not call.keywords else None
        if isinstance(one, (ast.Name, ast.Attribute, ast.Subscript, ast.Call)) and not isinstance(
            view.parent(call), (ast.Expr, ast.Attribute)
        ):
            text, inner = view.source_of(call), view.source_of(one)
            if layout.is_quotable(text) and text == f"{view.source_of(call.func)}({inner})":
                found.append((call, name, one, inner, text))
    if not found:
        return None
    call, name, one, inner, text = rng.choice(found)
    splices = [Splice(view.start(call), view.start(one), b""), Splice(view.end(one), view.end(call), b"")]
    slots = {"call": name, "what": inner, "old": text}
    return Draft("unwrap_call", "call", slots, splices, {id(call): Change(node=one)})


def absent_wrapper(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A call that is not there."""
    name = rng.choice(_WRAPPERS)
    words = sorted({word for word in view.words if word.isidentifier() and word not in names.RESERVED})
    if name in view.taken or not words:
        return None
    word = rng.choice(words)
    return "call", {"call": name, "what": word, "old": f"{name}({word})"}


KINDS = {
    "add_keyword": (add_keyword, 10, _CALL),
    "remove_keyword": (remove_keyword, 7, _KEYWORD),
    "rename_keyword": (rename_keyword, 4, _KEYWORD),
    "swap_arguments": (swap_arguments, 5, _TWO),
    "wrap_call": (wrap_call, 6, _WRAP),
    "unwrap_call": (unwrap_call, 5, _WRAPPED),
}

ABSENT = {"remove_keyword": absent_keyword, "unwrap_call": absent_wrapper}

TEMPLATES = {
    "add_keyword": {
        "call": (
            "pass {code} to {call}",
            "call {call} with {code}",
            "add {code} to the call of {call}",
            "add [the |]keyword [argument |]{code} to {call}",
            "{call} [needs|should get|gets] {code}",
            "also pass {label}={value} to {call}",
            "in the call to {call}, add {code}",
            "give {call} {code}[ as well|]",
            "{call}: add {code}",
            "set {label} to {value} when calling {call} (new argument)",
            "the {call} call [needs|wants] {code}",
            "hand {code} to {call} too",
        ),
    },
    "remove_keyword": {
        "call": (
            "remove [the |]{label} [argument |keyword |]from the call of {call}",
            "don't pass {label} to {call}",
            "{call}: drop {label}",
            "call {call} without {label}",
            "[delete|drop] the {label} argument of {call}",
            "{call} [should not get|does not need] {label}",
            "take {label} out of the {call} call",
            "no {label} for {call}",
            "stop passing {label} to {call}",
            "{call} works without {label}, remove it",
            "leave {label} out when calling {call}",
        ),
        "alone": (
            "remove [the |]{label} [argument|keyword]",
            "don't pass {label}",
            "drop the {label} argument",
            "delete the keyword {label}",
            "no {label} argument[ please|]",
            "stop passing {label}",
            "get rid of the {label} argument",
            "leave out {label}",
        ),
        "value": (
            "remove {label}={value}",
            "delete {label}={value}",
            "drop {label}={value}",
            "no {label}={value}",
            "take out {label}={value}",
            "{label}={value} can go",
            "get rid of {label}={value}",
            "without {label}={value}",
        ),
    },
    "rename_keyword": {
        "call": (
            "rename [the |]keyword {old} to {new} in the call{many} of {call}",
            "{call}: pass {new} instead of {old}",
            "the keyword {old} of {call} is now {new}",
            "in the call{many} to {call}, {old} [is|should be] called {new}",
            "rename the {old} argument of {call} to {new}",
            "pass {old} as {new} to {call}",
            "{call} takes {new} now, not {old}",
            "use {new}= instead of {old}= for {call}",
            "keyword {old} -> {new} in {call}",
            "{call}'s argument {old} was renamed [to |]{new}",
            "call {call} with {new} where it says {old}",
        ),
    },
    "swap_arguments": {
        "call": (
            "swap [the arguments |]{first} and {second} in the call of {call}",
            "swap {first} and {second} in {call}",
            "{call}: swap {first} and {second}",
            "exchange the arguments {first} and {second} of {call}",
            "{call} [should get|gets] {first} and {second} the other way round",
            "the arguments {first} and {second} of {call} should change places",
            "switch the order of {first} and {second} in {call}",
            "reverse {first} and {second} when calling {call}",
            "{first} and {second} are [swapped|the wrong way round] in the {call} call, fix it",
            "flip {first} and {second} in {call}",
        ),
        "parameters": (
            "swap the parameters {first} and {second} of {call}",
            "swap {first} and {second} in the signature of {call}",
            "{call}: swap parameters {first} and {second}",
            "exchange {first} and {second} in the parameters of {call}",
            "change the order of the parameters {first} and {second} in {call}",
            "the parameters {first} and {second} of {call} should change places",
            "def {call}: {first} and {second} the other way round",
            "reorder the parameters of {call}: {first} and {second} swapped",
            "flip the parameters {first} and {second} of {call}",
        ),
    },
    "wrap_call": {
        "call": (
            "wrap {what} in {call}()",
            "wrap {what} in {call}",
            "{what} -> {new}",
            "replace {what} [with|by] {new}",
            "use {new} instead of {what}",
            "call {call} on {what}",
            "put {call}() around {what}",
            "apply {call} to {what}",
            "{what} should be {new}",
            "{what} [needs|wants] [a |]{call}() around it",
            "pass {what} through {call}",
        ),
    },
    "unwrap_call": {
        "call": (
            "remove the {call}() around {what}",
            "remove the {call} call around {what}",
            "{old} -> {what}",
            "replace {old} [with|by] {what}",
            "just {what} instead of {old}",
            "drop the {call}() around {what}",
            "no {call}() around {what}",
            "{what} does not need {call}()",
            "use {what} directly, without {call}",
            "unwrap {old}",
            "take {what} out of {call}()",
        ),
    },
}
