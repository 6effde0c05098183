"""Made-up modules of finance code: returns, drawdowns, value at risk, cash flows, bonds, order books, in ever other names and styles.

python -m training.data finance --out DIR/src --files 400 --seed 1

The packages of the manifest hold little such code. The modules lie in a folder beside theirs and go through the same kinds of edits.
Every sixth recipe is kept for the held-out split, so that those functions never occur in training."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path
from random import Random

from .finance_recipes import RECIPES

HELD_OUT_EACH = 6
_CHOICE = re.compile(r"<(\w[^<>|\n]*(?:\|[^<>|\n]+)+)>")
_HINTS = {
    "float": "float", "int": "int", "str": "str", "floats": "list[float]", "strings": "list[str]", "rows": "list[dict]",
    "mapping": "dict[str, float]",
}  # fmt: skip
_IMPORTS = (
    ("math.", "import math"),
    ("csv.", "import csv"),
    ("np.", "import numpy as np"),
    ("NormalDist(", "from statistics import NormalDist"),
)
_TOPICS = ("Risk figures", "Returns and prices", "Cash flows", "Trading helpers", "Portfolio tools", "Pricing", "Signals", "Market data")
_CONSTANTS = (
    "TRADING_DAYS = 252", "DEFAULT_RATE = 0.03", 'BASE_CURRENCY = "USD"', "MAX_LEVERAGE = 4", "MIN_NOTIONAL = 1000.0", "ROUNDING = 4",
    'SYMBOLS = ["AAPL", "MSFT", "SPY"]', 'FEES = {"maker": 0.0002, "taker": 0.0007}', "DEBUG = False", "RETRIES = 3",
)  # fmt: skip


def package_name(split: str) -> str:
    """The folder below `src` that holds the modules of a split."""
    return f"made-finance-{split}"


def recipes(split: str) -> tuple[str, ...]:
    """The recipes of a split."""
    return tuple(text for i, text in enumerate(RECIPES) if (i % HELD_OUT_EACH == HELD_OUT_EACH - 1) == (split == "heldout"))


def write_function(recipe: str, rng: Random, typed: bool, documented: float) -> str:
    """One variant of a recipe, as source text."""
    chosen: dict[str, str] = {}
    text = _CHOICE.sub(lambda match: chosen.setdefault(match[1], rng.choice(match[1].split("|"))), recipe.strip("\n"))
    keep, lines = False, []
    for line in text.split("\n"):
        bare = line.lstrip()
        if bare.startswith("?"):
            keep = keep if bare.startswith("? ") else rng.random() < 0.5  # "?    x" belongs to the "?" line above
            line = line.replace("?", "", 1) if keep else ""
            if not keep:
                continue
        elif bare.startswith("#doc "):
            if rng.random() >= documented:
                continue
            line = line.replace("#doc ", '"""') + '"""'
        lines.append(line)
    text = "\n".join(lines)

    def annotation(match: re.Match[str]) -> str:
        name, back, default = match[1], match[2], match[3] or ""
        hint = _HINTS.get(name, "None")
        if not typed:
            return default
        return f" -> {hint}" if back else f": {hint}" + (" = " if default else "")

    return re.sub(r"@(float|int|str|floats|strings|rows|mapping|none)(_back)?\b(=)?", annotation, text)


def write_module(rng: Random, split: str) -> str:
    """A module of three to eight functions. Always parses."""
    typed, documented = rng.random() < 0.5, rng.choice((0.0, 0.5, 1.0))
    parts = [
        write_function(recipe, rng, typed, documented) for recipe in rng.sample(recipes(split), rng.randint(3, min(8, len(recipes(split)))))
    ]
    body = "\n\n\n".join(parts)
    if rng.random() < 0.35:
        body = re.sub(r'(?<!")"([^"\'\\\n{}]*)"(?!")', r"'\1'", body)
    head = [f'"""{rng.choice(_TOPICS)}."""', ""] if rng.random() < 0.6 else []
    imports = sorted((line for mark, line in _IMPORTS if mark in body), key=lambda line: (line.startswith("from"), line))
    if "logger." in body:
        imports.insert(0, "import logging")
    imports.sort(key=lambda line: (line.startswith("from"), line))
    constants = rng.sample(_CONSTANTS, rng.randint(0, 4))
    if "logger." in body:
        constants.insert(0, "logger = logging.getLogger(__name__)")
    sections = ["\n".join(part) for part in (imports, constants) if part]
    return "\n".join(head) + ("\n" if head else "") + "\n\n".join(sections) + ("\n\n\n" if sections else "") + body + "\n"


def write_modules(src: Path, split: str, count: int, seed: int) -> Path:
    """Write `count` modules of a split below `src`; returns their folder. The same seed gives the same bytes."""
    folder = src / package_name(split)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        text = write_module(Random(f"{seed}/finance/{split}/{number}"), split)
        ast.parse(text)
        (folder / f"finance_{number:04d}.py").write_text(text, encoding="utf-8")
    return folder


def finance_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the src folder of a fetch")
    parser.add_argument("--files", type=int, default=400, metavar="N", help="modules of each split")
    parser.add_argument("--seed", type=int, default=1, metavar="S")


def finance_command(given: argparse.Namespace) -> None:
    for split in ("train", "heldout"):
        print(f"{write_modules(given.out, split, given.files, given.seed)}: {given.files} modules")
