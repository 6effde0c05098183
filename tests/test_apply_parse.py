"""The library's reader of patches beside a slow one in Python (apply_reference.py): the same parts, or the same words about the same line;
and its placing of hunks at their stated lines beside the search of match.py."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cromwell.apply import match, parse
from cromwell.apply.text import Text
from cromwell.contract.errors import CommandError
from tests import apply_reference
from tests.test_apply_fuzz import SAMPLES, mutated, subject

PATCHES = subject().patches


def parts(module: Any, text: bytes) -> Any:
    """All that a parser says of a patch."""
    try:
        return [(file[:11], file.binary, [(hunk.old_start, hunk.new_start, hunk.old, hunk.new, hunk.marks, hunk.leading, hunk.trailing,
                                           hunk.patch_line) for hunk in file.hunks]) for file in module.parse(text, "patch")]
    except CommandError as error:
        return type(error), error.where_and_what, error.hint


def check(text: bytes) -> None:
    assert parts(parse, text) == parts(apply_reference, text)


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.diff")))
def test_samples(sample):
    text = (SAMPLES / sample).read_bytes()
    assert isinstance(parts(parse, text), list)
    check(text)
    for size in range(len(text)):  # cut short anywhere
        check(text[:size])


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**63))
def test_mutated_patches(seed):
    check(mutated(random.Random(seed), PATCHES))


WORDS = [b"diff --git ", b"diff --git a/f b/f\n", b"diff --cc f\n", b"--- ", b"+++ ", b"--- a/f\n+++ b/f\n", b"--- /dev/null\n",
         b"+++ /dev/null\n", b"@@ -1 +1 @@\n", b"@@ -0,0 +1,2 @@\n", b"@@ -1,2 +1,2 @@ f\n", b"@@ -3,1 +3,0 @@\n", b"@@@ -1 -1 +1 @@@\n",
         b"@@ -1,0 +1,0 @@\n", b"@@ -1234567890 +1 @@\n", b" ", b"-", b"+", b"-x\n", b"+y\n", b" z\n", b"\n", b"\r\n", b"\r",
         b"\\ No newline at end of file\n", b"\\ x\r\n", b"-x\r\n", b"+\r\n", b" \r\n", b"old mode 100644\n", b"new mode 100755\n",
         b"deleted file mode 100644\n", b"new file mode 120000\n", b"new file mode 10064\n", b"copy from f\n", b"copy to g\n",
         b"rename from f\n", b'rename to "g"\n', b"rename from /dev/null\n", b"similarity index 9%\n", b"dissimilarity index 9%\n",
         b"index 1234..abcd\n", b"index 1234..abcd 100644\n", b"index 123..abcd\n",
         b"index %s..%s\n" % (b"a" * 64, b"b" * 65),
         b"GIT binary patch\n", b"GIT binary patches\n", b"literal 3\n", b"delta 12345678901\n", b"KcmYdfNCE%>hycU@\n", b'Ka"aaa\n',
         b"D|~~~~\n", b"Binary files a and b differ\n", b"Binary files differ\n", b"Files a and b differ\r\n", b"Files a and differ\n",
         b"Cannot display: file marked as a binary type.\n", b"***************\n", b"-- \n", b"--\n", b"---\n", b'"a/\\303\\251" ',
         b'"a\\q"', b'"\\4"', b'"a/x" "b/x"', b"a/x y b/x y", b" b", b"f ", b"\t1970-01-01 00:00\n", b"\tThu Jan 01 00:00:00 1970\n",
         b"\t(nonexistent)\n", b"# no difference\n", b"/", b'"', b"x", b"\x00", b"\xff"]


@settings(max_examples=700, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(b"".join))
@example(b"diff --git  b\nold mode 100644\nnew mode 100755\n")
@example(b'diff --git "a"x"\\q"\nold mode 100644\nnew mode 100755\n')
@example(b"--- a\n+++ b\n@@ -1 +1 @@\n-x\n\\ No\n+y\n\\ No")
def test_whatever_is_put_together(text):
    check(text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([b"a", b"/", b" ", b'"', b"\\", b"7", b"n", b"b", b"\t"]), max_size=16).map(b"".join))
def test_names(name):
    check(b"diff --git " + name + b"\nold mode 100644\nnew mode 100755\n")
    check(b"--- " + name + b"\n+++ " + name + b"\n@@ -1 +1 @@\n-x\n+y\n")
    check(b"diff --git x\nrename from " + name + b"\nrename to f\n--- " + name + b"\n+++ b/f\n@@ -1 +1 @@\n-x\n+y\n")


def test_more_files_than_are_taken():
    part = b"diff --git a/f b/f\nold mode 100644\nnew mode 100755\n"
    assert len(parse.parse(part * 100_000, "patch")) == 100_000
    with pytest.raises(parse.PatchError) as raised:
        parse.parse(part * 100_001, "patch")
    assert raised.value.where_and_what == "patch: line 300004: more than 100000 files"


# ---- Places at the stated lines ---------------------------------------------------------------------------------------------


def searched(file: parse.FilePatch, hunks: list[parse.Hunk], data: bytes, base_known: bool) -> bytes | None:
    """What match.py makes of hunks that all stand at their stated lines."""
    text = Text(data)
    try:
        places = match.place(text, hunks, base_known, False)
    except match.NoMatch:
        return None
    exact = all(found.offset == 0 and match._fits(text, hunk, base_known, any(b" " in hunk.marks for hunk in hunks))
                for found, hunk in zip(places, hunks, strict=True))
    return match.apply(text, places) if exact else None


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"a\r\n", b"\r\n", b"d"]), max_size=7)


@settings(max_examples=600, deadline=None)
@given(LINES.map(b"".join), st.integers(0, 2**63), st.booleans())
def test_hunks_at_their_stated_lines(data, seed, base_known):
    generator = random.Random(seed)
    lines, body, old, new = [line.rstrip(b"\n") for line in data.splitlines(keepends=True)], [], 0, 0
    start = generator.randrange(len(lines) + 1)
    for line in lines[start:start + generator.randrange(1, 6)]:
        mark = generator.choice(b" -")
        body.append(bytes([mark]) + line)
        old, new = old + 1, new + (mark == 0x20)
        if generator.random() < 0.4:
            body.append(b"+" + generator.choice([b"x", b"", b"y\r"]))
            new += 1
        if generator.random() < 0.1:
            body[-1] += b"z"
    if generator.random() < 0.3:
        body.append(b"+end")
        new += 1
    end = b"\r\n" if generator.random() < 0.3 else b"\n"
    shift = generator.choice([0, 0, 0, 1, -1])
    first = max(0, start + (old > 0) + shift), max(0, start + (new > 0) + shift)
    text = b"--- a/f" + end + b"+++ b/f" + end + b"@@ -%d,%d +%d,%d @@" % (first[0], old, first[1], new) + end + end.join([*body, b""])
    if not data.endswith(b"\n") and generator.random() < 0.7:
        text += b"\\ No newline at end of file" + end
    try:
        (file,) = parse.parse(text, "patch")
    except CommandError:
        return
    for part in (file, file.reversed()):
        assert part.fitted(data, base_known) == searched(part, part.hunks, data, base_known)
        bare = [hunk.with_lines(lambda line: line[:-2] + b"\n" if line.endswith(b"\r\n") else line) for hunk in part.hunks]
        assert part.fitted(data, base_known, without_cr=True) == searched(part, bare, data, base_known)
