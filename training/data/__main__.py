"""Fetch, describe and make training data: one table of subcommands (docs/data.md).

    python -m training.data                     lists them
    python -m training.data COMMAND --help

Command C-D lives in the module that the table names, as `c_d_arguments(parser)`, which declares its options, and `c_d_command(arguments)`,
which runs it and may raise DataError, OSError or ValueError: one line on stderr, exit code 2. Only that module is imported."""

from __future__ import annotations

import argparse
import importlib
import sys

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
    argv = sys.argv[1:] if argv is None else argv
    listing = "\n".join(f"  {name:<18}{about}" for name, (_, about) in COMMANDS.items())
    top = argparse.ArgumentParser(
        prog="training.data",
        description="Fetches, describes and makes training data (docs/data.md).",
        epilog="commands:\n" + listing,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below; COMMAND --help tells its options")
    if not argv:
        top.print_help()
        return 2
    name = top.parse_args(argv[:1]).command
    module_name, about = COMMANDS[name]
    module = importlib.import_module(f"{__package__}.{module_name}")
    function = name.replace("-", "_")
    parser = argparse.ArgumentParser(prog=f"training.data {name}", description=about[0].upper() + about[1:] + ".")
    getattr(module, function + "_arguments")(parser)
    arguments = parser.parse_args(argv[1:])
    try:
        getattr(module, function + "_command")(arguments)
    except (DataError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
