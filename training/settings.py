"""What a recipe says: how to train (Settings), towards what (Objective), in which stages (Stage). Recipes are in training/recipes.py.

Progress is the share of a run that is done, 0 to 1, by steps or by minutes of training, whichever the run was given."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

MASKS = ("none", "spans", "random")
OPTIMIZERS = ("muon", "adamw")
PRECISIONS = ("auto", "float32", "bf16")
DEVICES = ("auto", "cpu", "cuda")


class RecipeError(ValueError):
    """Settings that contradict each other or the run; the text says which."""


@dataclass(frozen=True)
class Settings:
    """How to train; sizes in tokens, times in minutes. What is left None is decided when the run starts."""

    minutes: float | None = None
    steps: int | None = None
    batch_tokens: int = 4096  # of a micro-batch, padding included
    accumulate: int = 1  # micro-batches a step, in each process
    max_tokens: int = 1024  # of a document
    optimizer: str = "muon"  # for matrices; all else has AdamW. "adamw": AdamW for everything, with other_rate
    warmup_steps: int = 40
    decay_share: float = 0.35  # of the whole run, at its end
    final_rate: float = 0.05  # of the peak
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    weight_decay: float = 0.01  # of matrices, decoupled: a step takes this share times the rate
    clip: float = 1.0  # norm of all gradients
    average_first: float = 0.99  # decay of the moving average, at the start and at the end
    average_last: float = 0.999
    checkpoint_minutes: float = 2.0
    log_steps: int = 10
    figure_steps: int = 100  # between collapse figures
    heldout_steps: int = 200  # between losses on held-out documents, where the run was given some
    seed: int = 0
    device: str = "auto"  # cuda where there is one
    precision: str = "auto"  # of matrix products: bf16 on cuda, float32 on a CPU
    compile: bool = False  # torch.compile for the text blocks
    recompute: bool = False  # activations of text blocks in the backward pass, instead of keeping them


@dataclass(frozen=True)
class Objective:
    """What is minimised: token_weight * next token + jepa_weight * JEPA + pair_weight * view pairs (docs/training.md)."""

    token_weight: float = 0.7
    jepa_weight: float = 0.3
    trunk_gradient: float = 0.05  # share of the JEPA and pair losses' gradient that reaches the encoders
    jepa_rows: float = 0.25  # share of a micro-batch's rows with JEPA and pair losses
    mask: str = "none"  # of the text that JEPA predicts from: nothing hidden, spans, or single tokens
    mask_share: float = 0.375  # of a text's tokens, where a mask is asked for
    picture_share: float = 0.55  # of a picture's blocks that are hidden then
    pair_weight: float = 0.0  # of 1 - cos between the prompt's prediction and the answer's embedding
    pair_share: float = 0.25  # of the steps that have the pair loss


@dataclass(frozen=True)
class Stage:
    """A part of a run with an objective and a mixture of data of its own."""

    name: str
    share: float  # of the run
    objective: Objective = Objective()
    data: Mapping[str, float | tuple[float, float]] = field(default_factory=dict)  # weights, or weights at its start and its end
    rate_first: float = 1.0  # factor on the peak rates at its start and at its end
    rate_last: float = 1.0
    cosine: bool = False  # between the two: half a cosine, or else a line


@dataclass(frozen=True)
class Recipe:
    """Settings and stages under a name."""

    name: str
    settings: Settings
    stages: tuple[Stage, ...]

    def at(self, progress: float) -> tuple[Stage, float]:
        """The stage at this progress, and how much of it is done, 0 to 1."""
        whole = sum(stage.share for stage in self.stages)
        before = 0.0
        for stage in self.stages:
            share = stage.share / whole
            if progress < before + share or stage is self.stages[-1]:
                return stage, min(1.0, max(0.0, (progress - before) / share))
            before += share
        raise AssertionError("a recipe has a stage")

    def rate(self, step: int, progress: float) -> float:
        """Factor on the peak rates: linear warm-up over steps, the stage's own course, linear decay over the last `decay_share`."""
        settings = self.settings
        warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
        left = max(0.0, 1.0 - progress) / settings.decay_share if settings.decay_share > 0 else 1.0
        stage, done = self.at(progress)
        course = (1 - math.cos(math.pi * done)) / 2 if stage.cosine else done
        return (
            warm
            * (stage.rate_first + (stage.rate_last - stage.rate_first) * course)
            * (settings.final_rate + (1 - settings.final_rate) * min(1.0, left))
        )

    def weights(self, progress: float) -> dict[str, float]:
        """Weights of the kinds of data at this progress; empty where the recipe leaves them to the run."""
        stage, done = self.at(progress)
        return {name: value if isinstance(value, (int, float)) else value[0] + (value[1] - value[0]) * done
                for name, value in stage.data.items()}  # fmt: skip

    def changed(self, **values: Any) -> Recipe:
        """This recipe with other settings or, where it has one stage, with another objective; RecipeError where it has several."""
        of_settings = {name: value for name, value in values.items() if name in Settings.__dataclass_fields__}
        of_objective = {name: value for name, value in values.items() if name in Objective.__dataclass_fields__}
        stages = self.stages
        if of_objective:
            if len(stages) > 1:
                raise RecipeError(f"{', '.join(of_objective)}: recipe {self.name} has {len(stages)} stages with objectives of their own")
            stages = (replace(stages[0], objective=replace(stages[0].objective, **of_objective)),)
        return replace(self, settings=replace(self.settings, **of_settings), stages=stages)

    def fit(self, names: Collection[str]) -> None:
        """RecipeError when data of these names is not what the stages ask for: unknown to all, or none of it in one of them."""
        known = {name for stage in self.stages for name in stage.data}
        if unknown := sorted(set(names) - known):
            raise RecipeError(f"recipe {self.name} has no weight for data called {unknown[0]}: it knows {', '.join(sorted(known))}; "
                              f"name it so (NAME=FOLDER), or give every folder a weight (NAME=FOLDER@WEIGHT)")  # fmt: skip
        for stage in self.stages:
            if stage.data and not any(stage.data.get(name) for name in names):
                raise RecipeError(f"stage {stage.name} of recipe {self.name} needs data called {' or '.join(stage.data)}")

    def without_data(self) -> Recipe:
        """This recipe with the mixture left to the run."""
        return replace(self, stages=tuple(replace(stage, data={}) for stage in self.stages))

    def check(self) -> None:
        """RecipeError when a value is out of its range."""

        def need(holds: bool, what: str) -> None:
            if not holds:
                raise RecipeError(f"recipe {self.name}: {what}")

        settings = self.settings
        need(settings.optimizer in OPTIMIZERS, f"optimizer is one of {', '.join(OPTIMIZERS)}, not {settings.optimizer}")
        need(settings.precision in PRECISIONS, f"precision is one of {', '.join(PRECISIONS)}, not {settings.precision}")
        need(settings.device in DEVICES, f"device is one of {', '.join(DEVICES)}, not {settings.device}")
        need(min(settings.batch_tokens, settings.accumulate, settings.max_tokens) > 0, "batch_tokens, accumulate, max_tokens are positive")
        need(min(settings.log_steps, settings.figure_steps, settings.heldout_steps) > 0, "steps between lines and figures are positive")
        need(settings.minutes is None or settings.minutes > 0, "minutes must be positive")
        need(settings.steps is None or settings.steps > 0, "steps must be positive")
        need(bool(self.stages) and all(stage.share > 0 for stage in self.stages), "every stage has a positive share")
        for stage in self.stages:
            goal = stage.objective
            need(goal.mask in MASKS, f"stage {stage.name}: mask is one of {', '.join(MASKS)}, not {goal.mask}")
            need(0 < goal.mask_share < 1 and 0 < goal.picture_share < 1, f"stage {stage.name}: shares of masks are between 0 and 1")
            need(0 < goal.jepa_rows <= 1 and 0 <= goal.pair_share <= 1, f"stage {stage.name}: jepa_rows and pair_share are shares")
            need(min(goal.token_weight, goal.jepa_weight, goal.pair_weight) >= 0, f"stage {stage.name}: a weight is negative")
            need(goal.token_weight + goal.jepa_weight + goal.pair_weight > 0, f"stage {stage.name}: every weight is 0")
