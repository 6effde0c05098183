"""The start of cw-apply: a plain call, of the options below in full or as one letter, goes without click, whose import takes longer than
most patches (docs/benchmarks.md has the figures). Whatever else stands on the command line, an error above all, is left to cw_apply.

What `plain` takes it takes as click does: tests/test_apply_start.py holds the one against the other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

_FLAGS = {"--dry-run": "dry_run", "-R": "reverse", "--reverse": "reverse", "--ignore-hashes": "ignore_hashes", "-3": "three_way",
          "--3way": "three_way", "--ignore-whitespace": "whitespace", "--binary": "binary", "--symlinks": "symlinks", "--reject": "reject",
          "--json": "as_json"}
_VALUES = {"--root": "root", "--check": "command", "--receipt": "receipt"}
_VERBOSITY = {"-q": -1, "--quiet": -1, "-v": 1, "--verbose": 1}
_DEFAULTS: dict[str, Any] = {
    "patch": "-", "root": ".", "dry_run": False, "reverse": False, "command": None, "strip": None, "candidate": None,
    "ignore_hashes": False, "three_way": False, "markers": False, "whitespace": False, "fuzz": 0, "binary": False, "symlinks": False,
    "reject": False, "include": (), "exclude": (), "as_json": False, "receipt": None, "recover": False, "undo": None, "log": False}


def plain(arguments: Sequence[str]) -> tuple[dict[str, Any], int] | None:
    """The parameters of cw_apply.app but its settings, and the verbosity; None where click has to look."""
    given: dict[str, Any] = {}
    verbosity = 0
    words = iter(arguments)
    for word in words:
        if word in _FLAGS:
            given[_FLAGS[word]] = True
        elif word in _VERBOSITY and verbosity in (0, _VERBOSITY[word]):
            verbosity = _VERBOSITY[word]
        else:
            name = _VALUES.get(word, "patch")
            value = next(words, "") if word in _VALUES else word
            if name in given or not value or value.startswith("-") and (name, value) != ("patch", "-"):
                return None
            given[name] = value
    return _DEFAULTS | given, verbosity


def main() -> None:
    """The command cw-apply."""
    call = plain(sys.argv[1:])
    if call is None:
        from cromwell.apply import cw_apply

        cw_apply.main()
        return
    import gc

    from cromwell.apply import applying
    from cromwell.contract import process, settings, words

    gc.disable()  # what a patch makes is needed to the end
    applying.alone = True
    words.set_verbosity(call[1])
    process.leave(process.guarded(applying.NAME, lambda: applying.run(**call[0], settings=settings.load({}))))


if __name__ == "__main__":
    main()
