"""Feeds a prompt to a session with the help of the cache: the states of its first tokens are restored where they were computed before.

States are kept in blocks of 64 tokens. A block's key is a hash over the key of the block before it and its own ids, so that a block
stands for everything before it too: key_i = H(key_{i-1}, ids_i), key_{-1} = H(format, model, guidance). Only whole blocks before the
first picture (states after it depend on it) and before the last token (whose logits are wanted) are kept. Blocks are mapped and used in
place, bit for bit what computing gives, so the result is the same with a hot cache, a cold one or none."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from cromwell.contract.cache import Cache, content_key
from cromwell.contract.prompt import SPECIAL_TOKENS

if TYPE_CHECKING:
    from cromwell.binding import Session

BLOCK_TOKENS = 64
FORMAT = 2  # raise it when the meaning of a block's bytes changes
SPACE = "prefix"
WORTH_A_THREAD = 8  # blocks
IMAGE_ID = SPECIAL_TOKENS.index("<IMAGE>")


class Pixels(NamedTuple):
    """A picture cut into tiles: `tiles` is [rows*cols, 256, 256, 3] RGB bytes."""

    tiles: bytes
    rows: int
    cols: int


class PrefixUse(NamedTuple):
    """How many tokens of a prompt came from the cache, and the states of how many were added to it."""

    restored_tokens: int
    stored_tokens: int


def feed_prompt(session: Session, ids: Sequence[int], images: Sequence[Pixels], cache: Cache, fingerprint: str) -> PrefixUse:
    """Feeds all of `ids` to an empty session, one picture of `images` for each <IMAGE> token. ValueError when their numbers differ."""
    values = array("i", ids)
    if session.length or values.count(IMAGE_ID) != len(images):
        raise ValueError(f"{values.count(IMAGE_ID)} image tokens, {len(images)} pictures, {session.length} tokens fed before")
    first_image = values.index(IMAGE_ID) if images else len(values)
    keys = _block_keys(values, min(first_image, len(values) - 1) // BLOCK_TOKENS, fingerprint, session.guidance)
    restored = 0
    for state in _states(cache, keys):
        if len(state) != session.block_bytes:
            break
        session.attach(values[restored:restored + BLOCK_TOKENS], state)
        restored += BLOCK_TOKENS
    _feed(session, values, restored, images)
    stored = 0
    for key in keys[restored // BLOCK_TOKENS:]:
        if cache.root is None or not cache.put(SPACE, key, session.block((restored + stored) // BLOCK_TOKENS)):
            break
        stored += BLOCK_TOKENS
    return PrefixUse(restored, stored)


def _states(cache: Cache, keys: Sequence[str]) -> list[memoryview]:
    """The states of the first keys, as many as there are one after the other. Checking them takes as long as reading memory does, so two
    threads share it."""
    states: list[memoryview | None] = [None] * len(keys)

    def read(first: int, step: int) -> None:
        for index in range(first, len(keys), step):
            states[index] = cache.get(SPACE, keys[index])
            if states[index] is None:
                break

    if len(keys) < WORTH_A_THREAD or len(os.sched_getaffinity(0)) == 1:
        read(0, 1)
    else:
        import threading

        helper = threading.Thread(target=read, args=(1, 2))
        helper.start()
        read(0, 2)
        helper.join()
    return list(takewhile(lambda state: state is not None, states))


def _block_keys(ids: array[int], count: int, fingerprint: str, guidance: bool) -> list[str]:
    keys, key = [], content_key(SPACE, FORMAT, fingerprint, int(guidance))
    for block in range(count):
        key = content_key(key, ids[block * BLOCK_TOKENS:(block + 1) * BLOCK_TOKENS].tobytes())
        keys.append(key)
    return keys


def _feed(session: Session, ids: array[int], start: int, images: Sequence[Pixels]) -> None:
    """Feeds ids[start:]; no picture stands before `start`."""
    for picture in images:
        place = ids.index(IMAGE_ID, start)
        if place > start:
            session.feed(ids[start:place])
        session.feed_image(picture.tiles, picture.rows, picture.cols)
        session.feed(ids[place:place + 1])
        start = place + 1
    if start < len(ids):
        session.feed(ids[start:])
