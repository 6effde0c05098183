"""One step after the other: model, moving average, optimizer and data, their joint progress and their checkpoints."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from cromwell.contract.prompt import SPECIAL_TOKENS
from training import checkpoint as checkpoints
from training import config as configs
from training.batches import Batch
from training.device import autocast, choose_device, prepare_blocks
from training.mixture import Drawn, Mixture, Position
from training.model.initial import can_copy, start_copying
from training.model.model import Model
from training.objectives import Heads, batch_loss
from training.optimizer import MuonAdamW, OptimizerSettings
from training.processes import Processes
from training.settings import Recipe, RecipeError, Stage

MASKS, PAIRS = 1, 2  # streams of chance, beside the data's


class TrainingStopped(RuntimeError):
    """Training cannot go on; the text says why."""


class Step(NamedTuple):
    """What the metrics record of a step, of this process's share of it; tensors wait on the device until somebody asks."""

    nats_K: Tensor  # sum of next-token losses by kind of document
    scored_K: Tensor  # positions of each kind
    jepa: Tensor  # means over the step's micro-batches, this process's part of them
    vision: Tensor
    pair: Tensor
    gradient_norm: float  # of all processes
    figures: dict[str, float]


class Planned(NamedTuple):
    """The micro-batches of a step: all of them, this process's own as tensors, and where the data stands after them."""

    plan: list[Drawn]
    own: list[Batch]
    after: Position


class Trainer:
    """Trains a model by a recipe on a mixture of data."""

    def __init__(
        self,
        config: configs.ModelConfig,
        recipe: Recipe,
        mixture: Mixture,
        weights: Mapping[str, float] | None = None,
        texts: Sequence[bytes] = (),
    ) -> None:
        """`weights` are those of the data's names, where the recipe leaves them open; `texts` the bytes of every token of the vocabulary,
        which a model with places begins from. RecipeError when the recipe cannot be followed here."""
        recipe.check()
        self.config, self.recipe, self.settings, self.mixture = config, recipe, recipe.settings, mixture
        self.weights = dict(weights or {}) or dict.fromkeys(mixture.names, 1.0)
        self.device = choose_device(self.settings)
        self.processes = Processes(self.device)
        torch.manual_seed(self.settings.seed)
        self.model = Model(config)
        if config.places:
            if len(texts) != config.vocab_size:
                raise RecipeError(f"{len(texts)} tokens, the model has {config.vocab_size}: give its tokenizer with --tokenizer")
            self.model.embed.set_tokens(texts, len(SPECIAL_TOKENS))
        if can_copy(self.model):
            start_copying(self.model, texts)
        self.heads = Heads(config.fusion.hidden).to(self.device)
        self.model.to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        for model in (self.model, self.average):
            prepare_blocks(model, self.settings)
        self.parameters = dict(self.model.named_parameters()) | {f"heads.{name}": p for name, p in self.heads.named_parameters()}
        self.optimizer = MuonAdamW(self.parameters.items(), _rates(recipe), self.processes)
        self.step, self.tokens, self.elapsed_seconds = 0, 0, 0.0
        self.position = mixture.start()
        on_gpu = self.device.type == "cuda"
        self._worker = ThreadPoolExecutor(1, initializer=torch.cuda.set_device, initargs=(self.device,)) if on_gpu else None
        self._next: Future[Planned] | None = None

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1."""
        return self._progress(self.step)

    def _progress(self, step: int) -> float:
        shares = [0.0]
        if self.settings.steps:
            shares.append(step / self.settings.steps)
        if self.settings.minutes:
            shares.append(self.elapsed_seconds / 60 / self.settings.minutes)
        return min(1.0, max(shares))

    @property
    def stage(self) -> Stage:
        """The recipe's stage that the next step belongs to."""
        return self.recipe.at(self.progress)[0]

    def _plan(self, step: int, position: Position) -> Planned:
        """What step number `step` trains on, the data standing at `position`."""
        progress = self._progress(step)
        weights = self.recipe.weights(progress) or self.weights
        plan, after = self.mixture.draw(position, self.settings.accumulate * self.processes.count, weights)
        own = [self.mixture.batch(drawn) for drawn in plan[self.processes.share(len(plan))]]
        return Planned(plan, [batch.pinned() for batch in own] if self.device.type == "cuda" else own, after)

    def _planned(self) -> Planned:
        """The plan of this step; on a GPU the next one's is made meanwhile."""
        planned = self._next.result() if self._next else self._plan(self.step, self.position)
        if self._worker:
            self._next = self._worker.submit(self._plan, self.step + 1, planned.after)
        return planned

    def train_step(self, figures: bool = False) -> Step:
        """One update. TrainingStopped when the loss or its gradient is not finite: then nothing has changed."""
        planned = self._planned()
        stage, plan = self.stage, planned.plan
        scored = max(1, self.mixture.scored_tokens(plan))
        first = self.processes.share(len(plan)).start
        pairs = stage.objective.pair_weight > 0 and self._chance(PAIRS).random() < stage.objective.pair_share
        kinds = len(self.mixture.kinds)
        nats_K, scored_K = torch.zeros(2, kinds, device=self.device, dtype=torch.float64)
        sums = torch.zeros(3, device=self.device)
        shown: dict[str, float] = {}
        for number, held in enumerate(planned.own, start=first):
            batch = held.to(self.device)
            with autocast(self.settings, self.device):
                loss, parts = batch_loss(
                    self.model, self.average, self.heads, batch, stage.objective, scored, 1 / len(plan), self._chance(MASKS, number), pairs,
                    figures and number == first,
                )  # fmt: skip
            if loss.requires_grad:
                loss.backward()
            sums += torch.stack((parts.jepa, parts.vision, parts.pair)) / len(plan)
            _count_kinds(batch, parts.token_P, nats_K, scored_K)
            shown = parts.figures or shown
        self._share_gradients()
        norm = self._clip()
        rate = self.recipe.rate(self.step, self.progress)
        self.optimizer.step(rate)
        self.optimizer.zero_grad()
        self._follow()
        self.step += 1
        self.tokens += self.mixture.tokens_in(plan)
        self.position = planned.after
        return Step(nats_K, scored_K, *sums, norm, shown)

    def _chance(self, stream: int, number: int = 0) -> numpy.random.Generator:
        """Chance of this step and micro-batch: the same on any number of processes, and after a resume."""
        return numpy.random.default_rng((self.settings.seed, stream, self.step, number))

    def _share_gradients(self) -> None:
        """Adds up the gradients of all processes. A parameter that no process has a gradient for keeps none."""
        if self.processes.count == 1:
            return
        parameters = list(self.parameters.values())
        for parameter, wanted in zip(parameters, self.processes.any([p.grad is not None for p in parameters]), strict=True):
            if wanted and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.processes.add_up([parameter.grad for parameter in parameters if parameter.grad is not None])

    def _clip(self) -> float:
        """Clips the norm of all gradients, and gives it."""
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip))
        if not math.isfinite(norm):
            self.optimizer.zero_grad()
            raise TrainingStopped(f"step {self.step}: the loss or its gradient is not finite ({norm}); lower the rates")
        return norm

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the average towards the model; faster at first, when the model moves most."""
        settings = self.settings
        decay = settings.average_first + (settings.average_last - settings.average_first) * self.progress
        torch._foreach_lerp_(list(self.average.parameters()), [p.detach() for p in self.model.parameters()], 1 - decay)

    def save(self, run: Path) -> Path:
        """Writes a checkpoint of the run's state after its last step; CheckpointError when that fails."""
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "elapsed_seconds": self.elapsed_seconds,
            "data": self.mixture.state(self.position),
            "recipe": asdict(self.recipe),
        }
        weights = (self.model.state_dict(), self.average.state_dict(), self.heads.state_dict(), self.optimizer.state())
        return checkpoints.save(run, self.step, checkpoints.Checkpoint(*weights, configs.to_dict(self.config), state))

    def start_from(self, path: Path) -> None:
        """Begins with the weights of a file instead; RecipeError when they are not of this configuration, OSError when there is no file."""
        weights = checkpoints.load_weights(path)
        own = self.model.state_dict()
        shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (own, weights)]
        off = sorted(name for name in own.keys() | weights.keys() if shapes[0].get(name) != shapes[1].get(name))
        if off:
            raise RecipeError(f"{path}: {off[0]}: missing, unknown or of another shape: are these weights of the model in --config?")
        for model in (self.model, self.average):
            model.load_state_dict(weights)

    def restore(self, saved: checkpoints.Checkpoint) -> None:
        """Takes up a checkpoint; a folder of data that is not as it was goes on at its next epoch."""
        if saved.config != configs.to_dict(self.config):
            raise TrainingStopped("the checkpoint belongs to another model configuration")
        before = saved.state["recipe"]["settings"]["optimizer"]
        if before != self.settings.optimizer:
            raise TrainingStopped(f"the checkpoint was trained with {before}, this run asks for {self.settings.optimizer}")
        self.model.load_state_dict(saved.model)
        self.average.load_state_dict(saved.average)
        self.heads.load_state_dict(saved.heads)
        self.optimizer.load(saved.optimizer)
        self.step, self.tokens = saved.state["step"], saved.state["tokens"]
        self.elapsed_seconds = saved.state["elapsed_seconds"]
        self.position = self.mixture.restored(saved.state["data"])
        self._next = None

    @torch.no_grad()
    def heldout_loss(self, mixture: Mixture, batches: int) -> dict[str, float]:
        """Nats per scored token, by kind and over all (""), of the first micro-batches of held-out data: the same ones every time."""
        kinds = len(mixture.kinds)
        nats_K, scored_K = torch.zeros(2, kinds, device=self.device, dtype=torch.float64)
        plan, _ = mixture.draw(mixture.start(), batches, dict.fromkeys(mixture.names, 1.0))
        for drawn in plan[self.processes.share(len(plan))]:
            batch = mixture.batch(drawn).to(self.device)
            with autocast(self.settings, self.device):
                outputs = self.model(batch.ids_BT, batch.images, wanted_P=batch.place_P)
                logits = self.model.logits(outputs.hidden_BTA, outputs.chosen)
            losses_P = torch.nn.functional.cross_entropy(logits.float(), batch.target_P, reduction="none")
            _count_kinds(batch, losses_P, nats_K, scored_K)
        self.processes.add_up([nats_K, scored_K])
        found = {"": float(nats_K.sum() / scored_K.sum())}
        found |= {kind: float(nats / scored) for kind, nats, scored in zip(mixture.kinds, nats_K, scored_K, strict=True) if scored}
        return found


def _rates(recipe: Recipe) -> OptimizerSettings:
    settings = recipe.settings
    return OptimizerSettings(
        matrices=settings.optimizer, matrix_rate=settings.matrix_rate, other_rate=settings.other_rate, matrix_decay=settings.weight_decay
    )


def _count_kinds(batch: Batch, losses_P: Tensor | None, nats_K: Tensor, scored_K: Tensor) -> None:
    """Adds a micro-batch's losses to the sums of their kinds."""
    if losses_P is not None:
        kind_P = batch.kind_B[batch.document_P]
        nats_K.index_add_(0, kind_P, losses_P.double())
        scored_K.index_add_(0, kind_P, torch.ones_like(losses_P, dtype=torch.float64))
