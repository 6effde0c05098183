"""Writes a model pack (docs/pack.md) from a checkpoint.

    python -m training.export CHECKPOINT.safetensors --config models/nano.json --tokenizer tokenizer.bin --quant q8 --out models/nano.cwm

`q8` stores the large matrices in 7 bits, `q4` those of MLPs, embedding and head in 4 (training/quantise.py); the small ones and all
vectors stay float32. `dequantised` gives the weights that a pack holds. The same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cromwell.binding import checksum64
from training import config as configs
from training import pieces, quantise
from training.model.alignment import CANDIDATES, POINT, RUNS

MAGIC = b"CROMPACK"
VERSION = 2
ALIGNMENT = 64
PANEL = 16  # outputs a panel
LEAST_QUANTISED = 4096  # numbers; below, float32 costs nothing
HEADER = struct.Struct("<8sIIQQ24x")
SECTION = struct.Struct("<IIQQQ")
ENTRY = struct.Struct("<64sII3I12xQQQ8x")
F32, PANELS_F32, PANELS_Q8, PANELS_Q4 = 1, 2, 3, 4
FORMATS = ("f32", "q8", "q4")
CONFIG = struct.Struct("<2I2f3If11I5I4I5II5I2H")


class Tensor(NamedTuple):
    """One tensor that a configuration requires."""

    name: str
    shape: tuple[int, ...]
    matrix: bool  # stored in panels
    quantise: bool  # may be q8 or q4


class ExportError(ValueError):
    """A checkpoint or a configuration from which no pack can be made."""


def _text_stack(part: str, shape: Mapping[str, int], qk_norm: bool) -> Iterator[Tensor]:
    hidden, mlp = shape["hidden"], shape["mlp"]
    head = hidden // shape["heads"]
    kv = shape["kv_heads"] * head
    for i in range(shape["layers"]):
        name = f"{part}.layers.{i}."
        yield Tensor(name + "attn_norm", (hidden,), False, False)
        yield Tensor(name + "mlp_norm", (hidden,), False, False)
        for matrix, outputs in (("wq", hidden), ("wk", kv), ("wv", kv), ("wo", hidden)):
            yield Tensor(name + matrix, (outputs, hidden), True, True)
        if qk_norm:
            yield Tensor(name + "q_norm", (head,), False, False)
            yield Tensor(name + "k_norm", (head,), False, False)
        yield from _swiglu(name, hidden, mlp)
    yield Tensor(f"{part}.norm", (hidden,), False, False)


def _swiglu(name: str, hidden: int, mlp: int) -> Iterator[Tensor]:
    yield Tensor(name + "w_gate", (mlp, hidden), True, True)
    yield Tensor(name + "w_up", (mlp, hidden), True, True)
    yield Tensor(name + "w_down", (hidden, mlp), True, True)


def _fusion(config: Mapping[str, Any]) -> Iterator[Tensor]:
    joint, language, vision = config["fusion"]["hidden"], config["language"]["hidden"], config["vision"]
    yield Tensor("fusion.text_proj", (joint, language), True, True)
    yield Tensor("fusion.vision_proj", (joint, vision["shuffle"] ** 2 * vision["hidden"]), True, True)
    for i in range(config["fusion"]["layers"]):
        name = f"fusion.layers.{i}."
        for vector in ("vision_norm", "text_norm", "mlp_norm", "text_null_k", "text_gate"):
            yield Tensor(name + vector, (joint,), False, False)
        for stream in ("vision", "text"):
            for letter in "qkvo":
                yield Tensor(f"{name}{stream}_w{letter}", (joint, joint), True, True)
        yield from _swiglu(name, joint, config["fusion"]["mlp"])
    yield Tensor("fusion.norm", (joint,), False, False)


def _vision(config: Mapping[str, Any]) -> Iterator[Tensor]:
    vision = config["vision"]
    stem, wide, hidden = vision["stem_channels"], vision["cnn_channels"], vision["hidden"]
    yield Tensor("vision.stem.weight", (stem, 48), True, False)
    yield Tensor("vision.stem.bias", (stem,), False, False)
    for i, (inputs, outputs) in enumerate(((stem, stem), (stem, wide), (wide, wide), (wide, wide))):
        name, expanded, squeezed = f"vision.cnn.{i}.", vision["expansion"] * inputs, max(8, inputs // 4)
        yield Tensor(name + "norm", (inputs,), False, False)
        yield Tensor(name + "expand", (expanded, inputs), True, True)
        yield Tensor(name + "dw", (3, 3, expanded), False, False)
        yield Tensor(name + "dw_bias", (expanded,), False, False)
        yield Tensor(name + "se_w1", (squeezed, expanded), True, False)
        yield Tensor(name + "se_b1", (squeezed,), False, False)
        yield Tensor(name + "se_w2", (expanded, squeezed), True, False)
        yield Tensor(name + "se_b2", (expanded,), False, False)
        yield Tensor(name + "project", (outputs, expanded), True, True)
    yield Tensor("vision.proj", (hidden, wide), True, True)
    yield Tensor("vision.pos", (1024, hidden), False, False)
    yield Tensor("vision.tile_row", (8, hidden), False, False)
    yield Tensor("vision.tile_col", (8, hidden), False, False)
    for i in range(vision["layers"]):
        name = f"vision.layers.{i}."
        yield Tensor(name + "attn_norm", (hidden,), False, False)
        yield Tensor(name + "mlp_norm", (hidden,), False, False)
        for letter in "qkvo":
            yield Tensor(f"{name}w{letter}", (hidden, hidden), True, True)
        yield Tensor(name + "w1", (vision["mlp"], hidden), True, True)
        yield Tensor(name + "w2", (hidden, vision["mlp"]), True, True)
    yield Tensor("vision.norm", (hidden,), False, False)


def tensors(config: Mapping[str, Any]) -> list[Tensor]:
    """Every tensor that `config` requires, in the order of the pack: the list of libcromwell/src/model/weights.c."""
    language, joint, ar = config["language"]["hidden"], config["fusion"]["hidden"], config["ar"]["hidden"]
    found = [Tensor("embed.weight", (config["vocab_size"], language), True, True)]
    if config["places"]:
        found.append(Tensor("embed.breaks", (config["vocab_size"],), False, False))
        found += [Tensor(f"embed.{name}", (config["places"], language), False, False) for name in ("line", "column", "part")]
    if config["aligned"]:
        found += [Tensor(f"embed.{name}", (config["vocab_size"],), False, False) for name in ("words", "leads")]
        found.append(Tensor("embed.mention", (3 * RUNS, language), False, False))
        found.append(Tensor("embed.aligned", (language, language), True, True))
    if config["token_shift"]:
        found.append(Tensor("embed.shift", (language,), False, False))
    found += _text_stack("language", config["language"], config["qk_norm"])
    found += _fusion(config)
    found += _text_stack("jepa", config["jepa"], config["qk_norm"])
    for k in range(config["jepa"]["steps"]):
        found.append(Tensor(f"jepa.predict.{k}.w1", (joint, joint), True, True))
        found.append(Tensor(f"jepa.predict.{k}.w2", (joint, joint), True, True))
    found.append(Tensor("ar.guide_gate", (joint,), False, False))
    found.append(Tensor("ar.in_proj", (ar, joint), True, True))
    if config["aligned"]:
        found += [Tensor(f"ar.aligned.{c}", (ar, language), True, True) for c in range(CANDIDATES)]
        found.append(Tensor("ar.choose", (CANDIDATES + 1, ar), True, False))
        found.append(Tensor("ar.choose_bias", (3 * RUNS, CANDIDATES + 1), False, False))
        found += [Tensor("ar.point_q", (POINT, ar), True, False), Tensor("ar.point_k", (POINT, joint), True, False)]
        found.append(Tensor("ar.point_bias", (RUNS,), False, False))
    found += _text_stack("ar", config["ar"], config["qk_norm"])
    if not config["tie_embeddings"]:
        found.append(Tensor("ar.head", (config["vocab_size"], ar), True, True))
    return found + list(_vision(config))


def config_section(config: Mapping[str, Any]) -> bytes:
    """The binary configuration: `cw_config` of libcromwell/src/model/config.h."""
    vision, fusion = config["vision"], config["fusion"]
    stacks = {part: [config[part][key] for key in ("hidden", "mlp", "layers", "heads", "kv_heads")] for part in ("language", "jepa", "ar")}
    return CONFIG.pack(
        config["vocab_size"], config["max_positions"], config["norm_eps"], config["rope_base"],
        config["tie_embeddings"], config["qk_norm"], config["token_shift"], config["logit_softcap"],
        vision["stem_channels"], vision["cnn_channels"], vision["expansion"], vision["hidden"], vision["mlp"], vision["layers"],
        vision["heads"], vision["window"], sum(1 << layer for layer in vision["global_layers"]), vision["shuffle"], vision["max_tiles"],
        *stacks["language"], fusion["hidden"], fusion["mlp"], fusion["layers"], fusion["heads"],
        *stacks["jepa"], config["jepa"]["steps"], *stacks["ar"], config["places"], config["aligned"],
    )  # fmt: skip


def format_of(tensor: Tensor, quant: str) -> str:
    """The format, "f32", "q8" or "q4", that a pack of format `quant` gives to a tensor.

    In a q4 pack the matrices of attention and between the stacks stay q8, where 4 bits cost most (docs/pack.md, with figures), and so
    does the vision encoder, which is bound by arithmetic: fewer bytes would not make it faster."""
    if not tensor.quantise or tensor.shape[1] % quantise.SUB != 0 or tensor.shape[0] * tensor.shape[1] < LEAST_QUANTISED:
        return "f32"
    sensitive = tensor.name.startswith("vision.") or tensor.name.endswith(("wq", "wk", "wv", "wo", "proj"))
    return "q8" if quant == "q4" and sensitive else quant


def dequantised(checkpoint: Mapping[str, np.ndarray], config: Mapping[str, Any], quant: str) -> dict[str, np.ndarray]:
    """The checkpoint with every matrix that a pack of format `quant` quantises rounded to what the pack holds, as float32."""
    out = {}
    for tensor in tensors(config):
        weight, form = np.asarray(checkpoint[tensor.name], np.float32), format_of(tensor, quant)
        out[tensor.name] = weight if form == "f32" else quantise.FORMATS[form](weight).weights()
    return out


def panels(matrix: np.ndarray, unit: int = 1, fill: float = 0) -> np.ndarray:
    """[N, K] as [ceil(N/16), K/unit, 16, unit], outputs beyond N `fill`."""
    outputs, depth = matrix.shape
    count = -(-outputs // PANEL)
    padded = np.full((count * PANEL, depth), fill, matrix.dtype)
    padded[:outputs] = matrix
    return np.ascontiguousarray(padded.reshape(count, PANEL, depth // unit, unit).transpose(0, 2, 1, 3))


def _aligned(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % ALIGNMENT)


def _stored(tensor: Tensor, weight: np.ndarray, quant: str) -> tuple[int, bytes]:
    """Data type and bytes of one tensor."""
    form = format_of(tensor, quant)
    if form == "q8":
        q8 = quantise.q8(weight)
        stored = (q8.values + quantise.OFFSET).astype(np.uint8)
        return PANELS_Q8, _aligned(panels(stored, 4, quantise.OFFSET).tobytes()) + panels(q8.scales).tobytes()
    if form == "q4":
        q4 = quantise.q4(weight)
        nibbles = (q4.values + quantise.NIBBLE_OFFSET).astype(np.uint8).reshape(len(weight), -1, 2, 4)
        pairs = (nibbles[:, :, 0] | nibbles[:, :, 1] << 4).reshape(len(weight), -1)
        parts = panels(pairs, 4, quantise.NIBBLE_OFFSET * 17), panels(q4.multipliers, 1, 1)
        return PANELS_Q4, b"".join(_aligned(part.tobytes()) for part in parts) + panels(q4.scales).tobytes()
    return (PANELS_F32, panels(weight).astype("<f4").tobytes()) if tensor.matrix else (F32, weight.astype("<f4").tobytes())


def pack(checkpoint: Mapping[str, np.ndarray], config: Mapping[str, Any], tokenizer: bytes, quant: str) -> bytes:
    """The bytes of a model pack; `quant` is "f32", "q8" or "q4". ExportError when tensors are missing, unknown or misshapen."""
    if quant not in FORMATS:
        raise ExportError(f"quantisation {quant!r}, expected one of {', '.join(FORMATS)}")
    wanted = tensors(config)
    unknown = sorted(set(checkpoint) - {tensor.name for tensor in wanted})
    if unknown:
        raise ExportError(f"tensor {unknown[0]} is not of this configuration")
    stored = []
    for tensor in wanted:
        if tensor.name not in checkpoint:
            raise ExportError(f"tensor {tensor.name} is missing")
        weight = np.asarray(checkpoint[tensor.name], np.float32)
        if weight.shape != tensor.shape:
            raise ExportError(f"tensor {tensor.name}: shape is {list(weight.shape)}, expected {list(tensor.shape)}")
        if not np.isfinite(weight).all():
            raise ExportError(f"tensor {tensor.name}: holds values that are not finite")
        stored.append((tensor, *_stored(tensor, weight, quant)))
    text = json.dumps(config, sort_keys=True, indent=1, ensure_ascii=True).encode()
    first = HEADER.size + 8 + 4 * SECTION.size
    table_size = ENTRY.size * len(stored)
    offsets = []
    at = first
    for size in (CONFIG.size, len(text), len(tokenizer), table_size):
        at += -at % ALIGNMENT
        offsets.append(at)
        at += size
    at += -at % ALIGNMENT
    table, data = b"", []
    for tensor, dtype, body in stored:
        shape = tensor.shape + (1,) * (3 - len(tensor.shape))
        table += ENTRY.pack(tensor.name.encode(), dtype, len(tensor.shape), *shape, at, len(body), checksum64(body))
        data.append(_aligned(body))
        at += len(data[-1])
    sections = (config_section(config), text, tokenizer, table)
    section_table = b"".join(
        SECTION.pack(kind, 0, offset, len(section), checksum64(section))
        for kind, (offset, section) in enumerate(zip(offsets, sections, strict=True), 1)
    )
    fingerprint = checksum64(struct.pack("<IIQ", VERSION, len(sections), at) + section_table)
    header = HEADER.pack(MAGIC, VERSION, len(sections), at, fingerprint)
    out = bytearray(header + struct.pack("<Q", checksum64(header)) + section_table)
    for offset, section in zip(offsets, sections, strict=True):
        out += b"\0" * (offset - len(out)) + section
    return _aligned(bytes(out)) + b"".join(data)


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when done, 2 on a checkpoint or a configuration from which no pack can be made."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="weights, safetensors")
    parser.add_argument("--config", type=Path, required=True, help="configuration, JSON")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.bin of training.tokenizer")
    parser.add_argument("--quant", choices=FORMATS, default="q8")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pieces", type=Path, metavar="DIR", help="and there in pieces of at most 16 MiB (training.pieces)")
    options = parser.parse_args(arguments)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    beside = options.out.with_name(options.out.name + ".part")
    try:
        config = configs.to_dict(configs.load(options.config))
        data = pack(load_file(options.checkpoint), config, options.tokenizer.read_bytes(), options.quant)
        beside.write_bytes(data)
        os.replace(beside, options.out)
        listed = pieces.split(options.out, options.pieces, pieces.PIECE_MIB << 20) if options.pieces else None
    except (ExportError, SafetensorError, configs.ConfigError, OSError) as error:
        print(f"error: {options.checkpoint}: {error}", file=sys.stderr)
        return 2
    finally:
        beside.unlink(missing_ok=True)
    print(f"{options.out}: {len(data):,} bytes, {sum(int(np.prod(t.shape)) for t in tensors(config)):,} parameters", file=sys.stderr)
    if listed:
        print(f"{listed} lists its pieces", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
