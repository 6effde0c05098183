"""What an instruction asks for, as names and as words."""

from __future__ import annotations

import re
from typing import NamedTuple

from cromwell.prepare.rank.kinds import words
from cromwell.prepare.terms import instruction_terms

_NAME = re.compile(r"[^\W\d]\w*")
_PART_WEIGHT = 0.6
"""A word of a longer name against a word that stands alone."""


class Query(NamedTuple):
    """The instruction's names and words, each with a weight of about 1."""

    names: dict[str, float]
    """As they are written: get_url, Client."""
    words: dict[str, float]
    """Lower case, names split: get, url, client."""


def read_query(instruction: str) -> Query:
    """The names and words of an instruction; words that every instruction holds (add, fix, the) are left out."""
    names: dict[str, float] = {}
    found: dict[str, float] = {}
    for term in instruction_terms(instruction):
        weight = min(1.0, term.weight / 3.0) if term.weight > 1 else term.weight * 0.6
        for name in _NAME.findall(term.text):
            names[name] = max(weight, names.get(name, 0.0))
            parts = words(name)
            for part in parts:
                if len(part) > 1:
                    found[part] = max(weight if len(parts) == 1 else weight * _PART_WEIGHT, found.get(part, 0.0))
    return Query(names, found)


def variants(word: str) -> list[str]:
    """Other forms of a word that mean the same in code: plural and singular, past and -ing."""
    forms = []
    if word.endswith("ies") and len(word) > 4:
        forms.append(word[:-3] + "y")
    if word.endswith("es") and len(word) > 4:
        forms.append(word[:-2])
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        forms.append(word[:-1])
    elif len(word) > 2:
        forms.append(word + "s")
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 3:
            stem = word[: -len(ending)]
            forms += [stem, stem + "e"]
            if stem[-1] == stem[-2]:
                forms.append(stem[:-1])
    return forms
