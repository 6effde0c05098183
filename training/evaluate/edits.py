"""Held-out edits: how many the model does right, by kind, wording and package, and how many the baselines do."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cromwell.generate.cw_generate import CONFIDENT, TAIL
from cromwell.generate.decode import Sampling
from training.data.fetch import sha256_of

from . import sandbox
from .answers import Judged, Systems, described, judged
from .examples import Example, read_examples
from .nearest import Index, training_edits
from .options import Progress, add_json, add_limits, add_processes, atomic_text, limits_of, positive, write
from .report import Share, markdown, percent
from .score import FIGURES

VERSION = 3
GROUPS = ("kind", "template", "package")  # fields of an example
LEVELS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)  # of confidence
HEADLINES = ("exact", "same_tree")  # the figures that every group's table shows


def edits_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("edits", type=Path, metavar="FILE", help="JSON lines as `python -m training.data heldout` writes them")
    parser.add_argument("--model", metavar="FILE", help="model pack; without one only the baselines are measured")
    parser.add_argument("--neighbours", type=Path, metavar="SHARD|FILE", help="training edits, for the nearest-neighbour baseline")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="of the shard of --neighbours: tokenizer.bin or its folder")
    parser.add_argument("--kind", action="append", default=[], metavar="KIND", help="only edits of this kind; may be repeated")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most this many edits of each kind, evenly from the file")
    parser.add_argument("--candidates", type=positive, default=1, metavar="K", help="for the gate: the best of K, as cw-generate -n K")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the candidates after the first")
    parser.add_argument("--min-confidence", type=float, default=CONFIDENT, metavar="P", help="of the gate, as cw-generate's")
    parser.add_argument("--no-guidance", action="store_true", help="decode without JEPA guidance")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="also write every answer with its figures as JSON lines")
    add_processes(parser)
    add_limits(parser)
    add_json(parser)


def edits_command(arguments: argparse.Namespace) -> None:
    examples = read_examples(arguments.edits, arguments.limit, arguments.kind)
    model = described(arguments.model) if arguments.model else None
    index = Index(training_edits(arguments.neighbours, arguments.tokenizer)) if arguments.neighbours else None
    sampling = Sampling(
        arguments.candidates, min_p=TAIL, seed=arguments.seed, guidance=not arguments.no_guidance, min_confidence=arguments.min_confidence
    )  # fmt: skip
    limits, started, results = limits_of(arguments), time.monotonic(), []
    if any(example.test for example in examples):
        sandbox.check(limits)
    with Progress(len(examples), "edits") as progress:
        for result in judged(examples, Systems(arguments.model, sampling, index, limits), arguments.processes):
            results.append(result)
            progress.step()
    document = {
        "version": VERSION, "command": "edits", "model": model,
        "edits": {"path": str(arguments.edits), "sha256": sha256_of(arguments.edits), "count": len(examples)},
        "neighbours": len(index.edits) if index else None,
        "settings": {"candidates": sampling.candidates, "seed": sampling.seed, "guidance": sampling.guidance,
                     "min_confidence": sampling.min_confidence},
        "sandbox": sandbox.confinement() if any(example.test for example in examples) else None,
        "seconds": round(time.monotonic() - started, 1),
        "groups": groups(examples, results),
        "confidence": by_confidence(results, sampling.min_confidence) if model else None,
    }  # fmt: skip
    if arguments.answers:
        atomic_text(arguments.answers, "".join(_answer_lines(examples, results)))
    write(document, render(document), arguments.json)


def _answer_lines(examples: Sequence[Example], results: Sequence[Mapping[str, Judged]]) -> Iterable[str]:
    for number, (example, result) in enumerate(zip(examples, results, strict=True)):
        told = {system: {**made.answer._asdict(), "figures": made.figures} for system, made in result.items()}
        yield json.dumps({"number": number, **example._asdict(), "answers": told}, ensure_ascii=False) + "\n"


def groups(examples: Sequence[Example], results: Sequence[Mapping[str, Judged]]) -> dict[str, dict[str, dict[str, Any]]]:
    """{"all" | "kind" | "template" | "package": {group: {system: {figure: share}}}}; examples without a template or package are in none."""
    members: dict[str, dict[str, list[int]]] = {"all": {"all": list(range(len(examples)))}}
    for name in GROUPS:
        members[name] = {}
        for number, example in enumerate(examples):
            if value := getattr(example, name):
                members[name].setdefault(value, []).append(number)
    return {
        name: {value: _shares([results[i] for i in there]) for value, there in sorted(group.items())} for name, group in members.items()
    }


def _shares(results: Sequence[Mapping[str, Judged]]) -> dict[str, Any]:
    return {
        system: {name: Share.of(result[system].figures[name] for result in results).json() for name in FIGURES} for system in results[0]
    }


def by_confidence(results: Sequence[Mapping[str, Judged]], least: float) -> list[dict[str, Any]]:
    """For each of LEVELS from `least`, which the gate asked for, of the model's accepted answers with at least that confidence: how many
    there are, which share of them is right, and which share of all right accepted ones they hold."""
    accepted = [result["model"] for result in results if result["model"].answer.accepted is not None]
    right = [(made.answer.confidence, made.figures["accepted_same_tree"]) for made in accepted]
    rows = []
    for level in (least, *(level for level in LEVELS if level > least)):
        sure = [hit for confidence, hit in right if confidence >= level]
        rows.append({"level": level, "right": Share.of(sure).json(), "kept": Share(sum(sure), sum(hit for _, hit in right)).json()})
    return rows


def confidence_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What asking for more confidence gives and takes."""
    headings = ["confidence at least", "accepted", "right if accepted", "of the right ones"]
    shares = [[Share.read(row[name]) for name in ("right", "kept")] for row in rows]
    levels = [f"{row['level']:g}" for row in rows]
    cells = ([level, str(right.count), percent(right), percent(kept)] for level, (right, kept) in zip(levels, shares, strict=True))
    return markdown(headings, cells)


def render(document: Mapping[str, Any]) -> str:
    """The tables of a result as Markdown."""
    found = document["groups"]
    systems = list(found["all"]["all"])
    shown = [name for name in FIGURES if any(found["all"]["all"][system][name]["count"] for system in systems)]
    lines = [heading(document), ""]
    rows = [[system, *(percent(Share.read(found["all"]["all"][system][name]), name in HEADLINES) for name in shown)] for system in systems]
    lines.append(markdown(["answers of", *(FIGURES[name][0] for name in shown)], rows))
    for group in GROUPS:
        if found[group]:
            lines += ["", by_group(group, found[group], systems)]
    if document["confidence"]:
        lines += ["", confidence_table(document["confidence"])]
    return "\n".join(lines)


def heading(document: Mapping[str, Any]) -> str:
    """One line: what was measured with what."""
    model, settings = document["model"], document["settings"]
    who = f"{model['path']} ({model['parameters'] / 1e6:.1f}M parameters, {model['fingerprint']})" if model else "baselines alone"
    how = f", {settings['candidates']} candidates" if settings["candidates"] > 1 else ""
    near = f", {document['neighbours']:,} neighbours" if document["neighbours"] else ""
    confined = f", tests confined by {document['sandbox']}" if document["sandbox"] else ""
    return f"{document['edits']['count']:,} edits of {document['edits']['path']}; {who}{how}{near}{confined}; {document['seconds']} s"


def by_group(name: str, group: Mapping[str, Mapping[str, Any]], systems: Sequence[str]) -> str:
    """One table: the headline figures of every system; the first one's with their intervals."""
    headings = [name, "edits", *(f"{FIGURES[figure][0]}: {system}" for figure in HEADLINES for system in systems)]
    rows = []
    for value, shares in group.items():
        cells = [percent(Share.read(shares[system][figure]), system == systems[0]) for figure in HEADLINES for system in systems]
        rows.append([value, str(shares[systems[0]][HEADLINES[0]]["count"]), *cells])
    return markdown(headings, rows)
