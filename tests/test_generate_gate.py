"""Which candidates are edits."""

from __future__ import annotations

import pytest

from cromwell.contract.prompt import SPECIAL_TOKENS
from cromwell.generate.gate import Gate, is_loop, longest_run, repeats_block

RAW = b"def f(a):\n    return a + 1\n\n\nprint(f(2))\n"
OLD = b"    return a + 1\n"
START = RAW.index(OLD)
WORDS = [100, 101, 102, 103]


def refusal(new: bytes, tokens=WORDS, stop="token", path="app.py", raw=RAW, old=OLD, eol="lf"):
    start = raw.index(old)
    return Gate(path, raw, start, start + len(old), eol, [100, 101, 102]).refusal(new, tokens, stop)


def test_a_good_edit_passes():
    assert refusal(b"    return a + 2\n") is None
    assert refusal(b"    return a + 2\n", stop="string") is None


@pytest.mark.parametrize(("new", "reason"), [
    (OLD, "unchanged"), (b"", "empty"), (b" \n", "empty"), (b"    return 'caf\xe9'\n", "not UTF-8"),
    (b"    return '\0'\n", "holds a NUL byte"),
    (b"    return (a + 1\n", "does not parse"), (b"  return a\n    b = 1\n", "does not parse"), (b"    return a +\n", "does not parse"),
    (b"return a\n", "does not parse"),
])
def test_refused(new, reason):
    assert refusal(new) == reason


def test_cut_off_and_special_tokens_are_refused():
    assert refusal(b"    return a + 2\n", stop="length") == "cut off after 4 tokens"
    assert refusal(b"    return a + 2\n", [60] * 40, stop="length") == "repeats itself"
    assert refusal(b"    return a + 2\n", [100, SPECIAL_TOKENS.index("<FILE>")]) == "holds a special token"


def test_an_empty_region_may_stay_empty_of_text():
    assert Gate("a.py", b"", 0, 0, "lf", []).refusal(b"x = 1\n", WORDS, "token") is None
    assert Gate("a.py", b"", 0, 0, "lf", []).refusal(b"", [], "token") == "unchanged"


def test_a_broken_file_may_stay_as_broken():
    raw = b"x = (\n" + RAW
    assert refusal(b"    return a + 2\n", raw=raw) is None
    old_python = b"print 'hello'\ndef f(a):\n    return a + 1\n"
    assert refusal(b"    return a + 2\n", raw=old_python) is None
    assert refusal(b"    return a + + )\n", raw=old_python) == "does not parse"


def test_line_ends_do_not_matter_to_the_parser():
    for end, eol in ((b"\r\n", "crlf"), (b"\r", "cr")):
        raw, old = RAW.replace(b"\n", end), OLD.replace(b"\n", end)
        assert refusal(b"    return a + 2" + end, raw=raw, old=old, eol=eol) is None
        assert refusal(b"    return (a + 2" + end, raw=raw, old=old, eol=eol) == "does not parse"


def test_a_language_without_a_grammar_passes():
    assert refusal(b"((((\n", path="notes.zz") is None


def test_loops():
    line = [50, 51, 52, 53]
    assert longest_run([1, 2, 1, 2, 1, 2], 2) == 4
    assert is_loop(WORDS, WORDS + line * 10)
    assert is_loop(WORDS, [60] * 40)
    assert not is_loop(WORDS, line * 3)
    assert not is_loop([60] * 40, [60] * 41), "a table that was there before is no loop"
    assert not is_loop(WORDS, list(range(100, 400)))


def test_repeated_blocks_of_lines():
    block = b"if a:\n    b()\n    c()\n"
    assert repeats_block(b"x\n", block * 3)
    assert not repeats_block(b"x\n", block * 2)
    assert not repeats_block(block * 3, block * 4), "it repeated before"
    assert refusal(b"    a = 1\n    b = 2\n    c = 3\n" * 4 + OLD) == "repeats itself"
