"""Training text for a machine without a network: compressed tranches of a bounded size, sent one after another, each usable alone.

    python -m training.data pack --prepared PREPARED --src DIR/src --out TRANCHES --limit-mib 50
    python -m training.data unpack TRANCHES/tranche-00000.tar.zst --out DIR

A tranche is a tar file within one zstd frame (checksummed, window of 128 MiB): `tranche.json` first, which says what is inside and holds
the list of files, then the files under `src/`. Other tools read it too: zstd -dc T | tar x."""

from __future__ import annotations

import argparse
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import zstandard

from . import pipeline_files, source
from .fetch import MANIFEST, DataError, read_manifest, sha256_of

FORMAT = 1
WINDOW_LOG = 27  # 128 MiB; what `zstd -d` accepts unasked
LEVEL = 19
CHUNK_BYTES = 2 << 20  # of text between two looks at the compressed size
SLACK_BYTES = 64 << 10  # of a tranche, kept free for the end of the tar file and of the frame
MAX_INDEX_BYTES = 64 << 20
MAX_FILE_BYTES = 16 << 20
_HEX = 24  # digits of a body hash


def _member(name: str, data: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    return info, io.BytesIO(data)


def _compressor(level: int) -> zstandard.ZstdCompressor:
    wanted = {"window_log": WINDOW_LOG, "enable_ldm": level >= 10, "write_checksum": True, "write_content_size": False}
    return zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters.from_level(level, **wanted))


def bound(size: int) -> int:
    """What zstd may need at most for so many bytes that it cannot compress."""
    return size + (size >> 8) + 512


def split_rows(rows: Iterator[dict], src: Path, limit_bytes: int, level: int) -> Iterator[list[dict]]:
    """The rows in lists whose files fit a tranche of `limit_bytes` each, measured by compressing them. A tranche's text is read twice,
    and no more than one tranche's rows are in memory."""
    group: list[dict] = []
    stream = _compressor(level).compressobj()
    written = waiting = listed = 0

    def closed() -> list[dict]:
        nonlocal group, stream, written, waiting, listed
        done, group, stream = group, [], _compressor(level).compressobj()
        written = waiting = listed = 0
        return done

    for row in rows:
        data = _read(src, row)
        line = len(json.dumps(row)) // 4  # its share of the list, which compresses to an eighth or less
        if group and written + bound(waiting + len(data) + 1536) + listed + line + SLACK_BYTES > limit_bytes:
            written += len(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
            waiting = 0
            if written + bound(len(data) + 1536) + listed + line + SLACK_BYTES > limit_bytes:
                yield closed()
        info, _ = _member(_name(row), data)
        written += len(stream.compress(info.tobuf() + data + bytes(-len(data) % 512)))
        waiting += len(data) + 1536
        listed += line
        group.append(row)
        if waiting > CHUNK_BYTES:
            written += len(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
            waiting = 0
    if group:
        yield closed()


def _read(src: Path, row: dict) -> bytes:
    path = src / row["package"] / row["path"]
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: listed, but not there: give the sources that the list was made of") from error


def _name(row: dict) -> str:
    return f"src/{row['package']}/{row['path']}"


def held_out_bodies(src: Path, rows: list[dict], known: frozenset[bytes]) -> list[str]:
    """The hashes, in hex, of the held-out function bodies that occur in the files: those whose rows have lines cut out."""
    found: set[bytes] = set()
    for row in rows:
        if row.get("cuts"):
            file = source.parsed(_read(src, row), row["package"], row["path"])
            found |= source.body_hashes(file.lines, file.tree) & known if file else set()
    return sorted(key.hex() for key in found)


def pack(prepared: Path, src: Path, manifest: Path, out: Path, limit_bytes: int, level: int = LEVEL) -> list[dict]:
    """Write out/tranche-NNNNN.tar.zst and out/index.json; returns what the index says of each tranche."""
    from .pipeline_leaks import load

    if limit_bytes < 4 * SLACK_BYTES:
        raise DataError(f"a limit of {limit_bytes} bytes: {4 * SLACK_BYTES} at least")
    if (out / "index.json").exists():
        raise DataError(f"{out}: holds tranches already: remove it or give another folder")
    packages = {row.name: row._asdict() for row in read_manifest(manifest)}
    known = load(prepared / "work" / "heldout.npz").bodies
    tranches = []
    for rows in split_rows(pipeline_files.read_rows(prepared / "files.jsonl"), src, limit_bytes, level):
        path = out / f"tranche-{len(tranches):05d}.tar.zst"
        facts = {
            "format": FORMAT,
            "tranche": len(tranches),
            "packages": [packages[name] for name in dict.fromkeys(row["package"] for row in rows)],
            "heldout_bodies": held_out_bodies(src, rows, known),
            "bytes": sum(row["bytes"] for row in rows),
            "files": rows,
        }
        _write(path, facts, src, level)
        size = path.stat().st_size
        if size > limit_bytes:
            path.unlink()
            raise DataError(f"{path}: {size} bytes, the limit is {limit_bytes}: a list this long needs a larger one")
        counts = {"files": len(rows), "bytes": facts["bytes"], "packed_bytes": size, "sha256": sha256_of(path)}
        tranches.append({"name": path.name, **counts, "packages": [package["name"] for package in facts["packages"]]})
    if not tranches:
        raise DataError(f"{prepared}/files.jsonl: lists no files")
    pipeline_files.write_json(out / "index.json", {"format": FORMAT, "tranches": tranches})
    return tranches


def _write(path: Path, facts: dict, src: Path, level: int) -> None:
    with pipeline_files.whole_file(path) as file, _compressor(level).stream_writer(file, closefd=False) as stream:
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(*_member("tranche.json", json.dumps(facts).encode()))
            for row in facts["files"]:
                archive.addfile(*_member(_name(row), _read(src, row)))


def _facts(path: Path, member: tarfile.TarInfo | None, archive: tarfile.TarFile) -> dict:
    """The facts that a tranche begins with. Raises ValueError or KeyError when they are none."""
    if member is None or member.name != "tranche.json" or member.size > MAX_INDEX_BYTES:
        raise ValueError("it does not begin with tranche.json")
    facts = json.loads(archive.extractfile(member).read())
    if facts["format"] != FORMAT:
        raise DataError(f"{path}: tranche format {facts['format']}, this version reads format {FORMAT}")
    for row in facts["files"]:
        parts = PurePosixPath(_name(row)).parts
        if ".." in parts or "/".join(parts) != _name(row) or not row["path"].endswith(".py") or "/" in row["package"]:
            raise ValueError(f"it names a file {_name(row)!r}")
    if any(len(key) != _HEX or bytes.fromhex(key).hex() != key for key in facts["heldout_bodies"]):
        raise ValueError("its held-out bodies are no hashes")
    return facts


def extract(path: Path, folder: Path) -> dict:
    """Check a tranche and write its files below `folder`; returns its facts. Raises DataError, one line, for whatever is not whole."""
    index = path.with_name("index.json")
    if index.exists():
        declared = {row["name"]: row["sha256"] for row in pipeline_files.read_json(index).get("tranches", [])}
        if path.name in declared and sha256_of(path) != declared[path.name]:
            raise DataError(f"{path}: sha256 differs from index.json: damaged or incomplete; send it again")
    reader = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG)
    try:
        with path.open("rb") as file, reader.stream_reader(file) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                facts = _facts(path, archive.next(), archive)
                for row in facts["files"]:
                    member = archive.next()
                    if member is None or member.name != _name(row) or not member.isfile() or member.size != row["bytes"]:
                        raise ValueError(f"{_name(row)} is not where the list says")
                    target = folder / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.extractfile(member).read())
                if archive.next() is not None:
                    raise ValueError("it holds more than it lists")
            while stream.read(1 << 20):  # to the end of the frame, where its checksum is
                pass
            if file.read(1) or not _is_complete(path):
                raise ValueError("it does not end with its frame")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such tranche") from error
    except (zstandard.ZstdError, tarfile.TarError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: damaged or incomplete ({error}); send it again") from error
    return facts


def _is_complete(path: Path) -> bool:
    """True when the file is one whole zstd frame: stream_reader takes a cut one for its end."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG).decompressobj()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            decompressor.decompress(block)
    return decompressor.eof and not decompressor.unused_data


def unpack(path: Path, out: Path) -> dict:
    """Turn a tranche back into out/src/PACKAGE/..., and add its files to out/files.jsonl, its packages to out/manifest.json and its
    held-out bodies to out/heldout-bodies.txt; returns its facts. Nothing of `out` changes before the whole tranche has been checked."""
    out.mkdir(parents=True, exist_ok=True)
    staged = out / f".{path.name}"
    with pipeline_files.whole_folder(staged) as folder:
        facts = extract(path, folder)
    try:
        for row in facts["files"]:
            target = out / _name(row)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged / _name(row), target)
        _add(out, facts)
    except OSError as error:
        raise pipeline_files.failed_write(out, error) from error
    finally:
        pipeline_files.remove(staged)
    return facts


def _add(out: Path, facts: dict) -> None:
    """Join a tranche's lists with those of the tranches before."""
    listed = {_name(row): row for row in (pipeline_files.read_rows(out / "files.jsonl") if (out / "files.jsonl").exists() else ())}
    listed |= {_name(row): row for row in facts["files"]}
    manifest = out / "manifest.json"
    packages = {row.name: row._asdict() for row in (read_manifest(manifest) if manifest.exists() else ())}
    packages |= {row["name"]: row for row in facts["packages"]}
    bodies = {*source.known_bodies(out / "src"), *map(bytes.fromhex, facts["heldout_bodies"])}
    with pipeline_files.whole_file(out / source.BODIES_FILE, "w") as file:
        file.write("".join(key.hex() + "\n" for key in sorted(bodies)))
    pipeline_files.write_json(manifest, {"format": 1, "packages": [packages[name] for name in sorted(packages)]})
    pipeline_files.write_json(out / "plan.json", {"format": 1, "split": "train", "packages": sorted(packages)})
    pipeline_files.write_rows(out / "files.jsonl", (listed[name] for name in sorted(listed)))


def pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prepared", type=Path, required=True, metavar="PREPARED", help="what prepare wrote")
    parser.add_argument("--src", type=Path, required=True, metavar="DIR")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--limit-mib", type=float, default=50, metavar="N", help="of a tranche")
    parser.add_argument("--level", type=int, default=LEVEL, metavar="N", help="of zstd, 1 to 22")


def pack_command(arguments: argparse.Namespace) -> None:
    options = (arguments.out, int(arguments.limit_mib * (1 << 20)), arguments.level)
    for row in pack(arguments.prepared, arguments.src, arguments.manifest, *options):
        print(f"{arguments.out}/{row['name']}: {row['files']} files, {row['bytes']} bytes in {row['packed_bytes']}")


def unpack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tranches", type=Path, nargs="+", metavar="TRANCHE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="files go to DIR/src/PACKAGE, their list to DIR/files.jsonl")


def unpack_command(arguments: argparse.Namespace) -> None:
    for path in arguments.tranches:
        facts = unpack(path, arguments.out)
        print(f"{path}: {len(facts['files'])} files, {facts['bytes']} bytes")
