"""Plain ways to choose what a prompt shows, for comparison with cw-context's: each gives (path, first line, last line) within a budget."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Sequence

from benchmarks.context_memory import Def, MemoryIndex
from cromwell.contract.model_input import prompt_path
from cromwell.prepare.pack import split_lines
from cromwell.prepare.rank import Target, kinds, read_query

Excerpts = list[tuple[str, int, int]]
Counter = Callable[[bytes], int]
SLICE_LINES = 40
PAGERANK_ROUNDS, DAMPING = 20, 0.85


class Filler:
    """Takes excerpts while they fit."""

    def __init__(self, index: MemoryIndex, budget_tokens: int, count: Counter):
        self._index, self.left, self._count = index, budget_tokens, count
        self.excerpts: Excerpts = []

    def take(self, path: str, first: int, last: int, lines: Sequence[bytes]) -> bool:
        """Takes lines of a file if they fit."""
        size = 2 + self._count(prompt_path(path) + b"\n" + b"".join(lines[first - 1:last]))
        if size > self.left:
            return False
        self.left -= size
        self.excerpts.append((path, first, last))
        return True

    def lines(self, path: str) -> list[bytes]:
        """The lines of a file."""
        return split_lines(self._index.read(self._index.by_path[path]))

    def whole(self, paths: Iterable[str]) -> Excerpts:
        """Takes whole files in order, those that fit; a first one that does not fit is cut."""
        for number, path in enumerate(paths):
            lines = self.lines(path)
            if not lines or self.left < 16:
                continue
            if not self.take(path, 1, len(lines), lines) and not number:
                last = len(lines)
                while last > 1 and not self.take(path, 1, last, lines):
                    last = last * 3 // 4
        return self.excerpts


def random_files(index: MemoryIndex, target: Target, instruction: str, budget: int, count: Counter) -> Excerpts:
    """Whole files in an order drawn by the instruction's hash."""
    paths = [file.path for file in index.files if file.path != target.path]
    random.Random(hashlib.blake2b(instruction.encode(), digest_size=8).digest()).shuffle(paths)
    return Filler(index, budget, count).whole(paths)


def same_folder(index: MemoryIndex, target: Target, instruction: str, budget: int, count: Counter) -> Excerpts:
    """Whole files of the target's folder, then of the nearest ones."""
    folder = kinds.name_of(target.path or "").folder
    paths = sorted((file.path for file in index.files if file.path != target.path),
                   key=lambda path: (-kinds.nearness(folder, kinds.name_of(path).folder), path))
    return Filler(index, budget, count).whole(paths)


def by_imports(index: MemoryIndex, target: Target, instruction: str, budget: int, count: Counter) -> Excerpts:
    """Whole files that the target imports, then those that import it."""
    own = index.by_path[target.path or ""]
    path_of = {file.id: file.path for file in index.files}
    users = sorted(index.importers([own.id])[own.id], key=lambda number: path_of[number])
    found = dict.fromkeys([*index.imports([own.id])[own.id], *users])
    return Filler(index, budget, count).whole(path_of[number] for number in found if number != own.id)


def bm25_files(index: MemoryIndex, target: Target, instruction: str, budget: int, count: Counter) -> Excerpts:
    """Whole files by BM25 of the instruction's words."""
    path_of = {file.id: file.path for file in index.files}
    scores = index.bm25(read_query(instruction).words)
    ordered = sorted((number for number in scores if path_of[number] != target.path), key=lambda number: (-scores[number], path_of[number]))
    return Filler(index, budget, count).whole(path_of[number] for number in ordered)


def mixture(index: MemoryIndex, target: Target, instruction: str, budget: int, count: Counter) -> Excerpts:
    """BM25, imports, names of tests and folders with weights of one, and of each file its 40 lines with most of the words."""
    own = index.by_path[target.path or ""]
    name = kinds.name_of(own.path)
    query = read_query(instruction).words
    text = index.bm25(query)
    top = max(text.values(), default=1.0) or 1.0
    linked = {*index.imports([own.id])[own.id], *index.importers([own.id])[own.id]}
    scores = {}
    for file in index.files:
        other = kinds.name_of(file.path)
        paired = other.core == name.core and len(name.core) > 1
        scores[file.path] = text.get(file.id, 0.0) / top + (file.id in linked) + paired + kinds.nearness(name.folder, other.folder)
    filler = Filler(index, budget, count)
    for path in sorted((path for path in scores if path != own.path), key=lambda path: (-scores[path], path)):
        if filler.left < 16:
            break
        lines = filler.lines(path)
        if lines:
            first = _best_slice(lines, query)
            filler.take(path, first, min(len(lines), first + SLICE_LINES - 1), lines)
    return filler.excerpts


def _best_slice(lines: Sequence[bytes], query: dict[str, float]) -> int:
    """First line of the 40 lines with the most weight of words."""
    told = [sum(weight for word, weight in query.items() if word.encode() in line.lower()) for line in lines]
    total = best = sum(told[:SLICE_LINES])
    first = 1
    for start in range(1, max(1, len(lines) - SLICE_LINES + 1)):
        total += told[start + SLICE_LINES - 1] - told[start - 1]
        if total > best + 1e-9:
            best, first = total, start + 1
    return first


def tag_map(index: MemoryIndex, target: Target, instruction: str, budget: int, count: Counter) -> Excerpts:
    """A map as aider makes it: PageRank over which file uses names that which file defines, from the target; first lines of the definitions
    in the order of the rank that flows into them."""
    own = index.by_path[target.path or ""]
    named = read_query(instruction).names
    places: dict[str, list[tuple[int, Def]]] = {}
    for number, found in index.definitions([file.id for file in index.files]).items():
        for definition in found:
            places.setdefault(definition.name, []).append((number, definition))
    edges: dict[int, list[tuple[int, str, float]]] = {}
    for name, users in index.referring(places).items():
        definers = {number for number, _ in places[name]}
        worth = 10.0 if name in named else 1.0
        if len(name) >= 8 and ("_" in name or not (name.islower() or name.isupper())):
            worth *= 10.0
        if name.startswith("_"):
            worth *= 0.1
        if len(definers) > 5:
            worth *= 0.1
        for user, times in users:
            each = worth * (50.0 if user == own.id else 1.0) * math.sqrt(times) / len(definers)
            if definers != {user}:
                edges.setdefault(user, []).extend((definer, name, each) for definer in sorted(definers - {user}))
    flow = {user: sum(edge[2] for edge in found) for user, found in edges.items()}
    start = {file.id: 100.0 / len(index.files) for file in index.files}
    start[own.id] += 100.0
    whole = sum(start.values())
    ranks = dict(start)
    for _ in range(PAGERANK_ROUNDS):
        following = {number: (1 - DAMPING) * value for number, value in start.items()}
        lost = sum(ranks[number] for number in ranks if number not in edges)
        for user, found in edges.items():
            share = DAMPING * ranks[user] / flow[user]
            for definer, _, worth in found:
                following[definer] += share * worth
        for number in following:
            following[number] += DAMPING * lost * start[number] / whole
        ranks = following
    reached: dict[tuple[int, str], float] = {}
    for user, found in edges.items():
        for definer, name, worth in found:
            key = (definer, name)
            reached[key] = reached.get(key, 0.0) + ranks[user] * worth / flow[user]
    path_of = {file.id: file.path for file in index.files}
    filler = Filler(index, budget, count)
    texts: dict[str, list[bytes]] = {}
    taken: dict[str, set[int]] = {}
    for definer, name in sorted(reached, key=lambda key: (-reached[key], path_of[key[0]], key[1])):
        path = path_of[definer]
        if definer == own.id or filler.left < 12:
            continue
        if path not in texts:
            texts[path] = filler.lines(path)
        for number, definition in places[name]:
            # The map shows one list a file: a signature costs its own line, the file's name once.
            if number == definer and definition.first_line not in taken.setdefault(path, set()):
                text = texts[path][definition.first_line - 1]
                size = count(text) + (0 if taken[path] else 2 + count(prompt_path(path) + b"\n"))
                if size <= filler.left:
                    filler.left -= size
                    taken[path].add(definition.first_line)
                    filler.excerpts.append((path, definition.first_line, definition.first_line))
    return filler.excerpts


BASELINES: dict[str, Callable[[MemoryIndex, Target, str, int, Counter], Excerpts]] = {
    "random files": random_files, "same folder": same_folder, "imports": by_imports, "BM25, whole files": bm25_files,
    "mixture, 40-line slices": mixture, "map of tags": tag_map,
}
