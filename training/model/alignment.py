"""How far an answer has come in the region that it rewrites, and what of it the instruction mentions (docs/model.md, Alignment).

The twin of libcromwell/src/model/align.c.

Found from the ids alone. The way through the region is the cheapest one to make what stands of the answer out of its beginning: a copied
token costs nothing, a new one INSERT, leaving out any number of the region's tokens JUMP. Mentions compare words, not tokens.
Shapes: B texts, T tokens, N answers, R region tokens, I instruction tokens, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy

from cromwell.contract.prompt import SPECIAL_TOKENS

EDIT, EDIT_CLOSE, INSTRUCTION, ANSWER, ANSWER_END = map(SPECIAL_TOKENS.index, ("<EDIT>", "</EDIT>", "<INS>", "<EDIT_START>", "<EDIT_END>"))
INSERT, JUMP = 4, 3  # a jump to a token that stands in the region costs less than that token as a new one, more than copying
FAR = 1 << 28  # more than any way costs
RUNS = 8  # rows of embed.mention for runs of 0 to 7 words and more: of instructions, of answers that copy, of answers with something new
CANDIDATES = 4  # tokens that an answer may go on with
POINT = 32  # channels in which an answer points at tokens of the instruction
NONE = SPECIAL_TOKENS.index("<PAD>")


class Exchange(NamedTuple):
    """A region, an instruction and an answer in one text; ends are those of their last tokens + 1."""

    row: int
    region: int
    region_end: int  # of its </EDIT>
    instruction: int
    start: int  # of <EDIT_START>; the text's length where that has not come yet
    end: int


class Pointed(NamedTuple):
    """What <EDIT_START> and each token of an answer may point at: the instruction's tokens, each as the token that would be written."""

    row: int
    start: int  # of <EDIT_START>
    instruction: int  # index of its first token
    id_KI: numpy.ndarray  # int64


class Aligned(NamedTuple):
    """Of every token of the texts."""

    pointed: list[Pointed]
    candidate_BTC: numpy.ndarray  # int64, tokens that may come next, -1 outside answers
    place_BT: numpy.ndarray  # int64, index of the region's token that comes next if the answer goes on copying, -1 outside answers
    mention_BT: numpy.ndarray  # int64, row of embed.mention, -1 outside instructions and answers


def exchanges(ids_BT: numpy.ndarray) -> list[Exchange]:
    """Every instruction after a region (the last one that is closed), with the answer where there is one."""
    found = []
    length = ids_BT.shape[1]
    for row in numpy.flatnonzero((ids_BT == INSTRUCTION).any(axis=1)):
        special = [*numpy.flatnonzero(ids_BT[row] < len(SPECIAL_TOKENS)), length]
        opened, region = None, None
        for index, after in zip(special, special[1:], strict=False):
            kind = ids_BT[row, index]
            if kind == EDIT:
                opened = index
            elif kind == EDIT_CLOSE and opened is not None:
                region, opened = (opened + 1, index), None
            elif kind == INSTRUCTION and region is not None:
                answered = after < length and ids_BT[row, after] == ANSWER
                end = special[special.index(after) + 1] if answered else length
                found.append(Exchange(int(row), *map(int, region), int(index) + 1, int(after), int(end)))
    return found


class Lexicon:
    """What the alignment knows of the tokens: their words, how they begin, their line feeds."""

    def __init__(self, words_V: numpy.ndarray, leads_V: numpy.ndarray, breaks_V: numpy.ndarray) -> None:
        """`words_V` and `leads_V` as from `words_and_leads`, `breaks_V` line feeds in a token."""
        self.word_V, self.break_V = words_V.astype(numpy.int64), breaks_V
        leads, self.lead_V = numpy.unique(leads_V, return_inverse=True)
        self.lead_V = self.lead_V.reshape(-1) + (leads[0] > 0)  # 0: without forms
        token_WL = numpy.full((len(words_V), self.lead_V.max() + 1), -1)
        token_WL[self.word_V, self.lead_V] = numpy.arange(len(words_V))
        own_V1 = numpy.arange(len(words_V))[:, None]
        form_VL = token_WL[self.word_V]
        self.form_VL = numpy.where((form_VL < 0) | (self.lead_V == 0)[:, None], own_V1, form_VL)  # each token after each beginning
        self.form_VL[:, 0] = own_V1[:, 0]


def align(ids_BT: numpy.ndarray, lexicon: Lexicon) -> Aligned:
    """What stands at t depends on the ids up to t.

    The candidates are, for <EDIT_START> and every token of an answer: the region's token that comes next if the answer goes on copying; the
    one after what is mentioned there, or else after that one; the first one of the region's next line; and, where the answer's last tokens
    are new, what follows them in the instruction (NONE where they do not stand there). After the region's last token comes <EDIT_END>.

    In an instruction, `mention` is the length of the longest run of words up to this one that stands in the region; in an answer, RUNS more
    than that of the longest run of the region's words from the next token on that stands in the instruction, and another RUNS where the
    last token is new.

    A token of the instruction that an answer points at is written as it stands there; where the last token is copied and the region's
    next one is a word after some character or none, in the form of its own word after the same, if there is such a token."""
    pointed = []
    candidate_BTC = numpy.full((*ids_BT.shape, CANDIDATES), -1, numpy.int64)
    place_BT, mention_BT = numpy.full((2, *ids_BT.shape), -1, numpy.int64)
    for known in exchanges(ids_BT):
        row, ids = known.row, ids_BT[known.row]
        region_R, instruction_I = ids[known.region : known.region_end], ids[known.instruction : known.start]
        ending_I, beginning_R = mentions(lexicon.word_V[region_R], lexicon.word_V[instruction_I])
        mention_BT[row, known.instruction : known.start] = numpy.minimum(ending_I, RUNS - 1)
        if known.start == len(ids):
            continue
        answer_K = ids[known.start + 1 : known.end]
        place_K = path(region_R, answer_K)
        new_K = since_copied(region_R, answer_K, place_K)
        run_K = numpy.append(beginning_R, 0)[place_K]
        after_R = numpy.append(region_R, ANSWER_END)
        candidates = (
            after_R[place_K],
            after_R[numpy.minimum(place_K + numpy.maximum(run_K, 1), len(region_R))],
            after_R[numpy.append(next_line(lexicon.break_V[region_R]), len(region_R))[place_K]],
            continuation(instruction_I, lexicon.word_V[instruction_I], lexicon.word_V[answer_K], new_K),
        )
        answer = slice(known.start, known.end)
        candidate_BTC[row, answer] = numpy.stack(candidates, 1)
        place_BT[row, answer] = known.region + place_K
        lead_K = numpy.where(new_K > 0, 0, numpy.append(lexicon.lead_V[region_R], 0)[place_K])
        pointed.append(Pointed(row, known.start, known.instruction, lexicon.form_VL[instruction_I][:, lead_K].T))
        mention_BT[row, answer] = RUNS * (1 + (new_K > 0)) + numpy.minimum(run_K, RUNS - 1)
    return Aligned(pointed, candidate_BTC, place_BT, mention_BT)


def path(region_R: numpy.ndarray, answer_K: Sequence[int]) -> numpy.ndarray:
    """int64 [K + 1], the place in the region, 0 to R, before the answer and after each of its tokens: the first one that costs least."""
    cost = numpy.full(len(region_R) + 1, JUMP, numpy.int32)  # of having come to each place
    cost[0] = 0
    places = numpy.zeros(len(answer_K) + 1, numpy.int64)
    for k, token in enumerate(answer_K, start=1):
        now = cost + INSERT
        same = region_R == token
        now[1:][same] = numpy.minimum(now[1:], cost[:-1])[same]
        places[k] = now.argmin()
        cost = now.copy()
        cost[1:] = numpy.minimum(now[1:], numpy.minimum.accumulate(now)[:-1] + JUMP)
    return places


def since_copied(region_R: numpy.ndarray, answer_K: Sequence[int], place_K: numpy.ndarray) -> numpy.ndarray:
    """int64 [K + 1], before the answer and after each of its tokens: how many came since one that equals the region's token before the
    place."""
    new_K = numpy.zeros(len(place_K), numpy.int64)
    for k, (token, place) in enumerate(zip(answer_K, place_K[1:], strict=True), start=1):
        new_K[k] = 0 if place > 0 and region_R[place - 1] == token else new_K[k - 1] + 1
    return new_K


def continuation(
    instruction_I: numpy.ndarray, instruction_words_I: numpy.ndarray, words_K: numpy.ndarray, new_K: numpy.ndarray
) -> numpy.ndarray:
    """int64 [K + 1], the instruction's token after the longest run of words that ends the answer so far, made of its last new tokens; the
    first such run of several, NONE without one, and ANSWER_END after the instruction's last token."""
    found_K = numpy.full(len(new_K), NONE)
    after_I = numpy.append(instruction_I[1:], ANSWER_END)
    run_I = numpy.zeros(len(instruction_I), numpy.int64)  # words of the answer that end at each place of the instruction
    for k in range(1, len(new_K)):
        if new_K[k] == 0:
            run_I[:] = 0
            continue
        before_I = numpy.concatenate(([0], run_I[:-1]))
        run_I = numpy.where(instruction_words_I == words_K[k - 1], before_I + 1, 0)
        if run_I.any():
            found_K[k] = after_I[run_I.argmax()]
    return found_K


def mentions(region_R: numpy.ndarray, instruction_I: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(for each word of the instruction the longest run that ends there and stands in the region, for each word of the region the longest
    run that begins there and stands in the instruction)."""
    same_RI = (region_R[:, None] == instruction_I).astype(numpy.int64)
    ending_RI, beginning_RI = same_RI.copy(), same_RI.copy()
    for r in range(1, len(region_R)):
        ending_RI[r, 1:] += ending_RI[r - 1, :-1] * same_RI[r, 1:]
        beginning_RI[-1 - r, :-1] += beginning_RI[-r, 1:] * same_RI[-1 - r, :-1]
    return ending_RI.max(axis=0, initial=0), beginning_RI.max(axis=1, initial=0)


def next_line(breaks_R: numpy.ndarray) -> numpy.ndarray:
    """For each of the region's tokens the place after the first one from there on that holds a line feed; R where none does."""
    feed_R = numpy.where(breaks_R > 0, numpy.arange(1, len(breaks_R) + 1), len(breaks_R))
    return numpy.minimum.accumulate(feed_R[::-1])[::-1]


def words_and_leads(texts: Sequence[bytes]) -> tuple[list[int], list[int]]:
    """(for each token the first one of the same word, how it begins).

    Letters and digits, alone or after one other character, are a word: instructions quote names, code has them after a space or a bracket.
    Such a token begins with nothing (1) or that character (2 + its byte). Special tokens and all others are words of their own without
    forms (0)."""
    first: dict[bytes, int] = {}
    found, leads = [], []
    for token, text in enumerate(texts):
        alone = text[:1].isalnum()
        word = text if alone else text[1:]
        is_form = token >= len(SPECIAL_TOKENS) and word.isalnum()
        found.append(first.setdefault(word, token) if is_form else token)
        leads.append((1 if alone else 2 + text[0]) if is_form else 0)
    return found, leads
