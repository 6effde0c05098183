"""Finds the lines that an instruction means: the function, or the stretch between functions, that its words fit best, and the lines in it.

Every name and value of the instruction is looked up in the file, runs of its words are laid beside lines (`evidence.py`), and what it says
about the shape of the code ("the prints") counts as well (`hints.py`). What a candidate gathers makes a row of numbers; its score is their
weighted sum. The weights are those of a softmax over the candidates of a file, fitted on edits of real packages (benchmarks/regions.py).
The best candidate, when long, is narrowed to the lines that hold its evidence, since the model was trained on regions of 1 to 25 lines."""

from __future__ import annotations

import bisect
import collections
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cromwell.prepare.evidence import Evidence, gather
from cromwell.prepare.symbols import Definition

SHORT_LINES, LONG_LINES, MIN_LINES = 25, 40, 3
"""A function is taken whole up to SHORT_LINES; a window goes up to LONG_LINES where only that covers every occurrence."""
SMALL_FILE_LINES = 60
"""A file is taken whole up to this many lines when nothing that the instruction names is in it."""
HEAD_LINES = 40
"""Lines in which the head of a function ends."""

FACTORS = ("words", "repeated", "given a value", "shape", "part words", "share", "best line", "line matched", "named", "named as place",
           "name alike", "class named", "class alike", "parameter", "new in head", "size", "outside")
"""What a candidate is scored by, each a column of a row:

words          names and values of the instruction in it, each by its weight and its rarity among the candidates
repeated       the same for their further occurrences (log2 of the count, halved)
given a value  the same for places where a name is given a value or a default
shape          the same for code of the shape that the instruction speaks of
part words     the same for terms found only as parts of names or in another case
share          the part of all such worth in the file that it has
best line      the worth of its best line over that of the best line of the file
line matched   the longest run of words that a line of it shares with the instruction, over the longest of the file
named          its name is in the instruction; "as place": where instructions say where ("in NAME", "NAME should")
name alike     the share of the words of its name that the instruction has; the same for classes around it
parameter      names of its parameters in the instruction, by rarity, where the instruction speaks of parameters or types
new in head    names that are to come that its head has already
size           log of its lines
outside        it is a stretch of lines outside functions
"""
WEIGHTS = (0.07, 0.03, 0.05, 0.74, 0.07, 0.91, 2.46, 0.5, 1.18, 1.14, 1.09, 1.28, 0.59, 0.09, -2.88, -0.16, -0.53)
"""Fitted by `benchmarks/regions.py --fit` on edits of five packages (click, flask, httpx, keras, rich)."""


class Region(NamedTuple):
    """Lines from 1, inclusive, and how well they fit."""

    first_line: int
    last_line: int
    score: float
    name: str
    """The function, or "" for lines outside one."""
    missed: int
    """Lines of the function that the terms occur in and that the region leaves out."""
    told: float
    """The share, 0..1, of what the instruction names as being there already that the function holds."""


class Unit(NamedTuple):
    """A function, or a stretch of lines between functions."""

    first_line: int
    last_line: int
    name: str
    """Dotted; "" outside functions."""
    classes: tuple[str, ...]
    """Names of the classes around it, or that begin in it."""


def units(definitions: Sequence[Definition], line_count: int) -> tuple[list[Unit], list[int]]:
    """Every function and every stretch outside functions, and for each line (from 0) the innermost of them."""
    functions = [definition for definition in definitions if definition.is_function]
    classes = [definition for definition in definitions if not definition.is_function]
    every = [Unit(f.first_line, f.last_line, f.name, tuple(f.name.split(".")[:-1])) for f in functions]
    line, gaps = 1, []
    for function in functions:
        if function.first_line > line:
            gaps.append((line, function.first_line - 1))
        line = max(line, function.last_line + 1)
    if line <= line_count:
        gaps.append((line, line_count))
    for first, last in gaps:
        every.append(Unit(first, last, "", tuple(c.name.rpartition(".")[2] for c in classes if first <= c.first_line <= last)))
    owner = [0] * line_count
    for number in sorted(range(len(every)), key=lambda n: every[n].first_line - every[n].last_line):  # the longest first
        unit = every[number]
        owner[unit.first_line - 1:unit.last_line] = [number] * len(owner[unit.first_line - 1:unit.last_line])
    return every, owner


def _head(unit: Unit, lines: Sequence[str]) -> str:
    """The lines of a function up to the end of its parameters."""
    end = unit.first_line
    while end < min(unit.last_line, unit.first_line + HEAD_LINES) and not lines[end - 1].split("#")[0].rstrip().endswith((":", "{")):
        end += 1
    return "".join(lines[unit.first_line - 1:end])


def _score(evidence: Evidence, first_line: int, last_line: int) -> float:
    """What the lines gather: more occurrences of a term add less and less."""
    return sum(hits.worth * (1 + math.log2(count) / 2) for hits in evidence.hits if (count := hits.count(first_line, last_line)))


def _window(evidence: Evidence, first_line: int, last_line: int) -> tuple[int, int]:
    """The best few lines among `first_line..last_line` that hold occurrences; some must."""
    places = sorted({line for hits in evidence.hits for line in hits.between(first_line, last_line)})
    if places[-1] - places[0] < LONG_LINES:
        first, last = places[0], places[-1]
    else:
        if len(places) > 400:  # a term on every line tells nothing of the place
            places = sorted({line for hits in evidence.hits if len(hits.lines) < 400 for line in hits.between(first_line, last_line)}) \
                or places[:400]
        first, last = max(((place, places[bisect.bisect_left(places, place + SHORT_LINES) - 1]) for place in places),
                          key=lambda window: (_score(evidence, *window), window[0] - window[1]))
    while last - first + 1 < MIN_LINES and (first > first_line or last < last_line):
        first, last = max(first_line, first - 1), min(last_line, last + 1)
    return first, last


def _read_heads(every: Sequence[Unit], rows: Sequence[dict[str, float]], lines: Sequence[str], evidence: Evidence) -> set[int]:
    """Adds what the heads of functions have in common with the instruction to their rows; returns those whose parameters it names."""
    if not evidence.parameters:
        return set()
    heads = {number: _head(unit, lines) for number, unit in enumerate(every) if unit.name}
    inside: dict[str, list[int]] = {}
    for number, head in heads.items():
        for name in set(re.findall(r"\w+", head)) & evidence.parameters.keys() - {every[number].name.rpartition(".")[2]}:
            inside.setdefault(name, []).append(number)
    touched: set[int] = set()
    for name, numbers in inside.items():
        if name in evidence.coming:
            for number in numbers:
                rows[number]["new in head"] += 1.0
            continue
        touched.update(numbers)
        worth = evidence.parameters[name] * math.log(1 + len(heads) / len(numbers))
        for number in numbers:
            rows[number]["parameter"] += worth
    return touched


def candidates(instruction: str, lines: Sequence[str], definitions: Sequence[Definition],
               rarity: Mapping[str, float] | None = None) -> tuple[list[tuple[Unit, dict[str, float]]], Evidence]:
    """The candidates of a file that hold any evidence, each with its FACTORS; and the evidence."""
    every, owner = units(definitions, len(lines))
    evidence = gather(instruction, lines, rarity)
    rows = [dict.fromkeys(FACTORS, 0.0) for _ in every]
    touched: set[int] = set()
    columns = {"term": "words", "value": "given a value", "shape": "shape", "part": "part words"}
    whole = 0.0
    for hits in evidence.hits:
        tally = collections.Counter(owner[line - 1] for line in hits.lines)
        touched |= tally.keys()
        worth = hits.weight * math.log(1 + len(every) / len(tally))
        for number, times in tally.items():
            row = rows[number]
            row[columns[hits.role]] += worth
            if hits.role == "term":
                row["repeated"] += worth * math.log2(times) / 2
                row["share"] += worth
        whole += worth if hits.role == "term" else 0.0
    for column, worths in (("best line", evidence.line_worth), ("line matched", evidence.matched)):
        best = max(worths.values(), default=1.0)
        for line, worth in worths.items():
            row = rows[owner[line - 1]]
            row[column] = max(row[column], worth / best)
            touched.add(owner[line - 1])
    for number, (unit, row) in enumerate(zip(every, rows, strict=True)):
        own = unit.name.rpartition(".")[2]
        mention = (evidence.mentions.get(own) or evidence.mentions.get(unit.name)) if own else None
        if mention:
            touched.add(number)
            row["named"], row["named as place"] = 1.0, float(mention.is_place)
        row["share"] /= whole or 1.0
        row["name alike"] = evidence.alike(own)
        row["class named"] = float(any(name in evidence.mentions for name in unit.classes))
        row["class alike"] = max((evidence.alike(name) for name in unit.classes), default=0.0)
        row["size"] = math.log(unit.last_line - unit.first_line + 1)
        row["outside"] = float(not unit.name)
    touched |= _read_heads(every, rows, lines, evidence)
    return [(every[number], rows[number]) for number in sorted(touched)], evidence


def find_regions(instruction: str, lines: Sequence[str], definitions: Sequence[Definition],
                 rarity: Mapping[str, float] | None = None) -> list[Region]:
    """The regions that `instruction` may mean, best first; empty when nothing of it is in the file.

    `lines` have their LF line ends; `definitions` are those of the file, empty for a language without a grammar;
    `rarity` says how much each term tells, for `Region.told`."""
    found, evidence = candidates(instruction, lines, definitions, rarity)
    scored = [(sum(weight * row[factor] for factor, weight in zip(FACTORS, WEIGHTS, strict=True)), unit) for unit, row in found]
    scored.sort(key=lambda pair: (-pair[0], pair[1].last_line - pair[1].first_line, pair[1].first_line))
    regions = []
    for score, unit in scored:
        first_line, last_line = unit.first_line, unit.last_line
        first, last = first_line, last_line
        if (not unit.name or last - first >= SHORT_LINES) and any(hits.count(first, last) for hits in evidence.hits):
            first, last = _window(evidence, first_line, last_line)
        elif last - first >= LONG_LINES:
            last = first + SHORT_LINES - 1
        while first < last and not lines[first - 1].strip():
            first += 1
        while first < last and not lines[last - 1].strip():
            last -= 1
        missed = len({line for hits in evidence.hits for line in hits.between(first_line, last_line) if not first <= line <= last})
        held = sum(hits.told for hits in evidence.hits if hits.told and hits.count(first_line, last_line))
        regions.append(Region(first, last, score, unit.name, missed, min(1.0, held / evidence.told)))
    return regions
