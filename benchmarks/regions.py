"""Measures how well cw-context finds the lines that an instruction means, given the file alone.

    .venv/bin/python benchmarks/regions.py edits-heldout.jsonl edits-narrow.jsonl --src data/src [--packages a,b] [--limit N] [--json]

The edits are those of `training.data heldout`, `narrow` and `releases edits` (docs/evaluation.md): lines of a file before and after, and
the instruction. Each is put back into its package's file, and the instruction is looked up in the whole of it. A place found is right when
it lies in the function that the edit changes, or, outside functions, holds a line that the edit changes. Edits that change nothing, and
those whose file is not among the sources, are left out and counted. An edit counts as named when its instruction holds a name or a
value of the lines it changes or of the head of their function; the others ("fix the error in this code") cannot be found but by luck.

Beside it: the chance of a random function, and the seconds of processor time a file takes.

`--fit` fits the weights of stages/prepare/find.py to the edits given (needs torch) and prints them, with what they come to on these
edits. The weights that ship were fitted to edits of click, flask, httpx, keras and rich; figures are to be read on other packages:

    .venv/bin/python benchmarks/regions.py *.jsonl --src data/src --packages click,flask,httpx,keras,rich --limit 500 --fit
    .venv/bin/python benchmarks/regions.py *.jsonl --src data/src --packages typer,django,requests,sqlalchemy --limit 500
"""

from __future__ import annotations

import argparse
import collections
import difflib
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cromwell.prepare.find import FACTORS, candidates, find_regions
from cromwell.prepare.symbols import definitions, outline

TOP = 3


class Case(NamedTuple):
    """An edit put back into its file: lines count from 1."""

    kind: str
    package: str
    template: str
    instruction: str
    path: str
    text: str
    changed: list[int]
    functions: set[tuple[int, int]]
    is_named: bool
    choices: int


def lines_of(text: str) -> list[str]:
    """`text` in lines with their line ends; form feeds end none."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def changed_lines(row: dict[str, Any], first_line: int) -> list[int]:
    """The lines of the region that the edit changes; for lines put in, those on both sides."""
    old, new = lines_of(row["region"]), lines_of(row["new_region"])
    changed: set[int] = set()
    for tag, start, end, _, _ in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "insert":
            changed |= {min(max(line, 0), max(len(old) - 1, 0)) for line in (start - 1, start)}
        elif tag != "equal":
            changed |= set(range(start, end))
    return [first_line + line for line in sorted(changed)]


def innermost(functions: Sequence[tuple[int, int]], line: int) -> tuple[int, int] | None:
    """The shortest function that holds a line."""
    return min((span for span in functions if span[0] <= line <= span[1]), key=lambda span: span[1] - span[0], default=None)


def read_sources(folder: Path, package: str) -> dict[str, list[tuple[str, str]]]:
    """The Python files of a package by their name without folders: (path, text)."""
    found: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    for path in sorted((folder / package).rglob("*.py")):
        text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
        found[path.name].append((str(path.relative_to(folder / package)), text))
    return found


def put_back(row: dict[str, Any], sources: dict[str, list[tuple[str, str]]]) -> tuple[str, str, int] | None:
    """(path, text of the file as it was before the edit, first line of the region), or None when no source holds the lines."""
    before = row["before"] + row["region"] + row["after"]
    after = row["before"] + row["new_region"] + row["after"]  # sources of repairs hold the right code
    for path, text in sources.get(row["path"].rpartition("/")[2], ()):
        for whole in (before, after):
            at = ("\n" + text).find("\n" + whole) if whole else -1
            if at >= 0:
                first = text.count("\n", 0, at + len(row["before"])) + 1
                return path, text[:at] + before + text[at + len(whole):], first
    return None


def cases(rows: Sequence[dict[str, Any]], folder: Path) -> Iterator[Case | None]:
    """The rows as cases; None for one whose file is not there."""
    sources: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for row in rows:
        package = row["package"]
        if package not in sources:
            sources[package] = read_sources(folder, package)
        place = put_back(row, sources[package])
        if place is None:
            yield None
            continue
        path, text, first_line = place
        changed = changed_lines(row, first_line)
        spans = [(d.first_line, d.last_line) for d in definitions(path, text.encode()) or [] if d.is_function]
        functions = {span for line in changed if (span := innermost(spans, line))}
        lines = lines_of(text)
        told = set(re.findall(r"\w{2,}", row["instruction"]))
        heads = [lines[span[0] - 1:span[0] + 3] for span in functions]
        there = set(re.findall(r"\w{2,}", "".join([lines[line - 1] for line in changed if line <= len(lines)] + sum(heads, []))))
        named = {word for word in told & there if "_" in word or word[1:] != word[1:].lower() or f"`{word}" in row["instruction"]
                 or len(word) > 3}
        yield Case(row["kind"], package, row.get("template", ""), row["instruction"], path, text, changed, functions, bool(named),
                   len(spans) + 1)


def rank_of(case: Case) -> tuple[int | None, bool]:
    """(place of the right answer in the list, from 0; None when it is not in it), whether the first answer holds all that changes."""
    text = case.text.encode()
    found = find_regions(case.instruction, lines_of(case.text), outline(case.path, text))
    spans = [(d.first_line, d.last_line) for d in definitions(case.path, text) or [] if d.is_function]
    whole = bool(found) and all(found[0].first_line <= line <= found[0].last_line for line in case.changed)
    for place, region in enumerate(found):
        holds = any(region.first_line <= line <= region.last_line for line in case.changed)
        if holds or innermost(spans, region.first_line) in case.functions and innermost(spans, region.last_line) in case.functions:
            return place, whole
    return None, whole


def table(results: list[tuple[Case, int | None, bool]], key: str) -> list[tuple[str, int, float, float, float]]:
    """(group, edits, share found first, share among the first three, share whose first answer holds all that changes)."""
    groups: dict[str, list[tuple[int | None, bool]]] = collections.defaultdict(list)
    for case, place, whole in results:
        groups[str(getattr(case, key))].append((place, whole))
    return [(name, len(group), sum(place == 0 for place, _ in group) / len(group),
             sum(place is not None and place < TOP for place, _ in group) / len(group), sum(whole for _, whole in group) / len(group))
            for name, group in sorted(groups.items())]


def fitted_weights(cases: Sequence[Case]) -> list[float]:
    """Weights of FACTORS under which the right candidates of the edits are likeliest: a softmax over the candidates of each file, several
    right ones sharing what they have, with a penalty of 0.002 on the square of each factor's effect (weight by standard deviation)."""
    import torch

    edits = []
    for case in cases:
        found, _ = candidates(case.instruction, lines_of(case.text), outline(case.path, case.text.encode()))
        right = [(unit.first_line, unit.last_line) in case.functions if unit.name else
                 not case.functions and any(unit.first_line <= line <= unit.last_line for line in case.changed) for unit, _ in found]
        if any(right):
            rows = [[row[factor] for factor in FACTORS] for _, row in found]
            edits.append((torch.tensor(rows, dtype=torch.float64), torch.tensor(right)))
    spread = torch.cat([rows for rows, _ in edits]).std(0)
    weights = torch.zeros(len(FACTORS), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        each = [(rows @ weights).logsumexp(0) - (rows @ weights)[right].logsumexp(0) for rows, right in edits]
        total = torch.stack(each).mean() + 0.002 * ((weights * spread) ** 2).sum()
        total.backward()
        return total

    optimiser.step(loss)
    return [round(value, 2) for value in weights.tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edits", nargs="+", type=Path)
    parser.add_argument("--src", type=Path, required=True, help="folder of the packages' sources, one folder a package")
    parser.add_argument("--packages", help="only these, separated by commas")
    parser.add_argument("--limit", type=int, default=0, help="every Nth edit, so that about LIMIT of each file remain")
    parser.add_argument("--misses", type=int, default=0, help="print that many edits that were not found")
    parser.add_argument("--fit", action="store_true", help="fit the weights to these edits and print them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results, missing, seconds, unchanged = [], 0, 0.0, 0
    for path in options.edits:
        rows = [json.loads(line) for line in path.open(encoding="utf-8")]
        if options.packages:
            rows = [row for row in rows if row["package"] in options.packages.split(",")]
        step = max(1, len(rows) // options.limit) if options.limit else 1
        kept = [row for row in rows[::step] if row["region"] != row["new_region"]]
        unchanged += len(rows[::step]) - len(kept)
        for case in cases(kept, options.src):
            if case is None:
                missing += 1
                continue
            if options.fit:
                results.append((case, None, False))
                continue
            start = time.process_time()
            place, whole = rank_of(case)
            seconds += time.process_time() - start
            results.append((case, place, whole))
    if not results:
        parser.exit(2, "error: none of the edits is in the sources\n")
    if options.fit:
        print(dict(zip(FACTORS, fitted_weights([case for case, _, _ in results]), strict=True)))
        return
    chance = sum(1 / case.choices for case, _, _ in results) / max(1, len(results))
    rows = [("all", *table([(case._replace(kind=""), place, whole) for case, place, whole in results], "kind")[0][1:])]
    named = [result for result in results if result[0].is_named]
    rows.append(("named", *table([(case._replace(kind=""), place, whole) for case, place, whole in named], "kind")[0][1:]))
    for key in ("template", "package", "kind"):
        rows += [(f"{key} {name}", *rest) for name, *rest in table(results, key)]
    if options.json:
        columns = ("group", "edits", "top1", "top3", "whole")
        print(json.dumps({"version": 1, "missing": missing, "unchanged": unchanged, "chance": chance,
                          "seconds_each": seconds / len(results), "rows": [dict(zip(columns, row, strict=True)) for row in rows]}))
        return
    print(f"{len(results)} edits; {missing} not in the sources and {unchanged} that change nothing left out; "
          f"a random function is right {chance:.1%}; {1000 * seconds / len(results):.1f} ms of processor time a file\n")
    print("| | edits | first | first three | first holds all |\n|---|---|---|---|---|")
    for name, count, first, three, whole in rows:
        print(f"| {name} | {count} | {first:.1%} | {three:.1%} | {whole:.1%} |")
    misses = [case for case, place, _ in results if place is None or place >= TOP]
    for case in misses[::max(1, len(misses) // options.misses)] if options.misses else ():
        print(f"{case.kind} {case.package}/{case.path}:{case.changed[:3]} {case.is_named}: {case.instruction[:200]}")


if __name__ == "__main__":
    main()
