"""Judges candidates before they leave: an edit that breaks the file, says nothing, or runs in circles is none (design 5)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cromwell.contract.languages import is_python, syntax_tree
from cromwell.contract.prompt import SPECIAL_TOKENS
from cromwell.contract.text import to_lf

if TYPE_CHECKING:
    from tree_sitter import Node

REPEATS = "repeats itself"
# A loop: at least LOOP_COPIES of up to LOOP_PERIOD tokens in a row, LOOP_TOKENS in all; or LOOP_LINE_COPIES of a block of 3 lines or more.
LOOP_PERIOD, LOOP_COPIES, LOOP_TOKENS = 32, 4, 32
LOOP_LINES, LOOP_LINE_COPIES = range(3, 41), 3


def fault_count(root: Node) -> int:
    """Places of a syntax tree where the grammar did not fit: error nodes and nodes made up to go on."""
    count, pending = 0, [root]
    while pending:
        node = pending.pop()
        if node.has_error:
            count += node.is_error + node.is_missing
            pending += node.children
    return count


def compiles(source: bytes) -> bool:
    """Whether Python takes `source`; it is not run. tree-sitter forgives much that Python refuses, such as a wrong dedent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(source, "<candidate>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return False
    return True


def longest_run(items: Sequence[Any], period: int) -> int:
    """Length of the longest stretch of `items` that repeats with `period`; the first copy is not counted."""
    best = run = 0
    for index in range(period, len(items)):
        run = run + 1 if items[index] == items[index - period] else 0
        best = max(best, run)
    return best


def is_loop(old_tokens: Sequence[int], new_tokens: Sequence[int]) -> bool:
    """Whether the new tokens repeat an n-gram over and over, clearly longer than the old ones do."""
    for period in range(1, min(LOOP_PERIOD, len(new_tokens)) + 1):
        run = longest_run(new_tokens, period)
        if run + period >= max(LOOP_TOKENS, LOOP_COPIES * period) and run > longest_run(old_tokens, period) + 2 * period:
            return True
    return False


def repeats_block(old: bytes, new: bytes) -> bool:
    """Whether the new text holds the same block of lines several times in a row and the old one does not."""
    old_lines, new_lines = ([line for line in text.split(b"\n") if line.strip()] for text in (old, new))
    return any(longest_run(new_lines, period) >= (LOOP_LINE_COPIES - 1) * period > longest_run(old_lines, period) for period in LOOP_LINES)


class Gate:
    """The tests for candidates of one region: `raw` is the whole file, lines end as `eol` says."""

    def __init__(self, path: str, raw: bytes, start: int, end: int, eol: str, region_tokens: Sequence[int]):
        self.path, self.raw, self.start, self.end, self.eol = path, raw, start, end, eol
        self.old, self.old_tokens = raw[start:end], region_tokens
        self._old_faults: int | None = None
        self._old_compiles = False

    def refusal(self, new: bytes, new_tokens: Sequence[int], stop: str) -> str | None:
        """Why a replacement (with the file's line ends) is no edit, or None. `stop` says how its generation ended:
        "token" or "string" by itself, "length" or "caller" before that."""
        if stop in ("length", "caller"):
            return REPEATS if is_loop(self.old_tokens, new_tokens) else f"cut off after {len(new_tokens)} tokens"
        if any(token < len(SPECIAL_TOKENS) for token in new_tokens):
            return "holds a special token"
        try:
            new.decode("utf-8")
        except UnicodeDecodeError:
            return "not UTF-8"
        if b"\0" in new:
            return "holds a NUL byte"
        if not new.strip() and self.old.strip():
            return "empty"
        if new == self.old:
            return "unchanged"
        if is_loop(self.old_tokens, new_tokens) or repeats_block(to_lf(self.old, self.eol), to_lf(new, self.eol)):
            return REPEATS
        return "does not parse" if self._parses_worse(new) else None

    def _parses_worse(self, new: bytes) -> bool:
        tree = syntax_tree(self.path, to_lf(self.raw[:self.start] + new + self.raw[self.end:], self.eol))
        if tree is None:
            return False
        if self._old_faults is None:
            old_tree = syntax_tree(self.path, to_lf(self.raw, self.eol))
            self._old_faults = fault_count(old_tree) if old_tree else 0
            self._old_compiles = is_python(self.path) and compiles(self.raw)
        if fault_count(tree) > self._old_faults:
            return True
        return self._old_compiles and not compiles(self.raw[:self.start] + new + self.raw[self.end:])
