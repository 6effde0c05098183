"""The artifact container: what is written is read back, and nothing else is."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
from hashlib import blake2b

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell.contract import artifact, schema
from cromwell.contract.artifact import Array, Artifact, ArtifactError, bytes_array, lineage_entry, read, write

PLACE = {"start_line": 1, "end_line": 2, "start_byte": 0, "end_byte": 4}
STEP = lineage_entry("cw-test", {"n": 1}, {"a.py": "00"}, "0123456789abcdef", 7)


def diff(text: bytes = b"--- a\n+++ b\n") -> Artifact:
    return Artifact("diff", {"paths": ["a.py"]}, {"diff": bytes_array(text)}, [STEP])


def context(**changes: object) -> Artifact:
    meta = {"instruction": "do", "path": "a.py", "region": PLACE, "window": PLACE, "eol": "lf", "encoding": "utf-8", "mode": "0644",
            "excerpts": [], "model": "0123456789abcdef", "budget_tokens": 100, "prompt_tokens": 10}
    meta.update(changes)
    return Artifact("context", meta, {"target": bytes_array(b"a\nb\n")}, [STEP])


def encoding() -> Artifact:
    arrays = {"target": bytes_array(b"a\nb\n"), "tokens": Array("<i4", (3,), struct.pack("<3i", 1, -2, 3)),
              "pixels.0": Array("|u1", (2, 256, 256, 3), bytes(2 * 256 * 256 * 3)), "joint": Array("<f4", (3, 2), bytes(24))}
    return Artifact("encoding", {**context().meta, "tiles": [{"rows": 2, "cols": 1}]}, arrays, [STEP])


def edit(**changes: object) -> Artifact:
    candidate = {"accepted": True, "reason": None, "log_probability": -1.5, "tokens": 3, "stop": "token"}
    meta = {name: context().meta[name] for name in ("path", "region", "eol", "encoding", "mode", "instruction", "model")}
    meta.update({"candidates": [candidate, {**candidate, "accepted": False, "reason": "empty", "log_probability": -2}], "best": 0})
    meta.update(changes)
    arrays = {"target": bytes_array(b"a\nb\n"), "candidate.0": bytes_array(b"x\n"), "candidate.1": bytes_array(b"")}
    return Artifact("edit", meta, arrays, [STEP])


def receipt() -> Artifact:
    return Artifact("receipt", {"files": [{"path": "a.py", "old_blob": None, "new_blob": "00", "status": "created"}]}, {}, [STEP])


SAMPLES = [diff(), context(), encoding(), edit(), receipt()]


def written(item: Artifact) -> bytes:
    stream = io.BytesIO()
    write(item, stream)
    return stream.getvalue()


def refused(data: bytes, kinds: object = None) -> str:
    """The message for a stream that must be refused: one line, with a hint and exit code 2."""
    with pytest.raises(ArtifactError) as caught:
        read(io.BytesIO(data), "x.cwa", kinds)
    error = caught.value
    assert error.exit_code == 2 and error.hint
    assert error.where_and_what.startswith("x.cwa: ")
    assert "\n" not in error.where_and_what + error.hint and len(error.where_and_what) < 1000
    return error.where_and_what


def frame(content: bytes, **options: object) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_checksum=True, **options).compress(content)


def stream_of(header: object, *arrays: bytes) -> bytes:
    """A stream with right framing and digest around any header (bytes or a value) and array frames."""
    line = header if isinstance(header, bytes) else json.dumps(header, allow_nan=True).encode() + b"\n"
    frames = b"".join(frame(content) for content in (line, *arrays))
    return frames + artifact._end_frame(blake2b(frames, digest_size=32).hexdigest())


def header_of(item: Artifact) -> dict:
    return json.loads(artifact._header_line(item))


def frames_of(item: Artifact) -> list[bytes]:
    return [artifact._npy_header(array.dtype, array.shape) + array.data for array in item.arrays.values()]


# ---- Sound streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", SAMPLES, ids=lambda item: item.kind)
def test_round_trip(item):
    data = written(item)
    assert read(io.BytesIO(data), "x") == item
    assert written(read(io.BytesIO(data), "x")) == data
    assert artifact.is_artifact(data)
    assert read(io.BytesIO(data), "x", [item.kind]).kind == item.kind


def test_is_what_the_specification_says():
    """Frame by frame with the zstandard library alone, and a blake2b-256 over the bytes before the end frame."""
    data = written(edit())
    lines, rest = [], data
    while rest:
        decoder = zstandard.ZstdDecompressor().decompressobj()
        lines.append(decoder.decompress(rest))
        end, rest = rest, decoder.unused_data
    header = json.loads(lines[0])
    assert lines[0] == json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert (header["magic"], header["format"], header["kind"]) == ("cromwell-artifact", 1, "edit")
    assert [entry["name"] for entry in header["arrays"]] == ["target", "candidate.0", "candidate.1"]
    numpy = pytest.importorskip("numpy")
    assert numpy.load(io.BytesIO(lines[1]), allow_pickle=False).tobytes() == b"a\nb\n"
    assert json.loads(lines[-1]) == {"end": "cromwell-artifact", "blake2b": blake2b(data[:-len(end)], digest_size=32).hexdigest()}
    assert len(lines) == 5


def test_npy_agrees_with_numpy():
    numpy = pytest.importorskip("numpy")
    for dtype in artifact.ITEM_BYTES:
        for shape in [(0,), (7,), (2, 3), (), (1, 2, 3, 4), (2, 0, 5)]:
            values = numpy.arange(int(numpy.prod(shape))).astype(dtype).reshape(shape)
            saved = io.BytesIO()
            numpy.lib.format.write_array(saved, values, version=(1, 0))
            entry = {"dtype": dtype, "shape": list(shape), "bytes": values.nbytes}
            assert artifact._npy_data(saved.getvalue(), entry, "x") == values.tobytes()
            ours = artifact._npy_header(dtype, shape) + values.tobytes()
            loaded = numpy.load(io.BytesIO(ours), allow_pickle=False)
            assert loaded.dtype == values.dtype and (loaded == values).all() and loaded.shape == shape
            assert artifact._npy_header(dtype, shape).__len__() % 64 == 0


def test_reads_a_stream_of_an_earlier_build():
    """The format stays readable: a stream written when it was defined."""
    item = read(io.BytesIO(base64.b64decode(GOLDEN)), "golden")
    assert item.kind == "diff" and item.meta == {"paths": ["a.py"]} and item.arrays["diff"].data == b"--- a\n+++ b\n"


GOLDEN = (
    "KLUv/WQrAL0GALJOLCBQSawD8B0Kbvfl2vofsklvxMyMibAFp8R/qDyTmboxPYWZ9tyaUfGaIJA9Bw2vM0H2kZHssOymWGESsqFpOtEeVN8rtnC7JvNGkQr3"
    "WISNcL2MLQ0J9Z68Hvaru5dCcAHBYUAgAOBITa/XrvOG8T3kFPw4jl1n2rtH+yhdt2eB3Au3Y81yzOCa9pIbfMo1mcmREGbi9YrCVmN3fXoSvm8Hkut6pH1s"
    "CSEeIfsIMYT8KA0AawRksOF9CJKp4tUqltHw+nBKTBugGezhuy+17aehgDXLg1oetii1L/0kjMUCAOQEk05VTVBZAQB2AHsnZGVzY3InOiAnfHUxJywgJ2Zv"
    "cnRyYW5fb3JkZUZhbHNlLCAnc2hhcGUnOiAoMTIsKSwgfSAKLS0tIGEKKysrIGIKAgAddwO7Tj2cgslUKLUv/SBpSQMAeyJibGFrZTJiIjoiZjBlZmFiYTgy"
    "MzBjOGY5OThmYTdhY2UyNjYwYmM3NWE2ZWUxMGNhNjNjNjJlMDNkMjI2NDM5ODg3YjdiZWZkNiIsImVuZCI6ImNyb213ZWxsLWFydGlmYWN0In0K"
)


def test_same_bytes_whatever_the_order_of_keys():
    one, other = context(), context()
    other.meta = dict(reversed(one.meta.items()))
    assert written(one) == written(other)
    assert artifact.content_hash(one) == artifact.content_hash(other) != artifact.content_hash(diff())


def test_unknown_optional_fields_are_passed_on():
    item = edit()
    item.meta["later"] = {"deep": [1, 2.5, None, "é\ud800"]}
    item.meta["path"] = "caf\udce9.py"
    header = header_of(item)
    header["later_field"] = [1]
    back = read(io.BytesIO(stream_of(header, *frames_of(item))), "x")
    assert back.extra == {"later_field": [1]} and back.meta["later"] == item.meta["later"]
    assert read(io.BytesIO(written(back)), "x") == back


JSON = st.recursive(st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False, allow_infinity=False)
                    | st.text(st.characters()), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
                    max_leaves=10)


@st.composite
def any_array(draw):
    dtype = draw(st.sampled_from(sorted(artifact.ITEM_BYTES)))
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=4)))
    size = artifact._array_bytes(dtype, shape)
    return Array(dtype, shape, draw(st.binary(min_size=size, max_size=size)))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.lists(any_array(), max_size=4), st.lists(st.text(), max_size=3))
def test_round_trip_of_anything(meta, arrays, texts):
    named = {f"free.{index}": item for index, item in enumerate(arrays)}
    meta = {**meta, "path": meta, "files": 5, "texts": texts, "paths": ["a"]}
    item = Artifact("diff", meta, {"diff": bytes_array(b"x"), **named}, [STEP])
    data = written(item)
    assert read(io.BytesIO(data), "x") == item
    assert written(read(io.BytesIO(data), "x")) == data


def test_writer_refuses_what_a_reader_would():
    for broken in (Artifact("diff", {"paths": ["a"]}, {"diff": Array("|u1", (3,), b"1234")}, []),
                   Artifact("diff", {"paths": ["a"]}, {"diff": Array("|O", (4,), b"1234")}, []),
                   Artifact("diff", {"paths": ["a"]}, {"../diff": bytes_array(b"")}, []),
                   Artifact("diff", {"paths": [float("nan")]}, {"diff": bytes_array(b"")}, []),
                   Artifact("diff", {}, {"diff": bytes_array(b"")}, [])):
        stream = io.BytesIO()
        with pytest.raises(ValueError):
            write(broken, stream)
        assert stream.getvalue() == b""


class Dribble(io.RawIOBase):
    """A pipe that gives a byte at a time."""

    def __init__(self, data: bytes):
        self.data, self.place = data, 0

    def read(self, count: int = -1) -> bytes:
        self.place += 1
        return self.data[self.place - 1:self.place]


def test_reads_from_a_slow_pipe():
    assert read(Dribble(written(edit())), "x") == edit()


# ---- Damage -----------------------------------------------------------------------------------------------------------------


def test_every_truncation_is_refused():
    data = written(edit())
    assert "empty" in refused(b"")
    for size in range(1, len(data)):
        message = refused(data[:size])
        assert "truncated after frame" in message, (size, message)


def test_truncation_says_where():
    data = written(edit())
    assert "after frame 0" in refused(data[:10])
    assert "after frame 4 of 5" in refused(data[:-1])


def test_every_flipped_bit_is_refused():
    data = written(diff(bytes(range(256)) + b"aaaa" * 40))
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            refused(bytes(changed))


def test_random_damage_is_refused():
    rng, data = random.Random(5), written(encoding())
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            kind, place = rng.randrange(3), rng.randrange(len(changed))
            if kind == 0:
                changed[place] = (changed[place] + rng.randint(1, 255)) % 256
            elif kind == 1:
                del changed[place:place + rng.randint(1, 9)]
            else:
                changed[place:place] = rng.randbytes(rng.randint(1, 9))
        if bytes(changed) != data:
            refused(bytes(changed))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_noise_is_refused(noise, with_magic):
    refused((artifact.ZSTD_MAGIC if with_magic else b"") + noise)


def test_trailing_data_and_joined_streams():
    data = written(diff())
    for tail in (b"\0", b"\n", data, artifact.ZSTD_MAGIC, artifact._end_frame("0" * 64)):
        assert "data after the end" in refused(data + tail)


def test_what_is_no_artifact():
    assert "not a Cromwell artifact" in refused(b"hello")
    assert "not one line" in refused(frame(b"hello"))
    with pytest.raises(ArtifactError) as caught:
        read(io.BytesIO(b"diff --git a/x b/x\n"), "x")
    assert "cw-apply" in caught.value.hint


def test_wrong_kind():
    message = refused(written(context()), ["edit", "diff"])
    assert message == "x.cwa: is a context, expected an edit or a diff"
    assert "is an edit, expected a context" in refused(written(edit()), ["context"])


def test_frames_that_move_or_vanish():
    """Frames swapped, repeated or dropped, with a digest that fits: the header must still agree."""
    item = edit()
    header, arrays = header_of(item), frames_of(item)
    refused(stream_of(header, arrays[1], arrays[0], arrays[2]))
    refused(stream_of(header, *arrays[:2]))
    refused(stream_of(header, *arrays, arrays[2]))
    refused(stream_of(header))


def test_header_and_digest_of_another_stream():
    one, other = written(diff(b"one")), written(diff(b"two"))
    size = len(artifact._end_frame("0" * 64))
    assert "digest" in refused(one[:-size] + other[-size:])


# ---- Hostile headers --------------------------------------------------------------------------------------------------------


def with_header(**changes: object) -> bytes:
    item = diff()
    return stream_of({**header_of(item), **changes}, *frames_of(item))


def raw_header(old: bytes, new: bytes) -> bytes:
    item = diff()
    line = artifact._header_line(item)
    assert old in line
    return stream_of(line.replace(old, new, 1), *frames_of(item))


@pytest.mark.parametrize(("changes", "words"), [
    ({"magic": "other"}, "no artifact"),
    ({"format": 2}, "format version 2"),
    ({"format": True}, "format version"),
    ({"format": "1"}, "format version"),
    ({"schema": 9}, "schema version 9"),
    ({"schema": None}, "schema version"),
    ({"kind": "poem"}, "unknown kind"),
    ({"kind": ["diff"]}, "unknown kind"),
    ({"kind": None}, "unknown kind"),
    ({"meta": []}, "meta"),
    ({"meta": {}}, "meta.paths is missing"),
    ({"meta": {"paths": [1]}}, "meta.paths[0]"),
    ({"meta": {"paths": "a"}}, "meta.paths is not a list"),
    ({"lineage": {}}, "lineage"),
    ({"lineage": [1]}, "lineage[0]"),
    ({"lineage": [{**STEP, "seed": "x"}]}, "lineage[0].seed"),
    ({"required": ["meta.paths", "magic"], "lineage": 3}, "lineage"),
    ({"required": ["meta.future"]}, "understands meta.future"),
    ({"required": "all"}, "required"),
    ({"required": [[]]}, "required"),
    ({"arrays": None}, "arrays"),
    ({"arrays": [1]}, "entry"),
    ({"arrays": []}, "digest"),
])
def test_headers_refused(changes, words):
    assert words in refused(with_header(**changes))


def test_known_required_fields_are_fine():
    assert read(io.BytesIO(with_header(required=["meta.paths", "lineage"])), "x").required == ("meta.paths", "lineage")


@pytest.mark.parametrize(("entry", "words"), [
    ({"name": "Diff"}, "name"), ({"name": "../x"}, "name"), ({"name": ""}, "name"), ({"name": 3}, "name"), ({"name": "a.01"}, "name"),
    ({"name": "a" * 65}, "name"), ({"name": "a.99999999"}, "name"),
    ({"dtype": "|O"}, "dtype"), ({"dtype": ">i4"}, "dtype"), ({"dtype": ["|u1"]}, "dtype"), ({"dtype": "<U4"}, "dtype"),
    ({"shape": 12}, "shape"), ({"shape": [-1]}, "shape"), ({"shape": [1.0]}, "shape"), ({"shape": [True]}, "shape"),
    ({"shape": [1] * 9}, "shape"),
    ({"shape": [11]}, "disagree"), ({"bytes": 13}, "disagree"), ({"bytes": "12"}, "disagree"), ({"bytes": None}, "disagree"),
    ({"shape": [1 << 33], "bytes": 1 << 33}, "shape"),
    ({"shape": [300 << 20], "bytes": 300 << 20}, "MiB"), ({"shape": [1 << 31], "bytes": 1 << 31}, "MiB"),
    ({"shape": [(1 << 32) - 1] * 8, "bytes": ((1 << 32) - 1) ** 8}, "64 bits"),
    ({"extra": 1}, "entry"),
])
def test_array_entries_refused(entry, words):
    assert words in refused(with_header(arrays=[{"name": "diff", "dtype": "|u1", "shape": [12], "bytes": 12, **entry}]))


def test_many_arrays_are_refused():
    entries = [{"name": f"a.{n}", "dtype": "|u1", "shape": [0], "bytes": 0} for n in range(artifact.MAX_ARRAYS + 1)]
    assert "arrays, more than" in refused(with_header(arrays=entries))
    big = [{"name": f"a.{n}", "dtype": "|u1", "shape": [256 << 20], "bytes": 256 << 20} for n in range(5)]
    assert "MiB in all" in refused(with_header(arrays=big))


def test_same_name_twice():
    entry = {"name": "diff", "dtype": "|u1", "shape": [12], "bytes": 12}
    assert "used twice" in refused(with_header(arrays=[entry, entry]))


@pytest.mark.parametrize(("old", "new"), [
    (b'"kind":"diff"', b'"kind":"diff","kind":"diff"'),
    (b'"paths":', b'"a":1,"a":2,"paths":'),
    (b'"paths":', b'"n":NaN,"paths":'),
    (b'"paths":', b'"n":-Infinity,"paths":'),
    (b'"paths":', b'"n":1e999,"paths":'),
    (b'"paths":', b'"n":' + b"9" * 30 + b',"paths":'),
    (b'"paths":', b'"n":' + b"9" * 6000 + b',"paths":'),
    (b'"paths":', b'"n":18446744073709551616,"paths":'),
    (b'"paths":', b'"n":' + b"[" * 40 + b"]" * 40 + b',"paths":'),
    (b'"paths":', b'"n":' + b"[" * 200000 + b"]" * 200000 + b',"paths":'),
    (b'"paths":', b'"n":' + b'{"a":' * 100000 + b"1" + b"}" * 100000 + b',"paths":'),
    (b'"paths":', b'"n":"\xff","paths":'),
    (b'"paths":', b'"n":"\x01","paths":'),
    (b'"paths":', b'\n"paths":'),
    (b"}\n", b"}"),
    (b"}\n", b"}\n\n"),
    (b"}\n", b"} x\n"),
    (b"}\n", b",}\n"),
])
def test_json_refused(old, new):
    assert "header" in refused(raw_header(old, new))


def test_arrays_numbered_with_gaps():
    item = edit()
    header = header_of(item)
    header["arrays"][2]["name"] = "candidate.2"
    assert "out of order" in refused(stream_of(header, *frames_of(item)))


@pytest.mark.parametrize("item", [context(), encoding(), edit(), receipt(), diff()], ids=lambda item: item.kind)
def test_every_mandatory_field_is_checked(item):
    """Each field missing, null where that is not allowed, or of a wrong type is refused, never a KeyError."""
    for name, form in schema.KINDS[item.kind].items():
        header = header_of(item)
        del header["meta"][name]
        assert name in refused(stream_of(header, *frames_of(item)))
        for wrong in (None, True, 1.5, "\x1b[31m", [], {}, [None], [{}], -1, 1 << 63):
            nullable = isinstance(form, tuple)
            right = str if isinstance(form, str) else form[0] if nullable else form
            if type(wrong) is right or nullable and wrong is None or type(form) is list and wrong == []:
                continue
            header["meta"][name] = wrong
            refused(stream_of(header, *frames_of(item)))


@pytest.mark.parametrize("item", [
    context(region={**PLACE, "end_byte": 5}), context(region={**PLACE, "start_byte": 5}), context(region={**PLACE, "start_byte": -1}),
    context(region={**PLACE, "start_line": 0}), context(region={**PLACE, "end_line": -1}), context(window={**PLACE, "end_byte": 99}),
    context(eol="weird"), context(mode="888"), context(mode="0999"), context(excerpts=[{"path": "b", "start_line": 1, "end_line": 2}]),
    context(window={**PLACE, "start_byte": 1}), context(window={**PLACE, "end_byte": 3}), context(instruction="\ud800"),
    context(path=""), context(path="a\0b"), context(path="\ud800"), edit(path=""),
    Artifact("diff", {"paths": ["\0"]}, {"diff": bytes_array(b"")}, []),
    edit(best=2), edit(best=-1), edit(candidates=[], best=0),
], ids=str)
def test_fields_that_disagree(item):
    refused(stream_of(header_of(item), *frames_of(item)))
    with pytest.raises(schema.SchemaError):
        write(item, io.BytesIO())


def test_encodings_that_disagree():
    item = encoding()
    for name, array in (("tokens", Array("<i8", (3,), bytes(24))), ("tokens", Array("<i4", (3, 1), bytes(12))),
                        ("joint", Array("<f4", (4, 2), bytes(32))), ("pixels.0", Array("|u1", (1, 256, 256, 3), bytes(196608)))):
        changed = Artifact(item.kind, item.meta, {**item.arrays, name: array}, item.lineage)
        assert name in refused(stream_of(header_of(changed), *frames_of(changed)))


# ---- Hostile frames ---------------------------------------------------------------------------------------------------------


def finished(frames: bytes) -> bytes:
    return frames + artifact._end_frame(blake2b(frames, digest_size=32).hexdigest())


def test_bombs():
    """Frames that announce or hold far more than the header allows; nothing of that size is allocated."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = artifact._header_line(diff())
    bomb = frame(bytes(64 << 20))
    assert "announces 67108864 bytes" in refused(bomb)
    assert "announces 67108864 bytes" in refused(finished(frame(line) + bomb))
    # A content size of 2^62 in the frame header.
    huge = artifact.ZSTD_MAGIC + bytes([0b11100100]) + (1 << 62).to_bytes(8, "little")
    assert "announces" in refused(huge + b"\x01\x00\x00")
    # The frame header lies: 12 bytes announced, 64 MiB in RLE blocks of 128 KiB each.
    blocks = b"".join((0 | 1 << 1 | (1 << 17) << 3).to_bytes(3, "little")[:3] + b"\0" for _ in range(512))
    lying = artifact.ZSTD_MAGIC + bytes([0b00100100, 140]) + blocks + (1 | 1 << 1 | 1 << 3).to_bytes(3, "little") + b"\0" + bytes(4)
    assert "damaged" in refused(finished(frame(line) + lying))
    # Endless empty blocks.
    assert "more blocks" in refused(frame(line) + artifact.ZSTD_MAGIC + bytes([0b00100100, 140]) + bytes(3) * 100000)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 200 << 10  # KiB: the 64 MiB bombs made here, and no more than that again


def test_header_too_large():
    assert "announces" in refused(finished(frame(b'{"a":"' + b"x" * artifact.MAX_HEADER_BYTES + b'"}\n')))


def test_frames_of_other_shapes():
    line, array = artifact._header_line(diff()), frames_of(diff())[0]
    plain = zstandard.ZstdCompressor(level=3, write_checksum=False)
    assert "without size or checksum" in refused(finished(plain.compress(line) + frame(array)))
    unsized = zstandard.ZstdCompressor(level=3, write_checksum=True, write_content_size=False)
    assert "without size or checksum" in refused(finished(unsized.compress(line) + frame(array)))
    skippable = (0x184D2A50).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    assert "no zstd frame" in refused(finished(frame(line) + skippable + frame(array)))
    assert "not a Cromwell artifact" in refused(finished(skippable + frame(line) + frame(array)))


@pytest.mark.parametrize("level", [1, 9, 19, -5])
def test_any_compression_level_is_read(level):
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    item = diff(b"line of text\n" * 50000)
    frames = b"".join(compressor.compress(part) for part in (artifact._header_line(item), *frames_of(item)))
    assert read(io.BytesIO(finished(frames)), "x") == item


@pytest.mark.parametrize("npy", [
    b"", b"\x93NUMPY", b"\x93NUMPY\x02\x00" + bytes(200),
    artifact._npy_header("|u1", (13,)) + bytes(13), artifact._npy_header("|i1", (12,)) + bytes(12),
    artifact._npy_header("|u1", (3, 4)) + bytes(12),
    artifact._npy_header("|u1", (12,)) + bytes(11), artifact._npy_header("|u1", (12,)) + bytes(13),
    artifact._npy_header("|u1", (12,)).replace(b"False", b"True ") + bytes(12),
    artifact._npy_header("|u1", (12,)).replace(b"|u1", b"|O8") + bytes(12),
    artifact._npy_header("|u1", (12,)).replace(b"(12,)", b"(1_2,)") + bytes(12),
    artifact._npy_header("|u1", (12,)).replace(b"12,", b",12") + bytes(12),
    artifact._npy_header("|u1", (12,)).replace(b"False", b"exit()") + bytes(12),
    artifact._npy_header("|u1", (12,))[:8] + b"\xff\xff" + artifact._npy_header("|u1", (12,))[10:] + bytes(12),
])
def test_npy_frames_refused(npy):
    assert "array diff" in refused(stream_of(header_of(diff()), npy))
