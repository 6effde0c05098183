"""Rounds matrices to the quantised formats of the model pack (docs/pack.md): q8, 7 bits with a scale for 128 numbers along the input;
q4, 4 bits with a scale for 128 and a multiplier 1..8 for 32.

Scales are bfloat16, chosen among several for the least squared error of the weights they give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

GROUP = 128  # numbers along the input that share a scale
SUB = 32  # numbers along the input that share a multiplier (q4); depths of quantised matrices are multiples of it
OFFSET = 64  # of stored q8 numbers
MOST = 64  # magnitude of a q8 number
NIBBLE_OFFSET = 8  # of stored q4 numbers
MOST_MULTIPLIER = 8
TINY = np.float32(1e-30)  # groups whose largest magnitude is below it become zero
Q8_SCALES = 8  # scales tried: the least that clips nothing, and the bfloat16 numbers below it
Q4_LEVELS = np.geomspace(8.6 * 8, 5 * 8, 16)  # quotients of the group's largest number and the scales tried
Q4_REFITS = 2
CHUNK = 1 << 16  # numbers worked on at once: they and two temporaries fit the second-level cache


class Q8(NamedTuple):
    """A matrix [N, K] as `values * scale`."""

    values: np.ndarray  # int8 [N, K], -64..64
    scales: np.ndarray  # uint16 [N, ceil(K/128)], bfloat16

    def weights(self) -> np.ndarray:
        """The matrix in float32, as the engine understands it."""
        return self.values * _spread(widened(self.scales), GROUP, self.values.shape[1])


class Q4(NamedTuple):
    """A matrix [N, K] as `values * multiplier * scale`."""

    values: np.ndarray  # int8 [N, K], -8..7
    multipliers: np.ndarray  # uint8 [N, K/32], 1..8
    scales: np.ndarray  # uint16 [N, ceil(K/128)], bfloat16

    def weights(self) -> np.ndarray:
        """The matrix in float32, as the engine understands it."""
        depth = self.values.shape[1]
        steps = _spread(self.multipliers.astype(np.float32), SUB, depth) * _spread(widened(self.scales), GROUP, depth)
        return self.values * steps


def widened(scales: np.ndarray) -> np.ndarray:
    """bfloat16 numbers (uint16) as float32."""
    return (scales.astype(np.uint32) << 16).view(np.float32)


def nearest(values: np.ndarray) -> np.ndarray:
    """Finite float32 as the nearest bfloat16 (uint16), ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _raised(values: np.ndarray) -> np.ndarray:
    """Finite float32 of 0 or more as the least bfloat16 (uint16) that is not smaller."""
    return ((np.ascontiguousarray(values, np.float32).view(np.uint32) + 0xFFFF) >> 16).astype(np.uint16)


def _spread(values: np.ndarray, each: int, depth: int) -> np.ndarray:
    """Every number of a row repeated `each` times, `depth` in all."""
    return np.repeat(values, each, axis=1)[:, :depth]


def _inverse(steps: np.ndarray) -> np.ndarray:
    """1 / steps, 0 for 0."""
    return np.divide(1, steps, out=np.zeros_like(steps), where=steps != 0)


def _largest(numbers: np.ndarray) -> np.ndarray:
    """The largest magnitude along the first axis, 0 where it is tiny."""
    most = np.abs(numbers).max(axis=0)
    return np.where(most < TINY, np.float32(0), most)


def _rounded(numbers: np.ndarray, steps: np.ndarray, low: float, high: float) -> np.ndarray:
    """`numbers / steps` to the nearest integer within low..high."""
    values = numbers * _inverse(steps)
    np.rint(values, out=values)
    return np.clip(values, low, high, out=values)


def _error(numbers: np.ndarray, steps: np.ndarray, low: float, high: float) -> np.ndarray:
    """Squared error of rounding, summed over the first axis."""
    values = _rounded(numbers, steps, low, high)
    values *= steps
    values -= numbers
    return np.einsum("k...,k...->...", values, values)


def _by_groups(weight: np.ndarray, round_chunk: Callable[[np.ndarray], tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    """Calls `round_chunk` with numbers [128, G] of G groups at a time, zeros where the last group of a row is not full; joins the results
    along their last axis, which is G, and gives each as [N, ceil(K/128), ...]."""
    outputs, depth = weight.shape
    if depth % SUB != 0:
        raise ValueError(f"a depth of {depth} is no multiple of {SUB}")
    groups = -(-depth // GROUP)
    padded = np.zeros((outputs, groups * GROUP), np.float32)
    padded[:, :depth] = weight
    flat = padded.reshape(-1, GROUP)
    pieces = [round_chunk(np.ascontiguousarray(flat[at : at + CHUNK // GROUP].T)) for at in range(0, len(flat), CHUNK // GROUP)]
    joined = (np.concatenate(parts, axis=-1) for parts in zip(*pieces, strict=True))
    return [np.ascontiguousarray(np.moveaxis(part, -1, 0)).reshape(outputs, groups, *part.shape[:-1]) for part in joined]


def _q8_chunk(numbers: np.ndarray) -> tuple[np.ndarray, ...]:
    """Values [128, G] and scales [G] of numbers [128, G]."""
    first = _raised(_largest(numbers) / np.float32(MOST))
    best = first
    least = _error(numbers, widened(first), -MOST, MOST)
    for lower in range(1, Q8_SCALES):
        scales = np.where(first > lower, first - np.uint16(lower), first)
        error = _error(numbers, widened(scales), -MOST, MOST)
        best, least = np.where(error < least, scales, best), np.minimum(error, least)
    return _rounded(numbers, widened(best), -MOST, MOST).astype(np.int8), best


def q8(weight: np.ndarray) -> Q8:
    """A matrix [N, K] in 7 bits; ValueError when K is no multiple of 32. Some 20 million numbers a second."""
    values, scales = _by_groups(weight, _q8_chunk)
    return Q8(values.reshape(len(weight), -1)[:, : weight.shape[1]], scales)


def _multipliers(numbers: np.ndarray, scales: np.ndarray, guess: np.ndarray, around: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For every block of numbers [32, 4, G] the best multiplier [4, G] among `guess` plus each of `around`, and its squared error."""
    best, least = np.ones_like(guess), np.full_like(guess, np.inf)
    for offset in around:
        candidate = np.clip(guess + offset, 1, MOST_MULTIPLIER)
        error = _error(numbers, candidate * scales, -NIBBLE_OFFSET, NIBBLE_OFFSET - 1)
        np.copyto(best, candidate, where=error < least)
        np.minimum(least, error, out=least)
    return best, least


def _q4_chunk(group_numbers: np.ndarray) -> tuple[np.ndarray, ...]:
    """Values [4, 32, G], multipliers [4, G] and scales [G] of numbers [128, G]."""
    numbers = np.ascontiguousarray(group_numbers.reshape(GROUP // SUB, SUB, -1).swapaxes(0, 1))  # [32, 4, G]
    tops = _largest(numbers)  # [4, G]
    top = tops.max(axis=0)
    # The range -8..7 is not symmetric: a negative scale turns it round for groups whose largest number is positive.
    sign = np.where(numbers.max(axis=(0, 1)) == top, np.float32(-1), np.float32(1))
    scales, multipliers, least = np.zeros_like(top), np.ones_like(tops), np.full_like(top, np.inf)

    def consider(tried: np.ndarray, guess: np.ndarray, around: tuple[int, ...]) -> None:
        tried = widened(nearest(tried))
        found, errors = _multipliers(numbers, tried, guess, around)
        error = errors.sum(axis=0)
        better = error < least
        np.copyto(scales, tried, where=better)
        np.copyto(multipliers, found, where=better)
        np.copyto(least, error, where=better)

    for level in Q4_LEVELS:
        tried = sign * top / np.float32(level)
        consider(tried, np.floor(tops * _inverse(np.abs(tried)) / 8), (-1, 0, 1))
    for _ in range(Q4_REFITS):  # the scale of least squared error for the integers found
        integers = _rounded(numbers, multipliers * scales, -NIBBLE_OFFSET, NIBBLE_OFFSET - 1) * multipliers
        square = np.einsum("ksg,ksg->g", integers, integers)
        consider(np.einsum("ksg,ksg->g", integers, numbers) * _inverse(square), multipliers.copy(), (-1, 0, 1))
    values = _rounded(numbers, multipliers * scales, -NIBBLE_OFFSET, NIBBLE_OFFSET - 1)
    return values.swapaxes(0, 1).astype(np.int8), multipliers.astype(np.uint8), nearest(scales)


def q4(weight: np.ndarray) -> Q4:
    """A matrix [N, K] in 4 bits; ValueError when K is no multiple of 32. Some 3 million numbers a second."""
    values, multipliers, scales = _by_groups(weight, _q4_chunk)
    outputs, depth = weight.shape
    return Q4(values.reshape(outputs, -1)[:, :depth], multipliers.reshape(outputs, -1)[:, : depth // SUB], scales)


FORMATS: dict[str, Callable[[np.ndarray], Q8 | Q4]] = {"q8": q8, "q4": q4}
