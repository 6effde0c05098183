"""Fetch, describe and make training data.

python -m training.data manifest --wheels DIR --out training/data/manifest.json
python -m training.data fetch --manifest training/data/manifest.json --out DIR
python -m training.data edits --src DIR/src --split train --tokenizer tokenizer.bin --out SHARD --count 150000 --seed 1
python -m training.data heldout --src DIR/src --out edits-heldout.jsonl --count-per-kind 200
python -m training.data show SHARD --tokenizer tokenizer.bin --kind rename --count 5
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from random import Random

from . import fetch, shards

MANIFEST = Path(__file__).with_name("manifest.json")


def manifest_command(arguments: argparse.Namespace) -> None:
    rows, refused = fetch.write_manifest(arguments.wheels, arguments.out)
    for line in refused:
        print(f"left out: {line}", file=sys.stderr)
    print(f"{arguments.out}: {len(rows)} packages, {sum(row.split == 'heldout' for row in rows)} of them held out")


def fetch_command(arguments: argparse.Namespace) -> None:
    for line in fetch.fetch(arguments.manifest, arguments.out, arguments.split):
        print(line)


def edits_command(arguments: argparse.Namespace) -> None:
    from . import build

    counts = {
        "edits": arguments.count,
        "plain": arguments.count // 6 if arguments.plain is None else arguments.plain,
        "pictures": arguments.pictures,
    }
    path = arguments.tokenizer / "tokenizer.bin" if arguments.tokenizer.is_dir() else arguments.tokenizer
    index = build.build_shard(
        arguments.src, arguments.manifest, arguments.split, path, arguments.out, counts, arguments.seed, arguments.processes
    )
    print(json.dumps(index, indent=1))


def heldout_command(arguments: argparse.Namespace) -> None:
    from . import build

    print(json.dumps(build.build_heldout(arguments.src, arguments.manifest, arguments.out, arguments.count_per_kind, arguments.seed)))


def show_command(arguments: argparse.Namespace) -> None:
    from training import tokenizer

    shard = shards.open_shard(arguments.shard)
    decode = tokenizer.load(arguments.tokenizer).decode
    wanted = [i for i, kind in enumerate(shard.kinds) if arguments.kind in (None, shard.index["kinds"][kind])]
    for i in Random(arguments.seed).sample(wanted, min(arguments.count, len(wanted))):
        start, loss_start, end = (int(value) for value in shard.docs[i])
        kind = shard.index["kinds"][shard.kinds[i]]
        print(f"---- document {i}, {kind}, {end - start} tokens, loss from {loss_start - start}, tile {shard.tile_of[i]}")
        print(decode(shard.ids(i).tolist(), with_special=True).decode("utf-8", "replace"))


def narrow_command(arguments: argparse.Namespace) -> None:
    from . import narrow

    if arguments.source.is_dir():
        if arguments.tokenizer is None:
            raise fetch.DataError(f"{arguments.source}: a shard needs --tokenizer")
        index = narrow.narrow_shard(arguments.source, arguments.tokenizer, arguments.out, arguments.seed)
        print(f"{arguments.out}: {index['documents']} documents, {index['tokens']} tokens")
    else:
        print(f"{arguments.out}: {narrow.narrow_lines(arguments.source, arguments.out, arguments.seed)} edits")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="training.data", description="Fetches, describes and makes training data (docs/data.md).")
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("manifest", help="describe downloaded wheels: name, version, licence, digest, split")
    command.add_argument("--wheels", type=Path, required=True, metavar="DIR")
    command.add_argument("--out", type=Path, default=MANIFEST, metavar="FILE")
    command.set_defaults(run=manifest_command)

    command = commands.add_parser("fetch", help="download the manifest's wheels and unpack their Python files")
    command.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="wheels go to DIR/wheels, files to DIR/src/NAME")
    command.add_argument("--split", choices=("train", "heldout"), help="only the packages of this split")
    command.set_defaults(run=fetch_command)

    command = commands.add_parser("edits", help="make a shard of instruction edits, plain code and pictures")
    command.add_argument("--src", type=Path, required=True, metavar="DIR", help="the src folder of a fetch")
    command.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    command.add_argument("--split", choices=("train", "heldout"), default="train")
    command.add_argument("--tokenizer", type=Path, required=True, metavar="FILE", help="tokenizer.bin or the folder that holds it")
    command.add_argument("--out", type=Path, required=True, metavar="SHARD")
    command.add_argument("--count", type=int, required=True, metavar="N", help="edits")
    command.add_argument("--plain", type=int, metavar="N", help="plain and fill-in-the-middle documents (default: a sixth of --count)")
    command.add_argument("--pictures", type=int, default=0, metavar="N", help="pictures of code")
    command.add_argument("--seed", type=int, default=1, metavar="S")
    command.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    command.set_defaults(run=edits_command)

    command = commands.add_parser("heldout", help="make evaluation edits from the held-out packages")
    command.add_argument("--src", type=Path, required=True, metavar="DIR")
    command.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    command.add_argument("--out", type=Path, required=True, metavar="FILE")
    command.add_argument("--count-per-kind", type=int, default=200, metavar="N")
    command.add_argument("--seed", type=int, default=1, metavar="S")
    command.set_defaults(run=heldout_command)

    command = commands.add_parser("narrow", help="the edits of a shard, or of a .jsonl file, on regions of one to three lines")
    command.add_argument("source", type=Path, metavar="SHARD|FILE.jsonl")
    command.add_argument("--tokenizer", type=Path, metavar="FILE", help="for a shard: tokenizer.bin or the folder that holds it")
    command.add_argument("--out", type=Path, required=True, metavar="SHARD|FILE.jsonl")
    command.add_argument("--seed", type=int, default=1, metavar="S")
    command.set_defaults(run=narrow_command)

    command = commands.add_parser("show", help="print some documents of a shard")
    command.add_argument("shard", type=Path, metavar="SHARD")
    command.add_argument("--tokenizer", type=Path, required=True, metavar="FILE")
    command.add_argument("--kind", metavar="KIND")
    command.add_argument("--count", type=int, default=5, metavar="N")
    command.add_argument("--seed", type=int, default=1, metavar="S")
    command.set_defaults(run=show_command)

    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except (fetch.DataError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
