"""The engine's speed on this machine, beside the machine's limits and other programs (docs/benchmarks.md).

    cmake --build build --target bench_limits
    PYTHONPATH=build/site python -m benchmarks.engine [--quick] [--json FILE]
        [--pack NAME]... [--model PACK]... [--peer [NAME=]COMMAND]... [--threads N] [--isa NAME] [--only KIND]...

Without --model it measures packs of random weights, made once in build/bench: base, and the shapes A and C, which other programs know as
plain decoders. A COMMAND prints what llama-bench prints with `-o json`; the stem of its model file names the pack it is compared with.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import measure, random_pack
from benchmarks.figures import F32_LIMITS, INT8_LIMITS, Figure, Limits, Peer, table
from cromwell import binding

ROOT = Path(__file__).resolve().parent.parent
CONTEXTS = (512, 1024, 2048, 4096)
BATCHES = (2, 4, 8)
KINDS = ("open", "short", "long", "batch", "restore", "picture", "memory", "sampling", "kernels", "libraries", "tokenizer")
SAMPLED_VOCABULARY = 50_000
KERNEL_ROWS = "1,192"  # of a token, and of a text


class Subject(NamedTuple):
    """A pack to measure. `guidance` off leaves out the JEPA layers, which plain decoders do not have."""

    label: str
    path: Path
    kinds: tuple[str, ...]
    guidance: bool = True


ALL = ("open", "short", "long", "batch", "restore", "picture", "memory")
RANDOM_PACKS = (  # configuration, quantisation, what is measured
    ("models/base.json", "q8", ALL),
    ("models/base.json", "q4", ("short", "long", "batch")),
    ("models/base.json", "f32", ("short",)),
    ("benchmarks/shape-a.json", "q8", ("short", "long")),
    ("benchmarks/shape-a.json", "q4", ("short", "long")),
    ("benchmarks/shape-a.json", "f32", ("short",)),
    ("benchmarks/shape-c.json", "q8", ("short", "long", "batch")),
    ("benchmarks/shape-c.json", "q4", ("short", "long")),
    ("benchmarks/shape-c.json", "f32", ("short",)),
)
QUICK_PACKS = (("benchmarks/shape-c.json", "q8", ("open", "short", "long", "batch", "restore")),)


def label_of(config_path: str, quant: str) -> str:
    """What a pack of random weights is called: its configuration and its format."""
    return f"{Path(config_path).stem}-{quant}"


def say(words: str) -> None:
    """Progress, on standard error."""
    print(f"  {words}", file=sys.stderr, flush=True)


def random_packs(chosen: Sequence[tuple[str, str, tuple[str, ...]]], folder: Path) -> Iterator[Subject]:
    """Packs of random weights in `folder`, made where they are missing or this build does not read them."""
    for config_path, quant, kinds in chosen:
        config = json.loads((ROOT / config_path).read_text())
        config["max_positions"] = max(config["max_positions"], max(CONTEXTS) + measure.CONTINUED)
        label = label_of(config_path, quant)
        path = folder / f"{label}.cwm"
        try:
            with binding.Model(path) as model:
                sound = model.config == config
        except binding.CromwellError:
            sound = False
        if not sound:
            say(f"{label}: random weights")
            try:
                random_pack.write(config, quant, path)
            except ValueError as error:
                say(f"{label}: skipped, {error}")
                continue
        yield Subject(label, path, kinds, guidance=config["name"] == "base")


def pack_figures(subject: Subject, plan: measure.Plan, limits: Limits, folder: Path) -> tuple[list[Figure], int]:
    """The figures of one pack, and the size of the working set that its decoding reads, 0 where memory is the limit."""
    bench = measure.Bench(subject.label, subject.path, subject.kinds, plan._replace(guidance=subject.guidance), limits.l3_bytes, say)
    figures = list(bench.figures(folder))
    held = any(name.startswith("read_") for figure in figures for name in figure.limits)
    return figures, bench.read_set if held else 0


def kernel_figures(program: Path) -> list[Figure]:
    """The figures of bench_kernels, when it is built, each with the limit that it measured itself."""
    if not program.exists():
        say(f"kernels skipped, {program.name} is not built")
        return []
    say("kernels")
    command = [program, "--json", "--isa", binding.isa_name(), "--rows", KERNEL_ROWS, "--rounds", "4"]
    rows = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    found = []
    for row in rows:
        limit = (row["limit"]["name"], row["limit"]["value"]) if row["limit"] else None
        title = f"{row['kernel']} {row['shape']}"
        found.append(Figure(f"kernels, {row['isa']}", title, row["value"], row["unit"], row["threads"], rate=row["value"], own_limit=limit))
    return found


def library_results(threads: int, budget_s: float) -> tuple[list[Figure], list[Peer]]:
    """Products and decoders of libraries from the package index, in a process of their own."""
    say("libraries")
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    command = [sys.executable, "-m", "benchmarks.peers", "--threads", str(threads), "--budget", str(budget_s)]
    rows = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT, env=environment).stdout)
    figures, peers = [], []
    for row in rows:
        name, value = row["name"], row["value"]
        if "gemm" in row:
            title = f"{name} {row['gemm']}"
            figures.append(Figure("f32 products of libraries", title, value, "GFLOP/s", threads, rate=value, limits=F32_LIMITS))
        else:
            peers.append(Peer(name, f"shape-a-{row['format']}", row["kind"], value, "tok/s", threads, tokens=row["tokens"]))
    return figures, peers


def peer_rates(text: str, name: str) -> list[Peer]:
    """The rates in what llama-bench (or a program with its output) prints with `-o json`, the best sample of each test.

    A depth comes as n_depth, or, in builds that test generation after a prompt, as n_prompt beside n_gen. Tests that process and
    generate in one figure are left out."""
    found = []
    for row in json.loads(text):
        prompt, generated, depth = row["n_prompt"], row["n_gen"], row.get("n_depth", 0)
        if prompt and generated:
            if not str(row.get("test", "")).startswith("tg"):
                continue
            prompt, depth = 0, prompt
        if prompt and depth:
            continue
        kind = "prefill" if prompt else "decode"
        value = max(row.get("samples_ts") or [row["avg_ts"]])
        found.append(Peer(name, Path(row["model_filename"]).stem, kind, value, "tok/s", row["n_threads"], depth, prompt or generated))
    return found


def run_peer(argument: str) -> list[Peer]:
    """Runs the command of a --peer option. One that fails or prints something else is named and left out, as the rest took minutes."""
    named = re.fullmatch(r"([\w.-]+)=(.*)", argument, re.DOTALL)
    words = shlex.split(named[2] if named else argument)
    name = named[1] if named else Path(words[0]).name
    say(f"{name}: {' '.join(words)}")
    try:
        return peer_rates(subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout, name)
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError, TypeError) as error:
        say(f"{name}: left out, {type(error).__name__}: {error}")
        return []


def tokenizer_rates(document: dict[str, Any]) -> tuple[list[Figure], list[Peer]]:
    """What benchmarks/tokenizer.py prints with --json: text encoded in 10^6 bytes a second of one thread's time."""
    subject = f"text to tokens, a vocabulary of {document['vocabulary']:,}"
    rates = {name: row["mb_per_s"] for name, row in document["rows"].items()}
    ours = Figure(subject, "encode", rates.pop("libcromwell"), "MB/s")
    return [ours], [Peer(name, subject, "encode", rate, "MB/s", 1) for name, rate in rates.items()]


def tokenizer_results() -> tuple[list[Figure], list[Peer]]:
    """Text to tokens, beside the libraries that are installed."""
    if not (ROOT / "benchmarks" / "tokenizer.py").exists():
        say("tokenizer skipped, benchmarks/tokenizer.py is not there")
        return [], []
    say("tokenizer")
    done = subprocess.run([sys.executable, "-m", "benchmarks.tokenizer", "--json"], stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return tokenizer_rates(json.loads(done.stdout))


def isa_limits(isa: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Limits of float32 and int8 arithmetic: the machine's, or those of an instruction set that was asked for."""
    if isa is None or "512" in isa:
        return F32_LIMITS, INT8_LIMITS
    return ("fma_f32_256",), (("vpdpbusd_256",) if "vnni" in isa else ("maddubs_256",))


def arguments_of(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shape C in int8 and short rounds: under a minute")
    parser.add_argument("--model", action="append", type=Path, default=[], metavar="PACK", help="measure this pack instead (repeatable)")
    labels = [label_of(config, quant) for config, quant, _ in RANDOM_PACKS]
    parser.add_argument("--pack", action="append", choices=labels, default=[], help="only this one of random weights (repeatable)")
    parser.add_argument("--peer", action="append", default=[], metavar="[NAME=]COMMAND", help="a program to compare with (repeatable)")
    parser.add_argument("--only", action="append", choices=KINDS, default=[], help="leave out all other kinds of figures (repeatable)")
    parser.add_argument("--threads", type=int, default=binding.threads_default())
    parser.add_argument("--isa", help="force an instruction set; ratios are then to its limits")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="folder of bench_limits and of the random packs")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = arguments_of(argv)
    program, folder = arguments.build / "bench_limits", arguments.build / "bench"
    if not program.exists():
        print(f"error: {program} is not there\n\nhint: cmake --build {arguments.build} --target bench_limits", file=sys.stderr)
        return 2
    started, foreign = time.time(), measure.Foreign()
    binding.isa_select(arguments.isa)
    folder.mkdir(parents=True, exist_ok=True)
    counts = sorted({count for count in (1, 2, 4, 8, 16, 32, arguments.threads) if count <= arguments.threads})
    f32_limits, int8_limits = isa_limits(arguments.isa)
    quick = arguments.quick
    plan = measure.Plan(arguments.threads, (512, 4096) if quick else CONTEXTS, (8,) if quick else BATCHES, tuple(counts),
                        0.6 if quick else 2.0, True, f32_limits, int8_limits)  # fmt: skip
    rounds = 4 if quick else 12
    limits = Limits()
    say("limits")
    limits.run(program, counts, rounds, [])

    wanted = set(arguments.only or KINDS)

    def only(kinds: Sequence[str]) -> tuple[str, ...]:
        return tuple(kind for kind in kinds if kind in wanted)

    if arguments.model:
        subjects: Iterator[Subject] = (Subject(path.stem, path, only(ALL)) for path in arguments.model)
    else:
        offered = QUICK_PACKS if quick else [pack for pack in RANDOM_PACKS if not arguments.pack or label_of(*pack[:2]) in arguments.pack]
        chosen = [(config, quant, only(kinds)) for config, quant, kinds in offered]
        subjects = random_packs([pack for pack in chosen if pack[2]], folder)
    figures: list[Figure] = []
    peers: list[Peer] = []
    sets: list[int] = []
    for subject in subjects:
        found, size = pack_figures(subject, plan, limits, folder)
        figures += found
        sets += [size] if size else []
    for argument in arguments.peer:
        peers += run_peer(argument)
    if "sampling" in wanted:
        figures += measure.sampling(SAMPLED_VOCABULARY, plan.budget_s)
    if "kernels" in wanted and not quick:
        figures += kernel_figures(arguments.build / "bench_kernels")
    if "libraries" in wanted and not (quick or arguments.model or arguments.pack):
        products, decoders = library_results(arguments.threads, plan.budget_s)
        figures += products
        peers += decoders
    if "tokenizer" in wanted and not quick:
        encoders, others = tokenizer_results()
        figures += encoders
        peers += others
    say("limits")
    limits.run(program, counts, rounds, sets)

    print(table(figures, limits, peers))
    share = foreign.share()
    if share > 0.05:
        print(f"\nOther programs used {100 * share:.0f}% of the machine: values marked ~ are below what it can do.")
    if arguments.json:
        machine = {"processor": processor(), "threads": arguments.threads, "isa": binding.isa_name(), "foreign": share}
        document = {"version": 1, "time": started, "machine": machine, "limits": limits.document()}
        document |= {"figures": [vars(figure) for figure in figures], "peers": [vars(peer) for peer in peers]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def processor() -> str:
    """The processor's name as the system gives it."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
