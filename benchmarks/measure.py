"""Measures the engine on one model pack, through the binding: seconds and bytes of real calls, best of several rounds."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import costs
from benchmarks.figures import F32_LIMITS, INT8_LIMITS, Figure
from cromwell import binding
from cromwell.contract.cache import Cache
from cromwell.contract.prefix import feed_prompt

GENERATED = 128  # tokens of a measured generation from an empty context: what llama-bench calls tg128
CONTINUED = 32  # tokens generated after each length of context
CACHE_MULTIPLE = 4  # weights of that many times the L3 come from memory; of smaller ones a part stays in the cache


class Plan(NamedTuple):
    """What is measured of a pack, and for how long each figure is repeated."""

    threads: int
    contexts: tuple[int, ...]  # lengths of text after which generation goes on, ascending; the first and the last are read whole
    batches: tuple[int, ...]
    counts: tuple[int, ...]  # numbers of threads, the largest included
    budget_s: float
    guidance: bool
    f32_limits: tuple[str, ...] = F32_LIMITS
    int8_limits: tuple[str, ...] = INT8_LIMITS


class Reading(NamedTuple):
    """The best of several rounds."""

    seconds: float
    foreign: float  # share of the machine that others used during all rounds


def _processor_seconds() -> tuple[float, float]:
    """Busy seconds of all processors since the machine started, and of this process and its children."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _wait, *interrupts = map(int, file.readline().split()[1:9])
    own = os.times()
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK"), sum(own[:4])


class Foreign:
    """The share of the machine that other programs use from now on."""

    def __init__(self) -> None:
        self._start, self._busy = time.perf_counter(), _processor_seconds()

    def share(self) -> float:
        """0..1; 0 for spans too short for the system's clock ticks."""
        elapsed = time.perf_counter() - self._start
        if elapsed < 0.1:
            return 0.0
        busy, own = (now - then for now, then in zip(_processor_seconds(), self._busy, strict=True))
        return min(1.0, max(0.0, (busy - own) / (elapsed * (os.cpu_count() or 1))))


def best(run: Callable[[], float], budget_s: float, rounds: int = 2, most: int = 60) -> Reading:
    """The least seconds that `run` returns: at least `rounds` of them, then more while the budget lasts."""
    foreign, started, least, count = Foreign(), time.perf_counter(), math.inf, 0
    while count < rounds or (count < most and time.perf_counter() - started < budget_s):
        least = min(least, run())
        count += 1
    return Reading(least, foreign.share())


def random_ids(vocab_size: int, count: int) -> array:
    """`count` token ids, none of them special; always the same."""
    numbers = random.Random(1)
    return array("i", [numbers.randrange(vocab_size // 2, vocab_size) for _ in range(count)])


def feed(session: binding.Session, ids: Sequence[int]) -> float:
    """Seconds of feeding a text and of its last logits."""
    start = time.perf_counter()
    session.feed(ids)
    session.logits()
    return time.perf_counter() - start


def decode(session: binding.Session, ids: Sequence[array]) -> float:
    """Seconds of feeding tokens one by one, with the logits of each; the session is put back after."""
    length, start = session.length, time.perf_counter()
    for token in ids:
        session.feed(token)
        session.logits()
    elapsed = time.perf_counter() - start
    session.rewind(length)
    return elapsed


def single(ids: array) -> list[array]:
    """Every token as a text of its own."""
    return [ids[i : i + 1] for i in range(len(ids))]


class Bench:
    """The figures of one pack; `say` is told what is being measured. `kinds` are the parts that `figures` goes through."""

    def __init__(self, label: str, path: Path, kinds: Sequence[str], plan: Plan, l3_bytes: int, say: Callable[[str], None]) -> None:
        self.label, self.path, self.kinds, self.plan, self._l3, self._say = label, path, kinds, plan, l3_bytes, say
        self.pack = costs.read_pack(path)
        self.model = binding.Model(path)
        self.ids = random_ids(self.pack.config["vocab_size"], self.longest)
        self.arithmetic = plan.int8_limits if self.pack.quantised else plan.f32_limits

    def figures(self, folder: Path) -> Iterator[Figure]:
        """All figures; `folder` has room for a cache of states."""
        parts: dict[str, Callable[[], Iterator[Figure]]] = {
            "open": self.opening,
            "short": self.short,
            "long": self.long,
            "batch": self.batches,
            "restore": lambda: self.restored(folder),
            "picture": self.picture,
            "memory": self.memory,
        }
        for kind in self.kinds:
            yield from parts[kind]()

    @property
    def contexts(self) -> list[int]:
        """The plan's lengths that the model can still continue."""
        return [length for length in self.plan.contexts if length + CONTINUED <= self.pack.config["max_positions"]]

    @property
    def longest(self) -> int:
        return max([GENERATED, *(length + CONTINUED for length in self.contexts)])

    def _session(self, threads: int, tokens: int = 0, tiles: int = 0) -> binding.Session:
        return binding.Session(self.model, tokens or self.longest, max_tiles=tiles, threads=threads, guidance=self.plan.guidance)

    def reading_limits(self, size_bytes: int) -> tuple[str, ...]:
        """The limit for reading that many bytes again and again: memory, or a working set of that size when a cache holds a part."""
        return ("dram_read",) if size_bytes > CACHE_MULTIPLE * self._l3 else (f"read_{self.read_set}",)

    @property
    def read_set(self) -> int:
        """Bytes of the working set of decoding, rounded so that few different ones are measured."""
        return max(1_000_000, round(costs.token_bytes(self.pack, GENERATED // 2, self.plan.guidance), -6))

    def _decoded(self, reading: Reading, tokens: int, threads: int, context: int, batch: int = 1) -> Figure:
        mean = context + tokens // 2
        size = costs.token_bytes(self.pack, mean, self.plan.guidance, batch)
        rate = tokens / reading.seconds
        return Figure(self.label, "batch" if batch > 1 else "decode", batch * rate, "tok/s", threads, context, tokens, batch,
                      1e-9 * size * rate, self.reading_limits(size), reading.foreign)

    def _prefilled(self, reading: Reading, tokens: int, threads: int) -> Figure:
        operations = 2 * costs.text_macs(self.pack, 0, tokens, self.plan.guidance)
        return Figure(self.label, "prefill", tokens / reading.seconds, "tok/s", threads, 0, tokens, 1,
                      1e-9 * operations / reading.seconds, self.arithmetic, reading.foreign)

    def opening(self) -> Iterator[Figure]:
        """Opening the pack and closing it, its pages in the page cache."""

        def run() -> float:
            start = time.perf_counter()
            binding.Model(self.path).close()
            return time.perf_counter() - start

        reading = best(run, self.plan.budget_s / 4)
        yield Figure(self.label, "open", 1e3 * reading.seconds, "ms", foreign=reading.foreign)

    def short(self) -> Iterator[Figure]:
        """Generation from an empty context, and prefill of the shortest text, for each number of threads."""
        for threads in self.plan.counts:
            self._say(f"{self.label}: short texts, {threads} threads")
            with self._session(threads, GENERATED) as session:
                reading = best(lambda s=session: decode(s, single(self.ids[:GENERATED])), self.plan.budget_s)
                yield self._decoded(reading, GENERATED, threads, 0)
            if not self.contexts or (threads == self.plan.threads and "long" in self.kinds):  # which reads that text too
                continue
            count = self.contexts[0]
            with self._session(threads, count) as session:
                yield self._prefilled(best(lambda s=session, n=count: self._refeed(s, n), self.plan.budget_s, rounds=1), count, threads)

    def _refeed(self, session: binding.Session, count: int) -> float:
        session.rewind(0)
        return feed(session, self.ids[:count])

    def long(self) -> Iterator[Figure]:
        """Prefill of the shortest and the longest text, and generation after every length of context, by rewinding."""
        threads = self.plan.threads
        with self._session(threads) as session:
            for count in sorted({self.contexts[0], self.contexts[-1]}):
                self._say(f"{self.label}: prefill of {count} tokens")
                yield self._prefilled(best(lambda n=count: self._refeed(session, n), self.plan.budget_s, rounds=1), count, threads)
            found = []
            for count in reversed(self.contexts):
                self._say(f"{self.label}: generation after {count} tokens")
                session.rewind(count)
                reading = best(lambda: decode(session, single(self.ids[-CONTINUED:])), self.plan.budget_s)
                found.append(self._decoded(reading, CONTINUED, threads, count))
            yield from reversed(found)

    def batches(self) -> Iterator[Figure]:
        """Several sequences at once from empty contexts: tokens of all of them a second."""
        if not hasattr(binding, "feed_each"):
            self._say(f"{self.label}: batches skipped, this build has no feed_each")
            return
        threads, tokens = self.plan.threads, GENERATED // 2
        for count in self.plan.batches:
            self._say(f"{self.label}: batch of {count}")
            sessions = [self._session(threads, tokens) for _ in range(count)]
            steps = [[self.ids[(i + k) % tokens] for k in range(count)] for i in range(tokens)]

            def run(sessions: list[binding.Session] = sessions, steps: list[list[int]] = steps) -> float:
                start = time.perf_counter()
                for step in steps:
                    binding.feed_each(sessions, step)
                    binding.logits_each(sessions)
                elapsed = time.perf_counter() - start
                for session in sessions:
                    session.rewind(0)
                return elapsed

            yield self._decoded(best(run, self.plan.budget_s), tokens, threads, 0, count)
            for session in sessions:
                session.close()

    def restored(self, folder: Path) -> Iterator[Figure]:
        """A text whose states are in the cache on disk, and one token more: from opening the session to its logits."""
        count = max(self.contexts)
        self._say(f"{self.label}: states of {count} tokens from the cache")
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            cache = Cache(Path(scratch))

            def run(hot: bool = True) -> float:
                start = time.perf_counter()
                with self._session(self.plan.threads, count + 1) as session:
                    use = feed_prompt(session, self.ids[: count + 1], (), cache, self.model.fingerprint)
                    session.logits()
                    elapsed = time.perf_counter() - start
                if hot and not use.restored_tokens:
                    raise RuntimeError("the cache gave no states back")
                return elapsed

            run(hot=False)
            reading = best(run, self.plan.budget_s)
        yield Figure(self.label, "restore", 1e3 * reading.seconds, "ms", self.plan.threads, 0, count, foreign=reading.foreign)

    def picture(self) -> Iterator[Figure]:
        """One tile: the vision encoder alone, by its last traced result, and with the fusion blocks."""
        self._say(f"{self.label}: one tile")
        tile = random.Random(2).randbytes(binding.TILE_BYTES)
        with self._session(self.plan.threads, 16, tiles=1) as session:

            def whole() -> float:
                session.rewind(0)
                start = time.perf_counter()
                session.feed_image(tile, 1, 1)
                return time.perf_counter() - start

            def encoder() -> float:
                ended: list[float] = []
                session.rewind(0)
                session.trace(lambda name, *_: ended.append(time.perf_counter()) if name == "vision.norm" else None)
                start = time.perf_counter()
                session.feed_image(tile, 1, 1)
                session.trace(None)
                return ended[-1] - start

            operations = 2 * costs.tile_macs(self.pack.config)
            reading = best(encoder, self.plan.budget_s)
            yield Figure(self.label, "vision encoder, a tile", 1e3 * reading.seconds, "ms", self.plan.threads,
                         rate=1e-9 * operations / reading.seconds, limits=self.arithmetic, foreign=reading.foreign)
            reading = best(whole, self.plan.budget_s)
            yield Figure(self.label, "encoder and fusion, a tile", 1e3 * reading.seconds, "ms", self.plan.threads, foreign=reading.foreign)

    def memory(self) -> Iterator[Figure]:
        """Peak memory of a process of its own that reads the longest text and goes on for some tokens."""
        count = min(max(self.contexts, default=0) or GENERATED, self.pack.config["max_positions"] - CONTINUED)
        self._say(f"{self.label}: memory at {count} tokens")
        numbers = map(str, (count, self.plan.threads, int(self.plan.guidance)))
        command = [sys.executable, "-m", "benchmarks.memory", str(self.path.resolve()), *numbers]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=Path(__file__).parent.parent)
        empty, peak = map(int, done.stdout.split())
        yield Figure(self.label, "peak memory", peak / 1e6, "MB", self.plan.threads, count)
        yield Figure(self.label, "of it the interpreter", empty / 1e6, "MB", self.plan.threads, count)


def sampling(vocab_size: int, budget_s: float) -> Iterator[Figure]:
    """Top-p sampling from logits as a trained model spreads them: normal with a deviation of 3."""
    numbers = random.Random(3)
    logits = array("f", [numbers.gauss(0, 3) for _ in range(vocab_size)])
    with binding.Sampler(vocab_size, 16, temperature=0.8, top_p=0.95, seed=1) as sampler:

        def run() -> float:
            start = time.perf_counter()
            sampler.next(logits)
            return time.perf_counter() - start

        reading = best(run, budget_s, rounds=20, most=2000)
    yield Figure("sampler", f"top-p 0.95, {vocab_size:,} logits", 1e3 * reading.seconds, "ms", foreign=reading.foreign)
