"""The baselines of held-out edits: rules and the nearest training edit (training/evaluate/codemod.py, nearest.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("tokenizers")

from training.evaluate.codemod import codemod  # noqa: E402
from training.evaluate.nearest import Edit, Index, exchanged, replay, training_edits  # noqa: E402

CASES = [
    ("rename parameter count to total", "def f(count, x=1):\n    return g(count=count) + a.count\n",
     "def f(total, x=1):\n    return g(count=total) + a.count\n"),
    ("Please rename `a` as `b`.", "a = f'{a} {x.a} a'\n", "b = f'{b} {x.a} a'\n"),
    ("s/old/new/", "old = old_name + old\n", "new = old_name + new\n"),
    ("rename attribute 'size' to length", "self.size = size(x.size)\n", "self.length = size(x.length)\n"),
    ("self.x -> self.y", "self.x = self.xx + other.self.x\n", "self.y = self.xx + other.self.x\n"),
    ("replace json.loads with orjson.loads", "a = json.loads(json.loads)\n", "a = orjson.loads(json.loads)\n"),
    ("use walk() instead of run()", "x.run(run(1))\n", "x.run(walk(1))\n"),
    ("set the timeout to 30", "timeout = 10\n", "timeout = 10\n"),  # "the timeout" is no label
    ("set timeout to 30", "get(url, timeout=10, retry=(1, 2))\n", "get(url, timeout=30, retry=(1, 2))\n"),
    ("change retry from (1, 2) to (3,)", "get(retry=(1, 2), other=1)\n", "get(retry=(3,), other=1)\n"),
    ("limit = 5", "a = 1\nlimit: int = 10  # ten\nb = 2\n", "a = 1\nlimit: int = 5  # ten\nb = 2\n"),
    ("set name to 'b'", "{'name': 'a', 'x': name}\n", "{'name': 'b', 'x': name}\n"),
    ("change the default of size to None", "size = 3\ndef f(a, size: int = 3) -> int:\n", "size = 3\ndef f(a, size: int = None) -> int:\n"),
    ("verbose should default to True", "def f(verbose=False):\n", "def f(verbose=True):\n"),
    ("turn debug off", "run(debug=True)\n", "run(debug=False)\n"),
    ("replace all 3 with 4", "x = 3 + 33 + f(3)\n", "x = 4 + 33 + f(4)\n"),
    ("change \"a b\" to \"c\"", "x = ['a b', \"a b c\"]\n", "x = [\"c\", \"a b c\"]\n"),
    ("change -1 to 0", "x = -1 + 1\n", "x = 0 + 1\n"),
    ("remove the call to print", "if a:\n    print(\n        a)\n    b()\n", "if a:\n    b()\n"),
    ("delete the line that sets x", "y = 1\nx = 2\n", "y = 1\n"),
    ("remove `import os`", "import os\nimport sys\n", "import sys\n"),
    ("drop the assert", "assert a, b\nreturn a\n", "return a\n"),
    ("add `x = 1` before `return y`", "    y = 2\n    return y\n", "    y = 2\n    x = 1\n    return y\n"),
    ("after a() add b()", "for x in y:\n    a()  # why\nc()\n", "for x in y:\n    a()  # why\n    b()\nc()\n"),
    ("put log(a) first in f", "def f(a):\n    '''Text.'''\n    return a\n", "def f(a):\n    '''Text.'''\n    log(a)\n    return a\n"),
    ("insert done() before the return", "def f():\n    return 1\n", "def f():\n    done()\n    return 1\n"),
    ("also import path from os", "import os\nfrom os import sep\n", "import os\nfrom os import sep, path\n"),
    ("import path from os", "from os import (\n    sep,\n    walk,\n)\n", "from os import (\n    sep,\n    walk,\n    path,\n)\n"),
    ("add parameter `c: int = 0` to f", "def f(a, b=1) -> int:\n", "def f(a, b=1, c: int = 0) -> int:\n"),
    ("f: add x", "def g(): pass\ndef f(): pass\n", "def g(): pass\ndef f(x): pass\n"),
    ("remove the parameter b of f", "def f(a, b=(1, 2), c=3):\n", "def f(a, c=3):\n"),
    ("drop the argument key of sort", "sort(x, key=lambda y: (y, 1))\n", "sort(x)\n"),
    ("call f without x", "f(x=1, y=2)\n", "f(y=2)\n"),
    ("make b optional with default None", "def f(a, b: int, c=1):\n", "def f(a, b: int = None, c=1):\n"),
    ("make b required", "def f(a, b: int = 3):\n", "def f(a, b: int):\n"),
    ("pass strict=True to zip", "zip(a, b)\n", "zip(a, b, strict=True)\n"),
    ("use new= instead of old= in f", "f(old=old, a=f(old=1))\n", "f(new=old, a=f(new=1))\n"),
    ("swap the arguments a and b.c of f", "f(b.c, a)\n", "f(a, b.c)\n"),
    ("declare x as int", "def f(x=1):\n", "def f(x: int = 1):\n"),
    ("the type of x should be `dict[str, int]`", "x: list[int] = []\n", "x: dict[str, int] = []\n"),
    ("remove the annotation of x", "def f(x: int = 1):\n", "def f(x=1):\n"),
    ("add return type int to f", "def f(a=(1, 2)):\n", "def f(a=(1, 2)) -> int:\n"),
    ("remove the return type of f", "def f(a) -> dict[str, int]:\n", "def f(a):\n"),
    ("decorate f with @cache", "    @a\n    def f():\n", "    @a\n    @cache\n    def f():\n"),
    ("remove the decorator @a", "@a\n@b\ndef f():\n", "@b\ndef f():\n"),
    ("f should be async", "def f():\n", "async def f():\n"),
    ("document f: Do it.", "def f():\n    pass\n", "def f():\n    \"\"\"Do it.\"\"\"\n    pass\n"),
    ("set the docstring of f to Done", "def f():\n    'Do it.'\n    pass\n", "def f():\n    \"\"\"Done\"\"\"\n    pass\n"),
    ("remove the docstring", "def f():\n    '''Do\n    it.'''\n    pass\n", "def f():\n    pass\n"),
    ("comment out a()", "if x:\n    a()  # b\n", "if x:\n    # a()  # b\n"),
    ("uncomment a()", "if x:\n    # a()\n    b()\n", "if x:\n    a()\n    b()\n"),
    ("wrap a.b in str", "x = a.b + c\n", "x = str(a.b) + c\n"),
    ("remove all print calls", "print(1)\nx = 1\nprint(\n    2)\n", "x = 1\n"),
    ("remove the import of b", "from a import b, c\nimport d\n", "from a import c\nimport d\n"),
    ("don't import os", "import os\nimport sys\n", "import sys\n"),
    ("compare with None using is", "if a == None or b != None:\n", "if a is None or b is not None:\n"),
    ("use not in", "if not a in b:\n", "if a not in b:\n"),
    ("use +=", "    x = x + y * 2\n", "    x += y * 2\n"),
    ("fix: f(a, b) => f(b, a)", "f(a, b)\n", "f(b, a)\n"),
    ("make it faster", "x = 1\n", "x = 1\n"),
    ("rename nobody to somebody", "x = 1\n", "x = 1\n"),
]  # fmt: skip


@pytest.mark.parametrize("instruction, region, wanted", CASES, ids=[case[0] for case in CASES])
def test_rules(instruction: str, region: str, wanted: str) -> None:
    assert codemod(instruction, region) == wanted


@pytest.mark.parametrize("region", ["", "(((", "'''", "def f(", "x = 'a\n", "\\\n", "@", "é\0", "a" * 3000])
def test_rules_never_fail(region: str) -> None:
    for instruction, *_ in CASES:
        assert isinstance(codemod(instruction, region), str)
    assert codemod("", region) == region == codemod("rename " * 40, region)


def test_words_of_two_instructions_are_laid_side_by_side() -> None:
    assert exchanged("rename `a` to `b`", "Rename x to y_z") == {"a": "x", "b": "y_z"}
    assert exchanged("set a to 1", "set a.b to 1")["a"] == "a.b"
    assert exchanged("same", "same") == {}


def test_an_edit_is_done_again_on_other_names() -> None:
    edit = Edit("rename a to b", "a = f(a)\n", "b = f(b)\n")
    assert replay(edit, "rename x to y", "x = [x, z]\n") == "y = [y, z]\n"
    assert replay(edit, "rename q to y", "x = 1\n") is None
    call = Edit("use `new()` instead of `old()`", "old(1)\n", "new(1)\n")
    assert replay(call, "use `b()` instead of `a()`", "x = a(a)\n") == "x = b(b)\n"  # it knows no grammar
    assert replay(Edit("add x", "y\n", "x\ny\n"), "add x", "y\n") is None  # nothing says where


def test_the_nearest_edit_is_found_and_the_next_one_tried(tmp_path: Path) -> None:
    edits = [Edit("drop print", "print(1)\n", ""), Edit("rename alpha to beta", "alpha = 1\n", "beta = 1\n")]
    edits.append(Edit("set n to 2", "n = 1\n", "n = 2\n"))
    index = Index(edits)
    assert index.nearest("set total to 7", "total = 3\n", 2)[0] == edits[2]
    assert index.nearest("rename alpha to gamma", "x = alpha\n", 3)[0] == edits[1]
    assert index.answer("rename alpha to gamma", "x = alpha\n") == "x = gamma\n"
    assert index.answer("rename what to who", "nothing = 'of it'\n") == "nothing = 'of it'\n"
    row = {"path": "a.py", "before": "", "after": "", "kind": "k", **edits[1]._asdict()}
    (tmp_path / "near.jsonl").write_text(json.dumps(row) + "\n")
    assert training_edits(tmp_path / "near.jsonl", None) == [edits[1]]


def test_a_shards_edits_are_read(tmp_path: Path) -> None:
    from cromwell.contract import prompt
    from training import tokenizer
    from training.data import shards

    vocabulary = tokenizer.Vocabulary(prompt.SPECIAL_TOKENS, ())
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer.to_section(vocabulary))
    encode = tokenizer.load(tmp_path / "tokenizer.bin").encode
    writer = shards.Writer(tmp_path / "shard", ["rename", "plain"])
    head = prompt.encode(prompt.edit_prompt(prompt.Target(b"a.py", b"", b"a = 1\n", b""), b"rename a to b"), encode)
    writer.add(head + prompt.encode(prompt.answer(b"b = 1\n"), encode), len(head), "rename")
    writer.add(prompt.encode(["<FILE>", b"a.py\nx\n", "</FILE>"], encode), 1, "plain")
    writer.close()
    assert training_edits(tmp_path / "shard", tmp_path / "tokenizer.bin") == [Edit("rename a to b", "a = 1\n", "b = 1\n")]
