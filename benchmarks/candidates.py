"""Measures several candidates decoded together against one after the other: the same answers, in wall and processor time.

    PYTHONPATH=build/site:. python -m benchmarks.candidates data/edits-narrow.jsonl --candidates 8 --limit 100

Every prompt is fed once; then its candidates (the first greedy, the others drawn, with the drafts and settings of cw-generate) are decoded
one after the other in one session, and together in sessions that share the prompt, what opening these takes included. Both must agree in
tokens, log-probabilities and ends, or the exit code is 1. Edits are taken evenly from the file; which way comes first alternates."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.speculation import MAX_PROMPT_TOKENS, edit_tokens, evenly
from cromwell import binding
from cromwell.contract.model_input import region_tokens
from cromwell.generate.cw_generate import TAIL
from cromwell.generate.decode import Sampling, answer_room

WAYS = ("one by one", "together")


class Job:
    """One prompt, fed to the first of several sessions, and how its candidates are decoded."""

    def __init__(self, model: binding.Model, ids: list[int], sampling: Sampling, room: int, threads: int):
        self.model, self.ids, self.sampling, self.room = model, ids, sampling, room
        self.end = model.tokenizer.special("<EDIT_END>")
        self.draft = [*region_tokens(ids), self.end, *ids]
        self.session = binding.Session(model, len(ids) + room, threads=threads)
        self.session.feed(ids)
        self.session.logits()

    def samplers(self, stack: ExitStack) -> list[binding.Sampler]:
        return [stack.enter_context(binding.Sampler(self.model.info.vocab_size, self.room, self.sampling.temperature_of(number),
                                                    min_p=self.sampling.min_p, seed=self.sampling.seed_of(number)))
                for number in range(self.sampling.candidates)]  # fmt: skip

    def one_by_one(self, stack: ExitStack) -> list[binding.Generation]:
        made = []
        for sampler in self.samplers(stack):
            self.session.rewind(len(self.ids))
            made.append(binding.generate(self.session, sampler, [self.end], [], self.room, None, self.draft))
        return made

    def together(self, stack: ExitStack) -> list[binding.Generation]:
        self.session.rewind(len(self.ids))
        sessions = [self.session]
        for _ in range(1, self.sampling.candidates):
            sessions.append(stack.enter_context(binding.Session(self.model, len(self.ids) + self.room, threads=1)))
            sessions[-1].share(self.session, len(self.ids))
        return binding.generate_each(sessions, self.samplers(stack), [self.end], [], self.room, None, self.draft)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edits", type=Path, help="JSON lines written by `python -m training.data heldout`")
    parser.add_argument("--model", default=binding.default_model_path(), help="model pack")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=0.8, help="of all candidates but the first")
    parser.add_argument("--max-tokens", type=int, help="longest answer  [default: as cw-generate]")
    parser.add_argument("--limit", type=int, default=100, help="edits answered, at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sampling = Sampling(arguments.candidates, arguments.temperature, min_p=TAIL, max_tokens=arguments.max_tokens)
    figures: dict[str, float] = dict.fromkeys(("edits", "identical", "distinct", "tokens"), 0)
    figures |= {f"{way}, {unit}": 0.0 for way in WAYS for unit in ("wall_s", "cpu_s")}
    with binding.Model(arguments.model) as model:
        for number, example in enumerate(evenly(arguments.edits, arguments.limit)):
            ids = edit_tokens(model, example)
            if len(ids) > MAX_PROMPT_TOKENS:
                continue
            room = answer_room(ids, 0, model.info.max_positions, arguments.max_tokens, "the prompt")
            job, answers = Job(model, ids, sampling, room, arguments.threads), []
            for way in WAYS if number % 2 else reversed(WAYS):
                wall, processor = time.perf_counter(), time.process_time()
                with ExitStack() as stack:
                    made = getattr(job, way.replace(" ", "_"))(stack)
                figures[f"{way}, wall_s"] += time.perf_counter() - wall
                figures[f"{way}, cpu_s"] += time.process_time() - processor
                answers.append([answer[:4] for answer in made])
            job.session.close()
            figures["edits"] += 1
            figures["identical"] += answers[0] == answers[1]
            figures["distinct"] += len({tuple(answer.ids) for answer in made})
            figures["tokens"] += sum(len(answer.ids) for answer in made)
    if arguments.json:
        settings = {name: getattr(arguments, name) for name in ("candidates", "temperature", "threads")}
        print(json.dumps({"version": 1, "isa": binding.isa_name(), **settings, **figures}))
    else:
        distinct = figures["distinct"] / max(1, figures["edits"])
        print(f"{figures['edits']} edits, {figures['identical']} identical, {distinct:.1f} distinct answers of {arguments.candidates}, "
              f"{figures['tokens']} tokens, {binding.isa_name()}, {arguments.threads} threads")
        for unit in ("wall_s", "cpu_s"):
            alone, both = (figures[f"{way}, {unit}"] for way in WAYS)
            print(f"{unit}: one by one {alone:.2f}, together {both:.2f}: {alone / both:.2f} times as fast")
    return 0 if figures["identical"] == figures["edits"] else 1


if __name__ == "__main__":
    sys.exit(main())
