"""The held-out check: what it finds without parsing is what the syntax trees say, for copies whole, in part, and re-indented."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from training.data import fetch, pipeline_leaks, source
from training.data.dedup_tokens import scan

LIBRARY = Path(ast.__file__).parent
HELD = ("fractions.py", "calendar.py", "textwrap.py", "shlex.py")


@pytest.fixture(scope="module")
def held() -> pipeline_leaks.HeldOut:
    return pipeline_leaks.gather(pair for name in HELD for pair in pipeline_leaks.bodies_of(LIBRARY, ".", name))


def by_tree(data: bytes, held: pipeline_leaks.HeldOut) -> tuple[list[tuple[int, int]], bool]:
    """What parsing every file would say."""
    return source.copies(source.parsed(data, "p", "a.py"), held.bodies)


def test_it_agrees_with_the_syntax_trees(held):
    """On every module of the standard library, of which a few are copies."""
    checked = hits = 0
    for path in sorted(LIBRARY.glob("*.py"))[::8] + [LIBRARY / name for name in HELD]:
        data = path.read_bytes()
        if source.parsed(data, "p", "a.py") is None:
            continue
        expected, whole = by_tree(data, held)
        lines, copied = pipeline_leaks.find(data, "p", "a.py", scan(data), held)
        assert copied == whole and len(lines) == len(expected), path
        checked += 1
        hits += bool(expected)
    assert checked > 20 and hits >= len(HELD)


def test_a_few_files_are_parsed(held, monkeypatch):
    parsed = []
    monkeypatch.setattr(source, "parsed", lambda data, package, path: parsed.append(path))
    names = [path for path in sorted(LIBRARY.glob("*.py"))[:30] if path.name not in HELD]
    for path in names:
        data = path.read_bytes()
        pipeline_leaks.find(data, "p", path.name, scan(data), held)
    assert len(parsed) <= len(names) * 0.1


def test_a_copied_method_is_found_wherever_it_stands(held):
    lines = (LIBRARY / "shlex.py").read_bytes().splitlines(keepends=True)
    tree = ast.parse(b"".join(lines))
    method = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "push_source")
    copied = b"".join(lines[method.lineno - 1 : method.end_lineno])
    ours = (LIBRARY / "bdb.py").read_bytes() + b"\n\nclass Other:\n" + copied.replace(b"push_source", b"renamed")
    found, whole = pipeline_leaks.find(ours, "p", "a.py", scan(ours), held)
    first = ours.count(b"\n") - copied.count(b"\n") + 1
    assert not whole and found == [(first - pipeline_leaks.NEAR_LINES, ours.count(b"\n") + pipeline_leaks.NEAR_LINES)]
    deeper = ours.replace(b"\n    ", b"\n        ").replace(b"\r\n", b"\n")  # the same code, indented by another width
    assert by_tree(deeper, held)[0] and pipeline_leaks.find(deeper, "p", "a.py", scan(deeper), held)[0]
    assert pipeline_leaks.find(LIBRARY.joinpath("fractions.py").read_bytes(), "p", "a.py", scan(b""), held) == ([], False)
    text = LIBRARY.joinpath("fractions.py").read_bytes()
    assert pipeline_leaks.find(text, "p", "a.py", scan(text), held)[1]


def test_what_is_known_is_kept_and_damage_is_named(held, tmp_path):
    path = tmp_path / "heldout.npz"
    pipeline_leaks.save(path, held)
    again = pipeline_leaks.load(path)
    assert again.bodies == held.bodies and np.array_equal(again.prints, held.prints) and len(held.prints) > 20
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(fetch.DataError, match="remove it and run"):
        pipeline_leaks.load(path)
    assert list(tmp_path.glob("*.tmp")) == []
