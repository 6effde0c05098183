"""What a codemod does to a piece of Python: renames, values, statements, found by tokens. No syntax tree, so that any window will do.

Every function returns the new text, or None where there is nothing to change."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .lexer import CLOSE, OPEN, Line, Token, code, lex, logical_lines

_JOINING = frozenset(("not", "and", "or", "in", "is", "if", "else"))


def is_literal(text: str) -> bool:
    """Whether `text` is a number, a string, a boolean or None."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def is_name(text: str) -> bool:
    """Whether `text` is a name, perhaps dotted."""
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", text) is not None


def splice(text: str, places: list[tuple[int, int]], new: str) -> str | None:
    """`text` with `new` at all places, None without any."""
    if not places:
        return None
    parts, position = [], 0
    for start, end in sorted(places):
        parts += [text[position:start], new]
        position = end
    return "".join([*parts, text[position:]])


def _runs(tokens: list[Token], wanted: list[str]) -> Iterator[int]:
    """Where in `tokens` these texts stand one after the other."""
    for i in range(len(tokens) - len(wanted) + 1):
        if wanted and all(tokens[i + k].text == part for k, part in enumerate(wanted)):
            yield i


def _at(tokens: list[Token], i: int) -> str:
    return tokens[i].text if 0 <= i < len(tokens) else ""


def _keywords(tokens: list[Token]) -> set[int]:
    """The places of names that are keywords of a call: `name=` inside brackets, but not in a `def`."""
    found, stack = set(), []
    for i, token in enumerate(tokens):
        if token.text in OPEN:
            stack.append(token.text == "(" and _at(tokens, i - 2) == "def")
        elif token.text in CLOSE and stack:
            stack.pop()
        elif token.kind == "name" and stack and not stack[-1] and _at(tokens, i + 1) == "=" and _at(tokens, i - 1) in ("(", ","):
            found.add(i)
    return found


def rename(text: str, old: str, new: str, attribute: bool = False) -> str | None:
    """Another name for a variable, or for an attribute where it is asked for or `old` is nothing else; a dotted `old` as it stands."""
    if not is_name(old) or not is_name(new):
        return None
    tokens, parts = code(text), [token.text for token in code(old)]
    keywords = _keywords(tokens)
    runs = list(_runs(tokens, parts))
    plain = [i for i in runs if _at(tokens, i - 1) != "." and i not in keywords]
    after_dot = [i for i in runs if _at(tokens, i - 1) == "."]
    chosen = after_dot if attribute or not plain and len(parts) == 1 else plain
    places = [(tokens[i].start, tokens[i + len(parts) - 1].end) for i in chosen]
    if chosen is plain:
        places += _in_f_strings(tokens, old)
    return splice(text, places, new)


def _in_f_strings(tokens: list[Token], old: str) -> list[tuple[int, int]]:
    places = []
    for token in tokens:
        if token.kind == "string" and re.match(r"[rR]?[fF]", token.text):
            for field in re.finditer(r"\{[^{}]*\}", token.text):
                for match in re.finditer(rf"(?<![\w.'\"]){re.escape(old)}(?![\w'\"])", field.group()):
                    start = token.start + field.start() + match.start()
                    places.append((start, start + len(old)))
    return places


def replace_call(text: str, old: str, new: str) -> str | None:
    """Another callee for every call of `old`."""
    tokens, parts = code(text), [token.text for token in code(old)]
    places = [
        (tokens[i].start, tokens[i + len(parts) - 1].end)
        for i in _runs(tokens, parts)
        if _at(tokens, i + len(parts)) == "(" and _at(tokens, i - 1) not in (".", "def", "class")
    ]
    return splice(text, places, new)


def replace_code(text: str, old: str, new: str) -> str | None:
    """`new` for every place where the tokens of `old` stand; strings are equal whatever their quotes."""
    tokens, parts = code(text), [token.text for token in code(old)]
    places = [(tokens[i].start, tokens[i + len(parts) - 1].end) for i in _runs(tokens, parts)]
    if not places and len(parts) == 1 and parts[0][:1] in "'\"":
        places = [(token.start, token.end) for token in tokens if token.kind == "string" and _same_string(token.text, old)]
    return splice(text, places, new)


def _same_string(one: str, other: str) -> bool:
    try:
        return ast.literal_eval(one) == ast.literal_eval(other)
    except (ValueError, SyntaxError):
        return False


def set_value(text: str, label: str, new: str, old: str | None = None, default: bool = False) -> str | None:
    """A new value for what is assigned to `label`: a variable, an attribute, a keyword, a parameter's default, the value of a key.

    Of several places the first whose value is `old` or, without one, a literal; else the first. `default`: parameters alone."""
    tokens = code(text)
    parts = [token.text for token in code(label)]
    found = []
    for i in range(len(tokens)):
        if all(_at(tokens, i + k) == part for k, part in enumerate(parts)):
            first = _value_start(tokens, i + len(parts))
        elif tokens[i].kind == "string" and _at(tokens, i + 1) == ":" and tokens[i].text.strip("'\"") == label:
            first = i + 2
        else:
            continue
        last = _value_end(tokens, first) if first else first
        if first and last > first and (not default or _in_def(tokens, i)):
            found.append((tokens[first].start, tokens[last - 1].end))
    if old is not None:
        found = [place for place in found if text[slice(*place)] == old or _same_string(text[slice(*place)], old)]
    literal = [place for place in found if is_literal(text[slice(*place)])]
    return splice(text, (literal or found)[:1], new)


def _value_start(tokens: list[Token], i: int) -> int:
    """The place of the value after a label that ends before `i`, over an annotation; 0 where no value is assigned."""
    if _at(tokens, i) == ":":
        depth = 0
        for k in range(i + 1, min(len(tokens), i + 40)):
            word = tokens[k].text
            depth += (word in OPEN) - (word in CLOSE)
            if depth < 0 or depth == 0 and word in (",", ":"):
                return 0
            if depth == 0 and word == "=":
                return k + 1
        return 0
    return i + 1 if _at(tokens, i) == "=" else 0


def _value_end(tokens: list[Token], first: int) -> int:
    """The place after the value that starts at `first`: before a comma, a closing bracket or the end of the line."""
    depth = 0
    for k in range(first, len(tokens)):
        word = tokens[k].text
        if depth == 0 and (word in CLOSE or word == "," or word == ":" or k > first and _new_statement(tokens, k)):
            return k
        depth += (word in OPEN) - (word in CLOSE)
    return len(tokens)


def _new_statement(tokens: list[Token], k: int) -> bool:
    """Whether token k stands where only a new statement can: right after an operand, and itself none of an expression's operators."""
    before, here = tokens[k - 1], tokens[k]
    ends = before.kind in ("name", "number", "string") and before.text not in _JOINING | {"lambda", "await"}
    begins = here.kind in ("name", "number") and here.text not in _JOINING | {"for"}
    return (ends or before.text in CLOSE) and (begins or here.text == "@")


def _in_def(tokens: list[Token], i: int) -> bool:
    depth = 0
    for k in range(i - 1, -1, -1):
        depth += (tokens[k].text in CLOSE) - (tokens[k].text in OPEN)
        if depth < 0:
            return tokens[k].text == "(" and _at(tokens, k - 2) == "def"
    return any(token.text == "lambda" for token in tokens[:i])


def _extent(text: str, line: Line) -> tuple[int, int]:
    """Where a logical line's physical lines start and end."""
    newline = text.find("\n", line.tokens[-1].end)
    return line.start - line.indent, len(text) if newline < 0 else newline + 1


def remove(text: str, what: str) -> str | None:
    """Without the statement that is `what`, or calls it, sets it, or is the only one of that sort (return, raise, assert ..)."""
    lines, parts = logical_lines(text), [token.text for token in code(what)]
    exact = [line for line in lines if [token.text for token in line.tokens] == parts]
    form = [line for line in lines if parts == [line.tokens[0].text]]
    called = [line for line in lines if _starts(line, [*parts, "("])]
    bound = [line for line in lines if any(_starts(line, [*parts, sign]) for sign in ("=", ":", "+=", "-="))]
    named = [line for line in lines if any(token.text in (what, f"{what!r}") for token in line.tokens)]
    for found in (exact, form, called, bound, named):
        if len(found) == 1 and len(lines) > 1 and parts:
            return remove_lines(text, found[0])
    return None


def remove_lines(text: str, line: Line) -> str:
    """Without a logical line."""
    start, end = _extent(text, line)
    return text[:start] + text[end:]


def _starts(line: Line, words: list[str]) -> bool:
    return [token.text for token in line.tokens[: len(words)]] == words


def insert(text: str, statement: str, what: str, after: bool) -> str | None:
    """With a statement on a line of its own before or after the line `what`; "return" is the only line that returns."""
    parts, lines = [token.text for token in code(what)], logical_lines(text)
    found = [line for line in lines if [token.text for token in line.tokens] == parts]
    found = found or [line for line in lines if what == line.tokens[0].text]
    return put_line(text, found[0], statement, after) if found and statement else None


def insert_first(text: str, statement: str, function: str) -> str | None:
    """With a statement first in the body of a function, after its docstring."""
    lines = logical_lines(text)
    for line, body in zip(lines, lines[1:], strict=False):
        words = [token.text for token in line.tokens]
        if function in words[1:3] and words[0] in ("def", "async", "class") and body.indent > line.indent:
            return put_line(text, body, statement, after=len(body.tokens) == 1 and body.tokens[0].kind == "string")
    return None


def put_line(text: str, line: Line, statement: str, after: bool) -> str:
    """With a statement on a line of its own before or after a logical line, as far to the right."""
    start, end = _extent(text, line)
    place = end if after else start
    lead = "" if place == 0 or text[place - 1] == "\n" else "\n"
    return text[:place] + lead + " " * line.indent + statement + "\n" + text[place:]


def import_name(text: str, name: str, module: str) -> str | None:
    """With another name at the end of `from module import ..`."""
    for line in logical_lines(text):
        if _starts(line, ["from", *(token.text for token in code(module)), "import"]):
            last = line.tokens[-1]
            if last.text != ")":
                return splice(text, [(last.end, last.end)], f", {name}")
            before = line.tokens[-2]
            inner = [token for token in lex(text) if before.end <= token.start < last.start]
            newline = any(token.kind == "newline" for token in inner)
            if before.text == ",":
                pad = " " * _column(text, before, line) if newline else " "
                return splice(text, [(before.end, before.end)], f"\n{pad}{name}," if newline else f"{pad}{name}")
            return splice(text, [(before.end, before.end)], f", {name}")
    return None


def _column(text: str, token: Token, line: Line) -> int:
    start = text.rfind("\n", 0, token.start) + 1
    stripped = text[start:].lstrip(" ")
    return len(text) - start - len(stripped) if start > line.start else line.indent + 4
