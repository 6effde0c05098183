"""The report of what quantisation costs (training/formats.py)."""

from __future__ import annotations

import json
import sys

import pytest

np = pytest.importorskip("numpy")
formats = pytest.importorskip("training.formats")

from cromwell import binding  # noqa: E402


def edit(bits: float, answer: str, exact: bool) -> formats.Edit:
    return formats.Edit(formats.Spelled(bits, 10, 4), answer, exact)


def test_a_row_compares_with_the_first_model() -> None:
    first = formats.Figures("a.cwm", 400, formats.Spelled(300.0, 100, 40), [edit(10, "x", True), edit(10, "y", False)])
    other = formats.Figures("b.cwm", 100, formats.Spelled(330.0, 100, 40), [edit(12, "x", True), edit(11, "z", False)])
    row = formats.summary(other, first)
    assert row["text_bits_per_byte"] == 3.3 and row["text_against_first"] == pytest.approx(0.1) and row["text_tokens"] == 40
    assert row["edits_bits_per_byte"] == 1.15 and row["edits_against_first"] == pytest.approx(0.15)
    assert (row["edits"], row["exact"], row["changed"], row["bytes"]) == (2, 0.5, 1, 100)
    lines = formats.table([formats.summary(first, first), row]).split("\n")
    assert lines[-1] == "| b.cwm | 100 | 3.3000 (+10.00%) | 1.1500 (+15.00%) | 50.0% of 2 | 1 |"
    text_only = formats.Figures("c.cwm", 1, formats.Spelled(300.0, 100, 40), [])
    assert formats.table([formats.summary(text_only, text_only)]).endswith("| c.cwm | 1 | 3.0000 (+0.00%) |  |  |  |")


def test_the_command(other_pack, tmp_path, monkeypatch, capsys) -> None:
    """The same pack twice: equal rows; all of the text is scored, or about as much as is asked for."""
    source = tmp_path / "code.py"
    source.write_bytes(b"def add(left, right):\n    return left + right\n" * 300)
    example = {"path": "code.py", "before": "", "region": "a = 1\n", "after": "", "instruction": "change 1 to 2", "new_region": "a = 2\n",
               "kind": "change_constant"}
    (tmp_path / "edits.jsonl").write_text(json.dumps(example) + "\n")
    model = str(other_pack)
    arguments = ["formats", str(tmp_path / "edits.jsonl"), "--text", str(source), "--model", model, "--model", model, "--json"]
    rows = []
    for more in ([], ["--text-tokens", "900"]):
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        assert formats.main() == 0
        rows.append(json.loads(capsys.readouterr().out)["formats"])
    assert rows[0][0] == rows[0][1] and rows[0][0]["text_against_first"] == 0 == rows[0][0]["changed"] and rows[0][0]["edits"] == 1
    with binding.Model(other_pack) as opened:
        tokens = len(opened.tokenizer.encode(source.read_bytes()))
    assert rows[0][0]["text_tokens"] == tokens - -(-tokens // formats.WINDOW_TOKENS)
    assert 400 < rows[1][0]["text_tokens"] < 1100


def test_what_cannot_be_measured(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["formats", "--model", str(tmp_path / "none.cwm")])
    assert formats.main() == 2 and "nothing to measure" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["formats", "--text", __file__, "--model", str(tmp_path / "none.cwm")])
    assert formats.main() == 2 and "none.cwm" in capsys.readouterr().err
