"""Prefix states: a prompt fed through the cache leaves the session as feeding it plainly does, hot or cold."""

from __future__ import annotations

from array import array
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell.binding._native import ffi
from cromwell.contract.cache import HEADER_BYTES, Cache
from cromwell.contract.prefix import BLOCK_TOKENS, IMAGE_ID, Pixels, PrefixUse, feed_prompt


class FakeSession:
    """Stands for a causal model: the state of a token is a hash over everything up to it. Refuses what the engine refuses."""

    block_bytes = 64 + 32 * BLOCK_TOKENS  # a hash of what the engine's header holds, then the states

    def __init__(self, guidance: bool = True, model: str = "m"):
        self.guidance, self.chain = guidance, f"{model} {guidance}".encode()
        self.states: list[bytes] = []
        self.ids: list[int] = []
        self.pending, self.first_image, self.fed = b"", None, 0
        self.attached: list[memoryview] = []

    @property
    def length(self) -> int:
        return len(self.states)

    def feed(self, ids):
        assert len(ids) > 0
        for token in ids:
            if token == IMAGE_ID:
                assert self.pending, "an <IMAGE> token without its picture"
                self.first_image = self.length if self.first_image is None else self.first_image
            before = self.states[-1] if self.states else self.chain
            self.states.append(blake2b(before + token.to_bytes(4, "little") + self.pending, digest_size=32).digest())
            self.ids.append(token)
            self.pending = b""
            self.fed += 1

    def feed_image(self, tiles, rows, cols):
        assert not self.pending
        self.pending = tiles + bytes([rows, cols])

    def _header(self, index, ids):
        return blake2b(self.chain + bytes(array("i", [index, *ids]))).digest()

    def block(self, index):
        first, end = index * BLOCK_TOKENS, (index + 1) * BLOCK_TOKENS
        assert 0 <= first and end <= self.length and (self.first_image is None or end <= self.first_image)
        return memoryview(self._header(index, self.ids[first:end]) + b"".join(self.states[first:end]))

    def attach(self, ids, block):
        assert len(ids) == BLOCK_TOKENS and self.length % BLOCK_TOKENS == 0 and self.first_image is None and not self.pending
        assert len(block) == self.block_bytes and block.readonly
        assert int(ffi.cast("uintptr_t", ffi.from_buffer(block))) % 64 == 0, "used in place, so it must be aligned"
        assert bytes(block[:64]) == self._header(self.length // BLOCK_TOKENS, ids), "a block of other tokens or of another place"
        self.attached.append(block)
        self.states += [bytes(block[at : at + 32]) for at in range(64, len(block), 32)]
        self.ids += ids


def fed(ids, cache, images=(), guidance=True, model="m"):
    session = FakeSession(guidance, model)
    use = feed_prompt(session, ids, images, cache, model)
    plain = FakeSession(guidance, model)
    rest = list(images)
    for token in ids:
        if token == IMAGE_ID:
            plain.feed_image(*rest.pop(0))
        plain.feed([token])
    assert session.states == plain.states
    assert session.fed == len(ids) - use.restored_tokens >= 1
    assert len(session.attached) * BLOCK_TOKENS == use.restored_tokens
    return use


def prompt(size: int, seed: int = 0) -> list[int]:
    return [100 + (i * 7919 + seed) % 1000 for i in range(size)]


def test_second_run_restores_what_the_first_stored(tmp_path):
    cache = Cache(str(tmp_path))
    assert fed(prompt(300), cache) == PrefixUse(0, 256)
    assert fed(prompt(300), cache) == PrefixUse(256, 0)
    assert fed(prompt(300), Cache(None)) == PrefixUse(0, 0)
    assert fed(prompt(300)[:130] + prompt(200, 1), cache) == PrefixUse(128, 192)


@pytest.mark.parametrize(("size", "kept"), [(1, 0), (63, 0), (64, 0), (65, 64), (128, 64), (129, 128)])
def test_the_last_token_is_always_fed(tmp_path, size, kept):
    cache = Cache(str(tmp_path))
    assert fed(prompt(size), cache).stored_tokens == kept
    assert fed(prompt(size), cache).restored_tokens == kept


def test_nothing_is_kept_from_the_first_picture_on(tmp_path):
    cache, pictures = Cache(str(tmp_path)), [Pixels(b"one", 1, 1), Pixels(b"two", 1, 2)]
    ids = prompt(200) + [IMAGE_ID] + prompt(100) + [IMAGE_ID] + prompt(70)
    assert fed(ids, cache, pictures) == PrefixUse(0, 192)
    assert fed(ids, cache, pictures) == PrefixUse(192, 0)
    assert fed([IMAGE_ID, *prompt(300)], cache, pictures[:1]) == PrefixUse(0, 0)
    assert fed([IMAGE_ID], cache, pictures[:1]) == PrefixUse(0, 0)


def test_model_and_guidance_do_not_share_states(tmp_path):
    cache = Cache(str(tmp_path))
    fed(prompt(100), cache)
    assert fed(prompt(100), cache, guidance=False).restored_tokens == 0
    assert fed(prompt(100), cache, model="other").restored_tokens == 0


def test_a_damaged_block_ends_the_restored_part_and_is_replaced(tmp_path):
    cache = Cache(str(tmp_path))
    fed(prompt(400), cache)
    session = FakeSession()
    session.feed(prompt(400))
    second = next(path for path in tmp_path.rglob("*") if len(path.name) == 64 and path.read_bytes()[HEADER_BYTES:] == session.block(1))
    data = bytearray(second.read_bytes())
    data[100] ^= 1
    second.write_bytes(data)
    assert fed(prompt(400), cache) == PrefixUse(64, 320)
    assert fed(prompt(400), cache) == PrefixUse(384, 0)


def test_states_of_another_size_are_not_restored(tmp_path, monkeypatch):
    cache = Cache(str(tmp_path))
    fed(prompt(100), cache)
    keep = cache.get
    monkeypatch.setattr(cache, "get", lambda space, key: keep(space, key)[:-1])
    assert fed(prompt(100), cache).restored_tokens == 0


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="pictures"):
        feed_prompt(FakeSession(), [1, 2], [Pixels(b"x", 1, 1)], Cache(None), "m")
    with pytest.raises(ValueError, match="pictures"):
        feed_prompt(FakeSession(), [1, IMAGE_ID], [], Cache(None), "m")
    session = FakeSession()
    session.feed([1])
    with pytest.raises(ValueError, match="fed before"):
        feed_prompt(session, array("i", [1, 2]), [], Cache(None), "m")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300), st.booleans()), min_size=1, max_size=5))
def test_any_order_of_prompts(tmp_path_factory, prompts):
    """Prompts that share prefixes, with and without a picture, in any order through one cache."""
    cache = Cache(str(tmp_path_factory.mktemp("cache")))
    for shared, own, picture in prompts:
        ids = prompt(shared) + ([IMAGE_ID] if picture else []) + prompt(own, shared + own)
        fed(ids, cache, [Pixels(b"p", 1, 1)] if picture else [])
