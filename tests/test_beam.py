"""Beam search and batches on the engine: a beam against a slow reference, a batch against answers made one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from cromwell import binding
from cromwell.binding import STATUS_ARGUMENT, CromwellError
from cromwell.contract import prompt

IDS = [300 + i * 37 % 200 for i in range(80)]


@pytest.fixture(scope="module")
def model(model_pack):
    with binding.Model(model_pack) as opened:
        yield opened


@pytest.fixture(scope="module")
def edit(model):
    """A prompt whose answers soon end."""
    target = prompt.Target(b"a.py", b"import math\n", b"total = 1\n", b"")
    return prompt.encode(prompt.edit_prompt(target, b"rename total to x"), model.tokenizer.encode)


def reference(model: binding.Model, ids: list[int], width: int, stops: list[int], strings: list[bytes], max_tokens: int) -> list[tuple]:
    """(ids, reason, sum of log-probabilities), the best mean first, by the definition of docs/sampling.md."""
    living, finished = [([], 0.0)], []
    with binding.Session(model, len(ids) + max_tokens) as session:
        session.feed(ids)
        for length in range(max_tokens):
            candidates = []
            for number, (line, total) in enumerate(living):
                session.rewind(len(ids))
                session.feed(line)
                x_V = np.array(session.logits(), dtype=np.float32).astype(np.float64)
                logs_V = x_V - x_V.max() - np.log(np.exp(x_V - x_V.max()).sum())
                order = np.lexsort((np.arange(len(x_V)), -x_V))[: width + len(stops)]
                candidates += [(-(total + logs_V[token]), number, rank, int(token)) for rank, token in enumerate(order)]
            branched = []
            for negative, number, _rank, token in sorted(candidates):
                line = living[number][0]
                if token in stops:
                    finished.append((line, "token", -negative, length + 1))
                elif any(text in model.tokenizer.decode([*line, token]) for text in strings):
                    finished.append(([*line, token], "string", -negative, length + 1))
                else:
                    branched.append(([*line, token], -negative))
                if len(branched) == width:
                    break
            living = branched
            finished = sorted(finished, key=lambda done: -done[2] / done[3])[:width]
            full = len(finished) == width
            if not living or (full and living[0][1] / max_tokens <= finished[-1][2] / finished[-1][3]):
                living = []
                break
    finished += [(line, "length", total, max_tokens) for line, total in living]
    return [done[:3] for done in sorted(finished, key=lambda done: -done[2] / done[3])[:width]]


@pytest.mark.parametrize(("width", "max_tokens"), [(1, 9), (2, 12), (4, 12), (8, 7), (3, 1)])
@pytest.mark.parametrize("case", ["edit", "ids", "strings", "border"])
def test_a_beam_is_the_reference_s(model, edit, width, max_tokens, case):
    ids = {"ids": IDS, "border": IDS + IDS[:44]}.get(case, edit)  # border: of blocks of states, after four tokens
    stops = [model.tokenizer.special("<EDIT_END>"), 400][: 2 if case == "ids" else 1]
    strings = [b"=", b"\n"] if case == "strings" else []
    want = reference(model, ids, width, stops, strings, max_tokens)
    sessions = [binding.Session(model, len(ids) + max_tokens) for _ in range(width)]
    sessions[0].feed(ids)
    before = sessions[0].logits().tobytes()
    for _ in range(2):  # the sessions hold the prompt again
        found = binding.beam_search(sessions, stops, strings, max_tokens)
        assert [(made.ids, made.reason) for made in found] == [done[:2] for done in want]
        assert [made.log_probability for made in found] == pytest.approx([done[2] for done in want], abs=1e-4)
        assert all(session.length in (0, len(ids)) for session in sessions) and sessions[0].logits().tobytes() == before
    for session in sessions:
        session.close()


def test_what_a_beam_refuses(model):
    session, other = binding.Session(model, 64), binding.Session(model, 64, guidance=False)
    session.feed(IDS[:9])
    for sessions, tokens in (([], 4), ([session, session], 4), ([session, other], 4), ([session] * 9, 4), ([session], 0)):
        with pytest.raises(CromwellError) as error:
            binding.beam_search(sessions, [], [], tokens)
        assert error.value.status == STATUS_ARGUMENT
    assert session.length == 9
    assert len(binding.beam_search([session], [], [], 100)) == 1  # the session's room is the end
    with pytest.raises(CromwellError):
        binding.beam_search([session], [model.info.vocab_size], [], 4)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_batch_gives_what_each_gives_alone(model, edit, count):
    end = model.tokenizer.special("<EDIT_END>")
    prompts = [edit, IDS, IDS[:20], edit[:-3]]

    def opened(number: int) -> tuple[binding.Session, binding.Sampler]:
        session = binding.Session(model, len(prompts[number % 4]) + (7 if number == 3 else 40))  # one is soon full
        session.feed(prompts[number % 4])
        temperature = 0.0 if number < 2 else 0.7 + 0.1 * number
        return session, binding.Sampler(model.info.vocab_size, 40, temperature, top_p=0.95, repetition_penalty=1.1, seed=number)

    sessions, samplers = zip(*(opened(number) for number in range(count)), strict=True)
    seen: dict[int, list[int]] = {number: [] for number in range(count)}
    found = binding.generate_each(sessions, samplers, [end], [b"\n\n"], 30, lambda number, token: seen[number].append(token))
    for number, (made, session) in enumerate(zip(found, sessions, strict=True)):
        alone, sampler = opened(number)
        assert made == binding.generate(alone, sampler, [end], [b"\n\n"], 30)
        assert seen[number] == made.ids and session.length == alone.length and session.logits().tobytes() == alone.logits().tobytes()


def test_a_batch_reports_and_refuses(model):
    sessions = [binding.Session(model, 64) for _ in range(2)]
    for session in sessions:
        session.feed(IDS[:9])
    samplers = [binding.Sampler(model.info.vocab_size, 64, 1.0, seed=seed) for seed in range(2)]
    first, second = binding.generate_each(sessions, samplers, [], [], 12, lambda number, _token: number == 0)
    assert first.reason == "caller" and len(first.ids) == 1 and len(second.ids) == 12

    class Stop(Exception):
        pass

    def fail(number: int, _token: int) -> None:
        if number:
            raise Stop

    with pytest.raises(Stop):
        binding.generate_each(sessions, samplers, [], [], 12, fail)
    for wrong in ((sessions[:1] * 2, samplers), (sessions, samplers[:1] * 2), (sessions, samplers[:1]), ([], [])):
        with pytest.raises(CromwellError) as error:
            binding.generate_each(*wrong, [], [], 4)
        assert error.value.status == STATUS_ARGUMENT
