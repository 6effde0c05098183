"""Which lines of other files a prompt shows: the chunks worth most for each token, within a budget that is never exceeded.

    select(index, Target("src/app.py", (10, 24)), "close the session on errors", 3000, lambda text: len(tokenizer.encode(text)))

gives the excerpts, the most stable files first; the same files, history and instruction give the same excerpts."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from cromwell.contract.errors import CommandError
from cromwell.contract.model_input import prompt_path
from cromwell.contract.text import BOM, line_ends, to_lf
from cromwell.prepare.pack.chunks import MOST_LINES, Chunk, Reader, cut
from cromwell.prepare.rank import Ranking, Scored, Target, complete, kinds, rank, read_query, weights
from cromwell.prepare.rank.factors import region_names
from cromwell.prepare.rank.history import History, open_history
from cromwell.prepare.rank.protocol import Index

CANDIDATE_FILES, BRIEF_FILES = 20, 56
"""Best files of which every chunk may be shown; those up to which a few chunks may."""
MOST_BYTES, MOST_READ_LINES = 2 << 20, 10_000
"""Bytes of candidates that are read at most, and lines of which every chunk may be shown: a query takes some tens of milliseconds."""
CROSSED = ("first", "second", "last", "depth", "words", "words_best", "hot_newest", "file", "title_target")
"""Features whose worth depends on the kind of the file: the top of a changelog, the end of a test file."""
FILE_WORTH = 0.5
"""What a file's first lines are worth beside the chunk itself, in changed chunks: to know that a file matters is half the answer."""
BYTES_A_TOKEN, WRAPPER_TOKENS = 3.0, 8.0
"""Of code, and of <FILE>, a file's name and </FILE>, roughly; what is taken is counted exactly."""
MOST_MISSES = 30
"""Chunks in a row that do not fit before the budget counts as filled."""


FAR_LINES, OWN_WORTH = 40, 0.2
"""Lines from the region that its window may show; what a signature is worth that the region uses, in changed chunks."""


class Excerpt(NamedTuple):
    """Lines of a file, from 1, inclusive."""

    path: str
    first_line: int
    last_line: int


class Selection(NamedTuple):
    """What the prompt shows beside the target."""

    excerpts: list[Excerpt]
    tokens: int
    """Tokens of the excerpts with their wrappers."""
    scores: list[Scored]
    """Every file's score, best first."""


class Candidate(NamedTuple):
    """A chunk that may be shown."""

    path: str
    chunk: Chunk
    features: dict[str, float]
    lines: list[bytes]
    """Those of the whole file."""


def split_lines(data: bytes) -> list[bytes]:
    """The lines of a file as the prompt shows them: without a byte-order mark, with LF line ends."""
    data = to_lf(data.removeprefix(BOM), line_ends(data))
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


def candidates(index: Index, target: Target, instruction: str, ranking: Ranking) -> Iterator[Candidate]:
    """The chunks of the best files, and what speaks for each."""
    reader = Reader(ranking.evidence, read_query(instruction), ranking.history)
    best = [index.by_path[scored.path] for scored in ranking.scores[:BRIEF_FILES]]
    totals = {scored.path: scored.total for scored in ranking.scores[:BRIEF_FILES]}
    definitions = index.definitions([file.id for file in best])
    room, whole = MOST_BYTES, MOST_READ_LINES
    for number, file in enumerate(best):
        room -= file.size
        if room < 0 and number:
            continue
        try:
            lines = split_lines(index.read(file))
        except KeyError:  # changed or gone since it was indexed
            continue
        defined = definitions.get(file.id, ())
        is_whole = number < CANDIDATE_FILES and (not number or len(lines) <= whole)
        whole -= len(lines) if is_whole else 0
        found = cut(lines, defined) if is_whole else reader.likeliest(file.path, len(lines), defined)
        rows = reader.describe(file.path, lines, found, ranking.evidence.places.get(file.id, ()))
        total = totals[file.path]
        for chunk, row in zip(found, rows, strict=True):
            row["file"] = total
            yield Candidate(file.path, chunk, row, lines)


def crossed(features: Mapping[str, float], kind: str) -> dict[str, float]:
    """A chunk's features with those whose worth depends on the kind of its file: `last.test` beside `last`, and `is_test`."""
    return {**features, **{f"{feature}.{kind}": features[feature] for feature in CROSSED if feature in features}, "is_" + kind: 1.0}


def folded(fitted: Mapping[str, float], kind: str) -> tuple[float, dict[str, float]]:
    """The base and the weights of chunks in files of one kind: weights of `crossed` as weights of the plain features."""
    found = {feature: weight for feature, weight in fitted.items() if "." not in feature}
    for feature in CROSSED:
        found[feature] = found.get(feature, 0.0) + fitted.get(f"{feature}.{kind}", 0.0)
    return fitted["base"] + fitted.get("is_" + kind, 0.0), found


def of_target(index: Index, target: Target) -> Iterator[Candidate]:
    """The signatures of the target file's own definitions that its region uses and that lie far from it: nearer ones are for its window."""
    own = index.by_path.get(target.path) if target.path is not None else None
    names = region_names(index, target)
    if own is None or target.region is None or not names:
        return
    lines = split_lines(index.read(own))
    first, last = target.region[0] - FAR_LINES, target.region[1] + FAR_LINES
    taken = 0
    for definition in index.definitions([own.id]).get(own.id, ()):
        name, end = definition.name.rpartition(".")[2], min(definition.signature_last_line, definition.first_line + MOST_LINES - 1)
        if name in names and (end < first or definition.first_line > last) and taken < definition.first_line and end <= len(lines):
            taken = end
            yield Candidate(own.path, Chunk(definition.first_line, end, name, True), {"file": 0.0}, lines)


class _Excerpts:
    """The lines chosen so far, and their exact size."""

    def __init__(self, count_tokens: Callable[[bytes], int]):
        self._count = count_tokens
        self.spans: dict[str, list[tuple[int, int, int]]] = {}  # path -> (first line, last line, tokens), ascending, apart
        self.tokens = 0

    def touches(self, path: str, first: int, last: int) -> bool:
        """Whether lines lie beside lines of `path` that were taken."""
        return any(span[0] <= last + 1 and span[1] >= first - 1 for span in self.spans.get(path, ()))

    def take(self, candidate: Candidate, budget_tokens: int) -> bool:
        """Takes a chunk, joined with what touches it, unless that exceeds the budget."""
        path, first, last = candidate.path, candidate.chunk.first_line, candidate.chunk.last_line
        kept, old = [], 0
        for span in self.spans.get(path, ()):
            if span[0] <= last + 1 and span[1] >= first - 1:
                first, last, old = min(first, span[0]), max(last, span[1]), old + span[2]
            else:
                kept.append(span)
        tokens = 2 + self._count(prompt_path(path) + b"\n" + b"".join(candidate.lines[first - 1:last]))
        if self.tokens - old + tokens > budget_tokens:
            return False
        self.spans[path] = sorted([*kept, (first, last, tokens)])
        self.tokens += tokens - old
        return True


def select(index: Index, target: Target, instruction: str, budget_tokens: int, count_tokens: Callable[[bytes], int]) -> Selection:
    """The lines of other files that a prompt of an edit of `target` should show, in at most `budget_tokens` tokens, wrappers included.

    `count_tokens` counts the tokens of ordinary text. The region and its window are no part of it: they come after the excerpts. Of the
    target's own file only signatures far from the region are shown, where one is given."""
    if budget_tokens < 1:
        raise CommandError(f"a budget of {budget_tokens} tokens for other files", "leave room for at least one, or choose none")
    weighed = weigh(index, target, instruction, open_history(index))
    return fill(weighed, budget_tokens, count_tokens)._replace(scores=complete(index, target, weighed.ranking))


class Weighed(NamedTuple):
    """The chunks that may be shown, and what each is worth."""

    candidates: list[Candidate]
    worths: list[float]
    """How likely each chunk changes with the edit."""
    of_file: dict[str, float]
    """How likely each candidate's file does."""
    ranking: Ranking


def weigh(index: Index, target: Target, instruction: str, history: History | None) -> Weighed:
    """Scores the files, and the chunks of the best ones. `history` None: what rests on the past is absent."""
    ranking = rank(index, target, instruction, history)
    fitted = weights("chunks" if history is not None else "chunks_without_history")
    of_kind: dict[str, tuple[float, dict[str, float]]] = {}
    found, worths, of_file = [], [], {}
    for candidate in candidates(index, target, instruction, ranking):
        path, features = candidate.path, candidate.features
        if path not in of_file:
            of_file[path] = 1.0 / (1.0 + math.exp(-features["file"]))
            kind = kinds.name_of(path).kind
            if kind not in of_kind:
                of_kind[kind] = folded(fitted, kind)
            total, known = of_kind[kind]
        found.append(candidate)
        worth = total
        for feature, value in features.items():
            if feature in known:
                worth += known[feature] * value
        worths.append(1.0 / (1.0 + math.exp(-worth)))
    for candidate in of_target(index, target):
        found.append(candidate)
        worths.append(OWN_WORTH)
        of_file[candidate.path] = 0.0
    return Weighed(found, worths, of_file, ranking)


def fill(weighed: Weighed, budget_tokens: int, count_tokens: Callable[[bytes], int]) -> Selection:
    """Takes the chunk worth most a token, again and again, until none fits. What a chunk is worth is found out when it is next, since it
    changes with what was taken: the first of its file makes it worth less. Tokens are estimated for the order, and counted for the sum."""
    found, worths, of_file = weighed.candidates, weighed.worths, weighed.of_file
    chosen = _Excerpts(count_tokens)

    def rate(number: int) -> float:
        candidate = found[number]
        chunk = candidate.chunk
        worth = worths[number]
        if candidate.path not in chosen.spans:
            worth += FILE_WORTH * of_file[candidate.path]
        overhead = 0.0 if chosen.touches(candidate.path, chunk.first_line, chunk.last_line) else WRAPPER_TOKENS
        return -worth / (overhead + sizes[number])

    sizes = [1 + sum(map(len, lines[chunk.first_line - 1:chunk.last_line])) / BYTES_A_TOKEN for _, chunk, _, lines in found]
    heap = [(rate(number), number) for number in range(len(found))]
    heapq.heapify(heap)
    misses = 0
    while heap and misses < MOST_MISSES:
        estimate, number = heapq.heappop(heap)
        now = rate(number)
        if heap and now > estimate and now > heap[0][0]:
            heapq.heappush(heap, (now, number))
            continue
        candidate = found[number]
        misses = 0 if chosen.take(candidate, budget_tokens) else misses + 1
    excerpts = [Excerpt(path, first, last) for path in sorted(chosen.spans) for first, last, _ in chosen.spans[path]]
    return Selection(excerpts, chosen.tokens, weighed.ranking.scores)
