"""Token embedding and the language encoder (docs/model.md, text path 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.layers import KeyValues, TextBlock, Trace, ones, record, rms, zeros

EMBEDDING_STD = 0.05
"""Of the initial rows: at width 256 a tied row then reaches a logit of about 13 for a hidden state aligned with it, so that
copying a token needs no training of that token's row."""


class Place(NamedTuple):
    """Where the text stands after its last token so far, for every row."""

    id_B: Tensor
    line_B: Tensor  # line feeds since the last special token
    column_B: Tensor  # tokens since the last one that is special or holds a line feed
    part_B: Tensor  # id of the last special token + 1, 0 before any


class Embedding(nn.Module):
    """Rows of the vocabulary; with places, plus rows of the token's line, column and part of the text; with token_shift, plus a share of
    what the token before has.

    Lines and columns start over at every special token, so that a line of an edit's region and the same line of the answer agree."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.language.hidden
        self.weight = nn.Parameter(torch.randn(config.vocab_size, width) * EMBEDDING_STD)
        self.places, self.token_shift = config.places, config.token_shift
        if config.places:
            self.register_buffer("breaks", torch.zeros(config.vocab_size))
            self.line, self.column, self.part = (zeros(config.places, width) for _ in range(3))
        if config.token_shift:
            # Half of the channels begin with the previous token mixed in: an attention can tell the two apart from the first step.
            self.shift = nn.Parameter((torch.arange(width) % 2).float())

    def set_breaks(self, texts: Sequence[bytes], specials: int) -> None:
        """Takes from the tokens' bytes, in the order of their ids, what lines and columns are made of; the first `specials` are special."""
        counts = [-1.0] * specials + [float(text.count(b"\n")) for text in texts[specials:]]
        self.breaks.copy_(torch.tensor(counts))

    def forward(self, ids_BT: Tensor, before: Place | None) -> tuple[Tensor, Place]:
        """[B, T] ids to [B, T, D] and the place after them; `before` is the place that they follow, None at the start of the text."""
        x_BTD = F.embedding(ids_BT, self.weight)
        if not self.places:
            place = Place(ids_BT[:, -1], *(torch.zeros_like(ids_BT[:, -1]),) * 3)
        else:
            found = self._count(ids_BT, before)
            x_BTD = x_BTD + self._row(*found)
            place = Place(ids_BT[:, -1], *(part[:, -1] for part in found))
        if not self.token_shift:
            return x_BTD, place
        if before is None:
            shifted = F.pad(x_BTD[:, :-1], (0, 0, 1, 0))
        else:
            first_BD = F.embedding(before.id_B, self.weight)
            if self.places:
                first_BD = first_BD + self._row(before.line_B, before.column_B, before.part_B)
            shifted = torch.cat((first_BD[:, None], x_BTD[:, :-1]), dim=1)
        return x_BTD + self.shift * shifted, place

    def _row(self, line: Tensor, column: Tensor, part: Tensor) -> Tensor:
        tables = ((line, self.line), (column, self.column), (part, self.part))
        return sum(F.embedding(index.clamp(max=self.places - 1), table) for index, table in tables)

    def _count(self, ids_BT: Tensor, before: Place | None) -> tuple[Tensor, Tensor, Tensor]:
        """Line, column and part of every token, its own line feeds included, int64 [B, T] each."""
        breaks_BT = self.breaks[ids_BT].long()
        special_BT = breaks_BT < 0
        fed_BT = breaks_BT.clamp(min=0).cumsum(1) + (0 if before is None else before.line_B[:, None])
        line_BT = fed_BT - torch.where(special_BT, fed_BT, 0).cummax(1).values
        known_B1 = 0 if before is None else before.column_B[:, None] + 1
        here_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        at_BT = here_T + torch.zeros_like(ids_BT) + known_B1
        column_BT = at_BT - torch.where(breaks_BT != 0, at_BT, 0).cummax(1).values
        last_BT = torch.where(special_BT, here_T, -1).cummax(1).values
        earlier_B1 = 0 if before is None else before.part_B[:, None]
        part_BT = torch.where(last_BT < 0, earlier_B1, ids_BT.gather(1, last_BT.clamp(min=0)) + 1)
        return line_BT, column_BT, part_BT


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
