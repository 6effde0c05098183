"""Candidates decoded in common passes, with drafts: each answer is that of a slow loop of its own, and so is what its session holds."""

from __future__ import annotations

import os
import signal
import threading
import time
from array import array

import pytest

from cromwell import binding
from cromwell.binding import STATUS_ARGUMENT, CromwellError
from cromwell.contract import prompt
from cromwell.contract.cache import Cache
from cromwell.contract.model_input import region_tokens
from cromwell.generate.decode import Sampling, drafts

IDS = [300 + i * 37 % 200 for i in range(150)]
SOURCE = b"def area(width, height):\n    total = width * height\n    print(total)\n    return total\n"
ROOM = 70


@pytest.fixture(scope="module")
def model(model_pack):
    with binding.Model(model_pack) as opened:
        yield opened


@pytest.fixture(scope="module")
def edit(model):
    """A prompt whose answers mostly repeat the source."""
    target = prompt.Target(b"shapes.py", b"import math\n\n\n", SOURCE, b"\n\ndef main():\n    area(2, 3)\n")
    return prompt.encode(prompt.edit_prompt(target, b"rename total to size"), model.tokenizer.encode)


def sampler_options(number: int) -> dict:
    """Greedy ones, several with the same settings, and some with settings of their own."""
    if number in (0, 5):
        return {}
    own = {4: {"temperature": 1.3, "top_k": 40}, 6: {"repetition_penalty": 1.2}, 7: {"temperature": 1.0, "top_p": 0.9}}
    return {"temperature": 0.8, "min_p": 0.1, "seed": number} | own.get(number, {})


def slow(model: binding.Model, ids: list[int], number: int, stops: list[int], strings: list[bytes], room: int) -> tuple:
    """An answer by the definition: a token at a time, fed alone. Its tokens, its reason, its log-probability and the session's states."""
    made, total, reason = [], 0.0, "length"
    options = sampler_options(number)
    with binding.Session(model, len(ids) + room, threads=1) as session, binding.Sampler(model.info.vocab_size, ROOM, **options) as sampler:
        session.feed(ids)
        while len(made) < ROOM:
            token, log_probability = sampler.next(session.logits())
            total += log_probability
            if token in stops:
                reason = "token"
                break
            sampler.accept([token])
            made.append(token)
            if any(text in model.tokenizer.decode(made) for text in strings):
                reason = "string"
                break
            if len(made) == ROOM or session.length == len(ids) + room:
                break
            session.feed([token])
        return made, reason, pytest.approx(total, abs=1e-4), states(session)


def states(session: binding.Session) -> tuple:
    return session.length, session.joint(0, session.length), bytes(session.logits())


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(("count", "drafted", "shared"),
                         [(1, True, True), (3, False, True), (8, True, True), (8, True, False), (8, False, False)])  # fmt: skip
@pytest.mark.parametrize("case", ["edit", "ids"])
def test_each_answer_is_the_slow_one(model, edit, case, count, drafted, shared, threads):
    ids = edit if case == "edit" else IDS
    end = model.tokenizer.special("<EDIT_END>")
    stops, strings = ([end], [b"return"]) if case == "edit" else ([end, 400, 401, 402], [])
    rooms = [ROOM if number != 2 else 12 for number in range(count)]  # one is soon full
    sessions = [binding.Session(model, len(ids) + room, threads=threads if number == 0 else 1) for number, room in enumerate(rooms)]
    for number, session in enumerate(sessions):
        if shared and number:
            session.share(sessions[0], len(ids))
        else:
            session.feed(ids)
    samplers = [binding.Sampler(model.info.vocab_size, ROOM, **sampler_options(number)) for number in range(count)]
    seen: dict[int, list[int]] = {number: [] for number in range(count)}
    draft = [*region_tokens(ids), end, *ids] if drafted else []
    found = binding.generate_each(sessions, samplers, stops, strings, ROOM, lambda number, token: seen[number].append(token), draft)
    for number, (made, session) in enumerate(zip(found, sessions, strict=True)):
        assert (made.ids, made.reason, made.log_probability, states(session)) == slow(model, ids, number, stops, strings, rooms[number])
        assert seen[number] == made.ids and made.accepted <= made.drafted and made.steps <= len(made.ids)
    if drafted and case == "edit":
        assert sum(made.steps for made in found) < sum(len(made.ids) for made in found) // 2
    for session in reversed(sessions):
        session.close()


def test_answers_with_a_picture_before_them(model):
    image, tiles = model.tokenizer.special("<IMAGE>"), bytes(range(256)) * 768
    source = binding.Session(model, 200, 1)
    source.feed(IDS[:10])
    source.feed_image(tiles, 1, 1)
    source.feed([image, *IDS[10:80]])
    others = [binding.Session(model, 200, threads=1) for _ in range(3)]
    for other in others:
        other.share(source, 81)

    def samplers() -> list[binding.Sampler]:
        return [binding.Sampler(model.info.vocab_size, 40, 0.9 * (seed > 1), seed=seed) for seed in range(4)]

    found = binding.generate_each([source, *others], samplers(), [], [], 40, None, IDS)
    left = [states(session) for session in (source, *others)]
    for session in reversed(others):
        session.close()
    for made, sampler, want in zip(found, samplers(), left, strict=True):
        source.rewind(81)
        assert binding.generate(source, sampler, [], [], 40)[:4] == made[:4] and states(source) == want
    source.close()


def test_candidates_share_their_passes(model, edit):
    """What cw-generate runs: every candidate is that of a run with another number of threads, and none needs many passes of its own."""
    tokens = array("i", edit)
    sampling = Sampling(candidates=6, seed=4)
    several = drafts(model, tokens, [], ROOM, sampling, Cache(None, 0), 2, None)
    assert several == drafts(model, tokens, [], ROOM, sampling, Cache(None, 0), 1, None)
    seen: list[tuple[int, int]] = []
    fewer = drafts(model, tokens, [], ROOM, sampling._replace(candidates=3), Cache(None, 0), 1, lambda *token: seen.append(token))
    assert fewer == several[:3]
    for number, draft in enumerate(fewer):
        assert [token for at, token in seen if at == number] == draft.tokens


def test_an_exception_ends_all(model):
    """An interrupt, too, wherever it strikes: nothing is decoded to the end for its sake."""
    sessions = [binding.Session(model, 2000) for _ in range(3)]
    sessions[0].feed(IDS)
    for session in sessions[1:]:
        session.share(sessions[0], len(IDS))
    samplers = [binding.Sampler(model.info.vocab_size, 1800, 1.0, seed=seed) for seed in range(3)]

    class Stop(Exception):
        pass

    count = 0

    def fail(number: int, _token: int) -> None:
        nonlocal count
        count += 1
        if number == 1 and count > 20:
            raise Stop

    with pytest.raises(Stop):
        binding.generate_each(sessions, samplers, [], [], 1800, fail)
    assert 20 < count < 30 and all(session.length < len(IDS) + 20 for session in sessions)

    def interrupt() -> None:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        while True:
            for session in sessions:
                session.rewind(len(IDS))
            samplers = [binding.Sampler(model.info.vocab_size, 1800, 1.0, seed=seed) for seed in range(3)]
            binding.generate_each(sessions, samplers, [], [], 1800)
    thread.join()


def test_counts_must_fit(model):
    sessions = [binding.Session(model, 256) for _ in range(2)]
    binding.feed_each(sessions, IDS[:7], [2, 5])
    assert [session.length for session in sessions] == [2, 5]
    rows = bytes(binding.logits_each(sessions, [1, 3]))
    assert rows == bytes(sessions[0].logits()) + bytes(sessions[1].logits_rows(3))
    for call in (lambda: binding.feed_each(sessions, IDS[:7], [2, 4]), lambda: binding.feed_each(sessions, IDS[:2], [2]),
                 lambda: binding.feed_each(sessions, IDS[:2], [3, -1]), lambda: binding.feed_each(sessions, [300] * 193, [1, 192]),
                 lambda: binding.logits_each(sessions, [1]), lambda: binding.logits_each(sessions, [3, 1]),
                 lambda: binding.logits_each(sessions, [0, 0])):  # fmt: skip
        with pytest.raises(CromwellError) as error:
            call()
        assert error.value.status == STATUS_ARGUMENT
    assert [session.length for session in sessions] == [2, 5]
