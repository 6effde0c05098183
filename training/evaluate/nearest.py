"""The nearest-neighbour baseline: the training edit most like an edit in words is found by BM25, and done again on this region.

Doing it again: the neighbour's instruction is laid beside this one, which tells what each of its words is here ("rename a to b" beside
"rename x to y": a is x, b is y). What the neighbour's edit took out and put in, those words exchanged, is then taken out and put in here.
Where it cannot be, the region stays."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.data import narrow

from .examples import read_examples
from .lexer import code, lex
from .lines import EvaluationError

SATURATION, LENGTH_SHARE = 1.2, 0.75
"""BM25's k1 and b, at their usual values (Robertson and Zaragoza 2009)."""
TRIED = 20
"""Neighbours tried until one's edit can be done."""


class Edit(NamedTuple):
    """A training edit."""

    instruction: str
    region: str
    new_region: str


def training_edits(path: Path, tokenizer: Path | None) -> list[Edit]:
    """The edits of a shard, or of JSON lines like the held-out ones. EvaluationError without any, or for a shard without a tokenizer."""
    if path.is_dir():
        if tokenizer is None:
            raise EvaluationError(f"{path}: a shard's edits are read with --tokenizer")
        try:
            found = [
                Edit(*(part.decode("utf-8", "replace") for part in (instruction.strip(), target.region, new_region)))
                for target, instruction, new_region, _ in narrow.edits_of(path, tokenizer)
            ]
        except (OSError, ValueError) as error:
            raise EvaluationError(f"{path}, {tokenizer}: {error}") from None
    else:
        found = [Edit(example.instruction, example.region, example.new_region) for example in read_examples(path)]
    if not found:
        raise EvaluationError(f"{path}: holds no edits")
    return found


def words(text: str) -> list[str]:
    """What two texts are compared by: names and numbers in lower case, names cut at underscores too."""
    found = re.findall(r"\w+", text.lower())
    return found + [part for word in found if "_" in word for part in word.split("_") if part]


class Index:
    """Training edits by the words of their instruction and region, for BM25."""

    def __init__(self, edits: Iterable[Edit]):
        self.edits = list(edits)
        places: dict[str, list[int]] = defaultdict(list)
        counts: dict[str, list[int]] = defaultdict(list)
        lengths = np.empty(len(self.edits))
        for number, edit in enumerate(self.edits):
            there = Counter(words(edit.instruction) + words(edit.region))
            lengths[number] = there.total()
            for word, count in there.items():
                places[word].append(number)
                counts[word].append(count)
        norm = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * lengths / lengths.mean())
        self.postings = {}
        for word, numbers in places.items():
            where, often = np.array(numbers, np.int32), np.array(counts[word], np.float64)
            rarity = math.log(1 + (len(self.edits) - len(where) + 0.5) / (len(where) + 0.5))
            self.postings[word] = where, rarity * often * (SATURATION + 1) / (often + norm[where])

    def nearest(self, instruction: str, region: str, count: int) -> list[Edit]:
        """The `count` edits of the highest score, the best first."""
        scores = np.zeros(len(self.edits))
        for word, often in Counter(words(instruction) + words(region)).items():
            if word in self.postings:
                where, weights = self.postings[word]
                scores[where] += often * weights
        best = np.argsort(-scores, kind="stable")[:count]
        return [self.edits[number] for number in best]

    def answer(self, instruction: str, region: str) -> str:
        """The region after the edit of the nearest neighbour whose edit can be done, the region itself where none can."""
        for edit in self.nearest(instruction, region, TRIED):
            found = replay(edit, instruction, region)
            if found is not None:
                return found
        return region


def _spoken(instruction: str) -> list[str]:
    """Words, dotted names and strings whole, and signs."""
    return re.findall(r"""'[^']*'|"[^"]*"|[^\W\d](?:[\w.]*\w)?|[\w.]+|[^\w\s]""", instruction)


def _unquoted(instruction: str) -> str:
    return re.sub(r"[`]|(?<!\w)['\"](?=[\w.]+['\"](?!\w))|(?<=\w)['\"](?!\w)", "", instruction)


def exchanged(theirs: str, ours: str) -> dict[str, str]:
    """What each word of their instruction is in ours: of the stretches in which the two differ, one for one."""
    a, b = _spoken(_unquoted(theirs)), _spoken(_unquoted(ours))
    lower = [word.lower() for word in a], [word.lower() for word in b]
    mapping = {}
    for sort, first, last, other_first, other_last in difflib.SequenceMatcher(None, *lower, autojunk=False).get_opcodes():
        if sort == "replace":
            stretch, other = a[first:last], b[other_first:other_last]
            if len(stretch) == len(other):
                for their_word, our_word in zip(stretch, other, strict=True):
                    parts, our_parts = their_word.split("."), our_word.split(".")
                    if len(parts) == len(our_parts):  # of a dotted name each part
                        mapping |= dict(zip(parts, our_parts, strict=True))
                    mapping[their_word] = our_word
            elif len(stretch) == 1:
                mapping[stretch[0]] = "".join(other)
    return mapping


def replay(edit: Edit, instruction: str, region: str) -> str | None:
    """The edit done on another region for another instruction; None where what it took out is not there."""
    old, new = code(edit.region), code(edit.new_region)
    mapping = exchanged(edit.instruction, instruction)
    changes = {}
    matcher = difflib.SequenceMatcher(None, [token.text for token in old], [token.text for token in new], autojunk=False)
    for sort, first, last, new_first, new_last in matcher.get_opcodes():
        if sort == "equal":
            continue
        if sort == "insert" or not last > first:
            return None  # nothing says where
        taken = tuple(mapping.get(token.text, token.text) for token in old[first:last])
        put = edit.new_region[new[new_first].start : new[new_last - 1].end] if new_last > new_first else ""
        changes[taken] = "".join(mapping.get(token.text, token.text) for token in lex(put))
    return _exchange(region, changes)


def _exchange(region: str, changes: dict[tuple[str, ...], str]) -> str | None:
    """`region` with each run of tokens exchanged wherever it stands; None where one stands nowhere, or nothing changes."""
    tokens = code(region)
    texts = [token.text for token in tokens]
    places: list[tuple[int, int, str]] = []
    for taken, put in changes.items():
        wanted = [token.text for token in code(" ".join(taken))]
        found = [i for i in range(len(texts) - len(wanted) + 1) if texts[i : i + len(wanted)] == wanted]
        if not wanted or not found:
            return None
        places += [(tokens[i].start, tokens[i + len(wanted) - 1].end, put) for i in found]
    parts, position = [], 0
    for start, end, put in sorted(places):
        if start < position:
            return None
        parts += [region[position:start], put]
        position = end
    answer = "".join([*parts, region[position:]])
    return answer if places and answer != region else None
