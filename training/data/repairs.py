"""Edits whose answer is the real code: the region shown is a damaged copy of it, and the instruction asks for the repair.

The kinds are in repairs_expressions.py and repairs_statements.py, what they share in repairs_damage.py, their
words in repairs_wording.py."""

from __future__ import annotations

import re
from random import Random

from . import names
from . import repairs_expressions as expressions
from . import repairs_statements as statements
from .names import Pools
from .repairs_wording import TEMPLATES as TEMPLATES
from .view import View

_CHECKED_DEFAULT = re.compile(rb"\bdef \w[\s\S]{0,1200}?is None:\s+\w+ = (\[\]|\{\}|set\(\)|dict\(\)|list\(\))")

KINDS = {
    "fix_operator": (expressions.fix_operator, 14, None),
    "fix_off_by_one": (expressions.fix_off_by_one, 9, re.compile(rb"range\(|\[")),
    "fix_arguments": (expressions.fix_arguments, 7, None),
    "fix_variable": (expressions.fix_variable, 12, None),
    "fix_condition": (expressions.fix_condition, 8, re.compile(rb"\bif\b|\bwhile\b|\bassert\b")),
    "fix_not": (expressions.fix_not, 5, re.compile(rb"\bnot\b")),
    "fix_constant": (expressions.fix_constant, 7, re.compile(rb"[=:] ?(True|False|-?[012])\b|return")),
    "fix_self": (expressions.fix_self, 4, re.compile(rb"\bself\.")),
    "fix_await": (expressions.fix_await, 2, re.compile(rb"\bawait\b")),
    "fix_get_default": (expressions.fix_get_default, 2, re.compile(rb"\.get\([^()\n]*,")),
    "fix_fstring": (expressions.fix_fstring, 2, re.compile(rb"\bf['\"]")),
    "fix_call": (expressions.fix_call, 2, re.compile(rb"\(\)")),
    "fix_return": (statements.fix_return, 6, re.compile(rb"\breturn\b")),
    "fix_raise": (statements.fix_raise, 2, re.compile(rb"\braise\b")),
    "fix_guard": (statements.fix_guard, 6, re.compile(rb"\bif\b[^\n]*:\s+(raise|return|continue|break)\b")),
    "fix_try": (statements.fix_try, 3, re.compile(rb"\btry:")),
    "fix_with": (statements.fix_with, 3, re.compile(rb"^ *with ", re.M)),
    "fix_mutable_default": (statements.fix_mutable_default, 1, _CHECKED_DEFAULT),
    "fix_except": (statements.fix_except, 2, re.compile(rb"\bexcept \w")),
    "fix_exception": (statements.fix_exception, 2, re.compile(rb"\braise\b|\bexcept\b")),
    "fix_decorator": (statements.fix_decorator, 2, re.compile(rb"^ *@", re.M)),
}
"""Every kind of repair: what makes one, its weight among repairs, what a unit must hold to be worth a try."""


def _absent_exception(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Another exception wanted for one that the unit does not name."""
    new = rng.choice(sorted(statements.EXCEPTIONS))
    old = rng.choice(statements.EXCEPTIONS[new])
    return (rng.choice(("precise_raise", "precise_except")), {"old": old, "new": new}) if old not in view.taken else None


def _absent_await(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """An await wanted for a call that is not there."""
    callee = names.pick(rng, pools.callees)
    return ("precise_call", {"call": callee}) if not set(callee.split(".")) & view.taken else None


ABSENT = {"fix_exception": _absent_exception, "fix_await": _absent_await}
