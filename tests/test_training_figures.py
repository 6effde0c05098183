"""What is drawn and counted from runs: plots, the ablation's table (docs/training.md)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from PIL import Image  # noqa: E402

from tests.training_runs import arguments_of, make_folder  # noqa: E402
from training import ablate, plot  # noqa: E402


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with the runs of an ablation: two weights, two seeds."""
    path = tmp_path_factory.mktemp("runs")
    data, heldout = make_folder(path / "data", 1), make_folder(path / "heldout", 2, 30, 0)
    passed = [*arguments_of(path / "unused", data), "--heldout", str(heldout), "--steps", "4", "--heldout-steps", "2"]
    out = passed.index("--out")
    del passed[out : out + 2]
    assert ablate.main(["--out", str(path), "--weights", "0", "0.3", "--seeds", "0", "1", "--", *passed]) == 0
    return path


def test_an_ablation_runs_on_equal_tokens(runs):
    found = json.loads((runs / "ablation.json").read_text())
    assert list(found) == ["0", "0.3"] and [len(of_weight) for of_weight in found.values()] == [2, 2]
    assert found["0"][0]["tokens"] == found["0.3"][0]["tokens"] != 0
    assert found["0"][0]["loss"] != found["0.3"][0]["loss"] and found["0"][0]["loss"] != found["0"][1]["loss"]
    assert "effective_rank" in found["0.3"][0] and "effective_rank" not in found["0"][0], "weight 0 computes no JEPA"
    lines = ablate.table(found).splitlines()
    assert len(lines) == 4 and lines[2].startswith("| 0 | 2 |") and " | - | - | - | - |" in lines[2]


def test_an_ablation_without_its_runs_options_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        ablate.main(["--out", str(tmp_path)])
    assert stopped.value.code == 2 and "--steps and --heldout" in capsys.readouterr().err


def test_runs_are_drawn(runs, tmp_path, capsys):
    out = tmp_path / "runs.png"
    both = [str(runs / f"jepa-{weight}-seed-0") for weight in ("0", "0.3")]
    assert plot.main([*both, "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.size == (1500, 1200) and len(picture.convert("RGB").getcolors(1 << 20)) > 50
    lines = plot.read(runs / "jepa-0.3-seed-0")
    tokens, losses = plot.series(lines, "heldout", "")
    assert tokens == [line["tokens"] / 1e6 for line in lines if "heldout" in line] and len(losses) == 2
    assert plot.main([str(tmp_path), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_cut_last_line_is_not_drawn_and_a_damaged_one_is_named(runs, tmp_path):
    text = (runs / "jepa-0-seed-0" / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 5, "tok')
    assert plot.read(tmp_path) == plot.read(runs / "jepa-0-seed-0")
    (tmp_path / "metrics.jsonl").write_text("{}x\n" + text)
    with pytest.raises(plot.MetricsError, match="metrics.jsonl:1: not a line"):
        plot.read(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(plot.MetricsError, match="no whole line"):
        plot.read(tmp_path)
