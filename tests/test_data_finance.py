"""Made-up finance modules: they parse, vary, keep the splits apart, and offer edits of many kinds."""

from __future__ import annotations

import ast
import re
from random import Random

import pytest

from training.data import __main__ as command
from training.data import edits, finance, names, registry, source


def test_every_recipe_parses_in_every_style():
    for split in ("train", "heldout"):
        for recipe in finance.recipes(split):
            texts = {finance.write_function(recipe, Random(seed), bool(seed % 2), seed % 3 / 2) for seed in range(30)}
            assert len(texts) > 8
            for text in texts:
                ast.parse(text)
                assert not re.search(r"<\w+\||@\w|#doc|^ *\?", text, re.M), text


def test_no_function_of_training_is_held_out():
    def bodies(split: str) -> set[bytes]:
        found: set[bytes] = set()
        for seed in range(40):
            text = finance.write_module(Random(seed), split).encode()
            found |= source.body_hashes(text.splitlines(keepends=True), ast.parse(text))
        return found

    assert not bodies("train") & bodies("heldout") and len(finance.recipes("heldout")) >= 4


def test_same_seed_same_files(tmp_path):
    for name in ("a", "b"):
        assert command.main(["finance", "--out", str(tmp_path / name), "--files", "6", "--seed", "4"]) == 0
    one, two = (sorted((tmp_path / name).rglob("*.py")) for name in ("a", "b"))
    assert len(one) == 12 and [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert len({path.read_bytes() for path in one}) == 12


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    src = tmp_path_factory.mktemp("src")
    finance.write_modules(src, "train", 8, 1)
    items = [(finance.package_name("train"), f"finance_{i:04d}.py") for i in range(8)]
    files = [source.load(src, *item) for item in items]
    pools = names.collect(src, items, 8, Random(0))
    rng, found = Random(2), set()
    for file in files:
        units = edits.usable_units(file, rng, frozenset())
        for kind in registry.KINDS:
            candidates = edits.fitting(units, kind)
            example = edits.make(file, rng.choice(candidates), kind, pools, rng) if candidates else None
            if example is not None:
                found.add(example.kind)
    return found


def test_most_kinds_find_work_in_finance_code(made):
    assert len(made) > 45
