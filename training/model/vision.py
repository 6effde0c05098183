"""The image encoder: tiles of 256x256 pixels to vision tokens (docs/model.md, "Vision path").

Shapes: M tiles, Y x X grid, C channels, P vision hidden size. Layout is channels last."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import TILE_GRID, TILES_EACH_WAY, ModelConfig, VisionConfig
from training.model.layers import Trace, join_heads, matrix, ones, record, rms, split_heads, zeros

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEM = 4  # pixels either way


class Stem(nn.Module):
    """4x4 convolution of stride 4; the weight's 48 columns are in order (ky, kx, channel)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = matrix(channels, STEM * STEM * 3), zeros(channels)

    def forward(self, x_MYXC: Tensor) -> Tensor:
        count, height, width, channels = x_MYXC.shape
        patches = x_MYXC.view(count, height // STEM, STEM, width // STEM, STEM, channels).permute(0, 1, 3, 2, 4, 5).flatten(3)
        return F.linear(patches, self.weight, self.bias)


class MBConv(nn.Module):
    """Inverted bottleneck with squeeze-excitation, [M, Y, X, c_in] to [M, Y/stride, X/stride, c_out]."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int, eps: float) -> None:
        super().__init__()
        wide, squeezed = expansion * c_in, max(8, c_in // 4)
        self.stride, self.eps, self.residual = stride, eps, stride == 1 and c_in == c_out
        self.norm, self.expand, self.project = ones(c_in), matrix(wide, c_in), matrix(c_out, wide)
        self.dw, self.dw_bias = nn.Parameter(torch.empty(3, 3, wide).uniform_(-1 / 3, 1 / 3)), zeros(wide)
        self.se_w1, self.se_b1 = matrix(squeezed, wide), zeros(squeezed)
        self.se_w2, self.se_b2 = matrix(wide, squeezed), zeros(wide)

    def forward(self, x_MYXC: Tensor) -> Tensor:
        y = F.silu(F.linear(rms(x_MYXC, self.norm, self.eps), self.expand))
        kernel = self.dw.permute(2, 0, 1)[:, None]  # [wide, 1, 3, 3], as conv2d wants it
        y = F.conv2d(y.permute(0, 3, 1, 2), kernel, self.dw_bias, self.stride, padding=1, groups=kernel.shape[0])
        y = F.silu(y.permute(0, 2, 3, 1))
        mean_ME = y.mean((1, 2))
        gate = torch.sigmoid(F.linear(F.silu(F.linear(mean_ME, self.se_w1, self.se_b1)), self.se_w2, self.se_b2))
        y = F.linear(y * gate[:, None, None], self.project)
        return x_MYXC + y if self.residual else y


class VisionBlock(nn.Module):
    """Attention within windows of the grid (or over all of it), then a GELU MLP."""

    def __init__(self, config: VisionConfig, window: int, eps: float) -> None:
        super().__init__()
        width = config.hidden
        self.heads, self.window, self.eps = config.heads, window, eps
        self.attn_norm, self.mlp_norm = ones(width), ones(width)
        self.wq, self.wk, self.wv, self.wo = matrix(width, width), matrix(width, width), matrix(width, width), matrix(width, width, 0.0)
        self.w1, self.w2 = matrix(config.mlp, width), matrix(width, config.mlp, 0.0)

    def forward(self, x_MYXP: Tensor) -> Tensor:
        h = to_windows(rms(x_MYXP, self.attn_norm, self.eps), self.window)
        q, k, v = (split_heads(F.linear(h, weight), self.heads) for weight in (self.wq, self.wk, self.wv))
        seen = F.linear(join_heads(F.scaled_dot_product_attention(q, k, v)), self.wo)
        x_MYXP = x_MYXP + from_windows(seen, x_MYXP.shape[1], self.window)
        h = rms(x_MYXP, self.mlp_norm, self.eps)
        return x_MYXP + F.linear(F.gelu(F.linear(h, self.w1), approximate="tanh"), self.w2)


def to_windows(x_MYXC: Tensor, window: int) -> Tensor:
    """[M, Y, X, C] as [M * windows, window^2, C], windows row-major, positions in a window row-major."""
    count, height, width, channels = x_MYXC.shape
    x = x_MYXC.view(count, height // window, window, width // window, window, channels)
    return x.transpose(2, 3).reshape(-1, window * window, channels)


def from_windows(x_WSC: Tensor, size: int, window: int) -> Tensor:
    """Undoes `to_windows` for a square grid of `size`."""
    side = size // window
    x = x_WSC.view(-1, side, side, window, window, x_WSC.shape[-1])
    return x.transpose(2, 3).reshape(-1, size, size, x_WSC.shape[-1])


class VisionEncoder(nn.Module):
    """Stem, four MBConv blocks, projection with positions, ViT blocks, norm and pixel shuffle."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        vision = config.vision
        narrow, wide, width = vision.stem_channels, vision.cnn_channels, vision.hidden
        self.eps, self.shuffle = config.norm_eps, vision.shuffle
        self.stem = Stem(narrow)
        shapes = ((narrow, narrow, 1), (narrow, wide, 2), (wide, wide, 1), (wide, wide, 1))
        self.cnn = nn.ModuleList(MBConv(c_in, c_out, stride, vision.expansion, self.eps) for c_in, c_out, stride in shapes)
        self.proj = matrix(width, wide)
        self.pos = nn.Parameter(torch.randn(TILE_GRID**2, width) * 0.02)
        self.tile_row, self.tile_col = zeros(TILES_EACH_WAY, width), zeros(TILES_EACH_WAY, width)
        self.layers = nn.ModuleList(
            VisionBlock(vision, TILE_GRID if i in vision.global_layers else vision.window, self.eps) for i in range(vision.layers)
        )
        self.norm = ones(width)

    def forward(self, tiles_MYXC: Tensor, row_M: Tensor, col_M: Tensor, trace: Trace) -> Tensor:
        """Tiles [M, 256, 256, 3] uint8 at grid places (row, col) to vision tokens [M, tokens_per_tile, shuffle^2 P]."""
        mean, std = torch.tensor(MEAN, device=tiles_MYXC.device), torch.tensor(STD, device=tiles_MYXC.device)
        x = self.stem((tiles_MYXC.float() / 255.0 - mean) / std)
        record(trace, "vision.stem", x)
        for i, block in enumerate(self.cnn):
            x = block(x)
            record(trace, f"vision.cnn.{i}", x)
        place_MP = self.tile_row[row_M] + self.tile_col[col_M]
        x = F.linear(x, self.proj) + self.pos.view(TILE_GRID, TILE_GRID, -1) + place_MP[:, None, None]
        record(trace, "vision.proj", x)
        for i, layer in enumerate(self.layers):
            x = layer(x)
            record(trace, f"vision.layers.{i}", x)
        x = rms(x, self.norm, self.eps)
        side, step = TILE_GRID // self.shuffle, self.shuffle
        x = x.view(-1, side, step, side, step, x.shape[-1]).transpose(2, 3).reshape(x.shape[0], side * side, -1)
        record(trace, "vision.norm", x)
        return x
