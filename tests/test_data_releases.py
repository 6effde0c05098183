"""Edits between releases: rules say what changed, the gold is the later release, copies of held-out code stay out; errors are one line."""

from __future__ import annotations

import ast
import json
import textwrap
import zipfile
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from training import tokenizer
from training.data import __main__ as command
from training.data import fetch, releases, releases_match, releases_wording, shards, source

PADDING = "\n\n" + "\n".join(f"VALUE_{i} = {i}" for i in range(20)) + "\n"  # files below 200 bytes are not used


def file_of(text: str) -> source.SourceFile:
    """A parsed file."""
    return source.parsed(textwrap.dedent(text).encode(), "alpha", "alpha/module.py")


def described(old: str, new: str) -> tuple[list[tuple[str, dict[str, str]]], bool]:
    """(phrases, complete) of the change of the only function that changed, as a whole."""
    found = list(releases_match.changes(file_of(old), file_of(new), frozenset(), Random(0), Counter()))
    assert len(found) == 1
    phrases, complete, _ = releases.describe(found[0][0])
    return [(phrase.rule, phrase.slots) for phrase in phrases], complete


F = "def f(a, b=1):\n    x = g(a)\n    return x\n"


@pytest.mark.parametrize(
    "old, new, phrases",
    [
        (F, F.replace("x", "total"), [("rename", {"old": "x", "new": "total", "role": "variable"})]),
        (F, F.replace("g(", "h.g("), [("replace_call", {"old": "g", "new": "h.g"})]),
        (F, F.replace("b=1", "b=2"), [("default", {"func": "f", "label": "b", "value": "2", "default": "1"})]),
        (F, F.replace("b=1", "b=1, *, c: int = 0"), None),  # the star is not told
        (F, F.replace("b=1", "b=1, c: int = 0"), [("add_parameter", {"func": "f", "new": "c: int = 0"})]),
        (F, F.replace("a, b", "a, c, b"), [("add_parameter_after", {"func": "f", "new": "c", "old": "a"})]),
        (F, F.replace(", b=1", ""), [("remove_parameter", {"func": "f", "old": "b"})]),
        (F, F.replace("b=1)", "b: int=1) -> int"), [("returns", {"func": "f", "new": "int"}), ("annotate", {"label": "b", "new": "int"})]),
        (F, F.replace("def", "async def").replace("g(a)", "await g(a)"), [("make_async", {"func": "f"}), ("await", {"call": "g"})]),
        (F, "@cached\n" + F, [("decorate", {"func": "f", "new": "@cached"})]),
        (F, F.replace("g(a)", "g(a, b)"), [("add_argument", {"call": "g", "new": "b"})]),
        (F, F.replace("g(a)", "g(a, key=b)"), [("add_keyword", {"call": "g", "label": "key", "value": "b"})]),
        (F, F.replace("return x", "return x + 1"), [("return", {"old": "x", "new": "x + 1"})]),
        (F, F.replace("g(a)", "a * 2"), [("set", {"label": "x", "default": "g(a)", "value": "a * 2"})]),
        (
            F,
            F.replace("    x", "    if a is None:\n        return 0\n    x"),
            [("insert_if", {"test": "a is None", "stmt": "return 0", "role": "at the start of", "what": "f"})],
        ),
        (F, F.replace("    return", "    log(x)\n    return"), [("insert", {"stmt": "log(x)", "role": "before", "what": "return x"})]),
        (
            F,
            F.replace("    x = g(a)\n", "    try:\n        x = g(a)\n    except E as e:\n        raise F from e\n"),
            [("wrap_try", {"what": "x = g(a)", "caught": "E as e", "stmt": "raise F from e"})],
        ),
        (F, F.replace("    x = g(a)\n", "    with lock:\n        x = g(a)\n"), [("wrap", {"what": "x = g(a)", "new": "with lock"})]),
        (F, F.replace("    x = g(a)\n", "    if a:\n        x = g(a)\n"), [("wrap_if", {"what": "x = g(a)", "test": "a"})]),
        (
            "def f(a):\n    with lock:\n        x = 1\n    return x\n",
            "def f(a):\n    x = 1\n    return x\n",
            [("unwrap", {"old": "with lock"})],
        ),
        ("def f(a):\n    log(a)\n    return a\n", "def f(a):\n    return a\n", [("remove", {"old": "log(a)"})]),
        (
            "def f(a):\n    if h(a):\n        g()\n",
            "def f(a):\n    if h(a) and a.b:\n        g()\n",
            [("extend", {"old": "h(a)", "role": "and", "new": "a.b"})],
        ),
        (
            "def f(a):\n    if a > 1:\n        g()\n",
            "def f(a):\n    if a >= 1:\n        g()\n",
            [("replace", {"old": "a > 1", "new": "a >= 1"})],
        ),
        (
            "def f():\n    try:\n        g()\n    except A:\n        pass\n",
            "def f():\n    try:\n        g()\n    except (A, B):\n        pass\n",
            [("catch", {"old": "A", "new": "(A, B)"})],
        ),
        (
            "def f():\n    from m import a\n    return a\n",
            "def f():\n    from m import a, b\n    return a\n",
            [("import_name", {"new": "b", "module": "m"})],
        ),
        (
            "class A(B):\n    def f(self):\n        pass\n",
            "class A(B, C):\n    def f(self):\n        pass\n",
            [("bases", {"func": "A", "new": "B, C"})],
        ),
        ("class A(B):\n    x: int\n", "class A(C):\n    x: int\n", [("use", {"old": "B", "new": "C"})]),
        ("class A:\n    x = 1\n", "class A:\n    x = 2\n", [("set", {"label": "x", "default": "1", "value": "2"})]),
        (F, F.replace("x = g(a)", "x = g(a)  # now"), None),  # nothing but a comment
        (F, F.replace("g(a)", "h(a)  # faster"), None),  # a comment that no rule tells
        ("def f():\n    g(1)\n    h(1)\n", "def f():\n    g(2)\n    h(1)\n", [("set", {})]),
    ],
)
def test_rules_name_the_change(old, new, phrases):
    """Each change is described by these phrases, or by none that would be whole."""
    if "# now" in new:
        assert not list(releases_match.changes(file_of(old), file_of(new), frozenset(), Random(0), Counter()))
        return
    found, complete = described(old, new)
    if phrases == [("set", {})]:  # 1 stands twice: the call around it is quoted
        assert complete and found == [("replace", {"old": "g(1)", "new": "g(2)"})]
    elif phrases is None:
        assert not complete
    else:
        key = [(rule, sorted(slots.items())) for rule, slots in phrases]
        assert complete and sorted((rule, sorted(slots.items())) for rule, slots in found) == sorted(key)


def test_large_and_odd_changes_are_counted():
    reasons: Counter = Counter()
    many = "".join(f"    x{i} = {i}\n" for i in range(20))
    old = file_of(F + "def gone(): ...\ndef twice(): ...\ndef twice(): ...\ndef space():\n    return [1,2]\ndef big():\n" + many)
    new = file_of(F + "def twice(): ...\ndef twice(a): ...\ndef space():\n    return [1, 2]\ndef big():\n" + many.replace("= ", "= 1"))
    assert not list(releases_match.changes(old, new, frozenset(), Random(0), reasons))
    assert reasons == {"gone or moved": 1, "changed": 2, "only white space or comments": 1, "too large": 1}


def test_parts_of_a_large_change_stand_alone():
    """A change that no rule tells as a whole is cut up; the rest of the function stays as it was."""
    body = "def f(a):\n    x = 1\n" + "    a.step()\n" * 8 + "    return x\n"
    old, new = file_of(body), file_of(body.replace("x = 1", "x = 2").replace("return x", "for i in x:\n        a.go()\n        b.go()"))
    (found,) = releases_match.changes(old, new, frozenset(), Random(0), Counter())
    results = [releases.describe(change) for change in found]
    assert [complete for _, complete, _ in results] == [False, True, False]
    assert b"x = 2" in found[1].new_region and b"for i" not in found[1].new_region


def test_every_rule_has_wordings():
    """All templates of the rules can be filled, and those kept for evaluation differ."""
    for rule, templates in releases_wording.TEMPLATES.items():
        assert len(templates) == len(set(templates)) >= 5, rule
    names = set(releases_wording.TEMPLATES)
    folder, said = Path(releases.__file__).parent, set()
    texts = [(folder / f"releases_{part}.py").read_text() for part in ("rules", "expressions", "signatures", "phrases")]
    for node in (node for text in texts for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("_say", "_fragment"):
            parts = [one for arg in node.args for one in ast.walk(arg) if isinstance(one, ast.Constant)]
            said |= {one.value for one in parts if isinstance(one.value, str)}
    assert said and said - {"and", "or"} <= names and names - said <= {"replace", "replace_call", "use"}


# -- from wheels to shards ---------------------------------------------------------------------------------------------------

SHARED = "def shared(values):\n    total = sum(value.size for value in values)\n    return total * 3 - len(values)\n"


def wheel(folder: Path, name: str, version: str, text: str) -> None:
    """A small wheel with one module."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/module.py", text + PADDING)
        archive.writestr(f"{name}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\nLicense-Expression: MIT\n")


@pytest.fixture
def place(tmp_path) -> Path:
    """Wheels of two releases of alpha (train) and click (held out), and their manifest."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    other = "def other(size):\n    return make(size)\n\n\n"
    wheel(folder, "alpha", "1.9", F + "\n\n" + other + SHARED)
    later = other.replace("make", "build") + SHARED.replace("3", "4")
    wheel(folder, "alpha", "1.10", F.replace("b=1", "b=2") + "\n\n" + later)
    wheel(folder, "click", "1.0", F + "\n\n" + SHARED)
    wheel(folder, "click", "2.0", F.replace("g(a)", "g(a, b)") + "\n\n" + SHARED)
    fetch.write_manifest(folder, tmp_path / "releases.json")
    return tmp_path


def edits(place: Path, *more: str) -> int:
    return command.main(["releases", "edits", "--manifest", str(place / "releases.json"), "--wheels", str(place / "wheels"),
                         "--processes", "1", *more])  # fmt: skip


def test_held_out_lines_have_the_later_release_as_gold(place, capsys):
    out = place / "real.jsonl"
    assert edits(place, "--split", "heldout", "--out", str(out)) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["kind"], row["rules"], row["package"]) for row in rows] == [("release", ["add_argument"], "click")]
    row = rows[0]
    assert set(row) == {"path", "before", "region", "after", "instruction", "new_region", "kind", "variant", "package", "template", "rules"}
    texts = [F + "\n\n" + SHARED + PADDING, F.replace("g(a)", "g(a, b)") + "\n\n" + SHARED + PADDING]
    assert all(row["before"] + row[part] + row["after"] in text for part, text in zip(("region", "new_region"), texts, strict=True))
    assert "g" in row["instruction"] and "b" in row["instruction"]
    facts = json.loads(capsys.readouterr().out)
    assert facts["edits"] == 1 and facts["rules"] == {"add_argument": 1} and facts["packages"] == {"click 1.0 -> 2.0": 1}


def test_training_shard_leaves_copies_of_held_out_code_out(place, capsys):
    vocabulary = tokenizer.train([(F + SHARED + PADDING).encode() * 40], 340)
    (place / "tokenizer.bin").write_bytes(tokenizer.to_section(vocabulary))
    options = ("--split", "train", "--tokenizer", str(place / "tokenizer.bin"))
    assert edits(place, *options, "--out", str(place / "shard")) == 0
    index = json.loads(capsys.readouterr().out)
    # f and shared occur in click as they were, and alpha's file is a copy for the most part
    assert index["reasons"]["file copied from a held-out package"] == 1 and index["documents"] == 0
    wheel(place / "wheels", "click", "1.0", "def lone(values):\n    return [value.size for value in values if value.size > 3]\n")
    wheel(place / "wheels", "click", "2.0", "def lone(values):\n    return [value.size for value in values if value.size > 4]\n")
    fetch.write_manifest(place / "wheels", place / "releases.json")
    assert edits(place, *options, "--out", str(place / "second")) == 0
    shard = shards.open_shard(place / "second")
    assert shard.index["counts"]["release"] == 3 and shard.index["packages"] == {"alpha 1.9 -> 1.10": 3}
    assert edits(place, *options, "--out", str(place / "third")) == 0
    assert (place / "second/tokens.npy").read_bytes() == (place / "third/tokens.npy").read_bytes()


def damage(place: Path, change) -> Path:
    path = place / "wheels/click-2.0-py3-none-any.whl"
    path.write_bytes(change(path.read_bytes()))
    return path


def pinned(place: Path, path: Path) -> None:
    """Let the manifest pin a file as it is now."""
    data = json.loads((place / "releases.json").read_text())
    for row in data["packages"]:
        if row["wheel"] == path.name:
            row["sha256"] = fetch.sha256_of(path)
    (place / "releases.json").write_text(json.dumps(data))


def refused(place: Path, capsys) -> str:
    """The one line that a held-out run ends with."""
    assert edits(place, "--split", "heldout", "--out", str(place / "out.jsonl")) == 2
    assert not (place / "out.jsonl").exists()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_bad_input_is_one_line(place, capsys):
    path = damage(place, lambda data: data[:100] + bytes((data[100] ^ 1,)) + data[101:])
    assert "sha256 differs" in refused(place, capsys)
    pinned(place, damage(place, lambda data: data[: len(data) // 2]))
    assert "damaged archive" in refused(place, capsys)
    path.unlink()
    assert "release click 2.0 is missing" in refused(place, capsys)
    fetch.write_manifest(place / "wheels", place / "releases.json")
    assert "click has one release, 1.0" in refused(place, capsys)
    (place / "releases.json").write_text("{}")
    assert "not a data manifest" in refused(place, capsys)


def test_a_file_damaged_inside_its_archive_is_one_line(place, capsys):
    path = place / "wheels/click-2.0-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("click/module.py").header_offset + 30 + len("click/module.py") + 10
    damage(place, lambda data: data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
    pinned(place, path)
    assert "damaged archive, click/module.py" in refused(place, capsys)


def test_the_pinned_manifest_holds_pairs():
    """Every package of the manifest has two releases, and held-out packages are those of fetch.HELD_OUT."""
    pairs = releases.read_pairs(releases.MANIFEST)
    assert {pair.old.name for pair in pairs if pair.old.split == "heldout"} == fetch.HELD_OUT
    assert len({pair.old.name for pair in pairs if pair.old.split == "train"}) >= 12
    assert all(fetch.is_permissive(row.licence) and len(row.sha256) == 64 for pair in pairs for row in pair)
    assert all(pair.old.name not in fetch.HELD_OUT for pair in pairs if pair.old.split == "train")
