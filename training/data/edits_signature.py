"""Edits of parameter lists: add or remove a parameter, give it a default or take it away."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .names import Pools
from .splice import Change, Splice
from .view import FUNCTION, Draft, View

_DEFAULTS = ("None", "None", "None", "False", "True", "0", "1", "10", "''", '""', "()", "1.0", "0.5", "100", "60")
_TYPES = {"None": "str | None", "False": "bool", "True": "bool", "''": "str", '""': "str", "()": "tuple"}
_HEAD = re.compile(rb"^[ \t]*(?:async )?def \w", re.M)
_HEAD_WITH_DEFAULT = re.compile(rb"^[ \t]*(?:async )?def \w+\(.*=|^[ \t]+\w+(?::[^=\n]+)? ?= ?[^=\n]+,$", re.M)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[ast.arg, ast.expr | None]]:
    """(parameter, default) of a function in the order of its text, *args and **kwargs left out."""
    a = function.args
    positional = [*a.posonlyargs, *a.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(a.defaults)) + list(a.defaults)
    return [*zip(positional, defaults, strict=True), *zip(a.kwonlyargs, a.kw_defaults, strict=True)]


def _span(view: View, pair: tuple[ast.arg, ast.expr | None]) -> tuple[int, int]:
    return view.start(pair[0]), view.end(pair[1] if pair[1] is not None else pair[0])


def _plain(view: View) -> list:
    """Functions of the region whose parameters are all positional and lie in it."""
    found = []
    for function in layout.named_once(view):
        a = function.args
        if not (a.vararg or a.kwonlyargs or a.kwarg or a.posonlyargs) and all(view.contains(one) for one in a.args):
            found.append(function)
    return found


def add_parameter(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A new last parameter, with or without default and annotation, or one right after a named one."""
    functions = _plain(view)
    if not functions:
        return None
    function = rng.choice(functions)
    a, pairs = function.args, parameters(function)
    name = names.pick(rng, pools.variables)
    if name in view.taken or len(name) > 20:
        return None
    typed = any(one.annotation for one in a.args) or rng.random() < 0.08
    with_default = bool(a.defaults) or rng.random() < 0.6
    default = rng.choice(_DEFAULTS) if with_default else ""
    hint = (_TYPES.get(default) or ("float" if "." in default else "int")) if default else rng.choice(("str", "int", "bool", "float"))
    text = name + (f": {hint}" if typed else "") + (f" = {default}" if default and typed else f"={default}" if default else "")
    new = ast.arg(name, layout.expression(hint) if typed else None, None)
    slots = {"new": name, "func": function.name, "default": default, "code": text}
    after = rng.randrange(len(pairs)) if len(pairs) > 1 and rng.random() < 0.3 else len(pairs) - 1
    if not pairs:
        place = re.compile(rb"(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(\s*").match(view.text, view.start(function))
        if not place or view.text[place.end() : place.end() + 1] != b")":
            return None
        splice: Splice | None = Splice(place.end(), place.end(), text.encode())
    elif after == len(pairs) - 1:
        splice = layout.add_last(view, [_span(view, pair) for pair in pairs], text)
    else:
        if (pairs[after][1] is None) == bool(default) or pairs[after][0].lineno != pairs[after + 1][0].lineno:
            return None
        place = view.start(pairs[after + 1][0])
        splice = Splice(place, place, text.encode() + b", ")
        slots["label"] = pairs[after][0].arg
    if splice is None or (not default and a.defaults and after == len(pairs) - 1):
        return None
    args = [*a.args[: after + 1], new, *a.args[after + 1 :]]
    first_default = len(a.args) - len(a.defaults)
    defaults = list(a.defaults)
    if default:
        defaults.insert(max(0, after + 1 - first_default), layout.expression(default))
    variant = "after" if "label" in slots else "typed" if typed else "default" if default else "plain"
    return Draft("add_parameter", variant, slots, [splice], {id(a): Change(fields={"args": args, "defaults": defaults})})


def _uses(view: View, function: ast.AST, name: str) -> bool:
    """True when anything in the function but its parameter is called or says `name`."""
    start, end = view.start(function), view.end(function)
    return len(re.findall(rb"\b" + name.encode() + rb"\b", view.text[start:end])) > 1


def remove_parameter(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A parameter that its function does not use goes, default and annotation with it."""
    choices = []
    for function in layout.named_once(view):
        pairs = parameters(function)
        spans = [_span(view, pair) for pair in pairs]
        a = function.args
        for number, (parameter, _) in enumerate(pairs):
            used = _uses(view, function, parameter.arg) or f"{function.name}(" in view.text.decode("utf-8", "replace").replace(
                f"def {function.name}(", "", 1
            )
            if parameter.arg not in ("self", "cls") and not a.posonlyargs and not used and spans == sorted(spans):
                choices.append((function, number, spans))
    if not choices:
        return None
    function, number, spans = rng.choice(choices)
    a = function.args
    splice = layout.drop_item(view, spans, number)
    if splice is None:
        return None
    if number < len(a.args):
        first_default = len(a.args) - len(a.defaults)
        fields = {"args": [one for i, one in enumerate(a.args) if i != number]}
        if number >= first_default:
            fields["defaults"] = [one for i, one in enumerate(a.defaults) if i != number - first_default]
    else:
        at = number - len(a.args)
        fields = {
            "kwonlyargs": [one for i, one in enumerate(a.kwonlyargs) if i != at],
            "kw_defaults": [one for i, one in enumerate(a.kw_defaults) if i != at],
        }
    name = parameters(function)[number][0].arg
    return Draft("remove_parameter", "parameter", {"old": name, "func": function.name}, [splice], {id(a): Change(fields=fields)})


def absent_parameter(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A parameter that the function does not have."""
    functions, name = layout.named_once(view), names.pick(rng, pools.variables)
    return ("parameter", {"old": name, "func": rng.choice(functions).name}) if functions and name not in view.taken else None


def add_default(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A default for the last parameter without one."""
    choices = []
    for function in layout.named_once(view):
        a = function.args
        if len(a.args) > len(a.defaults) and not a.posonlyargs:
            parameter = a.args[len(a.args) - len(a.defaults) - 1]
            if parameter.arg not in ("self", "cls") and view.contains(parameter):
                choices.append((function, parameter))
    if not choices:
        return None
    function, parameter = rng.choice(choices)
    default = rng.choice(_DEFAULTS) if rng.random() < 0.7 else names.new_number(rng, rng.randrange(200))
    place = view.end(parameter)
    text = f" = {default}" if parameter.annotation else f"={default}"
    fields = {"defaults": [layout.expression(default), *function.args.defaults]}
    slots = {"label": parameter.arg, "default": default, "func": function.name}
    holders = sum(one.arg == parameter.arg for one in view.facts.by_type.get(ast.arg, ()))
    variant = "function" if holders > 1 or rng.random() < 0.3 else "default"
    return Draft("add_default", variant, slots, [Splice(place, place, text.encode())], {id(function.args): Change(fields=fields)})


def remove_default(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The first parameter with a default, or one that is keyword-only, loses it."""
    choices = []
    for function in layout.named_once(view):
        a = function.args
        if a.defaults:
            parameter = a.args[len(a.args) - len(a.defaults)] if len(a.defaults) <= len(a.args) else None
            if parameter is not None:
                choices.append((function, parameter, a.defaults[0], {"defaults": a.defaults[1:]}))
        for i, (parameter, value) in enumerate(zip(a.kwonlyargs, a.kw_defaults, strict=True)):
            if value is not None:
                kept = [None if i == j else other for j, other in enumerate(a.kw_defaults)]
                choices.append((function, parameter, value, {"kw_defaults": kept}))
    choices = [row for row in choices if view.contains(row[1]) and view.contains(row[2])]
    if not choices:
        return None
    function, parameter, value, fields = rng.choice(choices)
    splice = Splice(view.end(parameter), view.end(value), b"")
    if b"#" in view.text[splice.start : view.start(value)]:
        return None
    holders = sum(one.arg == parameter.arg for one in view.facts.by_type.get(ast.arg, ()))
    variant = "function" if holders > 1 or rng.random() < 0.3 else "default"
    slots = {"label": parameter.arg, "func": function.name}
    return Draft("remove_default", variant, slots, [splice], {id(function.args): Change(fields=fields)})


def absent_default(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A parameter that has no default to lose."""
    found = [
        (function, parameter)
        for function in view.functions
        for parameter, default in parameters(function)
        if default is None and parameter.arg not in ("self", "cls") and isinstance(function, FUNCTION)
    ]
    if not found:
        return None
    function, parameter = rng.choice(found)
    everywhere = [pair for other in view.functions for pair in parameters(other) if pair[0].arg == parameter.arg]
    return ("default", {"label": parameter.arg, "func": function.name}) if all(pair[1] is None for pair in everywhere) else None


KINDS = {
    "add_parameter": (add_parameter, 14, _HEAD),
    "remove_parameter": (remove_parameter, 8, _HEAD),
    "add_default": (add_default, 4, _HEAD),
    "remove_default": (remove_default, 4, _HEAD_WITH_DEFAULT),
}

ABSENT = {"remove_parameter": absent_parameter, "remove_default": absent_default}

TEMPLATES = {
    "add_parameter": {
        "plain": (
            "add [a |the |]parameter {new} to {func}",
            "{func} [needs|should take|takes|gets] a parameter {new}",
            "add [an |]argument {new} to {func}",
            "{func}: add parameter {new}",
            "give {func} a parameter [called |named |]{new}",
            "let {func} [accept|take] {new}",
            "new parameter {new} for {func}",
            "add {new} to the [parameters|arguments|signature] of {func}",
            "{func} [should|must] also [take|accept] {new}",
            "in {func}, add a parameter {new}",
            "extend {func} with [a parameter |]{new}",
        ),
        "default": (
            "add [a |the |]parameter {new} with default {default} to {func}",
            "add parameter {new}={default} to {func}",
            "{func}: add {new}={default}",
            "{func} [needs|should get|gets] a parameter {new}, default {default}",
            "add an optional [argument|parameter] {new} to {func}, {default} by default",
            "give {func} a parameter {new} that defaults to {default}",
            "let {func} [accept|take] {new}={default}",
            "new parameter {new} (default {default}) for {func}",
            "add {new} to {func} with [a |]default [value |][of |]{default}",
            "{func} should take {new}, {default} unless given",
            "extend the signature of {func} by {new}={default}",
        ),
        "typed": (
            "add [a |the |]parameter {code} to {func}",
            "{func}: add {code}",
            "{func} [needs|should take|gets] a parameter {code}",
            "add {code} to the [parameters|signature|arguments] of {func}",
            "give {func} a new parameter {code}",
            "new parameter {code} for {func}",
            "let {func} [accept|take] {code}",
            "extend {func} with {code}",
            "{func} should also [accept|take] {code}",
        ),
        "after": (
            "add [a |the |]parameter {code} after {label} [to|in] {func}",
            "{func}: add {code} after {label}",
            "put a parameter {code} after {label} in {func}",
            "insert {code} after the parameter {label} of {func}",
            "in {func}, after {label}, add a parameter {code}",
            "{func} needs {code} right after {label}",
            "after {label} add {code} to the parameters of {func}",
            "new parameter {code} behind {label} in {func}",
        ),
    },
    "remove_parameter": {
        "parameter": (
            "remove [the |]parameter {old} from {func}",
            "remove the unused [parameter|argument] {old} of {func}",
            "[delete|drop] [the |]parameter {old} of {func}",
            "{func}: [drop|remove|delete] {old}",
            "{func} does not need {old}",
            "take {old} out of the [signature|parameters] of {func}",
            "{old} is not used in {func}, remove it",
            "get rid of the {old} [argument|parameter] of {func}",
            "{func} should not take {old}",
            "drop {old} from {func}'s [arguments|parameters]",
            "without the parameter {old} in {func}",
        ),
    },
    "add_default": {
        "default": (
            "give {label} [a|the] default [of |value |]{default}",
            "add a default of {default} for {label}",
            "make {label} optional, default {default}",
            "add default {default} to {label}",
            "{label} should [be optional and |]default to {default}",
            "make {label} optional with default {default}",
            "{label} gets [a|the] default {default}",
            "parameter {label} [should|must] have [a|the] default {default}",
            "{label} is optional: {default} if not given",
            "let {label} be {default} when not passed",
        ),
        "function": (
            "give {label} of {func} [a|the] default [of |value |]{default}",
            "in {func}, make {label} optional[,| with] default {default}",
            "{func}: {label} should default to {default}",
            "add a default of {default} for {label} in {func}",
            "make the {label} argument of {func} optional ({default})",
            "{func} should have a default of {default} for {label}",
            "let {label} default to {default} in {func}",
            "in {func} {label} gets the default {default}",
        ),
    },
    "remove_default": {
        "default": (
            "remove the default of {label}",
            "make {label} [required|mandatory]",
            "{label} should be required",
            "[drop|delete] the default [value |]of {label}",
            "{label} must not have a default",
            "no default for {label}",
            "parameter {label} is required now",
            "take away the default of {label}",
            "{label} has to be given, no default",
            "don't default {label}",
        ),
        "function": (
            "remove the default of {label} in {func}",
            "make {label} [required|mandatory] in {func}",
            "{func}: {label} should be required",
            "[drop|delete] the default of {func}'s {label}",
            "in {func}, {label} must not have a default",
            "no default for {label} in {func}",
            "{func} should require {label}",
            "in {func} {label} has to be given",
        ),
    },
}
