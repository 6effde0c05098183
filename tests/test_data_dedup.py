"""Near-duplicates: shingles and signatures against Python sets, the exact pair search against brute force, decisions."""

from __future__ import annotations

import ast
import json
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import __main__ as command
from training.data import dedup, dedup_check, dedup_groups, fetch
from training.data.dedup_tokens import scan

LIBRARY = Path(ast.__file__).parent
TEXTS = [path.read_bytes() for path in sorted(LIBRARY.glob("*.py")) if 3000 < path.stat().st_size < 40_000][:50]


def shingle_set(text: bytes) -> np.ndarray:
    return dedup.as_set(dedup.shingles(scan(text).words))


def sketch(text: bytes) -> np.ndarray:
    return dedup.signature(dedup.shingles(scan(text).words))


def changed(text: bytes, share: float, rng: Random) -> bytes:
    """A text with about this share of its lines replaced."""
    lines = text.splitlines(keepends=True)
    return b"".join(b"%x %x\n" % (rng.getrandbits(64), rng.getrandbits(64)) if rng.random() < share else line for line in lines)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([b"ab", b"a_rather_long_identifier_of_a_word", b"x", b" ", b"(", b"\n", b"7", b"\xc3\xa9", b"\t", b"--"])))
def test_a_scan_is_what_a_regular_expression_finds(parts):
    text = b"".join(parts)
    found, words = scan(text), dedup_check._WORD.findall(text)
    assert [text[start : start + size] for start, size in zip(found.starts, found.sizes, strict=True)] == words
    assert len(set(found.words.tolist())) == len(set(words))
    assert text.splitlines() == [] or len(found.texts.line_ends) == len(text.split(b"\n")) - text.endswith(b"\n")


def test_similarity_is_that_of_python_sets():
    rng = Random(1)
    for text in TEXTS[:12]:
        other = changed(text, rng.random() * 0.3, rng)
        exact = [{tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in map(dedup_check._WORD.findall, (text, other))]
        expected = len(exact[0] & exact[1]) / len(exact[0] | exact[1])
        assert dedup.jaccard(shingle_set(text), shingle_set(other)) == expected
    assert dedup.jaccard(shingle_set(b""), shingle_set(b"")) == 1 and dedup.jaccard(shingle_set(b"a"), shingle_set(b"")) == 0
    assert dedup.jaccard(shingle_set(b"a b"), shingle_set(b"a, b")) == 1


@pytest.mark.parametrize("words", [6, 40, 300, 2000])
def test_signatures_estimate_similarity_without_bias(words):
    """The mean error over many pairs stays within four standard errors of 0, for texts that fill the bins in one round or in many."""
    rng = Random(words)
    errors, variance = [], 0.0
    for _ in range(80):
        base = [b"w%d" % rng.randrange(10**9) for _ in range(words)]
        other = [b"v%d" % rng.randrange(10**9) if rng.random() < 0.04 else word for word in base]
        first, second = b" ".join(base), b" ".join(other)
        exact = dedup.jaccard(shingle_set(first), shingle_set(second))
        errors.append(float((sketch(first) == sketch(second)).mean()) - exact)
        variance += exact * (1 - exact) / dedup.BINS
    # A text of two shingles has two values in its bins: the spread is that of few draws.
    spread = max((variance / len(errors)) ** 0.5, 0.5 if words < 10 else 0.0) * (4 if words < 100 else 1.5)
    assert abs(np.mean(errors)) <= 4 * spread / len(errors) ** 0.5


def test_unrelated_texts_share_no_bucket_and_near_ones_do():
    keys = np.stack([dedup.bucket_keys(sketch(text)) for text in TEXTS])
    proposed = dedup_check.proposed_pairs(keys)
    assert all(dedup.jaccard(shingle_set(TEXTS[a]), shingle_set(TEXTS[b])) > 0.3 for a, b in proposed)
    rng, found, expected = Random(5), 0, 0.0
    for text in TEXTS:
        other = changed(text, 0.02, rng)
        found += bool((dedup.bucket_keys(sketch(text)) == dedup.bucket_keys(sketch(other))).any())
        expected += dedup.candidate_probability(dedup.jaccard(shingle_set(text), shingle_set(other)))
    assert abs(found - expected) <= 4 * len(TEXTS) ** 0.5 * 0.5
    assert dedup.candidate_probability(0.85) > 0.97 and dedup.candidate_probability(0.4) < 0.001


def test_all_pairs_is_brute_force():
    rng = Random(2)
    texts = TEXTS[:20] + [changed(text, rng.random() * 0.1, rng) for text in TEXTS[:20]] + [b"a b c", b"a b c", b"x"]
    sets = [dedup_check.exact_set(text) for text in texts]
    expected = {(a, b) for a, b in combinations(range(len(sets)), 2) if dedup.jaccard(sets[a], sets[b]) >= 0.85}
    assert dedup_check.all_pairs(sets, 0.85).keys() == expected and len(expected) > 5


def test_the_check_reports_precision_and_recall():
    """Verified pairs are exact, and of the pairs at the threshold nine in ten at least are found (97% are expected at 0.85 itself)."""
    rng = Random(3)
    texts = [variant for text in TEXTS for variant in (text, changed(text, rng.random() * 0.03, rng))]
    figures = dedup_check.compare(texts, seed=1)
    assert figures["pairs_at_threshold"] > 20 and figures["unrelated_pairs_drawn"] > 1500
    assert figures["verified_precision"] == 1 and figures["verified_recall"] >= 0.9
    assert figures["unrelated_proposed"] <= figures["unrelated_pairs_drawn"] * 0.001
    assert figures["largest_error_of_similarity"] == 0
    assert figures["dropped"] >= figures["pairs_at_threshold"] * 0.9


def test_the_check_as_a_command(tmp_path, capsys):
    for number, text in enumerate(TEXTS[:5]):
        for name in (f"a{number}.py", f"b{number}.py"):
            (tmp_path / "src/alpha").mkdir(parents=True, exist_ok=True)
            (tmp_path / "src/alpha" / name).write_bytes(text + b"# " + name.encode())
    row = fetch.Package("alpha", "1", "MIT", "", "train", "")
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 1, "packages": [row._asdict()]}))
    arguments = ["duplicates", "--src", str(tmp_path / "src"), "--manifest", str(tmp_path / "manifest.json"), "--check"]
    assert command.main([*arguments, "100"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["files"] == 10 and figures["verified_recall"] == figures["verified_precision"] == 1
    assert command.main([*arguments, "1"]) == 2 and "two files" in capsys.readouterr().err


def decide(sets: list[set[int]], groups: list[list[int]], same: list[list[int]] = ()) -> list[dedup_groups.Drop]:
    """Decisions about files with these shingles and groups of equal keys."""
    arrays = [np.array(sorted(part), np.uint64) for part in sets]
    columns = [np.array([(min(group), file) for file in group], np.int64).reshape(-1, 2) for group in groups]
    columns += [np.zeros((0, 2), np.int64)] * (dedup_groups.EXACT - len(columns))
    exact = [(min(group), file) for group in same for file in group]
    return list(dedup_groups.decide([*columns, np.array(exact, np.int64).reshape(-1, 2)], arrays.__getitem__))


def test_decisions_are_exact_and_chains_keep_their_ends():
    base = set(range(1000))
    near, far = base - set(range(50)), base - set(range(300))
    assert decide([base, near, far], [[0, 1, 2]]) == [dedup_groups.Drop(1, 0, 0.95)]
    steps = [base - set(range(cut)) for cut in (0, 100, 200)]  # each near the next, the ends not near each other
    assert [drop.file for drop in decide(steps, [[0, 1, 2]])] == [1]
    assert decide([base, near], []) == []  # no common bucket, no comparison
    assert decide([base, far], [[0, 1]], same=[[0, 1]]) == [dedup_groups.Drop(1, 0, 1.0)]


def test_groups_are_the_same_in_ranges_of_keys():
    keys = np.random.default_rng(1).integers(0, 40, 200, dtype=np.uint64) << np.uint64(57)
    whole = dedup_groups.groups([keys[:90], keys[90:]])
    parts = np.concatenate([dedup_groups.groups([keys[:90], keys[90:]], part, 3) for part in range(3)])
    assert sorted(map(tuple, whole.tolist())) == sorted(map(tuple, parts.tolist())) and len(whole) > 100
    for first, file in whole.tolist():
        assert keys[first] == keys[file] and (keys[:first] != keys[file]).all()
