"""Measures what cw-context finds, on real commits: the subject and one changed file are given, the other changed files are asked for.

    python -m benchmarks.context run --repository CLONE [--repository CLONE ...] [--commits 100] [--budget 4096 --budget 8192] [--json FILE]
    python -m benchmarks.context fit --repository CLONE [--repository CLONE ...] [--commits 40]

A clone is a git repository with its history, bare or not. Of each, the newest commits count that change 2 to 8 files, at least two of
them text files of the parent's tree; no merges, no commits of bots, no version bumps, none that change white space alone. Lock files, moves
without a change and new files are not asked for. The target is the changed source file with the most changed lines (a test only where
no other source changes, another file where no source does).

    files   the share of the other changed files of which at least one line is shown
    hunks   the share of the hunks in them whose old lines are shown, all of them; of an insertion the lines before and after it

Both are means over commits, with 95% intervals from 1,000 bootstrap samples of the commits. `fit` writes the weights of the scores anew."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.context_baselines import BASELINES, Counter, Excerpts
from benchmarks.context_commits import Question, clone_name
from benchmarks.context_memory import MemoryIndex
from cromwell.prepare.pack import fill, weigh
from cromwell.prepare.rank import Target

OURS, OURS_WITHOUT = "cw-context", "cw-context, no history"
SAMPLES = 1000


def covered(question: Question, excerpts: Excerpts, index: MemoryIndex) -> tuple[float, float | None]:
    """The shares of changed files and of hunks that excerpts hold; no hunks (all files deleted): None."""
    shown: dict[str, set[int]] = {}
    for path, first, last in excerpts:
        shown.setdefault(path, set()).update(range(first, last + 1))
    files = sum(file.path in shown for file in question.others) / len(question.others)
    spans = [(file, span) for file in question.others for span in file.spans]
    if not spans:
        return files, None
    hit = 0
    for file, (first, last) in spans:
        # Line 0 and the line after the last one do not exist: an insertion at either end has one neighbour.
        known = index.by_path.get(file.path)
        hit += known is not None and shown.get(file.path, set()).issuperset(range(first, min(last, known.lines) + 1))
    return files, hit / len(spans)


def measure(path: Path, commits: int, budgets: Sequence[int], methods: Sequence[str], count: Counter) -> list[dict[str, Any]]:
    """One record a commit, method and budget."""
    from benchmarks.context_fit import walk

    found = []
    for question, index, past in walk(path, commits):
        target = Target(question.target)
        for method in methods:
            start = time.process_time()
            weighed = None if method in BASELINES else weigh(index, target, question.subject, past if method == OURS else None)
            shared = time.process_time() - start
            for budget in budgets:
                start = time.process_time()
                if weighed is None:
                    excerpts = BASELINES[method](index, target, question.subject, budget, count)
                else:
                    selection = fill(weighed, budget, count)
                    assert selection.tokens <= budget
                    excerpts = [tuple(excerpt) for excerpt in selection.excerpts]
                files, hunks = covered(question, excerpts, index)
                spent = shared + time.process_time() - start
                found.append({"repository": clone_name(path), "commit": question.commit, "method": method, "budget": budget,
                              "files": files, "hunks": hunks, "seconds": round(spent, 4)})
    return found


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and the 2.5% and 97.5% points of the means of bootstrap samples."""
    drawn = random.Random(0)
    means = sorted(sum(drawn.choices(values, k=len(values))) / len(values) for _ in range(SAMPLES))
    return sum(values) / len(values), means[SAMPLES // 40], means[-SAMPLES // 40]


def table(records: Sequence[dict[str, Any]], methods: Sequence[str], budgets: Sequence[int]) -> str:
    """The figures of all commits by method, then those of our method by repository."""
    lines = [f"{'method':26s}{'budget':>7s}{'commits':>9s}   {'files':22s}{'hunks':22s}{'ms a query':>10s}"]

    def row(title: str, chosen: Sequence[dict[str, Any]]) -> str:
        parts = []
        for figure in ("files", "hunks"):
            mean, low, high = interval([record[figure] for record in chosen if record[figure] is not None])
            parts.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
        spent = sum(record["seconds"] for record in chosen) / len(chosen)
        return f"{title:26s}{chosen[0]['budget']:7d}{len(chosen):9d}   {parts[0]:22s}{parts[1]:22s}{1000 * spent:10.0f}"

    for method in methods:
        for budget in budgets:
            chosen = [record for record in records if record["method"] == method and record["budget"] == budget]
            if chosen:
                lines.append(row(method, chosen))
    for method in methods:
        if method.startswith(OURS):
            lines += ["", f"{method}, by repository"]
            for repository in sorted({record["repository"] for record in records}):
                for budget in budgets:
                    chosen = [record for record in records
                              if (record["method"], record["budget"], record["repository"]) == (method, budget, repository)]
                    lines.append(row(repository, chosen))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "fit"))
    parser.add_argument("--repository", action="append", type=Path, required=True, metavar="CLONE")
    parser.add_argument("--commits", type=int, help="commits of each repository (run: 100, fit: 40)")
    parser.add_argument("--budget", action="append", type=int, metavar="TOKENS")
    parser.add_argument("--method", action="append", choices=[*BASELINES, OURS, OURS_WITHOUT])
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    for path in given.repository:
        if not path.is_dir():
            parser.error(f"{path}: no such folder; clone the repository with its history: git clone URL {path}")
    if given.action == "fit":
        from benchmarks.context_fit import fit_repositories

        fit_repositories(given.repository, given.commits or 40)
        return
    from cromwell import binding

    model = binding.Model(binding.default_model_path())
    budgets = given.budget or [4096, 8192]
    methods = given.method or [*BASELINES, OURS_WITHOUT, OURS]
    records = []
    for path in given.repository:
        records += measure(path, given.commits or 100, budgets, methods, lambda text: len(model.tokenizer.encode_array(text)))
        print(f"{path}: {len({record['commit'] for record in records})} commits so far", file=sys.stderr)
    print(table(records, methods, budgets))
    if given.json:
        given.json.write_text(json.dumps({"budgets": budgets, "records": records}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
