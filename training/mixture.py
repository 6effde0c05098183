"""Several folders of documents as one stream of micro-batches, in shares that a recipe sets.

Which folder the next micro-batch comes from is not drawn but owed: every folder's credit grows by its share, the highest pays. So shares
hold over any stretch of a run, and the stream is fixed by seed, shares and position alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from training.batches import Batch, DataError, Documents


class Source(NamedTuple):
    """One folder in a mixture."""

    name: str  # what recipes call this kind of data; several folders may share it
    folder: str
    documents: Documents
    part: float  # of its name's weight


class Drawn(NamedTuple):
    """A micro-batch before its tensors are made."""

    source: int
    members: numpy.ndarray


class Position(NamedTuple):
    """Where a stream stands: `used[i]` micro-batches of epoch `epochs[i]` of folder i are used up; credits decide who is next."""

    epochs: tuple[int, ...]
    used: tuple[int, ...]
    credits: tuple[float, ...]


class Mixture:
    """Folders of documents, and the stream that a seed makes of them."""

    def __init__(self, sources: Sequence[Source], seed: int, batch_tokens: int) -> None:
        self.sources, self.seed, self.batch_tokens = list(sources), seed, batch_tokens
        self.names = list(dict.fromkeys(source.name for source in self.sources))
        self.kinds = list(dict.fromkeys(kind for source in self.sources for kind in source.documents.kind_names))
        self._kind_ids = [numpy.array([self.kinds.index(kind) for kind in source.documents.kind_names]) for source in self.sources]
        self._plans: dict[int, tuple[int, list[numpy.ndarray]]] = {}

    def start(self) -> Position:
        """The beginning of the stream."""
        count = len(self.sources)
        return Position((0,) * count, (0,) * count, (0.0,) * count)

    def draw(self, position: Position, count: int, weights: Mapping[str, float]) -> tuple[list[Drawn], Position]:
        """The next `count` micro-batches, and the position after them. `weights` are of names, and need not add up to 1; DataError when
        they leave nothing to draw from."""
        shares = [weights.get(source.name, 0.0) * source.part for source in self.sources]
        if not sum(shares) > 0:
            raise DataError(f"no data of the kinds asked for now ({', '.join(weights) or 'none'}): the run has {', '.join(self.names)}")
        epochs, used, credits = (list(part) for part in position)
        drawn = []
        while len(drawn) < count:
            credits = [credit + share / sum(shares) for credit, share in zip(credits, shares, strict=True)]
            chosen = max((i for i, share in enumerate(shares) if share > 0), key=lambda i: credits[i])
            credits[chosen] -= 1.0
            plan = self._plan(chosen, epochs[chosen])
            if used[chosen] == len(plan):
                epochs[chosen], used[chosen] = epochs[chosen] + 1, 0
                plan = self._plan(chosen, epochs[chosen])
            drawn.append(Drawn(chosen, plan[used[chosen]]))
            used[chosen] += 1
        return drawn, Position(tuple(epochs), tuple(used), tuple(credits))

    def _plan(self, source: int, epoch: int) -> list[numpy.ndarray]:
        if self._plans.get(source, (-1,))[0] != epoch:
            self._plans[source] = epoch, self.sources[source].documents.plan(self.seed, epoch, self.batch_tokens)
        return self._plans[source][1]

    def batch(self, drawn: Drawn) -> Batch:
        """The tensors of a micro-batch; `kind_B` are indices of the mixture's `kinds`."""
        batch = self.sources[drawn.source].documents.batch(drawn.members)
        return batch._replace(kind_B=batch.kind_B.new_tensor(self._kind_ids[drawn.source])[batch.kind_B])

    def scored_tokens(self, plan: Sequence[Drawn]) -> int:
        """Tokens with a next-token loss in these micro-batches."""
        return sum(self.sources[drawn.source].documents.scored_tokens(drawn.members) for drawn in plan)

    def tokens_in(self, plan: Sequence[Drawn]) -> int:
        """Tokens in these micro-batches, without padding."""
        return sum(self.sources[drawn.source].documents.tokens_in(drawn.members) for drawn in plan)

    def described(self) -> list[dict[str, Any]]:
        """Every folder with its index, for run.json and for telling whether a checkpoint's data is this one's."""
        return [{"name": source.name, "folder": source.folder, "index": source.documents.index} for source in self.sources]

    def state(self, position: Position) -> dict[str, Any]:
        """A position as plain values, with what it is a position in."""
        return {
            "batch_tokens": self.batch_tokens,
            "sources": [
                {**described, "epoch": epoch, "used": used, "credit": credit}
                for described, epoch, used, credit in zip(self.described(), *position, strict=True)
            ],
        }

    def restored(self, state: Mapping[str, Any]) -> Position:
        """The position that `state` holds. A folder whose content or micro-batches are no longer the same goes on at its next epoch, a new
        one at its first."""
        epochs, used, credits = [], [], []
        known = list(state["sources"])
        for described in self.described():
            of_name = [old for old in known if old["name"] == described["name"]]
            same = [old for old in of_name if old["index"] == described["index"]]
            old = (same or of_name or [None])[0]
            if old is not None:
                known.remove(old)
            keep = bool(same) and state["batch_tokens"] == self.batch_tokens
            epochs.append(old["epoch"] + (not keep) if old is not None else 0)
            used.append(old["used"] if keep else 0)
            credits.append(old["credit"] if keep else 0.0)
        return Position(tuple(epochs), tuple(used), tuple(credits))


def open_mixture(
    given: Sequence[str], max_tokens: int, seed: int, batch_tokens: int, vocab_size: int | None = None
) -> tuple[Mixture, dict[str, float]]:
    """The folders that `given` names, each as FOLDER, NAME=FOLDER or NAME=FOLDER@WEIGHT, and the weights: those given, or else tokens.

    A folder without an index.json stands for all folders in it that have one. DataError says which of them cannot be used."""
    parts: list[tuple[str, Path, float | None]] = []
    for text in given:
        name, equals, rest = text.partition("=")
        folder, at, weight = (rest if equals else text).rpartition("@")
        try:
            parts.append((name if equals else "data", Path(folder if at else weight), float(weight) if at else None))
        except ValueError:
            raise DataError(f"{text}: the weight after @ is no number; expected NAME=FOLDER@WEIGHT") from None
    if len({weight is None for _, _, weight in parts}) > 1:
        raise DataError("give a weight to all data or to none of it")
    found: list[tuple[str, Path, Documents]] = []
    weights: dict[str, float] = {}
    for name, folder, weight in parts:
        inner = [folder] if (folder / "index.json").exists() else sorted(path.parent for path in folder.glob("*/index.json"))
        opened = [(name, path, Documents(path, max_tokens, vocab_size)) for path in inner or [folder]]
        found += opened
        weights[name] = weights.get(name, 0.0) + (weight if weight is not None else sum(_size(documents) for _, _, documents in opened))
    if min(weights.values(), default=0) < 0 or not sum(weights.values()) > 0:
        raise DataError("weights of data are positive, or 0 for data that is not used")
    sizes = {name: sum(_size(documents) for other, _, documents in found if other == name) for name in weights}
    sources = [Source(name, str(path), documents, _size(documents) / sizes[name]) for name, path, documents in found]
    return Mixture(sources, seed, batch_tokens), weights


def _size(documents: Documents) -> int:
    return documents.tokens_in(documents.usable)
