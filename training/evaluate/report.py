"""Shares with their 95% intervals, and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

NORMAL_95 = 1.959963984540054


class Share(NamedTuple):
    """`hits` of `count`, with the Wilson score interval (Wilson 1927) of 95%."""

    hits: float
    count: int

    @property
    def value(self) -> float | None:
        """None of nothing."""
        return self.hits / self.count if self.count else None

    def interval(self) -> tuple[float, float]:
        """Where the share of all that could have been asked lies, in 95 of 100 samples like this one; all is open without any."""
        if not self.count:
            return 0.0, 1.0
        share, square = self.hits / self.count, NORMAL_95**2
        middle = (share + square / (2 * self.count)) / (1 + square / self.count)
        reach = NORMAL_95 / (1 + square / self.count) * math.sqrt(share * (1 - share) / self.count + square / (4 * self.count**2))
        return max(0.0, middle - reach), min(1.0, middle + reach)

    def json(self) -> dict[str, float | int | None]:
        low, high = self.interval()
        return {"hits": self.hits, "count": self.count, "share": self.value, "low": low, "high": high}

    @classmethod
    def of(cls, figures: Iterable[float | None]) -> Share:
        """Of figures from 0 to 1; None is not counted."""
        counted = [figure for figure in figures if figure is not None]
        return cls(sum(counted), len(counted))

    @classmethod
    def read(cls, row: Mapping[str, float]) -> Share:
        """From what `json` wrote."""
        return cls(row["hits"], int(row["count"]))


def percent(share: Share, interval: bool = False) -> str:
    """ "37.5%", with its interval as "37.5% (31-44)"; empty of nothing."""
    if share.value is None:
        return ""
    low, high = share.interval()
    return f"{100 * share.value:.1f}%" + (f" ({100 * low:.0f}-{100 * high:.0f})" if interval else "")


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
