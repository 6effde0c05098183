"""The AR head: from joint embeddings, guided by the JEPA prediction, to hidden states and logits (docs/model.md, text path 5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.alignment import CANDIDATES, POINT, RUNS
from training.model.language import Candidates
from training.model.layers import KeyValues, TextBlock, Trace, matrix, ones, record, rms, zeros


class Chosen(NamedTuple):
    """What the head adds to the logits of the tokens that an answer may go on with, at each position; 0 outside answers."""

    id_PC: Tensor  # int64
    score_PC: Tensor


class ArHead(nn.Module):
    """Gated guidance, projection to the AR width, what answers may go on with, causal blocks, a norm; `head` only where
    embeddings are not tied."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.guide_gate = zeros(config.fusion.hidden)
        self.in_proj = matrix(config.ar.hidden, config.fusion.hidden)
        self.aligned = nn.ParameterList(
            matrix(config.ar.hidden, config.language.hidden) for _ in range(CANDIDATES if config.aligned else 0)
        )
        if config.aligned:
            self.choose, self.choose_bias = zeros(CANDIDATES + 1, config.ar.hidden), zeros(3 * RUNS, CANDIDATES + 1)
            self.point_q, self.point_k = matrix(POINT, config.ar.hidden), matrix(POINT, config.fusion.hidden)
            self.point_bias = zeros(RUNS)
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
        candidates: Candidates | None = None,
    ) -> Tensor:
        """Joint embeddings and the predictions z_1 to hidden states [B, T, A], normed; [P, A] of the flattened positions `wanted_P` alone
        where those are given: most of a prompt predicts nothing."""
        x = F.linear(joint_BTJ + self.guide_gate * rms(next_BTJ, None, self.eps), self.in_proj)
        if candidates is not None:
            x = candidates.add(x, sum(F.linear(candidates.row_NCD[:, c], matrix) for c, matrix in enumerate(self.aligned)))
        record(trace, "ar.in_proj", x)
        for i, layer in enumerate(self.layers):
            x = layer(x, rope, past[i] if past else None, wanted_P if i == len(self.layers) - 1 else None)
            record(trace, f"ar.layers.{i}", x)
        x = rms(x, self.norm, self.eps)
        record(trace, "ar.norm", x)
        return x

    def point_keys(self, joint_BTJ: Tensor) -> Tensor:
        """[B, T, POINT], by which answers point at the tokens of instructions."""
        return rms(F.linear(joint_BTJ, self.point_k), None, self.eps)

    def chosen(self, hidden: Tensor, candidates: Candidates, keys_BSP: Tensor, wanted_P: Tensor | None) -> Chosen:
        """What is added for candidates and for what is pointed at, from hidden states: of all positions [B, T, A], or of `wanted_P` [P, A].
        `keys_BSP` are those of the whole text, what was fed before included."""
        hidden_PA = hidden.flatten(0, -2)
        known_Q = torch.full((candidates.positions,), -1, device=hidden.device)
        known_Q = known_Q.index_copy(0, candidates.place_N, torch.arange(len(candidates.place_N), device=hidden.device))
        known_P = known_Q if wanted_P is None else known_Q[wanted_P]
        at_M = torch.nonzero(known_P >= 0)[:, 0]
        number_M, hidden_MA = known_P[at_M], hidden_PA[at_M]
        scores_MC = F.linear(hidden_MA, self.choose) + F.embedding(candidates.mention_N[number_M], self.choose_bias)
        pointed_MI = candidates.pointed_NI[number_M]
        keys_MIP = keys_BSP.flatten(0, 1)[pointed_MI.clamp(min=0)]
        query_MP = rms(F.linear(hidden_MA, self.point_q), None, self.eps)
        bias_MI = self.point_bias[candidates.pointed_mention_NI[number_M].clamp(0, RUNS - 1)]
        match_MI = (keys_MIP * query_MP[:, None]).sum(-1) * POINT**-0.5 + bias_MI
        weights_MI = torch.softmax(match_MI.masked_fill(pointed_MI < 0, -1e9), -1) * (pointed_MI >= 0)
        scores = torch.cat((scores_MC[:, :-1], scores_MC[:, -1:] * weights_MI), 1)
        ids = torch.cat((candidates.id_NC[number_M], candidates.pointed_id_NI[number_M]), 1)
        empty = (len(hidden_PA), ids.shape[1])
        return Chosen(ids.new_zeros(empty).index_copy(0, at_M, ids), scores.new_zeros(empty).index_copy(0, at_M, scores))


def softcap(logits: Tensor, cap: float) -> Tensor:
    """`cap * tanh(logits / cap)`; unchanged when cap is 0."""
    return cap * torch.tanh(logits / cap) if cap > 0 else logits
