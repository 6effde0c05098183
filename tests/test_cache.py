"""The cache on disk: what is kept comes back unchanged, damage is a miss, the size is bounded, writers do not get in each other's way."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cromwell.binding import checksum64
from cromwell.binding._native import ffi
from cromwell.contract import cache as module
from cromwell.contract import settings
from cromwell.contract.cache import HEADER_BYTES, Cache, content_key


def key(number: int) -> str:
    return content_key("test", number)


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and len(path.name) == 64]


def found(cache: Cache, number: int, space: str = "test") -> bytes | None:
    data = cache.get(space, key(number))
    return None if data is None else bytes(data)


def test_what_is_kept_comes_back(tmp_path):
    cache = Cache(str(tmp_path))
    assert found(cache, 0) is None
    for number, data in enumerate([b"", b"x", bytes(range(256)) * 4096]):
        cache.put("test", key(number), data)
        assert found(cache, number) == found(Cache(str(tmp_path)), number) == data
    cache.put("test", key(1), b"new")
    assert found(cache, 1) == b"new"
    assert found(cache, 1, "other") is None
    assert not list(tmp_path.rglob("*.tmp"))
    with pytest.raises(TypeError):
        cache.get("test", key(1))[0] = 1


def test_no_folder_keeps_nothing(tmp_path):
    cache = Cache(None)
    cache.put("test", key(0), b"x")
    assert found(cache, 0) is None


def test_every_damaged_byte_is_a_miss_and_replaced(tmp_path):
    cache = Cache(str(tmp_path))
    cache.put("test", key(0), b"some data")
    path = entries(tmp_path)[0]
    sound = path.read_bytes()
    for place in range(len(sound)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0x10]) + sound[place + 1:])
        assert found(cache, 0) is None and not path.exists()
        cache.put("test", key(0), b"some data")
        assert found(cache, 0) == b"some data"
    for size in range(len(sound)):
        path.write_bytes(sound[:size])
        assert found(cache, 0) is None
    path.write_bytes(sound + b"\0")
    assert found(cache, 0) is None


def test_an_entry_is_a_header_and_the_data(tmp_path):
    """Magic, size, checksum of the data, key, and a checksum over these; the data begin where a kernel may read them."""
    data = bytes(range(200))
    Cache(str(tmp_path)).put("test", key(0), data)
    head = b"cwcache2" + struct.pack("<QQ", len(data), checksum64(data)) + bytes.fromhex(key(0))
    assert entries(tmp_path)[0].read_bytes() == head + struct.pack("<Q", checksum64(head)) + data
    mapped = Cache(str(tmp_path)).get("test", key(0))
    assert int(ffi.cast("uintptr_t", ffi.from_buffer(mapped))) % 64 == 0


def test_every_part_of_the_header_counts(tmp_path):
    """Also under a checksum of the header that fits."""
    cache, data = Cache(str(tmp_path)), b"some data"
    cache.put("test", key(0), data)
    path = entries(tmp_path)[0]
    sound = path.read_bytes()[:HEADER_BYTES - 8]
    parts = {"magic": b"cwcache1" + sound[8:], "size": sound[:8] + struct.pack("<Q", len(data) + 1) + sound[16:],
             "no size": sound[:8] + bytes(8) + sound[16:], "checksum": sound[:16] + struct.pack("<Q", checksum64(b"other")) + sound[24:],
             "key": sound[:24] + bytes.fromhex(key(1))}
    for part, head in {"sound": sound, **parts}.items():
        assert len(head) == HEADER_BYTES - 8
        path.write_bytes(head + struct.pack("<Q", checksum64(head)) + data)
        assert (found(cache, 0) == data) == (part == "sound"), part
        assert path.exists() == (part == "sound"), part


def test_an_entry_under_another_name_is_a_miss(tmp_path):
    cache = Cache(str(tmp_path))
    cache.put("test", key(0), b"data")
    other = Path(cache._path("test", key(1)))
    other.parent.mkdir(exist_ok=True)
    entries(tmp_path)[0].rename(other)
    assert found(cache, 1) is None


def test_odd_files_in_the_place_of_entries(tmp_path):
    cache = Cache(str(tmp_path))
    path = Path(cache._path("test", key(0)))
    path.mkdir(parents=True)
    assert found(cache, 0) is None
    cache.put("test", key(0), b"data")  # cannot replace a folder: a note, no failure
    assert Cache(str(tmp_path)).get("test", key(0)) is None
    link = Path(cache._path("test", key(1))) if cache.root else Path(Cache(str(tmp_path))._path("test", key(1)))
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("/etc/passwd")
    cache = Cache(str(tmp_path))
    assert found(cache, 1) is None
    cache.put("test", key(1), b"data")
    assert found(cache, 1) == b"data" and not link.is_symlink()


@pytest.mark.parametrize("name", ["", "short", "../" + "a" * 61, "a" * 63 + "/", "A" * 65])
def test_keys_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="no cache key"):
        Cache(str(tmp_path)).put("test", name, b"")
    with pytest.raises(ValueError, match="no cache key"):
        Cache(str(tmp_path)).get("../test", key(0))


def test_size_is_bounded_and_the_oldest_go(tmp_path):
    size = 1 << 20
    cache = Cache(str(tmp_path), size)
    for number in range(120):
        cache.put("test", key(number), bytes(30000))
        time.sleep(0.001)
        assert found(cache, 0) == bytes(30000)  # touched all the time, so never the oldest
        held = sum(path.stat().st_size for path in entries(tmp_path))
        assert held <= size
    assert held > size // 2
    assert found(cache, 1) is None and found(cache, 119) is not None


def test_many_small_entries_are_bounded_too(tmp_path):
    cache = Cache(str(tmp_path), 1 << 16)
    for number in range(1500):
        cache.put("test", key(number), b"tiny")
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= 1 << 16


def test_what_is_too_large_is_not_kept(tmp_path):
    cache = Cache(str(tmp_path), 1 << 16)
    cache.put("test", key(0), bytes(1 << 16))
    assert found(cache, 0) is None and not entries(tmp_path)


def test_leftovers_of_dead_writers_go(tmp_path):
    cache = Cache(str(tmp_path))
    cache.put("test", key(0), b"x")
    folder = entries(tmp_path)[0].parent
    old, young = folder / f"{key(1)}.1.aa.tmp", folder / f"{key(2)}.1.aa.tmp"
    old.write_bytes(b""), young.write_bytes(b"")
    os.utime(old, (1, 1))
    keep = tmp_path / module.LAYOUT / "test" / "notes.txt"
    keep.write_text("not ours")
    cache.evict()
    assert not old.exists() and young.exists() and keep.exists() and found(cache, 0) == b"x"


def test_a_mapped_entry_survives_eviction(tmp_path):
    cache = Cache(str(tmp_path), 1 << 20)
    cache.put("test", key(0), b"kept" * 1000)
    data = cache.get("test", key(0))
    for path in entries(tmp_path):
        path.unlink()
    assert bytes(data) == b"kept" * 1000


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    for folder in (blocked, Path("/proc/nothing"), Path("/dev/null/x")):
        cache = Cache(str(folder))
        cache.put("test", key(0), b"x")
        assert found(cache, 0) is None
    assert capsys.readouterr().err == ""
    from cromwell.contract import words

    words.set_verbosity(1)
    try:
        cache = Cache(str(blocked))
        cache.put("test", key(0), b"x")
        cache.put("test", key(1), b"x")
    finally:
        words.set_verbosity(0)
    assert capsys.readouterr().err.count("\n") == 1


WRITER = """
import random, sys
from cromwell.contract.cache import Cache, content_key
folder, seed = sys.argv[1], int(sys.argv[2])
cache, rng = Cache(folder, 1 << 20), random.Random(seed)
hits = 0
for _ in range(400):
    number = rng.randrange(60)
    expected = random.Random(number).randbytes(20000 + number)
    data = cache.get("test", content_key(number))
    if data is None:
        cache.put("test", content_key(number), expected)
    else:
        hits += 1
        assert data == expected
assert cache.root is not None and hits > 0
"""


def test_many_writers(tmp_path):
    """Six processes read, write and evict the same entries; every hit is right and nobody fails."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(seed)], stderr=subprocess.PIPE) for seed in range(6)]
    for writer in writers:
        _out, err = writer.communicate(timeout=120)
        assert writer.returncode == 0, err.decode()
    assert not list(tmp_path.rglob("*.tmp"))
    Cache(str(tmp_path), 1 << 20).evict()
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= 1 << 20


def test_settings_decide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROMWELL_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("CROMWELL_CACHE_SIZE", "1M")
    cache = Cache.of(settings.load({}))
    assert cache.root == str(tmp_path / "here" / "v1") and cache.size_bytes == 1 << 20
    assert Cache.of(settings.load({"cache": False})).root is None


PART = st.none() | st.binary(max_size=6) | st.text(max_size=6) | st.integers() | st.floats(allow_nan=False)


@given(st.lists(PART, max_size=5), st.lists(PART, max_size=5))
def test_content_keys_tell_parts_apart(one, other):
    same = [(type(part), repr(part)) for part in one] == [(type(part), repr(part)) for part in other]
    assert (content_key(*one) == content_key(*other)) == same


def test_content_keys_are_what_they_were():
    assert content_key("a", b"b", 1, 1.5, None) == "dc1bfe3f14c30d1ae047ebf2848cdc3e3d909256e88a8a4b938056befb33406f"
    assert content_key("ab") != content_key("a", "b") and content_key("1") != content_key(1) != content_key(1.0)
    with pytest.raises(TypeError):
        content_key(["list"])
    with pytest.raises(TypeError):
        content_key(True)
