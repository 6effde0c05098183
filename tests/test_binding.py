"""The Python view of libcromwell: values across the border, lifetimes, callbacks, and the cache of prefix states on the real engine."""

from __future__ import annotations

import array
import gc
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
    assert binding.version() and binding.isa_name() in ("scalar", "avx2") and 1 <= binding.threads_default() <= 64
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
    data = bytearray(model_pack.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.cwm").write_bytes(data)
    refusal(binding.STATUS_CHECKSUM, binding.Model, tmp_path / "flipped.cwm")


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
        refusal(binding.STATUS_ARGUMENT, session.export, first, count)
    assert session.joint(0, 0) == session.export(0, 0) == b""
    refusal(binding.STATUS_ARGUMENT, session.feed_image, b"short", 1, 1)
    refusal(binding.STATUS_ARGUMENT, session.feed_image, b"", 0, 0)


def test_states_are_restored_exactly(model):
    source = fed(model)
    state = source.export(0, 100)
    assert len(state) == 100 * model.info.state_bytes_per_token
    target = binding.Session(model, 256)
    target.restore(IDS[:60], state[:60 * model.info.state_bytes_per_token])
    target.restore(IDS[60:100], memoryview(state)[60 * model.info.state_bytes_per_token:])
    target.feed(IDS[100:])
    assert logits(target) == logits(source) and target.export(0, 150) == source.export(0, 150)
    with pytest.raises(CromwellError):
        target.restore(IDS[:2], state[:7])
    assert target.length == 150
    assert len(source.joint(3, 5)) == 4 * 5 * model.info.joint_size
    assert source.joint(3, 5) == source.joint(0, 10)[4 * 3 * model.info.joint_size:4 * 8 * model.info.joint_size]


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
            found.append((logits(session), session.joint(0, len(ids)), session.export(0, 128)))
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
    with pytest.raises(Stop):
        session.feed(IDS[5:7])
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
