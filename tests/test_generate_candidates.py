"""Which of several candidates leaves cw-generate, what is said of the others, and what decides how they are drawn."""

from __future__ import annotations

import pytest

from cromwell.contract import artifact, cli
from cromwell.contract.errors import CommandError
from cromwell.contract.prompt import SPECIAL_TOKENS
from cromwell.generate import decode
from cromwell.generate.cw_generate import app as generate
from cromwell.generate.decode import Draft, Sampling, answer_room
from cromwell.prepare.cw_context import app as context

SOURCE = b"import os\r\n\r\n\r\ndef add(a, b):\r\n    return a + b\r\n"
REGION = "def add(a, b):\n    return a + b\n"


@pytest.fixture
def answered(tmp_path, monkeypatch, model_pack, capfd):
    """Runs cw-generate on `add` of a CRLF file with the given drafts in place of the model's; gives exit code, edit and stderr."""
    monkeypatch.setenv("CROMWELL_MODEL", str(model_pack))
    monkeypatch.setenv("CROMWELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_bytes(SOURCE)
    assert cli.run(context, ["app.py::add", "-m", "rename a to left", "-o", "a.cwa"]) == 0

    def run(*drafts: tuple[str, float, str], arguments: tuple[str, ...] = ()):
        made = [Draft(text.encode(), list(range(100, 110)), stop, score) for text, score, stop in drafts]
        monkeypatch.setattr(decode, "drafts", lambda *_: iter(made))
        capfd.readouterr()
        code = cli.run(generate, ["a.cwa", "--no-cache", "-n", str(len(made)), "-o", "out.cwa", *arguments])
        edit = None
        if (tmp_path / "out.cwa").exists():
            with open("out.cwa", "rb") as stream:
                edit = artifact.read(stream, "out.cwa", {"edit"})
        return code, edit, capfd.readouterr().err

    return run


def renamed(name: str) -> str:
    return f"def add({name}, b):\n    return {name} + b\n"


def test_the_likeliest_accepted_candidate_is_best(answered):
    code, edit, _ = answered((renamed("x"), -0.15, "token"), (renamed("left"), -0.1, "token"), ("def add(\n", -0.01, "token"),
                             (renamed("y"), -0.05, "length"))
    assert code == 0 and edit.meta["best"] == 1
    assert [candidate["reason"] for candidate in edit.meta["candidates"]] == [None, None, "does not parse", "cut off after 10 tokens"]
    assert [candidate["accepted"] for candidate in edit.meta["candidates"]] == [True, True, False, False]
    assert edit.arrays["candidate.1"].data == renamed("left").replace("\n", "\r\n").encode()
    assert edit.arrays["target"].data == SOURCE
    assert [entry["tool"] for entry in edit.lineage] == ["cw-context", "cw-generate"]


def test_of_equals_the_first_is_best_and_repeats_are_marked(answered):
    code, edit, _ = answered((renamed("x"), -0.1, "token"), (renamed("y"), -0.1, "token"), (renamed("x"), -0.1, "token"))
    assert code == 0 and edit.meta["best"] == 0
    assert edit.meta["candidates"][2]["reason"] == "same as candidate 0"


def test_an_unchanged_candidate_is_kept_but_never_best(answered):
    code, edit, _ = answered((REGION, -0.001, "token"), (renamed("x"), -0.2, "token"))
    assert code == 0 and edit.meta["best"] == 1 and edit.meta["candidates"][0]["reason"] == "unchanged"
    assert edit.arrays["candidate.0"].data == REGION.replace("\n", "\r\n").encode()


def test_an_answer_that_the_model_doubts_is_refused(answered):
    """Eleven tokens, the one that ends it included, at a mean of -0.25: a confidence of 0.064."""
    code, edit, words = answered((renamed("left"), -0.25, "token"))
    assert (code, edit) == (4, None)
    assert "(unsure, a confidence of 0.064 where 0.1 is asked for)" in words and "--min-confidence 0" in words
    code, edit, _ = answered((renamed("left"), -0.25, "token"), arguments=("--min-confidence", "0.06"))
    assert code == 0 and edit.arrays["candidate.0"].data == renamed("left").replace("\n", "\r\n").encode()
    code, edit, _ = answered((renamed("x"), -0.25, "token"), (renamed("left"), -0.01, "token"), arguments=("--min-confidence", "0.8"))
    assert code == 0 and edit.meta["best"] == 1 and edit.meta["candidates"][0]["accepted"] is False


def test_nothing_but_refused_candidates_ends_with_4(answered):
    code, edit, words = answered((REGION, -0.1, "token"))
    assert (code, edit) == (4, None)
    assert words.startswith("error: app.py:4-5: no acceptable edit found (unchanged)\n\nhint: ")
    code, edit, words = answered((REGION, -0.1, "token"), ("", -0.1, "token"), arguments=("-v",))
    assert (code, edit) == (4, None)
    assert "candidate 0: unchanged\ncandidate 1: empty\n" in words and "(unchanged, empty)" in words


def test_a_last_line_without_its_newline_gets_one(answered):
    _, edit, _ = answered((renamed("left").rstrip("\n"), -0.1, "string"))
    assert edit.arrays["candidate.0"].data.endswith(b"left + b\r\n")


def test_temperatures_and_seeds():
    assert [Sampling().temperature_of(0), Sampling(temperature=0.5).temperature_of(0)] == [0.0, 0.5]
    several = Sampling(candidates=3)
    assert [several.temperature_of(number) for number in range(3)] == [0.0, decode.DRAWN_TEMPERATURE, decode.DRAWN_TEMPERATURE]
    assert [Sampling(candidates=2, temperature=0.5).temperature_of(number) for number in range(2)] == [0.0, 0.5]
    seeds = {Sampling(seed=seed).seed_of(number) for seed in range(50) for number in range(50)}
    assert len(seeds) == 2500 and max(seeds) < 1 << 64
    assert Sampling(seed=7).seed_of(1) == 14818979533484651488


def test_an_answer_in_circles_is_ended_early():
    guard = decode._LoopGuard([1, 2, 3])
    assert [guard.token(token) for token in [7, 8, 9] * 100].index(True) == decode.GUARD_TOKENS - 1
    guard = decode._LoopGuard([1, 2, 3])
    assert not any(guard.token(token) for token in range(100, 1000))


def test_the_room_for_an_answer():
    open_, close = SPECIAL_TOKENS.index("<EDIT>"), SPECIAL_TOKENS.index("</EDIT>")
    tokens = [50, open_, *[60] * 100, close, 51]
    assert answer_room(tokens, 0, 4096, None, "a") == 2 * 100 + 64
    assert answer_room(tokens, 1, 4096, None, "a") == 2 * 100 + 64 + 512
    assert answer_room(tokens, 0, 150, None, "a") == 150 - len(tokens)
    assert answer_room(tokens, 0, 4096, 7, "a") == 7
    for positions, asked in ((len(tokens), None), (150, 47)):
        with pytest.raises(CommandError):
            answer_room(tokens, 0, positions, asked, "a")
