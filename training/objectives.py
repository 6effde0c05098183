"""The loss of one micro-batch: next token, JEPA (as it comes or with parts hidden), view pairs (docs/training.md).

Shapes: B rows, R of them with JEPA losses, T positions, J joint size, P scored positions, N vision tokens of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
import torch
from torch import Tensor, nn

from training import masks
from training.batches import IMAGE_TOKEN, Batch
from training.losses import collapse_figures, jepa_loss, pair_loss, token_loss, vision_loss
from training.model.jepa import Predictor
from training.model.model import Image, Model
from training.settings import Objective


class Heads(nn.Module):
    """Predictors that only training needs, and no model pack holds: of hidden vision tokens, and of answers from their prompts."""

    def __init__(self, joint: int) -> None:
        super().__init__()
        self.vision, self.pair = Predictor(joint), Predictor(joint)


class Parts(NamedTuple):
    """What a micro-batch's loss is made of, without gradients; a part that the objective does not ask for is 0, or absent."""

    token_P: Tensor | None  # nats of each scored position
    jepa: Tensor
    vision: Tensor
    pair: Tensor
    figures: dict[str, float]


def batch_loss(
    model: Model,
    average: Model,
    heads: Heads,
    batch: Batch,
    objective: Objective,
    scored: int,
    share: float,
    chance: numpy.random.Generator,
    pairs: bool,
    figures: bool,
) -> tuple[Tensor, Parts]:
    """The loss whose gradient a step adds up, and its parts.

    `scored` are the scored tokens of the whole step, so that each of them counts alike; `share` is this micro-batch's share of the step's
    other losses. `chance` decides what is hidden. `pairs` and `figures` ask for the pair loss and for collapse figures."""
    rows = max(1, round(len(batch.length_B) * objective.jepa_rows))
    masked = objective.mask != "none"
    zero = torch.zeros((), device=batch.ids_BT.device)
    total, token_P, jepa, vision, pair, shown = zero, None, zero, zero, zero, {}
    context = None
    if objective.token_weight > 0:
        outputs = model(batch.ids_BT, batch.images, trunk_gradient=objective.trunk_gradient, wanted_P=batch.place_P)
        context, hidden_PA = outputs.context_BTJ, outputs.hidden_BTA
        weights_P = torch.full_like(batch.target_P, 1.0 / scored, dtype=torch.float32)
        token, token_P = token_loss(hidden_PA, model.head_weight, batch.target_P, weights_P, model.config.logit_softcap, outputs.chosen)
        total = total + objective.token_weight * token
    elif pairs or (objective.jepa_weight > 0 and not masked):
        context = model.look_ahead(batch.ids_BT, batch.images, objective.trunk_gradient).context_BTJ
    if objective.jepa_weight > 0:
        images = [image for image in batch.images if image.row < rows]
        ids_RT, length_R = batch.ids_BT[:rows], batch.length_B[:rows]
        with torch.no_grad():
            target = average.encode_both(ids_RT, images)
        wanted_RT = None
        if masked:
            ids_RT, wanted_RT = _hide_text(ids_RT, length_R, objective, chance)
            seen, hidden_RN = hide_pictures(images, rows, model.config.vision.shuffle, objective.picture_share, chance)
            guess = model.look_ahead(ids_RT, seen, objective.trunk_gradient)
            context_RTJ = guess.context_BTJ
            if hidden_RN is not None:
                vision = vision_loss(heads.vision(guess.vision_BNJ), target.vision_BNJ, hidden_RN)
        else:
            context_RTJ = context[:rows]
        predictions = [predict(context_RTJ) for predict in model.jepa.predict]
        jepa = jepa_loss(predictions, target.joint_BTJ, length_R, wanted_RT)
        total = total + objective.jepa_weight * share * (jepa + vision)
        if figures:
            shown = collapse_figures(predictions[0].detach(), target.joint_BTJ, length_R)
    if pairs:
        pair = _pairs(average, heads, batch, context, rows)
        total = total + objective.pair_weight * share * pair
    return total, Parts(token_P, jepa.detach(), vision.detach(), pair.detach(), shown)


def _hide_text(ids_RT: Tensor, length_R: Tensor, objective: Objective, chance: numpy.random.Generator) -> tuple[Tensor, Tensor]:
    hidden = masks.text_mask(objective.mask, length_R.tolist(), ids_RT.shape[1], objective.mask_share, chance)
    return masks.hide_text(ids_RT, torch.from_numpy(hidden).to(ids_RT.device), IMAGE_TOKEN)


def hide_pictures(
    images: Sequence[Image], rows: int, shuffle: int, share: float, chance: numpy.random.Generator
) -> tuple[list[Image], Tensor | None]:
    """(images with hidden blocks, which vision tokens [R, N] are hidden: those of a row in order of position, as the model joins them)."""
    seen, hidden = [], [[] for _ in range(rows)]
    for image in sorted(images, key=lambda image: (image.row, image.position)):
        cells = 256 // masks.cell_size(shuffle)
        blocks = torch.from_numpy(masks.picture_mask(len(image.tiles), cells, share, chance)).to(image.tiles.device)
        seen.append(image._replace(tiles=masks.hide_blocks(image.tiles, blocks)))
        hidden[image.row].append(masks.hidden_vision_tokens(blocks, shuffle).flatten())
    if not seen:
        return seen, None
    joined = [torch.cat(parts) if parts else torch.zeros(0, dtype=torch.bool, device=seen[0].tiles.device) for parts in hidden]
    return seen, nn.utils.rnn.pad_sequence(joined, batch_first=True)


def _pairs(average: Model, heads: Heads, batch: Batch, context_BTJ: Tensor, rows: int) -> Tensor:
    """The pair loss of those of the first `rows` rows that are a prompt and an answer: from the prompt's last position, `heads.pair`
    guesses the embedding that the averaged model has at the end of the answer read on its own."""
    first_R, length_R = batch.scored_B[:rows], batch.length_B[:rows]
    have = torch.nonzero(first_R > 1).flatten()
    if not len(have):
        return torch.zeros((), device=batch.ids_BT.device)
    first, size = first_R[have], (length_R - first_R)[have]
    at = torch.arange(int(size.max()), device=size.device)
    answers = torch.where(at < size[:, None], batch.ids_BT[have].gather(1, (first[:, None] + at).clamp(max=batch.ids_BT.shape[1] - 1)), 0)
    with torch.no_grad():
        joint = average.encode(answers)
    guess = heads.pair(context_BTJ[have, first - 1])
    return pair_loss(guess, joint[torch.arange(len(have), device=size.device), size - 1])
