"""Which sizes a model has: `models/*.json` as frozen dataclasses, checked once when they are read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

TILE_SIZE = 256  # pixels, either way (docs/model.md)
TILE_GRID = 32  # stem stride 4 and one block of stride 2: 256 / 8 vision positions either way
TILES_EACH_WAY = 8


class ConfigError(ValueError):
    """A configuration that no model can be built from; the text says which value is off."""


@dataclass(frozen=True)
class TextConfig:
    """A stack of causal text blocks: the language encoder or the AR head."""

    hidden: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


@dataclass(frozen=True)
class JepaConfig(TextConfig):
    """The JEPA head: text blocks over joint embeddings and one predictor for each of `steps` steps ahead."""

    steps: int


@dataclass(frozen=True)
class FusionConfig:
    """The blocks in which text and vision meet; `hidden` is the size of the joint embedding."""

    hidden: int
    mlp: int
    layers: int
    heads: int


@dataclass(frozen=True)
class VisionConfig:
    """The image encoder; `shuffle` joins that many positions either way into one vision token."""

    stem_channels: int
    cnn_channels: int
    expansion: int
    hidden: int
    mlp: int
    layers: int
    heads: int
    window: int
    global_layers: tuple[int, ...]
    shuffle: int
    max_tiles: int

    @property
    def tokens_per_tile(self) -> int:
        return (TILE_GRID // self.shuffle) ** 2


@dataclass(frozen=True)
class ModelConfig:
    """One model; the names are those of docs/model.md."""

    name: str
    vocab_size: int
    max_positions: int
    norm_eps: float
    rope_base: float
    tie_embeddings: bool
    qk_norm: bool
    token_shift: bool
    places: int
    aligned: bool
    logit_softcap: float
    vision: VisionConfig
    language: TextConfig
    fusion: FusionConfig
    jepa: JepaConfig
    ar: TextConfig


def from_dict(values: dict[str, Any]) -> ModelConfig:
    """The configuration that `values` (as read from JSON) describes; ConfigError names what is missing, unknown or impossible."""
    parts = {"vision": VisionConfig, "language": TextConfig, "fusion": FusionConfig, "jepa": JepaConfig, "ar": TextConfig}
    values = dict(values)
    for name, kind in parts.items():
        part = dict(values.get(name) or {})
        if "global_layers" in part:
            part["global_layers"] = tuple(part["global_layers"])
        values[name] = _build(kind, part, name)
    config = _build(ModelConfig, values, "the model")
    _check(config)
    return config


def to_dict(config: ModelConfig) -> dict[str, Any]:
    """The plain values of `config`, ready for JSON."""
    values = asdict(config)
    values["vision"]["global_layers"] = list(config.vision.global_layers)
    return values


def load(path: str | Path) -> ModelConfig:
    """Reads a configuration file; ConfigError when it is no JSON object or describes no model, OSError when it cannot be read."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: not a JSON object")
    return from_dict(values)


def _build(kind: type, values: dict[str, Any], where: str) -> Any:
    wanted = {field.name for field in fields(kind)}
    if missing := sorted(wanted - values.keys()):
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    if unknown := sorted(values.keys() - wanted):
        raise ConfigError(f"{where}: unknown {', '.join(unknown)}")
    return kind(**values)


def _check(config: ModelConfig) -> None:
    def need(holds: bool, what: str) -> None:
        if not holds:
            raise ConfigError(what)

    for name in ("language", "fusion", "jepa", "ar", "vision"):
        part = getattr(config, name)
        for size in ("hidden", "mlp", "layers", "heads"):
            need(isinstance(getattr(part, size), int) and getattr(part, size) > 0, f"{name}.{size} must be a positive whole number")
        need(part.hidden % part.heads == 0, f"{name}.hidden must be a multiple of {name}.heads")
    for name in ("language", "jepa", "ar"):
        part = getattr(config, name)
        need(part.kv_heads > 0 and part.heads % part.kv_heads == 0, f"{name}.heads must be a multiple of {name}.kv_heads")
        need(part.head_dim % 2 == 0, f"{name}: the head size {part.head_dim} must be even for RoPE")
    vision = config.vision
    need(config.jepa.hidden == config.fusion.hidden, "jepa.hidden must equal fusion.hidden")
    need(config.jepa.steps >= 1, "jepa.steps must be at least 1")
    need(not config.tie_embeddings or config.ar.hidden == config.language.hidden, "tied embeddings need ar.hidden = language.hidden")
    need(isinstance(config.places, int) and 0 <= config.places <= 4096, "places must be a whole number, 0 to 4096")
    need(not config.aligned or config.places > 0, "aligned needs places")
    need(config.vocab_size > 0 and config.max_positions > 0, "vocab_size and max_positions must be positive")
    need(config.norm_eps > 0 and config.rope_base > 1 and config.logit_softcap >= 0, "norm_eps, rope_base or logit_softcap out of range")
    need(vision.window > 0 and TILE_GRID % vision.window == 0, f"vision.window must divide {TILE_GRID}")
    need(vision.shuffle > 0 and TILE_GRID % vision.shuffle == 0, f"vision.shuffle must divide {TILE_GRID}")
    need(all(0 <= layer < vision.layers for layer in vision.global_layers), "vision.global_layers names a layer that is not there")
    need(1 <= vision.max_tiles <= TILES_EACH_WAY**2, f"vision.max_tiles must be 1..{TILES_EACH_WAY**2}")
