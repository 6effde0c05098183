"""Real edits: functions and classes that changed from one release of a package to the next, with instructions made by rules.

python -m training.data releases fetch --out DIR
python -m training.data releases edits --wheels DIR --split train --tokenizer tokenizer.bin --out SHARD --seed 1
python -m training.data releases edits --wheels DIR --split heldout --out real-heldout.jsonl --seed 1
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from cromwell.contract.prompt import Target

from . import documents, edits, fetch, releases_match, shards, source
from .fetch import DataError, Package
from .releases_phrases import Phrase
from .releases_rules import Describer
from .releases_wording import word

MANIFEST = Path(__file__).with_name("releases.json")
KINDS = ["release", "release_vague"]  # described whole; described in part, the rest is up to the reader
MAX_PHRASES = 4
MAX_INSTRUCTION = 400  # characters
MAX_SAME_REGION = 1  # edits kept of one region: code is copied between files
MAX_PIECE_LINES = 400


class Pair(NamedTuple):
    """Two releases of a package, one after the other."""

    old: Package
    new: Package


class Made(NamedTuple):
    """What one pair of files gave: edits with the rules that worded them, and why others were dropped."""

    examples: list[tuple[edits.Example, bool, list[str]]]  # example, worded by held-out templates, rules
    reasons: Counter


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def read_pairs(manifest: Path, split: str | None = None) -> list[Pair]:
    """The pairs of successive releases of a manifest. Raises DataError when a package has one release only."""
    by_name: dict[str, list[Package]] = {}
    for row in fetch.read_manifest(manifest):
        if split in (None, row.split):
            by_name.setdefault(row.name, []).append(row)
    pairs = []
    for name, rows in sorted(by_name.items()):
        rows.sort(key=lambda row: _version(row.version))
        if len(rows) < 2:
            raise DataError(f"{manifest}: {name} has one release, {rows[0].version}: an edit needs two")
        pairs += [Pair(*two) for two in zip(rows, rows[1:], strict=False)]
    return pairs


def open_release(row: Package, wheels: Path) -> zipfile.ZipFile:
    """A fetched wheel. Raises DataError when it is missing, differs from the manifest or is damaged."""
    path = wheels / row.wheel
    if not path.exists():
        raise DataError(f"{path}: release {row.name} {row.version} is missing: run `python -m training.data releases fetch --out {wheels}`")
    if fetch.sha256_of(path) != row.sha256:
        raise DataError(f"{path}: sha256 differs from the manifest's: remove it and run `python -m training.data releases fetch`")
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: damaged archive ({error})") from error


def python_files(wheel: zipfile.ZipFile) -> list[str]:
    """The .py files of a wheel that belong to the package itself, sorted."""
    return sorted(name for name in wheel.namelist() if name.endswith(".py") and not name.split("/")[0].endswith((".dist-info", ".data")))


def read_source(wheel: zipfile.ZipFile, name: str, package: str, reasons: Counter) -> source.SourceFile | None:
    """A wheel's file, parsed, or None when it is not used (the reason is counted)."""
    try:
        data = wheel.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{wheel.filename}: damaged archive, {name} ({error})") from error
    reason = source.reject_reason(data)
    file = None if reason else source.parsed(data, package, name)
    if file is None:
        reasons[f"file: {reason or 'does not parse'}"] += 1
    return file


def leaked_bodies(pairs: list[Pair], wheels: Path) -> frozenset[bytes]:
    """The body hashes of every function of the held-out releases, old and new."""
    found: set[bytes] = set()
    for row in {row.wheel: row for pair in pairs for row in pair}.values():
        with open_release(row, wheels) as wheel:
            for name in python_files(wheel):
                file = source.parsed(wheel.read(name), row.name, name)
                if file is not None:
                    found |= source.body_hashes(file.lines, file.tree)
    return frozenset(found)


def describe(change: releases_match.Change) -> tuple[list[Phrase], bool, str]:
    """(phrases, whether they tell everything, why not)."""
    describer = Describer(change.old, change.new, change.region)
    phrases = list(dict.fromkeys((phrase.rule, tuple(phrase.slots.items())) for phrase in describer.phrases))
    found = [Phrase(rule, dict(slots)) for rule, slots in phrases]
    if releases_match.comments(change.region) != releases_match.comments(change.new_region):
        return found, False, "comments changed too"
    if not describer.complete:
        return found, False, "no rule for all of it"
    return found, len(found) <= MAX_PHRASES, "too many changes"


def file_edits(old: source.SourceFile, new: source.SourceFile, leaked: frozenset[bytes], rng: Random, held_out: bool) -> Made:
    """The edits of one file from one release to the next.

    Of each piece of code the whole change is taken when rules describe it; else those of its parts that they do; else, once, what
    they can say of it. `held_out` words every other instruction by templates that training never uses."""
    made = Made([], Counter())
    for found in releases_match.changes(old, new, leaked, rng, made.reasons):
        described = []
        for change in found if len(found[0].old.lines) <= MAX_PIECE_LINES else ():
            described.append((change, *describe(change)))
            if described[0][2]:
                break  # the whole change
        whole = [row for row in described if row[2]]
        partial = [row for row in described if row[1]][:1] if not whole else []
        if not whole and not partial:
            made.reasons[f"dropped: {described[0][3] if described else 'long function'}"] += 1
        for change, phrases, complete, reason in whole or partial:
            if not phrases:
                made.reasons["dropped: nothing to say"] += 1
                continue
            unseen = held_out and rng.random() < 0.5
            text = word(rng, phrases[:MAX_PHRASES], change.name.split(".")[-1], complete, unseen)
            if len(text) > MAX_INSTRUCTION:
                made.reasons["dropped: long instruction"] += 1
                continue
            rules = sorted({phrase.rule for phrase in phrases})
            target = Target(edits.short_path(old.path, rng), change.before, change.region, change.after)
            kind, variant = ("release", "+".join(rules)) if complete else ("release_vague", "vague")
            if not complete:
                made.reasons[f"vague: {reason}"] += 1
            made.examples.append((edits.Example(target, text.encode(), change.new_region, kind, old.package, variant), unseen, rules))
    return made


def pair_edits(pair: Pair, wheels: Path, leaked: frozenset[bytes], seed: int) -> Iterator[Made]:
    """The edits of a pair of releases, file by file; they depend on the pair, the leaked bodies and the seed only."""
    held_out = pair.old.split == "heldout"
    with open_release(pair.old, wheels) as old, open_release(pair.new, wheels) as new:
        later = set(python_files(new))
        for name in python_files(old):
            reasons: Counter = Counter()
            if name not in later:
                reasons["file: gone or moved"] += 1
            elif old.getinfo(name).CRC == new.getinfo(name).CRC and old.getinfo(name).file_size == new.getinfo(name).file_size:
                reasons["file: the same"] += 1
            else:
                files = [read_source(wheel, name, pair.old.name, reasons) for wheel in (old, new)]
                if all(files):
                    reasons["files compared"] += 1
                    yield file_edits(*files, leaked, Random(f"{seed}/{pair.old.name}/{pair.new.version}/{name}"), held_out)
            yield Made([], reasons)


def _worker(job: tuple[Pair, Path, frozenset[bytes], int]) -> list[Made]:
    return list(pair_edits(*job))


def all_edits(manifest: Path, wheels: Path, split: str, seed: int, processes: int) -> Iterator[tuple[Pair, list[Made]]]:
    """(pair, what its files gave) for every pair of a split."""
    pairs = read_pairs(manifest, split)
    if not pairs:
        raise DataError(f"{manifest}: no pair of {split} releases")
    leaked = leaked_bodies(read_pairs(manifest, "heldout"), wheels) if split == "train" else frozenset()
    jobs = [(pair, wheels, leaked, seed) for pair in pairs]
    if processes == 1:
        yield from zip(pairs, map(_worker, jobs), strict=True)
        return
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from zip(pairs, pool.imap(_worker, jobs), strict=True)


def build(manifest: Path, wheels: Path, split: str, out: Path, seed: int, tokenizer_path: Path | None, processes: int) -> dict:
    """Write the edits of a split: a shard with `tokenizer_path`, else JSON lines; returns counts by reason, rule and package.

    The JSON lines are those of `heldout` (build.py) with the field `rules`."""
    counts = {name: Counter() for name in ("reasons", "rules", "packages")}
    seen: Counter = Counter()
    writer = encode = None
    if tokenizer_path is not None:
        from training import tokenizer

        encode = tokenizer.load(tokenizer_path).encode
        writer = shards.Writer(out, KINDS)
    rows = []
    for pair, made in all_edits(manifest, wheels, split, seed, processes):
        for one in made:
            counts["reasons"].update(one.reasons)
            for example, unseen, rules in one.examples:
                key = hashlib.blake2b(example.target.region + b"\0" + example.new_region, digest_size=8).digest()
                seen[key] += 1
                if seen[key] > MAX_SAME_REGION:
                    counts["reasons"]["dropped: copied region"] += 1
                    continue
                if writer is not None:
                    document = documents.edit_document(example, encode)
                    if document is None:
                        counts["reasons"]["dropped: too many tokens"] += 1
                        continue
                    writer.add(document.ids, document.loss_start, document.kind)
                else:
                    texts = {**example.target._asdict(), "instruction": example.instruction, "new_region": example.new_region}
                    row = {key: text.decode() for key, text in texts.items()}
                    row |= {"kind": example.kind, "variant": example.variant, "package": example.package}
                    rows.append(row | {"template": "unseen" if unseen else "seen", "rules": rules})
                counts["packages"][f"{pair.old.name} {pair.old.version} -> {pair.new.version}"] += 1
                counts["rules"].update(rules if example.kind == "release" else ["(vague)"])
    facts = {name: dict(counter.most_common()) for name, counter in counts.items()}
    if writer is not None:
        return writer.close(seed=seed, split=split, tokenizer=shards.digest(tokenizer_path.read_bytes()),
                            manifest=shards.digest(manifest.read_bytes()), **facts)  # fmt: skip
    temporary = out.with_name(out.name + ".tmp")
    temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    os.replace(temporary, out)
    return {"edits": len(rows), **facts}


def releases_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="fetch|edits")
    command = commands.add_parser("fetch", help="download the pinned releases' wheels (190 MB)")
    command.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--split", choices=("train", "heldout"), help="only the packages of this split")
    command.set_defaults(step="fetch")
    command = commands.add_parser("edits", help="make a shard, or JSON lines, of the functions that changed")
    command.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    command.add_argument("--wheels", type=Path, required=True, metavar="DIR", help="the folder of a fetch")
    command.add_argument("--split", choices=("train", "heldout"), default="train")
    command.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.bin or its folder: write a shard, else JSON lines")
    command.add_argument("--out", type=Path, required=True, metavar="SHARD|FILE.jsonl")
    command.add_argument("--seed", type=int, default=1, metavar="S")
    command.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    command.set_defaults(step="edits")


def releases_command(arguments: argparse.Namespace) -> None:
    if arguments.step == "fetch":
        arguments.out.mkdir(parents=True, exist_ok=True)
        for pair in read_pairs(arguments.manifest, arguments.split):
            for row in pair:
                print(f"{row.name} {row.version}: {fetch.download(row, arguments.out).name}")
        return
    path = arguments.tokenizer
    if path is not None and path.is_dir():
        path = path / "tokenizer.bin"
    facts = build(arguments.manifest, arguments.wheels, arguments.split, arguments.out, arguments.seed, path, arguments.processes)
    print(json.dumps(facts, indent=1))
