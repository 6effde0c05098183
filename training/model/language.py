"""Token embedding and the language encoder (docs/model.md, text path 1 and 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.layers import KeyValues, TextBlock, Trace, ones, record, rms

EMBEDDING_STD = 0.05
"""Of the initial rows: at width 256 a tied row then reaches a logit of about 13 for a hidden state aligned with it, so that
copying a token needs no training of that token's row."""


class Embedding(nn.Module):
    """Rows of the vocabulary, plus, with token_shift, a share of the previous token's row."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.language.hidden
        self.weight = nn.Parameter(torch.randn(config.vocab_size, width) * EMBEDDING_STD)
        self.token_shift = config.token_shift
        if config.token_shift:
            # Half of the channels begin with the previous token mixed in: an attention can tell the two apart from the first step.
            self.shift = nn.Parameter((torch.arange(width) % 2).float())

    def forward(self, ids_BT: Tensor, previous_B: Tensor | None) -> Tensor:
        """[B, T] ids to [B, T, D]; `previous_B` are the ids before the first column, None at the start of the text."""
        x_BTD = F.embedding(ids_BT, self.weight)
        if not self.token_shift:
            return x_BTD
        if previous_B is None:
            before = F.pad(x_BTD[:, :-1], (0, 0, 1, 0))
        else:
            before = torch.cat((F.embedding(previous_B, self.weight)[:, None], x_BTD[:, :-1]), dim=1)
        return x_BTD + self.shift * before


class LanguageEncoder(nn.Module):
    """Causal text blocks over embedded tokens, then a norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.layers = nn.ModuleList(TextBlock(config.language, config.qk_norm, config.norm_eps) for _ in range(config.language.layers))
        self.norm = ones(config.language.hidden)

    def forward(self, x_BTD: Tensor, rope: tuple[Tensor, Tensor], past: list[KeyValues] | None, trace: Trace) -> Tensor:
        for i, layer in enumerate(self.layers):
            x_BTD = layer(x_BTD, rope, past[i] if past else None)
            record(trace, f"language.layers.{i}", x_BTD)
        x_BTD = rms(x_BTD, self.norm, self.eps)
        record(trace, "language.norm", x_BTD)
        return x_BTD
