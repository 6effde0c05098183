"""Finds the place that an instruction means in a whole folder: the best files by their scores, then the best lines inside them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from cromwell.contract.errors import CommandError
from cromwell.prepare.find import find_regions
from cromwell.prepare.symbols import outline
from cromwell.prepare.terms import instruction_terms
from cromwell.prepare.tree import quoted

if TYPE_CHECKING:
    from cromwell.prepare.find import Region
    from cromwell.prepare.index import Index
    from cromwell.prepare.rank import Scored

FILES, REGIONS = 15, 4
"""Best files that are searched, and regions of each that are weighed."""
WORDS, REGION, TOLD, ORDER = 0.98, 0.90, 3.46, -0.46
"""Weights of a place: its file's BM25 over that of the best file, its score in the file, the share of the instruction that it holds, and
the logarithm of its file's rank. Fitted as those of find.py, on edits of click, httpx and rich."""
CHANCE, CHANCE_REGION, CHANCE_TOLD, CHANCE_MARGIN = -3.7, 0.25, 2.3, 0.41
"""A logistic regression of whether the best place is right, against instructions that were written for other packages: a constant, the
score in the file, the share told, and how far the best place is ahead of the second."""
THRESHOLD = 0.4
"""Of right places 79% are this likely, of places for other packages' instructions 12% (benchmarks/places.py)."""


class Found(NamedTuple):
    """A place in a tree."""

    path: str
    region: Region
    score: float


def rarities(index: Index, instruction: str) -> dict[str, float]:
    """How much each term of an instruction tells in this tree: 0.3 when it is in every file, up to 1 when it is in one or none."""
    names = {term.text: re.findall(r"\w+", term.text.lower()) for term in instruction_terms(instruction)}
    counts = index.document_frequency({name for found in names.values() for name in found})
    total = math.log(2 + len(index.files))
    return {text: max(0.3, math.log((2 + len(index.files)) / (1 + min((counts.get(name, 0) for name in found), default=0))) / total)
            for text, found in names.items()}


def locate(index: Index, folder: str, instruction: str, scores: Sequence[Scored]) -> list[Found]:
    """The places that `instruction` may mean below `folder` (relative to the root; "." is all of it), best first."""
    from cromwell.prepare.pack import split_lines
    from cromwell.prepare.rank import read_query

    prefix = "" if folder == "." else folder + "/"
    tells = rarities(index, instruction)
    words = index.bm25(read_query(instruction).words)
    most = max(words.values(), default=0.0) or 1.0
    places = []
    for rank, scored in enumerate([scored for scored in scores if scored.path.startswith(prefix)][:FILES]):
        file = index.by_path[scored.path]
        try:
            lines = split_lines(index.read(file))
            text = [line.decode("utf-8") for line in lines]
        except (KeyError, UnicodeDecodeError):  # changed meanwhile, or no file that could be edited
            continue
        for region in find_regions(instruction, text, outline(scored.path, b"".join(lines)), tells)[:REGIONS]:
            score = WORDS * words.get(file.id, 0.0) / most + REGION * region.score + TOLD * region.told + ORDER * math.log(1 + rank)
            places.append(Found(scored.path, region, score))
    return sorted(places, key=lambda found: (-found.score, found.path, found.region.first_line))


def chance(places: Sequence[Found]) -> float:
    """How likely it is that the first of `places` is meant, 0..1."""
    if not places:
        return 0.0
    best = places[0]
    margin = best.score - places[1].score if len(places) > 1 else 3.0
    score = CHANCE + CHANCE_REGION * best.region.score + CHANCE_TOLD * best.region.told + CHANCE_MARGIN * margin
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, score))))


def the_place(places: Sequence[Found], folder: str) -> Found:
    """The best place. CommandError (exit 4), with the nearest ones, when it is not likely enough."""
    if chance(places) >= THRESHOLD:
        return places[0]
    if not places:
        raise CommandError(f"{folder}: nothing that the instruction names is in its files",
                           "name a file, its lines, or a function: FILE::NAME", 4)
    near = ", ".join(f"{quoted(found.path)}:{found.region.first_line}-{found.region.last_line}" for found in places[:3])
    raise CommandError(f"{folder}: no place is likely enough to be meant; nearest: {near}",
                       "name one of them, or say more of what is there", 4)
