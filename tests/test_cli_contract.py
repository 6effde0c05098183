"""Command-line conventions: exits, error lines, streams, help; for a small command here and for every command of the project."""

from __future__ import annotations

import importlib
import io
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cromwell.contract import artifact, cli
from cromwell.contract.artifact import Artifact, bytes_array

COMMANDS = {
    "cw-context": "cromwell.prepare.cw_context", "cw-encode": "cromwell.encode.cw_encode", "cw-generate": "cromwell.generate.cw_generate",
    "cw-diff": "cromwell.apply.cw_diff", "cw-apply": "cromwell.apply.cw_apply", "cw-inspect": "cromwell.contract.cw_inspect",
}

DEMO = r"""
import os, sys, time, click
from cromwell.contract import cli, settings as table

@cli.command("cw-demo", examples=[("cw-demo print", "print a line")])
@click.argument("what")
@click.option("-n", "--count", type=int, default=1, help="how often")
@table.options("threads", "isa")
@cli.output_option
def app(what, count, output, settings):
    "Shows the conventions."
    if what == "print":
        for _ in range(count):
            print("line")
    elif what == "binary":
        with cli.output(output, binary=True) as out:
            out.write(b"\x00data")
            if count == 2:
                raise cli.CommandError("cw-demo: stopped", "go on")
    elif what == "settings":
        print(settings.threads, settings.origins["threads"])
    elif what == "words":
        cli.message("a message\x1b[31m"), cli.detail("a detail")
    elif what == "conflict":
        raise cli.CommandError("a.py: does not\nmatch \x1b[2J\udcff", "try\nagain", 3)
    elif what == "bug":
        raise KeyError("two\nlines")
    elif what == "memory":
        raise MemoryError
    elif what == "recursion":
        def deeper(): deeper()
        deeper()
    elif what == "os":
        open("/nonexistent/x")
    elif what == "sleep":
        print("ready", flush=True)
        time.sleep(30)
    elif what == "usage":
        raise click.UsageError("wrong\nuse")
    elif what == "exit":
        sys.exit(7)
    elif what == "read":
        print(len(cli.open_input(output).read()))

cli.command_main(app)
"""


def demo(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([sys.executable, "-c", DEMO, *arguments], capture_output=True, timeout=60, check=False, **options)


def command(name: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    program = f"import sys; from {COMMANDS[name]} import main; sys.argv[0] = {name!r}; main()"
    options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, timeout=60, check=False,
                          **{key: value for key, value in options.items() if value is not None})


def assert_error(result: subprocess.CompletedProcess[bytes], code: int) -> str:
    """The command failed with `code`, one error line, a hint, and nothing on stdout."""
    text = result.stderr.decode()
    assert result.returncode == code, (result.returncode, text)
    assert re.fullmatch(r"error: [^\n]+: [^\n]+\n\nhint: [^\n]+\n", text), text
    assert "Traceback" not in text and "\x1b" not in text
    assert result.stdout == b""
    return text


# ---- Exits and error lines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "code", "words"), [
    ([], 2, "Missing argument"),
    (["--bogus"], 2, "--bogus"),
    (["print", "-n", "x"], 2, "not a valid integer"),
    (["print", "-n"], 2, "requires"),
    (["print", "more"], 2, "unexpected extra"),
    (["usage"], 2, "wrong use"),
    (["conflict"], 3, "a.py: does not match \\x1b[2J\\udcff"),
    (["bug"], 70, "internal error: KeyError"),
    (["memory"], 70, "out of memory"),
    (["recursion"], 70, "internal error: RecursionError"),
    (["os"], 2, "/nonexistent/x: No such file"),
    (["print", "--threads", "900"], 2, "--threads"),
    (["read", "-o", "/nonexistent"], 2, "no such file"),
    (["read", "-o", "/"], 2, "is a folder"),
    (["read", "-o", "\udcff"], 2, "\\udcff: no such file"),
    (["binary", "-o", "/nonexistent/x"], 2, "No such file"),
    (["binary", "-o", "/"], 2, "Is a directory"),
])
def test_errors(arguments, code, words):
    assert words in assert_error(demo(*arguments), code)


def test_success_is_silent():
    result = demo("print", "--count", "2")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"line\nline\n", b"")


def test_interrupt_exits_130():
    process = subprocess.Popen([sys.executable, "-c", DEMO, "sleep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"")


def test_closed_pipe_exits_141_silently():
    process = subprocess.Popen([sys.executable, "-c", DEMO, "print", "-n", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert (process.wait(timeout=30), process.stderr.read()) == (141, b"")
    process.stderr.close()


def test_full_disk_is_an_error():
    with open("/dev/full", "wb") as full:
        for what in ("print", "binary"):
            result = subprocess.run([sys.executable, "-c", DEMO, what], stdout=full, stderr=subprocess.PIPE, check=False)
            assert result.returncode == 70 and b"No space left" in result.stderr and b"Traceback" not in result.stderr
            assert result.stderr.count(b"error:") == 1


def test_closed_streams():
    for what, closed, code in (("binary", 1, 2), ("print", 2, 0), ("bug", 2, 70), ("print", 0, 0)):
        def close(closed=closed):
            os.close(closed)
        result = subprocess.run([sys.executable, "-c", DEMO, what], stdout=None if closed == 1 else subprocess.PIPE, stderr=subprocess.PIPE,
                                preexec_fn=close, check=False)
        assert result.returncode == code and b"Traceback" not in result.stderr


# ---- Options ----------------------------------------------------------------------------------------------------------------


def test_help_begins_with_examples():
    for arguments in (["--help"], ["-h"]):
        result = demo(*arguments)
        assert result.returncode == 0 and result.stderr == b""
        assert result.stdout.startswith(b"Examples:\n  cw-demo print\n      print a line\n\nUsage: cw-demo ")


def test_version():
    assert demo("--version").stdout == b"cw-demo (cromwell) 0.1.0\n"


def test_quiet_and_verbose():
    assert demo("words").stderr == b"a message\\x1b[31m\n"
    assert demo("words", "-q").stderr == b""
    assert demo("-v", "words").stderr == b"a message\\x1b[31m\na detail\n"
    assert b"error: a.py" in demo("conflict", "-q").stderr


def test_double_dash_ends_options():
    result = demo("-n", "1", "--", "--count")
    assert result.returncode == 0 and result.stdout == b""


def test_print_config_needs_no_arguments():
    result = demo("--print-config", "--threads", "3", env={**os.environ, "CROMWELL_ISA": "scalar"})
    assert result.returncode == 0
    assert b"threads = 3  # flag\n" in result.stdout and b"isa = scalar  # CROMWELL_ISA\n" in result.stdout
    assert demo("settings", "--threads", "2").stdout == b"2 flag\n"


# ---- Input and output -------------------------------------------------------------------------------------------------------


def on_terminal(*arguments: str, stdin: bool = False) -> tuple[int, bytes]:
    """Exit code and all output of the demo with stdout (and stdin) a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", DEMO, *arguments], stdin=follower if stdin else subprocess.DEVNULL, stdout=follower,
                               stderr=follower)
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 4096):
            shown += piece
    except OSError:  # the terminal's other end closed
        pass
    os.close(leader)
    return process.wait(timeout=30), shown


def test_binary_is_refused_on_a_terminal():
    code, shown = on_terminal("binary")
    assert code == 2 and b"is a terminal and this is binary" in shown and b"\0data" not in shown
    code, shown = on_terminal("binary", "-o", "-")
    assert code == 0 and b"\0data" in shown
    assert demo("binary").stdout == demo("binary", "-o", "-").stdout == b"\0data"


def test_input_from_a_terminal_is_refused():
    code, shown = on_terminal("read", "-o", "-", stdin=True)
    assert code == 2 and b"standard input: is a terminal" in shown
    assert demo("read", "-o", "-", stdin=None, input=b"12345").stdout == b"5\n"


def test_files_appear_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out.cwa"
    assert demo("binary", "-o", str(target)).returncode == 0
    assert target.read_bytes() == b"\0data"
    target.write_bytes(b"before")
    target.chmod(0o640)
    assert_error(demo("binary", "-n", "2", "-o", str(target)), 2)
    assert target.read_bytes() == b"before"
    assert demo("binary", "-o", str(target)).returncode == 0
    assert target.read_bytes() == b"\0data" and stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["out.cwa"]


def test_output_through_links_and_devices(tmp_path):
    (tmp_path / "real").write_bytes(b"before")
    (tmp_path / "link").symlink_to("real")
    assert demo("binary", "-o", str(tmp_path / "link")).returncode == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"\0data"
    assert demo("binary", "-o", "/dev/null").returncode == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_new_files_follow_the_umask(tmp_path):
    assert demo("binary", "-o", str(tmp_path / "x"), preexec_fn=lambda: os.umask(0o027)).returncode == 0
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_colour_only_where_wanted(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert cli.use_color(Terminal()) and not cli.use_color(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not cli.use_color(Terminal())


# ---- Every command of the project -------------------------------------------------------------------------------------------


def app_of(name: str) -> click.Command:
    return importlib.import_module(COMMANDS[name]).app


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_keep_the_conventions(name):
    app = app_of(name)
    assert isinstance(app, cli.Command) and app.name == name and app.examples and app.help
    options = {option for parameter in app.params for option in parameter.opts}
    assert {"-q", "--quiet", "-v", "--verbose", "--version"} <= options
    for parameter in app.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert any(re.fullmatch(r"--[a-z3][a-z-]*", option) for option in parameter.opts), parameter.opts
    result = command(name, "--help")
    assert result.returncode == 0 and result.stdout.startswith(b"Examples:\n") and name.encode() in result.stdout
    assert command(name, "--version").stdout.startswith(name.encode() + b" (cromwell) ")
    assert_error(command(name, "--no-such-option"), 2)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name):
    manual = Path(__file__).resolve().parent.parent / "docs" / "command-line.md"
    text = manual.read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    section = next((part for part in sections if part.startswith(name + "\n")), None)
    assert section is not None, f"{manual.name} has no section {name}"
    common = next(part for part in sections if part.startswith("Options of every command\n"))
    for parameter in app_of(name).params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            if isinstance(parameter, click.Option):
                assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", section + common), f"{name} {option} is not in {manual.name}"


@pytest.mark.parametrize("name", ["cw-encode", "cw-generate", "cw-diff", "cw-apply", "cw-inspect"])
def test_commands_refuse_bad_streams(name):
    """Each reader of artifacts says what is wrong with a stream, and exits 2."""
    item = Artifact("receipt", {"files": []}, {}, [])
    stream = io.BytesIO()
    artifact.write(item, stream)
    sound = stream.getvalue()
    assert b"probably failed" in command(name, "-", input=b"").stderr
    for bad in (b"", sound[:-1], sound[:20], sound[:30] + b"\0" + sound[31:], sound + sound, *([sound] if name != "cw-inspect" else [])):
        assert_error(command(name, "-", input=bad), 2)


# ---- cw-inspect -------------------------------------------------------------------------------------------------------------


def edit_bytes() -> bytes:
    place = {"start_line": 2, "end_line": 3, "start_byte": 2, "end_byte": 6}
    candidate = {"accepted": True, "reason": None, "log_probability": -1.5, "tokens": 3, "stop": "token"}
    meta = {"path": "a\x1b.py", "region": place, "eol": "lf", "encoding": "utf-8", "mode": "0644", "instruction": "swap", "model": None,
            "candidates": [candidate, {**candidate, "accepted": False, "reason": "empty"}], "best": 0}
    arrays = {"target": bytes_array(b"a\nb\nc\nd\n"), "candidate.0": bytes_array(b"b\n\x1bB\n"), "candidate.1": bytes_array(b"")}
    stream = io.BytesIO()
    artifact.write(Artifact("edit", meta, arrays, [artifact.lineage_entry("cw-generate", {"n": 2}, {"a.py": "1f"}, None, 5)]), stream)
    return stream.getvalue()


def test_inspect_for_a_person():
    result = command("cw-inspect", input=edit_bytes())
    assert result.returncode == 0 and result.stderr == b""
    text = result.stdout.decode()
    assert "\x1b" not in text
    assert "edit (schema 1" in text and "path: a\\x1b.py" in text and "cw-generate 0.1.0" in text and "seed: 5" in text
    assert "target: |u1 [8], 8 bytes, 10 .. 100" in text and "4 lines" in text
    assert "candidate 0 (best), accepted\n@@ line 3 @@\n-c\n+\\x1bB\n" in text
    assert "candidate 1, refused: empty\n@@ line 2 @@\n-b\n-c\n" in text


def test_inspect_as_json(tmp_path):
    path = tmp_path / "edit.cwa"
    path.write_bytes(edit_bytes())
    result = command("cw-inspect", "--json", str(path))
    document = json.loads(result.stdout)
    assert result.stdout.count(b"\n") == 1
    assert (document["format"], document["version"], document["kind"]) == ("cromwell-inspect", 1, "edit")
    assert document["meta"]["best"] == 0 and document["lineage"][0]["tool"] == "cw-generate"
    assert document["arrays"][0] == {"name": "target", "dtype": "|u1", "shape": [8], "bytes": 8, "min": 10, "max": 100, "mean": 54.25,
                                     "text": "a\nb\nc\nd\n"}
    assert document["content"] == artifact.content_hash(artifact.read(io.BytesIO(edit_bytes()), "x"))


def test_inspect_floats_without_numpy():
    import struct

    from cromwell.contract.artifact import Array
    from cromwell.contract.summary import described, summary

    values = [1.0, float("nan"), -2.5, float("inf"), 3.0]
    for dtype, code in (("<f2", "e"), ("<f4", "f"), ("<f8", "d")):
        item = Array(dtype, (5,), struct.pack(f"<5{code}", *values))
        figures = summary(item)
        assert (figures["min"], figures["max"], figures["mean"], figures["not_finite"]) == (-2.5, 3.0, 0.5, 2)
        assert "2 not finite" in described(item, figures)
    assert summary(Array("<i8", (2,), struct.pack("<2q", -(1 << 62), 4)))["min"] == -(1 << 62)
    assert summary(Array("<u2", (0,), b""))["mean"] is None
    assert "picture of 3 x 2 pixels" in described(item := Array("|u1", (2, 3, 3), bytes(18)), summary(item))


