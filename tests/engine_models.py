"""Random models for the tests of the C engine, as torch models and as packs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cromwell import binding
from cromwell.contract.prompt import SPECIAL_TOKENS
from training import config as configs
from training import export
from training.model.model import Model
from training.tokenizer import Vocabulary, to_section

IMAGE = SPECIAL_TOKENS.index("<IMAGE>")
SMALL: dict[str, Any] = {
    "name": "small", "vocab_size": 300, "max_positions": 1280, "norm_eps": 1e-6, "rope_base": 10000.0,
    "tie_embeddings": False, "qk_norm": True, "token_shift": True, "places": 6, "aligned": True, "logit_softcap": 15.0,
    "vision": {"stem_channels": 8, "cnn_channels": 16, "expansion": 2, "hidden": 32, "mlp": 48, "layers": 2, "heads": 2,
               "window": 16, "global_layers": [1], "shuffle": 2, "max_tiles": 4},
    "language": {"hidden": 72, "mlp": 88, "layers": 2, "heads": 4, "kv_heads": 2},
    "fusion": {"hidden": 48, "mlp": 64, "layers": 2, "heads": 3},
    "jepa": {"hidden": 48, "mlp": 64, "layers": 1, "heads": 3, "kv_heads": 3, "steps": 3},
    "ar": {"hidden": 64, "mlp": 80, "layers": 2, "heads": 4, "kv_heads": 1},
}  # fmt: skip
"""Every switch on, sizes that do not fill panels or groups, grouped keys."""

TIED: dict[str, Any] = SMALL | {
    "name": "tied", "tie_embeddings": True, "qk_norm": False, "token_shift": False, "places": 0, "aligned": False, "logit_softcap": 0.0,
    "vision": SMALL["vision"] | {"shuffle": 1, "window": 8, "global_layers": []},
    "language": SMALL["language"] | {"hidden": 64},
}  # fmt: skip
"""Every switch off."""

WHOLE: dict[str, Any] = SMALL | {
    "name": "whole",
    "vision": SMALL["vision"] | {"stem_channels": 32, "cnn_channels": 32, "hidden": 64, "mlp": 96},
    "language": {"hidden": 160, "mlp": 192, "layers": 2, "heads": 4, "kv_heads": 2},
    "fusion": {"hidden": 96, "mlp": 160, "layers": 2, "heads": 3},
    "jepa": {"hidden": 96, "mlp": 160, "layers": 1, "heads": 3, "kv_heads": 3, "steps": 3},
    "ar": {"hidden": 64, "mlp": 96, "layers": 2, "heads": 4, "kv_heads": 1},
}  # fmt: skip
"""Depths that are multiples of 32, so that a quantised pack quantises them; groups of 128 with a rest, a head size that is padded."""

FORMATS: dict[str, dict[str, Any]] = {"f32": SMALL, "q8": WHOLE, "q4": WHOLE}
"""A configuration to test each format with."""


def vocabulary(size: int) -> Vocabulary:
    """That many tokens: pairs of bytes as merges."""
    first = len(SPECIAL_TOKENS)
    count = size - first - 256
    return Vocabulary(SPECIAL_TOKENS, tuple((first + i // 256, first + i % 256) for i in range(count)))


def tokenizer_section(vocab_size: int) -> bytes:
    """The tokenizer of a pack with such a vocabulary."""
    return to_section(vocabulary(vocab_size))


def random_model(config: dict[str, Any], spread: float = 0.05) -> Model:
    """A torch model in float32; `spread` is of what is added to every weight, so that none is zero, gates included."""
    torch.set_num_threads(1)  # small operations, and a machine that others use
    torch.manual_seed(5)
    model = Model(configs.from_dict(config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    if model.config.places:
        model.embed.set_tokens(vocabulary(config["vocab_size"]).token_bytes(), len(SPECIAL_TOKENS))
    return model.eval()


def checkpoint(model: Model) -> dict[str, np.ndarray]:
    """The model's weights by name."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def write_pack(model: Model, config: dict[str, Any], quant: str, path: Path) -> Path:
    """Writes a pack of `model`; the model takes the weights that the pack holds."""
    weights = checkpoint(model)
    path.write_bytes(export.pack(weights, config, tokenizer_section(config["vocab_size"]), quant))
    if quant != "f32":
        model.load_state_dict({name: torch.from_numpy(value) for name, value in export.dequantised(weights, config, quant).items()})
    return path


def text(config: dict[str, Any], count: int, seed: int = 0) -> list[int]:
    """Random ids, none of them special."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(SPECIAL_TOKENS), config["vocab_size"], (count,), generator=generator).tolist()


def exchange(config: dict[str, Any], seed: int = 0, region: int = 30, instruction: int = 14, answer: int = 40) -> list[int]:
    """A region, an instruction and an answer of few different tokens, so that all three have much in common: copied runs, new ones,
    parts left out. Ends with the answer's last token."""
    chance = np.random.default_rng(seed)
    some = [*chance.integers(len(SPECIAL_TOKENS), config["vocab_size"], 9), len(SPECIAL_TOKENS) + ord("\n")]
    shown, asked, given = (chance.choice(some, count).tolist() for count in (region, instruction, answer))
    for _ in range(2):
        at, begin = chance.integers(0, answer // 2 + 1), chance.integers(0, region // 2 + 1)
        copied = shown[begin : begin + answer // 3]
        given[at : at + len(copied)] = copied
    given = given[:answer]
    edit, close, ins, start = (SPECIAL_TOKENS.index(name) for name in ("<EDIT>", "</EDIT>", "<INS>", "<EDIT_START>"))
    return [*text(config, 3, seed), edit, *shown, close, *text(config, 2, seed), ins, *asked, start, *given]


def tiles(count: int, seed: int) -> torch.Tensor:
    """Random tiles [count, 256, 256, 3] with some structure: blocks of colour and noise."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 200, (count, 16, 16, 3), generator=generator).repeat_interleave(16, 1).repeat_interleave(16, 2)
    return (blocks + torch.randint(0, 56, (count, 256, 256, 3), generator=generator)).to(torch.uint8)


class Trace:
    """What a session computed, by name, pieces of the same name joined."""

    def __init__(self, session: binding.Session) -> None:
        self.parts: dict[str, list[np.ndarray]] = {}
        session.trace(self._take)

    def _take(self, name: str, layer: int, values: memoryview, rows: int, cols: int) -> None:
        full = name if layer < 0 else self._numbered(name, layer)
        self.parts.setdefault(full, []).append(np.array(values, np.float32).reshape(rows, cols))

    @staticmethod
    def _numbered(name: str, layer: int) -> str:
        for stream in (".text", ".vision"):
            if name.endswith(stream):
                return f"{name.removesuffix(stream)}.{layer}{stream}"
        return f"{name}.{layer}"

    def __getitem__(self, name: str) -> np.ndarray:
        return np.concatenate(self.parts[name])


