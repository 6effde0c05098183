"""Several training processes that work as one (torchrun), or one alone: the same calls either way.

On a few shared cores, processes of one thread each beat one process of many threads: they meet once a step instead of once an
operation (training/LOG.md). Gradients are added up as DDP does it, in one message a step: gloo between CPUs, NCCL between GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def local_rank() -> int:
    """Number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


class Processes:
    """`count` processes, this one being number `rank`; torchrun's environment decides, without it there is one."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        self.device = device or torch.device("cpu")
        if self.count > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    def share(self, items: int) -> slice:
        """This process's contiguous share of so many items."""
        return slice(items * self.rank // self.count, items * (self.rank + 1) // self.count)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over all processes; every process gives tensors of the same shapes and one data type."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view_as(to) for part, to in zip(parts, tensors, strict=True)])

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """For each flag, whether it is set in any process."""
        if self.count == 1:
            return list(flags)
        shared = torch.tensor(list(flags), dtype=torch.uint8, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return [bool(flag) for flag in shared.tolist()]

    def agree(self, values: Sequence[float]) -> list[float]:
        """Process 0's values, in every process."""
        if self.count == 1:
            return list(values)
        shared = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return shared.tolist()
