"""Shards of pictures with their answers, and pictures for evaluation.

The same seed, sources and fonts give the same bytes, on any number of processes."""

from __future__ import annotations

import argparse
import base64
import io
import itertools
import json
import multiprocessing
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image

from training import tokenizer

from . import build, documents, edits, instructions, pictures, pictures_fonts, shards, source
from .fetch import MANIFEST, DataError
from .pictures import Sample
from .pictures_fonts import MONO, SANS, Face
from .pictures_tiles import Picture, cut
from .pictures_words import Words

DOCUMENT_KINDS = {"code": "picture", "chart": "chart", "table": "table", "mockup": "mockup"}
"""Kinds of documents by what their pictures show."""
EVERYTHING = "code:8,chart:1,table:1,mockup:1"
CHUNK = 32  # pictures a job
PER_FILE = 8  # pictures of a file at one reading, which costs as much as drawing several; for evaluation one
WORD_FILES, WORD_COUNT = 400, 4000  # files that the words of charts, tables and mock-ups come from, and how many words
MAX_WAVES = 6
"""How often a shard that is still short of pictures asks for more before it gives up."""


class Plan(NamedTuple):
    """What every process needs to know."""

    seed: int
    src: Path | None
    files: list[tuple[str, str]]
    leaked: frozenset[bytes]  # body hashes of the held-out packages
    words: list[str]
    mono: list[Face]
    sans: list[Face]
    max_tiles: int
    max_lines: int  # of code
    per_file: int
    tokenizer: Path | None


_plan: Plan | None = None  # set before the processes are forked
_encode: Callable[[bytes], list[int]] | None = None


def code_words(src: Path, files: list[tuple[str, str]], seed: int) -> list[str]:
    """The words that identifiers and comments of some files are made of, most frequent first."""
    chosen = Random(f"{seed}/words").sample(files, min(WORD_FILES, len(files)))
    counts = Counter(word for package, path in chosen for word in re.findall(rb"[a-z]{3,10}", (src / package / path).read_bytes()))
    return [word.decode() for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:WORD_COUNT]]


def _code(plan: Plan, rng: Random, number: int) -> Iterator[Sample]:
    """Screenshots of a job's files; job after job goes through all files, then through them in another order."""
    each = CHUNK // plan.per_file
    turn, first = divmod(number * each, max(each, len(plan.files) // each * each))
    order = plan.files[:]
    Random(f"{plan.seed}/order/{turn}").shuffle(order)
    for package, path in order[first : first + each]:
        file = source.load(plan.src, package, path)
        units = edits.usable_units(file, rng, plan.leaked) if file else []
        for _ in range(plan.per_file if units else 0):
            unit = rng.choices(units, [len(unit.lines) for unit in units])[0]
            lines = [line.decode("utf-8", "replace").rstrip("\n") for line in unit.lines]
            sample = pictures.code_sample(lines, edits.short_path(file.path, rng), plan.mono, rng, plan.max_tiles, plan.max_lines)
            if sample:
                yield sample._replace(facts={**sample.facts, "package": package})


def samples(plan: Plan, kind: str, rng: Random, number: int, count: int) -> Iterator[Sample]:
    """At most `count` samples, CHUNK at most; of code there may be fewer."""
    if kind == "code":
        yield from itertools.islice(_code(plan, rng, number), count)
        return
    from . import charts_make, mockups_make  # matplotlib takes a second to import

    make = {"chart": charts_make.chart_sample, "table": mockups_make.table_sample, "mockup": mockups_make.mockup_sample}[kind]
    words = Words(rng, plan.words)
    for _ in range(count):
        yield make(rng, words, plan.sans, plan.max_tiles)


def _work(job: tuple[str, int, int]) -> list[tuple[documents.Document, Picture]]:
    """The documents of one job; depends on the plan and the job only."""
    global _encode
    plan = _plan
    if _encode is None:
        _encode = tokenizer.load(plan.tokenizer).encode
    kind, number, count = job
    rng = Random(f"{plan.seed}/{kind}/{number}")
    made = []
    for sample in samples(plan, kind, rng, number, count):
        instruction = instructions.word(rng, kind, "picture", {}).encode()
        document = documents.picture_document(sample.gold, sample.path, instruction, _encode, DOCUMENT_KINDS[kind])
        if len(document.ids) <= documents.MAX_TOKENS:
            made.append((document, cut(sample.pixels)))
    return made


def prepare(
    kinds: list[str],
    src: Path | None,
    manifest: Path,
    split: str,
    fonts: Path | None,
    seed: int,
    max_tiles: int,
    max_lines: int,
    processes: int,
) -> tuple[Plan, dict]:
    """A plan for some kinds of pictures, and what the index says of where they come from.

    Raises DataError when code is asked for and missing."""
    if "code" in kinds and src is None:
        raise DataError("pictures of code need --src, the src folder of a fetch")
    reasons: Counter = Counter()
    files = source.list_files(src, build.packages(manifest, split), reasons) if src else []
    if src and not files:
        raise DataError(f"{src}: no usable files of the {split} packages: run `python -m training.data fetch` first")
    check = "code" in kinds and split == "train"
    leaked = build.heldout_hashes(src, build.packages(manifest, "heldout"), processes) if check else frozenset()
    found = {}
    for name, table, needed in (("mono", MONO, "code" in kinds), ("sans", SANS, set(kinds) - {"code"})):
        found[name], missing = pictures_fonts.find(table, fonts) if needed else ([], [])
        pictures_fonts.tell_missing(missing)
    words = code_words(src, files, seed) if src and set(kinds) - {"code"} else []
    per_file = PER_FILE if split == "train" else 1
    plan = Plan(seed, src, files, leaked, words, found["mono"], found["sans"], max_tiles, max_lines, per_file, None)
    digests = {face.family: shards.digest(Path(face.regular).read_bytes()) for face in (*plan.mono, *plan.sans)}
    limits = {"max_tiles": max_tiles, "max_lines": max_lines}
    return plan, {"seed": seed, "split": split, **limits, "manifest": shards.digest(manifest.read_bytes()), "fonts": digests}


def build_shard(plan: Plan, facts: dict, shares: dict[str, float], count: int, tokenizer_path: Path, out: Path, processes: int) -> dict:
    """Write `count` pictures, kinds by their shares, with fonts that training may see; returns the index."""
    global _plan
    plan = plan._replace(
        tokenizer=tokenizer_path, mono=[face for face in plan.mono if face.seen], sans=[face for face in plan.sans if face.seen]
    )
    facts = {**facts, "fonts": {face.family: facts["fonts"][face.family] for face in (*plan.mono, *plan.sans)}}
    _plan = plan
    left = _counts(shares, count)
    writer = shards.Writer(out, [DOCUMENT_KINDS[kind] for kind in shares])
    jobs_done = dict.fromkeys(shares, 0)
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for _ in range(MAX_WAVES):
            wave = _wave(left, jobs_done)
            for (kind, _, _), made in zip(wave, pool.imap(_work, wave), strict=True):
                for document, picture in made:
                    writer.add(document.ids, document.loss_start, document.kind, picture)
                left[kind] -= len(made)
            if not any(left.values()):
                break
    if any(left.values()):
        raise DataError(f"{out}: too little code fits into pictures: {left} were not made; give more packages or more tiles")
    return writer.close(**facts, tokenizer=shards.digest(tokenizer_path.read_bytes()))


def _counts(shares: dict[str, float], count: int) -> dict[str, int]:
    """`count` divided by shares; what rounding leaves goes to the first."""
    total = sum(shares.values())
    counts = {kind: int(count * share / total) for kind, share in shares.items()}
    counts[next(iter(shares))] += count - sum(counts.values())
    return counts


def _wave(left: dict[str, int], jobs_done: dict[str, int]) -> list[tuple[str, int, int]]:
    """Jobs (kind, number, count) for what is left of each kind, the kinds mixed evenly; counts them as done."""
    jobs = []
    for kind, count in left.items():
        wanted = -(-count // CHUNK)
        jobs += [((i + 0.5) / wanted, kind, jobs_done[kind] + i, min(CHUNK, count - i * CHUNK)) for i in range(wanted)]
        jobs_done[kind] += wanted
    return [job[1:] for job in sorted(jobs)]


def build_heldout(plan: Plan, shares: dict[str, float], count: int, out: Path) -> dict[str, int]:
    """Write `count` pictures for evaluation as JSON lines, each with its PNG in base64; returns how many of each kind and font.

    Every other one is drawn with fonts that training never sees, and every other two are asked for in words it never sees."""
    counts = _counts(shares, count)
    rows: list[dict] = []
    for kind, wanted in counts.items():
        number = 0
        for seen in (True, False):
            faces = {
                "mono": [face for face in plan.mono if face.seen == seen],
                "sans": [face for face in plan.sans if face.seen == seen],
            }
            if not faces["mono" if kind == "code" else "sans"]:
                raise DataError(f"no font that training {'sees' if seen else 'never sees'}: install the `fonts` extra (docs/data.md)")
            part, stop = plan._replace(**faces), number + 4 * -(-wanted // CHUNK) + MAX_WAVES
            made: list[dict] = []
            goal = wanted // 2 + (wanted % 2 and seen)
            while len(made) < goal and number < stop:
                rng = Random(f"{plan.seed}/heldout/{kind}/{number}")
                found = samples(part, kind, rng, number, min(CHUNK, goal - len(made)))
                made += [_row(sample, rng, unseen=i % 2 == 1) for i, sample in enumerate(found)]
                number += 1
            if len(made) < goal:
                raise DataError(f"{out}: too little code fits into pictures: {len(made)} of {goal} made")
            rows += made
    temporary = out.with_name(out.name + ".tmp")
    temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    os.replace(temporary, out)
    return dict(Counter(f"{row['kind']}, fonts {'seen' if row['font_seen'] else 'unseen'}" for row in rows))


def _row(sample: Sample, rng: Random, unseen: bool) -> dict:
    png = io.BytesIO()
    Image.fromarray(sample.pixels).save(png, "PNG")
    return {
        "kind": sample.kind,
        "path": sample.path.decode(),
        "instruction": instructions.word(rng, sample.kind, "picture", {}, held_out=unseen),
        "gold": sample.gold.decode(),
        "template": "unseen" if unseen else "seen",
        **sample.facts,
        "png": base64.b64encode(png.getvalue()).decode(),
    }


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for part in text.split(","):
        kind, _, share = part.partition(":")
        try:
            shares[kind] = float(share or 1)
        except ValueError:
            shares[kind] = 0.0
        if kind not in pictures.KINDS or not shares[kind] > 0:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(pictures.KINDS)}, each with or without a share as in code:8")
    return shares


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--src", type=Path, metavar="DIR", help="the src folder of a fetch: code, and words for the rest")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="pictures in all")
    parser.add_argument("--what", type=_shares, default=_shares(EVERYTHING), metavar="KINDS", help=f"with shares (default {EVERYTHING})")
    parser.add_argument("--tiles", type=int, default=4, choices=range(1, 17), metavar="N", help="most tiles of a picture (default 4)")
    parser.add_argument("--lines", type=int, default=100, metavar="N", help="most lines of a picture of code (default 100)")
    parser.add_argument("--fonts", type=Path, metavar="DIR", help="a folder of fonts that is searched before packages and the system")
    parser.add_argument("--seed", type=int, default=1, metavar="S")


def pictures_arguments(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE", help="tokenizer.bin or the folder that holds it")
    parser.add_argument("--out", type=Path, required=True, metavar="SHARD")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")


def pictures_command(arguments: argparse.Namespace) -> None:
    a = arguments
    path = a.tokenizer / "tokenizer.bin" if a.tokenizer.is_dir() else a.tokenizer
    plan, facts = prepare(list(a.what), a.src, a.manifest, "train", a.fonts, a.seed, a.tiles, a.lines, a.processes)
    print(json.dumps(build_shard(plan, facts, a.what, a.count, path, a.out, a.processes), indent=1))


def pictures_heldout_arguments(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl")


def pictures_heldout_command(arguments: argparse.Namespace) -> None:
    a = arguments
    plan, _ = prepare(list(a.what), a.src, a.manifest, "heldout", a.fonts, a.seed, a.tiles, a.lines, 1)
    print(json.dumps(build_heldout(plan, a.what, a.count, a.out)))
