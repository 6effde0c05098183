"""Problems in the formats of HumanEval and MBPP, of our own making (training/evaluate/problems.py)."""

from __future__ import annotations

import gzip
import itertools
import json
import sys
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the sandbox is Linux's", allow_module_level=True)
pytest.importorskip("numpy")
pytest.importorskip("tokenizers")
problems = pytest.importorskip("training.evaluate.problems")

from cromwell import binding  # noqa: E402
from training.evaluate import __main__ as command  # noqa: E402
from training.evaluate import sandbox  # noqa: E402
from training.evaluate.lines import EvaluationError  # noqa: E402

DOUBLE = {
    "task_id": "Own/0", "entry_point": "doubled",
    "prompt": "from typing import List\n\n\ndef doubled(numbers: List[int]) -> List[int]:\n    \"\"\"Every number twice as large.\"\"\"\n",
    "canonical_solution": "    return [2 * number for number in numbers]\n",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n    assert candidate([]) == []\n",
}  # fmt: skip
NOTHING = DOUBLE | {
    "task_id": "Own/1", "entry_point": "ignore", "prompt": "def ignore(text):\n    '''Do nothing.'''\n",
    "canonical_solution": "    return\n",
    "test": "def check(candidate):\n    assert candidate('a') is None\n",
}  # fmt: skip
WRONG = DOUBLE | {"task_id": "Own/2", "canonical_solution": "    return numbers\n"}
AREA = {
    "task_id": 7, "text": "Write a function to find the area of a rectangle.", "code": "def area(x, y):\n    return x * y\n",
    "test_list": ["assert area(2, 3) == 6", "assert set([area(1, 1)]) == {1}"], "test_setup_code": "",
}  # fmt: skip
LOGARITHM = {
    "task_id": 8, "prompt": "Natural logarithm.", "code": "import math\ndef ln(x):\n    return math.log(x)\n",
    "test_imports": ["import math"], "test_list": ["assert math.isclose(ln(math.e), 1)"],
}  # fmt: skip


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_both_formats_are_read_gzipped_or_not(tmp_path: Path) -> None:
    plain = write(tmp_path / "p.jsonl", DOUBLE, AREA, LOGARITHM)
    (tmp_path / "p.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    double, area, logarithm = problems.read_problems(plain)
    assert problems.read_problems(tmp_path / "p.jsonl.gz") == [double, area, logarithm]
    assert double.head == "from typing import List\n\n\n" and double.stub.startswith("def doubled(") and double.name == "Own/0"
    assert (area.entry_point, area.name) == ("area", "MBPP/7") and area.stub.startswith("def area(a, b):\n") and "area(2, 3)" in area.stub
    assert logarithm.entry_point == "ln" and logarithm.test.startswith("import math\n")
    for problem in (double, area, logarithm):
        assert sandbox.run(problem.reference + "\n" + problem.test).passed


@pytest.mark.parametrize("row, said", [
    ({"task_id": "x"}, 'neither "entry_point" (HumanEval) nor "test_list" (MBPP)'),
    ({name: value for name, value in DOUBLE.items() if name != "test"}, 'no "test"'),
    (DOUBLE | {"entry_point": "other"}, "defines no other"),
    (AREA | {"test_list": []}, '"test_list" is no list of texts'),
    (AREA | {"test_list": ["assert True"]}, "calls no function"),
    (AREA | {"code": 3}, '"code" is a JSON int'),
])  # fmt: skip
def test_bad_problems_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture, row: dict, said: str) -> None:
    path = write(tmp_path / "p.jsonl", DOUBLE, row)
    assert command.main(["problems", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"error: {path}:2: ") and told.err.count("\n") == 1 and said in told.err


@pytest.mark.parametrize("count, right", [(1, 0), (1, 1), (5, 0), (5, 2), (5, 5), (8, 3)])
def test_the_estimate_is_the_share_of_subsets_with_a_right_answer(count: int, right: int) -> None:
    answers = [number < right for number in range(count)]
    for k in range(1, count + 1):
        subsets = list(itertools.combinations(answers, k))
        assert problems.pass_at(count, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_the_references_are_run_and_wrong_ones_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The stub without a body solves one problem of the four: the one that asks for nothing."""
    path = write(tmp_path / "p.jsonl", DOUBLE, NOTHING, WRONG, AREA)
    assert command.main(["problems", str(path), "--processes", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["wrong_references"] == ["Own/2"] and found["problems"]["count"] == 4 and "limits" in found["sandbox"]
    assert {who: system["pass_at"]["1"]["hits"] for who, system in found["systems"].items()} == {"reference": 3, "copy": 1}
    assert found["systems"]["reference"]["ends"] == {"failed": 1, "passed": 3}


@pytest.mark.parametrize("form", ["edit", "fill"])
def test_answers_are_whole_programs(other_pack: Path, tmp_path: Path, form: str) -> None:
    """A right continuation, put where the model's would be, passes; so the prompt and the program fit together."""
    [problem] = problems.read_problems(write(tmp_path / "p.jsonl", DOUBLE))
    solver = problems.Solver(str(other_pack), form, problems.Sampling(3, max_tokens=8))
    programs = solver.programs(problem)
    before = problem.head + (problem.stub if form == "fill" else "")
    assert len(programs) == 3 and all(program.startswith(before) for program in programs)
    rest = DOUBLE["canonical_solution"] if form == "fill" else problem.stub + DOUBLE["canonical_solution"]
    assert sandbox.run(before + rest + "\n" + problem.test).passed
    assert programs[0] == solver.programs(problem)[0]
    solver.model.close()


def test_a_model_is_measured(other_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write(tmp_path / "p.jsonl", DOUBLE, AREA)
    arguments = ["problems", str(path), "--model", str(other_pack), "--samples", "3", "--max-tokens", "8", "--processes", "1"]
    assert command.main([*arguments, "--temperature", "0.8"]) == 0
    table = capsys.readouterr().out
    assert "| answers of | pass@1 | pass@3 |" in table and "3 answers each" in table
    assert "| model | 0.0% (0-66) | 0.0% (0-66) |" in table and "| reference | 100.0% (34-100) |  |" in table


@pytest.mark.parametrize("more, said", [
    (["--samples", "2", "--k", "5"], "pass@5 needs --samples 5"),
    (["--top-p", "1.5"], "a share is 1 at most"),
    (["--model", "none.cwm"], "none.cwm"),
    (["--memory", "1"], "cannot run an empty program"),
])  # fmt: skip
def test_what_cannot_be_measured_is_one_line(tmp_path, monkeypatch, capsys, more: list[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "p.jsonl", DOUBLE)
    assert command.main(["problems", str(path), *more]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and told.err.count("\n") == 1 and said in told.err
    with pytest.raises(EvaluationError, match="holds no problems"):
        problems.read_problems(write(tmp_path / "empty.jsonl"))


def test_stop_strings_are_ones_that_the_engine_takes() -> None:
    assert len(problems.STOPS) <= 32 and binding.STOP_REASONS
