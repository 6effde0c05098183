"""What of an instruction is in a file, and where: names and values, runs of words that a line has too, and code of the shape spoken of."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cromwell.prepare.hints import hinted_places
from cromwell.prepare.terms import NEW, QUOTED, STOP_WORDS, instruction_terms, is_place

PART_OF_NAME = 0.4
"""Factor for a term found only as part of a name, or in another case: timeout in DEFAULT_TIMEOUT."""
HINT = 1.0
"""Weight of code of the shape spoken of."""
MAX_LINES = 300
"""Lines that are laid beside the instruction word by word: those whose rarest terms are rarest."""
MAX_CHARACTERS = 1000
"""Of a line that are laid beside the instruction."""
MAX_HITS = 20_000
"""Occurrences of one term that are looked at; one that is on every line of a long file tells nothing."""
PARAMETERS = re.compile(r"\b(?:param(?:eter)?s?|arg(?:ument)?s?|defaults?|keywords?|annotat\w*|types?|typed|hints?|accepts?|takes?|"
                        r"signature|optional|required|requires?|declare|given|passed)\b", re.IGNORECASE)
"""Instructions about parameters."""
ENGLISH = frozenset("""
    a about accept accepts adapt add after all also an and annotate annotation annotations any arg args argument arguments as assign
    at be becomes before begin behind by call called can change class could declare default defaults delete do does drop each edit
    end every extend extended fix for forgets from function get gets give given has have hint if in instead into is it its just
    keyword let make member method missing must need needs new no not now of off on one only optional or out param parameter
    parameters pass please pls put remove rename replace require required requires return returns revise set should signature so
    take takes than that the then there this to too turn type typed types update use value variable want when where which will with
    without write you
""".split())
"""Words that are no name of a parameter where they stand without quotes."""
COMING = re.compile(r"\b(?:add|give|gets?|takes?|accepts?|extend|parameter|argument|insert|with|by|and|also)\b"
                    r"[^.;,]*?[`'\" ](\w+)(?:: ?[^=`;]+?)? ?= ?", re.IGNORECASE)
"""A name with the value or default that it is to have."""
_WORD = re.compile(r"\w+|[^\w\s`'\"]")
_SMALL = frozenset("and as at be by for from if in into is it not of on or return self the to with while else def class import".split())


class Hits(NamedTuple):
    """Where a term occurs."""

    text: str
    role: str
    """"term", "part" (of a name), "value" (where it is given one), or "shape"."""
    weight: float
    lines: list[int]
    """One entry an occurrence, ascending, from 1."""
    worth: float
    """Weight times rarity of one occurrence."""
    told: float = 0.0
    """Weight among all that the instruction names."""

    def count(self, first_line: int, last_line: int) -> int:
        return bisect.bisect_right(self.lines, last_line) - bisect.bisect_left(self.lines, first_line)

    def between(self, first_line: int, last_line: int) -> list[int]:
        return self.lines[bisect.bisect_left(self.lines, first_line):bisect.bisect_right(self.lines, last_line)]


class Mention(NamedTuple):
    """A name that the instruction holds."""

    weight: float
    is_place: bool
    """It stands where instructions say where: "in NAME", "of NAME", "NAME should"."""


class Evidence(NamedTuple):
    """All that an instruction and a file have in common."""

    hits: list[Hits]
    line_worth: dict[int, float]
    """For lines with terms of the instruction, or code of its shape: the worth of the different ones."""
    matched: dict[int, float]
    """For lines that share a run of words with the instruction: the worth of the longest."""
    mentions: dict[str, Mention]
    parameters: dict[str, float]
    """Words that may be names of parameters, with weights; empty where the instruction speaks neither of parameters nor of types."""
    coming: frozenset[str]
    """Of them, those that the instruction wants to see."""
    told: float
    """Weight of all that the instruction names as being there already, at least 1."""
    words: frozenset[str]
    """Stems of the instruction's words."""

    def alike(self, name: str) -> float:
        """The share of the words of `name` that the instruction has, 0..1; names of one word count half."""
        lowered = name.lower()
        if not any(word in lowered for word in self.words):
            return 0.0
        parts = stems(name)
        return sum(part in self.words for part in parts) / max(len(parts), 2)


def stems(text: str) -> list[str]:
    """The words of names and prose in lower case, without endings: retryPolicies -> retr, polic."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)
    return [re.sub(r"(?:ies|ing|ed|es|s|y|e)$", "", part.lower()) if len(part) > 4 else part.lower() for part in parts if len(part) > 2]


def _find(text: str, needle: str, part: bool) -> list[int]:
    """Offsets of `needle` as a whole name; with part=True as a part of one between underscores (`text` then is in lower case)."""
    found: list[int] = []
    head = needle[:1].isalnum() or needle[:1] == "_"
    tail = needle[-1:].isalnum() or needle[-1:] == "_"

    def joins(c: str) -> bool:
        return c.isalnum() or (c == "_" and not part)

    at = text.find(needle)
    while at >= 0 and len(found) < MAX_HITS:
        end = at + len(needle)
        if not (head and at and joins(text[at - 1])) and not (tail and end < len(text) and joins(text[end])):
            found.append(at)
        at = text.find(needle, end)
    return found


_GIVEN = re.compile(r"(?:[ \t]*:[^=\n]*)?[ \t]*=(?!=)")


def gather(instruction: str, lines: Sequence[str], rarity: Mapping[str, float] | None = None) -> Evidence:
    """What `instruction` and `lines` (with their LF line ends) have in common; `rarity` says how much finding each term tells (1 unless
    given)."""
    text = "".join(lines)
    lowered: list[str] = []
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def at_lines(offsets: Sequence[int]) -> list[int]:
        return [bisect.bisect_right(starts, offset) for offset in offsets]

    def hits_of(text: str, role: str, weight: float, found: Sequence[int], told: float = 0.0) -> Hits:
        places = at_lines(found)
        return Hits(text, role, weight, places, weight * math.log(1 + len(lines) / len(set(places))), told)

    every: list[Hits] = []
    mentions: dict[str, Mention] = {}
    told = 0.0
    for term in instruction_terms(instruction):
        tells = term.weight * (rarity.get(term.text, 1.0) if rarity else 1.0) if term.weight > NEW * QUOTED else 0.0
        told += tells
        for name in {term.text, term.text.rpartition(".")[2]}:
            if re.fullmatch(r"\w+", name):
                mentions[name] = Mention(term.weight, is_place(instruction, term.text))
        offsets = _find(text, term.text, False)
        if offsets:
            every.append(hits_of(term.text, "term", term.weight, offsets, tells))
            given = [offset for offset in offsets if _GIVEN.match(text, offset + len(term.text))]
            if given:  # where a name gets its value or its default counts for more
                every.append(hits_of(term.text, "value", term.weight, given))
            continue
        if not lowered:
            lowered.append(text.lower())
        parts = re.findall(r"\w{3,}", term.text)
        for part in parts:
            found = _find(text, part, False) or _find(lowered[0], part.lower(), True)
            if found:
                every.append(hits_of(part, "part", term.weight * PART_OF_NAME, found, tells * PART_OF_NAME / len(parts)))
    for number, places in enumerate(hinted_places(instruction, text)):
        every.append(hits_of(f"hint {number}", "shape", HINT, places))
    line_worth: dict[int, float] = {}
    for hits in every:
        if hits.role != "value":
            for line in set(hits.lines):
                line_worth[line] = line_worth.get(line, 0.0) + hits.worth
    parameters = {word: 1.0 for word in re.findall(r"[^\W\d]\w*", instruction) if word.lower() not in ENGLISH}
    parameters.update({name: mention.weight for name, mention in mentions.items()})
    return Evidence(
        hits=every, line_worth=line_worth, matched=_matched(instruction, lines, every), mentions=mentions,
        parameters=parameters if PARAMETERS.search(instruction) else {},
        told=max(told, 1.0),
        coming=frozenset(match[1] for match in COMING.finditer(instruction)),
        words=frozenset(stems(" ".join(word for word in re.findall(r"\w+", instruction) if word.lower() not in STOP_WORDS))))


def _matched(instruction: str, lines: Sequence[str], every: Sequence[Hits]) -> dict[int, float]:
    """The lines that have two or more words of the instruction in a row, one of them telling, with the worth of the longest run."""
    rarity: dict[int, float] = {}
    for hits in every:
        if hits.role in ("term", "part") and len(hits.lines) <= 4 * MAX_LINES:
            for line in set(hits.lines):
                rarity[line] = rarity.get(line, 0.0) + hits.worth
    positions: dict[str, list[int]] = {}
    for position, word in enumerate(_WORD.findall(instruction)):
        positions.setdefault(word, []).append(position)
    found = {}
    for line in sorted(rarity, key=lambda line: (-rarity[line], line))[:MAX_LINES]:
        best = 0.0
        runs: dict[int, tuple[float, bool]] = {}  # position in the instruction that a run ends at: its worth, whether it is telling
        for word in _WORD.findall(lines[line - 1][:MAX_CHARACTERS]):
            worth = 0.15 if not word[0].isalnum() and word[0] != "_" else 0.3 if word in _SMALL else 1.0
            longer = {}
            for position in positions.get(word, ()):
                before, telling = runs.get(position - 1, (0.0, False))
                longer[position] = (before + worth, telling or worth == 1.0)
                if before and longer[position][1]:
                    best = max(best, before + worth)
            runs = longer
        if best:
            found[line] = best
    return found
