"""Decodes candidate answers to a prompt: one greedy, the others drawn, all from the same fed prompt."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from cromwell.contract.cache import Cache
from cromwell.contract.errors import CommandError
from cromwell.contract.model_input import region_tokens
from cromwell.contract.prefix import Pixels, feed_prompt
from cromwell.contract.words import detail
from cromwell.generate.gate import is_loop

if TYPE_CHECKING:
    from cromwell.binding import Model, Session

DRAWN_TEMPERATURE = 0.8
"""Temperature of the candidates after the first when none is given."""
GUARD_TOKENS = 64
"""How often an answer is looked at for a loop, in tokens."""
ROOM_FACTOR, ROOM_TOKENS, ROOM_PICTURE_TOKENS = 2, 64, 512
"""Default length of an answer: twice the region and some; more with a picture, whose code need not be in the region yet."""


class Sampling(NamedTuple):
    """What decides the candidates, and all that does: threads, instruction set and cache do not."""

    candidates: int = 1
    temperature: float | None = None
    """None: the first greedy, the others at DRAWN_TEMPERATURE. Given: a single candidate is drawn with it, else all but the first."""
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    guidance: bool = True

    def temperature_of(self, number: int) -> float:
        """Temperature of candidate `number`, from 0; 0 is greedy."""
        if number == 0 and (self.candidates > 1 or self.temperature is None):
            return 0.0
        return DRAWN_TEMPERATURE if self.temperature is None else self.temperature

    def seed_of(self, number: int) -> int:
        """Seed of candidate `number`: 64 bits of a hash over the seed and the number, so that candidates of near seeds differ."""
        return int.from_bytes(blake2b(self.seed.to_bytes(8, "little") + number.to_bytes(8, "little"), digest_size=8).digest(), "little")


class Draft(NamedTuple):
    """A decoded answer: its text up to a stop string, its tokens, how it ended, and the mean log-probability of its tokens,
    the one that ended it included."""

    text: bytes
    tokens: list[int]
    stop: str
    log_probability: float


def answer_room(tokens: Sequence[int], picture_count: int, max_positions: int, asked: int | None, where: str) -> int:
    """The most tokens an answer may have. CommandError when the prompt leaves no room for that."""
    left = max_positions - len(tokens)
    if left < 1:
        raise CommandError(f"{where}: a prompt of {len(tokens)} tokens leaves no room among the model's {max_positions} positions",
                           "make the context with a smaller --budget")
    if asked is not None:
        if asked > left:
            raise CommandError(f"cw-generate: --max-tokens {asked}: the prompt leaves room for {left}", f"use at most {left}")
        return asked
    return min(left, ROOM_FACTOR * len(region_tokens(tokens)) + ROOM_TOKENS + ROOM_PICTURE_TOKENS * picture_count)


def drafts(model: Model, tokens: Sequence[int], pictures: Sequence[Pixels], room: int, sampling: Sampling, cache: Cache, threads: int,
           watch: Callable[[int, int], None] | None) -> Iterator[Draft]:
    """The candidates in order. `watch(number, token)` is called for every token as it comes."""
    from cromwell import binding

    tiles = sum(picture.rows * picture.cols for picture in pictures)
    end = model.tokenizer.special("<EDIT_END>")
    stops = [stop.encode("utf-8") for stop in sampling.stops]
    source = [*region_tokens(tokens), end, *tokens]  # what an answer mostly repeats
    with binding.Session(model, len(tokens) + room, tiles, threads=threads, guidance=sampling.guidance) as session:
        use = feed_prompt(session, tokens, pictures, cache, model.fingerprint)
        detail(f"{len(tokens)} tokens: {use.restored_tokens} restored, {use.stored_tokens} stored")
        for number in range(sampling.candidates):
            if number:
                _back_to(session, tokens)
            # The history of the repetition penalty is the answer alone: an edit mostly repeats its source.
            with binding.Sampler(model.info.vocab_size, room, sampling.temperature_of(number), sampling.top_k, sampling.top_p,
                                 sampling.min_p, sampling.repetition_penalty, seed=sampling.seed_of(number)) as sampler:
                guard = _LoopGuard(region_tokens(tokens), None if watch is None else functools.partial(watch, number))
                result = binding.generate(session, sampler, [end], stops, room, guard.token, source)
            text = model.tokenizer.decode(result.ids)[:result.text_size]
            mean = result.log_probability / max(1, len(result.ids) + (result.reason == "token"))
            yield Draft(text, result.ids, result.reason, round(mean, 6))


class _LoopGuard:
    """Watches the tokens of one answer and ends it once it runs in circles, which the gate would refuse anyway."""

    def __init__(self, region: Sequence[int], watch: Callable[[int], None] | None):
        self.region, self.watch, self.tokens = region, watch, []

    def token(self, token: int) -> bool:
        """Takes the next token; True ends the answer."""
        if self.watch is not None:
            self.watch(token)
        self.tokens.append(token)
        return len(self.tokens) % GUARD_TOKENS == 0 and is_loop(self.region, self.tokens[-4 * GUARD_TOKENS:])


def _back_to(session: Session, tokens: Sequence[int]) -> None:
    """Returns to the end of the prompt; its last token is fed again, for its logits."""
    session.rewind(len(tokens) - 1)
    session.feed(tokens[-1:])
