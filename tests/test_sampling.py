"""The sampler against a slow reference in numpy (docs/sampling.md): the same token for every draw, and the right distribution."""

from __future__ import annotations

import math
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell.binding import STATUS_ARGUMENT, STATUS_CAPACITY, CromwellError, Sampler, isa_select

F = np.float32
GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def mix(z: int) -> int:
    """The finaliser of SplitMix64."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def uniform(seed: int, index: int) -> float:
    """Number `index` of stream `seed`, in [0, 1)."""
    return (mix(mix(seed) + (index + 1) * GOLDEN & MASK) >> 11) * 2.0**-53


def reference_weights(logits, history=(), temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, repetition_window=0):
    """Unnormalised probabilities [V] float64 in the documented order: penalty, temperature, top-k, softmax, top-p, min-p."""
    x_V = np.array(logits, dtype=F)
    recent = list(history)[-repetition_window:] if repetition_window else list(history)
    for token in set(recent):
        with np.errstate(over="ignore"):
            changed = x_V[token] / F(repetition_penalty) if x_V[token] > 0 else x_V[token] * F(repetition_penalty)
        if np.isfinite(x_V[token]):
            x_V[token] = np.clip(changed, -np.finfo(F).max, np.finfo(F).max)
    if temperature == 0:
        return (np.arange(len(x_V)) == int(np.argmax(x_V))).astype(float)
    with np.errstate(over="ignore"):
        d_V = (x_V - x_V.max()) / F(temperature)
    order = np.lexsort((np.arange(len(d_V)), -d_V))  # best first, equals by id
    kept = order[:top_k] if top_k else order
    weights = np.where(d_V < -87, 0.0, np.exp(d_V.astype(np.float64))).astype(F).astype(np.float64)
    if top_p < 1:
        sums = np.cumsum(weights[kept])
        kept = kept[: int(np.searchsorted(sums, float(F(top_p)) * sums[-1], side="left")) + 1]
    result = np.zeros(len(x_V))
    result[kept] = weights[kept]
    result[result < F(min_p)] = 0
    return result


def reference_pick(weights, seed, index):
    """The token whose share of the weights, laid out in id order, contains the draw."""
    sums = np.cumsum(weights)
    return int(np.searchsorted(sums, uniform(seed, index) * sums[-1], side="right"))


def plain_log_probability(logits, token):
    x_V = np.array(logits, dtype=F).astype(np.float64)
    return x_V[token] - x_V.max() - math.log(np.exp(x_V - x_V.max()).sum())


def logits_like(seed: int, size: int, spread: float) -> array:
    return array("f", np.random.default_rng(seed).normal(0, spread, size).astype(F).tobytes())


OPTIONS = [
    {},
    {"temperature": 0.0},
    {"temperature": 0.7},
    {"temperature": 1.9},
    {"top_k": 1},
    {"top_k": 7},
    {"top_p": 0.3},
    {"top_p": 0.9},
    {"min_p": 0.1},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.6, "repetition_window": 5},
    {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.02, "repetition_penalty": 1.1, "repetition_window": 16},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("size", "spread"), [(1, 1.0), (2, 0.5), (17, 3.0), (300, 2.0), (5000, 3.0)])
def test_each_draw_is_the_reference_s(options, size, spread):
    chosen = {"temperature": 1.0, **options}
    history = [token * 7 % size for token in range(20)]
    with Sampler(size, 64, seed=11, **chosen) as sampler:
        sampler.accept(history)
        for step in range(40):
            logits = logits_like(step, size, spread)
            token, log_probability = sampler.next(logits)
            weights = reference_weights(logits, history, **chosen)
            assert token == reference_pick(weights, 11, step if chosen["temperature"] else 0), step
            assert log_probability == pytest.approx(plain_log_probability(logits, token), abs=2e-6 * max(1, spread * 8))


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    levels=st.lists(st.sampled_from([-math.inf, -1e30, -3.0, -0.0, 0.0, 1.0, 1.0000001, 2.0, 1e30]), min_size=1, max_size=40),
    temperature=st.sampled_from([0.0, 1e-30, 0.5, 1.0, 3.0, 1e30]),
    top_k=st.integers(0, 45),
    top_p=st.sampled_from([1e-30, 0.25, 0.5, 0.75, 0.999999, 1.0]),
    min_p=st.sampled_from([0.0, 1e-30, 0.3, 0.999]),
    penalty=st.sampled_from([0.5, 1.0, 2.0, 1e38]),
    seed=st.integers(0, MASK),
)
def test_ties_and_extremes_match_the_reference(levels, temperature, top_k, top_p, min_p, penalty, seed):
    if max(levels) == -math.inf:
        levels = [*levels, 0.0]
    history = [0, len(levels) // 2]
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "repetition_penalty": penalty}
    with Sampler(len(levels), 8, seed=seed, **options) as sampler:
        sampler.accept(history)
        logits = array("f", levels)
        weights = reference_weights(logits, history, **options)
        for step in range(8):
            assert sampler.next(logits)[0] == reference_pick(weights, seed, step if temperature else 0)


def chi_square_limit(degrees: int) -> float:
    """The value that a chi-square of so many degrees exceeds once in 10,000 trials (Wilson and Hilferty)."""
    return degrees * (1 - 2 / (9 * degrees) + 3.719 * math.sqrt(2 / (9 * degrees))) ** 3


@pytest.mark.parametrize("options", [o for o in OPTIONS if o.get("temperature", 1) > 0 and o.get("top_k") != 1], ids=str)
def test_distribution(options):
    """20,000 draws against the reference's probabilities; tokens expected less than five times are counted as one."""
    chosen, draws, size = {"temperature": 1.0, **options}, 20000, 60
    history = list(range(0, size, 3))
    logits = logits_like(5, size, 1.5)
    weights = reference_weights(logits, history, **chosen)
    expected = weights / weights.sum() * draws
    counts = np.zeros(size)
    with Sampler(size, 64, seed=2026, **chosen) as sampler:
        sampler.accept(history)
        for _ in range(draws):
            counts[sampler.next(logits)[0]] += 1
    assert counts[expected == 0].sum() == 0
    common, rare = expected >= 5, (expected > 0) & (expected < 5)
    seen, wanted = list(counts[common]), list(expected[common])
    if expected[rare].sum() > 0:
        seen.append(counts[rare].sum())
        wanted.append(expected[rare].sum())
    statistic = sum((a - b) ** 2 / b for a, b in zip(seen, wanted, strict=True))
    assert len(seen) > 1
    assert statistic < chi_square_limit(len(seen) - 1)


def test_consecutive_seeds_are_independent():
    """The first draws of seeds 0, 1, 2, ... are themselves uniform: candidates are drawn with neighbouring seeds."""
    counts = np.zeros(16)
    for seed in range(4000):
        with Sampler(16, 1, temperature=1.0, seed=seed) as sampler:
            counts[sampler.next(array("f", [0.0] * 16))[0]] += 1
    assert ((counts - 250) ** 2 / 250).sum() < chi_square_limit(15)


def present(isa: str) -> bool:
    """Whether this machine has the instruction set and this build the kernels."""
    try:
        isa_select(isa)
    except CromwellError:
        return False
    isa_select(None)
    return True


ISAS = [isa for isa in ("scalar", "avx2", "avx512vnni") if present(isa)]


@pytest.mark.parametrize("isa", ISAS)
def test_draws_are_the_same_everywhere(isa):
    """Pinned: a change of these ids changes every sampled edit of every user."""
    isa_select(isa)
    with Sampler(1000, 1, temperature=0.9, top_p=0.97, seed=7) as sampler:
        logits = array("f", [math.ldexp((i * 7919) % 1009, -7) for i in range(1000)])
        ids = [sampler.next(logits)[0] for _ in range(12)]
    isa_select(None)
    assert ids == [523, 304, 937, 878, 660, 343, 396, 601, 805, 86, 904, 165]


WIDE = [
    {"top_p": 0.95, "temperature": 0.8},
    {"top_p": 0.5},
    {"top_k": 40, "temperature": 0.8},
    {"top_k": 3000, "top_p": 0.9},
    {"top_k": 200, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.1, "temperature": 0.8},
]


@pytest.mark.parametrize("options", WIDE, ids=str)
@pytest.mark.parametrize("shape", ["normal", "flat", "equal", "steps", "peaked", "masked"])
@pytest.mark.parametrize("isa", ISAS)
def test_a_whole_vocabulary(isa, shape, options):
    """50,000 logits, where boundaries are found by way of a sample, against the sorting reference."""
    size, numbers = 50_000, np.random.default_rng(9)
    x_V = numbers.normal(0, {"flat": 1e-3, "equal": 0}.get(shape, 3.0), size).astype(F)
    if shape == "steps":
        x_V = np.round(x_V)
    if shape == "peaked":
        x_V[777] = 40
    if shape == "masked":
        x_V[numbers.random(size) < 0.6] = -math.inf
    chosen, history = {"temperature": 1.0, **options}, list(range(0, size, 31))
    logits = array("f", x_V.tobytes())
    weights = reference_weights(logits, history, **chosen)
    isa_select(isa)
    with Sampler(size, size, seed=4, **chosen) as sampler:
        sampler.accept(history)
        for step in range(4):
            token, log_probability = sampler.next(logits)
            assert token == reference_pick(weights, 4, step)
            assert log_probability == pytest.approx(plain_log_probability(logits, token), abs=1e-5)
    isa_select(None)


def support(logits, **options):
    """Tokens that 600 draws give."""
    with Sampler(len(logits), 1, **{"temperature": 1.0, **options}) as sampler:
        return {sampler.next(array("f", logits))[0] for _ in range(600)}


def log_of(*probabilities):
    return [math.log(p) if p else -math.inf for p in probabilities]


def test_boundaries():
    halves = log_of(0.125, 0.5, 0.25, 0.125)
    assert support(halves, top_p=0.5) == {1}
    assert support(halves, top_p=0.51) == {1, 2}
    assert support(halves, top_p=0.8) == {0, 1, 2}  # of two equals the lower id
    assert support(halves, top_p=0.9) == {0, 1, 2, 3}
    assert support(halves, top_k=3) == {0, 1, 2}
    assert support(halves, top_k=2, top_p=0.6) == {1}  # 0.5 of 0.75 is two thirds: cut after normalising over the two
    assert support(halves, top_k=2, top_p=0.7) == {1, 2}
    assert support(halves, min_p=0.24) == {0, 1, 2, 3}
    assert support(halves, min_p=0.26) == {1, 2}
    assert support(log_of(0.5, 0, 0.5)) == {0, 2}
    assert support([0.0] * 5, top_p=1e-9) == {0}
    assert support([-1e30, 1e30, 1e30]) == {1, 2}
    assert support([0.0, 50.0], temperature=1e-20) == {1}
    assert support([3.5]) == {0}


@pytest.mark.parametrize("kept", [1, 2, 50, 199, 200, 399, 400])
def test_top_p_keeps_exactly_the_best(kept):
    """400 nearly equal tokens, each value twice: top-p ends within the share of token number `kept`; 8,000 draws show all."""
    values = np.repeat(np.random.default_rng(1).normal(0, 0.01, 200).astype(F), 2)
    order = np.lexsort((np.arange(400), -values))
    shares = np.cumsum(np.exp(values[order].astype(np.float64)))
    middle = (shares[kept - 1] + (shares[kept - 2] if kept > 1 else 0)) / 2 / shares[-1]
    with Sampler(400, 1, temperature=1.0, top_p=middle, seed=3) as sampler:
        logits = array("f", values.tobytes())
        drawn = {sampler.next(logits)[0] for _ in range(8000)}
    assert drawn == set(order[:kept].tolist())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
        ({"min_p": 1.0}, "min_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"repetition_penalty": math.inf}, "repetition_penalty"),
        ({"repetition_window": -1}, "repetition_window"),
    ],
)
def test_options_out_of_range_are_named(options, word):
    with pytest.raises(CromwellError, match=word) as error:
        Sampler(8, 8, **options)
    assert error.value.status == STATUS_ARGUMENT


@pytest.mark.parametrize(("vocab_size", "max_tokens"), [(0, 1), (1, 0), ((1 << 24) + 1, 1), (1, (1 << 24) + 1)])
def test_sizes_out_of_range(vocab_size, max_tokens):
    with pytest.raises(CromwellError, match="vocab_size|max_tokens"):
        Sampler(vocab_size, max_tokens)


@pytest.mark.parametrize("bad", [[math.nan, 0, 0], [0, 0, math.inf], [-math.inf] * 3])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_logits(bad, temperature):
    with Sampler(3, 1, temperature=temperature) as sampler:
        with pytest.raises(CromwellError) as error:
            sampler.next(array("f", bad))
        assert error.value.status == STATUS_ARGUMENT
        assert sampler.next(array("f", [0, 9e9, 0]))[0] == 1


def test_history_is_bounded_and_checked():
    with Sampler(4, 3, repetition_penalty=2.0) as sampler:
        for ids, status in (([4], STATUS_ARGUMENT), ([-1], STATUS_ARGUMENT), ([0] * 4, STATUS_CAPACITY)):
            with pytest.raises(CromwellError) as error:
                sampler.accept(ids)
            assert error.value.status == status
        sampler.accept([1, 1, 1])
        assert sampler.next(array("f", [0.9, 1.9, 0, 0]))[0] == 1  # penalised once: 0.95
        with pytest.raises(CromwellError):
            sampler.accept([0])
