"""Measures a model: one table of subcommands (docs/evaluation.md).

    python -m training.evaluate                     lists them
    python -m training.evaluate COMMAND --help

Command C lives in the module that the table names, as `c_arguments(parser)`, which declares its options, and `c_command(arguments)`, which
runs it. What cannot be measured is one line on stderr and exit code 2. Only that module is imported."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from concurrent.futures.process import BrokenProcessPool

from training.config import ConfigError
from training.data.fetch import DataError

from .lines import EvaluationError

COMMANDS = {  # name: (module of this package, what it does)
    "edits": ("edits", "held-out instruction edits, beside copying, rules and the nearest training edit"),
    "perplexity": ("perplexity", "bits per byte of held-out files, by package"),
    "jepa": ("jepa", "whether a checkpoint's embeddings have collapsed, and what its predictions are worth"),
    "pictures": ("pictures", "held-out screenshots, charts, tables and mock-ups, by fonts seen and unseen"),
    "problems": ("problems", "HumanEval or MBPP from your own copy of the file, run in a sandbox"),
    "card": ("card", "the figures of a model card, from the JSON of the other commands"),
}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    listing = "\n".join(f"  {name:<12}{about}" for name, (_, about) in COMMANDS.items())
    top = argparse.ArgumentParser(
        prog="training.evaluate",
        description="Measures a model on held-out data (docs/evaluation.md).",
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
    parser = argparse.ArgumentParser(prog=f"training.evaluate {name}", description=about[0].upper() + about[1:] + ".")
    getattr(module, name + "_arguments")(parser)
    arguments = parser.parse_args(argv[1:])
    try:
        getattr(module, name + "_command")(arguments)
    except BrokenProcessPool:
        print("error: a process died, perhaps for want of memory; try fewer --processes", file=sys.stderr)
        return 2
    except (EvaluationError, DataError, ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status) if status == 130 else sys.exit(status)
