"""Makes the embeddings of a word's forms alike: python -m training.relate CHECKPOINT_FOLDER --tokenizer tokenizer.bin

`cookies`, ` cookies` and `(cookies` are different tokens whose rows share nothing at first, so that a new name quoted in an instruction
says nothing about the same name after a space. Each form (a symbol and a word) takes a share of the bare word's row; training goes on
from there. Rewrites `model` and `average` of a checkpoint in place; applying it twice takes the share twice."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from training import tokenizer

SHARE = 0.4
"""Of a form's variance, what comes from the bare word."""


def bare_word(token: bytes) -> bytes | None:
    """The word of a token that is one symbol or space and then letters; None for other tokens."""
    def letter(byte: int) -> bool:
        return byte >= 0x80 or byte == ord("_") or chr(byte).isalpha()

    if len(token) < 2 or letter(token[0]) or chr(token[0]).isdigit() or not all(letter(byte) for byte in token[1:]):
        return None
    return token[1:]


def forms(tokens: Sequence[bytes], first: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids of forms and of their bare words, among the tokens from id `first` on."""
    ids = {token: index for index, token in enumerate(tokens) if index >= first}
    pairs = [(index, ids[word]) for token, index in ids.items() if (word := bare_word(token)) is not None and word in ids]
    form, bare = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    return form, bare


def relate(embedding_VD: torch.Tensor, form: torch.Tensor, bare: torch.Tensor) -> torch.Tensor:
    """The table with each form's row a mixture of its own and the bare word's, of the same variance where the two are independent."""
    related_VD = embedding_VD.clone()
    related_VD[form] = (1 - SHARE) ** 0.5 * embedding_VD[form] + SHARE**0.5 * embedding_VD[bare]
    return related_VD


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.relate", description=__doc__.split("\n\n")[1])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    options = parser.parse_args()
    try:
        text = tokenizer.load(options.tokenizer)
        tokens = [text.decode([index]) for index in range(text.size)]
        form, bare = forms(tokens, text.vocabulary.first_byte)
        for name in ("model", "average"):
            path = options.checkpoint / f"{name}.safetensors"
            with safe_open(path, "pt") as stored:
                weights, facts = {key: stored.get_tensor(key) for key in stored.keys()}, stored.metadata()  # noqa: SIM118
            weights["embed.weight"] = relate(weights["embed.weight"], form, bare)
            save_file(weights, path.with_suffix(".tmp"), metadata=facts)
            os.replace(path.with_suffix(".tmp"), path)
    except (OSError, ValueError) as error:
        print(f"error: {options.checkpoint}: {error}", file=sys.stderr)
        return 2
    print(f"{options.checkpoint}: {len(form)} forms of words related")
    return 0


if __name__ == "__main__":
    sys.exit(main())
