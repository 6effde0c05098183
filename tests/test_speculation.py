"""Speculative decoding gives what plain decoding gives, token by token, on the engine; test_sample.c has the loop alone."""

from __future__ import annotations

import random

import pytest

from cromwell import binding
from cromwell.contract import prompt
from cromwell.contract.model_input import region_tokens

IDS = [300 + i * 37 % 200 for i in range(150)]
OPTIONS = [
    {},
    {"temperature": 0.8, "seed": 3},
    {"temperature": 1.0, "top_k": 40, "top_p": 0.9, "min_p": 0.01, "seed": 4},
    {"temperature": 0.7, "repetition_penalty": 1.2, "repetition_window": 30, "seed": 5},
]
SOURCE = b"def area(width, height):\n    total = width * height\n    print(total)\n    return total\n"


@pytest.fixture(scope="module")
def model(model_pack):
    with binding.Model(model_pack) as opened:
        yield opened


def answer(model: binding.Model, ids: list[int], count: int, draft: list[int], stops: list[int], options: dict) -> tuple:
    """A generation, the tokens that the callback saw, and all that can be seen of the session afterwards."""
    seen: list[int] = []
    with binding.Session(model, len(ids) + count) as session, binding.Sampler(model.info.vocab_size, count, **options) as sampler:
        session.feed(ids)
        made = binding.generate(session, sampler, stops, [], count, seen.append, draft)
        return made, (made[:4], seen, session.length, session.joint(0, session.length), bytes(session.logits()))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_any_draft_gives_the_plain_answer(model, options):
    plain, want = answer(model, IDS, 60, [], [], options)
    assert plain.steps == len(plain.ids) - 1 and plain.drafted == plain.accepted == 0
    half = plain.ids[:20] + [301] + plain.ids[20:]
    for draft in (plain.ids, IDS, half, plain.ids[30:] + IDS, random.Random(1).choices(plain.ids, k=200), plain.ids[:1]):
        made, found = answer(model, IDS, 60, draft, [], options)
        assert found == want
        assert made.steps <= plain.steps and made.accepted <= made.drafted
    assert answer(model, IDS, 60, plain.ids, [], options)[0].steps < 10
    for stop in (plain.ids[7], plain.ids[-1]):
        assert answer(model, IDS, 60, plain.ids, [stop], options)[1] == answer(model, IDS, 60, [], [stop], options)[1]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("instruction", [b"rename total to size", b"add a docstring", b"remove the print"])
def test_edits_come_in_few_steps(model, options, instruction):
    target = prompt.Target(b"shapes.py", b"import math\n\n\n", SOURCE, b"\n\ndef main():\n    area(2, 3)\n")
    ids = prompt.encode(prompt.edit_prompt(target, instruction), model.tokenizer.encode)
    end = model.tokenizer.special("<EDIT_END>")
    plain, want = answer(model, ids, 120, [], [end], options)
    made, found = answer(model, ids, 120, [*region_tokens(ids), end, *ids], [end], options)
    assert found == want
    assert made.steps < plain.steps
    if not options:  # the rename changes three of four lines: every other token of its answer comes without a step of its own
        assert 2 * made.steps <= plain.steps


def test_rows_of_logits_are_those_of_single_tokens(model):
    with binding.Session(model, 256) as session:
        session.feed(IDS)
        size = model.info.vocab_size
        for count in (1, 2, 5, 17, 64):
            rows = [row.tobytes() for row in (session.logits_rows(count)[i * size:(i + 1) * size] for i in range(count))]
            with binding.Session(model, 256) as other:
                other.feed(IDS[:-count])
                for token, row in zip(IDS[-count:], rows, strict=True):
                    other.feed([token])
                    assert other.logits().tobytes() == row
        assert session.logits_rows(3)[2 * size:].tobytes() == session.logits().tobytes()
