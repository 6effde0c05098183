"""What the preparation computes over many files at once, said again for one file in the plainest way: the tests compare the two."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from cromwell.contract import prompt
from training.data import pipeline_documents
from training.data.pipeline_documents import MIN_TOKENS, Encoder


def documents(file: pipeline_documents.File, max_tokens: int, fill_share: float, encode: Encoder) -> list[tuple[list[int], str]]:
    """(ids, kind) of a file's documents, each text of a document encoded on its own."""
    rng: Random = file.rng
    alone: Callable[[bytes], list[int]] = lambda text: encode(text).tolist()  # noqa: E731
    found = []
    text = file.data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    for part in pipeline_documents.parts_between(text, file.cuts):
        part = part.lstrip(b"\n")
        for piece, _ in pipeline_documents.pieces(part, encode(part), max_tokens - 48, encode):
            if len(encode(piece)) < MIN_TOKENS:
                continue
            names = file.path.split("/")
            head = "/".join(names[-2:] if rng.random() < 0.25 else names[-1:]).encode() + b"\n"
            if rng.random() < fill_share:
                start, end = pipeline_documents.hole(piece, rng)
                shown = prompt.fill_prompt(piece[:start], piece[end:], head[:-1])
                ids, kind = prompt.encode([*shown, piece[start:end], "<EOS>"], alone), "fill"
            else:
                ids, kind = prompt.encode(["<FILE>", head + piece, "</FILE>"], alone), "plain"
            if len(ids) <= max_tokens:
                found.append((ids, kind))
    return found
