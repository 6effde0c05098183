"""The pieces that every part of the model shares: RMS norm, RoPE, the causal text block (docs/model.md, "Shared pieces").

Shapes: B rows, T positions fed, S positions known (cached and fed), C channels, H heads, K heads of keys and values, d head size."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import TextConfig

CPU = torch.device("cpu")
Trace = dict[str, Tensor] | None
"""Intermediate results by name (docs/engine.md); None where nobody looks."""


def record(trace: Trace, name: str, value: Tensor) -> None:
    """Keeps `value` under `name` when tracing."""
    if trace is not None:
        trace[name] = value.detach()


def rms(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last axis; without a weight, 1. In the data type of `x`."""
    return F.rms_norm(x, (x.shape[-1],), weight if weight is None else weight.to(x.dtype), eps)


def matrix(rows: int, columns: int, scale: float = 1.0) -> nn.Parameter:
    """A [rows, columns] matrix, uniform with the variance `scale^2 / columns` (0 gives zeros)."""
    bound = scale * (3.0 / columns) ** 0.5
    return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound))


def ones(size: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(size))


def zeros(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape))


@functools.lru_cache(maxsize=128)
@torch.inference_mode(False)
def rope_tables(first: int, count: int, head_dim: int, base: float, device: torch.device = CPU) -> tuple[Tensor, Tensor]:
    """cos and sin of positions first..first+count-1, each [count, head_dim / 2] float32, computed in float64; kept for the next call."""
    half = head_dim // 2
    rate = base ** (-2.0 * torch.arange(half, dtype=torch.float64) / head_dim)
    angle = torch.arange(first, first + count, dtype=torch.float64)[:, None] * rate
    return angle.cos().float().to(device), angle.sin().float().to(device)


def rotate(x_BHTd: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE, rotate-half."""
    low, high = x_BHTd.chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)


def swiglu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    """`(silu(x w_gate) * (x w_up)) w_down`."""
    return F.linear(F.silu(F.linear(x, w_gate)) * F.linear(x, w_up), w_down)


def split_heads(x_BTC: Tensor, heads: int) -> Tensor:
    """[B, T, heads * d] as [B, heads, T, d]."""
    return x_BTC.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x_BHTd: Tensor) -> Tensor:
    return x_BHTd.transpose(1, 2).flatten(2)


class KeyValues:
    """Keys and values of the positions that one attention has seen, [B, K, S, d]; grows by `extend`."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Appends, and gives all keys and values so far."""
        self.keys = keys if self.keys is None else torch.cat((self.keys, keys), dim=2)
        self.values = values if self.values is None else torch.cat((self.values, values), dim=2)
        return self.keys, self.values


class TextBlock(nn.Module):
    """One causal block: grouped-query attention with RoPE, then a SwiGLU MLP."""

    def __init__(self, config: TextConfig, qk_norm: bool, eps: float) -> None:
        super().__init__()
        width, kv_width = config.hidden, config.kv_heads * config.head_dim
        self.heads, self.kv_heads, self.eps, self.qk_norm = config.heads, config.kv_heads, eps, qk_norm
        self.attn_norm, self.mlp_norm = ones(width), ones(width)
        self.wq, self.wk, self.wv = matrix(width, width), matrix(kv_width, width), matrix(kv_width, width)
        self.wo = matrix(width, width, 0.0)
        if qk_norm:
            self.q_norm, self.k_norm = ones(config.head_dim), ones(config.head_dim)
        self.w_gate, self.w_up, self.w_down = matrix(config.mlp, width), matrix(config.mlp, width), matrix(width, config.mlp, 0.0)

    def forward(
        self, x_BTC: Tensor, rope: tuple[Tensor, Tensor], past: KeyValues | None = None, wanted_P: Tensor | None = None
    ) -> Tensor:
        """[B, T, C] to [B, T, C]; `rope` are the tables of the T positions, which follow those in `past`. Where only some positions are of
        use, `wanted_P` are their places in the flattened [B * T], and the result is [P, C]."""
        h = rms(x_BTC, self.attn_norm, self.eps)
        q = split_heads(F.linear(h, self.wq), self.heads)
        k = split_heads(F.linear(h, self.wk), self.kv_heads)
        v = split_heads(F.linear(h, self.wv), self.kv_heads)
        if self.qk_norm:
            q, k = rms(q, self.q_norm, self.eps), rms(k, self.k_norm, self.eps)
        q, k = rotate(q, *rope), rotate(k, *rope)
        known = 0
        if past is not None:
            known = 0 if past.keys is None else past.keys.shape[2]
            k, v = past.extend(k, v)
        seen = join_heads(causal_attention(q, k, v, known))
        if wanted_P is not None:
            x_BTC, seen = x_BTC.flatten(0, 1).index_select(0, wanted_P), seen.flatten(0, 1).index_select(0, wanted_P)
        x = x_BTC + F.linear(seen, self.wo)
        return x + swiglu(rms(x, self.mlp_norm, self.eps), self.w_gate, self.w_up, self.w_down)


def causal_attention(q_BHTd: Tensor, k_BKSd: Tensor, v_BKSd: Tensor, known: int) -> Tensor:
    """Attention of queries at positions known..known+T-1 over the keys at or before each; query head h reads key head h // (H / K)."""
    group = q_BHTd.shape[1] // k_BKSd.shape[1]
    if group > 1:
        k_BKSd = k_BKSd.repeat_interleave(group, dim=1)
        v_BKSd = v_BKSd.repeat_interleave(group, dim=1)
    if known == 0:
        return F.scaled_dot_product_attention(q_BHTd, k_BKSd, v_BKSd, is_causal=True)
    steps = torch.arange(q_BHTd.shape[2], device=q_BHTd.device)[:, None] + known
    mask = torch.arange(k_BKSd.shape[2], device=q_BHTd.device)[None, :] <= steps
    return F.scaled_dot_product_attention(q_BHTd, k_BKSd, v_BKSd, attn_mask=mask)
