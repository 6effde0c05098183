"""What a text costs a model: bits per byte on held-out files, by package, beside a general compressor.

Bits a byte is what a model needs to spell text out: minus the binary logarithms of the probabilities of its tokens, over its bytes. Unlike
perplexity by token it compares models of different vocabularies."""

from __future__ import annotations

import argparse
import lzma
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from cromwell import binding
from cromwell.contract import prompt
from training.data import source
from training.data.fetch import MANIFEST, read_manifest

from .answers import described, open_model
from .lines import EvaluationError
from .options import Progress, add_json, add_processes, positive, write
from .report import markdown

VERSION = 1
WINDOW_BYTES = 2000  # of a file, cut after a line; about 450 tokens
MOST_ROWS = 64  # of logits asked for at once: 4 MiB at a vocabulary of 16,384


class Spelled(NamedTuple):
    """What a text cost."""

    bits: float
    size_bytes: int
    tokens: int


class Piece(NamedTuple):
    """A window of a file."""

    package: str
    path: str
    text: bytes


def total(parts: Sequence[Spelled]) -> Spelled:
    return Spelled(sum(part.bits for part in parts), sum(part.size_bytes for part in parts), sum(part.tokens for part in parts))


def bits_of(session: binding.Session, ids: Sequence[int], first: int) -> float:
    """Bits that the tokens ids[first:] cost after those before them; `first` is 1 or more, the session empty."""
    import numpy as np

    bits = 0.0
    for at in range(0, len(ids) - 1, MOST_ROWS):
        piece = ids[at : min(at + MOST_ROWS, len(ids) - 1)]
        session.feed(piece)
        skipped = max(0, first - 1 - at)  # rows that predict a token before `first`
        if skipped >= len(piece):
            continue
        rows = len(piece) - skipped
        logits = np.array(session.logits_rows(rows)).reshape(rows, -1).astype(np.float64)
        wanted = logits[np.arange(rows), ids[at + skipped + 1 : at + len(piece) + 1]]
        most = logits.max(axis=1)
        bits += float((most + np.log(np.exp(logits - most[:, None]).sum(axis=1)) - wanted).sum())
    return bits / float(np.log(2))


def spell(model: binding.Model, ids: Sequence[int], first: int, guidance: bool = True) -> Spelled:
    """What the tokens ids[first:] cost after those before them."""
    with binding.Session(model, len(ids), threads=1, guidance=guidance) as session:
        bits = bits_of(session, ids, first)
    return Spelled(bits, len(model.tokenizer.decode(ids[first:])), len(ids) - first)


def windows(text: bytes) -> Iterator[bytes]:
    """Pieces of at most WINDOW_BYTES, each of whole lines; longer lines are left out."""
    piece = b""
    for line in text.splitlines(keepends=True):
        if len(piece) + len(line) > WINDOW_BYTES:
            if piece.strip():
                yield piece
            piece = b""
        if len(line) <= WINDOW_BYTES:
            piece += line
    if piece.strip():
        yield piece


def evenly(pieces: Sequence[Piece], most_bytes: int) -> list[Piece]:
    """Every n-th piece, so that they come to about `most_bytes`."""
    return list(pieces[:: max(1, -(-sum(len(piece.text) for piece in pieces) // most_bytes))])


def package_pieces(src: Path, package: str, most_bytes: int) -> list[Piece]:
    """Windows of the usable files of a fetched package, from all of it, as training would use them."""
    files = source.list_files(src, [package], Counter())
    texts = ((path, (src / package / path).read_bytes().replace(b"\r\n", b"\n")) for _, path in files)
    return evenly([Piece(package, path, piece) for path, text in texts for piece in windows(text)], most_bytes)


def heldout_pieces(src: Path, manifest: Path, most_bytes: int) -> list[Piece]:
    """About `most_bytes` of each held-out package that is fetched. EvaluationError without any."""
    names = [row.name for row in read_manifest(manifest) if row.split == "heldout" and (src / row.name).is_dir()]
    pieces = [piece for name in names for piece in package_pieces(src, name, most_bytes)]
    if not pieces:
        raise EvaluationError(f"{src}: no files of held-out packages; fetch them with `python -m training.data fetch --split heldout`")
    return pieces


_model: binding.Model | None = None
_guidance = True


def _start(path: str, guidance: bool) -> None:
    global _model, _guidance
    _model, _guidance = open_model(path), guidance


def _spell(piece: Piece) -> Spelled:
    """The cost of the piece as training shows it: after the name of its file."""
    assert _model is not None
    encode = _model.tokenizer.encode
    head = prompt.encode(["<FILE>", piece.path.rpartition("/")[2].encode() + b"\n"], encode)
    ids = (head + encode(piece.text))[: _model.info.max_positions]
    return spell(_model, ids, len(head), _guidance)


def compressed_bits(texts: Sequence[bytes]) -> float:
    """Bits a byte of an LZMA stream of all the texts, header excluded: the baseline. It learns from the text itself, the model does not."""
    packed = lzma.compress(b"".join(texts), lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}])
    return 8 * len(packed) / max(1, sum(map(len, texts)))


def perplexity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="source files, instead of --src")
    parser.add_argument("--src", type=Path, metavar="DIR", help="the src folder of a fetch: its held-out packages are measured")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--model", required=True, metavar="FILE", help="model pack")
    parser.add_argument("--bytes", type=positive, default=100_000, metavar="N", help="of each package, about (default: %(default)s)")
    parser.add_argument("--no-guidance", action="store_true", help="without JEPA guidance")
    add_processes(parser)
    add_json(parser)


def perplexity_command(arguments: argparse.Namespace) -> None:
    if bool(arguments.files) == bool(arguments.src):
        raise EvaluationError("name either source files or --src DIR")
    model, started = described(arguments.model), time.monotonic()
    if arguments.src:
        pieces = heldout_pieces(arguments.src, arguments.manifest, arguments.bytes)
    else:
        texts = [(path, path.read_bytes()) for path in sorted(arguments.files)]
        pieces = evenly([Piece("files", str(path), piece) for path, text in texts for piece in windows(text)], arguments.bytes)
        if not pieces:
            raise EvaluationError("the files hold no text")
    by_package: dict[str, list[tuple[Piece, Spelled]]] = {}
    context = multiprocessing.get_context("fork")
    initial = (arguments.model, not arguments.no_guidance)
    with ProcessPoolExecutor(arguments.processes, context, _start, initial) as pool, Progress(len(pieces), "pieces") as progress:
        for piece, spelled in zip(pieces, pool.map(_spell, pieces, chunksize=4), strict=True):
            by_package.setdefault(piece.package, []).append((piece, spelled))
            progress.step()
    groups = {name: _row(rows) for name, rows in by_package.items()}
    groups["all"] = _row([row for rows in by_package.values() for row in rows])
    document = {
        "version": VERSION, "command": "perplexity", "model": model, "guidance": not arguments.no_guidance,
        "seconds": round(time.monotonic() - started, 1), "packages": groups,
    }  # fmt: skip
    write(document, render(document), arguments.json)


def _row(rows: Sequence[tuple[Piece, Spelled]]) -> dict[str, float]:
    whole = total([spelled for _, spelled in rows])
    return {
        "pieces": len(rows), "bytes": whole.size_bytes, "tokens": whole.tokens, "bits_per_byte": whole.bits / max(1, whole.size_bytes),
        "bits_per_token": whole.bits / max(1, whole.tokens), "lzma_bits_per_byte": compressed_bits([piece.text for piece, _ in rows]),
    }  # fmt: skip


def render(document: Mapping[str, Any]) -> str:
    """The table of a result as Markdown."""
    rows = [
        [name, f"{row['bytes']:,}", f"{row['tokens']:,}", f"{row['bits_per_byte']:.3f}", f"{2 ** row['bits_per_token']:.1f}",
         f"{row['lzma_bits_per_byte']:.3f}"]
        for name, row in document["packages"].items()
    ]  # fmt: skip
    model = document["model"]
    head = f"{model['path']} ({model['parameters'] / 1e6:.1f}M parameters, {model['fingerprint']}), {document['seconds']} s"
    return head + "\n\n" + markdown(["package", "bytes", "tokens", "bits a byte", "perplexity a token", "LZMA, bits a byte"], rows)
