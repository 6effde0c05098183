"""The JEPA head: predicts joint embeddings of later positions (docs/model.md, text path 4)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.layers import KeyValues, TextBlock, Trace, matrix, ones, record, rms


class Predictor(nn.Module):
    """`silu(c w1) w2`: the estimate for one number of steps ahead."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1, self.w2 = matrix(width, width), matrix(width, width)

    def forward(self, context_BTJ: Tensor) -> Tensor:
        return F.linear(F.silu(F.linear(context_BTJ, self.w1)), self.w2)


class JepaHead(nn.Module):
    """Causal blocks over joint embeddings, a norm, and `predict[k]` for k + 1 steps ahead."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.layers = nn.ModuleList(TextBlock(config.jepa, config.qk_norm, config.norm_eps) for _ in range(config.jepa.layers))
        self.norm = ones(config.jepa.hidden)
        self.predict = nn.ModuleList(Predictor(config.jepa.hidden) for _ in range(config.jepa.steps))

    def forward(self, joint_BTJ: Tensor, rope: tuple[Tensor, Tensor], past: list[KeyValues] | None, trace: Trace) -> Tensor:
        """Joint embeddings to the context c [B, T, J] that the predictors read."""
        x = joint_BTJ
        for i, layer in enumerate(self.layers):
            x = layer(x, rope, past[i] if past else None)
            record(trace, f"jepa.layers.{i}", x)
        x = rms(x, self.norm, self.eps)
        record(trace, "jepa.norm", x)
        if trace is not None:
            for k, predictor in enumerate(self.predict):
                record(trace, f"jepa.predict.{k}", predictor(x))
        return x
