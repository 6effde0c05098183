"""Instruction edits with an exact gold result, made from real code: a region, words, and the region after the edit."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from itertools import islice
from random import Random
from typing import Iterator, NamedTuple

from cromwell.contract.prompt import Target

from . import instructions, source
from .names import Pools
from .registry import KINDS
from .splice import Splice, same_tree, splice
from .view import Draft, View, facts_of

MAX_REGION_LINES = 40
MAX_AROUND_LINES = 6
EDITED_FILE_BYTES = 2500  # one edit is drawn for so many bytes of a file
MAX_EDITS_PER_FILE = 12
MAX_DRAWS = 4  # of a kind that fits somewhere in a file
MAX_TRIES = 5  # to make one edit of a kind in a file
MAX_MATCHES = 64  # of a kind's hint in a unit
WHOLE_STATEMENT_SHARE = 0.8  # of the regions that hold the whole statement that a hint points at, where it fits


class Example(NamedTuple):
    """One edit: what the model sees and what it should write."""

    target: Target
    instruction: bytes
    new_region: bytes
    kind: str
    package: str
    variant: str = ""  # the group of templates that worded it


def choose_region(unit: source.Unit, rng: Random, anchor: tuple[int, int] | None = None) -> tuple[int, int]:
    """Lines first..last-1 of a unit: mostly the whole of a short one, else a window; blank lines at its ends are rare.

    With an anchor (lines first..last-1) the window holds that, as far as MAX_REGION_LINES allow."""
    count = len(unit.lines)
    if count <= 25 and rng.random() < 0.75:
        return 0, count
    size = min(
        count,
        rng.choice(
            (rng.randint(1, 8), rng.randint(3, 16), rng.randint(6, 25), rng.randint(8, MAX_REGION_LINES if rng.random() < 0.2 else 20))
        ),
    )
    if anchor is None:
        first = rng.randrange(count - size + 1)
    else:
        begin, end = anchor[0], min(anchor[1], anchor[0] + MAX_REGION_LINES)
        size = max(size, end - begin)
        first = rng.randint(max(0, end - size), min(begin, count - size))
    last = first + size
    if rng.random() < 0.85:
        while last - first > 1 and not unit.lines[first].strip():
            first += 1
        while last - first > 1 and not unit.lines[last - 1].strip():
            last -= 1
    return first, last


def choose_anchor(unit: source.Unit, hint: re.Pattern[bytes], rng: Random) -> tuple[int, int] | None:
    """The lines of one of the hint's matches in a unit, mostly with the whole statements that begin there; None without a match."""
    facts = facts_of(unit)
    matches = list(islice(hint.finditer(facts.text), MAX_MATCHES))
    if not matches:
        return None
    match = rng.choice(matches)
    first, last = bisect_right(facts.starts, match.start()), bisect_right(facts.starts, max(match.start(), match.end() - 1))
    end = last
    if rng.random() < WHOLE_STATEMENT_SHARE:
        ends = [node.end_lineno for node in facts.nodes if isinstance(node, ast.stmt) and node.lineno in (first, last)]
        end = max([last, *(line for line in ends if line - first < MAX_REGION_LINES)])
    return first - 1, end


def around(file: source.SourceFile, unit: source.Unit, first: int, last: int, rng: Random) -> tuple[bytes, bytes]:
    """A few of the file's lines before and after a region."""
    begin, end = unit.first + first, unit.first + last
    before, after = (rng.choice((0, 0, rng.randint(1, 3), rng.randint(1, MAX_AROUND_LINES))) for _ in range(2))
    return b"".join(file.lines[max(0, begin - before) : begin]), b"".join(file.lines[end : end + after])


def short_path(path: str, rng: Random) -> bytes:
    """A file's name, sometimes with the folder it is in."""
    parts = path.split("/")
    return "/".join(parts[-2:] if rng.random() < 0.25 else parts[-1:]).encode()


def _parsed(text: bytes) -> ast.Module:
    """As source.parse_indented, but positions are of no use here and stay what they are."""
    if text[:1] not in (b" ", b"\t"):
        return source.parse(text)
    tree = source.parse(b"if 1:\n" + text)
    if len(tree.body) != 1:
        raise SyntaxError("statements at two levels")
    return ast.Module(body=tree.body[0].body, type_ignores=[])


def spliced_region(view: View, draft: Draft) -> bytes | None:
    """The region after a draft's splices, or None unless the unit still parses and its tree changed exactly as the draft says."""
    start, end = view.starts[view.first], view.starts[view.last]
    if any(one.start < start or one.end > end for one in draft.splices):
        return None
    try:
        region = splice(view.region, [Splice(one.start - start, one.end - start, one.text) for one in draft.splices])
        if (region == view.region) != (draft.kind == "nothing") or not region.strip():
            return None
        tree = _parsed(view.text[:start] + region + view.text[end:])
    except (SyntaxError, ValueError):
        return None
    return region if same_tree(view.unit.tree, tree, draft.changes) else None


def make(file: source.SourceFile, unit: source.Unit, kind: str, pools: Pools, rng: Random, held_out: bool = False) -> Example | None:
    """An edit of one kind somewhere in a unit, or None when this region has no clear one."""
    row = KINDS[kind]
    if not unit.tree.body:
        return None
    anchor = choose_anchor(unit, row.hint, rng) if row.hint else None
    if row.hint and anchor is None:
        return None
    first, last = choose_region(unit, rng, anchor)
    view = View(unit, first, last)
    if not view.region.strip():
        return None
    draft = row.make(view, rng, pools)
    if draft is None:
        return None
    region = spliced_region(view, draft)
    if region is None:
        return None
    text = instructions.word(rng, draft.kind, draft.variant, draft.slots, held_out).encode()
    before, after = around(file, unit, first, last, rng)
    shown, gold = (region, view.region) if draft.inverse else (view.region, region)
    return Example(Target(short_path(file.path, rng), before, shown, after), text, gold, draft.kind, file.package, draft.variant)


_NAMES, _ROWS = list(KINDS), list(KINDS.values())


class Balance:
    """Draws kinds so that their shares stay those of KINDS, or all the same, although some regions offer none."""

    def __init__(self, even: bool = False) -> None:
        self.shares = [100 / len(_ROWS)] * len(_ROWS) if even else [row.share for row in _ROWS]
        self.made = dict.fromkeys(KINDS, 0)
        self.total = 1

    def draw(self, rng: Random) -> str:
        """A kind; those behind their share come more often."""
        part = self.total / 100
        weights = [
            share * min(4.0, max(0.1, (share * part + 1) / (made + 1))) for share, made in zip(self.shares, self.made.values(), strict=True)
        ]
        return rng.choices(_NAMES, weights)[0]

    def count(self, kind: str) -> None:
        """Note that an edit of `kind` was made."""
        self.made[kind] += 1
        self.total += 1


def usable_units(file: source.SourceFile, rng: Random, leaked: frozenset[bytes]) -> list[source.Unit]:
    """The units of a file that are no copy of held-out code: none within MAX_AROUND_LINES of a function whose body occurs in a
    held-out package, and none at all of a file of which such functions are a good part."""
    copies, vendored = source.copies(file, leaked)
    if vendored:
        return []
    near = [(first - MAX_AROUND_LINES, last + MAX_AROUND_LINES) for first, last in copies]
    found = source.units(file, rng)
    return [unit for unit in found if not any(unit.first < last and first <= unit.first + len(unit.lines) for first, last in near)]


def fitting(found: list[source.Unit], kind: str) -> list[source.Unit]:
    """The units in which an edit of `kind` is worth a try."""
    hint = KINDS[kind].hint
    return [unit for unit in found if hint.search(unit.text)] if hint else found


def draw(file: source.SourceFile, found: list[source.Unit], pools: Pools, balance: Balance, rng: Random) -> Iterator[Example]:
    """Edits of one file, about one for EDITED_FILE_BYTES of it; test files give fewer."""
    size = sum(map(len, file.lines))
    wanted = min(MAX_EDITS_PER_FILE, size / EDITED_FILE_BYTES * (0.4 if "test" in file.path else 1.0))
    for _ in range(int(wanted + rng.random()) if found else 0):
        for _ in range(MAX_DRAWS):
            kind = balance.draw(rng)
            candidates = fitting(found, kind)
            if candidates:
                break
        for _ in range(MAX_TRIES if candidates else 0):
            example = make(file, rng.choice(candidates), kind, pools, rng)
            if example is not None:
                balance.count(kind)
                yield example
                break
