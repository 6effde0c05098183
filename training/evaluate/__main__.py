"""Measures a model: one table of subcommands (docs/evaluation.md).

    python -m training.evaluate                     lists them
    python -m training.evaluate COMMAND --help

How a command is written: training/commands.py. What cannot be measured is one line on stderr and exit code 2."""

from __future__ import annotations

from training import commands
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
    about = "Measures a model on held-out data (docs/evaluation.md)."
    return commands.run(commands.Table("training.evaluate", about, COMMANDS, (EvaluationError, DataError, ConfigError, OSError)), argv)


if __name__ == "__main__":
    commands.leave(main())
