"""What speaks for a file: every factor of every file that anything speaks for.

All values lie between about 0 and 1; what each is worth is fitted (weights.json). A factor that the index or the history cannot give is
absent, that is 0 for every file."""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cromwell.prepare.rank import kinds, prior
from cromwell.prepare.rank.history import MOST_FILES, History
from cromwell.prepare.rank.protocol import FileLike, Index, Target
from cromwell.prepare.rank.query import Query, variants

LATELY = 100
"""Newest commits that `often` counts."""
RARE_FILES = 40
"""A name in more files than this says nothing of which belong together."""
MOST_NAMES = 80
"""Names of the target that are looked up in other files, the most telling first."""


_NAME = re.compile(r"[^\W\d]\w+")


MOST_FOUND, MOST_NAMED = 500, 200
"""Files that hold words of the instruction, the best by BM25; a word of the target's name in the paths of more files says nothing."""
MOST_USED = 100
"""Names that the target uses whose definitions are looked up."""


class Evidence(NamedTuple):
    """What was gathered on the way to the factors; choosing lines needs it, too."""

    words: dict[str, float]
    """Words of the instruction and their other forms -> weight times rarity."""
    names: dict[str, float]
    """Names of the instruction that occur in the tree -> weight times rarity."""
    defined: dict[str, float]
    """Names that the target defines -> rarity, those that the instruction speaks of more."""
    used: dict[str, float]
    """Names that the target uses and another file defines, likewise."""
    places: dict[int, list]
    """Definitions of used names and of the instruction's names, by file."""
    commits: dict[int, float]
    """Numbers of past commits -> how much they have to do with this edit, from their files and subjects."""


class _Board:
    """Factors by file."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}

    def put(self, file_id: int, factor: str, value: float) -> None:
        if value:
            self.rows.setdefault(file_id, {})[factor] = value

    def most(self, file_id: int, factor: str, value: float) -> None:
        row = self.rows.setdefault(file_id, {})
        row[factor] = max(value, row.get(factor, 0.0))

    def put_scaled(self, factor: str, values: Mapping[int, float], most: float | None = None) -> None:
        """Puts `values` divided by their greatest, or by `most` where that is greater."""
        top = max(values.values(), default=0.0)
        top = max(top, most or 0.0)
        if top > 0:
            for file_id, value in values.items():
                self.put(file_id, factor, value / top)


def region_names(index: Index, target: Target) -> frozenset[str]:
    """The names in the target's region; none where no region is given, or the file has changed since it was indexed."""
    own = index.by_path.get(target.path) if target.path is not None else None
    if own is None or target.region is None:
        return frozenset()
    try:
        lines = index.read(own).split(b"\n")[target.region[0] - 1:target.region[1]]
    except KeyError:
        return frozenset()
    return frozenset(_NAME.findall(b"\n".join(lines).decode("utf-8", "replace")))


def gather(index: Index, target: Target, query: Query, history: History | None) -> tuple[dict[int, dict[str, float]], Evidence]:
    """Factors by file id, and what they were made from. The target itself is left out."""
    board = _Board()
    own = index.by_path.get(target.path) if target.path is not None else None
    count = max(1, len(index.files))
    evidence = Evidence({}, {}, {}, {}, {}, {})
    _words(index, query, board, evidence, count)
    _names(index, query, board, evidence, count)
    if own is not None:
        _relations(index, own, target, query, board, evidence, count)
    if history is not None:
        _past(index, target, query, history, board, evidence)
    _paths(index, target, query, board, evidence)
    most_central = prior.central(index)
    for file_id, row in board.rows.items():
        if file_id in most_central:
            row["central"] = most_central[file_id]
    if own is not None:
        board.rows.pop(own.id, None)
    return board.rows, evidence


def rarity(frequency: int, count: int) -> float:
    """How telling a term in `frequency` of `count` files is: 1 in a single file, towards 0 in all."""
    return math.log(1 + count / max(1, frequency)) / math.log(1 + count) if count > 1 else 1.0


def _words(index: Index, query: Query, board: _Board, evidence: Evidence, count: int) -> None:
    forms = dict(query.words)
    for word, weight in query.words.items():
        for form in variants(word):
            forms[form] = max(weight * 0.7, forms.get(form, 0.0))
    frequency = index.document_frequency(forms)
    known = {word: weight for word, weight in forms.items() if frequency.get(word)}
    for word, weight in known.items():
        evidence.words[word] = weight * rarity(frequency[word], count)
    found = index.bm25(known)
    best = sorted(found, key=lambda file_id: (-found[file_id], file_id))[:MOST_FOUND]
    board.put_scaled("text", {file_id: found[file_id] for file_id in best})


def _names(index: Index, query: Query, board: _Board, evidence: Evidence, count: int) -> None:
    wanted = {name: weight for name, weight in query.names.items() if len(name) > 2}
    for name, places in index.defining(wanted).items():
        if places:
            worth = wanted[name] * rarity(len(places), count)
            for file_id, definition in places[:RARE_FILES]:
                board.most(file_id, "named", worth)
                evidence.places.setdefault(file_id, []).append((definition, worth))
    found: dict[int, float] = {}
    for name, files in index.referring(wanted).items():
        if files:
            worth = evidence.names[name] = wanted[name] * rarity(len(files), count)
            for file_id, times in files:
                found[file_id] = found.get(file_id, 0.0) + worth * min(1.0, 0.5 + 0.1 * times)
    board.put_scaled("mentions", found, 0.5)


def _relations(index: Index, own: FileLike, target: Target, query: Query, board: _Board, evidence: Evidence, count: int) -> None:
    for file_id in index.imports([own.id]).get(own.id, ()):
        board.put(file_id, "imported", 1.0)
    importers = index.importers([own.id]).get(own.id, ())
    for file_id in importers:
        board.put(file_id, "importer", 1.0)
        board.put(file_id, "importer_few", 1.0 / len(importers))

    in_region = region_names(index, target)

    def spoken_of(name: str) -> float:
        """How much the instruction or the region speaks of a name: 1 not at all, up to 3."""
        if name in query.names or name in in_region:
            return 3.0
        parts = kinds.words(name)
        told = sum(evidence.words.get(part, 0.0) for part in parts)
        return 1.0 + 2.0 * min(1.0, told / max(1, len(parts)) * 1.5)

    # Names that the target defines, and who uses them.
    defined: dict[str, float] = {}
    for definition in index.definitions([own.id]).get(own.id, ()):
        name = definition.name.rpartition(".")[2]
        if len(name) > 3:
            defined[name] = max(defined.get(name, 0.0), spoken_of(name))
    chosen = sorted(defined, key=lambda name: (-defined[name], name))[:MOST_NAMES]
    users: dict[int, float] = {}
    for name, files in index.referring(chosen).items():
        if 1 < len(files) <= RARE_FILES:
            worth = evidence.defined[name] = defined[name] * rarity(len(files), count)
            for file_id, times in files:
                users[file_id] = users.get(file_id, 0.0) + worth * min(2.0, math.sqrt(times)) / 2
    users.pop(own.id, None)
    board.put_scaled("uses_target", users, 1.0)
    # Names that the target uses, and who defines them; rare ones that others use as well.
    own_names = index.references([own.id]).get(own.id, {})
    used = {name: spoken_of(name) * min(2.0, math.sqrt(times)) for name, times in own_names.items() if len(name) > 3}
    definers: dict[int, float] = {}
    others = sorted((name for name in used if name not in defined), key=lambda name: (-used[name], name))[:MOST_USED]
    for name, places in index.defining(others).items():
        if 0 < len(places) <= 4:
            worth = evidence.used[name] = used[name] / len(places)
            for file_id, definition in places:
                definers[file_id] = definers.get(file_id, 0.0) + worth
                evidence.places.setdefault(file_id, []).append((definition, 0.3 * worth))
    definers.pop(own.id, None)
    board.put_scaled("used_by_target", definers, 2.0)
    alike: dict[int, float] = {}
    telling = sorted(used, key=lambda name: (-spoken_of(name), -len(name), name))[:MOST_NAMES]
    for files in index.referring(telling).values():
        if 1 < len(files) <= RARE_FILES // 2:
            worth = 1.0 / len(files)
            for file_id, _ in files:
                alike[file_id] = alike.get(file_id, 0.0) + worth
    alike.pop(own.id, None)
    board.put_scaled("alike", alike, 0.5)


class _Paths:
    """All paths as one text, so that a word is looked up in ten thousand of them at once."""

    def __init__(self, files: Sequence[FileLike]):
        self._files = files
        lower = [file.path.lower() for file in files]
        self._text = "\n".join(lower)
        self._starts = list(itertools.accumulate([len(path) + 1 for path in lower], initial=0))

    def holding(self, word: str) -> set[int]:
        """Ids of the files whose paths hold a word; a short one only where a word begins."""
        pattern = re.escape(word) if len(word) > 3 else r"(?<![a-z])" + re.escape(word)
        return {self._files[bisect.bisect_right(self._starts, match.start()) - 1].id for match in re.finditer(pattern, self._text)}


def _paths(index: Index, target: Target, query: Query, board: _Board, evidence: Evidence) -> None:
    """Adds what paths say, to the files that anything speaks for: what lies in the target's folder or is named like it or by a word of
    the instruction joins them."""
    name = kinds.name_of(target.path) if target.path is not None else None
    paths = _Paths(index.files)
    told: dict[int, float] = {}
    for word, weight in evidence.words.items():
        for file_id in paths.holding(word):
            told[file_id] = told.get(file_id, 0.0) + weight
    wanted = {*board.rows, *told}
    if name is not None:
        inside = name.folder + "/" if name.folder else ""
        wanted.update([file.id for file in index.files if file.path.startswith(inside) and "/" not in file.path[len(inside):]])
        for word in {name.core, *kinds.words(name.stem)}:
            found = paths.holding(word) if len(word) > 2 else set()
            wanted.update(found if len(found) <= MOST_NAMED else ())
    top = sum(sorted(evidence.words.values(), reverse=True)[:3]) or 1.0
    for file in index.files:
        if file.id not in wanted:
            continue
        other = kinds.name_of(file.path)
        row = board.rows.setdefault(file.id, {})
        if file.id in told:
            row["path_words"] = min(1.0, told[file.id] / top)
            if other.core in query.words:
                row["stem_named"] = query.words[other.core]
        if name is not None:
            if other.folder == name.folder:
                row["same_folder"] = 1.0
            row["near"] = kinds.nearness(name.folder, other.folder)
            if other.suffix == name.suffix:
                row["same_suffix"] = 1.0
            if len(name.core) > 1 and other.core == name.core:
                row["pair" if other.kind != name.kind else "twin"] = 1.0
            elif len(name.core) > 2 and len(other.core) > 2 and (name.core in other.core or other.core in name.core):
                row["pair_part"] = min(len(name.core), len(other.core)) / max(len(name.core), len(other.core))
        row["is_" + other.kind] = 1.0
        row["size"] = min(1.5, math.log(1 + file.tokens) / 10)


def _past(index: Index, target: Target, query: Query, history: History, board: _Board, evidence: Evidence) -> None:
    commits = evidence.commits
    told = _subjects(history, query)
    number = history.number_of.get(target.path, -1) if target.path is not None else -1
    folder = kinds.name_of(target.path).folder if target.path is not None else ""
    neighbours: set[int] = set()
    if target.path is not None:
        neighbours = {other for path, other in history.number_of.items() if kinds.name_of(path).folder == folder}
    together: dict[int, float] = {}
    beside: dict[int, float] = {}
    said: dict[int, float] = {}
    often: dict[int, float] = {}
    last: dict[int, int] = {}
    weight_of_target = weight_of_folder = 0.0
    for place, members in enumerate(history.commits):
        if not members or len(members) > MOST_FILES:
            continue
        similar = told.get(place, 0.0)
        age = 0.5 + 0.5 / (1.0 + place / 300)
        if number in members:
            weight = age * (1.0 + 3.0 * similar)
            weight_of_target += weight
            share = weight / math.sqrt(max(1, len(members) - 1))
            for member in members:
                together[member] = together.get(member, 0.0) + share
            commits[place] = share + similar
        elif similar:
            commits[place] = similar
        if neighbours and place < 600 and not neighbours.isdisjoint(members):
            weight_of_folder += 1.0
            share = 1.0 / math.sqrt(len(members))
            for member in members:
                beside[member] = beside.get(member, 0.0) + share
        if similar:
            for member in members:
                said[member] = said.get(member, 0.0) + similar / math.sqrt(len(members))
        for member in members:
            if place < LATELY:
                often[member] = often.get(member, 0.0) + 1.0 / LATELY
            if member not in last:
                last[member] = place
    ids = {member: index.by_path[path].id for path, member in history.number_of.items() if path in index.by_path}
    most_said = max(said.values(), default=1.0)
    for member, file_id in ids.items():
        row = board.rows.setdefault(file_id, {})
        if member in together:
            row["together"] = math.sqrt(together[member] / (weight_of_target + 1.0))
            row["together_ever"] = 1.0
        if member in beside:
            row["beside"] = math.sqrt(beside[member] / (weight_of_folder + 3.0))
        if member in said:
            row["said"] = said[member] / max(most_said, 0.5)
        if member in often:
            row["often"] = math.sqrt(often[member])
        if member in last:
            row["lately"] = 1.0 / (1.0 + last[member] / 30)


def _subjects(history: History, query: Query) -> dict[int, float]:
    """How much of the instruction the subjects of past commits share, by number of commit; 1 is all of it."""
    if not query.words:
        return {}
    found: dict[int, set[str]] = {}
    frequency: dict[str, int] = {}
    for word in query.words:
        # The start of a word is enough: closes, closed and closing for close.
        pattern = re.compile(r"(?<![a-z])" + re.escape(word))
        for place in {bisect.bisect_right(history.starts, match.start()) - 1 for match in pattern.finditer(history.said)}:
            found.setdefault(place, set()).add(word)
            frequency[word] = frequency.get(word, 0) + 1
    count = len(history.subjects)
    worth = {word: query.words[word] * rarity(frequency.get(word, 1), count) for word in query.words}
    whole = sum(worth.values()) or 1.0
    return {place: share for place, words in found.items() if (share := sum(worth[word] for word in sorted(words)) / whole) > 0.15}


