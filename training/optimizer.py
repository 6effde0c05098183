"""Muon for matrices, AdamW for embeddings, norms, gates and biases; or AdamW for everything.

Muon: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024); momentum, then orthogonalisation by a
quintic Newton-Schulz iteration. Matrices of one shape go through it together; of several processes each takes its share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.processes import Processes

EMBEDDING_LIKE = (
    "embed.weight", "embed.line", "embed.column", "embed.part", "embed.mention", "ar.choose", "ar.choose_bias", "ar.head", "vision.pos",
    "vision.tile_row", "vision.tile_col",
)  # fmt: skip
"""Two-dimensional, but tables of rows rather than maps."""


@dataclass(frozen=True)
class OptimizerSettings:
    """Peak rates; the trainer's schedule multiplies them."""

    matrices: str = "muon"  # or "adamw", which gives matrices `other_rate` as well
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    matrix_decay: float = 0.01  # decoupled, as in AdamW: per step, times the rate
    steps: int = 5  # of Newton-Schulz


def orthogonalise(matrices: Tensor, steps: int) -> Tensor:
    """[n, rows, columns] to nearby semi-orthogonal matrices: singular values end between about 0.7 and 1.2."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    if x.is_cuda:
        x = x.bfloat16()  # the iteration corrects its own rounding
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.transpose(1, 2) if tall else x).to(matrices.dtype)


class MuonAdamW:
    """Both optimizers over a model's named parameters; parameters without a gradient are left alone."""

    def __init__(
        self, named_parameters: Iterable[tuple[str, nn.Parameter]], settings: OptimizerSettings, processes: Processes | None = None
    ) -> None:
        self.settings, self.processes = settings, processes or Processes()
        self.matrices: dict[torch.Size, list[tuple[str, nn.Parameter]]] = defaultdict(list)
        self.momentum: dict[str, Tensor] = {}
        others: dict[bool, list[tuple[str, nn.Parameter]]] = {False: [], True: []}  # AdamW's, by whether they decay
        for name, parameter in named_parameters:
            matrix = parameter.ndim == 2 and name not in EMBEDDING_LIKE
            if matrix and settings.matrices == "muon":
                self.matrices[parameter.shape].append((name, parameter))
                self.momentum[name] = torch.zeros_like(parameter)
            else:
                others[matrix].append((name, parameter))
        self.other_names = [name for members in others.values() for name, _ in members]
        groups = [
            {"params": [parameter for _, parameter in members], "weight_decay": settings.matrix_decay * decays}
            for decays, members in others.items()
            if members
        ]
        self.adamw = torch.optim.AdamW(groups, lr=settings.other_rate, betas=settings.betas, eps=1e-8, fused=True)

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """One update with the rates times `scale`."""
        for group in self.adamw.param_groups:
            group["lr"] = self.settings.other_rate * scale
        self.adamw.step()
        rate = self.settings.matrix_rate * scale
        updates = []
        for members in self.matrices.values():
            present = [(name, parameter) for name, parameter in members if parameter.grad is not None]
            if not present:
                continue
            parameters = [parameter for _, parameter in present]
            gradients = [parameter.grad for parameter in parameters]
            momentum = [self.momentum[name] for name, _ in present]
            torch._foreach_lerp_(momentum, gradients, 1 - self.settings.momentum)
            ahead = torch.stack(torch._foreach_lerp(gradients, momentum, self.settings.momentum))  # Nesterov
            share = self.processes.share(len(parameters))
            update = torch.zeros_like(ahead) if self.processes.count > 1 else ahead
            if share.start < share.stop:
                update[share] = orthogonalise(ahead[share], self.settings.steps)
            updates.append((parameters, update))
        self.processes.add_up([update for _, update in updates])
        for parameters, update in updates:
            rows, columns = update.shape[1:]
            torch._foreach_mul_(parameters, 1 - rate * self.settings.matrix_decay)
            torch._foreach_add_(parameters, list(update.unbind(0)), alpha=-rate * max(1.0, rows / columns) ** 0.5)

    def zero_grad(self) -> None:
        self.adamw.zero_grad(set_to_none=True)
        for members in self.matrices.values():
            for _, parameter in members:
                parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything that `load` needs, by name."""
        tensors = {f"muon.{name}": tensor for name, tensor in self.momentum.items()}
        for index, values in self.adamw.state_dict()["state"].items():
            for key, tensor in values.items():
                tensors[f"adamw.{key}.{self.other_names[index]}"] = tensor
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Restores what `state` gave; KeyError when a matrix is missing."""
        for name, tensor in self.momentum.items():
            tensor.copy_(tensors[f"muon.{name}"])
        whole = self.adamw.state_dict()
        for index, name in enumerate(self.other_names):
            values = {key: tensors[f"adamw.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"adamw.{key}.{name}" in tensors}
            if values:
                whole["state"][index] = values
        self.adamw.load_state_dict(whole)
