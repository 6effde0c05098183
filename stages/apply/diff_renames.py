"""Which files of a comparison were renamed or copied, by git's rules: equal ones first, then by the share of bytes in common.

A file's similarity to another is the bytes in the pieces that both have, of the larger one's size; pieces are lines, cut at 64
bytes. What is at least `threshold` percent similar is a candidate; the most similar are paired first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from cromwell.apply.diff_trees import Pair
from cromwell.apply.unified import Version, looks_binary

PIECE_BYTES = 64
MAX_SCORE = 60000  # git's similarity of equal files
CANDIDATES = 4  # sources remembered for each new file
MAX_COMPARISONS = 1000 * 1000  # sources times new files; above, only equal files are paired
UNIQUE_NAME_SHARE = 0.5  # of the way from the threshold to equality: needed to pair the only two files of one name outright


class Move(NamedTuple):
    """A new file's source; `similarity` in percent."""

    old_path: bytes
    old: Version
    similarity: int
    kind: str  # "rename" or "copy"


class Found(NamedTuple):
    """Moves by index of the pair that makes the new file; deletions that are renames; whether only equal files were looked for."""

    moves: dict[int, Move]
    gone: set[int]
    limited: bool


def find(pairs: Sequence[Pair], threshold: int, copies: bool) -> Found:
    """The renames among `pairs`, and with `copies` the copies of files that change or go. A file that becomes a link, or a link that
    becomes a file, is one that changes."""
    finder = _Finder(pairs, threshold * MAX_SCORE // 100, copies)
    finder.equal()
    if not copies:
        finder.unique_names()
    limited = finder.similar()
    moves, gone = {}, set()
    uses = Counter(finder.source_of.values())
    for target in sorted(finder.source_of):
        source = finder.source_of[target]
        old = pairs[source].old
        assert old is not None
        uses[source] -= 1
        stays = not finder.goes(source) or uses[source] > 0  # the last use of a file that goes is its rename
        moves[target] = Move(pairs[source].path, old, finder.scores[target] * 100 // MAX_SCORE, "copy" if stays else "rename")
        if finder.goes(source):
            gone.add(source)
    return Found(moves, gone, limited)


class _Finder:
    """`source_of` and `scores` by index of the pair that makes a new file."""

    def __init__(self, pairs: Sequence[Pair], minimum: int, copies: bool):
        self.pairs, self.minimum, self.copies = pairs, minimum, copies
        made = {pair.path for pair in pairs if pair.old is None}
        self.retyped = {pair.path for pair in pairs if pair.new is None and pair.path in made}
        self.sources = [index for index, pair in enumerate(pairs) if pair.old and (copies or self.goes(index))]
        self.targets = [index for index, pair in enumerate(pairs) if pair.old is None and pair.path not in self.retyped]
        self.source_of: dict[int, int] = {}
        self.scores: dict[int, int] = {}
        self.used: set[int] = set()
        self.pieces_of: dict[int, dict[bytes, int]] = {}

    def goes(self, source: int) -> bool:
        """Whether nothing is left at the name of an old file."""
        return self.pairs[source].new is None and self.pairs[source].path not in self.retyped

    def take(self, source: int, target: int, score: int) -> None:
        self.source_of[target], self.scores[target] = source, score
        self.used.add(source)

    def equal(self) -> None:
        by_content = defaultdict(list)
        for source in self.sources:
            version = self.pairs[source].old
            by_content[version.data, version.link].append(source)
        for target in self.targets:
            version, best, best_score = self.pairs[target].new, -1, -1
            for source in by_content.get((version.data, version.link), ()):
                if source in self.used and not self.copies:
                    continue
                score = (source not in self.used) + (_name(self.pairs[source]) == _name(self.pairs[target]))
                if score > best_score:
                    best, best_score = source, score
            if best_score >= 0:
                self.take(best, target, MAX_SCORE)

    def left(self) -> tuple[list[int], list[int]]:
        """Sources and new files still to be paired."""
        sources = [source for source in self.sources if self.copies or source not in self.used]
        return sources, [target for target in self.targets if target not in self.source_of]

    def unique_names(self) -> None:
        """Pairs a file with the only new one of its name when they are much alike."""
        sources, targets = self.left()
        source_names, target_names = (_by_name(self.pairs, side) for side in (sources, targets))
        enough = self.minimum + int(UNIQUE_NAME_SHARE * (MAX_SCORE - self.minimum))
        for name, named in source_names.items():
            others = target_names.get(name, ())
            if len(named) == len(others) == 1:
                score = self.score(named[0], others[0])
                if score >= enough:
                    self.take(named[0], others[0], score)

    def similar(self) -> bool:
        """Pairs the rest by similarity; True when there are too many for that."""
        sources, targets = self.left()
        if len(sources) * len(targets) > MAX_COMPARISONS:
            return True
        holders: dict[bytes, list[int]] = defaultdict(list)
        if targets:
            for source in sources:
                for piece in self.pieces(source, self.pairs[source].old):
                    holders[piece].append(source)
        ranked = []
        for target in targets:
            shared: dict[int, int] = defaultdict(int)
            for piece, size in self.pieces(target, self.pairs[target].new).items():
                for source in holders.get(piece, ()):
                    held = self.pieces_of[source][piece]
                    shared[source] += size if size < held else held
            scored = []
            for source, common in sorted(shared.items()):
                score = self.bounded(source, target, common)
                if score >= self.minimum:
                    scored.append((-score, _name(self.pairs[source]) != _name(self.pairs[target]), target, source))
            ranked += sorted(scored)[:CANDIDATES]
        ranked.sort()
        for again in (False, True) if self.copies else (False,):
            for negative, _other_name, target, source in ranked:
                if target not in self.source_of and (again or source not in self.used):
                    self.take(source, target, -negative)
        return False

    def score(self, source: int, target: int) -> int:
        """Similarity of two files, of MAX_SCORE."""
        ours, theirs = self.pieces(source, self.pairs[source].old), self.pieces(target, self.pairs[target].new)
        return self.bounded(source, target, sum(min(size, ours.get(piece, 0)) for piece, size in theirs.items()))

    def bounded(self, source: int, target: int, common: int) -> int:
        """The similarity of files with `common` bytes in common; 0 where sizes or kinds alone rule it out."""
        old, new = self.pairs[source].old, self.pairs[target].new
        if old.link or new.link or not new.data:
            return 0
        larger = max(len(old.data), len(new.data))
        if larger * (MAX_SCORE - self.minimum) < abs(len(old.data) - len(new.data)) * MAX_SCORE:
            return 0
        return common * MAX_SCORE // larger

    def pieces(self, index: int, version: Version | None) -> dict[bytes, int]:
        """Bytes in each of the pieces of a file."""
        if index not in self.pieces_of:
            self.pieces_of[index] = _pieces(version.data if version and not version.link else b"")
        return self.pieces_of[index]


def _pieces(data: bytes) -> dict[bytes, int]:
    if not looks_binary(data):
        data = data.replace(b"\r\n", b"\n")
    sizes: dict[bytes, int] = defaultdict(int)
    lines = data.split(b"\n")
    last = lines.pop()
    for line in [line + b"\n" for line in lines] + ([last] if last else []):
        if len(line) <= PIECE_BYTES:
            sizes[line] += len(line)
        else:
            for at in range(0, len(line), PIECE_BYTES):
                piece = line[at:at + PIECE_BYTES]
                sizes[piece] += len(piece)
    return sizes


def _name(pair: Pair) -> bytes:
    return pair.path.rpartition(b"/")[2]


def _by_name(pairs: Sequence[Pair], indices: Sequence[int]) -> dict[bytes, list[int]]:
    named = defaultdict(list)
    for index in indices:
        named[_name(pairs[index])].append(index)
    return named
