"""From a context to what the model reads: the tokens of its prompt and the tiles of its pictures.

cw-context counts with it, cw-encode and cw-generate feed it, so that a budget is exact and every way through the stages gives the
model the same input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cromwell.contract import prompt
from cromwell.contract.artifact import Array
from cromwell.contract.errors import CommandError
from cromwell.contract.prefix import Pixels
from cromwell.contract.text import to_lf

if TYPE_CHECKING:
    from cromwell.binding import Tokenizer

EDIT_OPEN, EDIT_CLOSE = prompt.SPECIAL_TOKENS.index("<EDIT>"), prompt.SPECIAL_TOKENS.index("</EDIT>")


def prompt_path(path: str) -> bytes:
    """A path as the prompt shows it: the name of the file, as training mostly does; where it lies must not matter."""
    return path.rpartition("/")[2].encode("utf-8", "surrogateescape")


def region_text(target: bytes, region: Mapping[str, int], eol: str) -> bytes:
    """The region as the model sees it: LF line ends, and one after its last line even where the file ends without."""
    text = to_lf(target[region["start_byte"]:region["end_byte"]], eol)
    return text + b"\n" if text and not text.endswith(b"\n") else text


def prompt_tokens(meta: Mapping[str, Any], arrays: Mapping[str, Array], tokenizer: Tokenizer) -> list[int]:
    """The tokens of the edit prompt of a context with these meta fields and arrays."""
    target, region, window, eol = arrays["target"].data, meta["region"], meta["window"], meta["eol"]
    before = to_lf(target[window["start_byte"]:region["start_byte"]], eol)
    after = to_lf(target[region["end_byte"]:window["end_byte"]], eol)
    parts = prompt.Target(prompt_path(meta["path"]), before, region_text(target, region, eol), after)
    excerpts = [(prompt_path(excerpt["path"]), arrays[f"excerpt.{number}"].data) for number, excerpt in enumerate(meta["excerpts"])]
    images = sum(name.startswith("image.") for name in arrays)
    return prompt.encode(prompt.edit_prompt(parts, meta["instruction"].encode("utf-8"), excerpts, images), tokenizer.encode)


def region_tokens(tokens: Sequence[int]) -> Sequence[int]:
    """The tokens of the region in a prompt; empty when it marks none."""
    if EDIT_OPEN not in tokens or EDIT_CLOSE not in tokens:
        return []
    return tokens[tokens.index(EDIT_OPEN) + 1:tokens.index(EDIT_CLOSE)]


def tiles_each(picture_count: int, max_tiles: int) -> int:
    """How many tiles each of several pictures may have: they share the model's evenly. CommandError when there are not enough."""
    if picture_count > max_tiles:
        raise CommandError(f"{picture_count} pictures: the model takes at most {max_tiles}", "give fewer pictures")
    return max_tiles // max(1, picture_count)


def picture_tiles(arrays: Mapping[str, Array], max_tiles: int) -> list[Pixels]:
    """The pictures of a context as tiles, `max_tiles` in all. CommandError when there are more pictures than tiles."""
    pictures = [array for name, array in arrays.items() if name.startswith("image.")]
    if not pictures:
        return []
    from cromwell import binding

    each, found = tiles_each(len(pictures), max_tiles), []
    for array in pictures:
        height, width = array.shape[:2]
        layout = binding.image_layout(width, height, each)
        found.append(Pixels(binding.image_tiles(array.data, width, height, *layout), layout[0], layout[1]))
    return found
