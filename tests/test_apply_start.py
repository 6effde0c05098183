"""What apply_start.py takes without click is what click takes, and means the same."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cromwell
from cromwell.apply import apply_start, applying, cw_apply
from cromwell.contract import artifact, words

WORDS = ["-", "p.diff", "a b", "", "--", "-q", "--quiet", "-v", "--verbose", "-qv", "-R", "--reverse", "--rev", "--dry-run", "-3", "--3way",
         "-3R", "--binary", "--symlinks", "--reject", "--json", "--ignore-hashes", "--ignore-whitespace", "--root", "--root=x", "x",
         "--check", "true", "--receipt", "-p1", "-p", "1", "--fuzz", "--help", "--version", "--print-config", "--undo", "--log",
         "--recover", "--conflict-markers", "--wrong", "-x", "@p", "é"]


def by_click(arguments: list[str]) -> tuple[dict, int] | None:
    """What click makes of a command line; None where it ends there."""
    words.set_verbosity(0)
    try:
        with cw_apply.app.make_context("cw-apply", list(arguments)) as context:
            parameters = dict(context.params)
    except (click.exceptions.Exit, click.ClickException):
        return None
    verbosity = words._verbosity
    words.set_verbosity(0)
    return None if parameters.pop("print_config") else (parameters, verbosity)


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=6))
def test_a_plain_call_is_what_click_makes_of_it(arguments):
    call = apply_start.plain(arguments)
    if call is not None:
        assert call == by_click(arguments)


@pytest.mark.parametrize("arguments", [[], ["p.diff"], ["-q", "--root", "x", "p.diff"], ["--check", "true", "-R", "-"],
                                       ["-v", "-v", "--json"]])
def test_usual_calls_are_plain(arguments):
    call = apply_start.plain(arguments)
    assert call is not None and call == by_click(arguments)


@pytest.mark.parametrize("arguments", [["a", "b"], ["--root"], ["--root", "-x"], ["-qv"], ["-q", "-v"], ["--help"], ["--root=x"],
                                       ["--undo"], [""]])
def test_others_are_left_to_click(arguments):
    assert apply_start.plain(arguments) is None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where processes run, with a state folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(os.path.abspath(cromwell.__file__))))
    monkeypatch.setenv("CROMWELL_STATE", str(tmp_path / "state"))
    return tmp_path


def run(module: str, *arguments: str, input: bytes = b"") -> tuple[int, bytes, bytes]:
    program = f"from cromwell.apply.{module} import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *arguments], input=input, capture_output=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [["--dry-run", "--receipt", "r"], ["--receipt", "-", "--json"], ["missing"], ["--root", "missing"],
                                       ["--json"], ["--dry-run"], ["--wrong"], ["--3way", "--dry-run", "-v"]])
def test_both_starts_say_the_same(arguments, folder, monkeypatch):
    patch = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-x\n+y\n"
    said = []
    for module in ("apply_start", "cw_apply"):
        monkeypatch.setenv("CROMWELL_STATE", str(folder / module))
        (folder / "f").write_bytes(b"x\n")
        said.append((run(module, *arguments, input=patch), (folder / "f").read_bytes()))
    assert said[0] == said[1]


def test_a_plain_call_loads_no_click(folder):
    (folder / "f").write_bytes(b"x\n")
    program = ("import os, sys\nleave = os._exit\nos._exit = lambda code: (print(*sys.modules), sys.stdout.flush(), leave(code))\n"
               "from cromwell.apply.apply_start import main; main()")
    patch = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-x\n+y\n"
    done = subprocess.run([sys.executable, "-c", program, "-q"], input=patch, capture_output=True, check=True)
    loaded = done.stdout.decode().split()
    assert "cromwell.apply.commit" in loaded
    assert not {"click", "inspect", "dataclasses", "subprocess", "zstandard", "difflib", "base64", "cromwell.binding"} & set(loaded)
    assert (folder / "f").read_bytes() == b"y\n"


def test_what_is_written_twice_is_the_same():
    assert applying.NAME == cw_apply.app.name
    assert applying.ZSTD_MAGIC == artifact.ZSTD_MAGIC
