"""The AR head: from joint embeddings, guided by the JEPA prediction, to hidden states and logits (docs/model.md, text path 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.layers import KeyValues, TextBlock, Trace, matrix, ones, record, rms, zeros


class ArHead(nn.Module):
    """Gated guidance, projection to the AR width, causal blocks, a norm; `head` only where embeddings are not tied."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.guide_gate = zeros(config.fusion.hidden)
        self.in_proj = matrix(config.ar.hidden, config.fusion.hidden)
        self.layers = nn.ModuleList(TextBlock(config.ar, config.qk_norm, config.norm_eps) for _ in range(config.ar.layers))
        self.norm = ones(config.ar.hidden)
        if not config.tie_embeddings:
            self.head = matrix(config.vocab_size, config.ar.hidden)

    def forward(
        self,
        joint_BTJ: Tensor,
        next_BTJ: Tensor,
        rope: tuple[Tensor, Tensor],
        past: list[KeyValues] | None,
        trace: Trace,
        wanted_P: Tensor | None = None,
    ) -> Tensor:
        """Joint embeddings and the predictions z_1 to hidden states [B, T, A], normed; [P, A] of the flattened positions `wanted_P` alone
        where those are given: most of a prompt predicts nothing."""
        x = F.linear(joint_BTJ + self.guide_gate * rms(next_BTJ, None, self.eps), self.in_proj)
        record(trace, "ar.in_proj", x)
        for i, layer in enumerate(self.layers):
            x = layer(x, rope, past[i] if past else None, wanted_P if i == len(self.layers) - 1 else None)
            record(trace, f"ar.layers.{i}", x)
        x = rms(x, self.norm, self.eps)
        record(trace, "ar.norm", x)
        return x


def softcap(logits: Tensor, cap: float) -> Tensor:
    """`cap * tanh(logits / cap)`; unchanged when cap is 0."""
    return cap * torch.tanh(logits / cap) if cap > 0 else logits
