"""Measures speculative decoding on held-out edits: the same answers with and without a draft, in processor time.

    PYTHONPATH=build/site python benchmarks/speculation.py data/edits-heldout.jsonl --limit 300

Every edit is answered twice from the same fed prompt, once plainly and once with the draft that cw-generate gives; both must agree in
tokens, log-probability, and in the length and logits that the session is left with, or the exit code is 1. Edits are taken evenly from the
file. Processor time of one thread, so that other programs on the machine matter little."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from cromwell import binding
from cromwell.contract import prompt
from cromwell.contract.model_input import region_tokens

MAX_PROMPT_TOKENS = 2048
SUMS = ("edits", "identical", "tokens", "plain_s", "draft_s", "plain_passes", "draft_passes", "drafted", "accepted")


def edit_tokens(model: binding.Model, example: dict) -> list[int]:
    """The prompt of an example, as evaluation builds it."""
    target = prompt.Target(*(example[name].encode() for name in ("path", "before", "region", "after")))
    return prompt.encode(prompt.edit_prompt(target, example["instruction"].encode()), model.tokenizer.encode)


def measure(model: binding.Model, ids: list[int], temperature: float) -> dict[str, float]:
    """Both answers to one prompt: the figures named in SUMS."""
    end, room = model.tokenizer.special("<EDIT_END>"), 2 * len(region_tokens(ids)) + 64
    draft = [*region_tokens(ids), end, *ids]
    answers, left, seconds = [], [], []
    with binding.Session(model, len(ids) + room, threads=1) as session:
        session.feed(ids)
        for source in ([], draft):
            session.rewind(len(ids))
            session.logits()
            with binding.Sampler(model.info.vocab_size, room, temperature, seed=5) as sampler:
                start = time.process_time()
                answers.append(binding.generate(session, sampler, [end], [], room, draft=source))
                seconds.append(time.process_time() - start)
            left.append((session.length, session.logits().tobytes()))
    plain, drafted = answers
    same = plain[:4] == drafted[:4] and left[0] == left[1]
    values = (1, int(same), len(plain.ids), *seconds, plain.steps, drafted.steps, drafted.drafted, drafted.accepted)
    return dict(zip(SUMS, values, strict=True))


def evenly(path: Path, limit: int) -> list[dict]:
    """At most `limit` examples of a JSON-lines file, from all over it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    step = max(1, -(-len(lines) // limit))
    return [json.loads(line) for line in lines[::step]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edits", type=Path, help="JSON lines written by `python -m training.data heldout`")
    parser.add_argument("--model", default=binding.default_model_path(), help="model pack")
    parser.add_argument("--limit", type=int, default=300, help="edits answered, at most")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sums = dict.fromkeys(SUMS, 0.0)
    with binding.Model(arguments.model) as model:
        for example in evenly(arguments.edits, arguments.limit):
            ids = edit_tokens(model, example)
            if len(ids) <= MAX_PROMPT_TOKENS:
                for name, value in measure(model, ids, arguments.temperature).items():
                    sums[name] += value
    if arguments.json:
        print(json.dumps({"version": 1, "isa": binding.isa_name(), "temperature": arguments.temperature, **sums}))
    else:
        print(f"{sums['edits']:.0f} edits, {sums['identical']:.0f} identical, {sums['tokens']:.0f} tokens, {binding.isa_name()}")
        print(f"plain {sums['tokens'] / sums['plain_s']:.0f} tok/s, with drafts {sums['tokens'] / sums['draft_s']:.0f}: "
              f"{sums['plain_s'] / sums['draft_s']:.2f} times as fast")
        right = sums["accepted"] / max(1, sums["drafted"])
        print(f"{sums['tokens'] / sums['draft_passes']:.2f} tokens a pass, {right:.2f} of drafts right")
    return 0 if sums["identical"] == sums["edits"] else 1


if __name__ == "__main__":
    sys.exit(main())
