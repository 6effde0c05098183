"""Making a shard or an evaluation set from the fetched packages: the same seed gives the same bytes, on any number of processes."""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import multiprocessing
import os
from collections import Counter
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Iterator, NamedTuple

from training import tokenizer

from . import documents, edits, finance, names, shards, source
from .fetch import MANIFEST, DataError, read_manifest
from .pipeline_files import files_of
from .registry import KINDS

CHUNK_FILES = 32
POOL_FILES = 1500
MAX_PASSES = 20  # over the files, each with other edits
MAX_MISSES = 150  # tries in a row, in units that look fit, before an evaluation set does without more of a kind
MAX_REGION_BYTES = 2000  # of an evaluation edit
MAX_SAME_REGION = 3  # edits kept of one region: code is copied between files
DOCUMENT_KINDS = [*KINDS, "plain", "fill"]


class Plan(NamedTuple):
    """What every process needs to know."""

    src: Path
    seed: int
    pools: names.Pools
    leaked: frozenset[bytes]  # body hashes of the held-out packages
    tokenizer: Path
    plain_per_edit: float
    even: bool  # as many edits of each kind as of any other, where the code has them


_plan: Plan | None = None  # set before the processes are forked
_encode = None


class Made(NamedTuple):
    """One document of a worker."""

    document: documents.Document
    region: bytes  # digest of the region, for counting copies; empty where copies do no harm


def packages(manifest: Path, split: str) -> list[str]:
    """Names of the manifest's packages of a split."""
    return [row.name for row in read_manifest(manifest) if row.split == split]


def _hashes(item: tuple[Path, str, str]) -> set[bytes]:
    file = source.load(*item)
    return source.body_hashes(file.lines, file.tree) if file else set()


def heldout_hashes(src: Path, held: list[str], processes: int) -> frozenset[bytes]:
    """The body hashes of every function of the held-out packages, whatever the filters say of their files."""
    items = [
        (src, package, path.relative_to(src / package).as_posix()) for package in held for path in sorted((src / package).rglob("*.py"))
    ]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        return frozenset().union(*pool.imap_unordered(_hashes, items, chunksize=16))


def _work(job: tuple[int, list[tuple[str, str]]]) -> list[Made]:
    """The documents of one chunk of files; depends on the plan and the chunk's number only."""
    global _encode
    plan = _plan
    if _encode is None:
        _encode = tokenizer.load(plan.tokenizer).encode
    number, files = job
    gc.disable()  # syntax trees hold no cycles, and looking for some in them takes half of the parsing time
    rng = Random(f"{plan.seed}/{number}")
    balance, made = edits.Balance(plan.even), []
    for package, path in files:
        file = source.load(plan.src, package, path)
        if file is None:
            continue
        found = edits.usable_units(file, rng, plan.leaked)
        for example in edits.draw(file, found, plan.pools, balance, rng):
            document = documents.edit_document(example, _encode)
            if document is not None:
                made.append(Made(document, hashlib.blake2b(example.target.region, digest_size=8).digest()))
            if rng.random() < plan.plain_per_edit:
                document = documents.plain_document(file, rng.choice(found), rng, _encode)
                if document is not None:
                    made.append(Made(document, b""))
    gc.collect()
    return made


def _jobs(files: list[tuple[str, str]], seed: int) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Chunks of shuffled files, again and again in new orders: a second pass draws other edits of the same files."""
    number = 0
    for turn in range(MAX_PASSES):
        order = files[:]
        Random(f"{seed}/order/{turn}").shuffle(order)
        for first in range(0, len(order), CHUNK_FILES):
            yield number, order[first : first + CHUNK_FILES]
            number += 1


def _usable(src: Path, manifest: Path, split: str, prepared: Path | None = None) -> tuple[list[tuple[str, str]], Counter]:
    """The files to draw from and the counted reasons of the others: of a preparation's list, or of the filters alone."""
    reasons: Counter = Counter()
    listed = files_of(prepared) if prepared else []
    reasons["used"] += len(listed)
    chosen = [] if prepared else packages(manifest, split)
    files = listed + source.list_files(src, [*chosen, finance.package_name(split)], reasons)
    if not files:
        raise DataError(f"{src}: no usable files of the {split} packages: run `python -m training.data fetch` first")
    return files, reasons


def build_shard(
    src: Path,
    manifest: Path,
    split: str,
    tokenizer_path: Path,
    out: Path,
    counts: dict,
    seed: int,
    processes: int,
    prepared: Path | None = None,
    even: bool = False,
) -> dict:
    """Write a shard of counts["edits"] edits and about counts["plain"] plain documents; returns its index.

    `prepared` is what `prepare` or `unpack` wrote: then its files are drawn from. `even` wants equally many edits of every kind."""
    global _plan
    files, reasons = _usable(src, manifest, split, prepared)
    held = [*packages(manifest, "heldout"), finance.package_name("heldout")]
    leaked = heldout_hashes(src, held, processes) | source.known_bodies(src) if split == "train" else frozenset()
    pools = names.collect(src, files, POOL_FILES, Random(f"{seed}/pools"), leaked)
    _plan = Plan(src, seed, pools, leaked, tokenizer_path, counts["plain"] / max(1, counts["edits"]) * 1.1, even)
    with shards.Writer(out, DOCUMENT_KINDS) as writer:
        seen: Counter = Counter()
        left = Counter(counts)
        skipped: Counter = Counter()
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            for made in pool.imap(_work, _jobs(files, seed)):
                for document, region in made:
                    group = "plain" if document.kind in ("plain", "fill") else "edits"
                    seen[region] += bool(region)
                    if left[group] <= 0 or seen[region] > MAX_SAME_REGION:
                        skipped["enough" if left[group] <= 0 else "copied region"] += 1
                        continue
                    writer.add(document.ids, document.loss_start, document.kind)
                    left[group] -= 1
                if left["edits"] <= 0:
                    break
        return writer.close(
            seed=seed,
            split=split,
            even=even,
            tokenizer=shards.digest(tokenizer_path.read_bytes()),
            manifest=shards.digest(manifest.read_bytes()),
            files=reasons,
            skipped=skipped,
            heldout_bodies=len(leaked),
        )


def build_heldout(src: Path, manifest: Path, out: Path, count_per_kind: int, seed: int) -> dict[str, int]:
    """Write evaluation edits of the held-out packages as JSON lines, count_per_kind of each kind; returns the counts.

    New names and values come from held-out code; every other instruction is worded by a template that training never uses
    ("template": "unseen"). Each region occurs once. It needs the held-out packages only."""
    files, _ = _usable(src, manifest, "heldout")
    rng = Random(f"{seed}/heldout")
    pools = names.collect(src, files, POOL_FILES, rng)
    wanted, misses = dict.fromkeys(KINDS, count_per_kind), dict.fromkeys(KINDS, 0)
    seen: set[bytes] = set()
    rows = []
    by_package: dict[str, list[tuple[str, str]]] = {}
    for item in files:
        by_package.setdefault(item[0], []).append(item)
    load = lru_cache(maxsize=64)(source.load)  # a rare kind takes many turns, and a small package has few files
    for turn in range(400 * count_per_kind):  # packages take turns, so that a large one does not fill the set
        if not any(wanted.values()):
            break
        package = sorted(by_package)[turn % len(by_package)]
        file = load(src, *rng.choice(by_package[package]))
        found = edits.usable_units(file, rng, frozenset()) if file else []
        for kind in [kind for kind in wanted if wanted[kind]]:
            unseen = wanted[kind] % 2 == 0
            candidates = edits.fitting(found, kind)
            example = edits.make(file, rng.choice(candidates), kind, pools, rng, held_out=unseen) if candidates else None
            if example is None or example.target.region in seen or len(example.target.region) > MAX_REGION_BYTES:
                misses[kind] += bool(candidates)
                if misses[kind] > MAX_MISSES:
                    wanted[kind] = 0
                continue
            misses[kind] = 0
            seen.add(example.target.region)
            wanted[kind] -= 1
            texts = {**example.target._asdict(), "instruction": example.instruction, "new_region": example.new_region}
            row = {key: text.decode() for key, text in texts.items()}
            rows.append({**row, "kind": kind, "variant": example.variant, "package": package, "template": "unseen" if unseen else "seen"})
    rows.sort(key=lambda row: list(KINDS).index(row["kind"]))
    temporary = out.with_name(out.name + ".tmp")
    temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    os.replace(temporary, out)
    return dict(Counter(row["kind"] for row in rows))


def edits_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--src", type=Path, required=True, metavar="DIR", help="the src folder of a fetch")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--prepared", type=Path, metavar="DIR", help="what prepare or unpack wrote: draw from the files it lists")
    parser.add_argument("--split", choices=("train", "heldout"), default="train")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE", help="tokenizer.bin or the folder that holds it")
    parser.add_argument("--out", type=Path, required=True, metavar="SHARD")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="edits")
    parser.add_argument("--even", action="store_true", help="of all kinds equally many, as far as the code has them")
    parser.add_argument("--plain", type=int, metavar="N", help="plain and fill-in-the-middle documents (default: a sixth of --count)")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")


def edits_command(arguments: argparse.Namespace) -> None:
    counts = {"edits": arguments.count, "plain": arguments.count // 6 if arguments.plain is None else arguments.plain}
    path = arguments.tokenizer / "tokenizer.bin" if arguments.tokenizer.is_dir() else arguments.tokenizer
    options = (arguments.split, path, arguments.out, counts, arguments.seed, arguments.processes, arguments.prepared, arguments.even)
    index = build_shard(arguments.src, arguments.manifest, *options)
    print(json.dumps(index, indent=1))


def heldout_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--src", type=Path, required=True, metavar="DIR")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--count-per-kind", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")


def heldout_command(arguments: argparse.Namespace) -> None:
    print(json.dumps(build_heldout(arguments.src, arguments.manifest, arguments.out, arguments.count_per_kind, arguments.seed)))
