"""Token embedding and the language encoder (docs/model.md, text path 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.alignment import RUNS, Aligned, Lexicon, align, words_and_leads
from training.model.layers import KeyValues, TextBlock, Trace, ones, record, rms, zeros

EMBEDDING_STD = 0.05
"""Of the initial rows: at width 256 a tied row then reaches a logit of about 13 for a hidden state aligned with it, so that
copying a token needs no training of that token's row."""


class Candidates(NamedTuple):
    """What answers may go on with: CANDIDATES tokens at N of the positions fed."""

    place_N: Tensor  # int64, indices into the flattened [B * T] positions
    id_NC: Tensor  # int64
    row_NCD: Tensor  # their rows of the vocabulary
    positions: int  # B * T
    pointed_NI: Tensor  # int64, places of what may be pointed at in the whole text's flattened positions, -1 beyond the instruction's end
    pointed_id_NI: Tensor  # int64, as which tokens it would be written
    mention_N: Tensor  # int64, rows of embed.mention
    pointed_mention_NI: Tensor

    def add(self, x_BTD: Tensor, row_ND: Tensor) -> Tensor:
        """x with a row added at each of the positions."""
        return _add_rows(x_BTD, self.place_N, row_ND)


class Embedding(nn.Module):
    """Rows of the vocabulary; with places, plus rows of the token's line, column and part of the text; with token_shift, plus a share of
    what the token before has; when aligned, plus the row of the mention and, through a matrix, that of the region's next token.

    Lines and columns start over at every special token, so that a line of an edit's region and the same line of the answer agree. When
    aligned, a token of an answer has the line and column of the region's token before the next one."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.language.hidden
        self.weight = nn.Parameter(torch.randn(config.vocab_size, width) * EMBEDDING_STD)
        self.places, self.token_shift, self.is_aligned = config.places, config.token_shift, config.aligned
        if config.places:
            self.register_buffer("breaks", torch.zeros(config.vocab_size))
            self.line, self.column, self.part = (zeros(config.places, width) for _ in range(3))
        if config.token_shift:
            # Half of the channels begin with the previous token mixed in: an attention can tell the two apart from the first step.
            self.shift = nn.Parameter((torch.arange(width) % 2).float())
        if config.aligned:
            self.register_buffer("words", torch.arange(config.vocab_size).float())
            self.register_buffer("leads", torch.zeros(config.vocab_size))
            self._lexicon: tuple[object, Lexicon | None] = None, None
            self.mention, self.aligned = zeros(3 * RUNS, width), zeros(width, width)

    def set_tokens(self, texts: Sequence[bytes], specials: int) -> None:
        """Takes from the tokens' bytes, in the order of their ids, what lines, columns and mentions are made of.

        The first `specials` tokens are special."""
        counts = [-1.0] * specials + [float(text.count(b"\n")) for text in texts[specials:]]
        self.breaks.copy_(torch.tensor(counts))
        if self.is_aligned:
            for buffer, values in zip((self.words, self.leads), words_and_leads(texts), strict=True):
                buffer.copy_(torch.tensor(values, dtype=torch.float32))

    def lexicon(self) -> Lexicon:
        """What the alignment knows of the tokens, made anew when the buffers have changed."""
        buffers = (self.words, self.leads, self.breaks)
        key = [(buffer.data_ptr(), buffer._version) for buffer in buffers]
        if self._lexicon[0] != key:
            self._lexicon = key, Lexicon(*(buffer.cpu().numpy() for buffer in buffers))
        return self._lexicon[1]

    def forward(self, ids_BT: Tensor, first: int = 0) -> tuple[Tensor, Candidates | None]:
        """The whole text's ids [B, T] to [B, T - first, D], and what its answers may go on with, of the tokens from `first` on."""
        device = ids_BT.device
        place_BT = None
        if self.is_aligned:
            aligned = align(ids_BT.cpu().numpy(), self.lexicon())
            place_BT, mention_BT = torch.from_numpy(aligned.place_BT).to(device), torch.from_numpy(aligned.mention_BT).to(device)
        x_BTD = F.embedding(ids_BT, self.weight)
        if self.places:
            tables = zip(self._count(ids_BT, place_BT), (self.line, self.column, self.part), strict=True)
            x_BTD = x_BTD + sum(F.embedding(index.clamp(max=self.places - 1), table) for index, table in tables)
        if self.token_shift:
            x_BTD = x_BTD + self.shift * F.pad(x_BTD[:, :-1], (0, 0, 1, 0))
        x_BTD = x_BTD[:, first:]
        if place_BT is None:
            return x_BTD, None
        whole_mention_M = mention_BT.flatten()
        mention_BT, place_BT = mention_BT[:, first:].flatten(), place_BT[:, first:].flatten()
        x_BTD = _add_rows(x_BTD, at_N := torch.nonzero(mention_BT >= 0)[:, 0], F.embedding(mention_BT[at_N], self.mention))
        place_N = torch.nonzero(place_BT >= 0)[:, 0]
        if not len(place_N):
            return x_BTD, None
        id_NC = torch.from_numpy(aligned.candidate_BTC[:, first:]).to(device).flatten(0, 1)[place_N]
        pointed_NI, pointed_id_NI = (torch.from_numpy(part).to(device) for part in _pointed(aligned, ids_BT.shape, first))
        mentions = mention_BT[place_N], whole_mention_M[pointed_NI.clamp(min=0)]
        candidates = Candidates(place_N, id_NC, F.embedding(id_NC, self.weight), len(place_BT), pointed_NI, pointed_id_NI, *mentions)
        return candidates.add(x_BTD, F.linear(candidates.row_NCD[:, 0], self.aligned)), candidates

    def _count(self, ids_BT: Tensor, place_BT: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Line, column and part of every token, its own line feeds included, int64 [B, T] each."""
        breaks_BT = self.breaks[ids_BT].long()
        special_BT = breaks_BT < 0
        fed_BT = breaks_BT.clamp(min=0).cumsum(1)
        line_BT = fed_BT - torch.where(special_BT, fed_BT, 0).cummax(1).values
        here_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        column_BT = here_T - torch.where(breaks_BT != 0, here_T, 0).cummax(1).values
        last_BT = torch.where(special_BT, here_T, -1).cummax(1).values
        part_BT = torch.where(last_BT < 0, 0, ids_BT.gather(1, last_BT.clamp(min=0)) + 1)
        if place_BT is not None:
            passed_BT = torch.where(place_BT < 0, here_T, place_BT - 1)
            line_BT, column_BT = line_BT.gather(1, passed_BT), column_BT.gather(1, passed_BT)
        return line_BT, column_BT, part_BT


def _pointed(aligned: Aligned, shape: tuple[int, int], first: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """`pointed_NI` and `pointed_id_NI` of Candidates, answers in the order of their places; they do not overlap."""
    parts = []
    for answer in sorted(aligned.pointed, key=lambda answer: (answer.row, answer.start)):
        kept_KI = answer.id_KI[max(0, first - answer.start) :]
        at_I = answer.row * shape[1] + answer.instruction + numpy.arange(kept_KI.shape[1])
        parts.append((numpy.broadcast_to(at_I, kept_KI.shape), kept_KI))
    widest = max(ids.shape[1] for _, ids in parts)
    wide = [
        [numpy.pad(part, ((0, 0), (0, widest - part.shape[1])), constant_values=fill) for part, fill in zip(pair, (-1, 0), strict=True)]
        for pair in parts
    ]
    return tuple(numpy.concatenate(column) for column in zip(*wide, strict=True))


def _add_rows(x_BTD: Tensor, place_N: Tensor, row_ND: Tensor) -> Tensor:
    return x_BTD.flatten(0, 1).index_add(0, place_N, row_ND.to(x_BTD.dtype)).view_as(x_BTD)


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
