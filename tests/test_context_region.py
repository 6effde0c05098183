"""Which lines a command line or an instruction means."""

from __future__ import annotations

import click.formatting
import pytest

from cromwell.contract.errors import CommandError
from cromwell.contract.text import read_text
from cromwell.prepare import symbols
from cromwell.prepare.find import find_regions
from cromwell.prepare.region import Place, parse_place, settle
from cromwell.prepare.symbols import definitions, matching, outline
from cromwell.prepare.terms import instruction_terms

SOURCE = b'''import json

TIMEOUT = 10
RETRIES = 3


def add(a, b):
    return a + b


class Client:
    retries = 5

    @property
    def name(self):
        return self._name

    def get(self, url, timeout=30):
        data = self.session.get(url, timeout=timeout)
        return json.loads(data)

    def put(self, url, body):
        return self.session.put(url, json.dumps(body))


class Server:
    def get(self):
        return 1
'''


def settled(spec: str, instruction: str = "do it", raw: bytes = SOURCE):
    return settle(parse_place(spec), read_text(raw, "app.py"), instruction)


@pytest.mark.parametrize(("spec", "place"), [
    ("app.py", Place("app.py")), ("app.py:3", Place("app.py", (3, 3))), ("app.py:3-9", Place("app.py", (3, 9))),
    ("a/b.py::C.get", Place("a/b.py", symbol="C.get")), ("C:x.py", Place("C:x.py")), ("a.cc::ns::f", Place("a.cc", symbol="ns::f")),
])
def test_specs(spec, place):
    assert parse_place(spec) == place


def test_a_file_of_that_very_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd:3-4").write_text("x\n")
    assert parse_place("odd:3-4") == Place("odd:3-4")


@pytest.mark.parametrize(("spec", "words"), [
    ("app.py:0-3", "no line 0"), ("app.py:9-3", "ends before it starts"), ("app.py:1-999", "has 28 lines"), ("app.py:99", "has 28 lines"),
    ("app.py::nothing", "no function or class"), ("app.py::get", "2 definitions"), ("app.py::", "no name"), ("notes.zz::f", "no grammar"),
    ("app.py:1-99999999999999999", "has 28 lines"),
])
def test_refused(spec, words):
    with pytest.raises(CommandError) as caught:
        settled(spec)
    assert words in caught.value.where_and_what
    assert caught.value.exit_code == 2 and caught.value.hint


def test_malformed_range_of_a_file_that_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text("x\n")
    for spec in ("app.py:a-b", "app.py:1-", "app.py:-3", "app.py:"):
        with pytest.raises(CommandError, match="no range of lines"):
            parse_place(spec)


@pytest.mark.parametrize(("symbol", "lines"), [
    ("add", (7, 8)), ("Client", (11, 23)), ("Client.get", (18, 20)), ("Server.get", (27, 28)), ("name", (14, 16)), ("put", (22, 23)),
])
def test_symbols(symbol, lines):
    assert settled(f"app.py::{symbol}")[:2] == lines


def test_a_near_name_is_offered():
    with pytest.raises(CommandError) as caught:
        settled("app.py::Client.gett")
    assert "Client.get" in caught.value.hint


def test_symbols_of_a_broken_file():
    found = definitions("app.py", b"def f(:\n    pass\n\ndef g():\n    return 1\n")
    assert [d[2:] for d in matching(found, "g")] == [(4, 5)]


def test_the_last_of_several_definitions_counts():
    found = definitions("app.py", b"def f(): ...\ndef f(x): ...\n")
    assert [d.first_line for d in matching(found, "f")] == [2]


@pytest.mark.parametrize(("path", "source", "expected"), [
    ("a.js", b"export function f() {\n  return 1\n}\nconst g = () => {\n  return 2\n}\nclass A {\n  m() {\n  }\n}\n",
     [("f", 1, 3), ("g", 4, 6), ("A", 7, 10), ("A.m", 8, 9)]),
    ("a.c", b"static int *f(int a)\n{\n  return 0;\n}\n", [("f", 1, 4)]),
])
def test_other_languages(path, source, expected):
    found = definitions(path, source)
    assert found is not None
    assert [(d.name, d.first_line, d.last_line) for d in found] == expected


@pytest.mark.parametrize(("instruction", "expected"), [
    ("rename parameter a to left", {"a": 3.0, "left": 0.2}),
    ("rename col_count to columns", {"col_count": 3.0}),
    ("use `orjson.loads` instead of json.loads", {"orjson.loads": 0.8, "json.loads": 3.0}),
    ("replace the call to foo() with bar()", {"foo": 3.0, "bar": 0.6}),
    ("set the timeout to 30", {"timeout": 3.0, "30": 0.3}),
    ("write the code of this screenshot", {}),
])
def test_terms(instruction, expected):
    found = {term.text: term.weight for term in instruction_terms(instruction)}
    for text, weight in expected.items():
        assert found[text] == pytest.approx(weight, abs=0.05)
    assert expected or not found


@pytest.mark.parametrize(("instruction", "lines"), [
    ("rename parameter a to left", (7, 8)),
    ("replace json.loads with orjson.loads", (18, 20)),
    ("replace json.dumps with orjson.dumps", (22, 23)),
    ("set TIMEOUT to 30", (2, 5)),
    ("in Client.get, change the default of timeout to 60", (18, 20)),
    ("rename body to payload", (22, 23)),
])
def test_found_from_the_instruction(instruction, lines):
    found = settled("app.py", instruction)
    assert found.how == "instruction"
    assert lines[0] <= found.first_line <= found.last_line <= lines[1]


METHODS = b"""import os
from json import loads


class Reader:
    def __init__(self, path):
        self.path = path

    def read(self, size=-1, timeout: int = 3):
        '''Bytes of the file.'''
        with open(self.path) as stream:
            print(size)
            return stream.read(size)


class Writer:
    def __init__(self, path):
        self.path = path

    def write(self, data, timeout=3):
        try:
            return os.write(1, data)
        except OSError:
            return 0


def names(items):
    found = []
    for i in range(len(items)):
        found.append(items[i])
    return found
""" + b"".join(b"\n\ndef filler_%d(x):\n    return x + %d\n" % (n, n) for n in range(20))


@pytest.mark.parametrize(("instruction", "name"), [
    ("take the prints out", "Reader.read"), ("without try/except", "Writer.write"), ("the docstring can go", "Reader.read"),
    ("use enumerate for the index loop", "names"), ("write the loop as a comprehension", "names"),
    ("change the default of `size` to 1", "Reader.read"), ("the parameter `data` of write must be bytes", "Writer.write"),
    ("`write` should return None", "Writer.write"),
    ("replace `os.write(1, data)` with `sys.stdout.write(data)`", "Writer.write"), ("sort the imports", ""),
    ("give filler_7 the parameter `y=1`", "filler_7"), ("the filler 13 function: subtract", "filler_13"),
])
def test_functions_found(instruction, name):
    lines = METHODS.decode().splitlines(keepends=True)
    assert find_regions(instruction, lines, definitions("a.py", METHODS))[0].name == name


def test_the_outline_of_a_long_file_is_that_of_its_tree(monkeypatch):
    monkeypatch.setattr(symbols, "PARSED_BYTES", 0)
    nested = b"class A:\n    @one\n    @two(\n        3)\n    def f(\n        self,\n    ):\n        def g():\n            pass\n"
    for source in (SOURCE, METHODS, nested + b"\n        return g\n\n    # about h\n    async def h(self): pass\n\nx = 1\n", b""):
        expected = [d._replace(first_line=0) if d.name == "A.f" else d for d in definitions("a.py", source)]
        assert [d._replace(first_line=0) if d.name == "A.f" else d for d in outline("a.py", source)] == expected


def test_found_in_a_real_file():
    with open(click.formatting.__file__, "rb") as stream:
        raw = stream.read()
    found = settle(Place("formatting.py"), read_text(raw, "formatting.py"), "rename col_count to columns")
    region = b"".join(raw.splitlines(keepends=True)[found.first_line - 1:found.last_line])
    assert region.startswith(b"def iter_rows(") and raw.count(b"col_count") == region.count(b"col_count")


def test_a_long_function_is_narrowed_to_the_occurrences():
    body = b"".join(b"    x%d = %d\n" % (n, n) for n in range(60))
    raw = b"def long():\n" + body + b"    total = 1\n    print(total)\n" + body
    found = settle(Place("app.py"), read_text(raw, "app.py"), "rename total to amount")
    lines = raw.split(b"\n")[found.first_line - 1:found.last_line]
    assert 3 <= len(lines) <= 25 and sum(b"total" in line for line in lines) == 2


def test_lines_left_out_are_reported():
    body = b"".join(b"    x%d = %d\n" % (n, n) for n in range(60))
    raw = b"def long():\n    total = 1\n" + body + b"    print(total)\n"
    found = settle(Place("app.py"), read_text(raw, "app.py"), "rename total to amount")
    assert found.left_out == "1 more line of long with the same names left out"


def test_a_small_file_is_taken_whole_and_a_long_one_is_not():
    assert settled("app.py", "write the code of this screenshot")[:3] == (1, 28, "whole file")
    assert settle(Place("app.py"), read_text(b"", "app.py"), "write it")[:2] == (1, 0)
    with pytest.raises(CommandError) as caught:
        settled("app.py", "write the code of this screenshot", SOURCE * 4)
    assert caught.value.exit_code == 4 and "START-END" in caught.value.hint


def test_without_a_grammar_lines_around_the_occurrences_are_taken():
    raw = b"".join(b"line %d\n" % n for n in range(100)) + b"delay_ms: 5\n" + b"other\n" * 50
    found = settle(Place("conf.zz"), read_text(raw, "conf.zz"), "set delay_ms to 10")
    assert found.first_line <= 101 <= found.last_line and found.last_line - found.first_line == 2


def test_parts_of_names_count_where_the_name_itself_is_missing():
    raw = b"A = 1\nDEFAULT_TIMEOUT = 10\nB = 2\n" + b"x = 0\n" * 100
    found = settle(Place("app.py"), read_text(raw, "app.py"), "set the timeout to 30")
    assert found.first_line <= 2 <= found.last_line <= 4
