"""What every rule needs to say something of a changed piece of code: its lines, the region that is shown, and phrases of quoted code.

Code is quoted only where the region has it once, so that a phrase means one place."""

from __future__ import annotations

import ast
from typing import NamedTuple

from . import source
from .releases_names import fingerprint
from .repairs_damage import occurrences

MAX_QUOTED = 80  # characters of code in a phrase
SIMPLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Assert, ast.Raise, ast.Return, ast.Delete, ast.Pass, ast.Import,
          ast.ImportFrom, ast.Break, ast.Continue, ast.Global, ast.Nonlocal)  # fmt: skip


class Phrase(NamedTuple):
    """One thing that was done; `slots` fill the rule's templates (releases_wording.py)."""

    rule: str
    slots: dict[str, str]


Phrases = list[Phrase]


class Speaker:
    """Both sides of a change, and phrases about it."""

    def __init__(self, old: source.Unit, new: source.Unit, region: bytes):
        self.old_lines, self.new_lines = old.lines, new.lines
        self.region = region.decode("utf-8", "replace")
        self.lines = [line.split("#")[0].strip() for line in self.region.splitlines()]
        self.phrases: Phrases = []
        self.complete = True

    def _say(self, rule: str, **slots: str) -> Phrases:
        return [Phrase(rule, slots)]

    def _take(self, found: Phrases | None) -> None:
        """Note phrases of a difference, or that it cannot be described."""
        if found is None:
            self.complete = False
        else:
            self.phrases += found

    def _text(self, node: ast.AST, old: bool) -> str:
        """Source text of a node of the old or the new tree."""
        lines = self.old_lines if old else self.new_lines
        first, last = node.lineno - 1, node.end_lineno - 1
        if last >= len(lines):
            return ""  # the `pass` that a class head was closed with
        if first == last:
            return lines[first][node.col_offset : node.end_col_offset].decode("utf-8", "replace")
        inner = b"".join([lines[first][node.col_offset :], *lines[first + 1 : last], lines[last][: node.end_col_offset]])
        return inner.decode("utf-8", "replace")

    def _quotable(self, *texts: str) -> bool:
        return all(0 < len(text) <= MAX_QUOTED and text.isprintable() and not set(text) & set("`#") for text in texts)

    def _fragment(self, old: ast.AST, new: ast.AST, rule: str = "replace") -> Phrases | None:
        """'replace OLD with NEW', where the region has OLD once."""
        a, b = self._text(old, True), self._text(new, False)
        if a == b or not self._quotable(a, b) or occurrences(self.region, a) != 1:
            return None
        return self._say(rule, old=a, new=b)

    def _line(self, statement: ast.stmt) -> str:
        """A one-line statement of the old tree, or the first line of a compound one, that the region has once; else ""."""
        text = self._text(statement, True)
        if not isinstance(statement, SIMPLE):
            text = text.split("\n")[0].split("#")[0].strip()
        return text if self._quotable(text) and self.lines.count(text) == 1 else ""


def same(a: ast.AST | None, b: ast.AST | None) -> bool:
    """True for equal trees, wherever they stand."""
    return (a is None) == (b is None) and (a is None or fingerprint(a) == fingerprint(b))


def dump(value: object) -> object:
    """Something comparable for any field of a tree."""
    if isinstance(value, ast.AST):
        return fingerprint(value)
    return [dump(one) for one in value] if isinstance(value, list) else value


def is_text(node: ast.stmt) -> bool:
    """True for a statement that is a string: documentation."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
