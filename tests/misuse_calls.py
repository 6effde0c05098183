"""Calls every function of libcromwell with hostile values, each announced before it is made; run by test_binding_misuse.py:

    misuse_calls.py PACK OTHER

OTHER is a pack of the same configuration with other weights. A line `FUNCTION: CASE` is printed and flushed before a call, so that
the last line names the call that crashed; a call that gives another status than expected is reported on stderr, and the exit status is
then 1. Null is passed only where the header allows it or a status can be returned."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import misuse_files
from misuse import (
    ARGUMENT,
    CAPACITY,
    DAMAGED,
    FORMAT,
    HUGE,
    INFINITY,
    INT_MIN,
    IO,
    ISA,
    NAN,
    NULL,
    OK,
    call,
    called,
    opened,
    refused,
    rooms,
    value,
    wrong,
)

from cromwell.binding._native import ffi, lib


def machine() -> None:
    for name in (b"", b"AVX2", b"sse9", b"avx2 ", b"x" * 10000):
        call("cw_isa_select", repr(name[:10]), name, gives=ISA)
    call("cw_isa_select", "NULL", NULL, gives=OK)
    for name in ("cw_isa_name", "cw_threads_default", "cw_version"):
        value(name)
    for status in (-1, 0, 8, 9, 2**31 - 1):
        if not ffi.string(value("cw_status_text", ffi.cast("cw_status", status))):
            wrong.append(f"cw_status_text: {status} has no text")
    value("cw_checksum64", NULL, 0)


def texts(tokenizer: Any) -> None:
    for case, data in (("empty", b""), ("zeros", bytes(4096)), ("noise", random.Random(1).randbytes(4096))):
        refused("cw_tokenizer_open", "cw_tokenizer", case, data, len(data), gives=(ARGUMENT, *DAMAGED))
    refused("cw_tokenizer_open", "cw_tokenizer", "NULL", NULL, 100)
    value("cw_tokenizer_close", NULL)

    size, count, ids = value("cw_tokenizer_size", tokenizer), ffi.new("size_t *"), ffi.new("int32_t[8]")
    call("cw_tokenizer_encode", "no tokenizer", NULL, b"a", 1, ids, 8, count)
    call("cw_tokenizer_encode", "no text", tokenizer, NULL, 5, ids, 8, count)
    call("cw_tokenizer_encode", "no ids", tokenizer, b"a", 1, NULL, 8, count)
    call("cw_tokenizer_encode", "no count", tokenizer, b"a", 1, ids, 8, NULL)
    call("cw_tokenizer_encode", "nothing", tokenizer, NULL, 0, NULL, 0, count, gives=OK)
    call("cw_tokenizer_encode", "no room", tokenizer, b"abcdef\x00\xff", 8, ids, 0, count, gives=CAPACITY)
    call("cw_tokenizer_encode", "too little room", tokenizer, bytes(range(64)) * 2, 128, ids, 8, count, gives=CAPACITY)
    for token in (-1, INT_MIN, size, 2**31 - 1):
        call("cw_tokenizer_decode", f"id {token}", tokenizer, [token], 1, 0, NULL, 0, count)
    out = ffi.new("uint8_t[4]")
    call("cw_tokenizer_decode", "no tokenizer", NULL, [size - 1], 1, 0, out, 4, count)
    call("cw_tokenizer_decode", "no ids", tokenizer, NULL, 1, 0, out, 4, count)
    call("cw_tokenizer_decode", "no size", tokenizer, [size - 1], 1, 0, out, 4, NULL)
    call("cw_tokenizer_decode", "nothing", tokenizer, NULL, 0, 0, NULL, 0, count, gives=OK)
    call("cw_tokenizer_decode", "too little room", tokenizer, [size - 1] * 100, 100, 0, out, 4, count, gives=CAPACITY)
    call("cw_tokenizer_decode", "names in too little room", tokenizer, [0], 1, -7, out, 4, count, gives=CAPACITY)
    for name in (b"", b"<EDIT", b"<EDIT> ", b"<" * 5000, b"\xff"):
        if value("cw_tokenizer_special", tokenizer, name) != -1:
            wrong.append(f"cw_tokenizer_special: {name[:10]!r} is no special token")


def models(pack: Path) -> Any:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        refused("cw_model_open", "cw_model", "no such file", bytes(folder / "none"), gives=IO)
        refused("cw_model_open", "cw_model", "a folder", bytes(folder), gives=IO)
        refused("cw_model_open", "cw_model", "a device", b"/dev/zero", gives=IO)
        refused("cw_model_open", "cw_model", "empty name", b"", gives=IO)
        refused("cw_model_open", "cw_model", "control characters", b"/\x1b[31m\n" * 60, gives=IO)
        data, generator = pack.read_bytes(), random.Random(3)
        cut = [data[:size] for size in (0, 1, 8, 63, 64, 200, 4096, len(data) - 1)] + [data + b"\0"]
        flipped = [(at, data[:at] + bytes([data[at] ^ 1 << generator.randrange(8)]) + data[at + 1 :])
                   for at in [*range(64), *(generator.randrange(len(data)) for _ in range(40))]]  # fmt: skip
        for case, bad in [(f"{len(part)} bytes", part) for part in cut]:
            (folder / "bad").write_bytes(bad)
            refused("cw_model_open", "cw_model", case, bytes(folder / "bad"), gives=DAMAGED)
        for at, bad in flipped:
            (folder / "bad").write_bytes(bad)
            out = ffi.new("cw_model **")
            call("cw_model_open", f"byte {at} flipped", bytes(folder / "bad"), out, NULL, gives=(OK, *DAMAGED))
            if out[0] != NULL:
                call("cw_model_verify", f"byte {at} flipped", out[0], NULL, gives=DAMAGED)
            value("cw_model_close", out[0])
    refused("cw_model_open", "cw_model", "NULL", NULL)
    value("cw_model_close", NULL)
    model = opened("cw_model_open", "cw_model", bytes(pack))
    tensor, count = ffi.new("cw_tensor_info *"), value("cw_model_tensor_count", model)
    call("cw_model_verify", "no model", NULL, NULL)
    call("cw_model_verify", "a sound pack", model, NULL, gives=OK)
    call("cw_model_tensor", "the last", model, count - 1, tensor, gives=OK)
    for case, arguments in {"no model": (NULL, 0, tensor), "beyond the last": (model, count, tensor), "nowhere": (model, 0, NULL)}.items():
        call("cw_model_tensor", case, *arguments)
    return model


def options(**values: int) -> Any:
    out = ffi.new("cw_session_options *", {"max_tokens": 40, "threads": 1, "guidance": 1})
    for name, number in values.items():
        setattr(out, name, number)
    return out


def sessions(model: Any, info: Any, image: int) -> None:
    refused("cw_session_open", "cw_session", "no model", NULL, options())
    refused("cw_session_open", "cw_session", "no options", model, NULL)
    for bad in ({"max_tokens": 0}, {"max_tokens": info.max_positions + 1}, {"max_tokens": HUGE}, {"max_tiles": info.max_tiles + 1},
                {"max_tiles": HUGE}, {"threads": -1}, {"threads": 65}, {"threads": INT_MIN}):  # fmt: skip
        refused("cw_session_open", "cw_session", str(bad), model, options(**bad))
    value("cw_session_close", NULL)
    text = opened("cw_session_open", "cw_session", model, options(guidance=INT_MIN))
    with_images = opened("cw_session_open", "cw_session", model, options(max_tiles=1))
    if value("cw_session_model", text) != model:
        wrong.append("cw_session_model: another model")
    logits, block, tiles = ffi.new("float **"), ffi.new("void **"), bytes(256 * 256 * 3)
    joint = ffi.new("float[]", 64 * info.joint_size)

    call("cw_session_logits", "of nothing", text, logits)
    call("cw_session_logits", "no session", NULL, logits)
    call("cw_session_logits_rows", "of nothing", text, 1, logits)
    call("cw_session_logits_rows", "no session", NULL, 1, logits)
    call("cw_session_feed", "no session", NULL, [30], 1)
    call("cw_session_feed", "no ids", text, NULL, 1)
    call("cw_session_feed", "nothing", text, NULL, 0, gives=OK)
    for token in (-1, INT_MIN, info.vocab_size, 2**31 - 1):
        call("cw_session_feed", f"id {token} after a good one", text, [30, token], 2)
    call("cw_session_feed", "too many", text, [30] * 41, 41, gives=CAPACITY)
    call("cw_session_feed", "a count that overflows", text, [30], 2**64 - 1, gives=CAPACITY)
    if value("cw_session_length", text) != 0:
        wrong.append("cw_session_feed: a refused call fed tokens")
    call("cw_session_feed", "full", text, [30 + i for i in range(40)], 40, gives=OK)
    call("cw_session_feed", "beyond full", text, [30], 1, gives=CAPACITY)
    call("cw_session_logits", "no place", text, NULL)
    call("cw_session_logits_rows", "no place", text, 1, NULL)
    for count in (0, 41, 193, HUGE):
        call("cw_session_logits_rows", f"{count} rows", text, count, logits)
    call("cw_session_rewind", "forward", text, 41)
    call("cw_session_rewind", "far forward", text, HUGE)
    call("cw_session_rewind", "no session", NULL, 0)
    call("cw_session_rewind", "nothing", text, 40, gives=OK)

    call("cw_session_joint", "no session", NULL, 0, 1, joint)
    call("cw_session_joint", "nothing at the end", text, 40, 0, NULL, gives=OK)
    for first, count in ((41, 0), (0, 41), (40, 1), (HUGE, 1), (1, HUGE), (HUGE, HUGE)):
        call("cw_session_joint", f"{first}, {count}", text, first, count, joint)
    call("cw_session_joint", "no place", text, 0, 1, NULL)
    for index in (0, 1, 2**26 - 1, 2**26, HUGE):
        call("cw_session_block", f"{index} of 40 tokens", text, index, block)
    for count in (0, 41, 193, 2**31, HUGE):
        call("cw_session_logits_rows", f"{count} of 40", text, count, logits)
    call("cw_session_logits_rows", "no session", NULL, 1, logits)
    call("cw_session_logits_rows", "no place", text, 1, NULL)
    call("cw_session_logits_rows", "all", text, 40, logits, gives=OK)

    call("cw_session_feed_image", "no room for pictures", text, tiles, 1, 1, gives=CAPACITY)
    call("cw_session_feed_image", "no session", NULL, tiles, 1, 1)
    call("cw_session_feed_image", "no tiles", with_images, NULL, 1, 1)
    for rows, cols in ((0, 1), (1, 0), (9, 1), (1, 9), (HUGE, HUGE), (2**16, 2**16), (8, 8)):
        call("cw_session_feed_image", f"{rows} x {cols}", with_images, tiles, rows, cols)
    call("cw_session_feed_image", "two tiles, room for one", with_images, tiles * 2, 1, 2, gives=CAPACITY)
    call("cw_session_feed_image", "one tile", with_images, tiles, 1, 1, gives=OK)
    call("cw_session_feed_image", "before the first one's token", with_images, tiles, 1, 1)
    call("cw_session_attach", "before a picture's token", with_images, [30] * 64, aligned(info.block_bytes), info.block_bytes)
    call("cw_session_share", "before a picture's token", with_images, text, 1)
    call("cw_session_feed", "text where the picture's token belongs", with_images, [30], 1)
    call("cw_session_feed", "the picture's token", with_images, [image], 1, gives=OK)
    call("cw_session_share", "into a session with a picture", with_images, text, 1)
    call("cw_session_feed_image", "no room left", with_images, tiles, 1, 1, gives=CAPACITY)
    value("cw_session_trace", text, NULL, NULL)
    call("cw_session_rewind", "to 35", text, 35, gives=OK)
    generation(text, info)
    value("cw_session_close", with_images)
    value("cw_session_close", text)


def aligned(size: int, shift: int = 0, data: bytes = b"") -> Any:
    """Room for `size` bytes that begins `shift` bytes after a multiple of 64, and holds `data`."""
    room = ffi.new("uint8_t[]", size + 128)
    rooms.append(room)
    begin = room + (-int(ffi.cast("uintptr_t", room)) % 64 + shift)
    ffi.memmove(begin, data, len(data))
    return begin


def blocks(model: Any, other: Any, again: Any, info: Any, image: int) -> None:
    """Blocks, shared prefixes and passes of several sessions. `again` is the pack of `model` opened once more."""
    size, ids = info.block_bytes, [30 + i % 200 for i in range(200)]
    block, logits = ffi.new("void **"), ffi.new("float **")
    source = opened("cw_session_open", "cw_session", model, options(max_tokens=200, max_tiles=1))
    target = opened("cw_session_open", "cw_session", model, options(max_tokens=130))
    small = opened("cw_session_open", "cw_session", model, options(max_tokens=63))
    unguided = opened("cw_session_open", "cw_session", model, options(max_tokens=200, guidance=0))
    stranger = opened("cw_session_open", "cw_session", other, options(max_tokens=200))
    twin = opened("cw_session_open", "cw_session", again, options(max_tokens=200))
    empty = opened("cw_session_open", "cw_session", model, options(max_tokens=200))
    for session in (source, unguided, stranger, twin):
        call("cw_session_feed", "190 tokens", session, ids, 190, gives=OK)
    call("cw_session_block", "no session", NULL, 0, block)
    call("cw_session_block", "no place", source, 0, NULL)
    for index in (3, 2**26, HUGE):
        call("cw_session_block", f"{index} of 190 tokens", source, index, block)
    kept = []
    for index in range(2):
        call("cw_session_block", f"{index}", source, index, block, gives=OK)
        kept.append(bytes(ffi.buffer(block[0], size)))
    sound, second = (aligned(size, 0, data) for data in kept)

    call("cw_session_attach", "no session", NULL, ids[:64], sound, size)
    call("cw_session_attach", "no ids", target, NULL, sound, size)
    call("cw_session_attach", "no block", target, ids[:64], NULL, size)
    for wrong_size in (0, 1, size - 64, size - 1, size + 1, size + 64, 2**63, 2**64 - 1):
        call("cw_session_attach", f"a block of {wrong_size} bytes", target, ids[:64], sound, wrong_size)
    for shift in (1, 4, 8, 16, 32, 63):
        call("cw_session_attach", f"{shift} bytes off", target, ids[:64], aligned(size, shift, kept[0]), size)
    for token in (-1, INT_MIN, info.vocab_size, 2**31 - 1):
        call("cw_session_attach", f"id {token}", target, [*ids[:63], token], sound, size)
    call("cw_session_attach", "other ids", target, [*ids[:63], ids[63] + 1], sound, size, gives=FORMAT)
    call("cw_session_attach", "at another place", target, ids[64:128], second, size, gives=FORMAT)
    call("cw_session_attach", "of another guidance", unguided, ids[:64], sound, size)
    call("cw_session_rewind", "of another guidance", unguided, 0, gives=OK)
    call("cw_session_attach", "of another guidance", unguided, ids[:64], sound, size, gives=FORMAT)
    call("cw_session_block", "of another model", stranger, 0, block, gives=OK)
    call("cw_session_attach", "of another model", target, ids[:64], block[0], size, gives=FORMAT)
    for case, data in (("zeros", bytes(size)), ("ones", b"\xff" * size), ("noise", random.Random(4).randbytes(size))):
        call("cw_session_attach", case, target, ids[:64], aligned(size, 0, data), size, gives=FORMAT)
    call("cw_session_attach", "no room", small, ids[:64], sound, size, gives=CAPACITY)
    if value("cw_session_length", target) or value("cw_session_length", small):
        wrong.append("cw_session_attach: a refused call added tokens")
    call("cw_session_block", "of the same model, opened again", twin, 0, block, gives=OK)
    call("cw_session_attach", "of the same model, opened again", target, ids[:64], block[0], size, gives=OK)
    call("cw_session_attach", "the same once more", target, ids[:64], sound, size, gives=FORMAT)
    call("cw_session_attach", "the second", target, ids[64:128], second, size, gives=OK)
    call("cw_session_attach", "two positions left", target, ids[:64], sound, size, gives=CAPACITY)
    call("cw_session_feed", "after blocks", target, ids[128:130], 2, gives=OK)
    call("cw_session_attach", "in the middle of a block", target, ids[:64], sound, size)
    call("cw_session_rewind", "into an attached block", target, 100, gives=OK)
    call("cw_session_block", "an attached block that is incomplete now", target, 1, block)
    call("cw_session_feed", "over an attached block", target, ids[:30], 30, gives=OK)
    if bytes(ffi.buffer(sound, size)) != kept[0] or bytes(ffi.buffer(second, size)) != kept[1]:
        wrong.append("cw_session_feed: an attached block was written")

    call("cw_session_share", "no session", NULL, source, 1)
    call("cw_session_share", "no source", empty, NULL, 1)
    call("cw_session_share", "itself", source, source, 1)
    call("cw_session_share", "an empty self", empty, empty, 0)
    call("cw_session_share", "another model", empty, stranger, 1)
    call("cw_session_share", "the same model, opened again", empty, twin, 1)
    call("cw_session_share", "another guidance", unguided, source, 1)
    call("cw_session_share", "into tokens", target, source, 1)
    for count in (191, 2**31, HUGE):
        call("cw_session_share", f"{count} of 190", empty, source, count)
    call("cw_session_share", "more than there is room for", small, source, 64, gives=CAPACITY)
    call("cw_session_share", "nothing", empty, source, 0, gives=OK)
    call("cw_session_share", "all that there is room for", small, source, 63, gives=OK)
    if [value("cw_session_length", session) for session in (empty, small)] != [0, 63]:
        wrong.append("cw_session_share: other lengths than expected")
    call("cw_session_rewind", "what was shared", small, 0, gives=OK)

    several(model, source, target, empty, unguided, stranger, twin, info)

    call("cw_session_rewind", "to 10", source, 10, gives=OK)
    call("cw_session_feed_image", "at 10", source, bytes(256 * 256 * 3), 1, 1, gives=OK)
    call("cw_session_feed", "the picture's token", source, [image, *ids[:120]], 121, gives=OK)
    for index in (0, 1):
        call("cw_session_block", f"{index} with a picture before its end", source, index, block)
    call("cw_session_share", "a picture", empty, source, 70, gives=OK)
    call("cw_session_feed_image", "after a shared picture", empty, bytes(256 * 256 * 3), 1, 1)
    call("cw_session_attach", "after a shared picture", empty, ids[:64], sound, size)
    call("cw_session_feed", "after a shared picture", empty, ids[:5], 5, gives=OK)
    call("cw_session_logits", "after a shared picture", empty, logits, gives=OK)
    for session in (empty, source, target, small, unguided, stranger, twin):
        value("cw_session_close", session)


def several(model: Any, source: Any, target: Any, empty: Any, unguided: Any, stranger: Any, twin: Any, info: Any) -> None:
    """cw_session_feed_each and cw_session_logits_each; `target` is full, `source` has 10 tokens of room."""
    logits = ffi.new("float **")
    full = opened("cw_session_open", "cw_session", model, options(max_tokens=4))
    call("cw_session_feed", "full", full, [30] * 4, 4, gives=OK)

    def each(case: str, group: Any, ids: Any, count: int, gives: int | Collection[int] = ARGUMENT, counts: Any = NULL) -> None:
        before = [lib.cw_session_length(session) for session in (source, target, empty, unguided, stranger, twin, full)]
        call("cw_session_feed_each", case, group, ids, counts, count, gives=gives)
        after = [lib.cw_session_length(session) for session in (source, target, empty, unguided, stranger, twin, full)]
        if gives != OK and before != after:
            wrong.append(f"cw_session_feed_each: {case}: a refused call fed tokens")

    pair = [source, empty]
    each("no sessions", NULL, [30, 30], 2)
    each("no ids", pair, NULL, 2)
    each("nothing at all", NULL, NULL, 0, OK)
    each("none of them", pair, [30, 30], 0, OK)
    for count in (65, 2**31, HUGE):
        each(f"{count} sessions", pair, [30, 30], count)
    each("a missing first session", [NULL, source], [30, 30], 2)
    each("a missing last session", [source, NULL], [30, 30], 2)
    each("the same twice", [source, empty, source], [30] * 3, 3)
    each("another model", [source, stranger], [30, 30], 2)
    each("the same model, opened again", [twin, source], [30, 30], 2)
    each("another guidance", [source, unguided], [30, 30], 2)
    for token in (-1, INT_MIN, info.vocab_size, 2**31 - 1):
        each(f"id {token} at the end", pair, [30, token], 2)
        each(f"id {token} at the beginning", pair, [token, 30], 2)
    each("a full last session", [source, empty, full], [30] * 3, 3, CAPACITY)
    each("a full first session", [full, source], [30] * 2, 2, CAPACITY)
    call("cw_session_rewind", "room for one", full, 3, gives=OK)
    each("longer sessions than the first can hold", [full, source], [30] * 2, 2, CAPACITY)
    each("a shorter one that is not the first", [source, full], [30] * 2, 2, OK)
    for counts in ([193, 0], [1, 192], [HUGE, 0], [0, HUGE], [HUGE, HUGE], [2**31, 2**31], [96, 97]):
        each(f"{counts} tokens", pair, [30] * 193, 2, (ARGUMENT, CAPACITY), counts)
    each("more tokens than there is room for", pair, [30] * 16, 2, CAPACITY, [12, 4])
    each("more than the first can hold", [full, empty], [30] * 5, 2, CAPACITY, [0, 5])
    each("none but in the last", [full, empty], [30] * 4, 2, OK, [0, 4])
    each("no tokens", pair, NULL, 2, OK, [0, 0])
    each("no ids, but counts", pair, NULL, 2, ARGUMENT, [1, 1])
    each("several each", pair, [30] * 8, 2, OK, [3, 5])
    each("an id beyond the vocabulary among them", pair, [30, 30, 30, info.vocab_size, 30], 2, ARGUMENT, [2, 3])
    for session, length in ((source, 190), (empty, 0)):
        call("cw_session_rewind", "as before", session, length, gives=OK)
    each("one too many", [empty], [30] * 193, 1, ARGUMENT, [193])
    each("as many as may be", [empty], [30] * 192, 1, OK, [192])
    call("cw_session_rewind", "as before", empty, 0, gives=OK)

    for case, group, count in (("no sessions", NULL, 1), ("none of them", pair, 0), ("65", pair, 65), ("2^32 - 1", pair, HUGE),
                               ("a missing one", [source, NULL], 2), ("another model", [source, stranger], 2),
                               ("an empty one", pair, 2), ("an empty first one", [empty, source], 2)):  # fmt: skip
        call("cw_session_logits_each", case, group, NULL, count, logits)
    call("cw_session_logits_each", "no place", [source], NULL, 1, NULL)
    call("cw_session_logits_each", "one", [source], NULL, 1, logits, gives=OK)
    call("cw_session_logits_each", "64 times the same", [full] * 64, NULL, 64, logits, gives=OK)
    for counts in ([0, 0], [191, 0], [0, 5], [190, 3], [HUGE, 0], [1, HUGE], [2**31, 2**31]):
        call("cw_session_logits_each", f"{counts} tokens", [source, full], counts, 2, logits)
    call("cw_session_logits_each", "192 tokens", [full, source], [2, 190], 2, logits, gives=OK)
    call("cw_session_logits_each", "none of an empty one", [empty, source], [0, 1], 2, logits, gives=OK)
    value("cw_session_close", full)


def sampling(**values: float) -> Any:
    out = ffi.new("cw_sampling *", {"top_p": 1.0, "repetition_penalty": 1.0})
    for name, number in values.items():
        setattr(out, name, number)
    return out


def samplers() -> None:
    refused("cw_sampler_open", "cw_sampler", "no options", 8, 8, NULL)
    for vocab_size, max_tokens in ((0, 8), (8, 0), (HUGE, 8), (8, HUGE)):
        refused("cw_sampler_open", "cw_sampler", f"{vocab_size}, {max_tokens}", vocab_size, max_tokens, sampling())
    for bad in ({"temperature": -1.0}, {"temperature": NAN}, {"temperature": INFINITY}, {"top_k": -1}, {"top_k": INT_MIN}, {"top_p": 0.0},
                {"top_p": 1.01}, {"top_p": NAN}, {"min_p": -0.1}, {"min_p": 1.0}, {"min_p": NAN}, {"repetition_penalty": 0.0},
                {"repetition_penalty": -1.0}, {"repetition_penalty": NAN}, {"repetition_penalty": INFINITY},
                {"repetition_window": -1}):  # fmt: skip
        refused("cw_sampler_open", "cw_sampler", str(bad), 8, 8, sampling(**bad))
    value("cw_sampler_close", NULL)
    extreme = sampling(temperature=1e-38, top_k=2**31 - 1, top_p=1e-38, min_p=0.999, repetition_penalty=3e38, repetition_window=2**31 - 1)
    for case, chosen in (("plain", sampling()), ("extreme", extreme)):
        sampler = opened("cw_sampler_open", "cw_sampler", 4, 8, chosen)
        token, logits = ffi.new("int32_t *"), ffi.new("float[4]")
        call("cw_sampler_next", "no sampler", NULL, logits, token, NULL)
        call("cw_sampler_next", "no logits", sampler, NULL, token, NULL)
        call("cw_sampler_next", "no place", sampler, logits, NULL, NULL)
        for bad in ([NAN, 0, 0, 0], [0, 0, 0, INFINITY], [-INFINITY] * 4):
            call("cw_sampler_next", f"{case}, {bad}", sampler, bad, token, NULL)
        for good in ([0.0] * 4, [3e38, -3e38, 3e38, -INFINITY], [1e-45, -1e-45, 0.0, -0.0]):
            call("cw_sampler_next", f"{case}, {good}", sampler, good, token, NULL, gives=OK)
            call("cw_sampler_accept", "the token", sampler, token, 1, gives=OK)
        call("cw_sampler_accept", "no sampler", NULL, token, 1)
        call("cw_sampler_accept", "no ids", sampler, NULL, 1)
        call("cw_sampler_accept", "nothing", sampler, NULL, 0, gives=OK)
        for bad_token in (-1, 4, INT_MIN, 2**31 - 1):
            call("cw_sampler_accept", f"id {bad_token}", sampler, [bad_token], 1)
        call("cw_sampler_accept", "too many", sampler, [0] * 9, 9, gives=CAPACITY)
        call("cw_sampler_accept", "a count that overflows", sampler, [0], 2**64 - 1, gives=CAPACITY)
        value("cw_sampler_close", sampler)


def generation(session: Any, info: Any) -> None:
    """cw_generate with every pointer missing in turn, and with stops that are none."""
    sampler = opened("cw_sampler_open", "cw_sampler", info.vocab_size, 4096, sampling())
    other = opened("cw_sampler_open", "cw_sampler", info.vocab_size - 1, 4096, sampling())
    full = opened("cw_sampler_open", "cw_sampler", info.vocab_size, 1, sampling())
    stop, ids = ffi.new("uint8_t[]", b"zz" * 200), ffi.new("int32_t[16]")
    sound: dict[str, Any] = {"stop_ids": ffi.new("int32_t[]", [1]), "stop_id_count": 1, "stop_strings": ffi.new("uint8_t *[]", [stop] * 40),
                             "stop_sizes": ffi.new("size_t[]", [2] * 40), "stop_string_count": 1, "max_tokens": 3,
                             "draft_ids": ffi.new("int32_t[]", [30, 31]), "draft_count": 2}  # fmt: skip
    places: dict[str, Any] = {"session": session, "sampler": sampler, "ids": ids, "out": ffi.new("cw_generation *")}

    def generate(case: str, gives: int = ARGUMENT, **changes: Any) -> None:
        given = places | {name: value for name, value in changes.items() if name in places}
        asked = ffi.new("cw_generate_request *", sound | {name: value for name, value in changes.items() if name not in places})
        call("cw_generate", case, given["session"], given["sampler"], asked, given["ids"], given["out"], gives=gives)

    call("cw_generate", "no request", session, sampler, NULL, ids, places["out"])
    for name in ("session", "sampler", "stop_ids", "stop_strings", "stop_sizes", "draft_ids", "ids", "out"):
        generate(f"no {name}", **{name: NULL})
    generate("a sampler of another vocabulary", sampler=other)
    for token in (-1, info.vocab_size, INT_MIN):
        generate(f"stop id {token}", stop_ids=ffi.new("int32_t[]", [token]))
        generate(f"drafted id {token}", draft_ids=ffi.new("int32_t[]", [1, token]))
    generate("33 stop strings", stop_string_count=33)
    generate("2^64 - 1 stop strings", stop_string_count=2**64 - 1)
    generate("a missing stop string", stop_strings=ffi.new("uint8_t *[]", [NULL]))
    for size in (0, 257, 2**64 - 1):
        generate(f"a stop string of {size} bytes", stop_sizes=ffi.new("size_t[]", [size]))
    generate("a sampler without room", CAPACITY, sampler=full)
    generate("no tokens wanted", OK, max_tokens=0, ids=NULL)
    generate("without stops and extras", OK, stop_ids=NULL, stop_id_count=0, stop_strings=NULL, stop_sizes=NULL, stop_string_count=0,
             draft_ids=NULL, draft_count=0)  # fmt: skip
    together(session, sampler, other, sound)
    lib.cw_session_rewind(session, 0)
    generate("an empty session")
    for handle in (sampler, other, full):
        value("cw_sampler_close", handle)


def together(session: Any, sampler: Any, other: Any, sound: dict[str, Any]) -> None:
    """cw_generate_each and the beam with every pointer missing in turn, and with sessions that do not go together."""
    alone = sound | {"draft_ids": NULL, "draft_count": 0}
    ids, out, found = ffi.new("int32_t[16]"), ffi.new("cw_generation[2]"), ffi.new("uint32_t *")
    places = {"sessions": ffi.new("cw_session *[]", [session]), "samplers": ffi.new("cw_sampler *[]", [sampler]),
              "requests": ffi.new("cw_generate_request[]", [alone]), "ids": ffi.new("int32_t *[]", [ids]), "out": out}  # fmt: skip

    def each(case: str, count: int = 1, gives: int = ARGUMENT, **changes: Any) -> None:
        given = places | changes
        arguments = (given["sessions"], given["samplers"], given["requests"], count, given["ids"], given["out"])
        call("cw_generate_each", case, *arguments, gives=gives)

    for name in places:
        each(f"no {name}", **{name: NULL})
    for count in (0, 65, HUGE):
        each(f"{count} sessions", count)
    each("a missing session", sessions=ffi.new("cw_session *[]", [NULL]))
    each("a missing sampler", samplers=ffi.new("cw_sampler *[]", [NULL]))
    each("another vocabulary", samplers=ffi.new("cw_sampler *[]", [other]))
    each("no place for ids", ids=ffi.new("int32_t *[]", [NULL]))
    each("a session twice", 2, sessions=ffi.new("cw_session *[]", [session] * 2))

    for width, tokens in ((0, 4), (9, 4), (HUGE, 4), (2, 0), (2, 2**24 + 1)):
        refused("cw_beam_open", "cw_beam", f"{width}, {tokens}", width, tokens)
    beam = opened("cw_beam_open", "cw_beam", 1, 4)
    asked, wrong_ids = ffi.new("cw_generate_request *", alone), ffi.new("int32_t[]", [2**31 - 1])
    answer = ffi.new("int32_t **")
    call("cw_beam_answer", "before a search", beam, 0, answer, out)
    for case, arguments in {"no beam": (NULL, places["sessions"], asked, found), "no sessions": (beam, NULL, asked, found),
                            "no request": (beam, places["sessions"], NULL, found), "no place": (beam, places["sessions"], asked, NULL),
                            "a missing session": (beam, ffi.new("cw_session *[]", [NULL]), asked, found)}.items():  # fmt: skip
        call("cw_beam_search", case, *arguments)
    for case, changes in {"a draft": sound, "too many tokens": {"max_tokens": 5}, "no tokens": {"max_tokens": 0},
                          "a stop id": {"stop_ids": wrong_ids}, "33 stop ids": {"stop_id_count": 33}, "no stop ids": {"stop_ids": NULL},
                          "33 stop strings": {"stop_string_count": 33}}.items():  # fmt: skip
        call("cw_beam_search", case, beam, places["sessions"], ffi.new("cw_generate_request *", alone | changes), found)
    call("cw_beam_search", "a sound request", beam, places["sessions"], asked, found, gives=OK)
    for index in (found[0], HUGE):
        call("cw_beam_answer", f"{index}", beam, index, answer, out)
    call("cw_beam_answer", "no beam", NULL, 0, answer, out)
    call("cw_beam_answer", "no ids", beam, 0, NULL, out)
    call("cw_beam_answer", "no place", beam, 0, answer, NULL)
    value("cw_beam_close", beam)
    value("cw_beam_close", NULL)


class Wanderer:
    """A session of at most 200 tokens and the ids that it should hold."""

    def __init__(self, model: Any, info: Any):
        self.info, self.ids = info, []
        self.session = opened("cw_session_open", "cw_session", model, options(max_tokens=200))
        self.lent = 0  # tokens that another session uses

    def logits(self) -> bytes | None:
        out = ffi.new("float **")
        if lib.cw_session_logits(self.session, out) != OK:
            return None
        return bytes(ffi.buffer(out[0], 4 * self.info.vocab_size))

    def feed(self, generator: random.Random) -> bool:
        most = generator.choice((3, 12, 90))
        new = [generator.choice((30, 31, 60, 70, 80, 299) * 20 + (-1, self.info.vocab_size)) for _ in range(generator.randrange(most))]
        if lib.cw_session_feed(self.session, new, len(new)) != OK:
            return False
        self.ids += new
        return True

    def rewind(self, generator: random.Random) -> bool:
        length = len(self.ids)
        target = generator.choice((length, max(0, length - 3), 0, 64, 128, length // 64 * 64, generator.randrange(210), HUGE))
        if target < self.lent or lib.cw_session_rewind(self.session, target) != OK:
            return False
        del self.ids[target:]
        return True

    def save(self, generator: random.Random) -> tuple[int, list[int], Any] | None:
        """A block, its index and its ids."""
        index, block = generator.randrange(4), ffi.new("void **")
        status = lib.cw_session_block(self.session, index, block)
        if (status == OK) != (64 * index + 64 <= len(self.ids)):
            wrong.append(f"wander: block {index} of {len(self.ids)} tokens gives status {status}")
        if status != OK:
            return None
        data = bytes(ffi.buffer(block[0], self.info.block_bytes))
        return index, self.ids[64 * index : 64 * index + 64], aligned(len(data), 0, data)

    def attach(self, saved: tuple[int, list[int], Any], before: list[int]) -> bool:
        """`before` are the ids that stood before the block."""
        index, ids, block = saved
        if self.ids != before and len(self.ids) == len(before):
            return False  # the header cannot tell: a cache keys by everything before
        status = lib.cw_session_attach(self.session, ids, block, self.info.block_bytes)
        if (status == OK) != (len(self.ids) == 64 * index and len(self.ids) <= 200 - 64):
            wrong.append(f"wander: attaching block {index} after {len(self.ids)} tokens gives status {status}")
        if status == OK:
            self.ids += ids
        return status == OK


def wander(model: Any, info: Any) -> None:
    """Four thousand random calls on two sessions, most of them wrong: they hold what the accepted calls make them, and give the logits
    that a session fed afresh gives."""
    generator = random.Random(9)
    one, two, fresh = (Wanderer(model, info) for _ in range(3))
    saved, before = None, []
    done = dict.fromkeys(("feed", "rewind", "block", "attach", "share", "logits"), 0)  # accepted calls of each kind
    for step in range(4000):
        kind, (walker, peer) = generator.choice(list(done)), generator.choice(((one, two), (two, one)))
        accepted = False
        if kind == "feed":
            accepted = walker.feed(generator)
        elif kind == "rewind":
            accepted = walker.rewind(generator)
            if not walker.ids:
                peer.lent = 0
        elif kind == "block":
            found = walker.save(generator)
            if found is not None:
                saved, before, accepted = found, walker.ids[: 64 * found[0]], True
        elif kind == "attach" and saved is not None:
            accepted = walker.attach(saved, before)
        elif kind == "share":
            count = generator.randrange(len(peer.ids) + 2)
            status = lib.cw_session_share(walker.session, peer.session, count)
            if (status == OK) != (not walker.ids and count <= len(peer.ids)):
                wrong.append(f"wander {step}: sharing {count} of {len(peer.ids)} into {len(walker.ids)} gives status {status}")
            if status == OK:
                walker.ids, peer.lent = peer.ids[:count], count
                accepted = count > 0
        elif kind == "logits":
            accepted = walker.logits() is not None
            if accepted != bool(walker.ids):
                wrong.append(f"wander {step}: logits of {len(walker.ids)} tokens")
        done[kind] += accepted
        if lib.cw_session_length(walker.session) != len(walker.ids):
            wrong.append(f"wander {step}, {kind}: length {lib.cw_session_length(walker.session)}, expected {len(walker.ids)}")
            return
        if step % 40 == 0 and walker.ids:
            lib.cw_session_rewind(fresh.session, 0)
            lib.cw_session_feed(fresh.session, walker.ids, len(walker.ids))
            if fresh.logits() != walker.logits():
                wrong.append(f"wander {step}, {kind}: other logits than those of the same {len(walker.ids)} tokens fed afresh")
                return
    if min(done.values()) < 20:
        wrong.append(f"wander: too few calls of some kind were accepted: {done}")
    for walker in (one, two, fresh):
        value("cw_session_close", walker.session)


def pictures() -> None:
    sizes = [ffi.new("uint32_t *") for _ in range(4)]
    for width, height, tiles in ((0, 1, 1), (1, 0, 1), (1, 1, 0), (HUGE, HUGE, HUGE), (65536, 1, 1), (65535, 65535, 64)):
        call("cw_image_layout", f"{width}, {height}, {tiles}", width, height, tiles, *sizes)
    for missing in range(4):
        call("cw_image_layout", f"no place {missing}", 9, 9, 1, *(NULL if i == missing else sizes[i] for i in range(4)))
    rgb, out = bytes(300), ffi.new("uint8_t[]", 256 * 256 * 3)
    call("cw_image_tiles", "no picture", NULL, 10, 10, 1, 1, 10, 10, out)
    call("cw_image_tiles", "no place", rgb, 10, 10, 1, 1, 10, 10, NULL)
    for numbers in ((0, 10, 1, 1, 10, 10), (10, 0, 1, 1, 10, 10), (10, 10, 0, 1, 10, 10), (10, 10, 1, 0, 10, 10), (10, 10, 1, 1, 0, 10),
                    (10, 10, 1, 1, 10, 0), (10, 10, 1, 1, 11, 10), (10, 10, 1, 1, 10, 11), (10, 10, 9, 1, 10, 10),
                    (10, 10, 1, HUGE, 10, 10),
                    (HUGE, HUGE, 1, 1, 1, 1), (65535, 65535, 1, 1, 1, 1), (10, 10, 1, 1, HUGE, HUGE)):  # fmt: skip
        call("cw_image_tiles", str(numbers), rgb, *numbers, out)


def differences() -> None:
    refused("cw_diff_open", "cw_diff", "no old text", NULL, 1, b"a", 1, lib.CW_DIFF_HISTOGRAM)
    refused("cw_diff_open", "cw_diff", "no new text", b"a", 1, NULL, 1, lib.CW_DIFF_HISTOGRAM)
    refused("cw_diff_open", "cw_diff", "no such algorithm", b"a", 1, b"a", 1, 4)
    value("cw_diff_close", NULL)
    texts, sizes, names = ffi.new("uint8_t *[4]"), ffi.new("size_t[4]"), ffi.new("char[]", 4 * (lib.CW_BLOB_NAME_DIGITS + 1))
    for count in (0, 5, HUGE):
        call("cw_blob_names", f"{count} texts", texts, sizes, count, names)
    for missing in range(3):
        call("cw_blob_names", f"argument {missing} missing", *(NULL if i == missing else one for i, one in enumerate((texts, sizes))), 1,
             NULL if missing == 2 else names)
    sizes[1] = 1
    call("cw_blob_names", "a text missing", texts, sizes, 2, names)
    text, size = ffi.new("uint8_t **"), ffi.new("size_t *")
    for old, new, count in ((b"", b"", 0), (b"\0", b"", 1), (b"\n" * 5000, b"\r" * 5000, 1), (b"a", b"a\n", 1)):
        diff = opened("cw_diff_open", "cw_diff", old or NULL, len(old), new or NULL, len(new), lib.CW_DIFF_MYERS)
        changes = ffi.new("cw_diff_change **")
        if value("cw_diff_changes", diff, changes) != count:
            wrong.append(f"cw_diff_changes: {old[:3]!r} to {new[:3]!r} is not {count} changes")
        call("cw_diff_text", "no text", diff, 3, NULL, size)
        call("cw_diff_text", "no size", diff, 3, text, NULL)
        if value("cw_diff_text", diff, HUGE, text, size) != OK or (size[0] > 0) != (count > 0):
            wrong.append(f"cw_diff_text: {old[:3]!r} to {new[:3]!r} gives {size[0]} bytes")
        value("cw_diff_close", diff)


def main(pack: Path, other_pack: Path) -> int:
    steps: list[Callable[[], None]] = [machine, samplers, pictures, differences]
    steps += [misuse_files.patches, misuse_files.walks, misuse_files.postings]
    for step in steps:
        step()
    model = models(pack)
    info = ffi.new("cw_model_info *")
    value("cw_model_describe", model, info)
    value("cw_model_config", model, ffi.new("size_t *"))
    tokenizer = value("cw_model_tokenizer", model)
    texts(tokenizer)
    misuse_files.surveys(tokenizer)
    image = value("cw_tokenizer_special", tokenizer, b"<IMAGE>")
    sessions(model, info, image)
    other, again = (opened("cw_model_open", "cw_model", bytes(path)) for path in (other_pack, pack))
    blocks(model, other, again, info, image)
    wander(model, info)
    for handle in (model, other, again):
        value("cw_model_close", handle)
    left = sorted(name for name in dir(lib) if name.startswith("cw_") and not name.startswith("cw_py_") and name not in called)
    if left:
        wrong.append(f"never called: {', '.join(left)}")
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
