"""Scores a model pack through the C engine, the way the commands run it.

    python -m training.evaluate edits --model models/nano.cwm data/edits-heldout.jsonl

An edit counts as exact when the greedy answer equals the gold region byte for byte, and as the same tree when both regions
differ only in layout and comments (equal `ast` dumps). Beside each figure stands the copy baseline: the region returned as it is.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MAX_PROMPT_TOKENS = 3072
COLUMNS = ("exact", "same_tree", "parses", "finished", "copy_exact", "copy_same_tree")


def tree(region: str) -> str | None:
    """The syntax tree of a region of Python as text, whatever its indentation; None when it does not parse."""
    code = textwrap.dedent(region)
    for candidate in (code, "if 1:\n" + textwrap.indent(code, " "), "def f():\n" + textwrap.indent(code, " ")):
        try:
            return ast.dump(ast.parse(candidate))
        except (SyntaxError, ValueError, RecursionError):
            continue
    return None


def score(answer: str, finished: bool, example: dict) -> dict[str, int]:
    """One example's figures, each 0 or 1."""
    gold, region = example["new_region"], example["region"]
    gold_tree, answer_tree = tree(gold), tree(answer)
    return {
        "exact": int(finished and answer == gold),
        "same_tree": int(finished and answer_tree is not None and answer_tree == gold_tree),
        "parses": int(finished and answer_tree is not None),
        "finished": int(finished),
        "copy_exact": int(region == gold),
        "copy_same_tree": int(gold_tree is not None and tree(region) == gold_tree),
    }


class Worker:
    """One process's model; answers examples greedily."""

    def __init__(self, model_path: str, guidance: bool):
        from cromwell.binding import Model

        self.model = Model(model_path)
        self.guidance = guidance

    def answer(self, example: dict) -> tuple[str, bool]:
        """The greedy answer to an example, and whether it ended with <EDIT_END>."""
        from cromwell.binding import Sampler, Session, generate
        from cromwell.contract import prompt

        tokenizer = self.model.tokenizer
        target = prompt.Target(*(example[name].encode() for name in ("path", "before", "region", "after")))
        ids = prompt.encode(prompt.edit_prompt(target, example["instruction"].encode()), tokenizer.encode)
        if len(ids) > MAX_PROMPT_TOKENS:
            return "", False
        room = 2 * len(tokenizer.encode(target.region)) + 64
        with Session(self.model, len(ids) + room, threads=1, guidance=self.guidance) as session:
            session.feed(ids)
            with Sampler(self.model.info.vocab_size, len(ids) + room) as sampler:
                result = generate(session, sampler, [tokenizer.special("<EDIT_END>")], [], room)
        return tokenizer.decode(result.ids).decode("utf-8", "replace"), result.reason == "token"


_worker: Worker | None = None


def _start(model_path: str, guidance: bool) -> None:
    global _worker
    _worker = Worker(model_path, guidance)


def _score(example: dict) -> tuple[dict, str, dict[str, int]]:
    assert _worker is not None
    answer, finished = _worker.answer(example)
    return example, answer, score(answer, finished, example)


def examples(path: Path, limit_per_kind: int | None) -> Iterator[dict]:
    """The held-out edits of a JSON-lines file, at most `limit_per_kind` of each kind."""
    seen: dict[str, int] = defaultdict(int)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            example = json.loads(line)
            seen[example["kind"]] += 1
            if limit_per_kind is None or seen[example["kind"]] <= limit_per_kind:
                yield example


def edits(arguments: argparse.Namespace) -> int:
    """Prints the table of figures by kind; with --json one document; with --failures the wrong answers."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0))
    counts: dict[str, int] = defaultdict(int)
    with multiprocessing.Pool(arguments.processes, _start, (arguments.model, not arguments.no_guidance)) as pool:
        for example, answer, figures in pool.imap(_score, examples(arguments.edits, arguments.limit), chunksize=4):
            for kind in (example["kind"], "all"):
                counts[kind] += 1
                for name in COLUMNS:
                    sums[kind][name] += figures[name]
            if arguments.failures and not figures["exact"]:
                print(f"--- {example['kind']}: {example['instruction']}\n{example['region']}")
                print(f"--- answered\n{answer}\n--- gold\n{example['new_region']}")
    kinds = sorted(counts, key=lambda kind: (kind == "all", kind))
    table = {kind: {"examples": counts[kind]} | {name: sums[kind][name] / counts[kind] for name in COLUMNS} for kind in kinds}
    if arguments.json:
        print(json.dumps({"version": 1, "model": arguments.model, "edits": table}))
        return 0
    print("| kind | edits | " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |\n|---|---|" + "---|" * len(COLUMNS))
    for kind in kinds:
        print(f"| {kind} | {counts[kind]} | " + " | ".join(f"{100 * table[kind][name]:.1f}%" for name in COLUMNS) + " |")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("edits", help="held-out instruction edits")
    command.add_argument("edits", type=Path, help="JSON lines written by `python -m training.data heldout`")
    command.add_argument("--model", required=True, help="model pack")
    command.add_argument("--limit", type=int, help="at most this many examples of each kind")
    command.add_argument("--processes", type=int, default=2)
    command.add_argument("--no-guidance", action="store_true", help="without JEPA guidance")
    command.add_argument("--failures", action="store_true", help="print wrong answers")
    command.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for path in (arguments.edits, Path(arguments.model)):
        if not path.is_file():
            print(f"error: {path}: no such file\n\nhint: make it as docs/training.md says", file=sys.stderr)
            return 2
    return edits(arguments)


if __name__ == "__main__":
    sys.exit(main())
