"""How good one answer to one edit is, as figures that are 0 or 1."""

from __future__ import annotations

import ast
from typing import NamedTuple

from cromwell.binding import diff_lines
from cromwell.contract.languages import is_python, syntax_tree
from cromwell.generate.gate import Gate, fault_count

from .examples import Example
from .frame import Frame, frame, tree
from .lexer import shape

FIGURES = {  # name: (heading, what it says of an answer)
    "exact": ("exact", "equals the gold region byte for byte"),
    "same_tree": ("same tree", "has the gold's syntax tree: layout and comments may differ"),
    "parses": ("parses", "leaves a window that parses"),
    "kept": ("lines kept", "has every line that the gold leaves alone, in order"),
    "finished": ("finished", "ended by itself"),
    "accepted": ("accepted", "passed the gate of cw-generate"),
    "accepted_same_tree": ("right if accepted", "of the accepted: has the gold's syntax tree"),
    "accepted_parses": ("parses if accepted", "of the accepted: leaves a window that parses"),
    "tests": ("tests pass", "of the edits with a test: passes it"),
}
Figures = dict[str, int | None]
"""By name: 1, 0, or None where the figure does not apply."""


class Answer(NamedTuple):
    """What was answered: `text`; `finished`, whether it ended by itself; `accepted`, the text that the gate let through, None when none;
    `refusal`, why; `confidence`, what the model gives the accepted answer, or else the first one, and None where no model answered."""

    text: str
    finished: bool
    accepted: str | None
    refusal: str | None
    confidence: float | None = None


class Window:
    """One edit, its region replaced by answers."""

    def __init__(self, example: Example):
        self.example = example
        self.frame: Frame | None = None
        if is_python(example.path):
            parts = example.before, example.region, example.after
            self.frame = frame(*parts) or frame(example.before, example.new_region, example.after)
        self._gold_tree = self._tree(example.new_region)
        self._gold_shape = None if self._gold_tree else shape(example.new_region)
        self._gold_faults: int | None = None

    def gate(self, region_tokens: list[int]) -> Gate:
        """The gate of cw-generate over the window, in its frame when there is one."""
        before, after = self.frame or (self.example.before, self.example.after)
        raw, start = (before + self.example.region + after).encode(), len(before.encode())
        return Gate(self.example.path, raw, start, start + len(self.example.region.encode()), "lf", region_tokens)

    def unchecked(self, text: str) -> Answer:
        """An answer from elsewhere than the model, put before the gate."""
        refusal = self.gate([]).refusal(text.encode(), [], "token")
        return Answer(text, True, None if refusal else text, refusal)

    def figures(self, answer: Answer) -> Figures:
        """All figures but `tests`, which takes running code."""
        accepted = answer.accepted
        right = answer.finished and answer.text == self.example.new_region
        return {
            "exact": int(right),
            "same_tree": int(answer.finished and self.same_tree(answer.text)),
            "parses": int(answer.finished and self.parses(answer.text)),
            "kept": int(answer.finished and self.keeps_lines(answer.text)),
            "finished": int(answer.finished),
            "accepted": int(accepted is not None),
            "accepted_same_tree": None if accepted is None else int(self.same_tree(accepted)),
            "accepted_parses": None if accepted is None else int(self.parses(accepted)),
            "tests": None,
        }

    def same_tree(self, text: str) -> bool:
        """Whether `text` means what the gold means. Where the window is no program, equal tokens and indentation show it."""
        if text == self.example.new_region:
            return True
        if self._gold_tree is not None:
            return self._tree(text) == self._gold_tree
        return is_python(self.example.path) and shape(text) == self._gold_shape

    def parses(self, text: str) -> bool:
        """Whether the window parses with `text` in it; where it does not even with the gold, whether it has no more faults than then."""
        if self._gold_tree is not None:
            return self.frame is not None and tree(self.frame.program(text)) is not None
        if self._gold_faults is None:
            self._gold_faults = self._faults(self.example.new_region)
        return self._faults(text) <= self._gold_faults

    def keeps_lines(self, text: str) -> bool:
        """Whether the lines that the gold leaves alone are all there, in order."""
        old = self.example.region.splitlines(keepends=True)
        kept, line = [], 0
        for first, count, _, _ in diff_lines(self.example.region.encode(), self.example.new_region.encode()):
            kept += old[line:first]
            line = first + count
        there = iter(text.splitlines(keepends=True))
        return all(line in there for line in kept + old[line:])

    def _tree(self, text: str) -> str | None:
        parsed = tree(self.frame.program(text)) if self.frame else None
        return None if parsed is None else ast.dump(parsed)

    def _faults(self, text: str) -> int:
        root = syntax_tree(self.example.path, (self.example.before + text + self.example.after).encode())
        return 0 if root is None else fault_count(root)
