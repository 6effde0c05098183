"""Fits the weights of file and chunk scores on real commits: logistic regressions whose weights can be read.

A row is a file (or a chunk of a likely file) of the tree before a commit, its label whether the commit changed it. Every commit weighs
the same. Negative weights are allowed: many factors overlap."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.context_commits import Blobs, Question, Repository, clone_name, tree
from benchmarks.context_memory import MemoryIndex
from cromwell.prepare import rank
from cromwell.prepare.pack import candidates, crossed
from cromwell.prepare.rank import factors, history, kinds, query

WEIGHTS = Path(rank.__file__).resolve().parent / "weights.json"
DEPTH = 4000
"""Newest commits of a clone that are read."""


class Rows(NamedTuple):
    """Rows of one regression."""

    names: list[str]
    values: np.ndarray  # [rows, names] float32
    labels: np.ndarray  # [rows] float32
    groups: np.ndarray  # [rows] number of the question
    links: np.ndarray  # [rows] of a chunk: the row of its file


class Collected(NamedTuple):
    """Rows of files and chunks of one repository."""

    repository: str
    files: Rows
    chunks: Rows


class _Table:
    """Rows as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._cells: list[tuple[list[int], list[float]]] = []
        self.labels: list[float] = []
        self.groups: list[int] = []
        self.links: list[int] = []

    def add(self, row: Mapping[str, float], label: float, group: int, link: int = 0) -> None:
        self._cells.append(([self._numbers.setdefault(name, len(self._numbers)) for name in row], list(row.values())))
        self.labels.append(label)
        self.groups.append(group)
        self.links.append(link)

    def rows(self) -> Rows:
        values = np.zeros((len(self._cells), len(self._numbers)), np.float32)
        for number, (columns, cells) in enumerate(self._cells):
            values[number, columns] = cells
        return Rows(list(self._numbers), values, np.array(self.labels, np.float32), np.array(self.groups), np.array(self.links))


def walk(path: Path, count: int, skip: int = 0) -> Iterator[tuple[Question, MemoryIndex, history.History]]:
    """The questions of a repository, the index moved to each one's tree, and the history before it."""
    repository = Repository(path, DEPTH)
    blobs = Blobs(repository.folder)
    index = MemoryIndex(blobs.read)
    try:
        for number, question in enumerate(repository.questions(count)):
            if number >= skip:
                index.move(tree(repository.folder, question.parent))
                if question.target in index.by_path:
                    yield question, index, history.History.build(repository.before(question.parent)[:history.COMMITS])
    finally:
        blobs.close()


def collect(path: Path, count: int) -> Collected:
    """Rows of the newest `count` questions of a repository. Chunks are those of the files likeliest by the present weights."""
    files, chunks = _Table(), _Table()
    for group, (question, index, past) in enumerate(walk(path, count)):
        target = rank.Target(question.target)
        rows, _ = factors.gather(index, target, query.read_query(question.subject), past)
        changed = {file.path: file for file in question.others}
        target_kind = kinds.name_of(question.target).kind
        row_of = {}
        for file in index.files:
            if file.id in rows:
                row_of[file.path] = len(files.labels)
                row = rank.crossed(rows[file.id], kinds.name_of(file.path).kind, target_kind)
                files.add(row, float(file.path in changed), group)
        ranking = rank.rank(index, target, question.subject, past)
        for candidate in candidates(index, target, question.subject, ranking):
            spans = changed[candidate.path].spans if candidate.path in changed else ()
            label = float(any(first <= candidate.chunk.last_line and last >= candidate.chunk.first_line for first, last in spans))
            chunks.add(crossed(candidate.features, kinds.name_of(candidate.path).kind), label, group, row_of[candidate.path])
    return Collected(clone_name(path), files.rows(), chunks.rows())


def fit(rows: Sequence[Rows], penalty: float) -> dict[str, float]:
    """Weights of a logistic regression over rows of several repositories, `base` included; each repository and commit weighs the same."""
    import torch

    names = sorted({name for part in rows for name in part.names})
    number = {name: place for place, name in enumerate(names)}
    blocks, labels, worths = [], [], []
    for part in rows:
        kept = np.flatnonzero((part.labels > 0) | (np.arange(len(part.labels)) % EVERY == 0))
        block = np.zeros((len(kept), len(names)), np.float32)
        block[:, [number[name] for name in part.names]] = part.values[kept]
        blocks.append(block)
        labels.append(part.labels[kept])
        count = part.groups.max() + 1
        positives = np.maximum(1.0, np.bincount(part.groups, part.labels, count))[part.groups[kept]]
        worths.append((np.where(part.labels[kept] > 0, 1.0, EVERY) / positives / count).astype(np.float32))
    x = torch.from_numpy(np.concatenate(blocks))
    y = torch.from_numpy(np.concatenate(labels))
    worth = torch.from_numpy(np.concatenate(worths)) / len(rows)
    weight, base = torch.zeros(len(names), requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, base], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = (torch.nn.functional.binary_cross_entropy_with_logits(x @ weight + base, y, reduction="none") * worth).sum()
        value = value + penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    found = {name: round(float(value), 3) for name, value in zip(names, weight.detach(), strict=True)}
    return {"base": round(base.item(), 3), **{name: value for name, value in found.items() if abs(value) >= 0.005}}


def scores(rows: Rows, weights: Mapping[str, float]) -> np.ndarray:
    """The score of each row."""
    return rows.values @ np.array([weights.get(name, 0.0) for name in rows.names], np.float32) + weights["base"]


def with_file_score(collected: Collected, weights: Mapping[str, float]) -> Rows:
    """The chunks' rows with the score of their file as a feature."""
    of_file = scores(collected.files, weights)
    rows = collected.chunks
    values = rows.values.copy()
    for column, name in enumerate(rows.names):  # and where it is crossed with the kind of the file, which it is 0 without
        if name == "file":
            values[:, column] = of_file[rows.links]
        elif name.startswith("file."):
            of_kind = rows.values[:, rows.names.index("is_" + name[5:])]
            values[:, column] = of_file[rows.links] * of_kind
    return rows._replace(values=values)


OF_HISTORY = frozenset("""together together_ever beside said often lately hot hot_best hot_newest hot_near hot_together
    hot_together_best""".split())
"""Factors and features that rest on the past."""
EVERY = 4
"""Of the rows that did not change every fourth is kept, for four: they are a hundred times as many as those that did."""
FILE_PENALTY, CHUNK_PENALTY = 1e-4, 1e-4
"""On the squares of the weights: enough that a factor of few rows (`said.other`) has no wild weight."""


def without_history(rows: Rows) -> Rows:
    """The rows without the columns that only a history gives."""
    kept = [column for column, name in enumerate(rows.names) if name.partition(".")[0] not in OF_HISTORY]
    return rows._replace(names=[rows.names[column] for column in kept], values=rows.values[:, kept])


def fit_all(parts: Sequence[Collected]) -> dict[str, dict[str, float]]:
    """The weights of files and of chunks, with a history and without."""
    sections = {}
    for suffix, chosen in (("", parts), ("_without_history", [part._replace(
            files=without_history(part.files), chunks=without_history(part.chunks)) for part in parts])):
        sections["files" + suffix] = fit([part.files for part in chosen], FILE_PENALTY)
        scored = [with_file_score(part, sections["files" + suffix]) for part in chosen]
        sections["chunks" + suffix] = fit(scored, CHUNK_PENALTY)
    return sections


def write(path: Path, sections: Mapping[str, object]) -> None:
    """Writes weights, the greatest first, one a line."""
    ordered = {name: dict(sorted(part.items(), key=lambda item: -abs(item[1]))) if name != "from" else part
               for name, part in sections.items()}  # type: ignore[union-attr, attr-defined]
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def fit_repositories(paths: Sequence[Path], count: int) -> None:
    """Fits all weights on the newest `count` questions of clones and writes them into the package, said with where they come from."""
    parts = []
    for path in paths:
        parts.append(collect(path, count))
        print(f"{parts[-1].repository}: {len(parts[-1].files.labels)} files, {len(parts[-1].chunks.labels)} chunks", file=sys.stderr)
    origin = {"command": f"python -m benchmarks.context fit --commits {count}", "repositories": [part.repository for part in parts]}
    write(WEIGHTS, {"from": origin, **fit_all(parts)})
