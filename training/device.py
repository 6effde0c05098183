"""Where a model is trained and in which precision; torch.compile and recomputation of its text blocks. The same code on a CPU and a GPU."""

from __future__ import annotations

import functools

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from training.model.layers import TextBlock
from training.processes import local_rank
from training.settings import RecipeError, Settings


def choose_device(settings: Settings) -> torch.device:
    """The device that the settings ask for, this process's own of several GPUs; RecipeError when there is none."""
    there = torch.cuda.is_available()
    if settings.device == "cuda" and not there:
        raise RecipeError("device cuda: torch sees no GPU here; use --device cpu, or a torch built for this GPU")
    if settings.device == "cpu" or not there:
        return torch.device("cpu")
    device = torch.device("cuda", local_rank())
    torch.cuda.set_device(device)
    torch.set_float32_matmul_precision("high")  # TF32 for what stays in float32, the optimizer's products above all
    return device


def autocast(settings: Settings, device: torch.device) -> torch.autocast:
    """What forward passes run under: bf16 products where asked for, by default on a GPU."""
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


def prepare_blocks(model: nn.Module, settings: Settings) -> None:
    """Compiles the text blocks and has them recompute their activations, as the settings say; names of weights stay as they are."""
    if settings.compile:
        # One piece of code serves blocks of several shapes, with and without gradients, over all positions or some: more than the usual 8.
        torch._dynamo.config.recompile_limit = 64
    for block in model.modules():
        if not isinstance(block, TextBlock):
            continue
        if settings.compile:
            block.compile(dynamic=True)  # widths differ from micro-batch to micro-batch
        if settings.recompute:
            block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
