"""Scores of held-out pictures (training/evaluate/pictures.py)."""

from __future__ import annotations

import base64
import io
import json
import stat
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("matplotlib")
pytest.importorskip("tokenizers")

from PIL import Image, ImageDraw  # noqa: E402

from training.data import charts  # noqa: E402
from training.evaluate import __main__ as command  # noqa: E402
from training.evaluate import pictures  # noqa: E402

CHART = charts.write(charts.Chart("bar", (charts.Series(("a", "b"), (1, 2)),), "Two"))


def picture(kind: str, gold: str, seen: bool, **more: object) -> dict:
    drawn = Image.new("RGB", (120, 40), "white")
    ImageDraw.Draw(drawn).text((4, 4), gold[:12], fill="black")
    png = io.BytesIO()
    drawn.save(png, "PNG")
    row = {"kind": kind, "path": "a.py", "instruction": "write the code of this screenshot", "gold": gold, "font_seen": seen}
    return row | {"template": "seen", "font": "f", "png": base64.b64encode(png.getvalue()).decode()} | more


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_scores_by_kind() -> None:
    code = pictures.score("code", "abcd\n", "abXd")
    assert (code["errors"], code["characters"], code["exact"]) == (2.0, 5.0, 0.0)
    table = pictures.score("table", "| a | b |\n|---|---|\n| 1 | 2 |\n", "| a | b |\n|---|---|\n| 1 | 3 |\n")
    assert table["cells"] == 0.75 and table["errors"] == 1
    assert pictures.score("chart", CHART, CHART) == dict.fromkeys(pictures.CHART_PARTS, 1.0) | {"error": 0.0}
    assert pictures.score("chart", CHART, "")["parses"] == 0 and pictures.score("mockup", "<p>a</p>", "<p>a</p>")["tree"] == 1


def test_rates_weigh_characters_and_their_interval_holds_them() -> None:
    rows = [{"errors": 1.0, "characters": 10.0}, {"errors": 0.0, "characters": 90.0}] * 20
    found = pictures.rate(rows)
    assert found["value"] == pytest.approx(0.01) and found["low"] < 0.01 < found["high"] < 0.03
    assert pictures.rate(rows) == found and pictures.rate(rows[:1]) == {"value": 0.1, "low": 0.1, "high": 0.1}


def test_the_command_with_a_model_and_a_reader(other_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A program in Tesseract's place that reads "a = 1" off everything."""
    program = tmp_path / "tesseract"
    program.write_text("#!/bin/sh\nif [ \"$1\" = --version ]; then echo reader 1.0; else cat > /dev/null; echo 'a = 1'; fi\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    rows = [picture("code", "a = 1\n", True), picture("code", "b = 12\n", False), picture("chart", CHART, True)]
    path = write(tmp_path / "p.jsonl", *rows, picture("table", "| a |\n|---|\n| 1 |\n", True))
    arguments = ["pictures", str(path), "--model", str(other_pack), "--processes", "1", "--tesseract", str(program)]
    assert command.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tesseract"] == "reader 1.0" and set(found["kinds"]) == {"code", "chart", "table"}
    code = found["kinds"]["code"]
    assert code["fonts seen"]["tesseract"]["character_error_rate"]["value"] == 0
    assert code["fonts unseen"]["tesseract"]["character_error_rate"]["value"] == pytest.approx(2 / 7)
    assert code["fonts seen"]["empty"]["character_error_rate"]["value"] == 1 and code["fonts seen"]["model"]["exact"]["value"] == 0
    assert set(found["kinds"]["chart"]["fonts seen"]) == {"model", "empty"}
    assert command.main(["pictures", str(path), "--tesseract", str(tmp_path / "none"), "--kind", "code"]) == 0
    table = capsys.readouterr().out
    assert "tesseract is not installed and left out" in table and "| fonts seen | 1 | empty | 100.0% (100.0-100.0) | 0.0% |" in table


BAD = {
    "unknown kind": (picture("photo", "a", True), "unknown kind 'photo'"),
    "no picture": (picture("code", "a", True, png="////"), '"png" or "gold" is damaged'),
    "no base64": (picture("code", "a", True, png="%"), '"png" or "gold" is damaged'),
    "no chart": (picture("chart", "x = 1", True), '"png" or "gold" is damaged'),
    "no font": (picture("code", "a", True, font_seen=None), 'no "font_seen"'),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    path = write(tmp_path / "p.jsonl", picture("code", "a", True), BAD[name][0])
    assert command.main(["pictures", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"error: {path}:2: ") and told.err.count("\n") == 1 and BAD[name][1] in told.err


def test_nothing_left_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write(tmp_path / "p.jsonl", picture("code", "a", True))
    assert command.main(["pictures", str(path), "--kind", "chart"]) == 2
    assert "no pictures of kind chart; it has code" in capsys.readouterr().err
    assert command.main(["pictures", str(write(tmp_path / "empty.jsonl"))]) == 2 and "holds no pictures" in capsys.readouterr().err
