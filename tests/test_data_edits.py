"""Edits: each gold parses, changes what the instruction names and nothing else, and renames follow Python's scopes."""

from __future__ import annotations

import ast
import io
import re
import sys
import textwrap
import tokenize
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from training.data import edits, instructions, kinds, names, registry, scope, source, splice, statements
from training.data.view import View

LIBRARY = Path(ast.__file__).parent
COUNT = 12
FILES = ("argparse.py", "textwrap.py", "shlex.py", "configparser.py", "json/decoder.py", "logging/__init__.py", "csv.py", "calendar.py")


def unit_of(text: str, owner: str = "module") -> source.Unit:
    """A unit that holds all of `text`."""
    data = textwrap.dedent(text).encode()
    return source.Unit(0, data.splitlines(keepends=True), source.parse_indented(data), owner)


def renamed(text: str, old: str, new: str) -> str | None:
    """`text` after renaming `old` by the same rules as the edits, or None where they refuse."""
    unit = unit_of(text)
    found = scope.resolve_names(unit.tree, unit.lines, unit.owner)
    places = found.occurrences.get(old, [])
    view = View(unit, 0, len(unit.lines))
    attributes = {node.attr for node in view.nodes if isinstance(node, ast.Attribute)}
    if not places or old in found.blocked or not kinds._consistent(view, old, places, attributes):
        return None
    starts = view.starts
    splices = [splice.Splice(starts[p.line - 1] + p.column, starts[p.line - 1] + p.column + len(old), new.encode()) for p in places]
    assert all(view.text[one.start : one.end].decode() == old for one in splices)
    return splice.splice(view.text, splices).decode()


@pytest.fixture(scope="module")
def library() -> tuple[list[source.SourceFile], names.Pools]:
    """A few files of the standard library, and the pools made from them."""
    files = [("", name) for name in FILES]
    loaded = [source.load(LIBRARY, *item) for item in files]
    assert all(loaded)
    return loaded, names.collect(LIBRARY, files, len(files), Random(0))


@pytest.fixture(scope="module")
def examples(library) -> list[tuple[edits.Example, source.SourceFile]]:
    """COUNT edits of every kind of names, values and whole statements, and as many that change nothing."""
    files, pools = library
    rng, made = Random(5), []
    for kind in [*kinds.KINDS, *statements.KINDS, "nothing"]:
        count = 0
        for _ in range(4000):
            file = rng.choice(files)
            candidates = edits.fitting(edits.usable_units(file, rng, frozenset()), kind)
            for _ in range(10 if candidates else 0):
                example = edits.make(file, rng.choice(candidates), kind, pools, rng)
                if example is not None and count < COUNT:
                    made.append((example, file))
                    count += 1
            if count == COUNT:
                break
        assert count == COUNT, kind
    return made


def test_gold_parses_in_its_file(examples):
    for example, file in examples:
        target = example.target
        if example.new_region == target.region:
            continue
        text = b"".join(file.lines)
        place = text.find(target.before + target.region + target.after)
        assert place >= 0
        start = place + len(target.before)
        source.parse(text[:start] + example.new_region + text[start + len(target.region) :])


def test_only_the_nothing_kind_changes_nothing(examples):
    for example, _ in examples:
        assert (example.new_region == example.target.region) == (example.kind == "nothing")


def test_instruction_names_what_the_gold_brings(examples):
    """Whatever word is new in the gold stands in the instruction (True, False and None may be said as on, off)."""
    for example, _ in examples:
        fresh = set(example.new_region.decode().replace(".", " ").split()) - set(example.target.region.decode().replace(".", " ").split())
        words = set(instructions_words(example.instruction))
        for piece in fresh:
            for word in instructions_words(piece.encode()):
                if word not in instructions_words(example.target.region) and word not in ("True", "False"):
                    assert word in words, (example.kind, example.instruction, word)


def instructions_words(text: bytes) -> list[str]:
    """The identifiers and numbers in some text."""
    return [word for word in "".join(c if c.isalnum() or c == "_" else " " for c in text.decode()).split()]


def test_comments_and_strings_stay_in_a_rename(examples):
    for example, _ in examples:
        if example.kind == "rename":
            assert comments(example.target.region) == comments(example.new_region)


def comments(region: bytes) -> list[str]:
    """The comments of a region, as far as it can be cut into tokens on its own."""
    found = []
    try:
        for token in tokenize.tokenize(io.BytesIO(textwrap.dedent(region.decode()).encode()).readline):
            if token.type == tokenize.COMMENT:
                found.append(token.string)
    except (tokenize.TokenError, SyntaxError):
        return []
    return found


def test_unnamed_lines_stay_byte_for_byte(examples):
    """A statement's removal or insertion leaves every other line as it was."""
    for example, _ in examples:
        old, new = example.target.region.splitlines(True), example.new_region.splitlines(True)
        if example.kind == "insert_statement":
            assert len(new) == len(old) + 1
            assert any(new[:i] + new[i + 1 :] == old for i in range(len(new)))
        elif example.kind == "remove_statement":
            gone = len(old) - len(new)
            assert any(old[:i] + old[i + gone :] == new for i in range(len(new) + 1))


def test_same_seed_same_edits(library):
    files, pools = library

    def some() -> list[edits.Example]:
        rng, balance, made = Random(3), edits.Balance(), []
        for file in files[:3]:
            made += edits.draw(file, edits.usable_units(file, rng, frozenset()), pools, balance, rng)
        return made

    first = some()
    assert len(first) > 5 and first == some()


def test_pools_do_not_depend_on_hash_order(library):
    _, pools = library
    assert all(field == sorted(set(field), key=field.index) for field in pools)


@pytest.mark.parametrize(
    "text, old, new, expected",
    [
        ("def f(a, b):\n    return a + b\n", "a", "left", "def f(left, b):\n    return left + b\n"),
        # keyword arguments and attributes of the same name are other things
        ("def f(size):\n    return g(size=size, x=o.size)\n", "size", "n", "def f(n):\n    return g(size=n, x=o.size)\n"),
        # strings, comments and docstrings
        ("def f(x):\n    '''x'''\n    # x\n    return x, 'x'\n", "x", "y", "def f(y):\n    '''x'''\n    # x\n    return y, 'x'\n"),
        # a closure's use is the same variable
        (
            "def f(x):\n    def g():\n        return x\n    return g\n",
            "x",
            "y",
            "def f(y):\n    def g():\n        return y\n    return g\n",
        ),
        # the default of an inner function is read outside, its parameter is another variable: refused
        ("def f(x):\n    def g(x=x):\n        return x\n    return g(x)\n", "x", "y", None),
        ("def f(x):\n    return [x for x in x]\n", "x", "y", None),
        # two comprehensions, one name each: both
        ("def f(v):\n    return [i for i in v], {i for i in v}\n", "i", "j", "def f(v):\n    return [j for j in v], {j for j in v}\n"),
        # f-strings
        ("def f(x):\n    return f'{x} {x!r:>{x}}'\n", "x", "y", "def f(y):\n    return f'{y} {y!r:>{y}}'\n"),
        # the walrus binds outside the comprehension
        ("def f(v):\n    a = [y := i for i in v]\n    return y\n", "y", "z", "def f(v):\n    a = [z := i for i in v]\n    return z\n"),
        # global and nonlocal, imports, except and patterns are not touched
        ("def f():\n    global x\n    x = 1\n", "x", "y", None),
        ("def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = 2\n    return g\n", "x", "y", None),
        ("import os\nprint(os.path)\n", "os", "system", None),
        ("try:\n    f()\nexcept E as e:\n    print(e)\n", "e", "error", None),
        ("def f(v):\n    match v:\n        case [x]:\n            return x\n", "x", "y", None),
        # a keyword argument that belongs to the renamed parameter: refused
        ("def f(n):\n    return f(n=n - 1)\n", "n", "count", None),
        # a class body's names are attributes
        ("class A:\n    x = 1\n    y = x\n", "x", "z", None),
        # a method's body does not see the class body's names
        ("class A:\n    def size(self):\n        return size()\n", "size", "n", None),
        ("class A:\n    def size(self):\n        return 1\n", "size", "n", "class A:\n    def n(self):\n        return 1\n"),
        ("class A:\n    def size(self):\n        return self.size\n", "size", "n", None),
        # recursion
        ("def fib(n):\n    return fib(n - 1)\n", "fib", "f", "def f(n):\n    return f(n - 1)\n"),
        # the same parameter in two functions
        ("def f(a):\n    return a\ndef g(a):\n    return a\n", "a", "b", "def f(b):\n    return b\ndef g(b):\n    return b\n"),
        # local in one function, global in another: refused
        ("def f(a):\n    return a\ndef g():\n    return a\n", "a", "b", None),
        # bytes before the name on its line are counted, not characters
        ("def f(x):\n    return 'äöü', x\n", "x", "y", "def f(y):\n    return 'äöü', y\n"),
        ("async def run(x):\n    await x\n", "run", "go", "async def go(x):\n    await x\n"),
        (
            "def f(*, key=None, **rest):\n    return lambda v: key(v)\n",
            "key",
            "by",
            "def f(*, by=None, **rest):\n    return lambda v: by(v)\n",
        ),
    ],
)
def test_rename_follows_scopes(text, old, new, expected):
    assert renamed(text, old, new) == expected


def test_same_tree_sees_every_difference():
    old = ast.parse("x = f(1, a=2)\ny = x\n")
    assert splice.same_tree(old, ast.parse("x = f( 1, a = 2 )\ny = x # c\n"), {})
    for other in (
        "x = f(1, a=3)\ny = x\n",
        "x = f(1, b=2)\ny = x\n",
        "x = f(1, a=2)\n",
        "x = f(1, a=2)\ny = x\nz\n",
        "x = f(True, a=2)\ny = x\n",
    ):
        assert not splice.same_tree(old, ast.parse(other), {})
    constant = old.body[0].value.args[0]
    changes = {id(constant): splice.Change(node=ast.parse("5", mode="eval").body)}
    assert splice.same_tree(old, ast.parse("x = f(5, a=2)\ny = x\n"), changes)
    assert not splice.same_tree(old, ast.parse("x = f(1, a=2)\ny = x\n"), changes)
    removed = {id(old.body[1]): splice.Change(remove=True)}
    assert splice.same_tree(old, ast.parse("x = f(1, a=2)\n"), removed)


def test_overlapping_splices_are_refused():
    with pytest.raises(ValueError):
        splice.splice(b"abcdef", [splice.Splice(0, 3, b"x"), splice.Splice(2, 4, b"y")])


def test_constants_with_two_meanings_are_not_named_by_label(library):
    """A label that stands twice in a region is only used together with the old value."""
    _, pools = library
    unit = unit_of("def f():\n    g(timeout=10)\n    h(timeout=20)\n")
    variants = set()
    for seed in range(200):
        draft = kinds.change_constant(View(unit, 0, len(unit.lines)), Random(seed), pools)
        if draft is not None:
            variants.add(draft.variant)
    assert variants and variants <= {"from_to", "literal", "every"}


def test_templates_fit_their_slots():
    """Every template can be worded; held-out templates are never drawn for training."""
    every = [text for variants in registry.TEMPLATES.values() for texts in variants.values() for text in texts]
    slots = dict.fromkeys({slot for text in every for slot in re.findall(r"\{(\w+)\}", text)} | {"func"}, "name")
    for kind, variants in registry.TEMPLATES.items():
        for variant in variants:
            assert not set(instructions.choices(kind, variant, True)) & set(instructions.choices(kind, variant, False))
            for seed in range(20):
                assert "{" not in instructions.word(Random(seed), kind, variant, slots)


def test_words_around_names_vary_and_names_do_not():
    """Both names stand in every instruction, in either order, with and without a template around them; held-out wordings stay templates."""
    slots = {"old": "parse_head", "new": "read_top", "role": "function", "func": ""}
    made = [instructions.word(Random(seed), "rename", "function", slots) for seed in range(400)]
    assert all(text.count("parse_head") == text.count("read_top") == 1 for text in made)
    templated = re.compile(r"(?i)re?n?a?me|name|call|change|use|give|->|=>|s/")
    assert 20 < sum(not templated.search(text) for text in made) < 80
    assert 30 < sum(text.index("read_top") < text.index("parse_head") for text in made)
    held_out = [instructions.word(Random(seed), "rename", "function", slots, held_out=True) for seed in range(200)]
    assert all(re.search(r"(?i)b.*e.*r|on\b", text) for text in held_out)  # "a better name", "from now on", with slips
    assert any(text.startswith("todo: ") for text in made) and any(text.endswith(" for consistency") for text in made)


def test_even_kinds():
    """With --even, rare kinds are drawn as often as simple ones where the code has them."""
    rng, balance = Random(1), edits.Balance(even=True)
    drawn = Counter()
    for _ in range(4000):
        kind = balance.draw(rng)
        drawn[kind] += 1
        balance.count(kind)
    assert min(drawn.values()) > 25 and max(drawn.values()) < 70 and len(drawn) == len(registry.KINDS)


def test_generated_and_odd_files_are_refused():
    body = b"x = 1\n" * 60
    assert source.reject_reason(body) == ""
    assert source.reject_reason(b"x = 1\n") == "size"
    assert source.reject_reason(b"# Generated by protoc. DO NOT EDIT\n" + body) == "generated"
    assert source.reject_reason(b"# GNU General Public License\n" + body) == "licence"
    assert source.reject_reason(body + b"y = '" + b"a" * 400 + b"'\n") == "long line"
    assert source.reject_reason(body + b"\0") == "binary"
    assert source.reject_reason(body + b"# \xff\n") == "not UTF-8"
    assert source.reject_reason(b"[" + b"1234567890,\n" * 60 + b"]") == "mostly numbers"


def test_a_body_of_a_held_out_package_keeps_its_unit_out(library):
    files, _ = library
    leaked = source.body_hashes(files[0].lines, files[0].tree)
    assert len(leaked) > 50 and edits.usable_units(files[0], Random(1), leaked) == []
    key, first, last = max(source.function_bodies(files[0].lines, files[0].tree), key=lambda row: row[2] - row[1])
    assert last - first > source.MAX_UNIT_LINES  # a function so long that units are cut from within it
    left = edits.usable_units(files[0], Random(1), {key})
    assert all(unit.first >= last or unit.first + len(unit.lines) < first for unit in left)
    assert 10 < len(left) < len(edits.usable_units(files[0], Random(1), frozenset()))


def test_white_space_and_docstring_do_not_hide_a_copy():
    one = b"def f(a):\n    '''Text.'''\n    total = sum(item.size for item in a)\n    return total * 2\n"
    two = b"class C:\n    def other(self, a):\n        total = sum(item.size  for item in a)\n\n        return total * 2\n"
    hashes = [source.body_hashes(text.splitlines(True), ast.parse(text)) for text in (one, two)]
    assert len(hashes[0]) == 1 and hashes[0] == hashes[1]


def test_this_python_gives_positions_in_bytes():
    """What every splice rests on."""
    node = ast.parse("'ä'; x").body[1].value
    assert node.col_offset == 6, sys.version
