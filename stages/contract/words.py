"""Words for people, on stderr; data goes to stdout. How much is said is set by -q and -v (cli.py)."""

from __future__ import annotations

import sys

_verbosity = 0  # -1 after -q, +1 after -v


def set_verbosity(value: int) -> None:
    """-1: errors only; 0: messages too; 1: details too."""
    global _verbosity
    _verbosity = value


def is_quiet() -> bool:
    """Whether messages are not shown: work on their words may be spared."""
    return _verbosity < 0


def message(text: str) -> None:
    """One line on stderr; silent after -q."""
    if _verbosity >= 0:
        _say(text)


def detail(text: str) -> None:
    """One line on stderr, only after -v."""
    if _verbosity > 0:
        _say(text)


def shows_progress() -> bool:
    """Whether progress may be shown: stderr is a terminal, and -q was not given."""
    return _verbosity >= 0 and sys.stderr is not None and sys.stderr.isatty()


def one_line(text: str) -> str:
    """`text` on one line, control characters escaped: names from outside must not steer a terminal."""
    return "".join(c if c.isprintable() else " " if c == "\n" else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(one_line(text) + "\n")
