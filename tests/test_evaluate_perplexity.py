"""Bits per byte (training/evaluate/perplexity.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("tokenizers")

from cromwell import binding  # noqa: E402
from training.evaluate import __main__ as command  # noqa: E402
from training.evaluate import perplexity  # noqa: E402


def slowly(model: binding.Model, ids: list[int], first: int) -> float:
    """Bits of ids[first:], one token at a time."""
    bits = 0.0
    with binding.Session(model, len(ids)) as session:
        for token, following in zip(ids, ids[1:], strict=False):
            session.feed([token])
            logits = np.array(session.logits(), np.float64)
            if session.length >= first:
                bits -= (logits[following] - np.logaddexp.reduce(logits)) / np.log(2)
    return bits


@pytest.mark.parametrize("count, first", [(2, 1), (64, 1), (65, 1), (66, 65), (150, 3), (150, 129), (200, 64)])
def test_bits_are_those_of_one_token_at_a_time(other_pack, count: int, first: int) -> None:
    random = np.random.default_rng(count)
    with binding.Model(other_pack) as model:
        ids = random.integers(30, model.info.vocab_size, count).tolist()
        with binding.Session(model, count) as session:
            found = perplexity.bits_of(session, ids, first)
        assert found == pytest.approx(slowly(model, ids, first), rel=1e-6)
        assert found > 0


def test_windows_are_whole_lines_of_a_bounded_size() -> None:
    text = b"".join(b"line %d\n" % number for number in range(1000)) + b"x" * 5000 + b"\nlast"
    pieces = list(perplexity.windows(text))
    assert b"".join(pieces) == text.replace(b"x" * 5000 + b"\n", b"") and max(map(len, pieces)) <= perplexity.WINDOW_BYTES
    assert list(perplexity.windows(b"\n \n")) == []


def test_pieces_are_taken_evenly() -> None:
    pieces = [perplexity.Piece("p", "f", b"x" * 10) for _ in range(100)]
    assert len(perplexity.evenly(pieces, 1000)) == 100 and len(perplexity.evenly(pieces, 250)) == 25


def test_the_command_measures_each_heldout_package(other_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Random weights spell worse than the compressor; the two packages add up."""
    manifest = json.loads(perplexity.MANIFEST.read_text())
    held = [row["name"] for row in manifest["packages"] if row["split"] == "heldout"][:2]
    for number, name in enumerate(held):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "a.py").write_text("def add(left, right):\n    return left + right\n\n\n" * (10 + number))
    arguments = ["perplexity", "--src", str(tmp_path / "src"), "--model", str(other_pack), "--processes", "1"]
    assert command.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["packages"]
    assert set(found) == {*held, "all"} and found["all"]["bytes"] == sum(found[name]["bytes"] for name in held)
    assert found[held[0]]["bytes"] == len((tmp_path / "src" / held[0] / "a.py").read_bytes())
    assert found["all"]["bits_per_byte"] > found["all"]["lzma_bits_per_byte"] > 0
    assert command.main(arguments) == 0 and f"| {held[0]} |" in capsys.readouterr().out


@pytest.mark.parametrize("more, said", [
    ([], "name either"), (["--src", "."], "no files of held-out packages"), (["none.py"], "none.py"), (["empty.py"], "hold no text"),
])  # fmt: skip
def test_nothing_to_measure_is_one_line(other_pack, tmp_path, monkeypatch, capsys, more: list[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.py").write_text("\n")
    assert command.main(["perplexity", "--model", str(other_pack), *more]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and told.err.count("\n") == 1 and said in told.err
