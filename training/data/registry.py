"""Every kind of instruction edit, its share of all edits and its wordings: one table, merged from the modules that make the edits.

A module brings
    KINDS      name -> (function(view, rng, pools) -> Draft | None, weight within its group, hint)
    TEMPLATES  name -> variant -> wordings, the last two of each kept for evaluation
    ABSENT     name -> function(view, rng, pools) -> (variant, slots) | None: such an instruction where there is nothing to do (optional)
and is named in GROUPS. A hint is a pattern of bytes that a unit's text must hold to be worth a try, or None."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import NamedTuple

from . import (
    edits_branches,
    edits_calls,
    edits_classes,
    edits_entries,
    edits_errors,
    edits_idioms,
    edits_imports,
    edits_logging,
    edits_loops,
    edits_names,
    edits_signature,
    edits_strings,
    edits_text,
    edits_types,
    kinds,
    pictures_words,
    repairs,
    statements,
    templates,
)
from .names import Pools
from .view import Draft, View

_STRUCTURE = (edits_signature, edits_calls, edits_types, edits_classes, edits_entries, edits_text, edits_imports)
_BEHAVIOUR = (edits_errors, edits_logging, edits_strings, edits_idioms, edits_branches, edits_loops, edits_names)

GROUPS: tuple[tuple[float, tuple[ModuleType, ...]], ...] = (
    (50.0, (kinds,)),
    (5.0, (statements,)),
    (11.0, _STRUCTURE),
    (11.0, _BEHAVIOUR),
    (13.0, (repairs,)),
)
"""(share of all edits, modules). Shares count relative to one another; within a group the kinds' weights do."""

NOTHING_SHARE = 10.0  # percent of all edits that ask for what is not there
TEMPLATE_MODULES: tuple[ModuleType, ...] = (templates, pictures_words)  # modules that bring wordings alone


class Kind(NamedTuple):
    """One kind of edit."""

    make: Callable[[View, Random, Pools], Draft | None]
    share: float  # percent of all edits
    hint: re.Pattern[bytes] | None = None


def _merged(field: str) -> dict:
    """The tables called `field` of all modules as one. Raises ValueError when two modules bring the same name."""
    found: dict = {}
    for module in [*TEMPLATE_MODULES, *(module for _, modules in GROUPS for module in modules)]:
        table = getattr(module, field, {})
        if set(table) & set(found):
            raise ValueError(f"{module.__name__}: {field} repeats {', '.join(sorted(set(table) & set(found)))}")
        found.update(table)
    return found


def _kinds() -> dict[str, Kind]:
    table = {}
    everything = sum(share for share, _ in GROUPS)
    for share, modules in GROUPS:
        rows = {name: row for module in modules for name, row in module.KINDS.items()}
        weights = sum(weight for _, weight, _ in rows.values())
        for name, (make, weight, hint) in rows.items():
            table[name] = Kind(make, (100 - NOTHING_SHARE) * share / everything * weight / weights, hint)
    if len(table) != len(_merged("KINDS")):
        raise ValueError("a kind stands in two groups")
    return table | {"nothing": Kind(nothing, NOTHING_SHARE)}


def nothing(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An instruction of some kind about what the region does not hold: the region stays as it is."""
    kind = rng.choice(list(ABSENT))
    found = ABSENT[kind](view, rng, pools)
    return Draft("nothing", f"{kind}/{found[0]}", found[1], [], {}) if found else None


TEMPLATES: dict[str, dict[str, tuple[str, ...]]] = _merged("TEMPLATES")
ABSENT: dict[str, Callable[[View, Random, Pools], tuple[str, dict[str, str]] | None]] = _merged("ABSENT")
KINDS: dict[str, Kind] = _kinds()
