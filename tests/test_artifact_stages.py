"""Sound streams with odd values: every stage answers with a documented exit code, never with an internal error."""

from __future__ import annotations

import importlib
import io
import random
import struct

import pytest

from cromwell import binding
from cromwell.contract import artifact, cli
from cromwell.contract.artifact import Array, Artifact, bytes_array
from cromwell.contract.prompt import SPECIAL_TOKENS

IMAGE, START = SPECIAL_TOKENS.index("<IMAGE>"), SPECIAL_TOKENS.index("<EDIT_START>")
HUGE = 10**18

STAGES = {
    "cw-encode": ("cromwell.encode.cw_encode", ["-o", "out"]),
    "cw-generate": ("cromwell.generate.cw_generate", ["-o", "out", "--max-tokens", "3", "--no-cache"]),
    "cw-diff": ("cromwell.apply.cw_diff", ["-o", "out"]),
    "cw-apply": ("cromwell.apply.cw_apply", ["--root", "root"]),
    "cw-inspect": ("cromwell.contract.cw_inspect", ["--json"]),
}
TAKERS = {"context": ("cw-encode", "cw-generate", "cw-inspect"), "encoding": ("cw-generate", "cw-inspect"),
          "edit": ("cw-diff", "cw-apply", "cw-inspect")}


class Odd:
    """Makes artifacts that keep to the format and say strange things."""

    def __init__(self, seed: int, model: str):
        self.rng, self.model = random.Random(seed), model

    def pick(self, *values):
        return self.rng.choice(values)

    def place(self, size: int) -> dict:
        start = self.rng.randint(0, size)
        line = self.pick(1, 2, HUGE)
        return {"start_line": line, "end_line": line + self.pick(-1, 0, 5), "start_byte": start, "end_byte": self.rng.randint(start, size)}

    def artifact(self, kind: str) -> Artifact:
        target = self.pick(b"", b"a\nb\nc\n", b"a\r\nb\r\n\xff\xfe", b"def f():\n  pass\n" * 50, bytes(3), bytes(range(256)))
        region = self.place(len(target))
        meta = {"instruction": self.pick("", "x", "\u00e9\u2028\x1b[2J", "<EDIT>\0"), "region": region,
                "eol": self.pick("lf", "crlf", "cr", "mixed"),
                "path": self.pick("a.py", "../x", "/etc/hosts", "a\nb", "\udcff", "a/" * 300 + "x", ".git/config"),
                "encoding": self.pick("utf-8", "utf-8-sig", "nope", "utf-16", "rot13", "\x1b"), "mode": self.pick("0644", "7777", "0000"),
                "model": self.pick(self.model, self.model, None, "zz")}
        arrays = {"target": bytes_array(target)}
        if kind == "edit":
            self.candidates(meta, arrays, target)
            return Artifact(kind, meta, arrays, [])
        meta |= {"window": self.pick(region, {"start_line": 1, "end_line": 9, "start_byte": 0, "end_byte": len(target)}),
                 "budget_tokens": self.pick(-1, 0, HUGE), "prompt_tokens": self.pick(-1, 0, HUGE),
                 "excerpts": [{"path": "e", "start_line": -5, "end_line": HUGE}] * self.pick(0, 0, 2)}
        for number in range(len(meta["excerpts"])):
            arrays[f"excerpt.{number}"] = bytes_array(self.pick(b"", b"\xff", b"text"))
        if kind == "context":
            for number in range(self.pick(0, 0, 0, 1, 5, 20)):
                height, width = self.pick((1, 1), (3, 500), (700, 2))
                arrays[f"image.{number}"] = Array("|u1", (height, width, 3), bytes(height * width * 3))
        else:
            self.tokens(meta, arrays)
        return Artifact(kind, meta, arrays, [])

    def candidates(self, meta: dict, arrays: dict, target: bytes) -> None:
        count = self.rng.randint(0, 3)
        meta["candidates"] = [{"accepted": self.pick(True, False), "reason": self.pick(None, "r\x1b"), "tokens": self.pick(-1, HUGE),
                               "log_probability": self.pick(0, -1e308), "stop": "x"} for _ in range(count)]
        meta["best"] = self.pick(None, *range(count))
        for number in range(count):
            arrays[f"candidate.{number}"] = bytes_array(self.pick(b"", b"x\n", b"\xff\0", target))

    def tokens(self, meta: dict, arrays: dict) -> None:
        meta["tiles"] = [{"rows": 1, "cols": self.pick(1, 5)} for _ in range(self.pick(0, 0, 1))]
        for number, grid in enumerate(meta["tiles"]):
            arrays[f"pixels.{number}"] = Array("|u1", (grid["cols"], 256, 256, 3), bytes(grid["cols"] * binding.TILE_BYTES))
        ids = [self.pick(4, 5, 8, 300, 301, 302) for _ in range(self.rng.randint(0, 40))] + [IMAGE] * self.pick(0, len(meta["tiles"]))
        ids += self.pick([], [], [-1], [1 << 20], [(1 << 31) - 1]) + [START]
        arrays["tokens"] = Array("<i4", (len(ids),), struct.pack(f"<{len(ids)}i", *ids))


@pytest.mark.parametrize("seed", range(3))
def test_odd_values_never_fail_inside(seed, tmp_path, monkeypatch, capfd, other_pack):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROMWELL_MODEL", str(other_pack))
    monkeypatch.setenv("CROMWELL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "root").mkdir()
    with binding.Model(other_pack) as model:
        odd = Odd(seed, model.fingerprint)
    tried = 0
    for _ in range(40):
        kind = odd.pick(*TAKERS)
        stream = io.BytesIO()
        try:
            artifact.write(odd.artifact(kind), stream)
        except ValueError:  # a line range that the format does not allow
            continue
        (tmp_path / "in.cwa").write_bytes(stream.getvalue())
        for name in TAKERS[kind]:
            module, options = STAGES[name]
            code = cli.run(importlib.import_module(module).app, ["in.cwa", *options])
            words = capfd.readouterr().err
            assert code in (0, cli.EXIT_USAGE, cli.EXIT_CONFLICT, cli.EXIT_NO_EDIT), (name, words)
            assert (code == 0) == ("error:" not in words) and "\x1b" not in words
            tried += 1
    assert tried > 40
    assert not (tmp_path / "x").exists() and not (tmp_path / "root" / ".git").exists()
