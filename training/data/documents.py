"""What becomes a training document, as token ids: edits, plain code, code with a hole, pictures of code."""

from __future__ import annotations

from random import Random
from typing import Callable, NamedTuple

from cromwell.contract import prompt

from . import source
from .edits import Example, short_path

MAX_TOKENS = 1024
MAX_PLAIN_TOKENS = 400


class Document(NamedTuple):
    """Token ids; the loss is on predicting ids[loss_start:]."""

    ids: list[int]
    loss_start: int
    kind: str


def edit_document(example: Example, encode: Callable[[bytes], list[int]]) -> Document | None:
    """An edit prompt and its answer; None when it is longer than MAX_TOKENS."""
    head = prompt.encode(prompt.edit_prompt(example.target, example.instruction), encode)
    ids = head + prompt.encode(prompt.answer(example.new_region), encode)
    return Document(ids, len(head), example.kind) if len(ids) <= MAX_TOKENS else None


def plain_document(file: source.SourceFile, unit: source.Unit, rng: Random, encode: Callable[[bytes], list[int]]) -> Document | None:
    """A window of a unit as plain code or, half of the time, with a hole to fill; None when it is too long or too short."""
    first = rng.randrange(max(1, len(unit.lines) - 30)) if rng.random() < 0.5 else 0
    text = b"".join(unit.lines[first : first + 45])
    path = short_path(file.path, rng)
    if len(text) < 80:
        return None
    if rng.random() < 0.5:
        parts: list[prompt.Part] = ["<FILE>", path + b"\n" + text, "</FILE>"]
        kind, ids = "plain", prompt.encode(parts, encode)
    else:
        start, end = sorted(rng.sample(range(len(text) + 1), 2))
        if rng.random() < 0.6:  # whole lines, as an editor asks for them
            start, end = text.rfind(b"\n", 0, start) + 1, (text.find(b"\n", end) + 1 or len(text))
        end = min(end, start + 400)
        while 0 < start < len(text) and text[start] & 0xC0 == 0x80:
            start -= 1
        while end < len(text) and text[end] & 0xC0 == 0x80:
            end += 1
        kind, ids = "fill", prompt.encode([*prompt.fill_prompt(text[:start], text[end:], path), text[start:end], "<EOS>"], encode)
    return Document(ids, 1, kind) if 24 <= len(ids) <= MAX_PLAIN_TOKENS else None


def picture_document(answer: bytes, path: bytes, instruction: bytes, encode: Callable[[bytes], list[int]], kind: str) -> Document:
    """A picture, an instruction to write what it shows, and that; the region is empty."""
    head = prompt.encode(prompt.edit_prompt(prompt.Target(path, b"", b"", b""), instruction, images=1), encode)
    return Document(head + prompt.encode(prompt.answer(answer), encode), len(head), kind)
