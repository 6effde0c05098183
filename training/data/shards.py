"""Shards: token documents in memory-mapped .npy files with a JSON index (docs/data.md).

Writing streams: memory stays flat however many documents there are. Reading checks every size and digest first."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
from array import array
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from .fetch import DataError, sha256_of
from .pictures_tiles import EACH_WAY, Picture, Tiles

FORMAT = 2
_HEADER_BYTES = 128
_ARRAYS = ("tokens.npy", "docs.npy", "kinds.npy", "tile_of.npy", "grids.npy", "tile_ends.npy")
_FILES = (*_ARRAYS, "tiles.bin")


class Shard(NamedTuple):
    """An open shard; the arrays are read-only memory maps."""

    index: dict
    tokens: np.ndarray  # uint16 [tokens]
    docs: np.ndarray  # int64 [documents, 3]: start, loss_start, end
    kinds: np.ndarray  # uint8 [documents], indices of index["kinds"]
    tile_of: np.ndarray  # int64 [documents], -1 or the first of the picture's tiles
    grids: np.ndarray  # uint8 [documents, 2], rows and columns of the picture's tiles, 0 without one
    tiles: Tiles  # [tiles] of uint8 [256, 256, 3]

    def ids(self, document: int) -> np.ndarray:
        """The token ids of one document."""
        start, _, end = self.docs[document]
        return self.tokens[start:end]


class _Array:
    """An .npy file written row by row; its header is completed at the end."""

    def __init__(self, path: Path, dtype: str, row: tuple[int, ...]):
        self.file, self.dtype, self.row, self.count = path.open("wb"), dtype, row, 0
        self.file.write(b"\0" * _HEADER_BYTES)

    def add(self, data: bytes, rows: int) -> None:
        self.file.write(data)
        self.count += rows

    def close(self) -> None:
        shape = (self.count, *self.row)
        text = f"{{'descr': '{self.dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
        head = b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little")
        self.file.seek(0)
        self.file.write(head + text.ljust(_HEADER_BYTES - 11) + b"\n")
        self.file.close()


class Writer:
    """Writes a shard into a new folder; the folder appears under its name only when `close` has finished."""

    def __init__(self, folder: Path, kinds: list[str]):
        self.folder, self.kind_names = folder, kinds
        if folder.exists():
            raise DataError(f"{folder}: exists already")
        self.temporary = folder.with_name(folder.name + ".tmp")
        self.temporary.mkdir(parents=True, exist_ok=True)
        rows = {
            "tokens.npy": ("<u2", ()),
            "docs.npy": ("<i8", (3,)),
            "kinds.npy": ("|u1", ()),
            "tile_of.npy": ("<i8", ()),
            "grids.npy": ("|u1", (2,)),
            "tile_ends.npy": ("<i8", ()),
        }
        self.arrays = {name: _Array(self.temporary / name, *rows[name]) for name in _ARRAYS}
        self.tiles = (self.temporary / "tiles.bin").open("wb")
        self.counts = dict.fromkeys(kinds, 0)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        """Leave nothing behind when the shard was not closed; a failed write (a full disk) becomes a DataError with its place."""
        if self.temporary.exists():
            for file in (*(part.file for part in self.arrays.values()), self.tiles):
                with contextlib.suppress(OSError):
                    file.close()
            shutil.rmtree(self.temporary, ignore_errors=True)
        if isinstance(error, OSError):
            said = error.strerror or error
            raise DataError(f"{self.folder}: {said}: nothing was left half-written; make room and run the same command again") from error

    def add(self, ids: list[int] | np.ndarray, loss_start: int, kind: str, picture: Picture | None = None) -> None:
        """Append one document, a list or an array of uint16: the loss is on predicting ids[loss_start:]."""
        start = self.arrays["tokens.npy"].count
        data = ids.astype("<u2").tobytes() if isinstance(ids, np.ndarray) else array("H", ids).tobytes()
        self.arrays["tokens.npy"].add(data, len(ids))
        self.arrays["docs.npy"].add(array("q", (start, start + loss_start, start + len(ids))).tobytes(), 1)
        self.arrays["kinds.npy"].add(bytes((self.kind_names.index(kind),)), 1)
        self.arrays["tile_of.npy"].add(array("q", (-1 if picture is None else self.arrays["tile_ends.npy"].count,)).tobytes(), 1)
        self.arrays["grids.npy"].add(bytes((picture.rows, picture.cols) if picture else (0, 0)), 1)
        for frame in picture.frames if picture else ():
            self.tiles.write(frame)
            self.arrays["tile_ends.npy"].add(array("q", (self.tiles.tell(),)).tobytes(), 1)
        self.counts[kind] += 1

    def add_many(self, ids: np.ndarray, sizes: np.ndarray, loss_start: int, kinds: np.ndarray) -> None:
        """Append documents without pictures: their ids one after the other, uint16; int64 sizes in tokens, each above `loss_start`, where
        their loss starts; their kinds, uint8 indices of the writer's."""
        ends = self.arrays["tokens.npy"].count + np.cumsum(sizes)
        starts = ends - sizes
        count = len(sizes)
        self.arrays["tokens.npy"].add(ids.astype("<u2", copy=False).tobytes(), len(ids))
        self.arrays["docs.npy"].add(np.stack((starts, starts + loss_start, ends), axis=1).astype("<i8", copy=False).tobytes(), count)
        self.arrays["kinds.npy"].add(kinds.tobytes(), count)
        self.arrays["tile_of.npy"].add(np.full(count, -1, "<i8").tobytes(), count)
        self.arrays["grids.npy"].add(bytes(2 * count), count)
        for name, own in zip(self.kind_names, np.bincount(kinds, minlength=len(self.kind_names)).tolist(), strict=True):
            self.counts[name] += own

    def close(self, **facts: object) -> dict:
        """Complete the files, write index.json with `facts` and give the folder its name; returns the index."""
        for part in (*self.arrays.values(), self.tiles):
            part.close()
        index = {
            "format": FORMAT,
            "kinds": self.kind_names,
            "counts": self.counts,
            "documents": self.arrays["docs.npy"].count,
            "tokens": self.arrays["tokens.npy"].count,
            "tiles": self.arrays["tile_ends.npy"].count,
            **facts,
            "sha256": {name: sha256_of(self.temporary / name) for name in _FILES},
        }
        (self.temporary / "index.json").write_text(json.dumps(index, indent=1) + "\n")
        os.replace(self.temporary, self.folder)
        return index


def open_shard(folder: Path, verify: bool = True) -> Shard:
    """Open a shard. Raises DataError, which says what is wrong where, when it is missing or damaged; `verify` compares the digests."""
    folder = Path(folder)
    try:
        index = json.loads((folder / "index.json").read_text())
        declared = {name: index["sha256"][name] for name in _FILES}
        shapes = {
            "tokens.npy": ("uint16", (index["tokens"],)),
            "docs.npy": ("int64", (index["documents"], 3)),
            "kinds.npy": ("uint8", (index["documents"],)),
            "tile_of.npy": ("int64", (index["documents"],)),
            "grids.npy": ("uint8", (index["documents"], 2)),
            "tile_ends.npy": ("int64", (index["tiles"],)),
        }
    except FileNotFoundError as error:
        raise DataError(f"{folder}: no index.json: not a shard, or its writer stopped early") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}/index.json: not a shard index ({error})") from error
    if index.get("format") != FORMAT:
        raise DataError(f"{folder}: shard format {index.get('format')}, this version reads format {FORMAT}")
    arrays = {}
    for name, (dtype, shape) in shapes.items():
        try:
            empty = not shape[0]  # an empty file cannot be mapped
            arrays[name] = np.load(folder / name, mmap_mode=None if empty else "r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{folder}/{name}: unreadable ({error})") from error
        if arrays[name].dtype != dtype or arrays[name].shape != shape:
            raise DataError(f"{folder}/{name}: holds {arrays[name].dtype} {arrays[name].shape}, the index says {dtype} {shape}")
    tiles = Tiles(folder)
    for name in _FILES if verify else ():
        if sha256_of(folder / name) != declared[name]:
            raise DataError(f"{folder}/{name}: digest differs from the index: damaged")
    docs = arrays["docs.npy"]
    if len(docs) and (
        docs[0, 0] != 0
        or docs[-1, 2] != index["tokens"]
        or (docs[1:, 0] != docs[:-1, 2]).any()
        or (docs[:, 1] <= docs[:, 0]).any()
        or (docs[:, 1] >= docs[:, 2]).any()
    ):
        raise DataError(f"{folder}/docs.npy: documents overlap, leave gaps or have no loss")
    tile_of, grids = arrays["tile_of.npy"], arrays["grids.npy"].astype(np.int64)
    shown = tile_of >= 0
    if len(docs) and (
        arrays["kinds.npy"].max() >= len(index["kinds"])
        or (tile_of[shown] + grids[shown].prod(axis=1) > len(tiles)).any()
        or (grids[shown] == 0).any()
        or (grids > EACH_WAY).any()
    ):
        raise DataError(f"{folder}: a document's kind or picture does not exist")
    return Shard(index, *(arrays[name] for name in _ARRAYS[:-1]), tiles)


def digest(*parts: bytes) -> str:
    """Short hex digest of some bytes, each part counted with its length."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(len(part).to_bytes(8, "little") + part)
    return state.hexdigest()


MERGED_DOCUMENTS = 1 << 16  # copied at once


def merge(folders: list[Path], out: Path, **facts: object) -> dict:
    """One shard of the documents of several, in their order; returns its index. Kinds are joined by name; memory stays flat."""
    indexes = [open_shard(folder, verify=False).index for folder in folders]
    kinds = list(dict.fromkeys(kind for index in indexes for kind in index["kinds"]))
    with Writer(out, kinds) as writer:
        for folder in folders:
            _append(writer, open_shard(folder), folder)
        return writer.close(**facts)


def _append(writer: Writer, shard: Shard, folder: Path) -> None:
    names = np.array([writer.kind_names.index(kind) for kind in shard.index["kinds"]], np.uint8)
    arrays, first_tile, first_byte = writer.arrays, writer.arrays["tile_ends.npy"].count, writer.tiles.tell()
    for start in range(0, len(shard.docs), MERGED_DOCUMENTS):
        part = slice(start, start + MERGED_DOCUMENTS)
        docs, tile_of = shard.docs[part], shard.tile_of[part]
        first, last = int(docs[0, 0]), int(docs[-1, 2])
        shift = arrays["tokens.npy"].count - first
        arrays["tokens.npy"].add(shard.tokens[first:last].astype("<u2").tobytes(), last - first)
        arrays["docs.npy"].add((docs + shift).astype("<i8").tobytes(), len(docs))
        arrays["kinds.npy"].add(names[shard.kinds[part]].tobytes(), len(docs))
        arrays["tile_of.npy"].add(np.where(tile_of < 0, -1, tile_of + first_tile).astype("<i8").tobytes(), len(docs))
        arrays["grids.npy"].add(shard.grids[part].tobytes(), len(docs))
    ends = np.load(folder / "tile_ends.npy", allow_pickle=False)
    arrays["tile_ends.npy"].add((ends + first_byte).astype("<i8").tobytes(), len(ends))
    with (folder / "tiles.bin").open("rb") as tiles:
        shutil.copyfileobj(tiles, writer.tiles)
    for kind, count in shard.index["counts"].items():
        writer.counts[kind] += count


def merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shards", type=Path, nargs="+", metavar="SHARD")
    parser.add_argument("--out", type=Path, required=True, metavar="SHARD")


def merge_command(arguments: argparse.Namespace) -> None:
    tokenizers = {open_shard(folder, verify=False).index.get("tokenizer") for folder in arguments.shards}
    if len(tokenizers) > 1:
        raise DataError("the shards are of different tokenizers: their token ids mean different texts")
    sources = [digest((folder / "index.json").read_bytes()) for folder in arguments.shards]
    index = merge(arguments.shards, arguments.out, tokenizer=tokenizers.pop(), merged=sources)
    print(f"{arguments.out}: {index['documents']} documents, {index['tokens']} tokens")
