"""Which files of a repository matter for an edit: every file's score, and what each factor adds to it.

    rank_files(index, Target("src/app.py"), "close the session on errors")[0]   # Scored(path, total, factors)

A score is the log-odds that the file changes with the edit: a sum of factors times weights, fitted on real commits (weights.json, with
where they come from; docs/context.md)."""

from __future__ import annotations

import bisect
import functools
import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from cromwell.prepare.rank import factors, kinds
from cromwell.prepare.rank.factors import Evidence
from cromwell.prepare.rank.history import History, open_history
from cromwell.prepare.rank.protocol import Index, Target
from cromwell.prepare.rank.query import Query, read_query

__all__ = ["Evidence", "History", "Index", "Query", "Ranking", "Scored", "Target", "complete", "rank", "rank_files", "weights"]

CROSSED = ("together", "often", "text", "said", "lately", "path_words")
"""Factors whose worth depends on the kind of the file: what a changelog says is no evidence, that it changes often is."""


class Scored(NamedTuple):
    """A file's score."""

    path: str
    total: float
    """Log-odds."""
    factors: dict[str, float]
    """What each factor adds; with `base` they add up to the total."""


class Ranking(NamedTuple):
    """All that scoring found."""

    scores: list[Scored]
    """Of the files that anything speaks for, best first."""
    evidence: Evidence
    history: History | None


@functools.cache
def weights(part: str) -> dict[str, float]:
    """The fitted weights of `part`: "files" or "chunks"."""
    with open(os.path.join(os.path.dirname(__file__), "weights.json"), encoding="utf-8") as file:
        return json.load(file)[part]


def crossed(row: Mapping[str, float], kind: str, target_kind: str) -> dict[str, float]:
    """The factors of a file with those whose worth depends on its kind: `together.test` beside `together`, `code-test` of both kinds."""
    found = dict(row)
    for factor in CROSSED:
        if factor in row:
            found[f"{factor}.{kind}"] = row[factor]
    found[f"{target_kind}-{kind}"] = 1.0
    return found


def rank(index: Index, target: Target, instruction: str, history: History | None) -> Ranking:
    """Scores the files that anything speaks for. `history` None: the factors that rest on the past are absent."""
    rows, evidence = factors.gather(index, target, read_query(instruction), history)
    fitted = weights("files" if history is not None else "files_without_history")
    base = fitted["base"]
    target_kind = kinds.name_of(target.path).kind if target.path is not None else kinds.CODE
    scores = []
    for file in index.files:
        row = rows.get(file.id)
        if row is None:
            continue
        parts = {"base": base}
        for factor, value in crossed(row, kinds.name_of(file.path).kind, target_kind).items():
            weight = fitted.get(factor)
            if weight:
                parts[factor] = weight * value
        scores.append(Scored(file.path, sum(parts.values()), parts))
    scores.sort(key=lambda scored: (-scored.total, scored.path))
    return Ranking(scores, evidence, history)


def complete(index: Index, target: Target, ranking: Ranking) -> list[Scored]:
    """The scores of every file but the target, best first; a file that nothing speaks for has the base alone."""
    known = {scored.path for scored in ranking.scores}
    base = weights("files" if ranking.history is not None else "files_without_history")["base"]
    alone = {"base": base}
    rest = [Scored(file.path, base, alone) for file in index.files if file.path not in known and file.path != target.path]
    above = bisect.bisect_right(ranking.scores, -base, key=lambda scored: -scored.total)
    return ranking.scores[:above] + rest + ranking.scores[above:]


def rank_files(index: Index, target: Target, instruction: str) -> list[Scored]:
    """Every file of the index but the target, best first."""
    return complete(index, target, rank(index, target, instruction, open_history(index)))
