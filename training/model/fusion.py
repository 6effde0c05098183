"""Where text and vision meet: both become joint embeddings (docs/model.md, "Fusion blocks").

Shapes: B rows, T text positions fed, N vision tokens fed, J joint size, H heads, d head size. A row's vision tokens carry the text
position of their <IMAGE> token, so who may see whom is a comparison of positions; padding carries `PADDING`, which no text reaches."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.layers import KeyValues, Trace, join_heads, matrix, ones, record, rms, split_heads, swiglu, zeros

PADDING = 2**30


class Vision(NamedTuple):
    """Vision tokens of the images whose <IMAGE> token is among the text fed, each row padded to the same count."""

    tokens_BNP: Tensor  # out of the vision encoder, [B, N, shuffle^2 P]
    position_BN: Tensor  # int64, text position of the image's <IMAGE> token


class FusionState:
    """What later text and images need of one block: keys and values for both attentions."""

    def __init__(self) -> None:
        self.for_text = KeyValues()  # of vision tokens, by text_wk and text_wv
        self.for_vision = KeyValues()  # of vision tokens, by vision_wk and vision_wv
        self.text_for_vision = KeyValues()  # of text, by vision_wk and vision_wv


class FusionBlock(nn.Module):
    """Vision attends vision and the text before it; text attends the vision before it; one SwiGLU for both."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.fusion.hidden
        self.heads, self.eps = config.fusion.heads, config.norm_eps
        self.vision_norm, self.text_norm, self.mlp_norm = ones(width), ones(width), ones(width)
        self.vision_wq, self.vision_wk, self.vision_wv = matrix(width, width), matrix(width, width), matrix(width, width)
        self.vision_wo = matrix(width, width, 0.0)
        self.text_wq, self.text_wk, self.text_wv = matrix(width, width), matrix(width, width), matrix(width, width)
        # The gate starts at 0: were text_wo 0 as well, neither would ever get a gradient.
        self.text_wo = matrix(width, width)
        self.text_null_k, self.text_gate = zeros(width), zeros(width)
        self.w_gate, self.w_up = matrix(config.fusion.mlp, width), matrix(config.fusion.mlp, width)
        self.w_down = matrix(width, config.fusion.mlp, 0.0)

    def mlp(self, x: Tensor) -> Tensor:
        return x + swiglu(rms(x, self.mlp_norm, self.eps), self.w_gate, self.w_up, self.w_down)

    def forward(self, text_BTJ: Tensor, vision_BNJ: Tensor, masks: Masks, state: FusionState) -> tuple[Tensor, Tensor]:
        """Both streams through the block; `state` holds earlier positions and takes in these."""
        h_text, h_vision = rms(text_BTJ, self.text_norm, self.eps), rms(vision_BNJ, self.vision_norm, self.eps)
        text_k, text_v = state.text_for_vision.extend(self._heads(h_text, self.vision_wk), self._heads(h_text, self.vision_wv))
        own_k, own_v = state.for_vision.extend(self._heads(h_vision, self.vision_wk), self._heads(h_vision, self.vision_wv))
        if vision_BNJ.shape[1]:
            query = self._heads(h_vision, self.vision_wq)
            seen = F.scaled_dot_product_attention(query, torch.cat((own_k, text_k), 2), torch.cat((own_v, text_v), 2), masks.vision)
            vision_BNJ = vision_BNJ + F.linear(join_heads(seen), self.vision_wo)
        key, value = state.for_text.extend(self._heads(h_vision, self.text_wk), self._heads(h_vision, self.text_wv))
        null_k = self.text_null_k.unflatten(0, (self.heads, 1, -1)).expand(key.shape[0], -1, -1, -1)
        seen = F.scaled_dot_product_attention(
            self._heads(h_text, self.text_wq), torch.cat((null_k, key), 2), torch.cat((torch.zeros_like(null_k), value), 2), masks.text
        )
        text_BTJ = text_BTJ + self.text_gate * F.linear(join_heads(seen), self.text_wo)
        return self.mlp(text_BTJ), self.mlp(vision_BNJ)

    def _heads(self, x: Tensor, weight: Tensor) -> Tensor:
        return split_heads(F.linear(x, weight), self.heads)


class Masks(NamedTuple):
    """Who may attend whom, [B, 1, queries, keys] boolean."""

    vision: Tensor  # keys: vision tokens, then text
    text: Tensor  # keys: the null key, then vision tokens


def build_masks(new_BN: Tensor, known_BN: Tensor, first: int, count: int) -> Masks:
    """Masks for `count` text positions from `first` on and new vision tokens, given the positions of all vision tokens known."""
    ahead, behind = new_BN[:, :, None], known_BN[:, None, :]
    text_all = torch.arange(first + count, device=new_BN.device)[None, None, :]
    vision = torch.cat((behind <= ahead, text_all < ahead), dim=2)
    text_new = torch.arange(first, first + count, device=new_BN.device)[None, :, None]
    text = F.pad(behind <= text_new, (1, 0), value=True)
    return Masks(vision[:, None], text[:, None])


class Fusion(nn.Module):
    """Projections of both streams to the joint size, the blocks, a norm of the text stream: the joint embedding f."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.text_proj = matrix(config.fusion.hidden, config.language.hidden)
        self.vision_proj = matrix(config.fusion.hidden, config.vision.shuffle**2 * config.vision.hidden)
        self.layers = nn.ModuleList(FusionBlock(config) for _ in range(config.fusion.layers))
        self.norm = ones(config.fusion.hidden)

    def forward(self, text_BTD: Tensor, vision: Vision | None, past: FusionPast | None, trace: Trace) -> tuple[Tensor, Tensor | None]:
        """Encoded text [B, T, D] to joint embeddings [B, T, J], and those of the vision tokens fed [B, N, J], None without any.

        Without an image in sight (vision None, and none in `past`) the attentions add nothing and are skipped; with a `past`
        the text's keys are kept all the same, for images to come."""
        x, v = F.linear(text_BTD, self.text_proj), None
        if vision is None and past is None:
            for i, layer in enumerate(self.layers):
                x = layer.mlp(x)
                record(trace, f"fusion.layers.{i}.text", x)
        else:
            x, v = self._both(x, vision, past or FusionPast(len(self.layers)), trace)
        x = rms(x, self.norm, self.eps)
        record(trace, "fusion.norm", x)
        return x, rms(v, self.norm, self.eps) if v is not None and v.shape[1] else None

    def _both(self, x: Tensor, vision: Vision | None, past: FusionPast, trace: Trace) -> tuple[Tensor, Tensor]:
        rows, count = x.shape[:2]
        if vision is None:
            vision = Vision(x.new_zeros(rows, 0, self.vision_proj.shape[1]), torch.zeros(rows, 0, dtype=torch.int64, device=x.device))
        first = past.length
        past.length += count
        past.position_BN = vision.position_BN if past.position_BN is None else torch.cat((past.position_BN, vision.position_BN), 1)
        masks = build_masks(vision.position_BN, past.position_BN, first, count)
        v = F.linear(vision.tokens_BNP, self.vision_proj)
        for i, layer in enumerate(self.layers):
            x, v = layer(x, v, masks, past.blocks[i])
            record(trace, f"fusion.layers.{i}.text", x)
            if v.shape[1]:
                record(trace, f"fusion.layers.{i}.vision", v)
        return x, v


class FusionPast:
    """States of every block, and the positions of the vision tokens so far."""

    def __init__(self, layers: int) -> None:
        self.blocks = [FusionState() for _ in range(layers)]
        self.length = 0
        self.position_BN: Tensor | None = None
