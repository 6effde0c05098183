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
    found = narrow(Target(b"x.py", BEFORE, OLD, AFTER), NEW, Random(seed), "rename")
    assert found is not None
    target, gold = found
    old, new, file = OLD.splitlines(True), NEW.splitlines(True), BEFORE + OLD + AFTER
    region = target.region.splitlines(True)
    first = next(i for i in range(len(old)) if old[i : i + len(region)] == region)
    assert len(region) in LINES and gold == b"".join(new[first : first + len(region)]) != target.region
    assert target.before + target.region + target.after in file
    assert max(target.before.count(b"\n"), target.after.count(b"\n")) <= max(AROUND)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "new",
    [
        OLD + b"x\n",
        OLD.replace(b"    c = 10\n", b""),
        OLD.replace(b"    c = 10\n", b"    try:\n        c = 10\n    except E:\n        raise\n"),
        OLD.replace(b"    b = a + 1\n    c = 10\n", b"    c = 10\n    b = a + 1\n"),
        b"# first\n" + OLD,
        OLD.replace(b"    c = 10\n", b"    c = 10\n    c = 10\n"),
    ],
    ids=["longer", "shorter", "wrapped", "swapped", "first", "repeated"],
)
def test_an_edit_of_several_lines_is_shown_whole(new, seed):
    target, gold = narrow(Target(b"x.py", BEFORE, OLD, AFTER), new, Random(seed), "wrap_try")
    assert OLD.replace(target.region, gold, 1) == new and target.region
    assert target.before + target.region + target.after in BEFORE + OLD + AFTER


def test_what_cannot_be_narrow_is_left_out():
    long = b"".join(b"x%d\n" % i for i in range(40))
    for old, new in ((OLD, OLD), (long, long.replace(b"x0\n", b"y\nz\n").replace(b"x39", b"y")), (b"x\n", b""), (b"a\r\n", b"b\r\n")):
        assert narrow(Target(b"x.py", BEFORE, old, AFTER), new, Random(0), "wrap_try") is None


def test_nothing_to_do_is_nothing_to_do_in_a_window():
    for seed in range(20):
        target, gold = narrow(Target(b"x.py", BEFORE, OLD, AFTER), OLD, Random(seed), "nothing")
        assert target.region == gold and gold in OLD
