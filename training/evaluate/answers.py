"""Who answers held-out edits: the model, decoded as cw-generate decodes, and the baselines; on several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from cromwell import binding
from cromwell.contract import prompt
from cromwell.contract.cache import Cache
from cromwell.contract.engine import open_model_file
from cromwell.contract.errors import CommandError
from cromwell.generate.decode import Sampling, answer_room, drafts
from cromwell.generate.restore import restore

from . import sandbox
from .codemod import codemod
from .examples import Example
from .lines import EvaluationError
from .nearest import Index
from .score import Answer, Figures, Window


class Judged(NamedTuple):
    """An answer and its figures."""

    answer: Answer
    figures: Figures


GREEDY = Sampling()


class Systems(NamedTuple):
    """Who answers: the model and the nearest neighbour where they are given, copying and rules always. The keys of a result, in order:
    "model", "copy", "codemod", "nearest"."""

    model: str | None = None
    sampling: Sampling = GREEDY
    index: Index | None = None
    limits: sandbox.Limits = sandbox.DEFAULT_LIMITS


class Worker:
    """One process's model; answers examples."""

    def __init__(self, model_path: str, sampling: Sampling = GREEDY):
        self.model = open_model(model_path)
        self.sampling = sampling

    def answer(self, example: Example, window: Window | None = None) -> Answer:
        """The first candidate, greedy by default; and of all, the likeliest that passes the gate, as cw-generate chooses it. A prompt that
        leaves no room among the model's positions has no answer."""
        window = window or Window(example)
        tokenizer, region = self.model.tokenizer, example.target.region
        shown = region if region.endswith(b"\n") or not region else region + b"\n"  # as cw-context shows it
        ids = prompt.encode(prompt.edit_prompt(example.target._replace(region=shown), example.instruction.encode()), tokenizer.encode)
        try:
            room = answer_room(ids, 0, self.model.info.max_positions, self.sampling.max_tokens, example.path)
        except CommandError as error:
            return Answer("", False, None, error.where_and_what)
        gate, made = window.gate(tokenizer.encode(shown)), []
        for draft in drafts(self.model, ids, [], room, self.sampling, Cache(None), 1, None):
            text = restore(region, draft.text, "lf")
            made.append((gate.refusal(text, draft.tokens, draft.stop) or draft.doubt(self.sampling), draft, text))
        accepted = [(draft.log_probability, -number, draft, text) for number, (refusal, draft, text) in enumerate(made) if refusal is None]
        refusal, first, text = made[0]
        _, _, chosen, best = max(accepted) if accepted else (0, 0, first, None)
        return Answer(
            text.decode("utf-8", "replace"), first.stop == "token", best and best.decode(), None if accepted else refusal, chosen.confidence
        )  # fmt: skip


def open_model(path: str) -> binding.Model:
    """A sound model pack. EvaluationError otherwise."""
    try:
        return open_model_file(path)
    except CommandError as error:
        raise EvaluationError(f"{error.where_and_what}; {error.hint}") from None


def described(path: str) -> dict[str, Any]:
    """What tells a model pack from others."""
    with open_model(path) as model:
        return {
            "path": path, "bytes": os.path.getsize(path), "fingerprint": model.fingerprint, "parameters": model.info.parameter_count,
        }  # fmt: skip


_systems: dict[str, Callable[[Example, Window], Answer]] = {}
_limits = sandbox.DEFAULT_LIMITS


def _start(systems: Systems) -> None:
    global _limits
    _limits = systems.limits
    _systems.clear()
    if systems.model is not None:
        _systems["model"] = Worker(systems.model, systems.sampling).answer
    _systems["copy"] = lambda example, window: window.unchecked(example.region)
    _systems["codemod"] = lambda example, window: window.unchecked(codemod(example.instruction, example.region))
    if systems.index is not None:
        index = systems.index
        _systems["nearest"] = lambda example, window: window.unchecked(index.answer(example.instruction, example.region))


def _judge(example: Example) -> dict[str, Judged]:
    window, found = Window(example), {}
    for name, answer_to in _systems.items():
        answer = answer_to(example, window)
        figures = window.figures(answer)
        if example.test:
            program = example.before + answer.text + example.after + "\n" + example.test
            figures["tests"] = int(answer.finished and sandbox.run(program, _limits).passed)
        found[name] = Judged(answer, figures)
    return found


def judged(examples: Sequence[Example], systems: Systems, processes: int) -> Iterator[dict[str, Judged]]:
    """The answers of all systems with their figures, in the order of the examples."""
    if processes == 1:
        _start(systems)
        yield from map(_judge, examples)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _start, (systems,)) as pool:
        yield from pool.map(_judge, examples, chunksize=4)
