"""Repairs: the gold is the real code, what is shown is the same code with one known mistake, and precise instructions settle the repair."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from training.data import edits, instructions, registry, repairs, source
from training.data.view import Draft, View

LIBRARY = Path(ast.__file__).parent
FILES = (
    "argparse.py", "asyncio/base_events.py", "asyncio/streams.py", "configparser.py", "dataclasses.py", "http/client.py", "json/decoder.py",
    "logging/__init__.py", "pathlib.py", "random.py", "shlex.py", "statistics.py", "textwrap.py", "zipfile.py",
)  # fmt: skip
EXAMPLES = [
    ("fix_operator", "def f(a, b):\n    return a < b\n", {"def f(a, b):\n    return a <= b\n", "def f(a, b):\n    return a > b\n"}),
    ("fix_operator", "n = (a) - (b)\n", {"n = (a) + (b)\n"}),
    ("fix_operator", "n += 1\n", {"n -= 1\n"}),
    ("fix_operator", "if x is None and y:\n    f()\n", {"if x == None and y:\n    f()\n", "if x is None or y:\n    f()\n"}),
    ("fix_operator", "text = 'a' + b\ndef f(x: int | None): ...\n", set()),  # text and types are no arithmetic
    ("fix_off_by_one", "for i in range(n):\n    f(i)\n", {f"for i in range(n {how}):\n    f(i)\n" for how in ("- 1", "+ 1")}),
    ("fix_off_by_one", "for i in range(1, n + 1):\n    f(i)\n",
     {f"for i in range({how}):\n    f(i)\n" for how in ("1, n", "0, n + 1", "2, n + 1")}),
    ("fix_off_by_one", "x = a[i + 1:-1]\n", {"x = a[i:-1]\n", "x = a[i + 1:-2]\n"}),
    ("fix_off_by_one", "x = a[key]\n", set()),  # no number, as far as its name tells
    ("fix_arguments", "f(a, b)\n", {"f(b, a)\n"}),
    ("fix_arguments", "f(a, *b)\nmax(a, b)\n", set()),
    ("fix_variable", "def f(a, b):\n    g(a)\n    return a + b\n",
     {"def f(a, b):\n    g(a)\n    return b + b\n", "def f(a, b):\n    g(a)\n    return a + a\n"}),  # g(b): b is no argument elsewhere
    ("fix_condition", "if a == b:\n    f()\n", {"if a != b:\n    f()\n"}),
    ("fix_condition", "while ready(x):\n    f()\n", {"while not ready(x):\n    f()\n"}),
    ("fix_condition", "if a is None or b in c:\n    f()\n",
     {"if a is not None or b in c:\n    f()\n", "if a is None or b not in c:\n    f()\n"}),
    ("fix_not", "if not self.open:\n    f()\n", {"if self.open:\n    f()\n"}),
    ("fix_not", "if a not in b:\n    f()\n", {"if a in b:\n    f()\n"}),
    ("fix_not", "if not (a and b):\n    f()\n", set()),
    ("fix_constant", "f(key=True)\nn = 5\n", {"f(key=False)\nn = 5\n"}),
    ("fix_constant", "total = 0\n", {"total = 1\n"}),
    ("fix_self", "def f(self):\n    return self.size\n", {"def f(self):\n    return size\n"}),
    ("fix_self", "def f(self, size):\n    return self.size + size\n", set()),  # `size` is something else
    ("fix_await", "async def f():\n    return await g(1)\n", {"async def f():\n    return g(1)\n"}),
    ("fix_await", "async def f():\n    return (await g(1)).x\n", set()),
    ("fix_get_default", "n = d.get(key, 0)\n", {"n = d.get(key)\n", "n = d[key]\n"}),
    ("fix_get_default", "n = d.get(key, None)\n", set()),
    ("fix_fstring", "text = f'{n} of {m}'\n", {"text = '{n} of {m}'\n"}),
    ("fix_fstring", "text = f'plain'\n", set()),
    ("fix_call", "x = text.lower()\n", {"x = text.lower\n"}),
    ("fix_return", "def f(a):\n    b = a + 1\n    return b\n", {"def f(a):\n    b = a + 1\n"}),
    ("fix_return", "def f(a):\n    return g(a)\n", {"def f(a):\n    g(a)\n"}),
    ("fix_raise", "if x:\n    raise ValueError(x)\n", {"if x:\n    ValueError(x)\n"}),
    ("fix_guard", "def f(a):\n    if a is None:\n        return 0\n    return a.size\n", {"def f(a):\n    return a.size\n"}),
    ("fix_guard", "if a:\n    x = 1\nelif b:\n    raise E\ny = 1\n", set()),
    ("fix_try", "try:\n    x = d[k]\nexcept KeyError:\n    x = 0\n", {"x = d[k]\n"}),
    ("fix_try", "try:\n    x = '''a\n  b'''\nexcept KeyError:\n    x = 0\n", set()),  # moving it would change the string
    ("fix_with", "with open(p) as f:\n    x = f.read()\ny = 1\n", {"f = open(p)\nx = f.read()\ny = 1\n"}),
    ("fix_with", "with lock:\n    # now\n    n += 1\n", set()),  # the comment's place would be lost
    ("fix_mutable_default", "def f(a, seen=None):\n    if seen is None:\n        seen = []\n    return seen + a\n",
     {"def f(a, seen=[]):\n    return seen + a\n"}),
    ("fix_except", "try:\n    f()\nexcept KeyError:\n    g()\n",
     {"try:\n    f()\nexcept:\n    g()\n", "try:\n    f()\nexcept Exception:\n    g()\n"}),
    ("fix_except", "try:\n    f()\nexcept (A, B) as e:\n    g(e)\n", {"try:\n    f()\nexcept Exception as e:\n    g(e)\n"}),
    ("fix_exception", "raise TypeError('x') from e\n", {"raise ValueError('x') from e\n", "raise AttributeError('x') from e\n"}),
    ("fix_decorator", "@property\ndef f(self):\n    return 1\n", {"def f(self):\n    return 1\n"}),
]  # fmt: skip


def view_of(text: str) -> View:
    """A view of a whole text."""
    data = text.encode()
    unit = source.Unit(0, data.splitlines(keepends=True), source.parse_indented(data), "module")
    return View(unit, 0, len(unit.lines))


def drafts(kind: str, view: View, count: int = 80) -> list[tuple[Draft, str]]:
    """(draft, damaged text) of every seed that gives one."""
    found = []
    for seed in range(count):
        draft = repairs.KINDS[kind][0](view, Random(seed), None)
        region = edits.spliced_region(view, draft) if draft is not None else None
        if region is not None:
            found.append((draft, region.decode()))
    return found


@pytest.mark.parametrize("kind, text, expected", EXAMPLES)
def test_damage_is_the_known_one(kind, text, expected):
    """Every mistake that a kind makes of a text is an expected one, every expected one is made, and the text itself is the answer."""
    found = drafts(kind, view_of(text))
    assert {shown for _, shown in found} == expected
    assert all(draft.inverse and draft.kind == kind for draft, _ in found)


def test_every_kind_has_an_example():
    assert {kind for kind, _, _ in EXAMPLES} == set(repairs.KINDS)
    assert {kind for kind, _, expected in EXAMPLES if expected} == set(repairs.KINDS)
    assert set(repairs.TEMPLATES) == set(repairs.KINDS)


@pytest.mark.parametrize(
    "kind, text, variant, slots",
    [
        ("fix_operator", "while i < n:\n    i += 1\n", "precise_place", {"old": "<=", "new": "<", "role": "loop condition"}),
        ("fix_off_by_one", "for i in range(n):\n    f(i)\n", "precise_stop", {"old": "n + 1", "new": "n"}),
        ("fix_arguments", "f(a, b)\n", "precise_call", {"call": "f", "old": "b", "new": "a"}),
        ("fix_condition", "if a == b:\n    f()\n", "precise_negate", {"old": "a != b"}),
        ("fix_not", "if not x:\n    f()\n", "precise_if", {"role": "if"}),
        ("fix_constant", "f(key=True)\n", "precise_label", {"label": "key", "value": "True", "default": "False"}),
        ("fix_self", "def f(self):\n    return self.size\n", "precise_self", {"old": "size", "new": "self.size"}),
        ("fix_await", "async def f():\n    await a.go()\n", "precise_call", {"call": "a.go"}),
        ("fix_get_default", "n = d.get(key, 0)\n", "precise_index", {"old": "d[key]", "value": "0"}),
        ("fix_fstring", "text = f'{n}'\n", "precise_string", {"old": "'{n}'"}),
        ("fix_call", "x = text.lower()\n", "precise_call", {"call": "text.lower"}),
        ("fix_return", "def f(a):\n    b = a + 1\n    return b\n", "precise_end", {"new": "b", "func": "f"}),
        ("fix_raise", "if x:\n    raise ValueError(x)\n", "precise_call", {"call": "ValueError"}),
        ("fix_guard", "def f(a):\n    if a is None:\n        return 0\n    return a.size\n", "precise_first",
         {"what": "a is None", "stmt": "return 0", "func": "f"}),
        ("fix_try", "try:\n    x = d[k]\nexcept KeyError as e:\n    x = 0\n", "precise_wrap",
         {"old": "x = d[k]", "what": "KeyError as e", "stmt": "x = 0"}),
        ("fix_with", "with open(p) as f:\n    x = f.read()\n", "precise_open",
         {"what": "f = open(p)", "old": "x = f.read()", "new": "with open(p) as f"}),
        ("fix_mutable_default", "def f(a, b=None):\n    '''Text.'''\n    if b is None:\n        b = {}\n    return b\n", "precise_default",
         {"label": "b", "value": "{}", "func": "f"}),
        ("fix_except", "try:\n    f()\nexcept KeyError:\n    g()\n", "precise_bare", {"new": "KeyError"}),
        ("fix_exception", "raise OSError\n", "precise_raise", {"old": "ValueError", "new": "OSError"}),
        ("fix_decorator", "@property\ndef f(self):\n    return 1\n", "precise_make", {"func": "f", "text": "property"}),
    ],
)  # fmt: skip
def test_precise_instructions_name_the_repair(kind, text, variant, slots):
    found = [draft.slots for draft, _ in drafts(kind, view_of(text), 300) if draft.variant == variant]
    assert slots in found


@pytest.mark.parametrize(
    "kind, text, variants",
    [
        ("fix_operator", "x = a < b\ny = c <= d\nz = e > f\nw = g >= h\n", {"precise_operator"}),  # all stand twice
        ("fix_arguments", "f(a, b)\nf(b, c)\n", {"precise_call", "precise_swap"}),
        ("fix_condition", "if a:\n    f()\nif b:\n    g()\n", {"precise_if"}),
        ("fix_return", "def f(a):\n    b = 1\n\n    return b\n", {"precise_end"}),  # blank lines are not told
        ("fix_except", "try:\n    f()\nexcept KeyError:\n    g()\ntry:\n    f()\nexcept Exception:\n    g()\n", {"precise_wide"}),
        ("fix_decorator", "@a\n@b\ndef f(): ...\n", {"precise_add"}),  # which goes first?
        ("fix_guard", "def f(a):\n    if a:\n        return  # enough\n    return a.size\n", {"precise_first", "precise_before"}),
    ],
)
def test_ambiguous_repairs_are_never_called_precise(kind, text, variants):
    found = {draft.variant for draft, _ in drafts(kind, view_of(text), 300)}
    assert found and not found & variants


def test_a_slice_is_not_quoted_without_its_brackets():
    found = [draft.slots["old"] for draft, _ in drafts("fix_off_by_one", view_of("x = a[1:]\n")) if draft.variant == "precise_fragment"]
    assert found and all("[" in text or text.isdigit() for text in found)


@pytest.fixture(scope="module")
def library() -> list[tuple[source.SourceFile, list[source.Unit]]]:
    """Files of the standard library with their units."""
    loaded = [source.load(LIBRARY, "", name) for name in FILES if (LIBRARY / name).exists()]
    return [(file, edits.usable_units(file, Random(3), frozenset())) for file in loaded if file]


@pytest.fixture(scope="module")
def examples(library) -> list[tuple[edits.Example, source.SourceFile]]:
    """Repairs of every kind in real code."""
    rng, made = Random(7), []
    for kind in repairs.KINDS:
        for file, found in library:
            candidates = edits.fitting(found, kind)
            for _ in range(6 if candidates else 0):
                example = edits.make(file, rng.choice(candidates), kind, None, rng, held_out=bool(rng.getrandbits(1)))
                if example is not None:
                    made.append((example, file))
    return made


def test_every_kind_is_found_in_the_standard_library(examples):
    counts = Counter(example.kind for example, _ in examples)
    assert set(counts) == set(repairs.KINDS), set(repairs.KINDS) - set(counts)
    assert sum(counts.values()) > 500


def test_gold_is_the_real_file_and_the_damaged_one_parses(examples):
    parsed = Random(2).sample(range(len(examples)), 80)
    for number, (example, file) in enumerate(examples):
        text, target = b"".join(file.lines), example.target
        place = text.find(target.before + example.new_region + target.after)
        assert place >= 0 and target.region != example.new_region
        if number not in parsed:
            continue
        start = place + len(target.before)
        damaged = text[:start] + target.region + text[start + len(example.new_region) :]
        assert ast.dump(source.parse(damaged)) != ast.dump(file.tree)


def test_variants_say_whether_the_instruction_is_precise(examples):
    share = Counter(example.variant.split("_")[0] for example, _ in examples)
    assert set(share) == {"precise", "vague"} and 0.35 < share["precise"] / share.total() < 0.65


def test_a_quoted_fragment_settles_the_repair(library):
    """Whoever puts the new code for the one place that has the old one gets the gold."""
    rng, count = Random(9), 0
    for kind, (make, _, _) in repairs.KINDS.items():
        for _, found in library:
            candidates = edits.fitting(found, kind)
            for unit in rng.sample(candidates, min(5, len(candidates))):
                view = View(unit, 0, len(unit.lines))
                draft = make(view, rng, None) if unit.tree.body else None
                if draft is None or draft.variant != "precise_fragment" or not (shown := edits.spliced_region(view, draft)):
                    continue
                old, new = draft.slots["old"], draft.slots["new"]
                places = [match.start() for match in re.finditer(re.escape(old), shown.decode())]
                results = {shown.decode()[:at] + new + shown.decode()[at + len(old) :] for at in places}
                assert view.region.decode() in results
                assert kind == "fix_self" or len(whole_words(shown.decode(), old)) == 1
                count += 1
    assert count > 100


def whole_words(text: str, wanted: str) -> list[int]:
    """Where the tokens of `wanted` follow each other in `text`, attributes of the same name left out."""

    layout = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.COMMENT)

    def tokens(code: str) -> list[str]:
        found = []
        try:
            for token in tokenize.generate_tokens(io.StringIO(code).readline):
                found += [] if token.type in layout else [token.string]
        except (tokenize.TokenError, SyntaxError):
            pass
        return found

    every, some = tokens("if 1:\n" + text if text[0] in " \t" else text), tokens(wanted)
    places = [i for i in range(len(every)) if every[i : i + len(some)] == some]
    return [i for i in places if not i or every[i - 1] != "." or not some[0].isidentifier()]


def test_wordings_name_only_their_slots():
    """Each variant's training and evaluation wordings differ and no wording is left without words."""
    for kind, variants in repairs.TEMPLATES.items():
        for variant, templates in variants.items():
            assert len(templates) == len(set(templates)) >= 6, (kind, variant)
            assert variant.startswith(("precise", "vague"))
            assert instructions.choices(kind, variant, True) and registry.TEMPLATES[kind][variant] == templates
