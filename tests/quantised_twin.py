"""Torch with the engine's int8 arithmetic: what a quantised pack computes, up to the order of float sums. For comparing layer by layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812

GROUP, SUB = 128, 32


def rounded(x: torch.Tensor, group: int, most: int) -> torch.Tensor:
    """x with groups of its last axis rounded to whole multiples of (largest magnitude / most)."""
    size = x.shape[-1]
    grouped = F.pad(x, (0, -size % group)).unflatten(-1, (-1, group))
    scale = grouped.abs().amax(-1, keepdim=True) / most
    return (torch.round(grouped / scale.clamp_min(1e-30)) * scale).flatten(-2)[..., :size]


@contextlib.contextmanager
def quantised_arithmetic() -> Iterator[None]:
    """Inside, inputs of matrices that a quantised pack quantises are int8 in groups of 128, queries and values int8, keys seven bits."""
    linear, attention = F.linear, F.scaled_dot_product_attention

    def quantised_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        small = bias is not None or weight.shape[1] % SUB or weight.numel() < 4096
        return linear(x if small else rounded(x, GROUP, 127), weight, bias)

    def quantised_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *arguments: object, **options: object) -> torch.Tensor:
        size = q.shape[-1]
        return attention(rounded(q, size, 127), rounded(k, size, 64), rounded(v, size, 127), *arguments, **options)

    F.linear, F.scaled_dot_product_attention = quantised_linear, quantised_attention
    try:
        yield
    finally:
        F.linear, F.scaled_dot_product_attention = linear, attention
