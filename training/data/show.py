"""Some documents of a shard as text, for a person to look at."""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

from training import tokenizer

from . import shards


def show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shard", type=Path, metavar="SHARD")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE")
    parser.add_argument("--kind", metavar="KIND")
    parser.add_argument("--count", type=int, default=5, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")


def show_command(arguments: argparse.Namespace) -> None:
    shard = shards.open_shard(arguments.shard)
    decode = tokenizer.load(arguments.tokenizer).decode
    wanted = [i for i, kind in enumerate(shard.kinds) if arguments.kind in (None, shard.index["kinds"][kind])]
    for i in Random(arguments.seed).sample(wanted, min(arguments.count, len(wanted))):
        start, loss_start, end = (int(value) for value in shard.docs[i])
        kind = shard.index["kinds"][shard.kinds[i]]
        print(f"---- document {i}, {kind}, {end - start} tokens, loss from {loss_start - start}, tile {shard.tile_of[i]}")
        print(decode(shard.ids(i).tolist(), with_special=True).decode("utf-8", "replace"))
