"""Held-out edits: the JSON lines that `training.data` writes, read and checked."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from cromwell.contract import prompt

from .lines import EvaluationError, json_lines, text_field

REQUIRED = ("path", "before", "region", "after", "instruction", "new_region", "kind")
OPTIONAL = ("package", "template", "test")


class Example(NamedTuple):
    """One edit. The lines `before` and `after` stand around the region; `test` is Python that runs after the edited lines and raises
    where they are wrong, "" where there is none."""

    path: str
    before: str
    region: str
    after: str
    instruction: str
    new_region: str
    kind: str
    package: str = ""
    template: str = ""
    test: str = ""

    @property
    def target(self) -> prompt.Target:
        """The region and what is around it, as the prompt takes them."""
        return prompt.Target(*(text.encode() for text in (self.path, self.before, self.region, self.after)))


def read_examples(path: Path, limit_per_kind: int | None = None, kinds: Collection[str] = ()) -> list[Example]:
    """The edits of a file in its order, at most `limit_per_kind` of each kind, evenly from all of the file, of `kinds` alone when there are
    any. EvaluationError for a damaged line, a kind that the file lacks, and an empty file."""
    rows = []
    for where, row in json_lines(path):
        fields = {name: text_field(where, row, name) for name in REQUIRED}
        rows.append(Example(**fields, **{name: text_field(where, row, name, "") for name in OPTIONAL}))
        if not rows[-1].kind:
            raise EvaluationError(f'{where}: "kind" is empty')
    if not rows:
        raise EvaluationError(f"{path}: holds no edits")
    there = sorted({row.kind for row in rows})
    for kind in kinds:
        if kind not in there:
            raise EvaluationError(f"{path}: no edits of kind {kind!r}; it has {', '.join(there)}")
    of_kind: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if not kinds or row.kind in kinds:
            of_kind.setdefault(row.kind, []).append(number)
    if limit_per_kind is None:
        chosen = [number for members in of_kind.values() for number in members]
    else:
        counts = {kind: min(limit_per_kind, len(members)) for kind, members in of_kind.items()}
        chosen = [members[i * len(members) // counts[kind]] for kind, members in of_kind.items() for i in range(counts[kind])]
    return [rows[number] for number in sorted(chosen)]
