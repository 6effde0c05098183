"""Damaging real code: the real region is the gold of a repair, a damaged copy of it is what the model sees.

A kind of repair picks a node of the real code and says how to damage it. A Scene holds both sides and finds out what an instruction can
say about the difference: `precise…` variants let the gold be known from the instruction and the damaged code, `vague…` ones do not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from random import Random

from . import source
from .splice import Change, Splice, splice
from .view import FUNCTION, Draft, View

MAX_FRAGMENT = 60  # characters of code quoted in an instruction
MAX_PARENTS = 3  # how far around a damaged node the quoted code may reach
PRECISE_SHARE = 0.6  # of the repairs that could be worded either way
_WORD = re.compile(r"\w")

Options = list[tuple[str, dict[str, str]]]  # (variant, slots)


def expression(text: str) -> ast.expr:
    """The tree of an expression's source."""
    return ast.parse(text, mode="eval").body


def indent_of(line: bytes) -> bytes:
    """The white space that a line begins with."""
    return line[: len(line) - len(line.lstrip(b" \t"))]


def is_quotable(text: str) -> bool:
    """True for code that an instruction can quote: one short line without comments or backticks."""
    return 0 < len(text) <= MAX_FRAGMENT and not set(text) & set("\n`#") and text.isprintable()


def occurrences(text: str, wanted: str) -> int:
    """How often `wanted` stands in `text` as a whole: not inside a longer word, and a name not as an attribute."""
    before = r"(?<![\w.])" if _WORD.match(wanted[0]) else ""
    after = r"(?!\w)" if _WORD.match(wanted[-1]) else ""
    return len(re.findall(before + re.escape(wanted) + after, text))


class Scene:
    """A view of the real code, and the damaged copy of its region that `splices` make."""

    def __init__(self, view: View, splices: list[Splice]):
        self.view, self.splices = view, splices
        start = view.starts[view.first]
        moved = [Splice(one.start - start, one.end - start, one.text) for one in splices]
        self.text = splice(view.region, moved).decode("utf-8", "replace")  # the damaged region

    @cached_property
    def tree(self) -> ast.Module:
        """The tree of the damaged unit. Raises SyntaxError where it does not parse."""
        return source.parse_indented(splice(self.view.text, self.splices))

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around one of the real tree, innermost first."""
        outer = self.view.parent(node)
        while outer is not None:
            yield outer
            outer = self.view.parent(outer)

    def function(self, node: ast.AST) -> str:
        """The name of the innermost function around a node of the real tree, or of the node itself; "" outside of functions."""
        return next((one.name for one in (node, *self.around(node)) if isinstance(one, FUNCTION)), "")

    def settles(self, old: str, new: str) -> bool:
        """True when `old` stands once in the damaged region, and `new` in its place gives the real one."""
        if not is_quotable(old) or not is_quotable(new) or old == new or occurrences(self.text, old) != 1:
            return False
        before = r"(?<![\w.])" if _WORD.match(old[0]) else ""
        after = r"(?!\w)" if _WORD.match(old[-1]) else ""
        return re.sub(before + re.escape(old) + after, lambda _: new, self.text).encode() == self.view.region

    def damaged_source(self, node: ast.AST) -> str:
        """What stands in the damaged text where a node of the real tree stood."""
        start, end = self.view.start(node), self.view.end(node)
        inside = [Splice(one.start - start, one.end - start, one.text) for one in self.splices if start <= one.start and one.end <= end]
        return splice(self.view.text[start:end], inside).decode("utf-8", "replace")

    def fragments(self, node: ast.AST) -> list[tuple[str, str]]:
        """(damaged code, real code) pairs that settle the repair: the node, expressions around it, its whole line."""
        found = []
        quoted = (ast.expr, ast.keyword, ast.arg, ast.Assign, ast.AugAssign, ast.Return, ast.Raise)
        for depth, one in enumerate((node, *self.around(node))):
            if depth > MAX_PARENTS or not isinstance(one, quoted):
                break
            if isinstance(one, ast.Slice):
                continue  # `1:` is no code by itself
            pair = self.damaged_source(one), self.view.source_of(one)
            if self.settles(*pair):
                found.append(pair)
        old, new = self.text.splitlines(), self.view.region.decode("utf-8", "replace").splitlines()
        lines = [(a.strip(), b.strip()) for a, b in zip(old, new, strict=False) if a != b]
        if len(old) == len(new) and len(lines) == 1 and lines[0] not in found and self.settles(*lines[0]):
            found.append(lines[0])
        return found

    def called_once(self, callee: str) -> bool:
        """True when the damaged region calls `callee` in one place and names it nowhere else."""
        return bool(callee) and self.text.count(callee + "(") == 1 and occurrences(self.text, callee) == 1

    def line(self, statement: ast.stmt) -> str:
        """The source of a statement of the real tree on one line, when that line stands once in the damaged region; else ""."""
        text = self.view.source_of(statement)
        lines = [line.split("#")[0].strip() for line in self.text.splitlines()]
        return text if is_quotable(text) and lines.count(text) == 1 else ""


def draft(
    kind: str, scene: Scene, node: ast.AST, changes: dict[int, Change], rng: Random, precise: Options, hints: Options | None = None
) -> Draft | None:
    """The draft of a repair, worded by one of the `precise` options, by quoting the damaged code, by one of the `hints` (which name the
    kind of mistake or what it does) or not at all ("fix the bug in parse_header")."""
    exact = precise * 2 + [("precise_fragment", {"old": old, "new": new}) for old, new in scene.fragments(node)]
    function = scene.function(node)
    hints = [("vague_hint", {}), *(hints or []), *([("vague_hint_in", {"func": function})] if function else [])]
    plain = [("vague", {}), *([("vague_in", {"func": function})] * 2 if function else [])]
    options = exact if exact and rng.random() < PRECISE_SHARE else hints if rng.random() < 0.7 else plain
    variant, slots = rng.choice(options)
    return Draft(kind, variant, slots, scene.splices, changes, inverse=True)
