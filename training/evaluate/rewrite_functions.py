"""What a codemod does to functions and calls: parameters, keywords, annotations, decorators, docstrings, comments; found by tokens as in
rewrite.py. Every function returns the new text, or None where there is nothing to change."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .lexer import CLOSE, OPEN, Line, Token, code, logical_lines
from .rewrite import put_line, remove_lines, splice


def _piece_ends(tokens: list[Token], first: int) -> list[tuple[int, int]]:
    """(first, last) places of the pieces between commas of the brackets that open before `first`; the last one ends at the closing one."""
    pieces, depth, start = [], 0, first
    for k in range(first, len(tokens)):
        word = tokens[k].text
        if depth == 0 and (word in CLOSE or word == ","):
            if k > start:
                pieces.append((start, k))
            start = k + 1
            if word in CLOSE:
                return pieces
        depth += (word in OPEN) - (word in CLOSE)
    return []


def _heads(tokens: list[Token], function: str | None) -> Iterator[int]:
    """The places after the opening bracket of `def function(`; of every function without a name."""
    for k in range(len(tokens) - 2):
        if tokens[k].text == "def" and tokens[k + 2].text == "(" and function in (None, tokens[k + 1].text):
            yield k + 3


def _calls(tokens: list[Token], callee: str) -> Iterator[int]:
    """The places after the opening bracket of calls of `callee`."""
    parts = [token.text for token in code(callee)]
    for k in range(len(tokens) - len(parts)):
        there = [token.text for token in tokens[k : k + len(parts)]]
        if parts and there == parts and tokens[k + len(parts)].text == "(" and (k == 0 or tokens[k - 1].text not in (".", "def", "class")):
            yield k + len(parts) + 1


def _append(text: str, tokens: list[Token], first: int, piece: str) -> str | None:
    """With another piece at the end of the brackets that open before `first`."""
    pieces = _piece_ends(tokens, first)
    if not pieces:
        closing = first < len(tokens) and tokens[first].text in CLOSE
        return splice(text, [(tokens[first].start, tokens[first].start)], piece) if closing else None
    end = tokens[pieces[-1][1] - 1].end
    return splice(text, [(end, end)], f", {piece}")


def _drop(text: str, tokens: list[Token], pieces: list[tuple[int, int]], i: int) -> str | None:
    """Without piece i of some brackets and one comma."""
    if i + 1 < len(pieces):
        return splice(text, [(tokens[pieces[i][0]].start, tokens[pieces[i + 1][0]].start)], "")
    start = tokens[pieces[i - 1][1] - 1].end if i else tokens[pieces[i][0]].start
    return splice(text, [(start, tokens[pieces[i][1] - 1].end)], "")


def add_parameter(text: str, function: str, parameter: str) -> str | None:
    """Another parameter at the end of a function's."""
    tokens = code(text)
    return next((_append(text, tokens, first, parameter) for first in _heads(tokens, function)), None)


def add_keyword(text: str, callee: str, keyword: str) -> str | None:
    """Another keyword at the end of a call's arguments."""
    tokens = code(text)
    return next((_append(text, tokens, first, keyword) for first in _calls(tokens, callee)), None)


def remove_argument(text: str, name: str, place: str | None) -> str | None:
    """Without a function's parameter or a call's keyword; `place` is the function or callee, None any function."""
    tokens = code(text)
    starts = [*_heads(tokens, place), *(_calls(tokens, place) if place else ())]
    for first in starts:
        pieces = _piece_ends(tokens, first)
        for i, (start, _) in enumerate(pieces):
            if tokens[start].text == name:
                return _drop(text, tokens, pieces, i)
    return None


def _parameters(text: str) -> Iterator[tuple[list[Token], int, int]]:
    """(tokens, first, last) of every parameter of every function."""
    tokens = code(text)
    for first in _heads(tokens, None):
        for start, end in _piece_ends(tokens, first):
            yield tokens, start, end


def add_default(text: str, name: str, value: str) -> str | None:
    """A default for a parameter that has none."""
    for tokens, start, end in _parameters(text):
        words = [token.text for token in tokens[start:end]]
        if words[0] == name and "=" not in words:
            return splice(text, [(tokens[end - 1].end, tokens[end - 1].end)], f" = {value}" if ":" in words else f"={value}")
    return None


def remove_default(text: str, name: str) -> str | None:
    """A parameter without its default."""
    for tokens, start, end in _parameters(text):
        words = [token.text for token in tokens[start:end]]
        if words[0] == name and "=" in words:
            return splice(text, [(tokens[start + words.index("=") - 1].end, tokens[end - 1].end)], "")
    return None


def annotate(text: str, name: str, kind: str) -> str | None:
    """A type for a parameter or an assigned variable, in place of the one it may have; "" for none."""
    new = f": {kind}" if kind else ""
    for tokens, start, end in _parameters(text):
        words = [token.text for token in tokens[start:end]]
        if words[0] == name:
            last = start + words.index("=") if "=" in words else end
            if "=" in words and (":" in words) != bool(kind):  # spaces around "=" where there is a type, none otherwise
                return splice(text, [(tokens[start].end, tokens[last + 1].start)], f"{new} = " if kind else "=")
            return splice(text, [(tokens[start].end, tokens[last - 1].end)], new)
    for line in logical_lines(text):
        words = [token.text for token in line.tokens]
        parts = [token.text for token in code(name)]
        if words[: len(parts)] == parts and len(words) > len(parts) and words[len(parts)] in (":", "=") and "=" in words:
            return splice(text, [(line.tokens[len(parts) - 1].end, line.tokens[words.index("=") - 1].end)], new)
    return None


def annotate_return(text: str, function: str, kind: str) -> str | None:
    """A return type for a function, in place of the one it may have; "" for none."""
    tokens = code(text)
    for first in _heads(tokens, function):
        depth = 1
        for k in range(first, len(tokens)):
            depth += (tokens[k].text in OPEN) - (tokens[k].text in CLOSE)
            if depth == 0 and tokens[k].text == ":":
                closing = next(i for i in range(k - 1, -1, -1) if tokens[i].text == ")" and tokens[i + 1].text in (":", "->"))
                return splice(text, [(tokens[closing].end, tokens[k].start)], f" -> {kind}" if kind else "")
    return None


def rename_keyword(text: str, old: str, new: str) -> str | None:
    """Another name for a keyword of calls."""
    tokens, places = code(text), []
    for k in range(1, len(tokens) - 1):
        if tokens[k].text == old and tokens[k + 1].text == "=" and tokens[k - 1].text in ("(", ","):
            places.append((tokens[k].start, tokens[k].end))
    return splice(text, places, new)


def swap(text: str, one: str, other: str) -> str | None:
    """Two arguments side by side in each other's place."""
    tokens, parts, others = code(text), [token.text for token in code(one)], [token.text for token in code(other)]
    for first, second, new in ((parts, others, f"{other}, {one}"), (others, parts, f"{one}, {other}")):
        wanted = [*first, ",", *second]
        for k in range(len(tokens) - len(wanted) + 1):
            if [token.text for token in tokens[k : k + len(wanted)]] == wanted:
                return splice(text, [(tokens[k].start, tokens[k + len(wanted) - 1].end)], new)
    return None


def _definition(text: str, name: str | None) -> tuple[Line, Line] | None:
    """The first line of a function or class (the first one without a name), and the first of its body."""
    lines = logical_lines(text)
    for line, body in zip(lines, lines[1:], strict=False):
        words = [token.text for token in line.tokens]
        if words[0] in ("def", "async", "class") and (name is None or name in words[1:3]) and body.indent > line.indent:
            return line, body
    return None


def decorate(text: str, name: str, decorator: str) -> str | None:
    """With a decorator just above a function or class, below those it has."""
    for line in logical_lines(text):
        words = [token.text for token in line.tokens]
        if words[0] in ("def", "async", "class") and name in words[1:3]:
            return put_line(text, line, "@" + decorator.removeprefix("@"), after=False)
    return None


def make_async(text: str, name: str) -> str | None:
    """A function as a coroutine."""
    tokens = code(text)
    found = [k for k in range(len(tokens) - 1) if tokens[k].text == "def" and tokens[k + 1].text == name]
    return splice(text, [(tokens[k].start, tokens[k].start) for k in found if not k or tokens[k - 1].text != "async"], "async ")


def docstring(text: str, name: str | None, words: str | None) -> str | None:
    """With this docstring for a function or class (the first one without a name), in place of the one it may have; without it for None."""
    found = _definition(text, name)
    if found is None:
        return None
    body = found[1]
    there = len(body.tokens) == 1 and body.tokens[0].kind == "string"
    if words is None:
        return remove_lines(text, body) if there else None
    quoted = f'"""{words}"""'
    return splice(text, [(body.tokens[0].start, body.tokens[0].end)], quoted) if there else put_line(text, body, quoted, after=False)


def comment_out(text: str, what: str) -> str | None:
    """A line as a comment."""
    return _sub_line(text, rf"^([ \t]*)({re.escape(what)}[^\n]*)$", r"\1# \2")


def uncomment(text: str, what: str) -> str | None:
    """A commented line as code."""
    return _sub_line(text, rf"^([ \t]*)# ?({re.escape(what)}[^\n]*)$", r"\1\2")


def _sub_line(text: str, pattern: str, new: str) -> str | None:
    found, count = re.subn(pattern, new, text, count=1, flags=re.MULTILINE)
    return found if count else None


def remove_calls(text: str, callee: str) -> str | None:
    """Without the lines that call `callee` and do no more."""
    parts, found = [*(token.text for token in code(callee)), "("], text
    for line in reversed(logical_lines(text)):
        if [token.text for token in line.tokens[: len(parts)]] == parts:
            found = remove_lines(found, line)
    return found if found != text else None


def remove_import(text: str, name: str) -> str | None:
    """Without the import of a name or module; the line goes where nothing else is imported on it."""
    for line in logical_lines(text):
        words = [token.text for token in line.tokens]
        if words[0] not in ("import", "from") or name not in words and name not in "".join(words):
            continue
        first = words.index("import") + 1
        first += first < len(words) and words[first] == "("
        pieces = _piece_ends([*line.tokens, Token("op", ")", line.tokens[-1].end)], first)
        for i, (start, end) in enumerate(pieces):
            if name in ("".join(words[start:end]), words[end - 1]):
                return _drop(text, line.tokens, pieces, i) if len(pieces) > 1 else remove_lines(text, line)
    return None


def is_none(text: str) -> str | None:
    """None compared by identity."""
    found = re.sub(r"!=\s*None\b", "is not None", re.sub(r"==\s*None\b", "is None", text))
    return found if found != text else None


def negated_membership(text: str) -> str | None:
    """`a not in b` for `not a in b`, and so for `is`."""
    found = re.sub(r"\bnot ([\w.\[\]'\"()]+) (in|is) ", lambda m: f"{m[1]} not in " if m[2] == "in" else f"{m[1]} is not ", text)
    return found if found != text else None


def augment(text: str) -> str | None:
    """`a += b` for `a = a + b`, and so for the other operators."""
    found = re.sub(r"^([ \t]*)([\w.]+) = \2 (\*\*|//|<<|>>|[-+*/%&|^]) (.+)$", r"\1\2 \3= \4", text, flags=re.MULTILINE)
    return found if found != text else None
