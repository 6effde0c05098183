"""What a token must read and compute: bytes from the tensor table of a model pack, multiply-adds from its shapes.

Bytes are those that the pack stores for a tensor, scales and sums and padding included, so that they follow the format without knowing it.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

SECTION = struct.Struct("<IIQQQ")
ENTRY = struct.Struct("<64sII3I12xQQQ8x")
CONFIG_TEXT, TENSOR_TABLE = 2, 4  # kinds of sections (docs/pack.md)
HEAD_MULTIPLE, SCALE_BYTES = 32, 4  # int8 keys and values: head sizes are padded, each row of a head has a scale (docs/engine.md)

STEM_POSITIONS, GRID_POSITIONS = 64 * 64, 32 * 32  # of a tile, before and after the stride (docs/model.md)
TEXT_PATH = re.compile(
    r"language\.|fusion\.(text_proj|norm)$|fusion\.layers\.\d+\.(mlp_norm|w_gate|w_up|w_down)$|ar\.(in_proj|layers\.|norm|head)"
)
GUIDANCE = re.compile(r"jepa\.(layers\.|norm|predict\.0\.)|ar\.guide_gate$")


class Stored(NamedTuple):
    """A tensor of a pack."""

    shape: tuple[int, ...]
    size_bytes: int


    @property
    def bits(self) -> float:
        """Bits of an element, scales and padding included."""
        return 8 * self.size_bytes / math.prod(self.shape)


class Pack(NamedTuple):
    """What a pack's tables say."""

    config: dict[str, Any]
    tensors: dict[str, Stored]

    @property
    def quantised(self) -> bool:
        """Whether products with weights are of integers; keys and values are then int8."""
        return self.tensors["language.layers.0.wq"].bits < 16


def read_pack(path: Path) -> Pack:
    """The configuration and the tensor table of a pack that libcromwell has accepted."""
    with path.open("rb") as file:
        file.seek(12)
        (count,) = struct.unpack("<I", file.read(4))
        file.seek(64)
        sections = {kind: (offset, size) for kind, _, offset, size, _ in SECTION.iter_unpack(file.read(count * SECTION.size))}
        bodies = {}
        for kind in (CONFIG_TEXT, TENSOR_TABLE):
            file.seek(sections[kind][0])
            bodies[kind] = file.read(sections[kind][1])
    tensors = {}
    for name, _, rank, *shape, _, size, _ in ENTRY.iter_unpack(bodies[TENSOR_TABLE]):
        tensors[name.rstrip(b"\0").decode()] = Stored(tuple(shape[:rank]), size)
    return Pack(json.loads(bodies[CONFIG_TEXT]), tensors)


def text_path(pack: Pack, guidance: bool) -> dict[str, Stored]:
    """The tensors that a text token passes, the head included and the embedding not (unless it is the head)."""
    found = {name: tensor for name, tensor in pack.tensors.items() if TEXT_PATH.match(name) or (guidance and GUIDANCE.match(name))}
    if pack.config["tie_embeddings"]:
        found["embed.weight"] = pack.tensors["embed.weight"]
    return found


def stacks(guidance: bool) -> tuple[str, ...]:
    """The parts of the text path that attend to earlier text."""
    return ("language", "jepa", "ar") if guidance else ("language", "ar")


def cache_bytes(pack: Pack, guidance: bool) -> int:
    """Bytes of keys and values of one position: int8 with a scale for each head, or float32 in a pack of float32."""
    total = 0
    for part in stacks(guidance):
        stack = pack.config[part]
        size = stack["hidden"] // stack["heads"]
        row = -(-size // HEAD_MULTIPLE) * HEAD_MULTIPLE + SCALE_BYTES if pack.quantised else 4 * size
        total += 2 * stack["layers"] * stack["kv_heads"] * row
    return total


def token_bytes(pack: Pack, context: int, guidance: bool, sequences: int = 1) -> int:
    """Bytes that a step of decoding must read: the text path's weights once; for each sequence a row of the embedding (two with
    token_shift) and `context` positions of keys and values."""
    embedding, rows = pack.tensors["embed.weight"], 2 if pack.config["token_shift"] else 1
    weights = sum(tensor.size_bytes for tensor in text_path(pack, guidance).values())
    return weights + sequences * (rows * embedding.size_bytes // embedding.shape[0] + context * cache_bytes(pack, guidance))


def text_macs(pack: Pack, first: int, count: int, guidance: bool) -> int:
    """Multiply-adds of feeding tokens first..first+count-1 and of the logits of the last: products with weights, scores and sums of values.

    A token at position t attends to t + 1 positions."""
    per_token = head = 0
    for name, tensor in text_path(pack, guidance).items():
        if len(tensor.shape) != 2:
            continue
        size = tensor.shape[0] * tensor.shape[1]
        if name in ("ar.head", "embed.weight"):
            head = size
        else:
            per_token += size
    attended = sum(range(first + 1, first + count + 1))
    width = sum(pack.config[part]["layers"] * pack.config[part]["hidden"] for part in stacks(guidance))
    return count * per_token + head + 2 * width * attended


def tile_macs(config: Mapping[str, Any]) -> int:
    """Multiply-adds of the vision encoder for one tile of 256x256 pixels: convolutions, projections, attention."""
    vision = config["vision"]
    stem, wide, hidden, mlp = vision["stem_channels"], vision["cnn_channels"], vision["hidden"], vision["mlp"]
    total = STEM_POSITIONS * stem * 48
    blocks = ((stem, stem, STEM_POSITIONS, STEM_POSITIONS), (stem, wide, STEM_POSITIONS, GRID_POSITIONS))
    for inputs, outputs, before, after in (*blocks, *2 * ((wide, wide, GRID_POSITIONS, GRID_POSITIONS),)):
        expanded, squeezed = vision["expansion"] * inputs, max(8, inputs // 4)
        total += before * inputs * expanded + after * (9 * expanded + expanded * outputs) + 2 * squeezed * expanded
    total += GRID_POSITIONS * wide * hidden
    for layer in range(vision["layers"]):
        attended = GRID_POSITIONS if layer in vision["global_layers"] else vision["window"] ** 2
        total += GRID_POSITIONS * (4 * hidden * hidden + 2 * hidden * mlp + 2 * attended * hidden)
    return total
