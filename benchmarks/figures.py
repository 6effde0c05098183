"""What the suite passes around: figures, limits, peers' rates, and the table that sets them side by side."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

F32_LIMITS = ("fma_f32_512", "fma_f32_256")
INT8_LIMITS = ("vpdpbusd_512", "vpdpbusd_256", "maddubs_256")
COLUMNS = ("figure", "threads", "value", "rate", "limit", "ratio", "peer", "ours/peer")


@dataclass(frozen=True)
class Figure:
    """One measured value. `rate` is what it means for the hardware, in 10^9 bytes or operations a second, and `limits` are the
    names of the limits that it can be held against: the highest that the machine has counts."""

    subject: str  # a pack, a kernel, a library
    kind: str  # "decode", "prefill", ...; with the sizes below the key by which a peer's value is found
    value: float
    unit: str  # of the value; more is better when it ends in "/s"
    threads: int = 1
    context: int = 0  # tokens already there
    tokens: int = 0  # tokens of the measured work
    batch: int = 1
    rate: float = 0.0
    limits: tuple[str, ...] = ()
    foreign: float = 0.0  # share of the machine that other programs used meanwhile, 0..1
    own_limit: tuple[str, float] | None = None  # name and value, of a program that measures its own

    @property
    def title(self) -> str:
        """The kind with the sizes that matter to it."""
        words = [self.kind]
        if self.batch > 1:
            words.append(f"x{self.batch}")
        if self.kind == "prefill" or self.kind == "restore":
            words.append(f"{self.tokens}")
        elif self.context:
            words.append(f"at {self.context}")
        return " ".join(words)


@dataclass(frozen=True)
class Peer:
    """A value that another program gives for the work of a figure with the same subject, kind, threads and sizes."""

    name: str
    subject: str
    kind: str
    value: float
    unit: str
    threads: int
    context: int = 0
    tokens: int = 0
    batch: int = 1

    def matches(self, figure: Figure) -> bool:
        """Lengths of generated texts may differ a little; prompts and contexts may not."""
        same = (self.subject, self.kind, self.threads, self.context, self.batch, self.unit)
        if same != (figure.subject, figure.kind, figure.threads, figure.context, figure.batch, figure.unit):
            return False
        return self.kind == "decode" or self.tokens == figure.tokens


class Limits:
    """What bench_limits measured: the largest value of its runs for every limit and number of threads."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, int], float] = {}
        self.units: dict[str, str] = {}
        self.l3_bytes = 0

    def add(self, document: dict) -> None:
        """Adds one run's output; ValueError when it is not of version 1."""
        if document.get("version") != 1:
            raise ValueError(f"limits of version {document.get('version')}, expected 1")
        self.l3_bytes = document["l3_bytes"]
        for name, entry in document["limits"].items():
            self.units[name] = entry["unit"]
            for threads, value in zip(document["threads"], entry["values"], strict=True):
                if value is not None:
                    self._best[name, threads] = max(value, self._best.get((name, threads), 0.0))

    def run(self, program: Path, threads: Iterable[int], rounds: int, sets: Iterable[int]) -> None:
        """Runs bench_limits; `sets` are sizes in bytes of which `read_<bytes>` is wanted."""
        command = [str(program), "--threads", ",".join(map(str, threads)), "--rounds", str(rounds)]
        for size in sorted(set(sets)):
            command += ["--set", str(size)]
        self.add(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))

    def best(self, names: Sequence[str], threads: int) -> tuple[str, float] | None:
        """The highest of the limits named, or None when none was measured for that many threads."""
        found = [(self._best[name, threads], name) for name in names if (name, threads) in self._best]
        return (max(found)[1], max(found)[0]) if found else None

    def document(self) -> dict:
        """For JSON: unit and value by threads, by name."""
        names = sorted({name for name, _ in self._best})
        return {
            name: {"unit": self.units[name], "threads": {str(t): self._best[name, t] for n, t in sorted(self._best) if n == name}}
            for name in names
        }


def peers_of(figure: Figure, peers: Iterable[Peer]) -> list[Peer]:
    """The peers that did the figure's work, best first."""
    found = [peer for peer in peers if peer.matches(figure)]
    return sorted(found, key=lambda peer: peer.value, reverse=figure.unit.endswith("/s"))


def advantage(figure: Figure, peer: Peer) -> float:
    """How many times better the figure is than the peer's."""
    return figure.value / peer.value if figure.unit.endswith("/s") else peer.value / figure.value


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def row(figure: Figure, limits: Limits, peer: Peer | None) -> list[str]:
    """The cells of one line. A value during which others used more than a twentieth of the machine is marked with ~."""
    held = figure.own_limit or (limits.best(figure.limits, figure.threads) if figure.limits else None)
    mark = "~" if figure.foreign > 0.05 else ""
    cells = [figure.title, str(figure.threads), f"{mark}{number(figure.value)} {figure.unit}", "", "", "", "", ""]
    if held is not None:
        name, limit = held
        unit = limits.units.get(name, figure.unit)
        cells[3:6] = [number(figure.rate), f"{number(limit)} {unit} {name}", f"{100 * figure.rate / limit:.0f}%"]
    if peer is not None:
        cells[6:] = [f"{peer.name} {number(peer.value)}", f"{advantage(figure, peer):.2f}x"]
    return cells


def table(figures: Sequence[Figure], limits: Limits, peers: Sequence[Peer]) -> str:
    """All figures by subject, then the rates of peers that had no counterpart."""
    lines: list[list[str] | str] = []
    met: set[Peer] = set()
    for subject in dict.fromkeys(figure.subject for figure in figures):
        lines += ["", subject]
        for figure in figures:
            if figure.subject != subject:
                continue
            beside = peers_of(figure, peers)
            met.update(beside)
            lines.append(row(figure, limits, beside[0] if beside else None))
            lines += [["", "", "", "", "", "", *row(figure, limits, peer)[6:]] for peer in beside[1:]]
    alone = [peer for peer in peers if peer not in met]
    if alone:
        lines += ["", "peers alone"]
        for peer in alone:
            title = f"{peer.subject} {peer.kind} {peer.tokens} at {peer.context}"
            lines.append([title, str(peer.threads), f"{number(peer.value)} {peer.unit}", "", "", "", peer.name, ""])
    rows = [list(COLUMNS), *(line for line in lines if isinstance(line, list))]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(COLUMNS))]

    def text(cells: list[str]) -> str:
        aligned = [cell.ljust(width) if column in (0, 4, 6) else cell.rjust(width)
                   for column, (cell, width) in enumerate(zip(cells, widths, strict=True))]
        return "  ".join(aligned).rstrip()

    return "\n".join([text(list(COLUMNS)), *(text(line) if isinstance(line, list) else line for line in lines)])
