"""What the C engine promises: the same bits for every instruction set, thread count and way of feeding; every misuse a status."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")

from cromwell import binding  # noqa: E402
from tests.engine_models import IMAGE, SMALL, random_model, text, tiles, write_pack  # noqa: E402

TOKENS = 230  # more than the engine computes at once, and no multiple of anything


@pytest.fixture(scope="module", params=["f32", "q8"])
def path(request, tmp_path_factory):
    return write_pack(random_model(SMALL), SMALL, request.param, tmp_path_factory.mktemp("pack") / "model.cwm")


@pytest.fixture
def model(path):
    with binding.Model(path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def best_isa():
    yield
    binding.isa_select(None)


def result(session: binding.Session) -> tuple[bytes, bytes]:
    """All that a caller can see of a session: joint embeddings and logits."""
    return session.joint(0, session.length), bytes(session.logits())


def whole(model: binding.Model, ids: list[int], **options) -> tuple[bytes, bytes]:
    with binding.Session(model, len(ids), **options) as session:
        session.feed(ids)
        return result(session)


def picture(seed: int, count: int = 1) -> bytes:
    return tiles(count, seed).numpy().tobytes()


def test_every_isa_gives_the_same_bits(path) -> None:
    ids = text(SMALL, 25)
    seen = set()
    for name in ("scalar", "avx2"):
        try:
            binding.isa_select(name)
        except binding.CromwellError as error:
            assert error.status == binding.STATUS_ISA and name != "scalar"
            continue
        assert binding.isa_name() == name
        with binding.Model(path) as model:
            seen.add(whole(model, ids))
    assert len(seen) == 1


def test_every_isa_gives_the_same_bits_with_a_picture(path) -> None:
    """One token after a picture: the scalar kernels take seconds for the encoder."""
    seen = set()
    for name in ("scalar", None):
        binding.isa_select(name)
        with binding.Model(path) as model, binding.Session(model, 8, max_tiles=1) as session:
            session.feed(text(SMALL, 3))
            session.feed_image(picture(1), 1, 1)
            session.feed([IMAGE])
            seen.add(result(session))
    assert len(seen) == 1


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_nothing(model, threads: int) -> None:
    ids = text(SMALL, TOKENS)
    assert whole(model, ids, threads=threads) == whole(model, ids, threads=1)


def test_feeding_in_pieces_changes_nothing(model) -> None:
    ids = text(SMALL, TOKENS)
    want = whole(model, ids)
    for size in (1, 7, 64):
        with binding.Session(model, 512, threads=2) as session:
            for at in range(0, TOKENS, size):
                session.feed(ids[at : at + size])
            assert result(session) == want


def test_a_token_changes_nothing_before_it(model) -> None:
    ids = text(SMALL, 50)
    changed = [*ids[:30], ids[30] + 1, *ids[31:]]
    before, after = (whole(model, some)[0] for some in (ids, changed))
    size = 4 * model.info.joint_size
    assert before[: 30 * size] == after[: 30 * size] and before[30 * size : 31 * size] != after[30 * size : 31 * size]


def test_rewind_then_feed_is_feeding_afresh(model) -> None:
    ids = text(SMALL, 60)
    with binding.Session(model, 64) as session:
        session.feed(text(SMALL, 60, seed=9))
        session.rewind(0)
        session.feed(ids)
        want = result(session)
        session.rewind(40)
        assert result(session) == whole(model, ids[:40])
        session.feed(ids[40:])
        assert result(session) == want == whole(model, ids)


def test_restored_states_are_the_computed_ones(model) -> None:
    """Also into a session of other capacities, and when more follows."""
    ids = text(SMALL, TOKENS)
    with binding.Session(model, TOKENS) as first, binding.Session(model, 512, max_tiles=1, threads=2) as second:
        first.feed(ids)
        second.restore(ids[:100], first.export(0, 100))
        second.restore(ids[100:200], first.export(100, 100))
        assert result(second) == whole(model, ids[:200])
        second.feed(ids[200:])
        assert result(second) == result(first)
        assert second.export(0, TOKENS) == first.export(0, TOKENS)


def test_a_picture_sees_restored_text_as_computed_text(model) -> None:
    ids = text(SMALL, 40)
    results = []
    for restored in (False, True):
        with binding.Session(model, 64, max_tiles=2) as session, binding.Session(model, 64) as source:
            if restored:
                source.feed(ids)
                session.restore(ids, source.export(0, 40))
            else:
                session.feed(ids)
            session.feed_image(picture(3, 2), 1, 2)
            session.feed([IMAGE, *ids[:5]])
            results.append(result(session))
    assert results[0] == results[1]


def test_states_of_other_tokens_places_and_guidance_are_refused(model) -> None:
    ids = text(SMALL, 20)
    with binding.Session(model, 32) as session, binding.Session(model, 32, guidance=False) as unguided:
        session.feed(ids)
        state = session.export(0, 20)
        moved = session.export(10, 10)
        session.rewind(0)
        for other, wrong in (([ids[0] + 1, *ids[1:]], state), (ids[10:], moved)):
            with pytest.raises(binding.CromwellError) as caught:
                session.restore(other, wrong)
            assert caught.value.status == binding.STATUS_FORMAT and session.length == 0
        with pytest.raises(binding.CromwellError):
            unguided.restore(ids, state)
        session.restore(ids, state)


def test_guidance_is_a_switch(model) -> None:
    ids = text(SMALL, 20)
    guided, plain = whole(model, ids), whole(model, ids, guidance=False)
    assert guided[0] == plain[0] and guided[1] != plain[1]


def test_pictures_rewind_and_threads(model) -> None:
    ids = text(SMALL, 20)

    def run(session: binding.Session, seed: int) -> tuple[bytes, bytes]:
        session.feed(ids[:5])
        session.feed_image(picture(seed, 2), 2, 1)
        session.feed([IMAGE])
        session.feed(ids[5:])
        return result(session)

    with binding.Session(model, 64, max_tiles=4, threads=1) as session:
        want = run(session, 1)
        session.rewind(0)
        other = run(session, 2)
        session.rewind(0)
        assert run(session, 1) == want and other != want
        session.rewind(5)  # forgets the picture
        session.feed(ids[5:])
        assert result(session) == whole(model, ids)
    with binding.Session(model, 64, max_tiles=2, threads=3) as session:
        assert run(session, 1) == want


def test_text_before_a_picture_does_not_see_it(model) -> None:
    ids = text(SMALL, 10)
    with binding.Session(model, 32, max_tiles=1) as session:
        session.feed(ids)
        session.feed_image(picture(1), 1, 1)
        session.feed([IMAGE])
        assert session.joint(0, 10) == whole(model, ids)[0]


def refused(status: int, call, *arguments) -> None:
    with pytest.raises(binding.CromwellError) as caught:
        call(*arguments)
    assert caught.value.status == status


def test_misuse_is_a_status_and_leaves_the_session_usable(model) -> None:
    ids, argument, capacity = text(SMALL, 10), binding.STATUS_ARGUMENT, binding.STATUS_CAPACITY
    with binding.Session(model, 10, max_tiles=1) as session:
        refused(argument, session.logits)
        refused(argument, session.feed, [-1])
        refused(argument, session.feed, [SMALL["vocab_size"]])
        refused(argument, session.rewind, 1)
        refused(capacity, session.feed, ids + ids)
        refused(argument, session.export, 0, 1)
        refused(argument, session.feed_image, picture(1, 9), 9, 1)
        refused(argument, session.feed_image, picture(1, 6), 2, 3)
        refused(capacity, session.feed_image, picture(1, 2), 2, 1)
        session.feed_image(picture(1), 1, 1)
        refused(argument, session.feed_image, picture(1), 1, 1)  # one already waits
        refused(argument, session.feed, ids[:1])  # it waits for its <IMAGE> token
        session.feed([IMAGE])
        refused(argument, session.export, 0, 1)
        refused(capacity, session.feed_image, picture(1), 1, 1)
        session.rewind(0)
        session.feed(ids)
        refused(capacity, session.feed, ids[:1])
        refused(capacity, session.feed_image, picture(1), 1, 1)
        assert result(session) == whole(model, ids)


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"max_tokens": 513}, {"max_tiles": 5}, {"threads": -1}, {"threads": 65}])
def test_session_options_are_checked(model, options) -> None:
    refused(binding.STATUS_ARGUMENT, lambda: binding.Session(model, **{"max_tokens": 8, **options}))


def test_unknown_isa_is_refused() -> None:
    refused(binding.STATUS_ISA, binding.isa_select, "sse9")


def test_a_model_that_is_none(tmp_path, path) -> None:
    """One line that says what is wrong, and a status."""
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    cases = {
        "empty": (b"", binding.STATUS_FORMAT),
        "text": (b"no model at all\n" * 40, binding.STATUS_FORMAT),
        "short": (path.read_bytes()[:-64], binding.STATUS_FORMAT),
        "damaged": (bytes(damaged), binding.STATUS_CHECKSUM),
    }
    for name, (data, status) in cases.items():
        (tmp_path / name).write_bytes(data)
        refused(status, binding.Model, tmp_path / name)
    refused(binding.STATUS_IO, binding.Model, tmp_path / "missing")
    refused(binding.STATUS_IO, binding.Model, tmp_path)


def test_many_threads_on_a_busy_machine(path) -> None:
    """More threads than cores, in two processes at once: slower, but never stuck."""
    code = (
        "import sys; from cromwell import binding as b; m = b.Model(sys.argv[1]); s = b.Session(m, 400, threads=16)\n"
        "s.feed(list(range(19, 219)))\nfor i in range(100): s.feed([20 + i]); s.logits()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment) for _ in range(2)]
    assert [process.wait(timeout=60) for process in running] == [0, 0]
