"""Hostile values for what reads patches, walks trees and indexes them; called by misuse_calls.py."""

from __future__ import annotations

import os
import random
import tempfile
from typing import Any

from misuse import ARGUMENT, CAPACITY, FORMAT, HUGE, INFINITY, IO, NAN, NULL, OK, call, opened, refused, value, wrong

from cromwell.binding._native import ffi, lib

PATCH = b"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"


def patches() -> None:
    out, fault = ffi.new("cw_patch **"), ffi.new("cw_patch_fault *")
    call("cw_patch_open", "no text", NULL, 1, out, fault)
    call("cw_patch_open", "no place", PATCH, len(PATCH), NULL, fault)
    call("cw_patch_open", "too large", PATCH, lib.CW_PATCH_BYTES_MAX + 1, out, fault, gives=CAPACITY)
    generator = random.Random(5)
    for case, text in (("cut", PATCH[:-3]), ("a hunk alone", PATCH[16:]), ("counts", PATCH.replace(b"1,2", b"1,999999999"))):
        call("cw_patch_open", case, text, len(text), out, fault, gives=FORMAT)
        call("cw_patch_open", case + ", no fault", text, len(text), out, NULL, gives=FORMAT)
        if out[0] != NULL or fault.kind == lib.CW_PATCH_SOUND:
            wrong.append(f"cw_patch_open: {case}: {out[0]}, fault {fault.kind}")
    for noise in (bytes(4096), generator.randbytes(4096), b"@@" * 5000, b"diff --git " * 400):
        call("cw_patch_open", "noise", noise, len(noise), out, fault, gives=(OK, FORMAT))
        value("cw_patch_close", out[0])
        out[0] = NULL
    value("cw_patch_close", NULL)
    call("cw_patch_open", "nothing", NULL, 0, out, fault, gives=OK)
    fits, made, size = ffi.new("int32_t *"), ffi.new("uint8_t **"), ffi.new("size_t *")
    call("cw_patch_fit", "no file in it", out[0], 0, 0, b"", 0, fits, made, size)
    value("cw_patch_close", out[0])
    text = ffi.from_buffer(PATCH)
    call("cw_patch_open", "as documented", text, len(PATCH), out, NULL, gives=OK)
    patch = out[0]
    for name, kind, count in (("files", "file", 1), ("hunks", "hunk", 1), ("blocks", "block", 0)):
        if value(f"cw_patch_{name}", patch, ffi.new(f"cw_patch_{kind} **")) != count:
            wrong.append(f"cw_patch_{name}: not {count}")
    value("cw_patch_strings", patch, ffi.new("uint8_t **"))
    sound = (patch, 0, 0, b"a\nb\n", 4, fits, made, size)
    for at in (0, 3, 5, 6, 7):
        call("cw_patch_fit", f"argument {at} missing", *(NULL if at == i else one for i, one in enumerate(sound)))
    for file, how in ((1, 0), (HUGE, 0), (0, 8), (0, HUGE)):
        call("cw_patch_fit", f"file {file}, how {how}", patch, file, how, *sound[3:])
    for how in range(8):
        call("cw_patch_fit", f"how {how}", patch, 0, how, *sound[3:], gives=OK)
    call("cw_patch_fit", "as documented", *sound, gives=OK)
    if not fits[0] or ffi.buffer(made[0], size[0])[:] != b"a\nc\n":
        wrong.append("cw_patch_fit: a hunk at its place does not fit")
    value("cw_patch_close", patch)


def walks() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "a.py"), "w") as stream:
            stream.write("value = 1\n")
        root = ffi.new("char[]", os.fsencode(folder))
        empty = ffi.new("char[]", b"")

        def request(**changes: Any) -> Any:
            sound = {"root": root, "top": root, "prefix": empty, "id_bytes": 20, "threads": 2}
            return ffi.new("cw_walk_request *", sound | changes)

        refused("cw_walk_open", "cw_walk", "no request", NULL)
        for field in ("root", "top", "prefix"):
            refused("cw_walk_open", "cw_walk", f"no {field}", request(**{field: NULL}))
        long = ffi.new("char[]", b"a" * 100000 + b"/")
        half = ffi.new("char[]", b"a/b")
        odd = {"ids of 7 bytes": {"id_bytes": 7}, "a prefix without a slash": {"prefix": half}, "a long prefix": {"prefix": long}}
        for case, changes in odd.items():
            refused("cw_walk_open", "cw_walk", case, request(**changes))
        file, none = ffi.new("char[]", os.fsencode(folder) + b"/a.py"), ffi.new("char[]", os.fsencode(folder) + b"/none\x1b\n")
        for case, path in (("a file", file), ("no folder", none)):
            refused("cw_walk_open", "cw_walk", case, request(root=path), gives=IO)
            refused("cw_walk_names", "cw_walk", case, path, NULL, 0, gives=IO)
        refused("cw_walk_names", "cw_walk", "no root", NULL, NULL, 0)
        refused("cw_walk_names", "cw_walk", "no names", root, NULL, 5)
        refused("cw_walk_names", "cw_walk", "names without an end", root, b"a.py", 4)
        value("cw_walk_close", NULL)
        stats, names, size, unreadable = ffi.new("cw_file_stat **"), ffi.new("uint8_t **"), ffi.new("size_t *"), ffi.new("uint32_t *")
        odd = {"threads": HUGE, "git_index": file, "exclude_file": none, "global_file": root, "hidden": -1, "in_repository": -1}
        for changes in ({}, {"threads": 0}, odd):
            walk = opened("cw_walk_open", "cw_walk", request(**changes))
            if value("cw_walk_files", walk, stats, names, size, unreadable) != 1:
                wrong.append(f"cw_walk_files: {changes}: not one file")
            value("cw_walk_close", walk)
        walk = opened("cw_walk_names", "cw_walk", root, b"none\0\0../\0a.py\0", 15)
        if value("cw_walk_files", walk, stats, names, size, unreadable) != 1 or unreadable[0] != 3:
            wrong.append(f"cw_walk_names: {unreadable[0]} unreadable")
        value("cw_walk_close", walk)


def surveys(tokenizer: Any) -> None:
    value("cw_tokenizer_fingerprint", tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        names = b"a.py\0none\0odd.bin\0"
        for name, content in ((b"a.py", b"def read(path):\n    return path\n"), (b"odd.bin", bytes(range(256)) * 40)):
            with open(os.path.join(os.fsencode(folder), name), "wb") as stream:
                stream.write(content)
        root = ffi.new("char[]", os.fsencode(folder))
        held = ffi.from_buffer(names)

        def request(**changes: Any) -> Any:
            sound = {"root": root, "names": held, "names_size": len(names), "count": 3, "threads": 2, "tokenizer": tokenizer,
                     "max_bytes": 1 << 20, "max_other_bytes": 1 << 20}  # fmt: skip
            return ffi.new("cw_survey_request *", sound | changes)

        refused("cw_survey_open", "cw_survey", "no request", NULL)
        for case, changes in (("no root", {"root": NULL}), ("no names", {"names": NULL}), ("fewer names than said", {"count": 4})):
            refused("cw_survey_open", "cw_survey", case, request(**changes))
        refused("cw_survey_open", "cw_survey", "no folder", request(root=ffi.new("char[]", b"/none\x1b")), gives=IO)
        value("cw_survey_close", NULL)
        for changes in ({"threads": 0}, {"threads": HUGE}, {"tokenizer": NULL}, {"max_bytes": 0, "max_other_bytes": 2**64 - 1}):
            value("cw_survey_close", opened("cw_survey_open", "cw_survey", request(**changes)))
        survey = opened("cw_survey_open", "cw_survey", request())
        files, text, size = ffi.new("cw_survey_file **"), ffi.new("uint8_t **"), ffi.new("size_t *")
        if value("cw_survey_files", survey, files) != 3 or [files[0][i].state for i in range(3)] != [0, 4, 1]:
            wrong.append(f"cw_survey_files: states {[files[0][i].state for i in range(3)]}")
        for case, arguments in {
            "no survey": (NULL, 0, text, size), "beyond the last": (survey, 3, text, size), "far": (survey, 2**63, text, size),
            "no text": (survey, 0, NULL, size), "no size": (survey, 0, text, NULL),
        }.items():  # fmt: skip
            call("cw_survey_details", case, *arguments)
        call("cw_survey_details", "of what could not be read", survey, 1, text, size, gives=OK)
        out = ffi.new("cw_postings **")
        for case, arguments in {"no survey": (NULL, 0, out), "no such kind": (survey, 3, out), "no place": (survey, 0, NULL)}.items():
            call("cw_survey_postings", case, *arguments)
        call("cw_survey_postings", "as documented", survey, lib.CW_POSTINGS_NAMES, out, gives=OK)
        _blocks(out[0])
        value("cw_survey_close", survey)


def _blocks(made: Any) -> None:
    """Damaged blocks, and files that are not there."""
    firsts, ends, data = ffi.new("uint64_t **"), ffi.new("size_t **"), ffi.new("uint8_t **")
    if value("cw_postings_blocks", made, firsts, ends, data) != 1:
        wrong.append("cw_postings_blocks: not one block")
    block = ffi.buffer(data[0], ends[0][0])[:]
    value("cw_postings_close", made)
    value("cw_postings_close", NULL)
    hash_of = value("cw_name_hash", b"path", 4)
    value("cw_name_hash", b"", 0)
    value("cw_name_hash", b"x" * 100000, 100000)
    files, found, counts, count = [5, -1, 7], ffi.new("int32_t[4]"), ffi.new("uint32_t[4]"), ffi.new("size_t *")
    merge = ffi.new("cw_merge **")
    call("cw_merge_open", "no place", NULL)
    call("cw_merge_open", "as documented", merge, gives=OK)
    sound = (block, len(block), hash_of, files, 3, found, counts, 4, count)
    for at in (0, 3, 5, 6, 8):
        call("cw_postings_find", f"argument {at} missing", *(NULL if at == i else one for i, one in enumerate(sound)))
    call("cw_postings_find", "as documented", *sound, gives=OK)
    if count[0] != 1 or found[0] != 5:
        wrong.append(f"cw_postings_find: {count[0]} files")
    call("cw_postings_find", "no room", *sound[:7], 0, count, gives=CAPACITY)
    call("cw_postings_find", "too few files", *sound[:3], NULL, 0, *sound[5:], gives=FORMAT)
    for at in (0, 1, 4):
        arguments = (merge[0], block, len(block), files, 3)
        if at != 4:
            call("cw_merge_add", f"argument {at} missing", *(NULL if at == i else one for i, one in enumerate(arguments)))
    call("cw_merge_add", "no files", merge[0], block, len(block), NULL, 3)
    damaged = (FORMAT, lib.CW_E_CHECKSUM)
    for at in range(0, len(block), 3):
        bad = block[:at] + bytes([block[at] ^ 64]) + block[at + 1 :]
        call("cw_postings_find", f"byte {at} flipped", bad, len(bad), *sound[2:], gives=damaged)
        call("cw_merge_add", f"byte {at} flipped", merge[0], bad, len(bad), files, 3, gives=damaged)
        call("cw_postings_find", f"{at} bytes", block, at, *sound[2:], gives=damaged)
    call("cw_merge_add", "as documented", merge[0], block, len(block), files, 3, gives=OK)
    out = ffi.new("cw_postings **")
    call("cw_merge_postings", "no merge", NULL, out)
    call("cw_merge_postings", "no place", merge[0], NULL)
    call("cw_merge_postings", "as documented", merge[0], out, gives=OK)
    value("cw_postings_close", out[0])
    value("cw_merge_close", merge[0])
    value("cw_merge_close", NULL)


def postings() -> None:
    """What needs no survey."""
    for number in (0, 1, 1000, HUGE):
        value("cw_language_name", number)
    digest = ffi.new("uint8_t[16]")
    for size in (0, 1, 31, 32, 33, 5000):
        value("cw_digest", bytes(size), size, digest)
    files, counts, lengths, scores = [0, 1], [1, HUGE], [0, HUGE], ffi.new("double[2]")
    sound = (files, counts, 2, lengths, 2, 1.0, 1.2, 0.75, 10.0, scores)
    for at in (0, 1, 3, 9):
        call("cw_bm25_add", f"argument {at} missing", *(NULL if at == i else one for i, one in enumerate(sound)))
    for bad in ([0, 2], [-1, 0], [2**31 - 1, 0]):
        call("cw_bm25_add", f"files {bad}", bad, *sound[1:])
    for numbers in ((NAN, 1.2, 0.75, 10.0), (1.0, -1.0, 2.0, 0.0), (INFINITY, 0.0, NAN, -INFINITY)):
        call("cw_bm25_add", str(numbers), *sound[:5], *numbers, scores, gives=OK)
    call("cw_bm25_add", "nothing", NULL, NULL, 0, NULL, 0, 1.0, 1.2, 0.75, 10.0, NULL, gives=OK)
    text, out, written = b"parseHTTPResponse read_file" + bytes(range(256)), ffi.new("uint8_t[]", 4096), ffi.new("size_t *")
    for name, more in (("cw_text_terms", ()), ("cw_survey_names", (b"a.py",))):
        call(name, "no text", NULL, 5, *more, out, 4096, written)
        call(name, "no room", text, len(text), *more, out, 3, written, gives=CAPACITY)
        call(name, "no place", text, len(text), *more, NULL, 4096, written)
        call(name, "no size", text, len(text), *more, out, 4096, NULL)
        call(name, "nothing", NULL, 0, *more, out, 4096, written, gives=OK)
        call(name, "as documented", text, len(text), *more, out, 4096, written, gives=OK)
    call("cw_survey_names", "no path", text, len(text), NULL, out, 4096, written)
    call("cw_survey_names", "too large", text, 2**63, b"a.py", out, 4096, written, gives=ARGUMENT)
