"""Decodes candidate answers to a prompt: one greedy, the others drawn, all at a time from the same fed prompt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from cromwell.contract.cache import Cache
from cromwell.contract.errors import CommandError
from cromwell.contract.model_input import region_tokens
from cromwell.contract.prefix import Pixels, feed_prompt
from cromwell.contract.words import detail
from cromwell.generate.gate import is_loop

if TYPE_CHECKING:
    from cromwell.binding import Generation, Model, Session

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
    min_confidence: float = 0.0
    """Of an answer that may leave; see Draft.confidence."""

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

    @property
    def confidence(self) -> float:
        """The probability that the model gives the whole answer, 0 to 1: what it thinks of being right to the letter."""
        return math.exp(self.log_probability * (len(self.tokens) + (self.stop == "token")))

    def doubt(self, sampling: Sampling) -> str | None:
        """Why the answer is too unsure to leave, or None."""
        if self.confidence >= sampling.min_confidence:
            return None
        return f"unsure, a confidence of {self.confidence:.2g} where {sampling.min_confidence:g} is asked for"


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
           watch: Callable[[int, int], None] | None) -> list[Draft]:
    """The candidates in order. `watch(number, token)` is called for every token as it comes; those of candidates are mixed."""
    from cromwell import binding

    tiles = sum(picture.rows * picture.cols for picture in pictures)
    end = model.tokenizer.special("<EDIT_END>")
    stops = [stop.encode("utf-8") for stop in sampling.stops]
    region = region_tokens(tokens)
    guards = [_LoopGuard(region) for _ in range(sampling.candidates)]

    def on_token(number: int, token: int) -> bool:
        if watch is not None:
            watch(number, token)
        return guards[number].token(token)

    with ExitStack() as stack:
        session = stack.enter_context(binding.Session(model, len(tokens) + room, tiles, threads=threads, guidance=sampling.guidance))
        use = feed_prompt(session, tokens, pictures, cache, model.fingerprint)
        detail(f"{len(tokens)} tokens: {use.restored_tokens} restored, {use.stored_tokens} stored")
        sessions = [session, *(stack.enter_context(_sharing(session, len(tokens), room)) for _ in range(1, sampling.candidates))]
        # The history of the repetition penalty is the answer alone: an edit mostly repeats its source.
        samplers = [stack.enter_context(binding.Sampler(
            model.info.vocab_size, room, sampling.temperature_of(number), sampling.top_k, sampling.top_p, sampling.min_p,
            sampling.repetition_penalty, seed=sampling.seed_of(number))) for number in range(sampling.candidates)]  # fmt: skip
        source = [*region, end, *tokens]  # what an answer mostly repeats
        made = binding.generate_each(sessions, samplers, [end], stops, room, on_token, source)
        return [_draft(model, answer) for answer in made]


def _sharing(session: Session, length: int, room: int) -> Session:
    """A session for another answer to the same prompt, whose states it uses. Passes run with the threads of the first."""
    from cromwell import binding

    other = binding.Session(session.model, length + room, threads=1, guidance=session.guidance)
    other.share(session, length)
    return other


def _draft(model: Model, made: Generation) -> Draft:
    text = model.tokenizer.decode(made.ids)[:made.text_size]
    mean = made.log_probability / max(1, len(made.ids) + (made.reason == "token"))
    return Draft(text, made.ids, made.reason, round(mean, 6))


class _LoopGuard:
    """Watches the tokens of one answer and ends it once it runs in circles, which the gate would refuse anyway."""

    def __init__(self, region: Sequence[int]):
        self.region, self.tokens = region, []

    def token(self, token: int) -> bool:
        """Takes the next token; True ends the answer."""
        self.tokens.append(token)
        return len(self.tokens) % GUARD_TOKENS == 0 and is_loop(self.region, self.tokens[-4 * GUARD_TOKENS:])
