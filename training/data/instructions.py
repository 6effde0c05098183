"""How people word an instruction: the templates of registry.py with quoting, case, courtesy and slips.

The last HELD_OUT templates of every list are never used for training; half of the evaluation instructions come from them."""

from __future__ import annotations

import re
from random import Random

from . import wording
from .registry import TEMPLATES

HELD_OUT = 2

_QUOTES = (("", ""), ("`", "`"), ("'", "'"), ('"', '"'))
_ALTERNATIVES = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")  # "[drop|remove] it": one of the words
_PROSE_SLOTS = frozenset(("role", "many", "text", "was"))  # words rather than code: never quoted
_VALUE_SLOTS = frozenset(("value", "default"))  # quotes would turn them into strings: backticks or nothing
_VALUE_KINDS = frozenset(("change_constant", "change_default", "add_annotation", "change_annotation"))  # of these also old and new


def choices(kind: str, variant: str, held_out: bool) -> tuple[str, ...]:
    """The templates for a kind's variant: those for training, or those kept for evaluation."""
    every = TEMPLATES[kind][variant]
    return every[-HELD_OUT:] if held_out else every[:-HELD_OUT]


def _is_code(template: str, field: str) -> bool:
    """True when a field stands within code in a template: as `({text})`, `{name}(`, `{name}.close` or the like."""
    place = template.find(field)
    after = template[place + len(field) : place + len(field) + 2]
    within = after[:1] in ("(", "[") or (after[:1] == "." and after[1:].isalpha())
    return place >= 0 and bool(after and within or place and template[place - 1] in "(.@")


def word(rng: Random, kind: str, variant: str, slots: dict[str, str], held_out: bool = False) -> str:
    """One instruction. Names, values and statements stay letter for letter; only the words around them vary."""
    if kind == "nothing":
        kind, variant = variant.split("/")
    elif kind == "rename":
        variant = "in" if slots["func"] and rng.random() < 0.25 else "plain"
    template = _ALTERNATIVES.sub(lambda match: rng.choice(match[1].split("|")), rng.choice(choices(kind, variant, held_out)))
    if not held_out and kind in wording.SPLIT and {"old", "new"} <= slots.keys() and variant != "also" and rng.random() < 0.15:
        template = wording.nonsense(rng)
    elif not held_out and "{" in template and rng.random() < 0.04:
        template = wording.shortened(rng, template)
    courtesy = rng.choice(("please ", "Please ", "can you ", "could you ", "pls ")) if rng.random() < 0.04 else ""
    before, after = rng.choices(_QUOTES, (55, 27, 9, 9))[0]
    filled = {}
    for slot, value in slots.items():
        # Quotes would turn a value into a string: values and whatever holds quotes get none but backticks.
        own = any(quote in value for quote in "'\"") or slot in _VALUE_SLOTS or (kind in _VALUE_KINDS and slot in ("old", "new"))
        bare = (
            slot in _PROSE_SLOTS
            or value in ("assert", "raise", "return")
            or (own and before != "`")
            or "s/{" in template
            or "={" in template
            or _is_code(template, f"{{{slot}}}")
        )
        filled[slot] = value if bare else before + value + after
    lead = template.split("{")[0]
    roll = rng.random()
    if template.startswith("s/"):
        pass
    elif lead and roll < 0.22 and not courtesy:
        template = template[0].upper() + template[1:]
    elif roll < 0.25:
        parts = template.split("{")
        template = "{".join([parts[0].upper(), *(part.split("}")[0] + "}" + part.split("}")[1].upper() for part in parts[1:])])
    elif roll < 0.30:
        template = _slip(rng, template)
    text = template.format(**filled)
    if not courtesy:
        text = wording.surrounded(rng, text, lead.strip().isalpha())
    if rng.random() < 0.12 and (text[-1].isalpha() or before) and lead and not text.endswith("/"):
        text += "."
    return courtesy + text


def _slip(rng: Random, template: str) -> str:
    """A template with two neighbouring letters of one of its own words swapped."""
    places = []
    depth = 0
    for i in range(len(template) - 1):
        depth += {"{": 1, "}": -1}.get(template[i], 0)
        if not depth and template[i].isalpha() and template[i + 1].isalpha():
            places.append(i)
    if not places:
        return template
    i = rng.choice(places)
    return template[:i] + template[i + 1] + template[i] + template[i + 2 :]
