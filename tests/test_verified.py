"""Packs are verified once: what the cache remembers, and when it must not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cromwell import binding
from cromwell.contract import engine
from cromwell.contract.cache import Cache
from cromwell.contract.errors import CommandError


@pytest.fixture
def verified(monkeypatch) -> list[str]:
    """The paths of the models that were verified, in order."""
    paths: list[str] = []
    real = binding.Model.verify
    monkeypatch.setattr(binding.Model, "verify", lambda model: (paths.append(model.path), real(model))[1])
    return paths


@pytest.fixture
def settled(monkeypatch) -> None:
    """Files count as settled at once."""
    monkeypatch.setattr(engine, "_SETTLED_NS", -60_000_000_000)


def copy_of(pack: Path, folder: Path) -> Path:
    path = folder / "model.cwm"
    path.write_bytes(pack.read_bytes())
    return path


def damage(path: Path) -> None:
    """Changes a bit of the last tensor, and nothing that opening reads."""
    data = bytearray(path.read_bytes())
    data[-64] ^= 1
    path.write_bytes(data)


def test_a_sound_pack_is_verified_once(other_pack, tmp_path, verified, settled) -> None:
    path, cache = str(copy_of(other_pack, tmp_path)), Cache(str(tmp_path / "cache"))
    for _ in range(3):
        engine.open_model_file(path, cache).close()
    assert verified == [path]
    engine.open_model_file(path, Cache(str(tmp_path / "cache"))).close()  # another process
    assert verified == [path]


def test_without_a_cache_always(other_pack, tmp_path, verified, settled) -> None:
    for cache in (None, Cache(None), None):
        engine.open_model_file(str(other_pack), cache).close()
    assert len(verified) == 3


def test_a_changed_file_is_verified_again(other_pack, tmp_path, verified, settled) -> None:
    path, cache = copy_of(other_pack, tmp_path), Cache(str(tmp_path / "cache"))
    engine.open_model_file(str(path), cache).close()
    times = os.stat(path)
    damage(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the time of the change of state still tells
    with pytest.raises(CommandError, match=r"model\.cwm: tensor vision\.norm: differs from its checksum"):
        engine.open_model_file(str(path), cache)
    with pytest.raises(CommandError):  # a failure leaves no stamp
        engine.open_model_file(str(path), cache)


def test_a_replaced_file_is_verified_again(other_pack, tmp_path, verified, settled) -> None:
    path, cache = copy_of(other_pack, tmp_path), Cache(str(tmp_path / "cache"))
    engine.open_model_file(str(path), cache).close()
    (tmp_path / "new").mkdir()
    other = copy_of(other_pack, tmp_path / "new")
    damage(other)
    os.replace(other, path)
    with pytest.raises(CommandError):
        engine.open_model_file(str(path), cache)


def test_a_file_that_just_changed_is_not_remembered(other_pack, tmp_path, verified) -> None:
    path, cache = str(copy_of(other_pack, tmp_path)), Cache(str(tmp_path / "cache"))
    for _ in range(2):
        engine.open_model_file(path, cache).close()
    assert verified == [path, path]


def test_opening_alone_reads_no_tensor(other_pack, tmp_path) -> None:
    path = copy_of(other_pack, tmp_path)
    damage(path)
    with binding.Model(path) as model, pytest.raises(binding.CromwellError) as caught:
        model.verify()
    assert caught.value.status == binding.STATUS_CHECKSUM and "vision.norm" in caught.value.text


def test_tensors_of_a_pack(other_pack) -> None:
    with binding.Model(other_pack) as model:
        tensors, config = model.tensors, model.config
    assert len({tensor.name for tensor in tensors}) == len(tensors)
    first = tensors[0]
    assert (first.name, first.format, first.shape) == ("embed.weight", "q8", (config["vocab_size"], 64))
    panels = -(-config["vocab_size"] // 16)
    assert first.size_bytes == panels * 64 * 16 + panels * 16 * 2
    assert {tensor.format for tensor in tensors} == {"f32", "q8"}
