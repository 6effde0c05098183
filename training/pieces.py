"""A file in pieces that can be sent one after another, and whole again at the other end.

    python -m training.pieces split nano.cwm --out pieces           pieces/nano.cwm.000, .001, ... of at most 16 MiB, and nano.cwm.json
    python -m training.pieces join pieces/nano.cwm.json --out nano.cwm      refuses a piece that is missing or differs from its digest"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

PIECE_MIB = 16
READ = 1 << 20  # bytes


class PieceError(ValueError):
    """Pieces that do not make up their file; the text says which one."""


def split(path: Path, out: Path, size: int) -> Path:
    """Writes `path` as pieces of at most `size` bytes into the folder `out`; gives the list, written last, that names them all."""
    out.mkdir(parents=True, exist_ok=True)
    whole, pieces = hashlib.sha256(), []
    with path.open("rb") as source:
        while block := source.read(min(READ, size)):
            name, digest, written = f"{path.name}.{len(pieces):03}", hashlib.sha256(), 0
            with (out / name).open("wb") as piece:
                while block:
                    piece.write(block)
                    digest.update(block)
                    whole.update(block)
                    written += len(block)
                    block = source.read(min(READ, size - written))
            pieces.append({"name": name, "bytes": written, "sha256": digest.hexdigest()})
    listed = out / f"{path.name}.json"
    draft = listed.with_suffix(".part")
    draft.write_text(json.dumps({"name": path.name, "sha256": whole.hexdigest(), "pieces": pieces}, indent=1) + "\n")
    os.replace(draft, listed)
    return listed


def join(listed: Path, out: Path) -> None:
    """Writes to `out` the file that the pieces beside `listed` make up; PieceError, and no file, when they do not."""
    try:
        whole = json.loads(listed.read_text())
        pieces = [(listed.parent / str(piece["name"]), int(piece["bytes"]), str(piece["sha256"])) for piece in whole["pieces"]]
        wanted = str(whole["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise PieceError(f"{listed}: not a list of pieces ({error})") from error
    draft = out.with_name(out.name + ".part")
    digest = hashlib.sha256()
    try:
        with draft.open("wb") as target:
            for path, size, piece_digest in pieces:
                own = hashlib.sha256()
                for block in _blocks(path):
                    own.update(block)
                    digest.update(block)
                    target.write(block)
                if path.stat().st_size != size or own.hexdigest() != piece_digest:
                    raise PieceError(f"{path}: differs from its digest in {listed.name}: fetch it again")
        if digest.hexdigest() != wanted:
            raise PieceError(f"{listed}: the pieces fit their digests and the whole does not: fetch the list again")
        os.replace(draft, out)
    finally:
        draft.unlink(missing_ok=True)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(READ):
            yield block


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when done, 2 on pieces or files that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m training.pieces", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("split", help="a file into pieces")
    command.add_argument("file", type=Path)
    command.add_argument("--out", type=Path, required=True, help="folder of the pieces")
    command.add_argument("--mib", type=float, default=PIECE_MIB, help="of a piece, at most; default: %(default)s")
    command = commands.add_parser("join", help="pieces into their file")
    command.add_argument("listed", type=Path, metavar="LIST", help="the .json beside the pieces")
    command.add_argument("--out", type=Path, required=True, help="the file")
    options = parser.parse_args(arguments)
    try:
        if options.command == "split":
            if options.mib <= 0:
                raise PieceError(f"--mib {options.mib}: pieces have a size above 0")
            print(split(options.file, options.out, max(1, int(options.mib * (1 << 20)))))
        else:
            join(options.listed, options.out)
    except (PieceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
