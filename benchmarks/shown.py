"""Measures whether lines of other files help the model: answers to held-out edits with and without a selection in the prompt.

    .venv/bin/python benchmarks/shown.py edits-narrow.jsonl --src data/src --packages httpx,flask,click --model models/nano.cwm [--each 16]

Edits are put back into their packages as benchmarks/regions.py does, and each is answered greedily with the prompt that `cw-context`
makes: without other files; and with as much of a selection (`--select`) as a budget of 1,024 and of 2,048 tokens leaves room for. Right is
an answer with the syntax tree of the one asked for (docs/evaluation.md); accepted is what passes cw-generate's gate.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

from benchmarks.regions import put_back, read_sources
from cromwell.binding import Model
from cromwell.contract import prompt, settings
from cromwell.contract.cache import Cache
from cromwell.contract.model_input import prompt_path
from cromwell.generate.decode import Sampling, answer_room, drafts
from cromwell.generate.restore import restore
from cromwell.prepare.choose import choose
from cromwell.prepare.index import open_index
from cromwell.prepare.rank import Target
from training.evaluate.answers import open_model
from training.evaluate.examples import Example, read_examples
from training.evaluate.score import Answer, Window

BUDGETS = (0, 1024, 2048)
"""Tokens of the whole prompt with a selection; 0 is none."""


def prompt_ids(model: Model, example: Example, others: list[tuple[bytes, bytes]]) -> list[int]:
    """The tokens of the prompt of an edit, with lines of other files: (name, text)."""
    region = example.target.region
    shown = region if region.endswith(b"\n") or not region else region + b"\n"  # as cw-context shows it
    parts = prompt.edit_prompt(example.target._replace(region=shown), example.instruction.encode(), others)
    return prompt.encode(parts, model.tokenizer.encode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edits", type=Path)
    parser.add_argument("--src", type=Path, required=True)
    parser.add_argument("--packages", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--each", type=int, default=16, help="edits of a package")
    options = parser.parse_args()
    rows = {(row["instruction"], row["region"]): row for row in map(json.loads, options.edits.open(encoding="utf-8"))}
    examples = [example for example in read_examples(options.edits) if example.region != example.new_region]
    draw, sampling = random.Random(2), Sampling()
    counts = {budget: [0, 0, 0] for budget in BUDGETS}
    tokens_shown = dict.fromkeys(BUDGETS, 0)
    seconds, asked = dict.fromkeys(BUDGETS, 0.0), 0
    with open_model(options.model) as model:
        for package in options.packages.split(","):
            mine = [example for example in examples if example.package == package]
            sources = read_sources(options.src, package)
            with open_index(str(options.src / package), settings.load({"cache": False})) as index:
                for example in draw.sample(mine, min(len(mine), options.each)):
                    place = put_back(rows[(example.instruction, example.region)], sources)
                    if place is None or place[0] not in index.by_path:
                        continue
                    path, _, first = place
                    target = Target(path, (first, first + example.region.count("\n")))
                    window = Window(example)
                    region = example.target.region
                    asked += 1
                    for budget in BUDGETS:
                        ids = prompt_ids(model, example, [])
                        if budget > len(ids):
                            chosen = choose(index, target, example.instruction, budget - len(ids),
                                            lambda text: len(model.tokenizer.encode(text)), False)
                            tokens_shown[budget] += chosen.tokens
                            others = [(prompt_path(e.path), text) for e, text in zip(chosen.excerpts, chosen.texts, strict=True)]
                            ids = prompt_ids(model, example, others)
                        start = time.process_time()
                        room = answer_room(ids, 0, model.info.max_positions, None, example.path)
                        draft = next(iter(drafts(model, ids, [], room, sampling, Cache(None), 1, None)))
                        seconds[budget] += time.process_time() - start
                        text = restore(region, draft.text, "lf")
                        refusal = window.gate(model.tokenizer.encode(region)).refusal(text, draft.tokens, draft.stop)
                        answer = Answer(text.decode("utf-8", "replace"), draft.stop == "token", None, refusal, draft.confidence)
                        figures = window.figures(answer)
                        counts[budget][0] += bool(figures["same_tree"])
                        counts[budget][1] += refusal is None
                        counts[budget][2] += bool(figures["same_tree"]) and refusal is None
    print(f"{asked} edits\n\n| prompt | tokens of other files | right | accepted | right of those accepted | processor seconds |\n"
          "|---|---|---|---|---|---|")
    for budget, (right, accepted, good) in counts.items():
        name = f"up to {budget:,} tokens" if budget else "without other files"
        print(f"| {name} | {tokens_shown[budget] / asked:.0f} | {right / asked:.0%} | {accepted / asked:.0%} | "
              f"{good / max(1, accepted):.0%} | {seconds[budget] / asked:.2f} |")


if __name__ == "__main__":
    main()
