"""Narrow windows: the same edits, seen through a region of a few lines.

A region of twenty lines is nearly all copying; in one of a line or two every third token is the edit itself. A short training learns to
edit from the latter."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from random import Random

from cromwell.contract import prompt
from training import tokenizer

from .fetch import DataError
from .shards import Writer, open_shard

LINES = (1, 1, 1, 2, 3)  # of a region, drawn
AROUND = (0, 1, 2, 3, 6)  # lines of context either side, drawn
MAX_LINES = 16  # of a window that has to hold all of an edit
PER_LINE = frozenset(
    "rename rename_attribute rename_keyword change_constant replace_call print_to_log modern_types empty_literal quotes".split()
)
"""Kinds whose changed lines are edits of their own: a window may show one of them and leave the others out."""


def _cut(target: prompt.Target, old: list[bytes], first: int, last: int, around: int) -> prompt.Target:
    """Lines first..last-1 of a target's region as the region, with `around` lines of what stands before and after."""
    before = target.before.splitlines(keepends=True) + old[:first]
    after = old[last:] + target.after.splitlines(keepends=True)
    near = before[len(before) - min(around, len(before)) :]
    return prompt.Target(target.path, b"".join(near), b"".join(old[first:last]), b"".join(after[:around]))


def _same(old: list[bytes], new: list[bytes]) -> int:
    """How many lines at the beginning are the same."""
    return next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def narrow(target: prompt.Target, new_region: bytes, chance: Random, kind: str = "") -> tuple[prompt.Target, bytes] | None:
    """The edit on a window of a few lines, with what stood around it as context; None when that has more than MAX_LINES or nothing.

    A window on one changed line, or on one of those of a kind in PER_LINE, has one to three lines; changes outside of it are not part
    of the edit any more. Any other edit is shown whole: from the line before its first change to the line after its last one, which are
    as many lines in the new region, or more, or fewer. An edit of the kind `nothing` is cut anywhere."""
    old, new = target.region.splitlines(keepends=True), new_region.splitlines(keepends=True)
    changed = [i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    if not old or b"\r" in target.region or (old == new) != (kind == "nothing"):
        return None
    around = chance.choice(AROUND)
    if len(old) == len(new) and (len(changed) < 2 or kind in PER_LINE):
        count = min(chance.choice(LINES), len(old))
        at = chance.choice(changed or range(len(old)))
        first = chance.randint(max(0, at - count + 1), min(at, len(old) - count))
        return _cut(target, old, first, first + count, around), b"".join(new[first : first + count])
    same = _same(old, new)
    tail = _same(old[same:][::-1], new[same:][::-1])
    first = max(0, same - chance.choice((1, 1, 2)))
    kept = max(0, tail - chance.choice((1, 1, 2)))  # lines at the end that stay outside
    window = new[first : len(new) - kept]
    if max(len(old) - kept - first, len(window)) > MAX_LINES or not b"".join(window).strip():
        return None
    return _cut(target, old, first, len(old) - kept, around), b"".join(window)


def edits_of(shard_folder: Path, tokenizer_path: Path) -> Iterator[tuple[prompt.Target, bytes, bytes, str]]:
    """(target, instruction, new region, kind) of every edit in a shard."""
    shard, text = open_shard(shard_folder), tokenizer.load(tokenizer_path)
    order = ("<FILE>", "<EDIT>", "</EDIT>", "</FILE>", "<INS>", "<EDIT_START>", "<EDIT_END>")
    marks = [prompt.SPECIAL_TOKENS.index(name) for name in order]
    for number, kind in enumerate(shard.kinds):
        ids = shard.ids(number).tolist()
        if [i for i in ids if i < len(prompt.SPECIAL_TOKENS)] != marks:
            continue
        places = [ids.index(mark) for mark in marks]
        parts = [text.decode(ids[a + 1 : b]) for a, b in zip(places, places[1:], strict=False)]
        path, _, before = parts[0].partition(b"\n")
        yield prompt.Target(path, before, parts[1], parts[2]), parts[4], parts[5], shard.index["kinds"][kind]


def narrow_shard(source: Path, tokenizer_path: Path, out: Path, seed: int, without: Collection[str] = ()) -> dict:
    """Writes the narrow windows of a shard's edits, but for those of kinds in `without`, as a new shard; returns its index."""
    chance, encode = Random(seed), tokenizer.load(tokenizer_path).encode
    writer = Writer(out, open_shard(source, verify=False).index["kinds"])
    for target, instruction, new_region, kind in edits_of(source, tokenizer_path):
        edit = narrow(target, new_region, chance, kind)
        if edit is not None and kind not in without:
            ids = prompt.encode(prompt.edit_prompt(edit[0], instruction), encode)
            writer.add(ids + prompt.encode(prompt.answer(edit[1]), encode), len(ids), kind)
    return writer.close(seed=seed, source=str(open_shard(source, verify=False).index["sha256"]["tokens.npy"]))


def narrow_lines(source: Path, out: Path, seed: int) -> int:
    """Writes the narrow windows of held-out edits (JSON lines) as JSON lines; returns how many."""
    chance, count = Random(seed), 0
    with source.open(encoding="utf-8") as lines, out.open("w", encoding="utf-8") as stream:
        for line in lines:
            example = json.loads(line)
            target = prompt.Target(*(example[name].encode() for name in ("path", "before", "region", "after")))
            edit = narrow(target, example["new_region"].encode(), chance, example["kind"])
            if edit is not None:
                shown = dict(zip(prompt.Target._fields, (part.decode() for part in edit[0]), strict=True))
                stream.write(json.dumps(example | shown | {"new_region": edit[1].decode()}) + "\n")
                count += 1
    return count


def narrow_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SHARD|FILE.jsonl")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="for a shard: tokenizer.bin or the folder that holds it")
    parser.add_argument("--out", type=Path, required=True, metavar="SHARD|FILE.jsonl")
    parser.add_argument("--without", action="append", default=[], metavar="KIND", help="of a shard: leave this kind out; may be repeated")
    parser.add_argument("--seed", type=int, default=1, metavar="S")


def narrow_command(arguments: argparse.Namespace) -> None:
    if arguments.source.is_dir():
        if arguments.tokenizer is None:
            raise DataError(f"{arguments.source}: a shard needs --tokenizer")
        if unknown := sorted(set(arguments.without) - set(open_shard(arguments.source, verify=False).index["kinds"])):
            raise DataError(f"{arguments.source}: has no kind {unknown[0]}: see `kinds` in its index.json")
        index = narrow_shard(arguments.source, arguments.tokenizer, arguments.out, arguments.seed, arguments.without)
        print(f"{arguments.out}: {index['documents']} documents, {index['tokens']} tokens")
    else:
        print(f"{arguments.out}: {narrow_lines(arguments.source, arguments.out, arguments.seed)} edits")
