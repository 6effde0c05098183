"""The kinds that change structure, behaviour and layout: each on a small example with its exact gold, and all of them on real files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from random import Random

import pytest

from training.data import edits, instructions, names, registry, source
from training.data.view import View

LIBRARY = Path(ast.__file__).parent
FILES = ("shlex.py", "textwrap.py", "configparser.py", "ftplib.py", "bdb.py", "calendar.py")
NEW_KINDS = [kind for _, modules in registry.GROUPS for module in modules if "edits_" in module.__name__ for kind in module.KINDS]
POOLS = names.Pools(
    **{field: ["other"] for field in names.Pools._fields}
    | {"variables": ["timeout"], "functions": ["load"], "classes": ["Base2", "ParseError"], "words": ["limit"], "modules": ["pkg.util"]}
)
CLASS = "class A:\n    def __init__(self, a, b):\n        self.a = a\n"
EXAMPLES = [
    ("add_parameter", "def f(a):\n    return a\n", "def f(a, timeout):\n    return a\n"),
    ("add_parameter", "def f():\n    return 1\n", "def f(timeout=None):\n    return 1\n"),
    ("add_parameter", "def f(\n    a,\n    b=1,\n):\n    return a\n", "def f(\n    a,\n    b=1,\n    timeout=10,\n):\n    return a\n"),
    ("add_parameter", "def f(a: int, b: int):\n    pass\n", "def f(a: int, b: int, timeout: bool = True):\n    pass\n"),
    ("add_parameter", "def f(a, b):\n    pass\n", "def f(a, timeout, b):\n    pass\n"),
    ("remove_parameter", "def f(a, b=1, *, c):\n    return a\n", "def f(a, *, c):\n    return a\n"),
    ("remove_parameter", "def f(\n    a,\n    b,\n):\n    return a\n", "def f(\n    a,\n):\n    return a\n"),
    ("add_default", "def f(a, b):\n    pass\n", "def f(a, b=None):\n    pass\n"),
    ("add_default", "def f(a, b: int):\n    pass\n", "def f(a, b: int = 0):\n    pass\n"),
    ("remove_default", "def f(a, b: int = 0):\n    pass\n", "def f(a, b: int):\n    pass\n"),
    ("remove_default", "def f(*, a=1, b=2):\n    pass\n", "def f(*, a=1, b):\n    pass\n"),
    ("add_keyword", "run(a)\n", "run(a, timeout=True)\n"),
    ("add_keyword", "run(\n    a,\n    b=1,\n)\n", "run(\n    a,\n    b=1,\n    timeout=None,\n)\n"),
    ("remove_keyword", "run(a, key=1, other_key=2)\n", "run(a, other_key=2)\n"),
    ("remove_keyword", "run(key=1)\n", "run()\n"),
    ("rename_keyword", "run(a, key=1)\nrun(key=2)\n", "run(a, timeout=1)\nrun(timeout=2)\n"),
    ("swap_arguments", "run(a, b + 1)\n", "run(b + 1, a)\n"),
    ("swap_arguments", "def f(a: int, b, c=1):\n    pass\n", "def f(b, a: int, c=1):\n    pass\n"),
    ("wrap_call", "x = name.size\n", "x = int(name.size)\n"),
    ("unwrap_call", "x = str(name)\n", "x = name\n"),
    ("add_annotation", "def f(a=1):\n    pass\n", "def f(a: int = 1):\n    pass\n"),
    ("add_annotation", "def f(a, b):\n    pass\n", "def f(a, b) -> None:\n    pass\n"),
    ("add_annotation", "def f(\n    a,  # text )\n):\n    pass\n", "def f(\n    a,  # text )\n) -> bool:\n    pass\n"),
    ("add_annotation", "self.x = 1\n", "self.x: int = 1\n"),
    ("change_annotation", "def f(a: int): pass\n", "def f(a: int | None): pass\n"),
    ("change_annotation", "x: int = 1\n", "x: float = 1\n"),
    ("remove_annotation", "def f(a: int = 1) -> None:\n    pass\n", "def f(a=1):\n    pass\n"),
    ("remove_annotation", "x: int = 1\n", "x = 1\n"),
    ("modern_types", "def f(a: Optional[int]) -> List[str]: pass\n", "def f(a: int | None) -> List[str]: pass\n"),
    ("modern_types", "x: Union[int, List[str]] = 1\n", "x: int | List[str] = 1\n"),
    ("modern_types", "x: List[List[str]] = 1\n", "x: list[list[str]] = 1\n"),
    ("change_base", "class A:\n    pass\n", "class A(Base2):\n    pass\n"),
    ("change_base", "class A(B, C):\n    pass\n", "class A(B):\n    pass\n"),
    ("change_base", "class A(B):\n    pass\n", "class A(Base2):\n    pass\n"),
    ("change_base", "class A(B):\n    pass\n", "class A(B, Base2):\n    pass\n"),
    ("change_base", "class A(B):\n    pass\n", "class A:\n    pass\n"),
    ("add_decorator", "@one\ndef f():\n    pass\n", "@one\n@load\ndef f():\n    pass\n"),
    ("add_decorator", "class A:\n    x = 1\n", "@dataclass\nclass A:\n    x = 1\n"),
    ("remove_decorator", "@one(1)\n@two\ndef f():\n    pass\n", "@two\ndef f():\n    pass\n"),
    ("store_parameter", CLASS, CLASS + "        self.b = b\n"),
    ("make_async", "def f(a):\n    x = g(a)\n    return x\n", "async def f(a):\n    x = await g(a)\n    return x\n"),
    ("make_async", "async def f(a):\n    return await g(a)\n", "def f(a):\n    return g(a)\n"),
    ("add_entry", "x = {'a': 1}\n", "x = {'a': 1, 'limit': 10}\n"),
    ("add_entry", "x = [\n    A,\n    B,\n]\n", "x = [\n    A,\n    B,\n    Base2,\n]\n"),
    ("remove_entry", "x = {\n    'a': 1,\n    'b': 2,\n}\n", "x = {\n    'b': 2,\n}\n"),
    ("remove_entry", "run(names=['a', 'b'])\n", "run(names=['a'])\n"),
    ("with_open", "f = open(p)\nx = f.read()\nf.close()\nprint(x)\n", "with open(p) as f:\n    x = f.read()\nprint(x)\n"),
    ("add_return", "def f(a):\n    b = a + 1\n", "def f(a):\n    b = a + 1\n    return b\n"),
    ("add_docstring", "def get_x(a):\n    return a\n", 'def get_x(a):\n    """Get the x."""\n    return a\n'),
    ("add_docstring", "class A:\n    x = 1\n", 'class A:\n    """Keeps x."""\n    x = 1\n'),
    ("remove_docstring", 'def f():\n    """Text.\n    """\n\n    return 1\n', "def f():\n    return 1\n"),
    ("remove_docstring", 'def f():\n    "a"\n    x\ndef g():\n    "b"\n    y\n', "def f():\n    x\ndef g():\n    y\n"),
    ("change_docstring", 'def f():\n    """Text."""\n    return 1\n', 'def f():\n    """Helper for limit."""\n    return 1\n'),
    ("add_comment", "x = 1\ny = 2\n", "# now the other\nx = 1\ny = 2\n"),
    ("remove_comment", "x = 1  # one\n# two\ny = '#'\n", "x = 1\ny = '#'\n"),
    ("remove_comment", "x = 1\n# two\ny = 2\n", "x = 1\ny = 2\n"),
    ("comment_out", "def f():\n    g()\n    h()\n", "def f():\n    # g()\n    h()\n"),
    ("uncomment", "def f():\n    # g()\n    h()\n", "def f():\n    g()\n    h()\n"),
    ("sort_imports", "import os\nimport ast\n", "import ast\nimport os\n"),
    ("sort_imports", "from a import c, B as d\n", "from a import B as d, c\n"),
    ("remove_import", "import os\nimport ast\nast.walk(x)\n", "import ast\nast.walk(x)\n"),
    ("remove_import", "from a import (\n    b,\n    c,\n)\nc()\n", "from a import (\n    c,\n)\nc()\n"),
    ("change_import", "import a.b as b\n", "from a import b\n"),
    ("change_import", "from a import b\n", "from pkg.util import b\n"),
    ("change_import", "import numpy\n", "import numpy as nu\n"),
    ("wrap_try", "def f(a):\n    if a:\n        b = g(a)\n    return b\n",
     "def f(a):\n    if a:\n        try:\n            b = g(a)\n        except KeyError:\n            pass\n    return b\n"),
    ("wrap_try", 'def f(a):\n    """T."""\n    return a\n',
     'def f(a):\n    """T."""\n    try:\n        return a\n    except Exception:\n        logging.exception("f failed")\n        raise\n'),
    ("remove_try", "try:\n    a()\n    b()\nexcept E:\n    pass\n", "a()\nb()\n"),
    ("change_exception", "raise A('x')\n", "raise KeyError('x')\n"),
    ("change_exception", "try:\n    a()\nexcept E:\n    pass\n", "try:\n    a()\nexcept (E, KeyError):\n    pass\n"),
    ("add_guard", "def f(a):\n    return a\n", "def f(a):\n    if a is None:\n        raise ValueError\n    return a\n"),
    ("add_guard", "def f(a):\n\treturn a\n", "def f(a):\n\tif not a:\n\t\treturn []\n\treturn a\n"),
    ("add_assert", 'def f(a):\n    """T."""\n    return a\n', 'def f(a):\n    """T."""\n    assert a > 0\n    return a\n'),
    ("add_log", "def f(a):\n    return a\n", "def f(a):\n    print(a)\n    return a\n"),
    ("add_log", "log.info(1)\ndef f(a):\n    b(a)\n", 'log.info(1)\ndef f(a):\n    log.debug("done load")\n    b(a)\n'),
    ("print_to_log", "print(x)\nlogger.info(y)\n", "logger.error(x)\nlogger.info(y)\n"),
    ("remove_prints", "print(x)\ny()\nprint(1, 2)\n", "y()\n"),
    ("to_fstring", "x = '%s is %r' % (a, b.c)\n", "x = f'{a} is {b.c!r}'\n"),
    ("to_fstring", "x = '{:.2f} {}'.format(a, b)\n", "x = f'{a:.2f} {b}'\n"),
    ("to_fstring", 'x = "%d" % n\n', 'x = f"{n:d}"\n'),
    ("from_fstring", "x = f'{a:>5} {b!r}'\n", "x = '{:>5} {!r}'.format(a, b)\n"),
    ("from_fstring", "x = f'{a} {b}'\n", "x = '%s %s' % (a, b)\n"),
    ("quotes", "x = 'a' + f'{b}' + b'c'\n", 'x = "a" + f"{b}" + b"c"\n'),
    ("compare_none", "if a == None and b != None:\n    pass\n", "if a is None and b is not None:\n    pass\n"),
    ("compare_none", "if a == None:\n    pass\n", "if a is None:\n    pass\n"),
    ("not_in", "if not a in b:\n    pass\n", "if a not in b:\n    pass\n"),
    ("not_in", "if not a is b:\n    pass\n", "if a is not b:\n    pass\n"),
    ("empty_test", "if len(items) == 0:\n    pass\n", "if not items:\n    pass\n"),
    ("empty_test", "while a and len(items) > 0:\n    pass\n", "while a and items:\n    pass\n"),
    ("empty_literal", "x = dict()\ny = dict()\n", "x = {}\ny = {}\n"),
    ("augment", "x = x + 1\n", "x += 1\n"),
    ("augment", "x += 1\n", "x = x + 1\n"),
    ("modern_class", "class A(B):\n    def f(self):\n        super(A, self).f()\n", "class A(B):\n    def f(self):\n        super().f()\n"),
    ("modern_class", "class A(object):\n    pass\n", "class A:\n    pass\n"),
    ("swap_branches", "if a == b:\n    c()\nelse:\n    d()\n    e()\n", "if a != b:\n    d()\n    e()\nelse:\n    c()\n"),
    ("swap_branches", "if not a:\n    c()\nelse:\n    d()\n", "if a:\n    d()\nelse:\n    c()\n"),
    ("change_operator", "x = a < b\n", "x = a <= b\n"),
    ("change_operator", "x = a < b\n", "x = b > a\n"),
    ("ternary", "if a:\n    x = 1\nelse:\n    x = 2\n", "x = 1 if a else 2\n"),
    ("ternary", "def f(a):\n    return 1 if a else 2\n", "def f(a):\n    if a:\n        return 1\n    else:\n        return 2\n"),
    ("join_ifs", "if a:\n    if b == 1:\n        # why\n        c()\n", "if a and b == 1:\n    # why\n    c()\n"),
    ("join_ifs", "if a and b:\n    c()\n", "if a:\n    if b:\n        c()\n"),
    ("use_enumerate", "for i in range(len(xs)):\n    f(i, xs[i])\n", "for i, item in enumerate(xs):\n    f(i, item)\n"),
    ("list_comprehension", "x = []\nfor a in b:\n    if a:\n        x.append(a.c)\n", "x = [a.c for a in b if a]\n"),
    ("list_comprehension", "x = [f(a) for a in b]\n", "x = []\nfor a in b:\n    x.append(f(a))\n"),
    ("set_membership", "if a in ('x', 'y'):\n    pass\n", "if a in {'x', 'y'}:\n    pass\n"),
    ("use_generator", "x = any([a.b for a in c])\n", "x = any(a.b for a in c)\n"),
    ("drop_keys", "for k in d.keys():\n    pass\n", "for k in d:\n    pass\n"),
    ("cache_function", "def f(a):\n    return a * 2\n", "@functools.lru_cache(maxsize=None)\ndef f(a):\n    return a * 2\n"),
    ("extract_variable", "def f():\n    return g(a.b + 1)\n", "def f():\n    timeout = a.b + 1\n    return g(timeout)\n"),
    ("extract_constant", "def f():\n    return 3600\n", "LIMIT = 3600\n\n\ndef f():\n    return LIMIT\n"),
    ("use_constant", "x = 3600\n", "x = LIMIT\n"),
    ("inline_variable", "def f():\n    a = g(1)\n    return a.b\n", "def f():\n    return g(1).b\n"),
]  # fmt: skip
REFUSED = [
    ("add_parameter", "def f(a, *b):\n    pass\n"),  # before or after *b
    ("remove_parameter", "def f(a):\n    return a\n"),
    ("remove_parameter", "def f(a):\n    pass\nf(1)\n"),
    ("add_keyword", "run(x for x in y)\n"),
    ("add_docstring", 'def f():\n    """Text."""\n'),
    ("remove_docstring", 'def f():\n    """Text."""\n'),
    ("wrap_try", "x = f('''a\nb''')\n"),  # deeper lines would be another string
    ("remove_try", "try:\n    a()\nexcept E:\n    pass\nelse:\n    b()\n"),
    ("to_fstring", "x = '%s' % a[\"b\"]\n"),
    ("to_fstring", "x = '%(a)s' % b\n"),
    ("quotes", "x = 'it' + \"it's\"\n"),  # one of them cannot change
    ("swap_branches", "if a and b:\n    c()\nelse:\n    d()\n"),
    ("swap_branches", "if a:\n    c()\nelif b:\n    d()\n"),
    ("use_enumerate", "for i in range(len(xs)):\n    xs[i] = 1\n"),
    ("list_comprehension", "x = []\nfor a in b:\n    x.append(len(x))\n"),
    ("extract_variable", "def f():\n    x = a and g(a.b + 1)\n"),  # would be evaluated where it was not
    ("inline_variable", "def f():\n    a = g(1)\n    h()\n    return a\n"),
    ("sort_imports", "import os\nx = 1\nimport ast\n"),
    ("empty_test", "x = len(items) == 0\n"),  # not only the truth matters
    ("print_to_log", "print(a, b)\n"),
]  # fmt: skip


def view_of(text: str) -> View:
    """A view of a whole text."""
    data = text.encode()
    unit = source.Unit(0, data.splitlines(keepends=True), source.parse_indented(data), "module")
    return View(unit, 0, len(unit.lines))


def results(kind: str, text: str, seeds: int) -> Iterator[tuple[str, str]]:
    """(shown, gold) of the edits of one kind that some seeds make of a text, forward or inverse."""
    view = view_of(text)
    for seed in range(seeds):
        draft = registry.KINDS[kind].make(view, Random(seed), POOLS)
        if draft is not None:
            region = edits.spliced_region(view, draft)
            assert region is not None, (kind, draft)
            assert instructions.word(Random(seed), kind, draft.variant, draft.slots)
            yield (region.decode(), text) if draft.inverse else (text, region.decode())


@pytest.mark.parametrize("kind, shown, gold", EXAMPLES, ids=[f"{i}-{row[0]}" for i, row in enumerate(EXAMPLES)])
def test_gold_of_each_kind(kind, shown, gold):
    assert any(pair == (shown, gold) for pair in chain(results(kind, shown, 400), results(kind, gold, 60)))


def test_every_kind_has_an_example():
    assert len(NEW_KINDS) >= 24 and {row[0] for row in EXAMPLES} == set(NEW_KINDS)


@pytest.mark.parametrize("kind, text", REFUSED, ids=[f"{i}-{row[0]}" for i, row in enumerate(REFUSED)])
def test_unclear_cases_are_skipped(kind, text):
    assert not list(results(kind, text, 60))


@pytest.fixture(scope="module")
def library() -> tuple[list[source.SourceFile], names.Pools]:
    """A few files of the standard library, and the pools made from them."""
    items = [("", name) for name in FILES if (LIBRARY / name).exists()]
    loaded = [source.load(LIBRARY, *item) for item in items]
    return [file for file in loaded if file], names.collect(LIBRARY, items, len(items), Random(0))


@pytest.fixture(scope="module")
def examples(library) -> list[edits.Example]:
    """Some edits of most kinds, as many as a few tries give."""
    files, pools = library
    rng, made = Random(11), []
    for file in files:
        found = edits.usable_units(file, rng, frozenset())
        for kind in NEW_KINDS:
            candidates = edits.fitting(found, kind)
            for _ in range(3 if candidates else 0):
                example = edits.make(file, rng.choice(candidates), kind, pools, rng)
                if example is not None:
                    made.append(example)
                    break
    return made


def test_most_kinds_occur_in_real_files(examples):
    kinds = {example.kind for example in examples}
    assert len(kinds) > 0.85 * len(NEW_KINDS), set(NEW_KINDS) - kinds


def test_golds_of_real_files_parse_and_differ(examples, library):
    """A gold has been checked in its unit; here a whole file is parsed with it, of some of them."""
    texts = [b"".join(file.lines) for file in library[0]]
    for example in examples[::15]:
        target = example.target
        assert example.new_region != target.region and example.instruction
        around = target.before + b"\0" + target.after
        whole = next((text for text in texts if target.before + target.region + target.after in text), None)
        if whole is None:  # an inverse edit: the gold is what stands in the file
            whole = next(text for text in texts if target.before + example.new_region + target.after in text)
        else:
            whole = whole.replace(target.before + target.region + target.after, around.replace(b"\0", example.new_region), 1)
        source.parse(whole)


def test_unsaid_words_do_not_appear(examples):
    """The words that an edit brings stand in the region, in the instruction, or belong to the construct that the kind is about."""
    known = set(
        "if else for in not and or is None try except raise return as with await async def class import from assert lambda "
        "Exception ValueError logging logger exception failed print enumerate range len append super self functools lru_cache "
        "isinstance error e pass continue True False list dict tuple set int str format f open close keys RuntimeError maxsize object r d "
        "cls start done got calling enter finished float bool frozenset 0 1".split()
    )
    for example in examples:
        old = set(re.findall(r"\w+", example.target.region.decode()))
        said = set(re.findall(r"\w+", example.instruction.decode()))
        fresh = set(re.findall(r"\w+", re.sub(r"%[sdr]", " ", example.new_region.decode()))) - old - said - known
        joined = example.instruction.decode().lower()
        assert not {word for word in fresh if word.lower() not in joined}, (example.kind, example.instruction, fresh)


def test_same_seed_same_edits(library):
    files, pools = library

    def some() -> list[edits.Example]:
        rng, balance, made = Random(3), edits.Balance(), []
        for file in files[:2]:
            made += edits.draw(file, edits.usable_units(file, rng, frozenset()), pools, balance, rng)
        return made

    first = some()
    assert len(first) > 5 and first == some()


def test_nothing_to_do_covers_most_kinds(library):
    """A tenth of the edits ask for what is not there, in the words of many kinds."""
    files, pools = library
    rng, asked = Random(5), set()
    for file in files:
        found = edits.usable_units(file, rng, frozenset())
        for _ in range(40):
            example = edits.make(file, rng.choice(found), "nothing", pools, rng)
            if example is not None:
                assert example.new_region == example.target.region
                asked.add(example.variant.split("/")[0])
    assert len(asked) >= 0.7 * len(registry.ABSENT) and abs(registry.KINDS["nothing"].share - 10) < 1e-9


def test_simple_kinds_are_half_of_all_edits():
    simple = ("rename", "change_constant", "change_default", "replace_call")
    assert abs(sum(row.share for row in registry.KINDS.values()) - 100) < 1e-6
    assert 40 <= sum(registry.KINDS[kind].share for kind in simple) <= 55
