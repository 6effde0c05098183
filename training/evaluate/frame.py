"""Makes a window of a Python file a program of its own, so that what is put into it can be parsed and compiled.

A window may start in the middle of a function and end before its `try` does. A frame opens the blocks that it lies in and closes those
that it leaves open:

    def f():                       opened
     while 1:                      opened
        try:                       opened
            return left            the window
        except ValueError:
            if right:
             pass                  closed

The frame is found with the region as it was and used with every answer alike."""

from __future__ import annotations

import ast
import warnings
from typing import NamedTuple

from .lexer import Line, logical_lines

_CONTINUES = {"elif": "if 1:", "else": "while 1:", "except": "try:", "finally": "try:"}
_BODY = frozenset(("if", "else", "elif", "for", "while", "try", "except", "finally", "with", "def", "class", "async", "match", "case"))


class Frame(NamedTuple):
    """What stands before and after a region in its program."""

    before: str
    after: str

    def program(self, region: str) -> str:
        """The program with this region."""
        return self.before + region + self.after


def tree(program: str, compiled: bool = False) -> ast.Module | None:
    """The syntax tree of a program, None where it does not parse or, if that is asked, compile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parsed = ast.parse(program)
            if compiled:
                compile(program, "<window>", "exec", dont_inherit=True)
            return parsed
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def frame(before: str, region: str, after: str) -> Frame | None:
    """A frame in which the region compiles, with as much of its surroundings as can be; else one in which it parses; else None."""
    for compiled in (True, False):
        for left, right in ((before, after), ("", after), (before, ""), ("", "")):
            for function in ("def f():", "async def f():"):
                opened, closed = _ends(left + region + right, function)
                found = Frame(opened + left, right + closed)
                if tree(found.program(region), compiled) is not None:
                    return found
    return None


def _ends(text: str, function: str) -> tuple[str, str]:
    """What opens the blocks around a window, and what closes those that it leaves open."""
    lines = logical_lines(text)
    if not lines:
        return "", ""
    newline = "" if text.endswith("\n") else "\n"
    return _opening(lines, function), newline + _closing(lines)


def _opening(lines: list[Line], function: str) -> str:
    lowest, levels = lines[0].indent, {}
    for line in lines[1:]:
        if line.indent < lowest:
            lowest = line.indent
            levels[lowest] = _CONTINUES.get(line.tokens[0].text, "while 1:")
    if lines[0].indent and levels.get(0, "while 1:") == "while 1:":
        levels[0] = function  # `return` and `await` need one
    if lines[0].indent > 1 and 1 not in levels:
        levels[1] = "while 1:"  # `break` and `continue` need one
    opened = "".join(f"{' ' * indent}{opener}\n" for indent, opener in sorted(levels.items()))
    first = lines[0].tokens[0].text
    if first in _CONTINUES:  # the window starts with the second half of a statement
        pad = " " * lines[0].indent
        opened += f"{pad}{_CONTINUES[first]}\n{pad} pass\n"
    return opened


def _closing(lines: list[Line]) -> str:
    closed = ""
    last, pad = lines[-1], " " * lines[-1].indent
    if last.tokens[0].text == "@":
        closed += f"{pad}def f(): pass\n"
    elif last.tokens[-1].text == ":" and last.tokens[0].text in _BODY:
        closed += f"{pad} pass\n"
    open_tries: list[int] = []
    for line in lines:
        while open_tries and open_tries[-1] > line.indent:
            open_tries.pop()
        word = line.tokens[0].text
        if word == "try":
            open_tries.append(line.indent)
        elif word in ("except", "finally") and open_tries and open_tries[-1] == line.indent:
            open_tries.pop()
    return closed + "".join(f"{' ' * indent}finally:\n{' ' * indent} pass\n" for indent in reversed(open_tries))
