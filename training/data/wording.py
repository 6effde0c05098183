"""What people say around an instruction, and words that say nothing: so that a model reads an instruction with the code and does not
learn its wordings by heart."""

from __future__ import annotations

from random import Random

LEADS = (
    "let's {}", "let us {}", "we should {}", "we need to {}", "I want to {}", "I'd like to {}", "you should {}", "now {}", "next, {}",
    "then {}", "also {}", "just {}", "quickly {}", "time to {}", "remember to {}", "go and {}", "be so kind and {}",
    "the plan is to {}", "it is time to {}", "would you {}",
)  # fmt: skip
"""Before an instruction that begins with a verb."""
LABELS = (
    "todo: {}", "TODO {}", "fixme: {}", "cleanup: {}", "refactor: {}", "minor: {}", "nit: {}", "review: {}", "chore: {}",
    "small change: {}", "step 1: {}", "- {}", "* {}", "1. {}", "task: {}", "request: {}", "in this code: {}", "here: {}",
    "as discussed, {}", "one more thing: {}", "hey, {}", "ok, {}",
)  # fmt: skip
"""Before any."""
TAILS = (
    "{} here", "{} everywhere", "{} in this file", "{} in this code", "{} in these lines", "{} throughout", "{} in all places",
    "{} for consistency", "{} for clarity", "{} to be clear", "{}, thanks", "{} please", "{}, please", "{} now", "{} at once",
    "{}, nothing else", "{} and leave the rest", "{}, keep everything else", "{} as agreed", "{} as in the other module",
    "{} for the next release", "{}, that is clearer", "{}, it reads better", "{}, it confuses people", "{}, we agreed on that",
    "{}, the old one is misleading", "{} because the reviewer asked for it", "{} so that the linter is happy", "{} before we ship",
    "{} (see the ticket)", "{}!", "{} ...", "{} - thx", "{}, will you", "{} if you can", "{} as the style guide says", "{} again",
)  # fmt: skip
"""After any."""
WORDS = (
    "a about above actually after all also and any around as at back be because been before being best better both but by called can "
    "case change clean clear code come could day did different do does done each easy else even ever every far few find first for "
    "form from full get give given go good great had half hand has have here high hold how idea if in instead into is it its just "
    "keep kind know large last late leave less let like line little long look made make many may mean might more most much must name "
    "near need never new next nice no not now of off often old on once one only or other our out over own part people perhaps place "
    "point prefer put quite rather read real reason right said same say see seems set shall short should show side simple since small "
    "so some soon start state still such sure switch take team tell than that the their then there these they thing think this those "
    "thought through time to today too try turn two under until up use used using version very want was way we well were what when "
    "where which while who whole why will with word work would write wrong year yes yet you your"
).split()
SIGNS = ("->", "=>", ":", ",", "=", "/", "|", "-", "→", ">")
_SMALL = frozenset("the a an of to is be should so that this by as for with it".split())
SPLIT = frozenset(("rename", "rename_attribute", "replace_call", "change_exception"))
"""Kinds that put one name for another: which is the old one shows in the code, whatever the words around the two."""


def surrounded(rng: Random, text: str, verb_first: bool) -> str:
    """`text` with something before or after it now and then."""
    roll = rng.random()
    if roll < 0.03 and verb_first and text[:1].islower():
        text = rng.choice(LEADS).format(text)
    elif roll < 0.06:
        text = rng.choice(LABELS).format(text)
    return rng.choice(TAILS).format(text) if rng.random() < 0.07 else text


def nonsense(rng: Random) -> str:
    """A template of words that say nothing around {old} and {new}, which come in any order."""
    first, second = rng.sample(("{old}", "{new}"), 2)
    words = [rng.choices(WORDS, k=rng.choice(counts)) for counts in ((0, 0, 1, 2, 3), (0, 1, 2, 3, 4), (0, 0, 0, 1, 2, 3))]
    middle = words[1] or [rng.choice(SIGNS)]
    return " ".join([*words[0], first, *middle, second, *words[2]])


def shortened(rng: Random, template: str) -> str:
    """A template without one of its small words, as hasty people write."""
    parts = template.split(" ")
    small = [i for i, part in enumerate(parts) if part in _SMALL]
    if small:
        del parts[rng.choice(small)]
    return " ".join(parts)
