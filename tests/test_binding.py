"""The Python view of libcromwell: values across the border, lifetimes, callbacks, and the cache of prefix states on the real engine."""

from __future__ import annotations

import array
import gc
import mmap
import struct
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cromwell import binding
from cromwell.binding import CromwellError
from cromwell.contract.cache import Cache
from cromwell.contract.prefix import Pixels, PrefixUse, feed_prompt
from cromwell.contract.prompt import SPECIAL_TOKENS

IMAGE = SPECIAL_TOKENS.index("<IMAGE>")
IDS = [300 + i * 37 % 200 for i in range(150)]
HUGE = (1 << 32) - 1


@pytest.fixture(scope="module")
def model(model_pack: Path):
    with binding.Model(model_pack) as opened:
        yield opened


def fed(model: binding.Model, ids: list[int] = IDS, **options: object) -> binding.Session:
    session = binding.Session(model, 256, **options)
    session.feed(ids)
    return session


def logits(session: binding.Session) -> bytes:
    return bytes(session.logits())


def aligned(data: bytes | memoryview) -> memoryview:
    """A copy of `data` that begins at a page."""
    room = mmap.mmap(-1, max(1, len(data)))
    room[:len(data)] = bytes(data)
    return memoryview(room)[:len(data)]


def off_by(data: memoryview, shift: int) -> memoryview:
    """A copy of `data` that begins `shift` bytes after a page does."""
    return aligned(bytes(shift) + bytes(data))[shift:]


def sampler(model: binding.Model, **options: object) -> binding.Sampler:
    return binding.Sampler(model.info.vocab_size, 256, **options)


def refusal(status: int, call, *arguments) -> str:
    with pytest.raises(CromwellError) as caught:
        call(*arguments)
    assert caught.value.status == status, caught.value
    assert caught.value.text == str(caught.value) != "" and "\n" not in caught.value.text
    return caught.value.text


# ---- Machine ----------------------------------------------------------------------------------------------------------------


def test_machine():
    assert binding.version() and binding.isa_name() in ("scalar", "avx2", "avx512vnni") and 1 <= binding.threads_default() <= 64
    best = binding.isa_name()
    binding.isa_select("scalar")
    assert binding.isa_name() == "scalar"
    assert "sse9" in refusal(binding.STATUS_ISA, binding.isa_select, "sse9")
    assert binding.isa_name() == "scalar"
    binding.isa_select(None)
    assert binding.isa_name() == best


def test_checksum_reads_any_buffer():
    data = bytes(range(256)) * 3
    assert len({binding.checksum64(kind(data)) for kind in (bytes, bytearray, memoryview)}) == 1
    assert binding.checksum64(data) != binding.checksum64(data[:-1])
    assert binding.checksum64(b"") != binding.checksum64(b"\0")


# ---- Model and tokenizer ----------------------------------------------------------------------------------------------------


def test_model_describes_itself(model, model_pack):
    info, config = model.info, model.config
    assert info.vocab_size == config["vocab_size"] == model.tokenizer.size
    assert info.max_positions == config["max_positions"] and info.joint_size == config["fusion"]["hidden"]
    assert len(model.fingerprint) == 16 and int(model.fingerprint, 16) == info.fingerprint
    assert model.path == str(model_pack) or model.path == model_pack


def test_models_that_are_none(tmp_path, model_pack):
    assert "absent.cwm" in refusal(binding.STATUS_IO, binding.Model, tmp_path / "absent.cwm")
    (tmp_path / "bad.cwm").write_bytes(b"not a model" * 100)
    refusal(binding.STATUS_FORMAT, binding.Model, tmp_path / "bad.cwm")
    refusal(binding.STATUS_ARGUMENT, binding.Model, "a\0b")
    sound = model_pack.read_bytes()
    for at in (20, 100, 400):  # header, section table, configuration text
        (tmp_path / "flipped.cwm").write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1:])
        refusal(binding.STATUS_CHECKSUM, binding.Model, tmp_path / "flipped.cwm")
    at = len(sound) // 2  # numbers of a tensor, which opening does not read
    (tmp_path / "flipped.cwm").write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1:])
    with binding.Model(tmp_path / "flipped.cwm") as model:
        assert "flipped.cwm" in refusal(binding.STATUS_CHECKSUM, model.verify)
    with binding.Model(model_pack) as model:
        model.verify()


@given(st.binary(max_size=300))
def test_tokenizer_keeps_any_bytes(text):
    with binding.Model(MODEL_PATH[0]) as model:
        ids = model.tokenizer.encode(text)
        assert model.tokenizer.decode(ids) == text
        assert model.tokenizer.encode_array(text).tolist() == ids
        assert not set(ids) & set(range(len(SPECIAL_TOKENS)))


MODEL_PATH: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def _model_path(model_pack):
    MODEL_PATH[:] = [model_pack]


def test_tokenizer_special_tokens(model):
    tokenizer = model.tokenizer
    assert [tokenizer.special(name) for name in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))
    assert tokenizer.special("<NONE>") == -1 and tokenizer.special("") == -1
    ids = [tokenizer.special("<EDIT>"), *tokenizer.encode(b"<EDIT>")]
    assert tokenizer.decode(ids) == b"<EDIT>" and tokenizer.decode(ids, with_special=True) == b"<EDIT><EDIT>"
    assert tokenizer.decode([]) == b""
    for wrong in ([-1], [tokenizer.size], [1 << 40], ["x"], [1.5], [None]):
        refusal(binding.STATUS_ARGUMENT, tokenizer.decode, wrong)


# ---- Lifetimes --------------------------------------------------------------------------------------------------------------


def test_closed_handles_are_refused(model_pack):
    model = binding.Model(model_pack)
    session, drawer, tokenizer = fed(model), sampler(model), model.tokenizer
    with session:
        pass
    session.close()
    for call in (session.logits, session.__enter__, lambda: session.length, lambda: session.feed([300]), lambda: session.trace(None)):
        assert "after close" in refusal(binding.STATUS_ARGUMENT, call)
    drawer.close()
    refusal(binding.STATUS_ARGUMENT, drawer.accept, [1])
    other = fed(model)
    model.close()
    for call in (tokenizer.encode, tokenizer.decode):
        assert "after close" in refusal(binding.STATUS_ARGUMENT, call, b"")
    # A session of a closed model reads freed memory in C; here it is refused, and closing it is still safe.
    refusal(binding.STATUS_ARGUMENT, other.logits)
    other.close()


def test_parts_keep_their_whole_alive(model_pack):
    model = binding.Model(model_pack)
    alive = weakref.ref(model)
    session, tokenizer = fed(model), model.tokenizer
    before = logits(session)
    del model
    gc.collect()
    assert alive() is not None and logits(session) == before and tokenizer.decode(tokenizer.encode(b"abc")) == b"abc"
    del session, tokenizer
    gc.collect()
    assert alive() is None


def test_failed_constructors_leave_nothing_behind(model):
    refusal(binding.STATUS_ARGUMENT, binding.Session, model, 0)
    refusal(binding.STATUS_ARGUMENT, binding.Session, model, model.info.max_positions + 1)
    refusal(binding.STATUS_ARGUMENT, binding.Session, model, 1 << 40)
    refusal(binding.STATUS_ARGUMENT, binding.Session, model, 10, -1)
    refusal(binding.STATUS_ARGUMENT, binding.Session, model, 10, 0, 1000)
    refusal(binding.STATUS_ARGUMENT, binding.Sampler, 0, 10)
    refusal(binding.STATUS_ARGUMENT, binding.Sampler, 1 << 40, 10)
    for options in ({"temperature": -1}, {"top_p": 0}, {"min_p": 1}, {"seed": -1}, {"top_k": -1}, {"temperature": float("nan")}):
        with pytest.raises(CromwellError):
            sampler(model, **options)
    gc.collect()


# ---- Sessions ---------------------------------------------------------------------------------------------------------------


def test_feeding_in_pieces_rewinding_and_threads_change_nothing(model):
    whole = fed(model)
    want = logits(whole)
    assert len(want) == 4 * model.info.vocab_size and whole.length == len(IDS)
    pieces = binding.Session(model, 256, threads=1)
    for start, end in ((0, 1), (1, 64), (64, 65), (65, 150)):
        pieces.feed(IDS[start:end])
    assert logits(pieces) == want
    pieces.feed(IDS[:40])
    pieces.rewind(100)
    pieces.feed(array.array("i", IDS[100:]))
    assert logits(pieces) == want and logits(fed(model, threads=3)) == want


def test_wrong_use_of_sessions(model):
    session = binding.Session(model, 8)
    refusal(binding.STATUS_ARGUMENT, session.logits)
    refusal(binding.STATUS_CAPACITY, session.feed, IDS[:9])
    assert session.length == 0
    for ids in ([-1], [model.info.vocab_size], [1 << 33], ["x"]):
        refusal(binding.STATUS_ARGUMENT, session.feed, ids)
    session.feed(IDS[:4])
    refusal(binding.STATUS_ARGUMENT, session.rewind, 5)
    refusal(binding.STATUS_ARGUMENT, session.rewind, -1)
    for first, count in ((0, 5), (4, 1), (-1, 1), (0, -1), (1 << 40, 1), (0, 1 << 40)):
        refusal(binding.STATUS_ARGUMENT, session.joint, first, count)
    assert session.joint(0, 0) == b""
    for index in (0, -1, 1 << 25, HUGE, 1 << 40):
        refusal(binding.STATUS_ARGUMENT, session.block, index)
    for count in (0, -1, 5, 65, HUGE, 1 << 40):
        refusal(binding.STATUS_ARGUMENT, session.logits_rows, count)
    refusal(binding.STATUS_ARGUMENT, session.feed_image, b"short", 1, 1)
    refusal(binding.STATUS_ARGUMENT, session.feed_image, b"", 0, 0)


def test_blocks_are_attached_exactly(model):
    source = fed(model)
    blocks = [source.block(0), source.block(1)]
    assert all(len(block) == source.block_bytes == model.info.block_bytes and block.readonly for block in blocks)
    assert source.block_tokens == 64 and bytes(blocks[0]) != bytes(blocks[1])
    target = binding.Session(model, 256)
    target.attach(IDS[:64], blocks[0])
    target.attach(array.array("i", IDS[64:128]), aligned(blocks[1]))
    assert target.joint(0, 128) == source.joint(0, 128) and logits(target) == logits(fed(model, IDS[:128]))
    target.feed(IDS[128:])
    assert logits(target) == logits(source) and target.joint(0, 150) == source.joint(0, 150)
    assert [bytes(target.block(i)) for i in range(2)] == [bytes(block) for block in blocks]
    assert len(source.joint(3, 5)) == 4 * 5 * model.info.joint_size
    assert source.joint(3, 5) == source.joint(0, 10)[4 * 3 * model.info.joint_size:4 * 8 * model.info.joint_size]


def test_blocks_that_are_none(model):
    """Each is refused, and the session stays as it was."""
    source, target, small = fed(model), binding.Session(model, 256), binding.Session(model, 63)
    first, second = (aligned(source.block(i)) for i in range(2))
    argument, form = binding.STATUS_ARGUMENT, binding.STATUS_FORMAT
    cases = [(argument, IDS[:63], first), (argument, IDS[:65], first), (argument, [], first), (argument, [-1, *IDS[1:64]], first),
             (argument, [1 << 40, *IDS[1:64]], first), (argument, [model.info.vocab_size, *IDS[1:64]], first),
             (argument, IDS[:64], first[:-64]), (argument, IDS[:64], b""), (argument, IDS[:64], aligned(bytes(first) + bytes(64))),
             (argument, IDS[:64], off_by(first, 1)), (argument, IDS[:64], off_by(first, 32)),
             (form, [IDS[0] + 1, *IDS[1:64]], first), (form, IDS[64:128], second), (form, IDS[:64], second),
             (form, IDS[:64], aligned(bytes(len(first)))), (form, IDS[:64], aligned(b"\xff" * len(first)))]  # fmt: skip
    for status, ids, block in cases:
        refusal(status, target.attach, ids, block)
        assert target.length == 0
    for at in range(8 + 4 + 4 + 4 * 64):  # every byte of what says whose block it is
        damaged = bytearray(first)
        damaged[at] ^= 1
        refusal(form, target.attach, IDS[:64], aligned(damaged))
    refusal(form, binding.Session(model, 256, guidance=False).attach, IDS[:64], first)
    refusal(binding.STATUS_CAPACITY, small.attach, IDS[:64], first)
    target.feed(IDS[:1])
    refusal(argument, target.attach, IDS[64:128], second)
    target.rewind(0)
    target.attach(IDS[:64], first)
    assert logits(target) == logits(fed(model, IDS[:64]))


def test_blocks_of_another_model_are_none(model, other_pack):
    ids = IDS[:64]
    with binding.Model(other_pack) as other, binding.Session(other, 64) as source, binding.Session(model, 64) as target:
        source.feed(ids)
        status = binding.STATUS_FORMAT if source.block_bytes == target.block_bytes else binding.STATUS_ARGUMENT
        refusal(status, target.attach, ids, source.block(0))
        same_size = bytes(source.block(0)) + bytes(target.block_bytes)
        refusal(binding.STATUS_FORMAT, target.attach, ids, aligned(same_size[:target.block_bytes]))
        for call in (target.share, lambda session, _count: binding.feed_each([target, session], [300, 300])):
            refusal(binding.STATUS_ARGUMENT, call, source, 64)
        target.feed(ids)
        refusal(binding.STATUS_ARGUMENT, binding.logits_each, [target, source])


def test_sessions_take_from_one_another(model):
    source = fed(model, IDS[:100])
    for count in (101, -1, HUGE, 1 << 40):
        refusal(binding.STATUS_ARGUMENT, binding.Session(model, 256).share, source, count)
    refusal(binding.STATUS_ARGUMENT, source.share, source, 10)
    refusal(binding.STATUS_ARGUMENT, fed(model, IDS[:1]).share, source, 10)
    refusal(binding.STATUS_ARGUMENT, binding.Session(model, 256, guidance=False).share, source, 10)
    refusal(binding.STATUS_CAPACITY, binding.Session(model, 99).share, source, 100)
    target = binding.Session(model, 256)
    target.share(source, 0)
    target.share(source, 90)  # still empty, so it may
    target.feed(IDS[90:])
    assert logits(target) == logits(fed(model)) and logits(source) == logits(fed(model, IDS[:100]))


def test_several_sessions_in_one_call(model):
    sessions = [fed(model, IDS[:count]) for count in (5, 64, 100)]
    alone = [fed(model, [*IDS[:count], 310]) for count in (5, 64, 100)]
    binding.feed_each(sessions, array.array("i", [310] * 3))
    together = binding.logits_each(sessions)
    assert together.format == "f" and len(together) == 3 * model.info.vocab_size
    assert bytes(together) == b"".join(logits(session) for session in alone)
    rows = sessions[1].logits_rows(2)
    assert rows.format == "f" and bytes(rows) == logits(fed(model, IDS[:64])) + logits(alone[1])
    refusal(binding.STATUS_ARGUMENT, binding.feed_each, sessions[:2], [310])
    refusal(binding.STATUS_ARGUMENT, binding.feed_each, [sessions[0]] * 2, [310] * 2)
    refusal(binding.STATUS_ARGUMENT, binding.feed_each, sessions * 22, [310] * 66)
    refusal(binding.STATUS_ARGUMENT, binding.feed_each, sessions, [310, 310, model.info.vocab_size])
    refusal(binding.STATUS_ARGUMENT, binding.logits_each, [])
    refusal(binding.STATUS_ARGUMENT, binding.logits_each, sessions * 22)
    refusal(binding.STATUS_ARGUMENT, binding.logits_each, [*sessions, binding.Session(model, 8)])
    binding.feed_each([], [])
    sessions[2].close()
    assert "after close" in refusal(binding.STATUS_ARGUMENT, binding.feed_each, sessions, [310] * 3)
    assert "after close" in refusal(binding.STATUS_ARGUMENT, binding.logits_each, sessions)
    assert [session.length for session in sessions[:2]] == [6, 65]


def test_what_a_session_uses_stays(model):
    """A block and a session that another one uses live as long as that; closed by hand, they end its use instead of the process."""
    source = fed(model)
    want, block, alive = logits(source), source.block(0), weakref.ref(source)
    del source
    gc.collect()
    assert alive() is not None, "the view of its block keeps it"
    target = binding.Session(model, 256)
    target.attach(IDS[:64], block)
    del block
    gc.collect()
    target.feed(IDS[64:])
    assert alive() is not None and logits(target) == want
    sharing = binding.Session(model, 256)
    sharing.share(target, 150)
    middle = weakref.ref(target)
    del target
    gc.collect()
    assert middle() is not None and alive() is not None and logits(sharing) == want
    middle().close()
    for call in (sharing.logits, lambda: sharing.feed([300]), lambda: binding.feed_each([sharing], [300]), lambda: sharing.block(0)):
        assert "after close" in refusal(binding.STATUS_ARGUMENT, call)
    sharing.close()
    sharing = call = None
    gc.collect()
    assert middle() is None and alive() is None


def test_a_mapped_block_outlives_its_file(model, tmp_path):
    """The cache may drop or replace an entry that a session uses in place."""
    cache = Cache(str(tmp_path))
    feed_prompt(binding.Session(model, 256), IDS, [], cache, model.fingerprint)
    session = binding.Session(model, 256)
    assert feed_prompt(session, IDS, [], cache, model.fingerprint) == PrefixUse(128, 0)
    for path in tmp_path.rglob("*"):
        if len(path.name) == 64:
            path.unlink()
    gc.collect()
    session.rewind(130)
    session.feed(IDS[130:])
    assert logits(session) == logits(fed(model))


@pytest.mark.parametrize("picture", [False, True])
def test_prefix_states_hot_and_cold(model, tmp_path, picture):
    """The same bytes with the cache cold, hot, damaged and absent."""
    pixels = Pixels(bytes(range(256)) * 768, 1, 1)
    ids = IDS + ([IMAGE] if picture else []) + IDS[:40]
    found = []
    kept = Cache(str(tmp_path))
    for cache, use in ((Cache(None), PrefixUse(0, 0)), (kept, PrefixUse(0, 128)), (kept, PrefixUse(128, 0))):
        with binding.Session(model, 256, max_tiles=1) as session:
            assert feed_prompt(session, ids, [pixels] if picture else [], cache, model.fingerprint) == use
            found.append((logits(session), session.joint(0, len(ids)), bytes(session.block(0)), bytes(session.block(1))))
    assert found[0] == found[1] == found[2]
    with binding.Session(model, 256, max_tiles=1, guidance=False) as session:
        assert feed_prompt(session, ids, [pixels] if picture else [], Cache(str(tmp_path)), model.fingerprint).restored_tokens == 0


# ---- Callbacks --------------------------------------------------------------------------------------------------------------


class Stop(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


def test_trace_reports_and_raises(model):
    session, seen = binding.Session(model, 256), []
    session.trace(lambda name, layer, values, rows, cols: seen.append((name, layer, len(values) == rows * cols, values.format)))
    session.feed(IDS[:3])
    names = {name for name, _layer, _size, _format in seen}
    assert len(names) > 5 and all(size and form == "f" for _name, _layer, size, form in seen)
    count = len(seen)
    session.trace(None)
    session.feed(IDS[3:5])
    assert len(seen) == count

    def fail(*_arguments):
        raise Stop

    session.trace(fail)
    for call in (lambda: session.feed(IDS[5:7]), session.logits, lambda: binding.feed_each([session], [300]),
                 lambda: binding.logits_each([session])):  # fmt: skip
        with pytest.raises(Stop):
            call()
    session.trace(None)
    session.rewind(5)
    session.feed(IDS[5:])
    assert logits(session) == logits(fed(model))


def test_generate_reports_and_raises(model):
    session, seen = fed(model), []
    result = binding.generate(session, sampler(model), [], [], 12, seen.append)
    assert result.ids == seen and len(seen) == 12 and result.reason == "length"
    assert result.text_size == len(model.tokenizer.decode(result.ids)) and result.log_probability < 0
    assert binding.generate(fed(model), sampler(model), [], [], 12) == result
    assert binding.generate(fed(model), sampler(model), [result.ids[0]], [], 12).reason == "token"
    assert binding.generate(fed(model), sampler(model), [], [], 0).ids == []
    stopped = binding.generate(fed(model), sampler(model), [], [], 12, lambda token: len(seen.append(token) or seen) >= 15)
    assert stopped.reason == "caller" and len(stopped.ids) == 3

    def fail(_token):
        raise Stop

    session = fed(model)
    with pytest.raises(Stop):
        binding.generate(session, sampler(model), [], [], 12, fail)
    with pytest.raises(KeyboardInterrupt):
        binding.generate(fed(model), sampler(model), [], [], 12, lambda token: (_ for _ in ()).throw(KeyboardInterrupt))


def test_stop_strings(model):
    plain = binding.generate(fed(model), sampler(model), [], [], 12)
    text = model.tokenizer.decode(plain.ids)
    result = binding.generate(fed(model), sampler(model), [], [text[3:6]], 12)
    assert result.reason == "string" and result.text_size == text.index(text[3:6])


def test_generate_wants_matching_parts(model):
    session = fed(model)
    with binding.Sampler(model.info.vocab_size + 1, 256) as other:
        refusal(binding.STATUS_ARGUMENT, binding.generate, session, other, [], [], 5)
    refusal(binding.STATUS_ARGUMENT, binding.generate, session, sampler(model), [], [], -1)
    refusal(binding.STATUS_ARGUMENT, sampler(model).next, bytes(4))


def test_sampler(model):
    values = struct.pack("<4f", 0.0, 3.0, 1.0, 2.0)
    with binding.Sampler(4, 8) as greedy:
        token, log_probability = greedy.next(values)
        assert token == 1 and -1 < log_probability < 0
        assert greedy.next(memoryview(values)) == greedy.next(array.array("f", [0, 3, 1, 2])) == (token, log_probability)
    with binding.Sampler(4, 8, repetition_penalty=10.0) as shy:
        shy.accept([1])
        assert shy.next(values)[0] == 3
    with binding.Sampler(4, 8, temperature=1.0, seed=3) as one, binding.Sampler(4, 8, temperature=1.0, seed=3) as other:
        assert [one.next(values) for _ in range(20)] == [other.next(values) for _ in range(20)]


# ---- Pictures and differences -----------------------------------------------------------------------------------------------


def test_pictures():
    assert binding.image_layout(256, 256, 16) == (1, 1, 256, 256)
    rows, cols, width, height = binding.image_layout(300, 200, 16)
    assert (rows, cols, width, height) == (1, 2, 300, 200)
    tiles = binding.image_tiles(bytes(300 * 200 * 3), 300, 200, rows, cols, width, height)
    assert len(tiles) == 2 * binding.TILE_BYTES
    assert tiles[:256 * 3] == bytes(256 * 3) and tiles[-1] == 255
    refusal(binding.STATUS_ARGUMENT, binding.image_layout, 0, 5, 4)
    refusal(binding.STATUS_ARGUMENT, binding.image_layout, -5, 5, 4)
    refusal(binding.STATUS_ARGUMENT, binding.image_tiles, bytes(10), 300, 200, rows, cols, width, height)
    refusal(binding.STATUS_ARGUMENT, binding.image_tiles, bytes(300 * 200 * 3), 300, 200, 1 << 16, 1 << 16, width, height)


def test_diff_lines():
    assert binding.diff_lines(b"a\nb\nc\n", b"a\nB\nc\nd") == [(1, 1, 1, 1), (3, 0, 3, 1)]
    assert binding.diff_lines(b"", b"") == [] and binding.diff_lines(b"", b"x") == [(0, 0, 0, 1)]


def test_import_needs_nothing_heavy():
    code = "import cromwell.binding, sys; assert not {'numpy', 'torch', 'PIL', 'click', 'cffi', 'json'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
