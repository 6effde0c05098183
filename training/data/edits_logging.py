"""Edits of output: log calls and prints added with a given text, prints turned into log calls or removed."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .edits_errors import at_start, logger_of
from .names import Pools, dotted
from .splice import Change, Splice
from .view import Draft, View

_LEVELS = ("debug", "info", "info", "warning", "error")
_HEAD = re.compile(rb"^[ \t]*(?:async )?def \w|^[ \t]*return\b", re.M)
_PRINT = re.compile(rb"^[ \t]*print\(", re.M)


def add_log(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A log call or print with a given message, at the start of a function or before the only return."""
    log = rng.choice(("print", logger_of(view), logger_of(view)))
    message = " ".join(
        [rng.choice(("start", "done", "got", "calling", "enter", "finished")), *names.words_of(names.pick(rng, pools.functions))][:4]
    )
    callee = log if log == "print" else f"{log}.{rng.choice(_LEVELS)}"
    level = callee.rsplit(".", 1)[-1]
    returns = view.find(ast.Return)
    if len(view.facts.by_type.get(ast.Return, ())) == len(returns) == 1 and rng.random() < 0.4:
        statement, text = returns[0], f'{callee}("{message}")'
        value = statement.value
        variant, slots = "return", {"call": callee, "text": message, "message": f'"{message}"'}
        if isinstance(value, ast.Name) and rng.random() < 0.4:
            text, variant = f"{callee}({value.id})", "value"
            slots = {"call": callee, "what": value.id}
        if not layout.is_alone(view, statement) or view.unit.lines[statement.lineno - 2].lstrip().startswith(b"#"):
            return None
        place = layout.lines_start(view, statement)
        line = layout.indent_of(view, statement.lineno) + text.encode() + b"\n"
        return Draft(
            "add_log", variant, slots, [Splice(place, place, line)], {id(statement): Change(before=tuple(layout.statements(text)))}
        )
    functions = [one for one in layout.named_once(view) if layout.first_code(one) is not None]
    if not functions:
        return None
    function = rng.choice(functions)
    first = layout.first_code(function)
    if not view.contains(first) or not layout.is_alone(view, first):
        return None
    parameters = [one.arg for one in function.args.args if one.arg not in ("self", "cls")]
    if parameters and rng.random() < 0.3:
        name = rng.choice(parameters)
        text = f"print({name})" if log == "print" else f'{callee}("{name}: %s", {name})'
        return at_start(view, "add_log", "parameter", {"call": callee, "what": name, "func": function.name}, function, first, text)
    slots = {"call": callee, "text": message, "message": f'"{message}"', "func": function.name}
    if level != "print" and log in ("logger", "logging") and f"{log}." in view.text.decode("utf-8", "replace") and rng.random() < 0.4:
        slots["level"] = level
        return at_start(view, "add_log", "level", slots, function, first, f'{callee}("{message}")')
    return at_start(view, "add_log", "start", slots, function, first, f'{callee}("{message}")')


def _prints(view: View) -> list[ast.Expr]:
    """The print statements of the unit."""
    return [
        node
        for node in view.facts.by_type.get(ast.Expr, ())
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "print"
    ]


def print_to_log(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Every print with one argument becomes a log call."""
    found = _prints(view)
    if not found or any(len(one.value.args) != 1 or one.value.keywords or not view.contains(one) for one in found):
        return None
    if sum(dotted(node.func) == "print" for node in view.facts.by_type.get(ast.Call, ())) != len(found):
        return None
    new = f"{logger_of(view)}.{rng.choice(_LEVELS)}"
    splices = [Splice(*layout.span(view, one.value.func), new.encode()) for one in found]
    changes = {id(one.value.func): Change(node=layout.expression(new)) for one in found}
    return Draft("print_to_log", "log", {"new": new}, splices, changes)


def remove_prints(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Every print statement goes."""
    found = _prints(view)
    bodies = {id(layout.body_of(view, one)[2]): layout.body_of(view, one)[2] for one in found}
    if not found or any(not view.contains(one) or not layout.is_alone(view, one) for one in found):
        return None
    if any(all(statement in found for statement in body) for body in bodies.values()):
        return None
    splices = [Splice(view.starts[one.lineno - 1], view.starts[one.end_lineno], b"") for one in found]
    return Draft(
        "remove_prints", "print", {"many": "s" if len(found) > 1 else ""}, splices, {id(one): Change(remove=True) for one in found}
    )


def absent_prints(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Prints where there are none."""
    return None if b"print" in view.text else ("print", {"many": "s"})


def absent_log(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Prints to turn into log calls where there are none."""
    return None if b"print" in view.text else ("log", {"new": f"{logger_of(view)}.{rng.choice(_LEVELS)}"})


KINDS = {
    "add_log": (add_log, 8, _HEAD),
    "print_to_log": (print_to_log, 8, _PRINT),
    "remove_prints": (remove_prints, 8, _PRINT),
}

ABSENT = {"print_to_log": absent_log, "remove_prints": absent_prints}

TEMPLATES = {
    "add_log": {
        "start": (
            "add {call}({message}) at the start of {func}",
            "in {func}, first call {call} with {message}",
            'say "{text}" with {call} when {func} starts',
            "{func} should begin with {call}({message})",
            'log "{text}" at the start of {func} using {call}',
            'at the top of {func}: {call} "{text}"',
            'use {call} to report "{text}" in {func}',
            "{func}: {call}({message}) first",
            'when {func} is called, {call} "{text}"',
            "put {call}({message}) at the beginning of {func}",
        ),
        "level": (
            'log [a|the] {level} message "{text}" at the start of {func}',
            'add a {level} log "{text}" to {func}',
            'log "{text}" at level {level} in {func}',
            '{func}: log {level} "{text}" first',
            'when {func} starts, log "{text}" ({level})',
            '{level} log in {func}: "{text}"',
            'add logging to {func}: {level} "{text}"',
            'let {func} log the {level} "{text}"',
            'at the beginning of {func} write a {level} log line "{text}"',
        ),
        "parameter": (
            "log {what} at the start of {func} with {call}",
            "{call} the value of {what} when {func} starts",
            "in {func}, show {what} with {call}",
            "add a {call} of {what} to {func}",
            "{func}: {call} {what} first",
            "output {what} with {call} at the top of {func}",
            "use {call} to see {what} in {func}",
            "I want to see {what} ({call}) when {func} is called",
            "trace {what} in {func} with {call}",
            "at the beginning of {func} {call} the parameter {what}",
        ),
        "return": (
            "add {call}({message}) before the return",
            'say "{text}" with {call} before returning',
            'before the return, {call} "{text}"',
            "put {call}({message}) right before the return",
            'log "{text}" with {call} before it returns',
            "{call}({message}) before return",
            'use {call} to report "{text}" just before the return',
            "insert {call}({message}) above the return",
            'just before returning: {call} "{text}"',
        ),
        "value": (
            "{call} {what} before the return",
            "log {what} with {call} before returning it",
            "before the return, {call} {what}",
            "show {what} with {call} before it is returned",
            "add {call}({what}) before the return",
            "output {what} with {call} right before the return",
            "I want to see {what} ({call}) before it is returned",
            "trace the returned {what} with {call}",
            "just before returning, {call} the value of {what}",
        ),
    },
    "print_to_log": {
        "log": (
            "use {new} instead of print",
            "replace print with {new}",
            "[turn|change|convert] [the |]prints into {new} calls",
            "no print, use {new}",
            "print -> {new}",
            "log with {new} instead of printing",
            "replace every print by {new}",
            "use logging instead of print ({new})",
            "all prints should be {new}",
            "switch from print to {new}",
            "don't print, call {new}",
        ),
    },
    "remove_prints": {
        "print": (
            "remove [the |all |]print{many}",
            "[delete|drop] the print statement{many}",
            "no print{many}[ please|]",
            "get rid of the print{many}",
            "remove debug print{many}",
            "strip [all |]print calls",
            "take the print{many} out",
            "without print{many}",
            "don't print anything",
            "the print{many} can go",
        ),
    },
}
