"""The losses: next token at marked positions, JEPA predictions of joint embeddings, view pairs; figures that show a collapse.

Shapes: B rows, T positions, J joint size, N scored positions, A hidden size, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from training.model.ar import Chosen

CHUNK = 256
"""Scored positions whose logits are held at once on a CPU: 16 MiB at a vocabulary of 16,384, which stays in a last-level cache."""

CUDA_NUMBERS = 1 << 28
"""Logits held at once on a GPU: 1 GiB in float32."""


class TokenLoss(torch.autograd.Function):
    """Weighted cross entropy of tied or untied head logits, softcap included, never holding all rows of logits at once.

    Gradients are worked out in the forward pass, chunk by chunk, so that logits are read while they are in cache. Under autocast the
    three matrix products have its data type; all else, sums over chunks included, is float32."""

    @staticmethod
    def forward(
        ctx,
        hidden_NA: Tensor,
        head_VA: Tensor,
        targets_N: Tensor,
        weights_N: Tensor,
        cap: float,
        id_NC: Tensor | None,
        score_NC: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """(sum of weight * loss, loss of each position in nats; only the first has a gradient)."""
        device = hidden_NA.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        chunk = CHUNK if device == "cpu" else max(CHUNK, CUDA_NUMBERS // len(head_VA))
        with torch.autocast(device, enabled=False):
            losses_N = torch.empty_like(weights_N)
            hidden_grad, head_grad = torch.empty_like(hidden_NA, dtype=torch.float32), torch.zeros_like(head_VA, dtype=torch.float32)
            score_grad = None if score_NC is None else torch.empty_like(score_NC, dtype=torch.float32)
            head = head_VA.to(kind)
            for first in range(0, len(targets_N), chunk):
                part = slice(first, first + chunk)
                hidden = hidden_NA[part].to(kind)
                logits = (hidden @ head.T).float()
                if score_NC is not None:
                    logits.scatter_add_(1, id_NC[part], score_NC[part].float())
                grad = _chunk(logits, targets_N[part], weights_N[part], cap, losses_N[part])
                if score_NC is not None:
                    score_grad[part] = grad.gather(1, id_NC[part])
                grad = grad.to(kind)
                if kind == torch.float32:
                    torch.mm(grad, head, out=hidden_grad[part])
                    head_grad.addmm_(grad.T, hidden)
                else:
                    hidden_grad[part] = grad @ head
                    head_grad += grad.T @ hidden
        ctx.save_for_backward(hidden_grad, head_grad, score_grad)
        ctx.mark_non_differentiable(losses_N)
        ctx.kinds = hidden_NA.dtype, head_VA.dtype, None if score_NC is None else score_NC.dtype
        return losses_N @ weights_N, losses_N

    @staticmethod
    def backward(ctx, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden_grad, head_grad, score_grad = ctx.saved_tensors
        scores = None if score_grad is None else score_grad.mul_(upstream).to(ctx.kinds[2])
        # In place: a step goes backward once, and another [V, A] costs as much as reading it.
        return hidden_grad.mul_(upstream).to(ctx.kinds[0]), head_grad.mul_(upstream).to(ctx.kinds[1]), None, None, None, None, scores


def _chunk(logits: Tensor, targets_N: Tensor, weights_N: Tensor, cap: float, losses_N: Tensor) -> Tensor:
    """Gradient of sum(weight * loss) by the logits [N, V] before the softcap, float32, in their place; fills `losses_N`. Few passes over
    [N, V]: they cost a fifth of a step."""
    targets_N1 = targets_N[:, None]
    if cap > 0:
        bent = logits.mul_(1 / cap).tanh_()
        picked = bent.gather(1, targets_N1)
        grad = torch.mul(bent, cap).exp_()  # at most exp(cap): no need for the largest logit
        total = grad.sum(1, keepdim=True)
        losses_N.copy_((total.log() - cap * picked)[:, 0])
        grad.mul_(weights_N[:, None] / total)
        torch.addcmul(grad, grad, bent.square_(), value=-1, out=grad)
        return grad.scatter_add_(1, targets_N1, weights_N[:, None] * (picked.square() - 1))
    picked = logits.gather(1, targets_N1)
    total = logits.logsumexp(1, keepdim=True)
    losses_N.copy_((total - picked)[:, 0])
    grad = logits.sub_(total).exp_().mul_(weights_N[:, None])
    return grad.scatter_add_(1, targets_N1, -weights_N[:, None])


def token_loss(
    hidden_NA: Tensor, head_VA: Tensor, targets_N: Tensor, weights_N: Tensor, cap: float, chosen: Chosen | None = None
) -> tuple[Tensor, Tensor]:
    """(sum of weight * cross entropy, cross entropy of each position), in nats; see TokenLoss.

    `chosen` is added to the logits of some tokens."""
    return TokenLoss.apply(hidden_NA, head_VA, targets_N, weights_N, cap, *(chosen or (None, None)))


STEP_WEIGHTS = (1.0, 0.8, 0.6)
"""Of the predictions 1, 2 and 3 steps ahead (design documents)."""


def jepa_loss(predictions: Sequence[Tensor], target_BTJ: Tensor, length_B: Tensor, wanted_BT: Tensor | None = None) -> Tensor:
    """Smooth L1 between predictions z_k at t and layer-normalised targets at t + k, as a mean over steps weighted by STEP_WEIGHTS.

    predictions: [B, T, J] for k = 1, 2, ..; target_BTJ: joint embeddings of the averaged model, without gradient;
    length_B: tokens of each row's document, beyond which nothing counts; wanted_BT: the targets that count, all where None.
    Rows too short for any step give 0."""
    target_BTJ = F.layer_norm(target_BTJ.float(), target_BTJ.shape[-1:])
    place_T = torch.arange(target_BTJ.shape[1], device=target_BTJ.device)
    wanted_BT = place_T < length_B[:, None] if wanted_BT is None else wanted_BT & (place_T < length_B[:, None])
    total = target_BTJ.new_zeros(())
    for k, (prediction, weight) in enumerate(zip(predictions, STEP_WEIGHTS, strict=False), start=1):
        inside = wanted_BT[:, k:].float()
        distance_BT = F.smooth_l1_loss(prediction[:, :-k].float(), target_BTJ[:, k:], reduction="none").mean(-1)
        total = total + weight * (distance_BT * inside).sum() / inside.sum().clamp(min=1)
    return total / sum(STEP_WEIGHTS[: len(predictions)])


def vision_loss(guess_MNJ: Tensor, target_MNJ: Tensor, hidden_MN: Tensor) -> Tensor:
    """Smooth L1 between guesses and layer-normalised targets at hidden vision tokens, their mean; 0 where none is hidden."""
    target_MNJ = F.layer_norm(target_MNJ.float(), target_MNJ.shape[-1:])
    distance_MN = F.smooth_l1_loss(guess_MNJ.float(), target_MNJ, reduction="none").mean(-1)
    hidden = hidden_MN.float()
    return (distance_MN * hidden).sum() / hidden.sum().clamp(min=1)


def pair_loss(guess_BJ: Tensor, target_BJ: Tensor) -> Tensor:
    """Mean of 1 - cos between what prompts predict and what answers are (LLM-JEPA, arXiv 2509.14252); 0 without a row."""
    return (1 - F.cosine_similarity(guess_BJ.float(), target_BJ.float(), dim=-1)).sum() / max(1, len(guess_BJ))


@torch.no_grad()
def collapse_figures(next_BTJ: Tensor, target_BTJ: Tensor, length_B: Tensor) -> dict[str, float]:
    """What shows whether the joint embeddings have collapsed and the one-step prediction says anything.

    effective_rank: exp of the entropy of the embeddings' normalised singular values (Roy and Vetterli 2007); std: mean over channels
    of the standard deviation; r2_copy, r2_mean: share of squared error that z_1 removes against repeating the present embedding, and
    against the mean embedding."""
    target_BTJ, next_BTJ = F.layer_norm(target_BTJ.float(), target_BTJ.shape[-1:]), next_BTJ.float()
    inside = torch.arange(1, target_BTJ.shape[1], device=target_BTJ.device) < length_B[:, None]
    ahead, now, guess = target_BTJ[:, 1:][inside], target_BTJ[:, :-1][inside], next_BTJ[:, :-1][inside]
    centred = ahead - ahead.mean(0)
    share = torch.linalg.svdvals(centred)
    share = share / share.sum().clamp(min=1e-12)
    error = (ahead - guess).square().sum()
    return {
        "effective_rank": float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum())),
        "std": float(ahead.std(0).mean()),
        "r2_copy": float(1 - error / (ahead - now).square().sum().clamp(min=1e-12)),
        "r2_mean": float(1 - error / centred.square().sum().clamp(min=1e-12)),
    }
