"""`tokenise`: the files that a preparation or a tranche lists, as a shard of plain code (docs/data.md).

    python -m training.data tokenise --prepared PREPARED --src DIR/src --tokenizer tokenizer.bin --out SHARD

Pieces are tokenised one by one, by datatrove's executor where it is installed and by plain processes where it is not (a machine that
only trains); the bytes are the same. A piece that is done is not done again."""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from . import pipeline_documents, pipeline_encoder, shards
from .fetch import DataError
from .pipeline_files import cut_pieces, piece_name, read_bytes, read_json, read_rows, write_json

PIECE_BYTES = 32 << 20  # of source text in one task
GROUP_BYTES = 1 << 20  # of source text that is encoded at once


class Settings(NamedTuple):
    """What a piece's shard depends on."""

    src: Path
    work: Path
    tokenizer: Path
    max_tokens: int
    fill_share: float
    seed: int


def write_piece(settings: Settings, rank: int) -> None:
    """Tokenise one piece into a shard of its own, unless that is done."""
    folder = settings.work / "pieces" / piece_name(rank)
    if folder.exists():
        return
    encode = pipeline_encoder.encoder(settings.tokenizer)
    with shards.Writer(folder, pipeline_documents.KINDS) as writer:
        for files in _groups(settings, rank):
            made = pipeline_documents.documents(files, settings.max_tokens, settings.fill_share, encode)
            writer.add_many(made.ids, made.sizes, 1, made.kinds)
        writer.close()


def _groups(settings: Settings, rank: int) -> Iterator[list[pipeline_documents.File]]:
    """The files of a piece, so many at a time that their text is GROUP_BYTES or a little more."""
    group, size = [], 0
    for row in read_rows(settings.work / "plan" / f"{piece_name(rank)}.jsonl"):
        name = f"{row['package']}/{row['path']}"
        try:
            data = read_bytes(f"{settings.src}/{name}")
        except FileNotFoundError as error:
            raise DataError(f"{settings.src / name}: listed, but not there: give the sources that the list was made of") from error
        cuts = [(first, last) for first, last in row.get("cuts", [])]
        group.append(pipeline_documents.File(data, row["path"], cuts, Random(f"{settings.seed}/{name}")))
        size += len(data)
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _write_piece(job: tuple[Settings, int]) -> None:
    write_piece(*job)


def tokenise(prepared: Path, out: Path, settings: Settings, workers: int = 1, piece_bytes: int = PIECE_BYTES) -> dict:
    """Write the shard `out` and return its index. Work lies in `settings.work` until it is done, and is taken up again from there."""
    if out.exists():
        raise DataError(f"{out}: exists already")
    files = prepared / "files.jsonl"
    facts = {
        "seed": settings.seed,
        "split": read_json(prepared / "plan.json").get("split", "train"),
        "tokenizer": shards.digest(settings.tokenizer.read_bytes()),
        "list": shards.digest(files.read_bytes()),
        "max_tokens": settings.max_tokens,
        "fill_share": settings.fill_share,
        "piece_bytes": piece_bytes,
    }
    path = settings.work / "settings.json"
    if not path.exists():
        counts = cut_pieces(read_rows(files), settings.work / "plan", piece_bytes)
        if not counts["files"]:
            raise DataError(f"{files}: lists no files")
        write_json(path, {**facts, **counts})
    plan = read_json(path)
    differing = [name for name, value in facts.items() if plan.get(name) != value]
    if differing:
        raise DataError(f"{settings.work}: work on other settings ({', '.join(differing)}): remove it")
    _run(settings, plan["pieces"], workers)
    index = shards.merge([settings.work / "pieces" / piece_name(rank) for rank in range(plan["pieces"])], out, **facts)
    shutil.rmtree(settings.work)
    return index


def _run(settings: Settings, pieces: int, workers: int) -> None:
    if importlib.util.find_spec("datatrove"):
        from .pipeline import Job, run_jobs
        from .pipeline_steps import Tokens

        run_jobs([Job("tokens", [Tokens(settings)], pieces)], settings.work / "logs", workers)
    elif workers == 1:
        for rank in range(pieces):
            write_piece(settings, rank)
    else:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            list(pool.imap_unordered(_write_piece, [(settings, rank) for rank in range(pieces)]))


def tokenise_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prepared", type=Path, required=True, metavar="DIR", help="what prepare or unpack wrote")
    parser.add_argument("--src", type=Path, required=True, metavar="DIR")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE", help="tokenizer.bin, the folder that holds it, or a pack")
    parser.add_argument("--out", type=Path, required=True, metavar="SHARD")
    parser.add_argument("--max-tokens", type=int, default=1024, metavar="N", help="of a document")
    parser.add_argument("--fill-share", type=float, default=0.5, metavar="P", help="of documents with a hole to fill")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N")


def tokenise_command(arguments: argparse.Namespace) -> None:
    if not 128 <= arguments.max_tokens or not 0 <= arguments.fill_share <= 1 or arguments.workers < 1:
        raise DataError("--max-tokens is 128 at least, --fill-share between 0 and 1, --workers 1 at least")
    path = arguments.tokenizer / "tokenizer.bin" if arguments.tokenizer.is_dir() else arguments.tokenizer
    pipeline_encoder.encoder(path)  # a wrong one is named before anything is made
    work = arguments.out.with_name(arguments.out.name + ".work")
    settings = Settings(arguments.src.resolve(), work.resolve(), path.resolve(), arguments.max_tokens, arguments.fill_share, arguments.seed)
    index = tokenise(arguments.prepared, arguments.out, settings, arguments.workers)
    print(f"{arguments.out}: {index['documents']} documents, {index['tokens']} tokens")
