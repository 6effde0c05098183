"""Scoring held-out edits: frames, figures, intervals, the command and its refusals (training/evaluate)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("tokenizers")

from training.evaluate import __main__ as command  # noqa: E402
from training.evaluate import report  # noqa: E402
from training.evaluate.examples import Example, read_examples  # noqa: E402
from training.evaluate.frame import frame, tree  # noqa: E402
from training.evaluate.lexer import lex, shape  # noqa: E402
from training.evaluate.lines import EvaluationError  # noqa: E402
from training.evaluate.score import Answer, Window  # noqa: E402

RENAME = {"path": "a.py", "before": "", "region": "x = 1\ny = x\n", "after": "", "instruction": "rename x to z",
          "new_region": "z = 1\ny = z\n", "kind": "rename", "package": "p", "template": "seen"}  # fmt: skip
NOTHING = RENAME | {"instruction": "rename q to z", "new_region": "x = 1\ny = x\n", "kind": "nothing", "template": "unseen"}


def write_lines(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("before, region, after", [
    ("", "a = 1\n", ""),
    ("", "        return x\n", "    def g(self):\n        pass\n"),
    ("    try:\n", "        a()\n", ""),
    ("        a()\n", "    except ValueError:\n        b()\n", "    c()\n"),
    ("", "    else:\n        b()\n", "    return 1\n"),
    ("    if a:\n        b()\n", "    elif c:\n        continue\n", ""),
    ("", "            await a()\n        async with b:\n", ""),
    ("@cached\n", "", "def f():\n    pass\n"),
    ("", "@cached\n", ""),
    ("    for a in b:\n", "        if a:\n", ""),
    ("d'etre\n    \"\"\"\n", "    a = 1\n", ""),  # what stands before is the end of a docstring: left out
    ("", "    yield 1\n    yield from b\n", ""),
])  # fmt: skip
def test_a_frame_makes_a_window_a_program(before: str, region: str, after: str) -> None:
    found = frame(before, region, after)
    assert found is not None and tree(found.program(region), compiled=True) is not None
    assert region in found.program(region)


def test_no_frame_for_a_window_that_starts_inside_brackets() -> None:
    assert frame("", "        a, b):\n    pass\n", "") is None


@pytest.mark.parametrize("text", [
    "", "a = 'x", 'f"{a!r:>{b}}" + r\'\\\' # c\n', "x = 0x1F + 1e-5j\n", "a\\\n  b\n", "'''a\n'b''' c\n\t", "é = $?\n",
])  # fmt: skip
def test_tokens_are_the_text(text: str) -> None:
    assert "".join(token.text for token in lex(text)) == text


def test_shapes_are_equal_where_only_layout_differs() -> None:
    assert shape("f(a,\n  b)  # c\n") == shape("f( a, b )\n")
    assert shape("if a:\n    b\nc\n") != shape("if a:\n    b\n    c\n")


def figures(row: dict, text: str, finished: bool = True, accepted: str | None = None) -> dict:
    return Window(Example(**row)).figures(Answer(text, finished, accepted, None))


def test_figures_of_one_answer() -> None:
    right = figures(RENAME, "z = 1\ny = z\n", accepted="z = 1\ny = z\n")
    assert {name for name, value in right.items() if value != 1} == {"tests"}
    laid_out = figures(RENAME, "z  =  1  # one\ny = (z)\n")
    assert (laid_out["exact"], laid_out["same_tree"], laid_out["parses"]) == (0, 1, 1)
    broken = figures(RENAME, "z = 1\ny = (z\n")
    assert (broken["exact"], broken["same_tree"], broken["parses"], broken["accepted_parses"]) == (0, 0, 0, None)
    cut = figures(RENAME, "z = 1\ny = z\n", finished=False)
    assert not any(cut[name] for name in ("exact", "same_tree", "parses", "kept", "finished"))


def test_lines_that_the_gold_leaves_alone_must_stay_in_order() -> None:
    row = RENAME | {"region": "a = 1\nb = 2\nc = 3\n", "new_region": "a = 1\nb = 9\nc = 3\n"}
    assert figures(row, "a = 1\nb = 8\nnew = 1\nc = 3\n")["kept"] == 1
    assert figures(row, "c = 3\nb = 9\na = 1\n")["kept"] == 0 == figures(row, "b = 9\nc = 3\n")["kept"]


def test_a_window_inside_brackets_is_judged_by_tokens_and_faults() -> None:
    row = RENAME | {"region": "    a=1,\n    b=2):\n", "new_region": "    a=3,\n    b=2):\n"}
    assert figures(row, "    a = 3,\n    b = 2):\n")["same_tree"] == 1 == figures(row, "    a=4,\n    b=2):\n")["parses"]
    assert figures(row, "    a=4,\n    b=2):\n")["same_tree"] == 0 == figures(row, "    a=4 4 4,\n    ]b=2 def):\n")["parses"]


def test_other_languages_are_compared_as_text() -> None:
    pytest.importorskip("tree_sitter_c")
    row = RENAME | {"path": "a.c", "region": "int a = 1;\n", "new_region": "int a = 2;\n"}
    assert figures(row, "int a = 2;\n")["same_tree"] == 1
    wrong = figures(row, "int a = 3;\n")
    assert (wrong["same_tree"], wrong["parses"], figures(row, "int a = ;;(\n")["parses"]) == (0, 1, 0)


def test_the_gate_takes_the_window_in_its_frame() -> None:
    """`return` at the wrong depth passes tree-sitter; only a window that compiles shows it."""
    row = RENAME | {"before": "    def f():\n", "region": "        a()\n        return 1\n", "new_region": "        return 1\n"}
    window = Window(Example(**row))
    assert window.unchecked("        return 1\n").accepted and window.unchecked("        a()\n").accepted
    assert window.unchecked("        a()\n       return 1\n").refusal == "does not parse"
    assert window.unchecked(row["region"]).refusal == "unchanged"


@pytest.mark.parametrize("hits, count, low, high", [
    (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662),
])  # fmt: skip
def test_intervals_are_wilsons(hits: int, count: int, low: float, high: float) -> None:
    """The last one is of Newcombe 1998, table I."""
    assert report.Share(hits, count).interval() == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_a_share_of_nothing_is_empty() -> None:
    empty = report.Share.of([None, None])
    assert (empty.value, empty.interval(), report.percent(empty)) == (None, (0.0, 1.0), "")
    assert report.percent(report.Share.of([1, 0, None]), interval=True) == "50.0% (9-91)"


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_command(other_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture, processes: str) -> None:
    """A model of random weights is always wrong; what the baselines do is known."""
    tested = RENAME | {"kind": "release", "test": "assert (z, y) == (1, 1)"}
    path = write_lines(tmp_path / "e.jsonl", RENAME, NOTHING, tested)
    near = write_lines(tmp_path / "near.jsonl", RENAME | {"region": "w = 3\n", "new_region": "v = 3\n", "instruction": "rename w to v"})
    more = ["--model", str(other_pack), "--neighbours", str(near), "--answers", str(tmp_path / "answers"), "--processes", processes]
    assert command.main(["edits", str(path), *more, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["version"], found["command"], found["edits"]["count"]) == (3, "edits", 3) and found["model"]["parameters"] > 0
    whole = found["groups"]["all"]["all"]
    assert list(whole) == ["model", "copy", "codemod", "nearest"]
    assert [whole[system]["same_tree"]["hits"] for system in whole] == [0, 1, 3, 3]
    assert [whole[system]["tests"]["hits"] for system in whole] == [0, 0, 1, 1] and whole["copy"]["tests"]["count"] == 1
    assert whole["copy"]["accepted"]["hits"] == 0 and whole["codemod"]["accepted_same_tree"] == whole["codemod"]["accepted_parses"]
    assert set(found["groups"]["kind"]) == {"rename", "nothing", "release"} and set(found["groups"]["template"]) == {"seen", "unseen"}
    answers = [json.loads(line) for line in (tmp_path / "answers").read_text().splitlines()]
    assert [row["answers"]["codemod"]["figures"]["exact"] for row in answers] == [1, 1, 1] and answers[0]["instruction"] == "rename x to z"
    assert [row["level"] for row in found["confidence"]] == [0.1, 0.2, 0.3, 0.5, 0.8] and found["settings"]["min_confidence"] == 0.1
    assert command.main(["edits", str(path), "--kind", "release"]) == 0
    table = capsys.readouterr().out
    assert "baselines alone" in table and "| codemod | 100.0% (21-100) |" in table and "tests confined by" in table


def test_candidates_give_the_gate_a_choice(other_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_lines(tmp_path / "e.jsonl", RENAME)
    accepted = []
    for count in ("1", "6"):
        arguments = ["edits", str(path), "--model", str(other_pack), "--processes", "1", "--candidates", count, "--json"]
        assert command.main(arguments) == 0
        accepted.append(json.loads(capsys.readouterr().out)["groups"]["all"]["all"]["model"]["exact"])
    assert accepted[0] == accepted[1]  # the first candidate is greedy either way


BAD = {
    "not JSON": (b'{"a": 1}\n{"path": \n', ":1: no \"path\""),
    "not JSON later": (json.dumps(RENAME).encode() + b"\n\n{oops\n", ":3: not JSON: Expecting property name"),
    "not UTF-8": (b'{"a": "\xff"}\n', ":1: not UTF-8 at byte 8"),
    "not an object": (b"[1]\n", ":1: a JSON list where an object should be"),
    "field missing": (json.dumps(RENAME | {"kind": None}).encode(), ':1: no "kind"'),
    "field of a wrong type": (json.dumps(RENAME | {"after": 3}).encode(), ':1: "after" is a JSON int where text should be'),
    "half a pair": (b'{"path": "\\ud800"}', ':1: "path" holds half a surrogate pair'),
    "empty kind": (json.dumps(RENAME | {"kind": ""}).encode(), ':1: "kind" is empty'),
    "empty": (b"", "holds no edits"),
    "blank": (b"\n \n", "holds no edits"),
    "damaged gzip": (b"\x1f\x8b\x08\x00garbage", "damaged gzip file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_lines_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(BAD[name][0])
    assert command.main(["edits", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert told.err.startswith(f"error: {path}:") and BAD[name][1] in told.err


@pytest.mark.parametrize("more, said", [
    (["--kind", "renamed"], "no edits of kind 'renamed'; it has nothing, rename"),
    (["--model", "none.cwm"], "none.cwm: "),
    (["--model", "damaged.cwm"], "damaged.cwm: "),
    (["--neighbours", "none.jsonl"], "none.jsonl: No such file"),
    (["--neighbours", "."], "read with --tokenizer"),
    (["--neighbours", ".", "--tokenizer", "none"], "not a shard"),
])  # fmt: skip
def test_what_cannot_be_measured_is_one_line(tmp_path, monkeypatch, capsys, other_pack, more: list[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_lines(tmp_path / "e.jsonl", RENAME, NOTHING)
    whole = other_pack.read_bytes()
    (tmp_path / "damaged.cwm").write_bytes(whole[: len(whole) // 2])
    assert command.main(["edits", str(path), *more]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and told.err.count("\n") == 1 and said in told.err


def test_a_missing_file_and_a_missing_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert command.main(["edits", str(tmp_path / "none")]) == 2 and "none: No such file" in capsys.readouterr().err
    assert command.main([]) == 2
    listed = capsys.readouterr().out
    assert all(name in listed for name in command.COMMANDS)
    with pytest.raises(SystemExit) as stopped:
        command.main(["edits", "x", "--limit", "0"])
    assert stopped.value.code == 2


def test_kinds_and_limits(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "e.jsonl", RENAME, NOTHING, RENAME, NOTHING)
    assert [row.kind for row in read_examples(path, 1)] == ["rename", "nothing"]
    assert [row.kind for row in read_examples(path, None, ["nothing"])] == ["nothing", "nothing"]
    many = write_lines(tmp_path / "many.jsonl", *(RENAME | {"package": str(number)} for number in range(10)))
    assert [row.package for row in read_examples(many, 3)] == ["0", "3", "6"] and len(read_examples(many, 99)) == 10
    with pytest.raises(EvaluationError):
        read_examples(tmp_path)


def test_every_command_has_a_module_with_its_two_functions() -> None:
    import argparse
    import importlib

    for name, (module, about) in command.COMMANDS.items():
        loaded = importlib.import_module(f"training.evaluate.{module}")
        getattr(loaded, name + "_arguments")(argparse.ArgumentParser())
        assert callable(getattr(loaded, name + "_command")) and about
    assert sys.modules["training.evaluate.edits"]
