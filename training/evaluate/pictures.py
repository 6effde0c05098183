"""Held-out pictures: what the model reads off screenshots of code, charts, tables and mock-ups, by fonts that training saw and did not.

Baselines: an empty answer (the region of a picture's edit, as it is), and Tesseract where that program is installed: on code and tables,
which are text. The scores are those of `training.data`: character error rate, the chart's parts, a table's cells, the tree of a mock-up."""

from __future__ import annotations

import argparse
import base64
import binascii
import io
import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cromwell import binding
from cromwell.contract import prompt
from cromwell.contract.cache import Cache
from cromwell.contract.errors import CommandError
from cromwell.contract.prefix import Pixels
from cromwell.generate.decode import Sampling, answer_room, drafts
from training.data import charts, mockups
from training.data.fetch import sha256_of
from training.data.pictures import KINDS, character_error_rate

from .answers import described, open_model
from .lines import EvaluationError, json_lines, text_field
from .options import Progress, add_json, add_processes, positive, write
from .report import markdown

VERSION = 1
TESSERACT = "tesseract"
TESSERACT_S = 60
RESAMPLES = 1000  # of the bootstrap
CHART_PARTS = ("parses", "kind", "series", "labels", "error", "pixels", "exact")


class PictureExample(NamedTuple):
    """One picture and what to answer to it."""

    kind: str
    path: str
    instruction: str
    gold: str
    font_seen: bool
    template: str
    png: bytes


def read_pictures(path: Path, kinds: Sequence[str] = (), limit: int | None = None) -> list[PictureExample]:
    """The pictures of a file that `training.data pictures-heldout` wrote, at most `limit` of each kind and sort of font. EvaluationError
    for a damaged line, and when nothing is left."""
    found: list[PictureExample] = []
    for where, row in json_lines(path):
        texts = {name: text_field(where, row, name) for name in ("kind", "path", "instruction", "gold", "png")}
        if texts["kind"] not in KINDS:
            raise EvaluationError(f"{where}: unknown kind {texts['kind']!r}; there are {', '.join(KINDS)}")
        if not isinstance(row.get("font_seen"), bool):
            raise EvaluationError(f'{where}: no "font_seen", true or false')
        try:
            texts["png"] = base64.b64decode(texts["png"], validate=True)
            Image.open(io.BytesIO(texts["png"])).verify()
            if texts["kind"] == "chart":
                charts.parse(texts["gold"])
        except (binascii.Error, OSError, SyntaxError, ValueError) as error:
            raise EvaluationError(f'{where}: "png" or "gold" is damaged: {error}') from None
        found.append(PictureExample(**texts, font_seen=row["font_seen"], template=text_field(where, row, "template", "")))
    if not found:
        raise EvaluationError(f"{path}: holds no pictures")
    seen: dict[tuple[str, bool], int] = {}
    kept = []
    for example in found:
        key = example.kind, example.font_seen
        seen[key] = seen.get(key, 0) + 1
        if (not kinds or example.kind in kinds) and (limit is None or seen[key] <= limit):
            kept.append(example)
    if not kept:
        raise EvaluationError(f"{path}: no pictures of kind {', '.join(kinds)}; it has {', '.join(sorted({row.kind for row in found}))}")
    return kept


def score(kind: str, gold: str, answer: str) -> dict[str, float]:
    """The scores of one answer, by name. "errors" and "characters" make up the character error rate."""
    if kind == "chart":
        return {name: float(value) for name, value in charts.score(gold, answer)._asdict().items()}
    rate = character_error_rate(gold, answer)
    found = {"errors": rate * max(1, len(gold)), "characters": float(max(1, len(gold))), "exact": float(gold == answer)}
    if kind == "table":
        found["cells"] = mockups.table_score(gold, answer)
    elif kind == "mockup":
        found["tree"] = mockups.mockup_score(gold, answer)
    return found


class Reader:
    """One process's model; answers pictures greedily."""

    def __init__(self, model_path: str):
        self.model = open_model(model_path)

    def __call__(self, example: PictureExample) -> str:
        picture = Image.open(io.BytesIO(example.png)).convert("RGB")
        info, tokenizer = self.model.info, self.model.tokenizer
        layout = binding.image_layout(*picture.size, info.max_tiles)
        pixels = Pixels(binding.image_tiles(picture.tobytes(), *picture.size, *layout), layout[0], layout[1])
        target = prompt.Target(example.path.encode(), b"", b"", b"")
        ids = prompt.encode(prompt.edit_prompt(target, example.instruction.encode(), images=1), tokenizer.encode)
        try:
            room = answer_room(ids, 1, info.max_positions, None, example.path)
        except CommandError:
            return ""
        return drafts(self.model, ids, [pixels], room, Sampling(), Cache(None), 1, None)[0].text.decode("utf-8", "replace")


def tesseract(example: PictureExample) -> str | None:
    """What Tesseract reads as one block of text; None for what is not text. Enlarged twice, which small letters need."""
    if example.kind not in ("code", "table"):
        return None
    picture = Image.open(io.BytesIO(example.png)).convert("L")
    large = io.BytesIO()
    picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.LANCZOS).save(large, "PNG")
    command = [TESSERACT, "stdin", "stdout", "--psm", "6", "-c", "preserve_interword_spaces=1"]
    try:
        done = subprocess.run(command, input=large.getvalue(), capture_output=True, timeout=TESSERACT_S, env={"OMP_THREAD_LIMIT": "1"})
    except subprocess.TimeoutExpired:
        return ""
    if done.returncode:
        raise EvaluationError(f"{TESSERACT}: {done.stderr.decode('utf-8', 'replace').strip().splitlines()[-1:]}")
    return done.stdout.decode("utf-8", "replace").rstrip("\f\n ") + "\n"


_systems: dict[str, Callable[[PictureExample], str | None]] = {}


def _start(model: str | None, program: str | None) -> None:
    global TESSERACT
    _systems.clear()
    if model is not None:
        _systems["model"] = Reader(model)
    _systems["empty"] = lambda example: ""
    if program is not None:
        TESSERACT = program
        _systems["tesseract"] = tesseract


def _read(example: PictureExample) -> dict[str, dict[str, float]]:
    answers = {name: system(example) for name, system in _systems.items()}
    return {name: score(example.kind, example.gold, answer) for name, answer in answers.items() if answer is not None}


def rate(rows: Sequence[Mapping[str, float]], seed: int = 0) -> dict[str, float]:
    """The character error rate of some pictures, all their characters taken together, with a 95% bootstrap interval over pictures."""
    errors, characters = (np.array([row[name] for row in rows]) for name in ("errors", "characters"))
    drawn = np.random.default_rng(seed).integers(0, len(rows), (RESAMPLES, len(rows)))
    rates = errors[drawn].sum(1) / characters[drawn].sum(1)
    low, high = np.quantile(rates, (0.025, 0.975))
    return {"value": float(errors.sum() / characters.sum()), "low": float(low), "high": float(high)}


def _mean(rows: Sequence[Mapping[str, float]], name: str, seed: int = 0) -> dict[str, float]:
    return rate([{"errors": row[name], "characters": 1.0} for row in rows], seed)


def summary(kind: str, rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Scores of one kind: {"count": .., score: {"value", "low", "high"}}."""
    if kind == "chart":
        return {"count": len(rows)} | {name: _mean(rows, name) for name in CHART_PARTS}
    found: dict[str, Any] = {"count": len(rows), "character_error_rate": rate(rows), "exact": _mean(rows, "exact")}
    extra = {"table": "cells", "mockup": "tree"}.get(kind)
    return found | ({extra: _mean(rows, extra)} if extra else {})


def pictures_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", type=Path, metavar="FILE", help="JSON lines as `python -m training.data pictures-heldout` writes them")
    parser.add_argument("--model", metavar="FILE", help="model pack; without one only the baselines are measured")
    parser.add_argument("--kind", action="append", choices=KINDS, default=[], metavar="KIND", help="only these; may be repeated")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most this many of each kind and sort of font")
    parser.add_argument("--tesseract", default=TESSERACT, metavar="PROGRAM", help="left out where not installed (default: %(default)s)")
    add_processes(parser)
    add_json(parser)


def pictures_command(arguments: argparse.Namespace) -> None:
    examples = read_pictures(arguments.pictures, arguments.kind, arguments.limit)
    model = described(arguments.model) if arguments.model else None
    program, started = shutil.which(arguments.tesseract), time.monotonic()
    results: list[dict[str, dict[str, float]]] = []
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(arguments.processes, context, _start, (arguments.model, program)) as pool:
        with Progress(len(examples), "pictures") as progress:
            for result in pool.map(_read, examples, chunksize=2):
                results.append(result)
                progress.step()
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in KINDS:
        for fonts in (True, False):
            there = zip(examples, results, strict=True)
            rows = [result for example, result in there if (example.kind, example.font_seen) == (kind, fonts)]
            if rows:
                part = groups.setdefault(kind, {})["fonts seen" if fonts else "fonts unseen"] = {}
                for system in rows[0]:
                    part[system] = summary(kind, [row[system] for row in rows])
    document = {
        "version": VERSION, "command": "pictures", "model": model,
        "pictures": {"path": str(arguments.pictures), "sha256": sha256_of(arguments.pictures), "count": len(examples)},
        "tesseract": _version(program) if program else None, "seconds": round(time.monotonic() - started, 1), "kinds": groups,
    }  # fmt: skip
    write(document, render(document), arguments.json)


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=TESSERACT_S)
    return (done.stdout or done.stderr).splitlines()[0] if done.stdout or done.stderr else program


def render(document: Mapping[str, Any]) -> str:
    """The tables of a result as Markdown, one a kind."""
    model = document["model"]
    who = f"{model['path']} ({model['parameters'] / 1e6:.1f}M parameters, {model['fingerprint']})" if model else "baselines alone"
    ocr = document["tesseract"] or "tesseract is not installed and left out"
    lines = [f"{document['pictures']['count']} pictures of {document['pictures']['path']}; {who}; {ocr}; {document['seconds']} s"]
    for kind, parts in document["kinds"].items():
        names = [name for name in next(iter(next(iter(parts.values())).values())) if name != "count"]
        rows = [
            [fonts, str(found["count"]), system, *(_cell(found[name], name) for name in names)]
            for fonts, systems in parts.items() for system, found in systems.items()
        ]  # fmt: skip
        lines += ["", markdown([kind, "pictures", "answers of", *(name.replace("_", " ") for name in names)], rows)]
    return "\n".join(lines)


def _cell(found: Mapping[str, float], name: str) -> str:
    shown = f"{100 * found['value']:.1f}%"
    with_interval = name in ("character_error_rate", "cells", "tree", "pixels")
    return shown + (f" ({100 * found['low']:.1f}-{100 * found['high']:.1f})" if with_interval else "")
