"""A real run of each command loads nothing heavy; benchmarks/startup.py has the times."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib

import pytest

import cromwell
from cromwell.contract import artifact
from cromwell.contract.artifact import Artifact, bytes_array

COMMANDS = {
    "cw-context": "cromwell.prepare.cw_context", "cw-encode": "cromwell.encode.cw_encode", "cw-generate": "cromwell.generate.cw_generate",
    "cw-diff": "cromwell.apply.cw_diff", "cw-apply": "cromwell.apply.cw_apply", "cw-inspect": "cromwell.contract.cw_inspect",
}
HEAVY = {"numpy", "torch", "rich", "typer", "asyncio", "PIL", "tokenizers", "safetensors", "tiktoken", "pygments", "unittest", "email",
         "http", "ssl", "socket", "multiprocessing", "concurrent", "importlib.metadata", "sqlite3", "xml", "ctypes", "cffi", "pytest"}
NEEDED = {"picture": {"PIL"}, "cw-apply": {"ctypes"}}  # ctypes: 3 ms, for system calls that Python lacks (stages/apply/kernel.py)

PROGRAM = "import sys; sys.argv[0] = {name!r}; from {module} import main; main()"

# Commands leave with os._exit, so that is where the modules are listed.
LISTING = """
import os, sys
def leave(code, real=os._exit):
    with open({path!r}, "w") as out:
        out.write("\\n".join(sys.modules))
    real(code)
os._exit = leave
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory, model_pack):
    """An environment with bytecode cached in a folder of its own, an empty home, and no settings but the model."""
    folder = tmp_path_factory.mktemp("startup")
    dropped = ("CROMWELL_", "PYTHONDONTWRITE", "PYTHONUNBUF")
    site = os.path.dirname(os.path.dirname(os.path.abspath(cromwell.__file__)))  # processes run in other folders
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | {
        "PYTHONPATH": site, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"), "CROMWELL_MODEL": str(model_pack)}


def edit_bytes(target: bytes, new: bytes) -> bytes:
    place = {"start_line": 1, "end_line": 2, "start_byte": 0, "end_byte": len(target)}
    candidate = {"accepted": True, "reason": None, "log_probability": -1.0, "tokens": 3, "stop": "token"}
    meta = {"path": "code.py", "region": place, "eol": "lf", "encoding": "utf-8", "mode": "0644", "instruction": "swap", "model": None,
            "candidates": [candidate], "best": 0}
    stream = io.BytesIO()
    artifact.write(Artifact("edit", meta, {"target": bytes_array(target), "candidate.0": bytes_array(new)}, []), stream)
    return stream.getvalue()


def picture_bytes() -> bytes:
    """A PNG file of 2 x 2 pixels."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    header, pixels = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0), zlib.compress(bytes(2 * (1 + 2 * 3)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def modules(environment, tmp_path_factory):
    """The modules that a real run of each command loads, and that of cw-context with a picture as "picture"."""
    folder = tmp_path_factory.mktemp("work")
    old, new = b"def f(a):\n    return a\n", b"def f(b):\n    return b\n"
    (folder / "code.py").write_bytes(old)
    (folder / "edit.cwa").write_bytes(edit_bytes(old, new))
    (folder / "shot.png").write_bytes(picture_bytes())
    context = ["code.py:1-2", "-m", "rename a to b", "-o"]
    jobs = {
        "cw-context": [*context, "context.cwa"], "picture": [*context, "picture.cwa", "--image", "shot.png"],
        "cw-encode": ["context.cwa", "-o", "encoding.cwa"], "cw-generate": ["encoding.cwa", "-o", "new.cwa"],
        "cw-inspect": ["edit.cwa"], "cw-diff": ["edit.cwa"], "cw-apply": ["edit.cwa"],
    }
    loaded = {}
    for job, arguments in jobs.items():
        name = "cw-context" if job == "picture" else job
        program = LISTING.format(path=str(folder / "modules")) + PROGRAM.format(name=name, module=COMMANDS[name])
        result = subprocess.run([sys.executable, "-c", program, *arguments], cwd=folder, env=environment, capture_output=True, check=False)
        assert result.returncode in ((0, 4) if name == "cw-generate" else (0,)), (job, result.stderr.decode())
        loaded[job] = (folder / "modules").read_text().split("\n")
    assert (folder / "code.py").read_bytes() == new
    return loaded


@pytest.mark.parametrize("job", [*COMMANDS, "picture"])
def test_nothing_heavy_is_loaded(modules, job):
    found = {heavy for heavy in HEAVY if heavy in modules[job]}
    assert found == NEEDED.get(job, set())
    assert "zstandard" in modules[job]  # the run did work
