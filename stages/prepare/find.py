"""Finds the lines that an instruction means: the short region where what it names occurs most tellingly.

Every term of the instruction is looked up in the file; rare ones weigh more (as in TF-IDF). Candidates are the functions, and the stretches
between them. A long candidate is narrowed to the lines that hold the occurrences, since the model was trained on regions of 1 to 25
lines. The best candidate is the one whose lines gather the most weight."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from cromwell.prepare.symbols import Definition
from cromwell.prepare.terms import Term, instruction_terms

SHORT_LINES, LONG_LINES, MIN_LINES = 25, 40, 3
"""A function is taken whole up to SHORT_LINES; a window goes up to LONG_LINES where only that covers every occurrence."""
SMALL_FILE_LINES = 60
"""A file is taken whole up to this many lines when nothing that the instruction names is in it."""
PART_OF_NAME = 0.4
"""Factor for a term found only as part of a name, or in another case: timeout in DEFAULT_TIMEOUT."""


class Region(NamedTuple):
    """Lines from 1, inclusive, and how well they fit."""

    first_line: int
    last_line: int
    score: float
    name: str
    """The function, or "" for lines outside one."""
    missed: int
    """Lines of the function that the terms occur in and that the region leaves out."""


class _Hits(NamedTuple):
    """Where a term occurs."""

    term: Term
    lines: list[int]
    """One entry an occurrence, ascending."""
    worth: float
    """Weight times rarity of one occurrence."""

    def count(self, first_line: int, last_line: int) -> int:
        return bisect.bisect_right(self.lines, last_line) - bisect.bisect_left(self.lines, first_line)


def _pattern(text: str, whole: bool) -> re.Pattern[str]:
    """Matches `text` as a whole name; with whole=False as a part of one between underscores, in any case."""
    word, flags = (r"\w", 0) if whole else (r"[^\W_]", re.IGNORECASE)
    before = rf"(?<!{word})" if re.match(r"\w", text) else ""
    after = rf"(?!{word})" if re.search(r"\w\Z", text) else ""
    return re.compile(before + re.escape(text) + after, flags)


def _hits(terms: Sequence[Term], lines: Sequence[str]) -> list[_Hits]:
    """The terms that occur in `lines`."""
    text = "".join(lines)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def look_up(term: Term, whole: bool) -> _Hits | None:
        found = [bisect.bisect_right(starts, match.start()) for match in _pattern(term.text, whole).finditer(text)]
        return _Hits(term, found, term.weight * math.log(1 + len(lines) / len(set(found)))) if found else None

    every = []
    for term in terms:
        exact = look_up(term, True)
        if exact:
            every.append(exact)
            given = re.compile(_pattern(term.text, True).pattern + r"(?:[ \t]*:[^=\n]*)?[ \t]*=(?!=)")
            places = [bisect.bisect_right(starts, match.start()) for match in given.finditer(text)]
            if places:  # where a name gets its value or its default counts for more
                every.append(_Hits(term, places, exact.worth))
            continue
        parts = [Term(part, term.weight * PART_OF_NAME) for part in re.findall(r"\w{3,}", term.text)]
        every += [hits for part in parts if (hits := look_up(part, True) or look_up(part, False))]
    return every


def _score(every: Sequence[_Hits], first_line: int, last_line: int) -> float:
    """Weight gathered by lines: more occurrences of a term add less and less."""
    return sum(hits.worth * (1 + math.log2(count) / 2) for hits in every if (count := hits.count(first_line, last_line)))


def _window(every: Sequence[_Hits], first_line: int, last_line: int) -> tuple[int, int]:
    """The best few lines among `first_line..last_line` that hold occurrences; some must."""
    places = sorted({line for hits in every for line in hits.lines if first_line <= line <= last_line})
    if places[-1] - places[0] < LONG_LINES:
        first, last = places[0], places[-1]
    else:
        first, last = max(((place, places[bisect.bisect_left(places, place + SHORT_LINES) - 1]) for place in places),
                          key=lambda window: (_score(every, *window), window[0] - window[1]))
    while last - first + 1 < MIN_LINES and (first > first_line or last < last_line):
        first, last = max(first_line, first - 1), min(last_line, last + 1)
    return first, last


def _candidates(definitions: Sequence[Definition], line_count: int) -> list[tuple[int, int, str]]:
    """Every function, and every stretch of lines outside functions: (first line, last line, name)."""
    functions = [definition for definition in definitions if definition.is_function]
    every = [(function.first_line, function.last_line, function.name) for function in functions]
    line = 1
    for function in functions:
        if function.first_line > line:
            every.append((line, function.first_line - 1, ""))
        line = max(line, function.last_line + 1)
    if line <= line_count:
        every.append((line, line_count, ""))
    return every


def find_regions(instruction: str, lines: Sequence[str], definitions: Sequence[Definition]) -> list[Region]:
    """The regions where what `instruction` names occurs, best first; empty when nothing of it does.

    `lines` have their LF line ends; `definitions` are those of the file, empty for a language without a grammar."""
    every = _hits(instruction_terms(instruction), lines)
    regions = []
    for first_line, last_line, name in _candidates(definitions, len(lines)):
        if not any(hits.count(first_line, last_line) for hits in every):
            continue
        first, last = first_line, last_line
        if not name or last - first >= SHORT_LINES:
            first, last = _window(every, first_line, last_line)
        while first < last and not lines[first - 1].strip():
            first += 1
        while first < last and not lines[last - 1].strip():
            last -= 1
        score = _score(every, first, last)
        score += max((hits.worth for hits in every if name and hits.term.text in (name, name.rpartition(".")[2])), default=0.0)
        missed = len({line for hits in every for line in hits.lines if first_line <= line <= last_line and not first <= line <= last})
        regions.append(Region(first, last, score, name, missed))
    return sorted(regions, key=lambda region: (-region.score, region.last_line - region.first_line, region.first_line))
