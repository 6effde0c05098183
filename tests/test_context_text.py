"""Bytes of a file as lines of text: line ends, encodings, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cromwell.contract.errors import CommandError
from cromwell.contract.text import line_ends, read_text


@pytest.mark.parametrize(("raw", "eol", "count"), [
    (b"", "lf", 0), (b"a", "lf", 1), (b"a\n", "lf", 1), (b"a\nb", "lf", 2), (b"a\r\nb\r\n", "crlf", 2), (b"a\rb\r", "cr", 2),
    (b"a\rb", "cr", 2), (b"a\r\nb\n", "mixed", 2), (b"a\rb\n", "lf", 1), (b"a\x0cb\xe2\x80\xa8c\n", "lf", 1), (b"\n\n", "lf", 2),
])
def test_line_ends_and_counts(raw, eol, count):
    text = read_text(raw, "f")
    assert (text.eol, text.line_count) == (eol, count)
    assert line_ends(raw) == eol


@given(st.lists(st.text(alphabet="ab\x0c\u2028 ", max_size=4), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(),
       st.booleans())
def test_lines_join_to_the_file(lines, end, has_bom, ends_open):
    raw = end.join(lines).encode() + (b"" if ends_open else end.encode())
    text = read_text((b"\xef\xbb\xbf" if has_bom else b"") + raw, "f")
    assert text.encoding == ("utf-8-sig" if has_bom else "utf-8")
    pieces = [text.raw[slice(*text.span(n, n))] for n in range(1, text.line_count + 1)]
    assert b"".join(pieces) == raw
    assert text.lines(1, text.line_count) == raw.replace(end.encode(), b"\n")


def test_span_of_no_lines_is_empty():
    text = read_text(b"\xef\xbb\xbf", "f")
    assert text.span(1, 0) == (3, 3)


@pytest.mark.parametrize(("raw", "words"), [
    ("a\n".encode("utf-16"), "UTF-16"), ("a\n".encode("utf-32"), "UTF-32"), (b"\0\0\xfe\xff\0\0\0a", "UTF-32"),
    (b"a\0b\n", "binary"), (b"ok\ncaf\xe9\n", "byte 0xe9 at offset 6 (line 2)"),
    (b"\xc0\x80", "not UTF-8"), (b"\xed\xa0\x80", "not UTF-8"),
])
def test_refused(raw, words):
    with pytest.raises(CommandError) as caught:
        read_text(raw, "notes.py")
    assert words in caught.value.where_and_what and "notes.py" in caught.value.where_and_what
    assert caught.value.exit_code == 2 and caught.value.hint
