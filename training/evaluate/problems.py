"""Programming problems in the formats of HumanEval and MBPP: how many a model solves, each answer run in the sandbox.

The files are the user's own copies; nothing is downloaded. A problem is posed as an edit (the function, its body still to be written, is
the region; the default, for that is what the model learns) or as a hole to fill. Chance of at least one right answer among k, estimated
without bias from n answers of which c are right: 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, arXiv 2107.03374)."""

from __future__ import annotations

import argparse
import ast
import math
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from cromwell import binding
from cromwell.contract import prompt
from cromwell.generate.decode import DRAWN_TEMPERATURE, Sampling
from training.data.fetch import sha256_of

from . import sandbox
from .answers import described, open_model
from .lines import EvaluationError, json_lines, text_field
from .options import Progress, add_json, add_limits, add_processes, limits_of, positive, positive_real, write
from .report import Share, markdown, percent

VERSION = 1
PATH = b"solution.py"
STOPS = ("\ndef ", "\nclass ", "\nif __name__", "\nprint(", "\nassert ", "\n@", "\n#")
"""What ends an answer that continues a function: something else begins."""


class Problem(NamedTuple):
    """One problem. `head` is what stands before the function, `stub` its beginning up to where the body is to be written; `reference` is a
    whole right program, `test` what runs after an answer's program."""

    name: str
    head: str
    stub: str
    instruction: str
    reference: str
    test: str
    entry_point: str


def read_problems(path: Path) -> list[Problem]:
    """The problems of a file of either format, perhaps gzipped. EvaluationError for a line of neither."""
    found = []
    for where, row in json_lines(path):
        if "entry_point" in row:
            found.append(_humaneval(where, row))
        elif "test_list" in row:
            found.append(_mbpp(where, row))
        else:
            raise EvaluationError(f'{where}: neither "entry_point" (HumanEval) nor "test_list" (MBPP)')
    if not found:
        raise EvaluationError(f"{path}: holds no problems")
    return found


def _humaneval(where: str, row: Mapping[str, Any]) -> Problem:
    name, text, entry = (text_field(where, row, field) for field in ("task_id", "prompt", "entry_point"))
    solution, test = (text_field(where, row, field) for field in ("canonical_solution", "test"))
    start = text.rfind(f"def {entry}")
    if start < 0:
        raise EvaluationError(f'{where}: "prompt" defines no {entry}')
    stub = text[start:] if text.endswith("\n") else text[start:] + "\n"
    return Problem(name, text[:start], stub, f"implement {entry}", text + solution, f"{test}\ncheck({entry})\n", entry)


def _mbpp(where: str, row: Mapping[str, Any]) -> Problem:
    text = text_field(where, row, "text" if "text" in row else "prompt")
    code = text_field(where, row, "code")
    tests = row["test_list"]
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise EvaluationError(f'{where}: "test_list" is no list of texts')
    setup = text_field(where, row, "test_setup_code", "")
    imports = row.get("test_imports", [])
    if isinstance(imports, list):
        setup = "\n".join([*(line for line in imports if isinstance(line, str)), setup])
    call = next((call for test in tests for call in _calls(test)), None)
    if call is None:
        raise EvaluationError(f'{where}: "test_list" calls no function')
    entry, count = call
    names = ", ".join("abcdefghijklmnopqrstuvwxyz"[:count])
    stub = f'def {entry}({names}):\n    """{text.strip()}\n\n    {tests[0].strip()}\n    """\n'
    name = f"MBPP/{row.get('task_id', where.rpartition(':')[2])}"
    return Problem(name, "", stub, f"implement {entry}", code, "\n".join([setup, *tests, ""]), entry)


def _calls(test: str) -> list[tuple[str, int]]:
    """The functions that an assertion is about, with their numbers of arguments: what it calls that Python has not, outermost first."""
    import builtins

    try:
        nodes = list(ast.walk(ast.parse(test.strip())))
    except SyntaxError:
        return []
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [(call.func.id, len(call.args)) for call in calls if not hasattr(builtins, call.func.id) and len(call.args) <= 26]


def pass_at(count: int, right: int, k: int) -> float:
    """Chance that k of `count` answers, of which `right` are right, hold a right one; the unbiased estimate. Needs k <= count."""
    return 1.0 - math.prod((count - right - i) / (count - i) for i in range(k))


class Solver:
    """One process's model; answers problems."""

    def __init__(self, model_path: str, form: str, sampling: Sampling):
        self.model, self.form, self.sampling = open_model(model_path), form, sampling

    def programs(self, problem: Problem) -> list[str]:
        """Whole programs, one for each candidate; none where the model has no room for the prompt."""
        if self.form == "edit":
            target = prompt.Target(PATH, problem.head.encode(), (problem.stub + "    pass\n").encode(), b"")
            parts, end, before = prompt.edit_prompt(target, problem.instruction.encode()), "<EDIT_END>", problem.head
        else:
            text = problem.head + problem.stub
            parts, end, before = prompt.fill_prompt(text.encode(), b"", PATH), "<EOS>", text
        tokenizer = self.model.tokenizer
        ids = prompt.encode(parts, tokenizer.encode)
        room = min(self.sampling.max_tokens or 0, self.model.info.max_positions - len(ids))
        if room < 1:
            return [before] * self.sampling.candidates
        stops = [stop.encode() for stop in STOPS] if self.form == "fill" else []
        with binding.Session(self.model, len(ids) + room, threads=1, guidance=self.sampling.guidance) as session:
            session.feed(ids)
            stop = tokenizer.special(end)
            made = [self._generate(session, len(ids), number, stop, stops, room) for number in range(self.sampling.candidates)]
        return [before + tokenizer.decode(answer.ids)[: answer.text_size].decode("utf-8", "replace") for answer in made]

    def _generate(self, session: binding.Session, length: int, number: int, end: int, stops: list[bytes], room: int) -> binding.Generation:
        sampling = self.sampling
        session.rewind(length)
        with binding.Sampler(
            self.model.info.vocab_size, room, sampling.temperature_of(number), top_p=sampling.top_p, min_p=sampling.min_p,
            seed=sampling.seed_of(number),
        ) as sampler:  # fmt: skip
            return binding.generate(session, sampler, [end], stops, room)


_solver: Solver | None = None
_limits = sandbox.DEFAULT_LIMITS


def _start(model: str | None, form: str, sampling: Sampling, limits: sandbox.Limits) -> None:
    global _solver, _limits
    _solver, _limits = Solver(model, form, sampling) if model else None, limits


def _solve(problem: Problem) -> dict[str, list[str]]:
    """How each program ended: of the model's, of the reference, and of the stub without a body (the copy baseline)."""
    programs = {"model": _solver.programs(problem)} if _solver else {}
    programs |= {"reference": [problem.reference], "copy": [problem.head + problem.stub + "    pass\n"]}
    ends: dict[str, str] = {}
    for program in {program for several in programs.values() for program in several}:
        ends[program] = sandbox.run(f"{program}\n{problem.test}", _limits).reason
    return {who: [ends[program] for program in several] for who, several in programs.items()}


def problems_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problems", type=Path, metavar="FILE", help="JSON lines of HumanEval or MBPP, perhaps gzipped")
    parser.add_argument("--model", metavar="FILE", help="model pack; without one only the references are run")
    parser.add_argument("--as", dest="form", choices=("edit", "fill"), default="edit", help="how problems are posed (default: %(default)s)")
    parser.add_argument("--samples", type=positive, default=1, metavar="N", help="answers a problem (default: %(default)s)")
    parser.add_argument("--k", type=positive, action="append", metavar="K", help="pass@K; may be repeated (default: 1 and N)")
    parser.add_argument(
        "--temperature", type=positive_real, metavar="T", help=f"of all answers (default: the first greedy, the others {DRAWN_TEMPERATURE})"
    )
    parser.add_argument("--top-p", type=positive_real, default=1.0, metavar="P")
    parser.add_argument("--max-tokens", type=positive, default=384, metavar="N", help="longest answer (default: %(default)s)")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most this many problems")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    add_processes(parser)
    add_limits(parser)
    add_json(parser)


class _Drawn(Sampling):
    """Sampling in which every answer is drawn, the first one too."""

    def temperature_of(self, number: int) -> float:
        return DRAWN_TEMPERATURE if self.temperature is None else self.temperature


def problems_command(arguments: argparse.Namespace) -> None:
    problems = read_problems(arguments.problems)[: arguments.limit]
    wanted = sorted(set(arguments.k or (1, arguments.samples)))
    if wanted[-1] > arguments.samples:
        raise EvaluationError(f"pass@{wanted[-1]} needs --samples {wanted[-1]} at least")
    if arguments.top_p > 1:
        raise EvaluationError(f"--top-p {arguments.top_p}: a share is 1 at most")
    model = described(arguments.model) if arguments.model else None
    kind = Sampling if arguments.temperature is None else _Drawn
    sampling = kind(arguments.samples, arguments.temperature, top_p=arguments.top_p, seed=arguments.seed, max_tokens=arguments.max_tokens)
    limits, started = limits_of(arguments), time.monotonic()
    sandbox.check(limits)
    initial = (arguments.model, arguments.form, sampling, limits)
    ends: list[dict[str, list[str]]] = []
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(arguments.processes, context, _start, initial) as pool, Progress(len(problems), "problems") as progress:
        for result in pool.map(_solve, problems):
            ends.append(result)
            progress.step()
    document = {
        "version": VERSION, "command": "problems", "model": model, "sandbox": sandbox.confinement(),
        "problems": {"path": str(arguments.problems), "sha256": sha256_of(arguments.problems), "count": len(problems)},
        "settings": {
            "form": arguments.form, "samples": arguments.samples, "temperature": arguments.temperature, "top_p": arguments.top_p,
            "max_tokens": arguments.max_tokens, "seed": arguments.seed, "timeout_s": limits.wall_s, "memory_bytes": limits.memory_bytes,
        },
        "seconds": round(time.monotonic() - started, 1),
        "systems": {who: _system([result[who] for result in ends], wanted if who == "model" else [1]) for who in ends[0]},
        "wrong_references": [problem.name for problem, result in zip(problems, ends, strict=True) if result["reference"] != ["passed"]],
    }  # fmt: skip
    write(document, render(document), arguments.json)


def _system(ends: Sequence[Sequence[str]], wanted: Sequence[int]) -> dict[str, Any]:
    reasons: dict[str, int] = {}
    for reason in (reason for several in ends for reason in several):
        reasons[reason] = reasons.get(reason, 0) + 1
    shares = {str(k): Share.of(pass_at(len(several), several.count("passed"), k) for several in ends).json() for k in wanted}
    return {"pass_at": shares, "ends": dict(sorted(reasons.items()))}


def render(document: Mapping[str, Any]) -> str:
    """The table of a result as Markdown."""
    settings, model = document["settings"], document["model"]
    who = f"{model['path']} ({model['parameters'] / 1e6:.1f}M parameters, {model['fingerprint']})" if model else "no model"
    lines = [
        f"{document['problems']['count']} problems of {document['problems']['path']} posed as {settings['form']}; {who}, "
        f"{settings['samples']} answers each; run in: {document['sandbox']}; {document['seconds']} s", "",
    ]  # fmt: skip
    every = sorted({int(k) for system in document["systems"].values() for k in system["pass_at"]})
    rows = []
    for name, system in document["systems"].items():
        shares = [percent(Share.read(system["pass_at"][str(k)]), interval=True) if str(k) in system["pass_at"] else "" for k in every]
        rows.append([name, *shares, ", ".join(f"{reason} {count}" for reason, count in system["ends"].items())])
    lines.append(markdown(["answers of", *(f"pass@{k}" for k in every), "how they ended"], rows))
    if document["wrong_references"]:
        lines += ["", f"references that fail here: {', '.join(document['wrong_references'])}"]
    return "\n".join(lines)
