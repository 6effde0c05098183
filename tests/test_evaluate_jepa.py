"""JEPA figures on held-out text, and the model card (training/evaluate/jepa.py, card.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from tests.training_runs import VALUES  # noqa: E402
from training import config as configs  # noqa: E402
from training import tokenizer  # noqa: E402
from training.checkpoint import save_file  # noqa: E402
from training.evaluate import __main__ as command  # noqa: E402
from training.evaluate import jepa  # noqa: E402
from training.losses import collapse_figures  # noqa: E402
from training.model.model import Model  # noqa: E402

BYTES = VALUES | {"vocab_size": 300}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of random weights whose average is another, a tokenizer of bytes, and some text."""
    torch.manual_seed(0)
    (tmp_path / "checkpoint").mkdir()
    for name in ("model", "average"):
        save_file(Model(configs.from_dict(BYTES)).state_dict(), tmp_path / "checkpoint" / f"{name}.safetensors")
    (tmp_path / "checkpoint" / "config.json").write_text(json.dumps(BYTES))
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer.to_section(tokenizer.Vocabulary(jepa.prompt.SPECIAL_TOKENS, ())))
    (tmp_path / "code.py").write_text("def add(left, right):\n    return left + right\n" * 30)
    return tmp_path


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_figures_some_steps_ahead_are_those_of_a_plain_loop(steps: int) -> None:
    torch.manual_seed(steps)
    guess, target, lengths = torch.randn(3, 17, 6), torch.randn(3, 17, 6), torch.tensor([17, 9, 3])
    found = jepa.step_figures(guess, target, lengths, steps)
    normed = torch.nn.functional.layer_norm(target, (6,))
    pairs = [(row, t) for row, length in enumerate(lengths.tolist()) for t in range(length - steps)]
    ahead = torch.stack([normed[row, t + steps] for row, t in pairs])
    now, said = torch.stack([normed[row, t] for row, t in pairs]), torch.stack([guess[row, t] for row, t in pairs])
    error = (ahead - said).square().sum()
    assert found["r2_copy"] == pytest.approx(float(1 - error / (ahead - now).square().sum()), rel=1e-5)
    assert found["r2_mean"] == pytest.approx(float(1 - error / (ahead - ahead.mean(0)).square().sum()), rel=1e-5)
    if steps == 1:
        assert found == pytest.approx(collapse_figures(guess, target, lengths))


def test_the_command(folder: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["jepa", str(folder / "code.py"), "--checkpoint", str(folder / "checkpoint"), "--tokenizer", str(folder / "tokenizer.bin")]
    assert command.main([*arguments, "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["targets"] == "average" and set(found["steps"]) == {"1", "2", "3"} and found["tokens"] > 100
    assert found["steps"]["1"]["effective_rank"] > 1 and found["steps"]["1"]["r2_mean"] < 0.5
    (folder / "alone.json").write_text(json.dumps(BYTES))
    (folder / "alone.safetensors").write_bytes((folder / "checkpoint" / "model.safetensors").read_bytes())
    assert command.main([*arguments[:3], str(folder / "alone.safetensors"), *arguments[4:], "--threads", "1"]) == 0
    assert "targets of the same weights" in capsys.readouterr().out


@pytest.mark.parametrize("damage, said", [
    ("model.safetensors missing", "no such file"), ("config.json missing", "no such file"), ("model.safetensors cut", "no checkpoint"),
    ("config.json of another", "no checkpoint"), ("tokenizer", "no tokenizer"), ("text", "too little text"),
])  # fmt: skip
def test_what_cannot_be_measured_is_one_line(folder: Path, capsys: pytest.CaptureFixture, damage: str, said: str) -> None:
    checkpoint = folder / "checkpoint"
    match damage.split():
        case [name, "missing"]:
            (checkpoint / name).unlink()
        case [name, "cut"]:
            (checkpoint / name).write_bytes((checkpoint / name).read_bytes()[:200])
        case ["config.json", *_]:
            (checkpoint / "config.json").write_text(json.dumps(BYTES | {"vocab_size": 400}))
        case ["tokenizer"]:
            (folder / "tokenizer.bin").write_bytes(b"hello")
        case _:
            (folder / "code.py").write_text("")
    arguments = ["--checkpoint", str(checkpoint), "--tokenizer", str(folder / "tokenizer.bin"), "--threads", "1"]
    assert command.main(["jepa", str(folder / "code.py"), *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and told.err.count("\n") == 1 and said in told.err


def results(folder: Path, other_pack: Path, capsys: pytest.CaptureFixture) -> list[Path]:
    """Results of three commands."""
    edit = {"path": "a.py", "before": "", "region": "x = 1\n", "after": "", "instruction": "set x to 2", "new_region": "x = 2\n"}
    (folder / "e.jsonl").write_text(json.dumps(edit | {"kind": "change_constant"}) + "\n")
    made = []
    for name, arguments in {
        "edits": [str(folder / "e.jsonl"), "--model", str(other_pack), "--processes", "1"],
        "perplexity": [str(folder / "code.py"), "--model", str(other_pack), "--processes", "1"],
        "jepa": [str(folder / "code.py"), "--checkpoint", str(folder / "checkpoint"), "--tokenizer", str(folder / "tokenizer.bin")],
    }.items():
        assert command.main([name, *arguments, "--json"]) == 0
        made.append(folder / f"{name}.json")
        made[-1].write_text(capsys.readouterr().out)
    return made


def test_a_card_has_the_tables_of_the_results(folder: Path, other_pack: Path, capsys: pytest.CaptureFixture) -> None:
    paths = results(folder, other_pack, capsys)
    assert command.main(["card", *map(str, paths[::-1])]) == 0
    text = capsys.readouterr().out
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == ["## Figures", "### Held-out edits", "### Held-out files", "### JEPA predictions"]
    assert "| codemod | 100.0% (21-100) |" in text and "| files |" in text and "| tokens ahead |" in text
    assert command.main(["card", str(paths[0]), "--out", str(folder / "card.md")]) == 0
    assert (folder / "card.md").read_text().startswith("## Figures") and [p.name for p in folder.glob(".*")] == []


@pytest.mark.parametrize("change, said", [
    ({"version": 99}, "version 99 of edits"), ({"command": "other"}, "no result of"), ({"groups": {}}, "lacks fields"),
    ({"model": {"fingerprint": "0", "parameters": 1, "bytes": 1}}, "several models"),
])  # fmt: skip
def test_results_that_make_no_card_are_one_line(folder: Path, other_pack: Path, capsys, change: dict, said: str) -> None:
    paths = results(folder, other_pack, capsys)
    paths[0].write_text(json.dumps(json.loads(paths[0].read_text()) | change))
    assert command.main(["card", *map(str, paths), "--out", str(folder / "card.md")]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and told.err.count("\n") == 1 and said in told.err and not (folder / "card.md").exists()


def test_a_card_of_what_is_no_json(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "x").write_text("{")
    for name, said in (("x", "not JSON"), ("none", "No such file")):
        assert command.main(["card", str(tmp_path / name)]) == 2 and said in capsys.readouterr().err
