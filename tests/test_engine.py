"""What the C engine promises: the same bits for every instruction set, thread count and way of feeding; every misuse a status."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")

from cromwell import binding  # noqa: E402
from tests.engine_models import FORMATS, IMAGE, random_model, text, tiles, write_pack  # noqa: E402

TOKENS = 230  # more than the engine computes at once, and no multiple of anything


VOCABULARY = {"vocab_size": 300}  # of every configuration here


@pytest.fixture(scope="module", params=FORMATS)
def path(request, tmp_path_factory):
    config = FORMATS[request.param]
    return write_pack(random_model(config), config, request.param, tmp_path_factory.mktemp("pack") / "model.cwm")


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


def offered(isa: str) -> bool:
    """Whether this machine has the instruction set."""
    try:
        binding.isa_select(isa)
    except binding.CromwellError as error:
        assert error.status == binding.STATUS_ISA
        return False
    return True


def test_every_isa_gives_the_same_bits(path) -> None:
    ids = text(VOCABULARY, 25)
    seen = set()
    for name in ("scalar", "avx2", "avx512vnni"):
        if not offered(name):
            assert name != "scalar"
            continue
        assert binding.isa_name() == name
        with binding.Model(path) as model:
            seen.add(whole(model, ids))
    assert len(seen) == 1


def test_every_isa_gives_the_same_bits_with_a_picture(path) -> None:
    """One token after a picture: the scalar kernels take seconds for the encoder."""
    seen = set()
    for name in ("scalar", "avx2", None):
        if name == "avx2" and not offered(name):
            continue
        binding.isa_select(name)
        with binding.Model(path) as model, binding.Session(model, 8, max_tiles=1) as session:
            session.feed(text(VOCABULARY, 3))
            session.feed_image(picture(1), 1, 1)
            session.feed([IMAGE])
            seen.add(result(session))
    assert len(seen) == 1


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_nothing(model, threads: int) -> None:
    ids = text(VOCABULARY, TOKENS)
    assert whole(model, ids, threads=threads) == whole(model, ids, threads=1)


def test_feeding_in_pieces_changes_nothing(model) -> None:
    ids = text(VOCABULARY, TOKENS)
    want = whole(model, ids)
    for size in (1, 7, 64):
        with binding.Session(model, 512, threads=2) as session:
            for at in range(0, TOKENS, size):
                session.feed(ids[at : at + size])
            assert result(session) == want


def test_a_token_changes_nothing_before_it(model) -> None:
    ids = text(VOCABULARY, 50)
    changed = [*ids[:30], ids[30] + 1, *ids[31:]]
    before, after = (whole(model, some)[0] for some in (ids, changed))
    size = 4 * model.info.joint_size
    assert before[: 30 * size] == after[: 30 * size] and before[30 * size : 31 * size] != after[30 * size : 31 * size]


def test_rewind_then_feed_is_feeding_afresh(model) -> None:
    ids = text(VOCABULARY, 60)
    with binding.Session(model, 64) as session:
        session.feed(text(VOCABULARY, 60, seed=9))
        session.rewind(0)
        session.feed(ids)
        want = result(session)
        session.rewind(40)
        assert result(session) == whole(model, ids[:40])
        session.feed(ids[40:])
        assert result(session) == want == whole(model, ids)


def feed_with_blocks(session: binding.Session, ids: list[int], source: binding.Session, blocks: int) -> None:
    """The first blocks from `source`, the rest computed."""
    for index in range(blocks):
        session.attach(ids[64 * index : 64 * index + 64], source.block(index))
    session.feed(ids[64 * blocks :])


def test_attached_blocks_are_the_computed_ones(model) -> None:
    """Also in a session of other capacities, and what is computed after them."""
    ids = text(VOCABULARY, TOKENS)
    with binding.Session(model, TOKENS) as first, binding.Session(model, 512, max_tiles=1, threads=2) as second:
        first.feed(ids)
        feed_with_blocks(second, ids[:128], first, 2)
        assert result(second) == whole(model, ids[:128])
        second.feed(ids[128:])
        assert result(second) == result(first)
        assert [bytes(second.block(i)) for i in range(3)] == [bytes(first.block(i)) for i in range(3)]


def test_an_attached_block_is_never_written(model) -> None:
    """Rewinding into it and going on elsewhere makes a copy."""
    ids, other = text(VOCABULARY, 128), text(VOCABULARY, 60, seed=3)
    with binding.Session(model, 128) as first, binding.Session(model, 128) as second:
        first.feed(ids)
        before = [bytes(first.block(i)) for i in range(2)]
        feed_with_blocks(second, ids, first, 2)
        second.rewind(70)
        second.feed(other[:50])
        assert result(second) == whole(model, ids[:70] + other[:50])
        second.rewind(10)
        second.feed(other)
        assert result(second) == whole(model, ids[:10] + other)
        assert [bytes(first.block(i)) for i in range(2)] == before and result(first) == whole(model, ids)


def test_a_picture_sees_attached_text_as_computed_text(model) -> None:
    ids = text(VOCABULARY, 70)
    results = []
    for blocks in (0, 1):
        with binding.Session(model, 96, max_tiles=2) as session, binding.Session(model, 96) as source:
            source.feed(ids)
            feed_with_blocks(session, ids, source, blocks)
            session.feed_image(picture(3, 2), 1, 2)
            session.feed([IMAGE, *ids[:5]])
            results.append(result(session))
    assert results[0] == results[1]


def test_blocks_of_other_tokens_places_and_guidance_are_refused(model) -> None:
    ids = text(VOCABULARY, 128)
    session, unguided = binding.Session(model, 128), binding.Session(model, 128, guidance=False)
    with binding.Session(model, 128) as source, session, unguided:
        source.feed(ids)
        first, second = source.block(0), source.block(1)
        for wrong_ids, wrong in (([ids[0] + 1, *ids[1:64]], first), (ids[64:], second)):
            refused(binding.STATUS_FORMAT, session.attach, wrong_ids, wrong)
            assert session.length == 0
        refused(binding.STATUS_FORMAT, unguided.attach, ids[:64], first)
        refused(binding.STATUS_ARGUMENT, session.attach, ids[:63], first)
        refused(binding.STATUS_ARGUMENT, session.attach, ids[:64], first[:-64])
        session.attach(ids[:64], first)
        refused(binding.STATUS_ARGUMENT, session.block, 1)
        session.feed(ids[:1])
        refused(binding.STATUS_ARGUMENT, session.attach, ids[64:], second)  # in the middle of a block


def test_logits_of_several_tokens(model) -> None:
    """The rows are those that each token gives when it is the last."""
    ids = text(VOCABULARY, 40)
    with binding.Session(model, 70) as session:
        session.feed(ids)
        rows = bytes(session.logits_rows(30))
        one_by_one = b""
        for end in range(40, 10, -1):
            session.rewind(end)
            one_by_one = bytes(session.logits()) + one_by_one
        assert rows == one_by_one
        refused(binding.STATUS_ARGUMENT, session.logits_rows, 0)
        session.feed(ids[:1])
        refused(binding.STATUS_ARGUMENT, session.logits_rows, 13)  # more than were fed
        refused(binding.STATUS_ARGUMENT, session.logits_rows, 65)


def test_several_sequences_in_one_pass(model) -> None:
    """Eight sequences of different lengths give what each gives alone."""
    starts = [text(VOCABULARY, 3 + 17 * i, seed=i) for i in range(8)]
    more = [text(VOCABULARY, 8, seed=100 + i) for i in range(8)]
    sessions = [binding.Session(model, 140, threads=2) for _ in starts]
    for session, ids in zip(sessions, starts, strict=True):
        session.feed(ids)
    for step in range(8):
        binding.feed_each(sessions, [ids[step] for ids in more])
    together = bytes(binding.logits_each(sessions))
    for session, start, rest in zip(sessions, starts, more, strict=True):
        assert result(session) == whole(model, start + rest)
    assert together == b"".join(bytes(session.logits()) for session in sessions)
    for session in sessions:
        session.close()


def test_sequences_in_one_pass_are_checked(model, path) -> None:
    ids = text(VOCABULARY, 4)
    with binding.Session(model, 8) as one, binding.Session(model, 8) as two, binding.Session(model, 8, guidance=False) as unguided:
        one.feed(ids)
        refused(binding.STATUS_ARGUMENT, binding.feed_each, [one, one], ids[:2])
        refused(binding.STATUS_ARGUMENT, binding.feed_each, [one, unguided], ids[:2])
        refused(binding.STATUS_ARGUMENT, binding.feed_each, [one, two], [ids[0], -1])
        refused(binding.STATUS_ARGUMENT, binding.feed_each, [one, two], ids[:1])
        refused(binding.STATUS_ARGUMENT, binding.logits_each, [one, two])  # the second is empty
        two.feed(ids + ids)
        refused(binding.STATUS_CAPACITY, binding.feed_each, [one, two], ids[:2])
        assert (one.length, two.length) == (4, 8) and result(one) == whole(model, ids)


def test_shared_prefixes(model) -> None:
    """Sessions that share a prefix, whole blocks and a part of one, go separate ways; also one pass for all of them."""
    ids = text(VOCABULARY, 100)
    answers = [text(VOCABULARY, 40, seed=20 + i) for i in range(3)]
    with binding.Session(model, 160) as source:
        source.feed(ids)
        sessions = [binding.Session(model, 160) for _ in answers]
        for session in sessions:
            session.share(source, 100)
            assert result(session) == result(source)
        for step in range(40):
            binding.feed_each(sessions, [answer[step] for answer in answers])
        source.feed(answers[0][::-1])
        for session, answer in zip(sessions, answers, strict=True):
            assert result(session) == whole(model, ids + answer)
            refused(binding.STATUS_ARGUMENT, session.share, source, 10)  # not empty any more
            session.close()
        assert result(source) == whole(model, ids + answers[0][::-1])


def test_shared_prefixes_with_a_picture(model) -> None:
    ids = text(VOCABULARY, 30)
    with binding.Session(model, 64, max_tiles=1) as source, binding.Session(model, 64) as session, binding.Session(model, 64) as other:
        source.feed(ids[:5])
        source.feed_image(picture(2), 1, 1)
        source.feed([IMAGE, *ids[5:]])
        want = result(source)
        session.share(source, 20)
        other.share(source, 5)
        session.feed(ids[19:])
        other.feed(ids)
        assert result(session) == want
        assert result(other) == whole(model, ids[:5] + ids)  # the picture comes after what is shared
        refused(binding.STATUS_ARGUMENT, session.feed_image, picture(1), 1, 1)


def test_a_session_that_shared_a_picture_has_room_for_its_own_again(model) -> None:
    ids = text(VOCABULARY, 12)
    wants = []
    with binding.Session(model, 32, max_tiles=1) as source, binding.Session(model, 32, max_tiles=1) as session:
        for seed in (1, 2):
            source.rewind(0)
            source.feed(ids[:3])
            source.feed_image(picture(seed), 1, 1)
            source.feed([IMAGE, *ids[3:]])
            wants.append(result(source))
        session.share(source, 10)
        refused(binding.STATUS_ARGUMENT, session.feed_image, picture(1), 1, 1)
        session.rewind(3)
        session.feed_image(picture(1), 1, 1)
        session.feed([IMAGE, *ids[3:]])
        assert [result(session), result(source)] == wants
        session.rewind(0)
        session.share(source, source.length)
        assert result(session) == wants[1]


def test_long_texts_in_segments(path) -> None:
    """Attention over several segments: threads and pieces change nothing."""
    ids = text(VOCABULARY, 1100)
    with binding.Model(path) as model:
        want = whole(model, ids, threads=1)
        with binding.Session(model, 1100, threads=2) as session:
            for at in (*range(0, 1000, 125), *range(1000, 1100)):
                session.feed(ids[at : at + (125 if at < 1000 else 1)])
            assert result(session) == want


def test_guidance_is_a_switch(model) -> None:
    ids = text(VOCABULARY, 20)
    guided, plain = whole(model, ids), whole(model, ids, guidance=False)
    assert guided[0] == plain[0] and guided[1] != plain[1]


def test_pictures_rewind_and_threads(model) -> None:
    ids = text(VOCABULARY, 20)

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
    ids = text(VOCABULARY, 10)
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
    ids, argument, capacity = text(VOCABULARY, 10), binding.STATUS_ARGUMENT, binding.STATUS_CAPACITY
    with binding.Session(model, 10, max_tiles=1) as session:
        refused(argument, session.logits)
        refused(argument, session.feed, [-1])
        refused(argument, session.feed, [VOCABULARY["vocab_size"]])
        refused(argument, session.rewind, 1)
        refused(capacity, session.feed, ids + ids)
        refused(argument, session.block, 0)
        refused(argument, session.feed_image, picture(1, 9), 9, 1)
        refused(argument, session.feed_image, picture(1, 6), 2, 3)
        refused(capacity, session.feed_image, picture(1, 2), 2, 1)
        session.feed_image(picture(1), 1, 1)
        refused(argument, session.feed_image, picture(1), 1, 1)  # one already waits
        refused(argument, session.feed, ids[:1])  # it waits for its <IMAGE> token
        session.feed([IMAGE])
        refused(argument, session.block, 0)
        refused(capacity, session.feed_image, picture(1), 1, 1)
        session.rewind(0)
        session.feed(ids)
        refused(capacity, session.feed, ids[:1])
        refused(capacity, session.feed_image, picture(1), 1, 1)
        assert result(session) == whole(model, ids)


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"max_tokens": 1281}, {"max_tiles": 5}, {"threads": -1}, {"threads": 65}])
def test_session_options_are_checked(model, options) -> None:
    refused(binding.STATUS_ARGUMENT, lambda: binding.Session(model, **{"max_tokens": 8, **options}))


def test_unknown_isa_is_refused() -> None:
    refused(binding.STATUS_ISA, binding.isa_select, "sse9")


def test_a_model_that_is_none(tmp_path, path) -> None:
    """One line that says what is wrong, and a status."""
    header, tensors = bytearray(path.read_bytes()), bytearray(path.read_bytes())
    header[300] ^= 1
    tensors[len(tensors) // 2] ^= 1
    cases = {
        "empty": (b"", binding.STATUS_FORMAT),
        "text": (b"no model at all\n" * 40, binding.STATUS_FORMAT),
        "short": (path.read_bytes()[:-64], binding.STATUS_FORMAT),
        "damaged": (bytes(header), binding.STATUS_CHECKSUM),
    }
    for name, (data, status) in cases.items():
        (tmp_path / name).write_bytes(data)
        refused(status, binding.Model, tmp_path / name)
    (tmp_path / "tensors").write_bytes(tensors)
    with binding.Model(tmp_path / "tensors") as model:  # whose numbers nobody has looked at
        refused(binding.STATUS_CHECKSUM, model.verify)
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
