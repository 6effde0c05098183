"""Narrow windows: the same edits, seen through a region of one to three lines.

A region of twenty lines is nearly all copying; in one of a line or two every third token is the edit itself. A short training learns to
edit from the latter. Works on edits that keep the number of lines; others are left out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from cromwell.contract import prompt
from training import tokenizer

from .fetch import DataError
from .shards import Writer, open_shard

LINES = (1, 1, 1, 2, 3)  # of a region, drawn
AROUND = (0, 1, 2, 3, 6)  # lines of context either side, drawn


def narrow(target: prompt.Target, new_region: bytes, chance: Random) -> tuple[prompt.Target, bytes] | None:
    """The edit on a window of a few lines that holds a changed one, with what stood around it as context; None when the number of
    lines changes. Changes outside the window are not part of the edit any more."""
    old, new = target.region.splitlines(keepends=True), new_region.splitlines(keepends=True)
    changed = [i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    if len(old) != len(new) or not changed or b"\r" in target.region:
        return None
    count = min(chance.choice(LINES), len(old))
    at = chance.choice(changed)
    first = chance.randint(max(0, at - count + 1), min(at, len(old) - count))
    before = target.before.splitlines(keepends=True) + old[:first]
    after = old[first + count :] + target.after.splitlines(keepends=True)
    around = chance.choice(AROUND)
    near = before[len(before) - min(around, len(before)) :]
    shown = prompt.Target(target.path, b"".join(near), b"".join(old[first : first + count]), b"".join(after[:around]))
    return shown, b"".join(new[first : first + count])


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


def narrow_shard(source: Path, tokenizer_path: Path, out: Path, seed: int) -> dict:
    """Writes the narrow windows of a shard's edits as a new shard; returns its index."""
    chance, encode = Random(seed), tokenizer.load(tokenizer_path).encode
    writer = Writer(out, open_shard(source, verify=False).index["kinds"])
    for target, instruction, new_region, kind in edits_of(source, tokenizer_path):
        edit = narrow(target, new_region, chance)
        if edit is not None:
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
            edit = narrow(target, example["new_region"].encode(), chance)
            if edit is not None:
                shown = dict(zip(prompt.Target._fields, (part.decode() for part in edit[0]), strict=True))
                stream.write(json.dumps(example | shown | {"new_region": edit[1].decode()}) + "\n")
                count += 1
    return count


def narrow_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SHARD|FILE.jsonl")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="for a shard: tokenizer.bin or the folder that holds it")
    parser.add_argument("--out", type=Path, required=True, metavar="SHARD|FILE.jsonl")
    parser.add_argument("--seed", type=int, default=1, metavar="S")


def narrow_command(arguments: argparse.Namespace) -> None:
    if arguments.source.is_dir():
        if arguments.tokenizer is None:
            raise DataError(f"{arguments.source}: a shard needs --tokenizer")
        index = narrow_shard(arguments.source, arguments.tokenizer, arguments.out, arguments.seed)
        print(f"{arguments.out}: {index['documents']} documents, {index['tokens']} tokens")
    else:
        print(f"{arguments.out}: {narrow_lines(arguments.source, arguments.out, arguments.seed)} edits")
