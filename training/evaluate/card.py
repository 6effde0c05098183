"""The part of a model card that holds figures: the tables of the other commands' results, in Markdown, from their JSON alone."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .lines import EvaluationError
from .options import atomic_text

SECTIONS = {  # command: (heading, its module)
    "edits": ("Held-out edits", "edits"),
    "perplexity": ("Held-out files", "perplexity"),
    "jepa": ("JEPA predictions", "jepa"),
    "pictures": ("Held-out pictures", "pictures"),
    "problems": ("Programming problems", "problems"),
}


def read_result(path: Path) -> dict[str, Any]:
    """A result that one of the commands wrote with --json. EvaluationError for anything else, and for another version's."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise EvaluationError(f"{path}: not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("command") not in SECTIONS:
        raise EvaluationError(f"{path}: no result of {', '.join(SECTIONS)}; make one with --json")
    known = importlib.import_module(f"{__package__}.{SECTIONS[document['command']][1]}").VERSION
    if document.get("version") != known:
        raise EvaluationError(f"{path}: version {document.get('version')} of {document['command']}, this one reads {known}; measure again")
    return document


def card(documents: Sequence[Mapping[str, Any]]) -> str:
    """The sections in the order of SECTIONS; a section's results in the order given. EvaluationError when they are of several models."""
    models = {document["model"]["fingerprint"]: document["model"] for document in documents if document.get("model")}
    if len(models) > 1:
        raise EvaluationError(f"results of several models: {', '.join(sorted(models))}; a card is of one")
    lines = ["## Figures", ""]
    for model in models.values():
        lines += [f"Model `{model['fingerprint']}`: {model['parameters']:,} parameters, {model['bytes']:,} bytes.", ""]
    lines.append("Shares of a whole stand with their sample's 95% interval in brackets (Wilson; of error rates and means: bootstrap).")
    for command, (heading, module) in SECTIONS.items():
        own = [document for document in documents if document["command"] == command]
        if own:
            lines += ["", f"### {heading}"]
            for document in own:
                lines += ["", importlib.import_module(f"{__package__}.{module}").render(document)]
    return "\n".join(lines) + "\n"


def card_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, nargs="+", metavar="FILE", help="what the other commands wrote with --json")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of standard output")


def card_command(arguments: argparse.Namespace) -> None:
    try:
        text = card([read_result(path) for path in arguments.results])
    except (KeyError, TypeError, IndexError) as error:
        raise EvaluationError(f"a result lacks fields ({error!r}); measure again") from None
    if arguments.out:
        atomic_text(arguments.out, text)
    else:
        print(text, end="")
