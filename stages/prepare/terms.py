"""Which names and values an instruction speaks of, and how much each tells about where in a file it means.

What stands to be replaced weighs more than what replaces it: in "rename col_count to columns" only the first is in the file yet."""

from __future__ import annotations

import re
from typing import NamedTuple

QUOTED, CODE, NAMED, NUMBER, WORD = 4.0, 3.0, 3.0, 1.5, 1.0
"""Weights: quoted; looks like code (a_b, aB, a.b, a(); stands where instructions name things; a number; any other word."""
NEW = 0.2
"""Factor for what the instruction wants to see afterwards."""

STOP_WORDS = frozenset("""
    a about above activate add after all also an and another any argument arguments as assign assignment at attribute be becomes
    before begin better below by call called calls can change class code could deactivate default delete disable do does drop
    each edit enable end every everywhere field file fix for from function functions get give given goes has have image
    implement import in insert instance instead into is it its just keyword let like line lines look make member method methods
    migrate module move must name named need needs new no not now number occurrence occurrences of off on one only optimise
    optimize or out parameter parameters pass picture place please pls put refactor remove rename replace return returns
    screenshot set should so start statement stop string sure swap switch take than that the then there they this to too top
    turn uncomment update use used uses using value values variable variables want we when where which will with without write
    you
""".split())

_TOKEN = re.compile(
    r"`(?P<tick>[^`\n]+)`"
    r"|(?<!\w)\"(?P<double>[^\"\n]+)\"(?!\w)|(?<!\w)'(?P<single>[^'\n]+)'(?!\w)"
    r"|(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?P<call>\()?"
    r"|(?P<number>\d[\d_]*(?:\.\d+)?\w*)")
_BEFORE_NEW = re.compile(r"(?:\b(?:to|with|by|into|as|become|becomes)|->|=>|=|s/[^/]*/)\s*$", re.IGNORECASE)
_NOT_NEW = re.compile(r"\bcalls?\s+(?:\w+\s+)?(?:to|with)\s*$|\bcall\s+of\s*$", re.IGNORECASE)
_AFTER_NEW = re.compile(r"\s*(?:\(\))?\s*(?:instead|rather|in\s+place)\s+(?:of|than)\b", re.IGNORECASE)
_BEFORE_NAMED = re.compile(
    r"\b(?:rename|replace|swap|remove|delete|drop|from|instead of|rather than|in place of|of|in|set|change|call|"
    r"parameter|argument|variable|attribute|field|member|function|method|class|constant|keyword|name|default)(?:\s+the)?:?\s*$",
    re.IGNORECASE)
_BEFORE_RENAMED = re.compile(
    r"\b(?:rename|parameter|argument|variable|attribute|field|member|function|method|class|constant|keyword|name):?\s*$", re.IGNORECASE)
_AFTER_RENAMED = re.compile(r"\s*(?:(?:to|as|into)\b|->|=>|=|(?:of|in)\s+\S+\s+to\b)")


_PLACE = re.compile(
    r"(?:\b(?:in|of|inside|within|from|to|by|at|for|function|method|class|call|called|update|change|adapt|revise|rework|edit|let|make|give|"
    r"have|correct|fix|as to)(?:\s+the)?(?:\s+(?:function|method|class))?:?\s+[`'\"]?|^\s*[`'\"]?)$", re.IGNORECASE)
_SAID = re.compile(
    r"(?:\(\))?[`'\"]?(?:'s\b|\s+(?:should|must|has to|needs?|forgets?|returns?|takes?|accepts?|misbehaves|works|is|does|gets?)\b|:|,?$)")


class Term(NamedTuple):
    """A name, value or piece of code from an instruction."""

    text: str
    weight: float


def _looks_like_code(name: str, is_call: bool) -> bool:
    return is_call or "." in name or "_" in name or any(c.isdigit() for c in name) or any(c.isupper() for c in name[1:])


def _weight(match: re.Match[str], instruction: str) -> tuple[str, float]:
    """Text of a token and its weight, 0 for one that says nothing."""
    before = instruction[: match.start()]
    quoted = match["tick"] or match["double"] or match["single"]
    name = match["name"]
    named = _BEFORE_NAMED.search(before) is not None
    if quoted:
        text, weight = quoted.strip(), QUOTED
    elif name:
        text = name
        if _looks_like_code(name, bool(match["call"])):
            weight = CODE
        elif name.lower() in STOP_WORDS:
            # "rename parameter a to left": a word of no weight, unless it stands where a name must and something becomes of it.
            weight = NAMED if _BEFORE_RENAMED.search(before) and _AFTER_RENAMED.match(instruction, match.end()) else 0.0
        else:
            weight = NAMED if named else WORD
    else:
        text, weight = match["number"], NUMBER if len(match["number"]) > 1 else NUMBER / 3
    if (_BEFORE_NEW.search(before) and not _NOT_NEW.search(before)) or _AFTER_NEW.match(instruction, match.end()):
        weight *= NEW
    return text, weight


def instruction_terms(instruction: str) -> list[Term]:
    """The terms of an instruction in order, each text once with its greatest weight."""
    weights: dict[str, float] = {}
    for match in _TOKEN.finditer(instruction):
        text, weight = _weight(match, instruction)
        if text and weight:
            weights[text] = max(weight, weights.get(text, 0.0))
    return [Term(text, weight) for text, weight in weights.items()]


def is_place(instruction: str, text: str) -> bool:
    """Whether `text` stands where instructions say where: "in NAME", "of NAME", "NAME should"."""
    at = instruction.find(text)
    while at >= 0:
        if _PLACE.search(instruction[max(0, at - 40):at]) or _SAID.match(instruction, at + len(text)):
            return True
        at = instruction.find(text, at + 1)
    return False
