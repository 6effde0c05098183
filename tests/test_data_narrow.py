"""Narrow windows: the same edit on a few lines, with gold and context that fit."""

from __future__ import annotations

from random import Random

import pytest

pytest.importorskip("numpy")

from cromwell.contract.prompt import Target
from training.data.narrow import AROUND, LINES, narrow

BEFORE, AFTER = b"import os\n\n", b"\nprint(f(1))\n"
OLD = b"def f(a):\n    b = a + 1\n    c = 10\n    return b * a\n"
NEW = b"def f(left):\n    b = left + 1\n    c = 10\n    return b * left\n"


@pytest.mark.parametrize("seed", range(60))
def test_window_is_a_piece_of_the_edit(seed):
    found = narrow(Target(b"x.py", BEFORE, OLD, AFTER), NEW, Random(seed))
    assert found is not None
    target, gold = found
    old, new, file = OLD.splitlines(True), NEW.splitlines(True), BEFORE + OLD + AFTER
    region = target.region.splitlines(True)
    first = next(i for i in range(len(old)) if old[i : i + len(region)] == region)
    assert len(region) in LINES and gold == b"".join(new[first : first + len(region)]) != target.region
    assert target.before + target.region + target.after in file
    assert max(target.before.count(b"\n"), target.after.count(b"\n")) <= max(AROUND)


@pytest.mark.parametrize("new", [OLD, OLD + b"x\n", OLD.replace(b"    c = 10\n", b"")], ids=["unchanged", "longer", "shorter"])
def test_edits_that_do_not_keep_their_lines_are_left_out(new):
    assert narrow(Target(b"x.py", BEFORE, OLD, AFTER), new, Random(0)) is None
