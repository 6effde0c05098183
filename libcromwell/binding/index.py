"""Python's view of libcromwell's index: what files hold, postings of terms and names, and scores."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cromwell.binding import Tokenizer, _check, _Handle
from cromwell.binding._native import ffi, lib

TEXT, BINARY, ENCODING, LARGE = lib.CW_SURVEY_TEXT, lib.CW_SURVEY_BINARY, lib.CW_SURVEY_ENCODING, lib.CW_SURVEY_LARGE
UNREADABLE, CHANGING = lib.CW_SURVEY_UNREADABLE, lib.CW_SURVEY_CHANGING
TERMS, NAMES, DEFINED, KINDS = lib.CW_POSTINGS_TERMS, lib.CW_POSTINGS_NAMES, lib.CW_POSTINGS_DEFINED, lib.CW_POSTINGS_KINDS
DIGEST_BYTES = lib.CW_DIGEST_BYTES
FILE_FORMAT = "<qqqQIIIIIIII16s"
"""A cw_survey_file for `struct`: size, mtime_ns, ctime_ns, inode, kind, 0, state, language, tokens, lines, terms, details, digest."""


class Blocks(NamedTuple):
    """Postings: the hash of the first entry of each block, in order, and the blocks."""

    firsts: array  # of "Q"
    blocks: list[bytes]


def languages() -> list[str]:
    """Names of languages by their numbers."""
    found: list[str] = []
    while (name := lib.cw_language_name(len(found))) != ffi.NULL:
        found.append(ffi.string(name).decode("ascii"))
    return found


def tokenizer_fingerprint(tokenizer: Tokenizer) -> str:
    """What tells a tokenizer from all others, as 16 hex digits."""
    return f"{lib.cw_tokenizer_fingerprint(tokenizer._open()):016x}"


def name_hash(name: bytes) -> int:
    """The hash of a term or name in postings."""
    return lib.cw_name_hash(ffi.from_buffer("uint8_t[]", name), len(name))


def digest(data: bytes) -> bytes:
    """The digest of a file's bytes."""
    out = ffi.new("uint8_t[]", DIGEST_BYTES)
    lib.cw_digest(ffi.from_buffer("uint8_t[]", data), len(data), out)
    return bytes(ffi.buffer(out))


def text_terms(text: bytes) -> list[bytes]:
    """The terms of a text in order, as they are counted in files."""
    capacity, written = 6 * len(text) + 64, ffi.new("size_t *")
    out = ffi.new("uint8_t[]", capacity)
    _check(lib.cw_text_terms(ffi.from_buffer("uint8_t[]", text), len(text), out, capacity, written))
    return bytes(ffi.buffer(out, written[0])).split(b"\n")[:-1]


def code_names(text: bytes, path: bytes) -> dict[bytes, int]:
    """Every identifier in the code of a text with its count, in order of first places."""
    capacity, written = 4 * len(text) + 64, ffi.new("size_t *")
    out = ffi.new("uint8_t[]", capacity)
    _check(lib.cw_survey_names(ffi.from_buffer("uint8_t[]", text), len(text), ffi.new("char[]", path), out, capacity, written))
    pairs = (line.split(b" ", 1) for line in bytes(ffi.buffer(out, written[0])).split(b"\n")[:-1])
    return {name: int(count) for count, name in pairs}


def _blocks(postings: Any) -> Blocks:
    try:
        firsts, ends, data = ffi.new("uint64_t **"), ffi.new("size_t **"), ffi.new("uint8_t **")
        count = lib.cw_postings_blocks(postings, firsts, ends, data)
        hashes = array("Q", bytes(ffi.buffer(firsts[0], 8 * count))) if count else array("Q")
        bounds = [0, *(ends[0][number] for number in range(count))]
        return Blocks(hashes, [bytes(ffi.buffer(data[0] + start, end - start)) for start, end in zip(bounds, bounds[1:], strict=False)])
    finally:
        lib.cw_postings_close(postings)


class Survey(_Handle):
    """What files hold: `names` (each ended by a zero byte, `count` in all) are relative to `root`."""

    def __init__(self, root: bytes, names: bytes, count: int, tokenizer: Tokenizer | None, threads: int, max_bytes: int,
                 max_other_bytes: int):
        fault, out, request = ffi.new("cw_fault *"), ffi.new("cw_survey **"), ffi.new("cw_survey_request *")
        kept = ffi.new("char[]", root), ffi.from_buffer("uint8_t[]", names)
        request.root, request.names, request.names_size, request.count = kept[0], kept[1], len(names), count
        request.threads, request.max_bytes, request.max_other_bytes = threads, max_bytes, max_other_bytes
        request.tokenizer = ffi.NULL if tokenizer is None else tokenizer._open()
        _check(lib.cw_survey_open(request, out, fault), fault)
        super().__init__(out[0], lib.cw_survey_close)

    def files(self) -> bytes:
        """A FILE_FORMAT record of each file."""
        files = ffi.new("cw_survey_file **")
        count = lib.cw_survey_files(self._open(), files)
        return bytes(ffi.buffer(files[0], count * ffi.sizeof("cw_survey_file")))

    def details(self, number: int) -> bytes:
        """Definitions and imports of a file, a line each (cromwell.h)."""
        text, size = ffi.new("uint8_t **"), ffi.new("size_t *")
        _check(lib.cw_survey_details(self._open(), number, text, size))
        return bytes(ffi.buffer(text[0], size[0]))

    def postings(self, kind: int) -> Blocks:
        """The postings of one kind."""
        out = ffi.new("cw_postings **")
        _check(lib.cw_survey_postings(self._open(), kind, out))
        return _blocks(out[0])


def merge(parts: Iterable[tuple[Sequence[bytes], array]]) -> Blocks:
    """Postings joined from the blocks of several; the array("i") of each renames its documents, and leaves out those it has -1 for."""
    out, made = ffi.new("cw_merge **"), ffi.new("cw_postings **")
    _check(lib.cw_merge_open(out))
    try:
        for blocks, files in parts:
            renamed = ffi.from_buffer("int32_t[]", files)
            for block in blocks:
                _check(lib.cw_merge_add(out[0], ffi.from_buffer("uint8_t[]", block), len(block), renamed, len(files)))
        _check(lib.cw_merge_postings(out[0], made))
    finally:
        lib.cw_merge_close(out[0])
    return _blocks(made[0])


class Finder:
    """Looks terms up and scores files; room for `file_count` files is taken once."""

    def __init__(self, file_count: int):
        self._capacity = max(1, file_count)
        self._found, self._counts = ffi.new("int32_t[]", self._capacity), ffi.new("uint32_t[]", self._capacity)
        self._count = ffi.new("size_t *")

    def find(self, block: bytes, name: int, files: array) -> tuple[array, array]:
        """Files (array "i") and counts (array "I") of the hash `name` in a block, documents renamed by `files`."""
        _check(lib.cw_postings_find(ffi.from_buffer("uint8_t[]", block), len(block), name, ffi.from_buffer("int32_t[]", files), len(files),
                                    self._found, self._counts, self._capacity, self._count))
        size = 4 * self._count[0]
        return array("i", bytes(ffi.buffer(self._found, size))), array("I", bytes(ffi.buffer(self._counts, size)))


def bm25_add(files: array, counts: array, lengths: array, weight: float, k1: float, b: float, mean_length: float, scores: array) -> None:
    """Adds to `scores` (array "d", one a file) what a term with these postings gives (cromwell.h)."""
    _check(lib.cw_bm25_add(ffi.from_buffer("int32_t[]", files), ffi.from_buffer("uint32_t[]", counts), len(files),
                           ffi.from_buffer("uint32_t[]", lengths), len(lengths), weight, k1, b, mean_length,
                           ffi.from_buffer("double[]", scores)))
