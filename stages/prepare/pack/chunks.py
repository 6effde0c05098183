"""Files cut into chunks of a few lines, each with what speaks for it.

Cuts lie where definitions start and end, then at blank lines and where the indentation is least, so that a chunk is a thing that reads
alone: a function, a method, a test, a paragraph, an entry of a list."""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cromwell.prepare.rank import Evidence, History, Query, kinds
from cromwell.prepare.rank.protocol import DefinitionLike

MOST_LINES = 12
"""A longer chunk is cut."""
LEAST_LINES = 4
"""A shorter one is joined with what follows, where that starts no definition."""
_BEST = tuple((feature, feature + "_best") for feature in ("words", "names", "defined", "title", "title_target", "hot", "hot_together"))
_NAMES = bytes(byte if byte >= 0x80 or chr(byte).isalnum() or byte == 0x5F else 0x20 for byte in range(256))
"""Leaves names and numbers, and spaces between them: split() is several times as fast as a pattern."""


class Chunk(NamedTuple):
    """Lines of a file, from 1, inclusive."""

    first_line: int
    last_line: int
    name: str
    """The innermost definition that it lies in, or ""."""
    is_start: bool
    """Whether it holds the first line of that definition."""


def cut(lines: Sequence[bytes], definitions: Iterable[DefinitionLike]) -> list[Chunk]:
    """The chunks of a file, in order; every line is in one."""
    count = len(lines)
    if not count:
        return []
    indents = [len(line) - len(body) if (body := line.lstrip()) else -1 for line in lines]
    ordered = sorted((definition.first_line, -definition.last_line, definition.name.rpartition(".")[2]) for definition in definitions
                     if definition.last_line - definition.first_line >= 2 and definition.last_line <= count)
    bounds = {1, count + 1}
    for first, last, _ in ordered:
        bounds.add(first)
        bounds.add(1 - last)
    cuts = sorted(bounds)
    starts = {first for first, _, _ in ordered}
    joined: list[tuple[int, int]] = []
    for first, after in zip(cuts, cuts[1:], strict=False):
        for start, end in _split(indents, first, after - 1):
            short = end - start + 1 < LEAST_LINES and start not in starts and joined and end - joined[-1][0] + 1 <= MOST_LINES
            if joined and (short or max(indents[start - 1:end]) < 0):
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
    chunks: list[Chunk] = []
    around: list[tuple[int, int, str]] = []  # the definitions that are open, outermost first
    place = 0
    for first, last in joined:
        while around and -around[-1][1] < first:
            around.pop()
        name, is_start = around[-1][2] if around else "", False
        while place < len(ordered) and ordered[place][0] <= last:
            while around and -around[-1][1] < ordered[place][0]:
                around.pop()
            around.append(ordered[place])
            name, is_start = ordered[place][2], True
            place += 1
        chunks.append(Chunk(first, last, name, is_start))
    return chunks


def _split(indents: Sequence[int], first: int, last: int) -> list[tuple[int, int]]:
    """Cuts lines `first..last` into pieces of at most MOST_LINES, after blank lines (-1) and where the indentation is least."""
    found = []
    while last - first + 1 > MOST_LINES:
        wish = first + (last - first + 1) // math.ceil((last - first + 1) / MOST_LINES)
        best, best_cost = wish, 1e9
        for line in range(max(first + 2, wish - MOST_LINES // 2), min(last, first + MOST_LINES) + 1):
            indent = indents[line - 1]
            cost = abs(line - wish) * 0.5 + (min(indent, 16) * 0.5 - (8 if indents[line - 2] < 0 else 0) if indent >= 0 else 53)
            if cost < best_cost:
                best, best_cost = line, cost
        found.append((first, best - 1))
        first = best
    return [*found, (first, last)]


class Reader:
    """What the names in chunks say of one edit; every name is looked up once."""

    def __init__(self, evidence: Evidence, query: Query, history: History | None):
        self.evidence, self.query, self.history = evidence, query, history
        self._seen: set[bytes] = set()
        self._names = {name.encode("utf-8") for name in (*evidence.names, *evidence.defined)}
        words = b"|".join([re.escape(word.encode("utf-8")) for word in sorted(evidence.words)])
        self._words = re.compile(words) if words else None
        self._telling: dict[bytes, tuple[tuple[str, ...], float, float]] = {}
        self._titles: dict[str, tuple[tuple[str, float], ...]] = {"": (("outside", 1.0),)}
        self._target_words: dict[str, float] = {}
        for name, value in evidence.defined.items():
            for word in kinds.words(name):
                self._target_words[word] = max(value, self._target_words.get(word, 0.0))

    def _look_up(self, text: bytes) -> None:
        """Keeps what names of a text say that were not seen before: the instruction's words in them, and their worth as one of its names
        or of the target's."""
        evidence = self.evidence
        new = list(set(text.translate(_NAMES).split()) - self._seen)
        self._seen.update(new)
        # Few names hold a word: they are found in one pass over all.
        telling = self._names.intersection(new)
        starts = list(itertools.accumulate([len(raw) + 1 for raw in new], initial=0))
        if self._words is not None:
            telling.update([new[bisect.bisect_right(starts, match.start()) - 1] for match in self._words.finditer(b"\n".join(new).lower())])
        for raw in telling:
            name = raw.decode("utf-8", "replace")
            known = tuple(word for word in kinds.words(name) if word in evidence.words)
            named, defined = evidence.names.get(name, 0.0), evidence.defined.get(name, 0.0)
            if known or named or defined:
                self._telling[raw] = (known, named, defined)

    def _read(self, text: bytes) -> dict[str, float]:
        """The features of a chunk that its names give. Sums do not depend on the order of a set."""
        row: dict[str, float] = {}
        found = [self._telling[name] for name in self._telling.keys() & text.translate(_NAMES).split()]
        if found:
            told = {word for known, _, _ in found for word in known}
            if told:
                row["words"] = math.fsum([self.evidence.words[word] for word in told])
            named = math.fsum([worth[1] for worth in found])
            if named:
                row["names"] = named
            defined = math.fsum([worth[2] for worth in found])
            if defined:
                row["defined"] = min(6.0, defined)
        return row

    def _title(self, name: str) -> tuple[tuple[str, float], ...]:
        """What the name of the definition around a chunk says."""
        parts = kinds.words(name)
        told = sum(self.evidence.words.get(part, 0.0) for part in parts)
        by_target = sum(self._target_words.get(part, 0.0) for part in parts) / max(1, len(parts))
        features = (("title", told), ("title_target", by_target), ("title_named", self.query.names.get(name, 0.0)))
        self._titles[name] = tuple(feature for feature in features if feature[1])
        return self._titles[name]

    def likeliest(self, path: str, count: int, definitions: Sequence[DefinitionLike]) -> list[Chunk]:
        """Up to three chunks of a file of `count` lines that is looked at briefly: its first lines, those changed last, and those of the
        definition whose name tells most."""
        chosen = [(1, min(MOST_LINES, count), "", False)] if count else []
        newest = self.history.changes(path)[:1] if self.history is not None else []
        for change in newest:
            first = max(1, change.first_line - 2)
            chosen.append((first, min(count, change.last_line + 2, first + MOST_LINES - 1), "", False))
        best = 0.0
        for definition in definitions:
            name = definition.name.rpartition(".")[2]
            told = sum([value for feature, value in self._titles.get(name) or self._title(name) if feature != "outside"])
            if told > best:
                best = told
                chosen[2:] = [(definition.first_line, min(count, definition.last_line, definition.first_line + MOST_LINES - 1), name, True)]
        found: list[Chunk] = []
        for first, last, name, is_start in sorted(chosen):
            if first <= last and (not found or first > found[-1].last_line):
                found.append(Chunk(first, last, name, is_start))
        return found

    def describe(self, path: str, lines: Sequence[bytes], chunks: Sequence[Chunk],
                 places: Sequence[tuple[DefinitionLike, float]]) -> list[dict[str, float]]:
        """What speaks for each of a file's chunks, or of some of them, by feature."""
        rows: list[dict[str, float]] = []
        self._look_up(b"".join([line for first, last, _, _ in chunks for line in lines[first - 1:last]]))
        count = len(lines)
        share = min(1.0, MOST_LINES / max(1, count))
        for first, last, name, is_start in chunks:
            row = self._read(b"".join(lines[first - 1:last]))
            row.update(self._titles.get(name) or self._title(name))
            if is_start:
                row["start"] = 1.0
            row["depth"] = (first - 1) / count
            row["lines"] = (last - first + 1) / MOST_LINES
            row["share"] = share
            rows.append(row)
        if not rows:
            return rows
        if chunks[-1].last_line == count:
            rows[-1]["last"] = 1.0
        if chunks[0].first_line == 1:
            for row, feature in zip(rows, ("first", "second", "third"), strict=False):
                row[feature] = 1.0
        firsts = [chunk.first_line for chunk in chunks]
        for definition, value in places:
            start = bisect.bisect_right(firsts, definition.first_line) - 1
            if start < 0 or chunks[start].last_line < definition.first_line:
                continue
            rows[start]["place"] = max(rows[start].get("place", 0.0), min(2.0, value))
            for number in range(start + 1, min(bisect.bisect_right(firsts, definition.last_line), start + 8)):
                rows[number]["place_inside"] = max(rows[number].get("place_inside", 0.0), min(2.0, value))
        if self.history is not None:
            self._changed(path, chunks, firsts, rows)
        for feature, best in _BEST:
            holders = [row for row in rows if feature in row]
            if holders:
                top = max(row[feature] for row in holders)
                for row in holders:
                    row[best] = row[feature] / top
        for feature, near in (("words_best", "words_near"), ("hot_best", "hot_near")):
            values = [0.0, *(row.get(feature, 0.0) for row in rows), 0.0]
            if any(values):
                for number, row in enumerate(rows):
                    row[near] = max(values[number], values[number + 2])
        return rows

    def _changed(self, path: str, chunks: Sequence[Chunk], firsts: Sequence[int], rows: Sequence[dict[str, float]]) -> None:
        """Adds what the file's last commits touched: `hot` fades with their age, `hot_together` counts those that matter to this edit."""
        assert self.history is not None
        order: dict[int, int] = {}
        for change in self.history.changes(path):
            age = order.setdefault(change.commit, len(order))
            related = self.evidence.commits.get(change.commit, 0.0)
            start = max(0, bisect.bisect_right(firsts, change.first_line) - 1)
            for number in range(start, min(len(rows), max(start + 1, bisect.bisect_right(firsts, change.last_line)))):
                if chunks[number].last_line < change.first_line:
                    continue
                row = rows[number]
                row["hot"] = row.get("hot", 0.0) + 1.0 / (1.0 + age / 3.0)
                if age == 0:
                    row["hot_newest"] = 1.0
                if related:
                    row["hot_together"] = row.get("hot_together", 0.0) + related
        for row in rows:
            for feature in ("hot", "hot_together"):
                if feature in row:
                    row[feature] = math.log1p(row[feature])
