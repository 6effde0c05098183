"""Initial weights that copy: "what followed these last tokens before follows them again".

Edits mostly repeat their region. Left to chance, a model finds such an induction circuit only after a plateau at the frequencies of
single tokens; given it, training starts from copying and learns where to deviate (training/LOG.md has the curves). Nothing is
frozen. The circuit, for the ORDER last tokens:

    embedding         a row is the same values u in even and in odd channels; token_shift adds the previous token's to the odd ones,
                      so that their difference is the previous token's u. A word and a symbol with that word have the word's part of u
                      in common. Rows of lines and columns are points on circles of several periods: near ones are alike. </EDIT> and
                      <EDIT_END> begin alike, so that a copy of a region ends, as do <EDIT> and <EDIT_START>
    language layer 0  heads that look 1, 2, .. positions back by RoPE alone fetch the u of tokens before the previous one
    text_proj         three codes leave each position: u itself, a sum of u of the last ORDER tokens (`ends`, each through its own
                      rotation), and the same sum for the ORDER tokens before this one (`follows`). To the second come the place of
                      this token and whether it is in the answer, to the third the place of the one before and whether it is in the region
    in_proj           writes the codes as differences of neighbouring channels: to the head, whose rows have equal neighbours,
                      they are invisible
    ar.choose_bias    what the region has next is what an answer goes on with, less so where the instruction mentions it or something
                      new has begun (alignment.py)
    AR layer 0        queries are `ends`, keys `follows`, values u: a position finds where its last tokens stood before, best in the
                      same line near the same column, and writes the token found there in equal neighbours, which the head reads"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cromwell.contract.prompt import SPECIAL_TOKENS
from training.model.alignment import RUNS
from training.model.model import Model

EMBEDDING_STD = 0.5
"""Muon's updates have singular values near the rate whatever the gradient: a residual stream of this size is not drowned by the
first layers' outputs within a few steps; one of 0.05 is."""

FINAL_NORM = 0.17  # of ar.norm: logits of what is copied begin near 13 at width 256
ORDER = 4  # tokens that must agree for a full match
SHARES = (1.0, 0.8, 0.65, 0.5)  # in a code, of the last token and those before it
KEPT = 7 / 8  # of a head's size: directions of u that travel to the AR head
LINE_RATES = (0.12, 0.4, 1.0, 2.2)  # radians a line
LINE_SIZE = 1.9  # of the points, where a token's u has about 1 a channel
COLUMN_RATES = (0.15, 0.7)
COLUMN_SIZE = 1.5
CIRCLES = 2 * (len(LINE_RATES) + len(COLUMN_RATES))  # channels of a line and a column
PLACE = CIRCLES + 1  # and of a part of the text
PART_SIZE = 3.0
END_GAIN = 1.15  # of the row of <EDIT_END> over that of </EDIT>, which it copies
SYMBOL = 12  # of the directions that travel, those that tell a symbol before a word
SLOW = 14 / 32  # RoPE pairs from this share on turn by less than a radian within 400 positions (base 1,000,000): they match
FAST = 7 / 32  # pairs up to this share tell neighbouring positions apart: they look back
BACK_SHARPNESS = 2.5  # of q_norm and k_norm where heads look back
MATCH_SHARPNESS = 1.5  # of q_norm and k_norm where codes are matched: a full match scores 1.5^2 sqrt(head_dim)
# Scores of the candidates (stay, skip, next line, continue) and of what is pointed at, to begin with: about the log of how often each is
# right in training edits, against all else as 0.
COPYING = (7.0, 0.0, 0.0, 0.0, 4.0)  # nothing mentioned here
MENTIONED = (6.0, 1.0, 0.0, 0.0, 8.0)
AFTER_NEW = (5.0, 4.0, 2.0, 7.0, 4.0)  # the last token is new, and what comes next in the region is not mentioned
REPLACING = (2.0, 6.0, 0.0, 7.0, 3.0)
UNMENTIONED = 2.0  # an instruction's words that do not stand in the region are more often what is written
OUTPUT_GAIN = 3.5  # of the copying heads together, so that what is copied outweighs the token at hand


def can_copy(model: Model) -> bool:
    """Whether the switches and sizes have room for the circuit."""
    config = model.config
    language, ar = config.language, config.ar
    kept, code = _sizes(model)
    fits = kept + 2 * (code + PLACE) <= min(config.fusion.hidden, ar.hidden // 2) and code + PLACE + 2 <= language.hidden // 2 - kept
    switches = config.tie_embeddings and config.token_shift and config.qk_norm and config.places
    return bool(switches) and language.heads >= ORDER - 1 and code > 0 and fits


@torch.no_grad()
def start_copying(model: Model, texts: Sequence[bytes]) -> None:
    """Sets the embedding, language layer 0, fusion.text_proj, ar.in_proj, AR layer 0 and ar.norm to the circuit above; `texts` are the
    bytes of every token, specials first."""
    config = model.config
    width, base = config.language.hidden, config.rope_base
    kept, code = _sizes(model)
    basis = orthonormal(width // 2, width // 2)
    travel, spare = basis[:kept], basis[kept:]
    circles, answer, region = spare[code + 1 : code + PLACE], spare[code + PLACE], spare[code + PLACE + 1]

    # Rows: mostly in the directions that travel, a little elsewhere, and one direction the same for all, which is how a head that
    # looks back gets a query that does not depend on the token.
    u = related(torch.randn(config.vocab_size, kept), texts) @ travel + 0.2 * torch.randn(config.vocab_size, len(spare)) @ spare
    edit, end, answer_start, answer_end = (SPECIAL_TOKENS.index(name) for name in ("<EDIT>", "</EDIT>", "<EDIT_START>", "<EDIT_END>"))
    u[answer_start], u[answer_end] = u[edit], END_GAIN * u[end]
    u = u - torch.outer(u @ spare[0], spare[0]) + 2.0 * spare[0]
    model.embed.weight.copy_(EMBEDDING_STD * u.repeat_interleave(2, dim=1))
    lines = 2 * len(LINE_RATES)
    for rows, rates, size, part in (
        (model.embed.line, LINE_RATES, LINE_SIZE, circles[:lines]),
        (model.embed.column, COLUMN_RATES, COLUMN_SIZE, circles[lines:]),
    ):
        angle = torch.arange(len(rows))[:, None] * torch.tensor(rates)
        rows.copy_(EMBEDDING_STD * size * (torch.cat((angle.cos(), angle.sin()), 1) @ part).repeat_interleave(2, dim=1))
    for special, flag in ((answer_start, answer), (edit, region)):
        model.embed.part[special + 1] = EMBEDDING_STD * PART_SIZE * flag.repeat_interleave(2)
    now, before, always = torch.zeros(kept, width), torch.zeros(kept, width), torch.zeros(width)
    here, there = torch.zeros(PLACE, width), torch.zeros(PLACE, width)
    now[:, 0::2], here[:, 0::2] = travel, torch.cat((circles, answer[None]))
    before[:, 0::2], before[:, 1::2] = -travel, travel
    there[:-1, 0::2], there[:-1, 1::2], there[-1, 0::2] = -circles, circles, region
    always[0::2] = spare[0]
    pair = torch.randint(0, config.vocab_size, (2, 4096))
    scale = (model.embed.weight[pair[0]] + model.embed.shift * model.embed.weight[pair[1]]).square().mean().sqrt()

    turns = [orthonormal(code, kept) * share for share in SHARES]
    # Two slots in spare channels: what earlier tokens add to `ends`, and to `follows`.
    slots = torch.zeros(2 * code, width)
    slots[:code, 0::2], slots[code:, 1::2] = spare[1 : code + 1], spare[1 : code + 1]
    layer, size = model.language.layers[0], config.language.head_dim
    fast = torch.arange(int(size // 2 * FAST))
    rate = base ** (-2.0 * fast / size)
    layer.wk[:size].zero_()
    layer.wk[fast] = always
    layer.wv[:size].zero_()
    layer.wv[:kept] = before
    for back in range(1, ORDER):
        head = back - 1
        queries = layer.wq[head * size : (head + 1) * size].zero_()
        queries[fast] = (rate * back).cos()[:, None] * always
        queries[fast + size // 2] = -(rate * back).sin()[:, None] * always
        # Looking `back` positions back gives the token 1 + back before this one.
        add = torch.zeros(2 * code, kept)
        if back + 1 < ORDER:
            add[:code] = turns[back + 1]
        add[code:] = turns[back]
        layer.wo[:, head * size : head * size + kept] = scale * slots.T @ add
    layer.q_norm.fill_(BACK_SHARPNESS)
    layer.k_norm.fill_(BACK_SHARPNESS)

    ends = turns[0] @ now + turns[1] @ before + slots[:code]
    follows = turns[0] @ before + slots[code:]
    codes = torch.cat((now, ends, here, follows, there))
    model.fusion.text_proj[: len(codes)] = codes
    place = torch.arange(len(codes))
    model.ar.in_proj.zero_()
    model.ar.in_proj[2 * place, place], model.ar.in_proj[2 * place + 1, place] = 1.0, -1.0

    read = torch.zeros(len(codes), width)
    read[place, 2 * place], read[place, 2 * place + 1] = 0.5**0.5, -(0.5**0.5)
    now, ends, follows = read.split((kept, code + PLACE, code + PLACE))
    layer, size = model.ar.layers[0], config.ar.head_dim
    slow = torch.arange(size // 2 - (code + PLACE) // 2, size // 2)
    slow = torch.cat((slow, slow + size // 2))
    layer.wk[:size].mul_(0.05)
    layer.wk[slow] = follows
    layer.wv[:kept] = now
    copying = max(1, config.ar.heads // config.ar.kv_heads // 2)
    for head in range(copying):
        queries = layer.wq[head * size : (head + 1) * size].mul_(0.05)
        queries[slow] = ends
        layer.wo[:, head * size : head * size + kept] = OUTPUT_GAIN / copying * travel.T.repeat_interleave(2, dim=0)
    layer.q_norm.fill_(MATCH_SHARPNESS)
    layer.k_norm.fill_(MATCH_SHARPNESS)
    if config.aligned:
        for first, scores in ((RUNS, COPYING), (RUNS + 1, MENTIONED), (2 * RUNS, AFTER_NEW), (2 * RUNS + 1, REPLACING)):
            last = first // RUNS * RUNS + RUNS if first % RUNS else first + 1
            model.ar.choose_bias[first:last] = torch.tensor(scores)
        model.ar.point_bias[0] = UNMENTIONED
    model.ar.norm.fill_(FINAL_NORM)


def _sizes(model: Model) -> tuple[int, int]:
    """Directions of u that travel; channels of `ends` and of `follows`, which with a place's are those of a head's slow RoPE pairs."""
    config = model.config
    size = min(config.language.head_dim, config.ar.head_dim)
    return min(config.language.hidden // 4, int(size * KEPT)), 2 * (size // 2 - math.floor(size // 2 * SLOW)) - PLACE


def related(coordinates_VK: Tensor, texts: Sequence[bytes]) -> Tensor:
    """Random coordinates of tokens, of which those that are a word, alone or after one other character, have the word's part in common,
    and the last SYMBOL ones, of the character, with all others after it.

    Instructions quote names, code has them after a space or a bracket: tokens that would have nothing in common."""
    words: dict[bytes, Tensor] = {}
    symbols: dict[bytes, Tensor] = {}
    cut = coordinates_VK.shape[1] - SYMBOL
    for token, text in enumerate(texts):
        word = text if text[:1].isalpha() else text[1:]
        if token >= len(SPECIAL_TOKENS) and word.isalpha():
            coordinates_VK[token, :cut] = words.setdefault(word, coordinates_VK[token, :cut].clone())
            symbol = text[: len(text) - len(word)]
            coordinates_VK[token, cut:] = symbols.setdefault(symbol, coordinates_VK[token, cut:].clone())
    return coordinates_VK


def orthonormal(rows: int, columns: int) -> Tensor:
    """[rows, columns] with orthonormal rows, rows <= columns."""
    return torch.linalg.qr(torch.randn(columns, rows)).Q.T.contiguous()
