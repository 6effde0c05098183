"""The artifact container: what stages hand each other through pipes and files (docs/artifacts.md, design 3).

A stream of zstd frames: one JSON header line, one .npy array a frame, and an end frame with a digest of every byte before it.
`write` is a pure function of the artifact; `read` trusts nothing: every size is bounded before memory is taken for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b
from typing import Any, BinaryIO, NamedTuple

from cromwell.contract import schema
from cromwell.contract.errors import CommandError

MAGIC = "cromwell-artifact"
FORMAT = 1
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
COMPRESSION_LEVEL = 3  # fixed: the level is part of the bytes

MAX_HEADER_BYTES = 4 << 20
MAX_ARRAYS = 4096
MAX_ARRAY_BYTES = 256 << 20
MAX_TOTAL_BYTES = 1 << 30
MAX_DEPTH = 32  # nesting of the header's JSON
MAX_DIMENSIONS = 8

ITEM_BYTES = {"|u1": 1, "|i1": 1, "<i2": 2, "<u2": 2, "<i4": 4, "<u4": 4, "<i8": 8, "<u8": 8, "<f2": 2, "<f4": 4, "<f8": 8}
"""The dtypes an array may have, in .npy notation."""

HEADER_FIELDS = frozenset({"magic", "format", "kind", "schema", "meta", "arrays", "lineage", "required"})

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}(\.(0|[1-9][0-9]{0,5}))?")
_NPY_HEADER = re.compile(rb"\{ *'descr' *: *'([|<>=][a-zA-Z][0-9]{1,3})' *, *'fortran_order' *: *(True|False) *, *"
                         rb"'shape' *: *\(([0-9, ]*)\) *,? *\} *\n")


class ArtifactError(CommandError):
    """A stream that is not a sound artifact of the wanted kind (exit 2)."""


class Array(NamedTuple):
    """A dense array in C order: `data` holds prod(shape) items of `dtype`."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class Artifact:
    """One stage's result. `meta` and `lineage` are JSON values; `extra` holds header fields this version does not know."""

    __slots__ = ("kind", "meta", "arrays", "lineage", "required", "extra")

    def __init__(self, kind: str, meta: dict[str, Any], arrays: dict[str, Array], lineage: list[dict[str, Any]],
                 required: tuple[str, ...] = (), extra: dict[str, Any] | None = None):
        self.kind, self.meta, self.arrays, self.lineage = kind, meta, arrays, lineage
        self.required, self.extra = required, extra or {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        return f"Artifact({self.kind!r}, {self.meta!r}, arrays {list(self.arrays)})"


def bytes_array(data: bytes) -> Array:
    """`data` as a one-dimensional |u1 array."""
    return Array("|u1", (len(data),), data)


def is_artifact(first_bytes: bytes) -> bool:
    """Whether a stream that begins with `first_bytes` (4 or more) is meant as an artifact rather than text."""
    return first_bytes[:4] == ZSTD_MAGIC


def lineage_entry(tool: str, arguments: dict[str, Any], inputs: dict[str, str], model: str | None, seed: int | None) -> dict[str, Any]:
    """One step of a lineage. `inputs` maps names to content hashes; no times, hosts or absolute paths: same work, same entry."""
    from cromwell import __version__

    return {"tool": tool, "version": __version__, "arguments": arguments, "inputs": inputs, "model": model, "seed": seed}


# ---- Writing ----------------------------------------------------------------------------------------------------------------


def canonical_json(value: Any) -> bytes:
    """`value` as canonical JSON: sorted keys, no spaces, ASCII. ValueError on NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _header_line(artifact: Artifact) -> bytes:
    arrays = [{"name": name, "dtype": array.dtype, "shape": list(array.shape), "bytes": len(array.data)}
              for name, array in artifact.arrays.items()]
    header = {**artifact.extra, "magic": MAGIC, "format": FORMAT, "kind": artifact.kind, "schema": schema.VERSION, "meta": artifact.meta,
              "arrays": arrays, "lineage": artifact.lineage, "required": list(artifact.required)}
    return canonical_json(header) + b"\n"


def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The .npy 1.0 header, padded so that data begins at a multiple of 64 bytes."""
    shape_text = f"({shape[0]},)" if len(shape) == 1 else "(" + ", ".join(map(str, shape)) + ")"
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape_text}, }}".encode("ascii")
    padding = -(10 + len(text) + 1) % 64
    return b"\x93NUMPY\x01\x00" + (len(text) + padding + 1).to_bytes(2, "little") + text + b" " * padding + b"\n"


def content_parts(artifact: Artifact) -> Iterator[bytes]:
    """The uncompressed content in order: the header line, then each array's .npy header and data."""
    yield _header_line(artifact)
    for array in artifact.arrays.values():
        yield _npy_header(array.dtype, array.shape)
        yield array.data


def content_hash(artifact: Artifact) -> str:
    """blake2b-256 of the uncompressed content, in hex: the identity of an artifact whatever zstd made of it."""
    digest = blake2b(digest_size=32)
    for part in content_parts(artifact):
        digest.update(part)
    return digest.hexdigest()


def _end_frame(digest: str) -> bytes:
    """The end frame, byte for byte: a zstd frame of one uncompressed block without checksum, since the digest is its whole content."""
    content = canonical_json({"blake2b": digest, "end": MAGIC}) + b"\n"
    block = (1 | len(content) << 3).to_bytes(3, "little")  # last block, raw
    return ZSTD_MAGIC + bytes([0x20, len(content)]) + block + content


def write(artifact: Artifact, stream: BinaryIO) -> None:
    """Writes an artifact: the same artifact gives the same bytes with the same zstandard release. ValueError when it is not sound."""
    import zstandard

    for name, array in artifact.arrays.items():
        if _NAME.fullmatch(name) is None or array.dtype not in ITEM_BYTES or len(array.data) != _array_bytes(array.dtype, array.shape):
            raise ValueError(f"array {name}: {len(array.data)} bytes do not fit {array.dtype} {array.shape}")
    schema.check(artifact.kind, artifact.meta, artifact.arrays, artifact.lineage)
    compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True, write_content_size=True)
    digest = blake2b(digest_size=32)
    parts = [_header_line(artifact)] + [_npy_header(array.dtype, array.shape) + array.data for array in artifact.arrays.values()]
    for part in parts:
        frame = compressor.compress(part)
        digest.update(frame)
        stream.write(frame)
    stream.write(_end_frame(digest.hexdigest()))
    stream.flush()


def _array_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    size = ITEM_BYTES[dtype]
    for extent in shape:
        size *= extent
    return size


# ---- Reading ----------------------------------------------------------------------------------------------------------------


def read(stream: BinaryIO, name: str, kinds: Collection[str] | None = None) -> Artifact:
    """Reads one artifact to the end of `stream`, called `name` in errors. ArtifactError unless it is sound and, where `kinds` is
    given, one of these kinds. At most MAX_TOTAL_BYTES are decompressed, and never more than the header announced."""
    frames = _Frames(stream, name)
    header = _parse_header(frames.next(MAX_HEADER_BYTES, "the header", first=True), name)
    if kinds is not None and header["kind"] not in kinds:
        wanted = " or ".join(_with_article(kind) for kind in kinds)
        raise ArtifactError(f"{name}: is {_with_article(header['kind'])}, expected {wanted}", schema.NEXT_COMMAND[header["kind"]])
    frames.total = len(header["arrays"]) + 2
    arrays = {}
    for entry in header["arrays"]:
        what = f"array {entry['name']}"
        frame = frames.next(entry["bytes"] + 4096, what)
        arrays[entry["name"]] = Array(entry["dtype"], tuple(entry["shape"]), _npy_data(frame, entry, f"{name}: {what}"))
    frames.end()
    artifact = Artifact(header["kind"], header["meta"], arrays, header["lineage"], tuple(header["required"]),
                        {key: value for key, value in header.items() if key not in HEADER_FIELDS})
    try:
        schema.check(artifact.kind, artifact.meta, arrays, artifact.lineage)
    except schema.SchemaError as error:
        raise ArtifactError(f"{name}: {error}", "it was written by a faulty or hostile program; make it anew") from None
    return artifact


def _with_article(kind: str) -> str:
    return ("an " if kind[0] in "aeiou" else "a ") + kind


class _Frames:
    """The frames of a stream, one at a time, decompressed; keeps the digest."""

    def __init__(self, stream: BinaryIO, name: str):
        import zstandard

        self.zstd, self.decompressor = zstandard, zstandard.ZstdDecompressor()
        self.stream, self.name, self.digest = stream, name, blake2b(digest_size=32)
        self.done, self.total = 0, 0  # frames read; frames in all, 0 while unknown

    def _take(self, count: int) -> bytes:
        """Exactly `count` bytes of the stream; asks for at most 1 MiB at a time, so that a lie about sizes takes no memory."""
        pieces = []
        while count:
            piece = self.stream.read(min(count, 1 << 20))
            if not piece:
                place = f"after frame {self.done}" + (f" of {self.total}" if self.total else "")
                raise ArtifactError(f"{self.name}: truncated {place}", "the command that wrote it stopped early; run it again")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def next(self, limit_bytes: int, what: str, first: bool = False) -> bytes:
        """The content of the next frame, at most `limit_bytes`."""
        start = self._start() if first else self._take(5)
        if start[:4] != ZSTD_MAGIC:
            self._damaged(what, "no zstd frame where one belongs")
        # RFC 8878 3.1.1.1: the descriptor says how long the rest of the frame header is.
        descriptor = start[4]
        single, size_flag = descriptor >> 5 & 1, descriptor >> 6
        size_bytes = (1 if single else 0, 2, 4, 8)[size_flag]
        if descriptor & 0b00011011 or not descriptor & 0b100 or not size_bytes:
            self._damaged(what, "a frame without size or checksum, or with a dictionary")
        header = start + self._take(size_bytes + (0 if single else 1))
        content_bytes = self.zstd.get_frame_parameters(header).content_size
        if content_bytes > limit_bytes:
            raise ArtifactError(f"{self.name}: {what} announces {content_bytes} bytes, more than the {limit_bytes} allowed",
                                "it is damaged or hostile; make it anew")
        frame = header + self._blocks(content_bytes, what) + self._take(4)
        try:
            content = self.decompressor.decompress(frame, max_output_size=content_bytes)
        except self.zstd.ZstdError:
            self._damaged(what, "checksum or compressed data are wrong")
        if len(content) != content_bytes:
            self._damaged(what, "the size is not the announced one")
        self.digest.update(frame)
        self.done += 1
        return content

    def _start(self) -> bytes:
        """The first 5 bytes; says what the stream is when it is no artifact."""
        start = self.stream.read(4) or b""
        while len(start) < 4 and (piece := self.stream.read(4 - len(start))):
            start += piece
        if not start:
            raise ArtifactError(f"{self.name}: empty", "the command before it in the pipe probably failed; look at its error")
        if start != ZSTD_MAGIC[:len(start)]:
            hint = "give a file or stream that a cw- command wrote"
            if start in (b"diff", b"--- ", b"Inde", b"From"):
                hint = "this looks like a diff, which cw-apply takes"
            elif start == b"CROM":
                hint = "this looks like a model pack, which --model takes; `cw-inspect FILE` shows it"
            raise ArtifactError(f"{self.name}: not a Cromwell artifact", hint)
        return start + self._take(5 - len(start))

    def _blocks(self, content_bytes: int, what: str) -> bytes:
        """The blocks of a frame (RFC 8878 3.1.1.2). Their size is bounded by that of the content: zstd stores what does not shrink."""
        pieces, room = [], content_bytes + content_bytes // 64 + 1024
        while True:
            head = self._take(3)
            value = int.from_bytes(head, "little")
            kind, size = value >> 1 & 3, value >> 3
            body = self._take(1 if kind == 1 else size) if kind != 3 and size <= min(room, 1 << 17) else None
            if body is None:
                self._damaged(what, "a block is larger than its frame allows")
            pieces += [head, body]
            room -= 3 + len(body)
            if room < 0:
                self._damaged(what, "more blocks than its content needs")
            if value & 1:
                return b"".join(pieces)

    def end(self) -> None:
        """Reads the end frame and checks that nothing follows."""
        expected = _end_frame(self.digest.hexdigest())
        if self._take(len(expected)) != expected:
            self._damaged("the end frame", "the digest does not match")
        if self.stream.read(1):
            raise ArtifactError(f"{self.name}: data after the end", "one stream holds one artifact; were two joined?")

    def _damaged(self, what: str, why: str) -> None:
        raise ArtifactError(f"{self.name}: {what} is damaged: {why}", "copy it again, or run the command that wrote it again")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 64:
        raise ValueError("an integer beyond 64 bits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError("a number beyond a double")
    return value


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON value")


def _depth(value: Any) -> int:
    """Nesting of a JSON value, without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [child for parent in level if isinstance(parent, (dict, list))
                 for child in (parent.values() if isinstance(parent, dict) else parent)]
    return depth


def parse_json(text: bytes) -> Any:
    """A JSON value from outside. ValueError on duplicate keys, NaN, infinities, integers beyond 64 bits, and deep nesting."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_pairs, parse_int=_integer, parse_float=_real, parse_constant=_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if _depth(value) > MAX_DEPTH:
        raise ValueError("nested too deep")
    return value


def _parse_header(line: bytes, name: str) -> dict[str, Any]:
    """The header of a stream, every field checked for type and bounds. ArtifactError says what is off."""

    def refuse(why: str, hint: str = "it was not written by a sound cw- command; make it anew") -> ArtifactError:
        return ArtifactError(f"{name}: header: {why}", hint)

    if line[-1:] != b"\n" or line.count(b"\n") != 1:
        raise refuse("is not one line", "it is zstd data of another kind" if line[:1] != b"{" else "make it anew")
    try:
        header = parse_json(line)
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError included
        raise refuse(f"is not the JSON expected ({getattr(error, 'msg', None) or getattr(error, 'reason', None) or error})") from None
    if not isinstance(header, dict) or header.get("magic") != MAGIC:
        raise refuse("no artifact's", "it is zstd data of another kind")
    another = "it was written by another version of cromwell; make it anew"
    kind, required = header.get("kind"), header.get("required")
    if type(header.get("format")) is not int or header["format"] != FORMAT:
        raise refuse(f"format version {header.get('format')!r} is not {FORMAT}", another)
    if not isinstance(kind, str) or kind not in schema.KINDS:
        raise refuse(f"unknown kind {kind!r}", "a newer cromwell may read it")
    if not isinstance(required, list) or not all(isinstance(item, str) for item in required):
        raise refuse("`required` is not a list of names")
    unknown = sorted(set(required) - HEADER_FIELDS - {f"meta.{field}" for field in schema.KINDS[kind]})
    if unknown:
        raise refuse(f"needs a reader that understands {', '.join(unknown[:5])}", "a newer cromwell may read it")
    if type(header.get("schema")) is not int or header["schema"] != schema.VERSION:
        raise refuse(f"schema version {header.get('schema')!r} is not {schema.VERSION}", another)
    for field, form in (("meta", dict), ("lineage", list), ("arrays", list)):
        if not isinstance(header.get(field), form):
            raise refuse(f"`{field}` is missing or of the wrong type")
    _check_entries(header["arrays"], refuse)
    return header


def _check_entries(entries: list[Any], refuse: Callable[..., ArtifactError]) -> None:
    """Checks the array table: unique names, known dtypes, sizes that agree and stay within the limits."""
    if len(entries) > MAX_ARRAYS:
        raise refuse(f"{len(entries)} arrays, more than {MAX_ARRAYS}")
    names, total = set(), 0
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"name", "dtype", "shape", "bytes"}:
            raise refuse("an entry of `arrays` is not name, dtype, shape and bytes")
        name, dtype, shape, size = entry["name"], entry["dtype"], entry["shape"], entry["bytes"]
        if not isinstance(name, str) or _NAME.fullmatch(name) is None or name in names:
            raise refuse(f"array name {name!r} is malformed or used twice")
        names.add(name)
        if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
            raise refuse(f"array {name}: dtype {dtype!r} is not one of {' '.join(ITEM_BYTES)}")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or any(type(n) is not int or not 0 <= n < 1 << 32 for n in shape):
            raise refuse(f"array {name}: shape is not a list of at most {MAX_DIMENSIONS} sizes")
        if type(size) is not int or size != _array_bytes(dtype, tuple(shape)):
            raise refuse(f"array {name}: shape and bytes disagree")
        total += size
        if size > MAX_ARRAY_BYTES or total > MAX_TOTAL_BYTES:
            raise refuse(f"array {name}: more than {MAX_ARRAY_BYTES >> 20} MiB an array or {MAX_TOTAL_BYTES >> 20} MiB in all")


def _npy_data(frame: bytes, entry: dict[str, Any], where: str) -> bytes:
    """The data of a .npy frame, whose header must say what the artifact's header said."""
    size = int.from_bytes(frame[8:10], "little")
    match = _NPY_HEADER.fullmatch(frame, 10, 10 + size)
    if frame[:8] != b"\x93NUMPY\x01\x00" or match is None:
        raise ArtifactError(f"{where}: is not .npy version 1.0", "make it anew")
    dtype, fortran, shape_text = match[1].decode(), match[2] == b"True", match[3].decode()
    extents = [part.strip() for part in shape_text.split(",")]
    if extents[-1] == "":  # "(3,)" and "()"
        extents.pop()
    shape = [int(part) if part.isdigit() and len(part) <= 10 else -1 for part in extents]
    if fortran or dtype != entry["dtype"] or shape != entry["shape"]:
        raise ArtifactError(f"{where}: the .npy header disagrees with the artifact's header", "make it anew")
    if len(frame) - 10 - size != entry["bytes"]:
        raise ArtifactError(f"{where}: {len(frame) - 10 - size} bytes of data instead of {entry['bytes']}", "make it anew")
    return frame[10 + size:]
