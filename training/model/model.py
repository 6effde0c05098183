"""The whole model: text and images in, joint embeddings, JEPA context and hidden states out (docs/model.md).

Parameter names are the tensor names of docs/model.md, so a state dict is a checkpoint. Every row of a batch is one document from
its position 0 on; shorter rows are padded at the end, which causality makes harmless."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.ar import ArHead, Chosen, softcap
from training.model.fusion import PADDING, Fusion, FusionPast, Vision
from training.model.jepa import JepaHead
from training.model.language import Candidates, Embedding, LanguageEncoder
from training.model.layers import KeyValues, Trace, record, rope_tables
from training.model.vision import VisionEncoder


class Image(NamedTuple):
    """A picture in a batch."""

    row: int  # of the batch
    position: int  # of its <IMAGE> token in that row's text
    tiles: Tensor  # [rows * cols, 256, 256, 3] uint8, row-major
    rows: int
    cols: int


class Outputs(NamedTuple):
    """Results at each position fed."""

    joint_BTJ: Tensor  # f, the joint embedding
    context_BTJ: Tensor  # c, which `model.jepa.predict[k]` turns into z_{k+1}
    hidden_BTA: Tensor  # what `model.logits` takes; [P, A] where some positions were asked for
    chosen: Chosen | None = None  # and that, where the model is aligned; of the same positions


class Ahead(NamedTuple):
    """Joint embeddings, and what the JEPA head makes of them, at each position fed."""

    joint_BTJ: Tensor
    vision_BNJ: Tensor | None  # of the vision tokens fed, rows padded to the longest; None without a picture
    context_BTJ: Tensor
    candidates: Candidates | None = None


class Both(NamedTuple):
    """Joint embeddings of a text and of the vision tokens fed with it."""

    joint_BTJ: Tensor
    vision_BNJ: Tensor | None
    candidates: Candidates | None = None


class Cache:
    """The states of the positions fed so far, for feeding a text in pieces."""

    def __init__(self, config: ModelConfig) -> None:
        self.length = 0
        self.ids_BT: Tensor | None = None
        self.keys_BSP: Tensor | None = None
        self.language, self.jepa, self.ar = (
            [KeyValues() for _ in range(part.layers)] for part in (config.language, config.jepa, config.ar)
        )
        self.fusion = FusionPast(config.fusion.layers)


class Model(nn.Module):
    """Cromwell's vision-language JEPA model in torch, the twin of libcromwell/src/model."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = Embedding(config)
        self.vision = VisionEncoder(config)
        self.language = LanguageEncoder(config)
        self.fusion = Fusion(config)
        self.jepa = JepaHead(config)
        self.ar = ArHead(config)

    def forward(
        self,
        ids_BT: Tensor,
        images: Sequence[Image] = (),
        cache: Cache | None = None,
        trace: Trace = None,
        trunk_gradient: float = 1.0,
        wanted_P: Tensor | None = None,
    ) -> Outputs:
        """Feeds ids [B, T] (after those in `cache`, which grows) and the images whose <IMAGE> tokens are among them.

        `trunk_gradient` scales what flows back from the JEPA head into the encoders; values are the same for any. Where `wanted_P` names
        places in the flattened [B * T], hidden states are of those alone."""
        joint_BTJ, _, context_BTJ, candidates = self.look_ahead(ids_BT, images, trunk_gradient, cache, trace)
        first = cache.length if cache else 0
        next_BTJ = self.jepa.predict[0](context_BTJ)
        rope = self._rope("ar", first, ids_BT)
        hidden_BTA = self.ar(joint_BTJ, next_BTJ, rope, cache.ar if cache else None, trace, wanted_P, candidates)
        chosen = None
        if self.config.aligned:
            keys_BSP = self.ar.point_keys(joint_BTJ)
            if cache:
                keys_BSP = cache.keys_BSP = keys_BSP if cache.keys_BSP is None else torch.cat((cache.keys_BSP, keys_BSP), 1)
            chosen = None if candidates is None else self.ar.chosen(hidden_BTA, candidates, keys_BSP, wanted_P)
        if trace is not None:
            record(trace, "logits", self.logits(hidden_BTA, chosen))
        if cache:
            cache.length += ids_BT.shape[1]
        return Outputs(joint_BTJ, context_BTJ, hidden_BTA, chosen)

    def look_ahead(
        self,
        ids_BT: Tensor,
        images: Sequence[Image] = (),
        trunk_gradient: float = 1.0,
        cache: Cache | None = None,
        trace: Trace = None,
    ) -> Ahead:
        """The encoders and the JEPA head alone, as in `forward`; what flows back through `vision_BNJ` is scaled as well."""
        joint_BTJ, vision_BNJ, candidates = self.encode_both(ids_BT, images, cache, trace)
        seen = joint_BTJ if trunk_gradient == 1.0 else _ScaledGradient.apply(joint_BTJ, trunk_gradient)
        if vision_BNJ is not None and trunk_gradient != 1.0:
            vision_BNJ = _ScaledGradient.apply(vision_BNJ, trunk_gradient)
        rope = self._rope("jepa", cache.length if cache else 0, ids_BT)
        return Ahead(joint_BTJ, vision_BNJ, self.jepa(seen, rope, cache.jepa if cache else None, trace), candidates)

    def encode(self, ids_BT: Tensor, images: Sequence[Image] = (), cache: Cache | None = None, trace: Trace = None) -> Tensor:
        """Joint embeddings f [B, T, J] alone; `cache` is read and its encoder states grow, its length does not."""
        return self.encode_both(ids_BT, images, cache, trace).joint_BTJ

    def encode_both(self, ids_BT: Tensor, images: Sequence[Image] = (), cache: Cache | None = None, trace: Trace = None) -> Both:
        """Joint embeddings of text and of vision tokens; `cache` as in `encode`."""
        whole_BT, first = ids_BT, 0
        if cache and cache.ids_BT is not None:
            whole_BT, first = torch.cat((cache.ids_BT, ids_BT), 1), cache.ids_BT.shape[1]
        if cache:
            cache.ids_BT = whole_BT
        x, candidates = self.embed(whole_BT, first)
        record(trace, "embed", x)
        rope = self._rope("language", cache.length if cache else 0, ids_BT)
        x = self.language(x, rope, cache.language if cache else None, trace)
        vision = self._encode_images(images, ids_BT.shape[0], trace) if images else None
        return Both(*self.fusion(x, vision, cache.fusion if cache else None, trace), candidates)

    def logits(self, hidden: Tensor, chosen: Chosen | None = None) -> Tensor:
        """Hidden states [..., A], and what is added for candidates [..., C], to logits [..., V]."""
        logits = F.linear(hidden, self.head_weight)
        if chosen is not None:
            logits = logits.scatter_add(
                -1, chosen.id_PC.view(*logits.shape[:-1], -1), chosen.score_PC.to(logits.dtype).view(*logits.shape[:-1], -1)
            )
        return softcap(logits, self.config.logit_softcap)

    @property
    def head_weight(self) -> Tensor:
        """[V, A]: the AR head's own matrix, or the embedding when tied."""
        return self.embed.weight if self.config.tie_embeddings else self.ar.head

    def _rope(self, part: str, first: int, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
        return rope_tables(first, ids_BT.shape[1], getattr(self.config, part).head_dim, self.config.rope_base, ids_BT.device)

    def _encode_images(self, images: Sequence[Image], rows: int, trace: Trace) -> Vision:
        """Vision tokens of all images, gathered by row in order of position and padded to the longest row."""
        images = sorted(images, key=lambda image: (image.row, image.position))
        device = self.embed.weight.device
        places = [(r, c) for image in images for r in range(image.rows) for c in range(image.cols)]
        row_M, col_M = torch.tensor(places, device=device).unbind(1)
        encoded_MNP = self.vision(torch.cat([image.tiles for image in images]).to(device), row_M, col_M, trace)
        tokens: list[list[Tensor]] = [[] for _ in range(rows)]
        positions: list[list[Tensor]] = [[] for _ in range(rows)]
        for image, part in zip(images, encoded_MNP.split([image.rows * image.cols for image in images]), strict=True):
            tokens[image.row].append(part.flatten(0, 1))
            positions[image.row].append(torch.full((part.shape[0] * part.shape[1],), image.position, device=device))
        most = max(sum(len(part) for part in row) for row in tokens)
        width = encoded_MNP.shape[-1]
        padded, where = [], []
        for row_tokens, row_positions in zip(tokens, positions, strict=True):
            flat = torch.cat(row_tokens) if row_tokens else encoded_MNP.new_zeros(0, width)
            spot = torch.cat(row_positions) if row_positions else torch.zeros(0, dtype=torch.int64, device=device)
            padded.append(F.pad(flat, (0, 0, 0, most - len(flat))))
            where.append(F.pad(spot, (0, most - len(spot)), value=PADDING))
        return Vision(torch.stack(padded), torch.stack(where))


class _ScaledGradient(torch.autograd.Function):
    """The identity, with the gradient times a factor."""

    @staticmethod
    def forward(ctx, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None
