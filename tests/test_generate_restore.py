"""The model's LF text with the line ends of the file it goes into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cromwell.contract.text import line_ends, to_lf
from cromwell.generate.restore import restore

LINES = st.lists(st.text(alphabet="ab ", max_size=3), max_size=7)


@pytest.mark.parametrize(("old", "new", "eol", "expected"), [
    (b"a\n", b"b\n", "lf", b"b\n"),
    (b"a\n", b"b", "lf", b"b\n"),
    (b"a", b"b\n", "lf", b"b"),
    (b"a", b"b\n\n", "lf", b"b\n"),
    (b"a\r\n", b"b\nc\n", "crlf", b"b\r\nc\r\n"),
    (b"a\r\n", b"b\r\nc\n", "crlf", b"b\r\nc\r\n"),
    (b"a\r\nz", b"b\nc\n", "crlf", b"b\r\nc"),
    (b"a\r", b"b\nc\n", "cr", b"b\rc\r"),
    (b"a\rz", b"b\nc\n", "cr", b"b\rc"),
    (b"", b"b\n", "lf", b"b\n"),
    (b"a\n", b"", "lf", b""),
    (b"a\r\nb\nc\r\n", b"a\nX\nc\n", "mixed", b"a\r\nX\nc\r\n"),
    (b"a\r\nb\nc\r\n", b"a\nb\nY\nZ\n", "mixed", b"a\r\nb\nY\r\nZ\r\n"),
    (b"a\r\nb\nc", b"a\nb\nY\n", "mixed", b"a\r\nb\nY"),
    (b"a\nb\n", b"a\r\nc\r\n", "lf", b"a\nc\n"),
])
def test_examples(old, new, eol, expected):
    assert restore(old, new, eol) == expected


@given(LINES, st.lists(st.sampled_from(["\n", "\r\n"]), min_size=7, max_size=7), st.booleans())
def test_the_same_text_gives_the_same_bytes(lines, ends, ends_open):
    old = "".join(line + end for line, end in zip(lines, ends, strict=False)).encode()
    if ends_open and lines and lines[-1]:
        old = old.rstrip(b"\r\n") if lines[-1].strip() else old
    assert restore(old, to_lf(old, line_ends(old)), line_ends(old)) == old


@given(LINES, st.lists(st.sampled_from(["\n", "\r\n"]), min_size=7, max_size=7), LINES)
def test_the_new_text_comes_through(lines, ends, new_lines):
    old = "".join(line + end for line, end in zip(lines, ends, strict=False)).encode()
    new = "".join(line + "\n" for line in new_lines).encode()
    assert to_lf(restore(old, new, line_ends(old)), line_ends(old)) == new


@given(LINES.filter(bool), st.sampled_from(["\r\n", "\r"]), LINES)
def test_one_kind_stays_one_kind(lines, end, new_lines):
    eol = "crlf" if end == "\r\n" else "cr"
    old = "".join(line + end for line in lines).encode()
    new = restore(old, "".join(line + "\n" for line in new_lines).encode(), eol)
    assert not new or line_ends(new) == eol
