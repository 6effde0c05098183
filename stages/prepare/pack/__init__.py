"""Which lines of other files a prompt shows: the chunks worth most for each token, within a budget that is never exceeded.

    select(index, Target("src/app.py", (10, 24)), "close the session on errors", 3000, lambda text: len(tokenizer.encode(text)))

gives the excerpts, the most stable files first; the same files, history and instruction give the same excerpts."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cromwell.contract.errors import CommandError
from cromwell.contract.model_input import prompt_path
from cromwell.contract.text import BOM, line_ends, to_lf
from cromwell.prepare.pack.chunks import Chunk, Reader, cut
from cromwell.prepare.rank import Ranking, Scored, Target, kinds, rank, read_query, weights
from cromwell.prepare.rank.history import History, open_history
from cromwell.prepare.rank.protocol import Index

CANDIDATE_FILES = 30
"""Best files that are read and cut."""
MOST_BYTES = 2 << 20
"""Bytes of candidates that are read at most: a query takes some tens of milliseconds."""
CROSSED = ("first", "second", "last", "depth", "words", "words_best", "hot_newest", "file", "title_target")
"""Features whose worth depends on the kind of the file: the top of a changelog, the end of a test file."""
FILE_WORTH = 0.5
"""What a file's first lines are worth beside the chunk itself, in changed chunks: to know that a file matters is half the answer."""
BYTES_A_TOKEN = 3.0
"""Roughly; what is taken is counted exactly."""
MOST_MISSES = 30
"""Chunks in a row that do not fit before the budget counts as filled."""


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
    best = [index.by_path[scored.path] for scored in ranking.scores[:CANDIDATE_FILES]]
    totals = {scored.path: scored.total for scored in ranking.scores[:CANDIDATE_FILES]}
    definitions = index.definitions([file.id for file in best])
    room = MOST_BYTES
    for number, file in enumerate(best):
        room -= file.size
        if room < 0 and number:
            continue
        try:
            lines = split_lines(index.read(file))
        except KeyError:  # changed or gone since it was indexed
            continue
        found = cut(lines, definitions.get(file.id, ()))
        rows = reader.describe(file.path, lines, found, ranking.evidence.places.get(file.id, ()))
        kind = kinds.name_of(file.path).kind
        for chunk, row in zip(found, rows, strict=True):
            row["file"] = totals[file.path]
            for feature in CROSSED:
                if feature in row:
                    row[f"{feature}.{kind}"] = row[feature]
            yield Candidate(file.path, chunk, row, lines)


class _Excerpts:
    """The lines chosen so far, and their exact size."""

    def __init__(self, count_tokens: Callable[[bytes], int]):
        self._count = count_tokens
        self.lines: dict[str, list[bytes]] = {}
        self.spans: dict[str, list[tuple[int, int, int]]] = {}  # path -> (first line, last line, tokens), ascending, apart
        self.tokens = 0

    def size(self, path: str, first: int, last: int) -> int:
        """Tokens of an excerpt, wrapper included."""
        text = b"".join(self.lines[path][first - 1:last])
        return 2 + self._count(prompt_path(path) + b"\n" + text)

    def joined(self, path: str, first: int, last: int) -> tuple[list[tuple[int, int, int]], int]:
        """The spans of `path` with lines `first..last` among them, and the tokens that adds."""
        kept, old = [], 0
        for span in self.spans.get(path, ()):
            if span[0] <= last + 1 and span[1] >= first - 1:
                first, last, old = min(first, span[0]), max(last, span[1]), old + span[2]
            else:
                kept.append(span)
        tokens = self.size(path, first, last)
        return sorted([*kept, (first, last, tokens)]), tokens - old


def select(index: Index, target: Target, instruction: str, budget_tokens: int, count_tokens: Callable[[bytes], int]) -> Selection:
    """The lines of other files that a prompt of an edit of `target` should show, in at most `budget_tokens` tokens, wrappers included.

    `count_tokens` counts the tokens of ordinary text. The target's own lines are no part of it: its window comes after the excerpts."""
    if budget_tokens < 1:
        raise CommandError(f"a budget of {budget_tokens} tokens for other files", "leave room for at least one, or choose none")
    return pack(index, target, instruction, budget_tokens, count_tokens, open_history(index))


def pack(index: Index, target: Target, instruction: str, budget_tokens: int, count_tokens: Callable[[bytes], int],
         history: History | None) -> Selection:
    """`select` with a history at hand."""
    ranking = rank(index, target, instruction, history)
    fitted = weights("chunks" if history is not None else "chunks_without_history")
    base = fitted["base"]
    found = list(candidates(index, target, instruction, ranking))
    chosen = _Excerpts(count_tokens)
    worths: list[float] = []
    of_file: dict[str, float] = {}
    for candidate in found:
        total = base
        for feature, value in candidate.features.items():
            weight = fitted.get(feature)
            if weight:
                total += weight * value
        worths.append(1.0 / (1.0 + math.exp(-total)))
        chosen.lines[candidate.path] = candidate.lines
        of_file[candidate.path] = 1.0 / (1.0 + math.exp(-candidate.features["file"]))
    _fill(chosen, found, worths, of_file, budget_tokens)
    excerpts = [Excerpt(path, first, last) for path in sorted(chosen.spans) for first, last, _ in chosen.spans[path]]
    return Selection(excerpts, chosen.tokens, ranking.scores)


def _fill(chosen: _Excerpts, found: list[Candidate], worths: list[float], of_file: dict[str, float], budget_tokens: int) -> None:
    """Takes the chunk worth most a token, again and again, until none fits. What a chunk costs and is worth is found out when it is next,
    since both change with what was taken: its neighbour makes it cheaper, the first of its file makes it worth less."""
    def worth(number: int) -> float:
        path = found[number].path
        return worths[number] + (0.0 if path in chosen.spans else FILE_WORTH * of_file[path])

    heap = []
    for number, candidate in enumerate(found):
        size = sum(map(len, chosen.lines[candidate.path][candidate.chunk.first_line - 1:candidate.chunk.last_line]))
        heap.append((-worth(number) / (4 + size / BYTES_A_TOKEN), number))
    heapq.heapify(heap)
    misses = 0
    while heap and misses < MOST_MISSES:
        rate, number = heapq.heappop(heap)
        path, chunk = found[number].path, found[number].chunk
        spans, added = chosen.joined(path, chunk.first_line, chunk.last_line)
        if chosen.tokens + added > budget_tokens:
            misses += 1
            continue
        exact = -worth(number) / max(1, added)
        if heap and exact > 0.9 * heap[0][0] and exact > rate * 0.98:
            heapq.heappush(heap, (exact, number))
            continue
        chosen.spans[path] = spans
        chosen.tokens += added
