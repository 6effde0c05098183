"""Tokens of Python text that need not be whole: windows of a file, answers of a model. Never fails, unlike `tokenize`."""

from __future__ import annotations

import re
from typing import NamedTuple

_STRING = r"""(?i:\b[rbuf]{1,2})?(?:'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^\\'\n]|\\.)*'|"(?:[^\\"\n]|\\.)*")"""
_TOKEN = re.compile(
    rf"(?P<string>{_STRING})"
    r"|(?P<comment>#[^\n]*)"
    r"|(?P<newline>\n)"
    r"|(?P<space>[ \t\f\r]+|\\\n)"
    r"|(?P<number>(?:0[xXoObB][0-9a-fA-F_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?)[jJ]?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<op>\*\*=|//=|>>=|<<=|\.\.\.|->|:=|==|!=|<=|>=|\+=|-=|\*=|/=|%=|&=|\|=|\^=|@=|\*\*|//|<<|>>|.)",
    re.DOTALL,
)
OPEN, CLOSE = frozenset("([{"), frozenset(")]}")


class Token(NamedTuple):
    """A piece of text; `kind` is string, comment, newline, space, number, name or op. All pieces together are the text."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def lex(text: str) -> list[Token]:
    """The tokens of `text`, white space and comments too."""
    return [Token(match.lastgroup or "op", match.group(), match.start()) for match in _TOKEN.finditer(text)]


def code(text: str) -> list[Token]:
    """The tokens of `text` but white space, line ends and comments."""
    return [token for token in lex(text) if token.kind not in ("space", "newline", "comment")]


class Line(NamedTuple):
    """A logical line: its first token's place, the width of its indentation, and its tokens but white space and comments."""

    start: int
    indent: int
    tokens: list[Token]


def logical_lines(text: str) -> list[Line]:
    """The logical lines of `text`: line ends inside brackets end none."""
    found: list[Line] = []
    depth, begin, current = 0, 0, []
    for token in [*lex(text), Token("newline", "\n", len(text))]:
        if token.kind in ("space", "comment"):
            continue
        if token.kind != "newline":
            depth = max(0, depth + (token.text in OPEN) - (token.text in CLOSE))
            current.append(token)
        elif not depth:
            if current:
                start = current[0].start
                found.append(Line(start, start - (text.rfind("\n", 0, start) + 1), current))
            begin, current = token.end, []
    if current:
        found.append(Line(current[0].start, current[0].start - begin, current))
    return found


def shape(text: str) -> list[tuple[int, tuple[str, ...]]]:
    """What of `text` decides its syntax tree: indentation and tokens of every logical line. Equal shapes are equal trees."""
    return [(line.indent, tuple(token.text for token in line.tokens)) for line in logical_lines(text)]
