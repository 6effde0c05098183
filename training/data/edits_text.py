"""Edits of what people read: docstrings and comments added, changed, removed; statements commented out and back in."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .names import Pools
from .splice import Change, Splice
from .view import FUNCTION, Draft, View

MAX_TEXT = 90  # characters of a given docstring or comment
_HEAD = re.compile(rb"^[ \t]*(?:async def|def|class) \w", re.M)
_DOCSTRING = re.compile(rb'^[ \t]*(?:async def|def|class) [^"#]*:\n[ \t]*[rR]?(?:"""|\'\'\')', re.M)
_COMMENT = re.compile(rb"^[ \t]*#[ \t]*\w|  # ?\w", re.M)
_WHOLE_COMMENT = re.compile(rb"^[ \t]*# ?\w[^\n]*\n", re.M)
_SIMPLE_LINE = re.compile(rb"^[ \t]+\w[^\n]*[\w)\]'\"]$", re.M)
_TAIL = re.compile(rb"""(?:[^#'"\n]|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")*?([ \t]*#[^\n]*)""")
_DOCUMENTED = (*FUNCTION, ast.ClassDef)


def _sentence(rng: Random, name: str, pools: Pools) -> str:
    """A docstring such as people dictate."""
    words = names.words_of(name) or ["run"]
    thing = " ".join(words[1:]) or names.pick(rng, pools.words)
    verb = words[0] if len(words) > 1 else rng.choice(("return", "compute", "handle"))
    extra = names.pick(rng, pools.words)
    return rng.choice(
        (
            f"{verb.capitalize()} the {thing}.",
            f"{verb.capitalize()} the {thing} of the {extra}.",
            f"Return the {thing} for a given {extra}.",
            f"Compute {thing} from the {extra}.",
            f"Helper for {thing}.",
            f"{verb.capitalize()} {thing} and {extra}.",
            f"Check whether the {thing} is valid.",
            f"The {' '.join(words)} of this {extra}.",
        )
    )


def _is_sayable(text: str) -> bool:
    """True for a text that an instruction can hold as it is and a docstring or comment too."""
    return (
        4 <= len(text) <= MAX_TEXT and text.isascii() and text.isprintable() and not set(text) & set("\\`\"'#{}") and text == text.strip()
    )


def _one_line(view: View, node: ast.AST) -> str:
    """The text of a docstring written as \"\"\"text\"\"\" on one line of its own, else ""."""
    found = layout.docstring_of(node)
    if found is None or not view.contains(found) or found.lineno != found.end_lineno or not layout.is_alone(view, found):
        return ""
    text = found.value.value
    plain = view.source_of(found) == f'"""{text}"""' and not layout.has_comment(view, found)
    return text if plain and _is_sayable(text) else ""


def _heads(view: View) -> list:
    """Functions and classes of the region that alone bear their name."""
    return layout.named_once(view, _DOCUMENTED)


def _docstring_removal(view: View, node: ast.AST) -> Splice | None:
    """The lines of a docstring, and the blank lines after it where code follows."""
    found = layout.docstring_of(node)
    if found is None or len(node.body) < 2 or not layout.is_alone(view, found) or not view.contains(found):
        return None
    last = found.end_lineno
    while last < len(view.unit.lines) and not view.unit.lines[last].strip():
        last += 1
    return Splice(view.starts[found.lineno - 1], view.starts[last], b"") if last < view.last else None


def add_docstring(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A given text as docstring; of real docstrings the code without them is shown."""
    choices = []
    for node in _heads(view):
        text = _one_line(view, node)
        splice = _docstring_removal(view, node) if text else None
        if splice is not None and view.text.count(b"\n", splice.start, splice.end) == 1:
            choices += [(node, text, splice, True)] * 4
        elif layout.docstring_of(node) is None and layout.first_code(node) is not None and view.contains(node.body[0]):
            choices.append((node, "", None, False))
    if not choices:
        return None
    node, text, splice, inverse = rng.choice(choices)
    slots = {"func": node.name, "text": text or _sentence(rng, node.name, pools)}
    variant = "only" if len(_heads(view)) == 1 and len(view.functions) < 2 and rng.random() < 0.4 else "named"
    if inverse:
        return Draft("add_docstring", variant, slots, [splice], {id(node.body[0]): Change(remove=True)}, inverse=True)
    row = layout.first_line(node.body[0])
    if not _is_sayable(slots["text"]) or not view.unit.lines[row - 2].rstrip().endswith(b":"):  # a comment or blank line between
        return None
    place = layout.lines_start(view, node.body[0])
    line = layout.indent_of(view, row) + b'"""' + slots["text"].encode() + b'"""\n'
    new = ast.Expr(ast.Constant(slots["text"], None))
    return Draft("add_docstring", variant, slots, [Splice(place, place, line)], {id(node): Change(fields={"body": [new, *node.body]})})


def remove_docstring(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The docstring of a function or class goes, or all docstrings of the region."""
    found = [(node, splice) for node in _heads(view) if (splice := _docstring_removal(view, node))]
    if not found:
        return None
    every = [node for kind in _DOCUMENTED for node in view.facts.by_type.get(kind, ()) if layout.docstring_of(node)]
    node, splice = rng.choice(found)
    if len(found) == len(every) and rng.random() < (0.5 if len(every) > 1 else 0.3):
        changes = {id(one.body[0]): Change(remove=True) for one, _ in found}
        return Draft("remove_docstring", "every" if len(every) > 1 else "only", {}, [part for _, part in found], changes)
    return Draft("remove_docstring", "named", {"func": node.name}, [splice], {id(node.body[0]): Change(remove=True)})


def absent_docstring(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A docstring that is not there."""
    if any(layout.docstring_of(node) for kind in _DOCUMENTED for node in view.facts.by_type.get(kind, ())):
        return None
    heads = _heads(view)
    if heads and rng.random() < 0.7:
        return "named", {"func": rng.choice(heads).name}
    return rng.choice(("every", "only")), {}


def change_docstring(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Another text for a docstring of one line."""
    found = [node for node in _heads(view) if _one_line(view, node)]
    if not found:
        return None
    node = rng.choice(found)
    text = _sentence(rng, node.name, pools)
    old = node.body[0].value
    if text == old.value or not _is_sayable(text):
        return None
    splice = Splice(view.start(old), view.end(old), b'"""' + text.encode() + b'"""')
    change = {id(old): Change(fields={"value": text})}
    return Draft("change_docstring", "named", {"func": node.name, "text": text, "was": old.value}, [splice], change)


def _comments(view: View) -> list[tuple[int, str]]:
    """(line from 1, text) of the comments of the region that have a line of their own, nothing but "# text"."""
    inside = layout.string_lines(view)
    found = []
    for number in range(view.first + 1, view.last + 1):
        line = view.unit.lines[number - 1]
        text = line.strip()
        if text.startswith(b"# ") and number not in inside and line.endswith(b"\n"):
            found.append((number, text[2:].decode("utf-8", "replace")))
    return found


def _below(view: View, number: int) -> ast.stmt | None:
    """The statement that begins on the line after a comment, when no comment stands above that."""
    above = view.unit.lines[number - 2].strip() if number > 1 else b""
    if above.startswith(b"#"):
        return None
    starts = {layout.first_line(node): node for node in reversed(view.facts.nodes) if isinstance(node, ast.stmt)}
    node = starts.get(number + 1)
    return node if node is not None and layout.indent_of(view, number) == layout.indent_of(view, number + 1) else None


def add_comment(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A given comment above a named line; of real comments the code without them is shown."""
    choices = []
    for number, text in _comments(view):
        below = _below(view, number)
        if below is not None and _is_sayable(text) and number < view.last:
            choices += [(number, below, text)] * 4
    if not choices or rng.random() < 0.25:
        for statement in view.find(ast.Assign, ast.Return, ast.Expr, ast.AugAssign, ast.Raise, ast.For, ast.If):
            above = view.unit.lines[layout.first_line(statement) - 2].lstrip() if layout.first_line(statement) > 1 else b""
            text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if layout.is_alone(view, statement) and not text and not above.startswith(b"#"):
                choices.append((0, statement, ""))
    if not choices:
        return None
    number, statement, text = rng.choice(choices)
    line = view.unit.lines[statement.lineno - 1].strip().decode("utf-8", "replace")
    returns = view.facts.by_type.get(ast.Return, [])
    same = sum(other.strip().decode("utf-8", "replace") == line for other in view.unit.lines[view.first : view.last])
    if isinstance(statement, ast.Return) and len(returns) == 1:
        variant = "return"
    elif same == 1 and layout.is_quotable(line):
        variant = "line"
    else:
        return None
    if number:
        splice = Splice(view.starts[number - 1], view.starts[number], b"")
        return Draft("add_comment", variant, {"text": text, "what": line}, [splice], {}, inverse=True)
    word = names.pick(rng, pools.words)
    text = rng.choice((f"TODO: {word}", f"TODO: handle {word}", f"FIXME: {word} {names.pick(rng, pools.words)}", f"the {word} comes first",
                       f"see the {word} docs", f"keep the {word}", f"this is slow for a large {word}", f"no {word} here"))  # fmt: skip
    place = layout.lines_start(view, statement)
    new = layout.indent_of(view, layout.first_line(statement)) + b"# " + text.encode() + b"\n"
    return Draft("add_comment", variant, {"text": text, "what": line}, [Splice(place, place, new)], {})


def remove_comment(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A comment, named by its text or by the line it stands above, or every comment of the region."""
    own = _comments(view)
    if rng.random() < 0.25:
        splices = _every_comment(view)
        return Draft("remove_comment", "every", {}, splices, {}) if splices else None
    if not own:
        return None
    number, text = rng.choice(own)
    below = _below(view, number) if number < view.last else None
    line = view.unit.lines[number].strip().decode("utf-8", "replace") if below is not None else ""
    options = []
    if _is_sayable(text) and sum(other == text for _, other in own) == 1:
        options += [("text", {"text": text})] * 2
    if line and layout.is_quotable(line) and sum(other.strip() == line.encode() for other in view.unit.lines[view.first : view.last]) == 1:
        options.append(("above", {"what": line}))
    if not options:
        return None
    variant, slots = rng.choice(options)
    return Draft("remove_comment", variant, slots, [Splice(view.starts[number - 1], view.starts[number], b"")], {})


def _every_comment(view: View) -> list[Splice]:
    """What takes all comments out of the region; empty when there are none or a string makes that unclear."""
    inside, splices = layout.string_lines(view), []
    for number in range(view.first + 1, view.last + 1):
        line = view.unit.lines[number - 1]
        if b"#" not in line:
            continue
        if number in inside:
            return []
        start = view.starts[number - 1]
        if line.lstrip().startswith(b"#"):
            splices.append(Splice(start, view.starts[number], b""))
        elif found := _TAIL.match(line):
            splices.append(Splice(start + found.start(1), start + found.end(1), b""))
    return splices


def absent_comment(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Comments where there are none."""
    return None if b"#" in view.region else ("every", {})


def _lines(view: View) -> list[tuple[ast.stmt, str]]:
    """(statement, its line) of the simple statements on one line of their own that are not alone in their body."""
    found = []
    for statement in view.find(
        ast.Expr, ast.Assign, ast.AugAssign, ast.Return, ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.Delete
    ):
        text = layout.line_of(view, statement) if layout.is_alone(view, statement) else ""
        if text and len(layout.body_of(view, statement)[2]) > 1 and not layout.has_comment(view, statement):
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                found.append((statement, text))
    return found


def _commented(view: View, kind: str, rng: Random, inverse: bool) -> Draft | None:
    found = _lines(view)
    if not found:
        return None
    statement, text = rng.choice(found)
    callee = names.dotted(statement.value.func) if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) else ""
    place = view.start(statement)
    variant = "call" if callee and view.region.count(callee.encode()) == 1 and rng.random() < 0.5 else "line"
    slots = {"what": callee if variant == "call" else text}
    return Draft(kind, variant, slots, [Splice(place, place, b"# ")], {id(statement): Change(remove=True)}, inverse=inverse)


def comment_out(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A statement, named by its text or by what it calls, becomes a comment."""
    return _commented(view, "comment_out", rng, inverse=False)


def uncomment(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A statement that is shown as a comment is code again."""
    return _commented(view, "uncomment", rng, inverse=True)


def absent_commented(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A statement that is no comment."""
    found = _lines(view)
    return None if b"#" in view.region or not found else ("line", {"what": rng.choice(found)[1]})


KINDS = {
    "add_docstring": (add_docstring, 12, _HEAD),
    "remove_docstring": (remove_docstring, 6, _DOCSTRING),
    "change_docstring": (change_docstring, 3, _DOCSTRING),
    "add_comment": (add_comment, 8, _WHOLE_COMMENT),
    "remove_comment": (remove_comment, 6, _COMMENT),
    "comment_out": (comment_out, 4, _SIMPLE_LINE),
    "uncomment": (uncomment, 4, _SIMPLE_LINE),
}

ABSENT = {"remove_docstring": absent_docstring, "remove_comment": absent_comment, "uncomment": absent_commented}

TEMPLATES = {
    "add_docstring": {
        "named": (
            'add [a|the] docstring to {func}: "{text}"',
            'add the docstring "{text}" to {func}',
            "docstring for {func}: {text}",
            "document {func}: {text}",
            'give {func} the docstring "{text}"',
            "{func} docstring: {text}",
            'docstring pls for {func}: "{text}"',
            '[write|insert|put] the docstring "{text}" in {func}',
            "{func} needs a docstring: {text}",
            'document {func} with "{text}"',
            'the docstring of {func} should be "{text}"',
            "add documentation to {func}: {text}",
        ),
        "only": (
            'add [a|the] docstring "{text}"',
            "docstring: {text}",
            "docstring pls: {text}",
            'add docstring [saying |]"{text}"',
            "document this: {text}",
            'put the docstring "{text}" there',
            "needs a docstring: {text}",
            'add "{text}" as docstring',
            "missing docstring, write: {text}",
        ),
    },
    "remove_docstring": {
        "named": (
            "remove the docstring of {func}",
            "[delete|drop] the docstring of {func}",
            "remove {func}'s docstring",
            "{func}: no docstring",
            "{func} does not need a docstring",
            "strip the docstring from {func}",
            "get rid of the docstring in {func}",
            "no docstring for {func}[ please|]",
            "take the docstring out of {func}",
            "{func} without docstring",
            "the docstring of {func} can go",
        ),
        "every": (
            "remove all docstrings",
            "[delete|drop|strip] [the|all|every] docstrings",
            "no docstrings[ please|]",
            "strip docstrings",
            "get rid of all docstrings",
            "remove every docstring here",
            "take out the docstrings",
            "without docstrings",
            "all docstrings can go",
        ),
        "only": (
            "remove the docstring",
            "[delete|drop|strip] the docstring",
            "no docstring[ please|]",
            "get rid of the docstring",
            "take out the docstring",
            "without docstring",
            "the docstring can go",
            "drop the documentation string",
        ),
    },
    "change_docstring": {
        "named": (
            'change the docstring of {func} to "{text}"',
            'the docstring of {func} should [be|say] "{text}"',
            "docstring of {func}: {text}",
            'replace the docstring of {func} with "{text}"',
            'update {func}\'s docstring: "{text}"',
            "{func} docstring -> {text}",
            'reword the docstring of {func} as "{text}"',
            "new docstring for {func}: {text}",
            'set the docstring of {func} to "{text}"',
            'make {func}\'s docstring "{text}"',
            'write "{text}" as docstring of {func} instead',
        ),
    },
    "add_comment": {
        "line": (
            'add [a|the] comment "{text}" above {what}',
            'comment {what}: "{text}"',
            "put # {text} above {what}",
            'above {what}, add the comment "{text}"',
            "add a comment above {what}: {text}",
            "insert the comment # {text} before {what}",
            'explain {what} with the comment "{text}"',
            "before {what}: # {text}",
            'say "{text}" in a comment above {what}',
            'the line {what} [needs|should have] the comment "{text}"',
            "write # {text} over {what}",
        ),
        "return": (
            'add [a|the] comment "{text}" above the return',
            "put # {text} above the return",
            'above the return, add the comment "{text}"',
            "add a comment before return: {text}",
            "insert # {text} before the return statement",
            'comment the return: "{text}"',
            "before the return: # {text}",
            'say "{text}" in a comment above the return',
            "write # {text} over the return statement",
        ),
    },
    "remove_comment": {
        "text": (
            'remove the comment "{text}"',
            '[delete|drop] the comment "{text}"',
            "remove # {text}",
            "delete the line # {text}",
            'get rid of the comment "{text}"',
            "remove the comment that says {text}",
            "# {text} can go",
            'the comment "{text}" is outdated, remove it',
            "take out # {text}",
            'no need for the comment "{text}"',
        ),
        "above": (
            "remove the comment above {what}",
            "[delete|drop] the comment above {what}",
            "no comment above {what}",
            "get rid of the comment before {what}",
            "the comment above {what} can go",
            "take out the comment above {what}",
            "{what} does not need the comment above it",
            "strip the comment over {what}",
            "delete the comment on top of {what}",
        ),
        "every": (
            "remove [all|the] comments",
            "[delete|strip|drop] all comments",
            "remove every comment",
            "no comments[ please|]",
            "strip comments",
            "get rid of [all |]the comments",
            "take the comments out",
            "without comments",
            "comments can go, all of them",
        ),
    },
    "comment_out": {
        "line": (
            "comment out {what}",
            "comment out the line {what}",
            "comment {what} out",
            "make {what} a comment",
            "turn {what} into a comment",
            "put a # before {what}",
            "[disable|deactivate] the line {what} with a comment",
            "comment out: {what}",
            "{what} should be commented out",
            "# {what}",
        ),
        "call": (
            "comment out the {what} call",
            "comment out the call [of|to] {what}",
            "comment the {what} line out",
            "put a # before the {what} call",
            "turn the call of {what} into a comment",
            "comment out {what}()",
            "[disable|deactivate] the {what} call with a comment",
            "the {what} call should be commented out",
            "make the {what} line a comment",
        ),
    },
    "uncomment": {
        "line": (
            "uncomment {what}",
            "uncomment the line {what}",
            "comment {what} back in",
            "remove the # before {what}",
            "[enable|activate] the line {what} again",
            "{what} should not be commented out",
            "bring {what} back",
            "uncomment: {what}",
            "the commented line {what} should be code again",
            "take the # away from {what}",
        ),
        "call": (
            "uncomment the {what} call",
            "uncomment the call [of|to] {what}",
            "comment the {what} line back in",
            "remove the # before the {what} call",
            "[enable|activate] the {what} call again",
            "uncomment {what}()",
            "the {what} call should not be commented out",
            "bring the {what} call back",
            "call {what} again, it is commented out",
        ),
    },
}
