"""The losses: next token at marked positions, and JEPA prediction of later joint embeddings; figures that show a collapse.

Shapes: B rows, T positions, J joint size, N scored positions, A hidden size, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 256
"""Scored positions whose logits are held at once: 16 MiB at a vocabulary of 16,384, which stays in a last-level cache."""


class TokenLoss(torch.autograd.Function):
    """Weighted cross entropy of tied or untied head logits, softcap included, never holding more than CHUNK rows of logits.

    Gradients are worked out in the forward pass, chunk by chunk, so that logits are read while they are in cache."""

    @staticmethod
    def forward(ctx, hidden_NA: Tensor, head_VA: Tensor, targets_N: Tensor, weights_N: Tensor, cap: float) -> tuple[Tensor, Tensor]:
        """(sum of weight * loss, loss of each position in nats; only the first has a gradient)."""
        losses_N = torch.empty_like(weights_N)
        hidden_grad, head_grad = torch.empty_like(hidden_NA), torch.zeros_like(head_VA)
        for first in range(0, len(targets_N), CHUNK):
            part = slice(first, first + CHUNK)
            logits = hidden_NA[part] @ head_VA.T
            if cap > 0:
                logits.mul_(1 / cap).tanh_()
                slope = torch.addcmul(torch.ones(()), logits, logits, value=-1)
                logits.mul_(cap)
            picked = logits.gather(1, targets_N[part, None])
            total = logits.logsumexp(1, keepdim=True)
            losses_N[part] = (total - picked)[:, 0]
            grad = logits.sub_(total).exp_()
            grad.scatter_add_(1, targets_N[part, None], torch.full_like(picked, -1.0))
            if cap > 0:
                grad.mul_(slope)
            grad.mul_(weights_N[part, None])
            torch.mm(grad, head_VA, out=hidden_grad[part])
            head_grad.addmm_(grad.T, hidden_NA[part])
        ctx.save_for_backward(hidden_grad, head_grad)
        ctx.mark_non_differentiable(losses_N)
        return losses_N @ weights_N, losses_N

    @staticmethod
    def backward(ctx, upstream: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        hidden_grad, head_grad = ctx.saved_tensors
        return hidden_grad * upstream, head_grad * upstream, None, None, None


def token_loss(hidden_NA: Tensor, head_VA: Tensor, targets_N: Tensor, weights_N: Tensor, cap: float) -> tuple[Tensor, Tensor]:
    """(sum of weight * cross entropy, cross entropy of each position), in nats; see TokenLoss."""
    return TokenLoss.apply(hidden_NA, head_VA, targets_N, weights_N, cap)


STEP_WEIGHTS = (1.0, 0.8, 0.6)
"""Of the predictions 1, 2 and 3 steps ahead (design documents)."""


def jepa_loss(predictions: Sequence[Tensor], target_BTJ: Tensor, length_B: Tensor) -> Tensor:
    """Smooth L1 between predictions z_k at t and layer-normalised targets at t + k, as a mean over steps weighted by STEP_WEIGHTS.

    predictions: [B, T, J] for k = 1, 2, ..; target_BTJ: joint embeddings of the averaged model, without gradient;
    length_B: tokens of each row's document, beyond which nothing counts. Rows too short for any step give 0."""
    target_BTJ = F.layer_norm(target_BTJ, target_BTJ.shape[-1:])
    place_T = torch.arange(target_BTJ.shape[1], device=target_BTJ.device)
    total = target_BTJ.new_zeros(())
    for k, (prediction, weight) in enumerate(zip(predictions, STEP_WEIGHTS, strict=False), start=1):
        inside = (place_T[k:] < length_B[:, None]).float()
        distance_BT = F.smooth_l1_loss(prediction[:, :-k], target_BTJ[:, k:], reduction="none").mean(-1)
        total = total + weight * (distance_BT * inside).sum() / inside.sum().clamp(min=1)
    return total / sum(STEP_WEIGHTS[: len(predictions)])


@torch.no_grad()
def collapse_figures(next_BTJ: Tensor, target_BTJ: Tensor, length_B: Tensor) -> dict[str, float]:
    """What shows whether the joint embeddings have collapsed and the one-step prediction says anything.

    effective_rank: exp of the entropy of the embeddings' normalised singular values (Roy and Vetterli 2007); std: mean over channels
    of the standard deviation; r2_copy, r2_mean: share of squared error that z_1 removes against repeating the present embedding, and
    against the mean embedding."""
    target_BTJ = F.layer_norm(target_BTJ, target_BTJ.shape[-1:])
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
