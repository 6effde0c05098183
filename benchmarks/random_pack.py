"""Makes a model pack of random weights, for measuring speed: what the numbers are does not change how long they take.

    python -m benchmarks.random_pack --config models/base.json --quant q8 --out build/bench/base-q8.cwm [--positions 8192]

Weights are normal with a deviation of 0.02, norms 1; the tokenizer has the configuration's vocabulary, of pairs of bytes.
`--positions` raises max_positions, so that a text of 4096 tokens can be continued.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cromwell.contract.prompt import SPECIAL_TOKENS
from training import export
from training.tokenizer import Vocabulary, to_section

DEVIATION = 0.02


class RandomWeights(Mapping[str, np.ndarray]):
    """A checkpoint for `config` whose tensors are made when they are asked for, so that a large one is never held whole."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._numbers = {tensor.name: (number, tensor.shape) for number, tensor in enumerate(export.tensors(config))}

    def __getitem__(self, name: str) -> np.ndarray:
        number, shape = self._numbers[name]
        if name.endswith("norm"):
            return np.ones(shape, np.float32)
        return np.random.default_rng(number).standard_normal(shape, np.float32) * np.float32(DEVIATION)

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def tokenizer_section(vocab_size: int) -> bytes:
    """A tokenizer of that many tokens: specials, bytes, and merges of pairs of bytes, which limit it to 65,536 merges."""
    first = len(SPECIAL_TOKENS)
    count = vocab_size - first - 256
    if not 0 <= count <= 65536:
        raise ValueError(f"a vocabulary of {vocab_size} tokens, expected {first + 256} to {first + 256 + 65536}")
    return to_section(Vocabulary(SPECIAL_TOKENS, tuple((first + i // 256, first + i % 256) for i in range(count))))


def write(config: Mapping[str, Any], quant: str, path: Path) -> None:
    """Writes a pack of random weights. training.export.ExportError for a quantisation that it does not know."""
    data = export.pack(RandomWeights(config), config, tokenizer_section(config["vocab_size"]), quant)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(data)
    os.replace(beside, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--quant", required=True)
    parser.add_argument("--positions", type=int, help="max_positions instead of the configuration's")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    config = json.loads(arguments.config.read_text())
    if arguments.positions:
        config["max_positions"] = arguments.positions
    try:
        write(config, arguments.quant, arguments.out)
    except ValueError as error:  # ExportError too
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
