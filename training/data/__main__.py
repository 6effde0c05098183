"""Fetch, describe and make training data: one table of subcommands (docs/data.md).

    python -m training.data                     lists them
    python -m training.data COMMAND --help

How a command is written: training/commands.py."""

from __future__ import annotations

from training import commands

from .fetch import DataError

COMMANDS = {  # name: (module of this package, what it does)
    "manifest": ("fetch", "describe downloaded wheels: name, version, licence, digest, split"),
    "fetch": ("fetch", "download the manifest's wheels and unpack their Python files"),
    "prepare": ("pipeline", "filter, score and deduplicate the fetched files: a datatrove pipeline"),
    "tokenise": ("pipeline_tokens", "make a shard of plain code of the files that a preparation or a tranche lists"),
    "pack": ("tranches", "pack the files that a preparation lists in compressed tranches"),
    "unpack": ("tranches", "check a tranche and turn it back into files and their list"),
    "merge": ("shards", "join shards"),
    "speed": ("pipeline_speed", "MB/s a core and peak memory of the preparation, on corpora of two sizes"),
    "duplicates": ("dedup_check", "precision and recall of the search for near-duplicates, against exact similarity"),
    "edits": ("build", "make a shard of instruction edits and plain code"),
    "heldout": ("build", "make evaluation edits from the held-out packages"),
    "narrow": ("narrow", "the edits of a shard, or of a .jsonl file, on regions of one to three lines"),
    "pictures": ("pictures_build", "make a shard of pictures: code, charts, tables, mock-ups"),
    "pictures-heldout": ("pictures_build", "make pictures for evaluation, with fonts seen and unseen"),
    "releases": ("releases", "fetch pairs of releases; make edits of the functions that changed between them"),
    "finance": ("finance", "make up modules of finance code beside the fetched packages"),
    "show": ("show", "print some documents of a shard"),
}


def main(argv: list[str] | None = None) -> int:
    about = "Fetches, describes and makes training data (docs/data.md)."
    return commands.run(commands.Table("training.data", about, COMMANDS, (DataError, OSError, ValueError)), argv)


if __name__ == "__main__":
    commands.leave(main())
