"""Bad input: exit 2, one line that says what and where, a hint, no traceback, and nothing written."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import zlib
from array import array
from pathlib import Path

import pytest

from cromwell.contract import artifact, cli
from cromwell.contract.artifact import Array, Artifact
from cromwell.encode.cw_encode import app as encode
from cromwell.generate.cw_generate import app as generate
from cromwell.prepare.cw_context import app as context

SOURCE = "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"


@pytest.fixture
def folder(tmp_path, monkeypatch, model_pack):
    """A working folder with a source file and a picture, and settings of its own."""
    work = tmp_path / "work"
    work.mkdir()
    for name in list(os.environ):
        if name.startswith(("CROMWELL_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CROMWELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CROMWELL_MODEL", str(model_pack))
    monkeypatch.chdir(work)
    (work / "app.py").write_text(SOURCE)
    image_module = pytest.importorskip("PIL.Image")
    image_module.new("RGB", (40, 30), "red").save(work / "red.png")
    return work


class Run:
    """Runs a command in this process and keeps what it said and wrote."""

    def __init__(self, capfdbinary):
        self.capture = capfdbinary

    def __call__(self, app, *arguments: str) -> tuple[int, bytes, str]:
        self.capture.readouterr()
        code = cli.run(app, arguments)
        out, err = self.capture.readouterr()
        return code, out, err.decode()


@pytest.fixture
def run(capfdbinary):
    return Run(capfdbinary)


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(result: tuple[int, bytes, str], *words: str, code: int = 2) -> None:
    """One error line with `words`, a hint, nothing on stdout."""
    exit_code, out, err = result
    assert exit_code == code, err
    assert out == b""
    assert re.fullmatch(r"(?:.*the lines to rewrite.*\n)?error: [^\n]+\n\nhint: [^\n]+\n", err), err
    assert "Traceback" not in err
    for word in words:
        assert word in err, err


@pytest.mark.parametrize(("arguments", "words"), [
    (["gone.py:1-2", "-m", "x"], ["gone.py", "no such file"]),
    (["", "-m", "x"], ["'': no such file"]),
    (["app.py:1-2", "-m", "x", "-o", ""], ["'': Is a directory"]),
    ([".:1-2", "-m", "x"], [".", "is a folder"]),
    (["app.py:1-2"], ["no instruction"]),
    (["app.py:1-2", "-m", ""], ["instruction is empty"]),
    (["app.py:1-2", "-m", " \n\t "], ["instruction is empty"]),
    (["app.py:1-2", "-m", "x", "--message-file", "app.py"], ["both"]),
    (["app.py:1-2", "--message-file", "gone.txt"], ["gone.txt"]),
    (["app.py:0-2", "-m", "x"], ["app.py:0-2", "line 0"]),
    (["app.py:5-2", "-m", "x"], ["app.py:5-2", "ends before"]),
    (["app.py:5-7", "-m", "x"], ["app.py:5-7", "6 lines"]),
    (["app.py:x-y", "-m", "x"], ["'x-y'"]),
    (["app.py::nothing", "-m", "x"], ["app.py::nothing"]),
    (["app.py:1-2", "-m", "x", "--budget", "5"], ["app.py:1-2", "needs", "the budget is 5"]),
    (["app.py:1-2", "-m", "x", "--budget", "0"], ["budget"]),
    (["app.py:1-2", "-m", "x", "--budget", "many"], ["budget"]),
    (["app.py:1-2", "-m", "x", "--budget", "999999"], ["999999", "positions"]),
    (["app.py:1-2", "-m", "x", "--image", "app.py"], ["app.py", "not a picture"]),
    (["app.py:1-2", "-m", "x", "--image", "gone.png"], ["gone.png"]),
    (["app.py:1-2", "-m", "x", "--context", "gone.py"], ["gone.py"]),
    (["app.py:1-2", "-m", "x", "--context", "app.py:9-12"], ["app.py:9-12"]),
    (["app.py:1-2", "-m", "x", "--model", "gone.cwm"], ["gone.cwm"]),
    (["app.py:1-2", "-m", "x", "-o", "gone/out.cwa"], ["gone/out.cwa"]),
    (["app.py:1-2", "-m", "x", "-o", "."], ["."]),
    (["-", "-m", "x"], ["standard input"]),
    (["/dev/zero", "-m", "x"], ["/dev/zero", "not a regular file"]),
    ([], ["TARGET"]),
    (["app.py", "other.py", "-m", "x"], ["unexpected"]),
    (["app.py", "-m", "x", "--frobnicate"], ["--frobnicate"]),
    (["app\n.py", "-m", "x"], ["line break"]),
])
def test_context(folder, run, arguments, words):
    before = listing(folder)
    assert_refused(run(context, *arguments), *words)
    assert listing(folder) == before


@pytest.mark.parametrize(("name", "data", "words"), [
    ("binary.py", b"a = 1\n\0\n", ["binary"]),
    ("utf16.py", "a = 1\n".encode("utf-16"), ["UTF-16"]),
    ("latin1.py", b"# caf\xe9\n", ["0xe9", "line 1"]),
    ("cut.png", slice(2000), ["cut.png", "damaged picture"]),
    ("tail.png", slice(-6), ["tail.png", "damaged picture"]),
    ("broken.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, ["broken.png", "picture"]),
    ("bomb.png", "bomb", ["bomb.png", "pixels"]),
])
def test_context_contents(folder, run, name, data, words):
    if isinstance(data, slice):
        from PIL import Image

        Image.effect_noise((300, 300), 50).save(folder / "whole.png")
        data = (folder / "whole.png").read_bytes()[data]
    elif data == "bomb":
        header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 1, 0, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT"
    (folder / name).write_bytes(data)
    arguments = ["app.py:1-2", "-m", "x", "--image", name] if name.endswith("png") else [name, "-m", "x"]
    assert_refused(run(context, *arguments), *words)
    assert not list(folder.glob("*.cwa"))


def test_a_pipe_is_not_waited_for(folder, run):
    os.mkfifo(folder / "pipe")
    assert_refused(run(context, "pipe", "-m", "x"), "pipe", "not a regular file")


def test_unreadable_files(folder, run):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (folder / "app.py").chmod(0)
    assert_refused(run(context, "app.py:1-2", "-m", "x"), "app.py", "permission")


def test_an_instruction_that_names_nothing_ends_with_4(folder, run):
    (folder / "long.py").write_text(SOURCE * 20)
    assert_refused(run(context, "long.py", "-m", "frobnicate the quux"), "long.py", "nothing that the instruction names", code=4)


@pytest.fixture
def made(folder, run):
    """A context and its encoding, as files."""
    code, _, err = run(context, "app.py::add", "-m", "rename a to left", "-o", "a.cwa")
    assert code == 0, err
    code, _, err = run(encode, "a.cwa", "-o", "a.cwe")
    assert code == 0, err
    return folder


@pytest.mark.parametrize("app", [encode, generate])
@pytest.mark.parametrize(("name", "words"), [
    ("gone.cwa", ["gone.cwa", "no such file"]), (".", ["is a folder"]), ("app.py", ["app.py"]), ("empty", ["empty"]),
    ("cut", ["cut", "truncated"]), ("flipped", ["flipped"]), ("twice", ["twice", "data after the end"]), ("edit", ["edit"]),
])
def test_what_is_no_context(made, run, app, name, words):
    whole = (made / "a.cwa").read_bytes()
    target = Array("|u1", (2,), b"a\n")
    place = {"start_line": 1, "end_line": 1, "start_byte": 0, "end_byte": 2}
    meta = {"path": "app.py", "region": place, "eol": "lf", "encoding": "utf-8", "mode": "0644", "instruction": "x", "model": None,
            "candidates": [], "best": None}
    edit = Artifact("edit", meta, {"target": target}, [])
    stream = io.BytesIO()
    artifact.write(edit, stream)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x10
    (made / "empty").write_bytes(b"")
    (made / "cut").write_bytes(whole[:-20])
    (made / "flipped").write_bytes(flipped)
    (made / "twice").write_bytes(whole + whole)
    (made / "edit").write_bytes(stream.getvalue())
    before = listing(made)
    assert_refused(run(app, name, "-o", "out"), *words)
    assert listing(made) == before


@pytest.mark.parametrize("arguments", [
    ["-n", "0"], ["-n", "65"], ["-n", "x"], ["--temperature", "-1"], ["--temperature", "nan"], ["--temperature", "inf"], ["--top-p", "0"],
    ["--top-p", "1.5"], ["--min-p", "1"], ["--repetition-penalty", "0"], ["--seed", "-1"], ["--max-tokens", "0"], ["--max-tokens", "99999"],
    ["--stop", ""], ["--stop", "x" * 300], ["-n", "2", "--temperature", "0"], ["--threads", "x"], ["--threads", "65"], ["--isa", "z80"],
    ["-o", "gone/out"], ["--model", "app.py"], ["--model", "."], ["b.cwa"],
])
def test_options_of_generate(made, run, arguments):
    before = listing(made)
    assert_refused(run(generate, "a.cwa", *arguments))
    assert listing(made) == before


@pytest.mark.parametrize("damage", ["cut", "half", "empty", "flipped header", "flipped end", "text"])
def test_damaged_model(made, run, model_pack, damage):
    data = bytearray(Path(model_pack).read_bytes())
    if damage == "cut":
        del data[-1:]
    elif damage == "half":
        del data[len(data) // 2:]
    elif damage == "empty":
        data.clear()
    elif damage == "flipped header":
        data[20] ^= 1
    elif damage == "flipped end":
        data[-len(data) // 3] ^= 1
    else:
        data[:] = b"this is no model\n" * 100
    (made / "bad.cwm").write_bytes(data)
    for app, source in ((context, "app.py"), (encode, "a.cwa"), (generate, "a.cwa")):
        extra = ["-m", "rename a to left"] if app is context else []
        assert_refused(run(app, source, *extra, "--model", "bad.cwm", "-o", "out"), "bad.cwm")
    assert not (made / "out").exists()


def test_an_encoding_of_another_model(made, run, other_pack):
    assert_refused(run(generate, "a.cwe", "--model", str(other_pack)), "a.cwe", "another model", "cw-encode again")


@pytest.mark.parametrize("case", ["no tokens", "no prompt", "image without pixels", "unknown token", "too long"])
def test_hostile_encodings(made, run, case):
    """Sound artifacts that no cw-encode would have written."""
    with open(made / "a.cwe", "rb") as stream:
        encoding = artifact.read(stream, "a.cwe")
    tokens = array("i", encoding.arrays["tokens"].data)
    if case == "no tokens":
        del tokens[:]
    elif case == "no prompt":
        tokens.pop()
    elif case == "image without pixels":
        tokens.insert(1, artifact_image_id())
    elif case == "unknown token":
        tokens[2] = 1 << 30
    else:
        tokens = array("i", [50]) * 5000 + tokens
    encoding.arrays["tokens"] = Array("<i4", (len(tokens),), tokens.tobytes())
    with open(made / "b.cwe", "wb") as stream:
        artifact.write(encoding, stream)
    assert_refused(run(generate, "b.cwe"))


def artifact_image_id() -> int:
    from cromwell.contract.prefix import IMAGE_ID

    return IMAGE_ID


def test_as_processes(folder, environment):
    """The same through real processes, a shell and a pipe: only exits and streams count there."""
    for line, code in [("cw-context gone.py -m x", 2), ("cw-context app.py:1-2 -m '' | cw-generate", 2), ("cw-generate < app.py", 2),
                       ("cw-context app.py:1-2 -m x -o a.cwa && head -c 300 a.cwa | cw-generate", 2), ("printf '' | cw-encode", 2)]:
        done = subprocess.run(["sh", "-c", line], cwd=folder, env=environment, capture_output=True, check=False)
        assert done.returncode == code, (line, done)
        assert done.stdout == b"" and done.stderr.startswith(b"error: ") and b"Traceback" not in done.stderr, (line, done)
