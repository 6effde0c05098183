"""The one prompt format, for training and for inference (design 5).

    context files:  <FILE> path \n text </FILE>                       any number, the stable part first
    target file:    <FILE> path \n before <EDIT> region </EDIT> after </FILE>
    picture:        <VISION_START> <IMAGE> <VISION_END>               one a picture
    instruction:    <INS> text
    answer:         <EDIT_START> new region <EDIT_END>

The instruction comes last, so that prompts about one file share their longest prefix and its cached states. In it, `code` in backticks
stands between spaces, so that its tokens are those that it has in a file (`spaced`).
`text` parts are ordinary bytes: an encoder never turns them into special tokens. Line ends are LF here; callers restore CRLF.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

SPECIAL_TOKENS = (
    "<PAD>", "<EOS>", "<FILE>", "</FILE>", "<EDIT>", "</EDIT>", "<EDIT_START>", "<EDIT_END>", "<INS>", "<DEL>", "<DIFF>",
    "<DELETE_START>", "</DELETE>", "<IMAGE>", "<VISION_START>", "<VISION_END>", "<FIM_PREFIX>", "<FIM_SUFFIX>", "<FIM_MIDDLE>",
)
"""In id order: special token i has id i; byte b has id len(SPECIAL_TOKENS) + b; merges follow."""

Part = str | bytes  # str: the name of one special token; bytes: ordinary text


class Target(NamedTuple):
    """The region to rewrite and its surroundings, all with LF line ends."""

    path: bytes
    before: bytes
    region: bytes
    after: bytes


def edit_prompt(target: Target, instruction: bytes, context: Sequence[tuple[bytes, bytes]] = (), images: int = 0) -> list[Part]:
    """The parts of a prompt that asks for a new `target.region`, up to and including <EDIT_START>.

    `context` holds (path, text) pairs of other excerpts; `images` is the number of pictures."""
    parts: list[Part] = []
    for path, text in context:
        parts += ["<FILE>", path + b"\n" + text, "</FILE>"]
    parts += ["<FILE>", target.path + b"\n" + target.before, "<EDIT>", target.region, "</EDIT>", target.after, "</FILE>"]
    parts += ["<VISION_START>", "<IMAGE>", "<VISION_END>"] * images
    return parts + ["<INS>", spaced(instruction), "<EDIT_START>"]


def spaced(instruction: bytes) -> bytes:
    """The instruction with a space before its first word, and before and after what stands between two backticks of a line.

    "`name`" has none of the tokens that " name" has; a model would have to learn every name twice. Done twice, it changes nothing more."""
    return b" " + re.sub(rb"` *([^`\n]*[^`\s]) *`", rb"` \1 `", instruction).lstrip(b" ")


def answer(region: bytes) -> list[Part]:
    """The parts that a model should produce after an edit prompt."""
    return [region, "<EDIT_END>"]


def fill_prompt(before: bytes, after: bytes, path: bytes = b"") -> list[Part]:
    """The parts of a fill-in-the-middle prompt (prefix, suffix, middle order), up to and including <FIM_MIDDLE>."""
    return ["<FIM_PREFIX>", path + b"\n" + before, "<FIM_SUFFIX>", after, "<FIM_MIDDLE>"]


def encode(parts: Sequence[Part], encode_text: Callable[[bytes], list[int]]) -> list[int]:
    """Token ids of `parts`; `encode_text` encodes ordinary bytes."""
    ids: list[int] = []
    for part in parts:
        if isinstance(part, str):
            ids.append(SPECIAL_TOKENS.index(part))
        elif part:
            ids += encode_text(part)
    return ids
